//! What the server logs: one line a request, its id in everything that belongs to it, in both formats, and no secret.

use std::time::Duration;

use argus_tests::secrets;
use argus_tests::server::{ServerOptions, ServerProcess, api_key};
use argus_tests::wait::wait_for;
use argus_tests::ws::WsClient;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::SOON;

/// Lines of a JSON log that are about a request with this id, once there are so many.
async fn about(server: &ServerProcess, id: &str, at_least: usize) -> Vec<Value> {
    wait_for("the lines of a request", SOON, || async {
        let read = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let lines: Vec<Value> = server.log_text().lines().map(read).collect();
        let of = |line: &Value| {
            [&line["fields"]["request.id"], &line["span"]["request.id"], &line["request.id"]].contains(&&json!(id))
        };
        let found: Vec<Value> = lines.into_iter().filter(of).collect();
        (found.len() >= at_least).then_some(found)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines_tell_each_request_once_with_its_id_and_route() {
    let dir = tempfile::tempdir().unwrap();
    let key = api_key(dir.path(), "admin").await;
    let env = vec![("ARGUS_LOG_FORMAT".to_owned(), "json".into()), ("ARGUS_LOG".to_owned(), "info".into())];
    let server = ServerProcess::start_with(dir.path(), &ServerOptions { env, ..ServerOptions::default() }).await;
    let client = argus_tests::http::Client::new(server.origin(), &key);
    let ask = |method: Method, path: &str, id: &str| client.request(method, path).header("x-request-id", id);
    client.send(ask(Method::GET, "/cameras?limit=7", "list-1")).await.expect(200);
    let body = json!({"name": "Door", "type": "test", "is_enabled": false});
    let made = client.send(ask(Method::POST, "/cameras", "make-1").json(&body)).await.expect(201);
    let id = made.json["id"].as_str().unwrap().to_owned();
    client.send(ask(Method::GET, &format!("/cameras/{id}"), "one-1")).await.expect(200);

    let [line] = &about(&server, "list-1", 1).await[..] else { panic!("not one line") };
    let fields = &line["fields"];
    assert_eq!((&fields["http.method"], &fields["http.status"]), (&json!("GET"), &json!(200)), "{line}");
    assert_eq!(fields["http.route"], "/api/v1/cameras", "{line}");
    assert!(fields["elapsed_ms"].as_f64().is_some_and(|ms| (0.0..10_000.0).contains(&ms)), "{line}");
    assert!(line["timestamp"].is_string() && line["level"] == "INFO", "{line}");
    assert!(!line.to_string().contains("limit=7"), "{line}");
    let one = about(&server, "one-1", 1).await;
    assert!(one[0]["fields"]["http.route"] == "/api/v1/cameras/{id}" && !one[0].to_string().contains(&id), "{one:?}");
    // The running system works on another thread, and its line belongs to the request all the same.
    let made = about(&server, "make-1", 2).await;
    assert!(made.iter().any(|line| line["fields"]["message"] == "camera added"), "{made:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_logged_at_any_level() {
    let dir = tempfile::tempdir().unwrap();
    let key = api_key(dir.path(), "admin").await;
    let env = [("ARGUS_LOG", "trace")];
    let env = env.map(|(name, value)| (name.to_owned(), value.into())).to_vec();
    let server = ServerProcess::start_with(dir.path(), &ServerOptions { env, ..ServerOptions::default() }).await;
    let client = argus_tests::http::Client::new(server.origin(), &key);
    let provider = json!({"kind": "openai_compatible", "model": "none", "base_url": "http://127.0.0.1:9/v1",
        "api_key": "sk-never-to-be-logged-1"});
    let provider = client.post("/ai/providers", &provider).await.expect(201).json;
    client.post(&format!("/ai/providers/{}/test", crate::common::id_of(&provider)), &json!({})).await.expect(200);
    let camera = json!({"name": "Door", "type": "rtsp", "password": "never-logged-camera-2", "username": "viewer",
        "rtsp_url": "rtsp://127.0.0.1:9/stream"});
    client.post("/cameras", &camera).await.expect(201);
    let other = json!({"name": "Yard", "type": "rtsp", "rtsp_url": "rtsp://viewer:never-logged-url-3@127.0.0.1:9/x"});
    client.post("/cameras", &other).await.expect(201);
    client.post("/cameras/test", &camera).await.expect(200);
    client.post("/cameras/test", &json!({"type": "rtsp", "rtsp_url": other["rtsp_url"]})).await.expect(200);
    // Wrong ones are secrets too: a mistyped password is nearly the right one.
    let wrong = argus_tests::http::Client::new(server.origin(), &format!("argus_{}", "w".repeat(43)));
    wrong.get("/cameras").await.expect(401);
    secrets::remember("never-logged-ticket-4");
    assert_eq!(WsClient::connect(server.origin(), "", "/ws?ticket=never-logged-ticket-4").await.err(), Some(401));
    let bearer = "never-logged-token-5";
    secrets::remember(bearer);
    let request = client.anonymous().request(Method::GET, "/cameras").bearer_auth(bearer);
    client.send(request).await.expect(401);
    wait_for("the last request's line", SOON, || async {
        (server.log_text().matches("answered").count() >= 9).then_some(())
    })
    .await;
    let mut server = server;
    server.terminate(Duration::from_secs(20)).await.unwrap();
    assert!(server.log_text().contains(" TRACE "), "the lowest level is in the log");
    let shown = secrets::found_in(&dir.path().join("stderr.log"));
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}
