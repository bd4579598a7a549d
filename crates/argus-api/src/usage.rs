//! Use of API keys: counted in memory, written down in batches.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use argus_core::{ApiKeyId, Timestamp, chain};
use argus_db::{ApiKeyUse, Database};

/// What was not yet written down.
#[derive(Default)]
pub(crate) struct Usage {
    pending: Mutex<HashMap<ApiKeyId, ApiKeyUse>>,
}

impl Usage {
    /// Counts one admitted request.
    pub(crate) fn count(&self, key: ApiKeyId, at: Timestamp, ip: Option<IpAddr>) {
        self.add(ApiKeyUse { id: key, count: 1, last_used_at: at, ip: ip.map(|ip| ip.to_string()) });
    }

    fn add(&self, used: ApiKeyUse) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        match pending.entry(used.id) {
            Entry::Vacant(place) => {
                place.insert(used);
            }
            Entry::Occupied(mut place) => {
                let sum = place.get_mut();
                sum.count += used.count;
                if used.last_used_at >= sum.last_used_at {
                    sum.last_used_at = used.last_used_at;
                    sum.ip = used.ip;
                }
            }
        }
    }

    /// Writes down what came together; on failure it is kept for the next time.
    pub(crate) async fn flush(&self, db: &Database) {
        let batch: Vec<ApiKeyUse> = {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            pending.drain().map(|(_, used)| used).collect()
        };
        if batch.is_empty() {
            return;
        }
        if let Err(failure) = db.api_key_used(batch.clone()).await {
            tracing::warn!(
                error = chain(&failure),
                keys = batch.len(),
                "use of API keys could not be written down yet"
            );
            for used in batch {
                self.add(used);
            }
        }
    }
}
