//! The synthetic test camera: a still grey picture that a bright rectangle crosses once in every period.

use argus_core::camera::TestPattern;

/// Pictures a second.
pub const FRAME_RATE: u32 = 15;
/// Brightness of the ground.
pub const GROUND: u8 = 96;
/// Brightness of the rectangle.
pub const OBJECT: u8 = 220;
/// The crossing begins that many seconds into the period.
const BEGIN_S: u32 = 2;

/// Where the rectangle is in a picture: left edge (may lie outside), top, width, height, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Left edge; negative while it enters.
    pub x: i64,
    /// Top edge.
    pub y: i64,
    /// Pixels.
    pub width: i64,
    /// Pixels.
    pub height: i64,
}

/// Where the rectangle is in the picture number `index`, counted from the start of capture at 15 a second.
///
/// It enters at second 2 of the period, its right edge first, and has left at second 2 + `active_s`.
#[must_use]
pub fn place(pattern: &TestPattern, index: u64) -> Option<Place> {
    let rate = u64::from(FRAME_RATE);
    let in_period = index % (u64::from(pattern.period_s) * rate);
    let begin = u64::from(BEGIN_S) * rate;
    let active = u64::from(pattern.active_s) * rate;
    let step = in_period.checked_sub(begin).filter(|step| *step < active)?;
    let (step, active) = (i64::try_from(step).unwrap_or(0), i64::try_from(active).unwrap_or(1).max(1));
    let (w, h) = (i64::from(pattern.width), i64::from(pattern.height));
    let (width, height) = (w / 5, h / 3);
    Some(Place { x: (w + width) * step / active - width, y: (h - height) / 2, width, height })
}

/// Bytes of a picture: I420, rows without padding.
#[must_use]
pub fn frame_bytes(pattern: &TestPattern) -> usize {
    let pixels = pattern.width as usize * pattern.height as usize;
    pixels + pixels / 2
}

/// Draws the picture number `index` into `out` as I420 without padding; `out` gets the size it needs.
pub fn draw(pattern: &TestPattern, index: u64, out: &mut Vec<u8>) {
    let width = pattern.width as usize;
    let luma = width * pattern.height as usize;
    out.clear();
    out.resize(luma, GROUND);
    // Chroma without colour.
    out.resize(frame_bytes(pattern), 128);
    let Some(place) = place(pattern, index) else { return };
    let edge = |v: i64| usize::try_from(v.clamp(0, i64::from(pattern.width))).unwrap_or(0);
    let (left, right) = (edge(place.x), edge(place.x + place.width));
    let (top, rows) = (usize::try_from(place.y).unwrap_or(0), usize::try_from(place.height).unwrap_or(0));
    for row in out.chunks_exact_mut(width).skip(top).take(rows) {
        if let Some(covered) = row.get_mut(left..right) {
            covered.fill(OBJECT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bright(pattern: &TestPattern, index: u64) -> usize {
        let mut out = Vec::new();
        draw(pattern, index, &mut out);
        assert_eq!(out.len(), frame_bytes(pattern));
        out[..(pattern.width * pattern.height) as usize].iter().filter(|v| **v == OBJECT).count()
    }

    #[test]
    fn crosses_from_second_two_for_the_active_time_in_every_period() {
        let p = TestPattern::default();
        for period in 0..3 {
            let at = |s: u64, frame: u64| period * 12 * 15 + s * 15 + frame;
            assert_eq!(bright(&p, at(0, 0)), 0);
            assert_eq!(bright(&p, at(1, 14)), 0);
            assert_eq!(bright(&p, at(4, 0)), 128 * 120, "whole in the middle");
            assert!(bright(&p, at(5, 14)) > 0);
            assert_eq!(bright(&p, at(6, 0)), 0);
            assert_eq!(bright(&p, at(11, 14)), 0);
        }
    }

    #[test]
    fn moves_evenly_to_the_right() {
        let p = TestPattern { width: 640, height: 360, period_s: 12, active_s: 4 };
        let xs: Vec<i64> = (30..90).filter_map(|i| place(&p, i)).map(|p| p.x).collect();
        assert_eq!(xs.len(), 60);
        assert_eq!(xs[0], -128);
        assert!(xs.windows(2).all(|w| (12..=13).contains(&(w[1] - w[0]))), "{xs:?}");
        assert_eq!(place(&p, 45).map(|p| (p.y, p.width, p.height)), Some((120, 128, 120)));
    }

    #[test]
    fn the_same_number_gives_the_same_picture() {
        let p = TestPattern { width: 160, height: 120, period_s: 3, active_s: 1 };
        let (mut a, mut b) = (vec![1, 2, 3], Vec::new());
        draw(&p, 34, &mut a);
        draw(&p, 34, &mut b);
        assert_eq!(a, b);
    }
}
