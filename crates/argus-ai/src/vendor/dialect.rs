//! What an endpoint understands of the ways to ask for JSON, to limit its length, and to think less.

use std::sync::{Mutex, MutexGuard, PoisonError};

use argus_core::describe::DescribeFailure;

use super::fault::Fault;
use super::{Asked, Question};

/// How the form of the answer is asked for, from the strictest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// By a JSON schema.
    Schema,
    /// As JSON of any form; where a vendor has no such way, the next best.
    Object,
    /// By a tool that the model may call or not, where it does not let itself be made to.
    Offer,
    /// By the prompt alone.
    Prompt,
}

/// Whether the model is asked to think less before it answers: what it thinks counts towards the limit of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thinking {
    /// As it likes. Most models do not think at all, and refuse to be told how much.
    Free,
    /// Little, after its thoughts left no room for an answer.
    Little,
    /// As it likes, because the endpoint does not let itself be told.
    Fixed,
}

/// A way to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    /// The form of the answer.
    pub(super) format: Format,
    /// Whether the first name of the limit of tokens was refused, so that the other one is used.
    pub(super) other_limit: bool,
    /// How much it may think.
    pub(super) thinking: Thinking,
}

/// What a vendor has a second way for, beside the form of the answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Has {
    /// Another name of the limit of tokens.
    pub(super) other_limit: bool,
    /// A parameter for thinking less.
    pub(super) less_thinking: bool,
    /// A tool that is offered.
    pub(super) offer: bool,
}

impl Dialect {
    /// The way to begin with.
    const STRICT: Self = Self { format: Format::Schema, other_limit: false, thinking: Thinking::Free };

    /// The next way to ask after a failure that is about this one. There are at most five steps.
    fn next(self, fault: &Fault, has: Has) -> Option<Self> {
        match self.thinking {
            Thinking::Free if fault.thought_too_long && has.less_thinking => {
                return Some(Self { thinking: Thinking::Little, ..self });
            }
            Thinking::Little if fault.refused_thinking => return Some(Self { thinking: Thinking::Fixed, ..self }),
            _ => {}
        }
        if fault.refused_limit && has.other_limit && !self.other_limit {
            return Some(Self { other_limit: true, ..self });
        }
        if fault.refused_format {
            let format = match self.format {
                Format::Schema => Format::Object,
                Format::Object if has.offer => Format::Offer,
                Format::Object | Format::Offer => Format::Prompt,
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
    /// Whether it was answered: until then it is only a trial, and any other refusal goes back to the beginning.
    proven: bool,
}

/// The way that an endpoint is asked in; learned from its refusals, kept while the vendor lives.
#[derive(Debug)]
pub(super) struct Ways {
    state: Mutex<State>,
    has: Has,
}

impl Ways {
    /// Nothing is known yet.
    pub(super) fn new(has: Has) -> Self {
        Self { state: Mutex::new(State { now: Dialect::STRICT, proven: false }), has }
    }

    /// The way to ask in now.
    pub(super) fn now(&self) -> Dialect {
        self.lock().now
    }

    /// Learns from the outcome of a request, and says in it whether there is another way to ask. A question that brings
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

    /// Learns from a failure; whether there is another way than the one that was used.
    fn failed(&self, used: Dialect, fault: &Fault) -> bool {
        let mut state = self.lock();
        match used.next(fault, self.has) {
            Some(next) => {
                // Somebody else may have learned it at the same time.
                if state.now == used {
                    *state = State { now: next, proven: false };
                }
                true
            }
            None => {
                if fault.spent.is_some() {
                    // The model answered, whatever it said: the way was understood.
                    state.proven |= state.now == used;
                } else if !state.proven && fault.error.kind == DescribeFailure::InvalidAnswer {
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
    use DescribeFailure::InvalidAnswer;

    use super::*;

    const ALL: Has = Has { other_limit: true, less_thinking: true, offer: false };

    fn refusal(format: bool, limit: bool) -> Fault {
        Fault { refused_format: format, refused_limit: limit, ..Fault::of(InvalidAnswer, "refused") }
    }

    #[test]
    fn there_are_three_steps_and_an_end() {
        let ways = Ways::new(ALL);
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
    fn what_a_vendor_has_no_other_way_for_is_not_tried() {
        let ways = Ways::new(Has::default());
        assert!(!ways.failed(ways.now(), &refusal(false, true)));
        let long = Fault { thought_too_long: true, ..refusal(false, false) };
        assert!(!ways.failed(ways.now(), &long));
        assert_eq!(ways.now(), Dialect::STRICT);
    }

    #[test]
    fn thinking_less_is_tried_once_and_given_up_when_it_is_refused() {
        let ways = Ways::new(ALL);
        let long = Fault { thought_too_long: true, ..refusal(false, false) };
        assert!(ways.failed(ways.now(), &long));
        assert_eq!(ways.now().thinking, Thinking::Little);
        assert!(ways.failed(ways.now(), &Fault { refused_thinking: true, ..refusal(false, false) }));
        assert_eq!(ways.now().thinking, Thinking::Fixed);
        ways.worked(ways.now());
        assert!(!ways.failed(ways.now(), &long), "there is nothing left to try");
        assert_eq!(ways.now().thinking, Thinking::Fixed);
    }

    #[test]
    fn only_a_way_that_was_answered_is_kept() {
        let ways = Ways::new(ALL);
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
        let ways = Ways::new(ALL);
        let used = ways.now();
        assert!(ways.failed(used, &refusal(true, false)));
        assert!(ways.failed(used, &refusal(true, false)), "the other one asks again in the new way, too");
        assert_eq!(ways.now().format, Format::Object);
    }
}
