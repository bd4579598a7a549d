//! Leaves a controller alone that fails again and again: many calls of many events would storm it while it restarts.
//!
//! Calls of the connection itself go on at their own growing pace, and the first one that works ends the rest.

use std::sync::{Mutex, PoisonError};

use argus_core::Timestamp;
use tokio::time::Instant;

use crate::{ProtectError, Tuning};

#[derive(Debug, Default)]
struct Inner {
    /// Failures in a row.
    failures: u32,
    /// Left alone until then.
    until: Option<Instant>,
}

/// Counts the failures of one controller.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<Inner>);

impl Breaker {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call may be made. After the pause one may, which shows how it is.
    pub(crate) fn check(&self, tuning: &Tuning, now: Instant, clock: Timestamp) -> Result<(), ProtectError> {
        let mut inner = self.lock();
        let Some(until) = inner.until else { return Ok(()) };
        if now < until {
            return Err(ProtectError::Resting { until: clock.plus(until.saturating_duration_since(now)) });
        }
        // For as long as its answer may take; should nothing come of it, the next one tries.
        inner.until = now.checked_add(tuning.connect.saturating_add(tuning.answer));
        Ok(())
    }

    /// A call failed. True when that begins a rest.
    pub(crate) fn failed(&self, tuning: &Tuning, now: Instant) -> bool {
        let mut inner = self.lock();
        inner.failures = inner.failures.saturating_add(1);
        let begins = inner.failures >= tuning.breaker_after && inner.until.is_none();
        if begins || inner.until.is_some() {
            inner.until = now.checked_add(tuning.breaker_pause);
        }
        begins
    }

    /// It answers.
    pub(crate) fn worked(&self) {
        *self.lock() = Inner::default();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ten_failures_in_a_row_rest_it_and_one_success_wakes_it() {
        let (b, t, start) = (Breaker::default(), Tuning::default(), Instant::now());
        let at = |s: u64| start + Duration::from_secs(s);
        let may = |s: u64| b.check(&t, at(s), Timestamp::from_millis(0)).is_ok();
        assert_eq!((0..10).map(|n| b.failed(&t, at(n))).filter(|begins| *begins).count(), 1);
        assert!(!may(10) && !may(308));
        // One tries, the others wait for what comes of it.
        assert!(may(309) && !may(310));
        b.failed(&t, at(311));
        assert!(!may(312) && !may(610));
        // Of the next trial nothing comes: whoever made it gave up.
        assert!(may(611) && !may(612) && may(700) && !may(701));
        b.worked();
        assert!(may(313) && !b.failed(&t, at(314)));
    }
}
