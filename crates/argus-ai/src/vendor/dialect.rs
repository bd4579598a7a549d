//! What an endpoint understands of the ways to ask for JSON and to limit its length.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::fault::Fault;
use super::{Asked, Question};

/// How the form of the answer is asked for, from the strictest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// By a JSON schema.
    Schema,
    /// As JSON of any form; where a vendor has no such way, the next best.
    Object,
    /// By the prompt alone.
    Prompt,
}

/// A way to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    /// The form of the answer.
    pub(super) format: Format,
    /// Whether the first name of the limit of tokens was refused, so that the other one is used.
    pub(super) other_limit: bool,
}

impl Dialect {
    /// The way to begin with.
    const STRICT: Self = Self { format: Format::Schema, other_limit: false };

    /// The next way to ask after a refusal that is about this one. There are at most three steps.
    fn simpler(self, fault: &Fault, has_other_limit: bool) -> Option<Self> {
        if fault.refused_limit && has_other_limit && !self.other_limit {
            return Some(Self { other_limit: true, ..self });
        }
        if fault.refused_format {
            let format = match self.format {
                Format::Schema => Format::Object,
                Format::Object => Format::Prompt,
                Format::Prompt => return None,
            };
            return Some(Self { format, ..self });
        }
        None
    }
}

/// The way in use, with what is known of it.
#[derive(Clone, Copy, Debug)]
struct State {
    now: Dialect,
    /// Whether it was answered: until then it is only a trial, and any other failure goes back to the beginning.
    proven: bool,
}

/// The way that an endpoint is asked in; learned from its refusals, kept while the vendor lives.
#[derive(Debug)]
pub(super) struct Ways {
    state: Mutex<State>,
    has_other_limit: bool,
}

impl Ways {
    /// Nothing is known yet; `has_other_limit` says whether the limit of tokens has a second name at all.
    pub(super) fn new(has_other_limit: bool) -> Self {
        Self { state: Mutex::new(State { now: Dialect::STRICT, proven: false }), has_other_limit }
    }

    /// The way to ask in now.
    pub(super) fn now(&self) -> Dialect {
        self.lock().now
    }

    /// Learns from the outcome of a request, and says in it whether there is a simpler way to ask. A question that brings
    /// its parameters along has no other way.
    pub(super) fn learn(&self, question: &Question, used: Dialect, asked: Asked, fault: Option<Fault>) -> Asked {
        match fault {
            _ if question.parameters.is_some() => asked,
            None => {
                self.worked(used);
                asked
            }
            Some(fault) => Asked { ask_again: self.failed(used, &fault), ..asked },
        }
    }

    /// Notes that the endpoint took this way.
    fn worked(&self, used: Dialect) {
        let mut state = self.lock();
        if state.now == used {
            state.proven = true;
        }
    }

    /// Learns from a failure; whether there is a simpler way than the one that was used.
    fn failed(&self, used: Dialect, fault: &Fault) -> bool {
        let mut state = self.lock();
        match used.simpler(fault, self.has_other_limit) {
            Some(next) => {
                // Somebody else may have learned it at the same time.
                if state.now == used {
                    *state = State { now: next, proven: false };
                }
                true
            }
            None => {
                if !state.proven {
                    state.now = Dialect::STRICT;
                }
                false
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use argus_core::describe::DescribeFailure::InvalidAnswer;

    use super::*;

    fn refusal(format: bool, limit: bool) -> Fault {
        Fault { refused_format: format, refused_limit: limit, ..Fault::of(InvalidAnswer, "refused") }
    }

    #[test]
    fn there_are_three_steps_and_an_end() {
        let ways = Ways::new(true);
        let both = refusal(true, true);
        let mut steps = Vec::new();
        loop {
            let used = ways.now();
            if !ways.failed(used, &both) {
                break;
            }
            steps.push(ways.now());
        }
        let formats: Vec<(Format, bool)> = steps.iter().map(|d| (d.format, d.other_limit)).collect();
        assert_eq!(formats, [(Format::Schema, true), (Format::Object, true), (Format::Prompt, true)]);
    }

    #[test]
    fn where_the_limit_has_one_name_no_other_is_tried() {
        let ways = Ways::new(false);
        assert!(!ways.failed(ways.now(), &refusal(false, true)));
        assert_eq!(ways.now(), Dialect::STRICT);
    }

    #[test]
    fn only_a_way_that_was_answered_is_kept() {
        let ways = Ways::new(true);
        assert!(ways.failed(ways.now(), &refusal(true, false)));
        assert_eq!(ways.now().format, Format::Object);
        // The refusal was about something else after all.
        assert!(!ways.failed(ways.now(), &refusal(false, false)));
        assert_eq!(ways.now(), Dialect::STRICT);

        assert!(ways.failed(ways.now(), &refusal(true, false)));
        ways.worked(ways.now());
        assert!(!ways.failed(ways.now(), &refusal(false, false)));
        assert_eq!(ways.now().format, Format::Object);
    }

    #[test]
    fn two_at_once_learn_one_step() {
        let ways = Ways::new(true);
        let used = ways.now();
        assert!(ways.failed(used, &refusal(true, false)));
        assert!(ways.failed(used, &refusal(true, false)), "the other one asks again in the new way, too");
        assert_eq!(ways.now().format, Format::Object);
    }
}
