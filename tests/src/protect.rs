//! A simulated UniFi Protect controller and the steps by which a person adds it: try, pin, add, enable a camera.

use std::time::{Duration, Instant};

use argus_protect_sim::Sim;
use serde_json::{Value, json};

use crate::http::Client;
use crate::secrets;
use crate::wait::wait_for;

/// Adding a controller takes a few requests; other tests take their share of the cores.
const SOON: Duration = Duration::from_secs(40);
/// Who can sign in at the simulated console.
pub const USER: &str = "argus";
/// The password of that account.
pub const PASSWORD: &str = "correct horse";
/// A key of its integration interface.
pub const API_KEY: &str = "sim-api-key";

/// What is sent to add the console, with its local account, its certificate pinned.
pub fn fields(sim: &Sim, name: &str) -> Value {
    secrets::remember(PASSWORD);
    secrets::remember(API_KEY);
    json!({
        "name": name, "host": sim.address().ip().to_string(), "port": sim.address().port(), "username": USER,
        "password": PASSWORD, "certificate_sha256": sim.fingerprint(),
    })
}

/// Adds a controller and gives its id.
pub async fn add(client: &Client, fields: &Value) -> String {
    let made = client.post("/protect/controllers", fields).await.expect(201).json;
    made.get("id").and_then(Value::as_str).expect("an id").to_owned()
}

/// Waits until a controller has a status and gives all of it.
pub async fn reaches(client: &Client, controller: &str, status: &str) -> Value {
    wait_for(&format!("controller {status}"), SOON, || async {
        let now = client.get(&format!("/protect/controllers/{controller}")).await.expect(200).json;
        (now.get("status").is_some_and(|is| is == status)).then_some(now)
    })
    .await
}

/// Enables a device of a controller for every kind of detection, without any pause, and gives the camera's id.
pub async fn enable(client: &Client, controller: &str, device: &str) -> String {
    let path = format!("/protect/controllers/{controller}/cameras/{device}");
    let all = ["person", "vehicle", "package", "animal", "motion", "ring", "audio"];
    let put = client.put(&path, &json!({"enabled": true, "smart_detection_types": all})).await.expect(200).json;
    let camera = put.get("camera_id").and_then(Value::as_str).expect("a camera").to_owned();
    client.put(&format!("/cameras/{camera}"), &json!({"motion_cooldown": 0})).await.expect(200);
    camera
}

/// A connected controller with its doorbell enabled: their ids, and the console's of the doorbell.
pub async fn doorbell(client: &Client, sim: &Sim, name: &str) -> (String, String, String) {
    let controller = add(client, &fields(sim, name)).await;
    reaches(client, &controller, "connected").await;
    let device = sim.doorbells().first().cloned().expect("a doorbell");
    let camera = enable(client, &controller, &device).await;
    (controller, camera, device)
}

/// Every event of the server, by the console's id of its detection, with how often there is one.
pub async fn by_detection(client: &Client) -> std::collections::BTreeMap<String, usize> {
    let mut found = std::collections::BTreeMap::new();
    let mut path = "/events?limit=500".to_owned();
    loop {
        let page = client.get(&path).await.expect(200).json;
        for event in page.get("items").and_then(Value::as_array).expect("items") {
            if let Some(id) = event.get("protect_event_id").and_then(Value::as_str) {
                *found.entry(id.to_owned()).or_default() += 1;
            }
        }
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(cursor) => path = format!("/events?limit=500&cursor={cursor}"),
            None => return found,
        }
    }
}

/// Waits until every happening of these consoles has an event, or until `within` has passed; gives those that have none,
/// as the time of their beginning in milliseconds. A happening with two events fails the test.
pub async fn missing(client: &Client, sims: &[&Sim], within: Duration) -> Vec<(String, i64)> {
    let deadline = Instant::now() + within;
    loop {
        let events = by_detection(client).await;
        assert!(events.values().all(|n| *n == 1), "twice: {events:?}");
        let all = sims.iter().flat_map(|sim| sim.happenings());
        let missing: Vec<_> = all.filter(|h| !events.contains_key(&h.id)).map(|h| (h.id, h.start_ms)).collect();
        if missing.is_empty() || Instant::now() > deadline {
            return missing;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
