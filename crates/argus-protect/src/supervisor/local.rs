//! Follows the local update stream.

use std::sync::{Arc, PoisonError};

use argus_core::Timestamp;
use tokio::time::{Instant, interval_at};

use crate::ProtectError;
use crate::backoff::Backoff;
use crate::frame::{Action, Update};
use crate::hub::Hub;
use crate::local::{Local, Updates};
use crate::state::{Interface, Side};
use crate::tracker::Origin;
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
    let mut known = known_until;
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
                if let Some(from) = known {
                    hub.tasks.spawn(fill(Arc::clone(&hub), from, hub.now(), !resumed));
                }
                let ended = follow(&hub, &mut updates, &mut place).await;
                // A stream that died in silence told its last long before.
                known = Some(hub.now().minus(updates.socket.silence()));
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
                ProtectError::Unreachable(format!("the update stream ended: {}", ended.reason))
            }
            Err(e) => e,
        };
        let lasting = is_lasting(&failure, had_good);
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
    loop {
        let message = tokio::select! {
            () = hub.token.cancelled() => return None,
            _ = reread.tick() => {
                hub.tasks.spawn(read_again(Arc::clone(hub)));
                continue;
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
        read = local.bootstrap() => read,
    };
    match read {
        Ok(bootstrap) => hub.read_cameras(bootstrap),
        Err(e) => tracing::debug!(controller.id = %hub.id, "the cameras could not be read again: {e}"),
    }
}

/// Fetches what happened while nobody listened. `matters` says that the stream did not go on where it ended, so that what
/// cannot be fetched is missed.
async fn fill(hub: Arc<Hub>, from: Timestamp, until: Timestamp, matters: bool) {
    let Some(local) = hub.client.local() else { return };
    let clock = hub.client.clock();
    let start = from.minus(hub.tuning.history_margin);
    let before = hub.open_ids().await;
    let history = tokio::select! {
        () = hub.token.cancelled() => return,
        history = local.history(clock.theirs(start), clock.theirs(until).saturating_add(1000)) => history,
    };
    match history {
        Ok(history) => {
            let last = history.events.iter().filter_map(|s| s.start_ms).max();
            for sighting in &history.events {
                hub.see(sighting, Origin::History).await;
            }
            if history.cut {
                let from = last.map_or(from, |ms| clock.ours(ms));
                hub.gap(from, until, "more happened than the controller's history gives at once".into()).await;
            }
            // What began before and ended meanwhile is not in that span.
            let seen: std::collections::HashSet<&str> = history.events.iter().map(|s| s.id.as_str()).collect();
            for id in before.into_iter().filter(|id| !seen.contains(id.as_str())) {
                hub.ask(id);
            }
        }
        Err(e) if matters && !hub.standing(|s| s.is_up(Interface::Official)) => {
            hub.gap(from, until, format!("the controller's history cannot be read: {e}")).await;
        }
        Err(e) => tracing::debug!(controller.id = %hub.id, "the history could not be read: {e}"),
    }
}
