//! The one truth about a site: the bootstrap, and the events that happened.

use std::collections::{HashMap, VecDeque};

use serde_json::{Map, Value};

/// So many events are remembered.
const EVENTS_KEPT: usize = 20_000;

/// What the console knows.
pub(crate) struct Model {
    pub(crate) bootstrap: Value,
    events: HashMap<String, Value>,
    /// Ids of the events, oldest first.
    order: VecDeque<String>,
}

impl Model {
    pub(crate) fn new(bootstrap: Value) -> Self {
        Self { bootstrap, events: HashMap::new(), order: VecDeque::new() }
    }

    /// Merges a change the way clients do: objects merge, arrays and scalars replace, null is a value.
    pub(crate) fn apply(&mut self, action: &str, model_key: &str, id: &str, data: &Value) {
        if model_key == "event" {
            self.record(id, data);
            return;
        }
        if model_key == "nvr" {
            if let Some(nvr) = self.bootstrap.get_mut("nvr") {
                merge(nvr, data);
            }
            return;
        }
        let list = list_of(model_key);
        let Some(items) = self.bootstrap.as_object_mut() else { return };
        let items = items.entry(list).or_insert_with(|| Value::Array(Vec::new()));
        let Value::Array(items) = items else { return };
        let at = items.iter().position(|item| text(item, "id") == Some(id));
        match (action, at.and_then(|at| items.get_mut(at).map(|item| (at, item)))) {
            ("remove", Some((at, _))) => {
                items.remove(at);
            }
            ("update", Some((_, item))) => merge(item, data),
            ("add", Some((_, item))) => *item = data.clone(),
            ("add", None) => items.push(data.clone()),
            // What clients are told about things the console does not list (schedules, sessions) is not kept.
            _ => {}
        }
    }

    /// Keeps an event, or merges what is new about it.
    pub(crate) fn record(&mut self, id: &str, data: &Value) {
        if let Some(event) = self.events.get_mut(id) {
            merge(event, data);
            return;
        }
        if data.get("start").is_none() {
            return;
        }
        self.events.insert(id.to_owned(), data.clone());
        self.order.push_back(id.to_owned());
        if self.order.len() > EVENTS_KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.events.remove(&oldest);
        }
    }

    pub(crate) fn event(&self, id: &str) -> Option<&Value> {
        self.events.get(id)
    }

    /// Every event kept, in the order in which they were recorded.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Value> {
        self.order.iter().filter_map(|id| self.events.get(id))
    }

    pub(crate) fn list(&self, name: &str) -> &[Value] {
        self.bootstrap.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn find(&self, list: &str, id: &str) -> Option<&Value> {
        self.list(list).iter().find(|item| text(item, "id") == Some(id))
    }

    pub(crate) fn camera(&self, id: &str) -> Option<&Value> {
        self.find("cameras", id)
    }

    pub(crate) fn nvr(&self) -> &Value {
        self.bootstrap.get("nvr").unwrap_or(&Value::Null)
    }

    pub(crate) fn last_update_id(&self) -> &str {
        text(&self.bootstrap, "lastUpdateId").unwrap_or_default()
    }

    pub(crate) fn set_last_update_id(&mut self, id: &str) {
        self.set_top("lastUpdateId", id.into());
    }

    pub(crate) fn set_top(&mut self, key: &str, value: Value) {
        if let Some(top) = self.bootstrap.as_object_mut() {
            top.insert(key.to_owned(), value);
        }
    }
}

/// Merges `change` into `target`.
pub(crate) fn merge(target: &mut Value, change: &Value) {
    match (target, change) {
        (Value::Object(target), Value::Object(change)) => {
            for (key, value) in change {
                match target.get_mut(key) {
                    Some(inner) => merge(inner, value),
                    None => {
                        target.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (target, change) => *target = change.clone(),
    }
}

/// A text field.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// A number field.
pub(crate) fn number(value: &Value, key: &str) -> Option<i64> {
    value.get(key).and_then(Value::as_i64)
}

/// A field that is true.
pub(crate) fn is_true(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// Those of `keys` that the object has.
pub(crate) fn pick(value: &Value, keys: &[&str]) -> Map<String, Value> {
    keys.iter().filter_map(|key| Some(((*key).to_owned(), value.get(key)?.clone()))).collect()
}

/// The bootstrap's name for a list of things of a kind.
fn list_of(model_key: &str) -> String {
    format!("{model_key}s")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_merge_and_the_rest_replaces() {
        let mut target = json!({"a": {"b": 1, "c": [1, 2]}, "d": 3});
        merge(&mut target, &json!({"a": {"c": [3], "e": null}, "d": {"f": 4}}));
        assert_eq!(target, json!({"a": {"b": 1, "c": [3], "e": null}, "d": {"f": 4}}));
    }

    #[test]
    fn old_events_are_forgotten() {
        let mut model = Model::new(json!({}));
        for n in 0..EVENTS_KEPT + 5 {
            model.record(&n.to_string(), &json!({"id": n.to_string(), "start": n}));
        }
        assert_eq!(model.events().count(), EVENTS_KEPT);
        assert!(model.event("4").is_none() && model.event("5").is_some());
    }
}
