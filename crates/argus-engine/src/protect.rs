//! UniFi Protect: one task a controller, whose detections become events like those of every other camera.
//!
//! The controller is seen as the ports of `argus_core::controller` alone. A camera of a controller has the same task as
//! all others, with a feed ([`feed`]) whose states are the controller's word and which has no pictures; its events come
//! from the controller's task ([`supervisor`]), their pictures and clips from the controller ([`album`]).

mod album;
mod brief;
mod control;
mod event;
mod feed;
mod follow;
mod link;
mod live;
mod paint;
mod standby;
mod supervisor;
mod tracker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use argus_core::camera::{Camera, ProtectSource, Source};
use argus_core::controller::{ControllerError, ControllerStatus};
use argus_core::figures::ControllerFigures;
use argus_core::ports::{ComponentHealth, ComponentStatus, ControlError, Still};
use argus_core::{CameraId, ControllerId, EventId, PrivacyMask, Timestamp};
use argus_db::UnfinishedEvent;
use tokio::sync::{oneshot, watch};
use tracing::warn;

use crate::Deps;
use crate::camera::lock;
use crate::error::EngineError;

pub(crate) use event::Cut;
pub(crate) use feed::WithControllers;
use link::{Command, GAPS, Link};

/// Gaps of so long ago are told in the server's health.
const GAPS_SHOWN: Duration = Duration::from_secs(7 * 24 * 3600);
/// Those of so long ago are shown with their controller.
const GAPS_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// Every controller.
pub(crate) struct Hub {
    links: Mutex<HashMap<ControllerId, Arc<Link>>>,
    /// Counts changes of any controller's state or cameras.
    changed: watch::Sender<u64>,
    /// Changes of controllers, and of which cameras are theirs, happen one after the other.
    turn: tokio::sync::Mutex<()>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { links: Mutex::default(), changed: watch::Sender::new(0), turn: tokio::sync::Mutex::default() }
    }
}

impl Hub {
    /// The controller of that name.
    pub(crate) fn link(&self, id: ControllerId) -> Option<Arc<Link>> {
        lock(&self.links).get(&id).cloned()
    }

    fn all(&self) -> Vec<Arc<Link>> {
        lock(&self.links).values().cloned().collect()
    }

    /// The link of a camera of a controller.
    fn link_of(&self, camera: &Camera) -> Option<(Arc<Link>, ProtectSource)> {
        let Source::Protect(source) = &camera.config.source else { return None };
        Some((self.link(source.controller_id?)?, source.clone()))
    }

    /// Ends the running events of a camera of a controller.
    pub(crate) fn cut(&self, camera: &Camera, why: Cut) {
        if let Some((link, _)) = self.link_of(camera) {
            link.cut(Some(camera.id), why);
        }
    }

    /// The event of a camera that has not ended.
    pub(crate) fn open_event(&self, camera: CameraId) -> Option<EventId> {
        self.all().iter().filter_map(|link| link.open_event(camera)).max()
    }

    /// What a camera sees now, with what nobody may see painted over.
    pub(crate) async fn snapshot(
        &self,
        source: &ProtectSource,
        privacy: &PrivacyMask,
        max_width: Option<u32>,
    ) -> Result<Still, ControllerError> {
        let gone = || ControllerError::Unavailable("the camera's controller was deleted".into());
        let link = source.controller_id.and_then(|id| self.link(id)).ok_or_else(gone)?;
        let closed = |_| ControllerError::Unavailable("the server is stopping".into());
        let _turn = link.pictures.acquire().await.map_err(closed)?;
        let still = link.ask(|c| async move { c.snapshot(&source.camera_id, max_width).await }, false).await?;
        let painted = paint::painted(still, privacy.clone(), max_width).await;
        painted.ok_or_else(|| ControllerError::Upstream("the controller's picture could not be painted over".into()))
    }

    /// How the controllers are, together.
    pub(crate) fn health(&self, now: Timestamp) -> ComponentHealth {
        let links = self.all();
        let enabled: Vec<_> = links.iter().filter(|link| link.stored().config.is_enabled).collect();
        if enabled.is_empty() {
            return ComponentHealth { status: ComponentStatus::Disabled, detail: None };
        }
        let (mut bad, mut connected) = (Vec::new(), enabled.len());
        for link in &enabled {
            let state = link.state();
            let is_connected = state.status == ControllerStatus::Connected;
            if is_connected && state.last_error.is_none() {
                continue;
            }
            connected -= usize::from(!is_connected);
            let why = state.last_error.map(|why| format!(": {why}")).unwrap_or_default();
            let in_part = if is_connected { " in part" } else { "" };
            bad.push(format!("{} is {}{in_part}{why}", link.name(), state.status));
        }
        bad.sort();
        let since = now.minus(GAPS_SHOWN);
        let gaps = enabled.iter().filter_map(|link| {
            let gaps = link.gaps();
            let recent = gaps.iter().filter(|gap| gap.until > since);
            let newest = recent.clone().next()?;
            let more = match recent.count() - 1 {
                0 => String::new(),
                n => format!(" (and {n} earlier)"),
            };
            Some((link.name(), newest.clone(), more))
        });
        let gaps: Vec<_> = gaps
            .map(|(name, gap, more)| {
                format!("{name}: events from {} to {} may be missing{more}: {}", gap.from, gap.until, gap.reason)
            })
            .collect();
        let ends = enabled.iter().filter_map(|link| {
            let n = link.ends_unknown.load(std::sync::atomic::Ordering::Relaxed);
            (n > 0).then(|| format!("{}: of {n} detections since the start the end was never told", link.name()))
        });
        let gaps: Vec<_> = gaps.into_iter().chain(ends).collect();
        let status = match bad.len() {
            0 => ComponentStatus::Ok,
            _ if connected == 0 => ComponentStatus::Down,
            _ => ComponentStatus::Degraded,
        };
        let detail = (!bad.is_empty() || !gaps.is_empty()).then(|| [bad, gaps].concat().join("; "));
        ComponentHealth { status, detail }
    }

    /// What was counted.
    pub(crate) fn figures(&self) -> Vec<ControllerFigures> {
        let order = std::sync::atomic::Ordering::Relaxed;
        let figures = self.all().into_iter().map(|link| ControllerFigures {
            controller_id: link.id,
            status: link.state().status,
            happenings: link.happenings.load(order),
            gaps: link.gaps.load(order),
            ends_unknown: link.ends_unknown.load(order),
            malformed: link.state_now().malformed,
        });
        let mut figures: Vec<_> = figures.collect();
        figures.sort_by_key(|f| f.controller_id);
        figures
    }

    /// Ends every connection, as at a stop of the server.
    pub(crate) async fn stop(&self) {
        let links: Vec<_> = lock(&self.links).drain().map(|(_, link)| link).collect();
        futures_util::future::join_all(links.iter().map(|link| halt(link, Cut::Shutdown))).await;
    }
}

/// Asks a controller's task to end and waits for it.
async fn halt(link: &Link, why: Cut) {
    let (done, ended) = oneshot::channel();
    if link.commands.send(Command::Stop { why, done }).await.is_err() || ended.await.is_err() {
        warn!(controller.id = %link.id, "the controller's task had ended already");
    }
}

/// Starts the task of every controller, with what the last run left of its events.
pub(crate) async fn start(deps: &Arc<Deps>, unfinished: Vec<UnfinishedEvent>) -> Result<(), EngineError> {
    let mut left: HashMap<ControllerId, Vec<UnfinishedEvent>> = HashMap::new();
    for one in unfinished {
        if let Some(id) = controller_of(deps, one.event.camera_id) {
            left.entry(id).or_default().push(one);
        }
    }
    for (stored, memory) in deps.db.controller_all().await? {
        let left = left.remove(&stored.id).unwrap_or_default();
        let earlier = deps.db.coverage_gaps(stored.id, deps.clock.now().minus(GAPS_KEPT), GAPS).await?;
        supervisor::start(deps, stored, memory.last_connected_at, left).put_earlier_gaps(earlier);
    }
    Ok(())
}

/// The controller of a camera.
pub(crate) fn controller_of(deps: &Deps, camera: CameraId) -> Option<ControllerId> {
    let slot = lock(&deps.slots).get(&camera).cloned()?;
    match &lock(&slot.live).camera.config.source {
        Source::Protect(source) => source.controller_id,
        _ => None,
    }
}

/// A failure of a controller as the API's port tells it.
pub(crate) fn refused(error: ControllerError) -> ControlError {
    match error {
        ControllerError::Unavailable(reason) => ControlError::Unavailable(reason),
        ControllerError::Timeout(reason) => ControlError::Timeout(reason),
        other => ControlError::Upstream(other.to_string()),
    }
}
