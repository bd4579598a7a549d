//! Access tokens: which are good, and until when.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Method;
use serde_json::{Value, json};

use crate::people::{PASSWORD, login, person};
use crate::support::{Server, TOKEN_KEY, send};

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn sign(claims: &Value, algorithm: Algorithm, key: &[u8]) -> String {
    encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(key)).unwrap()
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut changed = claims.clone();
    changed[name] = value;
    changed
}

/// The status that a token gets where every good one gets 200, in the header and in the cookie.
async fn status(server: &Server, token: &str) -> u16 {
    let get = || server.bare(Method::GET, "/cameras");
    let by_header = send(get().header("authorization", format!("Bearer {token}"))).await.status;
    let by_cookie = send(get().header("cookie", format!("argusai_access_token={token}"))).await.status;
    assert_eq!(by_header, by_cookie, "{token}");
    by_header
}

#[tokio::test]
async fn only_our_own_tokens_are_good() {
    let server = Server::start().await;
    let (ada, bob) = (person(&server, "ada", "viewer").await, person(&server, "bob", "admin").await);
    let good = claims(&ada.access);
    assert_eq!((&good["sub"], &good["role"]), (&ada.user["id"], &json!("viewer")));
    assert_eq!(good["exp"].as_i64().unwrap() - good["iat"].as_i64().unwrap(), 900);
    assert_eq!(status(&server, &ada.access).await, 200);
    // Ours, made here: what follows is refused for what it is, not for how it is made.
    assert_eq!(status(&server, &sign(&good, Algorithm::HS256, &TOKEN_KEY)).await, 200);

    let parts: Vec<&str> = ada.access.split('.').collect();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = part(&json!({"typ": "JWT", "alg": "none"}));
    let admin = part(&with(&good, "role", json!("admin")));
    for forged in [
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{admin}.{}", parts[0], parts[2]),
        format!("{}.{}", parts[0], parts[1]),
        sign(&good, Algorithm::HS384, &TOKEN_KEY),
        sign(&good, Algorithm::HS512, &TOKEN_KEY),
        sign(&good, Algorithm::HS256, &[8; 32]),
        sign(&good, Algorithm::HS256, b""),
        sign(&with(&good, "sid", json!("0193f000-0000-7000-8000-000000000000")), Algorithm::HS256, &TOKEN_KEY),
        sign(&with(&good, "sub", bob.user["id"].clone()), Algorithm::HS256, &TOKEN_KEY),
        sign(&with(&good, "exp", json!("9999999999")), Algorithm::HS256, &TOKEN_KEY),
        sign(&with(&good, "exp", json!(null)), Algorithm::HS256, &TOKEN_KEY),
        ada.refresh.clone(),
        "x".repeat(7000),
        ".".into(),
    ] {
        assert_eq!(status(&server, &forged).await, 401, "{forged}");
    }
    // The claim of a role only informs.
    let boast = sign(&with(&good, "role", json!("admin")), Algorithm::HS256, &TOKEN_KEY);
    assert_eq!(status(&server, &boast).await, 200);
    let users = send(server.bare(Method::GET, "/users").header("authorization", format!("Bearer {boast}"))).await;
    assert_eq!(users.expect(403)["detail"], "Missing permission: admin");
}

#[tokio::test]
async fn a_token_is_good_for_900_s() {
    let server = Server::start().await;
    let ada = person(&server, "ada", "viewer").await;
    server.clock.advance(Duration::from_secs(899));
    assert_eq!(status(&server, &ada.access).await, 200);
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(status(&server, &ada.access).await, 401);
}

#[tokio::test]
async fn what_ends_a_token_ends_it_at_once() {
    let server = Server::start().await;
    let ada = person(&server, "ada", "viewer").await;
    let path = format!("/users/{}", ada.id());
    let disable = async |active: bool| server.put(&path, json!({"is_active": active})).await.expect(200);
    disable(false).await;
    assert_eq!(status(&server, &ada.access).await, 401);
    disable(true).await;
    assert_eq!(status(&server, &ada.access).await, 401, "an ended session does not come back");
    ada.refresh(&server).await.expect(401);

    let again = login(&server, "ada", PASSWORD).await;
    let body = json!({"current_password": PASSWORD, "new_password": "another horse"});
    again.post(&server, "/auth/change-password", body).await.expect(200);
    assert_eq!(status(&server, &again.access).await, 401);

    let again = login(&server, "ada", "another horse").await;
    again.post(&server, "/auth/logout", json!({})).await.expect(204);
    assert_eq!(status(&server, &again.access).await, 401);

    let again = login(&server, "ada", "another horse").await;
    server.post(&format!("{path}/reset-password"), json!({})).await.expect(200);
    assert_eq!(status(&server, &again.access).await, 401);

    let bob = person(&server, "bob", "viewer").await;
    server.delete(&format!("/users/{}", bob.id())).await.expect(204);
    assert_eq!(status(&server, &bob.access).await, 401);
    bob.refresh(&server).await.expect(401);
}

#[tokio::test]
async fn a_changed_role_works_at_once_with_the_old_token() {
    let server = Server::start().await;
    let ada = person(&server, "ada", "admin").await;
    let boss = person(&server, "boss", "admin").await;
    let role = async |role: &str| {
        let change = boss.request(&server, Method::PUT, &format!("/users/{}", ada.id())).json(&json!({"role": role}));
        send(change).await.expect(200);
    };
    let camera = async |name: &str| ada.post(&server, "/cameras", json!({"name": name, "type": "test"})).await.status;
    ada.get(&server, "/users").await.expect(200);
    role("operator").await;
    ada.get(&server, "/users").await.expect(403);
    assert_eq!(camera("a").await, 201);
    role("viewer").await;
    assert_eq!((camera("b").await, status(&server, &ada.access).await), (403, 200));
    role("admin").await;
    ada.get(&server, "/users").await.expect(200);
}

#[tokio::test]
async fn users_have_no_rate_limit_and_no_headers_of_one() {
    let server = Server::start().await;
    let ada = person(&server, "ada", "viewer").await;
    for _ in 0..150 {
        let answer = ada.get(&server, "/cameras?limit=1").await;
        answer.expect(200);
        assert_eq!(answer.header("x-ratelimit-limit"), "");
    }
}
