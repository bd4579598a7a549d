//! Sweeps over the whole document: what it promises is there, guarded, and answers errors in the one shape.

use std::collections::BTreeSet;
use std::time::Duration;

use argus_core::Clock;
use argus_core::api_key::{NewApiKey, Scope};
use reqwest::Method;
use serde_json::Value;

use crate::people::person;
use crate::support::{Answer, Server, is_error, send};

const METHODS: [Method; 4] = [Method::GET, Method::POST, Method::PUT, Method::DELETE];

/// An id that exists nowhere.
const NOWHERE: &str = "0193f000-0000-7000-8000-000000000000";

struct Operation {
    method: Method,
    path: String,
    permission: String,
}

async fn operations(server: &Server) -> Vec<Operation> {
    let document = send(server.bare(Method::GET, "/openapi.json")).await.expect(200);
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            let operation = &item[method.as_str().to_lowercase()];
            if operation.is_object() {
                let permission = operation["x-permission"].as_str().expect("every operation names its permission");
                // Ids that exist nowhere.
                let path = path.replace("{id}", NOWHERE).replace("{analysis_id}", NOWHERE).replace("{index}", "0");
                found.push(Operation { method, path, permission: permission.to_owned() });
            }
        }
    }
    assert!(found.len() >= 40, "{}", found.len());
    found
}

async fn call(server: &Server, operation: &Operation, key: Option<&str>, slash: &str) -> Answer {
    let header = key.map(|key| ("x-api-key", key.to_owned()));
    call_with(server, operation, header.as_ref(), slash).await
}

async fn call_with(
    server: &Server,
    operation: &Operation,
    header: Option<&(&'static str, String)>,
    slash: &str,
) -> Answer {
    let path = format!("{}{slash}", operation.path);
    let mut request = server.bare(operation.method.clone(), &path);
    if let Some((name, value)) = header {
        request = request.header(*name, value);
    }
    if operation.path.starts_with("/ws") {
        request = request.header("connection", "upgrade").header("upgrade", "websocket");
        request = request.header("sec-websocket-version", "13").header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==");
    }
    // Answers of open sockets have no end.
    let answer = request.send().await.unwrap();
    if answer.status() == 101 {
        return Answer { status: 101, headers: answer.headers().clone(), body: Vec::new() };
    }
    Answer::of(answer).await
}

#[tokio::test]
async fn every_operation_is_reachable_also_with_a_trailing_slash() {
    let server = Server::start().await;
    for operation in operations(&server).await {
        for slash in ["", "/"] {
            let answer = call(&server, &operation, Some(&server.admin), slash).await;
            let name = format!("{} {}{slash}", operation.method, operation.path);
            assert_ne!(answer.status, 405, "{name}");
            if answer.status >= 400 {
                answer.assert_error();
                assert_ne!(answer.json()["detail"], "There is no such route", "{name}");
                assert!(answer.status < 500, "{name}");
            }
            assert!(!answer.header("x-request-id").is_empty(), "{name}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{name}");
        }
    }
}

/// Credentials that are good for nothing, each as the header that carries them.
async fn useless(server: &Server) -> Vec<(&'static str, Option<(&'static str, String)>)> {
    let now = Clock::now(&*server.clock);
    let (revoked, row) = server.key_limited(&[Scope::Admin], 100).await;
    server.db.api_key_revoke(row.id, now).await.unwrap();
    let soon = now.plus(Duration::from_secs(1));
    let (expired, _) =
        server.insert_key(NewApiKey::check("short", &[Scope::Admin], Some(soon), 100, now).unwrap()).await;
    server.clock.advance(Duration::from_secs(2));
    let key = |text: &str| Some(("x-api-key", text.to_owned()));
    // {"alg":"none"} and an admin's claims, with and without the last dot.
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJyb2xlIjoiYWRtaW4iLCJleHAiOjQxMDI0NDQ4MDB9.";
    let bearer = |text: &str| Some(("authorization", format!("Bearer {text}")));
    let cookie = |text: &str| Some(("cookie", format!("argusai_access_token={text}")));
    vec![
        ("none", None),
        ("an unknown key", key(&format!("argus_{}", "x".repeat(43)))),
        ("a short key", key("argus_short")),
        ("an empty key", key("")),
        ("a revoked key", key(&revoked)),
        ("an expired key", key(&expired)),
        ("a key as a token", bearer(&server.admin)),
        ("a key as a cookie", cookie(&server.admin)),
        ("an unsigned token", bearer(none)),
        ("an unsigned token without its last dot", bearer(none.trim_end_matches('.'))),
        ("an unsigned token as a cookie", cookie(none)),
        ("no token", bearer("")),
        ("a password", Some(("authorization", "Basic YWRtaW46YWRtaW4=".to_owned()))),
    ]
}

#[tokio::test]
async fn nothing_that_is_guarded_answers_without_good_credentials() {
    let server = Server::start().await;
    // What exists is asked for, so that a missing guard would give it out, or change it.
    let camera = server.camera("Door").await;
    let event = server.event(&camera, 0, "Motion on Door.").await.id.to_string();
    let bad = useless(&server).await;
    for mut operation in operations(&server).await {
        let id = if operation.path.contains("/events/") { &event } else { &camera };
        operation.path = operation.path.replace(NOWHERE, id);
        for (name, header) in &bad {
            let answer = call_with(&server, &operation, header.as_ref(), "").await;
            let name = format!("{} {} with {name}", operation.method, operation.path);
            match operation.permission.as_str() {
                "open" if operation.method == Method::GET => assert_eq!(answer.status, 200, "{name}"),
                // Open, and with conditions of its own: without them nothing is given out and nothing changed.
                open if open.starts_with("open") => {
                    assert!(!(200..300).contains(&answer.status) || operation.path.ends_with("/logout"), "{name}");
                }
                _ => {
                    assert_eq!(answer.status, 401, "{name}");
                    answer.expect(401);
                }
            }
        }
    }
    for path in ["/ws?ticket=bX9vT2s4c1dQeE1hN0RnSg", "/ws?ticket="] {
        let ws = Operation { method: Method::GET, path: path.to_owned(), permission: "any".to_owned() };
        let answer = call_with(&server, &ws, None, "").await;
        assert!([401, 422].contains(&answer.status), "{path}: {}", answer.status);
    }
    server.get(&format!("/cameras/{camera}")).await.expect(200);
    server.get(&format!("/events/{event}")).await.expect(200);
}

#[tokio::test]
async fn the_permission_in_the_document_is_the_one_that_is_asked_for() {
    let server = Server::start().await;
    for operation in operations(&server).await {
        let Ok(needed) = operation.permission.parse::<Scope>() else {
            let others = ["open", "open + token", "refresh cookie", "any", "user"];
            assert!(others.contains(&operation.permission.as_str()), "{}", operation.path);
            if operation.permission == "user" {
                call(&server, &operation, Some(&server.admin), "").await.expect(403);
            }
            continue;
        };
        for &scope in Scope::ALL {
            let key = server.key(&[scope]).await;
            let answer = call(&server, &operation, Some(&key), "").await;
            let name = format!("{} {} with {scope}", operation.method, operation.path);
            if scope.gives(needed) {
                assert_ne!(answer.status, 403, "{name}");
            } else {
                let body = answer.expect(403);
                assert_eq!(body["detail"], format!("Missing permission: {needed}"), "{name}");
            }
        }
    }
}

/// What a role gives.
const ROLES: [(&str, &[Scope]); 3] = [
    ("viewer", &[Scope::ReadEvents, Scope::ReadCameras]),
    ("operator", &[Scope::ReadEvents, Scope::ReadCameras, Scope::WriteCameras]),
    ("admin", &[Scope::Admin]),
];

#[tokio::test]
async fn a_role_opens_what_it_gives_and_nothing_else() {
    let server = Server::start().await;
    for (role, gives) in ROLES {
        let session = person(&server, &format!("a-{role}"), role).await;
        let token = ("authorization", format!("Bearer {}", session.access));
        for operation in operations(&server).await {
            let name = format!("{} {} as {role}", operation.method, operation.path);
            let Ok(needed) = operation.permission.parse::<Scope>() else { continue };
            let answer = call_with(&server, &operation, Some(&token), "").await;
            if gives.iter().any(|scope| scope.gives(needed)) {
                assert!(![401, 403].contains(&answer.status), "{name}: {}", answer.status);
            } else {
                assert_eq!(answer.expect(403)["detail"], format!("Missing permission: {needed}"), "{name}");
            }
        }
        // A session that was ended is as good as none.
        session.post(&server, "/auth/logout", serde_json::json!({})).await.expect(204);
        for operation in operations(&server).await.iter().filter(|o| !o.permission.starts_with("open")) {
            assert_eq!(call_with(&server, operation, Some(&token), "").await.status, 401, "{}", operation.path);
        }
    }
}

#[tokio::test]
async fn what_is_for_users_refuses_keys() {
    let server = Server::start().await;
    let operations = operations(&server).await;
    let for_users: Vec<_> = operations.iter().filter(|o| o.permission == "user").collect();
    assert!(for_users.len() >= 3);
    for operation in for_users {
        call(&server, operation, Some(&server.admin), "").await.expect(403);
    }
}

#[tokio::test]
async fn routes_and_document_are_the_same() {
    let server = Server::start().await;
    let operations = operations(&server).await;
    let paths: BTreeSet<&String> = operations.iter().map(|o| &o.path).collect();
    for path in paths {
        let mut documented: BTreeSet<String> =
            operations.iter().filter(|o| &o.path == path).map(|o| o.method.to_string()).collect();
        if documented.contains("GET") {
            documented.insert("HEAD".to_owned());
        }
        for method in [Method::PATCH, Method::OPTIONS, Method::TRACE] {
            let answer = send(server.request(method, path)).await;
            answer.expect(405);
            let allowed: BTreeSet<String> = answer.header("allow").split(", ").map(str::to_owned).collect();
            assert_eq!(allowed, documented, "{path}");
            assert_eq!(answer.header("x-ratelimit-limit"), "", "answered before the key is looked at");
        }
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = Server::start().await;
    for operation in operations(&server).await.iter().filter(|o| o.method == Method::GET && o.path != "/ws") {
        let get = server.get(&operation.path).await;
        let head = send(server.request(Method::HEAD, &operation.path)).await;
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{}", operation.path);
        assert_eq!(head.header("content-type"), get.header("content-type"), "{}", operation.path);
    }
}

#[tokio::test]
async fn unknown_routes_are_404_whoever_asks() {
    let server = Server::start().await;
    for path in [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v1/alert-rules",
        "/api/v2/cameras",
        "/docs/../x",
        "/api/v1/cameras//x",
    ] {
        let response = reqwest::get(format!("{}{path}", server.base)).await.unwrap();
        assert!(is_error(response.status()), "{path}");
        let answer = Answer::of(response).await;
        answer.expect(404);
    }
}

#[tokio::test]
async fn the_document_is_sound() {
    let server = Server::start().await;
    let answer = send(server.bare(Method::GET, "/openapi.json")).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let document = answer.expect(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    // Every reference leads somewhere.
    let mut stack = vec![&document];
    let mut references = 0;
    while let Some(value) = stack.pop() {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    references += 1;
                    assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
                }
                stack.extend(map.values());
            }
            Value::Array(items) => stack.extend(items),
            _ => {}
        }
    }
    assert!(references > 20);
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|s| !s.is_empty()), "{name}");
            assert!(operation["security"].is_array(), "{name}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                let response = match response["$ref"].as_str() {
                    Some(place) => document.pointer(place.trim_start_matches('#')).unwrap(),
                    None => response,
                };
                if status.as_str() >= "400" {
                    let schema = &response["content"]["application/json"]["schema"]["$ref"];
                    let schema = schema.as_str().unwrap_or_else(|| panic!("{name} {status}: {response}"));
                    assert!(schema.ends_with("/ErrorBody") || schema.ends_with("/HealthView"), "{name} {status}");
                }
                assert!(!response["description"].as_str().unwrap().is_empty(), "{name} {status}");
            }
        }
    }
    assert_eq!(document["components"]["schemas"]["CameraCreate"]["required"], serde_json::json!(["name", "type"]));
}
