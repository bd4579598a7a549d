//! Notices that a stream died without a word: an open connection, no data, for days.

use std::time::Duration;

use tokio::time::Instant;

use crate::Tuning;

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Look again then.
    Wait(Instant),
    /// Ask whether it lives.
    Ping,
    /// Give it up.
    Dead(&'static str),
}

/// Watches one connection.
#[derive(Debug)]
pub(crate) struct Watch {
    every: Duration,
    deadline: Duration,
    suspect: Option<Duration>,
    silent: Option<Duration>,
    message: Instant,
    heard: Instant,
    asked: Instant,
    /// A ping is out since then.
    open: Option<Instant>,
}

impl Watch {
    /// For a stream that always has something to tell.
    pub(crate) fn talkative(tuning: &Tuning, now: Instant) -> Self {
        Self { suspect: Some(tuning.suspect_after), silent: Some(tuning.silent_after), ..Self::quiet(tuning, now) }
    }

    /// For a stream that may be silent for hours: only pings tell whether it lives.
    pub(crate) fn quiet(tuning: &Tuning, now: Instant) -> Self {
        Self {
            every: tuning.ping_every,
            deadline: tuning.ping_deadline,
            suspect: None,
            silent: None,
            message: now,
            heard: now,
            asked: now,
            open: None,
        }
    }

    /// Something came.
    pub(crate) fn heard(&mut self, now: Instant, is_message: bool) {
        self.heard = now;
        self.open = None;
        if is_message {
            self.message = now;
        }
    }

    /// How long there was no message.
    pub(crate) fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.message)
    }

    /// How long nothing was heard at all.
    pub(crate) fn unheard(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.heard)
    }

    /// What to do now.
    pub(crate) fn step(&mut self, now: Instant) -> Step {
        let deadline = |from: Instant, d: Duration| from.checked_add(d).unwrap_or(from);
        if let Some(open) = self.open.filter(|open| now >= deadline(*open, self.deadline)) {
            debug_assert!(open >= self.heard);
            return Step::Dead("it no longer answers");
        }
        if self.silent.is_some_and(|silent| self.silence(now) >= silent) {
            return Step::Dead("it is connected but says nothing");
        }
        // Suspicion asks at once, unless it was asked since the last message.
        let suspect = self.suspect.map(|s| deadline(self.message, s)).filter(|_| self.asked <= self.message);
        let regular = deadline(self.asked.max(self.heard), self.every);
        let due = suspect.map_or(regular, |s| s.min(regular));
        if now >= due && self.open.is_none() {
            self.asked = now;
            self.open = Some(now);
            return Step::Ping;
        }
        let mut next = self.open.map_or(due, |open| deadline(open, self.deadline));
        if let Some(silent) = self.silent {
            next = next.min(deadline(self.message, silent));
        }
        Step::Wait(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays seconds: `hears` says what comes in at a second (`m`essage, `p`ong), and gives what was done when.
    fn play(
        mut watch: Watch,
        start: Instant,
        until: u64,
        hears: impl Fn(u64, bool) -> Option<bool>,
    ) -> Vec<(u64, &'static str)> {
        let mut done = Vec::new();
        let mut pinged = false;
        for second in 0..=until {
            let now = start + Duration::from_secs(second);
            if let Some(is_message) = hears(second, pinged) {
                watch.heard(now, is_message);
                pinged = false;
            }
            match watch.step(now) {
                Step::Ping => {
                    pinged = true;
                    done.push((second, "ping"));
                }
                Step::Dead(_) => {
                    done.push((second, "dead"));
                    return done;
                }
                Step::Wait(next) => assert!(next > now, "a wait that is over at {second}"),
            }
        }
        done
    }

    #[test]
    fn silent_streams_are_given_up() {
        let t = Tuning::default();
        let start = Instant::now();
        // Pongs but no messages: 300 s.
        let done = play(Watch::talkative(&t, start), start, 400, |_, pinged| pinged.then_some(false));
        assert_eq!(done.last(), Some(&(300, "dead")));
        assert!(done.len() >= 9, "{done:?}");
        // Nothing at all: the first ping and its deadline.
        let done = play(Watch::talkative(&t, start), start, 400, |_, _| None);
        assert_eq!(done, [(30, "ping"), (45, "dead")]);
        // A quiet stream with pongs lives.
        let done = play(Watch::quiet(&t, start), start, 3600, |_, pinged| pinged.then_some(false));
        assert!(done.iter().all(|(_, what)| *what == "ping") && done.len() > 100);
        // Messages every 7 s need no ping.
        assert_eq!(play(Watch::talkative(&t, start), start, 600, |s, _| (s % 7 == 0).then_some(true)), []);
    }
}
