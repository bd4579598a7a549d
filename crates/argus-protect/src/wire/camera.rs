//! Cameras, of both interfaces.

use serde_json::Value;

use super::{flag, int, list, text, words};

/// One of a camera's streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// 0 is the best, 1 the middle one, 2 the smallest, 3 the package lens. Names are free and no guide.
    pub id: i64,
    /// The secret name of its stream, while RTSP is on.
    pub rtsp_alias: Option<argus_core::Secret>,
    /// Pixels.
    pub width: Option<i64>,
    /// Pixels.
    pub height: Option<i64>,
}

/// A camera as one of the interfaces tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Camera {
    /// Opaque; changes when it is adopted anew.
    pub id: String,
    /// Upper case, no separators.
    pub mac: Option<String>,
    /// `None` when it was never named.
    pub name: Option<String>,
    /// Such as `G4 Doorbell Pro`.
    pub model: Option<String>,
    /// Such as `CONNECTED`.
    pub state: Option<String>,
    /// Whether it belongs to this controller.
    pub is_ours: bool,
    /// Whether it can ring.
    pub is_doorbell: bool,
    /// Whether it has a second lens for packages.
    pub has_package_lens: bool,
    /// Whether an AI Port stands before it, or it is another maker's: pictures of a wished size are refused then.
    pub is_plain: bool,
    /// The console that serves it, where consoles are stacked.
    pub connection_host: Option<String>,
    /// What it can detect.
    pub smart_types: Vec<String>,
    /// What it can hear.
    pub audio_types: Vec<String>,
    /// What of that is switched on.
    pub switched_on: Vec<String>,
    /// Its streams.
    pub channels: Vec<Channel>,
}

impl Camera {
    /// Reads a camera of the local interface; `nvr_mac` is the controller's own.
    #[must_use]
    pub fn local(v: &Value, nvr_mac: Option<&str>) -> Option<Self> {
        let mut camera = Self::common(v)?;
        let features = v.get("featureFlags").unwrap_or(&Value::Null);
        // A record may say that another console has it and name this one all the same: then the name counts.
        let named = nvr_mac.is_some() && text(v, "nvrMac").as_deref() == nvr_mac;
        let others = flag(v, "isAdoptedByOther").unwrap_or(false);
        camera.is_ours = flag(v, "isAdopted").unwrap_or(true) && (!others || named);
        camera.is_doorbell = flag(features, "isDoorbell").or_else(|| flag(features, "hasChime")).unwrap_or(false);
        camera.has_package_lens = flag(features, "hasPackageCamera").unwrap_or(false);
        camera.is_plain = ["isPairedWithAiPort", "isThirdPartyCamera"].iter().any(|key| flag(v, key).unwrap_or(false));
        camera.connection_host = text(v, "connectionHost");
        Some(camera)
    }

    /// Reads a camera of the integration interface; `rings` says whether a chime of this site names it.
    #[must_use]
    pub fn official(v: &Value, rings: bool) -> Option<Self> {
        let mut camera = Self::common(v)?;
        camera.is_doorbell = rings || camera.model.as_deref().is_some_and(|m| m.contains("Doorbell"));
        camera.has_package_lens = flag(v, "hasPackageCamera").unwrap_or(false);
        Some(camera)
    }

    fn common(v: &Value) -> Option<Self> {
        let features = v.get("featureFlags").unwrap_or(&Value::Null);
        let settings = v.get("smartDetectSettings").unwrap_or(&Value::Null);
        let mut switched_on = words(settings, "objectTypes").unwrap_or_default();
        switched_on.extend(words(settings, "audioTypes").unwrap_or_default());
        Some(Self {
            id: text(v, "id")?,
            mac: text(v, "mac").map(|mac| mac.replace([':', '-'], "").to_ascii_uppercase()),
            name: text(v, "name"),
            model: text(v, "marketName").or_else(|| text(v, "type")),
            state: text(v, "state").or_else(|| {
                flag(v, "isConnected").map(|yes| if yes { "CONNECTED" } else { "DISCONNECTED" }.to_owned())
            }),
            is_ours: true,
            is_doorbell: false,
            has_package_lens: false,
            is_plain: false,
            connection_host: None,
            smart_types: words(features, "smartDetectTypes").unwrap_or_default(),
            audio_types: words(features, "smartDetectAudioTypes").unwrap_or_default(),
            switched_on,
            channels: list(v, "channels").filter_map(channel).collect(),
        })
    }

    /// Whether it is connected to its controller.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.state.as_deref() == Some("CONNECTED")
    }

    /// The best stream that is no package lens.
    #[must_use]
    pub fn best(&self) -> Option<&Channel> {
        self.channels.iter().filter(|c| c.id != 3).min_by_key(|c| c.id)
    }
}

fn channel(v: &Value) -> Option<Channel> {
    Some(Channel {
        id: int(v, "id")?,
        rtsp_alias: text(v, "rtspAlias").map(argus_core::Secret::new),
        width: int(v, "width"),
        height: int(v, "height"),
    })
}
