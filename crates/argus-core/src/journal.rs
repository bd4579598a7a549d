//! The journal: everything that clients should hear of, in the order in which it was stored.

use serde::{Deserialize, Serialize};

use crate::api_key::Scope;
use crate::names::names;
use crate::status::{CameraState, CameraStatus};
use crate::{CameraId, EventId, Timestamp};

names! {
    /// Kinds of messages.
    MessageType {
        /// An event began.
        EventCreated = "event.created",
        /// Something about an event changed.
        EventUpdated = "event.updated",
        /// Events are gone.
        EventDeleted = "event.deleted",
        /// A camera's status changed.
        CameraStatus = "camera.status",
        /// Something a person should know.
        NotificationNew = "notification.new",
        /// Messages are missing; made by the reader's side, never stored.
        JournalGap = "journal.gap",
    }
}

impl MessageType {
    /// The permission that a reader needs; `None`: every reader gets it. Of notifications, it is that of the kind that
    /// needs least: each kind has its own, see [`NotificationKind::needs`](crate::notification::NotificationKind::needs).
    #[must_use]
    pub fn needs(self) -> Option<Scope> {
        match self {
            Self::EventCreated | Self::EventUpdated | Self::EventDeleted => Some(Scope::ReadEvents),
            Self::CameraStatus | Self::NotificationNew => Some(Scope::ReadCameras),
            Self::JournalGap => None,
        }
    }
}

/// Why events are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeleteReason {
    /// Somebody deleted them.
    User,
    /// Their time was over.
    Retention,
}

/// `data` of `event.deleted`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventDeleted {
    /// 1 to 500 events.
    pub ids: Vec<EventId>,
    /// Why.
    pub reason: DeleteReason,
}

/// `data` of `camera.status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CameraStatusChange {
    /// The camera.
    pub camera_id: CameraId,
    /// Its name.
    pub name: String,
    /// The new status, or `deleted`: the camera and all its events are gone.
    pub status: String,
    /// The status before; null when the camera is new.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub previous_status: Option<String>,
    /// The other fields.
    #[serde(flatten)]
    pub rest: CameraStateRest,
}

/// The fields of [`CameraState`] beside the status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[expect(missing_docs, reason = "documented at CameraState")]
pub struct CameraStateRest {
    #[cfg_attr(feature = "openapi", schema(required))]
    pub last_error: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub last_error_kind: Option<crate::status::FaultKind>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub last_frame_at: Option<Timestamp>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub fps: Option<f64>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub resolution: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub codec: Option<String>,
    pub reconnects: u64,
}

impl CameraStatusChange {
    /// The change to `state`.
    #[must_use]
    pub fn new(camera_id: CameraId, name: &str, state: CameraState, previous: Option<CameraStatus>) -> Self {
        Self {
            camera_id,
            name: name.to_owned(),
            status: state.status.to_string(),
            previous_status: previous.map(|s| s.to_string()),
            rest: CameraStateRest {
                last_error: state.last_error,
                last_error_kind: state.last_error_kind,
                last_frame_at: state.last_frame_at,
                fps: state.fps,
                resolution: state.resolution,
                codec: state.codec,
                reconnects: state.reconnects,
            },
        }
    }

    /// The camera is gone.
    #[must_use]
    pub fn deleted(camera_id: CameraId, name: &str, previous: Option<CameraStatus>) -> Self {
        let gone = Self::new(camera_id, name, CameraState::of(CameraStatus::Stopped), previous);
        Self { status: "deleted".to_owned(), ..gone }
    }
}

/// One message as it is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Message {
    /// Grows strictly, also over restarts.
    pub seq: i64,
    /// What kind it is.
    pub r#type: MessageType,
    /// When it was stored.
    pub timestamp: Timestamp,
    /// The rest, by kind.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub data: serde_json::Value,
}
