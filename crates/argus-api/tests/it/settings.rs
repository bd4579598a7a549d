//! `/system/settings`, and what the interface itself does by it.

use argus_core::api_key::Scope;
use argus_core::settings::Settings;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Server, send};

#[tokio::test]
async fn the_whole_tree_is_given_and_any_part_of_it_is_taken() {
    let server = Server::start().await;
    let first = server.get("/system/settings").await.expect(200);
    let mut expected = serde_json::to_value(Settings::default()).unwrap();
    expected["updated_at"] = Value::Null;
    assert_eq!(first, expected);

    let patch = json!({"ai": {"frames": {"count": 3}}, "retention": {"media_days": 10}});
    let put = server.put("/system/settings", patch).await.expect(200);
    assert_eq!((&put["ai"]["frames"]["count"], &put["ai"]["frames"]["max_width"]), (&json!(3), &json!(1280)));
    assert_eq!(put["updated_at"], "2025-12-23T10:30:00.000Z");
    assert_eq!(server.get("/system/settings").await.expect(200), put);

    // What was read can be sent back, its time included; null clears and resets.
    assert_eq!(server.put("/system/settings", put.clone()).await.expect(200), put);
    let back = json!({"ai": {"frames": {"count": null}}, "retention": {"media_days": null}});
    let back = server.put("/system/settings", back).await.expect(200);
    assert_eq!((&back["ai"], &back["retention"]), (&first["ai"], &first["retention"]));
    assert_eq!(server.put("/system/settings", json!({})).await.expect(200)["ai"], first["ai"]);
}

#[tokio::test]
async fn every_fault_is_named_and_nothing_is_changed() {
    let server = Server::start().await;
    let patch = json!({
        "general": {"timezone": "Mars/Olympus", "system_name": "Home"},
        "ai": {"frames": {"count": 21, "colour": "red"}, "enabled": "yes"},
        "retention": {"media_days": 31},
        "nothing": 1,
    });
    let faults = server.put("/system/settings", patch).await.faults();
    let expected =
        ["ai.enabled", "ai.frames.colour", "ai.frames.count", "general.timezone", "nothing", "retention.media_days"];
    assert_eq!(faults, expected);
    assert_eq!(server.get("/system/settings").await.expect(200)["general"]["system_name"], "Argus");
    for (body, fields) in [(json!([]), vec![""]), (json!(null), vec![""]), (json!({"ai": 5}), vec!["ai"])] {
        assert_eq!(server.put("/system/settings", body).await.faults(), fields);
    }
    server.put("/system/settings?x=1", json!({})).await.expect(422);
    server.get("/system/settings?x=1").await.expect(422);
    let empty = server.request(Method::PUT, "/system/settings").header("content-type", "application/json");
    send(empty).await.expect(400);
}

#[tokio::test]
async fn only_admins_see_and_change_settings() {
    let server = Server::start().await;
    let key = server.key(&[Scope::ReadEvents, Scope::WriteCameras]).await;
    for method in [Method::GET, Method::PUT] {
        let request = server.bare(method.clone(), "/system/settings").json(&json!({}));
        send(request.try_clone().unwrap()).await.expect(401);
        send(request.header("x-api-key", &key)).await.expect(403);
    }
}

/// The other settings act in the engine, whose tests show it.
#[tokio::test]
async fn cameras_made_later_get_the_motion_defaults() {
    let server = Server::start().await;
    let before = server.camera("Before").await;
    let defaults = json!({"frame_rate": 9, "motion_enabled": false, "motion_sensitivity": "high", "motion_cooldown": 77,
        "pre_roll_s": 11, "post_roll_s": 12, "max_event_s": 130, "analysis_mode": "single_frame"});
    server.put("/system/settings", json!({"motion_defaults": defaults})).await.expect(200);
    let after = server.post("/cameras", json!({"name": "After", "type": "test"})).await.expect(201);
    for (field, value) in defaults.as_object().unwrap() {
        assert_eq!(after[field], *value, "{field}");
    }
    let own = json!({"name": "Own", "type": "test", "frame_rate": 2, "analysis_mode": "multi_frame"});
    let own = server.post("/cameras", own).await.expect(201);
    assert_eq!((&own["frame_rate"], &own["analysis_mode"]), (&json!(2), &json!("multi_frame")));
    assert_eq!(own["motion_cooldown"], 77);
    assert_eq!(server.get(&format!("/cameras/{before}")).await.expect(200)["frame_rate"], 5);
}

/// The ranges in the document are those that are checked: one step beyond each end is refused, the ends are taken.
#[tokio::test]
async fn the_document_says_what_is_checked() {
    let server = Server::start().await;
    let document = server.get("/openapi.json").await.expect(200);
    let update = &document["components"]["schemas"]["SettingsUpdate"];
    let mut checked = 0;
    for (path, schema) in leaves("", update) {
        if path == "updated_at" {
            continue;
        }
        let patch = |value: Value| path.split('.').rev().fold(value, |inner, key| json!({key: inner}));
        let takes = |value: Value| Settings::default().merge(&patch(value)).is_ok();
        assert!(takes(Value::Null), "{path} takes null");
        let kinds = schema["type"].as_array().unwrap_or_else(|| panic!("{path}: {schema}"));
        assert!(kinds.contains(&json!("null")), "{path}: {schema}");
        if let Some(names) = schema["enum"].as_array() {
            assert!(names.iter().all(|name| takes(name.clone())) && !takes(json!("walrus")), "{path}");
        }
        if kinds.contains(&json!("integer")) {
            let least = schema["minimum"].as_i64().unwrap_or(0);
            assert!(takes(json!(least)) && !takes(json!(least - 1)), "{path} from {least}");
            if let Some(most) = schema["maximum"].as_i64() {
                // Media may not outlive their events.
                let most = if path == "retention.media_days" { 30 } else { most };
                assert!(takes(json!(most)) && !takes(json!(most + 1)), "{path} to {most}");
            }
        }
        if let Some(most) =
            schema["maxLength"].as_u64().filter(|_| matches!(path.as_str(), "general.system_name" | "ai.prompt"))
        {
            let text = |n: u64| json!("ä".repeat(usize::try_from(n).unwrap()));
            assert!(takes(text(most)) && !takes(text(most + 1)), "{path} to {most}");
            // A text that may be null is so without a character.
            assert_eq!(takes(text(0)), path == "ai.prompt", "{path}");
            assert_eq!(schema["minLength"].is_u64(), path != "ai.prompt", "{path}");
        }
        checked += 1;
    }
    assert_eq!(checked, 36, "every value of the tree");
    let tree = &document["components"]["schemas"]["Settings"];
    assert_eq!(tree["required"].as_array().unwrap().len(), 5);
    assert!(update.get("required").is_none());
}

/// The schemas of the values of a tree, by their paths.
fn leaves(path: &str, schema: &Value) -> Vec<(String, Value)> {
    match schema["properties"].as_object() {
        None => vec![(path.to_owned(), schema.clone())],
        Some(properties) => properties
            .iter()
            .flat_map(|(key, inner)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(&path, inner)
            })
            .collect(),
    }
}
