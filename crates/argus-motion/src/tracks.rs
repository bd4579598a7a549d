//! Follows changed regions from frame to frame and decides which of them are things that move.
//!
//! Rain and noise have no support in the frame before, leaves travel little; a thing has the one and does the other,
//! or stands where nothing stood.

#![expect(clippy::cast_possible_wrap, reason = "sides of pictures are below 2^16")]
#![expect(clippy::cast_possible_truncation, reason = "sides of pictures are below 2^16")]

use crate::blobs::Blob;
use crate::mask::Grid;
use crate::tuning::Tuning;

/// Most things followed at once.
const TRACKS_MAX: usize = 64;
/// Things that begin in a frame, in 256ths, at which twice the evidence is asked for: the more there are, the sooner chance
/// makes a row of them. Rain has 2.6 a frame, the other scenes below 0.15.
const CLUTTER_256: u32 = 1024;
/// Frames without a region after which a thing is forgotten.
const MISSES_MAX: u32 = 4;

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
    first: Blob,
    anchor: (i32, i32),
    travel_squared: i64,
    weight_peak: u32,
    evidence_16: u32,
    hits: u32,
    solid: u32,
    still: u32,
}

/// All things followed in one picture.
#[derive(Debug)]
pub(crate) struct Tracks {
    /// The live tracks, oldest first.
    pub live: Vec<Track>,
    area_min: u32,
    area_followed: u32,
    /// One pixel of a picture 320 wide, in 1/16 pixel of this one.
    unit_16: i32,
    next_id: u32,
    width: u16,
    height: u16,
    /// Running mean of the things that begin in a frame, in 256ths.
    pub clutter_256: u32,
}

fn centre_16(blob: &Blob) -> (i32, i32) {
    ((i32::from(blob.x0) + i32::from(blob.x1)) * 8, (i32::from(blob.y0) + i32::from(blob.y1)) * 8)
}

fn distance_squared(a: (i32, i32), b: (i32, i32)) -> i64 {
    let (dx, dy) = (i64::from(a.0 - b.0), i64::from(a.1 - b.1));
    dx * dx + dy * dy
}

/// How far the inner edge of something at the border of the picture has moved, squared: the centre of what comes in
/// moves at half its pace.
fn entered_squared(first: &Blob, now: &Blob, width: u16, height: u16) -> i64 {
    let moved = |a: u16, b: u16| (i64::from(a) - i64::from(b)) * 16;
    let mut most = 0;
    if first.x0 == 0 && now.x0 == 0 {
        most = most.max(moved(now.x1, first.x1));
    }
    if first.x1 == width && now.x1 == width {
        most = most.max(moved(first.x0, now.x0));
    }
    if first.y0 == 0 && now.y0 == 0 {
        most = most.max(moved(now.y1, first.y1));
    }
    if first.y1 == height && now.y1 == height {
        most = most.max(moved(first.y0, now.y0));
    }
    most * most
}

impl Track {
    fn new(id: u32, blob: Blob) -> Self {
        let centre = centre_16(&blob);
        Self {
            id,
            blob,
            evident: false,
            confirmed: false,
            parked: false,
            misses: 0,
            unsupported: 0,
            first: blob,
            anchor: centre,
            travel_squared: 0,
            weight_peak: 0,
            evidence_16: 0,
            hits: 0,
            solid: 0,
            still: 0,
        }
    }

    /// Whether it has been seen for so long that it is believed for a moment without being seen.
    pub(crate) fn is_settled(&self) -> bool {
        self.hits >= 5
    }

    /// Whether the region could be this thing a frame later: its box grown by four pixels, half its smaller side, and a
    /// share of what it is longer than 16 pixels: cars move by their own length between two pictures.
    fn meets(&self, blob: &Blob, unit_16: i32, length_share_16: i32) -> bool {
        let (a, b) = (&self.blob, blob);
        let (w, h) = (i32::from(a.x1) - i32::from(a.x0), i32::from(a.y1) - i32::from(a.y0));
        let room = unit_16 / 4 + w.min(h) / 2 + (w.max(h) - unit_16).max(0) * length_share_16 / 16;
        let near = |a0: u16, a1: u16, b0: u16, b1: u16| {
            i32::from(b0) < i32::from(a1) + room && i32::from(b1) > i32::from(a0) - room
        };
        near(a.x0, a.x1, b.x0, b.x1) && near(a.y0, a.y1, b.y0, b.y1)
    }
}

impl Tracks {
    pub(crate) fn new(grid: Grid, tuning: &Tuning) -> Self {
        let area_min = (grid.area() as u64 * u64::from(tuning.area_min_pcm) / 100_000).max(4);
        let area_min = u32::try_from(area_min).unwrap_or(u32::MAX);
        Self {
            live: Vec::with_capacity(TRACKS_MAX),
            area_min,
            area_followed: (area_min / 100 * tuning.follow_percent)
                .max(area_min.min(100) * tuning.follow_percent / 100)
                .max(2),
            unit_16: (grid.width as i32 * 16 / 320).max(1),
            next_id: 1,
            width: grid.width as u16,
            height: grid.height as u16,
            clutter_256: 0,
        }
    }

    /// Pixels of the smallest thing that is reported.
    pub(crate) fn area_min(&self) -> u32 {
        self.area_min
    }

    /// Pixels of the smallest region that is followed.
    pub(crate) fn area_followed(&self) -> u32 {
        self.area_followed
    }

    pub(crate) fn clear(&mut self) {
        self.live.clear();
    }

    /// Takes the regions of a frame.
    pub(crate) fn step(&mut self, blobs: &[Blob], tuning: &Tuning) {
        for track in &mut self.live {
            track.misses += 1;
            track.unsupported += 1;
        }
        let mut born = 0;
        let clutter = self.clutter_256;
        let (width, height) = (self.width, self.height);
        for blob in blobs {
            if blob.area < self.area_followed {
                continue;
            }
            let centre = centre_16(blob);
            let (unit_16, live) = (self.unit_16, self.live.len());
            let nearest = self
                .live
                .iter()
                .enumerate()
                .filter(|(_, t)| t.misses >= 1 && t.meets(blob, unit_16, tuning.length_share_16))
                .min_by_key(|(_, t)| distance_squared(centre_16(&t.blob), centre))
                .map(|(i, _)| i);
            let found = nearest.unwrap_or(live);
            if found == live && live < TRACKS_MAX {
                self.live.push(Track::new(self.next_id, *blob));
                self.next_id = self.next_id.wrapping_add(1);
                born += 256;
            }
            // no place for one more
            let Some(track) = self.live.get_mut(found) else { continue };
            // support in the frame before, unless the thing is big
            let supported = blob.support * 3 >= blob.area || blob.area > 20 * self.area_min;
            track.hits = if supported || track.hits == 0 { track.hits + 1 } else { track.hits - 1 };
            let evidence = (u64::from(blob.weight) * 16 / u64::from(self.area_min)).min(64) as u32;
            track.evidence_16 =
                if supported || track.hits <= 1 { track.evidence_16 + evidence } else { track.evidence_16 / 2 };
            let same = u64::from(blob.same) * 10 >= u64::from(blob.area) * 7;
            track.solid = if same { track.solid + 1 } else { track.solid.saturating_sub(2) };
            // a region without new pixels only shrinks, and its centre moves for that alone
            if u64::from(blob.same) * 10 < u64::from(blob.area) * 9 {
                track.travel_squared = track
                    .travel_squared
                    .max(distance_squared(centre, centre_16(&track.first)))
                    .max(entered_squared(&track.first, blob, width, height));
            }
            // without new pixels nothing moves in it, though its centre may when it shrinks: a ghost that is learnt away
            let shrinks = u64::from(blob.same) * 20 >= u64::from(blob.area) * 19;
            // parked: on the same pixels about the same place
            let near = i64::from(self.unit_16 * 3 / 2).pow(2);
            if shrinks || (same && distance_squared(centre, track.anchor) < near) {
                track.still += 1;
            } else {
                track.still = 0;
                track.anchor = centre;
            }
            track.blob = *blob;
            track.weight_peak = track.weight_peak.max(blob.weight);
            track.misses = 0;
            if supported {
                track.unsupported = 0;
            }
            let travel = i64::from(tuning.travel_16 * self.unit_16 / 16);
            let needed = tuning.evidence_16 * (CLUTTER_256 + clutter.min(2 * CLUTTER_256)) / CLUTTER_256;
            let travelled = track.travel_squared >= travel * travel;
            track.parked = track.still >= if travelled { tuning.park } else { tuning.park_unmoved };
            track.evident = track.weight_peak * 100 >= self.area_min * tuning.peak_percent
                && track.hits >= tuning.confirm
                && track.evidence_16 >= needed;
            track.confirmed = track.evident && (travelled || track.solid >= tuning.solid) && track.still < tuning.quiet;
        }
        self.clutter_256 = (self.clutter_256 * ((1 << tuning.clutter_shift) - 1) + born) >> tuning.clutter_shift;
        self.live.retain(|t| t.misses < MISSES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use argus_core::camera::Sensitivity;

    fn blob(x: u16, y: u16, same: u32) -> Blob {
        Blob { x0: x, y0: y, x1: x + 10, y1: y + 20, area: 200, support: 200, same, weight: 400 }
    }

    fn tracks() -> (Tracks, Tuning) {
        let tuning = Tuning::new(Sensitivity::Medium, 10.0);
        (Tracks::new(Grid::new(320, 180), &tuning), tuning)
    }

    #[test]
    fn a_traveller_is_confirmed_and_keeps_its_number() {
        let (mut tracks, tuning) = tracks();
        for i in 0..10 {
            tracks.step(&[blob(20 + i * 4, 50, 80)], &tuning);
            assert_eq!(tracks.live.len(), 1);
            assert_eq!(tracks.live[0].id, 1);
        }
        assert!(tracks.live[0].confirmed);
    }

    #[test]
    fn what_came_and_stands_is_quiet_soon_and_parks_later() {
        let (mut tracks, tuning) = tracks();
        for i in 0..10 {
            tracks.step(&[blob(20 + i * 4, 50, 80)], &tuning);
        }
        assert!(tracks.live[0].confirmed);
        for _ in 0..tuning.quiet + 1 {
            tracks.step(&[blob(56, 50, 200)], &tuning);
        }
        assert!(!tracks.live[0].confirmed && !tracks.live[0].parked);
        for _ in 0..tuning.park {
            tracks.step(&[blob(56, 50, 200)], &tuning);
        }
        assert!(tracks.live[0].parked && tracks.live[0].id == 1);
        tracks.step(&[blob(60, 50, 80)], &tuning);
        assert!(tracks.live[0].confirmed, "it walks on");
    }

    #[test]
    fn what_appears_and_only_shrinks_is_never_motion() {
        let (mut tracks, tuning) = tracks();
        for i in 0..12u16 {
            let ghost = Blob { y0: 50 + i, area: 200 - u32::from(i) * 10, ..blob(20, 50, 200 - u32::from(i) * 10) };
            tracks.step(&[ghost], &tuning);
            assert!(!tracks.live[0].confirmed, "frame {i}");
        }
        assert!(tracks.live[0].evident);
    }

    #[test]
    fn a_thing_that_comes_in_at_the_border_is_confirmed_by_its_inner_edge() {
        let (mut tracks, tuning) = tracks();
        tracks.step(&[Blob { x1: 5, ..blob(0, 50, 0) }], &tuning);
        tracks.step(&[Blob { x1: 7, ..blob(0, 50, 100) }], &tuning);
        assert!(tracks.live[0].confirmed, "its centre moved by one pixel only");
    }

    #[test]
    fn more_is_asked_for_where_much_begins() {
        let mut quiet = tracks().0;
        let (mut tracks, tuning) = tracks();
        for i in 0..60u16 {
            let drops: Vec<Blob> = (0..5).map(|n| Blob { same: 0, ..blob(n * 60, (i % 3) * 60, 0) }).collect();
            let before = tracks.clutter_256;
            tracks.step(&drops, &tuning);
            tracks.live.clear();
            assert!(tracks.clutter_256 >= before);
        }
        assert!(tracks.clutter_256 > CLUTTER_256);
        // just enough in a calm picture
        let weight = tracks.area_min() * tuning.evidence_16 / 32 + 1;
        let faint = |x| Blob { weight, ..blob(x, 50, 80) };
        tracks.step(&[faint(20)], &tuning);
        tracks.step(&[faint(24)], &tuning);
        assert!(!tracks.live[0].confirmed);
        quiet.step(&[faint(20)], &tuning);
        quiet.step(&[faint(24)], &tuning);
        assert!(quiet.live[0].confirmed);
    }

    #[test]
    fn what_travels_without_support_is_no_thing_unless_it_is_big() {
        let big = tracks().0.area_min() * 20;
        for (area, support, expected) in
            [(200, 66, false), (200, 67, true), (200, 200, true), (big, 0, false), (big + 1, 0, true)]
        {
            let (mut tracks, tuning) = tracks();
            let mut was_confirmed = false;
            for i in 0..12 {
                tracks.step(&[Blob { area, support, ..blob(20 + i * 4, 50, 80) }], &tuning);
                was_confirmed |= tracks.live[0].confirmed;
            }
            assert_eq!(was_confirmed, expected, "{support} of {area}");
        }
    }

    #[test]
    fn losing_support_takes_evidence_away() {
        let (mut tracks, tuning) = tracks();
        for i in 0..3 {
            tracks.step(&[blob(20 + i * 4, 50, 80)], &tuning);
        }
        let (hits, evidence) = (tracks.live[0].hits, tracks.live[0].evidence_16);
        tracks.step(&[Blob { support: 0, ..blob(32, 50, 80) }], &tuning);
        let track = &tracks.live[0];
        assert_eq!((track.hits, track.evidence_16, track.unsupported), (hits - 1, evidence / 2, 1));
        tracks.step(&[blob(36, 50, 80)], &tuning);
        assert_eq!(tracks.live[0].unsupported, 0);
    }

    #[test]
    fn a_thing_is_found_again_after_a_few_frames_and_forgotten_after_more() {
        for (missed, id) in [(MISSES_MAX - 1, 1), (MISSES_MAX, 2)] {
            let (mut tracks, tuning) = tracks();
            tracks.step(&[blob(20, 50, 80)], &tuning);
            for _ in 0..missed {
                tracks.step(&[], &tuning);
            }
            tracks.step(&[blob(22, 50, 80)], &tuning);
            assert_eq!(tracks.live.iter().map(|t| t.id).collect::<Vec<_>>(), [id], "{missed}");
        }
    }

    #[test]
    fn flashes_are_never_confirmed() {
        let (mut tracks, tuning) = tracks();
        for i in 0..60u16 {
            let x = i * 97 % 300;
            let flash = Blob { support: 0, same: 0, area: 60, ..blob(x, i * 53 % 150, 0) };
            tracks.step(&[flash], &tuning);
            assert!(tracks.live.iter().all(|t| !t.confirmed));
        }
    }

    #[test]
    fn the_number_of_tracks_is_bounded() {
        let (mut tracks, tuning) = tracks();
        let many: Vec<Blob> = (0..400u16).map(|i| blob(i % 20 * 16, i / 20 * 9, 0)).collect();
        tracks.step(&many, &tuning);
        assert!(tracks.live.len() <= TRACKS_MAX);
    }
}
