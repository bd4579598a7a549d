//! The console's clock, told by the `Date` of its answers. All times in its messages are by that clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use argus_core::{Clock, Timestamp};

/// `Date` has whole seconds and comes over a network: smaller differences than this say nothing.
const NOISE_MS: i64 = 2_000;

/// Turns the console's times into ours and back.
#[derive(Clone)]
pub struct ConsoleClock {
    ours: Arc<dyn Clock>,
    /// The console's clock minus ours.
    offset_ms: Arc<AtomicI64>,
}

impl ConsoleClock {
    /// Begins with clocks that agree.
    #[must_use]
    pub fn new(ours: Arc<dyn Clock>) -> Self {
        Self { ours, offset_ms: Arc::default() }
    }

    /// Our present moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.ours.now()
    }

    /// Learns from the `Date` of an answer (RFC 9110, 5.6.7).
    pub(crate) fn learn(&self, date: &str) {
        if let Ok(date) = jiff::fmt::rfc2822::parse(date) {
            // The middle of the second that is told.
            let theirs = date.timestamp().as_millisecond().saturating_add(500);
            let offset = theirs.saturating_sub(self.now().as_millis());
            // The first word stands while later ones say the same: times that wander by a second look like changes.
            if offset.saturating_sub(self.offset_ms()).abs() >= NOISE_MS {
                self.offset_ms.store(if offset.abs() < NOISE_MS { 0 } else { offset }, Ordering::Relaxed);
            }
        }
    }

    /// The console's clock minus ours, in milliseconds; 0 while they agree to two seconds.
    #[must_use]
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }

    /// A time of the console by our clock.
    #[must_use]
    pub fn ours(&self, console_ms: i64) -> Timestamp {
        Timestamp::from_millis(console_ms.saturating_sub(self.offset_ms()))
    }

    /// A time of ours by the console's clock, in milliseconds since 1970.
    #[must_use]
    pub fn theirs(&self, ours: Timestamp) -> i64 {
        ours.as_millis().saturating_add(self.offset_ms())
    }
}

#[cfg(test)]
mod tests {
    use argus_core::ManualClock;

    use super::*;

    #[test]
    fn learns_from_dates_beyond_the_noise() {
        let now = Timestamp::from_millis(1_766_485_800_000); // 2025-12-23T10:30:00Z
        let clock = ConsoleClock::new(Arc::new(ManualClock::new(now)));
        clock.learn("Tue, 23 Dec 2025 10:30:01 GMT");
        assert_eq!(clock.offset_ms(), 0);
        clock.learn("Tue, 23 Dec 2025 10:31:30 GMT");
        assert_eq!(clock.offset_ms(), 90_500);
        assert_eq!(clock.ours(clock.theirs(now)), now);
        clock.learn("yesterday");
        assert_eq!(clock.offset_ms(), 90_500);
        clock.learn("Tue, 23 Dec 2025 10:28:30 GMT");
        assert_eq!(clock.offset_ms(), -89_500);
    }
}
