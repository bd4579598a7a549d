//! The main job: a camera sees something; it is told at once, kept, shown, described, and can be forgotten.

use std::time::Duration;

use argus_tests::wait::wait_until;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{
    Listener, SOON, Site, boxes, check_order, ffprobe, files, id_of, is_about, now, picture, seq_of, sha256, shown,
    shows_object, test_camera, time_of, with,
};

const PRE_ROLL: u32 = 3;
const POST_ROLL_S: f64 = 1.0;

/// A site whose synthetic camera moves for 2 s in every 6, and its second event: the first with a whole pre-roll.
async fn second_event() -> (Site, String, Listener, Value) {
    let site = Site::start().await;
    let mut live = site.listen(None).await;
    let pattern = json!({"width": 640, "height": 360, "period_s": 6, "active_s": 2});
    let fields = with(test_camera("Yard", 6, 2), &json!({"test_pattern": pattern, "pre_roll_s": PRE_ROLL}));
    let camera = site.camera(fields).await;
    live.created(&camera).await;
    let second = live.created(&camera).await;
    let arrived = now();
    let delay = arrived.millis_since(time_of(&second["timestamp"]));
    assert!((0..4000).contains(&delay), "the begin was told {delay} ms after the light");
    (site, camera, live, second)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_told_at_once_then_kept_and_described() {
    let (site, camera, mut live, begun) = second_event().await;
    assert_eq!(live.statuses(&camera)[..2], ["starting", "online"]);
    for (field, value) in [
        ("camera_id", json!(camera)),
        ("camera_name", json!("Yard")),
        ("source_type", json!("test")),
        ("detection_type", json!("motion")),
        ("description", json!("Motion on Yard.")),
        ("description_status", json!("pending")),
        ("status_reason", Value::Null),
        ("ended_at", Value::Null),
        ("duration_ms", Value::Null),
        ("clip_url", Value::Null),
        ("frames", json!([])),
        ("is_doorbell_ring", json!(false)),
    ] {
        assert_eq!(begun[field], value, "{field} of {begun}");
    }
    let id = id_of(&begun);
    let event = live.finished(&id).await;

    let (began, ended) = (time_of(&event["timestamp"]), time_of(&event["ended_at"]));
    let duration = ended.millis_since(began);
    assert_eq!(event["duration_ms"], duration);
    // The object is in the picture for two seconds; its first and last sliver need not be noticed.
    assert!((1000..2600).contains(&duration), "{duration}");
    let trace = &event["trace"];
    let (captured, detected, stored) =
        (time_of(&trace["captured_at"]), time_of(&trace["detected_at"]), time_of(&trace["stored_at"]));
    assert!(captured <= detected && detected <= stored, "{trace}");
    assert!(stored.millis_since(captured) < 2000, "{trace}");
    assert!(time_of(&trace["described_at"]) >= stored);

    assert_eq!(event["description_status"], "described");
    assert_eq!((&event["provider_used"], &event["model"]), (&json!("builtin"), &json!("builtin-1")));
    let text = event["description"].as_str().unwrap();
    assert!(text.starts_with("Motion on Yard") && text.contains("from left to right"), "{text}");
    assert_eq!(event["ai_cost"], 0.0);
    let motion = &event["motion"];
    assert!((0.0..=1.0).contains(&motion["score"].as_f64().unwrap()), "{motion}");
    assert!(motion["box"]["width"].as_f64().unwrap() > 0.5, "the object crosses the picture: {motion}");
    assert!((50..=100).contains(&event["confidence"].as_i64().unwrap()));
    assert_eq!(site.event(&id).await["description"], event["description"]);

    let receipts = site.client.get(&format!("/events/{id}/analyses")).await.expect(200).json;
    assert_eq!(receipts["total"], 1);
    let receipt = &receipts["items"][0];
    assert_eq!((&receipt["status"], &receipt["trigger"]), (&json!("succeeded"), &json!("initial")));
    assert_eq!((&receipt["event_id"], &receipt["provider"]), (&json!(id), &json!("builtin")));
    assert_eq!(receipt["description"], event["description"]);
    // The built-in describer was shown none of them.
    assert_eq!((&receipt["frames"], &event["frame_count_used"]), (&json!([]), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_and_clip_show_what_happened() {
    let (site, camera, mut live, begun) = second_event().await;
    let event = live.finished(&id_of(&begun)).await;
    let duration_ms = event["duration_ms"].as_i64().unwrap();

    let thumbnail = picture(&site.client, &event["thumbnail_url"]).await;
    assert!(shows_object(&shown(&thumbnail.bytes)[0]), "the thumbnail shows the object");
    let tag = thumbnail.header("etag").unwrap().to_owned();
    assert_eq!(thumbnail.header("cache-control"), Some("private, no-cache"));
    let root = site.client.root();
    let path = event["thumbnail_url"].as_str().unwrap();
    root.send(root.request(Method::GET, path).header("If-None-Match", &tag)).await.expect(304);

    let frames = event["frames"].as_array().unwrap();
    assert!((2..=6).contains(&frames.len()), "{} frames", frames.len());
    let mut offsets = Vec::new();
    for (index, frame) in frames.iter().enumerate() {
        assert_eq!(frame["index"], index);
        let jpeg = picture(&site.client, &frame["url"]).await;
        assert_eq!(frame["sha256"], sha256(&jpeg.bytes));
        assert!(shows_object(&shown(&jpeg.bytes)[0]), "frame {index} shows the object");
        offsets.push(frame["offset_ms"].as_i64().unwrap());
    }
    assert!(offsets.is_sorted() && offsets[0] >= 0 && offsets[offsets.len() - 1] <= duration_ms, "{offsets:?}");
    root.get(&format!("/api/v1/events/{}/frames/99", event["id"].as_str().unwrap())).await.expect(404);

    let path = event["clip_url"].as_str().unwrap();
    let clip = root.get(path).await.expect(200);
    assert_eq!(clip.header("content-type"), Some("video/mp4"));
    assert_eq!(clip.header("cache-control"), Some("private, max-age=86400"));
    assert!(!clip.header("etag").unwrap().is_empty());
    let film = ffprobe(&clip.bytes);
    assert_eq!((film.codec.as_str(), film.tag.as_str(), film.size), ("h264", "avc1", (640, 360)));
    let names = boxes(&clip.bytes);
    let place = |name: &str| names.iter().position(|n| n == name).unwrap_or_else(|| panic!("no {name}: {names:?}"));
    assert!(place("moov") < place("mdat"), "playable while it loads: {names:?}");

    // Pre-roll, event, post-roll; what is before comes from memory and begins with a key frame, one in two seconds.
    let pre_roll_s = f64::from(PRE_ROLL);
    let wanted = pre_roll_s + duration_ms as f64 / 1000.0 + POST_ROLL_S;
    assert!((wanted - 0.3..wanted + 2.3).contains(&film.seconds), "{} s for {wanted} s", film.seconds);
    let pictures = shown(&clip.bytes);
    let onset = pictures.iter().position(|grey| shows_object(grey)).unwrap() as f64 / 15.0;
    let before = onset - (film.seconds - wanted).max(0.0);
    assert!((pre_roll_s - 1.0..pre_roll_s + 0.5).contains(&before), "the object comes {onset} s into the clip");
    assert!(!shows_object(pictures.last().unwrap()), "the clip ends after the object has left");
    site.client.post(&format!("/cameras/{camera}/stop"), &json!({})).await.expect(202);
    site.reaches(&camera, "stopped", SOON).await;
    wait_until("an empty tmp", SOON, || files(&site.dir.path().join("tmp")).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clips_are_given_in_parts() {
    let (site, _, mut live, begun) = second_event().await;
    let event = live.finished(&id_of(&begun)).await;
    let (root, path) = (site.client.root(), event["clip_url"].as_str().unwrap());
    let whole = root.get(path).await.expect(200);
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    let size = whole.bytes.len();
    for (range, from, to) in [
        ("bytes=0-99".to_owned(), 0, 100),
        (format!("bytes={}-", size - 50), size - 50, size),
        ("bytes=-70".to_owned(), size - 70, size),
        (format!("bytes=10-{}", size * 2), 10, size),
    ] {
        let part = root.send(root.request(Method::GET, path).header("Range", &range)).await.expect(206);
        assert_eq!(part.bytes, whole.bytes.slice(from..to), "{range}");
        assert_eq!(part.header("content-range"), Some(format!("bytes {from}-{}/{size}", to - 1).as_str()));
    }
    let outside = root.send(root.request(Method::GET, path).header("Range", format!("bytes={size}-"))).await;
    let outside = outside.expect(416);
    assert_eq!(outside.header("content-range"), Some(format!("bytes */{size}").as_str()));
    assert_eq!(outside.json["status_code"], 416);
    let saved = root.get(&format!("{path}?download=true")).await.expect(200);
    assert!(saved.header("content-disposition").unwrap().starts_with("attachment"));
    let head = root.send(root.request(Method::HEAD, path)).await.expect(200);
    assert_eq!((head.header("content-length"), head.bytes.len()), (Some(size.to_string().as_str()), 0));
    root.anonymous().get(path).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_long_poll_and_replay_tell_the_same() {
    let site = Site::start().await;
    let mut live = site.listen(None).await;
    let camera = site.camera(test_camera("Yard", 6, 2)).await;

    // A long poll is answered as soon as there is something, long before its time is up.
    let waiting = {
        let client = site.client.clone();
        tokio::spawn(async move { client.get("/journal?types=event.created&wait=50").await })
    };
    let first = live.created(&camera).await;
    let poll = tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap().expect(200).json;
    assert_eq!(poll["items"][0]["data"]["id"], first["id"]);
    live.finished(&id_of(&first)).await;

    // A connection in the middle of things: what was missed, then what goes on, each once.
    let middle = seq_of(&live.seen[live.seen.len() / 2]);
    let mut late = site.listen(Some(middle)).await;
    let second = live.created(&camera).await;
    live.finished(&id_of(&second)).await;
    site.client.post(&format!("/cameras/{camera}/stop"), &json!({})).await.expect(202);
    live.until("the stop", SOON, |m| is_about(m, "camera.status", &camera) && m["data"]["status"] == "stopped").await;
    let last = site.client.get("/journal").await.expect(200).json["last_seq"].as_i64().unwrap();
    live.up_to(last).await;
    late.up_to(last).await;

    let all = site.journal(0).await;
    check_order(&all);
    assert_eq!(all, live.seen, "the long poll and the socket tell the same");
    let tail: Vec<Value> = all.iter().filter(|m| seq_of(m) > middle).cloned().collect();
    assert_eq!(tail, late.seen, "without hole or repetition");
    let mut replay = site.listen(Some(0)).await;
    replay.up_to(last).await;
    assert_eq!(replay.seen, all);
    let listed = site.client.get(&format!("/events?camera_id={camera}&limit=1&has_clip=true")).await.expect(200).json;
    assert_eq!((&listed["items"].as_array().unwrap().len(), &listed["limit"]), (&1, &json!(1)));
    assert!(listed["total"].as_i64().unwrap() >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_event_is_gone_with_everything() {
    let (site, camera, mut live, begun) = second_event().await;
    let id = id_of(&begun);
    let event = live.finished(&id).await;
    site.client.post(&format!("/cameras/{camera}/stop"), &json!({})).await.expect(202);
    live.until("the stop", SOON, |m| is_about(m, "camera.status", &camera) && m["data"]["status"] == "stopped").await;
    let of_event = || files(&site.stored(&camera)).into_iter().filter(|f| f.to_string_lossy().contains(&id)).count();
    assert!(of_event() >= 4, "thumbnail, frames and clip");

    site.client.delete(&format!("/events/{id}")).await.expect(204);
    let gone = live.until("event.deleted", SOON, |m| m["type"] == "event.deleted").await;
    assert_eq!(gone["data"], json!({"ids": [id], "reason": "user"}));
    site.client.delete(&format!("/events/{id}")).await.expect(404);
    for path in ["", "/thumbnail", "/frames/0", "/clip", "/analyses"] {
        site.client.get(&format!("/events/{id}{path}")).await.expect(404);
    }
    site.client.root().get(event["clip_url"].as_str().unwrap()).await.expect(404);
    wait_until("the files to go", SOON, || of_event() == 0).await;

    let all = site.journal(0).await;
    assert!(all.iter().all(|m| m["data"]["id"] != json!(id)), "nothing more is said of it");
    assert!(all.iter().any(|m| m == &gone), "but that it is gone");
    assert!(all.iter().any(|m| m["type"] == "event.created"), "the others stay");
    let listed = site.client.get(&format!("/events?camera_id={camera}")).await.expect(200).json;
    assert!(listed["items"].as_array().unwrap().iter().all(|e| e["id"] != json!(id)));
    assert_eq!(site.rows("SELECT 'left' AS line FROM analysis_job").len(), 0);
}
