//! One task a camera: reads its feed, finds episodes, and keeps what people ask about it.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argus_core::camera::{Camera, CameraConfig, Source};
use argus_core::episode::EndReason;
use argus_core::figures::CameraFigures;
use argus_core::journal::CameraStatusChange;
use argus_core::notification::Notification;
use argus_core::ports::{FeedHandle, FeedItem, FeedPlan, OpenFeed, StreamTrust};
use argus_core::settings::Settings;
use argus_core::status::{CameraLive, CameraState, CameraStatus};
use argus_core::{CameraId, EventId, Picture, Timestamp, chain};
use argus_db::CoverageState;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::Deps;
use crate::analyser::{Analyser, Noticed};
use crate::lifecycle::{EventNews, EventTask, FRAMES_AFTER, NEWS, OpenEvent};
use crate::settings::SettingsWatch;

/// How long a camera that stops waits for its events' last files.
const STOP_WAIT: Duration = Duration::from_secs(4);

/// How long somebody who changes a camera waits until the change acts; longer than a camera takes to stop.
const CONFIGURE_WAIT: Duration = Duration::from_secs(10);
/// An event whose camera brings no more pictures to look at is closed after that long.
const PICTURES_WITHIN: Duration = Duration::from_secs(10);
/// A status that could not be stored is tried again after that long.
const RETELL_AFTER: Duration = Duration::from_secs(2);

/// What a camera's task is told.
pub(crate) enum Command {
    /// The configuration changed.
    Configure {
        /// All of it.
        camera: Box<Camera>,
        /// Told when it acts.
        taken: oneshot::Sender<()>,
    },
    /// End; `abandon`: the camera is being deleted, its events with it.
    Stop {
        /// Whether its events are not wanted any more.
        abandon: bool,
        /// Told when everything is down.
        done: oneshot::Sender<()>,
    },
}

/// What people ask about a camera while its task runs.
pub(crate) struct Live {
    pub(crate) camera: Camera,
    pub(crate) state: CameraState,
    pub(crate) status_since: Timestamp,
    pub(crate) motion_active: bool,
    pub(crate) event_id: Option<EventId>,
    /// Reconnects of feeds that have ended; the present one counts from 0.
    pub(crate) reconnects_before: u64,
    /// The same for pictures received.
    pub(crate) frames_before: u64,
    /// Pictures that were not looked at.
    pub(crate) dropped: u64,
    pub(crate) feed: Option<Arc<dyn FeedHandle>>,
}

/// A camera whose task runs.
#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) live: Arc<Mutex<Live>>,
    pub(crate) commands: mpsc::Sender<Command>,
}

impl Slot {
    /// The answer to `GET /cameras/{id}/status`.
    pub(crate) fn view(&self, now: Timestamp, timezone: &str) -> CameraLive {
        let live = lock(&self.live);
        let config = &live.camera.config;
        let mut state = live.state.clone();
        let figures = live.feed.as_ref().map(|feed| feed.state());
        if let Some(newest) = figures.as_ref().and_then(|figures| figures.last_frame_at) {
            state.last_frame_at = Some(newest);
        }
        if !config.is_enabled {
            // Its task may still be finishing an event; capture is over all the same.
            state = CameraState { status: CameraStatus::Stopped, last_error: None, last_error_kind: None, ..state };
        } else if let Some(figures) = figures {
            // The feed knows the moving figures (rate, newest picture); status and fault are what was announced.
            state.fps = figures.fps;
            state.resolution = figures.resolution.or(state.resolution);
            state.codec = figures.codec.or(state.codec);
            state.reconnects = live.reconnects_before + figures.reconnects;
        }
        CameraLive {
            camera_id: live.camera.id,
            is_enabled: config.is_enabled,
            state,
            status_since: live.status_since,
            schedule_active: config.schedule.as_ref().is_none_or(|s| s.is_active(now, timezone)),
            motion_active: live.motion_active,
            event_id: live.event_id,
        }
    }
}

impl Slot {
    /// What has been counted of it.
    pub(crate) fn figures(&self) -> CameraFigures {
        let live = lock(&self.live);
        let feed = live.feed.as_ref().map(|feed| (feed.frames(), feed.state().reconnects));
        let (frames, reconnects) = feed.unwrap_or_default();
        CameraFigures {
            camera_id: live.camera.id,
            status: if live.camera.config.is_enabled { live.state.status } else { CameraStatus::Stopped },
            frames: live.frames_before + frames,
            reconnects: live.reconnects_before + reconnects,
            dropped: live.dropped,
        }
    }
}

/// A lock that outlives a panic elsewhere: the value is replaced whole, never left half-written.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the task of a camera.
pub(crate) fn start(deps: Arc<Deps>, camera: Camera, last_status: Option<CameraStatus>) -> Slot {
    let (commands, inbox) = mpsc::channel(8);
    let live = Arc::new(Mutex::new(Live {
        state: CameraState::of(if camera.config.is_enabled { CameraStatus::Starting } else { CameraStatus::Stopped }),
        status_since: deps.clock.now(),
        motion_active: false,
        event_id: None,
        reconnects_before: 0,
        frames_before: 0,
        dropped: 0,
        feed: None,
        camera: camera.clone(),
    }));
    // Watched first, so that no change falls between.
    let settings = deps.settings.watch();
    let timezone = deps.settings.now().general.timezone.clone();
    let task = Task {
        analyser: Analyser::new(&camera.config, &timezone),
        live: Arc::clone(&live),
        inbox,
        open: None,
        events: TaskTracker::new(),
        give_up: CancellationToken::new(),
        announced: last_status,
        accounted: None,
        lost_told: last_status.is_some_and(is_lost),
        last_picture: Instant::now(),
        settings,
        timezone,
        camera,
        deps: Arc::clone(&deps),
    };
    deps.tasks.spawn(task.run());
    Slot { live, commands }
}

struct Task {
    deps: Arc<Deps>,
    camera: Camera,
    live: Arc<Mutex<Live>>,
    inbox: mpsc::Receiver<Command>,
    analyser: Analyser,
    open: Option<OpenEvent>,
    events: TaskTracker,
    give_up: CancellationToken,
    /// The last status that clients were told of.
    announced: Option<CameraStatus>,
    /// The status for which it is on account what is received.
    accounted: Option<CameraStatus>,
    /// Whether people were told that the camera gives no picture, and it has given none since.
    lost_told: bool,
    /// When the last picture came.
    last_picture: Instant,
    settings: SettingsWatch,
    /// That of the settings, by which the analyser goes.
    timezone: String,
}

/// Why the inner loop of a camera ended.
enum Next {
    /// Build the feed anew, or none when the camera is not enabled.
    Reopen,
    /// End the task.
    End { abandon: bool, done: Option<oneshot::Sender<()>> },
}

impl Task {
    async fn run(mut self) {
        let (abandon, done) = loop {
            let next = if self.camera.config.is_enabled { self.capture().await } else { self.rest().await };
            if let Next::End { abandon, done } = next {
                break (abandon, done);
            }
        };
        // What was left to go on beside a later feed ends here.
        self.finish_events(&Next::End { abandon, done: None }).await;
        if let Some(done) = done {
            // Whoever asked may have stopped waiting.
            let _ = done.send(());
        }
    }

    /// Waits while capture is not wanted.
    async fn rest(&mut self) -> Next {
        self.state(CameraState::of(CameraStatus::Stopped)).await;
        loop {
            tokio::select! {
                command = self.inbox.recv() => match command {
                    Some(Command::Configure { camera, taken }) => {
                        let reopen = self.configure(*camera);
                        // Whoever asked may have stopped waiting.
                        let _ = taken.send(());
                        if reopen {
                            return Next::Reopen;
                        }
                    }
                    Some(Command::Stop { abandon, done }) => return Next::End { abandon, done: Some(done) },
                    None => return Next::End { abandon: false, done: None },
                },
                settings = self.settings.changed() => self.time_zone(&settings),
                () = sleep(RETELL_AFTER), if self.untold() => self.tell_again().await,
            }
        }
    }

    /// Runs capture until something ends it.
    async fn capture(&mut self) -> Next {
        self.state(CameraState::of(CameraStatus::Starting)).await;
        let OpenFeed { mut stream, handle } = self.deps.feeds.open(plan(&self.camera));
        lock(&self.live).feed = Some(Arc::clone(&handle));
        let next = loop {
            tokio::select! {
                biased;
                command = self.inbox.recv() => match command {
                    Some(Command::Configure { camera, taken }) => {
                        let reopen = self.configure(*camera);
                        // Also when it is about to end: nothing that comes in from now on is shown under the old mask.
                        handle.retune(&plan(&self.camera));
                        // Whoever asked may have stopped waiting.
                        let _ = taken.send(());
                        if reopen {
                            break Next::Reopen;
                        }
                    }
                    Some(Command::Stop { abandon, done }) => break Next::End { abandon, done: Some(done) },
                    None => break Next::End { abandon: false, done: None },
                },
                item = stream.next() => match item {
                    Some(FeedItem::Picture(picture)) => self.picture(&picture, &handle),
                    Some(FeedItem::State(state)) => {
                        let over = state.status == CameraStatus::Stopped;
                        self.lost_if_not_online(&state);
                        self.state(state).await;
                        if over && self.file_ended().await {
                            break Next::Reopen;
                        }
                    }
                    Some(FeedItem::Dropped { pictures }) => {
                        lock(&self.live).dropped += pictures;
                        warn!(camera.id = %self.camera.id, pictures, "pictures were not looked at: the machine is too slow");
                    }
                    None => {
                        error!(camera.id = %self.camera.id, "capture ended by itself; it is started anew");
                        break Next::Reopen;
                    }
                },
                settings = self.settings.changed() => self.time_zone(&settings),
                () = sleep_until(self.last_picture + PICTURES_WITHIN), if self.open.is_some() => {
                    warn!(camera.id = %self.camera.id, "video comes in, but no pictures to look at: the event is closed");
                    let noticed = self.analyser.lost(self.deps.clock.now());
                    self.act(noticed, &handle);
                }
                () = sleep(RETELL_AFTER), if self.untold() => self.tell_again().await,
            }
        };
        let noticed = self.analyser.stop(self.deps.clock.now());
        self.act(noticed, &handle);
        // Nobody looks for its end any more.
        lock(&self.live).motion_active = false;
        if let Next::End { abandon: true, .. } = next {
            self.abandon_open();
        }
        // Side by side: what is in memory stays until the events have their pictures, and their clips end with the stream.
        let stopped = tokio::time::timeout(STOP_WAIT, handle.stop());
        let (stopped, ()) = tokio::join!(stopped, self.finish_events(&next));
        if stopped.is_err() {
            warn!(camera.id = %self.camera.id, "capture does not end; it is left to itself");
        }
        let mut live = lock(&self.live);
        live.feed = None;
        let last = handle.state();
        // Until then video came in, and no longer: the account goes by it, and so does whoever asks.
        live.state.last_frame_at = last.last_frame_at.or(live.state.last_frame_at);
        live.reconnects_before += last.reconnects;
        live.frames_before += handle.frames();
        drop(live);
        next
    }

    /// Takes a new configuration; true when the feed must be built anew for it.
    fn configure(&mut self, camera: Camera) -> bool {
        let (old, new) = (&self.camera.config, &camera.config);
        // Whoever changes or starts a camera that is in trouble has mended something: it is tried again at once.
        let in_trouble = matches!(lock(&self.live).state.status, CameraStatus::Error | CameraStatus::Offline);
        let reopen = in_trouble
            || source_differs(&old.source, &new.source)
            || old.is_enabled != new.is_enabled
            || old.motion_enabled != new.motion_enabled;
        if analysis_differs(old, new) {
            self.analyser.reconfigure(new, &self.timezone);
        }
        lock(&self.live).camera = camera.clone();
        self.camera = camera;
        reopen
    }

    /// Lets schedules that name no time zone go by that of the settings.
    fn time_zone(&mut self, settings: &Settings) {
        if self.timezone != settings.general.timezone {
            self.timezone.clone_from(&settings.general.timezone);
            self.analyser.reconfigure(&self.camera.config, &self.timezone);
        }
    }

    fn picture(&mut self, picture: &Picture, handle: &Arc<dyn FeedHandle>) {
        self.last_picture = Instant::now();
        match self.analyser.look(picture) {
            Ok(noticed) => {
                handle.on_motion(self.analyser.is_moving(), self.analyser.is_changed());
                self.act(noticed, handle);
            }
            Err(e) => warn!(camera.id = %self.camera.id, "a picture could not be analysed: {}", chain(&e)),
        }
        if let (Some(open), Some(episode)) = (&mut self.open, self.analyser.running()) {
            if !open.frames_asked && picture.taken_at.since(open.since) >= FRAMES_AFTER {
                open.frames_asked = true;
                open.tell(EventNews::FramesDue(Box::new(episode.clone())));
            }
            open.progress(picture.taken_at, episode);
        }
        lock(&self.live).motion_active = self.analyser.is_moving();
    }

    fn act(&mut self, noticed: Vec<Noticed>, handle: &Arc<dyn FeedHandle>) {
        for one in noticed {
            match one {
                Noticed::Began(episode) => {
                    // A stream's clock may run some milliseconds before ours; nothing is seen before it was taken.
                    let now = self.deps.clock.now().max(episode.since);
                    let id = EventId::new(now);
                    let (news, inbox) = mpsc::channel(NEWS);
                    self.open =
                        Some(OpenEvent { id, since: episode.since, frames_asked: false, told_at: episode.since, news });
                    lock(&self.live).event_id = Some(id);
                    let task = EventTask {
                        deps: Arc::clone(&self.deps),
                        camera: self.camera.clone(),
                        feed: Arc::clone(handle),
                        id,
                        detected_at: now,
                        news: inbox,
                        give_up: self.give_up.clone(),
                        gone: AtomicBool::new(false),
                    };
                    self.events.spawn(task.run(episode));
                }
                Noticed::Ended { episode, reason, closed_at } => {
                    if let Some(open) = self.open.take() {
                        info!(event.id = %open.id, camera.id = %self.camera.id, %reason, "movement is over");
                        let broken_off = matches!(reason, EndReason::Stopped | EndReason::Lost).then_some(closed_at);
                        open.tell(EventNews::Ended { episode, broken_off });
                    }
                    lock(&self.live).event_id = None;
                }
            }
        }
    }

    fn abandon_open(&mut self) {
        if let Some(open) = self.open.take() {
            open.tell(EventNews::Abandoned);
        }
    }

    fn lost_if_not_online(&mut self, state: &CameraState) {
        if state.status == CameraStatus::Online {
            return;
        }
        let noticed = self.analyser.lost(self.deps.clock.now());
        for one in noticed {
            if let Noticed::Ended { episode, reason, closed_at } = one {
                if let Some(open) = self.open.take() {
                    info!(event.id = %open.id, camera.id = %self.camera.id, %reason, "the picture was lost during an event");
                    open.tell(EventNews::Ended { episode, broken_off: Some(closed_at) });
                }
                lock(&self.live).event_id = None;
            }
        }
        lock(&self.live).motion_active = false;
    }

    /// A file that does not loop is over: as if it had been stopped. True when the camera now rests.
    async fn file_ended(&mut self) -> bool {
        let now = self.deps.clock.now();
        let edit = |camera: &Camera| {
            Ok::<_, std::convert::Infallible>(CameraConfig { is_enabled: false, ..camera.config.clone() })
        };
        match self.deps.db.camera_edit(self.camera.id, now, edit).await {
            Ok(Ok((_, camera))) => self.configure(camera),
            Ok(Err(never)) => match never {},
            Err(e) => {
                error!(camera.id = %self.camera.id, "the end of the file could not be stored: {}", chain(&e));
                false
            }
        }
    }

    /// Publishes a state, stores and announces it when the status changed, and keeps account of what is missed.
    async fn state(&mut self, mut state: CameraState) {
        let now = self.deps.clock.now();
        {
            let mut live = lock(&self.live);
            if live.state.status != state.status {
                live.status_since = now;
            }
            // What was known of the stream stays known while there is none.
            state.last_frame_at = state.last_frame_at.or(live.state.last_frame_at);
            state.resolution = state.resolution.or_else(|| live.state.resolution.clone());
            state.codec = state.codec.or_else(|| live.state.codec.clone());
            state.reconnects += live.reconnects_before;
            live.state = state.clone();
        }
        self.announce(state, now).await;
    }

    /// Whether the last status has not been stored yet.
    fn untold(&self) -> bool {
        let status = lock(&self.live).state.status;
        self.announced != Some(status) || self.accounted != Some(status)
    }

    async fn tell_again(&mut self) {
        let state = lock(&self.live).state.clone();
        self.announce(state, self.deps.clock.now()).await;
    }

    /// Stores a changed status with its message, and from when what is received. What fails is tried again.
    async fn announce(&mut self, state: CameraState, now: Timestamp) {
        let (status, reason) = (state.status, state.last_error.clone());
        if self.accounted != Some(status) {
            // Silence is noticed late, and an end takes a moment; the account says since when nothing came in.
            let was_online = self.announced == Some(CameraStatus::Online);
            let from = state.last_frame_at.filter(|_| was_online).map_or(now, |last| last.min(now));
            let coverage = match status {
                CameraStatus::Online => CoverageState::Received,
                CameraStatus::Stopped => CoverageState::Stopped,
                _ => CoverageState::Missing,
            };
            match self.deps.db.coverage_switch(self.camera.id, from, coverage, reason.clone()).await {
                Ok(()) => self.accounted = Some(status),
                Err(e) => warn!(camera.id = %self.camera.id, "what was received could not be stored: {}", chain(&e)),
            }
        }
        if self.announced == Some(status) {
            return;
        }
        match &reason {
            Some(reason) => {
                warn!(camera.id = %self.camera.id, camera.name = %self.camera.config.name, %status, "{reason}");
            }
            None => {
                info!(camera.id = %self.camera.id, camera.name = %self.camera.config.name, %status, "camera status");
            }
        }
        let change = CameraStatusChange::new(self.camera.id, &self.camera.config.name, state, self.announced);
        let notice = (is_lost(status) && !self.lost_told && self.camera.config.is_enabled).then(|| {
            let lasting = status == CameraStatus::Error;
            Notification::camera_offline(self.camera.id, &self.camera.config.name, reason.as_deref(), lasting, now)
        });
        match self.deps.db.camera_state_tell(change, notice, now).await {
            Ok(()) => {
                self.announced = Some(status);
                // Between two tries it is still the same spell; a picture ends it, and so does a person who stops it.
                self.lost_told = match status {
                    CameraStatus::Online | CameraStatus::Stopped => false,
                    status => self.lost_told || is_lost(status),
                };
            }
            Err(e) => warn!(camera.id = %self.camera.id, "the camera's status could not be stored: {}", chain(&e)),
        }
    }

    /// Waits for the events' tasks, up to a limit. Those that take longer are given up when the camera ends, and go on
    /// beside the next feed when it does not.
    async fn finish_events(&mut self, next: &Next) {
        if let Next::End { abandon: true, .. } = next {
            self.abandon_open();
            self.give_up.cancel();
        }
        self.events.close();
        if tokio::time::timeout(STOP_WAIT, self.events.wait()).await.is_err() && matches!(next, Next::End { .. }) {
            warn!(camera.id = %self.camera.id, "events were not finished in time; the next start finishes them");
            self.give_up.cancel();
        }
        self.events.reopen();
    }
}

/// Nobody gets a picture, and not only for a moment.
fn is_lost(status: CameraStatus) -> bool {
    matches!(status, CameraStatus::Offline | CameraStatus::Error)
}

/// What a camera asks of its feed.
fn plan(camera: &Camera) -> FeedPlan {
    let config = &camera.config;
    FeedPlan {
        camera_id: camera.id,
        source: config.source.clone(),
        analysis_rate: config.motion_enabled.then_some(config.frame_rate),
        // The pictures are chosen at most `FRAMES_AFTER` from the start; a second or two pass until that is done.
        keep: Duration::from_secs(config.pre_roll_s.into()).max(FRAMES_AFTER) + Duration::from_secs(4),
        privacy: config.privacy(),
        trust: StreamTrust::Any,
    }
}

/// Whether the feed must be built anew for another source.
fn source_differs(old: &Source, new: &Source) -> bool {
    match (old, new) {
        // The feed of a controller's camera takes names and adoptions as they come.
        (Source::Protect(old), Source::Protect(new)) => old.controller_id != new.controller_id,
        (old, new) => old != new,
    }
}

fn analysis_differs(old: &CameraConfig, new: &CameraConfig) -> bool {
    old.motion_sensitivity != new.motion_sensitivity
        || old.frame_rate != new.frame_rate
        || old.zones != new.zones
        || old.schedule != new.schedule
        || old.episode_rules() != new.episode_rules()
}

/// What is to be hidden is hidden at once, however busy the camera's task is: what it stores from here on is covered.
fn hide(slot: &Slot, camera: &Camera) {
    let live = lock(&slot.live);
    if let Some(feed) = &live.feed {
        feed.retune(&FeedPlan { privacy: camera.config.privacy(), ..plan(&live.camera) });
    }
}

/// Tells a camera's task its new configuration and waits, for a limited time, until that acts.
pub(crate) async fn configure(slot: &Slot, camera: &Camera) {
    hide(slot, camera);
    let (taken, acts) = oneshot::channel();
    let command = Command::Configure { camera: Box::new(camera.clone()), taken };
    if slot.commands.send(command).await.is_err() {
        warn!(camera.id = %camera.id, "the camera's task has ended; the change acts at the next start");
        return;
    }
    match tokio::time::timeout(CONFIGURE_WAIT, acts).await {
        Ok(Ok(())) => {}
        Ok(Err(_ended)) => warn!(camera.id = %camera.id, "the camera's task ended; the change acts at the next start"),
        Err(_elapsed) => warn!(camera.id = %camera.id, "the camera is still busy; the change acts when it is not"),
    }
}

/// Asks a camera's task to end and waits for it.
pub(crate) async fn stop(slot: &Slot, id: CameraId, abandon: bool) {
    let (done, ended) = oneshot::channel();
    if slot.commands.send(Command::Stop { abandon, done }).await.is_err() || ended.await.is_err() {
        warn!(camera.id = %id, "the camera's task had ended already");
    }
}
