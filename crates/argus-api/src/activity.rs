//! When sessions were used: kept in memory, written down now and then, so that a request costs no write.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use argus_core::{SessionId, Timestamp, chain};
use argus_db::{Database, Session};

/// How far behind what is written down may be.
const BEHIND: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
struct Seen {
    at: Timestamp,
    written: Timestamp,
}

/// What was not yet written down.
#[derive(Default)]
pub(crate) struct Activity(Mutex<HashMap<SessionId, Seen>>);

impl Activity {
    /// Notes that a session, as it is stored, was used.
    pub(crate) fn seen(&self, session: &Session, at: Timestamp) {
        if at > session.last_active_at {
            let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.insert(session.id, Seen { at, written: session.last_active_at });
        }
    }

    /// Writes down what has been waiting for long.
    pub(crate) async fn flush(&self, db: &Database) {
        self.write(db, |seen| seen.at.since(seen.written) >= BEHIND).await;
    }

    /// Writes down everything: before it matters which session has been idle for longest, and at the end.
    pub(crate) async fn flush_all(&self, db: &Database) {
        self.write(db, |_| true).await;
    }

    async fn write(&self, db: &Database, due: impl Fn(&Seen) -> bool) {
        let batch: Vec<(SessionId, Timestamp)> = {
            let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.extract_if(|_, seen| due(seen)).map(|(id, seen)| (id, seen.at)).collect()
        };
        if batch.is_empty() {
            return;
        }
        let sessions = batch.len();
        if let Err(failure) = db.session_used(batch).await {
            // The next request of each session tells anew.
            tracing::warn!(error = chain(&failure), sessions, "use of sessions could not be written down");
        }
    }
}
