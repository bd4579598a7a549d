//! Statistics of events.

use argus_core::api_key::Scope;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Server, send};

#[tokio::test]
async fn statistics_of_nothing_are_whole() {
    let server = Server::start().await;
    let hours: serde_json::Map<String, Value> = (0..24).map(|h| (format!("{h:02}"), json!(0))).collect();
    assert_eq!(
        server.get("/events/stats").await.expect(200),
        json!({
            "time_range": {"start": null, "end": null}, "timezone": "UTC", "total_events": 0, "events_by_day": {},
            "events_by_hour": hours, "events_by_camera": {}, "events_by_detection_type": {}, "events_by_object_type": {},
            "events_by_source_type": {}, "events_by_description_status": {}, "average_confidence": null,
            "average_ai_confidence": null, "average_duration_ms": null, "average_ai_response_time_ms": null,
            "total_ai_cost": 0.0, "alerts_triggered": 0
        })
    );
}

#[tokio::test]
async fn days_and_hours_are_those_of_the_zone() {
    let server = Server::start().await;
    let (door, yard) = (server.camera("Door").await, server.camera("Yard").await);
    // 10:30, 10:30:01 and 22:45 in UTC.
    server.event(&door, 10, "A person").await;
    server.event(&door, 1020, "A car").await;
    server.event(&yard, 44_100_030, "A person").await;
    let stats = server.get("/events/stats").await.expect(200);
    assert_eq!(stats["total_events"], 3);
    assert_eq!(stats["events_by_day"], json!({"2025-12-23": 3}));
    assert_eq!((&stats["events_by_hour"]["10"], &stats["events_by_hour"]["22"]), (&json!(2), &json!(1)));
    assert_eq!(stats["events_by_camera"], json!({&door: 2, &yard: 1}));
    assert_eq!(stats["events_by_detection_type"], json!({"motion": 3}));
    assert_eq!(stats["events_by_source_type"], json!({"test": 3}));
    assert_eq!(stats["events_by_description_status"], json!({"skipped": 3}));
    // 10, 1020 % 101 = 10, 44100030 % 101 = 97.
    assert_eq!(stats["average_confidence"], f64::from(10 + 10 + 97) / 3.0);

    let berlin = server.get("/events/stats?timezone=Europe/Berlin").await.expect(200);
    assert_eq!(berlin["timezone"], "Europe/Berlin");
    assert_eq!((&berlin["events_by_hour"]["11"], &berlin["events_by_hour"]["23"]), (&json!(2), &json!(1)));
    let kolkata = server.get("/events/stats?timezone=Asia/Kolkata").await.expect(200);
    assert_eq!(kolkata["events_by_day"], json!({"2025-12-23": 2, "2025-12-24": 1}));
    assert_eq!((&kolkata["events_by_hour"]["16"], &kolkata["events_by_hour"]["04"]), (&json!(2), &json!(1)));

    let some = format!("/events/stats?camera_id={door}&start_time=2025-12-23T11:30:01%2B01:00&q=car");
    let some = server.get(&some).await.expect(200);
    assert_eq!(some["time_range"], json!({"start": "2025-12-23T10:30:01.000Z", "end": null}));
    assert_eq!((&some["total_events"], &some["events_by_camera"]), (&json!(1), &json!({&door: 1})));
}

#[tokio::test]
async fn statistics_take_the_filters_and_no_page() {
    let server = Server::start().await;
    for (query, faults) in [
        ("?timezone=Mars/Olympus", &["timezone"][..]),
        ("?timezone=", &["timezone"]),
        ("?page=1&sort=asc&cursor=x&format=csv", &["cursor", "format", "page", "sort"]),
        ("?start_time=2025-12-24T00:00:00Z&end_time=2025-12-23T00:00:00Z", &["start_time"]),
        ("?min_confidence=101", &["min_confidence"]),
    ] {
        assert_eq!(server.get(&format!("/events/stats{query}")).await.faults(), faults, "{query}");
    }
    let camera = server.key(&[Scope::ReadCameras]).await;
    let refused = send(server.bare(Method::GET, "/events/stats").header("x-api-key", camera)).await;
    assert_eq!(refused.expect(403)["detail"], "Missing permission: read:events");
}
