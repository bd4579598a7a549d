//! Failed sign-ins: how many there may be, in bounded memory.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argus_core::{Clock, Timestamp};
use tokio::sync::Notify;

use crate::error::ApiError;
use crate::random;

/// How long a failure counts.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Failures of one address with one username.
const PER_NAME: usize = 5;
/// Failures of one address, whatever the username.
const PER_ADDRESS: usize = 50;
/// Wrong setup tokens of one address.
const PER_SETUP: usize = 5;
/// Most addresses, and most pairs, that are remembered; beyond, those whose last failure is the oldest are forgotten.
const REMEMBERED: usize = 20_000;
/// How long an attempt waits for others whose end decides about it.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where an attempt comes from: an address, of IPv6 the /64, which is what one customer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Network {
    Unknown,
    V4([u8; 4]),
    V6([u8; 8]),
}

impl From<Option<IpAddr>> for Network {
    fn from(ip: Option<IpAddr>) -> Self {
        match ip.map(|ip| ip.to_canonical()) {
            None => Self::Unknown,
            Some(IpAddr::V4(ip)) => Self::V4(ip.octets()),
            Some(IpAddr::V6(ip)) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// What is known of one key.
#[derive(Default)]
struct Record {
    /// Moments of failures, oldest first.
    failed: VecDeque<Timestamp>,
    /// Attempts that have not ended yet.
    running: usize,
}

/// What may be done now.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Go,
    /// It depends on how the attempts end that are running.
    Wait,
    /// Whole seconds until the oldest failure does not count any more.
    Refuse(u64),
}

/// Failures by key.
struct Failures<K> {
    records: HashMap<K, Record>,
    most: usize,
}

impl<K: Copy + Eq + Hash> Failures<K> {
    fn new(most: usize) -> Self {
        Self { records: HashMap::new(), most }
    }

    fn verdict(&mut self, key: K, now: Timestamp) -> Verdict {
        let Some(record) = self.records.get_mut(&key) else { return Verdict::Go };
        forget(record, now);
        if record.failed.len() >= self.most {
            let oldest = record.failed.front().copied().unwrap_or(now);
            let wait = oldest.plus(WINDOW).since(now);
            Verdict::Refuse((wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1))
        } else if record.failed.len() + record.running >= self.most {
            Verdict::Wait
        } else {
            Verdict::Go
        }
    }

    fn begin(&mut self, key: K) {
        self.record(key).running += 1;
    }

    fn end(&mut self, key: K) {
        if let Some(record) = self.records.get_mut(&key) {
            record.running = record.running.saturating_sub(1);
        }
    }

    fn fail(&mut self, key: K, now: Timestamp) {
        let record = self.record(key);
        record.failed.push_back(now);
    }

    fn clear(&mut self, key: K) {
        if let Some(record) = self.records.get_mut(&key) {
            record.failed.clear();
        }
    }

    fn record(&mut self, key: K) -> &mut Record {
        if self.records.len() >= REMEMBERED && !self.records.contains_key(&key) {
            let idle = self.records.iter().filter(|(_, r)| r.running == 0);
            if let Some(oldest) = idle.min_by_key(|(_, r)| r.failed.back().copied()).map(|(k, _)| *k) {
                self.records.remove(&oldest);
            }
        }
        self.records.entry(key).or_default()
    }

    fn sweep(&mut self, now: Timestamp) {
        self.records.retain(|_, record| {
            forget(record, now);
            record.running > 0 || !record.failed.is_empty()
        });
    }
}

/// Drops what is 15 minutes old or older.
fn forget(record: &mut Record, now: Timestamp) {
    while record.failed.front().is_some_and(|t| t.plus(WINDOW) <= now) {
        record.failed.pop_front();
    }
}

struct Books {
    names: Failures<(Network, [u8; 32])>,
    addresses: Failures<Network>,
    setups: Failures<Network>,
}

/// Failed sign-ins and wrong setup tokens.
pub(crate) struct Attempts {
    /// A plain mutex: what happens under it takes microseconds.
    books: Mutex<Books>,
    ended: Notify,
}

impl Default for Attempts {
    fn default() -> Self {
        let books = Books {
            names: Failures::new(PER_NAME),
            addresses: Failures::new(PER_ADDRESS),
            setups: Failures::new(PER_SETUP),
        };
        Self { books: Mutex::new(books), ended: Notify::new() }
    }
}

impl Attempts {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an attempt to sign in. While others run that may use up what is left, it waits for their end: so that
    /// many at once are no way around the limit, and many good ones are no failure.
    ///
    /// # Errors
    /// `TooManyFailures`; `Busy` when the others do not end.
    pub(crate) async fn begin(
        &self,
        from: Network,
        username: &str,
        clock: &dyn Clock,
    ) -> Result<Attempt<'_>, ApiError> {
        let pair = (from, random::hash(username));
        let admitted = tokio::time::timeout(PATIENCE, async {
            loop {
                let mut ended = pin!(self.ended.notified());
                // From here on no end is missed.
                ended.as_mut().enable();
                if let Some(answer) = self.try_begin(pair, clock.now()) {
                    return answer;
                }
                ended.await;
            }
        });
        match admitted.await {
            Ok(Ok(())) => Ok(Attempt { attempts: self, pair }),
            Ok(Err(retry_after_s)) => Err(ApiError::TooManyFailures { retry_after_s }),
            Err(_elapsed) => Err(ApiError::Busy("too many sign-ins are running")),
        }
    }

    fn try_begin(&self, pair: (Network, [u8; 32]), now: Timestamp) -> Option<Result<(), u64>> {
        let mut books = self.books();
        match (books.names.verdict(pair, now), books.addresses.verdict(pair.0, now)) {
            (Verdict::Refuse(a), Verdict::Refuse(b)) => Some(Err(a.max(b))),
            (Verdict::Refuse(wait), _) | (_, Verdict::Refuse(wait)) => Some(Err(wait)),
            (Verdict::Wait, _) | (_, Verdict::Wait) => None,
            (Verdict::Go, Verdict::Go) => {
                books.names.begin(pair);
                books.addresses.begin(pair.0);
                Some(Ok(()))
            }
        }
    }

    /// Whether this address may try a setup token.
    ///
    /// # Errors
    /// `TooManyFailures`.
    pub(crate) fn may_try_setup(&self, from: Network, now: Timestamp) -> Result<(), ApiError> {
        match self.books().setups.verdict(from, now) {
            Verdict::Refuse(retry_after_s) => Err(ApiError::TooManyFailures { retry_after_s }),
            Verdict::Go | Verdict::Wait => Ok(()),
        }
    }

    /// Counts a wrong setup token.
    pub(crate) fn wrong_setup(&self, from: Network, now: Timestamp) {
        self.books().setups.fail(from, now);
    }

    /// Forgets what does not count any more.
    pub(crate) fn sweep(&self, now: Timestamp) {
        let mut books = self.books();
        books.names.sweep(now);
        books.addresses.sweep(now);
        books.setups.sweep(now);
    }
}

/// An attempt to sign in that has not ended. Dropped, it never was.
pub(crate) struct Attempt<'a> {
    attempts: &'a Attempts,
    pair: (Network, [u8; 32]),
}

impl Attempt<'_> {
    /// The password was wrong.
    pub(crate) fn failed(self, now: Timestamp) {
        let mut books = self.attempts.books();
        books.names.fail(self.pair, now);
        books.addresses.fail(self.pair.0, now);
    }

    /// It was right: earlier failures with this name are forgotten.
    pub(crate) fn passed(self) {
        self.attempts.books().names.clear(self.pair);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut books = self.attempts.books();
        books.names.end(self.pair);
        books.addresses.end(self.pair.0);
        drop(books);
        self.attempts.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use argus_core::ManualClock;

    use super::*;

    fn clock() -> Arc<ManualClock> {
        Arc::new(ManualClock::new(Timestamp::from_millis(1_766_485_800_000)))
    }

    fn net(text: &str) -> Network {
        Some(text.parse::<IpAddr>().unwrap()).into()
    }

    async fn fail(attempts: &Attempts, from: Network, name: &str, clock: &ManualClock) -> Option<u64> {
        match attempts.begin(from, name, clock).await {
            Ok(attempt) => {
                attempt.failed(clock.now());
                None
            }
            Err(ApiError::TooManyFailures { retry_after_s }) => Some(retry_after_s),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_network_is_an_address_or_its_64() {
        assert_eq!(net("2001:db8::1"), net("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(net("2001:db8::1"), net("2001:db8:0:1::1"));
        assert_ne!(net("10.0.0.1"), net("10.0.0.2"));
        assert_eq!(net("::ffff:10.0.0.1"), net("10.0.0.1"));
    }

    #[tokio::test]
    async fn five_failures_are_the_most_until_the_oldest_is_old() {
        let (attempts, clock, from) = (Attempts::default(), clock(), net("10.0.0.1"));
        for _ in 0..5 {
            assert_eq!(fail(&attempts, from, "ada", &clock).await, None);
            clock.advance(Duration::from_secs(60));
        }
        assert_eq!(fail(&attempts, from, "ada", &clock).await, Some(600));
        assert_eq!(fail(&attempts, from, "bob", &clock).await, None);
        assert_eq!(fail(&attempts, net("10.0.0.2"), "ada", &clock).await, None);
        clock.advance(Duration::from_millis(599_500));
        assert_eq!(fail(&attempts, from, "ada", &clock).await, Some(1));
        clock.advance(Duration::from_millis(500));
        assert_eq!(fail(&attempts, from, "ada", &clock).await, None, "waiting that long is enough");
        assert_eq!(fail(&attempts, from, "ada", &clock).await, Some(60), "for one");
    }

    #[tokio::test]
    async fn a_success_clears_the_name_and_not_the_address() {
        let (attempts, clock, from) = (Attempts::default(), clock(), net("10.0.0.1"));
        for i in 0..50 {
            if i % 4 == 3 {
                attempts.begin(from, "ada", &*clock).await.ok().unwrap().passed();
            }
            assert_eq!(fail(&attempts, from, "ada", &clock).await, None, "{i}");
        }
        assert_eq!(fail(&attempts, from, "ada", &clock).await, Some(900));
        assert_eq!(fail(&attempts, from, "eve", &clock).await, Some(900));
        assert_eq!(fail(&attempts, net("10.0.0.2"), "eve", &clock).await, None);
    }

    #[tokio::test]
    async fn many_at_once_are_no_way_around() {
        let (attempts, clock, from) = (Arc::new(Attempts::default()), clock(), net("10.0.0.1"));
        let many: Vec<_> = (0..40)
            .map(|_| {
                let (attempts, clock) = (Arc::clone(&attempts), Arc::clone(&clock));
                tokio::spawn(async move {
                    let Ok(attempt) = attempts.begin(from, "ada", &*clock).await else { return 0 };
                    tokio::task::yield_now().await;
                    attempt.failed(clock.now());
                    1
                })
            })
            .collect();
        let mut tried = 0;
        for one in many {
            tried += one.await.unwrap();
        }
        assert_eq!(tried, 5);
    }

    #[tokio::test]
    async fn many_good_ones_at_once_all_pass() {
        let (attempts, clock, from) = (Arc::new(Attempts::default()), clock(), net("10.0.0.1"));
        let many: Vec<_> = (0..80)
            .map(|i| {
                let (attempts, clock) = (Arc::clone(&attempts), Arc::clone(&clock));
                tokio::spawn(async move {
                    let attempt = attempts.begin(from, "ada", &*clock).await.ok().unwrap();
                    tokio::task::yield_now().await;
                    // What is dropped was no failure either.
                    if i % 2 == 0 { attempt.passed() } else { drop(attempt) }
                })
            })
            .collect();
        for one in many {
            one.await.unwrap();
        }
        attempts.sweep(clock.now());
        assert!(attempts.books().names.records.is_empty() && attempts.books().addresses.records.is_empty());
    }

    #[test]
    fn memory_has_a_bound_and_the_newest_are_kept() {
        let mut failures = Failures::<usize>::new(2);
        let at = |i: usize| Timestamp::from_millis(i64::try_from(i).unwrap());
        for i in 0..REMEMBERED + 10 {
            failures.fail(i, at(i));
        }
        assert_eq!(failures.records.len(), REMEMBERED);
        assert!(!failures.records.contains_key(&9) && failures.records.contains_key(&10));
        failures.sweep(at(REMEMBERED + 10).plus(WINDOW));
        assert!(failures.records.is_empty());
    }
}
