//! What is reported of a frame, and how strong it is.

/// A box in pixels of the plane that was fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MotionBox {
    /// Left edge.
    pub x0: u16,
    /// Upper edge.
    pub y0: u16,
    /// Right edge, not included.
    pub x1: u16,
    /// Lower edge, not included.
    pub y1: u16,
    /// Changed pixels in it.
    pub area: u32,
    /// Number of the thing it belongs to, the same from frame to frame; 0 for a box around several.
    pub track: u32,
}

impl MotionBox {
    /// The smallest box around both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            x0: self.x0.min(other.x0),
            y0: self.y0.min(other.y0),
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
            area: self.area.saturating_add(other.area),
            track: if self.track == other.track { self.track } else { 0 },
        }
    }
}

/// A box as fractions of width and height, from the top left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FractionBox {
    /// Left edge, 0..1.
    pub x: f64,
    /// Upper edge, 0..1.
    pub y: f64,
    /// Width, 0..1.
    pub width: f64,
    /// Height, 0..1.
    pub height: f64,
}

/// What a frame showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Motion {
    /// Whether there is confirmed motion.
    pub moving: bool,
    /// How far the strongest thing is above the threshold of the sensitivity, 1..=1000; 0 without motion.
    /// [`Motion::confidence`] is the same in percent, as events have it.
    pub score: u16,
    /// The things that move, the largest first.
    pub boxes: Vec<MotionBox>,
    /// The box around all of them.
    pub bounding_box: Option<MotionBox>,
    /// Centre of the largest thing in thousandths of width and height: its way over an episode is the direction.
    pub centroid: Option<(u16, u16)>,
    /// Include zones in which something moves: bit `n` for the zone with index `n` in the list the mask was made from.
    /// A zone after the 32nd counts, but has no bit.
    pub touched: u32,
    /// Whether anything may become motion: a thing is followed, confirmed or not.
    pub changed: bool,
    /// Whether most of the picture changed at once, so that the background is learnt anew.
    pub scene_change: bool,
    /// Whether the background is still being learnt; nothing is reported until then.
    pub learning: bool,
    /// Width of the plane, the unit of the boxes.
    pub width: u16,
    /// Height of the plane.
    pub height: u16,
}

impl Motion {
    /// Confidence in percent: 50 at the threshold, at most 100; 0 without motion.
    #[must_use]
    pub fn confidence(&self) -> u8 {
        if self.moving { u8::try_from(50 + self.score.min(1000) / 20).unwrap_or(100) } else { 0 }
    }

    /// A box of this frame as fractions of the picture.
    #[must_use]
    pub fn fractions(&self, of: MotionBox) -> FractionBox {
        let (w, h) = (f64::from(self.width.max(1)), f64::from(self.height.max(1)));
        FractionBox {
            x: f64::from(of.x0) / w,
            y: f64::from(of.y0) / h,
            width: f64::from(of.x1.saturating_sub(of.x0)) / w,
            height: f64::from(of.y1.saturating_sub(of.y0)) / h,
        }
    }

    /// Forgets the last frame but keeps the memory.
    pub(crate) fn reset(&mut self) {
        self.boxes.clear();
        self.moving = false;
        self.score = 0;
        self.bounding_box = None;
        self.centroid = None;
        self.touched = 0;
        self.changed = false;
        self.scene_change = false;
        self.learning = false;
    }
}

/// Strength of a thing: a tenth of the scale for each doubling of its weight over the least weight that is reported.
pub(crate) fn strength(weight: u32, least: u32) -> u16 {
    let ratio_256 = (u64::from(weight) * 256 / u64::from(least.max(1))).max(256);
    let score = log2_256(ratio_256).saturating_sub(8 * 256) * 100 / 256;
    u16::try_from(score.clamp(1, 1000)).unwrap_or(1000)
}

/// Logarithm to base 2 in 1/256, straight between powers of two.
fn log2_256(v: u64) -> u64 {
    let v = v.max(1);
    let whole = u64::from(v.ilog2());
    let rest = if whole >= 8 { v >> (whole - 8) } else { v << (8 - whole) };
    whole * 256 + (rest - 256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strength_doubles_in_steps_of_a_tenth() {
        assert_eq!(strength(23, 23), 1);
        assert_eq!(strength(46, 23), 100);
        assert_eq!(strength(23 * 8, 23), 300);
        assert_eq!(strength(23 * 2000, 23), 1000);
        assert_eq!(strength(0, 0), 1);
        assert_eq!(strength(u32::MAX, 1), 1000);
    }

    #[test]
    fn confidence_begins_at_fifty() {
        let mut m = Motion { moving: true, score: 1, ..Motion::default() };
        assert_eq!(m.confidence(), 50);
        m.score = 1000;
        assert_eq!(m.confidence(), 100);
        m.moving = false;
        assert_eq!(m.confidence(), 0);
    }

    #[test]
    fn fractions_of_the_plane() {
        let m = Motion { width: 320, height: 180, ..Motion::default() };
        let b = MotionBox { x0: 32, y0: 45, x1: 96, y1: 90, area: 10, track: 1 };
        assert_eq!(m.fractions(b), FractionBox { x: 0.1, y: 0.25, width: 0.2, height: 0.25 });
        let u = b.union(MotionBox { x0: 0, y0: 50, x1: 40, y1: 180, area: 5, track: 2 });
        assert_eq!((u.x0, u.y0, u.x1, u.y1, u.area, u.track), (0, 45, 96, 180, 15, 0));
    }
}
