//! What everything that is kept takes up.

use serde::Serialize;

use crate::retention::Disk;
use crate::{CameraId, Timestamp};

/// The answer of `GET /system/storage`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StorageReport {
    /// The database with its journal of changes.
    pub database_bytes: u64,
    /// All thumbnails.
    pub thumbnails_bytes: u64,
    /// All pictures that were given to a describer and are kept.
    pub frames_bytes: u64,
    /// All clips.
    pub clips_bytes: u64,
    /// All of these together.
    pub total_bytes: u64,
    /// Events.
    pub event_count: u64,
    /// Pictures that are kept beside the thumbnails.
    pub frame_count: u64,
    /// Clips.
    pub clip_count: u64,
    /// Start of the oldest event.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub oldest_event_at: Option<Timestamp>,
    /// The disk on which pictures and clips lie.
    pub disk: Disk,
    /// Every camera, oldest first.
    pub by_camera: Vec<CameraStorage>,
    /// When this was found out.
    pub measured_at: Timestamp,
}

/// What one camera's events take up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CameraStorage {
    /// The camera.
    pub camera_id: CameraId,
    /// Its thumbnails, pictures and clips.
    pub media_bytes: u64,
    /// Its events.
    pub event_count: u64,
}
