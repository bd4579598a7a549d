//! What happened, out of what two streams and a history say: one happening for each real one.
//!
//! Pure: time is an argument. The same detection comes from both interfaces, in any order and several times; its kinds may
//! come later than itself, its end more than once or never, and sometimes the end is all that comes. The key is the
//! controller's id, because times and kinds differ between the interfaces. Rings come from events alone: a camera's
//! `lastRing` would ring again with each connection.

mod kinds;
mod past;

use std::collections::HashMap;
use std::time::Duration;

use argus_core::Timestamp;
use argus_core::controller::{Happening, HappeningPhase};

use crate::Tuning;
use crate::wire::Sighting;
use kinds::Family;
pub(crate) use kinds::TYPES;
use past::Past;

/// Where a message came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The local update stream.
    Local,
    /// The integration event stream.
    Official,
    /// Read afterwards.
    History,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Tell it.
    Tell(Happening),
    /// Read this detection, because too little is known of it, and show it to [`Tracker::see`]; or
    /// [`Tracker::give_up`] when that fails.
    Ask(String),
}

/// The present moment, and the console's clock against ours.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// By our clock.
    pub now: Timestamp,
    /// The console's clock minus ours.
    pub offset_ms: i64,
}

/// Limits of the tracker.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How long the kinds may come after the detection.
    pub types_wait: Duration,
    /// How long motion may last without a word.
    pub open_motion: Duration,
    /// How long anything else may.
    pub open_other: Duration,
    /// How long an answer to [`Output::Ask`] may take.
    pub ask_wait: Duration,
    /// How long a detection may last at all.
    pub longest: Duration,
    /// How long an ended detection can still learn its kinds.
    pub remember: Duration,
    /// Most detections in memory; ended ones go first.
    pub most: usize,
}

impl Rules {
    /// The rules that go with these waits.
    #[must_use]
    pub fn of(tuning: &Tuning) -> Self {
        Self {
            types_wait: tuning.types_wait,
            open_motion: tuning.open_motion,
            open_other: tuning.open_other,
            ask_wait: tuning.answer.saturating_mul(2),
            longest: tuning.open_other.saturating_mul(6),
            remember: tuning.open_other,
            most: 2000,
        }
    }
}

/// A detection in memory.
#[derive(Debug)]
struct Entry {
    order: u64,
    device: String,
    family: Family,
    words: Vec<String>,
    score: Option<u8>,
    started_at: Timestamp,
    heard_at: Timestamp,
    seen_at: Timestamp,
    ended_at: Option<Timestamp>,
    end_unknown: bool,
    told: bool,
    asked_at: Option<Timestamp>,
    from_history: bool,
    is_object: bool,
    aliases: Vec<String>,
}

/// The detections of one controller.
#[derive(Debug)]
pub struct Tracker {
    rules: Rules,
    entries: HashMap<String, Entry>,
    /// Ids that are other names of an entry.
    aliases: HashMap<String, String>,
    /// Ids that need no more attention.
    past: Past,
    /// Ids that were asked for and are not known yet.
    asking: Past,
    next: u64,
}

/// How far apart the record of an object and the event of the same package may begin.
const TWIN_MS: i64 = 3_000;

impl Tracker {
    /// An empty one.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            entries: HashMap::new(),
            aliases: HashMap::new(),
            past: Past::new(50_000),
            asking: Past::new(1_000),
            next: 0,
        }
    }

    /// How many detections are in memory.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes a message in.
    pub fn see(&mut self, s: &Sighting, origin: Origin, at: At) -> Vec<Output> {
        let mut out = Vec::new();
        let mut id = self.aliases.get(&s.id).unwrap_or(&s.id).clone();
        let whole;
        let mut s = s;
        if let Some(camera) = &s.in_id
            && self.entries.get(&id).is_some_and(|e| e.device != *camera)
        {
            // Two cameras share the first part of an id: the second one keeps all of its.
            id = format!("{}-{camera}", s.id);
            whole = Sighting { id: id.clone(), in_id: None, ..s.clone() };
            s = &whole;
        }
        if self.entries.contains_key(&id) {
            self.update(&id, s, origin, at, &mut out);
        } else if !self.past.has(&id) {
            self.open(s, origin, at, &mut out);
        }
        out
    }

    /// The controller no longer has it.
    pub fn removed(&mut self, id: &str, now: Timestamp) -> Vec<Output> {
        let mut out = Vec::new();
        self.end_unknown(id, now, &mut out);
        out
    }

    /// Nothing could be learned about a detection that was asked for.
    pub fn give_up(&mut self, id: &str, now: Timestamp) -> Vec<Output> {
        if !self.entries.contains_key(id) {
            self.past.add(id);
        }
        self.removed(id, now)
    }

    /// A detection that was asked for could not be read this time: it may be asked for again.
    pub fn not_read(&mut self, id: &str) {
        self.asking.remove(id);
    }

    /// Detections that go on, in the order in which they were heard of.
    #[must_use]
    pub fn open_ids(&self) -> Vec<String> {
        self.sorted(|e| e.ended_at.is_none())
    }

    /// Ends all that goes on: their ends may have been missed and cannot be asked for.
    pub fn close_open(&mut self, now: Timestamp) -> Vec<Output> {
        let mut out = Vec::new();
        for id in self.open_ids() {
            self.end_unknown(&id, now, &mut out);
        }
        out
    }

    /// Does what time alone does. `can_ask` says whether detections can be read.
    pub fn tick(&mut self, now: Timestamp, can_ask: bool) -> Vec<Output> {
        let mut out = Vec::new();
        let rules = self.rules.clone();
        for id in self.sorted(|e| !e.told && now >= e.heard_at.plus(rules.types_wait)) {
            self.tell_began(&id, &mut out);
        }
        let limit = |e: &Entry| if e.family == Family::Motion { rules.open_motion } else { rules.open_other };
        let late = |e: &Entry| e.ended_at.is_none() && now >= e.seen_at.plus(limit(e));
        for id in self.sorted(late) {
            let Some(e) = self.entries.get_mut(&id) else { continue };
            let over = now >= e.heard_at.plus(rules.longest);
            match e.asked_at {
                None if can_ask && !over => {
                    e.asked_at = Some(now);
                    out.push(Output::Ask(id));
                }
                Some(asked) if !over && now < asked.plus(rules.ask_wait) => {}
                _ => self.end_unknown(&id, now, &mut out),
            }
        }
        for id in self.sorted(|e| e.ended_at.is_some() && now >= e.seen_at.plus(rules.remember)) {
            self.drop_entry(&id);
        }
        out
    }

    fn sorted(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<String> {
        let mut found: Vec<(u64, &String)> =
            self.entries.iter().filter(|(_, e)| wanted(e)).map(|(id, e)| (e.order, id)).collect();
        found.sort_unstable();
        found.into_iter().map(|(_, id)| id.clone()).collect()
    }

    fn open(&mut self, s: &Sighting, origin: Origin, at: At, out: &mut Vec<Output>) {
        let family = match (&s.kind, s.is_object) {
            (_, true) => Family::Smart,
            (Some(kind), false) => Family::of(kind),
            (None, false) => return self.ask(&s.id, origin, out),
        };
        let is_package = s.smart_types.as_ref().is_some_and(|t| t.iter().any(|t| t == "package"));
        if family == Family::Other {
            return self.past.add(&s.id);
        }
        // People and vehicles also come as events, perhaps only later and under the same id; only a package may come as
        // nothing but an object.
        if s.is_object && !is_package {
            return;
        }
        let (Some(device), Some(start_ms)) = (&s.device, s.start_ms) else { return self.ask(&s.id, origin, out) };
        let started_at = Timestamp::from_millis(start_ms.saturating_sub(at.offset_ms)).min(at.now);
        if is_package && let Some(twin) = self.twin(device, started_at, s.is_object) {
            self.aliases.insert(s.id.clone(), twin.clone());
            if let Some(e) = self.entries.get_mut(&twin) {
                e.aliases.push(s.id.clone());
            }
            return self.update(&twin, s, origin, at, out);
        }
        self.make_room(at.now, out);
        let entry = Entry {
            order: self.next,
            device: device.clone(),
            family,
            words: Vec::new(),
            score: None,
            started_at,
            heard_at: at.now,
            seen_at: at.now,
            ended_at: None,
            end_unknown: false,
            told: false,
            asked_at: None,
            from_history: origin == Origin::History,
            is_object: s.is_object,
            aliases: Vec::new(),
        };
        self.next = self.next.saturating_add(1);
        self.entries.insert(s.id.clone(), entry);
        self.update(&s.id.clone(), s, origin, at, out);
    }

    /// The same package under another name: one of them a record of an object, about the same time and place.
    fn twin(&self, device: &str, started_at: Timestamp, is_object: bool) -> Option<String> {
        let near = |e: &Entry| e.started_at.millis_since(started_at).abs() <= TWIN_MS;
        let is_twin = |e: &Entry| {
            e.device == device && e.is_object != is_object && near(e) && e.words.iter().any(|w| w == "package")
        };
        self.sorted(is_twin).pop()
    }

    fn ask(&mut self, id: &str, origin: Origin, out: &mut Vec<Output>) {
        // What was read and still says too little will not say more.
        if origin == Origin::History {
            self.past.add(id);
        } else if !self.asking.has(id) {
            self.asking.add(id);
            out.push(Output::Ask(id.to_owned()));
        }
    }

    fn update(&mut self, id: &str, s: &Sighting, origin: Origin, at: At, out: &mut Vec<Output>) {
        let Some(e) = self.entries.get_mut(id) else { return };
        e.seen_at = e.seen_at.max(at.now);
        if origin == Origin::History {
            // It was read and goes on: ask again later.
            e.asked_at = None;
        }
        let mut news = false;
        for word in s.smart_types.iter().flatten() {
            if e.words.len() < 32 && !e.words.contains(word) {
                e.words.push(word.clone());
                news = true;
            }
        }
        if let Some(score) = s.score.filter(|score| e.score.is_none_or(|old| *score > old)) {
            // The 0 of a detection that has just begun means that there is no score yet.
            news |= score > 0;
            e.score = Some(score);
        }
        // A record of an object has no life of its own.
        let end_ms = s.end_ms.or(s.start_ms.filter(|_| s.is_object && e.is_object));
        let ends = e.ended_at.is_none() && end_ms.is_some();
        if let (true, Some(end_ms)) = (ends, end_ms) {
            let end = Timestamp::from_millis(end_ms.saturating_sub(at.offset_ms)).min(at.now);
            e.ended_at = Some(end.max(e.started_at));
        }
        let (was_told, is_clear) = (e.told, e.family != Family::Smart || !e.words.is_empty());
        if !was_told && (is_clear || ends) {
            self.tell_began(id, out);
        }
        if ends {
            self.tell(id, HappeningPhase::Ended, out);
        } else if was_told && news {
            self.tell(id, HappeningPhase::Changed, out);
        }
    }

    fn end_unknown(&mut self, id: &str, now: Timestamp, out: &mut Vec<Output>) {
        let Some(e) = self.entries.get_mut(id).filter(|e| e.ended_at.is_none()) else { return };
        e.ended_at = Some(now.max(e.started_at));
        e.end_unknown = true;
        e.seen_at = e.seen_at.max(now);
        if !e.told {
            self.tell_began(id, out);
        }
        self.tell(id, HappeningPhase::Ended, out);
    }

    fn tell_began(&mut self, id: &str, out: &mut Vec<Output>) {
        if let Some(e) = self.entries.get_mut(id) {
            e.told = true;
        }
        self.tell(id, HappeningPhase::Began, out);
    }

    fn tell(&self, id: &str, phase: HappeningPhase, out: &mut Vec<Output>) {
        let Some(e) = self.entries.get(id) else { return };
        let (kinds, types) = kinds::kinds(e.family, &e.words);
        out.push(Output::Tell(Happening {
            id: id.to_owned(),
            device: e.device.clone(),
            phase,
            kinds,
            types,
            started_at: e.started_at,
            ended_at: e.ended_at,
            end_unknown: e.end_unknown,
            score: e.score.filter(|s| *s > 0),
            heard_at: e.heard_at,
            from_history: e.from_history,
        }));
    }

    fn make_room(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        while self.entries.len() >= self.rules.most {
            let oldest = |ended: bool| {
                let of = self.entries.iter().filter(|(_, e)| e.ended_at.is_some() == ended);
                of.min_by_key(|(_, e)| e.order).map(|(id, _)| id.clone())
            };
            let Some(id) = oldest(true).or_else(|| oldest(false)) else { return };
            self.end_unknown(&id, now, out);
            self.drop_entry(&id);
        }
    }

    fn drop_entry(&mut self, id: &str) {
        if let Some(e) = self.entries.remove(id) {
            for alias in e.aliases {
                self.aliases.remove(&alias);
                self.past.add(&alias);
            }
        }
        self.past.add(id);
    }
}

#[cfg(test)]
#[path = "tracker/tests.rs"]
mod tests;
