//! What the API may ask of controllers.

use std::time::Duration;

use argus_core::camera::{Camera, CameraConfig, CameraFields, ProtectSource, Source, SourceType};
use argus_core::controller::{ControllerConfig, ControllerDevice, ControllerProbe, ControllerStatus, StoredController};
use argus_core::event::DetectionType;
use argus_core::ports::{Control, ControlError, ControllerCamera, ControllerControl, ControllerEdit, LiveController};
use argus_core::{CameraId, Classify, ControllerId, ErrorClass};
use argus_db::ControllerMemory;
use async_trait::async_trait;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::event::Cut;
use super::follow::{NAMES, cameras, device_of, numbered, updated};
use super::link::{Command, Link, blank};
use super::{halt, refused, supervisor};
use crate::Engine;
use crate::camera::{configure, lock};
use crate::control::edit_camera;
use crate::error::control;

/// The cameras of a controller are read anew when they are older than this.
const FRESH: Duration = Duration::from_secs(60);
/// A controller that is just being connected is waited for so long.
const FIRST_READING: Duration = Duration::from_secs(10);

#[async_trait]
impl ControllerControl for Engine {
    async fn controllers(&self) -> Result<Vec<LiveController>, ControlError> {
        let all = self.deps.db.controller_all().await.map_err(|e| control("the controllers cannot be read", e))?;
        Ok(all.into_iter().map(|(stored, memory)| self.live_controller(stored, &memory)).collect())
    }

    async fn controller_create(&self, config: ControllerConfig) -> Result<LiveController, ControlError> {
        self.accepting()?;
        let _turn = self.deps.protect.turn.lock().await;
        let now = self.deps.clock.now();
        let stored = StoredController { id: ControllerId::new(now), created_at: now, updated_at: now, config };
        let stored = self.deps.db.controller_insert(stored).await;
        let stored = stored.map_err(|e| control("the controller cannot be stored", e))?;
        info!(controller.id = %stored.id, controller.name = %stored.config.name, "controller added");
        supervisor::start(&self.deps, stored.clone(), None, Vec::new());
        Ok(self.live_controller(stored, &ControllerMemory::default()))
    }

    async fn controller_update(&self, id: ControllerId, edit: ControllerEdit) -> Result<LiveController, ControlError> {
        self.accepting()?;
        let _turn = self.deps.protect.turn.lock().await;
        let edited = self.deps.db.controller_edit(id, self.deps.clock.now(), edit).await;
        let (_, stored) = edited.map_err(|e| control("the controller cannot be stored", e))??;
        if let Some(link) = self.deps.protect.link(id)
            && link.commands.send(Command::Configure(Box::new(stored.clone()))).await.is_err()
        {
            warn!(controller.id = %id, "the controller's task has ended; the change acts at the next start");
        }
        let (stored, memory) =
            self.deps.db.controller_get(id).await.map_err(|e| control("the controller cannot be read", e))?;
        Ok(self.live_controller(stored, &memory))
    }

    async fn controller_delete(&self, id: ControllerId) -> Result<(), ControlError> {
        let _turn = self.deps.protect.turn.lock().await;
        self.deps.db.controller_get(id).await.map_err(|e| control("the controller cannot be read", e))?;
        let link = lock(&self.deps.protect.links).remove(&id);
        if let Some(link) = &link {
            // Nobody waits for a connection that will not be made again.
            let mut stored = link.stored();
            stored.config.is_enabled = false;
            link.configure(stored);
            halt(link, Cut::Gone).await;
        }
        let cameras = match self.deps.db.controller_delete(id, self.deps.clock.now()).await {
            Ok(cameras) => cameras,
            Err(e) => {
                // The row is still there: the controller goes on.
                if let Ok((stored, memory)) = self.deps.db.controller_get(id).await {
                    supervisor::start(&self.deps, stored, memory.last_connected_at, Vec::new());
                }
                return Err(control("the controller cannot be deleted", e));
            }
        };
        for camera in cameras {
            let slot = lock(&self.deps.slots).get(&camera.id).cloned();
            if let Some(slot) = slot {
                configure(&slot, &camera).await;
            }
        }
        info!(controller.id = %id, "controller deleted");
        Ok(())
    }

    async fn controller_probe(&self, config: &ControllerConfig) -> ControllerProbe {
        self.deps.controllers.probe(config).await
    }

    async fn controller_cameras(&self, id: ControllerId, refresh: bool) -> Result<Vec<ControllerCamera>, ControlError> {
        let (stored, memory) =
            self.deps.db.controller_get(id).await.map_err(|e| control("the controller cannot be read", e))?;
        let devices = self.devices(&stored, refresh).await?;
        let theirs = self.theirs(id);
        Ok(devices.iter().map(|device| shown(device, &theirs, &memory)).collect())
    }

    async fn controller_camera_put(
        &self,
        id: ControllerId,
        device: &str,
        enabled: Option<bool>,
        detections: Option<Vec<DetectionType>>,
    ) -> Result<ControllerCamera, ControlError> {
        self.accepting()?;
        let _turn = self.deps.protect.turn.lock().await;
        let (stored, memory) =
            self.deps.db.controller_get(id).await.map_err(|e| control("the controller cannot be read", e))?;
        let devices = self.devices(&stored, false).await?;
        let missing = || ControlError::NotFound("the controller has no such camera".into());
        let device = devices.iter().find(|d| d.id == device).cloned().ok_or_else(missing)?;
        let camera = self.camera_of(id, &device);
        match camera {
            Some(camera) => self.change(id, camera.id, &device, enabled, detections).await?,
            None if enabled == Some(true) => {
                let chosen = detections.or_else(|| choice(&memory, &device).cloned());
                self.adopt(id, &device, chosen).await?;
            }
            None => {
                if let Some(detections) = detections {
                    let chosen = self.deps.db.controller_choose(id, key(&device).to_owned(), detections).await;
                    chosen.map_err(|e| control("the choice cannot be stored", e))?;
                }
            }
        }
        let (_, memory) =
            self.deps.db.controller_get(id).await.map_err(|e| control("the controller cannot be read", e))?;
        Ok(shown(&device, &self.theirs(id), &memory))
    }
}

/// What a device is known by, also when it is adopted anew.
fn key(device: &ControllerDevice) -> &str {
    device.mac.as_deref().unwrap_or(&device.id)
}

fn choice<'a>(memory: &'a ControllerMemory, device: &ControllerDevice) -> Option<&'a Vec<DetectionType>> {
    memory.choices.get(key(device)).or_else(|| memory.choices.get(&device.id))
}

/// A device with what this server makes of it.
fn shown(device: &ControllerDevice, theirs: &[Camera], memory: &ControllerMemory) -> ControllerCamera {
    let one = std::slice::from_ref(device);
    let camera = theirs.iter().find_map(|camera| match &camera.config.source {
        Source::Protect(source) if device_of(one, source).is_some() => Some((camera, source)),
        _ => None,
    });
    let default = || choice(memory, device).cloned().unwrap_or_else(|| ProtectSource::DETECTIONS.to_vec());
    ControllerCamera {
        device: device.clone(),
        camera_id: camera.map(|(camera, _)| camera.id),
        enabled: camera.is_some_and(|(camera, _)| camera.config.is_enabled),
        detections: camera.map_or_else(default, |(_, source)| source.detections.clone()),
    }
}

impl Engine {
    fn live_controller(&self, stored: StoredController, memory: &ControllerMemory) -> LiveController {
        let link = self.deps.protect.link(stored.id);
        let mut state = link.as_ref().map_or_else(|| blank(ControllerStatus::Connecting), |link| link.state_now());
        if !stored.config.is_enabled {
            // Its task may still be ending; it is not to be connected all the same.
            state = argus_core::controller::ControllerState {
                status: ControllerStatus::Disabled,
                last_error: None,
                last_error_kind: None,
                ..state
            };
        }
        state.last_connected_at = state.last_connected_at.or(memory.last_connected_at);
        let gaps = link.as_ref().map(|link| link.gaps()).unwrap_or_default();
        let devices = link.and_then(|link| link.devices()).map(|(_, devices)| devices.len());
        let enabled = self.theirs(stored.id).iter().filter(|camera| camera.config.is_enabled).count();
        LiveController {
            state,
            camera_count: devices.and_then(|n| u32::try_from(n).ok()),
            enabled_camera_count: u32::try_from(enabled).unwrap_or(u32::MAX),
            stored,
            gaps,
        }
    }

    /// The cameras of a controller on this server.
    fn theirs(&self, id: ControllerId) -> Vec<Camera> {
        self.deps.protect.link(id).map(|link| cameras(&self.deps, &link)).unwrap_or_default()
    }

    /// The controller's cameras, fresh enough.
    async fn devices(&self, stored: &StoredController, refresh: bool) -> Result<Vec<ControllerDevice>, ControlError> {
        let never = || {
            let name = &stored.config.name;
            ControlError::Unavailable(format!("the cameras of {name} were never read, and it is not connected"))
        };
        let link = self.deps.protect.link(stored.id).ok_or_else(never)?;
        let known = link.devices();
        let is_fresh = |read| self.deps.clock.now().since(read) <= FRESH;
        if let Some((_, devices)) = known.clone().filter(|(read, _)| !refresh && is_fresh(*read)) {
            return Ok(devices.to_vec());
        }
        if known.is_none() {
            self.first_reading(&link).await;
        }
        let before = link.devices().map(|(read, _)| read);
        match link.ask(|c| async move { c.devices().await }, false).await {
            Ok(devices) => {
                link.put_read(before, devices.clone(), self.deps.clock.now());
                Ok(devices)
            }
            // What was read before is better than nothing.
            Err(e) => match link.devices() {
                Some((_, devices)) => Ok(devices.to_vec()),
                None => Err(match refused(e) {
                    ControlError::Unavailable(_) => never(),
                    other => ControlError::Unavailable(format!("its cameras were never read: {other}")),
                }),
            },
        }
    }

    /// Waits a little for a controller that is just being connected.
    async fn first_reading(&self, link: &Link) {
        let mut changed = self.deps.protect.changed.subscribe();
        let read = async {
            while link.devices().is_none() && link.state().status == ControllerStatus::Connecting {
                tokio::select! {
                    _ = changed.changed() => {}
                    () = sleep(Duration::from_secs(1)) => {}
                }
            }
        };
        // Whether it was read in time is looked at by the caller.
        let _ = timeout(FIRST_READING, read).await;
    }

    /// The camera of a device: one of this controller, or one whose controller was deleted and that has the same MAC.
    fn camera_of(&self, id: ControllerId, device: &ControllerDevice) -> Option<Camera> {
        let one = std::slice::from_ref(device);
        let slots: Vec<_> = lock(&self.deps.slots).values().cloned().collect();
        let found = |is_theirs: bool| {
            slots.iter().map(|slot| lock(&slot.live).camera.clone()).find(|camera| match &camera.config.source {
                Source::Protect(source) if is_theirs => {
                    source.controller_id == Some(id) && device_of(one, source).is_some()
                }
                Source::Protect(source) => {
                    source.controller_id.is_none() && source.mac.is_some() && source.mac == device.mac
                }
                _ => false,
            })
        };
        found(true).or_else(|| found(false))
    }

    /// Changes the camera of a device.
    async fn change(
        &self,
        id: ControllerId,
        camera: CameraId,
        device: &ControllerDevice,
        enabled: Option<bool>,
        detections: Option<Vec<DetectionType>>,
    ) -> Result<(), ControlError> {
        let device = device.clone();
        let edit = move |camera: &Camera| {
            let mut config = camera.config.clone();
            if let Source::Protect(source) = &mut config.source {
                if source.controller_id.is_none() {
                    // It comes back to a controller that was added anew.
                    let name = source.device_name.clone();
                    *source = ProtectSource { device_name: name, ..updated(source, &device) };
                    source.controller_id = Some(id);
                }
                if let Some(detections) = detections {
                    source.detections = detections;
                }
            }
            config.is_enabled = enabled.unwrap_or(config.is_enabled);
            Ok(config)
        };
        edit_camera(&self.deps, camera, Box::new(edit)).await.map(drop)
    }

    /// Makes a camera of a device.
    async fn adopt(
        &self,
        id: ControllerId,
        device: &ControllerDevice,
        detections: Option<Vec<DetectionType>>,
    ) -> Result<(), ControlError> {
        let source = ProtectSource {
            controller_id: Some(id),
            camera_id: device.id.clone(),
            mac: device.mac.clone(),
            device_name: numbered(&device.name, 1),
            is_doorbell: device.is_doorbell,
            detections: detections.unwrap_or_else(|| ProtectSource::DETECTIONS.to_vec()),
        };
        let defaults = &self.deps.settings.now().motion_defaults;
        for n in 1..=NAMES {
            let fields = CameraFields::new(numbered(&device.name, n), SourceType::Protect).with_defaults(defaults);
            let config: CameraConfig = CameraFields { protect: Some(source.clone()), ..fields }.check()?;
            match self.camera_create(config).await {
                Ok(_) => return Ok(()),
                Err(e) if e.class() == ErrorClass::Conflict => {}
                Err(e) => return Err(e),
            }
        }
        Err(ControlError::Conflict(format!("{NAMES} cameras are called {} already", source.device_name)))
    }
}
