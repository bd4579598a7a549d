//! Compares what the detector said with the truth.
//!
//! The rules:
//! - A passage *counts* in a picture while at least 0.04 % of the picture is visible of it: the least size of the
//!   detector at sensitivity medium (92 pixels of 640 x 360).
//! - A picture is *moving* when a passage counts in it. It is *empty* when nothing of any passage is visible, nor was
//!   within the last 0.3 s, and the first 2 s are over (the detector learns). Other pictures are not judged.
//! - A passage is *missed* when no reported box meets it in any picture in which it counts. Its *onset* is the time from
//!   the first picture in which it counts to the first in which a reported box meets it.

use crate::scenes::Seen;
use crate::stage::{H, W};

/// Visible pixels from which a passage counts.
const AREA_MIN: usize = (W * H * 40).div_ceil(100_000);
/// Seconds after a passage in which a report is no fault.
const GRACE_S: f32 = 0.3;
/// Seconds at the start that are not judged.
const LEARNING_S: f32 = 2.0;

/// What was said about one picture: boxes in pixels of the full picture.
pub(crate) type Said = Vec<[usize; 4]>;

/// Sums over one clip or many.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) moving: usize,
    pub(crate) hit: usize,
    pub(crate) empty: usize,
    pub(crate) wrong: usize,
    pub(crate) alarms: usize,
    pub(crate) passages: usize,
    pub(crate) missed: usize,
    pub(crate) onsets: Vec<f32>,
    pub(crate) detect_ms: Vec<f32>,
    /// Pictures of the clip, as fed, in which something was wrongly said to move.
    pub(crate) wrong_at: Vec<usize>,
    /// Passages: when each counted first, and when it was met first.
    pub(crate) met: Vec<(usize, Option<usize>)>,
}

impl Tally {
    pub(crate) fn recall(&self) -> f32 {
        if self.moving == 0 { 1.0 } else { self.hit as f32 / self.moving as f32 }
    }

    /// Share of empty pictures in which something was said to move.
    pub(crate) fn wrong_share(&self) -> f32 {
        if self.empty == 0 { 0.0 } else { self.wrong as f32 / self.empty as f32 }
    }

    pub(crate) fn onset(&self, quantile: f32) -> f32 {
        at_quantile(&self.onsets, quantile)
    }

    pub(crate) fn ms(&self) -> f32 {
        at_quantile(&self.detect_ms, 0.5)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.moving += other.moving;
        self.hit += other.hit;
        self.empty += other.empty;
        self.wrong += other.wrong;
        self.alarms += other.alarms;
        self.passages += other.passages;
        self.missed += other.missed;
        self.onsets.extend(&other.onsets);
        self.detect_ms.extend(&other.detect_ms);
    }
}

fn at_quantile(of: &[f32], quantile: f32) -> f32 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f32::total_cmp);
    let last = sorted.len().saturating_sub(1) as f32;
    sorted.get((last * quantile).round() as usize).copied().unwrap_or(0.0)
}

fn meets(a: &[usize; 4], b: &[usize; 4]) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

/// Judges a clip fed at `rate` pictures a second.
pub(crate) fn judge(truth: &[Vec<Seen>], said: &[Said], passages: usize, rate: f32) -> Tally {
    let mut tally = Tally::default();
    let mut first_counted = vec![None; passages];
    let mut first_met = vec![None; passages];
    let mut last_visible: Option<usize> = None;
    let mut alarm = false;
    for (i, (seen, said)) in truth.iter().zip(said).enumerate() {
        let moving = !said.is_empty();
        let mut counts = false;
        for s in seen.iter().filter(|s| s.area >= AREA_MIN) {
            counts = true;
            first_counted[s.passage].get_or_insert(i);
            if said.iter().any(|b| meets(b, &s.bounds)) {
                first_met[s.passage].get_or_insert(i);
            }
        }
        if !seen.is_empty() {
            last_visible = Some(i);
        }
        let after = last_visible.map_or(f32::MAX, |l| (i - l) as f32 / rate);
        if counts {
            tally.moving += 1;
            tally.hit += usize::from(moving);
        } else if after > GRACE_S && i as f32 / rate >= LEARNING_S {
            tally.empty += 1;
            tally.wrong += usize::from(moving);
            tally.wrong_at.extend(moving.then_some(i));
            tally.alarms += usize::from(moving && !alarm);
            alarm = moving;
            continue;
        }
        alarm = false;
    }
    for (counted, met) in first_counted.into_iter().zip(first_met) {
        let Some(counted) = counted else { continue };
        tally.passages += 1;
        tally.met.push((counted, met));
        match met {
            Some(met) => tally.onsets.push((met - counted) as f32 / rate),
            None => tally.missed += 1,
        }
    }
    tally
}
