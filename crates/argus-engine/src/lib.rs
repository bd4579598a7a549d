//! The running system: one task a camera, the life of an event, the analysis queue, retention.
//!
//! It sees cameras and describers only as the ports of argus-core, and knows neither HTTP nor any vendor nor GStreamer.
//! Everything it tells is first stored; what a crash leaves unfinished is finished by the next [`Engine::start`].
//!
//! The decisions can be used alone: an [`Analyser`] makes episodes of pictures, from wherever they come.
//!
//! ```
//! use argus_core::camera::{CameraFields, SourceType};
//! use argus_core::{LumaPlane, Picture, Timestamp};
//! use argus_engine::Analyser;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let camera = CameraFields::new("Door", SourceType::Test).check()?;
//! let mut analyser = Analyser::new(&camera, "UTC");
//! let picture = Picture {
//!     taken_at: Timestamp::from_millis(0),
//!     luma: LumaPlane::new(320, 180, vec![90; 320 * 180])?,
//!     full_size: (640, 360),
//!     session: 1,
//! };
//! assert!(analyser.look(&picture)?.is_empty());
//! # Ok(())
//! # }
//! ```

mod account;
mod ai;
mod analyser;
mod analysis;
mod camera;
mod clock;
mod control;
mod counters;
mod error;
mod lifecycle;
pub mod look;
mod media;
pub mod moments;
mod persist;
mod protect;
mod reanalysis;
mod recovery;
mod removal;
mod retention;
mod reuse;
mod settings;
mod sweep;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use argus_core::controller::Controllers;
use argus_core::ports::{CameraFeeds, Describer};
use argus_core::{CameraId, Clock, ProviderId, Timestamp, chain};
use argus_db::Database;
use object_store::ObjectStore;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

pub use analyser::{Analyser, Episode, Moment, Noticed};
pub use clock::SystemClock;
pub use error::EngineError;
pub use media::{LocalDisk, MediaDisk, media_folder};

/// What an engine is made of.
pub struct EngineParts {
    /// Rows and the journal.
    pub db: Database,
    /// Pictures and clips.
    pub media: Arc<dyn ObjectStore>,
    /// The disk on which these lie.
    pub disk: Arc<dyn MediaDisk>,
    /// Cameras.
    pub feeds: Arc<dyn CameraFeeds>,
    /// Controllers of cameras.
    pub controllers: Arc<dyn Controllers>,
    /// Words.
    pub describer: Arc<dyn Describer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// What every task works with.
struct Deps {
    db: Database,
    media: media::Media,
    disk: Arc<dyn MediaDisk>,
    spell: retention::Spell,
    /// Tells that there is something in the trash.
    trash: Notify,
    /// Tells that a camera's deletion was broken off.
    deletions: Notify,
    feeds: Arc<dyn CameraFeeds>,
    controllers: Arc<dyn Controllers>,
    protect: Arc<protect::Hub>,
    describer: Arc<dyn Describer>,
    clock: Arc<dyn Clock>,
    settings: settings::Current,
    /// The describer is told of providers by one at a time.
    providers_turn: tokio::sync::Mutex<Vec<(ProviderId, Timestamp)>>,
    /// Pictures of others that are decoded at the same time: each may take 200 MB for a moment.
    decoding: Arc<tokio::sync::Semaphore>,
    /// Wakes the analysis queue.
    jobs: Notify,
    /// Counts analyses that ended, for those who wait for one.
    answered: watch::Sender<u64>,
    cancel: CancellationToken,
    tasks: TaskTracker,
    counters: counters::Counters,
    /// Every camera.
    slots: Mutex<HashMap<CameraId, camera::Slot>>,
    /// Whose turn it is to change a camera.
    turns: Mutex<HashMap<CameraId, Arc<tokio::sync::Mutex<()>>>>,
}

/// What the last tasks get to end, after the cameras have.
const STOP_WAIT: Duration = Duration::from_secs(2);
/// So often it is noted that what is received still is; a crash claims nothing beyond it.
const ACCOUNT_EVERY: Duration = Duration::from_secs(5);

/// Keeps the account of what was received up to date until the server stops.
async fn account(deps: Arc<Deps>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(ACCOUNT_EVERY) => {}
            () = deps.cancel.cancelled() => return,
        }
        if let Err(e) = deps.db.coverage_seen(deps.clock.now()).await {
            warn!("what is received could not be noted: {}", chain(&e));
        }
    }
}

/// The running system.
pub struct Engine {
    deps: Arc<Deps>,
}

impl Engine {
    /// Finishes what the last run left unfinished, then starts every camera and the analysis queue.
    ///
    /// # Errors
    /// `Database` or `Media` when what was left cannot be read or put right.
    pub async fn start(parts: EngineParts) -> Result<Arc<Self>, EngineError> {
        let settings = settings::Current::load(&parts.db).await?;
        let protect = Arc::new(protect::Hub::default());
        let feeds = protect::WithControllers { others: parts.feeds, hub: Arc::clone(&protect) };
        let deps = Arc::new(Deps {
            db: parts.db,
            media: media::Media::new(parts.media),
            disk: parts.disk,
            spell: retention::Spell::default(),
            trash: Notify::new(),
            deletions: Notify::new(),
            feeds: Arc::new(feeds),
            controllers: parts.controllers,
            protect,
            describer: parts.describer,
            clock: parts.clock,
            settings,
            providers_turn: tokio::sync::Mutex::default(),
            decoding: Arc::new(tokio::sync::Semaphore::new(1)),
            jobs: Notify::new(),
            answered: watch::Sender::new(0),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
            counters: counters::Counters::default(),
            slots: Mutex::default(),
            turns: Mutex::default(),
        });
        let started = deps.clock.now();
        let left = recovery::run(&deps).await?;
        ai::configure(&deps).await?;
        let told: HashMap<_, _> =
            deps.db.camera_last_states().await?.into_iter().map(|last| (last.camera_id, last.status)).collect();
        for camera in deps.db.camera_all().await? {
            let last = told.get(&camera.id).copied();
            let (id, slot) = (camera.id, camera::start(Arc::clone(&deps), camera, last));
            camera::lock(&deps.slots).insert(id, slot);
        }
        protect::start(&deps, left).await?;
        info!(cameras = camera::lock(&deps.slots).len(), "engine started");
        deps.tasks.spawn(analysis::run(Arc::clone(&deps)));
        deps.tasks.spawn(account(Arc::clone(&deps)));
        deps.tasks.spawn(removal::run(Arc::clone(&deps)));
        deps.tasks.spawn(retention::run(Arc::clone(&deps)));
        deps.tasks.spawn(sweep::run(Arc::clone(&deps), started));
        Ok(Arc::new(Self { deps }))
    }

    /// Closes every event, completes every file that can be completed in a few seconds, and ends every task.
    pub async fn stop(&self) {
        self.deps.cancel.cancel();
        let slots: Vec<_> = camera::lock(&self.deps.slots).iter().map(|(id, slot)| (*id, slot.clone())).collect();
        let stops = slots.iter().map(|(id, slot)| camera::stop(slot, *id, false));
        tokio::join!(futures_util::future::join_all(stops), self.deps.protect.stop());
        camera::lock(&self.deps.slots).clear();
        self.deps.tasks.close();
        if tokio::time::timeout(STOP_WAIT, self.deps.tasks.wait()).await.is_err() {
            warn!("not every task has ended in time; what is left is resumed at the next start");
        }
        // From here on nothing is received: the account ends now, not at the next start.
        if let Err(e) = self.deps.db.coverage_close_all(self.deps.clock.now()).await {
            warn!("what was received until now could not be stored: {}", chain(&e));
        }
        info!("engine stopped");
    }
}
