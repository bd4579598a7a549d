//! A JSON schema in the dialects that vendors take.

use serde_json::{Map, Value, json};

/// Keywords that every vendor with schemas takes. Limits of numbers and lengths are not among them: some refuse the whole
/// request for them (<https://platform.claude.com/docs/en/build-with-claude/structured-outputs>), and what an answer
/// holds is checked here anyway.
const KEPT: [&str; 8] =
    ["type", "description", "enum", "properties", "required", "items", "additionalProperties", "anyOf"];

/// The schema in the words that all take.
pub(super) fn plain(schema: &Value) -> Value {
    match schema {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(key, _)| KEPT.contains(&key.as_str()))
                .map(|(key, value)| {
                    let value = match key.as_str() {
                        "properties" => each(value),
                        "items" => plain(value),
                        "anyOf" => Value::Array(value.as_array().into_iter().flatten().map(plain).collect()),
                        _ => value.clone(),
                    };
                    (key.clone(), value)
                })
                .collect(),
        ),
        other => other.clone(),
    }
}

fn each(properties: &Value) -> Value {
    let map: Map<String, Value> =
        properties.as_object().into_iter().flatten().map(|(name, inner)| (name.clone(), plain(inner))).collect();
    Value::Object(map)
}

/// The schema as Gemini's `responseSchema`, a part of `OpenAPI` 3.0: types in capitals, one type each, `nullable` beside
/// it, no `additionalProperties` (<https://ai.google.dev/api/caching#Schema>). Properties keep their order by
/// `propertyOrdering`, so that the model writes the description before it says how sure it is.
pub(super) fn gemini(schema: &Value) -> Value {
    let Some(map) = schema.as_object() else { return json!({}) };
    let mut out = Map::new();
    let types: Vec<&str> = match map.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if let Some(first) = types.iter().find(|t| **t != "null") {
        out.insert("type".into(), first.to_uppercase().into());
    }
    if types.contains(&"null") {
        out.insert("nullable".into(), true.into());
    }
    for key in ["description", "required"] {
        if let Some(value) = map.get(key) {
            out.insert(key.into(), value.clone());
        }
    }
    if let Some(values) = map.get("enum").and_then(Value::as_array) {
        // Only texts may be listed.
        out.insert("enum".into(), values.iter().filter(|v| v.is_string()).cloned().collect());
    }
    if let Some(items) = map.get("items") {
        out.insert("items".into(), gemini(items));
    }
    if let Some(properties) = map.get("properties").and_then(Value::as_object) {
        let order = map.get("required").cloned().unwrap_or_else(|| properties.keys().cloned().collect());
        out.insert("propertyOrdering".into(), order);
        let inner: Map<String, Value> = properties.iter().map(|(name, p)| (name.clone(), gemini(p))).collect();
        out.insert("properties".into(), Value::Object(inner));
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "title": "Description",
            "properties": {
                "description": { "type": "string", "minLength": 1 },
                "objects": { "type": "array", "maxItems": 4, "items": { "type": "string", "enum": ["person", "animal"] } },
                "confidence": { "type": ["integer", "null"], "minimum": 0, "maximum": 100 }
            },
            "required": ["description", "objects", "confidence"],
            "additionalProperties": false
        })
    }

    #[test]
    fn limits_are_left_out() {
        assert_eq!(
            plain(&schema()),
            json!({
                "type": "object",
                "properties": {
                    "description": { "type": "string" },
                    "objects": { "type": "array", "items": { "type": "string", "enum": ["person", "animal"] } },
                    "confidence": { "type": ["integer", "null"] }
                },
                "required": ["description", "objects", "confidence"],
                "additionalProperties": false
            })
        );
    }

    #[test]
    fn gemini_has_a_dialect_of_its_own() {
        assert_eq!(
            gemini(&schema()),
            json!({
                "type": "OBJECT",
                "properties": {
                    "description": { "type": "STRING" },
                    "objects": { "type": "ARRAY", "items": { "type": "STRING", "enum": ["person", "animal"] } },
                    "confidence": { "type": "INTEGER", "nullable": true }
                },
                "required": ["description", "objects", "confidence"],
                "propertyOrdering": ["description", "objects", "confidence"]
            })
        );
    }
}
