//! Which moments of an episode the describer gets to see.
//!
//! Two steps. [`candidates`] are the moments of which stills are made: for `Adaptive` some more than are wanted. Of the
//! stills, [`best`] takes those that show most: much movement, sharp, spread over the event, and no two that show the
//! same. Only pictures that moved are offered, so that the subject is there.

use argus_core::Timestamp;
use argus_core::settings::FrameStrategy;

use crate::analyser::Moment;
use crate::look::{Look, SAME_LEVELS};

/// Stills that are made for one event, at most.
const STILLS: usize = 24;

/// The moments of which stills are made, in order, when `count` pictures are wanted.
///
/// `Adaptive`: the time of the episode is cut into half as many pieces again as pictures are wanted, and of each the
/// picture with the most movement is taken; a piece without movement gives none. `Uniform`: evenly from the first to the
/// last movement, whatever moves in between.
#[must_use]
pub fn candidates(strategy: FrameStrategy, moments: &[Moment], count: usize) -> Vec<Timestamp> {
    match strategy {
        FrameStrategy::Adaptive if count > 0 => peaks(moments, count.saturating_add(count.div_ceil(2)).min(STILLS)),
        FrameStrategy::Adaptive => Vec::new(),
        FrameStrategy::Uniform => uniform(moments, count),
    }
}

/// A still that may be chosen.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// When it was taken.
    pub at: Timestamp,
    /// Strength of the movement then, 1..=1000.
    pub score: u16,
    /// What it looks like; `None` when it cannot be told.
    pub look: Option<Look>,
}

/// Chooses at most `count` of the stills and gives their places, in order. The one with the most movement is among them;
/// none shows the same as another.
#[must_use]
pub fn best(stills: &[Candidate], count: usize) -> Vec<usize> {
    let (Some(first), Some(last)) = (stills.first(), stills.last()) else { return Vec::new() };
    let span_ms = u64::try_from(last.at.millis_since(first.at)).unwrap_or(0).max(1);
    let apart_ms = (span_ms / u64::try_from(count.max(1)).unwrap_or(u64::MAX)).max(1);
    let mut sharpness: Vec<u32> = stills.iter().filter_map(|s| s.look.as_ref()).map(Look::sharpness).collect();
    sharpness.sort_unstable();
    let usual = sharpness.get(sharpness.len() / 2).copied().unwrap_or(0);
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < count {
        let next = stills
            .iter()
            .enumerate()
            .filter(|(place, _)| !chosen.contains(place))
            .map(|(place, still)| {
                let others = chosen.iter().filter_map(|at| stills.get(*at));
                (place, worth(still, usual) * gain(still, others, apart_ms))
            })
            // The earliest of equals.
            .rev()
            .max_by_key(|(_, worth)| *worth)
            .filter(|(_, worth)| *worth > 0);
        match next {
            Some((place, _)) => chosen.push(place),
            None => break,
        }
    }
    chosen.sort_unstable();
    chosen
}

/// What a still shows by itself: movement, of which twice as much is not twice as good, and sharpness up to what is usual
/// in this event. At most 3200.
fn worth(still: &Candidate, usual: u32) -> u64 {
    let movement = u64::from(u32::from(still.score.max(1)).saturating_mul(1000).isqrt());
    let percent = match &still.look {
        Some(look) if usual > 0 => (u64::from(look.sharpness()) * 100 / u64::from(usual)).clamp(25, 100),
        _ => 100,
    };
    movement * percent / 100
}

/// What a still adds to those that were chosen, 0 for one that shows the same: by how far it is from the nearest in time
/// and in looks, up to 10000.
fn gain<'c>(still: &Candidate, others: impl Iterator<Item = &'c Candidate>, apart_ms: u64) -> u64 {
    others.fold(10_000, |least, other| {
        let ms = still.at.millis_since(other.at).unsigned_abs();
        let time = (ms * 100 / apart_ms).min(100);
        let looks = match (&still.look, &other.look) {
            (Some(a), Some(b)) => {
                let distance = a.distance(b);
                if distance <= SAME_LEVELS { 0 } else { (u64::from(distance) * 25 / u64::from(SAME_LEVELS)).min(100) }
            }
            _ => 100,
        };
        least.min(time * looks)
    })
}

/// The middles of as many equal pieces of the episode, which need not be moments of movement; of a shorter episode than
/// that has milliseconds, each moment once.
fn uniform(moments: &[Moment], count: usize) -> Vec<Timestamp> {
    let (Some(first), Some(last)) = (moments.first(), moments.last()) else { return Vec::new() };
    let span_us = last.at.as_micros().saturating_sub(first.at.as_micros());
    let pieces = i64::try_from(count).unwrap_or(i64::MAX);
    let middle = |piece: i64| span_us.saturating_mul(2 * piece + 1) / (2 * pieces);
    let mut chosen: Vec<Timestamp> =
        (0..pieces).map(|piece| Timestamp::from_micros(first.at.as_micros().saturating_add(middle(piece)))).collect();
    chosen.dedup();
    chosen
}

/// The strongest moment of each of `count` equal pieces of the episode.
fn peaks(moments: &[Moment], count: usize) -> Vec<Timestamp> {
    let (Some(first), Some(last)) = (moments.first(), moments.last()) else { return Vec::new() };
    if count == 0 {
        return Vec::new();
    }
    let span_us = last.at.as_micros().saturating_sub(first.at.as_micros()).max(1);
    let pieces = i64::try_from(count).unwrap_or(i64::MAX);
    let mut best: Vec<Option<Moment>> = vec![None; count];
    for m in moments {
        let into_us = m.at.as_micros().saturating_sub(first.at.as_micros());
        let piece = usize::try_from((into_us.saturating_mul(pieces) / span_us).clamp(0, pieces - 1)).unwrap_or(0);
        if let Some(slot) = best.get_mut(piece) {
            // The later of two equals loses, so that the choice does not depend on rounding at the end.
            if slot.is_none_or(|b| m.score > b.score) {
                *slot = Some(*m);
            }
        }
    }
    best.into_iter().flatten().map(|m| m.at).collect()
}

/// The moment with the most movement; the earliest of equals.
#[must_use]
pub fn strongest(moments: &[Moment]) -> Option<Timestamp> {
    moments.iter().rev().max_by_key(|m| m.score).map(|m| m.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(scores: &[u16]) -> Vec<Moment> {
        (0..).zip(scores).map(|(i, &score)| Moment { at: Timestamp::from_millis(i * 200), score }).collect()
    }

    fn check(scores: &[u16], count: usize, expected_ms: &[i64]) {
        let got: Vec<_> = peaks(&moments(scores), count).into_iter().map(Timestamp::as_millis).collect();
        assert_eq!(got, expected_ms, "{scores:?} / {count}");
    }

    #[test]
    fn each_piece_gives_its_strongest() {
        check(&[1, 9, 1, 1, 8, 1], 2, &[200, 800]);
        check(&[5, 5, 5, 5], 4, &[0, 200, 400, 600]);
        check(&[5], 6, &[0]);
        check(&[], 6, &[]);
        check(&[1, 2], 0, &[]);
        check(&[3, 1, 3], 1, &[0]);
    }

    #[test]
    fn uniform_moments_are_evenly_spaced_whatever_moves() {
        let check = |scores: &[u16], count, expected_ms: &[i64]| {
            let got = candidates(FrameStrategy::Uniform, &moments(scores), count);
            assert_eq!(
                got.into_iter().map(Timestamp::as_millis).collect::<Vec<_>>(),
                expected_ms,
                "{scores:?} / {count}"
            );
        };
        check(&[1, 9, 1, 1, 8, 1], 2, &[250, 750]);
        check(&[9, 1, 1, 1, 1, 9], 5, &[100, 300, 500, 700, 900]);
        check(&[1, 1, 9], 1, &[200]);
        check(&[5], 6, &[0]);
        check(&[], 6, &[]);
        check(&[1, 2], 0, &[]);
    }

    #[test]
    fn some_more_stills_are_made_than_are_wanted() {
        let many = moments(&[5; 400]);
        for (count, expected) in [(0, 0), (1, 2), (6, 9), (16, 24), (20, 24)] {
            assert_eq!(candidates(FrameStrategy::Adaptive, &many, count).len(), expected, "{count}");
        }
    }

    /// A picture in which a bright box stands somewhere, or nothing does.
    fn still(ms: i64, score: u16, box_at: Option<usize>, detail: u8) -> Candidate {
        let (w, h) = (320, 180);
        let mut luma = vec![0; w * h];
        for (i, value) in luma.iter_mut().enumerate() {
            let (x, y) = (i % w, i / w);
            let is_box = box_at.is_some_and(|at| (at..at + 30).contains(&x)) && (60..120).contains(&y);
            *value = if is_box { 220 } else { 90 + if (x + y) % 2 == 0 { detail } else { 0 } };
        }
        Candidate { at: Timestamp::from_millis(ms), score, look: Look::of_luma(w, &luma) }
    }

    #[test]
    fn of_pictures_that_show_the_same_one_is_taken() {
        let same = [still(0, 10, Some(50), 8), still(1000, 90, Some(50), 8), still(2000, 50, Some(50), 8)];
        assert_eq!(best(&same, 3), [1], "the one that moved most");
        let walks = [still(0, 50, Some(10), 8), still(1000, 90, Some(50), 8), still(2000, 50, Some(200), 8)];
        assert_eq!(best(&walks, 3), [0, 1, 2]);
        assert_eq!(best(&walks, 1), [1]);
        assert_eq!(best(&walks, 0), [0_usize; 0]);
        assert_eq!(best(&[], 3), [0_usize; 0]);
    }

    #[test]
    fn the_sharp_ones_go_before_the_blurred() {
        let stills = [
            still(0, 50, Some(10), 8),
            still(1000, 60, Some(60), 1),
            still(1200, 50, Some(80), 8),
            still(2000, 50, Some(200), 8),
        ];
        assert_eq!(best(&stills, 3), [0, 2, 3]);
    }

    #[test]
    fn without_looks_they_are_spread_over_the_event() {
        let bare = |ms, score| Candidate { at: Timestamp::from_millis(ms), score, look: None };
        let stills = [bare(0, 50), bare(100, 60), bare(200, 61), bare(5000, 40), bare(10_000, 30)];
        assert_eq!(best(&stills, 3), [2, 3, 4]);
    }

    #[test]
    fn the_strongest_is_the_earliest_of_equals() {
        assert_eq!(strongest(&moments(&[1, 7, 7])), Some(Timestamp::from_millis(200)));
        assert_eq!(strongest(&[]), None);
    }
}
