//! Zones as bit masks: where a changed pixel counts, and which include zones it touches.

#![expect(clippy::indexing_slicing, reason = "rows and words come from the grid that sized the masks")]

use argus_core::zone::{Zone, ZoneKind};

use crate::mask::Grid;

/// Where movement counts: in an enabled include zone (or anywhere, when there is none) and in no enabled exclude or
/// privacy zone.
///
/// Kept as polygons, so that one mask serves every size of picture; the detector draws it once for its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MotionMask {
    /// The enabled zones with their index in the list they came from.
    zones: Vec<(usize, Zone)>,
}

impl MotionMask {
    /// The mask of a camera's zones; without zones everything counts.
    #[must_use]
    pub fn from_zones(zones: &[Zone]) -> Self {
        Self { zones: zones.iter().cloned().enumerate().filter(|(_, zone)| zone.enabled).collect() }
    }

    /// Draws the zones: a pixel belongs to a zone when its centre does, by the even-odd rule.
    pub(crate) fn draw(&self, grid: Grid) -> DrawnZones {
        if self.zones.is_empty() {
            return DrawnZones { counts: None, include: Vec::new() };
        }
        let mut include = Vec::new();
        let mut covered = grid.mask();
        let mut hidden = grid.mask();
        for (index, zone) in &self.zones {
            let mask = draw_one(zone, grid);
            let target = if zone.kind == ZoneKind::Include { &mut covered } else { &mut hidden };
            for (t, m) in target.iter_mut().zip(&mask) {
                *t |= m;
            }
            if zone.kind == ZoneKind::Include {
                include.push((*index, mask));
            }
        }
        let everywhere = include.is_empty();
        let counts = covered.iter().zip(&hidden).map(|(c, h)| if everywhere { !h } else { c & !h }).collect();
        DrawnZones { counts: Some(counts), include }
    }
}

fn draw_one(zone: &Zone, grid: Grid) -> Vec<u64> {
    let mut mask = grid.mask();
    let centre = |i: usize, n: usize| (f64::from(u32::try_from(i).unwrap_or(u32::MAX)) + 0.5) / n as f64;
    for y in 0..grid.height {
        let fy = centre(y, grid.height);
        for x in 0..grid.width {
            if zone.contains(centre(x, grid.width), fy) {
                mask[y * grid.words + x / 64] |= 1 << (x % 64);
            }
        }
    }
    mask
}

/// Zones drawn for one size of picture.
#[derive(Clone, Debug)]
pub(crate) struct DrawnZones {
    /// Pixels that count; `None` when all do.
    pub counts: Option<Vec<u64>>,
    /// Include zones, each with its index in the camera's list.
    include: Vec<(usize, Vec<u64>)>,
}

impl DrawnZones {
    /// The include zones in which `pixels` has a pixel, as bits; zones beyond the 32nd have none.
    #[inline(always)]
    pub(crate) fn touched(&self, pixels: impl Fn(&[u64]) -> bool) -> u32 {
        let mut bits = 0;
        for (index, mask) in &self.include {
            if *index < 32 && pixels(mask) {
                bits |= 1 << index;
            }
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use argus_core::zone::Point;

    use super::*;
    use crate::mask::count;

    fn zone(kind: ZoneKind, enabled: bool, corners: &[(f64, f64)]) -> Zone {
        let vertices = corners.iter().map(|&(x, y)| Point { x, y }).collect();
        Zone { id: "z".into(), name: "z".into(), kind, enabled, vertices }
    }

    const LEFT: [(f64, f64); 4] = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)];
    const TOP: [(f64, f64); 4] = [(0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.0, 0.5)];

    /// Pixels that count on 100 x 10.
    fn check(zones: &[Zone], expected: usize) {
        let grid = Grid::new(100, 10);
        let drawn = MotionMask::from_zones(zones).draw(grid);
        let mut counted = drawn.counts.unwrap_or_else(|| vec![u64::MAX; grid.words * grid.height]);
        for row in counted.chunks_mut(grid.words) {
            row[1] &= (1 << 36) - 1;
        }
        assert_eq!(count(&counted), expected);
    }

    #[test]
    fn counts_where_the_contract_says() {
        use ZoneKind::{Exclude, Include, Privacy};
        check(&[], 1000);
        check(&[zone(Include, true, &LEFT)], 500);
        check(&[zone(Include, false, &LEFT)], 1000);
        check(&[zone(Exclude, true, &LEFT)], 500);
        check(&[zone(Privacy, true, &TOP)], 500);
        check(&[zone(Include, true, &LEFT), zone(Exclude, true, &TOP)], 250);
        check(&[zone(Include, true, &LEFT), zone(Include, true, &TOP)], 750);
        check(&[zone(Include, true, &LEFT), zone(Privacy, false, &TOP)], 500);
        // a bow tie: even-odd leaves two triangles
        check(&[zone(Include, true, &[(0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)])], 500);
    }

    #[test]
    fn touched_names_the_index_in_the_list() {
        use ZoneKind::{Exclude, Include};
        let grid = Grid::new(100, 10);
        let zones = [
            zone(Exclude, true, &[(0.9, 0.9), (1.0, 0.9), (1.0, 1.0)]),
            zone(Include, true, &LEFT),
            zone(Include, true, &TOP),
        ];
        let drawn = MotionMask::from_zones(&zones).draw(grid);
        let at = |x: usize, y: usize| drawn.touched(|m| m[y * grid.words + x / 64] >> (x % 64) & 1 == 1);
        assert_eq!(at(10, 8), 0b010);
        assert_eq!(at(10, 1), 0b110);
        assert_eq!(at(90, 1), 0b100);
        assert_eq!(at(90, 8), 0);
    }
}
