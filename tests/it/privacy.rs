//! Privacy zones, over the API: nothing that is stored, shown or described holds what lies in them.

use argus_tests::wait::wait_for;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::common::{Listener, SOON, Site, id_of, now, picture, shown, test_camera, time_of, with};

/// Covers the picture between two fractions of its width.
fn zone(kind: &str, from: f64, to: f64) -> Value {
    let corner = |x: f64, y: f64| json!({"x": x, "y": y});
    let vertices = json!([corner(from, 0.0), corner(to, 0.0), corner(to, 1.0), corner(from, 1.0)]);
    json!({"name": "Window", "kind": kind, "vertices": vertices})
}

/// Whether nothing is to be seen in the left half of a picture of 64 x 36, away from the seam.
fn is_hidden(grey: &[u8]) -> bool {
    grey.chunks(64).all(|row| row[..30].iter().all(|v| *v <= 32))
}

/// Whether the right half shows the ground, and something bright on it when `object` says so.
fn is_seen(grey: &[u8], object: bool) -> bool {
    let right = || grey.chunks(64).flat_map(|row| &row[34..]);
    right().all(|v| *v > 64) && (!object || right().any(|v| *v > 170))
}

/// The next event of a camera, with everything that belongs to it.
async fn whole_event(live: &mut Listener, camera: &str) -> Value {
    let begun = live.created(camera).await;
    live.finished(&id_of(&begun)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_a_privacy_zone_is_painted_over_everywhere() {
    let site = Site::start().await;
    let mut live = site.listen(None).await;
    let fields = json!({"detection_zones": [zone("privacy", 0.0, 0.5)], "post_roll_s": 2});
    let camera = site.camera(with(test_camera("Yard", 12, 6), &fields)).await;
    let stored = site.client.get(&format!("/cameras/{camera}")).await.expect(200).json;
    assert_eq!(stored["detection_zones"][0]["kind"], "privacy");

    let event = whole_event(&mut live, &camera).await;
    let thumbnail = picture(&site.client, &event["thumbnail_url"]).await;
    let thumbnail = &shown(&thumbnail.bytes)[0];
    assert!(is_hidden(thumbnail) && is_seen(thumbnail, true), "{thumbnail:?}");
    let frames = event["frames"].as_array().unwrap();
    assert!(!frames.is_empty(), "{event}");
    for frame in frames {
        let frame = picture(&site.client, &frame["url"]).await;
        let frame = &shown(&frame.bytes)[0];
        assert!(is_hidden(frame) && is_seen(frame, true), "{frame:?}");
    }
    let clip = site.client.root().get(event["clip_url"].as_str().unwrap()).await.expect(200);
    let film = shown(&clip.bytes);
    assert!(film.len() > 60, "{} pictures", film.len());
    for (i, grey) in film.iter().enumerate() {
        assert!(is_hidden(grey) && is_seen(grey, false), "picture {i}: {grey:?}");
    }
    assert!(film.iter().filter(|grey| is_seen(grey, true)).count() > 20, "what is not hidden is seen");
    let snapshot = site.client.get(&format!("/cameras/{camera}/snapshot")).await.expect(200);
    assert!(is_hidden(&shown(&snapshot.bytes)[0]));

    // the picture of a try shows no more, when it is one of this camera
    for (body, hides) in [(json!({"type": "test"}), false), (json!({"camera_id": camera}), true)] {
        let tried = site.client.post("/cameras/test", &body).await.expect(200).json;
        let jpeg = tried["thumbnail"].as_str().unwrap().strip_prefix("data:image/jpeg;base64,").unwrap();
        let jpeg = STANDARD.decode(jpeg).unwrap();
        assert_eq!(is_hidden(&shown(&jpeg)[0]), hides, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_acts_as_soon_as_it_is_stored_without_a_break() {
    let site = Site::start().await;
    let mut live = site.listen(None).await;
    let camera = site.camera(test_camera("Yard", 6, 3)).await;
    site.reaches(&camera, "online", SOON).await;
    let path = format!("/cameras/{camera}");
    let snapshot = async || {
        let answer = site.client.get(&format!("{path}/snapshot")).await.expect(200);
        shown(&answer.bytes).remove(0)
    };
    assert!(!is_hidden(&snapshot().await));
    let event = whole_event(&mut live, &camera).await;
    let clip = site.client.root().get(event["clip_url"].as_str().unwrap()).await.expect(200);
    assert!(shown(&clip.bytes).iter().all(|grey| !is_hidden(grey)));

    // Capture goes on without a break, and what comes in from now on is hidden.
    let before = site.status(&camera).await;
    site.client.put(&path, &json!({"detection_zones": [zone("privacy", 0.0, 0.5)]})).await.expect(200);
    wait_for("a hidden picture", SOON, || async { is_hidden(&snapshot().await).then_some(()) }).await;
    let after = site.status(&camera).await;
    assert_eq!((&after["status"], &after["status_since"]), (&json!("online"), &before["status_since"]));

    // Disabled, it hides nothing.
    let open = with(zone("privacy", 0.0, 0.5), &json!({"enabled": false}));
    site.client.put(&path, &json!({"detection_zones": [open]})).await.expect(200);
    wait_for("an open picture", SOON, || async { (!is_hidden(&snapshot().await)).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_settings_come_without_a_break_and_end_no_event() {
    let site = Site::start().await;
    let mut live = site.listen(None).await;
    let camera = site.camera(with(test_camera("Yard", 40, 12), &json!({"post_roll_s": 6}))).await;
    let event = live.created(&camera).await;
    let before = site.status(&camera).await;
    let changed = now();
    let change = json!({"frame_rate": 10, "pre_roll_s": 4});
    site.client.put(&format!("/cameras/{camera}"), &change).await.expect(200);
    let after = site.status(&camera).await;
    assert_eq!((&after["event_id"], &after["status_since"]), (&event["id"], &before["status_since"]), "{after}");
    let event = live.finished(&id_of(&event)).await;
    let went_on = time_of(&event["ended_at"]).millis_since(changed);
    assert!(went_on > 5000, "it saw movement for {went_on} ms more: {event}");
    assert_eq!(live.statuses(&camera), ["starting", "online"]);
}
