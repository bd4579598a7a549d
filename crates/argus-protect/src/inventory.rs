//! What a controller has: its cameras as both interfaces tell them, kept up to date by their messages.

use std::collections::{BTreeMap, BTreeSet};

use argus_core::controller::ControllerDevice;
use serde_json::Value;

use crate::frame::{Action, Update};
use crate::wire::{Bootstrap, Camera, Nvr, list, merge, text};

/// The keys of a camera that are read; all others are noise, and most messages hold nothing else.
const KEYS: [&str; 15] = [
    "name",
    "state",
    "isConnected",
    "channels",
    "featureFlags",
    "smartDetectSettings",
    "isAdopted",
    "isAdoptedByOther",
    "nvrMac",
    "mac",
    "marketName",
    "type",
    "isPairedWithAiPort",
    "isThirdPartyCamera",
    "connectionHost",
];

/// The keys of the controller that are read.
const NVR_KEYS: [&str; 5] = ["mac", "name", "version", "host", "ports"];

/// Most cameras; no console serves more than some hundreds.
const MOST: usize = 2000;

/// Everything that is known of the cameras.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    nvr: Value,
    local: Option<BTreeMap<String, Value>>,
    official: Option<BTreeMap<String, Value>>,
    /// Messages that changed cameras of the local interface.
    changes: u64,
    /// Nobody keeps `local` up to date any more.
    local_is_old: bool,
    /// Cameras that a chime names, or that rang: the integration interface does not tell doorbells.
    rings: BTreeSet<String>,
}

fn by_id(cameras: Vec<Value>) -> BTreeMap<String, Value> {
    cameras.into_iter().take(MOST).filter_map(|c| Some((text(&c, "id")?, c))).collect()
}

impl Inventory {
    /// Takes over a bootstrap.
    pub(crate) fn bootstrap(&mut self, read: Bootstrap) {
        self.nvr = read.nvr;
        self.local = Some(by_id(read.cameras));
        self.local_is_old = false;
    }

    /// How often messages changed cameras: a reading that began before the last change may not know of it.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// The local interface is refused until further notice: the other one's cameras count, if there are any. True when
    /// that is news.
    pub(crate) fn local_refused(&mut self) -> bool {
        !std::mem::replace(&mut self.local_is_old, true) && self.official.is_some()
    }

    /// The local interface's cameras, unless the other one knows better.
    fn by_account(&self) -> Option<&BTreeMap<String, Value>> {
        self.local.as_ref().filter(|_| !self.local_is_old || self.official.is_none())
    }

    /// Takes over the lists of the integration interface.
    pub(crate) fn official(&mut self, cameras: Vec<Value>, chimes: &Value) {
        self.official = Some(by_id(cameras));
        for chime in chimes.as_array().into_iter().flatten() {
            self.rings.extend(list(chime, "cameraIds").filter_map(Value::as_str).take(MOST).map(ToOwned::to_owned));
        }
    }

    /// Takes note of a ring; true when that is news.
    pub(crate) fn rang(&mut self, device: &str) -> bool {
        self.rings.len() < MOST && self.rings.insert(device.to_owned())
    }

    /// Applies a message of the local stream; true when something that is read changed.
    pub(crate) fn apply(&mut self, update: &Update) -> bool {
        match update.model.as_str() {
            "nvr" if matches!(update.action, Action::Update) => {
                let news = NVR_KEYS.iter().any(|key| update.data.get(key).is_some());
                if news {
                    merge(&mut self.nvr, &update.data);
                }
                news
            }
            "camera" => {
                let news = self.local.as_mut().is_some_and(|cameras| change(cameras, update));
                self.changes = self.changes.wrapping_add(u64::from(news));
                news
            }
            _ => false,
        }
    }

    /// Applies a message of the integration interface's device stream, which may be about many devices.
    pub(crate) fn apply_official(&mut self, message: &Value) -> bool {
        let Some(cameras) = self.official.as_mut() else { return false };
        let Some(item) = message.get("item").filter(|i| text(i, "modelKey").as_deref() == Some("camera")) else {
            return false;
        };
        let action = match text(message, "type").as_deref() {
            Some("add") => Action::Add,
            Some("update") => Action::Update,
            Some("remove") => Action::Remove,
            _ => return false,
        };
        let ids: Vec<String> = match item.get("id") {
            Some(Value::Array(ids)) => ids.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect(),
            _ => text(item, "id").into_iter().collect(),
        };
        let mut news = false;
        for id in ids.into_iter().take(MOST) {
            let mut data = item.clone();
            if let Some(keys) = data.as_object_mut() {
                keys.insert("id".into(), Value::String(id.clone()));
            }
            let update = Update { action: action.clone(), model: "camera".into(), id, resume: None, data };
            news |= change(cameras, &update);
        }
        news
    }

    /// The controller.
    pub(crate) fn nvr(&self) -> Nvr {
        Nvr::read(&self.nvr)
    }

    /// A camera, as the interface tells it that tells more.
    pub(crate) fn camera(&self, id: &str) -> Option<Camera> {
        let mac = text(&self.nvr, "mac");
        let local = self.by_account().and_then(|c| c.get(id)).and_then(|c| Camera::local(c, mac.as_deref()));
        let official = || Camera::official(self.official.as_ref()?.get(id)?, self.rings.contains(id));
        local.or_else(official)
    }

    /// How many cameras there are, once they were read.
    pub(crate) fn count(&self) -> Option<usize> {
        (self.local.is_some() || self.official.is_some()).then(|| self.devices().len())
    }

    /// Every camera of this controller.
    pub(crate) fn devices(&self) -> Vec<ControllerDevice> {
        let all = self.by_account().or(self.official.as_ref());
        let cameras = all.into_iter().flat_map(BTreeMap::keys).filter_map(|id| self.camera(id));
        cameras.filter(|c| c.is_ours).map(device).collect()
    }
}

fn change(cameras: &mut BTreeMap<String, Value>, update: &Update) -> bool {
    if update.id.is_empty() {
        return false;
    }
    match update.action {
        Action::Remove => cameras.remove(&update.id).is_some(),
        Action::Add | Action::Update => {
            let Some(old) = cameras.get_mut(&update.id) else {
                // An update for a camera that is not known lacks most of it; the next reading brings it.
                if update.action != Action::Add || cameras.len() >= MOST {
                    return false;
                }
                let mut whole = update.data.clone();
                if let Some(keys) = whole.as_object_mut() {
                    keys.entry("id").or_insert_with(|| Value::String(update.id.clone()));
                }
                return cameras.insert(update.id.clone(), whole).is_none();
            };
            let news = KEYS.iter().any(|key| update.data.get(key).is_some());
            if news {
                merge(old, &update.data);
            }
            news
        }
        Action::Other(_) => false,
    }
}

fn device(camera: Camera) -> ControllerDevice {
    let size = camera.best().and_then(|c| Some(format!("{}x{}", c.width?, c.height?)));
    let always = || {
        let ring = camera.is_doorbell.then(|| "ring".to_owned());
        std::iter::once("motion".to_owned()).chain(ring)
    };
    ControllerDevice {
        capabilities: always().chain(camera.smart_types.clone()).chain(camera.audio_types.clone()).collect(),
        switched_on: always().chain(camera.switched_on.clone()).collect(),
        is_online: camera.is_online(),
        is_doorbell: camera.is_doorbell,
        resolution: size,
        name: camera.name.or_else(|| camera.model.clone()).unwrap_or_else(|| camera.id.clone()),
        model: camera.model.unwrap_or_default(),
        mac: camera.mac,
        id: camera.id,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fixture(name: &str) -> Value {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/protect-sim/fixtures");
        serde_json::from_str(&std::fs::read_to_string(format!("{folder}/{name}")).unwrap()).unwrap()
    }

    fn update(action: Action, id: &str, data: Value) -> Update {
        Update { action, model: "camera".into(), id: id.into(), resume: None, data }
    }

    #[test]
    fn recorded_cameras_become_devices() {
        let mut inv = Inventory::default();
        assert_eq!(inv.count(), None);
        inv.bootstrap(Bootstrap::read(fixture("private/bootstrap_a.json")).unwrap());
        let devices = inv.devices();
        assert_eq!((devices.len(), inv.count()), (12, Some(12)));
        let pro = devices.iter().find(|d| d.model == "G4 Doorbell Pro").unwrap();
        assert_eq!(pro.capabilities, ["motion", "ring", "person", "vehicle"]);
        assert_eq!((pro.mac.as_deref(), pro.is_doorbell, pro.is_online), (Some("331AFA68BE00"), true, true));
        assert_eq!(pro.resolution.as_deref(), Some("1600x1200"));

        let mut inv = Inventory::default();
        let cameras = fixture("integration/cameras.json").as_array().unwrap().clone();
        let count = cameras.len();
        inv.official(cameras, &fixture("integration/chimes.json"));
        let devices = inv.devices();
        assert_eq!(devices.len(), count);
        let bell = devices.iter().find(|d| d.name == "Doorbell").unwrap();
        assert!(bell.is_doorbell && bell.is_online && bell.capabilities.contains(&"package".to_owned()));
        assert!(devices.iter().filter(|d| d.is_doorbell).count() == 1);
        assert!(inv.rang("3df76e6abedbeab796e616d9") && !inv.rang("3df76e6abedbeab796e616d9"));
        assert!(inv.camera("3df76e6abedbeab796e616d9").unwrap().is_doorbell);
    }

    #[test]
    fn messages_change_cameras() {
        let mut inv = Inventory::default();
        inv.bootstrap(Bootstrap::read(fixture("private/bootstrap_b.json")).unwrap());
        let id = inv.devices()[0].id.clone();
        assert!(!inv.apply(&update(Action::Update, &id, json!({"stats": {"rx": 1}, "lastMotion": 7}))));
        assert!(inv.apply(&update(Action::Update, &id, json!({"name": "Yard", "state": "DISCONNECTED"}))));
        let device = inv.devices().into_iter().find(|d| d.id == id).unwrap();
        assert_eq!((device.name.as_str(), device.is_online), ("Yard", false));
        assert!(inv.apply(&update(Action::Add, "new", json!({"name": null, "type": "UVC X", "state": "CONNECTED"}))));
        assert!(!inv.apply(&update(Action::Update, "never heard of", json!({"name": "?"}))));
        let device = inv.devices().into_iter().find(|d| d.id == "new").unwrap();
        assert_eq!((device.name.as_str(), device.model.as_str()), ("UVC X", "UVC X"));
        assert!(inv.apply(&update(Action::Update, "new", json!({"isAdoptedByOther": true}))));
        assert_eq!(inv.devices().iter().filter(|d| d.id == "new").count(), 0);
        assert!(inv.apply(&update(Action::Remove, &id, json!({}))));
        assert_eq!(inv.devices().len(), 5);
        let other = Update { model: "unicorn".into(), ..update(Action::Add, "u", json!({})) };
        assert!(!inv.apply(&other));
    }

    #[test]
    fn without_the_account_the_other_interface_counts() {
        let mut inv = Inventory::default();
        let read = || Bootstrap::read(fixture("private/bootstrap_b.json")).unwrap();
        inv.bootstrap(read());
        let by_account = inv.devices();
        assert!(!inv.local_refused());
        assert_eq!(inv.devices(), by_account, "better old ones than none");
        inv.bootstrap(read());
        inv.official(fixture("integration/cameras.json").as_array().unwrap().clone(), &json!([]));
        assert_eq!(inv.devices(), by_account);
        assert!(inv.local_refused() && !inv.local_refused());
        let devices = inv.devices();
        assert_ne!(devices, by_account);
        let offline =
            json!({"type": "update", "item": {"id": devices[0].id, "modelKey": "camera", "state": "DISCONNECTED"}});
        assert!(inv.apply_official(&offline));
        assert_eq!(inv.devices().iter().find(|d| d.id == devices[0].id).map(|d| d.is_online), Some(false));
        inv.bootstrap(read());
        assert_eq!(inv.devices(), by_account);
    }

    #[test]
    fn bulk_messages_change_each_camera() {
        let mut inv = Inventory::default();
        inv.official(fixture("integration/cameras.json").as_array().unwrap().clone(), &json!([]));
        let ids: Vec<String> = inv.devices().into_iter().map(|d| d.id).take(2).collect();
        let bulk = json!({"type": "update", "item": {"id": ids, "modelKey": "camera", "state": "DISCONNECTED"}});
        assert!(inv.apply_official(&bulk));
        assert_eq!(inv.devices().iter().filter(|d| !d.is_online).count(), 2);
        assert!(!inv.apply_official(&json!({"type": "update", "item": {"id": "x", "modelKey": "light"}})));
        assert!(!inv.apply_official(&json!("?")));
    }
}
