//! Follows the two streams of the integration interface.

use std::sync::{Arc, PoisonError};

use argus_core::Timestamp;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::ProtectError;
use crate::backoff::Backoff;
use crate::hub::Hub;
use crate::official::Official;
use crate::state::{Interface, Side};
use crate::tracker::{Origin, Tracker};
use crate::wire::Sighting;
use crate::ws::{Ended, Socket};

/// The close code for too many calls.
const POLICY: u16 = 1008;

/// Connects, follows, and connects again, until it is stopped.
pub(crate) async fn run(hub: Arc<Hub>, known_until: Option<Timestamp>) {
    let Some(official) = hub.client.official() else { return };
    let mut backoff = Backoff::new(hub.tuning.backoff_first, hub.tuning.backoff_longest);
    let mut known = known_until;
    let mut had_good = false;
    loop {
        let opened = tokio::select! {
            () = hub.token.cancelled() => return,
            opened = connect(&hub, official) => opened,
        };
        let failure = match opened {
            Ok(mut socket) => {
                had_good = true;
                hub.stand(Interface::Official, Side::Up);
                if let Some(from) = known {
                    missed(&hub, from).await;
                }
                hub.told_until(Interface::Official, hub.now());
                let ended = follow(&hub, &mut socket).await;
                known = Some(hub.now().minus(socket.unheard()));
                if socket.age() >= hub.tuning.good_after {
                    backoff.reset();
                }
                match ended {
                    None => {
                        socket.close().await;
                        return;
                    }
                    Some(ended) if ended.code == Some(POLICY) => ProtectError::RateLimited(ended.reason),
                    Some(ended) => ProtectError::Lost(format!("the event stream ended: {}", ended.reason)),
                }
            }
            Err(e) => e,
        };
        let lasting = match &failure {
            ProtectError::NotProtect(_) | ProtectError::TooOld(_) => !had_good,
            other => other.is_lasting(),
        };
        let mut wait = backoff.next();
        if matches!(failure, ProtectError::RateLimited(_)) {
            wait = wait.max(hub.tuning.backoff_first.saturating_mul(5));
        }
        let wait = hub.failed(Interface::Official, failure, wait, lasting);
        if !hub.rest(wait).await {
            return;
        }
    }
}

async fn connect(hub: &Hub, official: &Official) -> Result<Socket, ProtectError> {
    hub.version(official.version().await?);
    read_cameras(hub, official).await?;
    official.events().await.map_err(|refused| match refused.status {
        Some(401) | None => refused.error,
        Some(429) => ProtectError::RateLimited("the event stream".into()),
        Some(status) => ProtectError::Busy { what: "the event stream", status },
    })
}

pub(crate) async fn read_cameras(hub: &Hub, official: &Official) -> Result<(), ProtectError> {
    let cameras = official.cameras().await?;
    // They only help to tell doorbells.
    let chimes = official.chimes().await.unwrap_or_default();
    hub.inventory.write().unwrap_or_else(PoisonError::into_inner).official(cameras, &chimes);
    hub.tell_devices();
    Ok(())
}

/// This interface has no history: what came between is fetched by the local one, or missed.
async fn missed(hub: &Hub, from: Timestamp) {
    let (local, comes) = hub.standing(|s| {
        let side = s.side(Interface::Local);
        (side == Some(&Side::Up), matches!(side, Some(Side::Connecting | Side::Down(_))))
    });
    if comes {
        hub.owe(from, hub.now());
    } else if !local {
        hub.track(Tracker::close_open).await;
        let reason =
            "the integration interface has no history; a local account as well would fill such gaps".to_owned();
        hub.gap(from, hub.now(), reason).await;
    }
}

/// Follows the event stream to its end; `None` when it was stopped.
async fn follow(hub: &Arc<Hub>, socket: &mut Socket) -> Option<Ended> {
    let mut reread = interval_at(Instant::now() + hub.tuning.read_every, hub.tuning.read_every);
    let mut look = interval_at(Instant::now() + hub.tuning.tick, hub.tuning.tick);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            () = hub.token.cancelled() => return None,
            _ = look.tick() => {
                // It may be silent for hours: answers to pings tell that nothing was missed.
                hub.told_until(Interface::Official, hub.now().minus(socket.unheard()));
                continue;
            }
            _ = reread.tick() => {
                hub.tasks.spawn(read_again(Arc::clone(hub)));
                continue;
            }
            message = socket.next() => message,
        };
        let bytes = match message {
            Ok(bytes) => bytes,
            Err(ended) => return Some(ended),
        };
        hub.heard();
        let read = serde_json::from_slice::<Value>(&bytes).ok().filter(|v| v.get("item").is_some_and(Value::is_object));
        let Some(message) = read else {
            hub.malformed(&"a message of the event stream is not what it should be");
            continue;
        };
        let stopped = tokio::select! {
            () = hub.token.cancelled() => true,
            () = socket.hold(take(hub, &message)) => false,
        };
        if stopped {
            return None;
        }
    }
}

async fn take(hub: &Hub, message: &Value) {
    let item = message.get("item").unwrap_or(&Value::Null);
    let Some(sighting) = Sighting::event(item, "") else { return hub.malformed(&"a detection without an id") };
    match message.get("type").and_then(Value::as_str) {
        Some("add" | "update") => hub.see(&sighting, Origin::Official).await,
        Some("remove") => hub.track(|t, now| t.removed(&sighting.id, now)).await,
        _ => {}
    }
}

async fn read_again(hub: Arc<Hub>) {
    let Some(official) = hub.client.official() else { return };
    let read = tokio::select! {
        () = hub.token.cancelled() => return,
        read = read_cameras(&hub, official) => read,
    };
    if let Err(e) = read {
        tracing::debug!(controller.id = %hub.id, "the cameras could not be read again: {e}");
    }
}

/// Follows changes of devices. It may fail without harm: the cameras are read every few minutes, too.
pub(crate) async fn follow_devices(hub: Arc<Hub>) {
    let Some(official) = hub.client.official() else { return };
    let mut backoff = Backoff::new(hub.tuning.backoff_first, hub.tuning.backoff_longest);
    loop {
        // After the event stream, which proves the key.
        if hub.standing(|s| s.is_up(Interface::Official)) {
            let stopped = tokio::select! {
                () = hub.token.cancelled() => true,
                () = devices_once(&hub, official, &mut backoff) => false,
            };
            if stopped {
                return;
            }
        }
        if !hub.rest(backoff.next()).await {
            return;
        }
    }
}

async fn devices_once(hub: &Hub, official: &Official, backoff: &mut Backoff) {
    let mut socket = match official.devices().await {
        Ok(socket) => socket,
        Err(refused) => {
            let error = refused.error;
            tracing::debug!(controller.id = %hub.id, "the device stream cannot be opened: {error}");
            return;
        }
    };
    backoff.reset();
    while let Ok(bytes) = socket.next().await {
        hub.heard();
        let Ok(message) = serde_json::from_slice::<Value>(&bytes) else {
            hub.malformed(&"a message of the device stream is no JSON");
            continue;
        };
        let news = hub.inventory.write().unwrap_or_else(PoisonError::into_inner).apply_official(&message);
        if news {
            hub.tell_devices();
        }
    }
}
