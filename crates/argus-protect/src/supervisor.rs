//! Keeps a connection: each interface has a task that connects, follows, and connects again; two more read what must be
//! read one by one, and do what time alone does.

pub(crate) mod local;
pub(crate) mod official;

use std::sync::Arc;

use argus_core::Timestamp;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::ProtectError;
use crate::hub::Hub;
use crate::state::Interface;
use crate::tracker::Origin;

/// Starts the tasks of a connection.
pub(crate) fn start(hub: &Arc<Hub>, asked: mpsc::Receiver<String>, known_until: Option<Timestamp>) {
    for (interface, until) in [Interface::Local, Interface::Official].into_iter().zip([known_until; 2]) {
        until.into_iter().for_each(|until| hub.told_until(interface, until));
    }
    if hub.client.local().is_some() {
        hub.tasks.spawn(local::run(Arc::clone(hub), known_until));
    }
    if hub.client.official().is_some() {
        hub.tasks.spawn(official::run(Arc::clone(hub), known_until));
        hub.tasks.spawn(official::follow_devices(Arc::clone(hub)));
    }
    hub.tasks.spawn(read_asked(Arc::clone(hub), asked));
    hub.tasks.spawn(tick(Arc::clone(hub)));
}

/// Reads detections of which too little is known.
async fn read_asked(hub: Arc<Hub>, mut asked: mpsc::Receiver<String>) {
    loop {
        let id = tokio::select! {
            () = hub.token.cancelled() => return,
            id = asked.recv() => id,
        };
        let Some(id) = id else { return };
        let read = async {
            match hub.client.local() {
                Some(local) => local.event(&id).await,
                None => Err(ProtectError::NotFound("history".into())),
            }
        };
        let read = tokio::select! {
            () = hub.token.cancelled() => return,
            read = read => read,
        };
        match read {
            Ok(sighting) => hub.see(&sighting, Origin::History).await,
            Err(ProtectError::NotFound(_)) => hub.track(|t, now| t.give_up(&id, now)).await,
            Err(e) => {
                tracing::debug!(controller.id = %hub.id, "a detection could not be read: {e}");
                hub.track(|t, _| {
                    t.not_read(&id);
                    Vec::new()
                })
                .await;
            }
        }
    }
}

/// Does what time alone does.
async fn tick(hub: Arc<Hub>) {
    let mut every = tokio::time::interval(hub.tuning.tick);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = hub.token.cancelled() => {
                // Also where nobody stopped it and only the last handle is gone.
                hub.queue.close();
                return;
            }
            _ = every.tick() => {}
        }
        let can_ask = hub.standing(|s| s.is_up(Interface::Local));
        hub.track(|t, now| t.tick(now, can_ask)).await;
    }
}
