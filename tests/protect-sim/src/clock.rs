//! The console's clock: the machine's, moved by a skew that can be set.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Tells what the console believes the time is. It follows tokio's clock, so a paused one stops it.
pub(crate) struct Clock {
    began_ms: i64,
    began: Instant,
    skew_ms: AtomicI64,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    pub(crate) fn new(skew_ms: i64) -> Self {
        let began_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { began_ms: millis(began_ms), began: Instant::now(), skew_ms: AtomicI64::new(skew_ms) }
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        self.began_ms + millis(self.began.elapsed()) + self.skew_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn set_skew(&self, skew_ms: i64) {
        self.skew_ms.store(skew_ms, Ordering::Relaxed);
    }

    /// For the `Date` header (RFC 9110, 5.6.7).
    pub(crate) fn http_date(&self) -> String {
        let now = jiff::Timestamp::from_millisecond(self.now_ms()).unwrap_or_default();
        now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }
}

/// Whole milliseconds.
pub(crate) fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}
