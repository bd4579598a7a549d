//! The whole state of a controller in one answer.

use serde_json::Value;

use super::{Camera, int, list, text};

/// The controller itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nvr {
    /// Upper case, no separators.
    pub mac: Option<String>,
    /// As its owner named it.
    pub name: Option<String>,
    /// Version of Protect.
    pub version: Option<String>,
    /// Address that it knows of itself; may be an inside one.
    pub host: Option<String>,
    /// Port of RTSP over TLS.
    pub rtsps_port: Option<u16>,
}

impl Nvr {
    /// Reads it; everything may be missing.
    #[must_use]
    pub fn read(v: &Value) -> Self {
        let port = |key| v.get("ports").and_then(|p| int(p, key)).and_then(|p| u16::try_from(p).ok());
        Self {
            mac: text(v, "mac"),
            name: text(v, "name"),
            version: text(v, "version"),
            host: text(v, "host"),
            rtsps_port: port("rtsps"),
        }
    }
}

/// What was read of a bootstrap.
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap {
    /// The controller.
    pub nvr: Value,
    /// The cameras, as they came, those with an id.
    pub cameras: Vec<Value>,
    /// Where the update stream begins.
    pub last_update_id: String,
    /// Cameras that could not be read.
    pub bad: u64,
}

impl Bootstrap {
    /// Reads it; says what is missing where it is none.
    ///
    /// # Errors
    /// Why it is no bootstrap.
    pub fn read(mut v: Value) -> Result<Self, String> {
        let last_update_id = text(&v, "lastUpdateId").ok_or("there is no lastUpdateId in it")?;
        let nvr = v.get_mut("nvr").map(Value::take).filter(Value::is_object).ok_or("there is no nvr in it")?;
        if !v.get("cameras").is_some_and(Value::is_array) {
            return Err("there is no list of cameras in it".into());
        }
        let total = list(&v, "cameras").count();
        let cameras: Vec<Value> = list(&v, "cameras").filter(|c| Camera::local(c, None).is_some()).cloned().collect();
        let bad = u64::try_from(total.saturating_sub(cameras.len())).unwrap_or(u64::MAX);
        Ok(Self { nvr, cameras, last_update_id, bad })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fixture(name: &str) -> Value {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/protect-sim/fixtures/private");
        serde_json::from_str(&std::fs::read_to_string(format!("{folder}/{name}")).unwrap()).unwrap()
    }

    #[test]
    fn recorded_bootstraps_are_read() {
        let a = Bootstrap::read(fixture("bootstrap_a.json")).unwrap();
        let nvr = Nvr::read(&a.nvr);
        assert_eq!((a.cameras.len(), a.bad), (12, 0));
        assert_eq!((nvr.version.as_deref(), nvr.rtsps_port), (Some("1.21.0-beta.3"), Some(7441)));
        let cameras: Vec<Camera> = a.cameras.iter().filter_map(|c| Camera::local(c, nvr.mac.as_deref())).collect();
        assert_eq!(cameras.iter().filter(|c| c.is_online()).count(), 8);
        assert_eq!(cameras.iter().filter(|c| c.has_package_lens).count(), 1);
        let pro = cameras.iter().find(|c| c.model.as_deref() == Some("G4 Doorbell Pro")).unwrap();
        assert!(pro.is_doorbell && pro.is_ours && pro.channels.len() == 4);
        assert_eq!(pro.smart_types, ["person", "vehicle"]);
        assert_ne!(pro.best().unwrap().id, 3);

        let b = Bootstrap::read(fixture("bootstrap_b.json")).unwrap();
        assert_eq!((b.cameras.len(), b.bad, Nvr::read(&b.nvr).version.as_deref()), (6, 0, Some("1.20.0-beta.2")));
    }

    #[test]
    fn bootstrap_survives_bad_camera() {
        let mut v = fixture("bootstrap_a.json");
        v["cameras"][3] = json!("what is this");
        v["cameras"][4] = json!({"id": null, "name": 7});
        v["cameras"][5] = json!({"id": "00000000-0000-00 0- 000-000000000000"});
        v.as_object_mut().unwrap().remove("lights");
        let read = Bootstrap::read(v).unwrap();
        assert_eq!((read.cameras.len(), read.bad), (10, 2));
        let bare = read.cameras.iter().find(|c| c["id"] == "00000000-0000-00 0- 000-000000000000").unwrap();
        let bare = Camera::local(bare, None).unwrap();
        assert!(bare.is_ours && !bare.is_online() && bare.name.is_none() && bare.channels.is_empty());
    }

    #[test]
    fn bootstrap_survives_unknown_enum() {
        let mut v = fixture("bootstrap_b.json");
        v["cameras"][0]["state"] = json!("HIBERNATING");
        v["cameras"][0]["videoMode"] = json!("quantum");
        v["cameras"][0]["featureFlags"]["smartDetectTypes"] = json!(["person", "unicorn"]);
        v["cameras"][0]["channels"][0]["fps"] = json!(null);
        v["cameras"][0]["recordingSettings"]["mode"] = json!(17);
        v["cameras"][0]["is_adopted"] = json!("twice");
        let read = Bootstrap::read(v).unwrap();
        let camera = Camera::local(&read.cameras[0], None).unwrap();
        assert_eq!((camera.is_online(), camera.state.as_deref()), (false, Some("HIBERNATING")));
        assert_eq!(camera.smart_types, ["person", "unicorn"]);
    }

    #[test]
    fn what_is_no_bootstrap_is_said() {
        for (v, word) in [
            (json!({}), "lastUpdateId"),
            (json!({"lastUpdateId": "x"}), "nvr"),
            (json!({"lastUpdateId": "x", "nvr": {}}), "cameras"),
            (json!([1]), "lastUpdateId"),
        ] {
            assert!(Bootstrap::read(v).unwrap_err().contains(word));
        }
    }

    #[test]
    fn contradicting_adoption_goes_by_the_mac() {
        let check = |v: Value, expected| assert_eq!(Camera::local(&v, Some("AA")).unwrap().is_ours, expected, "{v}");
        check(json!({"id": "c", "isAdopted": true, "isAdoptedByOther": false}), true);
        check(json!({"id": "c", "isAdopted": true, "isAdoptedByOther": true}), false);
        check(json!({"id": "c", "isAdopted": true, "isAdoptedByOther": true, "nvrMac": "AA"}), true);
        check(json!({"id": "c", "isAdopted": true, "isAdoptedByOther": true, "nvrMac": "BB"}), false);
        check(json!({"id": "c", "isAdopted": false}), false);
    }
}
