//! The official integration interface, `/proxy/protect/integration/v1`: a narrower view of the same site.

use serde_json::{Map, Value, json};

use crate::console::Console;
use crate::media::{self, Shown};
use crate::model::{is_true, pick, text};
use crate::reply::Reply;
use crate::server::Asked;

/// Qualities of streams, each with the id of the channel it is.
const QUALITIES: [(&str, i64); 4] = [("high", 0), ("medium", 1), ("low", 2), ("package", 3)];
/// Fields that are the same on both interfaces.
const CAMERA: &[&str] =
    &["state", "name", "isMicEnabled", "ledSettings", "lcdMessage", "micVolume", "activePatrolSlot", "videoMode"];
const FLAGS: &[&str] = &[
    "supportFullHdSnapshot",
    "hasHdr",
    "smartDetectTypes",
    "smartDetectAudioTypes",
    "videoModes",
    "hasMic",
    "hasLedStatus",
    "hasSpeaker",
];
const LIGHT: &[&str] = &[
    "state",
    "name",
    "lightModeSettings",
    "lightDeviceSettings",
    "isDark",
    "isLightOn",
    "lastMotion",
    "isPirMotionDetected",
    "camera",
];
const SENSOR: &[&str] = &[
    "state",
    "name",
    "mountType",
    "batteryStatus",
    "stats",
    "lightSettings",
    "humiditySettings",
    "temperatureSettings",
    "isOpened",
    "openStatusChangedAt",
    "isMotionDetected",
    "motionDetectedAt",
    "motionSettings",
    "alarmTriggeredAt",
    "alarmSettings",
    "leakDetectedAt",
    "tamperingDetectedAt",
];
const LIVEVIEW: &[&str] = &["name", "isDefault", "isGlobal", "owner", "layout", "slots"];
/// Lists that came with Protect 7.1.
const SINCE_7_1: &[&str] = &[
    "sirens",
    "relays",
    "fobs",
    "speakers",
    "bridges",
    "link-stations",
    "alarm-hubs",
    "users",
    "ulp-users",
    "arm-profiles",
];

/// Major and minor number of a version of Protect.
fn version(nvr: &Value) -> (u32, u32) {
    let mut parts = text(nvr, "version").unwrap_or_default().split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

pub(crate) fn answer(console: &Console, asked: &Asked, rest: &[&str]) -> Reply {
    let (nvr, version) = {
        let state = console.state();
        (state.model.nvr().clone(), version(state.model.nvr()))
    };
    let absent = || Reply::not_found(rest.last().copied().unwrap_or_default());
    if version < (5, 3) {
        return absent();
    }
    match (asked.method.as_str(), rest) {
        ("GET", ["meta", "info"]) => Reply::ok(&json!({"applicationVersion": text(&nvr, "version")})),
        ("GET", ["nvrs"]) => Reply::ok(&nvr_view(&nvr)),
        (_, ["cameras", id, rest @ ..]) if !rest.is_empty() => camera_part(console, asked, version, id, rest),
        ("PATCH", ["cameras", id]) => patch(console, asked, id),
        ("GET", [list]) if SINCE_7_1.contains(list) && version < (7, 1) => absent(),
        (
            "GET",
            [
                "arm-profiles" | "sirens" | "relays" | "fobs" | "speakers" | "link-stations" | "alarm-hubs"
                | "ulp-users",
            ],
        ) => Reply::ok(&json!([])),
        ("GET", [list]) => match kind_of(list) {
            Some(kind) => {
                let state = console.state();
                let items = state.model.list(list).iter().filter(|item| is_listed(item));
                Reply::ok(&items.map(|item| view(kind, item, version)).collect())
            }
            None => absent(),
        },
        ("GET", [list, id]) => {
            let state = console.state();
            match (kind_of(list), state.model.find(list, id)) {
                (Some(kind), Some(item)) => Reply::ok(&view(kind, item, version)),
                _ => absent(),
            }
        }
        ("POST", ["alarm-manager", "webhook", _]) => Reply::empty(204),
        _ => absent(),
    }
}

fn kind_of(list: &str) -> Option<&'static str> {
    Some(match list {
        "cameras" => "camera",
        "lights" => "light",
        "sensors" => "sensor",
        "chimes" => "chime",
        "viewers" => "viewer",
        "liveviews" => "liveview",
        "bridges" => "bridge",
        "users" => "user",
        _ => return None,
    })
}

/// Only what this console has adopted.
fn is_listed(item: &Value) -> bool {
    item.get("isAdopted").is_none_or(|adopted| adopted == true) && !is_true(item, "isAdoptedByOther")
}

fn nvr_view(nvr: &Value) -> Value {
    let version = version(nvr);
    let mut view = head(nvr, "nvr");
    view.extend(pick(nvr, &["name"]));
    let doorbell = nvr.get("doorbellSettings").cloned().unwrap_or_else(|| json!({}));
    let mut settings = pick(&doorbell, &["defaultMessageText", "defaultMessageResetTimeoutMs", "customMessages"]);
    settings.insert("customImages".into(), json!([]));
    view.insert("doorbellSettings".into(), settings.into());
    if version >= (7, 1) {
        let mode = json!({"status": "disabled", "armedAt": null, "willBeArmedAt": null, "breachDetectedAt": null,
            "breachEventCount": 0, "breachTriggerEventId": null, "breachEventId": null});
        view.insert("armMode".into(), mode);
    }
    if version >= (7, 2) {
        view.extend(pick(nvr, &["mac", "type"]));
        view.insert("guid".into(), nvr.get("hardwareId").cloned().unwrap_or_default());
    }
    view.into()
}

fn head(item: &Value, kind: &str) -> Map<String, Value> {
    let mut view = pick(item, &["id"]);
    view.insert("modelKey".into(), kind.into());
    view
}

/// A thing as this interface shows it.
fn view(kind: &str, item: &Value, version: (u32, u32)) -> Value {
    let mut view = head(item, kind);
    match kind {
        "camera" => view.extend(camera_view(item, version)),
        "light" => {
            view.extend(pick(item, &["mac"]));
            view.extend(pick(item, LIGHT));
            let forced = item.pointer("/lightOnSettings/isLedForceOn").cloned().unwrap_or(json!(false));
            view.insert("isLightForceEnabled".into(), forced);
            let settings = item.get("lightDeviceSettings").unwrap_or(&Value::Null);
            let settings = pick(settings, &["isIndicatorEnabled", "pirDuration", "pirSensitivity", "ledLevel"]);
            view.insert("lightDeviceSettings".into(), settings.into());
        }
        "sensor" => {
            view.extend(pick(item, &["mac"]));
            view.extend(pick(item, SENSOR));
        }
        "chime" => {
            view.extend(pick(item, &["mac", "state", "name", "cameraIds"]));
            let ids = item.get("cameraIds").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let ring = |id: &Value| json!({"cameraId": id, "volume": item.get("volume"), "repeatTimes": 1});
            view.insert("ringSettings".into(), ids.iter().map(ring).collect());
        }
        "viewer" => view.extend(pick(item, &["mac", "state", "name", "liveview", "streamLimit"])),
        "liveview" => view.extend(pick(item, LIVEVIEW)),
        _ => view.extend(pick(item, &["mac", "state", "name"])),
    }
    view.into()
}

fn camera_view(item: &Value, version: (u32, u32)) -> Map<String, Value> {
    let mut view = pick(item, CAMERA);
    for (key, other) in [("lcdMessage", json!({})), ("activePatrolSlot", Value::Null), ("videoMode", json!("default"))]
    {
        view.entry(key).or_insert(other);
    }
    let known = |key: &str, fields: &[&str]| item.get(key).map(|value| pick(value, fields)).unwrap_or_default();
    let mut osd = known("osdSettings", &["isNameEnabled", "isDateEnabled", "isLogoEnabled", "isDebugEnabled"]);
    osd.insert("overlayLocation".into(), "topLeft".into());
    view.insert("osdSettings".into(), osd.into());
    let mut led = known("ledSettings", &["isEnabled"]);
    led.insert("welcomeLed".into(), true.into());
    led.insert("floodLed".into(), true.into());
    view.insert("ledSettings".into(), led.into());
    let hdr = if is_true(item, "hdrMode") { "auto" } else { "off" };
    view.insert("hdrType".into(), hdr.into());
    let mut flags = known("featureFlags", FLAGS);
    for (key, other) in
        [("smartDetectTypes", json!([])), ("smartDetectAudioTypes", json!([])), ("videoModes", json!(["default"]))]
    {
        flags.entry(key).or_insert(other);
    }
    for key in ["supportFullHdSnapshot", "hasHdr", "hasMic", "hasLedStatus", "hasSpeaker"] {
        flags.entry(key).or_insert(json!(false));
    }
    view.insert("featureFlags".into(), flags.into());
    let mut smart = known("smartDetectSettings", &["objectTypes", "audioTypes"]);
    for key in ["objectTypes", "audioTypes"] {
        smart.entry(key).or_insert(json!([]));
    }
    view.insert("smartDetectSettings".into(), smart.into());
    if version >= (6, 2) {
        view.extend(pick(item, &["mac"]));
    }
    if version >= (7, 1) {
        let has = item.pointer("/featureFlags/hasPackageCamera").cloned().unwrap_or(json!(false));
        view.insert("hasPackageCamera".into(), has);
    }
    if version >= (7, 2) {
        view.extend(pick(item, &["type"]));
        view.insert("guid".into(), item.get("anonymousDeviceId").cloned().unwrap_or_default());
    }
    view
}

/// What `subscribe/devices` says of a change on the site, where it shows it at all.
pub(crate) fn device_message(nvr: &Value, action: &str, kind: &str, id: &str, data: &Value) -> Option<String> {
    let version = version(nvr);
    if !matches!(kind, "camera" | "nvr" | "light" | "sensor" | "chime" | "viewer" | "liveview") {
        return None;
    }
    let mut item = Map::new();
    item.insert("id".into(), id.into());
    item.insert("modelKey".into(), kind.into());
    match action {
        "remove" => {}
        "add" => item.extend(view(kind, data, version).as_object().cloned().unwrap_or_default()),
        _ => {
            let all = if kind == "nvr" { nvr_view(data) } else { view(kind, data, version) };
            // The keys that changed; some are named otherwise over there.
            let own = |key: &str| if key == "hdrType" { "hdrMode" } else { key }.to_owned();
            let changed = all.as_object().into_iter().flatten().filter(|(key, _)| data.get(own(key)).is_some());
            let before = item.len();
            item.extend(
                changed
                    .filter(|(key, _)| !matches!(key.as_str(), "id" | "modelKey"))
                    .map(|(k, v)| (k.clone(), v.clone())),
            );
            if item.len() == before {
                return None;
            }
        }
    }
    Some(json!({"type": action, "item": item}).to_string())
}

fn camera_part(console: &Console, asked: &Asked, version: (u32, u32), id: &str, rest: &[&str]) -> Reply {
    let camera = console.state().model.camera(id).cloned();
    let Some(camera) = camera else { return Reply::not_found("camera") };
    match (asked.method.as_str(), rest) {
        ("GET", ["snapshot"]) => snapshot(console, asked, version, &camera),
        ("GET", ["rtsps-stream"]) => Reply::ok(&streams(console, &camera, &QUALITIES.map(|(name, _)| name))),
        ("POST", ["rtsps-stream"]) => {
            let body = asked.json();
            let wanted = body.get("qualities").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let wanted: Vec<&str> = wanted.iter().filter_map(Value::as_str).collect();
            if wanted.is_empty() || !wanted.iter().all(|name| QUALITIES.iter().any(|(known, _)| known == name)) {
                return Reply::bad("'qualities' must name at least one known quality");
            }
            let camera = switch(console, &camera, &wanted, true);
            Reply::ok(&streams(console, &camera, &wanted))
        }
        ("DELETE", ["rtsps-stream"]) => {
            switch(console, &camera, &asked.parameters("qualities"), false);
            Reply::empty(204)
        }
        _ => Reply::not_found(rest.last().copied().unwrap_or_default()),
    }
}

fn snapshot(console: &Console, asked: &Asked, version: (u32, u32), camera: &Value) -> Reply {
    if text(camera, "state") != Some("CONNECTED") {
        return Reply::json(503, &json!({"error": "Camera is offline", "name": "API_ERROR"}));
    }
    let is_package = version >= (7, 1) && asked.parameter("channel") == Some("package");
    if is_package && !camera.pointer("/featureFlags/hasPackageCamera").is_some_and(|has| has == true) {
        return Reply::bad("the camera has no package lens");
    }
    let is_high = asked.parameter("highQuality") == Some("true");
    let size = if is_high { (1920, 1080) } else { console.options.picture };
    let kind = if is_package { "package" } else { "snapshot" };
    let id = text(camera, "id").unwrap_or_default();
    let shown = Shown { kind: kind.into(), camera: id.into(), at_ms: console.clock.now_ms() };
    Reply::jpeg(media::picture(&shown, size))
}

/// Qualities with the addresses of their streams.
fn streams(console: &Console, camera: &Value, qualities: &[&str]) -> Value {
    let port = console.state().model.nvr().pointer("/ports/rtsps").and_then(Value::as_i64).unwrap_or(7441);
    let host = console.options.host;
    let host = if host.is_ipv6() { format!("[{host}]") } else { host.to_string() };
    let channels = camera.get("channels").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let address = |quality: &str| {
        let wanted = QUALITIES.iter().find(|(name, _)| *name == quality)?.1;
        let channel = channels.iter().find(|channel| channel.get("id").is_some_and(|id| *id == wanted))?;
        let alias = text(channel, "rtspAlias").filter(|_| is_true(channel, "isRtspEnabled"))?;
        Some(format!("rtsps://{host}:{port}/{alias}?enableSrtp"))
    };
    qualities.iter().map(|quality| ((*quality).to_owned(), address(quality).into())).collect::<Map<_, _>>().into()
}

/// Switches streams of a camera on or off. The device stream tells nothing of it; the private one does.
fn switch(console: &Console, camera: &Value, qualities: &[&str], on: bool) -> Value {
    let id = text(camera, "id").unwrap_or_default();
    let mut channels = camera.get("channels").cloned().unwrap_or_else(|| json!([]));
    let mut state = console.state();
    for channel in channels.as_array_mut().into_iter().flatten() {
        let number = channel.get("id").and_then(Value::as_i64);
        let is_meant = QUALITIES.iter().any(|(name, at)| Some(*at) == number && qualities.contains(name));
        if !is_meant || is_true(channel, "isRtspEnabled") == on {
            continue;
        }
        let alias: Value = if on { state.chance.alias().into() } else { Value::Null };
        crate::model::merge(channel, &json!({"isRtspEnabled": on, "rtspAlias": alias}));
    }
    state.change(&console.options, "update", "camera", id, &json!({"channels": channels}));
    let camera = state.model.camera(id).cloned().unwrap_or_default();
    drop(state);
    console.wake();
    camera
}

fn patch(console: &Console, asked: &Asked, id: &str) -> Reply {
    let body = asked.json();
    let change = pick(
        &body,
        &["name", "ledSettings", "osdSettings", "lcdMessage", "micVolume", "videoMode", "smartDetectSettings"],
    );
    if console.state().model.camera(id).is_none() {
        return Reply::not_found("camera");
    }
    console.change("update", "camera", id, &change.into());
    let state = console.state();
    let version = version(state.model.nvr());
    state
        .model
        .camera(id)
        .map_or_else(|| Reply::not_found("camera"), |camera| Reply::ok(&view("camera", camera, version)))
}
