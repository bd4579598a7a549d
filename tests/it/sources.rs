//! Every kind of source, every way in which one fails, and how it comes back.

use std::time::{Duration, Instant};

use argus_core::CameraId;
use argus_db::{CoverageState, Database, DatabaseConfig, DbUrl, SealKey};
use argus_tests::clips::{ClipSpec, Video, write_mp4};
use argus_tests::net::{SilentHost, closed_port};
use argus_tests::rtsp::{RtspServer, RtspServerBuilder, Transports};
use argus_tests::scene::Scene;
use argus_tests::wait::{wait_for, wait_until};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::common::{SOON, Site, check_order, ffprobe, id_of, is_about, is_finished, now, picture, time_of, with};

const BOX: Scene = Scene::MovingBox { every_s: 7, for_s: 2 };
const PASSWORD: &str = "pa:ss w0rd-7f3a";

fn small(video: Video) -> RtspServerBuilder {
    RtspServer::builder().video(video).size(320, 240).fps(10).gop(10).scene(BOX)
}

fn rtsp(name: &str, server: &RtspServer, more: &Value) -> Value {
    let fields = json!({
        "name": name, "type": "rtsp", "rtsp_url": server.url_with_credentials(),
        "motion_cooldown": 0, "pre_roll_s": 2, "post_roll_s": 1,
    });
    with(fields, more)
}

/// What `POST /cameras/test` takes of a camera's fields.
async fn probe(site: &Site, fields: &Value) -> Value {
    let begun = Instant::now();
    let answer = site.client.post("/cameras/test", fields).await.expect(200).json;
    assert!(begun.elapsed() < Duration::from_secs(17), "{answer}");
    assert!(answer["elapsed_ms"].as_i64().unwrap() <= 15_000);
    answer
}

/// Adds the cameras, and waits until each is online and has a finished event with a clip of its codec.
async fn watch_all(cameras: &[(&str, Value, &str)]) {
    let site = Site::start().await;
    let mut live = site.listen(None).await;
    let tries = join_all(cameras.iter().map(|(_, fields, _)| probe(&site, fields))).await;
    for ((name, _, codec), answer) in cameras.iter().zip(tries) {
        assert_eq!(answer["success"], true, "{name}: {answer}");
        assert_eq!((&answer["error_kind"], &answer["codec"]), (&Value::Null, &json!(codec)), "{name}");
        assert_eq!(answer["resolution"], "320x240", "{name}");
        let thumbnail = answer["thumbnail"].as_str().unwrap();
        assert!(thumbnail.starts_with("data:image/jpeg;base64,") && thumbnail.len() > 1000, "{name}");
        let fps = answer["fps"].as_f64().unwrap();
        assert!((3.0..30.0).contains(&fps), "{name}: {fps}");
    }
    assert_eq!(site.client.get("/cameras").await.expect(200).json["total"], 0, "a try stores nothing");

    let mut ids = Vec::new();
    for (_, fields, _) in cameras {
        ids.push(site.camera(fields.clone()).await);
    }
    for ((name, fields, codec), id) in cameras.iter().zip(&ids) {
        let state = site.reaches(id, "online", SOON).await;
        assert_eq!((&state["codec"], &state["resolution"]), (&json!(codec), &json!("320x240")), "{name}");
        assert_eq!((&state["last_error"], &state["reconnects"]), (&Value::Null, &json!(0)), "{name}");
        let camera = site.client.get(&format!("/cameras/{id}")).await.expect(200).json;
        assert!(camera.get("password").is_none() && !camera.to_string().contains(PASSWORD), "{name}: {camera}");
        assert_eq!(camera["has_password"], fields["rtsp_url"].as_str().unwrap().contains('@'), "{name}");
    }
    for ((name, _, codec), id) in cameras.iter().zip(&ids) {
        let done = |e: &Value| e["camera_id"] == json!(id) && is_finished(e);
        let event = match live.seen.iter().find(|m| m["type"] == "event.updated" && done(&m["data"])) {
            Some(earlier) => earlier["data"].clone(),
            None => {
                live.until("a finished event", SOON, |m| m["type"] == "event.updated" && done(&m["data"])).await["data"]
                    .clone()
            }
        };
        let clip = site.client.root().get(event["clip_url"].as_str().unwrap()).await.expect(200);
        let film = ffprobe(&clip.bytes);
        let (expected, tag) = if *codec == "h265" { ("hevc", "hvc1") } else { ("h264", "avc1") };
        assert_eq!((film.codec.as_str(), film.tag.as_str(), film.size), (expected, tag, (320, 240)), "{name}");
        picture(&site.client, &event["thumbnail_url"]).await;
        picture(&site.client, &event["frames"][0]["url"]).await;
    }
    check_order(&site.journal(0).await);
    assert!(!site.server.log_text().contains(PASSWORD), "{}", site.server.log_text());
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_over_tcp_udp_and_tls_with_and_without_a_password() {
    let plain = small(Video::H264).sound(true).start();
    let udp = small(Video::H264).transports(Transports::UdpOnly).auth("viewer", PASSWORD).start();
    let tls = small(Video::H264).tls(true).basic_auth("viewer", PASSWORD).start();
    watch_all(&[
        ("tcp", rtsp("tcp", &plain, &json!({"rtsp_transport": "tcp"})), "h264"),
        ("udp", rtsp("udp", &udp, &json!({"rtsp_transport": "udp"})), "h264"),
        ("rtsps", rtsp("rtsps", &tls, &json!({})), "h264"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h265_over_tcp_and_udp_with_and_without_a_password() {
    let tcp = small(Video::H265).transports(Transports::TcpOnly).auth("viewer", PASSWORD).start();
    let udp = small(Video::H265).start();
    watch_all(&[
        ("tcp", rtsp("tcp", &tcp, &json!({})), "h265"),
        ("udp", rtsp("udp", &udp, &json!({"rtsp_transport": "udp"})), "h265"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_speaks_udp_only_is_found_by_itself_and_one_with_jpeg_too() {
    let udp = small(Video::H264).transports(Transports::UdpOnly).start();
    let jpeg = small(Video::Mjpeg).start();
    watch_all(&[("auto", rtsp("auto", &udp, &json!({})), "h264"), ("jpeg", rtsp("jpeg", &jpeg, &json!({})), "mjpeg")])
        .await;
}

fn film() -> ClipSpec {
    ClipSpec { width: 320, height: 240, fps: 10, gop: 10, scene: BOX, ..ClipSpec::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_begins_again_without_a_break() {
    let site = Site::start().await;
    // Two seconds of film: the beginning comes round again and again.
    write_mp4(ClipSpec { scene: Scene::Still, ..film() }, 2, &site.media("short.mp4"));
    let camera = site.camera(json!({"name": "File", "type": "file", "file_path": "short.mp4"})).await;
    let first = site.reaches(&camera, "online", SOON).await;
    let begun = time_of(&first["last_frame_at"]);
    wait_for("three rounds", SOON, || async {
        let state = site.status(&camera).await;
        assert_eq!(state["status"], "online", "{state}");
        (time_of(&state["last_frame_at"]).millis_since(begun) > 7000).then_some(())
    })
    .await;
    let told = crate::common::statuses(&site.journal(0).await, &camera);
    assert_eq!(told, ["starting", "online"]);
    assert_eq!(site.status(&camera).await["reconnects"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_does_not_begin_again_ends_as_if_stopped() {
    let site = Site::start().await;
    let mut live = site.listen(None).await;
    // The box comes at second 5 and the film ends at second 6, in the middle of the event.
    write_mp4(film(), 6, &site.media("once.mp4"));
    let fields = json!({
        "name": "Once", "type": "file", "file_path": "once.mp4", "loop": false,
        "pre_roll_s": 2, "post_roll_s": 2, "motion_cooldown": 0,
    });
    let camera = site.camera(fields).await;
    let begun = Instant::now();
    let event = live.created(&camera).await;
    let event = live.finished(&id_of(&event)).await;
    let state = site.reaches(&camera, "stopped", SOON).await;
    assert_eq!((&state["is_enabled"], &state["last_error"]), (&json!(false), &Value::Null));
    assert!(begun.elapsed() > Duration::from_secs(5), "played at its own speed, not in {:?}", begun.elapsed());
    assert_eq!(site.client.get(&format!("/cameras/{camera}")).await.expect(200).json["is_enabled"], false);
    let clip = site.client.root().get(event["clip_url"].as_str().unwrap()).await.expect(200);
    let seconds = ffprobe(&clip.bytes).seconds;
    assert!((2.3..4.5).contains(&seconds), "2 s before the event and what was left of the film, not {seconds}");
    // It can be played again.
    site.client.post(&format!("/cameras/{camera}/start"), &json!({})).await.expect(202);
    live.created(&camera).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_files_inside_a_media_dir_are_read() {
    let site = Site::start().await;
    std::fs::write(site.dir.path().join("outside.mp4"), b"secret").unwrap();
    std::os::unix::fs::symlink(site.dir.path().join("outside.mp4"), site.media("link.mp4")).unwrap();
    for path in ["../outside.mp4", "/etc/passwd", "link.mp4", "missing.mp4", "."] {
        let fields = json!({"name": "File", "type": "file", "file_path": path});
        for route in ["/cameras", "/cameras/test"] {
            let answer = site.client.post(route, &fields).await.expect(422).json;
            assert_eq!(answer["errors"][0]["field"], "file_path", "{path}: {answer}");
        }
    }
    assert_eq!(site.client.get("/cameras").await.expect(200).json["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failure_is_told_in_words_that_help() {
    let good = small(Video::H264).scene(Scene::Still).start();
    let locked = small(Video::H264).scene(Scene::Still).auth("viewer", PASSWORD).start();
    let sound = small(Video::None).start();
    let vp8 = small(Video::Vp8).scene(Scene::Still).start();
    let silent = SilentHost::start();
    let site = Site::with_env(&[("ARGUS_LOG", "debug")]).await;
    std::fs::write(site.media("text.mp4"), "this is no film").unwrap();

    let healthy = site.camera(rtsp("healthy", &good, &json!({}))).await;
    site.reaches(&healthy, "online", SOON).await;
    let at = |url: String| json!({"type": "rtsp", "rtsp_url": url});
    let wrong = "wr0ng-9c2e";
    let table = [
        ("usb", json!({"type": "usb", "device_index": 63}), "error", "not_found", "/dev/video63"),
        (
            "password",
            json!({"type": "rtsp", "rtsp_url": locked.url(), "username": "viewer", "password": wrong}),
            "error",
            "unauthorized",
            "password",
        ),
        ("nobody", at(locked.url()), "error", "unauthorized", "password"),
        ("path", at(good.url().replace("/cam", "/nothing-here")), "error", "not_found", "no stream"),
        (
            "unreachable",
            at(format!("rtsp://127.0.0.1:{}/cam", closed_port())),
            "reconnecting",
            "unreachable",
            "connection refused",
        ),
        ("silent", at(format!("rtsp://127.0.0.1:{}/cam", silent.port())), "reconnecting", "timeout", "within"),
        ("sound", at(sound.url()), "error", "invalid", "no video"),
        ("vp8", at(vp8.url()), "error", "unsupported_codec", "VP8"),
        ("text", json!({"type": "file", "file_path": "text.mp4"}), "error", "invalid", "file"),
    ];
    let tries = join_all(table.iter().map(|(_, fields, ..)| probe(&site, fields))).await;
    for ((name, _, _, kind, word), answer) in table.iter().zip(&tries) {
        assert_eq!((&answer["success"], &answer["error_kind"]), (&json!(false), &json!(kind)), "{name}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains(word), "{name}: {answer}");
        assert_eq!(answer["thumbnail"], Value::Null, "{name}");
    }
    let mut ids = Vec::new();
    for (name, fields, ..) in &table {
        ids.push(site.camera(with(fields.clone(), &json!({"name": name}))).await);
    }
    for ((name, _, status, kind, word), id) in table.iter().zip(&ids) {
        let state = site.reaches(id, status, SOON).await;
        assert_eq!(state["last_error_kind"], json!(kind), "{name}: {state}");
        assert!(state["last_error"].as_str().unwrap().contains(word), "{name}: {state}");
        let listed = site.client.get(&format!("/cameras/{id}")).await.expect(200).json;
        assert_eq!((&listed["status"], &listed["last_error"]), (&state["status"], &state["last_error"]), "{name}");
    }
    let told = site.journal(0).await;
    for ((name, _, status, kind, _), id) in table.iter().zip(&ids) {
        let change = told.iter().rfind(|m| is_about(m, "camera.status", id)).unwrap();
        assert_eq!(change["data"]["status"], json!(status), "{name}: {change}");
        assert_eq!(change["data"]["last_error_kind"], json!(kind), "{name}: {change}");
    }

    // Health tells of them; the healthy camera noticed nothing.
    let health = site.client.get("/system/health").await.expect(200).json;
    assert_eq!(
        (&health["status"], &health["components"]["cameras"]["status"]),
        (&json!("degraded"), &json!("degraded"))
    );
    assert_eq!(crate::common::statuses(&told, &healthy), ["starting", "online"]);

    // With the right password it works, and the stored one does not go to another host.
    let update = json!({"password": PASSWORD});
    site.client.put(&format!("/cameras/{}", ids[1]), &update).await.expect(200);
    site.reaches(&ids[1], "online", SOON).await;
    let elsewhere = json!({"rtsp_url": good.url()});
    let refused = site.client.put(&format!("/cameras/{}", ids[1]), &elsewhere).await.expect(422).json;
    assert_eq!(refused["errors"][0]["field"], "password", "{refused}");

    let log = site.server.log_text();
    for secret in [PASSWORD, wrong, "pa%3Ass", "pa:ss"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    for secret in [PASSWORD, wrong] {
        assert!(!site.journal(0).await.iter().any(|m| m.to_string().contains(secret)));
        for file in crate::common::files(site.dir.path()) {
            let bytes = std::fs::read(site.dir.path().join(&file)).unwrap_or_default();
            let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!found, "{secret} lies in the clear in {}", file.display());
        }
    }
}

/// What was received of a camera, from the beginning, as the database says.
async fn coverage(site: &Site, camera: &str) -> Vec<(CoverageState, Option<String>, i64)> {
    let key: [u8; 32] = std::fs::read(site.dir.path().join("seal.key")).unwrap().try_into().unwrap();
    let url: DbUrl = argus_tests::postgres::url(site.dir.path()).parse().unwrap();
    let config = DatabaseConfig::new(url, SealKey::new(key));
    let db = Database::open(config).await.unwrap();
    let id: CameraId = camera.parse().unwrap();
    let far = now().plus(Duration::from_secs(3600));
    let rows = db.coverage_list(id, far.minus(Duration::from_secs(7200)), far).await.unwrap();
    for pair in rows.windows(2) {
        assert_eq!(pair[0].until, Some(pair[1].from), "every second is accounted for: {rows:?}");
    }
    rows.into_iter().map(|r| (r.state, r.reason, r.until.map_or(-1, |u| u.millis_since(r.from)))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_is_gone_comes_back_and_nothing_before_is_lost() {
    let camera_server = small(Video::H264).start();
    let site = Site::start().await;
    let mut live = site.listen(None).await;
    let camera = site.camera(rtsp("Gate", &camera_server, &json!({}))).await;
    let before = live.created(&camera).await;
    let before = live.finished(&id_of(&before)).await;

    camera_server.kill();
    let killed = Instant::now();
    let lost = |m: &Value| is_about(m, "camera.status", &camera) && m["data"]["status"] == "reconnecting";
    let told = live.until("reconnecting", SOON, lost).await;
    assert!(killed.elapsed() < Duration::from_secs(5), "noticed after {:?}", killed.elapsed());
    assert_eq!(
        (&told["data"]["previous_status"], &told["data"]["last_error_kind"]),
        (&json!("online"), &json!("unreachable"))
    );
    assert_eq!(site.event(&id_of(&before)).await, site.event(&id_of(&before)).await);
    assert!(is_finished(&site.event(&id_of(&before)).await));

    let restarted = Instant::now();
    camera_server.restart();
    let state = site.reaches(&camera, "online", SOON).await;
    assert!(restarted.elapsed() < Duration::from_secs(10), "back after {:?}", restarted.elapsed());
    assert_eq!((&state["reconnects"], &state["last_error"]), (&json!(1), &Value::Null));
    let after = live.created(&camera).await;
    live.finished(&id_of(&after)).await;
    assert_eq!(live.statuses(&camera), ["starting", "online", "reconnecting", "online"]);
    check_order(&live.seen);

    let rows = coverage(&site, &camera).await;
    let states: Vec<_> = rows.iter().map(|(state, ..)| *state).collect();
    use CoverageState::{Missing, Received};
    assert_eq!(states, [Missing, Received, Missing, Received], "{rows:?}");
    let (_, reason, gap_ms) = &rows[2];
    assert!(reason.as_ref().is_some_and(|r| r.contains("camera")) && *gap_ms > 0, "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_during_which_the_camera_goes_is_closed() {
    let camera_server = small(Video::H264).start();
    let site = Site::start().await;
    let mut live = site.listen(None).await;
    let camera = site.camera(rtsp("Gate", &camera_server, &json!({"post_roll_s": 20}))).await;
    let event = live.created(&camera).await;
    camera_server.kill();
    let event = live.finished(&id_of(&event)).await;
    assert!(event["duration_ms"].as_i64().unwrap() < 4000, "{event}");
    let clip = site.client.root().get(event["clip_url"].as_str().unwrap()).await.expect(200);
    let seconds = ffprobe(&clip.bytes).seconds;
    assert!((1.9..7.0).contains(&seconds), "what was received until then, {seconds} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_stream_is_noticed_by_its_silence() {
    let camera_server = small(Video::H264).scene(Scene::Still).start();
    let site = Site::start().await;
    let camera = site.camera(rtsp("Gate", &camera_server, &json!({}))).await;
    site.reaches(&camera, "online", SOON).await;
    camera_server.freeze();
    let frozen = Instant::now();
    let state = site.reaches(&camera, "reconnecting", SOON).await;
    let noticed = frozen.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(15)).contains(&noticed), "noticed after {noticed:?}");
    assert_eq!(state["last_error_kind"], "timeout", "{state}");
    let snapshot = site.client.get(&format!("/cameras/{camera}/snapshot")).await.expect(503);
    assert!(snapshot.header("retry-after").is_some());
    camera_server.thaw();
    site.reaches(&camera, "online", SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_size_in_the_stream_ends_the_event_and_the_next_one_has_it() {
    let camera_server = small(Video::H264).start();
    let site = Site::start().await;
    let mut live = site.listen(None).await;
    let camera = site.camera(rtsp("Gate", &camera_server, &json!({"post_roll_s": 2}))).await;
    let first = live.created(&camera).await;
    camera_server.switch_resolution(480, 272);
    let first = live.finished(&id_of(&first)).await;
    let clip = site.client.root().get(first["clip_url"].as_str().unwrap()).await.expect(200);
    assert_eq!(ffprobe(&clip.bytes).size, (320, 240));

    wait_for("the new size", SOON, || async { (site.status(&camera).await["resolution"] == "480x272").then_some(()) })
        .await;
    let second = live.created(&camera).await;
    let second = live.finished(&id_of(&second)).await;
    let clip = site.client.root().get(second["clip_url"].as_str().unwrap()).await.expect(200);
    assert_eq!(ffprobe(&clip.bytes).size, (480, 272));
    picture(&site.client, &second["frames"][0]["url"]).await;
    assert_eq!(live.statuses(&camera), ["starting", "online"], "it went on");
    assert_eq!((camera_server.connections(), site.status(&camera).await["reconnects"].as_i64()), (2, Some(0)));
    wait_until("one client", SOON, || camera_server.clients() == 1).await;
}
