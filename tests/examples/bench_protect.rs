//! How fast a ring of a UniFi Protect controller is told, and whether a long run of happenings with faults loses any.
//!
//! `cargo xtask bench protect`: a simulated controller on loopback and the real server. The delay is that from the moment
//! at which the controller put the update on its stream to the moment at which `event.created` came out of `/ws`.
//!
//! ```text
//! bench_protect [--rings N] [--soak [N]]
//! ```
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark prints its figures, and ends where it cannot measure"
)]

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use argus_protect_sim::{Body, Fault, Options, Order, Sim, Stream, What, When};
use argus_tests::http::Client;
use argus_tests::protect::{doorbell, missing};
use argus_tests::server::{ServerOptions, ServerProcess, api_key};
use argus_tests::ws::WsClient;
use serde_json::json;

/// Longest that one ring may take before it counts as lost.
const LOST: Duration = Duration::from_secs(20);

struct Site {
    server: ServerProcess,
    client: Client,
    key: String,
}

impl Site {
    async fn start(dir: &Path) -> Self {
        let key = api_key(dir, "admin").await;
        let server = ServerProcess::start_with(dir, &ServerOptions::default()).await;
        let client = Client::new(server.origin(), &key);
        Self { server, client, key }
    }
}

#[tokio::main]
async fn main() {
    let (mut rings, mut soak) = (200_usize, None);
    let mut arguments = std::env::args().skip(1).peekable();
    while let Some(argument) = arguments.next() {
        let number = arguments.peek().and_then(|text| text.parse::<usize>().ok());
        if number.is_some() {
            arguments.next();
        }
        match argument.as_str() {
            "--rings" => rings = number.expect("a number"),
            "--soak" => soak = Some(number.unwrap_or(10_000)),
            other => panic!("unknown option {other}; there are --rings N and --soak [N]"),
        }
    }
    match soak {
        Some(happenings) => run_soak(happenings).await,
        None => run_rings(rings).await,
    }
}

async fn run_rings(rings: usize) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let site = Site::start(dir.path()).await;
    let sim = Sim::start(Options::default()).await.expect("a console");
    let (_, _, device) = doorbell(&site.client, &sim, "Home").await;
    let mut socket = WsClient::connect(site.server.origin(), &site.key, "/ws").await.expect("a socket");
    let mut delays = Vec::new();
    for _ in 0..rings {
        let id = sim.ring(&device);
        let told = socket
            .next_matching(LOST, |m| m["type"] == "event.created" && m["data"]["protect_event_id"] == id.as_str());
        told.await.expect("the event of the ring");
        let heard = Instant::now();
        let sent = sim.happenings().into_iter().find(|h| h.id == id).and_then(|h| h.private_at);
        delays.push(heard.duration_since(sent.expect("it was put on the stream")));
        // One ring at a time: what is measured is the way of one, not a queue.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    delays.sort();
    let at = |percent: usize| delays[(delays.len() * percent / 100).min(delays.len() - 1)].as_secs_f64() * 1e3;
    println!(
        "{rings} rings, update sent to event.created: p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, most {:.1} ms",
        at(50),
        at(95),
        at(99),
        at(100)
    );
}

async fn run_soak(happenings: usize) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let site = Site::start(dir.path()).await;
    // Clips wait some seconds each: this is about events.
    let settings = json!({"media": {"store_clips": false}, "ai": {"enabled": false}});
    site.client.put("/system/settings", &settings).await.expect(200);
    let sims = [
        Sim::start(Options::default()).await.expect("a console"),
        Sim::start(Options { seed: 2, ..Options::default() }).await.expect("a console"),
    ];
    let mut devices = Vec::new();
    for (n, sim) in sims.iter().enumerate() {
        devices.push(doorbell(&site.client, sim, &format!("Console {n}")).await.2);
        sim.fault(Fault::on("*/snapshot*", When::Percent(10), What::Reset));
        sim.fault(Fault::on("*/api/events*", When::Percent(20), What::Answer(502, Body::Html)));
        sim.fault(Fault::on("*/bootstrap", When::Percent(20), What::Answer(503, Body::Html)));
    }
    let begun = Instant::now();
    let mut memory = Vec::new();
    for n in 0..happenings {
        let (sim, device) = (&sims[n % 2], &devices[n % 2]);
        match n % 5 {
            0 => sim.ring(device),
            1 | 2 => sim.detect(device, &["person"], 80, Duration::from_millis(400)),
            3 => sim.detect(device, &["vehicle"], 80, Duration::from_millis(300)),
            _ => sim.motion(device, Duration::from_millis(200)),
        };
        match n % 997 {
            100 => drop(sim.order(Stream::Updates, &Order::Abort)),
            300 => drop(sim.order(Stream::Updates, &Order::Close(1001, String::new()))),
            500 => sim.cut_connections(),
            700 => sim.expire_sessions(),
            _ => {}
        }
        if n % (happenings / 10).max(1) == 0 {
            memory.push(site.server.anonymous_kib());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for sim in &sims {
        sim.clear_faults();
    }
    let lost = missing(&site.client, &[&sims[0], &sims[1]], Duration::from_secs(180)).await;
    memory.push(site.server.anonymous_kib());
    let metrics = site.client.root().get("/metrics").await.expect(200);
    let metrics = String::from_utf8_lossy(&metrics.bytes).into_owned();
    let gaps: HashMap<&str, &str> =
        metrics.lines().filter(|l| l.starts_with("argus_protect_gaps")).filter_map(|l| l.split_once(' ')).collect();
    println!(
        "{happenings} happenings at two consoles in {:.0} s: {} without an event; gaps {gaps:?}",
        begun.elapsed().as_secs_f64(),
        lost.len()
    );
    println!("memory of the server, KiB, a tenth of the run apart: {memory:?}");
}
