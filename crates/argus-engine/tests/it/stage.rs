//! An engine on a fresh database, with everything around it in the hands of the test.

use std::sync::Arc;
use std::time::Duration;

use argus_core::camera::{Camera, CameraConfig, CameraFields, SourceType};
use argus_core::describe::Analysis;
use argus_core::event::{DescriptionStatus, DetectionType, Event, NewEvent};
use argus_core::media::{event_prefix, frame_key};
use argus_core::ports::{Control, ControlError};
use argus_core::{CameraId, Clock, EventId, ManualClock, Timestamp};
use argus_db::{Database, DatabaseConfig, DescriptionPlan, EventChange, NewFrame, SealKey};
use argus_engine::{Engine, EngineParts, MediaDisk};
use object_store::{ObjectStore, ObjectStoreExt as _};
use serde_json::Value;

use crate::console::Consoles;
use crate::describer::Script;
use crate::feed::{Feeds, Log};
use crate::media::Media;

/// Longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Stage {
    pub(crate) db: Database,
    pub(crate) media: Arc<Media>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) log: Arc<Log>,
    pub(crate) script: Arc<Script>,
    pub(crate) consoles: Arc<Consoles>,
    pub(crate) engine: Arc<Engine>,
    _folder: tempfile::TempDir,
}

impl Stage {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = DatabaseConfig::new(folder.path().join("argus.db"), SealKey::new([7; 32]));
        let db = Database::open(config).await.unwrap();
        let media = Arc::new(Media::default());
        let clock = Arc::new(ManualClock::new("2025-12-23T10:30:00Z".parse().unwrap()));
        let (log, script) = (Arc::new(Log::default()), Arc::new(Script::new()));
        let consoles = Arc::new(Consoles::default());
        let engine = engine(&db, &media, &clock, &log, &script, &consoles).await;
        Self { db, media, clock, log, script, consoles, engine, _folder: folder }
    }

    /// Ends the engine in the middle of everything, and starts another on the same data.
    pub(crate) async fn again(&mut self) {
        self.engine.stop().await;
        self.engine = engine(&self.db, &self.media, &self.clock, &self.log, &self.script, &self.consoles).await;
    }

    pub(crate) async fn put(&self, patch: Value) {
        self.engine.settings_put(patch).await.unwrap();
    }

    /// A camera that makes an event of every movement; the test sends its pictures.
    pub(crate) async fn camera(&self, change: impl FnOnce(&mut CameraConfig)) -> Camera {
        let fields = CameraFields { motion_cooldown: 0, post_roll_s: 2, ..CameraFields::new("Wall", SourceType::Test) };
        let mut config = fields.check().unwrap();
        change(&mut config);
        let camera = self.engine.camera_create(config).await.unwrap();
        if camera.config.is_enabled {
            wait("the feed", || async { self.log.is_open(camera.id).then_some(()) }).await;
            self.log.online(camera.id);
        }
        camera
    }

    /// A camera without capture, for events that are made by hand.
    pub(crate) async fn resting(&self) -> Camera {
        self.camera(|c| c.is_enabled = false).await
    }

    /// Sends a whole movement and gives the event once it has everything, its clip included when there is to be one.
    pub(crate) async fn movement(&self, camera: CameraId) -> Event {
        let before = self.events().await.len();
        self.log.pictures(camera, self.clock.now(), 0..110);
        let clips = self.engine.settings().media.store_clips;
        let complete = |e: &Event| {
            e.ended_at.is_some()
                && e.description_status != DescriptionStatus::Pending
                && (e.clip_url.is_some() || !clips)
        };
        let newest = || async {
            let events = self.events().await;
            let is_new = events.len() > before;
            events.into_iter().next().filter(|e| is_new && complete(e))
        };
        wait("the event", newest).await
    }

    pub(crate) async fn events(&self) -> Vec<Event> {
        let paging = argus_db::Paging::Page { page: 1, limit: 100 };
        self.db.event_page(argus_db::EventFilter::default(), paging, argus_db::Sort::Desc).await.unwrap().items
    }

    /// An event with so many stored pictures, whose description may be made at once.
    pub(crate) async fn event(&self, camera: &Camera, frames: u32) -> EventId {
        let id = self.bare_event(camera, frames).await;
        self.queue(id).await;
        id
    }

    /// Lets the description of an event be made, and tells the engine.
    pub(crate) async fn queue(&self, id: EventId) {
        self.db.job_ready(id, None, self.clock.now()).await.unwrap();
        self.nudge().await;
    }

    /// Wakes the queue, as settings that change do.
    pub(crate) async fn nudge(&self) {
        let name = self.engine.settings().general.system_name.clone();
        self.put(serde_json::json!({"general": {"system_name": if name == "A" { "B" } else { "A" }}})).await;
    }

    /// The same whose description waits.
    pub(crate) async fn bare_event(&self, camera: &Camera, frames: u32) -> EventId {
        let now = self.clock.now();
        let new = NewEvent {
            id: EventId::new(now),
            camera_id: camera.id,
            source_type: SourceType::Test,
            detection_type: DetectionType::Motion,
            timestamp: now,
            detected_at: now,
            description: "Motion on Wall.".into(),
            confidence: 60,
            zones: vec![],
            motion: None,
            protect: None,
        };
        self.db.event_open(new.clone(), now, DescriptionPlan::Job { priority: 0 }).await.unwrap();
        let prefix = event_prefix(camera.id, new.id, now);
        let mut rows = Vec::new();
        for index in 0..frames {
            let bytes = format!("picture {index}");
            self.media.put(&frame_key(&prefix, index).into(), bytes.clone().into()).await.unwrap();
            rows.push(NewFrame {
                index,
                offset_ms: i64::from(index) * 500,
                sha256: format!("{index:064}"),
                width: 640,
                height: 360,
                bytes: bytes.len() as u64,
                stored: true,
            });
        }
        self.db.event_change(new.id, vec![EventChange::Frames(rows)], now).await.unwrap();
        new.id
    }

    /// An event that is described, after so many pictures.
    pub(crate) async fn described(&self, camera: &Camera, frames: u32) -> EventId {
        let id = self.event(camera, frames).await;
        self.until(id, |e| e.description_status == DescriptionStatus::Described).await;
        id
    }

    /// An event whose description was asked for and does not come while the gate is closed.
    pub(crate) async fn described_later(&self, camera: &Camera) -> EventId {
        let calls = self.script.calls();
        let id = self.event(camera, 1).await;
        self.calls(calls + 1).await;
        id
    }

    pub(crate) async fn get(&self, id: EventId) -> Event {
        self.db.event_get(id).await.unwrap().unwrap()
    }

    pub(crate) async fn until(&self, id: EventId, done: impl Fn(&Event) -> bool) -> Event {
        wait("the event", || async { Some(self.get(id).await).filter(|e| done(e)) }).await
    }

    pub(crate) async fn receipts(&self, id: EventId) -> Vec<Analysis> {
        self.db.analysis_page(id, 1, 100).await.unwrap().items
    }

    pub(crate) async fn calls(&self, n: usize) {
        wait("the calls", || async { (self.script.calls() >= n).then_some(()) }).await;
    }

    /// Waits until nothing is left to be done at this moment.
    pub(crate) async fn idle(&self) {
        wait("a queue without work", || async {
            // In this order: a job that is taken in between is seen as one that is worked on.
            let next = self.db.job_next_at().await.unwrap();
            let counts = self.db.jobs_count().await.unwrap();
            (counts.leased == 0 && next.is_none_or(|at| at > self.clock.now())).then_some(())
        })
        .await;
    }

    /// Whether a file is in the media store.
    pub(crate) async fn has(&self, key: &str) -> bool {
        self.media.head(&key.into()).await.is_ok()
    }
}

/// Memory has no disk.
struct NoDisk;

impl MediaDisk for NoDisk {
    fn measure(&self) -> std::io::Result<Option<argus_core::retention::Disk>> {
        Ok(None)
    }

    fn folder(&self) -> Option<&std::path::Path> {
        None
    }
}

async fn engine(
    db: &Database,
    media: &Arc<Media>,
    clock: &Arc<ManualClock>,
    log: &Arc<Log>,
    script: &Arc<Script>,
    consoles: &Arc<Consoles>,
) -> Arc<Engine> {
    let parts = EngineParts {
        db: db.clone(),
        media: Arc::clone(media) as Arc<dyn ObjectStore>,
        disk: Arc::new(NoDisk),
        feeds: Arc::new(Feeds(Arc::clone(log))),
        controllers: Arc::new(crate::console::Shared(Arc::clone(consoles))),
        describer: Arc::clone(script) as _,
        clock: Arc::clone(clock) as _,
    };
    Engine::start(parts).await.unwrap()
}

/// Waits until `look` finds something.
pub(crate) async fn wait<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what} did not come in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The class of a refusal.
pub(crate) fn class<T: std::fmt::Debug>(refused: Result<T, ControlError>) -> argus_core::ErrorClass {
    argus_core::Classify::class(&refused.unwrap_err())
}

/// A moment.
pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}
