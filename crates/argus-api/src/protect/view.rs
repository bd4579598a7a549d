//! What answers say about controllers.

use argus_core::controller::{ControllerFault, ControllerFeatures, ControllerGap, ControllerStatus};
use argus_core::event::DetectionType;
use argus_core::ports::{ControllerCamera, LiveController};
use argus_core::{CameraId, ControllerId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// A controller.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ControllerView {
    /// Names it.
    pub id: ControllerId,
    /// When it was added.
    pub created_at: Timestamp,
    /// When its configuration changed last.
    pub updated_at: Timestamp,
    /// What people call it.
    pub name: String,
    /// Name or address.
    pub host: String,
    /// Where it listens.
    pub port: u16,
    /// Whether a key of the integration interface is stored.
    pub has_api_key: bool,
    /// Local account.
    #[schema(required)]
    pub username: Option<String>,
    /// Whether its password is stored.
    pub has_password: bool,
    /// False without a pin: any certificate will do.
    pub verify_tls: bool,
    /// The pin: SHA-256 of the one certificate that will do, hex.
    #[schema(required)]
    pub certificate_sha256: Option<String>,
    /// Whether it is to be connected.
    pub is_enabled: bool,
    /// How the connection is doing.
    pub status: ControllerStatus,
    /// Whether it is connected now.
    pub is_connected: bool,
    /// The last time it was.
    #[schema(required)]
    pub last_connected_at: Option<Timestamp>,
    /// The last message of any of its streams.
    #[schema(required)]
    pub last_message_at: Option<Timestamp>,
    /// Why it is not connected, as a sentence; while it is, why one of its two interfaces is refused, if it is.
    #[schema(required)]
    pub last_error: Option<String>,
    /// The kind of that.
    #[schema(required)]
    pub last_error_kind: Option<ControllerFault>,
    /// Version of Protect.
    #[schema(required)]
    pub firmware_version: Option<String>,
    /// How many cameras it has; null before they were read.
    #[schema(required)]
    pub camera_count: Option<u32>,
    /// How many of them are cameras of this server that are enabled.
    pub enabled_camera_count: u32,
    /// What the stored credentials allow.
    pub features: ControllerFeatures,
    /// The interfaces that are in use now.
    pub interfaces: Vec<ControllerInterface>,
    /// Until when it refuses to be signed in to, as far as it is known.
    #[schema(required)]
    pub locked_until: Option<Timestamp>,
    /// When detections may have been missed that cannot be fetched any more, newest first, at most 20.
    pub gaps: Vec<ControllerGap>,
}

/// One of the ways to a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ControllerInterface {
    /// That of its own application, by the local account.
    Local,
    /// The official one, by a key.
    Integration,
}

/// The interfaces in a state's word for them, such as `local+integration`.
fn interfaces(word: Option<&str>) -> Vec<ControllerInterface> {
    let each = word.unwrap_or_default().split('+');
    each.filter_map(|name| match name {
        "local" => Some(ControllerInterface::Local),
        "integration" => Some(ControllerInterface::Integration),
        _ => None,
    })
    .collect()
}

impl From<LiveController> for ControllerView {
    fn from(live: LiveController) -> Self {
        let (stored, state, config) = (live.stored.clone(), live.state, live.stored.config);
        Self {
            id: stored.id,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
            name: config.name,
            host: config.host,
            port: config.port,
            has_api_key: config.api_key.is_some(),
            username: config.username,
            has_password: config.password.is_some(),
            verify_tls: config.verify_tls,
            certificate_sha256: config.certificate_sha256,
            is_enabled: config.is_enabled,
            status: state.status,
            is_connected: state.status == ControllerStatus::Connected,
            last_connected_at: state.last_connected_at,
            last_message_at: state.last_message_at,
            last_error: state.last_error,
            last_error_kind: state.last_error_kind,
            firmware_version: state.firmware_version,
            camera_count: live.camera_count,
            enabled_camera_count: live.enabled_camera_count,
            features: state.features,
            interfaces: interfaces(state.interfaces),
            locked_until: state.locked_until,
            gaps: live.gaps,
        }
    }
}

/// What kind of camera it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ControllerCameraType {
    /// Without a button.
    Camera,
    /// With one.
    Doorbell,
}

/// A camera of a controller.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = ControllerCamera)]
pub struct ControllerCameraView {
    /// The controller's id of it.
    pub protect_camera_id: String,
    /// The camera of this server, once enabled.
    #[schema(required)]
    pub camera_id: Option<CameraId>,
    /// As on the controller.
    pub name: String,
    /// Such as `G4 Doorbell Pro`; empty when the controller does not tell.
    pub model: String,
    /// Whether it has a button.
    pub r#type: ControllerCameraType,
    /// Whether it can ring.
    pub is_doorbell: bool,
    /// Whether it is connected to its controller.
    pub is_online: bool,
    /// Whether its detections make events here.
    pub enabled: bool,
    /// What it can detect, in the controller's words.
    pub smart_detection_capabilities: Vec<String>,
    /// Only these make events; an empty list: none.
    pub smart_detection_types: Vec<DetectionType>,
}

impl From<ControllerCamera> for ControllerCameraView {
    fn from(camera: ControllerCamera) -> Self {
        let device = camera.device;
        Self {
            protect_camera_id: device.id,
            camera_id: camera.camera_id,
            name: device.name,
            model: device.model,
            r#type: if device.is_doorbell { ControllerCameraType::Doorbell } else { ControllerCameraType::Camera },
            is_doorbell: device.is_doorbell,
            is_online: device.is_online,
            enabled: camera.enabled,
            smart_detection_capabilities: device.capabilities,
            smart_detection_types: camera.detections,
        }
    }
}
