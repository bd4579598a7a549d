//! The pace of the integration interface: a key may make 10 calls in a second, all programs and WebSockets together.

use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Lets one call through per period. There is no burst: with one, two full buckets could meet in the same second.
pub(crate) struct Pace {
    limiter: Option<DefaultDirectRateLimiter>,
}

impl Pace {
    /// One call each `period`; zero for no pace.
    pub(crate) fn new(period: Duration) -> Self {
        Self { limiter: Quota::with_period(period).map(RateLimiter::direct) }
    }

    /// Waits for a turn.
    pub(crate) async fn turn(&self) {
        let Some(limiter) = &self.limiter else { return };
        while let Err(not_yet) = limiter.check() {
            tokio::time::sleep(not_yet.wait_time_from(DefaultClock::default().now())).await;
        }
    }
}
