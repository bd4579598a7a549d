//! What the API asks of UniFi Protect controllers.

use async_trait::async_trait;

use super::ControlError;
use crate::controller::{
    ControllerConfig, ControllerDevice, ControllerGap, ControllerProbe, ControllerState, StoredController,
};
use crate::event::DetectionType;
use crate::{CameraId, ControllerId};

/// A controller with how it is doing.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveController {
    /// As it is stored.
    pub stored: StoredController,
    /// How it is doing.
    pub state: ControllerState,
    /// How many cameras it has; `None` before it was read.
    pub camera_count: Option<u32>,
    /// How many of them are cameras of this server that are enabled.
    pub enabled_camera_count: u32,
    /// When detections may have been missed for good, newest first.
    pub gaps: Vec<ControllerGap>,
}

/// A camera of a controller with what this server makes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ControllerCamera {
    /// As the controller knows it.
    pub device: ControllerDevice,
    /// The camera of this server, once enabled.
    pub camera_id: Option<CameraId>,
    /// Whether that camera is enabled.
    pub enabled: bool,
    /// Only these make events.
    pub detections: Vec<DetectionType>,
}

/// A change of a controller, computed inside the transaction that stores it.
pub type ControllerEdit = Box<dyn FnOnce(&StoredController) -> Result<ControllerConfig, ControlError> + Send>;

/// What the API asks of controllers. argus-engine's engine is the real one.
#[async_trait]
pub trait ControllerControl: Send + Sync {
    /// Every controller, oldest first.
    ///
    /// # Errors
    /// `Failed` when the database does not answer.
    async fn controllers(&self) -> Result<Vec<LiveController>, ControlError>;

    /// Adds a controller and connects it in the background.
    ///
    /// # Errors
    /// `Conflict` when its name, or its host with its port, is taken.
    async fn controller_create(&self, config: ControllerConfig) -> Result<LiveController, ControlError>;

    /// Changes a controller, and connects it anew when that matters.
    ///
    /// # Errors
    /// `NotFound`, what `edit` says, `Conflict` as for creating.
    async fn controller_update(&self, id: ControllerId, edit: ControllerEdit) -> Result<LiveController, ControlError>;

    /// Ends the connection and removes the controller; its cameras are stopped and stay, with their events.
    ///
    /// # Errors
    /// `NotFound`.
    async fn controller_delete(&self, id: ControllerId) -> Result<(), ControlError>;

    /// Tries a connection within 15 s and stores nothing.
    async fn controller_probe(&self, config: &ControllerConfig) -> ControllerProbe;

    /// The cameras of a controller, at most 60 s old, or read now.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable` when they were never read and the controller does not answer.
    async fn controller_cameras(&self, id: ControllerId, refresh: bool) -> Result<Vec<ControllerCamera>, ControlError>;

    /// Enables or disables a camera of a controller, or chooses what of it makes events. `None` leaves a thing as it is.
    ///
    /// # Errors
    /// `NotFound`; `Invalid`.
    async fn controller_camera_put(
        &self,
        id: ControllerId,
        device: &str,
        enabled: Option<bool>,
        detections: Option<Vec<DetectionType>>,
    ) -> Result<ControllerCamera, ControlError>;
}
