//! How long calls wait for a connection: counted, so that a pool that is too small shows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What was counted of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Calls that got their turn.
    pub calls: u64,
    /// How long they waited for it, all together.
    pub waited: Duration,
    /// Calls that gave up waiting.
    pub refused: u64,
}

/// The counters behind [`Waits`].
#[derive(Debug, Default)]
pub(crate) struct Turns {
    calls: AtomicU64,
    waited_us: AtomicU64,
    refused: AtomicU64,
}

impl Turns {
    /// A call got its turn.
    pub(crate) fn taken(&self, waited: Duration) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        if us > 0 {
            self.waited_us.fetch_add(us, Ordering::Relaxed);
        }
    }

    /// A call gave up.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Waits {
        Waits {
            calls: self.calls.load(Ordering::Relaxed),
            waited: Duration::from_micros(self.waited_us.load(Ordering::Relaxed)),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}
