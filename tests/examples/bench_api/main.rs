//! What the interface takes at a million events: requests, exports, messages, memory.
//!
//! `cargo xtask bench api`. A database is filled, the real server is started on it, and this program, started once more as
//! a process of its own, asks. Each table begins with a bare `/system/health` of the same run: absolute figures drift from
//! machine to machine and from hour to hour. Needs a quiet machine.
//!
//! ```text
//! bench_api [--quick] [--events N] [--data DIR] [--only requests|export|live|auth]
//! ```
//!
//! `--data` keeps the database for the next run.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark prints its figures, and ends where it cannot measure"
)]

mod auth;
mod export;
mod http;
mod live;
mod load;
mod numbers;
mod requests;
mod seed;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use argus_tests::server::ServerProcess;
use numbers::table;
use seed::Seeded;

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    quick: bool,
    events: u32,
    data: Option<PathBuf>,
    only: Option<String>,
}

impl Options {
    fn read() -> Self {
        let mut options = Self { quick: false, events: 1_000_000, data: None, only: None };
        let mut arguments = std::env::args().skip(1);
        let mut events = None;
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--events" => events = arguments.next().and_then(|n| n.parse().ok()),
                "--data" => options.data = arguments.next().map(PathBuf::from),
                "--only" => options.only = arguments.next(),
                other => panic!("unknown option {other}; there are --quick --events N --data DIR --only NAME"),
            }
        }
        options.events = events.unwrap_or(if options.quick { 50_000 } else { 1_000_000 });
        options
    }

    fn wants(&self, part: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == part)
    }

    /// `whole`, or with `--quick` a fraction of it.
    pub(crate) fn amount(&self, whole: u32) -> u32 {
        if self.quick { whole.div_ceil(5) } else { whole }
    }
}

/// A running server with its million events.
pub(crate) struct Site {
    pub(crate) server: ServerProcess,
    pub(crate) seeded: Seeded,
    pub(crate) options: Options,
}

#[tokio::main]
async fn main() {
    // The second process.
    if std::env::args().nth(1).as_deref() == Some("as") {
        return asking().await;
    }
    let options = Options::read();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = options.data.clone().unwrap_or_else(|| folder.path().join("data"));
    let seeded = seed::make(&data, options.events).await;
    let begun = Instant::now();
    let server = ServerProcess::start(&data).await;
    println!("{} events; started in {:.2} s", options.events, begun.elapsed().as_secs_f64());
    let mut site = Site { server, seeded, options };
    let last = site.last_message().await;
    if site.options.wants("requests") {
        requests::run(&site).await;
    }
    if site.options.wants("auth") {
        auth::run(&site).await;
    }
    if site.options.wants("export") {
        export::run(&site).await;
    }
    // Whoever changes events meanwhile makes every figure his own.
    assert_eq!(site.last_message().await, last, "something happened while it was measured");
    if site.options.wants("live") {
        live::run(&mut site).await;
    }
    let mib = |kib: u64| format!("{:.1}", numbers::float(kib) / 1024.0);
    let (now, most) = (site.server.rss_kib(), site.peak_kib());
    table(
        "Memory after all of it",
        &["", "MiB"],
        &[vec!["resident".into(), mib(now)], vec!["at most".into(), mib(most)]],
    );
}

impl Site {
    /// The number of the newest message of the journal.
    pub(crate) async fn last_message(&self) -> i64 {
        let journal = self.server.client().await.get("/journal").await.expect(200).json;
        journal["last_seq"].as_i64().expect("a number")
    }

    /// Most resident memory so far, KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|rest| rest.split_whitespace().next()).and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    /// Lets this program, as another process, do something, and gives what it prints: one line of numbers.
    pub(crate) async fn ask(&self, what: &[&str]) -> Vec<f64> {
        let program = std::env::current_exe().expect("this program");
        let output = tokio::process::Command::new(program)
            .arg("as")
            .args(what)
            .arg(self.server.origin())
            .arg(&self.seeded.keys_file)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .output()
            .await
            .expect("the second process runs");
        assert!(output.status.success(), "the second process failed: {what:?}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_whitespace().map(|n| n.parse().expect("a number")).collect()
    }
}

/// What the second process does: `as WHAT … ORIGIN KEYS`.
async fn asking() {
    let mut arguments: Vec<String> = std::env::args().skip(2).collect();
    let keys = arguments.pop().expect("the file of keys");
    let origin = arguments.pop().expect("the server");
    let keys: Vec<String> = std::fs::read_to_string(keys).expect("the keys").lines().map(str::to_owned).collect();
    let mut rest = arguments.into_iter();
    let what = rest.next().expect("what to do");
    let rest: Vec<String> = rest.collect();
    let numbers = match what.as_str() {
        "load" => load::ask(&origin, &keys, &rest).await,
        "export" => export::ask(&origin, &keys, &rest).await,
        "fan" => live::ask_fan(&origin, &keys, &rest).await,
        "replay" => live::ask_replay(&origin, &keys, &rest).await,
        other => panic!("nobody can {other}"),
    };
    let line: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    println!("{}", line.join(" "));
}
