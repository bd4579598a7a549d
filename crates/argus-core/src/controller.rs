//! UniFi Protect controllers: how they are reached, what they tell, and what can be asked of them.

mod fields;

pub use fields::ControllerFields;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::event::DetectionType;
use crate::names::names;
use crate::ports::{ClipFile, Still};
use crate::{Classify, ControllerId, ErrorClass, Secret, Timestamp};

/// How a controller is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct ControllerConfig {
    /// 1..100 characters, unique ignoring case.
    pub name: String,
    /// Name, IPv4 or IPv6 address, without brackets.
    pub host: String,
    /// Usually 443.
    pub port: u16,
    /// Key of the integration interface.
    pub api_key: Option<Secret>,
    /// Local account.
    pub username: Option<String>,
    /// Its password; there exactly when there is a user name.
    pub password: Option<Secret>,
    /// False without a pin: any certificate will do.
    pub verify_tls: bool,
    /// SHA-256 of the one certificate that will do, 64 hex digits in lower case.
    pub certificate_sha256: Option<String>,
    /// Whether it is to be connected.
    pub is_enabled: bool,
}

/// A controller as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredController {
    /// Names it.
    pub id: ControllerId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// How it is reached.
    pub config: ControllerConfig,
}

names! {
    /// How the connection to a controller is doing.
    ControllerStatus {
        /// Not to be connected.
        Disabled = "disabled",
        /// First try.
        Connecting = "connecting",
        /// Its events are heard.
        Connected = "connected",
        /// Lost, being tried again.
        Reconnecting = "reconnecting",
        /// Tried again every 5 min and on change, not at once.
        Error = "error",
    }
}

names! {
    /// Why a controller is not connected.
    ControllerFault {
        /// Nobody answers there.
        Unreachable = "unreachable",
        /// No answer in time.
        Timeout = "timeout",
        /// Its certificate is not to be trusted.
        TlsUntrusted = "tls_untrusted",
        /// Its certificate is not the pinned one.
        TlsChanged = "tls_changed",
        /// Wrong user, password or key, or an account that needs a second factor.
        Unauthorized = "unauthorized",
        /// The account lacks a right.
        Forbidden = "forbidden",
        /// Too many sign-ins or requests for now.
        RateLimited = "rate_limited",
        /// It answers, but is no Protect controller.
        NotProtect = "not_protect",
        /// Its version lacks what is needed.
        TooOld = "too_old",
    }
}

/// What the stored credentials allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ControllerFeatures {
    /// Detections are heard.
    pub events: bool,
    /// Pictures can be fetched.
    pub snapshots: bool,
    /// Clips and history can be fetched.
    pub clips: bool,
}

/// A time of which detections may have been missed and cannot be fetched any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ControllerGap {
    /// From then.
    pub from: Timestamp,
    /// Until then.
    pub until: Timestamp,
    /// Why, as a sentence.
    pub reason: String,
}

/// How a controller is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerState {
    /// In a word.
    pub status: ControllerStatus,
    /// The last time it was connected.
    pub last_connected_at: Option<Timestamp>,
    /// The last message of any of its streams.
    pub last_message_at: Option<Timestamp>,
    /// Why it is not connected, as a sentence that says what to do; while it is, why one of its two interfaces is refused,
    /// if it is.
    pub last_error: Option<String>,
    /// The kind of that.
    pub last_error_kind: Option<ControllerFault>,
    /// Until when it refuses to be signed in to, as far as it is known.
    pub locked_until: Option<Timestamp>,
    /// Version of Protect.
    pub firmware_version: Option<String>,
    /// What the credentials allow.
    pub features: ControllerFeatures,
    /// Which interfaces are in use, such as `local+integration`.
    pub interfaces: Option<&'static str>,
    /// Messages that could not be understood, since the server started.
    pub malformed: u64,
}

/// A camera as its controller knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerDevice {
    /// The controller's name of it; changes when it is removed and adopted again. An opaque text.
    pub id: String,
    /// Upper case, no separators; its identity over adoptions, where the controller tells it.
    pub mac: Option<String>,
    /// As on the controller, or its model when it was never named.
    pub name: String,
    /// Such as `G4 Doorbell Pro`; empty when it is not told.
    pub model: String,
    /// Whether it can ring.
    pub is_doorbell: bool,
    /// Whether it is connected to its controller.
    pub is_online: bool,
    /// What it can detect, in the controller's words, `motion` and `ring` among them.
    pub capabilities: Vec<String>,
    /// What of that is switched on there.
    pub switched_on: Vec<String>,
    /// Such as `1920x1080`, of the best stream.
    pub resolution: Option<String>,
}

/// How far a happening is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HappeningPhase {
    /// Told for the first time.
    Began,
    /// More is known of it.
    Changed,
    /// It ended; told once.
    Ended,
}

/// A detection of a controller, as a whole each time it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// The controller's name of it; the same from every stream.
    pub id: String,
    /// The camera.
    pub device: String,
    /// How far it is.
    pub phase: HappeningPhase,
    /// What it is, strongest first: ring, person, vehicle, package, animal, audio, motion. Never empty.
    pub kinds: Vec<DetectionType>,
    /// In the controller's words, such as `licensePlate`; for a ring or motion that word.
    pub types: Vec<String>,
    /// When it began, by this machine's clock.
    pub started_at: Timestamp,
    /// When it ended, by this machine's clock.
    pub ended_at: Option<Timestamp>,
    /// Whether the end was never told, and `ended_at` is when that was given up.
    pub end_unknown: bool,
    /// Percent, where the controller tells it.
    pub score: Option<u8>,
    /// When this server heard of it first.
    pub heard_at: Timestamp,
    /// Whether it was fetched afterwards, from the controller's history.
    pub from_history: bool,
}

/// What comes out of a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum ControllerItem {
    /// How it is doing changed.
    State(ControllerState),
    /// Every camera, after each reading and each change.
    Devices(Vec<ControllerDevice>),
    /// A detection.
    Happening(Happening),
    /// Detections may have been missed and cannot be fetched.
    Gap {
        /// From then.
        from: Timestamp,
        /// Until then.
        until: Timestamp,
        /// Why, as a sentence.
        reason: String,
    },
    /// What is to be kept over a restart, sealed: `None` forgets it.
    Keep(Option<Secret>),
}

/// What is wanted of a connection.
#[derive(Clone, Debug)]
pub struct ControllerPlan {
    /// For log lines.
    pub id: ControllerId,
    /// How it is reached.
    pub config: ControllerConfig,
    /// What the last [`ControllerItem::Keep`] said.
    pub kept: Option<Secret>,
    /// Everything until then is known: what came later is fetched from the history where that can be done.
    pub known_until: Option<Timestamp>,
}

/// A connection: what comes out of it, and what can be asked of it.
pub struct OpenController {
    /// Items, in order.
    pub stream: Box<dyn ControllerStream>,
    /// Pictures, clips and the end.
    pub handle: std::sync::Arc<dyn ControllerHandle>,
}

/// The items of a connection, for one reader.
#[async_trait]
pub trait ControllerStream: Send {
    /// The next item; `None` after the connection was stopped. Cancel-safe. A slow reader loses states and devices that
    /// newer ones replace, never a happening.
    async fn next(&mut self) -> Option<ControllerItem>;
}

/// Which of a camera's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamQuality {
    /// The best.
    High,
    /// Between.
    Medium,
    /// The smallest.
    Low,
}

/// What can be asked of a controller.
#[async_trait]
pub trait ControllerHandle: Send + Sync {
    /// How it is doing.
    fn state(&self) -> ControllerState;

    /// Everything that happened until then was told, or put on account as missed: what a connection that is opened later
    /// is to be given as [`ControllerPlan::known_until`]. It moves with what was really received, not with the clock.
    fn known_until(&self) -> Option<Timestamp>;

    /// Its cameras, read now.
    ///
    /// # Errors
    /// What went wrong.
    async fn devices(&self) -> Result<Vec<ControllerDevice>, ControllerError>;

    /// What a camera sees now.
    ///
    /// # Errors
    /// What went wrong.
    async fn snapshot(&self, device: &str, max_width: Option<u32>) -> Result<Still, ControllerError>;

    /// What a camera saw then, give or take some seconds.
    ///
    /// # Errors
    /// `Unsupported` without an account that may look at recordings.
    async fn recorded(&self, device: &str, at: Timestamp) -> Result<Still, ControllerError>;

    /// The controller's own picture of a detection; waits for it for some seconds, because it is made after the end.
    ///
    /// # Errors
    /// `Unsupported` without an account that may look at recordings.
    async fn thumbnail(&self, happening: &str) -> Result<Still, ControllerError>;

    /// The recording of a span of time, cut at key frames; waits until the controller has it, and tries again.
    ///
    /// # Errors
    /// `Unsupported` without an account that may look at recordings, `NotFound` when there is no recording.
    async fn clip(&self, device: &str, from: Timestamp, until: Timestamp) -> Result<ClipFile, ControllerError>;

    /// The RTSPS address of a live stream, which is a secret in itself.
    ///
    /// # Errors
    /// What went wrong.
    async fn stream_url(&self, device: &str, quality: StreamQuality) -> Result<Secret, ControllerError>;

    /// Ends the connection.
    async fn stop(&self);
}

/// A failure of a [`ControllerHandle`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControllerError {
    /// The controller has no such camera, detection or recording.
    #[error("{0}")]
    NotFound(String),
    /// The credentials do not allow it.
    #[error("{0}")]
    Unsupported(String),
    /// It is not connected.
    #[error("{0}")]
    Unavailable(String),
    /// It answered uselessly.
    #[error("{0}")]
    Upstream(String),
    /// It did not answer in time.
    #[error("{0}")]
    Timeout(String),
}

impl Classify for ControllerError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound(_) => ErrorClass::NotFound,
            Self::Unsupported(_) => ErrorClass::Conflict,
            Self::Unavailable(_) => ErrorClass::Unavailable,
            Self::Upstream(_) => ErrorClass::Upstream,
            Self::Timeout(_) => ErrorClass::Timeout,
        }
    }
}

/// How the try of a controller came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ControllerProbe {
    /// It can be used.
    pub success: bool,
    /// What happened, as a sentence.
    pub message: String,
    /// Kind of failure.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub error_kind: Option<ControllerFault>,
    /// Version of Protect.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub firmware_version: Option<String>,
    /// How many cameras it has.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub camera_count: Option<u32>,
    /// SHA-256 of the certificate that it showed, hex.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub certificate_sha256: Option<String>,
    /// Whether that certificate would do by itself, without a pin.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub certificate_trusted: Option<bool>,
    /// What the credentials allow.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub features: Option<ControllerFeatures>,
    /// At most 15000.
    pub elapsed_ms: u64,
}

/// Connects to controllers. argus-protect's is the real one.
#[async_trait]
pub trait Controllers: Send + Sync {
    /// Connects and returns at once; the connection is made, watched and made again in the background until it is
    /// stopped.
    fn open(&self, plan: ControllerPlan) -> OpenController;

    /// Tries a connection, within 15 s whatever it does, and signs out again.
    async fn probe(&self, config: &ControllerConfig) -> ControllerProbe;
}
