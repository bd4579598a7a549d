//! The analysis queue's workers: lease a job, ask the describer, store receipt and event in one step.

pub(crate) mod outcome;
pub(crate) mod question;
pub(crate) mod receipt;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use argus_core::budget::Period;
use argus_core::call::CallPurpose;
use argus_core::camera::AnalysisMode;
use argus_core::describe::{Analysis, AnalysisStatus, DescribeFailure, DescribeRequest, ProviderChoice};
use argus_core::event::{DescriptionStatus, Event, StatusReason};
use argus_core::provider::ProviderKind;
use argus_core::route::{Route, route};
use argus_core::settings::Settings;
use argus_core::{AnalysisId, ProviderId, Timestamp, chain};
use argus_db::{DbError, Job, JobOrder};
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use crate::Deps;
use crate::account::{Account, Cause};
use crate::error::EngineError;
use crate::reuse;
use outcome::{Answered, Attempt, undescribed};
use question::{facts, frames, one_of};

/// A job whose worker says nothing for that long is given to another: longer than any describer may take.
const LEASE: Duration = Duration::from_secs(300);
/// The whole of one description, all providers together.
pub(crate) const DEADLINE: Duration = Duration::from_secs(240);
/// A describer that keeps to no deadline is given up. One that does has this long to note what came of its last call.
pub(crate) const PATIENCE: Duration = Duration::from_secs(260);
/// What is kept of a lease after all that, to store what came of it.
const RESERVE: Duration = Duration::from_secs(40);
/// For an answer that comes while the server stops; shorter than what the last tasks get to end.
const LAST_WORDS: Duration = Duration::from_millis(1500);
/// So often a failure is tried again before the event says so.
const QUIET_ATTEMPTS: u32 = 3;
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// A description is given up for good that long after the event was stored.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Longest sleep of an idle queue: jobs of a crashed worker come back by their lease.
const IDLE: Duration = Duration::from_secs(30);

/// So often it is looked whether another process has changed the providers.
const FOLLOW: Duration = Duration::from_secs(3);

/// Works on the queue until the server stops. What it is in the middle of then is resumed at the next start.
pub(crate) async fn run(deps: Arc<Deps>) {
    let working = Arc::new(AtomicUsize::new(0));
    let mut settings = deps.settings.watch();
    let mut budgets = deps.settings.now().ai.budgets.clone();
    // Every other job is the newest one: what happens now is not held up by what was left from an outage, and what was
    // left is worked off all the same.
    let mut order = JobOrder::Newest;
    let idle = if deps.db.is_shared() { FOLLOW } else { IDLE };
    let mut followed = Instant::now();
    loop {
        if followed.elapsed() >= FOLLOW {
            crate::ai::follow(&deps).await;
            followed = Instant::now();
        }
        let free = working.load(Ordering::Acquire) < usize::from(deps.settings.now().ai.concurrency);
        let leased = if free { deps.db.job_lease(deps.clock.now(), LEASE, 1, order).await } else { Ok(Vec::new()) };
        match leased {
            Ok(mut jobs) => {
                if let Some(job) = jobs.pop() {
                    order = match order {
                        JobOrder::Newest => JobOrder::Oldest,
                        JobOrder::Oldest => JobOrder::Newest,
                    };
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
            Ok(Some(next)) => next.since(deps.clock.now()).clamp(Duration::from_millis(50), idle),
            Ok(None) => idle,
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

/// Works on one job, until it is done or the server stops: what is under way then, and may be paid for, has a moment to
/// be answered and stored.
async fn attend(deps: &Deps, job: &Job) {
    tokio::select! {
        done = work(deps, job) => {
            if let Err(e) = done {
                error!(event.id = %job.event_id, "an analysis failed: {}", chain(&e));
                if let Err(e) = failed_by_us(deps, job).await {
                    warn!(event.id = %job.event_id, "the job stays with its lease: {}", chain(&e));
                }
            }
        }
        () = async { deps.cancel.cancelled().await; sleep(LAST_WORDS).await; } => {}
    }
}

/// How long until a failed job is tried again: 10 s, doubled each time, at most an hour.
fn back_off(attempts: u32) -> Duration {
    Duration::from_secs(10).saturating_mul(1 << attempts.saturating_sub(1).min(9)).min(LONGEST_PAUSE)
}

/// Whether an event is too old to be described by itself. One that became known late has its time all the same.
fn is_over(event: &Event, now: Timestamp) -> bool {
    now.since(event.timestamp.max(event.created_at)) >= GIVE_UP_AFTER
}

/// Gives a job back after a failure of our own, such as a database that is away, or ends it when that lasts.
async fn failed_by_us(deps: &Deps, job: &Job) -> Result<(), EngineError> {
    let now = deps.clock.now();
    let not_before = now.plus(back_off(job.attempts));
    match &job.asked {
        // Nobody waits for ever for what was asked.
        Some(asked) if job.attempts >= QUIET_ATTEMPTS => give_up(deps, job, asked.analysis_id).await,
        // It stays what somebody asked for.
        Some(_) => Ok(deps.db.job_return(job.lease(), not_before).await.map(drop)?),
        None => {
            // A failure that stays for so long stays for good.
            let retry_at = (now.since(job.created_at) < GIVE_UP_AFTER).then_some(not_before);
            let say = job.attempts >= QUIET_ATTEMPTS || retry_at.is_none();
            let event = if say { deps.db.event_get(job.event_id).await? } else { None };
            let waits = event.is_some_and(|e| e.description_status == DescriptionStatus::Pending);
            let why = waits.then_some((DescriptionStatus::Failed, StatusReason::ProvidersFailed));
            Ok(deps.db.job_undescribed(job.lease(), why, retry_at, now).await.map(drop)?)
        }
    }
}

/// Ends what somebody asked for after failures of our own.
async fn give_up(deps: &Deps, job: &Job, id: AnalysisId) -> Result<(), EngineError> {
    let now = deps.clock.now();
    // What the event could not be described by itself before is still to be tried.
    let retry_at = deps.db.event_get(job.event_id).await?.and_then(|event| outcome::own_retry(&event, now));
    if let Some(receipt) = deps.db.analysis_get(id).await? {
        let receipt = Analysis {
            finished_at: Some(now),
            status: AnalysisStatus::Failed,
            error: Some("the server could not do the work; its log says why".into()),
            ..receipt
        };
        return Ok(deps.db.reanalysis_failed(receipt, retry_at, job.lease()).await?);
    }
    // Its receipt is gone, and nobody asks for it any more.
    match retry_at {
        Some(at) => deps.db.job_retry(job.lease(), at).await?,
        None => deps.db.job_finish(job.lease()).await?,
    };
    Ok(())
}

async fn work(deps: &Deps, job: &Job) -> Result<(), EngineError> {
    let begun = deps.clock.now();
    let Some(event) = deps.db.event_get(job.event_id).await? else {
        deps.db.job_finish(job.lease()).await?;
        return Ok(());
    };
    // What was paid for before a crash is used, whatever holds now.
    let asked = job.asked.as_ref().map(|asked| asked.analysis_id);
    if let Some(kept) = deps.db.ai_answer_kept(event.id, asked).await? {
        info!(event.id = %event.id, "using an answer that was there already");
        return outcome::resume(deps, job, &event, kept).await;
    }
    let settings = deps.settings.now();
    let way = way(deps, &settings).await?;
    if job.asked.is_none() {
        let providers = deps.describer.providers();
        if is_over(&event, begun) {
            return overdue(deps, job, &event).await;
        }
        if !settings.ai.enabled {
            return undescribed(deps, job, &event, DescriptionStatus::Skipped, StatusReason::AiDisabled).await;
        }
        if providers.is_empty() {
            return undescribed(deps, job, &event, DescriptionStatus::Skipped, StatusReason::NoProvider).await;
        }
        if let Some(limit) = way.spent
            && providers.iter().all(|p| p.costs)
        {
            return unpaid(deps, job, &event, limit, &settings, LONGEST_PAUSE).await;
        }
    }
    let camera_row = deps.db.camera_get(event.camera_id).await?;
    let camera = camera_row.config.clone();
    let how = job.asked.as_ref().map(|asked| asked.how.clone()).unwrap_or_default();
    let reading = Instant::now();
    let (mut frames, best) = frames(deps, &event).await?;
    let wanted = how.analysis_mode.unwrap_or(camera.analysis_mode);
    if wanted == AnalysisMode::SingleFrame {
        one_of(&mut frames, best);
    }
    let no_picture = frames.is_empty() && deps.describer.needs_pictures();
    if no_picture && job.asked.is_none() {
        return undescribed(deps, job, &event, DescriptionStatus::Skipped, StatusReason::NoPicture).await;
    }
    let refused = match job.asked {
        // Who asks knows what he asks for.
        None if job.attempts > 1 => deps.db.ai_refusals(event.id).await?,
        _ => Vec::new(),
    };
    // The only one is asked a second time: models do not always say the same.
    let several = deps.describer.providers().len() > 1;
    let twice = |one: &(ProviderId, String)| refused.iter().filter(|other| *other == one).count() > 1;
    let not_again = refused.iter().filter(|one| several || twice(one)).cloned().collect();
    let usual = question::usual(deps, &camera_row, &event, &settings).await;
    let (within, patience) = limits(job.lease_until.since(deps.clock.now()));
    let request = DescribeRequest {
        facts: facts(job.facts.clone(), &event),
        instruction: how.prompt.or(camera.prompt_override).or_else(|| settings.ai.prompt.clone()),
        language: settings.general.language.clone(),
        timezone: settings.general.timezone.clone(),
        mode: if frames.len() > 1 { AnalysisMode::MultiFrame } else { AnalysisMode::SingleFrame },
        frames,
        picture: None,
        choice: ProviderChoice { only: how.provider, spent: way.spent, order: way.order, refused: not_again },
        usual,
        within,
    };
    let looks = if asked.is_none() { reuse::looks(&settings, &event, &request.frames).await } else { None };
    let alike = match (&looks, way.reuse) {
        (Some(looks), Some(_)) => reuse::find(deps, &settings, &event, looks).await?,
        _ => None,
    };
    let mut attempt = Attempt::new(job, &event, begun, receipt::begun(deps, job, &request).await?);
    attempt.wanted = wanted;
    attempt.steps.frames_ms = outcome::ms(reading);
    if let Some(alike) = alike {
        let answered = Answered {
            words: reuse::words(&alike, &settings),
            reason: Some(reuse::reason(&way, &alike.receipt)),
            mode: request.mode,
            frames: 0,
            receipt: reuse::receipt(attempt.closed(begun), &alike.receipt),
        };
        return outcome::described(deps, job, &event, answered).await;
    }
    let account = Account::new(
        deps,
        Cause {
            purpose: CallPurpose::Event,
            analysis_id: Some(attempt.receipt.id),
            event_id: Some(event.id),
            camera_id: Some(event.camera_id),
            mode: Some(request.mode),
        },
    );
    let asking = Instant::now();
    let outcome = if no_picture {
        outcome::failed(DescribeFailure::InvalidAnswer, "no stored picture could be read".into())
    } else {
        match tokio::time::timeout(patience, deps.describer.describe(&request, &account)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => {
                outcome::failed(DescribeFailure::Timeout, format!("no answer within {} s", patience.as_secs()))
            }
        }
    };
    attempt.steps.providers_ms = outcome::ms(asking);
    attempt.steps.stored_ms = account.took_ms();
    if let (Err(_), Some(limit), 0, None) = (&outcome.result, outcome.record.unpaid, account.booked(), asked) {
        // Nobody was asked: what is left of the budget was too little for every one.
        deps.db.analysis_forget(attempt.receipt.id).await?;
        return unpaid(deps, job, &event, limit, &settings, back_off(job.attempts)).await;
    }
    // The built-in describer does not look at pictures, and vague words help nobody.
    let has_looked = outcome.record.provider.as_deref() != Some(ProviderKind::Builtin.as_str());
    if let (Some(looks), true, Ok(words)) = (&looks, has_looked, &outcome.result)
        && !words.low_confidence
    {
        reuse::keep(deps, attempt.receipt.id, looks).await;
    }
    // A refusal is an answer about these pictures: when nobody else may be asked, nothing is to be expected of another try.
    attempt.is_refused = outcome.record.refused && (several || !refused.is_empty());
    outcome::finish(deps, attempt, request.mode, request.frames.len(), outcome).await
}

/// How long a description may take, and how long it is waited for, with so much left of the lease: another worker must
/// not get the job of one that is still alive, and pay for it again.
fn limits(left: Duration) -> (Duration, Duration) {
    let patience = PATIENCE.min(left.saturating_sub(RESERVE));
    (DEADLINE.min(patience.saturating_sub(PATIENCE.saturating_sub(DEADLINE))), patience)
}

/// The way that the budgets leave open at this moment.
pub(crate) async fn way(deps: &Deps, settings: &Settings) -> Result<Route, DbError> {
    let (limits, routing) = (&settings.ai.budgets, &settings.ai.routing);
    if limits.daily_usd.is_none() && limits.monthly_usd.is_none() {
        return Ok(route(limits, routing, 0.0, 0.0));
    }
    let (now, zone) = (deps.clock.now(), settings.general.timezone.as_str());
    let (day, month) = (Period::day(now, zone), Period::month(now, zone));
    // What is only reserved is not counted here: it is decided exactly where calls are booked.
    let day_usd = deps.db.ai_spent(day.start, day.end).await?;
    let month_usd = deps.db.ai_spent(month.start, month.end).await?;
    Ok(route(limits, routing, day_usd, month_usd))
}

/// The time for a description is over: the event ends with its reason.
async fn overdue(deps: &Deps, job: &Job, event: &Event) -> Result<(), EngineError> {
    let waits = event.description_status == DescriptionStatus::Pending;
    let why = waits.then_some((DescriptionStatus::Failed, StatusReason::Timeout));
    outcome::end(deps, job, event, why).await
}

/// A budget is spent and nobody is free of charge: the event says so, and is tried again until a day has passed.
async fn unpaid(
    deps: &Deps,
    job: &Job,
    event: &Event,
    limit: StatusReason,
    settings: &Settings,
    longest: Duration,
) -> Result<(), EngineError> {
    let now = deps.clock.now();
    let why = (event.status_reason != Some(limit)).then_some((DescriptionStatus::Skipped, limit));
    if is_over(event, now) {
        return outcome::end(deps, job, event, why).await;
    }
    let zone = settings.general.timezone.as_str();
    let period = if limit == StatusReason::BudgetDaily { Period::day(now, zone) } else { Period::month(now, zone) };
    let next = now.plus(period.end.since(now).min(longest));
    deps.db.job_undescribed(job.lease(), why, Some(next), now).await?;
    if deps.settings.now().ai.budgets != settings.ai.budgets {
        // Changed while this was found out: whoever woke what is skipped did not see this one yet.
        deps.db.job_retry(job.lease(), now).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_ends_before_its_lease() {
        let of = |left| limits(Duration::from_secs(left));
        let seconds = |(within, patience): (Duration, Duration)| (within.as_secs(), patience.as_secs());
        assert_eq!(of(LEASE.as_secs()), (DEADLINE, PATIENCE));
        assert_eq!(of(900), (DEADLINE, PATIENCE));
        assert_eq!(seconds(of(200)), (140, 160));
        assert_eq!(seconds(of(50)), (0, 10));
        assert_eq!(seconds(of(10)), (0, 0));
    }

    #[test]
    fn pauses_grow_to_an_hour() {
        let seconds: Vec<_> = [0, 1, 2, 3, 10, 40, u32::MAX].into_iter().map(|n| back_off(n).as_secs()).collect();
        assert_eq!(seconds, [10, 10, 20, 40, 3600, 3600, 3600]);
    }
}
