//! Painting over: which samples of a picture a privacy mask touches, and how they are made black.
//!
//! Every pixel that a zone touches at all is painted, not only those whose middle lies inside: nothing of what is to be
//! hidden is left at the rim, however small the picture.

use std::ops::Range;

use argus_core::PrivacyMask;
use argus_core::zone::Zone;

/// Black in the video range of luma; in the full range it is a grey that is nearly black.
pub(crate) const BLACK: u8 = 16;
/// No colour.
pub(crate) const COLOURLESS: u8 = 128;

/// Where one component of a picture (luma, or one of two of colour) lies in its plane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Bytes from one row to the next.
    pub(crate) stride: usize,
    /// Bytes before the first sample of a row.
    pub(crate) offset: usize,
    /// Bytes from one sample to the next.
    pub(crate) step: usize,
    /// A sample serves `1 << x_shift` pixels side by side.
    pub(crate) x_shift: u32,
    /// A sample serves `1 << y_shift` pixels one below the other.
    pub(crate) y_shift: u32,
    /// What a painted sample becomes.
    pub(crate) paint: u8,
}

/// The touched pixels of a picture of one size: for each row its runs of columns, in order and apart from each other.
#[derive(Clone, Debug)]
pub(crate) struct Cover {
    rows: Vec<Vec<Range<usize>>>,
}

impl Cover {
    /// The pixels that `mask` touches in a picture of that size.
    pub(crate) fn new(mask: &PrivacyMask, width: usize, height: usize) -> Self {
        let rows = (0..height).map(|y| {
            let mut runs = Vec::new();
            for zone in mask.zones() {
                touched(zone, y, width, height, &mut runs);
            }
            joined(runs)
        });
        Self { rows: rows.collect() }
    }

    /// Paints one component. `None` when its plane is smaller than the picture: then not everything was painted.
    #[must_use]
    pub(crate) fn paint(&self, plane: &mut [u8], at: Layout) -> Option<()> {
        for (y, runs) in self.rows.iter().enumerate() {
            let begin = (y >> at.y_shift) * at.stride + at.offset;
            for run in runs {
                // A sample of colour that serves only one touched pixel is painted too.
                let (first, last) = (run.start >> at.x_shift, run.end.checked_sub(1)? >> at.x_shift);
                let samples = plane.get_mut(begin + first * at.step..=begin + last * at.step)?;
                if at.step == 1 {
                    samples.fill(at.paint);
                } else {
                    samples.iter_mut().step_by(at.step.max(1)).for_each(|sample| *sample = at.paint);
                }
            }
        }
        Some(())
    }
}

/// Adds the columns that a zone touches in row `y`.
///
/// A pixel that the zone touches is crossed by its edge, or lies inside it as a whole, and then its middle does.
fn touched(zone: &Zone, y: usize, width: usize, height: usize, runs: &mut Vec<Range<usize>>) {
    let (w, h) = (width as f64, height as f64);
    let (top, bottom) = (y as f64, y as f64 + 1.0);
    let mut crossings: Vec<f64> = zone.crossings((top + 0.5) / h).collect();
    crossings.sort_unstable_by(f64::total_cmp);
    let inside = crossings.chunks_exact(2).filter_map(|pair| match *pair {
        [from, to] => Some((from * w, to * w)),
        _ => None,
    });
    let rims = zone.edges().filter_map(|(a, b)| {
        let (ay, by) = (a.y * h, b.y * h);
        let (from, to) = (ay.min(by).max(top), ay.max(by).min(bottom));
        // What only touches the line between two rows touches no pixel.
        if ay.max(by) <= top || ay.min(by) >= bottom {
            return None;
        }
        if ay == by {
            return Some((a.x.min(b.x) * w, a.x.max(b.x) * w));
        }
        let x = |at: f64| (a.x + (b.x - a.x) * (at - ay) / (by - ay)) * w;
        Some((x(from).min(x(to)), x(from).max(x(to))))
    });
    runs.extend(inside.chain(rims).map(|(from, to)| column(from.floor(), width)..column(to.ceil(), width)));
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the columns of a picture")]
fn column(at: f64, width: usize) -> usize {
    at.clamp(0.0, width as f64) as usize
}

/// Runs that overlap or meet become one.
fn joined(mut runs: Vec<Range<usize>>) -> Vec<Range<usize>> {
    runs.retain(|run| !run.is_empty());
    runs.sort_unstable_by_key(|run| run.start);
    let mut out: Vec<Range<usize>> = Vec::with_capacity(runs.len());
    for run in runs {
        match out.last_mut() {
            Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
            _ => out.push(run),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use argus_core::zone::{Point, ZoneKind};
    use proptest::prelude::*;

    use super::*;

    fn mask(zones: &[&[(f64, f64)]]) -> PrivacyMask {
        let zones: Vec<Zone> = zones
            .iter()
            .map(|corners| Zone {
                id: "z".into(),
                name: "z".into(),
                kind: ZoneKind::Privacy,
                enabled: true,
                vertices: corners.iter().map(|&(x, y)| Point { x, y }).collect(),
            })
            .collect();
        PrivacyMask::from_zones(&zones)
    }

    const fn luma(width: usize) -> Layout {
        Layout { stride: width, offset: 0, step: 1, x_shift: 0, y_shift: 0, paint: BLACK }
    }

    /// Draws what is painted as `#`, a row a string.
    fn drawn(mask: &PrivacyMask, width: usize, height: usize) -> Vec<String> {
        let mut plane = vec![200; width * height];
        Cover::new(mask, width, height).paint(&mut plane, luma(width)).unwrap();
        plane.chunks(width).map(|row| row.iter().map(|v| if *v == BLACK { '#' } else { '.' }).collect()).collect()
    }

    const LEFT: [(f64, f64); 4] = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)];

    #[test]
    fn what_ends_at_a_pixel_ends_there() {
        assert_eq!(drawn(&mask(&[&LEFT]), 6, 2), ["###...", "###..."]);
        let middle = [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)];
        assert_eq!(drawn(&mask(&[&middle]), 4, 4), ["....", ".##.", ".##.", "...."]);
        assert_eq!(drawn(&mask(&[&[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]]), 3, 2), ["###", "###"]);
        assert_eq!(drawn(&mask(&[]), 3, 1), ["..."]);
    }

    #[test]
    fn every_pixel_that_is_touched_is_painted() {
        // a sliver far thinner than a pixel, between the middles of two rows
        let sliver = [(0.15, 0.26), (0.85, 0.27), (0.85, 0.28)];
        assert_eq!(drawn(&mask(&[&sliver]), 10, 4), ["..........", ".########.", "..........", ".........."]);
        let third = [(0.0, 0.0), (0.34, 0.0), (0.34, 1.0), (0.0, 1.0)];
        assert_eq!(drawn(&mask(&[&third]), 3, 1), ["##."]);
        // a bow tie leaves what lies above and below its knot, but for the pixels that its edges cross
        let bow = [(0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)];
        assert_eq!(drawn(&mask(&[&bow]), 6, 6), ["#....#", "##..##", "######", "######", "##..##", "#....#"]);
    }

    #[test]
    fn zones_add_up() {
        let right = [(0.75, 0.0), (1.0, 0.0), (1.0, 1.0), (0.75, 1.0)];
        assert_eq!(drawn(&mask(&[&LEFT, &right]), 8, 1), ["####..##"]);
        // two of them over each other hide what each hides: even-odd is a rule of one zone
        assert_eq!(drawn(&mask(&[&LEFT, &LEFT]), 4, 1), ["##.."]);
    }

    #[test]
    fn colour_is_painted_wherever_it_serves_a_touched_pixel() {
        let zone = [(0.0, 0.0), (0.34, 0.0), (0.34, 0.34), (0.0, 0.34)];
        let cover = Cover::new(&mask(&[&zone]), 9, 9);
        // a picture of 9 x 9, touched in its first 4 x 4: interleaved colour of 5 x 5 with padding behind each row
        let mut plane = vec![7; 12 * 5];
        for offset in [0, 1] {
            let at = Layout { stride: 12, offset, step: 2, x_shift: 1, y_shift: 1, paint: COLOURLESS };
            cover.paint(&mut plane, at).unwrap();
        }
        let painted: Vec<usize> = plane.chunks(12).map(|r| r.iter().filter(|v| **v == COLOURLESS).count()).collect();
        assert_eq!(painted, [4, 4, 0, 0, 0]);
        assert_eq!(&plane[..5], [128, 128, 128, 128, 7]);
    }

    #[test]
    fn a_plane_that_is_too_small_is_told() {
        let cover = Cover::new(&mask(&[&LEFT]), 8, 8);
        assert!(cover.paint(&mut [0; 8 * 8 - 4], luma(8)).is_some(), "the end of the last row is not touched");
        assert!(cover.paint(&mut [0; 8 * 7], luma(8)).is_none());
    }

    fn corners() -> impl Strategy<Value = Vec<(f64, f64)>> {
        prop::collection::vec((0.0..=1.0, 0.0..=1.0), 3..12)
    }

    proptest! {
        #[test]
        fn no_pixel_inside_keeps_its_value(
            zones in prop::collection::vec(corners(), 1..4),
            (width, height) in (1_usize..70, 1_usize..50),
            (fx, fy) in (0.0..1.0, 0.0..1.0),
        ) {
            let borrowed: Vec<&[(f64, f64)]> = zones.iter().map(Vec::as_slice).collect();
            let mask = mask(&borrowed);
            let cover = Cover::new(&mask, width, height);
            let (mut y_plane, mut u_plane) = (vec![200; width * height], vec![90; width.div_ceil(2) * height.div_ceil(2)]);
            cover.paint(&mut y_plane, luma(width)).unwrap();
            let half = Layout {
                stride: width.div_ceil(2), offset: 0, step: 1, x_shift: 1, y_shift: 1, paint: COLOURLESS,
            };
            cover.paint(&mut u_plane, half).unwrap();
            for y in 0..height {
                for x in 0..width {
                    // any spot of the pixel, not only its middle
                    let (px, py) = ((x as f64 + fx) / width as f64, (y as f64 + fy) / height as f64);
                    if mask.zones().iter().any(|zone| zone.contains(px, py)) {
                        prop_assert_eq!(y_plane[y * width + x], BLACK);
                        prop_assert_eq!(u_plane[y / 2 * width.div_ceil(2) + x / 2], COLOURLESS);
                    }
                }
            }
        }
    }
}
