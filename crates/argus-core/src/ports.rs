//! The seams: what the engine and the API ask of cameras, describers and of each other.

mod ai;
mod protect;

pub use ai::{AiControl, LiveProvider, PictureQuestion, ProviderEdit, Reproduced};
pub use protect::{ControllerCamera, ControllerControl, ControllerEdit, LiveController};

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;

use crate::call::Ledger;
use crate::camera::{Camera, CameraConfig, Source};
use crate::describe::{DescribeOutcome, DescribeRequest, ProviderInfo, Reanalysed, Reanalysis, Resend};
use crate::figures::{Figures, ProviderFigures};
use crate::provider::{
    KindInfo, Prices, ProviderCapabilities, ProviderConfig, ProviderHealth, ProviderTest, StoredProvider,
};
use crate::settings::{Settings, StoredSettings};
use crate::status::{CameraLive, CameraState, FaultKind};
use crate::storage::StorageReport;
use crate::{CameraId, Classify, ErrorClass, EventId, Faults, Invalid, Picture, PrivacyMask, ProviderId, Timestamp};

/// Opens cameras. The real one is argus-capture's; tests may have their own.
#[async_trait]
pub trait CameraFeeds: Send + Sync {
    /// Whether the source may be used at all: a file inside a media directory. Touches no camera.
    ///
    /// # Errors
    /// `Invalid` with the field that is to blame.
    fn check(&self, source: &Source) -> Result<(), Invalid>;

    /// Starts capture and returns at once; the connection is made, watched and made again in the background until the
    /// feed is stopped.
    fn open(&self, plan: FeedPlan) -> OpenFeed;

    /// Tries a source within 15 s, without touching a running camera. What `privacy` hides is painted over in the picture
    /// that is answered.
    async fn probe(&self, source: &Source, privacy: &PrivacyMask) -> Probe;
}

/// What is wanted of a feed.
#[derive(Clone, Debug)]
pub struct FeedPlan {
    /// For log lines.
    pub camera_id: CameraId,
    /// Where the pictures come from.
    pub source: Source,
    /// Pictures a second to be decoded and reduced for motion detection; `None`: nothing is decoded.
    pub analysis_rate: Option<u8>,
    /// How many seconds of video stay in memory, compressed, at least.
    pub keep: Duration,
    /// What is painted over in every still and clip of pictures that come in from now on.
    pub privacy: PrivacyMask,
    /// Which certificate will do, of a source that is encrypted.
    pub trust: StreamTrust,
}

/// Which certificate of an encrypted stream will do. It is decided before anything is asked: an address may be a secret
/// in itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StreamTrust {
    /// Any: cameras sign theirs themselves.
    #[default]
    Any,
    /// One that a root of this system vouches for, with the right name.
    System,
    /// Exactly this one, whoever issued it: SHA-256 of the leaf (DER), 64 hex digits in lower case.
    Pinned(String),
}

/// A running feed: what comes out of it, and what can be asked of it.
pub struct OpenFeed {
    /// Pictures and states, in order.
    pub stream: Box<dyn FeedStream>,
    /// Stills, clips and the end.
    pub handle: Arc<dyn FeedHandle>,
}

/// What comes out of a feed.
#[derive(Clone, Debug)]
pub enum FeedItem {
    /// The state of capture changed. `CameraStatus::Stopped` as the last item: a file that does not loop has ended.
    State(CameraState),
    /// A picture for motion detection.
    Picture(Picture),
    /// Pictures were decoded, or should have been, and were not looked at.
    Dropped {
        /// How many.
        pictures: u64,
    },
}

/// The items of a feed, for one reader.
#[async_trait]
pub trait FeedStream: Send {
    /// The next item; `None` after the feed was stopped. Cancel-safe.
    async fn next(&mut self) -> Option<FeedItem>;
}

/// How a still is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillSpec {
    /// Widest, pixels; never scaled up.
    pub max_width: u32,
    /// 40..95.
    pub quality: u8,
}

/// A JPEG of one moment.
#[derive(Clone, PartialEq, Eq)]
pub struct Still {
    /// When the camera took the picture.
    pub taken_at: Timestamp,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// The file.
    pub jpeg: Bytes,
}

impl std::fmt::Debug for Still {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Still({}x{} at {}, {} bytes)", self.width, self.height, self.taken_at, self.jpeg.len())
    }
}

/// What can be asked of a running feed.
#[async_trait]
pub trait FeedHandle: Send + Sync {
    /// How capture is doing now.
    fn state(&self) -> CameraState;

    /// The pictures nearest to the wanted moments that are still in memory, in order of time and without repeats; fewer,
    /// or none, when the moments have left it. Every spec is made of every picture, in the order of `specs`: one decode
    /// serves them all.
    ///
    /// # Errors
    /// `Stream` when decoding fails.
    async fn stills(&self, wanted: &[Timestamp], specs: &[StillSpec]) -> Result<Vec<Vec<Still>>, FeedError>;

    /// The newest picture.
    ///
    /// # Errors
    /// `NoPicture` when there is none from the last 10 s.
    async fn snapshot(&self, max_width: Option<u32>) -> Result<Still, FeedError>;

    /// Begins a clip at `from`, or at the oldest moment in memory. What comes in is written to a file at once: as it is,
    /// or painted over and encoded anew where a privacy mask holds.
    ///
    /// # Errors
    /// `NoPicture` when nothing is in memory, `Stream` when the file cannot be written.
    async fn start_clip(&self, from: Timestamp) -> Result<Box<dyn ClipRecorder>, FeedError>;

    /// Tells what the newest picture showed: confirmed motion, or anything that may become motion. A feed that decodes
    /// only what is worth it goes by this; others need not care.
    fn on_motion(&self, _moving: bool, _changed: bool) {}

    /// Takes over the rate, the seconds to keep and the privacy mask of a plan, without a break in the stream. The mask
    /// holds for every picture that comes in after this returned. The plan's source is that of the feed, and it decodes
    /// pictures for motion detection when the feed was opened with a rate.
    fn retune(&self, plan: &FeedPlan);

    /// Ends capture and waits until its threads and files are gone.
    async fn stop(&self);

    /// Pictures received since the feed was opened.
    fn frames(&self) -> u64 {
        0
    }
}

/// A clip that is being written.
#[async_trait]
pub trait ClipRecorder: Send {
    /// Ends the clip at `until`, or where the stream broke off, and completes the file.
    ///
    /// # Errors
    /// `NoPicture` when it holds no picture, `Stream` when the file could not be completed.
    async fn finish(self: Box<Self>, until: Timestamp) -> Result<ClipFile, FeedError>;
}

/// A complete MP4 in a temporary place; dropping it removes it.
pub struct ClipFile {
    /// First picture that is shown.
    pub from: Timestamp,
    /// Last picture.
    pub until: Timestamp,
    /// Size of the file.
    pub bytes: u64,
    /// The file; what it holds decides about its removal.
    pub file: Box<dyn AsRef<Path> + Send + Sync>,
}

/// A failure of a feed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// There is no picture to work on.
    #[error("{0}")]
    NoPicture(String),
    /// Receiving, decoding or writing failed.
    #[error("{0}")]
    Stream(String),
}

impl Classify for FeedError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoPicture(_) => ErrorClass::Unavailable,
            Self::Stream(_) => ErrorClass::Upstream,
        }
    }
}

/// How the try of a source came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Probe {
    /// A picture was decoded.
    pub success: bool,
    /// What happened, as a sentence.
    pub message: String,
    /// Kind of failure.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub error_kind: Option<FaultKind>,
    /// Such as `1920x1080`.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub resolution: Option<String>,
    /// Pictures a second, as far as it could be told.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub fps: Option<f64>,
    /// `h264`, `h265`…
    #[cfg_attr(feature = "openapi", schema(required))]
    pub codec: Option<String>,
    /// `data:image/jpeg;base64,…`, 320 wide.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub thumbnail: Option<String>,
    /// At most 15000.
    pub elapsed_ms: u64,
}

/// Puts events into words.
#[async_trait]
pub trait Describer: Send + Sync {
    /// Whether it can describe without pictures.
    fn needs_pictures(&self) -> bool;

    /// Everybody who may be asked, in the order in which they are.
    fn providers(&self) -> Vec<ProviderInfo>;

    /// Describes; the outcome holds everything for the receipt, also after a failure. Every call that goes out is booked
    /// in the ledger first.
    async fn describe(&self, request: &DescribeRequest, ledger: &dyn Ledger) -> DescribeOutcome;

    /// What each kind of provider needs and can do, `configured` by the present providers.
    fn kinds(&self) -> Vec<KindInfo> {
        Vec::new()
    }

    /// Refuses a provider that cannot be asked: an address that is none, a key that is missing.
    ///
    /// # Errors
    /// Every field that breaks a rule.
    fn check(&self, _config: &ProviderConfig) -> Result<(), Faults> {
        Ok(())
    }

    /// Asks these from now on, the enabled ones by priority. What is known of the health of one that is still there and
    /// is reached as before stays.
    fn configure(&self, _providers: &[StoredProvider]) {}

    /// How a provider is doing.
    fn health(&self, _id: ProviderId) -> ProviderHealth {
        ProviderHealth::UNKNOWN
    }

    /// How the enabled providers are doing, for `/metrics`.
    fn figures(&self) -> Vec<ProviderFigures> {
        Vec::new()
    }

    /// What a provider of this configuration can take and give.
    fn capabilities(&self, _config: &ProviderConfig) -> ProviderCapabilities {
        ProviderCapabilities { max_images: 0, image_formats: Vec::new(), json_output: false }
    }

    /// The prices that count for it: those set by hand, else those of the price table; local kinds are free.
    fn prices(&self, config: &ProviderConfig) -> Prices {
        config.prices.unwrap_or_default()
    }

    /// Tries a provider, enabled or not, with a built-in picture.
    async fn test(&self, provider: &StoredProvider, ledger: &dyn Ledger) -> ProviderTest;

    /// Sends an earlier request again, exactly as it was.
    async fn resend(&self, call: &Resend, ledger: &dyn Ledger) -> DescribeOutcome;
}

/// A change of a camera's configuration, computed inside the transaction that stores it, so that two callers at once do
/// not undo each other's.
pub type CameraEdit = Box<dyn FnOnce(&Camera) -> Result<CameraConfig, ControlError> + Send>;

/// What the API asks of the running system. argus-engine's engine is the real one.
#[async_trait]
pub trait Control: Send + Sync {
    /// Adds a camera and starts it when it is enabled.
    ///
    /// # Errors
    /// `Conflict` when the name is taken, `Invalid` when its source may not be used.
    async fn camera_create(&self, config: CameraConfig) -> Result<Camera, ControlError>;

    /// Changes a camera; a changed source restarts capture, everything else acts at once.
    ///
    /// # Errors
    /// `NotFound`, what `edit` says, `Conflict` when the name is taken, `Invalid` when its source may not be used.
    async fn camera_update(&self, id: CameraId, edit: CameraEdit) -> Result<Camera, ControlError>;

    /// Ends capture and removes the camera with its events and their media.
    ///
    /// # Errors
    /// `NotFound`.
    async fn camera_delete(&self, id: CameraId) -> Result<(), ControlError>;

    /// How a camera is doing; `None` for one that is unknown.
    fn camera_live(&self, id: CameraId) -> Option<CameraLive>;

    /// The newest picture of a camera.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when it is stopped, `Unavailable` when there is no picture from the last 10 s.
    async fn camera_snapshot(&self, id: CameraId, max_width: Option<u32>) -> Result<Still, ControlError>;

    /// Whether a source may be used at all.
    ///
    /// # Errors
    /// `Invalid` with the field that is to blame.
    fn source_check(&self, source: &Source) -> Result<(), Invalid>;

    /// Tries a source within 15 s; what `privacy` hides is painted over in the picture that is answered.
    async fn source_probe(&self, source: &Source, privacy: &PrivacyMask) -> Probe;

    /// Removes an event with its media and receipts.
    ///
    /// # Errors
    /// `NotFound`.
    async fn event_delete(&self, id: EventId) -> Result<(), ControlError>;

    /// Health of what runs, by component, for `/system/health`.
    async fn health(&self) -> Health;

    /// The settings as they act now.
    fn settings(&self) -> Arc<Settings>;

    /// The same, with when they were changed last.
    fn settings_stored(&self) -> StoredSettings;

    /// Changes settings by any part of their tree, stored all or nothing; everything acts by them at once. Two callers
    /// at once do not undo each other's changes.
    ///
    /// # Errors
    /// `Invalid` with every fault by its path.
    async fn settings_put(&self, patch: serde_json::Value) -> Result<StoredSettings, ControlError>;

    /// Has an event described again, and waits so long for it. A failed one leaves the event as it was.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a provider that nobody knows; `Conflict` when a description is being made, no picture
    /// is stored or a budget is spent; `Exhausted` for more than three in an hour; `Unavailable` without any provider;
    /// `Upstream` or `Timeout` when it failed while it was waited for.
    async fn event_reanalyse(&self, id: EventId, how: Reanalysis, wait: Duration) -> Result<Reanalysed, ControlError>;

    /// What everything that is kept takes up, for `/system/storage`.
    ///
    /// # Errors
    /// `Failed` when the database does not answer.
    async fn storage(&self) -> Result<StorageReport, ControlError>;

    /// What was counted since the start, for `/metrics`.
    async fn figures(&self) -> Figures;
}

/// A failure of [`Control`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// No such camera or event.
    #[error("{0}")]
    NotFound(String),
    /// A name is taken, or the present state does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// A value breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// There is no fresh picture, or the server stops.
    #[error("{0}")]
    Unavailable(String),
    /// The camera answered uselessly.
    #[error("{0}")]
    Upstream(String),
    /// Something below failed, such as the database.
    #[error("{what}")]
    Failed {
        /// What was tried.
        what: &'static str,
        /// What it means to the caller.
        class: ErrorClass,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A provider did not answer in time.
    #[error("{0}")]
    Timeout(String),
    /// A limit is used up for now.
    #[error("{message}")]
    Exhausted {
        /// Which.
        message: String,
        /// When it may be tried again.
        retry_after: Duration,
    },
}

impl Classify for ControlError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound(_) => ErrorClass::NotFound,
            Self::Conflict(_) => ErrorClass::Conflict,
            Self::Invalid(_) => ErrorClass::Invalid,
            Self::Unavailable(_) => ErrorClass::Unavailable,
            Self::Upstream(_) => ErrorClass::Upstream,
            Self::Failed { class, .. } => *class,
            Self::Timeout(_) => ErrorClass::Timeout,
            Self::Exhausted { .. } => ErrorClass::RateLimited,
        }
    }
}

/// State of one part of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ComponentStatus {
    /// Works.
    Ok,
    /// Works with limits.
    Degraded,
    /// Does not work.
    Down,
    /// Is not in use.
    Disabled,
}

/// State of one part of the system, with a sentence when it is not ok.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ComponentHealth {
    /// How it is.
    pub status: ComponentStatus,
    /// Why.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub detail: Option<String>,
}

impl ComponentHealth {
    /// Works.
    #[must_use]
    pub fn ok() -> Self {
        Self { status: ComponentStatus::Ok, detail: None }
    }

    /// Does not, or not fully, for a reason.
    #[must_use]
    pub fn new(status: ComponentStatus, detail: impl Into<String>) -> Self {
        Self { status, detail: Some(detail.into()) }
    }
}

/// State of every part of the system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// The database answers.
    pub database: ComponentHealth,
    /// Media can be stored.
    pub storage: ComponentHealth,
    /// Enabled cameras give pictures.
    pub cameras: ComponentHealth,
    /// Descriptions are made.
    pub ai: ComponentHealth,
    /// Controllers are connected.
    pub protect: ComponentHealth,
    /// Messages are written.
    pub journal: ComponentHealth,
}
