//! Which moments of an episode the describer gets to see.

use argus_core::Timestamp;
use argus_core::settings::FrameStrategy;

use crate::analyser::Moment;

/// Chooses at most `count` moments, in order.
///
/// `Adaptive`: the time of the episode is cut into as many equal pieces, and of each the picture with the most movement
/// is taken; a piece without movement gives none. The first piece's choice lies within the event, since only its own
/// pictures are offered. `Uniform`: evenly from the first to the last movement, whatever moves in between.
#[must_use]
pub fn choose(strategy: FrameStrategy, moments: &[Moment], count: usize) -> Vec<Timestamp> {
    match strategy {
        FrameStrategy::Adaptive => adaptive(moments, count),
        FrameStrategy::Uniform => uniform(moments, count),
    }
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

fn adaptive(moments: &[Moment], count: usize) -> Vec<Timestamp> {
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
        let got: Vec<_> =
            choose(FrameStrategy::Adaptive, &moments(scores), count).into_iter().map(Timestamp::as_millis).collect();
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
            let got = choose(FrameStrategy::Uniform, &moments(scores), count);
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
    fn the_strongest_is_the_earliest_of_equals() {
        assert_eq!(strongest(&moments(&[1, 7, 7])), Some(Timestamp::from_millis(200)));
        assert_eq!(strongest(&[]), None);
    }
}
