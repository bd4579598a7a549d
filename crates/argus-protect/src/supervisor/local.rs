//! Follows the local update stream.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use argus_core::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::ProtectError;
use crate::backoff::Backoff;
use crate::frame::{Action, Update};
use crate::hub::Hub;
use crate::local::{History, Local, Updates};
use crate::state::{Interface, Side};
use crate::tracker::{Origin, Tracker};
use crate::wire::Sighting;
use crate::ws::Ended;

/// Kinds of objects that are known and of no interest here.
const NOISE: [&str; 26] = [
    "user",
    "group",
    "liveview",
    "viewer",
    "bridge",
    "light",
    "sensor",
    "chime",
    "doorlock",
    "schedule",
    "ringtone",
    "keyring",
    "ulpUser",
    "aiport",
    "aiprocessor",
    "relay",
    "fob",
    "siren",
    "speaker",
    "linkstation",
    "activeSessionStat",
    "deviceGroup",
    "cloudIdentity",
    "userLocation",
    "recordingSchedule",
    "legacyUFV",
];

/// Connects, follows, and connects again, until it is stopped.
pub(crate) async fn run(hub: Arc<Hub>, known_until: Option<Timestamp>) {
    let Some(local) = hub.client.local() else { return };
    let mut backoff = Backoff::new(hub.tuning.backoff_first, hub.tuning.backoff_longest);
    let mut place: Option<String> = None;
    // What came after `known` is still to be accounted for.
    let mut known = known_until;
    let mut owing = false;
    let mut had_good = false;
    loop {
        let resumed = place.is_some();
        let opened = tokio::select! {
            () = hub.token.cancelled() => return,
            opened = connect(&hub, local, &mut place) => opened,
        };
        let failure = match opened {
            Ok(mut updates) => {
                had_good = true;
                hub.stand(Interface::Local, Side::Up);
                let opened = hub.now();
                owing |= known.is_some() && !resumed;
                // Before the task, which may have ended at once.
                hub.is_filling.store(known.is_some(), Ordering::Relaxed);
                let task = known.map(|from| {
                    let stop = hub.token.child_token();
                    let filled = fill(Arc::clone(&hub), from, opened, owing, stop.clone());
                    (stop.drop_guard(), hub.tasks.spawn(filled))
                });
                hub.told_until(Interface::Local, *known.get_or_insert(opened));
                let ended = follow(&hub, &mut updates, &mut place).await;
                let is_settled = match task {
                    Some((stop, filled)) => {
                        drop(stop);
                        filled.await.unwrap_or(false)
                    }
                    None => true,
                };
                // What could not be filled, and what a stream that ended at once may have kept to itself, is filled the
                // next time.
                if is_settled && !ended.as_ref().is_some_and(|ended| ended.at_once) {
                    // A stream that died in silence told its last long before.
                    let last = hub.now().minus(updates.socket.silence());
                    hub.told_until(Interface::Local, last);
                    known = Some(last);
                    owing = false;
                }
                if updates.socket.age() >= hub.tuning.good_after {
                    backoff.reset();
                }
                let Some(ended) = ended else {
                    updates.socket.close().await;
                    return;
                };
                if ended.is_stale() {
                    place = None;
                }
                ProtectError::Lost(format!("the update stream ended: {}", ended.reason))
            }
            Err(e) => e,
        };
        let lasting = is_lasting(&failure, had_good);
        if lasting && let Some((from, until)) = hub.take_owed() {
            hub.track(Tracker::close_open).await;
            hub.gap(from, until, format!("the local interface, which has a history, cannot be used: {failure}")).await;
        }
        if lasting && hub.inventory.write().unwrap_or_else(PoisonError::into_inner).local_refused() {
            hub.tell_devices();
        }
        let wait = hub.failed(Interface::Local, failure, backoff.next(), lasting);
        if !hub.rest(wait).await {
            return;
        }
    }
}

/// Whether a person must mend it. A controller that was good once and now gives pages for answers is restarting.
fn is_lasting(e: &ProtectError, had_good: bool) -> bool {
    match e {
        ProtectError::NotFound(_) | ProtectError::Unusable { .. } | ProtectError::NotProtect(_) => !had_good,
        other => other.is_lasting(),
    }
}

async fn connect(hub: &Hub, local: &Local, place: &mut Option<String>) -> Result<Updates, ProtectError> {
    let from = match place {
        Some(from) => from.clone(),
        None => {
            let bootstrap = local.bootstrap().await.map_err(|e| match e {
                ProtectError::NotFound(what) => ProtectError::NotProtect(format!("it has no {what}")),
                other => other,
            })?;
            let from = bootstrap.last_update_id.clone();
            hub.read_cameras(bootstrap);
            place.insert(from).clone()
        }
    };
    local.updates(&from).await.map_err(|refused| match refused.status {
        Some(401) => ProtectError::Unauthorized(
            "the controller signs the account in and then refuses the update stream: check the account's rights".into(),
        ),
        // While the controller restarts its proxy answers for it.
        Some(status) => ProtectError::Busy { what: "the update stream", status },
        None => refused.error,
    })
}

/// Follows the stream to its end; `None` when it was stopped. `place` is where to go on.
async fn follow(hub: &Arc<Hub>, updates: &mut Updates, place: &mut Option<String>) -> Option<Ended> {
    let mut reread = interval_at(Instant::now() + hub.tuning.read_every, hub.tuning.read_every);
    let mut look = interval_at(Instant::now() + hub.tuning.tick, hub.tuning.tick);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut suspicion = Suspicion::default();
    loop {
        let message = tokio::select! {
            () = hub.token.cancelled() => return None,
            _ = reread.tick() => {
                hub.tasks.spawn(read_again(Arc::clone(hub)));
                continue;
            }
            _ = look.tick() => {
                let silence = updates.socket.silence();
                if !hub.is_filling.load(Ordering::Relaxed) {
                    hub.told_until(Interface::Local, hub.now().minus(silence));
                }
                suspicion.look(hub, silence);
                continue;
            }
            () = suspicion.confirmed() => {
                return Some(Ended {
                    reason: "it says nothing, while its history tells detections".into(),
                    code: None,
                    at_once: false,
                });
            }
            message = updates.message() => message,
        };
        let update = match message {
            Err(ended) => return Some(ended),
            Ok(Err(e)) => {
                hub.heard();
                hub.malformed(&e);
                continue;
            }
            Ok(Ok(update)) => update,
        };
        hub.heard();
        let stopped = tokio::select! {
            () = hub.token.cancelled() => true,
            () = updates.socket.hold(take(hub, &update)) => false,
        };
        if stopped {
            return None;
        }
        // Only now: what was not taken in must come again.
        if update.resume.is_some() {
            *place = update.resume;
        }
    }
}

/// Whether a stream that says nothing has something to say: its history is asked, and what is in it told.
#[derive(Default)]
struct Suspicion {
    /// Silence after which it is looked next.
    next: Duration,
    asked: Option<JoinHandle<bool>>,
}

impl Suspicion {
    fn look(&mut self, hub: &Arc<Hub>, silence: Duration) {
        let every = hub.tuning.suspect_after;
        if silence < every {
            self.next = every;
        } else if silence >= self.next && self.asked.is_none() {
            self.next = silence.saturating_add(every);
            self.asked = Some(hub.tasks.spawn(is_mute(Arc::clone(hub), hub.now().minus(silence))));
        }
    }

    /// Waits until it is known that the stream is mute. Cancel-safe.
    async fn confirmed(&mut self) {
        if let Some(asked) = &mut self.asked {
            let is_mute = asked.await.unwrap_or(false);
            self.asked = None;
            if is_mute {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}

/// Time that a detection takes to be told on the stream, with room: recorded consoles take up to 13 s.
const TOLD_WITHIN: Duration = Duration::from_secs(15);

/// Reads what happened since the last message; true when the stream should have told some of it.
async fn is_mute(hub: Arc<Hub>, last: Timestamp) -> bool {
    let Some(local) = hub.client.local() else { return false };
    let clock = hub.client.clock();
    let now = hub.now();
    let read = tokio::select! {
        () = hub.token.cancelled() => return false,
        read = local.history(clock.theirs(last.minus(hub.tuning.history_margin)), clock.theirs(now)) => read,
    };
    let history = match read {
        Ok(history) => history,
        Err(e) => {
            tracing::debug!(controller.id = %hub.id, "a silent stream could not be looked into: {e}");
            return false;
        }
    };
    let due = now.minus(TOLD_WITHIN.min(hub.tuning.suspect_after / 2));
    let began = |s: &Sighting| s.start_ms.map(|ms| clock.ours(ms));
    let is_mute = history.events.iter().filter_map(began).any(|at| at > last && at < due);
    for sighting in &history.events {
        hub.see(sighting, Origin::History).await;
    }
    is_mute
}

/// Takes a message in.
async fn take(hub: &Hub, update: &Update) {
    match (update.model.as_str(), &update.action) {
        ("event", Action::Add | Action::Update) => {
            if let Some(sighting) = Sighting::event(&update.data, &update.id) {
                hub.see(&sighting, Origin::Local).await;
            }
        }
        ("event", Action::Remove) => hub.track(|t, now| t.removed(&update.id, now)).await,
        ("smartDetectObject", Action::Add | Action::Update) => {
            if let Some(sighting) = Sighting::object(&update.data, &update.id) {
                hub.see(&sighting, Origin::Local).await;
            }
        }
        ("camera" | "nvr", _) => {
            let news = hub.inventory.write().unwrap_or_else(PoisonError::into_inner).apply(update);
            if news {
                hub.tell_devices();
            }
        }
        (model, _) if !NOISE.contains(&model) => hub.unknown(model),
        _ => {}
    }
}

/// Reads all cameras again: a net under messages that were missed.
async fn read_again(hub: Arc<Hub>) {
    let Some(local) = hub.client.local() else { return };
    let read = tokio::select! {
        () = hub.token.cancelled() => return,
        read = hub.read_again(local) => read,
    };
    if let Err(e) = read {
        tracing::debug!(controller.id = %hub.id, "the cameras could not be read again: {e}");
    }
}

/// Longest wait before a history is read again.
const RETRY_LONGEST: Duration = Duration::from_secs(300);

/// Fetches what happened while nobody listened. `matters` says that the stream did not go on where it ended, so that what
/// cannot be fetched is missed. True when the span is accounted for: told, or put down as missed.
async fn fill(hub: Arc<Hub>, from: Timestamp, until: Timestamp, matters: bool, stop: CancellationToken) -> bool {
    let Some(local) = hub.client.local() else { return false };
    // Asked now: later it may have been lost and found again.
    let is_covered = hub.standing(|s| s.official_covers(from));
    let clock = hub.client.clock();
    let start = from.minus(hub.tuning.history_margin);
    let before = hub.open_ids().await;
    let mut wait = hub.tuning.history_retry;
    let mut left = hub.tuning.history_retries;
    let failure = loop {
        let history = tokio::select! {
            () = stop.cancelled() => return false,
            history = local.history(clock.theirs(start), clock.theirs(until).saturating_add(1000)) => history,
        };
        let e = match history {
            Ok(history) => {
                told(&hub, history, before, from, until).await;
                hub.is_filling.store(false, Ordering::Relaxed);
                return true;
            }
            Err(e) => e,
        };
        if left == 0 || e.is_lasting() || matches!(e, ProtectError::NotFound(_)) {
            break e;
        }
        left = left.saturating_sub(1);
        tracing::debug!(controller.id = %hub.id, "the history could not be read yet: {e}");
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(wait) => {}
        }
        wait = wait.saturating_mul(2).min(RETRY_LONGEST);
    };
    let gap = hub.take_owed().or((matters && !is_covered).then_some((from, until)));
    match gap {
        Some((from, until)) => {
            hub.gap(from, until, format!("the controller's history cannot be read: {failure}")).await;
        }
        None => tracing::debug!(controller.id = %hub.id, "the history could not be read: {failure}"),
    }
    hub.is_filling.store(false, Ordering::Relaxed);
    true
}

/// Tells what the history has of a span. `before` are the detections that went on when it began.
async fn told(hub: &Hub, history: History, before: Vec<String>, from: Timestamp, until: Timestamp) {
    hub.take_owed();
    let last = history.events.iter().filter_map(|s| s.start_ms).max();
    for sighting in &history.events {
        hub.see(sighting, Origin::History).await;
    }
    if history.cut {
        let from = last.map_or(from, |ms| hub.client.clock().ours(ms));
        hub.gap(from, until, "more happened than the controller's history gives at once".into()).await;
    }
    // What began before and ended meanwhile is not in that span.
    let seen: std::collections::HashSet<&str> = history.events.iter().map(|s| s.id.as_str()).collect();
    for id in before.into_iter().filter(|id| !seen.contains(id.as_str())) {
        hub.ask(id);
    }
}
