//! The rate limit of API keys: a sliding window of 60 s, kept in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use argus_core::{ApiKeyId, Timestamp};

/// Length of the window.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);

/// Where a key stands after a request; becomes the three headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Whether the request may go on.
    pub(crate) admitted: bool,
    /// Requests a minute that the key may make.
    pub(crate) limit: u32,
    /// Requests that may follow at once.
    pub(crate) remaining: u32,
    /// Unix seconds, rounded up: when the oldest request leaves the window.
    pub(crate) reset_s: i64,
    /// Whole seconds until then, 1 to 60.
    pub(crate) retry_after_s: u64,
}

/// The windows of all keys.
pub(crate) struct Limiter {
    length: Duration,
    /// Moments of the admitted requests of a key, oldest first, as time since some fixed moment.
    ///
    /// A plain mutex: what happens under it takes less than a microsecond.
    windows: Mutex<HashMap<ApiKeyId, VecDeque<Duration>>>,
}

impl Limiter {
    /// With windows of that length.
    pub(crate) fn new(length: Duration) -> Self {
        Self { length, windows: Mutex::default() }
    }

    /// Asks for one request of `key` at `now`, a time that never runs backwards; `wall` is the same moment on the clock.
    pub(crate) fn admit(&self, key: ApiKeyId, limit: u32, now: Duration, wall: Timestamp) -> Standing {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(key).or_default();
        // Workers read the time before they take the lock, so the order of arrival here may differ from that of time.
        let now = window.back().map_or(now, |&newest| now.max(newest));
        drop_old(window, self.length, now);
        let used = u32::try_from(window.len()).unwrap_or(u32::MAX);
        let admitted = used < limit;
        if admitted {
            window.push_back(now);
        }
        let used = u32::try_from(window.len()).unwrap_or(u32::MAX);
        let wait = window.front().map_or(self.length, |&oldest| (oldest + self.length).saturating_sub(now));
        let until = wall.plus(wait).as_micros();
        Standing {
            admitted,
            limit,
            remaining: limit.saturating_sub(used),
            reset_s: until.div_euclid(1_000_000) + i64::from(until.rem_euclid(1_000_000) > 0),
            retry_after_s: (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).clamp(1, 60),
        }
    }

    /// Forgets keys without a request in the window, and gives back the memory of busier times.
    pub(crate) fn sweep(&self, now: Duration) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.retain(|_, window| {
            drop_old(window, self.length, now);
            if window.capacity() > 64 + 4 * window.len() {
                window.shrink_to(2 * window.len());
            }
            !window.is_empty()
        });
    }
}

/// Drops what is as old as the window is long, or older.
fn drop_old(window: &mut VecDeque<Duration>, length: Duration, now: Duration) {
    while window.front().is_some_and(|&t| t + length <= now) {
        window.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn wall(ms: u64) -> Timestamp {
        Timestamp::from_millis(1_766_485_800_000 + i64::try_from(ms).unwrap())
    }

    fn ask(limiter: &Limiter, key: ApiKeyId, ms: u64) -> Standing {
        limiter.admit(key, 3, Duration::from_millis(ms), wall(ms))
    }

    #[test]
    fn the_window_slides() {
        let (limiter, key) = (Limiter::new(WINDOW), ApiKeyId::new(wall(0)));
        for (ms, remaining) in [(500, 2), (1_000, 1), (20_000, 0)] {
            let s = ask(&limiter, key, ms);
            assert_eq!((s.admitted, s.remaining, s.reset_s), (true, remaining, 1_766_485_861), "{ms}");
        }
        let refused = ask(&limiter, key, 30_000);
        assert_eq!((refused.admitted, refused.remaining, refused.retry_after_s), (false, 0, 31));
        // Waiting that long is enough, and a refused request did not count.
        let s = ask(&limiter, key, 30_000 + refused.retry_after_s * 1000);
        assert_eq!((s.admitted, s.remaining), (true, 1), "two left the window by then");
        assert!(ask(&limiter, key, 61_000).admitted);
        assert!(!ask(&limiter, key, 61_000).admitted);
    }

    #[test]
    fn a_request_leaves_at_exactly_60_s() {
        let (limiter, key) = (Limiter::new(WINDOW), ApiKeyId::new(wall(0)));
        for _ in 0..3 {
            assert!(ask(&limiter, key, 0).admitted);
        }
        assert_eq!(ask(&limiter, key, 59_999).retry_after_s, 1);
        assert!(ask(&limiter, key, 60_000).admitted);
    }

    #[test]
    fn keys_do_not_share_and_are_forgotten() {
        let limiter = Limiter::new(WINDOW);
        let (a, b) = (ApiKeyId::new(wall(0)), ApiKeyId::new(wall(1)));
        for _ in 0..3 {
            assert!(ask(&limiter, a, 0).admitted);
        }
        assert!(ask(&limiter, b, 0).admitted);
        limiter.sweep(Duration::from_secs(61));
        assert!(limiter.windows.lock().unwrap().is_empty());
    }

    #[test]
    fn exactly_the_limit_is_admitted_whatever_the_threads() {
        let (limiter, key) = (Arc::new(Limiter::new(WINDOW)), ApiKeyId::new(wall(0)));
        let threads: Vec<_> = (0..8u64)
            .map(|n| {
                let limiter = Arc::clone(&limiter);
                std::thread::spawn(move || {
                    (0..100)
                        .filter(|i| limiter.admit(key, 250, Duration::from_millis(i * 8 + n), wall(0)).admitted)
                        .count()
                })
            })
            .collect();
        let admitted: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
        assert_eq!(admitted, 250);
    }
}
