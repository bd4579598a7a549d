//! UniFi Protect end to end: the real program against a simulated controller.

use std::time::Duration;

use argus_protect_sim::{Body, Fault, Options, Order, Sim, Stream, What, When};
use argus_tests::protect::{PASSWORD, add, doorbell, enable, fields, missing, reaches};
use argus_tests::rtsp::RtspServer;
use argus_tests::wait::{wait_for, wait_until};
use serde_json::{Value, json};

use crate::common::{SOON, Site, boxes, check_order, ffprobe, files, is_about, picture, sha256, shown, time_of, with};

async fn console() -> Sim {
    Sim::start(Options::default()).await.unwrap()
}

/// Nothing but events: no clips, and no descriptions that take time.
async fn only_events(site: &Site) {
    let settings = json!({"media": {"store_clips": false}, "ai": {"enabled": false}});
    site.client.put("/system/settings", &settings).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_is_told_seen_described_and_kept() {
    let (site, sim) = (Site::start().await, console().await);
    // As a person does it: try, look at the certificate, pin it.
    let unpinned = with(fields(&sim, "Home"), &json!({"certificate_sha256": null}));
    let tried = site.client.post("/protect/controllers/test", &unpinned).await.expect(200).json;
    assert_eq!((&tried["success"], &tried["error_kind"]), (&json!(false), &json!("tls_untrusted")));
    assert_eq!(tried["certificate_sha256"], json!(sim.fingerprint()));
    assert_eq!(sim.count_of("POST", "/api/auth/login"), 0, "no password before the certificate was accepted");
    let tried = site.client.post("/protect/controllers/test", &fields(&sim, "Home")).await.expect(200).json;
    assert_eq!((&tried["success"], &tried["features"]["clips"]), (&json!(true), &json!(true)), "{tried}");

    let (controller, camera, device) = doorbell(&site.client, &sim, "Home").await;
    let list = site.client.get(&format!("/protect/controllers/{controller}/cameras?limit=500")).await.expect(200).json;
    let listed = |id: &str| list["items"].as_array().unwrap().iter().find(|c| c["protect_camera_id"] == id).cloned();
    assert!(sim.cameras().iter().all(|id| listed(id).is_some()), "{list}");
    let bell = listed(&device).unwrap();
    assert_eq!(
        (&bell["type"], &bell["enabled"], &bell["camera_id"]),
        (&json!("doorbell"), &json!(true), &json!(camera))
    );
    site.reaches(&camera, "online", SOON).await;
    let snapshot = site.client.get(&format!("/cameras/{camera}/snapshot")).await.expect(200);
    assert!(snapshot.bytes.starts_with(&[0xff, 0xd8]) && snapshot.header("x-captured-at").is_some());

    let mut listener = site.listen(None).await;
    let id = sim.ring(&device);
    let event = listener.created(&camera).await;
    assert_eq!((&event["protect_event_id"], &event["detection_type"]), (&json!(id), &json!("ring")));
    assert_eq!((&event["is_doorbell_ring"], &event["source_type"]), (&json!(true), &json!("protect")));
    let done = listener.finished(event["id"].as_str().unwrap()).await;
    check_order(&listener.seen);
    picture(&site.client, &done["thumbnail_url"]).await;
    for frame in done["frames"].as_array().unwrap() {
        let kept = picture(&site.client, &frame["url"]).await;
        assert_eq!(frame["sha256"], json!(sha256(&kept.bytes)));
    }
    assert!(done["frames"].as_array().is_some_and(|frames| !frames.is_empty()));
    let clip = site.client.root().get(done["clip_url"].as_str().unwrap()).await.expect(200);
    assert_eq!(boxes(&clip.bytes)[0], "ftyp");
    assert!(!shown(&clip.bytes).is_empty(), "it can be played");
    assert!(time_of(&done["trace"]["stored_at"]) >= time_of(&done["trace"]["detected_at"]));
    let health = site.client.get("/system/health").await.expect(200).json;
    assert_eq!(health["components"]["protect"]["status"], json!("ok"));

    // Secrets stand nowhere: not in the database, not in what lies beside it.
    for file in files(site.dir.path()) {
        let bytes = std::fs::read(site.dir.path().join(&file)).unwrap_or_default();
        let shows = |secret: &str| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!shows(PASSWORD), "the password in {}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_happenings_with_faults_each_is_one_event() {
    let (site, sim) = (Site::start().await, console().await);
    only_events(&site).await;
    let (_, camera, device) = doorbell(&site.client, &sim, "Home").await;
    site.reaches(&camera, "online", SOON).await;
    sim.fault(Fault::on("*/snapshot*", When::Percent(30), What::Reset));
    sim.fault(Fault::on("*/api/events*", When::Percent(20), What::Answer(502, Body::Html)));
    for n in 0..300_u32 {
        match n % 3 {
            0 => sim.ring(&device),
            1 => sim.detect(&device, &["person"], 80, Duration::from_millis(300)),
            _ => sim.motion(&device, Duration::from_millis(200)),
        };
        match n {
            40 | 190 => drop(sim.order(Stream::Updates, &Order::Abort)),
            90 => sim.expire_sessions(),
            140 => drop(sim.order(Stream::Updates, &Order::Close(1001, String::new()))),
            240 => sim.cut_connections(),
            _ => {}
        }
        // Spread over some seconds, as faults need time to act; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    sim.clear_faults();
    let lost = missing(&site.client, &[&sim], Duration::from_secs(60)).await;
    let gaps = site.rows(&format!(
        "SELECT from_us || ' ' || until_us AS line FROM coverage WHERE camera_id = '{camera}' AND state = 'missing' \
         AND until_us IS NOT NULL"
    ));
    let gaps: Vec<(i64, i64)> = gaps
        .iter()
        .map(|line| {
            let (from, until) = line.split_once(' ').unwrap();
            (from.parse().unwrap(), until.parse().unwrap())
        })
        .collect();
    for (id, start_ms) in &lost {
        let us = start_ms * 1000;
        assert!(gaps.iter().any(|(from, until)| (*from..=*until).contains(&us)), "{id} is neither event nor gap");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_controllers_one_is_removed_while_events_run() {
    let (site, first) = (Site::start().await, console().await);
    // Another console, another line of ids.
    let second = Sim::start(Options { seed: 2, ..Options::default() }).await.unwrap();
    only_events(&site).await;
    let (gone, camera, device) = doorbell(&site.client, &first, "First").await;
    let (_, other, bell) = doorbell(&site.client, &second, "Second").await;
    assert_ne!(camera, other);
    let mut listener = site.listen(None).await;
    for _ in 0..20 {
        first.detect(&device, &["person"], 80, Duration::from_secs(30));
        second.ring(&bell);
    }
    listener.until("an event of the first", SOON, |m| is_about(m, "event.created", &camera)).await;
    assert!(missing(&site.client, &[&first, &second], Duration::from_secs(30)).await.is_empty());
    site.client.delete(&format!("/protect/controllers/{gone}")).await.expect(204);
    let closed = || async {
        let page = site.client.get(&format!("/events?camera_id={camera}&limit=500")).await.expect(200).json;
        let events = page["items"].as_array().unwrap();
        (events.len() == 20 && events.iter().all(|e| !e["ended_at"].is_null())).then_some(())
    };
    wait_for("the ends", SOON, closed).await;
    let left = site.client.get(&format!("/cameras/{camera}")).await.expect(200).json;
    assert_eq!((&left["status"], &left["protect_controller_id"]), (&json!("stopped"), &Value::Null));
    second.ring(&bell);
    assert!(missing(&site.client, &[&second], Duration::from_secs(30)).await.is_empty());
    wait_until("the end of the first's streams", SOON, || first.open_streams(Stream::Updates) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_loses_and_repeats_nothing() {
    let (mut site, sim) = (Site::start().await, console().await);
    only_events(&site).await;
    let (_, camera, device) = doorbell(&site.client, &sim, "Home").await;
    site.reaches(&camera, "online", SOON).await;
    let logins = sim.count_of("POST", "/api/auth/login");
    // Some time passes in any real life before a crash: the session and how far all is known are stored.
    let kept = || {
        !site
            .rows("SELECT 'x' AS line FROM protect_controller WHERE kept IS NOT NULL AND known_until_us > 0")
            .is_empty()
    };
    wait_until("the session in the database", SOON, kept).await;
    for _ in 0..30 {
        sim.ring(&device);
        sim.detect(&device, &["person"], 70, Duration::from_secs(2));
    }
    site.server.kill().await;
    for _ in 0..10 {
        sim.ring(&device);
    }
    site.again().await;
    sim.ring(&device);
    let lost = missing(&site.client, &[&sim], Duration::from_secs(60)).await;
    assert!(lost.is_empty(), "{lost:?}\n{}", site.server.log_text());
    check_order(&site.journal(0).await);
    assert_eq!(sim.count_of("POST", "/api/auth/login"), logins, "the session goes on");
    let closed = || async {
        let page = site.client.get("/events?limit=500").await.expect(200).json;
        page["items"].as_array().unwrap().iter().all(|e| !e["ended_at"].is_null()).then_some(())
    };
    wait_for("the ends", SOON, closed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_and_other_certificates_are_said_and_not_tried_again() {
    let (site, sim, other) = (Site::start().await, console().await, console().await);
    let wrong = with(fields(&sim, "Wrong"), &json!({"password": "not this one"}));
    let wrong = add(&site.client, &wrong).await;
    let state = reaches(&site.client, &wrong, "error").await;
    assert_eq!((&state["last_error_kind"], &state["is_connected"]), (&json!("unauthorized"), &json!(false)));
    assert!(state["last_error"].as_str().is_some_and(|why| why.len() > 10), "{state}");

    let (controller, camera, device) = doorbell(&site.client, &other, "Other").await;
    site.reaches(&camera, "online", SOON).await;
    other.clear_requests();
    other.new_certificate(false).unwrap();
    other.cut_connections();
    let state = reaches(&site.client, &controller, "error").await;
    assert_eq!(state["last_error_kind"], json!("tls_changed"));
    assert_eq!(other.requests().len(), 0, "nothing was sent to it");
    assert_eq!(sim.count_of("POST", "/api/auth/login"), 1, "nor tried again here");
    let health = site.client.get("/system/health").await.expect(200).json;
    assert_eq!(health["components"]["protect"]["status"], json!("down"));

    // The person looks at the new certificate and pins it: connected at once.
    let pin = json!({"certificate_sha256": other.fingerprint()});
    site.client.put(&format!("/protect/controllers/{controller}"), &pin).await.expect(200);
    reaches(&site.client, &controller, "connected").await;
    let mut listener = site.listen(None).await;
    other.ring(&device);
    listener.created(&camera).await;
}

/// The clip of a detection of two seconds, once it is there.
async fn clip_of_a_person(site: &Site, sim: &Sim, camera: &str, device: &str) -> (Value, Vec<u8>) {
    let mut listener = site.listen(None).await;
    sim.detect(device, &["person"], 80, Duration::from_secs(2));
    let event = listener.created(camera).await;
    let has_clip = |m: &Value| m["data"]["id"] == event["id"] && m["data"]["clip_url"].is_string();
    let with_clip = listener.until("the clip", Duration::from_secs(90), has_clip).await["data"].clone();
    let clip = site.client.root().get(with_clip["clip_url"].as_str().unwrap()).await.expect(200);
    (with_clip, clip.bytes.to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_that_cannot_be_exported_comes_from_the_live_stream() {
    let (site, sim) = (Site::start().await, console().await);
    site.client.put("/system/settings", &json!({"ai": {"enabled": false}})).await.expect(200);
    let rtsp = RtspServer::builder().size(320, 176).identity(sim.identity_pem()).start();
    let device = sim.doorbells().remove(0);
    sim.set_alias(&device, "cam");
    sim.set_rtsp_ports(0, rtsp.port());
    // Without footage of that time a console answers so.
    sim.fault(Fault::on("*/video/export", When::Always, What::Answer(404, Body::Json(json!({"error": "none"})))));
    let (_, camera, device) = doorbell(&site.client, &sim, "Home").await;
    site.client.put(&format!("/cameras/{camera}"), &json!({"pre_roll_s": 4, "post_roll_s": 2})).await.expect(200);
    site.reaches(&camera, "online", SOON).await;

    // Nobody knew that no export would come: it is recorded from the detection on.
    let (event, clip) = clip_of_a_person(&site, &sim, &camera, &device).await;
    let (film, lasted) = (ffprobe(&clip), event["duration_ms"].as_f64().unwrap() / 1000.0);
    assert_eq!((film.codec.as_str(), film.size), ("h264", (320, 176)));
    assert!((lasted..lasted + 3.0).contains(&film.seconds), "{film:?} of {lasted} s");

    // From now on its stream is kept open, so that a clip has the seconds before, too.
    let begun = rtsp.frames_sent();
    wait_until("some seconds of the stream", SOON, || rtsp.clients() == 1 && rtsp.frames_sent() > begun + 15 * 8).await;
    let (event, clip) = clip_of_a_person(&site, &sim, &camera, &device).await;
    let (film, lasted) = (ffprobe(&clip), event["duration_ms"].as_f64().unwrap() / 1000.0);
    assert_eq!(film.codec, "h264");
    // The post-roll at its end: what is more lies before the detection.
    let before = film.seconds - lasted - 2.0;
    assert!((3.0..6.0).contains(&before), "{before} s before: {film:?} of {lasted} s");

    // An export that comes is better: the stream is closed again.
    sim.clear_faults();
    clip_of_a_person(&site, &sim, &camera, &device).await;
    wait_until("the end of the stream", SOON, || rtsp.clients() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_stream_with_another_certificate_hears_nothing() {
    let (site, sim) = (Site::start().await, console().await);
    site.client.put("/system/settings", &json!({"ai": {"enabled": false}})).await.expect(200);
    // Somebody else answers on the port of the streams.
    let rtsp = RtspServer::builder().size(320, 176).tls(true).start();
    let device = sim.doorbells().remove(0);
    sim.set_alias(&device, "unspoken");
    sim.set_rtsp_ports(0, rtsp.port());
    sim.fault(Fault::on("*/video/export", When::Always, What::Answer(404, Body::Json(json!({"error": "none"})))));
    let (_, camera, device) = doorbell(&site.client, &sim, "Home").await;
    site.reaches(&camera, "online", SOON).await;
    sim.detect(&device, &["person"], 80, Duration::from_secs(3));
    let told = || site.server.log_text().contains("another certificate than the pinned one");
    wait_until("the reason in the log", SOON, told).await;
    assert_eq!(rtsp.frames_sent(), 0);
    assert!(!site.server.log_text().contains("unspoken"), "the name of the stream is a secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn cameras_follow_their_controller() {
    let (site, sim) = (Site::start().await, console().await);
    only_events(&site).await;
    let (controller, camera, device) = doorbell(&site.client, &sim, "Home").await;
    site.reaches(&camera, "online", SOON).await;
    sim.rename(&device, "Garden gate");
    let named = || async {
        let now = site.client.get(&format!("/cameras/{camera}")).await.expect(200).json;
        (now["name"] == "Garden gate").then_some(())
    };
    wait_for("the new name", SOON, named).await;
    sim.camera_state(&device, "DISCONNECTED");
    let state = site.reaches(&camera, "reconnecting", SOON).await;
    assert_eq!(state["last_error_kind"], json!("unreachable"));
    sim.camera_state(&device, "CONNECTED");
    site.reaches(&camera, "online", SOON).await;
    let anew = sim.replace(&device).unwrap();
    let followed = || async {
        let now = site.client.get(&format!("/cameras/{camera}")).await.expect(200).json;
        (now["protect_camera_id"] == anew.as_str()).then_some(())
    };
    wait_for("the new adoption", SOON, followed).await;
    sim.ring(&anew);
    assert!(missing(&site.client, &[&sim], Duration::from_secs(30)).await.is_empty());
    site.client.delete(&format!("/cameras/{camera}")).await.expect(204);
    let list = site.client.get(&format!("/protect/controllers/{controller}/cameras?limit=500")).await.expect(200).json;
    let listed = list["items"].as_array().unwrap().iter().find(|c| c["protect_camera_id"] == anew.as_str()).unwrap();
    assert_eq!((&listed["enabled"], &listed["camera_id"]), (&json!(false), &Value::Null));
    assert_ne!(enable(&site.client, &controller, &anew).await, camera);
}
