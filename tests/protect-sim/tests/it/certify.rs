//! The real Python client uiprotect, unmodified, takes the fake for a console.

use std::time::Duration;

use argus_protect_sim::{Body, CookieStyle, Fault, Order, Script, Sim, Stream, What, When, fixtures, frame, media};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::{API, LIMIT, sim};
use crate::driver::Driver;

fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

/// A doorbell that is not behind an AI Port: of those, this client gets no picture.
fn doorbell(sim: &Sim) -> String {
    let is_plain = |id: &String| sim.camera(id).unwrap()["isPairedWithAiPort"] == false;
    sim.doorbells().into_iter().find(is_plain).unwrap()
}

/// What it told of events on the private stream, as (id, type, camera, types), each event once.
fn private_events(driver: &Driver) -> Vec<(String, String, String)> {
    let mut seen = Vec::new();
    for line in driver.told.iter().filter_map(|line| line.get("private")).filter(|line| line["model"] == "event") {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let one = (text("id"), text("type"), text("camera"));
        if one.1 != "access" && !seen.contains(&one) {
            seen.push(one);
        }
    }
    seen
}

#[tokio::test]
async fn uiprotect_reads_follows_and_fetches() {
    let sim = sim(|options| options.cookie = CookieStyle::Token).await;
    let Some(mut driver) = Driver::start(&sim).await else { return };
    let door = doorbell(&sim);

    let update = driver.did("update").await;
    let names: Vec<Value> =
        sim.bootstrap()["cameras"].as_array().unwrap().iter().map(|camera| camera["name"].clone()).collect();
    assert_eq!(update["cameras"], names.len());
    assert_eq!(update["version"], "7.1.87");
    assert!(names.iter().all(|name| update["names"].as_array().unwrap().contains(name)), "{update}");
    assert_eq!(update["connected"].as_array().unwrap().len(), sim.cameras().len());
    driver.did("subscribe").await;
    driver.hears(|line| line["state"] == "CONNECTED").await;

    // Everything a camera can tell, in turn.
    let short = Duration::from_millis(50);
    let scripts = [
        Script::new("ring", Duration::from_secs(1)),
        Script::motion(short),
        Script::smart(&["person"], 91, short),
        Script::smart(&["vehicle", "licensePlate"], 80, short),
        Script::smart(&["animal"], 70, short),
        Script::line(&["person"], 60, short),
        Script::audio(&["alrmBark"], 60, short),
    ];
    for script in &scripts {
        let id = sim.happen(&door, script.clone());
        driver.hears(|line| line["private"]["id"] == *id && !line["private"]["end"].is_null()).await;
    }
    let happened: Vec<(String, String, String)> =
        sim.happenings().into_iter().map(|one| (one.id, one.kind, one.camera)).collect();
    assert_eq!(private_events(&driver), happened);
    for (at, one) in sim.happenings().iter().enumerate().skip(2) {
        let line = driver.hears(|line| line["private"]["id"] == *one.id).await;
        assert_eq!(line["private"]["types"], json!(one.types), "{at}");
        assert_eq!(line["private"]["start"], one.start_ms);
    }

    // Changes of cameras.
    sim.rename(&door, "Back door");
    driver.hears(|line| line["private"]["name"] == "Back door").await;
    sim.camera_state(&door, "DISCONNECTED");
    driver.hears(|line| line["private"]["id"] == *door && line["private"]["state"] == "DISCONNECTED").await;
    sim.camera_state(&door, "CONNECTED");
    let gone = sim.cameras().pop().unwrap();
    let record = sim.remove(&gone).unwrap();
    driver.hears(|line| line["private"]["id"] == *gone && line["private"]["action"] == "remove").await;
    let back = sim.adopt(&record);
    driver.hears(|line| line["private"]["id"] == *back && line["private"]["action"] == "add").await;

    // Pictures and films of the right moment.
    let snapshot = driver.does(json!({"do": "snapshot", "camera": door, "width": 320})).await;
    let shown = media::read_picture(&bytes(&snapshot["jpeg"])).unwrap();
    assert_eq!((shown.kind.as_str(), shown.camera.as_str()), ("snapshot", door.as_str()));
    let person = &sim.happenings()[2];
    let thumbnail = driver.does(json!({"do": "thumbnail", "event": format!("e-{}", person.id)})).await;
    assert_eq!(media::read_picture(&bytes(&thumbnail["jpeg"])).unwrap().at_ms, person.start_ms);
    let clip = driver.does(json!({"do": "clip", "camera": door, "start": person.start_ms, "end": person.end_ms})).await;
    let film = media::read_clip(&bytes(&clip["mp4"])).unwrap();
    assert_eq!((film.camera.as_str(), film.start_ms), (door.as_str(), person.start_ms / 5000 * 5000));
    let events =
        driver.does(json!({"do": "events", "start": person.start_ms - 60_000, "end": person.end_ms + 60_000})).await;
    let listed: Vec<&str> =
        events["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert!(happened.iter().all(|(id, ..)| listed.contains(&id.as_str())), "{listed:?}");

    assert_eq!(sim.count_of("POST", "/api/auth/login"), 1);
    let with_key = sim.count(|request| request.path.starts_with(API) && request.header("x-api-key").is_some());
    assert_eq!(with_key, 0, "the private interface needs no key");
}

#[tokio::test]
async fn uiprotect_follows_the_integration_interface() {
    let sim = sim(|options| options.cookie = CookieStyle::Token).await;
    let Some(mut driver) = Driver::start(&sim).await else { return };
    let door = doorbell(&sim);
    let public = driver.did("update_public").await;
    assert_eq!(public["cameras"], sim.bootstrap()["cameras"].as_array().unwrap().len());
    driver.did("subscribe_public").await;
    driver.hears(|line| line["public_state"] == "CONNECTED").await;
    let short = Duration::from_millis(50);
    let scripts = [
        Script::new("ring", Duration::from_secs(1)),
        Script::motion(short),
        Script::smart(&["person"], 91, short),
        Script::line(&["vehicle"], 60, short),
        Script::audio(&["alrmSmoke"], 60, short),
        Script::package(88),
    ];
    for script in &scripts {
        let id = sim.happen(&door, script.clone());
        driver.hears(|line| line["public"]["id"] == *id && line["public"]["change"] == "ended").await;
        let one = sim.happenings().pop().unwrap();
        let first = driver.hears(|line| line["public"]["id"] == *id).await;
        assert_eq!(first["public"]["change"], "started");
        assert_eq!((&first["public"]["type"], &first["public"]["camera"]), (&json!(one.kind), &json!(door)));
        assert_eq!(first["public"]["start"], one.start_ms);
        if script.kind.starts_with("smartDetect") {
            assert_eq!(first["public"]["types"], json!(one.types));
        }
    }
    let streams = driver.does(json!({"do": "rtsps", "camera": door, "qualities": ["high", "low"]})).await;
    let text = streams.to_string();
    let alias = sim.camera(&door).unwrap()["channels"][2]["rtspAlias"].as_str().unwrap().to_owned();
    assert!(text.contains(&alias), "{text}");
    let picture = driver.does(json!({"do": "public_snapshot", "camera": door})).await;
    assert_eq!(media::read_picture(&bytes(&picture["jpeg"])).unwrap().camera, door);
    let with_cookie = sim.count(|request| request.path.contains("/integration/") && request.header("cookie").is_some());
    assert_eq!(with_cookie, 0, "a key needs no cookie");
}

/// The recorded 24 s of site A, fast: as many of its 131 messages as were measured with this client and the recording.
#[tokio::test]
async fn uiprotect_makes_of_the_recording_what_it_made_of_the_original() {
    let sim = sim(|options| {
        options.cookie = CookieStyle::Token;
        options.version = None;
    })
    .await;
    let Some(mut driver) = Driver::start(&sim).await else { return };
    let update = driver.did("update").await;
    assert_eq!(update["last_update_id"], sim.bootstrap()["lastUpdateId"]);
    driver.did("subscribe").await;
    driver.hears(|line| line["state"] == "CONNECTED").await;
    let before = driver.did("count").await["messages"].as_u64().unwrap();
    let frames = fixtures::frames_a();
    sim.play(&frames, 20.0).await;
    sim.rename(&sim.cameras()[0], "The last");
    driver.hears(|line| line["private"]["name"] == "The last").await;
    // One of them is the renaming.
    let count = driver.did("count").await["messages"].as_u64().unwrap() - before - 1;
    assert_eq!((frames.len(), count), (131, 101));
}

#[tokio::test]
async fn uiprotect_decodes_what_the_fake_encodes() {
    let sim = sim(|options| options.cookie = CookieStyle::Token).await;
    let Some(mut driver) = Driver::start(&sim).await else { return };
    for recorded in fixtures::frames_a().into_iter().chain(fixtures::frames_b()) {
        for message in [
            frame::encode(&recorded["action"], &recorded["data"]),
            frame::encode_plain(&recorded["action"], &recorded["data"]),
        ] {
            let decoded = driver.does(json!({"do": "decode", "message": STANDARD.encode(message)})).await;
            assert_eq!((&decoded["action"], &decoded["data"]), (&recorded["action"], &recorded["data"]));
        }
    }
}

/// How this client was measured to react; where it reacts otherwise, the fake is wrong.
#[tokio::test]
async fn uiprotect_reacts_to_faults_as_measured() {
    let sim = sim(|options| options.cookie = CookieStyle::Token).await;
    let Some(mut driver) = Driver::start(&sim).await else { return };
    let logins = || sim.count_of("POST", "/api/auth/login");
    let bootstrap = format!("{API}/bootstrap");

    // 401 once: one login more, then success.
    driver.did("update").await;
    sim.fault(Fault::on(&bootstrap, When::First(1), What::Answer(401, Body::Empty)));
    driver.did("update").await;
    assert_eq!(logins(), 2);
    // 502 twice, then success.
    sim.clear_faults();
    sim.clear_requests();
    sim.fault(Fault::on(&bootstrap, When::First(2), What::Answer(502, Body::Html)));
    driver.did("update").await;
    assert_eq!(sim.count_of("GET", &bootstrap), 3);
    // HTML under 200: an error of decoding.
    sim.clear_faults();
    sim.fault(Fault::on(&bootstrap, When::Always, What::Answer(200, Body::Html)));
    let answer = driver.does(json!({"do": "update"})).await;
    assert_eq!(answer["text"], "Could not decode JSON from bootstrap");
    // An export that is not ready: 404 with a number is final, and comes as nothing.
    sim.clear_faults();
    sim.clear_requests();
    let export = format!("{API}/video/export");
    let door = doorbell(&sim);
    let clip = json!({"do": "clip", "camera": door, "start": sim.now_ms() - 20_000, "end": sim.now_ms() - 10_000});
    sim.fault(Fault::on(&export, When::Always, What::Answer(404, Body::Json(json!({"error": 502})))));
    assert_eq!(driver.does(clip.clone()).await["none"], true);
    assert_eq!(sim.count_of("GET", &export), 1);
    // 500 twice, then success.
    sim.clear_faults();
    sim.fault(Fault::on(&export, When::First(2), What::Answer(500, Body::Empty)));
    assert!(media::read_clip(&bytes(&driver.does(clip.clone()).await["mp4"])).is_some());
    // A cut body: an error.
    sim.clear_faults();
    sim.fault(Fault::on(&export, When::Always, What::Cut { told: true }));
    assert!(driver.does(clip).await.get("error").is_some());
}

#[tokio::test]
async fn uiprotect_goes_on_after_the_stream_closed() {
    let sim = sim(|options| options.cookie = CookieStyle::Token).await;
    let Some(mut driver) = Driver::start(&sim).await else { return };
    let door = doorbell(&sim);
    driver.did("update").await;
    driver.did("subscribe").await;
    driver.hears(|line| line["state"] == "CONNECTED").await;
    let opened =
        || sim.requests().into_iter().filter(|request| request.path.ends_with("/ws/updates")).collect::<Vec<_>>();
    // Closed before the first message, it would take the id for a stale one.
    sim.rename(&door, "The first");
    driver.hears(|line| line["private"]["name"] == "The first").await;
    assert_eq!(sim.order(Stream::Updates, &Order::Close(1001, String::new())), 1);
    driver.hears(|line| line["state"] == "DISCONNECTED").await;
    // What happens meanwhile is told when it comes back, after 10 s.
    let missed = sim.detect(&door, &["person"], 90, Duration::ZERO);
    driver.hears(|line| line["private"]["id"] == *missed).await;
    assert_eq!(opened().len(), 2);
    assert_eq!(sim.count_of("GET", &format!("{API}/bootstrap")), 1, "it went on from the id it knew");

    // An id that is too old: closed at once with a reason, so it reads everything anew.
    sim.reboot(Duration::from_millis(10));
    assert!(sim.until(3 * LIMIT, |sim| sim.count_of("GET", &format!("{API}/bootstrap")) >= 2).await);
}

#[tokio::test]
async fn uiprotect_tells_what_is_wrong_with_a_login() {
    let sim = sim(|_| ()).await;
    for (user, password, logins) in [("argus", "wrong", 1), ("cloud", "staple", 1)] {
        sim.clear_requests();
        let Some(mut driver) = Driver::start_as(&sim, user, password).await else { return };
        let answer = driver.does(json!({"do": "update"})).await;
        assert!(answer.get("error").is_some(), "{user}: {answer}");
        assert_eq!(sim.count_of("POST", "/api/auth/login"), logins, "{user}: {answer}");
        if password == "wrong" {
            assert_eq!(answer["error"], "NotAuthorized");
        }
    }
}
