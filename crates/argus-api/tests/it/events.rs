//! Events: listed, found, removed.

use argus_core::api_key::Scope;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Server, send};

fn texts(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|e| e["description"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_event_is_shown_whole() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    let event = server.event(&camera, 50, "Motion on Door.").await;
    let shown = server.get(&format!("/events/{}", event.id)).await.expect(200);
    assert_eq!(shown, serde_json::to_value(&event).unwrap());
    assert_eq!((&shown["camera_name"], &shown["timestamp"]), (&json!("Door"), &json!("2025-12-23T10:30:00.050Z")));
    for path in ["/events/x", "/events/0193f000-0000-7000-8000-000000000000"] {
        server.get(path).await.expect(404);
        server.delete(path).await.expect(404);
        server.get(&format!("{path}/analyses")).await.expect(404);
    }
}

#[tokio::test]
async fn filters_combine() {
    let server = Server::start().await;
    let (door, yard) = (server.camera("Door").await, server.camera("Yard").await);
    server.event(&door, 0, "A person at the door").await;
    server.event(&door, 1000, "A cat sleeps").await;
    server.event(&yard, 2000, "A person walks").await;
    let all = ["A person walks", "A cat sleeps", "A person at the door"];
    for (query, expected) in [
        (String::new(), &all[..]),
        ("?sort=asc&limit=1".into(), &all[2..]),
        (format!("?camera_id={door}"), &all[1..]),
        (format!("?camera_id={door},{yard}"), &all),
        (format!("?camera_id={door}&camera_id={yard}&q=person"), &["A person walks", "A person at the door"]),
        ("?camera_id=123".into(), &[]),
        ("?q=PERS".into(), &["A person walks", "A person at the door"]),
        ("?q=".into(), &all),
        ("?q=%2A%22%27".into(), &[]),
        ("?detection_type=person".into(), &[]),
        ("?detection_type=person,motion".into(), &all),
        ("?source_type=rtsp".into(), &[]),
        ("?source_type=test&description_status=skipped".into(), &all),
        ("?description_status=pending".into(), &[]),
        ("?has_clip=false&low_confidence=0".into(), &all),
        ("?has_clip=true".into(), &[]),
        ("?start_time=2025-12-23T10:30:01Z".into(), &all[..2]),
        ("?start_time=2025-12-23T11:30:01%2B01:00&end_time=2025-12-23T10:30:01.000Z".into(), &all[1..2]),
        ("?start_time=2025-12-23T11:30:01+01:00".into(), &all[..2]),
        ("?end_time=2025-12-23T09:30:00-01:00".into(), &all[2..]),
        ("?min_confidence=1".into(), &all[..2]),
    ] {
        let list = server.get(&format!("/events{query}")).await.expect(200);
        let expected = if query.contains("limit=1") { &expected[..1] } else { expected };
        assert_eq!(texts(&list), expected, "{query}");
    }
}

#[tokio::test]
async fn bad_parameters_are_all_named() {
    let server = Server::start().await;
    for (query, faults) in [
        ("?start_time=2025-12-23T10:30:00&end_time=yesterday", &["end_time", "start_time"][..]),
        ("?start_time=2025-12-24T00:00:00Z&end_time=2025-12-23T00:00:00Z", &["start_time"]),
        ("?min_confidence=101&has_clip=maybe&sort=up", &["has_clip", "min_confidence", "sort"]),
        (
            "?detection_type=walrus,person&source_type=&description_status=done",
            &["description_status", "detection_type", "source_type"],
        ),
        ("?q=a&q=b", &["q"]),
        ("?q=%00", &["q"]),
        ("?camera_id=", &["camera_id"]),
        ("?cursor=nonsense", &["cursor"]),
        ("?cursor=x&page=1", &["page"]),
        ("?Sort=asc&offset=3", &["Sort", "offset"]),
        ("?page=1&page=1", &["page"]),
    ] {
        assert_eq!(server.get(&format!("/events{query}")).await.faults(), faults, "{query}");
    }
    let long = |n: usize| "x".repeat(n);
    assert_eq!(server.get(&format!("/events?q={}", long(501))).await.faults(), ["q"]);
    assert_eq!(server.get(&format!("/events?camera_id={}", long(65))).await.faults(), ["camera_id"]);
    server.get(&format!("/events?q={}", long(500))).await.expect(200);
}

#[tokio::test]
async fn a_cursor_goes_on_where_the_page_ended() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    for i in 0..7 {
        server.event(&camera, i, &format!("event {i}")).await;
    }
    let first = server.get("/events?limit=3").await.expect(200);
    assert_eq!(texts(&first), ["event 6", "event 5", "event 4"]);
    assert_eq!(
        (&first["total"], &first["page"], &first["pages"], &first["limit"]),
        (&json!(7), &json!(1), &json!(3), &json!(3))
    );
    let cursor = first["next_cursor"].as_str().unwrap();
    server.event(&camera, 100, "newer").await;
    let second = server.get(&format!("/events?limit=3&cursor={cursor}")).await.expect(200);
    assert_eq!(texts(&second), ["event 3", "event 2", "event 1"]);
    assert_eq!((&second["page"], &second["total"], &second["pages"]), (&Value::Null, &json!(8), &json!(3)));
    let last =
        server.get(&format!("/events?limit=3&cursor={}", second["next_cursor"].as_str().unwrap())).await.expect(200);
    assert_eq!((texts(&last), &last["next_cursor"]), (vec!["event 0"], &Value::Null));
    assert_eq!(server.get(&format!("/events?sort=asc&cursor={cursor}")).await.faults(), ["cursor"]);
    let far = server.get("/events?page=99").await.expect(200);
    assert_eq!((texts(&far), &far["total"]), (vec![], &json!(8)));
}

#[tokio::test]
async fn only_the_admin_removes_an_event() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    let event = server.event(&camera, 0, "Motion").await;
    let path = format!("/events/{}", event.id);
    let reader = server.key(&[Scope::ReadEvents, Scope::WriteCameras]).await;
    let refused = send(server.bare(Method::DELETE, &path).header("x-api-key", reader)).await;
    assert_eq!(refused.expect(403)["detail"], "Missing permission: admin");
    server.get(&path).await.expect(200);
    server.delete(&path).await.expect(204);
    server.delete(&path).await.expect(404);
    assert_eq!(server.get("/events").await.expect(200)["total"], 0);
}

#[tokio::test]
async fn an_event_without_receipts_has_an_empty_list() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    let event = server.event(&camera, 0, "Motion").await;
    let list = server.get(&format!("/events/{}/analyses", event.id)).await.expect(200);
    assert_eq!(list, json!({"items": [], "total": 0, "page": 1, "limit": 20, "pages": 0}));
    assert_eq!(server.get(&format!("/events/{}/analyses?limit=0", event.id)).await.faults(), ["limit"]);
    assert_eq!(server.get("/events/x/analyses?limit=0").await.faults(), ["limit"], "values come before existence");
}
