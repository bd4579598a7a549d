//! One thing that is followed: what is known of it, and what makes it a thing, or motion.

use crate::blobs::Blob;
use crate::tuning::Tuning;

/// Least sizes from which a region is clearly larger than what noise makes: rain reaches 1.7, a camera that trembles 6.6,
/// but seldom twice about one place.
const LARGE: u32 = 4;
/// Least sizes from which a region needs no support.
const HUGE: u32 = 20;
/// Things that begin in a frame, in 256ths, at which twice the evidence is asked for: the more there are, the sooner chance
/// makes a row of them. Rain has 2.6 a frame, the other scenes below 0.15.
pub(super) const CLUTTER_256: u32 = 1024;
/// How much sooner than evidence over frames the weight of what comes in is asked to grow with the things that begin:
/// by a least size for every 32nd of a thing in a frame.
const CLUTTER_AT_ONCE: u32 = 2;
/// By how much more, in 16ths of the least size, where light has changed blocks: what light leaves at its edge is no thing.
const LIT_16: u32 = 40;
/// What weighs less than a thing's greatest weight by this is not the thing ...
const FADING: u64 = 16;
/// ... where as many things begin in a frame, in 256ths: a drop of rain where a car has left.
const FADING_CLUTTER_256: u32 = 128;
/// Share of its box that something covers which counts at once, in 16ths: edges in a camera that trembles cover less.
const COMPACT_16: u64 = 5;
/// How much further large things are looked for, in shares of their length.
const LARGE_SHARE: i32 = 4;
/// Length of a car in heights: that of what has not come in whole is not seen yet.
const LENGTH_HEIGHTS: i32 = 3;

/// What depends on the size of the picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) width: u16,
    pub(super) height: u16,
    /// Pixels of the smallest thing that is reported.
    pub(super) area_min: u32,
    /// Pixels of the smallest region that is followed.
    pub(super) area_followed: u32,
    /// One pixel of a picture 320 wide, in 1/16 pixel of this one.
    pub(super) unit_16: i32,
}

impl Size {
    /// Pixels between a region and the nearest border of the picture, and how far it reaches into the picture from there.
    fn gap_and_depth(&self, b: &Blob) -> (u16, u16) {
        let right = (self.width.saturating_sub(b.x1), self.width.saturating_sub(b.x0));
        let below = (self.height.saturating_sub(b.y1), self.height.saturating_sub(b.y0));
        (b.x0, b.x1).min((b.y0, b.y1)).min(right).min(below)
    }

    fn is_large(&self, blob: &Blob) -> bool {
        blob.area >= LARGE * self.area_min
    }
}

/// What a frame is like, beside its regions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) size: Size,
    /// Running mean of the things that begin in a frame, in 256ths.
    pub(super) clutter_256: u32,
    /// Whether light has changed a block of it.
    pub(super) is_lit: bool,
}

/// Something followed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Track {
    /// Grows by one with every new track.
    pub id: u32,
    /// The region in the last frame it was found in.
    pub blob: Blob,
    /// Whether it has been seen often and clearly enough to be a thing.
    pub evident: bool,
    /// Whether it is reported as motion.
    pub confirmed: bool,
    /// Whether it has stood still long enough to become background.
    pub parked: bool,
    /// Frames since it was last found.
    pub misses: u32,
    /// Frames since it was last found with support in the frame before.
    pub unsupported: u32,
    /// Whether it was first seen at the border of the picture, where there was nothing before.
    pub(super) entered: bool,
    /// Whether it was strong enough at once, having come in.
    pub(super) struck: bool,
    first: Blob,
    anchor: (i32, i32),
    pub(super) travel_squared: i64,
    weight_peak: u32,
    pub(super) evidence_16: u32,
    pub(super) hits: u32,
    solid: u32,
    still: u32,
}

pub(super) fn centre_16(blob: &Blob) -> (i32, i32) {
    ((i32::from(blob.x0) + i32::from(blob.x1)) * 8, (i32::from(blob.y0) + i32::from(blob.y1)) * 8)
}

pub(super) fn distance_squared(a: (i32, i32), b: (i32, i32)) -> i64 {
    let (dx, dy) = (i64::from(a.0 - b.0), i64::from(a.1 - b.1));
    dx * dx + dy * dy
}

/// How far the inner edge of something at the border of the picture has moved, squared: the centre of what comes in
/// moves at half its pace.
fn entered_squared(first: &Blob, now: &Blob, size: &Size) -> i64 {
    let moved = |a: u16, b: u16| (i64::from(a) - i64::from(b)) * 16;
    let mut most = 0;
    if first.x0 == 0 && now.x0 == 0 {
        most = most.max(moved(now.x1, first.x1));
    }
    if first.x1 == size.width && now.x1 == size.width {
        most = most.max(moved(first.x0, now.x0));
    }
    if first.y0 == 0 && now.y0 == 0 {
        most = most.max(moved(now.y1, first.y1));
    }
    if first.y1 == size.height && now.y1 == size.height {
        most = most.max(moved(first.y0, now.y0));
    }
    most * most
}

impl Track {
    /// A thing that begins with this region.
    ///
    /// Near enough to the border to have come in since the frame before, it has travelled from there.
    pub(super) fn new(id: u32, blob: Blob, size: &Size, tuning: &Tuning) -> Self {
        let (gap, depth) = size.gap_and_depth(&blob);
        let entered = u32::from(gap) <= tuning.reach && u64::from(blob.same) * 4 <= u64::from(blob.area);
        Self {
            id,
            blob,
            evident: false,
            confirmed: false,
            parked: false,
            misses: 0,
            unsupported: 0,
            entered,
            struck: false,
            first: blob,
            anchor: centre_16(&blob),
            travel_squared: if entered { (i64::from(depth) * 16).pow(2) } else { 0 },
            weight_peak: 0,
            evidence_16: 0,
            hits: 0,
            solid: 0,
            still: 0,
        }
    }

    /// Whether it has been seen for so long that it is believed for a moment without being seen.
    pub(crate) fn is_settled(&self, tuning: &Tuning) -> bool {
        self.hits >= tuning.settled
    }

    /// Whether the region could be this thing a frame later: its box grown by four pixels, half its smaller side, and a
    /// share of what it is longer than 16 pixels: cars move by their own length between two pictures, and by more at five
    /// pictures a second. So far only what is large and not much smaller is believed to have come.
    pub(super) fn meets(&self, blob: &Blob, size: &Size, tuning: &Tuning) -> bool {
        let (a, b) = (&self.blob, blob);
        let (w, h) = (i32::from(a.x1) - i32::from(a.x0), i32::from(a.y1) - i32::from(a.y0));
        let (mut length, mut share_16) = (w.max(h), tuning.length_share_16);
        if size.is_large(a) && size.is_large(b) && u64::from(b.area) * 4 >= u64::from(a.area) {
            share_16 *= LARGE_SHARE;
            if size.gap_and_depth(a).0 <= 1 {
                length = w.max(h * LENGTH_HEIGHTS);
            }
        }
        let room = size.unit_16 / 4 + w.min(h) / 2 + (length - size.unit_16).max(0) * share_16 / 16;
        let near = |a0: u16, a1: u16, b0: u16, b1: u16| {
            i32::from(b0) < i32::from(a1) + room && i32::from(b1) > i32::from(a0) - room
        };
        near(a.x0, a.x1, b.x0, b.x1) && near(a.y0, a.y1, b.y0, b.y1)
    }

    /// Whether the region is far too weak to be this thing, where much begins and it is not about to leave: then it is
    /// something else, and has to show by itself what. A drop of rain where a car was seen is nothing, somebody who comes in
    /// where it left is a thing.
    pub(super) fn outweighs(&self, blob: &Blob, frame: &Frame, tuning: &Tuning) -> bool {
        frame.clutter_256 >= FADING_CLUTTER_256
            && u64::from(blob.weight) * FADING < u64::from(self.weight_peak)
            && u32::from(frame.size.gap_and_depth(blob).0) > tuning.reach
    }

    /// Takes the region that it is in this frame.
    pub(super) fn take(&mut self, blob: &Blob, frame: &Frame, tuning: &Tuning) {
        let size = &frame.size;
        let centre = centre_16(blob);
        // in the frame before, unless it is so big that no noise makes it
        let followed = self.misses == 1 && size.is_large(blob) && size.is_large(&self.blob);
        let supported = blob.support * 3 >= blob.area || blob.area > HUGE * size.area_min || followed;
        self.hits = if supported || self.hits == 0 { self.hits + 1 } else { self.hits - 1 };
        let weight_16 = u64::from(blob.weight) * 16 / u64::from(size.area_min);
        let evidence = weight_16.min(64) as u32;
        self.evidence_16 = if supported || self.hits <= 1 { self.evidence_16 + evidence } else { self.evidence_16 / 2 };
        let same = u64::from(blob.same) * 10 >= u64::from(blob.area) * 7;
        self.solid = if same { self.solid + 1 } else { self.solid.saturating_sub(2) };
        // a region without new pixels only shrinks, and its centre moves for that alone
        if u64::from(blob.same) * 10 < u64::from(blob.area) * 9 {
            self.travel_squared = self
                .travel_squared
                .max(distance_squared(centre, centre_16(&self.first)))
                .max(entered_squared(&self.first, blob, size));
        }
        // without new pixels nothing moves in it, though its centre may when it shrinks: a ghost that is learnt away
        let shrinks = u64::from(blob.same) * 20 >= u64::from(blob.area) * 19;
        // parked: on the same pixels about the same place
        let near = i64::from(size.unit_16 * 3 / 2).pow(2);
        if shrinks || (same && distance_squared(centre, self.anchor) < near) {
            self.still += 1;
        } else {
            self.still = 0;
            self.anchor = centre;
        }
        self.blob = *blob;
        self.weight_peak = self.weight_peak.max(blob.weight);
        self.misses = 0;
        if supported {
            self.unsupported = 0;
        }
        self.judge(weight_16, frame, tuning);
    }

    /// Decides what it is, from what is known now.
    fn judge(&mut self, weight_16: u64, frame: &Frame, tuning: &Tuning) {
        let size = &frame.size;
        let travel = i64::from(tuning.travel_16 * size.unit_16 / 16);
        let travelled = self.travel_squared >= travel * travel;
        self.parked = self.still >= if travelled { tuning.park } else { tuning.park_unmoved };
        // what comes in strong and compact into a calm picture needs no second look
        let at_once = tuning.at_once_16 + frame.clutter_256 / CLUTTER_AT_ONCE + if frame.is_lit { LIT_16 } else { 0 };
        self.struck |= self.entered && weight_16 >= u64::from(at_once) && is_compact(&self.blob);
        let clutter = frame.clutter_256.min(2 * CLUTTER_256);
        let needed = tuning.evidence_16 * (CLUTTER_256 + clutter) / CLUTTER_256;
        let often = u64::from(self.weight_peak) * 100 >= u64::from(size.area_min) * u64::from(tuning.peak_percent)
            && self.hits >= tuning.confirm
            && self.evidence_16 >= needed;
        self.evident = self.struck || often;
        self.confirmed = self.evident && (travelled || self.solid >= tuning.solid) && self.still < tuning.quiet;
    }
}

/// Whether a region fills its box rather than lining its edges.
fn is_compact(blob: &Blob) -> bool {
    let boxed = u64::from(blob.x1 - blob.x0) * u64::from(blob.y1 - blob.y0);
    u64::from(blob.area) * 16 >= boxed * COMPACT_16
}
