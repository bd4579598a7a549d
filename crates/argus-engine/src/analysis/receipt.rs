//! The receipt of an analysis, from the question on.

use argus_core::camera::AnalysisMode;
use argus_core::describe::{Analysis, AnalysisFrame, AnalysisStatus, AnalysisTrigger, DescribeFrame, DescribeRequest};
use argus_core::{AnalysisId, EventId, Timestamp};
use argus_db::Job;

use crate::Deps;
use crate::error::EngineError;

/// The receipt of a call that goes out now. One that somebody asked for is there already.
pub(crate) async fn begun(deps: &Deps, job: &Job, request: &DescribeRequest) -> Result<Analysis, EngineError> {
    let now = deps.clock.now();
    let frame = |f: &DescribeFrame| AnalysisFrame {
        index: f.index,
        sha256: f.sha256.clone(),
        width: f.width,
        height: f.height,
        bytes: u64::try_from(f.jpeg.len()).unwrap_or(u64::MAX),
    };
    let frames: Vec<AnalysisFrame> = request.frames.iter().map(frame).collect();
    let asked = match &job.asked {
        Some(asked) => deps.db.analysis_get(asked.analysis_id).await?,
        None => None,
    };
    if let Some(receipt) = asked {
        return Ok(Analysis { analysis_mode: request.mode, frames, ..receipt });
    }
    let id = job.asked.as_ref().map_or_else(|| AnalysisId::new(now), |asked| asked.analysis_id);
    let receipt = running(id, job.event_id, job.trigger, request.mode, frames, now);
    deps.db.analysis_start(receipt.clone()).await?;
    Ok(receipt)
}

/// A receipt of which nothing is known but the question.
pub(crate) fn running(
    id: AnalysisId,
    event_id: EventId,
    trigger: AnalysisTrigger,
    analysis_mode: AnalysisMode,
    frames: Vec<AnalysisFrame>,
    now: Timestamp,
) -> Analysis {
    Analysis {
        id,
        event_id,
        created_at: now,
        finished_at: None,
        trigger,
        status: AnalysisStatus::Running,
        provider: None,
        provider_id: None,
        provider_name: None,
        model: None,
        analysis_mode,
        parameters: serde_json::Map::new(),
        prompt: String::new(),
        frames,
        description: None,
        confidence: None,
        objects_detected: Vec::new(),
        tokens_input: None,
        tokens_output: None,
        tokens_used: None,
        cost: None,
        cost_estimated: false,
        latency_ms: None,
        fallback_path: Vec::new(),
        raw_answer: None,
        error: None,
        calls: Vec::new(),
        steps: None,
    }
}
