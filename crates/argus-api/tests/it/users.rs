//! Users, as admins see them.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::people::{PASSWORD, Session, login, person, try_login};
use crate::support::{Server, send};

fn path(user: &Value) -> String {
    format!("/users/{}", user["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_user_is_made_seen_changed_and_removed() {
    let server = Server::start().await;
    let body = json!({"username": "Ada.L", "password": PASSWORD, "email": "Ada@Example.org", "role": "operator"});
    let answer = server.post("/users", body).await;
    let mut made = answer.expect(201);
    assert_eq!(answer.header("location"), format!("/api/v1{}", path(&made)));
    let fields = made.as_object_mut().unwrap();
    assert_eq!(fields.remove("temporary_password"), Some(json!(null)));
    assert_eq!(fields.remove("temporary_password_expires_at"), Some(json!(null)));
    let at = "2025-12-23T10:30:00.000Z";
    let expected = json!({"id": made["id"], "username": "ada.l", "email": "Ada@Example.org", "role": "operator", "is_active": true,
        "must_change_password": false, "created_at": at, "updated_at": at, "last_login": null});
    assert_eq!(made, expected);
    assert_eq!(server.get(&path(&made)).await.expect(200), expected);

    server.clock.advance(Duration::from_secs(60));
    // What GET gave can be sent back.
    assert_eq!(server.put(&path(&made), made.clone()).await.expect(200), expected);
    assert_eq!(server.put(&path(&made), json!({})).await.expect(200), expected);
    let changed = server.put(&path(&made), json!({"email": null, "role": "viewer"})).await.expect(200);
    assert_eq!(
        (&changed["email"], &changed["role"], &changed["updated_at"]),
        (&json!(null), &json!("viewer"), &json!("2025-12-23T10:31:00.000Z"))
    );
    assert_eq!(server.get(&path(&made)).await.expect(200), changed);

    server.delete(&path(&made)).await.expect(204);
    for gone in
        [server.get(&path(&made)).await, server.delete(&path(&made)).await, server.put(&path(&made), json!({})).await]
    {
        gone.expect(404);
    }
    server.post(&format!("{}/reset-password", path(&made)), json!({})).await.expect(404);
    for nonsense in ["/users/1", "/users/x%2F..", "/users/0193F000-0000-7000-8000-000000000000"] {
        server.get(nonsense).await.expect(404);
    }
}

#[tokio::test]
async fn every_fault_is_named() {
    let server = Server::start().await;
    let create = async |body: Value| server.post("/users", body).await.faults();
    assert_eq!(create(json!({})).await, ["username"]);
    assert_eq!(create(json!([])).await, ["", "username"]);
    let body = json!({"username": "x", "password": "short", "email": "a@b@c", "role": "root", "is_active": true});
    assert_eq!(create(body).await, ["email", "is_active", "password", "role", "username"]);
    assert_eq!(
        create(json!({"username": "ada\0", "role": null, "password": 1234567890})).await,
        ["password", "role", "username"]
    );
    assert_eq!(create(json!({"username": "ada", "password": "oh, Ada, my dear"})).await, ["password"]);
    let ada = server.post("/users", json!({"username": "ada", "password": PASSWORD})).await.expect(201);
    let update = async |body: Value| server.put(&path(&ada), body).await.faults();
    assert_eq!(
        update(json!({"role": null, "is_active": null, "email": "x", "password": PASSWORD})).await,
        ["email", "is_active", "password", "role"]
    );
    assert_eq!(update(json!({"is_active": "true"})).await, ["is_active"]);
    assert_eq!(server.put("/users/nobody", json!({"role": 5})).await.faults(), ["role"], "values before existence");
    assert_eq!(
        server.get("/users?role=root&is_active=yes&limit=0&x=1").await.faults(),
        ["is_active", "limit", "role", "x"]
    );
    assert_eq!(
        server.post(&format!("{}/reset-password", path(&ada)), json!({"password": "x"})).await.faults(),
        ["password"]
    );
}

#[tokio::test]
async fn names_and_addresses_are_unique() {
    let server = Server::start().await;
    let create =
        async |name: &str, email: Value| server.post("/users", json!({"username": name, "email": email})).await;
    create("ada", json!("ada@example.org")).await.expect(201);
    create("ADA", json!(null)).await.expect(409);
    create("bob", json!("ADA@EXAMPLE.ORG")).await.expect(409);
    let bob = create("bob", json!("bob@example.org")).await.expect(201);
    server.put(&path(&bob), json!({"email": "Ada@example.org"})).await.expect(409);
    server.put(&path(&bob), json!({"email": "BOB@example.org"})).await.expect(200);
}

#[tokio::test]
async fn the_list_is_filtered_and_in_order() {
    let server = Server::start().await;
    for (name, role) in [("eve", "viewer"), ("ada", "admin"), ("bob", "operator"), ("joe", "viewer")] {
        let user = server.post("/users", json!({"username": name, "role": role})).await.expect(201);
        if name == "joe" {
            server.put(&path(&user), json!({"is_active": false})).await.expect(200);
        }
        server.clock.advance(Duration::from_secs(1));
    }
    let names = async |query: &str| {
        let list = server.get(&format!("/users{query}")).await.expect(200);
        let names: Vec<_> =
            list["items"].as_array().unwrap().iter().map(|u| u["username"].as_str().unwrap().to_owned()).collect();
        (names.join(" "), list["total"].as_i64().unwrap())
    };
    assert_eq!(names("").await, ("eve ada bob joe".into(), 4));
    assert_eq!(names("?page=2&limit=3").await, ("joe".into(), 4));
    assert_eq!(names("?role=admin,operator").await, ("ada bob".into(), 2));
    assert_eq!(names("?role=viewer&is_active=true").await, ("eve".into(), 1));
    assert_eq!(names("?is_active=0").await, ("joe".into(), 1));
}

#[tokio::test]
async fn the_last_admin_stays() {
    let server = Server::start().await;
    let ada = person(&server, "ada", "admin").await;
    for change in
        [json!({"role": "operator"}), json!({"is_active": false}), json!({"role": "viewer", "is_active": false})]
    {
        server.put(&path(&ada.user), change).await.expect(409);
    }
    server.delete(&path(&ada.user)).await.expect(409);
    assert!(ada.lives(&server).await);
    let bob = person(&server, "bob", "admin").await;
    ada.delete(&server, &path(&ada.user)).await.expect(409);
    bob.delete(&server, &path(&ada.user)).await.expect(204);
    bob.delete(&server, &path(&bob.user)).await.expect(409);
    server.delete(&path(&bob.user)).await.expect(409);
}

#[tokio::test]
async fn a_temporary_password_must_be_changed() {
    let server = Server::start().await;
    let made = server.post("/users", json!({"username": "ada", "role": "admin", "password": null})).await.expect(201);
    let temporary = made["temporary_password"].as_str().unwrap();
    assert!(temporary.len() >= 10 && !temporary.contains("ada"));
    assert_eq!(
        (&made["must_change_password"], &made["temporary_password_expires_at"]),
        (&json!(true), &json!("2025-12-26T10:30:00.000Z"))
    );
    let ada = login(&server, "ada", temporary).await;
    assert_eq!(ada.user["must_change_password"], true);
    for (method, path) in [
        (Method::GET, "/cameras"),
        (Method::POST, "/cameras"),
        (Method::GET, "/users"),
        (Method::GET, "/events"),
        (Method::GET, "/journal"),
        (Method::GET, "/auth/sessions"),
        (Method::DELETE, "/auth/sessions"),
        (Method::POST, "/auth/ws-ticket"),
    ] {
        let refused = send(ada.request(&server, method, path)).await.expect(403);
        assert_eq!(refused["detail"], "The password must be changed first", "{path}");
    }
    ada.get(&server, "/auth/me").await.expect(200);
    assert!(ada.get(&server, "/system/health").await.expect(200)["components"].is_object());
    let ada = Session::of(&ada.refresh(&server).await);
    let body = json!({"current_password": temporary, "new_password": "my own one"});
    let own = Session::of(&ada.post(&server, "/auth/change-password", body).await);
    assert_eq!(own.user["must_change_password"], false);
    own.get(&server, "/users").await.expect(200);
    server.clock.advance(Duration::from_secs(80 * 3600));
    login(&server, "ada", "my own one").await;
}

#[tokio::test]
async fn a_reset_ends_all_sessions_and_lasts_72_hours() {
    let server = Server::start().await;
    let ada = person(&server, "ada", "viewer").await;
    let reset = server.post(&format!("{}/reset-password", path(&ada.user)), json!({})).await.expect(200);
    assert_eq!(reset.as_object().unwrap().len(), 2);
    assert_eq!(reset["temporary_password_expires_at"], "2025-12-26T10:30:00.000Z");
    assert!(!ada.lives(&server).await);
    ada.refresh(&server).await.expect(401);
    try_login(&server, "ada", PASSWORD).await.expect(401);
    let temporary = reset["temporary_password"].as_str().unwrap();
    server.clock.advance(Duration::from_secs(72 * 3600 - 1));
    login(&server, "ada", temporary).await;
    server.clock.advance(Duration::from_secs(1));
    try_login(&server, "ada", temporary).await.expect(401);
}

#[tokio::test]
async fn only_admins_see_users() {
    let server = Server::start().await;
    for role in ["viewer", "operator"] {
        let one = person(&server, role, role).await;
        for (method, path) in [(Method::GET, "/users"), (Method::POST, "/users"), (Method::GET, &*path(&one.user))] {
            let refused = send(one.request(&server, method, path)).await.expect(403);
            assert_eq!(refused["detail"], "Missing permission: admin");
        }
    }
}
