//! How a provider is doing, and whether it is asked: it is left alone for a while after failures.
//!
//! - After five failures in a row: for a minute, then one call decides.
//! - At once, for five minutes, when it refuses the key, has no money left or does not know the model: that does not mend
//!   itself, and every try would send pictures to somebody who does not answer. A changed configuration or a try that
//!   succeeds ends it before.
//! - For as long as it asks for by `Retry-After`, at most an hour.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argus_core::Timestamp;
use argus_core::describe::{DescribeError, DescribeFailure};
use argus_core::provider::{BreakerState, ProviderHealth, ProviderState};

/// Failures in a row that open a breaker.
const FAILURES: u32 = 5;
/// How long it stays open then.
const OPEN: Duration = Duration::from_secs(60);
/// How long it stays open after a failure that does not mend itself.
const OPEN_LONG: Duration = Duration::from_secs(300);
/// Longest wait that a provider is granted.
const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// Closed at first.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    in_a_row: u32,
    open: Option<Open>,
    /// Whether the one call is on its way that decides about an open breaker.
    trial: bool,
    last_error: Option<(String, Timestamp)>,
    last_success_at: Option<Timestamp>,
    passed_over: u64,
}

/// Since when and until when it is not asked.
#[derive(Clone, Copy, Debug)]
struct Open {
    kind: DescribeFailure,
    why: Why,
    since: Timestamp,
    until: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Failures,
    NoUse,
    Asked,
}

impl Breaker {
    /// Whether a call would be let through.
    ///
    /// # Errors
    /// Of the kind of the last failure while the breaker is open, with the time that is left.
    pub(crate) fn look(&self, now: Timestamp) -> Result<(), DescribeError> {
        self.lock().closed(now).map(|_trial| ())
    }

    /// Lets a call through.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub(crate) fn admit(&self, now: Timestamp) -> Result<Admission<'_>, DescribeError> {
        let mut state = self.lock();
        let trial = state.closed(now)?;
        state.trial |= trial;
        Ok(Admission { breaker: self, trial })
    }

    /// Lets a call through whatever was before: somebody asked for it, and it decides as a trial does.
    pub(crate) fn force(&self) -> Admission<'_> {
        self.lock().trial = true;
        Admission { breaker: self, trial: true }
    }

    /// Counts that the provider was not called.
    pub(crate) fn passed_over(&self) {
        let mut state = self.lock();
        state.passed_over = state.passed_over.saturating_add(1);
    }

    /// How often it was not called since the start.
    pub(crate) fn passed_over_count(&self) -> u64 {
        self.lock().passed_over
    }

    /// How it is doing.
    pub(crate) fn health(&self, now: Timestamp) -> ProviderHealth {
        let state = self.lock();
        let open = state.open.filter(|open| open.holds(now));
        let breaker = match (open, state.open) {
            (Some(_), _) => BreakerState::Open,
            (None, Some(over)) if over.why != Why::Asked => BreakerState::HalfOpen,
            (None, _) => BreakerState::Closed,
        };
        let last_error_at = state.last_error.as_ref().map(|(_, at)| *at);
        ProviderHealth {
            state: match (open, last_error_at, state.last_success_at) {
                (Some(_), _, _) => ProviderState::Down,
                (None, None, None) => ProviderState::Unknown,
                (None, _, Some(_)) if state.in_a_row == 0 => ProviderState::Ok,
                (None, _, _) => ProviderState::Degraded,
            },
            last_error: state.last_error.as_ref().map(|(text, _)| text.clone()),
            last_error_at,
            last_success_at: state.last_success_at,
            breaker,
            breaker_until: open.map(|open| open.until),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; and the state is whole after every line that changes it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// A clock that was set back must not keep the breaker open for as long as it was set back.
    fn holds(self, now: Timestamp) -> bool {
        self.since <= now && now < self.until
    }
}

impl State {
    /// Whether a call is let through, and then whether it is the one that decides.
    fn closed(&self, now: Timestamp) -> Result<bool, DescribeError> {
        let Some(open) = self.open else { return Ok(false) };
        let holds = open.holds(now);
        let trial = open.why != Why::Asked;
        let deciding = trial && self.trial;
        if !(holds || deciding) {
            return Ok(trial);
        }
        let left = if holds { open.until.since(now).as_secs().max(1) } else { 1 };
        let why = match (open.why, open.kind) {
            (Why::Failures, _) => format!("it failed {} times in a row", self.in_a_row),
            (Why::Asked, _) => "it asked to be left alone".to_owned(),
            (Why::NoUse, DescribeFailure::Unauthorized) => "it refused the key".to_owned(),
            (Why::NoUse, DescribeFailure::Quota) => "its account has no money left".to_owned(),
            (Why::NoUse, _) => "it does not know the model".to_owned(),
        };
        Err(DescribeError {
            kind: open.kind,
            message: format!("passed over: {why}, next try in {left} s"),
            retry_after: Some(Duration::from_secs(left)),
        })
    }

    fn open(&mut self, kind: DescribeFailure, why: Why, now: Timestamp, span: Duration) {
        self.open = Some(Open { kind, why, since: now, until: now.plus(span) });
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
    pub(crate) fn succeeded(self, now: Timestamp) {
        let mut state = self.breaker.lock();
        state.in_a_row = 0;
        state.open = None;
        state.last_success_at = Some(now);
    }

    /// The call failed; whether the breaker opened by that. One that is not to blame (others had used up its time) is
    /// told, and does not come nearer to an open breaker.
    pub(crate) fn failed(self, error: &DescribeError, to_blame: bool, now: Timestamp) -> bool {
        let mut state = self.breaker.lock();
        state.last_error = Some((error.to_string(), now));
        if !to_blame {
            return false;
        }
        state.in_a_row = state.in_a_row.saturating_add(1);
        let no_use = matches!(
            error.kind,
            DescribeFailure::Unauthorized | DescribeFailure::Quota | DescribeFailure::ModelNotFound
        );
        let pause = error.retry_after.map(|wish| wish.min(MAX_PAUSE)).filter(|wish| !wish.is_zero());
        // Calls that were under way when it opened do not prolong it.
        let was_closed = state.open.is_none_or(|open| open.why == Why::Asked && !open.holds(now));
        if !(was_closed || self.trial) {
            return false;
        }
        if no_use {
            let span = pause.unwrap_or_default().max(OPEN_LONG);
            state.open(error.kind, Why::NoUse, now, span);
        } else if state.in_a_row >= FAILURES || (self.trial && !was_closed && pause.is_none()) {
            let span = pause.unwrap_or_default().max(OPEN);
            state.open(error.kind, Why::Failures, now, span);
        } else if let Some(span) = pause {
            state.open(error.kind, Why::Asked, now, span);
        } else {
            state.open = None;
            return false;
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
    use crate::provider::failure;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_millis(1_766_485_800_000 + s * 1000)
    }

    fn error(kind: DescribeFailure) -> DescribeError {
        failure(kind, "as told")
    }

    fn fail_by(breaker: &Breaker, error: &DescribeError, now: Timestamp) -> bool {
        breaker.admit(now).unwrap().failed(error, true, now)
    }

    fn fail(breaker: &Breaker, now: Timestamp) -> bool {
        fail_by(breaker, &error(DescribeFailure::ServerError), now)
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
        breaker.admit(at(0)).unwrap().succeeded(at(0));
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
        assert!(!trial.failed(&error(DescribeFailure::Timeout), true, at(70)));
        assert_eq!(breaker.admit(at(129)).unwrap_err().kind, DescribeFailure::Timeout);
        breaker.admit(at(130)).unwrap().succeeded(at(130));
        assert!(!fail(&breaker, at(131)));
        assert!(breaker.admit(at(131)).is_ok());
    }

    #[test]
    fn what_does_not_mend_itself_opens_it_at_once_and_longer() {
        for (kind, why) in [
            (DescribeFailure::Unauthorized, "it refused the key"),
            (DescribeFailure::Quota, "its account has no money left"),
            (DescribeFailure::ModelNotFound, "it does not know the model"),
        ] {
            let breaker = Breaker::default();
            assert!(fail_by(&breaker, &error(kind), at(0)), "{kind}");
            let refused = breaker.admit(at(299)).unwrap_err();
            assert_eq!(refused.message, format!("passed over: {why}, next try in 1 s"));
            // And again after a trial that ends alike.
            assert!(!fail_by(&breaker, &error(kind), at(300)), "{kind}");
            assert!(breaker.admit(at(599)).is_err() && breaker.admit(at(600)).is_ok());
        }
    }

    #[test]
    fn a_provider_that_asks_for_time_gets_it() {
        let limited =
            |s| DescribeError { retry_after: Some(Duration::from_secs(s)), ..error(DescribeFailure::RateLimited) };
        let breaker = Breaker::default();
        assert!(fail_by(&breaker, &limited(20), at(0)));
        let refused = breaker.admit(at(5)).unwrap_err();
        assert_eq!(refused.message, "passed over: it asked to be left alone, next try in 15 s");
        assert_eq!(refused.retry_after, Some(Duration::from_secs(15)));
        // Then it is open to everybody: nothing was wrong with it.
        let (one, other) = (breaker.admit(at(20)), breaker.admit(at(20)));
        assert!(one.is_ok() && other.is_ok());
        drop((one, other));
        // Nobody is left alone for a day.
        fail_by(&breaker, &limited(86_400), at(20));
        assert!(breaker.admit(at(3619)).is_err() && breaker.admit(at(3620)).is_ok());
    }

    #[test]
    fn who_is_not_to_blame_is_not_blamed() {
        let breaker = Breaker::default();
        for _ in 0..9 {
            assert!(!breaker.admit(at(0)).unwrap().failed(&error(DescribeFailure::Timeout), false, at(0)));
        }
        assert_eq!(breaker.health(at(0)).breaker, BreakerState::Closed);
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
        assert!(!late.failed(&error(DescribeFailure::Timeout), true, at(50)));
        assert!(breaker.admit(at(60)).is_ok());
    }

    #[test]
    fn a_clock_set_back_closes_it() {
        let breaker = opened(at(0));
        assert!(breaker.admit(at(-3600)).is_ok());
    }

    #[test]
    fn health_tells_what_is_known() {
        let breaker = Breaker::default();
        let state = |s| {
            let health = breaker.health(at(s));
            (health.state, health.breaker, health.breaker_until)
        };
        assert_eq!(breaker.health(at(0)), ProviderHealth::UNKNOWN);
        breaker.admit(at(0)).unwrap().succeeded(at(0));
        assert_eq!(state(0), (ProviderState::Ok, BreakerState::Closed, None));
        fail(&breaker, at(1));
        assert_eq!(state(1), (ProviderState::Degraded, BreakerState::Closed, None));
        let health = breaker.health(at(1));
        assert_eq!(health.last_error.as_deref(), Some("server_error: as told"));
        assert_eq!((health.last_error_at, health.last_success_at), (Some(at(1)), Some(at(0))));
        for _ in 0..4 {
            fail(&breaker, at(2));
        }
        assert_eq!(state(3), (ProviderState::Down, BreakerState::Open, Some(at(62))));
        assert_eq!(state(62), (ProviderState::Degraded, BreakerState::HalfOpen, None));
        breaker.admit(at(63)).unwrap().succeeded(at(63));
        assert_eq!(state(63), (ProviderState::Ok, BreakerState::Closed, None));
    }
}
