//! Database calls of an event that are made until they succeed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use argus_core::{Classify, ErrorClass, EventId, chain};
use argus_db::DbError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

/// So often a database call is tried, with pauses of up to five seconds: about an hour.
const TRIES: u32 = 720;

/// Runs a database call until it succeeds, as long as waiting can help; `None` when it cannot, or when the event is gone,
/// which is then noted.
pub(crate) async fn persist<T, F: Future<Output = Result<T, DbError>>>(
    event: EventId,
    gone: &AtomicBool,
    give_up: &CancellationToken,
    what: &'static str,
    mut call: impl FnMut() -> F,
) -> Option<T> {
    let mut pause = Duration::from_millis(50);
    let mut tries = 0;
    loop {
        tries += 1;
        let error = match call().await {
            Ok(done) => return Some(done),
            Err(e) => e,
        };
        match error.class() {
            ErrorClass::NotFound => {
                gone.store(true, Ordering::Relaxed);
                debug!(event.id = %event, "cannot {what}: the event or its camera is gone");
                return None;
            }
            ErrorClass::Invalid | ErrorClass::Conflict => {
                error!(event.id = %event, "cannot {what}: {}", chain(&error));
                return None;
            }
            // A full disk is emptied, a busy database gets free.
            _ if tries < TRIES => {
                warn!(event.id = %event, "cannot {what} yet, trying again: {}", chain(&error));
            }
            _ => {
                error!(event.id = %event, "cannot {what}, giving up: {}", chain(&error));
                return None;
            }
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(Duration::from_secs(5)),
            () = give_up.cancelled() => {
                error!(event.id = %event, "cannot {what}: the server stops");
                return None;
            }
        }
    }
}
