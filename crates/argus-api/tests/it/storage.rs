//! What is kept, and who hears of notifications.

use argus_core::api_key::Scope;
use argus_core::event::Event;
use argus_core::notification::Notification;
use argus_core::retention::Disk;
use argus_db::{EventChange, NewFrame};
use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::support::{PATIENCE, Server, send};

async fn files(server: &Server, event: &Event) {
    let frame = |index, bytes, stored| NewFrame {
        index,
        offset_ms: 0,
        sha256: "0".repeat(64),
        width: 64,
        height: 36,
        bytes,
        stored,
    };
    let at = event.timestamp;
    let changes = vec![
        EventChange::ThumbnailStored { bytes: 7 },
        EventChange::Frames(vec![frame(0, 20, true), frame(1, 30, true), frame(2, 99, false)]),
        EventChange::Clip { bytes: 1000, from: at, until: at },
    ];
    server.db.event_change(event.id, changes, at).await.unwrap();
}

#[tokio::test]
async fn everything_that_is_kept_is_counted() {
    let server = Server::start().await;
    let (door, yard) = (server.camera("Door").await, server.camera("Yard").await);
    let first = server.event(&door, 0, "Motion").await;
    server.event(&door, 60_000, "Motion").await;
    let third = server.event(&yard, 120_000, "Motion").await;
    files(&server, &first).await;
    files(&server, &third).await;
    let mut report = server.get("/system/storage").await.expect(200);
    let database = report["database_bytes"].take().as_i64().unwrap();
    assert!(database > 4096, "{database}");
    assert_eq!(report["total_bytes"].take(), database + 2 * 1057);
    // Both were made at the same moment of the test's clock: their ids decide, and those are random.
    let expected = [(&door, 2), (&yard, 1)];
    let mut by_camera =
        expected.map(|(id, n)| json!({"camera_id": id, "media_bytes": 1057, "event_count": n})).to_vec();
    by_camera.sort_by_key(|camera| camera["camera_id"].to_string());
    assert_eq!(
        report,
        json!({
            "database_bytes": null, "total_bytes": null,
            "thumbnails_bytes": 14, "frames_bytes": 100, "clips_bytes": 2000,
            "event_count": 3, "frame_count": 4, "clip_count": 2,
            "oldest_event_at": "2025-12-23T10:30:00.000Z",
            "disk": {"total_bytes": 1_i64 << 40, "free_bytes": 1_i64 << 39},
            "by_camera": by_camera,
            "measured_at": "2025-12-23T10:30:00.000Z",
        })
    );
    server.delete(&format!("/events/{}", first.id)).await.expect(204);
    let report = server.get("/system/storage").await.expect(200);
    assert_eq!((&report["clips_bytes"], &report["event_count"]), (&json!(1000), &json!(2)));
    assert_eq!(server.get("/system/storage?fresh=1").await.faults(), ["fresh"]);
    let key = server.key(&[Scope::WriteCameras, Scope::ReadEvents]).await;
    let refused = send(server.bare(Method::GET, "/system/storage").header("x-api-key", &key)).await.expect(403);
    assert_eq!(refused["detail"], "Missing permission: admin");
}

/// Titles of the notifications in a journal's answer.
fn titles(answer: &Value) -> Vec<&str> {
    let items = answer["items"].as_array().unwrap().iter().filter(|m| m["type"] == "notification.new");
    items.map(|m| m["data"]["title"].as_str().unwrap()).collect()
}

/// Who holds only this scope gets these of four notifications, told alternately: by long poll, page by page, and by
/// WebSocket, replayed and live.
async fn check(scope: Scope, expected: &[&str]) {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    let now = argus_core::Timestamp::from_millis(1_766_485_800_000);
    let low = Notification::storage_low(Disk { total_bytes: 1000, free_bytes: 10 }, 100, now);
    let lost = Notification::camera_offline(camera.parse().unwrap(), "Door", None, false, now);
    for notice in [&low, &lost, &low, &lost] {
        server.db.notification_add(notice.clone(), now).await.unwrap();
    }
    let key = server.key(&[scope]).await;
    let ask = |query: &str| send(server.bare(Method::GET, &format!("/journal?{query}")).header("x-api-key", &key));
    assert_eq!(titles(&ask("after=0").await.expect(200)), expected, "{scope}");
    let named = ask("after=0&types=notification.new").await;
    if expected.is_empty() {
        assert_eq!(named.expect(403)["detail"], "Missing permission: read:cameras");
        return;
    }
    assert_eq!(titles(&named.expect(200)), expected, "{scope}");
    // A page of one message has to look past what the caller may not see.
    let (mut after, mut paged) = (0, Vec::new());
    loop {
        let page = ask(&format!("after={after}&limit=1&types=notification.new")).await.expect(200);
        after = page["next_after"].as_i64().unwrap();
        let Some(title) = titles(&page).first().map(|title| (*title).to_owned()) else { break };
        paged.push(title);
    }
    assert_eq!(paged, expected, "{scope}");
    let url = format!("ws://127.0.0.1:{}/ws?after=0&types=notification.new", server.port);
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("x-api-key", key.parse().unwrap());
    let (mut socket, _) = connect_async(request).await.unwrap();
    server.db.notification_add(low, now).await.unwrap();
    server.db.notification_add(Notification { title: "live".into(), ..lost }, now).await.unwrap();
    let mut seen = Vec::new();
    while seen.last().is_none_or(|title| title != "live") {
        match timeout(PATIENCE, socket.next()).await.expect("a message in time").unwrap().unwrap() {
            Message::Text(text) => {
                let message: Value = serde_json::from_str(&text).unwrap();
                seen.push(message["data"]["title"].as_str().unwrap().to_owned());
            }
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let live: &[&str] = if scope == Scope::Admin { &["Storage is low", "live"] } else { &["live"] };
    assert_eq!(seen, [expected, live].concat(), "{scope}");
}

#[tokio::test]
async fn a_notification_is_for_those_who_may_know() {
    let (low, lost) = ("Storage is low", "Door is offline");
    check(Scope::Admin, &[low, lost, low, lost]).await;
    check(Scope::ReadCameras, &[lost, lost]).await;
    check(Scope::WriteCameras, &[lost, lost]).await;
    check(Scope::ReadEvents, &[]).await;
}
