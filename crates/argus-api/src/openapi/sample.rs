//! Examples made from schemas, so that every answer has one and none can differ from its schema.

use serde_json::{Map, Value, json};
use utoipa::openapi::Components;

/// Deepest nesting of an example.
const DEEPEST: usize = 32;

/// Makes examples.
pub(super) struct Samples {
    schemas: Value,
}

/// Which fields of an object an example has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fields {
    All,
    Required,
}

impl Samples {
    pub(super) fn of(components: &Components) -> Self {
        Self { schemas: serde_json::to_value(&components.schemas).unwrap_or_default() }
    }

    /// An example with every field, as answers have them.
    pub(super) fn whole(&self, schema: &Value) -> Value {
        self.value("", schema, Fields::All, DEEPEST)
    }

    /// An example with no more than it needs.
    pub(super) fn required(&self, schema: &Value) -> Value {
        self.value("", schema, Fields::Required, DEEPEST)
    }

    fn value(&self, name: &str, schema: &Value, fields: Fields, depth: usize) -> Value {
        if depth == 0 {
            return Value::Null;
        }
        if let Some(own) = schema.get("example").or_else(|| schema.get("examples")?.get(0)).or(schema.get("const")) {
            return own.clone();
        }
        if let Some(place) = schema.get("$ref").and_then(Value::as_str) {
            let target = place.rsplit('/').next().and_then(|name| self.schemas.get(name)).unwrap_or(&Value::Null);
            return self.value(name, target, fields, depth - 1);
        }
        if let Some(one) = schema.get("enum").and_then(|all| all.get(0)) {
            return preferred(name, schema).unwrap_or_else(|| one.clone());
        }
        if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
            let mut sum = Map::new();
            for part in parts {
                match self.value(name, part, fields, depth - 1) {
                    Value::Object(more) => sum.extend(more),
                    Value::Null => {}
                    // Parts of what is no object are about the same value.
                    plain => return plain,
                }
            }
            return Value::Object(sum);
        }
        for kind in ["oneOf", "anyOf"] {
            let parts = schema.get(kind).and_then(Value::as_array);
            if let Some(part) = parts.and_then(|all| all.iter().find(|part| part.get("type") != Some(&json!("null")))) {
                return self.value(name, part, fields, depth - 1);
            }
        }
        match kind_of(schema) {
            "object" => self.object(schema, fields, depth),
            "array" => {
                let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1).max(1);
                let items = schema.get("items").unwrap_or(&Value::Null);
                let one = self.value(singular(name), items, fields, depth - 1);
                Value::Array((0..least).map(|_| one.clone()).collect())
            }
            "string" => text(name, schema),
            "integer" => number(name, schema, 1).map_or(json!(1), |n| json!(n)),
            "number" => preferred(name, schema).unwrap_or(json!(0.5)),
            "boolean" => json!(["is_active", "is_enabled", "enabled", "success"].contains(&name)),
            _ => Value::Null,
        }
    }

    fn object(&self, schema: &Value, fields: Fields, depth: usize) -> Value {
        let required = |name: &str| {
            let list = schema.get("required").and_then(Value::as_array);
            list.is_some_and(|all| all.iter().any(|one| one == name))
        };
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            let inner = schema.get("additionalProperties").filter(|inner| inner.is_object());
            let inner = inner.filter(|inner| inner.as_object().is_some_and(|fields| !fields.is_empty()));
            return inner.map_or(json!({}), |inner| json!({ "key": self.value("key", inner, fields, depth - 1) }));
        };
        let wanted = properties.iter().filter(|(name, _)| fields == Fields::All || required(name));
        wanted
            .map(|(name, inner)| (name.clone(), self.value(name, inner, fields, depth - 1)))
            .collect::<Map<_, _>>()
            .into()
    }
}

/// The type of a schema; of several, the first that is not null.
fn kind_of(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or(""),
        _ if schema.get("properties").is_some() => "object",
        _ => "",
    }
}

fn singular(name: &str) -> &str {
    name.strip_suffix('s').unwrap_or(name)
}

/// A whole number that keeps the bounds.
fn number(name: &str, schema: &Value, usual: i64) -> Option<i64> {
    let bound = |key: &str| schema.get(key).and_then(Value::as_i64);
    let wanted =
        preferred(name, &json!({})).and_then(|value| value.as_i64()).or_else(|| bound("default")).unwrap_or(usual);
    Some(wanted.clamp(bound("minimum").unwrap_or(i64::MIN), bound("maximum").unwrap_or(i64::MAX)))
}

fn text(name: &str, schema: &Value) -> Value {
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    match format {
        "date-time" => json!("2025-12-23T10:30:00.000Z"),
        "uuid" => json!("0193f2a0-7c3e-7d5a-9f61-2b8c4d1e6a70"),
        "date" => json!("2025-12-23"),
        _ => {
            let fits = |value: &Value| {
                let length = value.as_str().map_or(0, |text| text.chars().count());
                let bound = |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
                bound("minLength").unwrap_or(0) <= length && length <= bound("maxLength").unwrap_or(usize::MAX)
            };
            let wanted = preferred(name, schema).filter(|value| value.is_string() && fits(value));
            wanted.or_else(|| schema.get("default").filter(|value| value.is_string()).cloned()).unwrap_or(json!("text"))
        }
    }
}

/// A value that shows what a field of this name is for; among those of an enumeration when there is one.
fn preferred(name: &str, schema: &Value) -> Option<Value> {
    let value = match name {
        "name" | "camera_name" | "label" => json!("Front door"),
        "description" => json!("A person walks to the door and puts down a parcel."),
        "title" => json!("Front door is offline"),
        "username" => json!("sam"),
        "email" => json!("sam@example.org"),
        "password" | "new_password" | "current_password" => json!("a long pass phrase"),
        "timezone" => json!("Europe/Berlin"),
        "language" => json!("en"),
        "system_name" => json!("Argus"),
        "url" => json!("/api/v1/events/0193f2a0-7c3e-7d5a-9f61-2b8c4d1e6a70/frames/0"),
        "thumbnail_url" => json!("/api/v1/events/0193f2a0-7c3e-7d5a-9f61-2b8c4d1e6a70/thumbnail"),
        "clip_url" => json!("/api/v1/events/0193f2a0-7c3e-7d5a-9f61-2b8c4d1e6a70/clip"),
        "rtsp_url" => json!("rtsp://camera.example/stream1"),
        "file_path" => json!("door.mp4"),
        "resolution" => json!("1920x1080"),
        "codec" => json!("h264"),
        "version" => json!("0.1.0"),
        "sha256" => json!("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
        "key" => json!("argus_Jv0Zp8mQ2xYb4Wc6Td1Re3Sf5Ug7Vh9Ki0Lj2Mn4Op6"),
        "prefix" => json!("argus_Jv"),
        "access_token" => json!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIwMTkzIn0.c2lnbmF0dXJl"),
        "token_type" => json!("bearer"),
        "ticket" => json!("bX9vT2s4c1dQeE1hN0RnSg"),
        "ip_address" | "last_used_ip" => json!("192.0.2.7"),
        "user_agent" => json!("Mozilla/5.0"),
        "provider" | "provider_used" => json!("openai"),
        "provider_name" => json!("openai"),
        "model" => json!("gpt-4o-mini"),
        "detail" | "message" => json!("A picture was decoded"),
        "next_cursor" => json!("ZDoxNzY2NDg1ODAw"),
        "status" => json!("online"),
        "type" => json!("test"),
        "total" | "usage_count" | "event_count" => json!(150),
        "pages" => json!(8),
        "page" => json!(1),
        "limit" => json!(20),
        "seq" | "last_seq" | "next_after" => json!(4711),
        "width" => json!(1920),
        "height" => json!(1080),
        "frame_rate" => json!(5),
        "confidence" | "ai_confidence" => json!(87),
        "duration_ms" => json!(8400),
        "expires_in" => json!(900),
        "status_code" => json!(503),
        "uptime_s" => json!(86_400),
        "rate_limit_per_minute" => json!(100),
        "fps" => json!(15.0),
        "cost" | "ai_cost" => json!(0.0021),
        _ => return None,
    };
    match schema.get("enum").and_then(Value::as_array) {
        Some(all) if !all.contains(&value) => None,
        _ => Some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: Value, whole: Value, required: Value) {
        let samples = Samples { schemas: json!({"Kind": {"type": "string", "enum": ["a", "b"]}}) };
        assert_eq!(samples.whole(&schema), whole, "{schema}");
        assert_eq!(samples.required(&schema), required, "{schema}");
    }

    #[test]
    fn examples_follow_their_schema() {
        check(json!({"$ref": "#/components/schemas/Kind"}), json!("a"), json!("a"));
        check(
            json!({"type": ["string", "null"], "format": "uuid"}),
            text("", &json!({"format": "uuid"})),
            text("", &json!({"format": "uuid"})),
        );
        let object = json!({"type": "object", "required": ["limit"], "properties": {
            "limit": {"type": "integer", "maximum": 9},
            "kinds": {"type": "array", "minItems": 2, "items": {"oneOf": [{"type": "null"}, {"$ref": "#/x/Kind"}]}},
        }});
        check(object.clone(), json!({"limit": 9, "kinds": ["a", "a"]}), json!({"limit": 9}));
        check(
            json!({"allOf": [object, {"properties": {"fps": {"type": "number"}}}]}),
            json!({"limit": 9, "kinds": ["a", "a"], "fps": 15.0}),
            json!({"limit": 9}),
        );
        check(
            json!({"type": "object", "additionalProperties": {"type": "integer"}}),
            json!({"key": 1}),
            json!({"key": 1}),
        );
    }
}
