//! Every number that decides what counts as motion, by sensitivity and frame rate.
//!
//! Found with `examples/motion_bench` on its tuning seeds at sensitivity medium, five and ten pictures a second; the
//! figures are in `docs/performance.md`.

#![expect(
    clippy::cast_possible_truncation,
    reason = "times are clamped to what 0.5..60 pictures a second make of a minute"
)]
#![expect(clippy::cast_sign_loss, reason = "times and rates are positive")]

use argus_core::camera::Sensitivity;

use crate::background::{Compare, GREY};

/// Numbers for one camera.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// Comparison once the background is known.
    pub steady: Compare,
    /// Comparison in the first frames, which only learn: the mean follows at once.
    pub learning: Compare,
    /// Comparison while the first distrust of the background goes: as steady, but it goes sooner.
    pub warming: Compare,
    /// Frames after a start that only learn.
    pub learning_frames: u32,
    /// Frames after a start that warm.
    pub warming_frames: u32,
    /// Deviation with which the background begins, 8.7: leaves that sway have not shown yet how far they do.
    pub start_deviation: i16,
    /// What a jump of the exposure adds to the deviation, 8.7: encoders need some pictures to draw the new one sharply.
    pub jump_deviation: i16,
    /// Least size of a thing that is sure to be reported, in 1/100,000 of the picture.
    pub area_min_pcm: u32,
    /// Share of that size from which a region is followed, in percent; also the shrinking by thinning and coding.
    pub follow_percent: u32,
    /// Greatest weight of a thing so far, in percent of the least size, before it is reported.
    pub peak_percent: u32,
    /// Its weights in units of the least size, added up over frames, in 16ths, before it is reported.
    pub evidence_16: u32,
    /// Weight, in 16ths of the least size, with which something that comes in is reported at once in a calm picture.
    pub at_once_16: u32,
    /// Frames it must be seen in before.
    pub confirm: u32,
    /// Distance it must travel before, in 1/16 pixel of a picture 320 wide ...
    pub travel_16: i32,
    /// ... or frames it must stand on the same pixels.
    pub solid: u32,
    /// Frames without change after which a thing becomes background.
    pub park: u32,
    /// The same for what has never travelled: it appeared, or it is what is left of something.
    pub park_unmoved: u32,
    /// How far a thing may move between two pictures, in 16ths of its length.
    pub length_share_16: i32,
    /// Frames without change after which a thing is no motion any more, though it is followed on.
    pub quiet: u32,
    /// Pixels, in a picture 320 wide, by which what had changed in the frame before is grown to look for support, and
    /// from the border within which something is taken to have just come in.
    pub reach: u32,
    /// Frames within which a jump of the exposure and one back are a flicker.
    pub flicker: u32,
    /// The shift that makes the running mean of how many things begin in a frame.
    pub clutter_shift: u32,
    /// Frames without a region after which a thing is forgotten.
    pub forget: u32,
    /// Frames with support after which a thing is believed for a moment without being seen.
    pub settled: u32,
    /// Frames for which a confirmed thing that is not found any more is believed to be there.
    pub coast: u32,
}

/// Changed share of the picture above which it is another picture, in percent.
pub(crate) const SCENE_CHANGE_PERCENT: usize = 55;

/// The shift that makes a running mean of `seconds`.
fn shift(seconds: f32, rate: f32) -> u32 {
    (seconds * rate).max(1.0).log2().round().clamp(2.0, 9.0) as u32
}

impl Tuning {
    pub(crate) fn new(sensitivity: Sensitivity, frame_rate: f32) -> Self {
        // a rate that is no number or absurd must not become one in the shifts
        let rate = if frame_rate.is_finite() { frame_rate.clamp(0.5, 60.0) } else { 5.0 };
        let frames = |seconds: f32, least: u32| ((seconds * rate).round() as u32).max(least);
        // floor in black, more for each of 128 levels of brightness, deviations in 16ths, least size
        let (floor, glare, deviations_16, area_min_pcm) = match sensitivity {
            Sensitivity::Low => (4 * GREY, 8, 64, 120),
            Sensitivity::Medium => (3 * GREY / 2, 4, 48, 40),
            Sensitivity::High => (3 * GREY / 2, 2, 40, 20),
        };
        let steady = Compare {
            floor,
            glare,
            deviations_16,
            mean_shift: shift(5.0, rate),
            moving_shift: shift(45.0, rate),
            fall_shift: shift(6.4, rate),
            rise_shift: shift(3.2, rate),
        };
        Self {
            steady,
            learning: Compare { mean_shift: 2, moving_shift: 3, rise_shift: 3, ..steady },
            warming: Compare { fall_shift: shift(1.6, rate), ..steady },
            learning_frames: frames(1.0, 6),
            warming_frames: frames(4.0, 6),
            start_deviation: 9 * GREY,
            jump_deviation: 3 * GREY,
            area_min_pcm,
            follow_percent: 33,
            peak_percent: 50,
            evidence_16: ((rate * 0.3).clamp(2.0, 8.0) * 16.0) as u32,
            at_once_16: 16,
            confirm: frames(0.2, 2),
            travel_16: 24,
            solid: frames(0.8, 3),
            park: frames(6.0, 8),
            park_unmoved: frames(2.0, 4),
            length_share_16: (40.0 / rate).clamp(1.0, 16.0) as i32,
            quiet: frames(0.6, 3),
            reach: (30.0 / rate).round().clamp(2.0, 8.0) as u32,
            flicker: frames(2.0, 2),
            clutter_shift: shift(2.0, rate),
            forget: frames(0.4, 4),
            settled: frames(0.5, 5),
            coast: frames(0.2, 1),
        }
    }
}
