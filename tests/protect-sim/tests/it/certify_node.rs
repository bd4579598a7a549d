//! The real TypeScript client unifi-protect, written by others than uiprotect, takes the fake for a console, too.

use std::time::Duration;

use argus_protect_sim::{CookieStyle, Script, fixtures, frame, media};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::client::sim;
use crate::driver::Driver;

#[tokio::test]
async fn unifi_protect_reads_follows_and_fetches() {
    let sim = sim(|options| options.cookie = CookieStyle::UosToken).await;
    let Some(mut driver) = Driver::start_unifi_protect(&sim, "argus", "correct horse").await else { return };
    let update = driver.did("update").await;
    assert_eq!((&update["cameras"], &update["version"]), (&json!(12), &json!("7.1.87")));
    assert_eq!(update["connected"].as_array().unwrap().len(), sim.cameras().len());
    assert_eq!(sim.count_of("POST", "/api/auth/login"), 1);
    let door = sim.doorbells().pop().unwrap();
    let short = Duration::from_millis(50);
    for script in [
        Script::new("ring", Duration::from_secs(1)),
        Script::motion(short),
        Script::smart(&["person"], 91, short),
        Script::line(&["vehicle"], 60, short),
        Script::audio(&["alrmSmoke"], 60, short),
    ] {
        let id = sim.happen(&door, script);
        let one = sim.happenings().pop().unwrap();
        let told = driver.hears(|line| line["private"]["id"] == *id).await["private"].clone();
        let wanted = (json!("add"), json!(one.kind), json!(door), json!(one.start_ms), json!(one.types));
        assert_eq!(
            (&told["action"], &told["type"], &told["camera"], &told["start"], &told["types"]),
            (&wanted.0, &wanted.1, &wanted.2, &wanted.3, &wanted.4)
        );
        driver.hears(|line| line["private"]["id"] == *id && line["private"]["end"] == one.end_ms).await;
    }
    let package = sim.happen(&door, Script::package(80));
    driver.hears(|line| line["private"]["model"] == "smartDetectObject").await;
    assert!(sim.happenings().iter().any(|one| one.id == package));
    let picture = driver.does(json!({"do": "snapshot", "camera": door, "width": 320})).await;
    let picture = STANDARD.decode(picture["jpeg"].as_str().unwrap()).unwrap();
    assert_eq!(media::read_picture(&picture).unwrap().camera, door);
    let enabled = driver.does(json!({"do": "enable_rtsp", "camera": door})).await;
    let aliases = enabled["aliases"].as_array().unwrap();
    assert!(aliases.len() == 3 && aliases.iter().all(serde_json::Value::is_string), "{enabled}");
}

#[tokio::test]
async fn unifi_protect_takes_all_of_the_recording() {
    let sim = sim(|options| options.version = None).await;
    let Some(mut driver) = Driver::start_unifi_protect(&sim, "argus", "correct horse").await else { return };
    driver.did("update").await;
    let before = driver.did("count").await["messages"].as_u64().unwrap();
    sim.play(&fixtures::frames_a(), 20.0).await;
    sim.rename(&sim.cameras()[0], "The last");
    driver.hears(|line| line["private"]["name"] == "The last").await;
    assert_eq!(driver.did("count").await["messages"].as_u64().unwrap() - before - 1, 131);
}

#[tokio::test]
async fn unifi_protect_decodes_what_the_fake_encodes() {
    let sim = sim(|_| ()).await;
    let Some(mut driver) = Driver::start_unifi_protect(&sim, "argus", "correct horse").await else { return };
    for recorded in fixtures::frames_a().into_iter().chain(fixtures::frames_b()) {
        let message = frame::encode(&recorded["action"], &recorded["data"]);
        let decoded = driver.does(json!({"do": "decode", "message": STANDARD.encode(message)})).await;
        assert_eq!((&decoded["action"], &decoded["data"]), (&recorded["action"], &recorded["data"]));
    }
    // Of what is malformed it takes next to nothing.
    let mut taken = Vec::new();
    for (what, message) in frame::malformed() {
        let decoded = driver.does(json!({"do": "decode", "message": STANDARD.encode(message)})).await;
        if decoded.get("error").is_none() && !decoded["action"].is_null() {
            taken.push(what);
        }
    }
    assert_eq!(taken, ["an unknown compression", "text that is not UTF-8", "an action that is no object"]);
}

#[tokio::test]
async fn unifi_protect_tells_what_is_wrong_with_a_login() {
    let sim = sim(|_| ()).await;
    for (user, password) in [("argus", "wrong"), ("cloud", "staple")] {
        let Some(mut driver) = Driver::start_unifi_protect(&sim, user, password).await else { return };
        let answer = driver.does(json!({"do": "update"})).await;
        assert_eq!((&answer["error"], &answer["loggedIn"]), (&json!("refused"), &json!(false)), "{user}");
    }
    // Each was tried once more with a CSRF token that was fetched first.
    assert_eq!(sim.count(|request| request.path == "/" && request.method == "GET"), 2);
}
