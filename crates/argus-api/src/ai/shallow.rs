//! A body that is a JSON object of a few short fields and one long text, read one level deep.
//!
//! A list of numbers takes sixteen times the memory of its text when it is made a value. What stands deeper than the
//! fields is therefore read and dropped: of a list or an object nothing is kept but that it is one, which is all that is
//! needed to say that it is wrong.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

use crate::error::ApiError;

/// Most fields that are kept; what comes after them is wrong anyway.
const MOST_FIELDS: usize = 32;
/// Longest name of a field that is kept, characters; no field that is known here has a longer one.
const MOST_NAME: usize = 100;

/// The object with its fields; lists and objects in it are empty.
///
/// # Errors
/// `Malformed` when it is not JSON.
pub(super) fn parse(bytes: &[u8]) -> Result<Json, ApiError> {
    let read: Result<Top, _> = serde_json::from_slice(bytes);
    read.map(|top| top.0).map_err(|e| ApiError::Malformed(format!("the body is not JSON: {e}")))
}

/// The whole.
struct Top(Json);

/// What a field holds.
struct Field(Json);

/// Reads either; `fields` tells whether the fields of an object are kept.
struct Reader {
    fields: bool,
}

impl<'de> Deserialize<'de> for Top {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader { fields: true }).map(Self)
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader { fields: false }).map(Self)
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Json::Array(Vec::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Json, A::Error> {
        let mut fields = Map::new();
        if !self.fields {
            while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Json::Object(fields));
        }
        while let Some(name) = object.next_key::<String>()? {
            let Field(value) = object.next_value()?;
            let name: String = name.chars().take(MOST_NAME).collect();
            if fields.len() < MOST_FIELDS || fields.contains_key(&name) {
                fields.insert(name, value);
            }
        }
        Ok(Json::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(text: &str, expected: Json) {
        assert_eq!(parse(text.as_bytes()).unwrap(), expected, "{text}");
    }

    #[test]
    fn fields_are_kept_and_what_is_deeper_is_not() {
        check(r#"{"image": "abc", "prompt": null}"#, json!({"image": "abc", "prompt": null}));
        check(
            r#"{"a": 1, "b": -1, "c": 1.5, "d": true, "e": "\u00e4"}"#,
            json!({"a": 1, "b": -1, "c": 1.5, "d": true, "e": "ä"}),
        );
        check(r#"{"image": [1, [2], {"a": 3}], "x": {"y": [1]}}"#, json!({"image": [], "x": {}}));
        check(&format!("[{}0]", "0,".repeat(100_000)), json!([]));
        check("7", json!(7));
        // As everywhere, the last of two counts.
        check(r#"{"a": 1, "a": 2}"#, json!({"a": 2}));
    }

    #[test]
    fn names_are_few_and_short() {
        let many: Map<String, Json> = (0..1000).map(|n| (format!("field {n}"), json!(n))).collect();
        let kept = parse(Json::Object(many).to_string().as_bytes()).unwrap();
        assert_eq!(kept.as_object().unwrap().len(), MOST_FIELDS);
        check(&format!(r#"{{"{}": 1}}"#, "x".repeat(5000)), json!({ "x".repeat(MOST_NAME): 1 }));
    }

    #[test]
    fn what_is_no_json_is_told() {
        for bad in ["", "{", "{\"a\": }", "{\"a\": [1,]}", "{} {}", "\u{feff}{}"] {
            assert!(matches!(parse(bad.as_bytes()), Err(ApiError::Malformed(_))), "{bad}");
        }
        assert!(parse(b"{\"a\": \"\xff\"}").is_err());
        // Nobody fills the stack.
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
    }
}
