//! How many calls a provider gets at the same time, and how many are begun in a minute.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The span in which calls are counted.
const MINUTE: Duration = Duration::from_secs(60);

/// Lets calls begin in the order in which they came.
#[derive(Debug)]
pub(crate) struct Gate {
    max_concurrent: u8,
    per_minute: Option<u16>,
    places: Arc<Semaphore>,
    /// When the calls of the last minute were begun, oldest first: at most as many as may be.
    begun: Arc<Mutex<VecDeque<Instant>>>,
}

/// Which limit kept a call from being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Busy {
    /// So many are under way.
    Concurrent(u8),
    /// So many were begun within a minute.
    Minute(u16),
}

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Concurrent(1) => f.write_str("the one call that it may have at a time is under way"),
            Self::Concurrent(n) => write!(f, "the {n} calls that it may have at a time are under way"),
            Self::Minute(n) => write!(f, "the {n} calls that it may have in a minute were made"),
        }
    }
}

impl Gate {
    pub(crate) fn new(max_concurrent: u8, per_minute: Option<u16>) -> Self {
        Self {
            max_concurrent,
            per_minute,
            places: Arc::new(Semaphore::new(max_concurrent.max(1).into())),
            begun: Arc::default(),
        }
    }

    /// The same with other limits. What was begun counts on; calls that are under way leave their places to nobody when
    /// the number of places changed.
    pub(crate) fn with(&self, max_concurrent: u8, per_minute: Option<u16>) -> Self {
        let places = if max_concurrent == self.max_concurrent {
            Arc::clone(&self.places)
        } else {
            Arc::new(Semaphore::new(max_concurrent.max(1).into()))
        };
        Self { max_concurrent, per_minute, places, begun: Arc::clone(&self.begun) }
    }

    /// Waits at most so long for the turn of a call.
    ///
    /// # Errors
    /// The limit that kept it from coming.
    pub(crate) async fn turn(&self, patience: Duration) -> Result<Turn<'_>, Busy> {
        let until = Instant::now() + patience;
        let wait = tokio::time::timeout_at(until, Arc::clone(&self.places).acquire_owned());
        // A place that is free is taken whether there is time to wait or not.
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => place,
            Err(_none_free) => match wait.await {
                Ok(Ok(place)) => place,
                Ok(Err(_)) | Err(_) => return Err(Busy::Concurrent(self.max_concurrent)),
            },
        };
        let begun = self.begin(until).await?;
        Ok(Turn { gate: self, begun, _place: place })
    }

    /// Waits until a call more may be begun, and counts it.
    async fn begin(&self, until: Instant) -> Result<Instant, Busy> {
        loop {
            let now = Instant::now();
            let free_at = {
                let mut begun = self.lock();
                while begun.front().is_some_and(|first| now.duration_since(*first) >= MINUTE) {
                    begun.pop_front();
                }
                let Some(most) = self.per_minute else { return Ok(now) };
                let over = begun.len().checked_sub(usize::from(most.max(1)));
                match over.and_then(|over| begun.get(over)) {
                    None => {
                        begun.push_back(now);
                        return Ok(now);
                    }
                    Some(first) => *first + MINUTE,
                }
            };
            if free_at > until {
                return Err(Busy::Minute(self.per_minute.unwrap_or_default()));
            }
            tokio::time::sleep_until(free_at).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Instant>> {
        // Nothing panics while it is held; and the queue is whole after every line that changes it.
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn of a call: its place is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    gate: &'a Gate,
    begun: Instant,
    _place: OwnedSemaphorePermit,
}

impl Turn<'_> {
    /// One call more in the same place.
    ///
    /// # Errors
    /// The limit that kept it from being made.
    pub(crate) async fn again(&mut self, patience: Duration) -> Result<(), Busy> {
        self.begun = self.gate.begin(Instant::now() + patience).await?;
        Ok(())
    }

    /// The call was not made after all.
    pub(crate) fn unused(self) {
        let mut begun = self.gate.lock();
        if let Some(at) = begun.iter().rposition(|one| *one == self.begun) {
            begun.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn no_more_than_so_many_at_a_time() {
        let gate = Gate::new(2, None);
        let (one, _two) = (gate.turn(Duration::ZERO).await.unwrap(), gate.turn(Duration::ZERO).await.unwrap());
        assert_eq!(gate.turn(3 * SECOND).await.unwrap_err(), Busy::Concurrent(2));
        drop(one);
        assert!(gate.turn(Duration::ZERO).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_so_many_in_any_minute() {
        let gate = Gate::new(64, Some(3));
        let start = Instant::now();
        let mut begun = Vec::new();
        for _ in 0..7 {
            drop(gate.turn(600 * SECOND).await.unwrap());
            begun.push(start.elapsed().as_secs());
            tokio::time::advance(10 * SECOND).await;
        }
        assert_eq!(begun, [0, 10, 20, 60, 70, 80, 120]);
        drop(gate.turn(Duration::ZERO).await.unwrap());
        // The oldest of the three is one of ten seconds from now.
        assert_eq!(gate.turn(9 * SECOND).await.unwrap_err(), Busy::Minute(3));
        assert!(gate.turn(10 * SECOND).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_was_not_made_does_not_count() {
        let gate = Gate::new(1, Some(1));
        gate.turn(Duration::ZERO).await.unwrap().unused();
        let mut turn = gate.turn(Duration::ZERO).await.unwrap();
        assert_eq!(turn.again(SECOND).await, Err(Busy::Minute(1)));
        assert_eq!(turn.again(60 * SECOND).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn new_limits_keep_what_was_counted() {
        let gate = Gate::new(1, Some(2));
        for _ in 0..2 {
            drop(gate.turn(Duration::ZERO).await.unwrap());
        }
        assert!(gate.with(5, Some(2)).turn(SECOND).await.is_err());
        assert!(gate.with(5, Some(1)).turn(59 * SECOND).await.is_err());
        assert!(gate.with(5, Some(3)).turn(SECOND).await.is_ok());
        assert!(gate.with(5, None).turn(SECOND).await.is_ok());
        let held = gate.with(1, None);
        let _held = held.turn(Duration::ZERO).await.unwrap();
        assert!(gate.with(1, None).turn(SECOND).await.is_err(), "the place is the same one");
    }
}
