//! Totals that had to be counted, remembered and brought up to date by each change of events: so a search goes on costing
//! little while events come in.
//!
//! `event_state.changes` grows by one with each change, in the transaction of the change itself. A total is remembered with
//! that number. From there to the number that a reader sees, upwards or downwards, the steps between say what has come
//! in and gone out. Where one is missing, made by another process or too long ago, all is counted anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::EventFilter;
use super::facts::{Facts, Kinds};
use super::ladder::Window;
use super::row::EventRow;
use crate::page::total as unsigned;
use crate::search::{self, Search};

/// Totals that are remembered.
const ANSWERS: usize = 64;
/// Most steps that are kept.
const STEPS: usize = 4096;
/// Most bytes of the events in them.
const STEP_BYTES: usize = 2 << 20;

/// An event before or after a change: what decides whether a filter takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    facts: Facts,
    camera_id: String,
    started_us: i64,
    confidence: i32,
    search_text: String,
}

impl Seen {
    pub(crate) fn new(row: &EventRow, facts: Facts) -> Self {
        Self {
            facts,
            camera_id: row.camera_id.clone(),
            started_us: row.started_us,
            confidence: row.confidence,
            search_text: row.search_text.clone(),
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.camera_id.len() + self.search_text.len()
    }
}

/// One change, as `event_state.changes` counts them: what was counted in (1) and out (−1).
#[derive(Debug, Default)]
pub(crate) struct Step {
    number: i64,
    rows: Vec<(Seen, i64)>,
}

impl Step {
    /// Counts an event in or out.
    pub(crate) fn add(&mut self, event: Seen, times: i64) {
        match self.rows.last() {
            // Nothing changed that a filter asks for.
            Some((last, before)) if *last == event && *before == -times => drop(self.rows.pop()),
            _ => self.rows.push((event, times)),
        }
    }

    /// With the number that the change got.
    pub(crate) fn numbered(self, number: i64) -> Self {
        Self { number, ..self }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.rows.iter().map(|(event, _)| event.bytes()).sum::<usize>()
    }
}

/// A filter taken apart, for events that are in memory.
struct Sieve {
    cameras: Option<BTreeSet<String>>,
    kinds: Kinds,
    window: Window,
    least: i32,
    words: Vec<String>,
}

impl Sieve {
    fn new(filter: &EventFilter) -> Self {
        let words = match filter.search() {
            Search::Words(words) => words,
            Search::Everything | Search::Nothing => Vec::new(),
        };
        let least = filter.min_confidence.map_or(i32::MIN, i32::from);
        Self { cameras: filter.cameras(), kinds: Kinds::of(filter), window: filter.window(), least, words }
    }

    fn takes(&self, event: &Seen) -> bool {
        event.confidence >= self.least
            && (self.window.from..self.window.until).contains(&event.started_us)
            && self.kinds.matches(event.facts)
            && self.cameras.as_ref().is_none_or(|cameras| cameras.contains(&event.camera_id))
            && self.words.iter().all(|word| search::begins_a_word(&event.search_text, word))
    }
}

/// A total and when it was right.
struct Answer {
    filter: EventFilter,
    at: i64,
    total: i64,
}

/// The totals, and the last steps.
#[derive(Default)]
pub(crate) struct Totals(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// The one that was used last is the last.
    answers: VecDeque<Answer>,
    /// In the order of their numbers; some may be missing.
    steps: BTreeMap<i64, Step>,
    bytes: usize,
    #[cfg(test)]
    counted: usize,
}

impl Totals {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes notice of changes that have just been stored.
    pub(crate) fn committed(&self, steps: Vec<Step>) {
        if steps.is_empty() {
            return;
        }
        let mut kept = self.kept();
        for step in steps {
            kept.bytes += step.bytes();
            if kept.steps.insert(step.number, step).is_some() {
                // The database went back in time: it was restored, or another took its place.
                *kept = Kept::default();
            }
        }
        while kept.steps.len() > STEPS || kept.bytes > STEP_BYTES {
            let Some((_, oldest)) = kept.steps.pop_first() else { break };
            kept.bytes -= oldest.bytes();
        }
    }

    /// The total at a number of changes, when it is known.
    pub(super) fn get(&self, filter: &EventFilter, changes: i64) -> Option<u64> {
        let mut kept = self.kept();
        let place = kept.answers.iter().position(|answer| answer.filter == *filter)?;
        let mut answer = kept.answers.remove(place)?;
        let total = kept.total_at(&answer, changes);
        if let Some(total) = total {
            if changes > answer.at {
                (answer.at, answer.total) = (changes, total);
            }
            kept.answers.push_back(answer);
        }
        total.map(unsigned)
    }

    /// Remembers a total that was counted.
    pub(super) fn put(&self, filter: &EventFilter, changes: i64, total: i64) {
        let mut kept = self.kept();
        #[cfg(test)]
        {
            kept.counted += 1;
        }
        if kept.answers.iter().any(|answer| answer.filter == *filter && answer.at >= changes) {
            return;
        }
        kept.answers.retain(|answer| answer.filter != *filter);
        if kept.answers.len() >= ANSWERS {
            kept.answers.pop_front();
        }
        kept.answers.push_back(Answer { filter: filter.clone(), at: changes, total });
    }

    /// How often a total was counted.
    #[cfg(test)]
    pub(crate) fn counted(&self) -> usize {
        self.kept().counted
    }
}

impl Kept {
    /// The total at another number of changes, when every step on the way is there.
    fn total_at(&self, answer: &Answer, changes: i64) -> Option<i64> {
        let (from, to) = (answer.at.min(changes), answer.at.max(changes));
        let far = usize::try_from(to.checked_sub(from)?).ok()?;
        if far == 0 {
            return Some(answer.total);
        }
        if far > self.steps.len() {
            return None;
        }
        let sieve = Sieve::new(&answer.filter);
        let (mut steps, mut sum) = (0, 0);
        for (_, step) in self.steps.range(from + 1..=to) {
            steps += 1;
            sum += step.rows.iter().filter(|(event, _)| sieve.takes(event)).map(|(_, times)| times).sum::<i64>();
        }
        let total = if changes > answer.at { answer.total + sum } else { answer.total - sum };
        (steps == far && total >= 0).then_some(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str, confidence: i32) -> Seen {
        Seen {
            facts: Facts::from_bits(0).unwrap(),
            camera_id: "c".into(),
            started_us: 5,
            confidence,
            search_text: text.into(),
        }
    }

    fn step(number: i64, rows: &[(&str, i64)]) -> Step {
        let mut step = Step { number, rows: Vec::new() };
        rows.iter().for_each(|&(text, times)| step.add(event(text, 50), times));
        step
    }

    fn asked(q: &str) -> EventFilter {
        EventFilter { q: Some(q.into()), ..EventFilter::default() }
    }

    #[test]
    fn a_total_goes_along_with_the_changes() {
        let totals = Totals::default();
        totals.put(&asked("cat"), 10, 3);
        totals.committed(vec![step(11, &[("a cat", 1)])]);
        // Two transactions may tell of themselves in the other order than they were stored.
        totals.committed(vec![step(13, &[("cats", -1), ("dogs", 1)])]);
        assert_eq!(totals.get(&asked("cat"), 11), Some(4));
        totals.put(&asked("cat"), 11, 4);
        totals.committed(vec![step(12, &[("cat", 1), ("concat", 1)])]);
        assert_eq!(totals.get(&asked("cat"), 13), Some(4));
        // A reader may have begun earlier.
        assert_eq!(totals.get(&asked("cat"), 12), Some(5));
        assert_eq!(totals.get(&asked("cat"), 13), Some(4));
        assert_eq!(totals.get(&asked("dog"), 13), None);
    }

    #[test]
    fn without_every_step_nothing_is_known() {
        let totals = Totals::default();
        totals.put(&asked("cat"), 10, 3);
        totals.committed(vec![step(12, &[("a cat", 1)])]);
        assert_eq!(totals.get(&asked("cat"), 12), None, "another process made 11");
        totals.put(&asked("cat"), 12, 7);
        assert_eq!(totals.get(&asked("cat"), i64::MAX), None);
    }

    #[test]
    fn what_did_not_change_is_not_kept() {
        assert!(step(1, &[("a cat", -1), ("a cat", 1)]).rows.is_empty());
        assert_eq!(step(1, &[("a cat", 1), ("a cat", 1)]).rows.len(), 2);
    }

    #[test]
    fn it_has_bounds() {
        let totals = Totals::default();
        let long = "x".repeat(4000);
        for number in 0..2000 {
            totals.put(&asked(&number.to_string()), number, 0);
            totals.committed(vec![step(number, &[(&long, 1)])]);
        }
        {
            let kept = totals.kept();
            assert_eq!(kept.bytes, kept.steps.values().map(Step::bytes).sum::<usize>());
            assert!(kept.bytes <= STEP_BYTES && kept.steps.len() > 100, "{}", kept.steps.len());
            assert_eq!(kept.answers.len(), ANSWERS);
        }
        for number in 2000..12_000 {
            totals.committed(vec![step(number, &[])]);
        }
        assert_eq!(totals.kept().steps.len(), STEPS);
        // The last that was put is there, the first is not.
        assert_eq!(totals.get(&asked("1999"), 1999), Some(0));
        assert_eq!(totals.get(&asked("0"), 0), None);
    }
}
