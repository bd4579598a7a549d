//! Consoles that refuse sign-ins for now. Kept for all sessions of a process together, so that a test of the settings
//! does not make a lock-out longer; and over restarts, because restarts in a loop are the usual way into one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argus_core::Timestamp;

/// Most consoles that are remembered.
const MOST: usize = 256;

/// How often a console refused, and until when it is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lockout {
    pub(crate) until: Timestamp,
    pub(crate) attempts: u32,
}

/// By `host:port`.
#[derive(Clone, Default)]
pub(crate) struct Lockouts(Arc<Mutex<HashMap<String, Lockout>>>);

impl Lockouts {
    pub(crate) fn get(&self, console: &str) -> Option<Lockout> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(console).copied()
    }

    /// Takes over what was kept, unless more is known.
    pub(crate) fn seed(&self, console: &str, kept: Lockout) {
        let known = self.get(console).is_some_and(|known| known.until >= kept.until);
        if !known {
            self.put(console, kept);
        }
    }

    /// A sign-in was refused: `first`, doubled with each refusal, up to `longest`; or what the console asks for.
    pub(crate) fn refused(
        &self,
        console: &str,
        now: Timestamp,
        first: Duration,
        longest: Duration,
        asked: Option<Duration>,
    ) -> Lockout {
        let attempts = self.get(console).map_or(0, |l| l.attempts).saturating_add(1);
        let wait = first.saturating_mul(1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX)).min(longest);
        let lockout = Lockout { until: now.plus(wait.max(asked.unwrap_or_default())), attempts };
        self.put(console, lockout);
        lockout
    }

    pub(crate) fn clear(&self, console: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(console);
    }

    fn put(&self, console: &str, lockout: Lockout) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(console) {
            // The one that ends first matters least.
            let first = all.iter().min_by_key(|(_, l)| l.until).map(|(k, _)| k.clone());
            first.and_then(|k| all.remove(&k));
        }
        all.insert(console.to_owned(), lockout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_doubles_the_wait() {
        let locks = Lockouts::default();
        let now = Timestamp::from_millis(1_000_000);
        let s = Duration::from_secs;
        let refuse = |asked| locks.refused("c:443", now, s(300), s(3600), asked).until.since(now).as_secs();
        assert_eq!(refuse(None), 300);
        assert_eq!(refuse(None), 600);
        assert_eq!(refuse(Some(s(5000))), 5000);
        assert_eq!(refuse(None), 2400);
        assert_eq!(refuse(None), 3600);
        locks.seed("c:443", Lockout { until: now, attempts: 1 });
        assert_eq!(locks.get("c:443").map(|l| l.attempts), Some(5));
        locks.clear("c:443");
        assert_eq!(locks.get("c:443"), None);
        for n in 0..300 {
            locks.seed(&format!("{n}"), Lockout { until: now, attempts: 1 });
        }
        assert_eq!(locks.0.lock().unwrap().len(), MOST);
    }
}
