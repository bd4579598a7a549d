//! Every number that decides what counts as motion, by sensitivity and frame rate.
//!
//! Found by `cargo xtask bench motion` on its tuning seeds; the figures are in `docs/performance.md`.

#![expect(
    clippy::cast_possible_truncation,
    reason = "times are clamped to what 1..60 pictures a second make of a minute"
)]
#![expect(clippy::cast_sign_loss, reason = "times and rates are positive")]

use argus_core::camera::Sensitivity;

use crate::background::{Compare, GREY};

/// Numbers for one camera.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// Comparison once the background is known.
    pub steady: Compare,
    /// Comparison in the first frames: quicker.
    pub learning: Compare,
    /// Comparison while the first distrust of the background goes: as steady, but it goes sooner.
    pub warming: Compare,
    /// Frames after a start that warm.
    pub warming_frames: u32,
    /// Frames after a start that only learn.
    pub learning_frames: u32,
    /// Least size of a thing that is reported, in 1/100,000 of the picture.
    pub area_min_pcm: u32,
    /// Share of that size from which a thing is followed, in percent.
    pub follow_percent: u32,
    /// Frames a thing must be seen before it is reported.
    pub confirm: u32,
    /// Weights of it in units of the least, added up over frames, in 16ths, before it is reported.
    pub evidence_16: u32,
    /// Distance it must travel before, in 1/16 pixel of a picture 320 wide ...
    pub travel_16: i32,
    /// ... or frames it must stand on the same pixels.
    pub solid: u32,
    /// Frames without change after which a thing becomes background.
    pub park: u32,
    /// Frames for which a confirmed thing that is not found any more is believed to be there.
    pub coast: u32,
}

/// Changed share of the picture above which it is another picture, in percent.
pub(crate) const SCENE_CHANGE_PERCENT: usize = 55;

/// The shift that makes a running mean of `seconds`.
fn shift(seconds: f32, rate: f32) -> u32 {
    (seconds * rate).max(1.0).log2().round().clamp(1.0, 9.0) as u32
}

#[allow(clippy::disallowed_methods)]
pub(crate) fn knob(name: &str, default: f32) -> f32 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

impl Tuning {
    pub(crate) fn new(sensitivity: Sensitivity, frame_rate: f32) -> Self {
        // a rate that is no number or absurd must not become one in the shifts
        let rate = if frame_rate.is_finite() { frame_rate.clamp(0.5, 60.0) } else { 5.0 };
        let frames = |seconds: f32, least: u32| ((seconds * rate).round() as u32).max(least);
        let (floor, deviations_16, area_min_pcm) = match sensitivity {
            Sensitivity::Low => (10 * GREY, 64, 120),
            Sensitivity::Medium => ((knob("FLOOR", 2.0) * 128.0) as i16, knob("K16", 48.0) as i16, 40),
            Sensitivity::High => (4 * GREY, 40, 20),
        };
        let steady = Compare {
            floor,
            glare: knob("GLARE", 4.0) as i16,
            deviations_16,
            mean_shift: shift(5.0, rate),
            moving_shift: shift(45.0, rate),
            fall_shift: shift(knob("FALL", 6.4), rate),
            rise_shift: shift(knob("RISE", 3.2), rate),
        };
        Self {
            steady,
            learning: Compare { mean_shift: 2, moving_shift: 3, rise_shift: 3, ..steady },
            warming: Compare { fall_shift: shift(knob("WARMFALL", 1.6), rate), ..steady },
            warming_frames: frames(knob("WARM", 4.0), 6),
            learning_frames: frames(1.0, 6),
            area_min_pcm,
            evidence_16: (knob("EVID", 3.5) * 16.0) as u32,
            confirm: frames(knob("CONFIRM", 0.2), 2),
            travel_16: (knob("TRAVEL", 2.0) * 16.0) as i32,
            follow_percent: knob("FOLLOW", 33.0) as u32,
            solid: frames(0.8, 3),
            park: frames(knob("PARK", 6.0), 8),
            coast: frames(knob("COAST", 0.2), 1),
        }
    }
}
