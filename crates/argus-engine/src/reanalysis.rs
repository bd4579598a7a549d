//! A description that somebody asks for once more: whether it may be made, its place in the queue, and the waiting.

use std::time::Duration;

use argus_core::camera::AnalysisMode;
use argus_core::describe::{
    AnalysisFrame, AnalysisStatus, AnalysisTrigger, DescribeFailure, ProviderInfo, Reanalysed, Reanalysis,
};
use argus_core::ports::ControlError;
use argus_core::{AnalysisId, EventId, Invalid};
use argus_db::{DbError, ReanalysisAnswer};
use tokio::time::{Instant, sleep_until};

use crate::Deps;
use crate::ai::over_budget;
use crate::analysis::receipt::running;
use crate::analysis::way;
use crate::error::control;

/// Whoever waits looks by himself so often: another process may have done the work.
const LOOK_EVERY: Duration = Duration::from_secs(1);

fn failed(error: DbError) -> ControlError {
    control("the description cannot be asked for", error)
}

/// Queues the description, or says why not, and waits so long for it.
pub(crate) async fn ask(
    deps: &Deps,
    id: EventId,
    mut how: Reanalysis,
    wait: Duration,
) -> Result<Reanalysed, ControlError> {
    let providers = deps.describer.providers();
    let only = match how.provider.as_deref() {
        Some(wanted) => Some(find(&providers, wanted)?),
        None => None,
    };
    how.provider = only.map(|p| p.name.clone());
    let event = deps.db.event_get(id).await.map_err(failed)?;
    let event = event.ok_or_else(|| ControlError::NotFound("there is no such event".into()))?;
    if providers.is_empty() {
        return Err(ControlError::Unavailable("no provider is enabled that could describe the event".into()));
    }
    let settings = deps.settings.now();
    if !settings.ai.enabled {
        return Err(ControlError::Conflict("descriptions are switched off by the setting ai.enabled".into()));
    }
    let costs = only.map_or_else(|| providers.iter().all(|p| p.costs), |p| p.costs);
    if costs && let Some(limit) = way(deps, &settings).await.map_err(failed)?.spent {
        return Err(over_budget(limit));
    }
    let stored = deps.db.event_frames(id).await.map_err(failed)?;
    let frames: Vec<AnalysisFrame> = stored
        .into_iter()
        .filter(|f| f.stored)
        .map(|f| AnalysisFrame { index: f.index, sha256: f.sha256, width: f.width, height: f.height, bytes: f.bytes })
        .collect();
    if frames.is_empty() {
        return Err(ControlError::Conflict("no picture of the event is stored that could be described".into()));
    }
    let camera = deps.db.camera_get(event.camera_id).await.map_err(failed)?.config;
    let mode = how.analysis_mode.unwrap_or(camera.analysis_mode);
    let mode = if frames.len() > 1 { mode } else { AnalysisMode::SingleFrame };
    let now = deps.clock.now();
    let analysis_id = AnalysisId::new(now);
    let mut answered = deps.answered.subscribe();
    let receipt = running(analysis_id, id, AnalysisTrigger::Reanalyse, mode, frames, now);
    match deps.db.reanalysis_queue(receipt, how, now).await.map_err(failed)? {
        ReanalysisAnswer::Queued => deps.jobs.notify_one(),
        ReanalysisAnswer::Running => {
            return Err(ControlError::Conflict("a description of the event is being made already".into()));
        }
        ReanalysisAnswer::TooMany { next_at } => {
            return Err(ControlError::Exhausted {
                message: "the event was described again three times within an hour".into(),
                retry_after: next_at.since(now),
            });
        }
    }
    let deadline = Instant::now() + wait;
    while Instant::now() < deadline {
        if let Some(done) = outcome(deps, id, analysis_id).await? {
            return Ok(done);
        }
        tokio::select! {
            _ = answered.changed() => {}
            () = sleep_until(deadline.min(Instant::now() + LOOK_EVERY)) => {}
            () = deps.cancel.cancelled() => break,
        }
    }
    Ok(Reanalysed::Queued(analysis_id))
}

/// The provider of an id or a name.
pub(crate) fn find<'p>(providers: &'p [ProviderInfo], wanted: &str) -> Result<&'p ProviderInfo, ControlError> {
    let by_id = providers.iter().find(|p| p.id.is_some_and(|id| id.to_string() == wanted));
    let by_name = || providers.iter().find(|p| p.name.to_lowercase() == wanted.trim().to_lowercase());
    let unknown = || Invalid::new("provider", "is neither id nor name of an enabled provider");
    by_id.or_else(by_name).ok_or_else(|| ControlError::Invalid(unknown().into()))
}

/// The event once it is described, nothing while it is not, and why when it failed.
async fn outcome(deps: &Deps, id: EventId, analysis_id: AnalysisId) -> Result<Option<Reanalysed>, ControlError> {
    let gone = || ControlError::NotFound("the event was deleted meanwhile".into());
    let receipt = deps.db.analysis_get(analysis_id).await.map_err(failed)?.ok_or_else(gone)?;
    match receipt.status {
        AnalysisStatus::Running => Ok(None),
        AnalysisStatus::Succeeded => {
            let event = deps.db.event_get(id).await.map_err(failed)?.ok_or_else(gone)?;
            Ok(Some(Reanalysed::Done(Box::new(event))))
        }
        AnalysisStatus::Failed => {
            let error = receipt.error.unwrap_or_default();
            // A receipt's error begins with its kind.
            let kind = error.split_once(": ").and_then(|(kind, _)| kind.parse::<DescribeFailure>().ok());
            let message = format!("the event could not be described: {error}");
            Err(match kind {
                Some(DescribeFailure::Timeout) => ControlError::Timeout(message),
                _ => ControlError::Upstream(message),
            })
        }
    }
}
