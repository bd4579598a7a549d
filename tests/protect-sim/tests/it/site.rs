//! The site, the journal, and the program.

use std::process::Stdio;
use std::time::Duration;

use argus_protect_sim::{Stream, fixtures};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::client::{API, Client, LIMIT, decode, sim};

#[tokio::test]
async fn the_recording_is_played_byte_for_byte_and_kept() {
    for (bootstrap, frames) in
        [(fixtures::bootstrap_a(), fixtures::frames_a()), (fixtures::bootstrap_b(), fixtures::frames_b())]
    {
        let sim = sim(|options| {
            options.bootstrap = bootstrap;
            options.version = None;
        })
        .await;
        let after = sim.bootstrap()["lastUpdateId"].as_str().unwrap().to_owned();
        let client = Client::admin(&sim).await;
        let mut stream = client.updates(&after).await;
        // The login.
        stream.update().await;
        sim.play(&frames, 1000.0).await;
        for frame in &frames {
            assert_eq!(
                decode(&stream.next().await.unwrap().into_data()),
                Some((frame["action"].clone(), frame["data"].clone()))
            );
        }
        let last = frames.iter().rev().find_map(|frame| frame["action"]["newUpdateId"].as_str()).unwrap();
        assert_eq!(client.get(&format!("{API}/bootstrap")).await.json()["lastUpdateId"], last);
    }
}

#[tokio::test]
async fn cameras_are_adopted_replaced_and_moved() {
    let sim = sim(|_| ()).await;
    let client = Client::admin(&sim).await;
    let count = sim.bootstrap()["cameras"].as_array().unwrap().len();
    let first = sim.cameras().remove(0);
    let old = sim.camera(&first).unwrap();
    let second = sim.replace(&first).unwrap();
    let new = sim.camera(&second).unwrap();
    assert!(sim.camera(&first).is_none() && new["mac"] != old["mac"] && new["name"] == old["name"]);
    let third = sim.adopt(&sim.remove(&second).unwrap());
    assert_eq!(sim.camera(&third).unwrap()["mac"], new["mac"]);
    sim.camera_update(&third, &json!({"isAdoptedByOther": true}));
    let bootstrap = client.get(&format!("{API}/bootstrap")).await.json();
    assert_eq!(bootstrap["cameras"].as_array().unwrap().len(), count);
    assert_eq!(client.get(&format!("{API}/cameras/{third}")).await.json()["isAdoptedByOther"], true);
    assert_eq!(client.get(&format!("{API}/cameras/{first}")).await.status, 404);
}

#[tokio::test]
async fn everything_is_in_the_journal() {
    let sim = sim(|_| ()).await;
    let client = Client::admin(&sim).await;
    client.get(&format!("{API}/events?limit=3")).await;
    client.get("/elsewhere").await;
    let requests = sim.requests();
    let seen: Vec<(&str, &str, &str, u16)> =
        requests.iter().map(|one| (one.method.as_str(), one.path.as_str(), one.query.as_str(), one.status)).collect();
    let events = format!("{API}/events");
    assert_eq!(
        seen,
        [
            ("POST", "/api/auth/login", "", 200),
            ("GET", events.as_str(), "limit=3", 200),
            ("GET", "/elsewhere", "", 404)
        ]
    );
    assert_eq!(serde_json::from_slice::<Value>(&requests[0].body).unwrap()["username"], "argus");
    assert!(requests[0].header("cookie").is_none() && requests[1].header("cookie").is_some());
    assert!(requests.iter().all(|one| one.connection == 1), "one connection for all");
    sim.clear_requests();
    assert_eq!(sim.count_of("GET", "/elsewhere"), 0);
}

#[tokio::test]
async fn a_sim_that_is_dropped_is_gone() {
    let sim = sim(|_| ()).await;
    let client = Client::admin(&sim).await;
    let mut stream = client.updates(sim.bootstrap()["lastUpdateId"].as_str().unwrap()).await;
    assert_eq!(sim.open_streams(Stream::Updates), 1);
    drop(sim);
    assert!(stream.next().await.is_err());
    let deadline = std::time::Instant::now() + LIMIT;
    while client.send("GET", "/", None).await.is_ok() {
        assert!(std::time::Instant::now() < deadline);
    }
}

#[tokio::test]
async fn the_program_obeys_its_input() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_argus-protect-sim"))
        .args(["--port", "0", "--fast"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
    assert_eq!(said["cameras"].as_array().unwrap().len(), 8);
    for (order, key) in [
        ("ring 0", "event"),
        ("detect 0 person,face 0.1", "event"),
        ("play a 100", "played"),
        ("close updates 1001", "closed"),
        ("dance", "error"),
        ("ring 99", "error"),
    ] {
        input.write_all(format!("{order}\n").as_bytes()).await.unwrap();
        let line = tokio::time::timeout(LIMIT, lines.next_line()).await.unwrap().unwrap().unwrap();
        assert!(serde_json::from_str::<Value>(&line).unwrap().get(key).is_some(), "{order}: {line}");
    }
    input.write_all(b"quit\n").await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), child.wait()).await.unwrap().unwrap();
    assert!(ended.success());
}
