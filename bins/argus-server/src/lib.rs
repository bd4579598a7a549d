//! Composes the crates of Argus into a server, and nothing more.
//!
//! ```no_run
//! use argus_server::{cli::Cli, run};
//! use clap::Parser;
//!
//! let cli = Cli::parse_from(["argus-server", "demo", "--listen", "127.0.0.1:0"]);
//! if let Err(failure) = run(cli) {
//!     failure.report();
//! }
//! ```

pub mod cli;
pub mod config;
mod keys;
mod memory;
mod observe;
mod people;
mod replay;
mod seal;
mod wire;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use cli::{ApiKeyCommand, Cli, Command, Listen, Place, SealKeyCommand, UserCommand};
use config::Config;
use tracing::{info, warn};

pub use wire::{Running, serve};

/// Why the process ends, with its exit code (docs/config.md lists them).
#[derive(Debug)]
pub struct Failure {
    /// 1 failed while running, 2 wrong usage or configuration, 3 no address, 4 no data, 5 refused.
    pub code: u8,
    /// One line.
    pub message: String,
}

impl Failure {
    pub(crate) fn usage(message: String) -> Self {
        Self { code: 2, message }
    }

    pub(crate) fn data(message: String) -> Self {
        Self { code: 4, message }
    }

    pub(crate) fn running(message: String) -> Self {
        Self { code: 1, message }
    }

    /// Says why on standard error and gives the exit code.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        // With standard error gone there is nobody left to tell.
        let _ = writeln!(std::io::stderr(), "argus-server: {}", self.message);
        ExitCode::from(self.code)
    }
}

/// Prints one line that programs read.
pub(crate) fn say(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|e| Failure::running(format!("standard output: {e}")))
}

/// Does what the command line asks, to its end.
///
/// # Errors
/// `Failure` with the exit code and one line that says why.
pub fn run(cli: Cli) -> Result<(), Failure> {
    memory::few_arenas();
    let command = cli.command.unwrap_or(Command::Serve(cli.serve));
    let nowhere = Place::default();
    let (place, listen) = match &command {
        Command::Openapi => return say(&openapi()?),
        Command::Replay { file, camera } => return replay::run(file, camera.as_deref()),
        Command::Serve(serve) => (&serve.place, serve.listen.listen.as_deref()),
        Command::Demo(on) => (&nowhere, on.listen.as_deref()),
        Command::User(UserCommand::Create { place, .. })
        | Command::ApiKey(ApiKeyCommand::Create { place, .. })
        | Command::SealKey(SealKeyCommand::Rotate(place) | SealKeyCommand::Forget(place)) => (place, None),
    };
    let mut config = Config::load(place.config.as_deref(), place.data_dir.clone(), listen)?;
    observe::start(&config.log, config.log_format)?;
    for name in &config.unknown_variables {
        let hint = match name.starts_with("ARGUS_AI_") {
            true => ": providers are added with POST /api/v1/ai/providers, see docs/ai.md",
            false => "",
        };
        warn!("the environment variable {name} means nothing to this server{hint}");
    }
    let runtime =
        tokio::runtime::Runtime::new().map_err(|e| Failure::running(format!("the runtime cannot be started: {e}")))?;
    let done = match command {
        Command::Demo(Listen { listen }) => {
            let dir = tempfile::Builder::new().prefix("argus-demo-").tempdir();
            let dir = dir.map_err(|e| Failure::data(format!("cannot make a temporary directory: {e}")))?;
            settle(&mut config, dir.path(), listen.is_some());
            runtime.block_on(until_signal(config, true))
        }
        Command::User(UserCommand::Create { username, role, email, .. }) => {
            runtime.block_on(people::create(&config, &username, &role, email.as_deref()))
        }
        Command::ApiKey(ApiKeyCommand::Create { name, scope, rate_limit, expires_at, .. }) => {
            runtime.block_on(keys::create(&config, &name, &scope, rate_limit, expires_at))
        }
        Command::SealKey(SealKeyCommand::Rotate(_)) => runtime.block_on(seal::rotate(&config)),
        Command::SealKey(SealKeyCommand::Forget(_)) => runtime.block_on(seal::forget(&config)),
        _ => runtime.block_on(until_signal(config, false)),
    };
    // A decoder or driver that does not come back must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(300));
    done
}

fn openapi() -> Result<String, Failure> {
    argus_api::openapi::api().to_pretty_json().map_err(|e| Failure::running(format!("the document: {e}")))
}

/// A demo keeps to its own directory and to this machine, whatever is configured; only its own option says otherwise.
fn settle(config: &mut Config, dir: &Path, told_where: bool) {
    config.data_dir = dir.to_owned();
    config.database_url = None;
    config.media_dirs = vec![dir.join("media")];
    config.http = argus_api::HttpConfig::default();
    config.self_signed = false;
    if !told_where {
        config.listen = vec![std::net::SocketAddr::from(([127, 0, 0, 1], 8000))];
    }
}

async fn until_signal(config: Config, demo: bool) -> Result<(), Failure> {
    let signals =
        |kind| tokio::signal::unix::signal(kind).map_err(|e| Failure::running(format!("signals cannot be read: {e}")));
    let mut interrupt = signals(tokio::signal::unix::SignalKind::interrupt())?;
    let mut terminate = signals(tokio::signal::unix::SignalKind::terminate())?;
    let mut running = tokio::select! {
        running = serve(config, demo) => running?,
        // What a start that is cut short leaves, the next one finds as after a crash.
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    tokio::select! {
        _ = interrupt.recv() => info!("SIGINT: stopping"),
        _ = terminate.recv() => info!("SIGTERM: stopping"),
        failure = running.failed() => {
            running.close().await;
            return Err(failure);
        }
    }
    tokio::select! {
        () = running.stop() => Ok(()),
        _ = interrupt.recv() => Err(Failure::running("stopped by a second signal".into())),
        _ = terminate.recv() => Err(Failure::running("stopped by a second signal".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_keeps_to_this_machine_unless_its_option_says_otherwise() {
        for (option, told) in [(None, "127.0.0.1:8000"), (Some("192.0.2.1:81"), "192.0.2.1:81")] {
            let mut config = Config::load(None, None, Some(option.unwrap_or("0.0.0.0:80"))).unwrap();
            config.database_url = Some(argus_core::Secret::new("postgres://h/d"));
            settle(&mut config, Path::new("/d"), option.is_some());
            assert_eq!(config.listen, [told.parse().unwrap()]);
            assert_eq!((config.data_dir.as_path(), config.database_url), (Path::new("/d"), None));
        }
    }
}
