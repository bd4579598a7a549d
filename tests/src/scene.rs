//! Generated scenes: a textured, slightly noisy picture in which something moves at times that are known exactly.
//!
//! Everything is integer arithmetic from fixed seeds, so that the same scene is the same bytes on every machine.

use std::time::Duration;

/// Planes of noise that alternate; enough that no two neighbouring pictures are equal, few enough to be cheap.
const NOISE_PLANES: usize = 8;
/// Largest deviation that noise adds to a luma value, in either direction.
const NOISE_AMPLITUDE: u64 = 2;
/// What an exposure step adds to every luma value.
const EXPOSURE_STEP: u8 = 24;

/// What a camera sees, as a loop of [`Scene::period`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scene {
    /// Nothing moves; only the sensor's noise changes.
    Still,
    /// A striped box crosses the picture from left to right during the last `for_s` seconds of every `every_s` seconds.
    MovingBox {
        /// Length of the loop in seconds, at least `for_s`.
        every_s: u32,
        /// Seconds in which the box is in the picture, at least 1.
        for_s: u32,
    },
    /// The box goes to and fro without pause.
    Restless,
    /// Nothing moves, but the whole picture is brighter in the second half of every `every_s` seconds.
    ExposureStep {
        /// Length of the loop in seconds.
        every_s: u32,
    },
}

/// Where the box is, in pixels of the full picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    /// Left edge.
    pub x: usize,
    /// Upper edge.
    pub y: usize,
    /// Width.
    pub width: usize,
    /// Height.
    pub height: usize,
}

impl Scene {
    /// Length of the loop.
    pub fn period(self) -> Duration {
        let seconds = match self {
            Self::Still => 4,
            Self::Restless => 6,
            Self::MovingBox { every_s, .. } | Self::ExposureStep { every_s } => every_s,
        };
        Duration::from_secs(seconds.into())
    }

    /// Frames in one loop at `fps` pictures a second.
    pub fn frames(self, fps: u32) -> usize {
        usize::try_from(self.period().as_secs()).expect("a short loop") * fps as usize
    }

    /// Whether the box is in the picture at `at`, counted from the start of the stream (the loop repeats).
    pub fn moves_at(self, at: Duration) -> bool {
        match self {
            Self::Still | Self::ExposureStep { .. } => false,
            Self::Restless => true,
            Self::MovingBox { every_s, for_s } => {
                at.as_millis() % (u128::from(every_s) * 1000) >= u128::from(every_s - for_s) * 1000
            }
        }
    }

    /// Where the box is in frame `index` of the loop, or `None` while nothing is there.
    pub fn object(self, index: usize, fps: u32, width: usize, height: usize) -> Option<Rect> {
        let (box_width, box_height) = ((width / 10) & !1, (height / 3) & !1);
        let span = width - box_width;
        let rect = |step: usize, steps: usize| Rect {
            x: (span * step / steps.max(1)) & !1,
            y: (height / 3) & !1,
            width: box_width,
            height: box_height,
        };
        match self {
            Self::Still | Self::ExposureStep { .. } => None,
            Self::MovingBox { every_s, for_s } => {
                let active = for_s as usize * fps as usize;
                let step = index.checked_sub((every_s - for_s) as usize * fps as usize)?;
                Some(rect(step, active - 1))
            }
            Self::Restless => {
                let half = self.frames(fps) / 2;
                Some(rect(if index < half { index } else { 2 * half - index }, half))
            }
        }
    }
}

/// Draws the pictures of a scene as I420: `width * height` luma bytes, then two planes of a quarter of that.
#[derive(Debug)]
pub struct Painter {
    scene: Scene,
    width: usize,
    height: usize,
    fps: u32,
    backgrounds: Vec<Vec<u8>>,
}

impl Painter {
    /// Prepares the scene at the given size in pixels. The width must be a multiple of 8 and the height of 2, so that no
    /// line needs padding.
    pub fn new(scene: Scene, width: usize, height: usize, fps: u32) -> Self {
        assert!(width.is_multiple_of(8) && height.is_multiple_of(2), "unsupported size {width}x{height}");
        if let Scene::MovingBox { every_s, for_s } = scene {
            assert!(for_s >= 1 && every_s >= for_s, "a box in the picture for {for_s} of {every_s} s");
        }
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        let backgrounds = (0..NOISE_PLANES).map(|_| background(width, height, &mut random)).collect();
        Self { scene, width, height, fps, backgrounds }
    }

    /// Frame `index` of the loop.
    pub fn frame(&self, index: usize) -> Vec<u8> {
        let mut picture = self.backgrounds.get(index % NOISE_PLANES).cloned().unwrap_or_default();
        let luma_len = self.width * self.height;
        if let Some(rect) = self.scene.object(index, self.fps, self.width, self.height) {
            for (row, line) in picture.chunks_exact_mut(self.width).skip(rect.y).take(rect.height).enumerate() {
                // Stripes, dark and bright: visible before any background.
                let shade = if (row / 8).is_multiple_of(2) { 28 } else { 228 };
                for pixel in line.iter_mut().skip(rect.x).take(rect.width) {
                    *pixel = shade;
                }
            }
        }
        if matches!(self.scene, Scene::ExposureStep { .. }) && index >= self.scene.frames(self.fps) / 2 {
            for pixel in picture.iter_mut().take(luma_len) {
                *pixel = pixel.saturating_add(EXPOSURE_STEP);
            }
        }
        picture
    }
}

/// One I420 picture of blocks in many shades, with a fresh layer of noise on it.
fn background(width: usize, height: usize, random: &mut u64) -> Vec<u8> {
    let mut picture = Vec::with_capacity(width * height * 3 / 2);
    for y in 0..height {
        for x in 0..width {
            let block = (x / 16) * 73 + (y / 12) * 151;
            let shade = 70 + (block * block / 7) % 80;
            *random ^= *random << 13;
            *random ^= *random >> 7;
            *random ^= *random << 17;
            let noise = (*random >> 32) % (2 * NOISE_AMPLITUDE + 1);
            let value = shade as u64 + noise - NOISE_AMPLITUDE;
            picture.push(u8::try_from(value).unwrap_or(u8::MAX));
        }
    }
    picture.resize(width * height * 3 / 2, 128);
    picture
}
