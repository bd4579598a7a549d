//! What is forgotten, and in which order: events by age, then media by age, then the oldest media until there is room.
//!
//! Only the decision: what is there is told, what is to go is answered. Nothing is removed that a rule does not name, and
//! of what a rule names the oldest goes first.

use std::time::Duration;

use serde::Serialize;

use crate::Timestamp;
use crate::settings::Retention;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What is aimed at after a file could not be written for lack of room, when no more is asked for: one or two clips.
const ROOM_BYTES: u64 = 32 << 20;

/// A disk as the operating system sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Disk {
    /// All of it.
    pub total_bytes: u64,
    /// What this server may still use.
    pub free_bytes: u64,
}

/// What is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stock {
    /// All thumbnails, pictures and clips.
    pub media_bytes: u64,
    /// Where they lie; `None` when that cannot be known, as for a store elsewhere.
    pub disk: Option<Disk>,
    /// A file could not be written, and none has been since.
    pub refused: bool,
}

/// Before which moments things are too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages {
    /// Events that began before it go.
    pub events_before: Option<Timestamp>,
    /// Media of events that began before it go.
    pub media_before: Option<Timestamp>,
    /// Messages stored before it go.
    pub journal_before: Timestamp,
}

impl Retention {
    /// What is too old now.
    #[must_use]
    pub fn ages(&self, now: Timestamp) -> Ages {
        let before = |days: u16| now.minus(DAY.saturating_mul(days.into()));
        Ages {
            events_before: self.events_days.map(before),
            media_before: self.media_days.map(before),
            journal_before: before(self.journal_days),
        }
    }

    /// How much should be free on the disk.
    #[must_use]
    pub fn wanted_bytes(&self, refused: bool) -> u64 {
        if refused { self.min_free_bytes.max(ROOM_BYTES) } else { self.min_free_bytes }
    }

    /// Whether there is too little room.
    #[must_use]
    pub fn is_low(&self, stock: &Stock) -> bool {
        stock.disk.is_some_and(|disk| disk.free_bytes < self.wanted_bytes(stock.refused))
    }

    /// How many bytes of media are too many: above their limit, or for the room that should be free.
    #[must_use]
    pub fn excess_bytes(&self, stock: &Stock) -> u64 {
        let over = self.max_media_bytes.map_or(0, |most| stock.media_bytes.saturating_sub(most));
        let missing = stock.disk.map_or(0, |disk| self.wanted_bytes(stock.refused).saturating_sub(disk.free_bytes));
        over.max(missing).min(stock.media_bytes)
    }

    /// Whether there is a spell of little room, given whether there was one. It begins when too little is free, and ends
    /// only when an eighth more than wanted is: so that one clip that comes and one that goes are not news every time.
    #[must_use]
    pub fn spell(&self, was: bool, stock: &Stock) -> bool {
        let Some(disk) = stock.disk else { return false };
        let enough = self.min_free_bytes.max(ROOM_BYTES);
        disk.free_bytes < self.wanted_bytes(stock.refused)
            || (was && (stock.refused || disk.free_bytes < enough.saturating_add(enough / 8)))
    }
}

/// How many of the oldest have to go for `excess` bytes: the fewest whose sizes, oldest first, come to it.
#[must_use]
pub fn enough(sizes: impl IntoIterator<Item = u64>, excess: u64) -> usize {
    let mut freed = 0_u64;
    let mut sizes = sizes.into_iter();
    let mut n = 0;
    while freed < excess {
        let Some(size) = sizes.next() else { break };
        freed = freed.saturating_add(size);
        n += 1;
    }
    n
}

/// A number of bytes for people: `1.5 GiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let Some((unit, name)) = units.into_iter().find(|(unit, _)| bytes >= *unit) else {
        return format!("{bytes} bytes");
    };
    // Tenths, rounded down, so that what is too little is never shown as enough.
    let tenths = u128::from(bytes) * 10 / u128::from(unit);
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn stock(media_bytes: u64, free_bytes: u64) -> Stock {
        Stock { media_bytes, disk: Some(Disk { total_bytes: 100 * GIB, free_bytes }), refused: false }
    }

    #[test]
    fn days_are_counted_back_from_now() {
        let now: Timestamp = "2025-12-23T10:30:00Z".parse().unwrap();
        let ages = Retention { media_days: Some(2), ..Retention::default() }.ages(now);
        assert_eq!(ages.events_before, Some("2025-11-23T10:30:00Z".parse().unwrap()));
        assert_eq!(ages.media_before, Some("2025-12-21T10:30:00Z".parse().unwrap()));
        assert_eq!(ages.journal_before, "2025-12-16T10:30:00Z".parse().unwrap());
        let for_ever = Retention { events_days: None, ..Retention::default() }.ages(now);
        assert_eq!((for_ever.events_before, for_ever.media_before), (None, None));
    }

    #[test]
    fn the_larger_excess_counts_and_never_more_than_there_is() {
        let check = |max: Option<u64>, min_free: u64, stock: Stock, expected: u64| {
            let rules = Retention { max_media_bytes: max, min_free_bytes: min_free, ..Retention::default() };
            assert_eq!(rules.excess_bytes(&stock), expected, "{max:?} {min_free} {stock:?}");
        };
        check(None, 0, stock(5 * GIB, 0), 0);
        check(None, GIB, stock(5 * GIB, GIB), 0);
        check(None, GIB, stock(5 * GIB, GIB - 1), 1);
        check(Some(4 * GIB), GIB, stock(5 * GIB, 9 * GIB), GIB);
        check(Some(4 * GIB), 3 * GIB, stock(5 * GIB, GIB), 2 * GIB);
        check(None, 9 * GIB, stock(5 * GIB, GIB), 5 * GIB);
        check(Some(GIB), GIB, Stock { disk: None, ..stock(3 * GIB, 0) }, 2 * GIB);
        // After a refused write some room is made even when nobody asked for any.
        check(None, 0, Stock { refused: true, ..stock(5 * GIB, 1 << 20) }, 31 << 20);
    }

    #[test]
    fn a_spell_ends_only_when_there_is_some_more_room_than_needed() {
        let rules = Retention { min_free_bytes: 8 * GIB, ..Retention::default() };
        assert!(!rules.spell(false, &stock(GIB, 8 * GIB)));
        assert!(rules.spell(false, &stock(GIB, 8 * GIB - 1)));
        assert!(rules.spell(true, &stock(GIB, 9 * GIB - 1)));
        assert!(!rules.spell(true, &stock(GIB, 9 * GIB)));
        assert!(rules.spell(true, &Stock { refused: true, ..stock(GIB, 10 * GIB) }));
        // Where nothing was asked for, it is a refused write that begins one.
        let rules = Retention { min_free_bytes: 0, ..rules };
        assert!(!rules.spell(false, &stock(GIB, 0)));
        assert!(rules.spell(false, &Stock { refused: true, ..stock(GIB, 0) }));
        assert!(rules.spell(true, &stock(GIB, 1 << 20)) && !rules.spell(true, &stock(GIB, 36 << 20)));
        assert!(!rules.spell(true, &Stock { disk: None, ..stock(GIB, 0) }));
    }

    #[test]
    fn the_fewest_oldest_go() {
        assert_eq!(enough([5, 5, 5], 0), 0);
        assert_eq!(enough([5, 5, 5], 1), 1);
        assert_eq!(enough([5, 5, 5], 5), 1);
        assert_eq!(enough([5, 5, 5], 6), 2);
        assert_eq!(enough([0, 5, 5], 5), 2);
        assert_eq!(enough([5, 5, 5], 99), 3);
    }

    #[test]
    fn sizes_are_readable_and_never_flattering() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(1023), "1023 bytes");
        assert_eq!(size(1024), "1.0 KiB");
        assert_eq!(size(GIB - 1), "1023.9 MiB");
        assert_eq!(size(3 * GIB / 2), "1.5 GiB");
        assert_eq!(size(u64::MAX), "16777215.9 TiB");
    }
}
