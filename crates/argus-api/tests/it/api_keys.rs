//! API keys as they are managed.

use argus_core::Clock as _;
use argus_core::api_key::{NewApiKey, Scope};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Server, send, until};

const UNKNOWN: &str = "/api-keys/0193f000-0000-7000-8000-000000000000";

async fn ask(server: &Server, key: &str, path: &str) -> Answer {
    send(server.bare(Method::GET, path).header("x-api-key", key)).await
}

#[tokio::test]
async fn a_key_lives_from_its_making_to_its_revocation() {
    let server = Server::start().await;
    let body = json!({
        "name": "  Home Assistant ", "scopes": ["read:cameras", "read:events", "read:cameras"],
        "expires_at": "2025-12-24T11:30:00.5+01:00", "rate_limit_per_minute": 7,
    });
    let answer = server.post("/api-keys", body).await;
    let mut made = answer.expect(201);
    let key = made.as_object_mut().unwrap().remove("key").unwrap().as_str().unwrap().to_owned();
    assert_eq!((key.len(), key.get(..6)), (49, Some("argus_")));
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("/api/v1/api-keys/{id}"));
    let expected = json!({
        "id": id, "name": "Home Assistant", "prefix": key.get(..8), "scopes": ["read:cameras", "read:events"],
        "is_active": true, "expires_at": "2025-12-24T10:30:00.500Z", "rate_limit_per_minute": 7, "usage_count": 0,
        "last_used_at": null, "last_used_ip": null, "created_at": "2025-12-23T10:30:00.000Z", "created_by": null,
        "revoked_at": null,
    });
    assert_eq!(made, expected);
    let path = format!("/api-keys/{id}");
    assert_eq!(server.get(&path).await.expect(200), expected, "the key itself is never shown again");
    ask(&server, &key, "/events").await.expect(200);
    ask(&server, &key, "/api-keys").await.expect(403);

    server.delete(&path).await.expect(204);
    ask(&server, &key, "/events").await.expect(401);
    server.clock.advance(std::time::Duration::from_secs(60));
    assert!(server.delete(&path).await.expect(204).is_null(), "again");
    let revoked = server.get(&path).await.expect(200);
    assert_eq!((&revoked["is_active"], &revoked["revoked_at"]), (&json!(false), &json!("2025-12-23T10:30:00.000Z")));
}

#[tokio::test]
async fn what_is_absent_takes_its_default() {
    let server = Server::start().await;
    let made = server.post("/api-keys", json!({"name": "x", "expires_at": null})).await.expect(201);
    assert_eq!(made["scopes"], json!(["read:events"]));
    assert_eq!((&made["rate_limit_per_minute"], &made["expires_at"]), (&json!(100), &Value::Null));
    // Names need not be unique.
    server.post("/api-keys", json!({"name": "x"})).await.expect(201);
}

#[tokio::test]
async fn every_fault_of_a_new_key_is_named() {
    let server = Server::start().await;
    let check = async |body: Value, expected: &[&str]| {
        assert_eq!(server.post("/api-keys", body.clone()).await.faults(), expected, "{body}");
    };
    check(json!({}), &["name"]).await;
    check(json!({"name": null}), &["name"]).await;
    check(json!({"name": " "}), &["name"]).await;
    check(json!({"name": "a\u{0}b"}), &["name"]).await;
    check(json!({"name": "x".repeat(256)}), &["name"]).await;
    check(json!({"name": "x", "scopes": []}), &["scopes"]).await;
    check(json!({"name": "x", "scopes": null}), &["scopes"]).await;
    check(json!({"name": "x", "scopes": ["admin", "write:events"]}), &["scopes[1]"]).await;
    check(json!({"name": "x", "expires_at": "2025-12-23T10:30:00Z"}), &["expires_at"]).await;
    check(json!({"name": "x", "expires_at": "2026-01-01T00:00:00"}), &["expires_at"]).await;
    check(json!({"name": "x", "rate_limit_per_minute": null}), &["rate_limit_per_minute"]).await;
    for rate in [json!(0), json!(10_001), json!(-1), json!("100"), json!(1.0)] {
        check(json!({"name": "x", "rate_limit_per_minute": rate}), &["rate_limit_per_minute"]).await;
    }
    check(
        json!({"key": "argus_x", "scopes": "admin", "expires_at": 5, "id": "x"}),
        &["expires_at", "id", "key", "name", "scopes"],
    )
    .await;
    server.post("/api-keys", json!({"name": "ä".repeat(255), "rate_limit_per_minute": 10_000})).await.expect(201);
}

#[tokio::test]
async fn the_list_has_expired_keys_and_revoked_ones_when_asked() {
    let server = Server::start().await;
    // The order of keys of one moment is that of their ids.
    server.clock.advance(std::time::Duration::from_millis(100));
    let now = server.clock.now();
    let soon = now.plus(std::time::Duration::from_secs(1));
    let new = NewApiKey::check("short", &[Scope::ReadEvents], Some(soon), 100, now).unwrap();
    server.insert_key(new).await;
    server.clock.advance(std::time::Duration::from_millis(100));
    let (_, revoked) = server.key_limited(&[Scope::ReadEvents], 5).await;
    server.delete(&format!("/api-keys/{}", revoked.id)).await.expect(204);
    server.clock.advance(std::time::Duration::from_secs(2));
    let list = server.get("/api-keys").await.expect(200);
    let active: Vec<_> = list["items"].as_array().unwrap().iter().map(|k| (&k["name"], &k["is_active"])).collect();
    assert_eq!(active, [(&json!("test"), &json!(true)), (&json!("short"), &json!(false))]);
    assert_eq!((&list["total"], &list["pages"], &list["limit"]), (&json!(2), &json!(1), &json!(20)));
    let all = server.get("/api-keys?include_revoked=true&limit=2&page=2").await.expect(200);
    assert_eq!((&all["total"], &all["items"][0]["id"]), (&json!(3), &json!(revoked.id.to_string())));
    for (bad, field) in [("include_revoked=yes", "include_revoked"), ("revoked=1", "revoked"), ("page=0", "page")] {
        assert_eq!(server.get(&format!("/api-keys?{bad}")).await.faults(), [field]);
    }
}

#[tokio::test]
async fn what_names_no_key_is_404_after_the_values() {
    let server = Server::start().await;
    for path in [UNKNOWN, "/api-keys/x", "/api-keys/..%2f..", "/api-keys/%00"] {
        for (method, below) in [(Method::GET, ""), (Method::DELETE, ""), (Method::GET, "/usage")] {
            let ask = |query| send(server.request(method.clone(), &format!("{path}{below}{query}")));
            assert_eq!(ask("").await.expect(404)["detail"], "There is no such API key", "{method} {path}{below}");
            assert_eq!(ask("?x=1").await.faults(), ["x"], "{method} {path}{below}");
        }
    }
}

#[tokio::test]
async fn use_is_shown_with_the_key() {
    let server = Server::start().await;
    let (text, key) = server.key_limited(&[Scope::ReadCameras], 5).await;
    for path in ["/cameras", "/events"] {
        ask(&server, &text, path).await;
    }
    let path = format!("/api-keys/{}/usage", key.id);
    until("the use is shown", || async { server.get(&path).await.expect(200)["usage_count"] == 2 }).await;
    let expected = json!({
        "id": key.id.to_string(), "name": "test", "prefix": "argus_00", "usage_count": 2,
        "last_used_at": "2025-12-23T10:30:00.000Z", "last_used_ip": "127.0.0.1", "rate_limit_per_minute": 5,
        "created_at": "2025-12-23T10:30:00.000Z",
    });
    assert_eq!(server.get(&path).await.expect(200), expected);
}

#[tokio::test]
async fn a_key_that_another_process_makes_is_good_at_once() {
    let server = Server::start().await;
    let text = format!("argus_{}", "k".repeat(43));
    // That it was unknown a moment ago is not remembered.
    ask(&server, &text, "/cameras").await.expect(401);
    let hash = sha2::Digest::finalize(sha2::Digest::chain_update(sha2::Sha256::default(), &text));
    let now = server.clock.now();
    let new = NewApiKey::check("beside", &[Scope::ReadCameras], None, 100, now).unwrap();
    let id = argus_core::ApiKeyId::new(now);
    server.db.api_key_insert(new, id, "argus_kk".into(), hash.into(), None, now).await.unwrap();
    ask(&server, &text, "/cameras").await.expect(200);
}
