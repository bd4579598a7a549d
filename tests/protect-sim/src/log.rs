//! What streams send, kept in order and bounded, so that each stream can be at its own place in it.

use std::collections::VecDeque;

/// A bounded list whose places keep their numbers.
pub(crate) struct Log<T> {
    first: u64,
    items: VecDeque<T>,
    most: usize,
}

impl<T: Clone> Log<T> {
    pub(crate) fn new(most: usize) -> Self {
        Self { first: 0, items: VecDeque::new(), most: most.max(1) }
    }

    /// Adds one, and gives back the oldest when it had to go.
    pub(crate) fn push(&mut self, item: T) -> Option<T> {
        self.items.push_back(item);
        if self.items.len() <= self.most {
            return None;
        }
        self.first += 1;
        self.items.pop_front()
    }

    /// The number of the next one to come.
    pub(crate) fn end(&self) -> u64 {
        self.first + u64::try_from(self.items.len()).unwrap_or(0)
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Number of the one after the newest for which `is` holds.
    pub(crate) fn after(&self, is: impl Fn(&T) -> bool) -> Option<u64> {
        let at = self.items.iter().rposition(is)?;
        Some(self.first + u64::try_from(at).unwrap_or(0) + 1)
    }

    /// At most `most` from that number on; `None` when some of them are gone.
    pub(crate) fn from(&self, number: u64, most: usize) -> Option<Vec<T>> {
        let skip = usize::try_from(number.checked_sub(self.first)?).unwrap_or(usize::MAX);
        Some(self.items.iter().skip(skip).take(most).cloned().collect())
    }

    /// Forgets all; numbers go on.
    pub(crate) fn clear(&mut self) {
        self.first = self.end();
        self.items.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_keep_their_numbers() {
        let mut log = Log::new(3);
        for n in 0..5 {
            log.push(n);
        }
        assert_eq!((log.first(), log.end()), (2, 5));
        assert_eq!(log.from(3, 9), Some(vec![3, 4]));
        assert_eq!(log.from(1, 9), None);
        assert_eq!(log.after(|n| *n == 3), Some(4));
        log.clear();
        assert_eq!(log.from(5, 9), Some(vec![]));
        assert_eq!(log.from(4, 9), None);
    }
}
