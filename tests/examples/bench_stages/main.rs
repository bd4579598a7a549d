//! What each stage costs a picture, what whole cameras cost, and how long it takes until an event is told.
//!
//! `cargo xtask bench stages`. Everything is compared with a bare decode of the same film in the same, interleaved run:
//! absolute figures drift from machine to machine and from hour to hour. Needs a quiet machine.
//!
//! ```text
//! bench_stages [--quick] [--only stages|cameras|delay|idle]
//! ```
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark prints its figures, and ends where it cannot measure"
)]

mod cameras;
mod cpu;
mod delay;
mod film;
mod idle;
mod stages;
mod table;

use std::path::PathBuf;

/// What was asked for.
#[derive(Debug, Clone)]
struct Options {
    /// A sixth of the time, for trying out.
    quick: bool,
    only: Option<String>,
}

impl Options {
    fn read() -> Self {
        let mut options = Self { quick: false, only: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--only" => options.only = arguments.next(),
                other => panic!("unknown option {other}; there are --quick and --only stages|cameras|delay|idle"),
            }
        }
        options
    }

    fn wants(&self, part: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == part)
    }

    /// `whole`, or with `--quick` a fraction of it.
    fn amount(&self, whole: u32) -> u32 {
        if self.quick { whole.div_ceil(6) } else { whole }
    }
}

/// The films of this run, removed at its end.
struct Films {
    dir: tempfile::TempDir,
    large: PathBuf,
    small: PathBuf,
}

#[tokio::main]
async fn main() {
    let options = Options::read();
    // Long enough that a clip of ten seconds never reaches over the film's end, where a looped file begins a new session.
    let films = film::make(60);
    if options.wants("idle") {
        idle::run(&options).await;
    }
    if options.wants("stages") {
        stages::run(&options, &films).await;
    }
    if options.wants("cameras") {
        cameras::run(&options, &films).await;
    }
    if options.wants("delay") {
        delay::run(&options).await;
    }
}
