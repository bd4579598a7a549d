//! The analysis queue's workers: lease a job, ask the describer, store receipt and event in one step.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use argus_core::budget::{Period, spent};
use argus_core::camera::AnalysisMode;
use argus_core::describe::{
    Analysis, AnalysisFrame, AnalysisStatus, AnalysisTrigger, CallRecord, DescribeError, DescribeFailure,
    DescribeFrame, DescribeOutcome, DescribeRequest, EventFacts, ProviderChoice,
};
use argus_core::event::{DescriptionStatus, Event, EventDescription, StatusReason};
use argus_core::media::{event_prefix, frame_key};
use argus_core::settings::Settings;
use argus_core::{AnalysisId, Classify, ErrorClass, EventId, Timestamp, chain};
use argus_db::{DbError, EventChange, Job};
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::Deps;
use crate::error::EngineError;

/// A job whose worker says nothing for that long is given to another: longer than any describer may take.
const LEASE: Duration = Duration::from_secs(300);
/// The whole of one description, all providers together.
const DEADLINE: Duration = Duration::from_secs(240);
/// Between tries of storing an answer, seconds; with the waits of the database within what is left of the lease.
const STORE_PAUSES_S: [u64; 3] = [1, 2, 4];
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
    let working = Arc::new(AtomicUsize::new(0));
    let mut settings = deps.settings.watch();
    let mut budgets = deps.settings.now().ai.budgets.clone();
    loop {
        let free = working.load(Ordering::Acquire) < usize::from(deps.settings.now().ai.concurrency);
        let leased = if free { deps.db.job_lease(deps.clock.now(), LEASE, 1).await } else { Ok(Vec::new()) };
        match leased {
            Ok(mut jobs) => {
                if let Some(job) = jobs.pop() {
                    let place = Place::take(&deps, &working);
                    deps.tasks.spawn(async move {
                        attend(&place.deps, &job).await;
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
        let next = if free { deps.db.job_next_at().await } else { Ok(None) };
        let pause = match next {
            Ok(Some(next)) => next.since(deps.clock.now()).clamp(Duration::from_millis(50), IDLE),
            Ok(None) => IDLE,
            Err(_) => Duration::from_secs(1),
        };
        tokio::select! {
            () = deps.jobs.notified() => {}
            () = sleep(pause) => {}
            changed = settings.changed() => {
                if budgets != changed.ai.budgets {
                    budgets = changed.ai.budgets.clone();
                    wake_unpaid(&deps).await;
                }
            }
            () = deps.cancel.cancelled() => return,
        }
    }
}

/// A place among the analyses that run at the same time.
struct Place {
    deps: Arc<Deps>,
    working: Arc<AtomicUsize>,
}

impl Place {
    fn take(deps: &Arc<Deps>, working: &Arc<AtomicUsize>) -> Self {
        working.fetch_add(1, Ordering::AcqRel);
        Self { deps: Arc::clone(deps), working: Arc::clone(working) }
    }
}

impl Drop for Place {
    /// However the analysis ended: the next one may begin, and whoever waits for this one looks again.
    fn drop(&mut self) {
        self.working.fetch_sub(1, Ordering::AcqRel);
        self.deps.answered.send_modify(|n| *n = n.wrapping_add(1));
        self.deps.jobs.notify_one();
    }
}

/// Lets what was skipped for a budget be tried by the new one.
async fn wake_unpaid(deps: &Deps) {
    match deps.db.jobs_wake_unpaid(deps.clock.now()).await {
        Ok(0) => {}
        Ok(n) => info!(jobs = n, "budgets changed: trying again what was skipped"),
        Err(e) => warn!("what was skipped for a budget waits for its time: {}", chain(&e)),
    }
}

/// Works on one job, until it is done or the server stops.
async fn attend(deps: &Deps, job: &Job) {
    tokio::select! {
        done = work(deps, job) => {
            if let Err(e) = done {
                error!(event.id = %job.event_id, "an analysis failed: {}", chain(&e));
                let told = match &job.asked {
                    // Nobody waits for ever for what was asked.
                    Some(asked) if job.attempts >= QUIET_ATTEMPTS => give_up(deps, asked.analysis_id).await,
                    // A failure that stays for so long stays for good.
                    None if deps.clock.now().since(job.created_at) >= GIVE_UP_AFTER => {
                        match say_failed(deps, job).await {
                            Ok(()) => deps.db.job_finish(job.event_id).await.map(drop).map_err(Into::into),
                            failed => failed,
                        }
                    }
                    _ => {
                        put_back(deps, job).await;
                        if job.attempts >= QUIET_ATTEMPTS { say_failed(deps, job).await } else { Ok(()) }
                    }
                };
                if let Err(e) = told {
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

/// Ends what somebody asked for after failures of our own.
async fn give_up(deps: &Deps, id: AnalysisId) -> Result<(), EngineError> {
    if let Some(receipt) = deps.db.analysis_get(id).await? {
        let receipt = Analysis {
            finished_at: Some(deps.clock.now()),
            status: AnalysisStatus::Failed,
            error: Some("the server could not do the work; its log says why".into()),
            ..receipt
        };
        deps.db.reanalysis_failed(receipt, None).await?;
    }
    Ok(())
}

/// Gives a job back after a failure of our own, such as a database that is away.
async fn put_back(deps: &Deps, job: &Job) {
    let not_before = deps.clock.now().plus(back_off(job.attempts));
    let given = match &job.asked {
        // It stays what somebody asked for.
        Some(_) => deps.db.job_put_back(job.event_id, not_before).await,
        None => deps.db.job_retry(job.event_id, not_before).await,
    };
    if let Err(e) = given {
        warn!(event.id = %job.event_id, "the job stays with its lease: {}", chain(&e));
    }
}

async fn work(deps: &Deps, job: &Job) -> Result<(), EngineError> {
    let Some(event) = deps.db.event_get(job.event_id).await? else {
        deps.db.job_finish(job.event_id).await?;
        return Ok(());
    };
    let settings = deps.settings.now();
    let spent = budget(deps, &settings).await?;
    if job.asked.is_none() {
        let providers = deps.describer.providers();
        if !settings.ai.enabled {
            return undescribed(deps, job, &event, DescriptionStatus::Skipped, StatusReason::AiDisabled).await;
        }
        if providers.is_empty() {
            return undescribed(deps, job, &event, DescriptionStatus::Skipped, StatusReason::NoProvider).await;
        }
        if let Some(limit) = spent
            && providers.iter().all(|p| p.costs)
        {
            return unpaid(deps, job, &event, limit, &settings).await;
        }
    }
    let camera = deps.db.camera_get(event.camera_id).await?.config;
    let how = job.asked.as_ref().map(|asked| asked.how.clone()).unwrap_or_default();
    let mut frames = frames(deps, &event).await?;
    if how.analysis_mode.unwrap_or(camera.analysis_mode) == AnalysisMode::SingleFrame {
        one_of(&mut frames);
    }
    let no_picture = frames.is_empty() && deps.describer.needs_pictures();
    if no_picture && job.asked.is_none() {
        return undescribed(deps, job, &event, DescriptionStatus::Skipped, StatusReason::NoPicture).await;
    }
    let request = DescribeRequest {
        facts: facts(job.facts.clone(), &event),
        instruction: how.prompt.or(camera.prompt_override).or_else(|| settings.ai.prompt.clone()),
        usual: None,
        language: settings.general.language.clone(),
        timezone: settings.general.timezone.clone(),
        mode: if frames.len() > 1 { AnalysisMode::MultiFrame } else { AnalysisMode::SingleFrame },
        frames,
        choice: ProviderChoice { only: how.provider, spent, ..ProviderChoice::default() },
        within: DEADLINE,
    };
    let receipt = begun(deps, job, &request).await?;
    let outcome = if no_picture {
        failed(DescribeFailure::InvalidAnswer, "no stored picture could be read".into())
    } else {
        match tokio::time::timeout(DEADLINE, deps.describer.describe(&request, &argus_core::call::Unbooked)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => failed(DescribeFailure::Timeout, format!("no answer within {} s", DEADLINE.as_secs())),
        }
    };
    finish(deps, job, &event, &request, receipt, outcome).await
}

/// Which budget is spent at this moment.
pub(crate) async fn budget(deps: &Deps, settings: &Settings) -> Result<Option<StatusReason>, DbError> {
    let limits = &settings.ai.budgets;
    if limits.daily_usd.is_none() && limits.monthly_usd.is_none() {
        return Ok(None);
    }
    let (now, zone) = (deps.clock.now(), settings.general.timezone.as_str());
    let (day, month) = (Period::day(now, zone), Period::month(now, zone));
    let day_usd = deps.db.ai_spent(day.start, day.end).await?;
    let month_usd = deps.db.ai_spent(month.start, month.end).await?;
    Ok(spent(limits, day_usd, month_usd))
}

/// A budget is spent and nobody is free of charge: the event says so, and is tried again until a day has passed.
async fn unpaid(
    deps: &Deps,
    job: &Job,
    event: &Event,
    limit: StatusReason,
    settings: &Settings,
) -> Result<(), EngineError> {
    let now = deps.clock.now();
    if event.status_reason != Some(limit) {
        say_undescribed(deps, job, DescriptionStatus::Skipped, limit).await?;
    }
    if now.since(event.timestamp) >= GIVE_UP_AFTER {
        return end(deps, event).await;
    }
    let zone = settings.general.timezone.as_str();
    let period = if limit == StatusReason::BudgetDaily { Period::day(now, zone) } else { Period::month(now, zone) };
    deps.db.job_retry(job.event_id, now.plus(period.end.since(now).min(LONGEST_PAUSE))).await?;
    if deps.settings.now().ai.budgets != settings.ai.budgets {
        // Changed while this was found out: whoever woke what is skipped did not see this one yet.
        deps.db.job_retry(job.event_id, now).await?;
    }
    Ok(())
}

/// Leaves the picture from the middle of the event: which one moved most was not kept.
fn one_of(frames: &mut Vec<DescribeFrame>) {
    let middle = frames.len() / 2;
    if middle < frames.len() {
        *frames = vec![frames.swap_remove(middle)];
    }
}

/// The pictures of an event, in order; one that is gone is left out. Those that are not to be kept are there until the
/// event's own description is made.
async fn frames(deps: &Deps, event: &Event) -> Result<Vec<DescribeFrame>, EngineError> {
    let prefix = event_prefix(event.camera_id, event.id, event.timestamp);
    let mut frames = Vec::new();
    for row in deps.db.event_frames(event.id).await? {
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

/// The receipt of a call that goes out now. One that somebody asked for is there already.
async fn begun(deps: &Deps, job: &Job, request: &DescribeRequest) -> Result<Analysis, EngineError> {
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
    }
}

/// A call that never went out, or never came back.
fn failed(kind: DescribeFailure, message: String) -> DescribeOutcome {
    DescribeOutcome { record: CallRecord::default(), result: Err(DescribeError { kind, message, retry_after: None }) }
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
            let change = match job.asked {
                Some(_) => EventChange::Reanalysed(described),
                None => EventChange::Described(described),
            };
            let store = || deps.db.analysis_finish_and_describe(receipt.clone(), vec![change.clone()], now);
            if kept(deps, &receipt, store).await?.is_none() {
                return Ok(());
            }
            if job.asked.is_none() {
                deps.counters.described(now.millis_since(event.timestamp));
            }
            drop_unkept(deps, event).await;
            info!(event.id = %event.id, "event described");
        }
        Err(failure) => {
            receipt.status = AnalysisStatus::Failed;
            receipt.error = Some(failure.to_string());
            deps.counters.analysis(&receipt);
            let over = now.since(event.timestamp) >= GIVE_UP_AFTER;
            if job.asked.is_some() {
                warn!(event.id = %event.id, "event not described again: {failure}");
                // What it could not be described by itself before is still to be tried.
                let retry_at = (!over && is_owed(event)).then(|| now.plus(back_off(1)));
                kept(deps, &receipt, || deps.db.reanalysis_failed(receipt.clone(), retry_at)).await?;
                return Ok(());
            }
            if kept(deps, &receipt, || deps.db.analysis_finish(receipt.clone())).await?.is_none() {
                return Ok(());
            }
            warn!(event.id = %event.id, attempts = job.attempts, "event not described: {failure}");
            let reason = match failure.kind {
                DescribeFailure::Timeout => StatusReason::Timeout,
                DescribeFailure::InvalidAnswer => StatusReason::InvalidAnswer,
                _ => StatusReason::ProvidersFailed,
            };
            if over {
                return undescribed(deps, job, event, DescriptionStatus::Failed, reason).await;
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

/// Stores what came of a call. It may have been paid for: a database that is away for a moment must not make it be asked
/// again, and when the event is gone, with its receipts, the cost counts all the same; `None` then.
async fn kept<T, F: Future<Output = Result<T, DbError>>>(
    deps: &Deps,
    receipt: &Analysis,
    store: impl Fn() -> F,
) -> Result<Option<T>, EngineError> {
    let mut pauses = STORE_PAUSES_S.into_iter();
    loop {
        match store().await {
            Ok(done) => return Ok(Some(done)),
            Err(DbError::NotFound { .. }) => {
                if let Some(usd) = receipt.cost.filter(|usd| *usd > 0.0) {
                    deps.db.ai_spent_add(receipt.finished_at.unwrap_or(receipt.created_at), usd).await?;
                }
                return Ok(None);
            }
            Err(e) => match pauses.next() {
                Some(seconds) if e.class() == ErrorClass::Unavailable => {
                    warn!(event.id = %receipt.event_id, "an answer could not be stored yet: {}", chain(&e));
                    sleep(Duration::from_secs(seconds)).await;
                }
                _ => return Err(e.into()),
            },
        }
    }
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
    event: &Event,
    status: DescriptionStatus,
    reason: StatusReason,
) -> Result<(), EngineError> {
    say_undescribed(deps, job, status, reason).await?;
    end(deps, event).await
}

/// The event's own description will not be tried any more.
async fn end(deps: &Deps, event: &Event) -> Result<(), EngineError> {
    deps.db.job_finish(event.id).await?;
    drop_unkept(deps, event).await;
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
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour() {
        let seconds: Vec<_> = [0, 1, 2, 3, 10, 40, u32::MAX].into_iter().map(|n| back_off(n).as_secs()).collect();
        assert_eq!(seconds, [10, 10, 20, 40, 3600, 3600, 3600]);
    }
}
