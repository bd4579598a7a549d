//! The first user.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::people::{PASSWORD, Session, login};
use crate::support::{Answer, SETUP_TOKEN, Server, send};

fn body(name: &str) -> Value {
    json!({"username": name, "password": PASSWORD})
}

fn with_token(token: &str) -> Value {
    json!({"username": "ada", "password": PASSWORD, "email": null, "token": token})
}

/// A request from this machine.
fn near(server: &Server) -> RequestBuilder {
    server.bare(Method::POST, "/auth/setup")
}

/// A request that came through a proxy.
fn far(server: &Server) -> RequestBuilder {
    near(server).header("x-forwarded-for", "198.51.100.7")
}

async fn ask(request: RequestBuilder, body: Value) -> Answer {
    send(request.json(&body)).await
}

#[tokio::test]
async fn from_this_machine_no_token_is_needed() {
    let server = Server::start().await;
    let status = || send(server.bare(Method::GET, "/auth/setup-status"));
    assert_eq!(status().await.expect(200), json!({"setup_complete": false, "token_required": false}));
    let answer = ask(near(&server), json!({"username": "Ada", "password": PASSWORD, "email": "ada@example.org"})).await;
    let made = answer.expect(201);
    assert_eq!((&made["token_type"], &made["expires_in"]), (&json!("bearer"), &json!(900)));
    let user = &made["user"];
    assert_eq!(
        (&user["username"], &user["role"], &user["email"]),
        (&json!("ada"), &json!("admin"), &json!("ada@example.org"))
    );
    assert_eq!((&user["is_active"], &user["must_change_password"]), (&json!(true), &json!(false)));
    assert_eq!(user["last_login"], "2025-12-23T10:30:00.000Z");
    let session = Session::of(&answer);
    assert_eq!(answer.header("location"), format!("/api/v1/users/{}", session.id()));
    assert_eq!(&session.get(&server, answer.header("location")).await.expect(200), user);
    assert_eq!(status().await.expect(200), json!({"setup_complete": true, "token_required": false}));
    assert!(!server.folder.path().join("setup-token").exists());
    login(&server, "ADA", PASSWORD).await;
}

#[tokio::test]
async fn from_elsewhere_the_token_is_needed() {
    let server = Server::start().await;
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("host", "cam:8000"),
    ] {
        let status = send(server.bare(Method::GET, "/auth/setup-status").header(name, value)).await;
        assert_eq!(status.expect(200)["token_required"], true, "{name}");
        ask(near(&server).header(name, value), body("ada")).await.expect(403);
    }
    ask(far(&server), with_token("wrong")).await.expect(403);
    ask(far(&server), json!({"username": "ada", "password": PASSWORD, "token": null})).await.expect(403);
    assert!(server.folder.path().join("setup-token").exists() && !server.db.user_exists().await.unwrap());
    ask(far(&server), with_token(SETUP_TOKEN)).await.expect(201);
}

#[tokio::test]
async fn a_token_that_is_sent_is_checked_from_here_too() {
    let server = Server::start().await;
    ask(near(&server), with_token("wrong")).await.expect(403);
    ask(near(&server), with_token("")).await.expect(403);
    // What is no text is a fault of the value.
    assert_eq!(
        ask(near(&server), json!({"username": "ada", "password": PASSWORD, "token": 5})).await.faults(),
        ["token"]
    );
    ask(near(&server), with_token(SETUP_TOKEN)).await.expect(201);
}

#[tokio::test]
async fn a_user_that_exists_is_told_first() {
    let server = Server::start().await;
    ask(near(&server), body("ada")).await.expect(201);
    for answer in [
        ask(near(&server), body("bob")).await,
        ask(far(&server), with_token("wrong")).await,
        ask(far(&server), with_token(SETUP_TOKEN)).await,
        ask(near(&server), json!([])).await,
        send(near(&server).body("{")).await,
    ] {
        answer.expect(409);
    }
}

#[tokio::test]
async fn wrong_tokens_are_counted() {
    let server = Server::start().await;
    for _ in 0..5 {
        ask(far(&server), body("ada")).await.expect(403);
        ask(far(&server), with_token("wrong")).await.expect(403);
        server.clock.advance(Duration::from_secs(60));
    }
    let refused = ask(far(&server), with_token(SETUP_TOKEN)).await;
    refused.expect(429);
    assert_eq!(refused.header("retry-after"), "600");
    server.clock.advance(Duration::from_secs(600));
    ask(far(&server), with_token(SETUP_TOKEN)).await.expect(201);
}

#[tokio::test]
async fn every_fault_is_named() {
    let server = Server::start().await;
    let ask = async |body: Value| ask(near(&server), body).await.faults();
    assert_eq!(ask(json!({})).await, ["password", "username"]);
    assert_eq!(
        ask(json!({"username": "a b", "password": "short", "email": "x", "role": "viewer"})).await,
        ["email", "password", "role", "username"]
    );
    assert_eq!(ask(json!({"username": 5, "password": null})).await, ["password", "username"]);
    assert_eq!(ask(json!({"username": "ada", "password": "I am ADA, the first"})).await, ["password"]);
    assert!(!server.db.user_exists().await.unwrap());
}

#[tokio::test]
async fn of_two_at_once_one_is_the_first() {
    for _ in 0..3 {
        let server = Server::start().await;
        let (a, b) = tokio::join!(ask(near(&server), body("ada")), ask(near(&server), body("bob")));
        let mut statuses = [a.status, b.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409]);
        assert_eq!(server.get("/users").await.expect(200)["total"], 1);
    }
}

#[tokio::test]
async fn a_user_made_by_a_key_is_the_first_as_well() {
    let server = Server::start().await;
    let viewer = server.post("/users", json!({"username": "ada", "password": PASSWORD})).await.expect(201);
    assert!(!server.folder.path().join("setup-token").exists());
    ask(near(&server), body("bob")).await.expect(409);
    // The token does not come back with the last user's end.
    server.delete(&format!("/users/{}", viewer["id"].as_str().unwrap())).await.expect(204);
    ask(far(&server), with_token(SETUP_TOKEN)).await.expect(403);
}
