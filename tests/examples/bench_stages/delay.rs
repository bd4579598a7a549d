//! From the light to `event.created`: real cameras, whose scenes tell when the box really came.

use std::time::Duration;

use argus_core::Timestamp;
use argus_tests::http::Client;
use argus_tests::rtsp::RtspServer;
use argus_tests::scene::Scene;
use argus_tests::server::{ServerProcess, api_key};
use argus_tests::ws::WsClient;
use serde_json::json;

use crate::cpu::quantile;
use crate::{Options, table};

const CAMERAS: u32 = 6;
const EVERY_S: u32 = 5;
const FOR_S: u32 = 2;

pub(crate) async fn run(options: &Options) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let key = api_key(dir.path(), "admin").await;
    let server = ServerProcess::start(dir.path()).await;
    let client = Client::new(server.origin(), &key);
    let mut live = WsClient::connect(server.origin(), &key, "/ws?types=event.created").await.expect("a socket");
    let scene = Scene::MovingBox { every_s: EVERY_S, for_s: FOR_S };
    let mut sources = Vec::new();
    for number in 0..CAMERAS {
        let source = RtspServer::builder().size(640, 360).fps(15).gop(15).scene(scene).start();
        let fields = json!({
            "name": format!("Camera {number}"), "type": "rtsp", "rtsp_url": source.url(), "rtsp_transport": "tcp",
            "motion_cooldown": 0, "post_roll_s": 1, "pre_roll_s": 1,
        });
        let made = client.post("/cameras", &fields).await.expect(201);
        sources.push((made.json["id"].as_str().expect("an id").to_owned(), source));
    }

    let events = options.amount(150) as usize;
    let (mut deciding, mut stored, mut told) = (Vec::new(), Vec::new(), Vec::new());
    while told.len() < events {
        let message = live.next_json(Duration::from_secs(60)).await.expect("an event within a minute");
        let arrived = now();
        let event = &message["data"];
        let time =
            |name: &str| -> Timestamp { event["trace"][name].as_str().expect("a time").parse().expect("a time") };
        let source = sources.iter().find(|(id, _)| event["camera_id"] == *id);
        let (_, source) = source.expect("one of the cameras");
        // The box came that long before this very moment.
        let position = source.scene_position().expect("the camera sends");
        let period = Duration::from_secs(EVERY_S.into());
        let into = Duration::from_nanos(u64::try_from(position.as_nanos() % period.as_nanos()).expect("seconds"));
        let came = Duration::from_secs((EVERY_S - FOR_S).into());
        // Told before the box came round again: an event that begins elsewhere would be a false one.
        let ago = into.checked_sub(came).unwrap_or_else(|| panic!("an event {into:?} into the scene, without its box"));
        stored.push(since(time("captured_at"), time("stored_at")));
        deciding.push(since(time("detected_at"), arrived));
        told.push(ago.as_secs_f64() * 1000.0);
    }

    let row = |name: &str, values: &[f64]| {
        let mut row = vec![name.to_owned(), values.len().to_string()];
        row.extend([0.5, 0.95, 0.99, 1.0].map(|share| format!("{:.0}", quantile(values, share))));
        row
    };
    table::print(
        &format!("Delays of event.created, {CAMERAS} cameras 640x360 at 15 looked at 5 times a second, ms"),
        &["from, to", "events", "p50", "p95", "p99", "worst"],
        &[
            row("first moving picture taken, event stored", &stored),
            row("deciding picture looked at, message at the client", &deciding),
            row("box enters the scene (ground truth), message at the client", &told),
        ],
    );
}

fn since(earlier: Timestamp, later: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a delay")]
    let ms = later.millis_since(earlier) as f64;
    ms
}

fn now() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970");
    Timestamp::from_micros(i64::try_from(since.as_micros()).expect("a clock before 290000"))
}
