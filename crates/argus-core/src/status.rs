//! How capture of a camera is doing.

use serde::{Deserialize, Serialize};

use crate::names::names;
use crate::{CameraId, EventId, Timestamp};

names! {
    /// State of capture.
    CameraStatus {
        /// Not enabled.
        Stopped = "stopped",
        /// First try, no picture yet, at most 15 s.
        Starting = "starting",
        /// Newest picture at most 10 s old.
        Online = "online",
        /// Lost the picture, or failing for less than 60 s.
        Reconnecting = "reconnecting",
        /// Failing for 60 s or more.
        Offline = "offline",
        /// Failed by something that trying again soon will not mend.
        Error = "error",
    }
}

names! {
    /// Why a camera gives no picture.
    FaultKind {
        /// Nobody answers there.
        Unreachable = "unreachable",
        /// It answers, but not in time, or the pictures stopped coming.
        Timeout = "timeout",
        /// Wrong user or password.
        Unauthorized = "unauthorized",
        /// The host answers, but has no such stream, file or device.
        NotFound = "not_found",
        /// Video of a kind that cannot be read here.
        UnsupportedCodec = "unsupported_codec",
        /// This server may not read the file or device.
        Permission = "permission",
        /// It answers with something that is no video.
        Invalid = "invalid",
    }
}

impl FaultKind {
    /// Whether trying again soon is useless: a person has to mend something first.
    #[must_use]
    pub fn is_lasting(self) -> bool {
        match self {
            Self::Unreachable | Self::Timeout => false,
            Self::Unauthorized | Self::NotFound | Self::UnsupportedCodec | Self::Permission | Self::Invalid => true,
        }
    }
}

/// The fields of `GET /cameras/{id}/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CameraState {
    /// State of capture.
    pub status: CameraStatus,
    /// Why it is not online, as a sentence; null while online or stopped.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub last_error: Option<String>,
    /// The kind of that; null while online or stopped.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub last_error_kind: Option<FaultKind>,
    /// When the newest picture was received.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub last_frame_at: Option<Timestamp>,
    /// Pictures a second received over the last 10 s.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub fps: Option<f64>,
    /// Such as `1920x1080`.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub resolution: Option<String>,
    /// `h264`, `h265`, `mjpeg`, `raw`…
    #[cfg_attr(feature = "openapi", schema(required))]
    pub codec: Option<String>,
    /// Since the server started.
    pub reconnects: u64,
}

impl CameraState {
    /// A state with nothing known beside the status.
    #[must_use]
    pub fn of(status: CameraStatus) -> Self {
        Self {
            status,
            last_error: None,
            last_error_kind: None,
            last_frame_at: None,
            fps: None,
            resolution: None,
            codec: None,
            reconnects: 0,
        }
    }
}

/// What is going on at a camera right now: the answer of `GET /cameras/{id}/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CameraLive {
    /// The camera.
    pub camera_id: CameraId,
    /// Whether capture is wanted.
    pub is_enabled: bool,
    /// How capture is doing.
    #[serde(flatten)]
    pub state: CameraState,
    /// Since when the status is what it is.
    pub status_since: Timestamp,
    /// Whether the schedule allows events now.
    pub schedule_active: bool,
    /// Whether the newest picture shows movement that counts.
    pub motion_active: bool,
    /// The running event.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub event_id: Option<EventId>,
}
