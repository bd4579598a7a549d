//! From movement over time to an episode: the pure decision when an event begins and when it ends.

use std::time::Duration;

use crate::Timestamp;
use crate::names::names;

/// The rules of one camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpisodeRules {
    /// Movement that is over sooner makes no episode. Zero: the first moving picture begins it.
    pub min_duration: Duration,
    /// Pause after an episode was closed before the next may begin.
    pub cooldown: Duration,
    /// An episode closes after that long without movement.
    pub post_roll: Duration,
    /// An episode closes at that age at the latest.
    pub max_length: Duration,
}

impl EpisodeRules {
    /// How long a pause in movement may be before the episode closes: the post-roll, but at least one second, or every
    /// hidden step of a walker would begin a new one.
    #[must_use]
    pub fn quiet_for(&self) -> Duration {
        self.post_roll.max(Duration::from_secs(1))
    }
}

names! {
    /// Why an episode closed.
    EndReason {
        /// No movement for the post-roll.
        Quiet = "quiet",
        /// It reached its greatest length.
        MaxLength = "max_length",
        /// The picture was lost.
        Lost = "lost",
        /// Capture was stopped, edited or the server ended.
        Stopped = "stopped",
    }
}

/// What happened at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpisodeInput {
    /// A picture was looked at. `active`: the schedule allows events now.
    Picture {
        /// Whether it shows movement that counts.
        moving: bool,
        /// Whether the schedule allows events now.
        active: bool,
    },
    /// The stream was lost or started anew.
    Lost,
    /// Capture ends.
    Stop,
}

/// What is known between two moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpisodeState {
    /// No episode runs.
    Idle {
        /// No episode begins before this.
        not_before: Option<Timestamp>,
    },
    /// There is movement, but not yet for long enough.
    Rising {
        /// First picture with movement.
        since: Timestamp,
        /// Last picture with movement.
        last_motion: Timestamp,
    },
    /// An episode runs.
    Running {
        /// First picture with movement.
        since: Timestamp,
        /// Last picture with movement.
        last_motion: Timestamp,
    },
}

impl Default for EpisodeState {
    fn default() -> Self {
        Self::Idle { not_before: None }
    }
}

/// What follows from an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpisodeAction {
    /// An episode begins.
    Start {
        /// First picture that belongs to it.
        at: Timestamp,
    },
    /// The running episode saw movement again.
    Extend {
        /// That picture.
        at: Timestamp,
    },
    /// The running episode is over.
    End {
        /// Its first picture.
        since: Timestamp,
        /// Its last picture with movement: the end that is told.
        last_motion: Timestamp,
        /// When it was closed.
        closed_at: Timestamp,
        /// Why.
        reason: EndReason,
    },
}

/// Takes one step. Inputs come in the order of their time; one that is older than the last counts as simultaneous with it.
///
/// At most two actions follow: a running episode that reached its greatest length ends, and the same picture may begin
/// the next when there is no cooldown.
#[must_use]
pub fn step(rules: &EpisodeRules, state: EpisodeState, input: EpisodeInput, now: Timestamp) -> (EpisodeState, Actions) {
    match state {
        EpisodeState::Idle { not_before } => match input {
            EpisodeInput::Picture { moving: true, active: true }
                if not_before.is_none_or(|t| is_over(rules, t, now)) =>
            {
                rise(rules, now, now)
            }
            _ => (state, Actions::none()),
        },
        EpisodeState::Rising { since, last_motion } => match input {
            EpisodeInput::Picture { moving: true, active: true } => rise(rules, since, now.max(last_motion)),
            // One picture without movement between two with it does not break the rise; a second of them does.
            EpisodeInput::Picture { active: true, .. } if now.since(last_motion) < Duration::from_secs(1) => {
                (state, Actions::none())
            }
            _ => (EpisodeState::default(), Actions::none()),
        },
        EpisodeState::Running { since, last_motion } => {
            let moving = matches!(input, EpisodeInput::Picture { moving: true, active: true });
            let now = now.max(last_motion);
            let end = |last_motion: Timestamp, closed_at: Timestamp, reason: EndReason| {
                let idle = EpisodeState::Idle { not_before: Some(closed_at.plus(rules.cooldown)) };
                (idle, Actions::one(EpisodeAction::End { since, last_motion, closed_at, reason }))
            };
            match input {
                EpisodeInput::Lost => end(last_motion, now, EndReason::Lost),
                EpisodeInput::Stop => end(last_motion, now, EndReason::Stopped),
                EpisodeInput::Picture { .. } if now.since(last_motion) >= rules.quiet_for() => {
                    // The pause was long enough before this picture came, moving or not.
                    let closed = end(last_motion, last_motion.plus(rules.quiet_for()), EndReason::Quiet);
                    if moving { then(rules, closed, input, now) } else { closed }
                }
                EpisodeInput::Picture { .. } if now.since(since) >= rules.max_length => {
                    let last = if moving { since.plus(rules.max_length).min(now) } else { last_motion };
                    let closed = end(last, since.plus(rules.max_length).min(now), EndReason::MaxLength);
                    if moving { then(rules, closed, input, now) } else { closed }
                }
                EpisodeInput::Picture { .. } if moving => {
                    (EpisodeState::Running { since, last_motion: now }, Actions::one(EpisodeAction::Extend { at: now }))
                }
                EpisodeInput::Picture { .. } => (state, Actions::none()),
            }
        }
    }
}

/// Whether a cooldown that ends at `end` is over. A clock that was set back by more than a minute ends it as well: the
/// camera would be silent until the old time comes again.
fn is_over(rules: &EpisodeRules, end: Timestamp, now: Timestamp) -> bool {
    now >= end || end.since(now) > rules.cooldown + Duration::from_secs(60)
}

/// Movement from `since` to `now`: an episode, once it has lasted long enough.
fn rise(rules: &EpisodeRules, since: Timestamp, now: Timestamp) -> (EpisodeState, Actions) {
    if now.since(since) >= rules.min_duration {
        (EpisodeState::Running { since, last_motion: now }, Actions::one(EpisodeAction::Start { at: since }))
    } else {
        (EpisodeState::Rising { since, last_motion: now }, Actions::none())
    }
}

/// Lets the same picture be looked at again after an episode was closed.
fn then(
    rules: &EpisodeRules,
    (state, first): (EpisodeState, Actions),
    input: EpisodeInput,
    now: Timestamp,
) -> (EpisodeState, Actions) {
    let (state, second) = step(rules, state, input, now);
    (state, Actions { first: first.first, second: second.first })
}

/// Up to two actions, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actions {
    first: Option<EpisodeAction>,
    second: Option<EpisodeAction>,
}

impl Actions {
    fn none() -> Self {
        Self { first: None, second: None }
    }

    fn one(action: EpisodeAction) -> Self {
        Self { first: Some(action), second: None }
    }
}

impl IntoIterator for Actions {
    type Item = EpisodeAction;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<EpisodeAction>, 2>>;

    fn into_iter(self) -> Self::IntoIter {
        [self.first, self.second].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: i64 = 1_766_485_800_000;

    fn rules() -> EpisodeRules {
        EpisodeRules {
            min_duration: Duration::ZERO,
            cooldown: Duration::from_secs(10),
            post_roll: Duration::from_secs(3),
            max_length: Duration::from_secs(20),
        }
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(BASE + ms)
    }

    /// Runs pictures (milliseconds, moving) and tells the actions as `start 0`, `end 0-2000@5000 quiet`.
    fn run(rules: &EpisodeRules, inputs: impl IntoIterator<Item = (i64, EpisodeInput)>) -> Vec<String> {
        let ms = |t: Timestamp| t.as_millis() - BASE;
        let mut state = EpisodeState::default();
        let mut told = vec![];
        for (when, input) in inputs {
            let (next, actions) = step(rules, state, input, at(when));
            state = next;
            for a in actions {
                match a {
                    EpisodeAction::Start { at } => told.push(format!("start {}", ms(at))),
                    EpisodeAction::Extend { .. } => {}
                    EpisodeAction::End { since, last_motion, closed_at, reason } => {
                        told.push(format!("end {}-{}@{} {reason}", ms(since), ms(last_motion), ms(closed_at)));
                    }
                }
            }
        }
        told
    }

    fn pictures(moving: impl Fn(i64) -> bool, until_ms: i64) -> Vec<(i64, EpisodeInput)> {
        (0..until_ms / 200)
            .map(|i| (i * 200, EpisodeInput::Picture { moving: moving(i * 200), active: true }))
            .collect()
    }

    #[test]
    fn an_episode_ends_after_the_post_roll() {
        let told = run(&rules(), pictures(|t| (1000..=2000).contains(&t), 9000));
        assert_eq!(told, ["start 1000", "end 1000-2000@5000 quiet"]);
    }

    #[test]
    fn the_cooldown_counts_from_the_close() {
        let told = run(&rules(), pictures(|t| (0..=1000).contains(&t) || (8000..=15000).contains(&t), 25000));
        assert_eq!(told, ["start 0", "end 0-1000@4000 quiet", "start 14000", "end 14000-15000@18000 quiet"]);
    }

    #[test]
    fn long_movement_is_cut_and_goes_on_without_cooldown() {
        let rules = EpisodeRules { cooldown: Duration::ZERO, ..rules() };
        let told = run(&rules, pictures(|_| true, 30000));
        assert_eq!(told, ["start 0", "end 0-20000@20000 max_length", "start 20000"]);
    }

    #[test]
    fn a_flash_is_no_episode_with_a_minimum_duration() {
        let rules = EpisodeRules { min_duration: Duration::from_millis(500), ..rules() };
        assert!(run(&rules, pictures(|t| t == 1000, 5000)).is_empty());
        let told = run(&rules, pictures(|t| (1000..=1600).contains(&t), 9000));
        assert_eq!(told, ["start 1000", "end 1000-1600@4600 quiet"]);
    }

    #[test]
    fn a_lost_stream_and_a_stop_close_at_once() {
        for (input, name) in [(EpisodeInput::Lost, "lost"), (EpisodeInput::Stop, "stopped")] {
            let mut inputs = pictures(|t| t <= 400, 1000);
            inputs.push((1200, input));
            assert_eq!(run(&rules(), inputs), ["start 0".to_owned(), format!("end 0-400@1200 {name}")]);
        }
    }

    #[test]
    fn outside_the_schedule_nothing_begins_and_what_runs_fades() {
        let inputs = pictures(|_| true, 10000)
            .into_iter()
            .map(|(t, _)| (t, EpisodeInput::Picture { moving: true, active: (2000..3000).contains(&t) }));
        assert_eq!(run(&rules(), inputs), ["start 2000", "end 2000-2800@5800 quiet"]);
    }

    #[test]
    fn a_gap_in_the_pictures_closes_where_the_pause_was_long_enough() {
        let p = |t, moving| (t, EpisodeInput::Picture { moving, active: true });
        let told = run(&rules(), [p(0, true), p(60_000, true), p(60_200, false)]);
        assert_eq!(told, ["start 0", "end 0-0@3000 quiet", "start 60000"]);
    }

    #[test]
    fn a_clock_set_back_by_hours_ends_the_cooldown() {
        let p = |t, moving| (t, EpisodeInput::Picture { moving, active: true });
        let hour = 3_600_000;
        let told = run(&rules(), [p(3 * hour, true), p(3 * hour + 3000, false), p(0, true), p(200, true)]);
        assert_eq!(told, ["start 10800000", "end 10800000-10800000@10803000 quiet", "start 0"]);
    }

    #[test]
    fn time_that_runs_backwards_does_no_harm() {
        let p = |t, moving| (t, EpisodeInput::Picture { moving, active: true });
        let told = run(&rules(), [p(5000, true), p(1000, true), p(5200, false), p(9000, false)]);
        assert_eq!(told, ["start 5000", "end 5000-5000@8000 quiet"]);
    }
}
