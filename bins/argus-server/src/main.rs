//! A self-hosted AI camera server. See `argus-server --help`.

use std::process::ExitCode;

use argus_server::{cli::Cli, run};
use clap::Parser;

fn main() -> ExitCode {
    // clap ends the process by itself with code 2 for a wrong option and 0 for --help and --version.
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
