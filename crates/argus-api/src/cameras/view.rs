//! What answers say about cameras.

use argus_core::camera::{AnalysisMode, Camera, RtspTransport, Sensitivity, Source, SourceType, TestPattern};
use argus_core::schedule::Schedule;
use argus_core::status::{CameraState, CameraStatus};
use argus_core::zone::Zone;
use argus_core::{CameraId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// A camera.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CameraView {
    /// Names it.
    pub id: CameraId,
    /// When it was added.
    pub created_at: Timestamp,
    /// When its configuration changed last.
    pub updated_at: Timestamp,
    /// What people call it.
    pub name: String,
    /// Kind of its source.
    pub r#type: SourceType,
    /// Type rtsp: the address, without user and password.
    #[schema(required)]
    pub rtsp_url: Option<String>,
    /// Type rtsp: user at the camera.
    #[schema(required)]
    pub username: Option<String>,
    /// Whether a password is stored.
    pub has_password: bool,
    /// Type rtsp: how the video is carried.
    pub rtsp_transport: RtspTransport,
    /// Type usb: the `N` of `/dev/videoN`.
    #[schema(required)]
    pub device_index: Option<u8>,
    /// Type file: as it was given.
    #[schema(required)]
    pub file_path: Option<String>,
    /// Type file: begins again at the end.
    pub r#loop: bool,
    /// Type test: what the picture shows.
    #[schema(required)]
    pub test_pattern: Option<TestPattern>,
    /// Whether capture runs.
    pub is_enabled: bool,
    /// Pictures a second that are analysed.
    pub frame_rate: u8,
    /// Whether events come from the picture.
    pub motion_enabled: bool,
    /// How small and faint a movement counts.
    pub motion_sensitivity: Sensitivity,
    /// Pause after an event, seconds.
    pub motion_cooldown: u16,
    /// Seconds of the clip before the event.
    pub pre_roll_s: u16,
    /// Seconds without movement that close an event.
    pub post_roll_s: u16,
    /// Greatest length of an event, seconds.
    pub max_event_s: u16,
    /// Pictures for the AI.
    pub analysis_mode: AnalysisMode,
    /// Replaces the prompt of the settings.
    #[schema(required)]
    pub prompt_override: Option<String>,
    /// Where movement counts, and what nobody may see.
    pub detection_zones: Vec<Zone>,
    /// When events are made; null means always.
    #[schema(required)]
    pub detection_schedule: Option<Schedule>,
    /// The controller that it belongs to.
    #[schema(required)]
    pub protect_controller_id: Option<String>,
    /// Its id there.
    #[schema(required)]
    pub protect_camera_id: Option<String>,
    /// Whether it is a doorbell.
    pub is_doorbell: bool,
    /// Kinds of detections of the controller that make events.
    pub smart_detection_types: Vec<String>,
    /// How capture is doing.
    #[serde(flatten)]
    pub state: CameraState,
}

impl CameraView {
    /// What is stored, with how capture is doing.
    pub(crate) fn new(camera: Camera, state: Option<CameraState>) -> Self {
        let c = camera.config;
        let not_yet = if c.is_enabled { CameraStatus::Starting } else { CameraStatus::Stopped };
        let mut view = Self {
            id: camera.id,
            created_at: camera.created_at,
            updated_at: camera.updated_at,
            name: c.name,
            r#type: c.source.source_type(),
            rtsp_url: None,
            username: None,
            has_password: false,
            rtsp_transport: RtspTransport::Auto,
            device_index: None,
            file_path: None,
            r#loop: true,
            test_pattern: None,
            is_enabled: c.is_enabled,
            frame_rate: c.frame_rate,
            motion_enabled: c.motion_enabled,
            motion_sensitivity: c.motion_sensitivity,
            motion_cooldown: c.motion_cooldown_s,
            pre_roll_s: c.pre_roll_s,
            post_roll_s: c.post_roll_s,
            max_event_s: c.max_event_s,
            analysis_mode: c.analysis_mode,
            prompt_override: c.prompt_override,
            detection_zones: c.zones,
            detection_schedule: c.schedule,
            protect_controller_id: None,
            protect_camera_id: None,
            is_doorbell: false,
            smart_detection_types: Vec::new(),
            state: state.unwrap_or_else(|| CameraState::of(not_yet)),
        };
        match c.source {
            Source::Rtsp { url, username, password, transport } => {
                view.rtsp_url = Some(url.as_str().to_owned());
                view.username = username;
                view.has_password = password.is_some();
                view.rtsp_transport = transport;
            }
            Source::Usb { device_index } => view.device_index = Some(device_index),
            Source::File { path, looped } => {
                view.file_path = Some(path);
                view.r#loop = looped;
            }
            Source::Test(pattern) => view.test_pattern = Some(pattern),
            Source::Protect(source) => {
                view.protect_controller_id = source.controller_id.map(|id| id.to_string());
                view.protect_camera_id = Some(source.camera_id);
                view.is_doorbell = source.is_doorbell;
                view.smart_detection_types = source.detections.iter().map(ToString::to_string).collect();
            }
        }
        view
    }
}

/// What start and stop lead to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct CameraSwitch {
    /// The camera.
    pub camera_id: CameraId,
    /// Its status now.
    pub status: CameraStatus,
}
