//! Bodies of requests: closed to what is not known, and with an example that can be sent as it is.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, SchemaType};
use utoipa::openapi::{OpenApi, RefOr, Schema};

use super::sample::Samples;

/// Says of every object that a request may hold that unknown fields are refused, because they are.
pub(super) fn close(api: &mut OpenApi) {
    let bodies: Vec<Value> = api
        .paths
        .paths
        .values()
        .flat_map(|item| [&item.post, &item.put])
        .filter_map(|operation| serde_json::to_value(operation.as_ref()?.request_body.as_ref()?).ok())
        .collect();
    let Some(components) = &mut api.components else { return };
    let mut open: Vec<String> = bodies.iter().flat_map(references).collect();
    let mut seen = BTreeSet::new();
    while let Some(name) = open.pop() {
        let Some(schema) = components.schemas.get_mut(&name) else { continue };
        if !seen.insert(name) {
            continue;
        }
        if let RefOr::T(Schema::Object(object)) = schema
            && !object.properties.is_empty()
            && object.additional_properties.is_none()
        {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
        open.extend(serde_json::to_value(&*schema).iter().flat_map(references));
    }
}

/// Names the fields that answers have and requests cannot set: they are ignored, so that what GET gave can be sent back.
pub(super) fn repeatable(api: &mut OpenApi) {
    let Some(components) = &mut api.components else { return };
    for (name, ignored) in [
        ("CameraUpdate", crate::cameras::READ_ONLY.as_slice()),
        ("UserUpdate", crate::users::READ_ONLY.as_slice()),
        ("ProviderUpdate", crate::ai::READ_ONLY.as_slice()),
        ("ControllerUpdate", crate::protect::READ_ONLY.as_slice()),
        ("ControllerCameraUpdate", crate::protect::READ_ONLY_OF_CAMERA.as_slice()),
    ] {
        let Some(RefOr::T(Schema::Object(object))) = components.schemas.get_mut(name) else { continue };
        for field in ignored {
            let any = ObjectBuilder::new()
                .schema_type(SchemaType::AnyValue)
                .description(Some("Ignored, so that what GET gave can be sent back."));
            object.properties.entry((*field).to_owned()).or_insert_with(|| any.build().into());
        }
    }
}

/// A parameter with several values has at least one: empty values are refused.
pub(super) fn lists(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && let Some(RefOr::T(Schema::Array(list))) = &mut parameter.schema
        {
            list.min_items = list.min_items.or(Some(1));
        }
    }
}

/// A default beside an inlined schema is written as a further part that claims to be an object: it may be anything.
pub(super) fn mend_defaults(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => object.properties.values_mut().for_each(mend_defaults),
        RefOr::T(Schema::AllOf(all)) => {
            for part in &mut all.items {
                if let RefOr::T(Schema::Object(object)) = part
                    && object.properties.is_empty()
                    && object.default.as_ref().is_some_and(|value| !value.is_object())
                    && object.enum_values.is_none()
                {
                    object.schema_type = SchemaType::AnyValue;
                }
                mend_defaults(part);
            }
        }
        _ => {}
    }
}

/// Names of the schemas that a value refers to.
fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, inner)| match (key.as_str(), inner.as_str()) {
                ("$ref", Some(place)) => place.rsplit('/').next().map(str::to_owned).into_iter().collect(),
                _ => references(inner),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// Gives the body an example: one that was written down, or else the required fields.
pub(super) fn example(operation: &mut Operation, samples: &Samples) {
    let written = operation.operation_id.as_deref().and_then(written);
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    for (kind, content) in &mut body.content {
        let RefOr::T(content) = content else { continue };
        if kind == "multipart/form-data" {
            content.example =
                Some(json!({"image": "(the bytes of a JPEG file)", "prompt": "What stands at the door?"}));
        }
        if kind != "application/json" || content.example.is_some() || !content.examples.is_empty() {
            continue;
        }
        let schema = content.schema.as_ref().and_then(|schema| serde_json::to_value(schema).ok());
        content.example = written.clone().or_else(|| Some(samples.required(&schema?)));
    }
}

/// A PNG of 2 × 2 pixels.
const SQUARE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGM4IScHRAwQCgAfJgQRoo8irwAAAABJRU5ErkJggg==";

/// Examples where the required fields alone would not do, or would show nothing.
fn written(operation: &str) -> Option<Value> {
    Some(match operation {
        "create_camera" => json!({
            "name": "Front door",
            "type": "rtsp",
            "rtsp_url": "rtsp://192.0.2.10:554/stream1",
            "username": "viewer",
            "password": "correct horse"
        }),
        "update_camera" => json!({"motion_sensitivity": "high", "detection_zones": [{
            "name": "Path",
            "vertices": [{"x": 0.1, "y": 0.5}, {"x": 0.9, "y": 0.5}, {"x": 0.9, "y": 1.0}, {"x": 0.1, "y": 1.0}]
        }]}),
        "test_camera" => json!({"type": "test"}),
        "create_controller" => json!({"name": "Home", "host": "192.0.2.1", "api_key": "a key of the console"}),
        "test_controller" => json!({"host": "192.0.2.1", "username": "argus", "password": "a long pass phrase"}),
        "create_api_key" => json!({"name": "Home Assistant", "scopes": ["read:events", "read:cameras"]}),
        "create_user" => json!({"username": "sam", "role": "viewer"}),
        "update_user" => json!({"role": "operator"}),
        "login" => json!({"username": "sam", "password": "a long pass phrase"}),
        "setup" => json!({"username": "sam", "password": "a long pass phrase", "token": null}),
        "change_password" => json!({
            "current_password": "a long pass phrase",
            "new_password": "another long pass phrase"
        }),
        "create_ai_provider" => json!({
            "kind": "ollama",
            "name": "Cellar",
            "model": "llava",
            "base_url": "http://127.0.0.1:11434",
            "enabled": false
        }),
        "update_ai_provider" => json!({"timeout_s": 60, "requests_per_minute": 30}),
        // A red square.
        "describe_picture" => json!({"image": format!("data:image/png;base64,{SQUARE}")}),
        "reanalyse_event" => json!({"analysis_mode": "multi_frame"}),
        _ => return None,
    })
}
