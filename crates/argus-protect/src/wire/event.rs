//! Detections, of both interfaces and of the history, as one shape.

use serde_json::Value;

use super::{int, moment, text, words};

/// What one message says about a detection; an update may say little.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// The controller's id, without the camera that newer versions append.
    pub id: String,
    /// The camera.
    pub device: Option<String>,
    /// Such as `smartDetectZone`.
    pub kind: Option<String>,
    /// Milliseconds since 1970, by the console's clock.
    pub start_ms: Option<i64>,
    /// The same; only a value ends a detection.
    pub end_ms: Option<i64>,
    /// Such as `person`; `None` when the message does not tell.
    pub smart_types: Option<Vec<String>>,
    /// Percent.
    pub score: Option<u8>,
    /// Whether it is a record of an object, as Protect 7 tells packages, and no event.
    pub is_object: bool,
}

impl Sighting {
    /// Reads an event; `id` is the one beside it, for messages that do not repeat it.
    #[must_use]
    pub fn event(v: &Value, id: &str) -> Option<Self> {
        let id = text(v, "id").unwrap_or_else(|| id.to_owned());
        if id.is_empty() {
            return None;
        }
        Some(Self {
            id: plain_id(&id).to_owned(),
            device: text(v, "camera").or_else(|| text(v, "cameraId")).or_else(|| text(v, "device")),
            kind: text(v, "type"),
            start_ms: moment(v, "start"),
            end_ms: moment(v, "end"),
            smart_types: words(v, "smartDetectTypes"),
            score: int(v, "score").and_then(|s| u8::try_from(s.clamp(0, 100)).ok()),
            is_object: false,
        })
    }

    /// Reads a record of an object. There is no description of it; these keys are what is known.
    #[must_use]
    pub fn object(v: &Value, id: &str) -> Option<Self> {
        let own = text(v, "id").unwrap_or_else(|| id.to_owned());
        let id = text(v, "eventId").or_else(|| text(v, "event")).unwrap_or(own);
        if id.is_empty() {
            return None;
        }
        let words = words(v, "smartDetectTypes").or_else(|| {
            text(v, "smartDetectType").or_else(|| text(v, "objectType")).or_else(|| text(v, "type")).map(|t| vec![t])
        });
        Some(Self {
            id: plain_id(&id).to_owned(),
            device: text(v, "cameraId").or_else(|| text(v, "camera")).or_else(|| text(v, "device")),
            kind: None,
            start_ms: ["start", "detectedAt", "timestamp"].iter().find_map(|key| moment(v, key)),
            end_ms: moment(v, "end"),
            smart_types: words,
            score: int(v, "confidence").or_else(|| int(v, "score")).and_then(|s| u8::try_from(s.clamp(0, 100)).ok()),
            is_object: true,
        })
    }
}

/// An id without the camera's that newer versions append, which is only sure after a whole UUID or 24 hex digits.
pub(crate) fn plain_id(id: &str) -> &str {
    let is_hex = |s: &str| s.bytes().all(|b| b.is_ascii_hexdigit());
    let is_uuid = |s: &str| s.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && s.split('-').all(is_hex);
    for (length, fits) in [(36, &is_uuid as &dyn Fn(&str) -> bool), (24, &is_hex)] {
        if let Some((first, rest)) = id.split_at_checked(length)
            && rest.len() > 1
            && rest.starts_with('-')
            && fits(first)
        {
            return first;
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_lose_only_a_sure_suffix() {
        let check = |id: &str, expected: &str| assert_eq!(plain_id(id), expected);
        let uuid = "0b8f7a52-1c2d-4e3f-8a9b-0c1d2e3f4a5b";
        check(uuid, uuid);
        check(&format!("{uuid}-1c9a2db4df6efda47a3509be"), uuid);
        check("433e706f29ca680d4101d5ce", "433e706f29ca680d4101d5ce");
        check("433e706f29ca680d4101d5ce-cam", "433e706f29ca680d4101d5ce");
        check("433e706f29ca680d4101d5ce-", "433e706f29ca680d4101d5ce-");
        check("fake0event00000000000001-x", "fake0event00000000000001-x");
        check("e-433e706f29ca680d4101d5ce", "e-433e706f29ca680d4101d5ce");
        check("", "");
        check("ééééééééééééééééééééééééééééé-é", "ééééééééééééééééééééééééééééé-é");
    }

    #[test]
    fn keys_of_every_version_are_read() {
        let old = json!({"id": "a", "camera": "c", "type": "motion", "start": 5, "score": 101, "end": null});
        let s = Sighting::event(&old, "").unwrap();
        assert_eq!((s.device.as_deref(), s.score, s.end_ms, s.smart_types), (Some("c"), Some(100), None, None));
        let bare = Sighting::event(&json!({"end": 7}), "x").unwrap();
        assert_eq!((bare.id.as_str(), bare.end_ms, bare.device), ("x", Some(7), None));
        assert_eq!(Sighting::event(&json!({}), ""), None);
        let object = json!({"eventId": "e", "smartDetectType": "package", "detectedAt": 9, "cameraId": "c"});
        let s = Sighting::object(&object, "o").unwrap();
        assert_eq!(
            (s.id.as_str(), s.start_ms, s.smart_types, s.is_object),
            ("e", Some(9), Some(vec!["package".into()]), true)
        );
    }
}
