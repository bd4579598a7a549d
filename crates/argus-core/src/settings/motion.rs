//! What cameras get that are made later.

use serde::Serialize;

use super::patch::{Group, Patch, flag, int, name};
use crate::camera::{AnalysisMode, Sensitivity};

/// Fields of a camera that its creator left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MotionDefaults {
    /// Pictures a second that are analysed.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 30, default = 5))]
    pub frame_rate: u8,
    /// Whether events come from the picture.
    #[cfg_attr(feature = "openapi", schema(default = true))]
    pub motion_enabled: bool,
    /// How small and faint a movement counts.
    pub motion_sensitivity: Sensitivity,
    /// Pause after an event, seconds.
    #[cfg_attr(feature = "openapi", schema(maximum = 300, default = 30))]
    pub motion_cooldown: u16,
    /// Seconds of the clip before the event.
    #[cfg_attr(feature = "openapi", schema(maximum = 30, default = 5))]
    pub pre_roll_s: u16,
    /// Seconds without movement that close an event.
    #[cfg_attr(feature = "openapi", schema(maximum = 60, default = 5))]
    pub post_roll_s: u16,
    /// Greatest length of an event, seconds.
    #[cfg_attr(feature = "openapi", schema(minimum = 5, maximum = 600, default = 60))]
    pub max_event_s: u16,
    /// Pictures for the describer.
    pub analysis_mode: AnalysisMode,
}

impl Default for MotionDefaults {
    fn default() -> Self {
        Self {
            frame_rate: 5,
            motion_enabled: true,
            motion_sensitivity: Sensitivity::Medium,
            motion_cooldown: 30,
            pre_roll_s: 5,
            post_roll_s: 5,
            max_event_s: 60,
            analysis_mode: AnalysisMode::MultiFrame,
        }
    }
}

impl Group for MotionDefaults {
    fn patch(&mut self, patch: &mut Patch<'_>) {
        let d = Self::default();
        patch.value("frame_rate", &mut self.frame_rate, d.frame_rate, int(1..=30));
        patch.value("motion_enabled", &mut self.motion_enabled, d.motion_enabled, flag);
        patch.value("motion_sensitivity", &mut self.motion_sensitivity, d.motion_sensitivity, name);
        patch.value("motion_cooldown", &mut self.motion_cooldown, d.motion_cooldown, int(0..=300));
        patch.value("pre_roll_s", &mut self.pre_roll_s, d.pre_roll_s, int(0..=30));
        patch.value("post_roll_s", &mut self.post_roll_s, d.post_roll_s, int(0..=60));
        patch.value("max_event_s", &mut self.max_event_s, d.max_event_s, int(5..=600));
        patch.value("analysis_mode", &mut self.analysis_mode, d.analysis_mode, name);
    }
}
