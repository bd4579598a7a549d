//! Stretches of time: days, hours and quarters of an hour of UTC, and how a stretch is put together from them.

use argus_core::Timestamp;

use super::Sort;

const MINUTE_US: i64 = 60_000_000;
const QUARTER_US: i64 = 15 * MINUTE_US;
const HOUR_US: i64 = 60 * MINUTE_US;
const DAY_US: i64 = 24 * HOUR_US;

/// The lengths for which sums are kept. A quarter of an hour, because the offset of every time zone in use is a multiple
/// of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Span {
    All,
    Day,
    Hour,
    Quarter,
}

impl Span {
    pub(crate) const EACH: [Self; 4] = [Self::All, Self::Day, Self::Hour, Self::Quarter];

    pub(crate) fn code(self) -> i32 {
        match self {
            Self::All => 0,
            Self::Day => 1,
            Self::Hour => 2,
            Self::Quarter => 3,
        }
    }

    /// Length in microseconds; all time has none.
    fn len_us(self) -> Option<i64> {
        match self {
            Self::All => None,
            Self::Day => Some(DAY_US),
            Self::Hour => Some(HOUR_US),
            Self::Quarter => Some(QUARTER_US),
        }
    }

    pub(crate) fn finer(self) -> Option<Self> {
        match self {
            Self::All => Some(Self::Day),
            Self::Day => Some(Self::Hour),
            Self::Hour => Some(Self::Quarter),
            Self::Quarter => None,
        }
    }

    /// Where the stretch that holds this moment begins.
    pub(crate) fn begin(self, us: i64) -> i64 {
        self.len_us().map_or(0, |len| us.div_euclid(len).saturating_mul(len))
    }

    /// The stretch that begins here.
    pub(crate) fn window(self, from: i64) -> Window {
        self.len_us().map_or(Window::all(), |len| Window { from, until: from.saturating_add(len) })
    }
}

/// From a moment up to another, which is not part of it; microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) from: i64,
    pub(crate) until: i64,
}

impl Window {
    /// Every moment that can be stored; whole days.
    pub(crate) fn all() -> Self {
        let from = Span::Day.begin(Timestamp::from_micros(i64::MIN).as_micros());
        let until = Span::Day.begin(Timestamp::from_micros(i64::MAX).as_micros()).saturating_add(DAY_US);
        Self { from, until }
    }

    /// What is in both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), until: self.until.min(other.until) }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.from >= self.until
    }

    /// Microseconds.
    pub(crate) fn len_us(self) -> i64 {
        self.until.saturating_sub(self.from).max(0)
    }

    /// Put together from the longest stretches that fit, none longer than `coarsest`, in order of time.
    pub(crate) fn pieces(self, coarsest: Span) -> Vec<Piece> {
        let mut pieces = Vec::new();
        split(Some(coarsest), self, &mut pieces);
        pieces
    }

    /// The same, in the order of a list.
    pub(crate) fn pieces_in(self, coarsest: Span, sort: Sort) -> Vec<Piece> {
        let mut pieces = self.pieces(coarsest);
        if sort == Sort::Desc {
            pieces.reverse();
        }
        pieces
    }
}

/// A part of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Whole stretches of this length.
    Whole(Span, Window),
    /// Less than a quarter of an hour.
    Rest(Window),
}

fn split(span: Option<Span>, window: Window, pieces: &mut Vec<Piece>) {
    if window.is_empty() {
        return;
    }
    let Some(span) = span else {
        pieces.push(Piece::Rest(window));
        return;
    };
    let Some(len) = span.len_us() else {
        if window == Window::all() {
            pieces.push(Piece::Whole(span, window));
        } else {
            split(span.finer(), window, pieces);
        }
        return;
    };
    let from = span.begin(window.from.saturating_add(len - 1));
    let until = span.begin(window.until);
    if from >= until {
        split(span.finer(), window, pieces);
        return;
    }
    split(span.finer(), Window { from: window.from, until: from }, pieces);
    pieces.push(Piece::Whole(span, Window { from, until }));
    split(span.finer(), Window { from: until, until: window.until }, pieces);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_lie_side_by_side_and_are_whole(from in -200_000_000_000_i64..200_000_000_000, len in 0_i64..400_000_000_000) {
            let window = Window { from, until: from + len };
            let mut at = from;
            for piece in window.pieces(Span::All) {
                let part = match piece {
                    Piece::Whole(span, part) => {
                        prop_assert_eq!((span.begin(part.from), span.begin(part.until)), (part.from, part.until));
                        part
                    }
                    Piece::Rest(part) => {
                        prop_assert!(part.until - part.from < 2 * QUARTER_US);
                        part
                    }
                };
                prop_assert_eq!(part.from, at);
                prop_assert!(!part.is_empty());
                at = part.until;
            }
            prop_assert_eq!(at, window.until);
        }
    }

    #[test]
    fn all_time_is_one_piece() {
        assert_eq!(Window::all().pieces(Span::All), [Piece::Whole(Span::All, Window::all())]);
        assert_eq!(Window::all().pieces(Span::Hour), [Piece::Whole(Span::Hour, Window::all())]);
        assert!(matches!(Window { from: 0, ..Window::all() }.pieces(Span::All)[..], [Piece::Whole(Span::Day, _)]));
    }
}
