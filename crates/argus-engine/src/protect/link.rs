//! What is shared about one controller: how it is doing, its cameras, the events that run, and how to ask it something.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use argus_core::controller::{
    ControllerDevice, ControllerError, ControllerHandle, ControllerState, ControllerStatus, StoredController,
};
use argus_core::{CameraId, ControllerId, EventId, PrivacyMask, Secret, Timestamp};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::event::{Cut, Story};
use super::live::Live;
use super::standby::Standby;
use crate::camera::lock;

/// So many pictures are fetched from one controller at a time: each makes a camera encode one.
const PICTURES: usize = 3;
/// So many clips are waited for and fetched at a time.
const CLIPS: usize = 8;
/// So many live streams are recorded at a time.
const RECORDINGS: usize = 16;
/// So many of what is stored without a task of its own are being stored at a time.
const BRIEF: usize = 64;
/// So many events may hold pictures in memory at a time.
const ALBUMS: usize = 24;
/// So long a question waits for a connection that is being made again.
const CONNECTION_WITHIN: Duration = Duration::from_secs(10 * 60);

/// What a controller's task is told.
pub(crate) enum Command {
    /// The configuration changed.
    Configure(Box<StoredController>),
    /// End, for good or until the next start.
    Stop {
        /// Why.
        why: Cut,
        /// Told when everything is down.
        done: oneshot::Sender<()>,
    },
}

/// Detections that may have been missed.
pub(crate) use argus_core::controller::ControllerGap as Gap;

/// So many gaps of a controller are shown.
pub(crate) const GAPS: usize = 20;

/// An event whose task runs.
pub(crate) struct Running {
    pub(crate) camera: CameraId,
    pub(crate) event: EventId,
    pub(crate) story: watch::Sender<Story>,
}

/// One controller.
pub(crate) struct Link {
    pub(crate) id: ControllerId,
    view: Mutex<View>,
    running: Mutex<HashMap<EventId, Running>>,
    /// Events that are not stored yet, by when they began.
    unstored: Mutex<HashMap<EventId, Timestamp>>,
    /// Events that are being stored without a task that follows them.
    bare: Mutex<HashSet<EventId>>,
    /// What is to be kept over a restart and is not stored yet.
    keep: Mutex<Option<Option<Secret>>>,
    pub(crate) commands: mpsc::Sender<Command>,
    /// Changes of state and cameras of all controllers.
    changed: watch::Sender<u64>,
    /// Wakes the upkeep.
    pub(crate) upkeep: Notify,
    pub(crate) pictures: Semaphore,
    pub(crate) clips: Semaphore,
    pub(crate) albums: Semaphore,
    pub(crate) recordings: Semaphore,
    /// Turns of what is stored without a task that follows it.
    room: Arc<Semaphore>,
    /// Cameras whose live stream is kept open.
    pub(crate) standby: Mutex<HashMap<CameraId, Standby>>,
    /// Live streams that were opened for one event.
    pub(crate) recorded: Mutex<HashMap<EventId, (CameraId, Live)>>,
    /// Whether the last export of a camera's clip worked.
    exports: Mutex<HashMap<CameraId, bool>>,
    /// The tasks of its events.
    pub(crate) events: TaskTracker,
    /// Nobody waits for its events any more.
    pub(crate) give_up: CancellationToken,
    pub(crate) happenings: AtomicU64,
    pub(crate) gaps: AtomicU64,
    /// Detections whose end was never told.
    pub(crate) ends_unknown: AtomicU64,
}

/// What people see of it.
struct View {
    stored: StoredController,
    state: ControllerState,
    /// The cameras, and when they were read.
    devices: Option<(Timestamp, Arc<[ControllerDevice]>)>,
    handle: Option<Arc<dyn ControllerHandle>>,
    /// Newest first.
    gaps: VecDeque<Gap>,
    connected_since: Option<Timestamp>,
}

/// A state with nothing known.
pub(crate) fn blank(status: ControllerStatus) -> ControllerState {
    ControllerState {
        status,
        last_connected_at: None,
        last_message_at: None,
        last_error: None,
        last_error_kind: None,
        locked_until: None,
        firmware_version: None,
        features: argus_core::controller::ControllerFeatures::default(),
        interfaces: None,
        malformed: 0,
    }
}

impl Link {
    pub(crate) fn new(
        stored: StoredController,
        last_connected_at: Option<Timestamp>,
        changed: watch::Sender<u64>,
    ) -> (Arc<Self>, mpsc::Receiver<Command>) {
        let (commands, inbox) = mpsc::channel(8);
        let status = if stored.config.is_enabled { ControllerStatus::Connecting } else { ControllerStatus::Disabled };
        let state = ControllerState { last_connected_at, ..blank(status) };
        let link = Self {
            id: stored.id,
            view: Mutex::new(View {
                stored,
                state,
                devices: None,
                handle: None,
                gaps: VecDeque::new(),
                connected_since: None,
            }),
            running: Mutex::default(),
            unstored: Mutex::default(),
            bare: Mutex::default(),
            keep: Mutex::default(),
            commands,
            changed,
            upkeep: Notify::new(),
            pictures: Semaphore::new(PICTURES),
            clips: Semaphore::new(CLIPS),
            albums: Semaphore::new(ALBUMS),
            recordings: Semaphore::new(RECORDINGS),
            room: Arc::new(Semaphore::new(BRIEF)),
            standby: Mutex::default(),
            recorded: Mutex::default(),
            exports: Mutex::default(),
            events: TaskTracker::new(),
            give_up: CancellationToken::new(),
            happenings: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
            ends_unknown: AtomicU64::new(0),
        };
        (Arc::new(link), inbox)
    }

    fn bump(&self) {
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    pub(crate) fn stored(&self) -> StoredController {
        lock(&self.view).stored.clone()
    }

    pub(crate) fn name(&self) -> String {
        lock(&self.view).stored.config.name.clone()
    }

    pub(crate) fn configure(&self, stored: StoredController) {
        lock(&self.view).stored = stored;
        self.bump();
    }

    pub(crate) fn state(&self) -> ControllerState {
        lock(&self.view).state.clone()
    }

    /// The same with what moves all the time, such as the newest message.
    pub(crate) fn state_now(&self) -> ControllerState {
        let (state, handle) = (self.state(), self.handle());
        match handle.map(|handle| handle.state()) {
            Some(now) => ControllerState {
                last_message_at: now.last_message_at.or(state.last_message_at),
                malformed: now.malformed,
                ..state
            },
            None => state,
        }
    }

    /// Takes a state. True when it has just been connected.
    pub(crate) fn put_state(&self, mut state: ControllerState, now: Timestamp) -> bool {
        let mut view = lock(&self.view);
        let is_new = state.status == ControllerStatus::Connected && view.state.status != ControllerStatus::Connected;
        if state.status != ControllerStatus::Connected {
            view.connected_since = None;
        } else if view.connected_since.is_none() {
            view.connected_since = Some(now);
        }
        // What was known stays known.
        state.last_connected_at = state.last_connected_at.or(view.state.last_connected_at);
        state.last_message_at = state.last_message_at.or(view.state.last_message_at);
        state.firmware_version = state.firmware_version.or_else(|| view.state.firmware_version.clone());
        let status_changed = state.status != view.state.status;
        view.state = state;
        drop(view);
        if status_changed || is_new {
            self.bump();
        }
        is_new
    }

    /// Since when it is connected without a break.
    pub(crate) fn connected_since(&self) -> Option<Timestamp> {
        lock(&self.view).connected_since
    }

    pub(crate) fn devices(&self) -> Option<(Timestamp, Arc<[ControllerDevice]>)> {
        lock(&self.view).devices.clone()
    }

    pub(crate) fn put_devices(&self, devices: Vec<ControllerDevice>, now: Timestamp) {
        lock(&self.view).devices = Some((now, devices.into()));
        self.bump();
        self.upkeep.notify_one();
    }

    /// Takes an answer to a question that was asked when `known` was known, unless something newer was told meanwhile.
    pub(crate) fn put_read(&self, known: Option<Timestamp>, devices: Vec<ControllerDevice>, now: Timestamp) {
        if self.devices().map(|(read, _)| read) == known {
            self.put_devices(devices, now);
        }
    }

    pub(crate) fn put_handle(&self, handle: Option<Arc<dyn ControllerHandle>>) {
        lock(&self.view).handle = handle;
        self.bump();
    }

    pub(crate) fn handle(&self) -> Option<Arc<dyn ControllerHandle>> {
        lock(&self.view).handle.clone()
    }

    pub(crate) fn put_gap(&self, gap: Gap) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
        let gaps = &mut lock(&self.view).gaps;
        gaps.push_front(gap);
        gaps.truncate(GAPS);
    }

    /// Takes the gaps that were on account before this server started.
    pub(crate) fn put_earlier_gaps(&self, earlier: Vec<Gap>) {
        let gaps = &mut lock(&self.view).gaps;
        gaps.extend(earlier);
        gaps.truncate(GAPS);
    }

    /// The newest gaps, newest first.
    pub(crate) fn gaps(&self) -> Vec<Gap> {
        lock(&self.view).gaps.iter().cloned().collect()
    }

    pub(crate) fn put_keep(&self, kept: Option<Secret>) {
        *lock(&self.keep) = Some(kept);
        self.upkeep.notify_one();
    }

    /// What is to be kept and is not stored yet, once.
    pub(crate) fn take_keep(&self) -> Option<Option<Secret>> {
        lock(&self.keep).take()
    }

    /// Gives back what could not be stored, unless there is something newer.
    pub(crate) fn return_keep(&self, kept: Option<Secret>) {
        lock(&self.keep).get_or_insert(kept);
    }

    pub(crate) fn began(&self, running: Running, started: Timestamp) {
        lock(&self.unstored).insert(running.event, started);
        lock(&self.running).insert(running.event, running);
    }

    /// An event that is to be stored without a task that follows it.
    pub(crate) fn bare(&self, event: EventId, started: Timestamp) {
        lock(&self.unstored).insert(event, started);
        lock(&self.bare).insert(event);
    }

    /// Whether it is still being stored so.
    pub(crate) fn is_bare(&self, event: EventId) -> bool {
        lock(&self.bare).contains(&event)
    }

    /// Something else that is to be stored, from that time on, under a name of its own; until [`Link::is_stored`].
    pub(crate) fn unstored(&self, name: EventId, from: Timestamp) {
        lock(&self.unstored).insert(name, from);
    }

    /// Waits for a turn to store something beside the events' own tasks. Cancel-safe.
    pub(crate) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(&self.room).acquire_owned().await.ok()
    }

    pub(crate) fn resumed(&self, running: Running) {
        lock(&self.running).insert(running.event, running);
    }

    pub(crate) fn is_stored(&self, event: EventId) {
        lock(&self.unstored).remove(&event);
    }

    pub(crate) fn over(&self, event: EventId) {
        lock(&self.running).remove(&event);
        lock(&self.unstored).remove(&event);
        lock(&self.bare).remove(&event);
    }

    pub(crate) fn running(&self) -> usize {
        lock(&self.running).len()
    }

    /// The start of the oldest detection that is not stored yet.
    pub(crate) fn oldest_unstored(&self) -> Option<Timestamp> {
        lock(&self.unstored).values().min().copied()
    }

    /// Tells an event's task something. False when there is none.
    pub(crate) fn tell(&self, event: EventId, news: impl FnOnce(&mut Story)) -> bool {
        lock(&self.running).get(&event).is_some_and(|running| {
            running.story.send_modify(news);
            true
        })
    }

    /// An event is not open any more. Whoever follows it is woken once only.
    pub(crate) fn is_closed(&self, event: EventId) {
        if let Some(running) = lock(&self.running).get(&event) {
            running.story.send_if_modified(|story| std::mem::replace(&mut story.is_open, false));
        }
    }

    /// Ends the events of a camera, or all, for a reason. One that says that less is wanted takes the place of an earlier
    /// one that does not.
    pub(crate) fn cut(&self, camera: Option<CameraId>, why: Cut) {
        for running in lock(&self.running).values() {
            if camera.is_none_or(|camera| camera == running.camera) {
                running.story.send_modify(|story| story.cut = Some(story.cut.map_or(why, |old| old.then(why))));
            }
        }
    }

    /// The newest event of a camera that has not ended.
    pub(crate) fn open_event(&self, camera: CameraId) -> Option<EventId> {
        let running = lock(&self.running);
        let open = running.values().filter(|r| r.camera == camera && r.story.borrow().is_open);
        open.map(|r| r.event).max()
    }

    /// The live stream of a camera that is kept open.
    pub(crate) fn standing_by(&self, camera: CameraId) -> Option<Live> {
        lock(&self.standby).get(&camera).and_then(|kept| kept.live.clone())
    }

    /// Notes the live stream of a camera that is kept open, or that there is none now.
    pub(crate) fn stand_by(&self, camera: CameraId, live: Option<Live>) {
        if let Some(kept) = lock(&self.standby).get_mut(&camera) {
            kept.live = live;
        }
    }

    /// Paints over what nobody may see in the open streams of a camera, from now on.
    pub(crate) fn hide(&self, camera: CameraId, privacy: &PrivacyMask) {
        let recorded = lock(&self.recorded);
        let theirs = recorded.values().filter(|(of, _)| *of == camera).map(|(_, live)| live.clone());
        for live in self.standing_by(camera).into_iter().chain(theirs) {
            live.hide(privacy);
        }
    }

    /// Whether the last export of a camera's clip worked; `None` when none was tried yet.
    pub(crate) fn export_worked(&self, camera: CameraId) -> Option<bool> {
        lock(&self.exports).get(&camera).copied()
    }

    pub(crate) fn note_export(&self, camera: CameraId, worked: bool) {
        if lock(&self.exports).insert(camera, worked) != Some(worked) {
            self.upkeep.notify_one();
        }
    }

    /// Asks the controller, and waits for a connection that is being made again as long as that may help.
    pub(crate) async fn ask<T, F>(
        &self,
        call: impl Fn(Arc<dyn ControllerHandle>) -> F,
        patient: bool,
    ) -> Result<T, ControllerError>
    where
        F: Future<Output = Result<T, ControllerError>>,
    {
        let mut changed = self.changed.subscribe();
        let deadline = tokio::time::Instant::now() + CONNECTION_WITHIN;
        loop {
            changed.mark_unchanged();
            let asked = match self.handle() {
                Some(handle) => call(handle).await,
                None => Err(ControllerError::Unavailable("the controller is not connected".into())),
            };
            match asked {
                Err(ControllerError::Unavailable(_))
                    if patient && lock(&self.view).stored.config.is_enabled && !self.give_up.is_cancelled() => {}
                done => return done,
            }
            tokio::select! {
                _ = changed.changed() => {}
                () = tokio::time::sleep(Duration::from_secs(5)) => {}
                () = self.give_up.cancelled() => {}
                () = tokio::time::sleep_until(deadline) => {
                    return Err(ControllerError::Unavailable("the controller was not connected for 10 minutes".into()));
                }
            }
        }
    }
}
