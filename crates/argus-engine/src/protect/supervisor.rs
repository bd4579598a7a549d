//! One task a controller: reads what it tells, decides which detections make events, and keeps its connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use argus_core::camera::{Camera, Source};
use argus_core::controller::{
    ControllerFault, ControllerItem, ControllerPlan, ControllerStatus, Happening, HappeningPhase, OpenController,
    StoredController,
};
use argus_core::event::DetectionType;
use argus_core::{EventId, Timestamp, chain};
use argus_db::{ClipState, ControllerMemory, FramesState, UnfinishedEvent};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::brief;
use super::event::{Cut, Origin, ProtectEvent, Story};
use super::follow;
use super::link::{Command, Gap, Link, Running, blank};
use super::standby;
use super::tracker::{Decision, Rules, Span, Tracker};
use crate::Deps;
use crate::camera::lock;
use crate::persist::persist;

/// How long a controller that stops waits for its events' last steps.
const STOP_WAIT: Duration = Duration::from_secs(4);
/// So many events may run at a time; of more, nothing but the event itself is kept ([`brief`]).
const EVENTS: usize = 2048;
/// Detections of so long ago are read at the start, so that none makes a second event.
const SEEN_BEFORE: Duration = Duration::from_secs(2 * 24 * 3600);
/// And so many at most.
const SEEN: u32 = 4000;
/// A stored detection may still be on its way when it is noted until when all are known.
const KNOWN_LAG: Duration = Duration::from_secs(30);
/// So often it is noted.
const NOTE_EVERY: Duration = Duration::from_secs(5);
/// The cameras are read so often, when the controller does not tell them by itself.
const DEVICES_EVERY: Duration = Duration::from_secs(300);
/// A database that is away is asked again after that long.
const RETRY: Duration = Duration::from_secs(2);

/// Starts the task of a controller.
pub(crate) fn start(
    deps: &Arc<Deps>,
    stored: StoredController,
    last_connected_at: Option<Timestamp>,
    left: Vec<UnfinishedEvent>,
) -> Arc<Link> {
    let (link, inbox) = Link::new(stored, last_connected_at, deps.protect.changed.clone());
    lock(&deps.protect.links).insert(link.id, Arc::clone(&link));
    let tracker = Tracker::default();
    let task = Supervisor { deps: Arc::clone(deps), link: Arc::clone(&link), inbox, tracker, by_hand: false };
    deps.tasks.spawn(task.run(left));
    link
}

struct Supervisor {
    deps: Arc<Deps>,
    link: Arc<Link>,
    inbox: mpsc::Receiver<Command>,
    tracker: Tracker,
    /// Somebody changed it after it refused the credentials.
    by_hand: bool,
}

/// Why the inner loop of a controller ended.
enum Next {
    /// Connect anew, or rest when it is disabled.
    Again,
    /// End the task.
    End { why: Cut, done: Option<oneshot::Sender<()>> },
}

impl Supervisor {
    async fn run(mut self, left: Vec<UnfinishedEvent>) {
        for one in left {
            self.resume(one);
        }
        let upkeep = self.deps.tasks.spawn(upkeep(Arc::clone(&self.deps), Arc::clone(&self.link)));
        let (why, done) = loop {
            let next = if self.link.stored().config.is_enabled { self.connected().await } else { self.rest().await };
            if let Next::End { why, done } = next {
                break (why, done);
            }
        };
        self.link.cut(None, why);
        self.link.events.close();
        if timeout(STOP_WAIT, self.link.events.wait()).await.is_err() && why == Cut::Shutdown {
            warn!(controller.id = %self.link.id, "events were not finished in time; the next start finishes them");
        }
        self.link.give_up.cancel();
        upkeep.abort();
        note(&self.deps, &self.link).await;
        if let Some(done) = done {
            // Whoever asked may have stopped waiting.
            let _ = done.send(());
        }
    }

    /// Waits while it is not to be connected.
    async fn rest(&mut self) -> Next {
        self.link.put_state(blank(ControllerStatus::Disabled), self.deps.clock.now());
        match self.inbox.recv().await {
            Some(Command::Configure(stored)) => {
                self.link.configure(*stored);
                Next::Again
            }
            Some(Command::Stop { why, done }) => Next::End { why, done: Some(done) },
            None => Next::End { why: Cut::Gone, done: None },
        }
    }

    /// Runs the connection until something ends it.
    async fn connected(&mut self) -> Next {
        self.link.put_state(blank(ControllerStatus::Connecting), self.deps.clock.now());
        let (stored, memory) = match self.remember().await {
            Ok(known) => known,
            Err(next) => return next,
        };
        // How often a password was refused does not count for whoever has just sent it again.
        let kept = memory.kept.filter(|_| !std::mem::take(&mut self.by_hand));
        let plan = ControllerPlan { id: stored.id, config: stored.config, kept, known_until: memory.known_until };
        let OpenController { mut stream, handle } = self.deps.controllers.open(plan);
        self.link.put_handle(Some(Arc::clone(&handle)));
        let next = loop {
            tokio::select! {
                biased;
                command = self.inbox.recv() => match command {
                    Some(Command::Configure(stored)) => {
                        if self.configure(*stored) {
                            break Next::Again;
                        }
                    }
                    Some(Command::Stop { why, done }) => break Next::End { why, done: Some(done) },
                    None => break Next::End { why: Cut::Gone, done: None },
                },
                // With room for what it may make of it, which is bounded by that.
                (item, room) = async { let room = self.link.room().await; (stream.next().await, room) } => match item {
                    Some(item) => self.item(item, room),
                    None => {
                        error!(controller.id = %self.link.id, "its connection ended by itself; it is made anew");
                        sleep(RETRY).await;
                        break Next::Again;
                    }
                },
            }
        };
        if let Next::End { why, .. } = next {
            // While it can still be asked: whoever waits for it is told first.
            self.link.cut(None, why);
        }
        if !self.link.stored().config.is_enabled {
            self.link.cut(None, Cut::Gone);
        }
        self.link.put_handle(None);
        if timeout(STOP_WAIT, handle.stop()).await.is_err() {
            warn!(controller.id = %self.link.id, "its connection does not end; it is left to itself");
        }
        next
    }

    /// Reads what is kept of it, however long the database takes.
    async fn remember(&mut self) -> Result<(StoredController, ControllerMemory), Next> {
        loop {
            let since = self.deps.clock.now().minus(SEEN_BEFORE);
            let read = async {
                let known = self.deps.db.controller_get(self.link.id).await?;
                Ok::<_, argus_db::DbError>((known, self.deps.db.detections_seen(self.link.id, since, SEEN).await?))
            };
            match read.await {
                Ok((known, seen)) => {
                    for one in seen {
                        let camera = lock(&self.deps.slots).get(&one.camera_id).cloned();
                        if let Some(camera) = camera.map(|slot| lock(&slot.live).camera.clone()) {
                            self.tracker.seen(&one, &rules(&camera, true));
                        }
                    }
                    return Ok(known);
                }
                Err(e) => warn!(controller.id = %self.link.id, "what is known of it cannot be read yet: {}", chain(&e)),
            }
            tokio::select! {
                () = sleep(RETRY) => {}
                command = self.inbox.recv() => match command {
                    Some(Command::Configure(stored)) => { self.configure(*stored); }
                    Some(Command::Stop { why, done }) => return Err(Next::End { why, done: Some(done) }),
                    None => return Err(Next::End { why: Cut::Gone, done: None }),
                }
            }
        }
    }

    /// Takes a configuration; true when it must be connected anew for it.
    fn configure(&mut self, stored: StoredController) -> bool {
        let old = self.link.stored().config;
        let renamed = argus_core::controller::ControllerConfig { name: stored.config.name.clone(), ..old.clone() };
        // Whoever changes one that is in trouble has mended something: it is tried again at once.
        let is_refused = self.link.state().last_error_kind == Some(ControllerFault::Unauthorized);
        let anew = renamed != stored.config || is_refused || self.link.state().status != ControllerStatus::Connected;
        // Until the next connection has taken notice of it.
        self.by_hand |= is_refused;
        self.link.configure(stored);
        if anew {
            // They were opened as the old configuration would have it.
            standby::end_all(&self.link);
        }
        anew
    }

    fn item(&mut self, item: ControllerItem, room: Option<OwnedSemaphorePermit>) {
        let now = self.deps.clock.now();
        match item {
            ControllerItem::State(state) => {
                let (status, error) = (state.status, state.last_error.clone());
                let before = self.link.state().status;
                if self.link.put_state(state, now) {
                    self.link.upkeep.notify_one();
                }
                if before != status {
                    let name = self.link.name();
                    if let Some(error) = error {
                        warn!(controller.id = %self.link.id, controller.name = %name, %status, "{error}");
                    } else {
                        info!(controller.id = %self.link.id, controller.name = %name, %status, "controller status");
                    }
                }
            }
            ControllerItem::Devices(devices) => self.link.put_devices(devices, now),
            ControllerItem::Happening(told) => self.happening(told, now, room),
            ControllerItem::Gap { from, until, reason } => self.gap(Gap { from, until, reason }, room),
            ControllerItem::Keep(kept) => self.link.put_keep(kept),
        }
    }

    /// The camera of a device: by its name on the controller, or by its MAC when it was just adopted anew.
    fn camera(&self, device: &str) -> Option<Camera> {
        let mac = self
            .link
            .devices()
            .and_then(|(_, devices)| devices.iter().find(|d| d.id == device).and_then(|d| d.mac.clone()));
        let slots = lock(&self.deps.slots);
        let theirs = |exact: bool| {
            slots.values().find_map(|slot| {
                let live = lock(&slot.live);
                let Source::Protect(source) = &live.camera.config.source else { return None };
                let same = if exact { source.camera_id == device } else { mac.is_some() && source.mac == mac };
                (source.controller_id == Some(self.link.id) && same).then(|| live.camera.clone())
            })
        };
        theirs(true).or_else(|| theirs(false))
    }

    fn happening(&mut self, told: Happening, now: Timestamp, room: Option<OwnedSemaphorePermit>) {
        self.link.happenings.fetch_add(1, Ordering::Relaxed);
        if told.phase == HappeningPhase::Ended && told.end_unknown {
            self.link.ends_unknown.fetch_add(1, Ordering::Relaxed);
        }
        let Some(camera) = self.camera(&told.device).filter(|camera| camera.config.is_enabled) else { return };
        let settings = self.deps.settings.now();
        let schedule = camera.config.schedule.as_ref();
        let active = schedule.is_none_or(|s| s.is_active(told.started_at, &settings.general.timezone));
        let rules = rules(&camera, active);
        match self.tracker.heard(&told, &rules) {
            Decision::Ignore => {}
            Decision::Tell(event, kind) => {
                let known = self.link.tell(event, |story| {
                    story.told = told.clone();
                    story.kind = kind;
                });
                if !known && told.phase != HappeningPhase::Began {
                    self.late(event, told, kind, room);
                }
            }
            Decision::Open(kind) => {
                let id = EventId::new(now.max(told.started_at));
                let span = Span { started: told.started_at, ended: told.ended_at };
                self.tracker.made(&told.id, id, kind, span, &rules);
                self.begin(id, camera, told, kind, room);
            }
        }
    }

    /// Starts the task of a new event.
    fn begin(
        &self,
        id: EventId,
        camera: Camera,
        told: Happening,
        kind: DetectionType,
        room: Option<OwnedSemaphorePermit>,
    ) {
        let bare = self.link.running() >= EVENTS;
        let started = told.started_at;
        let (story, follow) = watch::channel(Story { told, kind, is_open: true, cut: None });
        if bare {
            warn!(controller.id = %self.link.id, event.id = %id, "more than {EVENTS} events at a time: it gets no pictures");
            self.link.bare(id, started);
        } else {
            // Before its task runs, which may say that it is stored, or over, at once.
            self.link.began(Running { camera: camera.id, event: id, story }, started);
        }
        let event = ProtectEvent {
            deps: Arc::clone(&self.deps),
            link: Arc::clone(&self.link),
            camera,
            id,
            started,
            story: follow,
            origin: Origin::Told,
            bare,
            promised: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        };
        if bare {
            self.link.events.spawn(brief::store(event, room));
        } else {
            self.link.events.spawn(event.run());
        }
    }

    /// Goes on with an event that the last run left.
    fn resume(&self, left: UnfinishedEvent) {
        let UnfinishedEvent { event, last_motion, clip, frames } = left;
        let slot = lock(&self.deps.slots).get(&event.camera_id).cloned();
        let Some(camera) = slot.map(|slot| lock(&slot.live).camera.clone()) else { return };
        let Source::Protect(source) = &camera.config.source else { return };
        let told = Happening {
            id: event.protect_event_id.clone().unwrap_or_default(),
            device: source.camera_id.clone(),
            phase: HappeningPhase::Changed,
            kinds: std::iter::once(event.detection_type)
                .chain(DetectionType::ALL.iter().copied().filter(|kind| {
                    *kind != event.detection_type && kind.object().is_some_and(|o| event.objects_detected.contains(&o))
                }))
                .collect(),
            types: event.smart_detection_type.iter().cloned().collect(),
            started_at: event.timestamp,
            ended_at: None,
            end_unknown: false,
            score: Some(event.confidence),
            heard_at: event.trace.detected_at,
            from_history: true,
        };
        let origin = Origin::Left {
            ended_at: event.ended_at.unwrap_or(last_motion).max(event.timestamp),
            frames: frames == FramesState::Pending,
            clip: clip == ClipState::Pending || event.ended_at.is_none(),
        };
        let kind = event.detection_type;
        let (story, follow) = watch::channel(Story { told, kind, is_open: false, cut: None });
        self.link.resumed(Running { camera: camera.id, event: event.id, story });
        let resumed = ProtectEvent {
            deps: Arc::clone(&self.deps),
            link: Arc::clone(&self.link),
            camera,
            id: event.id,
            started: event.timestamp,
            story: follow,
            origin,
            bare: false,
            promised: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        };
        self.link.events.spawn(resumed.run());
    }

    /// Something is told of an event whose task has ended: what it was is noted, nothing is fetched.
    fn late(&self, event: EventId, told: Happening, kind: DetectionType, room: Option<OwnedSemaphorePermit>) {
        let Some(camera) = self.camera(&told.device) else { return };
        let story = Story { told, kind, is_open: false, cut: None };
        let (deps, link) = (Arc::clone(&self.deps), Arc::clone(&self.link));
        self.link.events.spawn(brief::late(deps, link, event, camera, story, room));
    }

    /// Puts on account what may have been missed.
    fn gap(&self, gap: Gap, room: Option<OwnedSemaphorePermit>) {
        warn!(
            controller.id = %self.link.id, from = %gap.from, until = %gap.until,
            "detections may have been missed: {}", gap.reason
        );
        self.link.put_gap(gap.clone());
        let cameras: Vec<_> = lock(&self.deps.slots)
            .values()
            .filter_map(|slot| {
                let live = lock(&slot.live);
                let Source::Protect(source) = &live.camera.config.source else { return None };
                let is_theirs = source.controller_id == Some(self.link.id) && live.camera.config.is_enabled;
                is_theirs.then_some(live.camera.id)
            })
            .collect();
        let (deps, link) = (Arc::clone(&self.deps), Arc::clone(&self.link));
        // Until it is stored the controller is not known beyond it: should the server end before, it is asked again.
        let name = EventId::new(gap.from);
        link.unstored(name, gap.from);
        self.link.events.spawn(async move {
            let _room = room;
            for camera in cameras {
                let gone = AtomicBool::new(false);
                persist(name, &gone, &link.give_up, "put on account what was missed", || {
                    deps.db.coverage_missed(camera, gap.from, gap.until, gap.reason.clone())
                })
                .await;
            }
            link.is_stored(name);
        });
    }
}

/// What of a camera decides about its detections.
fn rules(camera: &Camera, active: bool) -> Rules<'_> {
    let detections: &[DetectionType] = match &camera.config.source {
        Source::Protect(source) => &source.detections,
        _ => &[],
    };
    Rules {
        camera: camera.id,
        detections,
        cooldown: Duration::from_secs(camera.config.motion_cooldown_s.into()),
        longest: Duration::from_secs(camera.config.max_event_s.into()),
        active,
    }
}

/// Everything that may wait for the database, or for the controller, beside its events.
async fn upkeep(deps: Arc<Deps>, link: Arc<Link>) {
    let mut tried_at: Option<Timestamp> = None;
    loop {
        tokio::select! {
            () = link.upkeep.notified() => {}
            () = sleep(NOTE_EVERY) => {}
        }
        note(&deps, &link).await;
        follow::devices(&deps, &link).await;
        standby::reconcile(&deps, &link);
        // A try that failed counts too, and one that is not connected is left alone: each try may be a sign-in.
        let now = deps.clock.now();
        let read_at = link.devices().map(|(read, _)| tried_at.map_or(read, |tried| tried.max(read)));
        if read_at.is_some_and(|at| now.since(at) >= DEVICES_EVERY)
            && link.connected_since().is_some()
            && let Some(handle) = link.handle()
        {
            tried_at = Some(now);
            let known = link.devices().map(|(read, _)| read);
            match handle.devices().await {
                Ok(devices) => link.put_read(known, devices, deps.clock.now()),
                Err(e) => warn!(controller.id = %link.id, "its cameras could not be read: {e}"),
            }
        }
    }
}

/// Stores what is to be kept of a connection.
async fn note(deps: &Deps, link: &Link) {
    let now = deps.clock.now();
    if let Some(kept) = link.take_keep()
        && let Err(e) = deps.db.controller_keep(link.id, kept.clone()).await
    {
        warn!(controller.id = %link.id, "its session could not be stored: {}", chain(&e));
        link.return_keep(kept);
    }
    let Some(since) = link.connected_since() else { return };
    // As far as was really heard: a stream may have been silent for long. What was heard may still be on its way here.
    let heard = link.handle().and_then(|handle| handle.known_until()).map(|heard| heard.min(now.minus(KNOWN_LAG)));
    let Some(known) = heard.filter(|heard| *heard >= since) else { return note_first(deps, link, since).await };
    let known = link.oldest_unstored().map_or(known, |oldest| known.min(oldest));
    if let Err(e) = deps.db.controller_note(link.id, Some(known), Some(now)).await {
        warn!(controller.id = %link.id, "how far it is known could not be stored: {}", chain(&e));
    }
}

/// A controller that was never connected before is known from now on.
async fn note_first(deps: &Deps, link: &Link, since: Timestamp) {
    let noted = async {
        let (_, memory) = deps.db.controller_get(link.id).await?;
        let known = memory.known_until.is_none().then_some(since);
        deps.db.controller_note(link.id, known, Some(since)).await
    };
    if let Err(e) = noted.await {
        warn!(controller.id = %link.id, "that it is connected could not be stored: {}", chain(&e));
    }
}
