//! The detector: pictures in, motion out.

#![expect(clippy::indexing_slicing, reason = "all masks are of the one grid made in `new`")]

use std::fmt::Write;

use argus_core::LumaPlane;
use argus_core::camera::Sensitivity;

use crate::MotionError;
use crate::background::{Background, Lighting};
use crate::blobs::{Blob, Blobs};
use crate::mask::{Grid, count, restore, span, thin};
use crate::score::{Motion, MotionBox, strength};
use crate::simd::{Kernel, widest};
use crate::tracks::{Track, Tracks};
use crate::tuning::{SCENE_CHANGE_PERCENT, Tuning};
use crate::zones::{DrawnZones, MotionMask};

/// What a detector needs to know of its camera.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectorConfig {
    /// How small and faint a movement counts.
    pub sensitivity: Sensitivity,
    /// Pictures a second that are fed; time constants follow from it. Taken as 0.5 to 60; what is no finite number, as 5.
    pub frame_rate: f32,
    /// Where movement counts.
    pub mask: MotionMask,
}

/// Finds motion in a sequence of small grey pictures of one size.
///
/// The same pictures give the same answers, on every machine. After the first few frames nothing is allocated.
#[derive(Debug)]
pub struct Detector {
    width: u16,
    height: u16,
    grid: Grid,
    tuning: Tuning,
    zones: DrawnZones,
    background: Background,
    blobs: Blobs,
    tracks: Tracks,
    /// Changed pixels of this frame, of the frame before, and room for one more.
    mask: Vec<u64>,
    before: Vec<u64>,
    raw: Vec<u64>,
    core: Vec<u64>,
    keep: Vec<[u16; 4]>,
    /// Frames that still only learn.
    learning: u32,
    warming: u32,
    started: bool,
    /// The last jump of the exposure: whether to brighter, and frames since.
    jump: Option<(bool, u32)>,
    lighting: Lighting,
    motion: Motion,
}

impl Detector {
    /// A detector for planes of `width` x `height` pixels.
    #[must_use]
    pub fn new(width: u16, height: u16, config: &DetectorConfig) -> Self {
        let grid = Grid::new(usize::from(width), usize::from(height));
        let tuning = Tuning::new(config.sensitivity, config.frame_rate);
        Self {
            width,
            height,
            grid,
            tuning,
            zones: config.mask.draw(grid),
            background: Background::new(grid),
            blobs: Blobs::new(grid),
            tracks: Tracks::new(grid, &tuning),
            mask: grid.mask(),
            before: grid.mask(),
            raw: grid.mask(),
            core: grid.mask(),
            keep: Vec::with_capacity(64),
            learning: 0,
            warming: 0,
            started: false,
            jump: None,
            lighting: Lighting::SAME,
            motion: Motion { width, height, boxes: Vec::with_capacity(64), ..Motion::default() },
        }
    }

    /// Takes the next picture.
    ///
    /// # Errors
    /// `WrongSize` when it is not of the size the detector was made for; the detector is as it was before.
    pub fn feed(&mut self, plane: &LumaPlane) -> Result<&Motion, MotionError> {
        if (plane.width(), plane.height()) != (self.width, self.height) {
            return Err(MotionError::WrongSize {
                width: self.width,
                height: self.height,
                given_width: plane.width(),
                given_height: plane.height(),
            });
        }
        widest(Feed { detector: self, pixels: plane.pixels() });
        Ok(&self.motion)
    }

    /// What the last picture showed.
    #[must_use]
    pub fn motion(&self) -> &Motion {
        &self.motion
    }

    /// What is followed now, one line a thing with every number that decides about it: for people who tune.
    #[must_use]
    pub fn followed(&self) -> String {
        let mut text = format!("{:?} clutter {}/256\n", self.lighting, self.tracks.clutter_256);
        for track in &self.tracks.live {
            // writing to a string cannot fail
            let _ = writeln!(text, "  {track:?}");
        }
        text
    }

    /// Forgets the background, as after a gap: the next picture begins anew.
    pub fn restart(&mut self) {
        self.started = false;
        self.tracks.clear();
        self.motion.reset();
    }

    fn relearn(&mut self) {
        self.background.relearn(self.tuning.start_deviation);
        self.before.fill(0);
        self.tracks.clear();
        self.jump = None;
        self.learning = self.tuning.learning_frames;
        self.warming = self.tuning.warming_frames;
    }

    #[inline(always)]
    fn step(&mut self, pixels: &[u8]) {
        self.motion.reset();
        self.background.load(pixels);
        if !self.started {
            self.started = true;
            self.relearn();
            self.motion.learning = true;
            return;
        }
        self.learning = self.learning.saturating_sub(1);
        let lighting = self.background.lighting();
        self.lighting = lighting;
        if lighting.jump {
            let up = lighting.light.is_brighter();
            // there and back again is a lamp that flickers, which a gain follows: adopting would learn what moves, too
            if self.jump.is_none_or(|(was_up, ago)| was_up == up || ago > self.tuning.flicker) {
                // what clips black or white cannot be followed: away from things the frame is the new background
                self.keep.clear();
                let (w, h) = (self.width, self.height);
                self.keep.extend(self.tracks.live.iter().map(|t| around(&t.blob, w, h)));
                self.background.adopt(&self.keep, self.tuning.jump_deviation);
            }
            self.jump = Some((up, 0));
        }
        self.jump = self.jump.map(|(up, ago)| (up, ago.saturating_add(1)));
        self.warming = self.warming.saturating_sub(1);
        let by = match (self.learning, self.warming) {
            (1.., _) => self.tuning.learning,
            (0, 1..) => self.tuning.warming,
            (0, 0) => self.tuning.steady,
        };
        let by = if lighting.is_restless { by.in_restless_light() } else { by };
        let by = if lighting.is_dark { by.in_the_dark() } else { by };
        self.background.compare(by, lighting.lit_blocks > 0, &mut self.raw);
        if let Some(counts) = &self.zones.counts {
            for (bits, counts) in self.raw.iter_mut().zip(counts) {
                *bits &= counts;
            }
        }
        thin(self.grid, &self.raw, &mut self.core);
        restore(self.grid, &self.raw, &self.core, &mut self.mask);
        let changed = count(&self.mask);
        if changed * 100 > SCENE_CHANGE_PERCENT * self.grid.area() {
            self.relearn();
            self.motion.scene_change = true;
            self.motion.learning = true;
            return;
        }
        if changed > 0 {
            self.blobs.find(self.grid, &self.mask, &self.before, self.tuning.reach);
            self.weigh();
        } else {
            self.blobs.found.clear();
        }
        self.tracks.step(&self.blobs.found, lighting.lit_blocks > 0, &self.tuning);
        let (w, h) = (self.width, self.height);
        let evident = self.tracks.live.iter().filter(|t| t.evident);
        self.background.set_busy(evident.map(|t| around(&t.blob, w, h)));
        self.motion.learning = self.learning > 0;
        self.report();
        std::mem::swap(&mut self.mask, &mut self.before);
    }

    fn report(&mut self) {
        let learning = self.motion.learning;
        for track in &self.tracks.live {
            self.motion.changed |= track.misses == 0;
            if track.parked && track.misses == 0 {
                let b = &track.blob;
                self.background.absorb(usize::from(b.x0)..usize::from(b.x1), usize::from(b.y0)..usize::from(b.y1));
            }
            if learning || !is_reported(track, &self.tuning) {
                continue;
            }
            let b = track.blob;
            let found = MotionBox { x0: b.x0, y0: b.y0, x1: b.x1, y1: b.y1, area: b.area, track: track.id };
            self.motion.boxes.push(found);
            self.motion.bounding_box = Some(self.motion.bounding_box.map_or(found, |all| all.union(found)));
            self.motion.score = self.motion.score.max(strength(b.weight, self.tracks.area_min()));
            self.motion.touched |= self.zones.touched(|zone| self.overlaps(&b, zone));
        }
        self.motion.boxes.sort_unstable_by_key(|b| (std::cmp::Reverse(b.area), b.track));
        self.motion.moving = !self.motion.boxes.is_empty();
        self.motion.centroid = self.motion.boxes.first().map(|b| {
            let permille = |from: u16, to: u16, side: u16| {
                let twice = u32::from(from) + u32::from(to);
                u16::try_from(twice * 500 / u32::from(side.max(1))).unwrap_or(1000)
            };
            (permille(b.x0, b.x1, self.width), permille(b.y0, b.y1, self.height))
        });
    }

    /// Gives the regions worth following their weight; of large ones only every fourth row is read.
    fn weigh(&mut self) {
        let least = self.tracks.area_followed();
        for b in self.blobs.found.iter_mut().filter(|b| b.area >= least) {
            let step = if b.area > 256 { 4 } else { 1 };
            let (from, to) = (usize::from(b.x0), usize::from(b.x1));
            let mut sum = 0u32;
            for y in (usize::from(b.y0)..usize::from(b.y1)).step_by(step) {
                let row = self.grid.row(&self.mask, y).iter().enumerate();
                for (i, &word) in row.take(to.div_ceil(64)).skip(from / 64) {
                    let bits = word & span(i, from, to);
                    sum = sum.saturating_add(self.background.excess_16(self.tuning.steady, y, i, bits));
                }
            }
            b.weight = sum.saturating_mul(if step == 4 { 4 } else { 1 }) / 16;
        }
    }

    /// Whether a changed pixel in the region's box lies in the zone.
    fn overlaps(&self, blob: &Blob, zone: &[u64]) -> bool {
        let (from, to) = (usize::from(blob.x0), usize::from(blob.x1));
        (usize::from(blob.y0)..usize::from(blob.y1)).any(|y| {
            let (row, zone) = (self.grid.row(&self.mask, y), self.grid.row(zone, y));
            (from / 64..to.div_ceil(64)).any(|i| row[i] & zone[i] & span(i, from, to) != 0)
        })
    }
}

/// Whether a thing is motion now: confirmed, and found in this frame or a moment ago.
fn is_reported(track: &Track, tuning: &Tuning) -> bool {
    track.confirmed && track.unsupported <= if track.is_settled(tuning) { tuning.coast } else { 0 }
}

/// The box of a thing with room for a frame of movement.
fn around(blob: &Blob, width: u16, height: u16) -> [u16; 4] {
    let room = ((blob.x1 - blob.x0).min(blob.y1 - blob.y0) / 2).saturating_add(8);
    [
        blob.x0.saturating_sub(room),
        blob.y0.saturating_sub(room),
        blob.x1.saturating_add(room).min(width),
        blob.y1.saturating_add(room).min(height),
    ]
}

struct Feed<'a> {
    detector: &'a mut Detector,
    pixels: &'a [u8],
}

impl Kernel for Feed<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.detector.step(self.pixels);
    }
}

#[cfg(test)]
mod tests {
    use argus_core::zone::{Point, Zone, ZoneKind};
    use proptest::prelude::*;

    use super::*;

    const W: usize = 320;
    const H: usize = 180;

    struct Noise(u32);

    impl Noise {
        fn below(&mut self, n: u32) -> u8 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 17;
            self.0 ^= self.0 << 5;
            u8::try_from(self.0 % n).unwrap()
        }
    }

    fn config(zones: &[Zone]) -> DetectorConfig {
        DetectorConfig { sensitivity: Sensitivity::Medium, frame_rate: 10.0, mask: MotionMask::from_zones(zones) }
    }

    fn detector(zones: &[Zone]) -> Detector {
        Detector::new(320, 180, &config(zones))
    }

    fn plane(w: u16, h: u16, pixels: Vec<u8>) -> LumaPlane {
        LumaPlane::new(w, h, pixels).unwrap()
    }

    /// A textured scene, the same for one seed.
    fn scene(noise: &mut Noise) -> Vec<u8> {
        (0..W * H).map(|i| 50 + u8::try_from(i % W / 8).unwrap() + noise.below(40)).collect()
    }

    /// The scene with fresh noise and a box of 12 x 30 pixels with its left edge at `x`.
    fn picture(scene: &[u8], noise: &mut Noise, x: Option<usize>) -> LumaPlane {
        let mut pixels: Vec<u8> = scene.iter().map(|&v| v + noise.below(4)).collect();
        if let Some(x) = x {
            for y in 80..110 {
                pixels[y * W + x.min(W)..y * W + (x + 12).min(W)].fill(225);
            }
        }
        plane(320, 180, pixels)
    }

    /// Feeds 60 still pictures and then a walker from left to right; answers what each of the 80 pictures of it showed.
    fn walk(detector: &mut Detector) -> Vec<Motion> {
        let mut noise = Noise(1);
        let scene = scene(&mut noise);
        for t in 0..60 {
            let motion = detector.feed(&picture(&scene, &mut noise, None)).unwrap();
            assert!(!motion.moving, "false motion at {t}: {motion:?}");
            assert_eq!((motion.score, motion.confidence(), motion.touched), (0, 0, 0));
        }
        (0..80).map(|t| detector.feed(&picture(&scene, &mut noise, Some(t * 3))).unwrap().clone()).collect()
    }

    fn zone(kind: ZoneKind, x0: f64, x1: f64) -> Zone {
        let vertices = [(x0, 0.0), (x1, 0.0), (x1, 1.0), (x0, 1.0)].map(|(x, y)| Point { x, y }).to_vec();
        Zone { id: "z".into(), name: "z".into(), kind, enabled: true, vertices }
    }

    #[test]
    fn still_is_still_and_a_walker_is_seen() {
        let seen = walk(&mut detector(&[]));
        let first = seen.iter().position(|m| m.moving).unwrap();
        assert!(first <= 3, "seen after {first} pictures");
        assert!(seen[first..].iter().all(|m| m.moving));
        for (t, m) in seen.iter().enumerate().skip(first) {
            let b = m.bounding_box.unwrap();
            let x = u16::try_from(t * 3).unwrap();
            assert!(b.x0.abs_diff(x) <= 8 && b.x1.abs_diff(x + 12) <= 8, "box {b:?} for {x}");
            assert!(b.y0.abs_diff(80) <= 4 && b.y1.abs_diff(110) <= 4, "box {b:?}");
            assert!(m.confidence() > 50 && m.changed && !m.learning && m.score > 0);
            assert_eq!(m.boxes[0].track, seen[first].boxes[0].track);
        }
        let (from, to) = (seen[first].centroid.unwrap(), seen[79].centroid.unwrap());
        assert!(to.0 > from.0 + 600, "it walked to the right: {from:?} {to:?}");
    }

    #[test]
    fn the_same_pictures_give_the_same_answers() {
        assert_eq!(walk(&mut detector(&[])), walk(&mut detector(&[])));
    }

    #[test]
    fn a_step_of_the_exposure_is_no_motion() {
        let mut noise = Noise(7);
        let scene = scene(&mut noise);
        let mut detector = detector(&[]);
        for t in 0..120 {
            let gain = match t {
                0..40 => 100,
                40..80 => 65,
                _ => 130,
            };
            let lit: Vec<u8> = scene.iter().map(|&v| u8::try_from(u32::from(v) * gain / 100).unwrap()).collect();
            let motion = detector.feed(&picture(&lit, &mut noise, None)).unwrap();
            assert!(!motion.moving && !motion.scene_change, "at {t}: {motion:?}");
        }
    }

    #[test]
    fn a_walker_is_followed_through_a_step_of_the_exposure_and_leaves_no_ghost() {
        let mut noise = Noise(3);
        let scene = scene(&mut noise);
        let mut detector = detector(&[]);
        for t in 0..150usize {
            let gain = if t < 60 { 100 } else { 70 };
            let lit: Vec<u8> = scene.iter().map(|&v| u8::try_from(u32::from(v) * gain / 100).unwrap()).collect();
            let walker = (30..100).contains(&t).then(|| (t - 30) * 4);
            let motion = detector.feed(&picture(&lit, &mut noise, walker)).unwrap();
            if (36..100).contains(&t) {
                assert!(motion.moving, "lost at {t}");
            }
            if !(30..104).contains(&t) {
                assert!(!motion.moving, "ghost at {t}: {motion:?}");
            }
        }
    }

    #[test]
    fn a_walker_is_seen_under_a_lamp_that_flickers_and_leaves_no_ghost() {
        let mut noise = Noise(5);
        let scene = scene(&mut noise);
        let mut detector = detector(&[]);
        let mut seen = 0;
        for t in 0..180usize {
            // there and back again four times in two seconds
            let gain = if (40..160).contains(&t) && t / 5 % 2 == 1 { 70 } else { 100 };
            let lit: Vec<u8> = scene.iter().map(|&v| u8::try_from(u32::from(v) * gain / 100).unwrap()).collect();
            let walker = (80..130).contains(&t).then(|| (t - 80) * 4);
            let motion = detector.feed(&picture(&lit, &mut noise, walker)).unwrap();
            if walker.is_some() {
                seen += usize::from(motion.moving);
            } else if !(80..134).contains(&t) {
                assert!(!motion.moving && !motion.scene_change, "at {t}: {motion:?}");
            }
        }
        assert!(seen >= 46, "seen in {seen} of 50 pictures");
    }

    #[test]
    fn another_scene_is_learnt_anew() {
        let mut noise = Noise(9);
        let (one, other) = (vec![60; W * H], scene(&mut noise));
        let other: Vec<u8> = other.iter().map(|v| 255 - v).collect();
        let mut detector = detector(&[]);
        for t in 0..80 {
            let motion = detector.feed(&picture(if t < 40 { &one } else { &other }, &mut noise, None)).unwrap();
            assert!(!motion.moving, "at {t}: {motion:?}");
        }
    }

    #[test]
    fn zones_decide_where_motion_counts() {
        use ZoneKind::{Exclude, Include, Privacy};
        // the walker is between x = 0 and 252 of 320
        assert!(walk(&mut detector(&[zone(Exclude, 0.0, 1.0)])).iter().all(|m| !m.moving && !m.changed));
        assert!(walk(&mut detector(&[zone(Privacy, 0.0, 1.0)])).iter().all(|m| !m.moving));
        assert!(walk(&mut detector(&[zone(Include, 0.85, 1.0)])).iter().all(|m| !m.moving));
        let seen = walk(&mut detector(&[zone(Exclude, 0.9, 1.0), zone(Include, 0.5, 1.0), zone(Include, 0.0, 0.6)]));
        assert_eq!(seen[20].touched, 0b100);
        assert_eq!(seen[56].touched, 0b110);
        assert_eq!(seen[75].touched, 0b010);
        let half = walk(&mut detector(&[zone(Include, 0.5, 1.0)]));
        assert!(half[..48].iter().all(|m| !m.moving) && half[65].moving);
    }

    #[test]
    fn other_sizes_are_refused_and_change_nothing() {
        let mut one = detector(&[]);
        let wrong = plane(16, 9, vec![0; 144]);
        let error = MotionError::WrongSize { width: 320, height: 180, given_width: 16, given_height: 9 };
        assert_eq!(one.feed(&wrong).err(), Some(error));
        let mut noise = Noise(1);
        let scene = scene(&mut noise);
        assert!(one.feed(&picture(&scene, &mut noise, None)).unwrap().learning);
        assert!(one.feed(&wrong).is_err());
        assert!(!one.feed(&picture(&scene, &mut noise, None)).unwrap().scene_change);
    }

    #[test]
    fn a_restart_begins_anew() {
        let mut detector = detector(&[]);
        walk(&mut detector);
        detector.restart();
        assert!(!detector.motion().moving);
        let other = plane(320, 180, vec![9; W * H]);
        let motion = detector.feed(&other).unwrap();
        assert!(motion.learning && !motion.moving && !motion.scene_change);
    }

    /// A dark picture with a bright box that moves, in any size: no panic, and nothing beyond the picture.
    fn check_size(w: u16, h: u16) {
        let mut detector = Detector::new(w, h, &config(&[zone(ZoneKind::Include, 0.1, 0.9)]));
        let size = (w, h);
        let (w, h) = (usize::from(w), usize::from(h));
        for t in 0..60 {
            let mut pixels = vec![40; w * h];
            for y in h / 4..h * 3 / 4 {
                for x in 0..w / 6 {
                    pixels[y * w + (x + t * 2) % w] = 200;
                }
            }
            let motion = detector.feed(&plane(size.0, size.1, pixels)).unwrap();
            for b in &motion.boxes {
                assert!(usize::from(b.x1) <= w && usize::from(b.y1) <= h && b.x0 < b.x1 && b.y0 < b.y1, "{b:?}");
            }
        }
    }

    #[test]
    fn every_size_works() {
        for (w, h) in [(1, 1), (1, 300), (300, 1), (2, 2), (16, 9), (15, 17), (63, 33), (64, 48), (65, 64), (161, 121)]
        {
            check_size(w, h);
        }
        check_size(480, 270);
        check_size(1000, 7);
    }

    #[test]
    fn every_rate_and_sensitivity_works() {
        for rate in [f32::NAN, f32::INFINITY, -1.0, 0.0, 0.2, 1.0, 5.0, 30.0, 1e9] {
            for sensitivity in [Sensitivity::Low, Sensitivity::Medium, Sensitivity::High] {
                let mask = MotionMask::default();
                let mut detector = Detector::new(64, 48, &DetectorConfig { sensitivity, frame_rate: rate, mask });
                for t in 0..40u8 {
                    detector.feed(&plane(64, 48, vec![t.wrapping_mul(37); 64 * 48])).unwrap();
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn random_pictures_never_panic(w in 1u16..140, h in 1u16..100, seed in 1u32..u32::MAX, kinds in proptest::collection::vec(0u8..6, 1..24)) {
            let mut noise = Noise(seed);
            let mut detector = Detector::new(w, h, &config(&[]));
            let n = usize::from(w) * usize::from(h);
            for kind in kinds {
                let pixels = match kind {
                    0 => vec![0; n],
                    1 => vec![255; n],
                    2 => (0..n).map(|_| noise.below(255)).collect(),
                    3 => (0..n).map(|_| if noise.below(12) == 0 { 255 } else { 0 }).collect(),
                    4 => (0..n).map(|i| if i % 2 == 0 { 255 } else { 0 }).collect(),
                    _ => (0..n).map(|i| u8::try_from(i % 200).unwrap() + noise.below(50)).collect(),
                };
                let motion = detector.feed(&plane(w, h, pixels)).unwrap();
                prop_assert!(motion.score <= 1000 && motion.confidence() <= 100);
                prop_assert_eq!(motion.moving, motion.bounding_box.is_some());
                for b in &motion.boxes {
                    prop_assert!(b.x0 < b.x1 && b.x1 <= w && b.y0 < b.y1 && b.y1 <= h);
                }
            }
        }
    }
}
