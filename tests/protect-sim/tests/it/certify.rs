//! The real Python client uiprotect, unmodified, takes the fake for a console.

use std::time::Duration;

use argus_protect_sim::scene::Era;
use argus_protect_sim::{
    Body, CookieStyle, Fault, Order, Script, Sim, Stream, What, When, fixtures, frame, media, scene,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::{API, Client, LIMIT, sim};
use crate::driver::{Driver, UIPROTECT_15, UIPROTECT_25, Uiprotect};

/// A test for each version of the client.
macro_rules! with_each {
    ($($test:ident)*) => {
        mod uiprotect_15 {
            use super::*;
            $(#[tokio::test] async fn $test() { super::$test(&UIPROTECT_15).await; })*
        }
        mod uiprotect_25 {
            use super::*;
            $(#[tokio::test] async fn $test() { super::$test(&UIPROTECT_25).await; })*
        }
    };
}

with_each! {
    reads_follows_and_fetches
    follows_the_integration_interface
    makes_of_the_recording_what_it_made_of_the_original
    decodes_what_the_fake_encodes
    reacts_to_faults_as_measured
    goes_on_after_the_stream_closed
    tells_what_is_wrong_with_a_login
    knows_all_that_happened_from_either_interface
}

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

async fn reads_follows_and_fetches(client: &Uiprotect) {
    let sim = sim(|options| options.cookie = CookieStyle::Token).await;
    let Some(mut driver) = Driver::start(client, &sim).await else { return };
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

async fn follows_the_integration_interface(client: &Uiprotect) {
    let sim = sim(|options| options.cookie = CookieStyle::Token).await;
    let Some(mut driver) = Driver::start(client, &sim).await else { return };
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

/// Scenes, over both interfaces at once, the integration stream later: this client knows of each event from each.
async fn knows_all_that_happened_from_either_interface(client: &Uiprotect) {
    let sim = sim(|options| {
        options.cookie = CookieStyle::Token;
        options.lags.public_extra = Duration::from_millis(150);
    })
    .await;
    let Some(mut driver) = Driver::start(client, &sim).await else { return };
    for what in ["update", "subscribe", "update_public", "subscribe_public"] {
        driver.did(what).await;
    }
    driver.hears(|line| line["public_state"] == "CONNECTED").await;
    let door = doorbell(&sim);
    let lasts = Duration::from_millis(100);
    for era in [Era::Early, Era::LateTypes, Era::Seven] {
        scene::doorbell_press(&sim, &door, era, lasts);
        sim.happen(&door, era.package());
    }
    scene::overlap(&sim, &door, lasts);
    sim.happen(&door, Script { is_reordered: true, ..Script::motion(lasts) });
    sim.happen(&door, Script { adds: 2, ..Script::motion(lasts) });
    let happened = sim.happenings();
    assert_eq!(happened.len(), 18);
    for one in &happened {
        let is_public = |line: &Value| line["public"]["id"] == *one.id;
        let public = driver.hears(is_public).await["public"].clone();
        assert_eq!((&public["type"], &public["start"]), (&json!(one.kind), &json!(one.start_ms)));
        // A ring of Protect 7 stays open for longer than this test.
        if one.end_ms - one.start_ms < 10_000 {
            let end = driver.hears(|line| is_public(line) && line["public"]["change"] == "ended").await;
            assert_eq!(end["public"]["end"], one.end_ms);
            let known: Vec<Value> = one.types.iter().map(|name| json!(name)).collect();
            assert!(
                one.kind == "motion"
                    || known.iter().all(|name| end["public"]["types"].as_array().unwrap().contains(name))
            );
        }
        // As an object of its own, this client does not know packages.
        let is_object = one.types == ["package"] && one.start_ms == one.end_ms;
        if !is_object {
            let private = driver.hears(|line| line["private"]["id"] == *one.id).await["private"].clone();
            assert_eq!((&private["type"], &private["camera"]), (&json!(one.kind), &json!(door)));
        }
    }
}

/// The recorded 24 s of site A, fast: as many of its 131 messages as were measured with this client and the recording.
async fn makes_of_the_recording_what_it_made_of_the_original(client: &Uiprotect) {
    let sim = sim(|options| {
        options.cookie = CookieStyle::Token;
        options.version = None;
    })
    .await;
    let Some(mut driver) = Driver::start(client, &sim).await else { return };
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
    assert_eq!((frames.len(), count), (131, client.of_recording));
}

async fn decodes_what_the_fake_encodes(client: &Uiprotect) {
    let sim = sim(|options| options.cookie = CookieStyle::Token).await;
    let Some(mut driver) = Driver::start(client, &sim).await else { return };
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
async fn reacts_to_faults_as_measured(client: &Uiprotect) {
    let sim = sim(|options| options.cookie = CookieStyle::Token).await;
    let Some(mut driver) = Driver::start(client, &sim).await else { return };
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

async fn goes_on_after_the_stream_closed(client: &Uiprotect) {
    let sim = sim(|options| options.cookie = CookieStyle::Token).await;
    let Some(mut driver) = Driver::start(client, &sim).await else { return };
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

async fn tells_what_is_wrong_with_a_login(client: &Uiprotect) {
    let sim = sim(|_| ()).await;
    for (user, password, logins) in [("argus", "wrong", 1), ("cloud", "staple", 1)] {
        sim.clear_requests();
        let Some(mut driver) = Driver::start_as(client, &sim, user, password).await else { return };
        let answer = driver.does(json!({"do": "update"})).await;
        assert!(answer.get("error").is_some(), "{user}: {answer}");
        assert_eq!(sim.count_of("POST", "/api/auth/login"), logins, "{user}: {answer}");
        if password == "wrong" {
            assert_eq!(answer["error"], "NotAuthorized");
        }
    }
}

/// What version 15.14.2 was measured to do about logins; ours is to do better.
#[tokio::test]
async fn uiprotect_15_logs_in_more_often_than_it_should() {
    // While it is locked out, it tries four times in some seconds.
    let locked = sim(|options| options.cookie = CookieStyle::Token).await;
    let Some(mut driver) = Driver::start(&UIPROTECT_15, &locked).await else { return };
    let stranger = Client::new(&locked);
    for _ in 0..5 {
        stranger.login("argus", "wrong").await;
    }
    locked.clear_requests();
    assert!(driver.does(json!({"do": "update"})).await.get("error").is_some());
    assert_eq!(locked.count(|request| request.path == "/api/auth/login" && request.status == 429), 4);

    // It looks at the name of the cookie only when the CSRF token changes: on a console with the newer cookie that gives no
    // new token with a login, it logs in for each of five calls; else twice.
    for (has_token, logins) in [(false, 5), (true, 2)] {
        let newer = sim(|options| options.cookie = CookieStyle::UosToken).await;
        if !has_token {
            newer.fault(Fault::on("*", When::Always, What::WithoutHeaders(vec!["x-csrf-token".into()])));
        }
        let Some(mut driver) = Driver::start_without_store(&UIPROTECT_15, &newer).await else { return };
        for _ in 0..5 {
            assert_eq!(driver.does(json!({"do": "raw", "path": "nvr"})).await["answer"], true);
        }
        assert_eq!(newer.count_of("POST", "/api/auth/login"), logins, "{has_token}");
    }
}

/// Ids that streams were opened with.
fn resumed(sim: &Sim) -> Vec<String> {
    let opened = sim.requests().into_iter().filter(|request| request.path.ends_with("/ws/updates"));
    opened.map(|request| request.query.replace("lastUpdateId=", "")).collect()
}

/// What version 15.14.2 was measured to do about its stream.
#[tokio::test]
async fn uiprotect_15_reopens_its_stream_as_measured() {
    const PATH: &str = "/proxy/protect/ws/updates";
    let sim = sim(|options| options.cookie = CookieStyle::Token).await;
    let Some(mut driver) = Driver::start(&UIPROTECT_15, &sim).await else { return };
    let camera = sim.cameras().remove(0);
    driver.did("update").await;
    // Closed after twenty messages: it goes on from the twentieth.
    sim.fault(Fault::on(PATH, When::Nth(1), What::Stream(20, Order::Close(1001, String::new()))));
    // Aborted at once: it asks for the same again, without reading everything anew.
    sim.fault(Fault::on(PATH, When::Nth(2), What::Stream(0, Order::Abort)));
    // Refused: it logs in again.
    sim.fault(Fault::on(PATH, When::Nth(3), What::Answer(401, Body::Empty)));
    let mut ids = Vec::new();
    for n in 0..25 {
        sim.rename(&camera, &format!("Name {n}"));
        ids.push(sim.bootstrap()["lastUpdateId"].as_str().unwrap().to_owned());
    }
    driver.did("subscribe").await;
    assert!(sim.until(3 * LIMIT, |sim| resumed(sim).len() == 4).await);
    driver.hears(|line| line["private"]["name"] == "Name 24").await;
    let opened = resumed(&sim);
    assert_eq!((&opened[1], &opened[2]), (&ids[19], &ids[19]));
    assert_eq!(sim.count_of("GET", &format!("{API}/bootstrap")), 1);
    assert_eq!(sim.count_of("POST", "/api/auth/login"), 2);
}
