//! `/ai/providers` and `/ai/capabilities`.

use argus_core::Secret;
use serde_json::{Value, json};

use crate::support::Server;

async fn add(server: &Server, body: Value) -> Value {
    // Ids ascend by the moment in which they were made.
    server.clock.advance(std::time::Duration::from_millis(1));
    server.post("/ai/providers", body).await.expect(201)
}

fn path(provider: &Value) -> String {
    format!("/ai/providers/{}", provider["id"].as_str().unwrap())
}

/// The key that is stored for a provider.
fn key(server: &Server, provider: &Value) -> Option<String> {
    let rows = server.ai.rows.lock().unwrap();
    let row = rows.iter().find(|p| p.id.to_string() == provider["id"].as_str().unwrap()).unwrap();
    row.config.api_key.as_ref().map(|key| key.expose().to_owned())
}

#[tokio::test]
async fn a_new_installation_has_the_built_in_one() {
    let server = Server::start().await;
    let list = server.get("/ai/providers").await.expect(200);
    assert_eq!((&list["total"], &list["items"][0]["kind"]), (&json!(1), &json!("builtin")));
    let builtin = &list["items"][0];
    let fields: Vec<&String> = builtin.as_object().unwrap().keys().collect();
    let mut expected = vec![
        "id",
        "created_at",
        "updated_at",
        "kind",
        "name",
        "model",
        "base_url",
        "has_key",
        "enabled",
        "priority",
        "timeout_s",
        "max_output_tokens",
        "max_concurrent",
        "requests_per_minute",
        "prices",
        "capabilities",
        "health",
    ];
    expected.sort_unstable();
    assert_eq!(fields, expected);
    server.post("/ai/providers", json!({"kind": "builtin"})).await.expect(409);
    server.delete(&path(builtin)).await.expect(409);
    let changed = json!({"enabled": false, "priority": 1, "name": "rules", "model": builtin["model"]});
    let after = server.put(&path(builtin), changed).await.expect(200);
    assert_eq!((&after["enabled"], &after["priority"], &after["name"]), (&json!(false), &json!(1), &json!("rules")));
    // They have no effect, and can be changed all the same.
    let changed = json!({"timeout_s": 5, "max_output_tokens": 16, "prices": {"input_per_million": 1.0, "output_per_million": 2.0}});
    let after = server.put(&path(builtin), changed.clone()).await.expect(200);
    assert_eq!((&after["timeout_s"], &after["max_output_tokens"]), (&json!(5), &json!(16)));
    assert_eq!(after["prices"], changed["prices"]);
    let refused = json!({
        "model": "x", "base_url": "http://x", "api_key": "k",
        "max_concurrent": 1, "requests_per_minute": 1, "kind": "openai",
    });
    let faults = server.put(&path(builtin), refused.clone()).await.faults();
    let mut all: Vec<String> = refused.as_object().unwrap().keys().cloned().collect();
    all.sort_unstable();
    assert_eq!(faults, all);
    // What GET gives can be sent back.
    server.put(&path(builtin), server.get(&path(builtin)).await.expect(200)).await.expect(200);
}

#[tokio::test]
async fn absent_fields_have_their_defaults() {
    let server = Server::start().await;
    let first = add(&server, json!({"kind": "openai", "api_key": "k1"})).await;
    assert_eq!(first["name"], "openai");
    assert_eq!(first["model"], "the-usual");
    assert_eq!((&first["base_url"], &first["has_key"], &first["enabled"]), (&json!(null), &json!(true), &json!(true)));
    assert_eq!((&first["priority"], &first["timeout_s"]), (&json!(10), &json!(30)));
    assert_eq!((&first["max_output_tokens"], &first["max_concurrent"]), (&json!(400), &json!(4)));
    assert_eq!(first["requests_per_minute"], json!(null));
    assert_eq!(first["prices"], json!({"input_per_million": 0.5, "output_per_million": 2.0}));
    assert_eq!(first["health"]["state"], "unknown");
    let second = add(&server, json!({"kind": "ollama", "model": " llava ", "name": " Cellar "})).await;
    assert_eq!(
        (&second["priority"], &second["model"], &second["name"]),
        (&json!(20), &json!("llava"), &json!("Cellar"))
    );
    add(&server, json!({"kind": "ollama", "model": "x", "priority": 995})).await;
    let last = add(&server, json!({"kind": "ollama", "model": "x", "name": "z"})).await;
    assert_eq!(last["priority"], 1000);
    let names: Vec<Value> = server.get("/ai/providers").await.expect(200)["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].clone())
        .collect();
    assert_eq!(names, ["openai", "Cellar", "ollama", "builtin", "z"]);
    server.post("/ai/providers", json!({"kind": "openai", "api_key": "k", "name": "CELLAR"})).await.expect(409);
    server.put(&path(&first), json!({"name": "cellar"})).await.expect(409);
    let answer = server.post("/ai/providers", json!({"kind": "ollama", "model": "x", "name": "y"})).await;
    assert_eq!(answer.header("location"), format!("/api/v1{}", path(&answer.json())));
}

#[tokio::test]
async fn every_fault_of_a_provider_is_named() {
    let server = Server::start().await;
    let check = async |body: Value, fields: &[&str]| {
        let answer = server.post("/ai/providers", body.clone()).await;
        assert_eq!(answer.faults(), fields, "{body}");
    };
    check(json!({}), &["kind"]).await;
    check(json!([]), &["", "kind"]).await;
    check(json!({"kind": "grok", "priority": 0}), &["kind", "priority"]).await;
    check(json!({"kind": "openai"}), &["api_key"]).await;
    check(json!({"kind": "anthropic", "enabled": false}), &["model"]).await;
    check(json!({"kind": "anthropic"}), &["api_key", "model"]).await;
    check(json!({"kind": "openai_compatible", "model": "m"}), &["base_url"]).await;
    check(json!({"kind": "ollama", "model": "m", "base_url": null, "api_key": null, "x": 1}), &["x"]).await;
    let bad = json!({
        "kind": "ollama", "name": " ", "model": "m".repeat(201), "base_url": "ftp://x", "api_key": "a b",
        "enabled": "yes", "priority": 1001, "timeout_s": 0, "max_output_tokens": 15, "max_concurrent": 65,
        "requests_per_minute": 10_001, "prices": {"input_per_million": -1, "output_per_million": -0.5},
    });
    check(
        bad,
        &[
            "api_key",
            "base_url",
            "enabled",
            "max_concurrent",
            "max_output_tokens",
            "model",
            "name",
            "prices.input_per_million",
            "prices.output_per_million",
            "priority",
            "requests_per_minute",
            "timeout_s",
        ],
    )
    .await;
    for url in [
        "",
        "x",
        "127.0.0.1:80",
        "http://",
        "http://u:p@h",
        "http://h/?k=1",
        "http://h/#x",
        "file:///etc/passwd",
        "http://h\n/",
        &format!("http://h/{}", "x".repeat(500)),
    ] {
        check(json!({"kind": "openai_compatible", "model": "m", "base_url": url}), &["base_url"]).await;
    }
    for key in ["", "k\n", "ü", &"k".repeat(513)] {
        check(json!({"kind": "openai", "api_key": key}), &["api_key"]).await;
    }
    assert_eq!(server.get("/ai/providers").await.expect(200)["total"], 1);
    // Values come before existence.
    let nowhere = "/ai/providers/0193f000-0000-7000-8000-000000000000";
    assert_eq!(server.put(nowhere, json!({"priority": 0, "y": 1})).await.faults(), ["priority", "y"]);
    server.put(nowhere, json!({"priority": 5})).await.expect(404);
    for gone in [nowhere, "/ai/providers/x"] {
        server.get(gone).await.expect(404);
        server.delete(gone).await.expect(404);
        server.post(&format!("{gone}/test"), json!({})).await.expect(404);
    }
}

#[tokio::test]
async fn keys_are_never_shown_and_stay_with_their_host() {
    let server = Server::start().await;
    let secret = "sk-very-secret";
    let one = add(&server, json!({"kind": "openai", "api_key": secret})).await;
    let at = path(&one);
    for answer in [server.get(&at).await, server.get("/ai/providers").await, server.put(&at, json!({})).await] {
        assert!(!String::from_utf8_lossy(&answer.body).contains(secret));
    }
    // The same host and port, written in another way.
    for same in [json!("https://API.openai.example:443/v2"), json!(null), json!("https://api.openai.example/v1")] {
        server.put(&at, json!({ "base_url": same })).await.expect(200);
        assert_eq!(key(&server, &one).as_deref(), Some(secret));
    }
    for moved in ["https://evil.example/v1", "https://api.openai.example:8443/v1", "http://api.openai.example/v1"] {
        assert_eq!(server.put(&at, json!({ "base_url": moved })).await.faults(), ["api_key"], "{moved}");
        assert_eq!(key(&server, &one).as_deref(), Some(secret));
    }
    let moved = json!({"base_url": "https://other.example/v1", "api_key": "sk-other"});
    server.put(&at, moved).await.expect(200);
    assert_eq!(key(&server, &one).as_deref(), Some("sk-other"));
    // Back to the kind's own address is a move too.
    assert_eq!(server.put(&at, json!({"base_url": null})).await.faults(), ["api_key"]);
    // Without a key it may move, but only while nobody asks it.
    let bare = json!({"base_url": null, "api_key": null});
    assert_eq!(server.put(&at, bare.clone()).await.faults(), ["api_key"]);
    let mut off = bare;
    off["enabled"] = json!(false);
    assert_eq!(server.put(&at, off).await.expect(200)["has_key"], false);
    assert_eq!(server.put(&at, json!({"enabled": true})).await.faults(), ["api_key"]);
    assert!(Secret::new(secret).expose() == secret && key(&server, &one).is_none());
}

#[tokio::test]
async fn prices_by_hand_replace_those_of_the_table() {
    let server = Server::start().await;
    let one = add(&server, json!({"kind": "ollama", "model": "m"})).await;
    let at = path(&one);
    let by_hand =
        |server: &Server| server.ai.rows.lock().unwrap().iter().find(|p| p.config.model == "m").unwrap().config.prices;
    // What GET gave is sent back, and the table goes on to count.
    server.put(&at, server.get(&at).await.expect(200)).await.expect(200);
    assert!(by_hand(&server).is_none());
    let after = server.put(&at, json!({"prices": {"input_per_million": 1}})).await.expect(200);
    assert_eq!(after["prices"], json!({"input_per_million": 1.0, "output_per_million": 2.0}));
    assert!(by_hand(&server).is_some());
    let after = server.put(&at, json!({"prices": {"output_per_million": null}})).await.expect(200);
    assert_eq!(after["prices"], json!({"input_per_million": 1.0, "output_per_million": null}));
    let after = server.put(&at, json!({"prices": null})).await.expect(200);
    assert_eq!(after["prices"], json!({"input_per_million": 0.5, "output_per_million": 2.0}));
    server.put(&at, json!({"prices": {"input": 1}})).await.expect(422);
}

#[tokio::test]
async fn what_put_does_not_name_stays() {
    let server = Server::start().await;
    let body = json!({
        "kind": "openai_compatible", "model": "m", "base_url": "http://127.0.0.1:1/v1", "api_key": "k", "name": "Den",
        "enabled": false, "priority": 7, "timeout_s": 300, "max_output_tokens": 4096, "max_concurrent": 64,
        "requests_per_minute": 10_000, "prices": {"input_per_million": 0, "output_per_million": null},
    });
    let one = add(&server, body.clone()).await;
    for (field, value) in body.as_object().unwrap() {
        if !["api_key", "prices"].contains(&field.as_str()) {
            assert_eq!(&one[field], value, "{field}");
        }
    }
    let mut after = server.put(&path(&one), json!({"requests_per_minute": null})).await.expect(200);
    assert_eq!(after["requests_per_minute"], json!(null));
    after["requests_per_minute"] = json!(10_000);
    after["updated_at"] = one["updated_at"].clone();
    assert_eq!(after, one);
    for field in ["name", "model", "enabled", "priority", "timeout_s", "max_output_tokens", "max_concurrent", "kind"] {
        assert_eq!(server.put(&path(&one), json!({ field: null })).await.faults(), [field]);
    }
    assert_eq!(server.put(&path(&one), json!({"kind": "ollama"})).await.faults(), ["kind"]);
    assert_eq!(server.put(&path(&one), json!({"base_url": null})).await.faults(), ["base_url"]);
    let tried = server.post(&format!("{}/test", path(&one)), json!({})).await.expect(200);
    assert_eq!((&tried["success"], &tried["model"], &tried["models"]), (&json!(true), &json!("m"), &json!(["m"])));
    server.delete(&path(&one)).await.expect(204);
    server.delete(&path(&one)).await.expect(404);
}

#[tokio::test]
async fn capabilities_tell_of_every_kind() {
    let server = Server::start().await;
    let answer = server.get("/ai/capabilities").await.expect(200);
    assert_eq!(answer["analysis_modes"], json!(["single_frame", "multi_frame"]));
    assert_eq!(answer["kinds"].as_array().unwrap().len(), 7);
    let openai = &answer["kinds"][0];
    assert_eq!(
        (&openai["kind"], &openai["needs_key"], &openai["configured"]),
        (&json!("openai"), &json!(true), &json!(false))
    );
    assert_eq!(openai.as_object().unwrap().len(), 9);
}
