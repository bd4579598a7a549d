//! What every vendor looks at in a request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};

/// Media types with the bytes that their files begin with.
const FORMATS: [(&str, &[u8]); 4] = [
    ("image/jpeg", &[0xff, 0xd8, 0xff]),
    ("image/png", &[0x89, b'P', b'N', b'G']),
    ("image/webp", b"RIFF"),
    ("image/gif", b"GIF8"),
];

/// The texts and pictures of a question, as they are found on the way.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) model: String,
    pub(crate) texts: Vec<String>,
    pub(crate) pictures: Vec<Bytes>,
    /// Where the request breaks a rule, in the vendor's words.
    pub(crate) wrong: Option<Wrong>,
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) message: String,
    /// The field that is to blame.
    pub(crate) param: Option<String>,
}

impl Wrong {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), param: None }
    }

    pub(crate) fn at(param: &str, message: impl Into<String>) -> Self {
        Self { message: message.into(), param: Some(param.to_owned()) }
    }
}

/// The first key that is not among those allowed.
pub(crate) fn unknown<'a>(map: &'a Map<String, Value>, allowed: &[&str]) -> Option<&'a str> {
    map.keys().map(String::as_str).find(|key| !allowed.contains(key))
}

/// A picture, if it is base64 and begins as its media type says.
pub(crate) fn picture(media_type: &str, base64: &str) -> Result<Bytes, String> {
    let Some((_, magic)) = FORMATS.iter().find(|(name, _)| *name == media_type) else {
        return Err(format!("{media_type} is not a supported image type"));
    };
    let bytes = STANDARD.decode(base64).map_err(|e| format!("invalid base64 data: {e}"))?;
    if bytes.starts_with(magic) { Ok(bytes.into()) } else { Err("Could not process image".to_owned()) }
}

/// Walks a JSON schema: the first object that names a property as not required, or allows others.
pub(crate) fn loose_object(schema: &Value) -> Option<&Value> {
    let map = schema.as_object()?;
    if let Some(properties) = map.get("properties").and_then(Value::as_object) {
        let required: Vec<&str> =
            map.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let closed = map.get("additionalProperties") == Some(&Value::Bool(false));
        if !closed || properties.keys().any(|name| !required.contains(&name.as_str())) {
            return Some(schema);
        }
        if let Some(inner) = properties.values().find_map(loose_object) {
            return Some(inner);
        }
    }
    map.get("items").and_then(loose_object)
}

/// Walks a JSON schema: the first of these keywords.
pub(crate) fn keyword<'a>(schema: &Value, words: &[&'a str]) -> Option<&'a str> {
    let map = schema.as_object()?;
    if let Some(word) = words.iter().find(|word| map.contains_key(**word)) {
        return Some(word);
    }
    let properties = map.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(|p| p.values()).chain(map.get("items")).find_map(|inner| keyword(inner, words))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pictures_are_what_they_say() {
        assert_eq!(picture("image/jpeg", "/9j/4A==").unwrap(), Bytes::from_static(&[0xff, 0xd8, 0xff, 0xe0]));
        for (media_type, data) in [("image/jpeg", "!"), ("image/jpeg", "AAAA"), ("image/bmp", "/9j/4A==")] {
            assert!(picture(media_type, data).is_err(), "{media_type} {data}");
        }
    }

    #[test]
    fn schemas_are_walked() {
        let inner = json!({ "type": "object", "properties": { "b": { "type": "integer", "minimum": 1 } } });
        let schema = json!({
            "type": "object", "properties": { "a": inner }, "required": ["a"], "additionalProperties": false
        });
        assert_eq!(loose_object(&schema), Some(&inner));
        assert_eq!(keyword(&schema, &["maximum", "minimum"]), Some("minimum"));
        assert_eq!(keyword(&schema, &["pattern"]), None);
    }
}
