//! The controller's JSON, read so that nothing in it can hurt: everything but ids is optional, words stay words, lists
//! are read element by element, and a key of the wrong type is a key that is not there.
//!
//! Not by serde's derive: there a new word, a null or a key in two spellings costs the whole answer, and with it every
//! camera. Unknown keys and the snake-case twins of known ones are not looked at.

mod bootstrap;
mod camera;
mod event;

use argus_core::Timestamp;
use serde_json::Value;

pub use bootstrap::{Bootstrap, Nvr};
pub use camera::{Camera, Channel};
pub use event::Sighting;

/// A text that is not empty.
pub(crate) fn text(v: &Value, key: &str) -> Option<String> {
    v.get(key).and_then(Value::as_str).filter(|s| !s.is_empty()).map(ToOwned::to_owned)
}

/// A flag.
pub(crate) fn flag(v: &Value, key: &str) -> Option<bool> {
    v.get(key).and_then(Value::as_bool)
}

/// A whole number, also as text or with a fraction.
pub(crate) fn int(v: &Value, key: &str) -> Option<i64> {
    number(v.get(key)?)
}

fn number(v: &Value) -> Option<i64> {
    match v {
        Value::Number(n) => n.as_i64().or_else(|| n.as_f64().and_then(|f| format!("{f:.0}").parse().ok())),
        Value::String(s) => s.parse().ok(),
        _ => None,
    }
}

/// A moment in milliseconds since 1970; newer fields hold ISO 8601.
pub(crate) fn moment(v: &Value, key: &str) -> Option<i64> {
    let v = v.get(key)?;
    number(v).or_else(|| v.as_str()?.parse::<Timestamp>().ok().map(Timestamp::as_millis))
}

/// A list of words; `None` when there is none, as with null.
pub(crate) fn words(v: &Value, key: &str) -> Option<Vec<String>> {
    let list = v.get(key)?.as_array()?;
    Some(list.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect())
}

/// The elements of a list; none when there is no list.
pub(crate) fn list<'a>(v: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    v.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// Applies an update: objects merge in depth, anything else replaces.
pub(crate) fn merge(into: &mut Value, update: &Value) {
    // Deeper than this is no controller's object; serde_json itself stops at 128.
    merge_to(into, update, 64);
}

fn merge_to(into: &mut Value, update: &Value, depth: u8) {
    match (into, update) {
        (Value::Object(into), Value::Object(update)) if depth > 0 => {
            for (key, value) in update {
                match into.get_mut(key) {
                    Some(old) => merge_to(old, value, depth.saturating_sub(1)),
                    None => {
                        into.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (into, update) => *into = update.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_of_the_wrong_type_are_not_there() {
        let v =
            json!({"n": "12", "f": 3.0, "null": null, "iso": "2025-12-23T10:30:00Z", "list": [1, "a", null], "s": ""});
        assert_eq!((int(&v, "n"), int(&v, "f"), int(&v, "null"), int(&v, "list")), (Some(12), Some(3), None, None));
        assert_eq!(moment(&v, "iso"), Some(1_766_485_800_000));
        assert_eq!(words(&v, "list"), Some(vec!["a".to_owned()]));
        assert_eq!((words(&v, "null"), text(&v, "s"), text(&v, "n")), (None, None, Some("12".into())));
        assert_eq!((list(&v, "null").count(), list(&v, "list").count(), flag(&v, "n")), (0, 3, None));
    }

    #[test]
    fn updates_merge_objects_and_replace_the_rest() {
        let mut v = json!({"a": {"x": 1, "y": [1, 2]}, "b": 1});
        merge(&mut v, &json!({"a": {"y": [3], "z": null}, "b": {"c": 2}}));
        assert_eq!(v, json!({"a": {"x": 1, "y": [3], "z": null}, "b": {"c": 2}}));
        merge(&mut v, &json!(7));
        assert_eq!(v, json!(7));
    }
}
