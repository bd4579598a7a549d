//! Ids that were dealt with, in little memory.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

/// The last so many ids, by their hashes of 64 bits: among 50,000 of them a new id is taken for an old one once in
/// 2^48 times.
#[derive(Debug)]
pub(super) struct Past {
    most: usize,
    order: VecDeque<u64>,
    all: HashSet<u64>,
}

fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

impl Past {
    pub(super) fn new(most: usize) -> Self {
        Self { most, order: VecDeque::new(), all: HashSet::new() }
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.all.contains(&hash(id))
    }

    pub(super) fn add(&mut self, id: &str) {
        let hash = hash(id);
        if self.all.insert(hash) {
            self.order.push_back(hash);
        }
        while self.order.len() > self.most {
            self.order.pop_front().map(|old| self.all.remove(&old));
        }
    }

    pub(super) fn remove(&mut self, id: &str) {
        let hash = hash(id);
        if self.all.remove(&hash) {
            self.order.retain(|old| *old != hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut past = Past::new(3);
        for id in ["a", "b", "b", "c", "d"] {
            past.add(id);
        }
        assert_eq!(["a", "b", "c", "d"].map(|id| past.has(id)), [false, true, true, true]);
        past.remove("c");
        past.add("e");
        assert_eq!(["b", "c", "d", "e"].map(|id| past.has(id)), [true, false, true, true]);
    }
}
