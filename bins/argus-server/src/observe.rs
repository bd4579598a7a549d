//! Logs: to standard error, so that standard output carries only what programs read.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::Failure;

/// Starts logging.
///
/// # Errors
/// `Failure` with code 2 when the filter cannot be read.
pub(crate) fn start(filter: &str) -> Result<(), Failure> {
    // The web server tells of its threads and sockets at every start, which helps nobody who runs cameras.
    let quiet = format!("actix_server=warn,{filter}");
    let filter = EnvFilter::try_new(quiet).map_err(|e| Failure::usage(format!("log: {filter:?} is no filter: {e}")))?;
    // A second start in one process (tests do that) keeps the first.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .try_init();
    Ok(())
}
