//! Logs: to standard error, so that standard output carries only what programs read.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::Failure;
use crate::config::LogFormat;

/// Starts logging.
///
/// # Errors
/// `Failure` with code 2 when the filter cannot be read.
pub(crate) fn start(filter: &str, format: LogFormat) -> Result<(), Failure> {
    // The web server tells of its threads and sockets at every start, which helps nobody who runs cameras, and takes faults
    // of callers for its own, which the access line and the answer tell better. A certificate that is not trusted is told
    // by whoever asked. Below their warnings, what speaks HTTP and WebSocket writes out whatever it carries, credentials
    // among it. Whoever names them in the filter gets that all the same.
    let quiet = format!(
        "actix_server=warn,actix_http=off,rustls_platform_verifier=off,{},{filter}",
        CARRIERS.map(|name| format!("{name}=warn")).join(",")
    );
    let filter = EnvFilter::try_new(quiet).map_err(|e| Failure::usage(format!("log: {filter:?} is no filter: {e}")))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // That a line could not be written cannot be written either, and trying to would end the task that logs: where standard
    // error is a file, its disk may be full.
    let log = log.log_internal_errors(false);
    // A second start in one process (tests do that) keeps the first.
    let _ = match format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => log.json().with_current_span(true).with_span_list(false).try_init(),
    };
    Ok(())
}

/// Crates that log bytes and headers as they pass.
const CARRIERS: [&str; 7] = ["actix_web", "h2", "hyper", "hyper_util", "rustls", "tungstenite", "actix_ws"];
