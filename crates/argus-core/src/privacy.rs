//! What of a picture nobody may see.

use std::sync::Arc;

use crate::zone::{Zone, ZoneKind};

/// The enabled privacy zones of a camera: what lies in them is painted over before a picture leaves memory.
///
/// Cheap to clone, as every picture that is kept carries the mask under which it was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct PrivacyMask(Arc<[Zone]>);

impl Default for PrivacyMask {
    fn default() -> Self {
        Self::from_zones(&[])
    }
}

impl PrivacyMask {
    /// The mask of a camera's zones; those of another kind and those that are not enabled hide nothing.
    #[must_use]
    pub fn from_zones(zones: &[Zone]) -> Self {
        Self(zones.iter().filter(|zone| zone.enabled && zone.kind == ZoneKind::Privacy).cloned().collect())
    }

    /// Whether it hides nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The zones; a point is hidden when it lies in one of them, each by the even-odd rule.
    #[must_use]
    pub fn zones(&self) -> &[Zone] {
        &self.0
    }

    /// What is hidden by either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if other.is_empty() || self == other {
            return self.clone();
        }
        Self(self.0.iter().chain(other.0.iter()).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::Point;

    fn zone(kind: ZoneKind, enabled: bool) -> Zone {
        let vertices = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0)].map(|(x, y)| Point { x, y }).to_vec();
        Zone { id: "z".into(), name: "z".into(), kind, enabled, vertices }
    }

    #[test]
    fn only_enabled_privacy_zones_hide() {
        let hidden = |zones: &[Zone]| PrivacyMask::from_zones(zones).zones().len();
        assert_eq!(hidden(&[zone(ZoneKind::Include, true), zone(ZoneKind::Exclude, true)]), 0);
        assert_eq!(hidden(&[zone(ZoneKind::Privacy, false)]), 0);
        assert_eq!(hidden(&[zone(ZoneKind::Privacy, true), zone(ZoneKind::Include, true)]), 1);
    }

    #[test]
    fn a_union_hides_what_either_hides() {
        let (none, one) = (PrivacyMask::default(), PrivacyMask::from_zones(&[zone(ZoneKind::Privacy, true)]));
        assert!(none.union(&none).is_empty());
        assert_eq!((none.union(&one), one.union(&none), one.union(&one)), (one.clone(), one.clone(), one.clone()));
        let mut other = zone(ZoneKind::Privacy, true);
        other.id = "y".into();
        assert_eq!(one.union(&PrivacyMask::from_zones(&[other])).zones().len(), 2);
    }
}
