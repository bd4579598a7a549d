//! Controllers that are stored and do what the test says, where the engine would connect them.

use std::sync::{Arc, Mutex};

use argus_core::controller::{
    ControllerConfig, ControllerDevice, ControllerFault, ControllerFeatures, ControllerGap, ControllerProbe,
    ControllerState, ControllerStatus, StoredController,
};
use argus_core::event::DetectionType;
use argus_core::ports::{ControlError, ControllerCamera, ControllerControl, ControllerEdit, LiveController};
use argus_core::{CameraId, Clock, ControllerId, ManualClock};
use argus_db::Database;
use async_trait::async_trait;

use crate::support::refused;

pub(crate) struct Cupboard {
    db: Database,
    clock: Arc<ManualClock>,
    /// What every controller claims of itself.
    pub(crate) state: Mutex<ControllerState>,
    pub(crate) gaps: Mutex<Vec<ControllerGap>>,
    /// The cameras of every controller; `None`: they were never read.
    pub(crate) cameras: Mutex<Option<Vec<ControllerCamera>>>,
    /// Configurations that were tried.
    pub(crate) probed: Mutex<Vec<ControllerConfig>>,
    /// Whether cameras were asked for anew.
    pub(crate) refreshed: Mutex<Vec<bool>>,
}

/// A doorbell that is no camera of the server yet.
pub(crate) fn doorbell(id: &str) -> ControllerCamera {
    ControllerCamera {
        device: ControllerDevice {
            id: id.into(),
            mac: Some("AABBCCDDEEFF".into()),
            name: "Front door".into(),
            model: "G4 Doorbell Pro".into(),
            is_doorbell: true,
            is_online: true,
            capabilities: vec!["person".into(), "licensePlate".into(), "motion".into(), "ring".into()],
            switched_on: vec![],
            resolution: None,
        },
        camera_id: None,
        enabled: false,
        detections: argus_core::camera::ProtectSource::DETECTIONS.to_vec(),
    }
}

impl Cupboard {
    pub(crate) fn new(db: &Database, clock: &Arc<ManualClock>) -> Self {
        let state = ControllerState {
            status: ControllerStatus::Connecting,
            last_connected_at: None,
            last_message_at: None,
            last_error: None,
            last_error_kind: None,
            locked_until: None,
            firmware_version: None,
            features: ControllerFeatures::default(),
            interfaces: None,
            malformed: 0,
        };
        Self {
            db: db.clone(),
            clock: Arc::clone(clock),
            state: Mutex::new(state),
            gaps: Mutex::default(),
            cameras: Mutex::new(Some(vec![doorbell("65a1"), doorbell("65/b 2")])),
            probed: Mutex::default(),
            refreshed: Mutex::default(),
        }
    }

    fn live(&self, stored: StoredController) -> LiveController {
        let cameras = self.cameras.lock().unwrap();
        let count = cameras.as_ref().map(|all| u32::try_from(all.len()).unwrap());
        let enabled = cameras.iter().flatten().filter(|camera| camera.enabled).count();
        let state = self.state.lock().unwrap().clone();
        LiveController {
            stored,
            state,
            camera_count: count,
            enabled_camera_count: u32::try_from(enabled).unwrap(),
            gaps: self.gaps.lock().unwrap().clone(),
        }
    }
}

#[async_trait]
impl ControllerControl for Cupboard {
    async fn controllers(&self) -> Result<Vec<LiveController>, ControlError> {
        let all = self.db.controller_all().await.map_err(refused)?;
        Ok(all.into_iter().map(|(stored, _)| self.live(stored)).collect())
    }

    async fn controller_create(&self, config: ControllerConfig) -> Result<LiveController, ControlError> {
        let now = self.clock.now();
        let stored = StoredController { id: ControllerId::new(now), created_at: now, updated_at: now, config };
        Ok(self.live(self.db.controller_insert(stored).await.map_err(refused)?))
    }

    async fn controller_update(&self, id: ControllerId, edit: ControllerEdit) -> Result<LiveController, ControlError> {
        let edited = self.db.controller_edit(id, self.clock.now(), edit).await.map_err(refused)?;
        edited.map(|(_, after)| self.live(after))
    }

    async fn controller_delete(&self, id: ControllerId) -> Result<(), ControlError> {
        self.db.controller_delete(id, self.clock.now()).await.map(drop).map_err(refused)
    }

    async fn controller_probe(&self, config: &ControllerConfig) -> ControllerProbe {
        self.probed.lock().unwrap().push(config.clone());
        ControllerProbe {
            success: false,
            message: "the certificate is not to be trusted".into(),
            error_kind: Some(ControllerFault::TlsUntrusted),
            firmware_version: None,
            camera_count: None,
            certificate_sha256: Some("ab".repeat(32)),
            certificate_trusted: Some(false),
            features: None,
            elapsed_ms: 12,
        }
    }

    async fn controller_cameras(&self, id: ControllerId, refresh: bool) -> Result<Vec<ControllerCamera>, ControlError> {
        self.db.controller_get(id).await.map_err(refused)?;
        self.refreshed.lock().unwrap().push(refresh);
        let cameras = self.cameras.lock().unwrap().clone();
        cameras.ok_or_else(|| ControlError::Unavailable("the cameras were never read".into()))
    }

    async fn controller_camera_put(
        &self,
        id: ControllerId,
        device: &str,
        enabled: Option<bool>,
        detections: Option<Vec<DetectionType>>,
    ) -> Result<ControllerCamera, ControlError> {
        self.db.controller_get(id).await.map_err(refused)?;
        let mut cameras = self.cameras.lock().unwrap();
        let found = cameras.iter_mut().flatten().find(|camera| camera.device.id == device);
        let camera = found.ok_or_else(|| ControlError::NotFound("the controller has no such camera".into()))?;
        camera.enabled = enabled.unwrap_or(camera.enabled);
        if camera.enabled && camera.camera_id.is_none() {
            camera.camera_id = Some(CameraId::new(self.clock.now()));
        }
        if let Some(detections) = detections {
            camera.detections = detections;
        }
        Ok(camera.clone())
    }
}
