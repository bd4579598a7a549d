//! API keys that were used lately, so that a request does not cost a look into the database.
//!
//! Only good keys are kept: one that is unknown is looked up each time, hence a key that another process makes is good at
//! once. One that is revoked here is gone at once, by the count of revocations; expiry is looked at on every use; what
//! another process revokes is seen when the entry has grown old.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use argus_core::Timestamp;
use argus_core::api_key::ApiKey;
use subtle::ConstantTimeEq as _;

use crate::auth::KeyHash;

/// How long an entry is good without another look.
const FRESH: Duration = Duration::from_secs(1);
/// Most keys that are kept.
const MOST: usize = 4096;

/// A key as it was read.
struct Entry {
    hash: KeyHash,
    key: ApiKey,
    /// Time since some fixed moment at which it was read.
    read_at: Duration,
    /// The count of revocations before it was read.
    revocations: u64,
}

/// The keys that were used lately.
#[derive(Default)]
pub(crate) struct KeyCache {
    entries: RwLock<HashMap<KeyHash, Entry>>,
}

impl KeyCache {
    /// The key with this hash, when it is known to be good at `wall`; `now` never runs backwards.
    pub(crate) fn get(&self, hash: &KeyHash, revocations: u64, now: Duration, wall: Timestamp) -> Option<ApiKey> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(hash)?;
        // The map found it by the hash of a hash, with early exits on the way; what decides is compared in constant time.
        let is_it = bool::from(entry.hash.ct_eq(hash));
        let is_fresh = entry.revocations == revocations && now < entry.read_at + FRESH;
        let is_good = entry.key.revoked_at.is_none() && entry.key.expires_at.is_none_or(|end| end > wall);
        (is_it && is_fresh && is_good).then(|| entry.key.clone())
    }

    /// Keeps a good key that was just read; `revocations` is the count before that.
    pub(crate) fn put(&self, hash: KeyHash, key: ApiKey, revocations: u64, now: Duration) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MOST && !entries.contains_key(&hash) {
            // So many keys at once are nobody's normal use; the next requests read them anew.
            entries.clear();
        }
        entries.insert(hash, Entry { hash, key, read_at: now, revocations });
    }

    /// Forgets what has grown old.
    pub(crate) fn sweep(&self, now: Duration) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| now < entry.read_at + FRESH);
    }
}

#[cfg(test)]
mod tests {
    use argus_core::ApiKeyId;
    use argus_core::api_key::Scope;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn key(expires_at: Option<Timestamp>) -> ApiKey {
        ApiKey {
            id: ApiKeyId::new(at(0)),
            name: "test".into(),
            prefix: "argus_ab".into(),
            scopes: vec![Scope::Admin],
            is_active: true,
            expires_at,
            rate_limit_per_minute: 100,
            usage_count: 0,
            last_used_at: None,
            last_used_ip: None,
            created_at: at(0),
            created_by: None,
            revoked_at: None,
        }
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_key_is_good_until_it_is_revoked_expires_or_grows_old() {
        let cache = KeyCache::default();
        cache.put([1; 32], key(Some(at(100))), 7, ms(0));
        assert!(cache.get(&[1; 32], 7, ms(999), at(99)).is_some());
        assert!(cache.get(&[1; 32], 7, ms(1000), at(99)).is_none(), "old");
        assert!(cache.get(&[1; 32], 8, ms(10), at(99)).is_none(), "some key was revoked");
        assert!(cache.get(&[1; 32], 7, ms(10), at(100)).is_none(), "expired");
        assert!(cache.get(&[2; 32], 7, ms(10), at(99)).is_none(), "unknown");
        cache.sweep(ms(1000));
        assert!(cache.entries.read().unwrap().is_empty());
    }

    #[test]
    fn a_key_that_was_read_while_one_was_revoked_is_not_trusted() {
        let cache = KeyCache::default();
        // The count was 7 when the read began and 8 when it ended.
        cache.put([1; 32], key(None), 7, ms(0));
        assert!(cache.get(&[1; 32], 8, ms(0), at(0)).is_none());
    }

    #[test]
    fn it_has_a_bound() {
        let cache = KeyCache::default();
        for n in 0..10_000_u32 {
            let mut hash = [0; 32];
            hash[..4].copy_from_slice(&n.to_be_bytes());
            cache.put(hash, key(None), 0, ms(0));
            assert!(cache.entries.read().unwrap().len() <= MOST);
            assert!(cache.get(&hash, 0, ms(0), at(0)).is_some());
        }
    }
}
