//! Bodies that are not what they should be.

use reqwest::Method;
use serde_json::json;

use crate::support::{Server, send};

#[tokio::test]
async fn what_is_not_json_is_refused_by_its_kind() {
    let server = Server::start().await;
    let post = |kind: Option<&str>, body: Vec<u8>| {
        let request = server.request(Method::POST, "/cameras").body(body);
        send(match kind {
            Some(kind) => request.header("content-type", kind),
            None => request,
        })
    };
    let json = Some("application/json");
    let good = br#"{"name":"x","type":"test"}"#.to_vec();
    post(None, good.clone()).await.expect(415);
    post(Some("text/plain"), good.clone()).await.expect(415);
    post(Some("application/json; charset=latin1"), good.clone()).await.expect(415);
    send(
        server
            .request(Method::POST, "/cameras")
            .header("content-type", "application/json")
            .header("content-encoding", "gzip")
            .body(good),
    )
    .await
    .expect(415);
    for bad in [
        &b""[..],
        b"{",
        b"nonsense",
        b"{\"name\": \"\xff\"}",
        b"{\"name\": \"\\ud800\"}",
        b"[1,]",
        b"{}{}",
        b"{'a':1}",
        b"\xef\xbb\xbf{}",
        b"{\"frame_rate\": 1e999}",
        b"NaN",
    ] {
        post(json, bad.to_vec()).await.expect(400);
    }
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    post(json, deep.into_bytes()).await.expect(400);
    for whole in ["[]", "1", "\"x\"", "null", "true"] {
        assert_eq!(post(json, whole.into()).await.faults().first().map(String::as_str), Some(""), "{whole}");
    }
    assert_eq!(server.get("/cameras").await.expect(200)["total"], 0);
}

#[tokio::test]
async fn a_body_may_be_a_mebibyte_and_not_a_byte_more() {
    let server = Server::start().await;
    let head = r#"{"name":"x","type":"test","prompt_override":""#;
    let fill = |size: usize| format!("{head}{}\"}}", "x".repeat(size - head.len() - 2));
    let post = |body: String| {
        send(server.request(Method::POST, "/cameras").header("content-type", "application/json").body(body))
    };
    let largest = fill(1024 * 1024);
    assert_eq!(largest.len(), 1024 * 1024);
    assert_eq!(post(largest).await.faults(), ["prompt_override"]);
    post(fill(1024 * 1024 + 1)).await.expect(413);
    post(fill(8 * 1024 * 1024)).await.expect(413);
    // Also when nobody said before how long it would be.
    let chunks = futures_util::stream::iter((0..40).map(|_| Ok::<_, std::io::Error>(vec![b' '; 64 * 1024])));
    let streamed = server.request(Method::POST, "/cameras").header("content-type", "application/json");
    send(streamed.body(reqwest::Body::wrap_stream(chunks))).await.expect(413);
}

#[tokio::test]
async fn every_fault_of_a_body_is_named_at_once() {
    let server = Server::start().await;
    let answer = server
        .post(
            "/cameras",
            json!({
                "name": 7, "type": "rtsp", "rtsp_url": "http://x", "frame_rate": 5.0, "pre_roll_s": 31, "loop": "yes",
                "colour": "red", "prompt_override": "a\u{0}b", "is_enabled": null, "id": "x",
                "detection_zones": [{"name": "z", "vertices": [{"x": 0, "y": 0}, {"x": 1, "y": 0}, {"x": "1", "y": 1}]}],
                "detection_schedule": {"windows": [{"days": ["mon"], "start": "9:00", "end": "10:00"}], "every": 1},
            }),
        )
        .await;
    assert_eq!(
        answer.faults(),
        [
            "colour",
            "detection_schedule.every",
            "detection_schedule.windows[0].start",
            "detection_zones[0].vertices[2].x",
            "frame_rate",
            "id",
            "is_enabled",
            "loop",
            "name",
            "pre_roll_s",
            "prompt_override",
            "rtsp_url",
        ]
    );
}

#[tokio::test]
async fn values_are_not_converted() {
    let server = Server::start().await;
    let base = json!({"name": "x", "type": "test"});
    for (field, bad) in [
        ("frame_rate", json!("5")),
        ("frame_rate", json!(5.0)),
        ("frame_rate", json!(true)),
        ("frame_rate", json!(-1)),
        ("frame_rate", json!(u64::MAX)),
        ("is_enabled", json!(1)),
        ("is_enabled", json!("true")),
        ("name", json!("")),
        ("name", json!("  ")),
        ("name", json!("a\u{0}")),
        ("name", json!("x".repeat(101))),
        ("name", json!(["x"])),
        ("motion_sensitivity", json!("HIGH")),
        ("motion_sensitivity", json!(null)),
        ("detection_zones", json!(null)),
        ("detection_zones", json!({})),
        ("test_pattern.width", json!({"width": 161})),
        ("test_pattern.hue", json!({"hue": 1})),
        ("username", json!("joe")),
        ("rtsp_transport", json!("tcp")),
    ] {
        let mut body = base.clone();
        body[field.split('.').next().unwrap()] = bad.clone();
        assert_eq!(server.post("/cameras", body).await.faults(), [field], "{field} {bad}");
    }
}

#[tokio::test]
async fn endpoints_without_a_body_take_none_and_an_empty_object() {
    let server = Server::start().await;
    let id = server.camera("Door").await;
    let start = format!("/cameras/{id}/start");
    let post =
        |body: &'static str| server.request(Method::POST, &start).header("content-type", "application/json").body(body);
    send(server.request(Method::POST, &start)).await.expect(202);
    send(post("{}")).await.expect(202);
    send(post("{")).await.expect(400);
    assert_eq!(send(post("{\"now\": 1}")).await.faults(), ["now"]);
    assert_eq!(send(post("[]")).await.faults(), [""]);
    send(server.request(Method::POST, &start).body("x")).await.expect(415);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let timing = argus_api::Timing { body: std::time::Duration::from_millis(100), ..argus_api::Timing::default() };
    let server = Server::start_with(timing).await;
    let key = &server.admin;
    let answer = server
        .raw(&format!(
            "POST /api/v1/cameras HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n\
             Content-Length: 100\r\nConnection: close\r\n\r\n{{\"name\":"
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}
