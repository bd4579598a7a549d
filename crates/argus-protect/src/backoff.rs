//! How long to wait before trying again.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Doubling waits with a quarter of chance in them, so that many clients do not come back at the same moment.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    step: u32,
}

impl Backoff {
    /// Begins with `first`.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, step: 0 }
    }

    /// The next wait.
    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.first.saturating_mul(1u32.checked_shl(self.step).unwrap_or(u32::MAX)).min(self.longest);
        self.step = self.step.saturating_add(1).min(16);
        jitter(wait)
    }

    /// Begins again.
    pub(crate) fn reset(&mut self) {
        self.step = 0;
    }
}

/// `wait` with up to a quarter added or taken.
pub(crate) fn jitter(wait: Duration) -> Duration {
    // The keys of a hash map are random; no better chance is needed here.
    let chance = RandomState::new().build_hasher().finish() % 1000;
    let per_mille = u32::try_from(chance / 2).unwrap_or(0).saturating_add(750);
    wait.saturating_mul(per_mille) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut b = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        for expected in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0] {
            let wait = b.next().as_secs_f64();
            assert!((0.75 * expected..1.25 * expected).contains(&wait), "{wait} for {expected}");
        }
        b.reset();
        assert!(b.next() < Duration::from_millis(1250));
    }
}
