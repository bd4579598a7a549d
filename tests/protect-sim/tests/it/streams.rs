//! The streams: what is told, in what order, how they end.

use std::time::Duration;

use argus_protect_sim::{Fault, Lags, Order, Script, Shape, Stale, Stream, What, When, fixtures, frame};
use base64::Engine as _;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::client::{Client, LIMIT, PUBLIC, Socket, decode, sim};

#[test]
fn the_encoder_says_what_was_recorded() {
    let mut count = 0;
    for recorded in fixtures::frames_a().into_iter().chain(fixtures::frames_b()) {
        let raw = base64::engine::general_purpose::STANDARD.decode(recorded["raw_b64"].as_str().unwrap()).unwrap();
        let wanted = (recorded["action"].clone(), recorded["data"].clone());
        assert_eq!(decode(&raw).unwrap(), wanted);
        let own = frame::encode(&wanted.0, &wanted.1);
        assert_eq!(decode(&own).unwrap(), wanted);
        assert_eq!((&own[..4], own[8]), (&raw[..4], raw[8]), "the same header and container");
        assert_eq!(decode(&frame::encode_plain(&wanted.0, &wanted.1)).unwrap(), wanted);
        count += 1;
    }
    assert_eq!(count, 182);
}

#[test]
fn malformed_messages_are_malformed() {
    for (what, message) in frame::malformed() {
        assert_eq!(decode(&message), None, "{what}");
    }
    let bomb = frame::bomb(64 << 20);
    assert!(bomb.len() < 128 * 1024 && decode(&bomb).is_none(), "{}", bomb.len());
}

async fn both() -> (argus_protect_sim::Sim, Socket, Socket) {
    let sim = sim(|_| ()).await;
    let admin = Client::admin(&sim).await;
    let after = sim.bootstrap()["lastUpdateId"].as_str().unwrap().to_owned();
    let private = admin.updates(&after).await;
    let public = Client::with_key(&sim).open(&format!("{PUBLIC}/subscribe/events")).await.unwrap();
    (sim, private, public)
}

#[tokio::test]
async fn a_ring_is_told_on_both_streams() {
    let (sim, mut private, mut public) = both().await;
    let door = sim.doorbells().remove(0);
    let id = sim.ring(&door);
    let (action, data) = private.event().await;
    assert_eq!((&action["action"], &action["id"]), (&json!("add"), &json!(id)));
    // The same keys as the recorded one.
    let recorded = fixtures::frames_a().into_iter().find(|one| one["data"]["type"] == "ring").unwrap();
    assert_eq!(keys(&data), keys(&recorded["data"]));
    assert_eq!(keys(&action), keys(&recorded["action"]));
    let start = data["start"].as_i64().unwrap();
    let (action, data) = private.update().await;
    assert_eq!((&action["modelKey"], data), (&json!("camera"), json!({"lastRing": start})));
    let ends = [private.event().await, private.event().await];
    assert!(ends.iter().all(|(action, data)| action["action"] == "update" && data["end"] == start + 1000));
    let told = public.json().await;
    assert_eq!(
        told,
        json!({"type": "add", "item": {"id": id, "modelKey": "event", "type": "ring", "start": start, "device": door}})
    );
    let told = public.json().await;
    assert_eq!((&told["type"], &told["item"]["end"]), (&json!("update"), &json!(start + 1000)));
    let happening = sim.happenings().remove(0);
    assert_eq!((happening.start_ms, happening.end_ms), (start, start + 1000));
    assert!(happening.private_at.is_some() && happening.public_at.is_some());
}

fn keys(value: &Value) -> Vec<&String> {
    let mut keys: Vec<&String> = value.as_object().unwrap().keys().collect();
    keys.sort();
    keys
}

/// What a script says on the private stream, each as (action, what of the event).
async fn told(script: Script, count: usize) -> Vec<(String, Value)> {
    let (sim, mut private, _) = both().await;
    let id = sim.happen(&sim.cameras()[0], script);
    let mut told = Vec::new();
    while told.len() < count {
        let (action, data) = private.update().await;
        if action["id"] == *id || action["modelKey"] == "smartDetectObject" {
            told.push((action["action"].as_str().unwrap().to_owned(), data));
        }
    }
    told
}

#[tokio::test]
async fn scripts_are_told_as_they_say() {
    let short = Duration::from_millis(30);
    let person = || Script::smart(&["person"], 90, short);
    // Types that come late.
    let late = told(Script { late_types: Some(Duration::from_millis(10)), ..person() }, 4).await;
    assert_eq!(late[0].1["smartDetectTypes"], json!([]));
    assert_eq!(late[1], ("update".into(), json!({"smartDetectTypes": ["person"]})));
    assert_eq!(late[2].1, late[3].1);
    assert!(late[2].1["end"].is_i64());
    // Types that grow.
    let grows = vec![(Duration::from_millis(5), vec!["vehicle".to_owned(), "licensePlate".to_owned()])];
    let grown = told(Script { grows, ..Script::smart(&["vehicle"], 90, short) }, 3).await;
    assert_eq!(grown[1].1, json!({"smartDetectTypes": ["vehicle", "licensePlate"]}));
    // An update that ends nothing before the one that does.
    let stray = told(Script { stray_update: true, ..person() }, 3).await;
    assert!(stray[1].1.get("end").is_none() && stray[2].1["end"].is_i64());
    // No add; whole updates.
    let lost = told(Script { adds: 0, whole_updates: true, ..person() }, 1).await;
    assert_eq!((lost[0].0.as_str(), &lost[0].1["type"]), ("update", &json!("smartDetectZone")));
    assert!(lost[0].1["start"].is_i64() && lost[0].1["end"].is_i64());
    // Twice the add, thrice the end.
    let many = told(Script { adds: 2, ends: 3, ..person() }, 5).await;
    assert_eq!(
        many.iter().map(|(action, _)| action.as_str()).collect::<Vec<_>>(),
        ["add", "add", "update", "update", "update"]
    );
    // The end before the add.
    let turned = told(Script { is_reordered: true, ends: 1, ..person() }, 2).await;
    assert_eq!((turned[0].0.as_str(), turned[1].0.as_str()), ("update", "add"));
    // Born closed.
    let closed = told(Script { shape: Shape::BornClosed, ..person() }, 1).await;
    assert!(closed[0].0 == "add" && closed[0].1["end"].is_i64());
    // A package of Protect 7.
    let package = told(Script::package(88), 1).await;
    assert_eq!((&package[0].1["modelKey"], &package[0].1["type"]), (&json!("smartDetectObject"), &json!("package")));
}

#[tokio::test]
async fn a_package_is_one_closed_update_on_the_integration_stream() {
    let (sim, _private, mut public) = both().await;
    let id = sim.happen(&sim.cameras()[0], Script::package(88));
    let told = public.json().await;
    assert_eq!((&told["type"], &told["item"]["id"]), (&json!("update"), &json!(id)));
    assert!(told["item"]["end"].is_i64() && told["item"]["smartDetectTypes"] == json!(["package"]));
}

#[tokio::test]
async fn a_lost_end_is_in_the_list_all_the_same() {
    let (sim, mut private, _) = both().await;
    let id = sim.happen(&sim.cameras()[0], Script { ends: 0, ..Script::motion(Duration::from_millis(10)) });
    private.event().await;
    let client = Client::admin(&sim).await;
    let deadline = std::time::Instant::now() + LIMIT;
    while !client.get(&format!("/proxy/protect/api/events/{id}")).await.json()["end"].is_i64() {
        assert!(std::time::Instant::now() < deadline);
    }
}

#[tokio::test]
async fn lags_are_as_recorded_and_each_stream_has_its_own() {
    let sim = sim(|options| {
        options.lags = Lags { public_extra: Duration::from_millis(60), ..Lags::recorded().scaled(0.02) };
    })
    .await;
    let admin = Client::admin(&sim).await;
    let mut private = admin.updates(sim.bootstrap()["lastUpdateId"].as_str().unwrap()).await;
    let mut public = Client::with_key(&sim).open(&format!("{PUBLIC}/subscribe/events")).await.unwrap();
    let began = std::time::Instant::now();
    sim.motion(&sim.cameras()[0], Duration::from_millis(20));
    private.event().await;
    assert!(began.elapsed() >= Duration::from_millis(60), "3 s, fifty times as fast");
    public.json().await;
    assert!(began.elapsed() >= Duration::from_millis(120));
}

#[tokio::test]
async fn a_stream_goes_on_from_the_id_that_is_asked_for() {
    let sim = sim(|options| options.update_log = 5).await;
    let admin = Client::admin(&sim).await;
    let after = sim.bootstrap()["lastUpdateId"].as_str().unwrap().to_owned();
    let camera = sim.cameras().remove(0);
    for n in 0..3 {
        sim.rename(&camera, &format!("Name {n}"));
    }
    let mut stream = admin.updates(&after).await;
    let (action, data) = stream.update().await;
    assert_eq!(data, json!({"name": "Name 0"}));
    let mut again = admin.updates(action["newUpdateId"].as_str().unwrap()).await;
    assert_eq!(again.update().await.1, json!({"name": "Name 1"}));
    assert_eq!(
        sim.bootstrap()["cameras"].as_array().unwrap().iter().find(|one| one["id"] == *camera).unwrap()["name"],
        "Name 2"
    );
    // Too long ago.
    for n in 3..9 {
        sim.rename(&camera, &format!("Name {n}"));
    }
    let refused = admin.updates(&after).await.next().await;
    assert!(matches!(refused, Ok(Message::Close(Some(frame))) if frame.reason.contains("lastUpdateId")));
    // Without an id, it begins now.
    let mut now = admin.open("/proxy/protect/ws/updates").await.unwrap();
    sim.rename(&camera, "Now");
    assert_eq!(now.update().await.1, json!({"name": "Now"}));
}

#[tokio::test]
async fn stale_ids_end_in_three_ways() {
    for stale in [Stale::Close, Stale::CloseWithReason, Stale::Abort] {
        let sim = sim(|options| options.stale = stale).await;
        let admin = Client::admin(&sim).await;
        let next = admin.updates("11111111-2222-4333-8444-555555555555").await.next().await;
        let is_right = match stale {
            Stale::Close => matches!(&next, Ok(Message::Close(Some(frame))) if u16::from(frame.code) == 1000),
            Stale::CloseWithReason => matches!(&next, Ok(Message::Close(Some(frame))) if u16::from(frame.code) == 1008),
            Stale::Abort => {
                matches!(&next, Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::ConnectionReset)
            }
        };
        assert!(is_right, "{stale:?}: {next:?}");
    }
}

#[tokio::test]
async fn streams_obey_orders() {
    let (sim, mut private, _) = both().await;
    sim.order(Stream::Updates, &Order::Fragments(frame::encode(&json!({"action": "x"}), &json!({"whole": true})), 7));
    assert_eq!(private.update().await.1, json!({"whole": true}));
    sim.order(Stream::Updates, &Order::Text("text".into()));
    assert_eq!(private.next().await.unwrap(), Message::text("text"));
    sim.order(Stream::Updates, &Order::Pings(500));
    sim.order(Stream::Updates, &Order::Binary(vec![1, 2, 3]));
    assert_eq!(private.next().await.unwrap(), Message::binary(vec![1, 2, 3]));
    sim.order(Stream::Updates, &Order::Silent { answers_pings: true });
    sim.rename(&sim.cameras()[0], "Unheard");
    private.0.send(Message::Ping(vec![7].into())).await.unwrap();
    let answer = tokio::time::timeout(LIMIT, private.0.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(answer, Message::Pong(vec![7].into()));
    sim.order(Stream::Updates, &Order::Abort);
    assert!(private.next().await.is_err());
    assert!(sim.until(LIMIT, |sim| sim.open_streams(Stream::Updates) == 0).await);
}

#[tokio::test]
async fn half_open_streams_answer_nothing() {
    let (sim, mut private, _) = both().await;
    sim.order(Stream::Updates, &Order::Silent { answers_pings: false });
    // The order is obeyed in its own time; from then on no ping is answered.
    let deadline = std::time::Instant::now() + LIMIT;
    loop {
        private.0.send(Message::Ping(vec![7].into())).await.unwrap();
        if tokio::time::timeout(Duration::from_millis(300), private.0.next()).await.is_err() {
            break;
        }
        assert!(std::time::Instant::now() < deadline);
    }
    assert_eq!(sim.open_streams(Stream::Updates), 1);
}

#[tokio::test]
async fn streams_fail_by_rule_and_can_be_mute() {
    let sim = sim(|_| ()).await;
    let admin = Client::admin(&sim).await;
    let after = sim.bootstrap()["lastUpdateId"].as_str().unwrap().to_owned();
    let path = "/proxy/protect/ws/updates";
    sim.fault(Fault::on(path, When::Nth(1), What::Answer(502, argus_protect_sim::Body::Html)));
    sim.fault(Fault::on(path, When::Nth(2), What::Stream(0, Order::Close(1006, String::new()))));
    sim.fault(Fault::on(path, When::Nth(3), What::Stream(1, Order::End)));
    let refused = admin.open(&format!("{path}?lastUpdateId={after}")).await;
    assert!(matches!(refused.err(), Some(Error::Http(answer)) if answer.status() == 502));
    let mut second = admin.updates(&after).await;
    assert!(!matches!(second.next().await, Ok(Message::Binary(_))), "closed before its first message");
    sim.rename(&sim.cameras()[0], "One");
    sim.rename(&sim.cameras()[0], "Two");
    let mut third = admin.updates(&after).await;
    assert_eq!(third.update().await.1["name"], "One");
    assert!(third.next().await.is_err());
    sim.mute(Stream::Updates, true);
    let mut mute = admin.updates(&after).await;
    assert!(tokio::time::timeout(Duration::from_millis(200), mute.next()).await.is_err());
    sim.mute(Stream::Updates, false);
    assert_eq!(admin.updates(&after).await.update().await.1["name"], "One");
}

/// Scenario 14 in small: many messages, and one reader that does not read.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_stalls_nobody() {
    let (sim, mut private, _public) = both().await;
    let admin = Client::admin(&sim).await;
    let _slow = admin.updates(sim.bootstrap()["lastUpdateId"].as_str().unwrap()).await;
    let camera = sim.cameras().remove(0);
    for n in 0..5000 {
        sim.camera_update(&camera, &json!({"stats": {"rxBytes": n, "padding": "x".repeat(200)}}));
    }
    sim.ring(&camera);
    assert_eq!(private.event().await.1["type"], "ring");
}
