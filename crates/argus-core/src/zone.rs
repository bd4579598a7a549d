//! Zones of a picture: where movement counts, and what nobody may see.

use serde::{Deserialize, Serialize};

use crate::Faults;
use crate::names::names;
use crate::text::text;

names! {
    /// What a zone is for.
    ZoneKind {
        /// Movement counts here; without any such zone it counts everywhere.
        Include = "include",
        /// Movement does not count here.
        Exclude = "exclude",
        /// Movement does not count here, and what lies here is painted over.
        Privacy = "privacy",
    }
}

/// A corner of a zone, as fractions of width and height from the top left.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Point {
    /// Fraction of the width, 0..1.
    #[cfg_attr(feature = "openapi", schema(minimum = 0.0, maximum = 1.0))]
    pub x: f64,
    /// Fraction of the height, 0..1.
    #[cfg_attr(feature = "openapi", schema(minimum = 0.0, maximum = 1.0))]
    pub y: f64,
}

/// A polygon on the picture, closed by itself; inside is decided by the even-odd rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Zone {
    /// Names the zone; made by the server when the client sends none. 1..64 characters.
    pub id: String,
    /// What people call it. 1..100 characters.
    pub name: String,
    /// What it is for.
    pub kind: ZoneKind,
    /// Whether it has any effect.
    pub enabled: bool,
    /// 3 to 64 corners.
    pub vertices: Vec<Point>,
}

/// Most zones a camera may have.
pub const MAX_ZONES: usize = 20;
/// Fewest and most corners of a zone.
pub const VERTICES: std::ops::RangeInclusive<usize> = 3..=64;

impl Zone {
    /// Whether the point lies inside, by the even-odd rule.
    #[must_use]
    pub fn contains(&self, x: f64, y: f64) -> bool {
        self.crossings(y).filter(|at| x < *at).count() % 2 == 1
    }

    /// Where the edges cross the horizontal line at `y`, in no order: what lies between the first and the second from the
    /// left is inside, what lies between the second and the third is not, and so on.
    pub fn crossings(&self, y: f64) -> impl Iterator<Item = f64> {
        self.edges()
            .filter(move |(a, b)| (a.y > y) != (b.y > y))
            .map(move |(a, b)| (b.x - a.x) * (y - a.y) / (b.y - a.y) + a.x)
    }

    /// The edges, the closing one included.
    pub fn edges(&self) -> impl Iterator<Item = (&Point, &Point)> {
        self.vertices.iter().zip(self.vertices.iter().cycle().skip(1))
    }

    /// Adds what breaks a rule to `faults`, with `at` (such as `detection_zones[0]`) in front of the fields.
    pub(crate) fn check(&self, at: &str, faults: &mut Faults) {
        if let Err(reason) = text(&self.id, 1..=64) {
            faults.add(format!("{at}.id"), reason);
        }
        if let Err(reason) = text(&self.name, 1..=100) {
            faults.add(format!("{at}.name"), reason);
        }
        if !VERTICES.contains(&self.vertices.len()) {
            faults.add(format!("{at}.vertices"), "needs 3 to 64 corners");
            return;
        }
        let mut sound = true;
        for (i, p) in self.vertices.iter().enumerate() {
            for (name, v) in [("x", p.x), ("y", p.y)] {
                if !(0.0..=1.0).contains(&v) {
                    faults.add(format!("{at}.vertices[{i}].{name}"), "is not a fraction from 0 to 1");
                    sound = false;
                }
            }
        }
        if sound && !self.has_area() {
            faults.add(format!("{at}.vertices"), "enclose no area");
        }
    }

    /// Whether not all corners lie on one line.
    ///
    /// A figure eight whose signed halves cancel still encloses something, so the signed area alone does not decide.
    fn has_area(&self) -> bool {
        let Some(o) = self.vertices.first() else { return false };
        self.edges().any(|(a, b)| ((a.x - o.x) * (b.y - o.y) - (b.x - o.x) * (a.y - o.y)).abs() > 1e-9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(corners: &[(f64, f64)]) -> Zone {
        Zone {
            id: "z".into(),
            name: "Drive".into(),
            kind: ZoneKind::Include,
            enabled: true,
            vertices: corners.iter().map(|&(x, y)| Point { x, y }).collect(),
        }
    }

    fn check(corners: &[(f64, f64)], expected: &[&str]) {
        let mut faults = Faults::default();
        zone(corners).check("z", &mut faults);
        let got: Vec<_> = faults.0.iter().map(|f| f.field.as_str()).collect();
        assert_eq!(got, expected, "{corners:?}");
    }

    #[test]
    fn corners_are_checked() {
        check(&[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)], &[]);
        check(&[(0.0, 0.0), (1.0, 1.0)], &["z.vertices"]);
        check(&[(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)], &["z.vertices"]);
        check(&[(0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)], &[]);
        check(&[(0.0, 0.0), (1.5, 0.0), (1.0, f64::NAN)], &["z.vertices[1].x", "z.vertices[2].y"]);
    }

    #[test]
    fn every_kind_is_accepted() {
        let corners = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)];
        for kind in [ZoneKind::Include, ZoneKind::Exclude, ZoneKind::Privacy] {
            let mut faults = Faults::default();
            Zone { kind, ..zone(&corners) }.check("z", &mut faults);
            assert!(faults.0.is_empty(), "{kind:?}");
        }
    }

    #[test]
    fn inside_is_even_odd() {
        let square = zone(&[(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)]);
        assert!(square.contains(0.5, 0.5) && !square.contains(0.1, 0.5) && !square.contains(0.5, 0.9));
        let bow = zone(&[(0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)]);
        assert!(bow.contains(0.1, 0.5) && !bow.contains(0.5, 0.1));
    }
}
