//! The tasks of the Argus workspace, run as `cargo xtask <task>`.
//!
//! CI calls nothing else, so what passes here passes there. It knows no crate of the workspace: it starts their binaries
//! and examples, so that a broken crate never takes the tools away that would show it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks to its user")]

mod bench;
mod ci;
mod demo;
mod deny;
mod dev;
mod dist;
mod interrupt;
mod migrate;
mod openapi;
mod packages;
mod pg;
mod run;
mod server;
mod test;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the Argus workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// See Argus notice something: builds it, runs it on a test camera, shows what it noticed.
    Demo(demo::Demo),
    /// Run every test: documentation, both databases, end to end.
    Test(test::Test),
    /// Build the server and run it on ./data.
    Run(run::Run),
    /// Run the demo server and restart it whenever the code changes.
    Dev(dev::Dev),
    /// Everything that CI checks, in its order.
    Ci(ci::Ci),
    /// Apply, undo or add database migrations.
    Migrate(migrate::Migrate),
    /// Write docs/openapi.json from the handlers, or compare it with them.
    Openapi(openapi::Openapi),
    /// Run a command beside a throw-away PostgreSQL.
    Pg(pg::Pg),
    /// Measure: motion quality, cost of each stage, delays, the API under load, vision models, controllers.
    Bench(bench::Bench),
    /// Check what no compiler checks: dependency edges, file lengths, migration pairs, the tree, rust-version, words.
    Tidy(tidy::Tidy),
    /// Check licences, sources, duplicate versions and advisories of the dependencies.
    Deny(deny::Deny),
    /// Build a release archive with its checksum.
    Dist(dist::Dist),
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not by returning it: with RUST_BACKTRACE set, the reason would drown in frames.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    let sh = workspace::shell()?;
    match args.task {
        Task::Demo(task) => task.run(&sh),
        Task::Test(task) => task.run(&sh),
        Task::Run(task) => task.run(&sh),
        Task::Dev(task) => task.run(&sh),
        Task::Ci(task) => task.run(&sh),
        Task::Migrate(task) => task.run(&sh),
        Task::Openapi(task) => task.run(&sh),
        Task::Pg(task) => task.run(&sh),
        Task::Bench(task) => task.run(&sh),
        Task::Tidy(task) => task.run(&sh),
        Task::Deny(task) => task.run(&sh),
        Task::Dist(task) => task.run(&sh),
    }
}
