//! The cameras of this server follow those of their controller: new names, and adoptions anew.

use std::sync::Arc;

use argus_core::camera::{Camera, CameraConfig, ProtectSource, Source};
use argus_core::controller::ControllerDevice;
use argus_core::ports::ControlError;
use argus_core::{Classify, ErrorClass, chain};
use tracing::{info, warn};

use super::link::Link;
use crate::Deps;
use crate::camera::lock;
use crate::control::edit_camera;

/// So many names are tried: `Door`, `Door 2`, `Door 3`…
pub(crate) const NAMES: u32 = 100;

/// A name for a camera that is called so on its controller.
pub(crate) fn numbered(name: &str, n: u32) -> String {
    let name: String = name.trim().chars().take(90).collect();
    let name = if name.is_empty() { "Camera".to_owned() } else { name };
    if n <= 1 { name } else { format!("{name} {n}") }
}

/// The cameras of a controller, enabled or not.
pub(crate) fn cameras(deps: &Deps, link: &Link) -> Vec<Camera> {
    let slots = lock(&deps.slots);
    let theirs = slots.values().filter_map(|slot| {
        let camera = lock(&slot.live).camera.clone();
        matches!(&camera.config.source, Source::Protect(s) if s.controller_id == Some(link.id)).then_some(camera)
    });
    theirs.collect()
}

/// The device that a camera is: by its name on the controller, else by its MAC, which stays when it is adopted anew.
pub(crate) fn device_of<'a>(devices: &'a [ControllerDevice], source: &ProtectSource) -> Option<&'a ControllerDevice> {
    let same = devices.iter().find(|device| device.id == source.camera_id);
    same.or_else(|| devices.iter().find(|device| device.mac.is_some() && device.mac == source.mac))
}

/// The device that was put in the place of one that is gone: the only one of its name and kind that is no camera yet.
fn successor<'a, 'b>(
    devices: &'a [ControllerDevice],
    gone: &ProtectSource,
    sources: impl Iterator<Item = &'b ProtectSource>,
) -> Option<&'a ControllerDevice> {
    let taken: Vec<&str> =
        sources.filter_map(|source| device_of(devices, source)).map(|device| device.id.as_str()).collect();
    let mut free = devices.iter().filter(|device| {
        numbered(&device.name, 1) == gone.device_name
            && device.is_doorbell == gone.is_doorbell
            && !taken.contains(&device.id.as_str())
    });
    let first = free.next()?;
    free.next().is_none().then_some(first)
}

/// What is known of a device, in the source of its camera.
pub(crate) fn updated(source: &ProtectSource, device: &ControllerDevice) -> ProtectSource {
    ProtectSource {
        camera_id: device.id.clone(),
        mac: device.mac.clone().or_else(|| source.mac.clone()),
        device_name: numbered(&device.name, 1),
        is_doorbell: device.is_doorbell,
        ..source.clone()
    }
}

/// Changes what has changed on the controller. What cannot be stored now is tried again the next time.
pub(crate) async fn devices(deps: &Arc<Deps>, link: &Link) {
    let Some((_, devices)) = link.devices() else { return };
    let cameras = cameras(deps, link);
    let sources = || {
        cameras.iter().filter_map(|camera| match &camera.config.source {
            Source::Protect(source) => Some(source),
            _ => None,
        })
    };
    for camera in &cameras {
        let Source::Protect(source) = &camera.config.source else { continue };
        let Some(device) = device_of(&devices, source).or_else(|| successor(&devices, source, sources())) else {
            continue;
        };
        let now = updated(source, device);
        if now == *source {
            continue;
        }
        if let Err(e) = change(deps, camera, &now).await {
            warn!(camera.id = %camera.id, "what changed on its controller could not be stored: {}", chain(&e));
        }
    }
}

async fn change(deps: &Arc<Deps>, camera: &Camera, now: &ProtectSource) -> Result<(), ControlError> {
    for n in 1..=NAMES {
        let (now, id) = (now.clone(), camera.id);
        let wanted = numbered(&now.device_name, n);
        let edit = move |camera: &Camera| {
            let Source::Protect(before) = &camera.config.source else { return Ok(camera.config.clone()) };
            if before.controller_id != now.controller_id {
                // Its controller was deleted meanwhile.
                return Ok(camera.config.clone());
            }
            // A name that a person gave stays.
            let follows = before.gave_name(&camera.config.name) && before.device_name != now.device_name;
            let name = if follows { wanted } else { camera.config.name.clone() };
            let source = ProtectSource { detections: before.detections.clone(), ..now };
            Ok(CameraConfig { name, source: Source::Protect(source), ..camera.config.clone() })
        };
        match edit_camera(deps, id, Box::new(edit)).await {
            Ok(after) => {
                info!(camera.id = %id, camera.name = %after.config.name, "follows its controller");
                return Ok(());
            }
            Err(e) if e.class() == ErrorClass::Conflict => {}
            Err(e) => return Err(e),
        }
    }
    Err(ControlError::Conflict(format!("{NAMES} cameras are called {} already", now.device_name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(id: &str, mac: Option<&str>) -> ControllerDevice {
        ControllerDevice {
            id: id.into(),
            mac: mac.map(Into::into),
            name: "Door".into(),
            model: String::new(),
            is_doorbell: false,
            is_online: true,
            capabilities: vec![],
            switched_on: vec![],
            resolution: None,
        }
    }

    #[test]
    fn a_camera_is_known_by_its_mac_when_it_was_adopted_anew() {
        let source = ProtectSource {
            controller_id: None,
            camera_id: "old".into(),
            mac: Some("AA".into()),
            device_name: "Door".into(),
            is_doorbell: false,
            detections: vec![],
        };
        let find = |devices: &[ControllerDevice]| device_of(devices, &source).map(|d| d.id.clone());
        assert_eq!(find(&[device("x", None), device("old", Some("BB"))]).as_deref(), Some("old"));
        assert_eq!(find(&[device("x", None), device("new", Some("AA"))]).as_deref(), Some("new"));
        assert_eq!(find(&[device("x", None), device("y", Some("BB"))]), None);
        let without = ProtectSource { mac: None, ..source };
        assert!(device_of(&[device("x", None)], &without).is_none(), "nobody is nobody's twin");
    }

    #[test]
    fn a_replaced_camera_is_known_by_its_name_when_only_one_can_be_meant() {
        let source = |id: &str, name: &str| ProtectSource {
            controller_id: None,
            camera_id: id.into(),
            mac: Some(format!("MAC OF {id}")),
            device_name: name.into(),
            is_doorbell: false,
            detections: vec![],
        };
        let gone = source("old", "Door");
        let find = |devices: &[ControllerDevice], others: &[ProtectSource]| {
            successor(devices, &gone, others.iter()).map(|d| d.id.clone())
        };
        assert_eq!(find(&[device("new", Some("X"))], &[]).as_deref(), Some("new"));
        assert_eq!(find(&[device("new", Some("X")), device("newer", Some("Y"))], &[]), None, "either may be meant");
        assert_eq!(find(&[device("new", Some("X"))], &[source("new", "Door")]), None, "it is another camera");
        let doorbell = ControllerDevice { is_doorbell: true, ..device("new", None) };
        assert_eq!(find(&[doorbell], &[]), None);
    }

    #[test]
    fn names_are_numbered_and_never_empty() {
        assert_eq!((numbered(" Door ", 1), numbered("Door", 3)), ("Door".into(), "Door 3".into()));
        assert_eq!(numbered("  ", 2), "Camera 2");
        assert!(numbered(&"x".repeat(300), 100).chars().count() <= 100);
    }
}
