//! What the queue of descriptions does with a backlog while one of three providers is dead.
//!
//! `cargo xtask bench queue`: a data folder is filled with events that wait for their description (rings, persons, other
//! detections and plain movement, a small picture each), and the real server is started on it with three vendors' doubles,
//! of which the first in the chain does not answer: once because nobody listens there, once because it hangs. In the
//! middle new events come. It tells how many are described in a second, at what cost, in which order, who was asked how
//! often, and whether anything was asked for twice. Needs a quiet machine.
//!
//! ```text
//! bench_queue [--quick] [--events N] [--concurrency N] [--latency-ms N] [--timeout-s N] [--only refused|hangs]
//! ```
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark prints its figures, and ends where it cannot measure"
)]

#[expect(dead_code, reason = "what other benchmarks need")]
#[path = "../bench_api/numbers.rs"]
mod numbers;
mod order;
mod seed;
mod vendors;

use std::path::Path;
use std::time::{Duration, Instant};

use argus_core::{EventId, Timestamp};
use argus_db::Database;
use argus_tests::http::Client;
use argus_tests::server::ServerProcess;
use numbers::{float, table};
use seed::Backlog;
use vendors::{Dead, Vendors};

/// So long without any description is the end.
const STUCK: Duration = Duration::from_secs(180);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    events: u32,
    fresh: u32,
    concurrency: u32,
    latency: Duration,
    timeout_s: u32,
    only: Option<String>,
}

impl Options {
    fn read() -> Self {
        let (mut quick, mut events) = (false, None);
        let mut options =
            Self { events: 10_000, fresh: 60, concurrency: 2, latency: Duration::ZERO, timeout_s: 5, only: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next().and_then(|n| n.parse::<u32>().ok()).expect("a number");
            match argument.as_str() {
                "--quick" => quick = true,
                "--events" => events = Some(number()),
                "--concurrency" => options.concurrency = number(),
                "--latency-ms" => options.latency = Duration::from_millis(number().into()),
                "--timeout-s" => options.timeout_s = number(),
                "--only" => options.only = arguments.next(),
                other => panic!("unknown option {other}; the source of this program names them"),
            }
        }
        if quick {
            (options.events, options.fresh, options.timeout_s) = (500, 12, options.timeout_s.min(1));
        }
        options.events = events.unwrap_or(options.events);
        options
    }
}

#[tokio::main]
async fn main() {
    let options = Options::read();
    println!(
        "{} events wait; {} descriptions at a time; the living providers answer after {} ms",
        options.events,
        options.concurrency,
        options.latency.as_millis()
    );
    for dead in [Dead::Refuses, Dead::Hangs] {
        if options.only.as_ref().is_none_or(|only| only == dead.name()) {
            run(&options, dead).await;
        }
    }
}

/// What was seen of the server while it worked.
struct Seen {
    took: Duration,
    cpu: Duration,
    fresh: Vec<EventId>,
}

async fn run(options: &Options, dead: Dead) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let vendors = Vendors::start(options, dead);
    let backlog = seed::make(&data, options, &vendors).await;
    // From its start on everything may be described, as after an outage.
    let begun = Instant::now();
    let server = ServerProcess::start(&data).await;
    let client = server.client().await;
    let fresh = watch(options, &backlog, begun).await;
    let seen = Seen { took: begun.elapsed(), cpu: server.cpu_time(), fresh };
    tell(options, dead, &server, &client, &backlog, &vendors, &seen).await;
}

/// Waits until everything is described; new events come when a third of the backlog is.
async fn watch(options: &Options, backlog: &Backlog, begun: Instant) -> Vec<EventId> {
    let mut fresh = Vec::new();
    let (mut left_before, mut moved) = (u64::MAX, Instant::now());
    loop {
        let counts = backlog.db.jobs_count().await.expect("the queue can be read");
        let left = counts.ready + counts.leased + counts.waiting;
        if left == 0 {
            return fresh;
        }
        if left != left_before {
            (left_before, moved) = (left, Instant::now());
        }
        assert!(moved.elapsed() < STUCK, "nothing was described for {STUCK:?}, {left} jobs are left");
        let a_third_is_done = left * 3 < u64::from(options.events) * 2;
        if a_third_is_done && fresh.len() < usize::try_from(options.fresh).unwrap_or(usize::MAX) {
            fresh.push(backlog.add_fresh(fresh.len()).await);
        }
        assert!(begun.elapsed() < Duration::from_secs(3 * 3600), "it takes too long to be of any use");
        tokio::time::sleep(LOOK).await;
    }
}

/// The most memory that a process has had, MiB.
fn peak_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u32 = line.and_then(|rest| rest.split_whitespace().next()).and_then(|n| n.parse().ok()).unwrap_or(0);
    f64::from(kib) / 1024.0
}

async fn tell(
    options: &Options,
    dead: Dead,
    server: &ServerProcess,
    client: &Client,
    backlog: &Backlog,
    vendors: &Vendors,
    seen: &Seen,
) {
    let all = f64::from(options.events) + float(seen.fresh.len());
    let seconds = seen.took.as_secs_f64();
    let ended = order::ended(&backlog.db, &backlog.queued).await;
    let described = ended.iter().filter(|one| one.described.is_some()).count();
    let account = order::account(&backlog.path);
    let mut rows = vec![
        ("described".to_owned(), format!("{described} of {}", backlog.queued.len())),
        ("described a second".to_owned(), format!("{:.1}", all / seconds)),
        ("seconds".to_owned(), format!("{seconds:.1}")),
        ("processor time of the server, ms a description".to_owned(), {
            format!("{:.2}", seen.cpu.as_secs_f64() * 1e3 / all)
        }),
        ("memory at most, MiB".to_owned(), format!("{:.1}", peak_mib(server.pid()))),
        (
            "ended before one of higher priority that was queued before".to_owned(),
            format!("{}", order::overtakers(&ended)),
        ),
        ("events with more than one answer".to_owned(), format!("{}", account.doubled)),
        ("answers on the account, and of the vendors".to_owned(), {
            format!("{}, {}", account.answered, vendors.answered())
        }),
        ("questions that the hanging one was asked".to_owned(), format!("{}", vendors.in_vain())),
    ];
    let usage = client.get("/ai/usage?group_by=provider").await.expect(200).json;
    for group in usage["groups"].as_array().into_iter().flatten() {
        rows.push((
            format!("calls of {}", group["label"].as_str().unwrap_or("?")),
            format!("{} of which {} failed", group["total_calls"], group["failed_calls"]),
        ));
    }
    for (name, mut waits) in order::waits(&backlog.db, &seen.fresh).await {
        waits.sort_by(f64::total_cmp);
        let at = |percent| numbers::quantile(&waits, percent);
        rows.push((
            format!("new events, {name}: seconds until described, p50, p95, most ({})", waits.len()),
            format!("{:.2}, {:.2}, {:.2}", at(50), at(95), at(100)),
        ));
    }
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(what, figure)| vec![what, figure]).collect();
    table(dead.title(), &["", "figure"], &rows);
}

/// Seconds between two moments.
pub(crate) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.since(from).as_secs_f64()
}

/// The file of the database in a data folder.
pub(crate) fn file(data: &Path) -> std::path::PathBuf {
    data.join("argus.db")
}

/// The server's own database, opened by a second process.
pub(crate) async fn open(data: &Path) -> Database {
    // No sealed value is read or written by this program.
    let key = argus_db::SealKey::new([7; 32]);
    Database::open(argus_db::DatabaseConfig::new(file(data), key)).await.expect("the database opens")
}
