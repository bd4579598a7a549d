//! Live streams that are kept open: of cameras whose clips do not come from their controller, so that a clip of theirs has
//! the seconds before its detection, too. Nothing of them is decoded.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use argus_core::CameraId;
use argus_core::camera::Camera;
use argus_core::status::CameraStatus;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::follow::cameras;
use super::link::Link;
use super::live::{self, Live};
use crate::Deps;
use crate::camera::lock;

/// A detection may have begun that long before it is heard of: the recorded consoles tell a person 2.4 s after it came,
/// older ones up to 13 s.
const HEARD_AFTER: Duration = Duration::from_secs(10);
/// First wait before a stream that cannot be had is asked for again; doubled each time.
const AGAIN: Duration = Duration::from_secs(5);
/// Longest of these.
const AGAIN_LONGEST: Duration = Duration::from_secs(300);
/// A stream that is away for so long is looked up anew: its secret name may have changed.
const AWAY: Duration = Duration::from_secs(60);

/// A camera whose stream is kept open.
pub(crate) struct Standby {
    /// Seconds before a detection for which it was opened.
    pre_roll_s: u16,
    /// Ends it.
    pub(crate) stop: CancellationToken,
    /// The stream, while there is one.
    pub(crate) live: Option<Live>,
}

/// Whether clips of a camera come from its live stream, or may have to.
pub(crate) fn needs_live(link: &Link, camera: &Camera) -> bool {
    !link.state().features.clips || !camera.config.privacy().is_empty() || link.export_worked(camera.id) == Some(false)
}

/// Opens the streams that are wanted now and closes the others.
pub(crate) fn reconcile(deps: &Arc<Deps>, link: &Arc<Link>) {
    let is_wanted = |camera: &Camera| camera.config.is_enabled && needs_live(link, camera);
    let store_clips = deps.settings.now().media.store_clips;
    // One that is open may be well while the controller is not: new ones wait until that is connected.
    let may_open = link.connected_since().is_some();
    let wanted: HashMap<CameraId, u16> = cameras(deps, link)
        .into_iter()
        .filter(|c| store_clips && is_wanted(c))
        .map(|c| (c.id, c.config.pre_roll_s))
        .collect();
    let started = {
        let mut standby = lock(&link.standby);
        // Each goes when its task has ended.
        let is_as_wanted = |id: &CameraId, kept: &Standby| wanted.get(id) == Some(&kept.pre_roll_s);
        standby.iter().filter(|(id, kept)| !is_as_wanted(id, kept)).for_each(|(_, kept)| kept.stop.cancel());
        let mut started = Vec::new();
        for (id, pre_roll_s) in wanted.into_iter().filter(|_| may_open) {
            standby.entry(id).or_insert_with(|| {
                let stop = link.give_up.child_token();
                started.push((id, stop.clone()));
                Standby { pre_roll_s, stop, live: None }
            });
        }
        started
    };
    for (id, stop) in started {
        let (deps, link) = (Arc::clone(deps), Arc::clone(link));
        let tasks = deps.tasks.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = keep(&deps, &link, id) => {}
            }
            let left = lock(&link.standby).remove(&id);
            if let Some(live) = left.and_then(|kept| kept.live) {
                live.handle.stop().await;
            }
        });
    }
}

/// Closes all that are open: those that are still wanted are opened anew.
pub(crate) fn end_all(link: &Link) {
    lock(&link.standby).values().for_each(|kept| kept.stop.cancel());
}

/// Keeps the stream of a camera open, for ever.
async fn keep(deps: &Deps, link: &Link, id: CameraId) {
    let mut wait = AGAIN;
    loop {
        if let Some(camera) = camera(deps, id) {
            let pre_roll = Duration::from_secs(camera.config.pre_roll_s.into());
            match live::open(deps, link, &camera, camera.config.privacy(), pre_roll + HEARD_AFTER).await {
                Ok(live) => {
                    link.stand_by(id, Some(live.clone()));
                    // The mask may have changed before the stream could be told.
                    if let Some(camera) = self::camera(deps, id) {
                        link.hide(id, &camera.config.privacy());
                    }
                    if watch(&live).await {
                        wait = AGAIN;
                    }
                    let why = live.state.borrow().last_error.clone().unwrap_or_default();
                    info!(camera.id = %id, "its live stream is looked up anew: {why}");
                    link.stand_by(id, None);
                    live.handle.stop().await;
                }
                Err(why) => debug!(camera.id = %id, "its live stream cannot be kept open: {why}"),
            }
        }
        sleep(wait).await;
        wait = wait.saturating_mul(2).min(AGAIN_LONGEST);
    }
}

/// Waits until a stream is of no use any more; whether it ever was.
async fn watch(live: &Live) -> bool {
    let mut state = live.state.clone();
    let mut was_online = false;
    loop {
        let back = state.wait_for(|s| matches!(s.status, CameraStatus::Online | CameraStatus::Error));
        match timeout(AWAY, back).await {
            Ok(Ok(state)) if state.status == CameraStatus::Online => was_online = true,
            _ => return was_online,
        }
        if state.wait_for(|s| s.status != CameraStatus::Online).await.is_err() {
            return was_online;
        }
    }
}

fn camera(deps: &Deps, id: CameraId) -> Option<Camera> {
    let slot = lock(&deps.slots).get(&id).cloned()?;
    let camera = lock(&slot.live).camera.clone();
    Some(camera)
}
