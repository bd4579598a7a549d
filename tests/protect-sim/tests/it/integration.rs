//! The integration interface answers as the recorded console did.

use argus_protect_sim::{Stream, fixtures};
use serde_json::{Value, json};

use crate::client::{API, Client, PUBLIC, sim};

fn recorded(name: &str) -> Value {
    let path = format!("{}/fixtures/integration/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The names of all fields, those inside others with their path.
fn fields(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(value, "", &mut found);
    found.sort();
    found.dedup();
    found
}

fn collect(value: &Value, path: &str, found: &mut Vec<String>) {
    for (key, inner) in value.as_object().into_iter().flatten() {
        let path = format!("{path}/{key}");
        // What is shown on a display is another thing from camera to camera.
        if key != "lcdMessage" {
            collect(inner, &path, found);
        }
        found.push(path);
    }
}

#[tokio::test]
async fn answers_have_the_fields_of_the_recorded_ones() {
    let sim = sim(|options| options.rate_limit = None).await;
    let client = Client::with_key(&sim);
    for name in ["cameras", "lights", "liveviews", "chimes"] {
        let own = client.get(&format!("{PUBLIC}/{name}")).await.json();
        let wanted = fields(&recorded(name)[0]);
        for item in own.as_array().unwrap() {
            assert_eq!(fields(item), wanted, "{name}");
        }
        let first = own[0]["id"].as_str().unwrap();
        assert_eq!(client.get(&format!("{PUBLIC}/{name}/{first}")).await.json(), own[0]);
    }
    let own = client.get(&format!("{PUBLIC}/nvrs")).await.json();
    assert_eq!(fields(&own), fields(&recorded("nvrs")));
    assert_eq!(client.get(&format!("{PUBLIC}/meta/info")).await.json(), recorded("meta_info"));
    let door = sim.doorbells().remove(0);
    let streams = client.get(&format!("{PUBLIC}/cameras/{door}/rtsps-stream")).await.json();
    assert_eq!(fields(&streams), fields(&recorded("rtsps_stream")));
}

#[tokio::test]
async fn fields_came_with_versions() {
    for (version, mac, package, kind, fobs) in [
        ("5.3.48", false, false, false, 404),
        ("6.2.88", true, false, false, 404),
        ("7.1.87", true, true, false, 200),
        ("7.2.84", true, true, true, 200),
    ] {
        let sim = sim(|options| options.version = Some(version.into())).await;
        let client = Client::with_key(&sim);
        let camera = client.get(&format!("{PUBLIC}/cameras")).await.json()[0].clone();
        let has = ["mac", "hasPackageCamera", "type"].map(|key| camera.get(key).is_some());
        assert_eq!(has, [mac, package, kind], "{version}");
        assert_eq!(client.get(&format!("{PUBLIC}/fobs")).await.status, fobs, "{version}");
    }
    let old = sim(|options| options.version = Some("5.2.9".into())).await;
    assert_eq!(Client::with_key(&old).get(&format!("{PUBLIC}/meta/info")).await.status, 404);
}

#[tokio::test]
async fn streams_are_made_and_unmade() {
    let sim = sim(|_| ()).await;
    let client = Client::with_key(&sim);
    let door = sim.doorbells().remove(0);
    let path = format!("{PUBLIC}/cameras/{door}/rtsps-stream");
    sim.set_rtsp_ports(17447, 17441);
    let made = client.send("POST", &path, Some(json!({"qualities": ["medium"]}))).await.unwrap().json();
    let alias = sim.camera(&door).unwrap()["channels"][1]["rtspAlias"].as_str().unwrap().to_owned();
    assert_eq!(made, json!({"medium": format!("rtsps://127.0.0.1:17441/{alias}?enableSrtp")}));
    sim.rotate_alias(&door);
    let after = client.get(&path).await.json();
    assert!(after["medium"].is_string() && after["medium"] != made["medium"]);
    let gone = client.send("DELETE", &format!("{path}?qualities=medium&qualities=high"), None).await.unwrap();
    assert_eq!(gone.status, 204);
    let after = client.get(&path).await.json();
    assert!(after["medium"].is_null() && after["high"].is_null() && after["package"].is_string());
}

#[tokio::test]
async fn devices_are_told_by_their_public_keys_alone() {
    let sim = sim(|_| ()).await;
    let client = Client::with_key(&sim);
    let mut devices = client.open(&format!("{PUBLIC}/subscribe/devices")).await.unwrap();
    let camera = sim.cameras().remove(0);
    sim.camera_update(&camera, &json!({"stats": {"rxBytes": 1}, "lastMotion": 5}));
    sim.camera_update(&camera, &json!({"ledSettings": {"isEnabled": false}, "phyRate": 3}));
    let told = devices.json().await;
    assert_eq!(
        told,
        json!({"type": "update", "item": {"id": camera, "modelKey": "camera",
        "ledSettings": {"isEnabled": false, "welcomeLed": true, "floodLed": true}}})
    );
    sim.camera_state(&camera, "DISCONNECTED");
    assert_eq!(devices.json().await["item"]["state"], "DISCONNECTED");
    let record = sim.remove(&camera).unwrap();
    assert_eq!(devices.json().await, json!({"type": "remove", "item": {"id": camera, "modelKey": "camera"}}));
    let id = sim.adopt(&record);
    let told = devices.json().await;
    assert_eq!((&told["type"], &told["item"]["id"], &told["item"]["mac"]), (&json!("add"), &json!(id), &record["mac"]));
    sim.push_text(Stream::Devices, "{\"type\":\"update\",\"item\":{\"id\":[\"a\",\"b\"],\"modelKey\":\"camera\"}}");
    assert_eq!(devices.json().await["item"]["id"], json!(["a", "b"]));
}

#[tokio::test]
async fn recorded_events_are_listed_with_their_oddities() {
    let sim = sim(|_| ()).await;
    sim.past(&fixtures::events());
    let client = Client::admin(&sim).await;
    let list = async |query: &str| {
        let answer = client.get(&format!("{API}/events{query}")).await;
        (answer.status == 200).then(|| answer.json().as_array().unwrap().clone())
    };
    let all = fixtures::events().len() + 1;
    assert_eq!(list("").await.unwrap().len(), all, "and the login");
    assert!(list("?start=1").await.is_none(), "a start wants an end or a limit");
    assert_eq!(list("?start=1&end=2").await.unwrap().len(), all, "times do not count without types");
    assert!(list("?start=1&end=2&types=ring").await.unwrap().is_empty());
    let rings = list("?types=ring&types=motion&orderDirection=ASC").await.unwrap();
    assert!(rings.len() > 2 && rings.iter().all(|event| event["type"] == "ring" || event["type"] == "motion"));
    assert!(rings.is_sorted_by_key(|event| event["start"].as_i64()));
    let page = list("?types=ring&types=motion&orderDirection=ASC&limit=2&offset=1").await.unwrap();
    assert_eq!(page, rings[1..3]);
    let people = list("?types=smartDetectZone&smartDetectTypes=person").await.unwrap();
    assert!(
        !people.is_empty()
            && people.iter().all(|event| event["smartDetectTypes"].as_array().unwrap().contains(&json!("person")))
    );
}
