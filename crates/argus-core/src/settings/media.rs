//! What is kept of an event.

use serde::Serialize;

use super::patch::{Group, Patch, flag, int};

/// What is kept of an event.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Media {
    /// Whether clips are kept.
    #[cfg_attr(feature = "openapi", schema(default = true))]
    pub store_clips: bool,
    /// Whether the describer's pictures are kept; without them an event cannot be described again.
    #[cfg_attr(feature = "openapi", schema(default = true))]
    pub store_frames: bool,
    /// Width of the small picture, pixels; never scaled up.
    #[cfg_attr(feature = "openapi", schema(minimum = 160, maximum = 1280, default = 640))]
    pub thumbnail_width: u32,
}

impl Default for Media {
    fn default() -> Self {
        Self { store_clips: true, store_frames: true, thumbnail_width: 640 }
    }
}

impl Group for Media {
    fn patch(&mut self, patch: &mut Patch<'_>) {
        let d = Self::default();
        patch.value("store_clips", &mut self.store_clips, d.store_clips, flag);
        patch.value("store_frames", &mut self.store_frames, d.store_frames, flag);
        patch.value("thumbnail_width", &mut self.thumbnail_width, d.thumbnail_width, int(160..=1280));
    }
}
