//! How large a subject reaches the model, in the whole picture and in the part around all movement.
//!
//! The whole goes out in the size in which it is stored; the part is cut out with half of the movement's size around it
//! on each side, at least 160 pixels, and enlarged to at most 1024 pixels and three times (`argus-ai/src/frames.rs`).

use argus_core::event::Area;

use crate::stage::{H, W};

/// Widths in which pictures are stored: as the scenes are, as the settings are from the factory, Full HD.
const WIDTHS: [u32; 3] = [640, 1280, 1920];
/// Below this height in the whole picture a part is worth it, pixels.
const SMALL_PX: f64 = 212.0;

/// Of each subject in a chosen picture: its height and that of the movement's box as fractions of the picture, and the
/// box's greater side, fractions of the width.
#[derive(Default)]
pub(crate) struct Sizes(Vec<(f64, Area)>);

impl Sizes {
    pub(crate) fn note(&mut self, bounds: [usize; 4], area: Area) {
        let [_, upper, _, lower] = bounds;
        self.0.push((lower.saturating_sub(upper) as f64 / H as f64, area));
    }

    /// A line for each stored width.
    pub(crate) fn tell(&self, name: &str) {
        for width in WIDTHS {
            let (width, height) = (f64::from(width), f64::from(width) * H as f64 / W as f64);
            let mut whole: Vec<f64> = self.0.iter().map(|(subject, _)| subject * height).collect();
            let mut cut: Vec<f64> = Vec::new();
            let mut bytes = Vec::new();
            for (subject, area) in &self.0 {
                let side = |length: f64, full: f64| (2.0 * length * full).max(160.0).min(full);
                let (w, h) = (side(area.width, width), side(area.height, height));
                let gain = (1024.0 / w.max(h)).floor().clamp(1.0, 3.0).min(1024.0 / w.max(h));
                if area.height * height < SMALL_PX && gain >= 2.0 && w * h <= 0.4 * width * height {
                    cut.push(subject * height * gain);
                    bytes.push(w * gain * h * gain / (width * height));
                }
            }
            let share = 100.0 * cut.len() as f64 / self.0.len().max(1) as f64;
            println!(
                "{name:<14} {width:>5}: whole {:>4.0} {:>4.0} {:>4.0} px; with a part {share:>5.1} %, in it {:>4.0} {:>4.0} {:>4.0} px, {:>4.2} of a picture more",
                at(&mut whole, 10),
                at(&mut whole, 50),
                at(&mut whole, 90),
                at(&mut cut, 10),
                at(&mut cut, 50),
                at(&mut cut, 90),
                bytes.iter().sum::<f64>() / bytes.len().max(1) as f64,
            );
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }
}

fn at(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0.0)
}
