//! Leaves a provider alone that fails again and again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argus_core::Timestamp;
use argus_core::describe::{DescribeError, DescribeFailure};

use crate::provider::failure;

/// Failures in a row that open a breaker.
const FAILURES: u32 = 5;
/// How long it stays open.
const OPEN: Duration = Duration::from_secs(60);

/// Closed at first; open for [`OPEN`] after [`FAILURES`] failures in a row; then one call decides.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    in_a_row: u32,
    /// The kind of the last failure, and since when the breaker is open.
    open: Option<(DescribeFailure, Timestamp)>,
    /// Whether the one call is on its way that decides about an open breaker.
    trial: bool,
}

impl Breaker {
    /// Lets a call through.
    ///
    /// # Errors
    /// Of the kind of the last failure while the breaker is open.
    pub(crate) fn admit(&self, now: Timestamp) -> Result<Admission<'_>, DescribeError> {
        let mut state = self.lock();
        if let Some((kind, since)) = state.open {
            // A clock that was set back must not keep the breaker open for as long as it was set back.
            let open = since <= now && now.since(since) < OPEN;
            if open || state.trial {
                let left = OPEN.saturating_sub(now.since(since)).as_secs().max(1);
                let message = format!("passed over: it failed {} times in a row, next try in {left} s", state.in_a_row);
                return Err(failure(kind, message));
            }
            state.trial = true;
            return Ok(Admission { breaker: self, trial: true });
        }
        Ok(Admission { breaker: self, trial: false })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; and the state is whole after every line that changes it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that was let through. Dropped without a verdict (the caller went away), it changes nothing.
#[derive(Debug)]
pub(crate) struct Admission<'a> {
    breaker: &'a Breaker,
    trial: bool,
}

impl Admission<'_> {
    /// The call was answered.
    pub(crate) fn succeeded(self) {
        let mut state = self.breaker.lock();
        state.in_a_row = 0;
        state.open = None;
    }

    /// The call failed; whether the breaker opened by that.
    pub(crate) fn failed(self, kind: DescribeFailure, now: Timestamp) -> bool {
        let mut state = self.breaker.lock();
        state.in_a_row = state.in_a_row.saturating_add(1);
        if state.in_a_row < FAILURES {
            return false;
        }
        let was_closed = state.open.is_none();
        if was_closed || self.trial {
            state.open = Some((kind, now));
        }
        was_closed
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if self.trial {
            self.breaker.lock().trial = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_millis(1_766_485_800_000 + s * 1000)
    }

    fn fail(breaker: &Breaker, now: Timestamp) -> bool {
        breaker.admit(now).unwrap().failed(DescribeFailure::ServerError, now)
    }

    fn opened(now: Timestamp) -> Breaker {
        let breaker = Breaker::default();
        for n in 1..=5 {
            assert_eq!(fail(&breaker, now), n == 5, "failure {n}");
        }
        breaker
    }

    #[test]
    fn five_failures_in_a_row_open_it_for_a_minute() {
        let breaker = opened(at(0));
        let refused = breaker.admit(at(59)).unwrap_err();
        assert_eq!(refused.kind, DescribeFailure::ServerError);
        assert_eq!(refused.message, "passed over: it failed 5 times in a row, next try in 1 s");
        assert!(breaker.admit(at(60)).is_ok());
    }

    #[test]
    fn a_success_between_starts_the_count_again() {
        let breaker = Breaker::default();
        for _ in 0..4 {
            fail(&breaker, at(0));
        }
        breaker.admit(at(0)).unwrap().succeeded();
        for _ in 0..4 {
            assert!(!fail(&breaker, at(0)));
        }
        assert!(fail(&breaker, at(0)));
    }

    #[test]
    fn one_trial_decides() {
        let breaker = opened(at(0));
        let trial = breaker.admit(at(61)).unwrap();
        assert!(breaker.admit(at(61)).is_err(), "a second call beside the trial");
        assert!(!trial.failed(DescribeFailure::Timeout, at(70)));
        assert_eq!(breaker.admit(at(129)).unwrap_err().kind, DescribeFailure::Timeout);
        breaker.admit(at(130)).unwrap().succeeded();
        assert!(!fail(&breaker, at(131)));
        assert!(breaker.admit(at(131)).is_ok());
    }

    #[test]
    fn an_abandoned_trial_frees_its_place() {
        let breaker = opened(at(0));
        drop(breaker.admit(at(61)).unwrap());
        assert!(breaker.admit(at(61)).is_ok());
    }

    #[test]
    fn calls_that_were_under_way_do_not_prolong_it() {
        let breaker = Breaker::default();
        let late = breaker.admit(at(0)).unwrap();
        for _ in 0..5 {
            fail(&breaker, at(0));
        }
        assert!(!late.failed(DescribeFailure::Timeout, at(50)));
        assert!(breaker.admit(at(60)).is_ok());
    }

    #[test]
    fn a_clock_set_back_closes_it() {
        let breaker = opened(at(0));
        assert!(breaker.admit(at(-3600)).is_ok());
    }
}
