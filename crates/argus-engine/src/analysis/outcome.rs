//! What becomes of an answer, and of none.

use std::collections::BTreeSet;

use argus_core::call::StoredCall;
use argus_core::camera::AnalysisMode;
use argus_core::describe::{
    Analysis, AnalysisStatus, AnalysisSteps, CallRecord, DescribeError, DescribeFailure, DescribeOutcome, Description,
    FallbackStep,
};
use argus_core::event::{DescriptionStatus, Event, EventDescription, StatusReason};
use argus_core::media::{event_prefix, frame_key};
use argus_core::{Timestamp, chain};
use argus_db::{DbError, EventChange, Job, KeptAnswer};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{LONGEST_PAUSE, QUIET_ATTEMPTS, back_off, is_over};
use crate::Deps;
use crate::account::with_patience;
use crate::error::EngineError;

/// One try of a description.
pub(crate) struct Attempt<'a> {
    pub(crate) job: &'a Job,
    pub(crate) event: &'a Event,
    pub(crate) receipt: Analysis,
    pub(crate) steps: AnalysisSteps,
    /// Nobody who may be asked describes these pictures, and that will not change by itself.
    pub(crate) is_refused: bool,
    /// The mode that was asked for.
    pub(crate) wanted: AnalysisMode,
}

impl<'a> Attempt<'a> {
    /// A try that was begun at a moment.
    pub(crate) fn new(job: &'a Job, event: &'a Event, begun: Timestamp, receipt: Analysis) -> Self {
        let queued_ms = u32::try_from(begun.since(job.due_at).as_millis()).unwrap_or(u32::MAX);
        let (steps, wanted) = (AnalysisSteps { queued_ms, ..AnalysisSteps::default() }, receipt.analysis_mode);
        Self { job, event, receipt, steps, is_refused: false, wanted }
    }

    /// The receipt of a try that ended without anybody being asked.
    pub(crate) fn closed(self, now: Timestamp) -> Analysis {
        Analysis { finished_at: Some(now), steps: Some(self.steps), ..self.receipt }
    }
}

/// Milliseconds since a moment.
pub(crate) fn ms(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_millis()).unwrap_or(u32::MAX)
}

/// A call that never went out, or never came back.
pub(crate) fn failed(kind: DescribeFailure, message: String) -> DescribeOutcome {
    DescribeOutcome { record: CallRecord::default(), result: Err(DescribeError { kind, message, retry_after: None }) }
}

/// Uses an answer that was stored before a crash, or before the database was away.
pub(crate) async fn resume(deps: &Deps, job: &Job, event: &Event, kept: KeptAnswer) -> Result<(), EngineError> {
    let calls = deps.db.ai_calls_of_analysis(kept.receipt.id).await?;
    let fallback_path = calls.iter().filter(|call| call.id != kept.call.id).filter_map(fallback).collect();
    let (call, frames) = (kept.call, kept.receipt.frames.len());
    let record = CallRecord {
        provider: Some(call.provider.to_string()),
        provider_id: call.provider_id,
        provider_name: Some(call.provider_name),
        model: Some(call.model),
        parameters: call.parameters,
        prompt: call.prompt.unwrap_or_default(),
        tokens_input: call.tokens_input,
        tokens_output: call.tokens_output,
        cost: call.cost,
        cost_estimated: call.cost_estimated,
        latency_ms: call.times.map(|times| times.total_ms),
        fallback_path,
        raw_answer: call.raw_answer,
        unpaid: None,
        refused: false,
    };
    let mode = kept.receipt.analysis_mode;
    let asked = job.asked.as_ref().and_then(|asked| asked.how.analysis_mode);
    let wanted = match asked {
        Some(wanted) => wanted,
        None => deps.db.camera_get(event.camera_id).await?.config.analysis_mode,
    };
    let mut attempt = Attempt { wanted, ..Attempt::new(job, event, deps.clock.now(), kept.receipt) };
    attempt.steps.providers_ms = record.latency_ms.unwrap_or(0);
    finish(deps, attempt, mode, frames, DescribeOutcome { record, result: Ok(kept.description) }).await
}

/// A call that failed before another answered.
fn fallback(call: &StoredCall) -> Option<FallbackStep> {
    Some(FallbackStep {
        provider_name: call.provider_name.clone(),
        model: call.model.clone(),
        error_kind: call.error_kind?,
        message: call.error.clone().unwrap_or_default(),
        latency_ms: call.times.map_or(0, |times| times.total_ms),
    })
}

/// Stores what came of a try: receipt, event and job.
pub(crate) async fn finish(
    deps: &Deps,
    attempt: Attempt<'_>,
    mode: AnalysisMode,
    frames: usize,
    outcome: DescribeOutcome,
) -> Result<(), EngineError> {
    let now = deps.clock.now();
    let record = outcome.record;
    let calls = with_patience(|| deps.db.ai_calls_of_analysis(attempt.receipt.id)).await?;
    let mut receipt = Analysis {
        finished_at: Some(now),
        provider: record.provider,
        provider_id: record.provider_id,
        provider_name: record.provider_name,
        model: record.model,
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
        steps: Some(attempt.steps),
        ..attempt.receipt
    };
    let Attempt { job, event, is_refused, wanted, .. } = attempt;
    match outcome.result {
        Ok(words) => {
            let seen = looked_at(&calls).unwrap_or(frames);
            let mode = match seen {
                0 => mode,
                1 => AnalysisMode::SingleFrame,
                _ => AnalysisMode::MultiFrame,
            };
            receipt.analysis_mode = mode;
            let reason = fallback_reason(&receipt, wanted, frames, seen);
            described(deps, job, event, Answered { receipt, words, mode, frames: seen, reason }).await
        }
        Err(failure) => {
            if calls.is_empty() {
                // What was chosen was sent to nobody.
                receipt.frames.clear();
            }
            not_described(deps, job, event, receipt, (failure, is_refused)).await
        }
    }
}

/// Words for an event, with their receipt.
pub(crate) struct Answered {
    pub(crate) receipt: Analysis,
    pub(crate) words: Description,
    pub(crate) mode: AnalysisMode,
    /// How many stored pictures were looked at for it.
    pub(crate) frames: usize,
    /// Why not the first provider or the wanted mode, or no provider at all.
    pub(crate) reason: Option<String>,
}

/// The event gets its words.
pub(crate) async fn described(deps: &Deps, job: &Job, event: &Event, answered: Answered) -> Result<(), EngineError> {
    let now = deps.clock.now();
    let Answered { receipt, words, mode, frames, reason } = answered;
    let receipt = Analysis {
        status: AnalysisStatus::Succeeded,
        description: Some(words.text.clone()),
        confidence: words.confidence,
        objects_detected: words.objects.clone(),
        ..receipt
    };
    let unsure = words.confidence.is_some_and(|c| c < deps.settings.now().ai.low_confidence_below);
    let described = EventDescription {
        description: words.text,
        objects: words.objects,
        ai_confidence: words.confidence,
        low_confidence: unsure || words.low_confidence,
        provider_used: receipt.provider.clone().unwrap_or_default(),
        model: receipt.model.clone().unwrap_or_default(),
        analysis_mode: mode,
        frame_count_used: u32::try_from(frames).unwrap_or(u32::MAX),
        fallback_reason: reason,
        cost: receipt.cost,
        tokens_used: receipt.tokens_used,
        latency_ms: receipt.latency_ms.unwrap_or(0),
    };
    let change = match job.asked {
        Some(_) => EventChange::Reanalysed(described),
        None => EventChange::Described(described),
    };
    let store = || deps.db.analysis_finish_and_describe(receipt.clone(), vec![change.clone()], job.lease(), now);
    match unless_gone(with_patience(store).await)?.flatten() {
        Some(_) if job.asked.is_none() => deps.counters.described(now.millis_since(event.timestamp)),
        Some(_) => {}
        None => {
            info!(event.id = %event.id, "an answer came for an event that is gone, or that another worker has");
            return Ok(());
        }
    }
    drop_unkept(deps, event).await;
    info!(event.id = %event.id, camera.id = %event.camera_id, camera.name = %event.camera_name, "event described");
    Ok(())
}

/// The event stays without words, for now or for good.
async fn not_described(
    deps: &Deps,
    job: &Job,
    event: &Event,
    receipt: Analysis,
    (failure, is_refused): (DescribeError, bool),
) -> Result<(), EngineError> {
    let now = deps.clock.now();
    let receipt = Analysis { status: AnalysisStatus::Failed, error: Some(failure.to_string()), ..receipt };
    let over = is_over(event, now);
    if job.asked.is_some() {
        warn!(event.id = %event.id, camera.name = %event.camera_name, "event not described again: {failure}");
        // What it could not be described by itself before is still to be tried.
        let retry_at = own_retry(event, now);
        let store = || deps.db.reanalysis_failed(receipt.clone(), retry_at, job.lease());
        unless_gone(with_patience(store).await)?;
        return Ok(());
    }
    if unless_gone(with_patience(|| deps.db.analysis_finish(receipt.clone())).await)?.is_none() {
        return Ok(());
    }
    warn!(
        event.id = %event.id,
        camera.name = %event.camera_name,
        attempts = job.attempts,
        "event not described: {failure}"
    );
    let reason = match failure.kind {
        DescribeFailure::Timeout => StatusReason::Timeout,
        DescribeFailure::InvalidAnswer => StatusReason::InvalidAnswer,
        _ => StatusReason::ProvidersFailed,
    };
    if over || is_refused {
        return undescribed(deps, job, event, DescriptionStatus::Failed, reason).await;
    }
    let say = job.attempts >= QUIET_ATTEMPTS && event.description_status == DescriptionStatus::Pending;
    let why = say.then_some((DescriptionStatus::Failed, reason));
    let pause = failure.retry_after.unwrap_or_default().max(back_off(job.attempts)).min(LONGEST_PAUSE);
    deps.db.job_undescribed(job.lease(), why, Some(now.plus(pause)), now).await?;
    Ok(())
}

/// Nothing when the event is gone, with its receipts; what its calls cost was counted when they were settled.
fn unless_gone<T>(stored: Result<T, DbError>) -> Result<Option<T>, EngineError> {
    match stored {
        Ok(done) => Ok(Some(done)),
        Err(DbError::NotFound { .. }) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// When the event's own description is to be tried, after one that was asked for failed; `None` when it is not.
pub(crate) fn own_retry(event: &Event, now: Timestamp) -> Option<Timestamp> {
    (!is_over(event, now) && is_owed(event)).then(|| now.plus(back_off(1)))
}

/// Whether the event's own description is still to be tried.
fn is_owed(event: &Event) -> bool {
    let unpaid = matches!(event.status_reason, Some(StatusReason::BudgetDaily | StatusReason::BudgetMonthly));
    matches!(event.description_status, DescriptionStatus::Pending | DescriptionStatus::Failed) || unpaid
}

fn total(input: Option<u32>, output: Option<u32>) -> Option<u32> {
    match (input, output) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
    }
}

/// How many stored pictures the call that was answered had something of; `None` when no call is on record.
fn looked_at(calls: &[StoredCall]) -> Option<usize> {
    let answered = calls.iter().rfind(|call| call.finished_at.is_some() && call.error_kind.is_none())?;
    let indices: BTreeSet<u32> = answered.frames.iter().filter_map(|frame| frame.index).collect();
    Some(indices.len())
}

/// Why not the first provider, or else why not the wanted mode, in at most 300 characters. Of the pictures so many were
/// chosen, and so many looked at. Whoever was asked a second time is no other provider.
fn fallback_reason(receipt: &Analysis, wanted: AnalysisMode, chosen: usize, seen: usize) -> Option<String> {
    let name = receipt.provider_name.as_deref();
    let other = receipt.fallback_path.iter().find(|step| Some(step.provider_name.as_str()) != name);
    let why = match other {
        Some(first) => format!("{}: {}", first.provider_name, first.message),
        None if wanted != AnalysisMode::MultiFrame || seen != 1 => return None,
        None if chosen > 1 => format!("{}: no more than one picture fits into a request", name.unwrap_or_default()),
        None => "there is only one picture of the event".to_owned(),
    };
    Some(why.chars().take(300).collect())
}

/// The event will not be described, for this reason.
pub(crate) async fn undescribed(
    deps: &Deps,
    job: &Job,
    event: &Event,
    status: DescriptionStatus,
    reason: StatusReason,
) -> Result<(), EngineError> {
    end(deps, job, event, Some((status, reason))).await
}

/// The event's own description will not be tried any more.
pub(crate) async fn end(
    deps: &Deps,
    job: &Job,
    event: &Event,
    why: Option<(DescriptionStatus, StatusReason)>,
) -> Result<(), EngineError> {
    if deps.db.job_undescribed(job.lease(), why, None, deps.clock.now()).await? {
        drop_unkept(deps, event).await;
    }
    Ok(())
}

/// Removes the pictures that lay in the store for the describer alone.
async fn drop_unkept(deps: &Deps, event: &Event) {
    let prefix = event_prefix(event.camera_id, event.id, event.timestamp);
    for frame in event.frames.iter().filter(|f| f.url.is_none()) {
        if let Err(e) = deps.media.delete(&frame_key(&prefix, frame.index)).await {
            warn!(event.id = %event.id, "a picture that is not to be kept stays: {}", chain(&e));
        }
    }
}

#[cfg(test)]
mod tests {
    use argus_core::describe::AnalysisTrigger;
    use argus_core::{AnalysisId, EventId};

    use super::*;
    use crate::analysis::receipt::running;

    #[test]
    fn a_second_question_to_the_same_provider_is_no_fall_back() {
        let now = Timestamp::from_millis(0);
        let check = |path: &[(&str, &str)], wanted, (chosen, seen), expected: Option<&str>| {
            let step = |(name, message): &(&str, &str)| FallbackStep {
                provider_name: (*name).to_owned(),
                model: "m".into(),
                error_kind: DescribeFailure::InvalidAnswer,
                message: (*message).to_owned(),
                latency_ms: 1,
            };
            let blank = running(AnalysisId::new(now), EventId::new(now), AnalysisTrigger::Initial, wanted, vec![], now);
            let receipt = Analysis {
                provider_name: Some("Fake".into()),
                fallback_path: path.iter().map(step).collect(),
                ..blank
            };
            assert_eq!(fallback_reason(&receipt, wanted, chosen, seen).as_deref(), expected, "{path:?}");
        };
        use AnalysisMode::{MultiFrame, SingleFrame};
        check(&[], MultiFrame, (6, 6), None);
        check(&[("Fake", "asked once more: vague")], MultiFrame, (6, 6), None);
        check(&[("First", "no money"), ("Fake", "asked once more")], MultiFrame, (6, 6), Some("First: no money"));
        check(&[("Fake", "asked once more"), ("First", "no money")], MultiFrame, (1, 1), Some("First: no money"));
        check(&[], SingleFrame, (1, 1), None);
        check(&[], MultiFrame, (1, 1), Some("there is only one picture of the event"));
        check(&[], MultiFrame, (6, 1), Some("Fake: no more than one picture fits into a request"));
        // Whoever looks at none does not look at too few.
        check(&[], MultiFrame, (6, 0), None);
        let long = "é".repeat(400);
        check(&[("A", &long)], MultiFrame, (6, 6), Some(&format!("A: {}", "é".repeat(297))));
    }
}
