//! Follows regions from frame to frame and decides which of them are things that move.

#![expect(clippy::cast_possible_wrap, reason = "sides of pictures are below 2^16")]
#![expect(clippy::cast_possible_truncation, reason = "sides of pictures are below 2^16")]

mod track;

pub(crate) use track::Track;
use track::{Frame, Size, centre_16, distance_squared};

use crate::blobs::Blob;
use crate::mask::Grid;
use crate::tuning::Tuning;

/// Most things followed at once.
const TRACKS_MAX: usize = 64;

/// All things followed in one picture.
#[derive(Debug)]
pub(crate) struct Tracks {
    /// The live tracks, oldest first.
    pub live: Vec<Track>,
    size: Size,
    next_id: u32,
    /// Running mean of the things that begin in a frame, in 256ths.
    pub clutter_256: u32,
}

impl Tracks {
    pub(crate) fn new(grid: Grid, tuning: &Tuning) -> Self {
        let area_min = (grid.area() as u64 * u64::from(tuning.area_min_pcm) / 100_000).max(4);
        let area_min = u32::try_from(area_min).unwrap_or(u32::MAX);
        let area_followed =
            (area_min / 100 * tuning.follow_percent).max(area_min.min(100) * tuning.follow_percent / 100).max(2);
        let unit_16 = (grid.width as i32 * 16 / 320).max(1);
        let size = Size { width: grid.width as u16, height: grid.height as u16, area_min, area_followed, unit_16 };
        Self { live: Vec::with_capacity(TRACKS_MAX), size, next_id: 1, clutter_256: 0 }
    }

    /// Pixels of the smallest thing that is reported.
    pub(crate) fn area_min(&self) -> u32 {
        self.size.area_min
    }

    /// Pixels of the smallest region that is followed.
    pub(crate) fn area_followed(&self) -> u32 {
        self.size.area_followed
    }

    pub(crate) fn clear(&mut self) {
        self.live.clear();
    }

    /// Takes the regions of a frame; `is_lit`: whether light has changed a block of it.
    pub(crate) fn step(&mut self, blobs: &[Blob], is_lit: bool, tuning: &Tuning) {
        for track in &mut self.live {
            track.misses += 1;
            track.unsupported += 1;
        }
        let mut born = 0;
        let frame = Frame { size: self.size, clutter_256: self.clutter_256, is_lit };
        for blob in blobs {
            if blob.area < self.size.area_followed {
                continue;
            }
            let centre = centre_16(blob);
            let live = self.live.len();
            let nearest = self
                .live
                .iter()
                .enumerate()
                .filter(|(_, t)| {
                    t.misses >= 1 && t.meets(blob, &frame.size, tuning) && !t.outweighs(blob, &frame, tuning)
                })
                .min_by_key(|(_, t)| distance_squared(centre_16(&t.blob), centre))
                .map(|(i, _)| i);
            let found = nearest.unwrap_or(live);
            if found == live && live < TRACKS_MAX {
                self.live.push(Track::new(self.next_id, *blob, &frame.size, tuning));
                self.next_id = self.next_id.wrapping_add(1);
                born += 256;
            }
            // no place for one more
            if let Some(track) = self.live.get_mut(found) {
                track.take(blob, &frame, tuning);
            }
        }
        self.clutter_256 = (self.clutter_256 * ((1 << tuning.clutter_shift) - 1) + born) >> tuning.clutter_shift;
        self.live.retain(|t| t.misses < tuning.forget);
    }
}

#[cfg(test)]
mod tests {
    use super::track::CLUTTER_256;
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
            tracks.step(&[blob(20 + i * 4, 50, 80)], false, &tuning);
            assert_eq!(tracks.live.len(), 1);
            assert_eq!(tracks.live[0].id, 1);
        }
        assert!(tracks.live[0].confirmed);
    }

    #[test]
    fn what_came_and_stands_is_quiet_soon_and_parks_later() {
        let (mut tracks, tuning) = tracks();
        for i in 0..10 {
            tracks.step(&[blob(20 + i * 4, 50, 80)], false, &tuning);
        }
        assert!(tracks.live[0].confirmed);
        for _ in 0..tuning.quiet + 1 {
            tracks.step(&[blob(56, 50, 200)], false, &tuning);
        }
        assert!(!tracks.live[0].confirmed && !tracks.live[0].parked);
        for _ in 0..tuning.park {
            tracks.step(&[blob(56, 50, 200)], false, &tuning);
        }
        assert!(tracks.live[0].parked && tracks.live[0].id == 1);
        tracks.step(&[blob(60, 50, 80)], false, &tuning);
        assert!(tracks.live[0].confirmed, "it walks on");
    }

    #[test]
    fn what_appears_and_only_shrinks_is_never_motion() {
        let (mut tracks, tuning) = tracks();
        for i in 0..12u16 {
            let ghost = Blob { y0: 50 + i, area: 200 - u32::from(i) * 10, ..blob(20, 50, 200 - u32::from(i) * 10) };
            tracks.step(&[ghost], false, &tuning);
            assert!(!tracks.live[0].confirmed, "frame {i}");
        }
        assert!(tracks.live[0].evident);
    }

    #[test]
    fn a_thing_that_comes_in_at_the_border_is_confirmed_by_its_inner_edge() {
        let (mut tracks, tuning) = tracks();
        tracks.step(&[Blob { x1: 5, ..blob(0, 50, 0) }], false, &tuning);
        tracks.step(&[Blob { x1: 7, ..blob(0, 50, 100) }], false, &tuning);
        assert!(tracks.live[0].confirmed, "its centre moved by one pixel only");
    }

    /// Whether a region is reported in the picture in which it is seen first.
    fn at_once(blob: Blob, clutter_256: u32, is_lit: bool) -> bool {
        let (mut tracks, tuning) = tracks();
        tracks.clutter_256 = clutter_256;
        tracks.step(&[blob], is_lit, &tuning);
        tracks.live[0].confirmed
    }

    #[test]
    fn what_comes_in_strong_and_compact_is_confirmed_at_once() {
        let least = tracks().0.area_min();
        let of = |x, weight| Blob { area: 120, support: 0, weight, ..blob(x, 50, 0) };
        assert!(at_once(of(0, least), 0, false));
        assert!(at_once(of(310, least), 0, false), "at the right");
        assert!(at_once(of(3, least), 0, false), "three pixels are its way since the picture before");
        assert!(!at_once(of(4, 400), 0, false), "four are not");
        assert!(!at_once(of(150, 400), 0, false), "it did not come in");
        assert!(!at_once(of(0, least - 2), 0, false), "faint");
        assert!(!at_once(Blob { area: 60, ..of(0, 400) }, 0, false), "lines about a box");
        assert!(!at_once(Blob { same: 31, ..of(0, 400) }, 0, false), "a quarter of it had changed before");
        assert!(at_once(Blob { same: 30, ..of(0, 400) }, 0, false));
    }

    #[test]
    fn more_weight_is_asked_for_at_once_where_light_changes_or_much_begins() {
        let least = tracks().0.area_min();
        let of = |weight| Blob { area: 120, support: 0, weight, ..blob(0, 50, 0) };
        assert!(!at_once(of(3 * least), 0, true) && at_once(of(4 * least), 0, true));
        // half a thing in every picture
        assert!(!at_once(of(4 * least), 128, false) && at_once(of(5 * least), 128, false));
    }

    #[test]
    fn what_was_strong_at_once_stays_a_thing_until_it_is_still() {
        let (mut tracks, tuning) = tracks();
        tracks.step(&[Blob { support: 0, ..blob(0, 50, 0) }], false, &tuning);
        tracks.step(&[Blob { area: 60, support: 0, weight: 10, ..blob(6, 50, 0) }], false, &tuning);
        assert_eq!((tracks.live[0].confirmed, tracks.live[0].hits), (true, 0));
        for _ in 0..=tuning.quiet {
            tracks.step(&[blob(6, 50, 200)], false, &tuning);
        }
        assert!(!tracks.live[0].confirmed);
    }

    /// Whether a region `gap` pixels behind the first is taken for the same thing.
    fn is_followed(first: Blob, gap: u16, area: u32) -> bool {
        let (mut tracks, tuning) = tracks();
        tracks.step(&[first], false, &tuning);
        let (x0, length) = (first.x1 + gap, first.x1 - first.x0);
        tracks.step(&[Blob { x0, x1: x0 + length, area, support: 0, same: 0, ..first }], false, &tuning);
        tracks.live.len() == 1
    }

    #[test]
    fn large_things_are_followed_over_gaps_longer_than_themselves() {
        // 40 x 20 at ten pictures a second: 4 + 10 pixels, and a quarter or all of the 24 that it is longer than 16
        let car = Blob { x0: 60, y0: 50, x1: 100, y1: 70, area: 600, support: 0, same: 0, weight: 900 };
        assert!(is_followed(car, 37, 600) && !is_followed(car, 38, 600));
        assert!(is_followed(car, 37, 150), "a quarter of it");
        assert!(is_followed(car, 19, 149) && !is_followed(car, 20, 149), "less than a quarter");
        let small = Blob { area: 91, ..car };
        assert!(is_followed(small, 19, 91) && !is_followed(small, 20, 91), "not large");
        // what is still coming in is longer than it shows: three heights
        let coming = Blob { x0: 0, x1: 20, ..car };
        assert!(is_followed(coming, 57, 600) && !is_followed(coming, 58, 600));
    }

    #[test]
    fn what_is_large_and_followed_needs_no_support() {
        for (area, expected) in [(4, true), (3, false)].map(|(n, expected)| (n * tracks().0.area_min(), expected)) {
            let (mut tracks, tuning) = tracks();
            for i in 0..4 {
                tracks.step(&[Blob { area, support: 0, ..blob(120 + i * 14, 50, 0) }], false, &tuning);
            }
            assert_eq!((tracks.live.len(), tracks.live[0].confirmed), (1, expected), "{area}");
        }
    }

    #[test]
    fn in_clutter_what_is_far_weaker_is_not_the_thing() {
        for (clutter, x, weight, expected) in
            [(127, 60, 24, 1), (128, 60, 24, 2), (128, 60, 25, 1), (128, 1, 24, 1), (128, 6, 24, 2)]
        {
            let (mut tracks, tuning) = tracks();
            tracks.step(&[blob(x, 50, 80)], false, &tuning);
            tracks.clutter_256 = clutter;
            tracks.step(&[Blob { weight, ..blob(x + 2, 50, 80) }], false, &tuning);
            assert_eq!(tracks.live.len(), expected, "{clutter} {x} {weight}");
        }
    }

    /// Feeds a heavy thing and, where it was, something faint; answers in which pictures that was reported.
    fn after_a_heavy_one(faint: impl Fn(u16) -> Blob) -> Vec<bool> {
        let (mut tracks, tuning) = tracks();
        for i in 0..6 {
            tracks.step(&[Blob { weight: 9000, ..blob(60 - i * 4, 50, 80) }], false, &tuning);
        }
        assert!(tracks.live[0].confirmed);
        let mut seen = Vec::new();
        for i in 0..12 {
            tracks.clutter_256 = 2 * CLUTTER_256;
            tracks.step(&[faint(i)], false, &tuning);
            seen.push(tracks.live.iter().any(|t| t.confirmed && t.unsupported == 0));
        }
        seen
    }

    #[test]
    fn in_clutter_what_comes_where_something_heavy_was_has_its_own_evidence() {
        let walker = |i| Blob { area: 60, support: 60, weight: 90, ..blob(40 + i * 3, 50, 10) };
        let seen = after_a_heavy_one(walker);
        assert!(seen[4..].iter().all(|&seen| seen), "{seen:?}");
        // drops fall about there, never twice on the same pixels
        let drop = |i| Blob { area: 20, support: 0, weight: 40, ..blob(34 + i % 3 * 6, 48, 0) };
        assert!(!after_a_heavy_one(drop).contains(&true));
    }

    #[test]
    fn things_are_remembered_for_a_time_whatever_the_rate() {
        for (rate, forget, settled) in [(1.0, 4, 5), (5.0, 4, 5), (10.0, 4, 5), (30.0, 12, 15)] {
            let tuning = Tuning::new(Sensitivity::Medium, rate);
            assert_eq!((tuning.forget, tuning.settled), (forget, settled), "{rate}");
        }
    }

    #[test]
    fn more_is_asked_for_where_much_begins() {
        let mut quiet = tracks().0;
        let (mut tracks, tuning) = tracks();
        for i in 0..60u16 {
            let drops: Vec<Blob> = (0..5).map(|n| Blob { same: 0, ..blob(n * 60, (i % 3) * 60, 0) }).collect();
            let before = tracks.clutter_256;
            tracks.step(&drops, false, &tuning);
            tracks.live.clear();
            assert!(tracks.clutter_256 >= before);
        }
        assert!(tracks.clutter_256 > CLUTTER_256);
        // just enough in a calm picture
        let weight = tracks.area_min() * tuning.evidence_16 / 32 + 1;
        let faint = |x| Blob { weight, ..blob(x, 50, 80) };
        tracks.step(&[faint(20)], false, &tuning);
        tracks.step(&[faint(24)], false, &tuning);
        assert!(!tracks.live[0].confirmed);
        quiet.step(&[faint(20)], false, &tuning);
        quiet.step(&[faint(24)], false, &tuning);
        assert!(quiet.live[0].confirmed);
    }

    #[test]
    fn what_travels_without_support_is_no_thing_unless_it_is_large() {
        let large = tracks().0.area_min() * 4;
        for (area, support, expected) in
            [(90, 29, false), (90, 30, true), (90, 90, true), (large - 1, 0, false), (large, 0, true)]
        {
            let (mut tracks, tuning) = tracks();
            let mut was_confirmed = false;
            for i in 0..12 {
                tracks.step(&[Blob { area, support, ..blob(20 + i * 4, 50, 30) }], false, &tuning);
                was_confirmed |= tracks.live[0].confirmed;
            }
            assert_eq!(was_confirmed, expected, "{support} of {area}");
        }
    }

    #[test]
    fn losing_support_takes_evidence_away() {
        let (mut tracks, tuning) = tracks();
        for i in 0..3 {
            tracks.step(&[blob(20 + i * 4, 50, 80)], false, &tuning);
        }
        let (hits, evidence) = (tracks.live[0].hits, tracks.live[0].evidence_16);
        tracks.step(&[Blob { area: 90, support: 0, ..blob(32, 50, 60) }], false, &tuning);
        let track = &tracks.live[0];
        assert_eq!((track.hits, track.evidence_16, track.unsupported), (hits - 1, evidence / 2, 1));
        tracks.step(&[blob(36, 50, 80)], false, &tuning);
        assert_eq!(tracks.live[0].unsupported, 0);
    }

    #[test]
    fn a_thing_is_found_again_after_a_few_frames_and_forgotten_after_more() {
        let forget = tracks().1.forget;
        for (missed, id) in [(forget - 1, 1), (forget, 2)] {
            let (mut tracks, tuning) = tracks();
            tracks.step(&[blob(20, 50, 80)], false, &tuning);
            for _ in 0..missed {
                tracks.step(&[], false, &tuning);
            }
            tracks.step(&[blob(22, 50, 80)], false, &tuning);
            assert_eq!(tracks.live.iter().map(|t| t.id).collect::<Vec<_>>(), [id], "{missed}");
        }
    }

    #[test]
    fn flashes_are_never_confirmed() {
        let (mut tracks, tuning) = tracks();
        for i in 0..60u16 {
            let x = i * 97 % 300;
            let flash = Blob { support: 0, same: 0, area: 60, ..blob(x, i * 53 % 150, 0) };
            tracks.step(&[flash], false, &tuning);
            assert!(tracks.live.iter().all(|t| !t.confirmed));
        }
    }

    #[test]
    fn the_number_of_tracks_is_bounded() {
        let (mut tracks, tuning) = tracks();
        let many: Vec<Blob> = (0..400u16).map(|i| blob(i % 20 * 16, i / 20 * 9, 0)).collect();
        tracks.step(&many, false, &tuning);
        assert!(tracks.live.len() <= TRACKS_MAX);
    }
}
