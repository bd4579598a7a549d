//! The port to cameras: opens feeds, tries sources.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

use argus_core::camera::Source;
use argus_core::ports::{
    CameraFeeds, ClipRecorder, FeedError, FeedHandle, FeedItem, FeedPlan, FeedStream, OpenFeed, Probe, Still, StillSpec,
};
use argus_core::status::CameraState;
use argus_core::{Clock, Invalid, PrivacyMask, Timestamp};
use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::clip::Studio;
use crate::media_path::resolve;
use crate::queue::Queue;
use crate::shared::Shared;
use crate::source::{Opener, supervise};
use crate::{CaptureError, clip, gst, probe, still};

/// Which pictures are decoded for motion detection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GateMode {
    /// All of them.
    #[default]
    Off,
    /// Those that the sizes of the coded pictures make worth it.
    Packets,
}

/// What [`Feeds`] needs.
#[derive(Clone)]
pub struct FeedsConfig {
    /// From where files may be read.
    pub media_dirs: Vec<PathBuf>,
    /// Where clips are written before they are handed over; must exist.
    pub temp_dir: PathBuf,
    /// Wall time, read once a session.
    pub clock: Arc<dyn Clock>,
    /// Which pictures are decoded.
    pub gate: GateMode,
}

impl std::fmt::Debug for FeedsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FeedsConfig")
            .field("media_dirs", &self.media_dirs)
            .field("temp_dir", &self.temp_dir)
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}

/// Cameras through GStreamer.
#[derive(Clone, Debug)]
pub struct Feeds {
    config: FeedsConfig,
    media_dirs: Arc<[PathBuf]>,
    /// Decodings for stills at one time, in all: they would take the cores from the cameras.
    stills: Arc<Semaphore>,
    /// Clips that are painted over at one time.
    painting: Arc<Semaphore>,
}

impl Feeds {
    /// Starts GStreamer and looks whether everything needed is installed.
    ///
    /// # Errors
    /// `Start` when GStreamer does not work, `MissingElement` with the Debian package to install.
    pub fn new(config: FeedsConfig) -> Result<Self, CaptureError> {
        gst::element::start()?;
        let media_dirs = config.media_dirs.clone().into();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self { config, media_dirs, stills: Arc::new(Semaphore::new(cores)), painting: Arc::new(Semaphore::new(1)) })
    }
}

#[async_trait]
impl CameraFeeds for Feeds {
    fn check(&self, source: &Source) -> Result<(), Invalid> {
        if let Source::File { path, .. } = source {
            resolve(&self.media_dirs, path).map_err(|fault| Invalid::new("file_path", fault.reason()))?;
        }
        Ok(())
    }

    /// Needs the runtime's context.
    fn open(&self, plan: FeedPlan) -> OpenFeed {
        let (clock, gate) = (self.config.clock.clone(), self.config.gate);
        let shared = Arc::new(Shared::new(clock, plan.analysis_rate, gate, plan.keep, plan.privacy));
        let tracker = TaskTracker::new();
        let cancel = CancellationToken::new();
        let opener = Opener {
            source: plan.source,
            trust: plan.trust,
            media_dirs: self.media_dirs.clone(),
            tracker: tracker.clone(),
        };
        let span = tracing::info_span!("camera", camera.id = %plan.camera_id);
        let (task, stop) = (shared.clone(), cancel.clone());
        // Only spreads the pauses of cameras that were lost together.
        let mut seed = DefaultHasher::new();
        plan.camera_id.hash(&mut seed);
        let seed = seed.finish();
        tracker.spawn(
            async move {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = supervise(&opener, &task, seed) => stop.cancelled().await,
                }
                task.closed();
            }
            .instrument(span),
        );
        tracker.close();
        let queue = shared.queue.clone();
        OpenFeed {
            stream: Box::new(Stream { queue }),
            handle: Arc::new(Handle {
                shared,
                tracker,
                studio: Studio { dir: self.config.temp_dir.clone(), turn: self.painting.clone() },
                stills: self.stills.clone(),
                stop: cancel.drop_guard(),
            }),
        }
    }

    async fn probe(&self, source: &Source, privacy: &PrivacyMask) -> Probe {
        probe::probe(source.clone(), privacy.clone(), self.media_dirs.clone(), self.config.clock.clone()).await
    }
}

struct Stream {
    queue: Arc<Queue>,
}

#[async_trait]
impl FeedStream for Stream {
    async fn next(&mut self) -> Option<FeedItem> {
        self.queue.next().await
    }
}

struct Handle {
    shared: Arc<Shared>,
    tracker: TaskTracker,
    studio: Studio,
    stills: Arc<Semaphore>,
    /// A feed that is forgotten is stopped.
    stop: DropGuard,
}

#[async_trait]
impl FeedHandle for Handle {
    fn state(&self) -> CameraState {
        self.shared.state()
    }

    fn frames(&self) -> u64 {
        self.shared.frames()
    }

    async fn stills(&self, wanted: &[Timestamp], specs: &[StillSpec]) -> Result<Vec<Vec<Still>>, FeedError> {
        let _permit = self.stills.acquire().await;
        still::stills(self.shared.snapshot(), wanted.to_vec(), specs.to_vec()).await
    }

    async fn snapshot(&self, max_width: Option<u32>) -> Result<Still, FeedError> {
        let _permit = self.stills.acquire().await;
        still::newest(&self.shared, max_width).await
    }

    async fn start_clip(&self, from: Timestamp) -> Result<Box<dyn ClipRecorder>, FeedError> {
        clip::start(&self.shared, from, self.studio.clone()).await
    }

    fn on_motion(&self, moving: bool, changed: bool) {
        self.shared.tell_motion(moving, changed);
    }

    fn retune(&self, plan: &FeedPlan) {
        self.shared.retune(plan.analysis_rate, plan.keep, plan.privacy.clone());
    }

    async fn stop(&self) {
        self.stop.token().cancel();
        self.tracker.wait().await;
    }
}
