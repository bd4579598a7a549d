//! The analysis queue's workers: lease a job, ask the describer, store receipt and event in one step.

use std::sync::Arc;
use std::time::Duration;

use argus_core::camera::AnalysisMode;
use argus_core::describe::{
    Analysis, AnalysisFrame, AnalysisStatus, DescribeFailure, DescribeFrame, DescribeOutcome, DescribeRequest,
    EventFacts,
};
use argus_core::event::{DescriptionStatus, Event, EventDescription, StatusReason};
use argus_core::media::{event_prefix, frame_key};
use argus_core::{AnalysisId, Timestamp, chain};
use argus_db::{EventChange, Job};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::Deps;
use crate::error::EngineError;

/// A job whose worker says nothing for that long is given to another: longer than any describer may take.
const LEASE: Duration = Duration::from_secs(300);
/// The whole of one description, all providers together.
const DEADLINE: Duration = Duration::from_secs(240);
/// So often a failure is tried again before the event says so.
const QUIET_ATTEMPTS: u32 = 3;
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// A description is given up for good that long after the event.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Longest sleep of an idle queue: jobs of a crashed worker come back by their lease.
const IDLE: Duration = Duration::from_secs(30);

/// Works on the queue until the server stops. What it is in the middle of then is resumed at the next start.
pub(crate) async fn run(deps: Arc<Deps>) {
    let slots = Arc::new(Semaphore::new(usize::from(deps.settings.now().ai.concurrency)));
    loop {
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot,
            () = deps.cancel.cancelled() => return,
        };
        let Ok(slot) = slot else { return };
        let now = deps.clock.now();
        let leased = deps.db.job_lease(now, LEASE, 1).await;
        match leased {
            Ok(mut jobs) => {
                if let Some(job) = jobs.pop() {
                    let worker = Arc::clone(&deps);
                    deps.tasks.spawn(async move {
                        attend(&worker, &job).await;
                        drop(slot);
                        worker.jobs.notify_one();
                    });
                    continue;
                }
            }
            Err(e) => {
                warn!("the analysis queue cannot be read: {}", chain(&e));
                // Whatever is wrong, asking twenty times a second would not mend it.
                sleep(Duration::from_secs(2)).await;
            }
        }
        drop(slot);
        let pause = match deps.db.job_next_at().await {
            Ok(Some(next)) => next.since(deps.clock.now()).clamp(Duration::from_millis(50), IDLE),
            Ok(None) => IDLE,
            Err(_) => Duration::from_secs(1),
        };
        tokio::select! {
            () = deps.jobs.notified() => {}
            () = sleep(pause) => {}
            () = deps.cancel.cancelled() => return,
        }
    }
}

/// Works on one job, until it is done or the server stops.
async fn attend(deps: &Deps, job: &Job) {
    tokio::select! {
        done = work(deps, job) => {
            if let Err(e) = done {
                error!(event.id = %job.event_id, "an analysis failed: {}", chain(&e));
                put_back(deps, job).await;
                if job.attempts >= QUIET_ATTEMPTS
                    && let Err(e) = say_failed(deps, job).await
                {
                    warn!(event.id = %job.event_id, "the failure could not be stored: {}", chain(&e));
                }
            }
        }
        () = deps.cancel.cancelled() => {}
    }
}

/// How long until a failed job is tried again: 10 s, doubled each time, at most an hour.
fn back_off(attempts: u32) -> Duration {
    Duration::from_secs(10).saturating_mul(1 << attempts.saturating_sub(1).min(9)).min(LONGEST_PAUSE)
}

/// Says of an event that still waits that it could not be described; the job goes on.
async fn say_failed(deps: &Deps, job: &Job) -> Result<(), EngineError> {
    match deps.db.event_get(job.event_id).await? {
        Some(event) if event.description_status == DescriptionStatus::Pending => {
            say_undescribed(deps, job, DescriptionStatus::Failed, StatusReason::ProvidersFailed).await
        }
        _ => Ok(()),
    }
}

/// Gives a job back after a failure of our own, such as a database that is away.
async fn put_back(deps: &Deps, job: &Job) {
    let not_before = deps.clock.now().plus(back_off(job.attempts));
    if let Err(e) = deps.db.job_retry(job.event_id, not_before).await {
        warn!(event.id = %job.event_id, "the job stays with its lease: {}", chain(&e));
    }
}

async fn work(deps: &Deps, job: &Job) -> Result<(), EngineError> {
    let Some(event) = deps.db.event_get(job.event_id).await? else {
        deps.db.job_finish(job.event_id).await?;
        return Ok(());
    };
    let settings = deps.settings.now();
    if !settings.ai.enabled {
        return undescribed(deps, job, DescriptionStatus::Skipped, StatusReason::AiDisabled).await;
    }
    let frames = frames(deps, &event).await?;
    if frames.is_empty() && deps.describer.needs_pictures() {
        return undescribed(deps, job, DescriptionStatus::Skipped, StatusReason::NoPicture).await;
    }
    let camera = deps.db.camera_get(event.camera_id).await?.config;
    let request = DescribeRequest {
        facts: facts(job.facts.clone(), &event),
        instruction: camera.prompt_override.or_else(|| settings.ai.prompt.clone()),
        language: settings.general.language.clone(),
        timezone: settings.general.timezone.clone(),
        mode: if frames.len() > 1 { AnalysisMode::MultiFrame } else { AnalysisMode::SingleFrame },
        frames,
    };
    let receipt = running(job, &request, deps.clock.now());
    deps.db.analysis_start(receipt.clone()).await?;
    let outcome = match tokio::time::timeout(DEADLINE, deps.describer.describe(&request)).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => late(),
    };
    finish(deps, job, &event, &request, receipt, outcome).await
}

/// The stored pictures of an event, in order; one that is gone is left out.
async fn frames(deps: &Deps, event: &Event) -> Result<Vec<DescribeFrame>, EngineError> {
    let prefix = event_prefix(event.camera_id, event.id, event.timestamp);
    let mut frames = Vec::new();
    for row in deps.db.event_frames(event.id).await?.into_iter().filter(|f| f.stored) {
        // A picture that cannot be read is one that is not there: the others still tell what happened.
        let found = deps.media.get(&frame_key(&prefix, row.index)).await;
        let found = found.inspect_err(|e| warn!(event.id = %event.id, "a picture cannot be read: {}", chain(e)));
        if let Some(jpeg) = found.unwrap_or_default() {
            frames.push(DescribeFrame {
                index: row.index,
                offset_ms: row.offset_ms,
                jpeg,
                sha256: row.sha256,
                width: row.width,
                height: row.height,
            });
        }
    }
    Ok(frames)
}

/// What was measured; after a crash only what the event itself says.
fn facts(measured: Option<EventFacts>, event: &Event) -> EventFacts {
    let measured = measured.unwrap_or_else(|| EventFacts {
        camera_name: event.camera_name.clone(),
        started_at: event.timestamp,
        duration_ms: None,
        detection_type: event.detection_type,
        zones: event.zones.iter().map(|z| z.name.clone()).collect(),
        area: event.motion.and_then(|m| m.r#box),
        largest_ratio: None,
        first_center: None,
        last_center: None,
        confidence: event.confidence,
    });
    EventFacts { duration_ms: event.duration_ms.or(measured.duration_ms), ..measured }
}

fn running(job: &Job, request: &DescribeRequest, now: Timestamp) -> Analysis {
    Analysis {
        id: AnalysisId::new(now),
        event_id: job.event_id,
        created_at: now,
        finished_at: None,
        trigger: job.trigger,
        status: AnalysisStatus::Running,
        provider: None,
        provider_id: None,
        provider_name: None,
        model: None,
        analysis_mode: request.mode,
        parameters: serde_json::Map::new(),
        prompt: String::new(),
        frames: request
            .frames
            .iter()
            .map(|f| AnalysisFrame {
                index: f.index,
                sha256: f.sha256.clone(),
                width: f.width,
                height: f.height,
                bytes: u64::try_from(f.jpeg.len()).unwrap_or(u64::MAX),
            })
            .collect(),
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
    }
}

fn late() -> DescribeOutcome {
    DescribeOutcome {
        record: argus_core::describe::CallRecord::default(),
        result: Err(argus_core::describe::DescribeError {
            kind: DescribeFailure::Timeout,
            message: format!("no answer within {} s", DEADLINE.as_secs()),
            retry_after: None,
        }),
    }
}

async fn finish(
    deps: &Deps,
    job: &Job,
    event: &Event,
    request: &DescribeRequest,
    receipt: Analysis,
    outcome: DescribeOutcome,
) -> Result<(), EngineError> {
    let now = deps.clock.now();
    let record = outcome.record;
    let mut receipt = Analysis {
        finished_at: Some(now),
        provider: record.provider.clone(),
        provider_id: record.provider_id,
        provider_name: record.provider_name,
        model: record.model.clone(),
        parameters: record.parameters,
        prompt: record.prompt,
        tokens_input: record.tokens_input,
        tokens_output: record.tokens_output,
        tokens_used: total(record.tokens_input, record.tokens_output),
        cost: record.cost,
        cost_estimated: record.cost_estimated,
        latency_ms: record.latency_ms,
        fallback_path: record.fallback_path,
        raw_answer: record.raw_answer,
        ..receipt
    };
    match outcome.result {
        Ok(words) => {
            receipt.status = AnalysisStatus::Succeeded;
            receipt.description = Some(words.text.clone());
            receipt.confidence = words.confidence;
            receipt.objects_detected.clone_from(&words.objects);
            let low = words.confidence.is_some_and(|c| c < deps.settings.now().ai.low_confidence_below);
            let described = EventDescription {
                description: words.text,
                objects: words.objects,
                ai_confidence: words.confidence,
                low_confidence: low,
                provider_used: record.provider.unwrap_or_default(),
                model: record.model.unwrap_or_default(),
                analysis_mode: request.mode,
                frame_count_used: u32::try_from(request.frames.len()).unwrap_or(u32::MAX),
                fallback_reason: fallback_reason(&receipt),
                cost: receipt.cost,
                tokens_used: receipt.tokens_used,
                latency_ms: receipt.latency_ms.unwrap_or(0),
            };
            deps.counters.analysis(&receipt);
            deps.db.analysis_finish_and_describe(receipt, vec![EventChange::Described(described)], now).await?;
            deps.counters.described(now.millis_since(event.timestamp));
            info!(event.id = %event.id, "event described");
        }
        Err(failure) => {
            receipt.status = AnalysisStatus::Failed;
            receipt.error = Some(failure.to_string());
            deps.counters.analysis(&receipt);
            deps.db.analysis_finish(receipt).await?;
            warn!(event.id = %event.id, attempts = job.attempts, "event not described: {failure}");
            let reason = match failure.kind {
                DescribeFailure::Timeout => StatusReason::Timeout,
                DescribeFailure::InvalidAnswer => StatusReason::InvalidAnswer,
                _ => StatusReason::ProvidersFailed,
            };
            let over = now.since(event.timestamp) >= GIVE_UP_AFTER;
            if over {
                return undescribed(deps, job, DescriptionStatus::Failed, reason).await;
            }
            if job.attempts >= QUIET_ATTEMPTS && event.description_status == DescriptionStatus::Pending {
                say_undescribed(deps, job, DescriptionStatus::Failed, reason).await?;
            }
            let pause = failure.retry_after.unwrap_or_default().max(back_off(job.attempts)).min(LONGEST_PAUSE);
            deps.db.job_retry(job.event_id, now.plus(pause)).await?;
        }
    }
    Ok(())
}

fn total(input: Option<u32>, output: Option<u32>) -> Option<u32> {
    match (input, output) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
    }
}

/// Why not the first provider, in at most 300 characters.
fn fallback_reason(receipt: &Analysis) -> Option<String> {
    let first = receipt.fallback_path.first()?;
    Some(format!("{}: {}", first.provider_name, first.message).chars().take(300).collect())
}

async fn say_undescribed(
    deps: &Deps,
    job: &Job,
    status: DescriptionStatus,
    reason: StatusReason,
) -> Result<(), EngineError> {
    let change = EventChange::Undescribed { status, reason };
    deps.db.event_change(job.event_id, vec![change], deps.clock.now()).await?;
    Ok(())
}

async fn undescribed(
    deps: &Deps,
    job: &Job,
    status: DescriptionStatus,
    reason: StatusReason,
) -> Result<(), EngineError> {
    say_undescribed(deps, job, status, reason).await?;
    deps.db.job_finish(job.event_id).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour() {
        let seconds: Vec<_> = [0, 1, 2, 3, 10, 40, u32::MAX].into_iter().map(|n| back_off(n).as_secs()).collect();
        assert_eq!(seconds, [10, 10, 20, 40, 3600, 3600, 3600]);
    }
}
