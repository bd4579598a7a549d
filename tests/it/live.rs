//! What is asked of a camera while it runs: its newest picture, its state.

use argus_tests::rtsp::RtspServer;
use argus_tests::scene::Scene;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{SOON, Site, id_of, now, shown, shows_object, test_camera, time_of, with};

/// Width and height of a JPEG, from its frame header.
fn size(jpeg: &[u8]) -> (u16, u16) {
    let mut at = 2;
    while at + 9 < jpeg.len() {
        let number = |i: usize| u16::from_be_bytes([jpeg[i], jpeg[i + 1]]);
        if matches!(jpeg[at + 1], 0xc0..=0xc2) {
            return (number(at + 7), number(at + 5));
        }
        at += 2 + usize::from(number(at + 2));
    }
    panic!("no frame header");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_picture_is_fresh_and_scaled_down_only() {
    let gate = RtspServer::builder().size(640, 360).fps(10).gop(20).scene(Scene::Still).start();
    let site = Site::start().await;
    let camera = site.camera(json!({"name": "Gate", "type": "rtsp", "rtsp_url": gate.url()})).await;
    site.reaches(&camera, "online", SOON).await;
    let path = format!("/cameras/{camera}/snapshot");
    let get = async |query: &str| site.client.get(&format!("{path}{query}")).await;
    let before = now();
    let answer = get("").await.expect(200);
    assert_eq!(answer.header("content-type"), Some("image/jpeg"));
    assert_eq!(size(&answer.bytes), (640, 360));
    let taken = time_of(&json!(answer.header("x-captured-at").unwrap()));
    let age = before.millis_since(taken);
    assert!((-1000..2500).contains(&age), "{age} ms old");
    assert_eq!(size(&get("?width=320").await.expect(200).bytes), (320, 180));
    assert_eq!(size(&get("?width=3840").await.expect(200).bytes), (640, 360));
    for bad in ["?width=63", "?width=3841", "?width=x", "?w=320"] {
        get(bad).await.expect(422);
    }
    let head = site.client.send(site.client.request(Method::HEAD, &path)).await.expect(200);
    assert_eq!(head.bytes.len(), 0);
    site.client.post(&format!("/cameras/{camera}/stop"), &json!({})).await.expect(202);
    site.reaches(&camera, "stopped", SOON).await;
    get("").await.expect(409);
    get("?width=63").await.expect(422);
    site.client.get("/cameras/none/snapshot").await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_follows_what_goes_on() {
    let site = Site::start().await;
    let mut live = site.listen(None).await;
    let schedule = json!({"windows": [{"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "start": "00:00", "end": "24:00"}]});
    let camera = site.camera(with(test_camera("Yard", 8, 4), &json!({"detection_schedule": schedule}))).await;
    let event = live.created(&camera).await;
    let state = site.status(&camera).await;
    assert_eq!((&state["event_id"], &state["motion_active"]), (&event["id"], &json!(true)), "{state}");
    assert_eq!((&state["camera_id"], &state["is_enabled"]), (&json!(camera), &json!(true)));
    assert_eq!((&state["schedule_active"], &state["status"]), (&json!(true), &json!("online")));
    assert_eq!((&state["resolution"], &state["last_error"]), (&json!("320x180"), &Value::Null));
    let fps = state["fps"].as_f64().unwrap();
    assert!((8.0..22.0).contains(&fps), "{fps}");
    let age = now().millis_since(time_of(&state["last_frame_at"]));
    assert!((0..2000).contains(&age), "{age}");
    let snapshot = site.client.get(&format!("/cameras/{camera}/snapshot")).await.expect(200);
    assert!(shows_object(&shown(&snapshot.bytes)[0]), "what moves is in the newest picture");
    live.finished(&id_of(&event)).await;
    let state = site.status(&camera).await;
    assert_eq!((&state["event_id"], &state["motion_active"]), (&Value::Null, &json!(false)), "{state}");

    // Outside its windows nothing begins, and the pictures go on.
    let never = json!({"timezone": "Pacific/Kiritimati", "windows": [{"days": [other_day()], "start": "00:00", "end": "00:01"}]});
    site.client.put(&format!("/cameras/{camera}"), &json!({"detection_schedule": never})).await.expect(200);
    let state = site.status(&camera).await;
    assert_eq!((&state["schedule_active"], &state["status"]), (&json!(false), &json!("online")));
}

/// A day of the week on which no time zone is for the next hours.
fn other_day() -> &'static str {
    let days = now().as_millis() / 86_400_000;
    // Day 0 was a Thursday; three days on is far from here everywhere.
    ["thu", "fri", "sat", "sun", "mon", "tue", "wed"][usize::try_from((days + 3) % 7).unwrap()]
}
