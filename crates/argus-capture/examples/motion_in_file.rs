//! Prints the episodes of motion in a video file: when, and around what part of the picture.
//!
//! `cargo run -p argus-capture --example motion_in_file -- VIDEO [low|medium|high]`

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use argus_capture::pictures_of_file;
use argus_core::Timestamp;
use argus_core::camera::Sensitivity;
use argus_core::episode::{EpisodeAction, EpisodeInput, EpisodeRules, EpisodeState, step};
use argus_motion::{Detector, DetectorConfig, FractionBox, MotionMask};

/// Pictures a second that are looked at.
const RATE: u8 = 5;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let path = PathBuf::from(args.next().context("usage: motion_in_file VIDEO [low|medium|high]")?);
    let sensitivity: Sensitivity = args.next().as_deref().unwrap_or("medium").parse()?;
    let config = DetectorConfig { sensitivity, frame_rate: f32::from(RATE), mask: MotionMask::from_zones(&[]) };
    let rules = EpisodeRules {
        min_duration: Duration::ZERO,
        cooldown: Duration::from_secs(5),
        post_roll: Duration::from_secs(3),
        max_length: Duration::from_secs(60),
    };

    let mut detector: Option<(u64, Detector)> = None;
    let mut state = EpisodeState::default();
    let mut seen = Seen::default();
    let mut last = Timestamp::default();
    for picture in pictures_of_file(&path, RATE)? {
        let picture = picture?;
        // Another session has another size or another time: what was learnt does not apply any more.
        if detector.as_ref().is_none_or(|(session, _)| *session != picture.session) {
            detector = Some((picture.session, Detector::new(picture.luma.width(), picture.luma.height(), &config)));
        }
        let Some((_, detector)) = &mut detector else { continue };
        let motion = detector.feed(&picture.luma)?;
        seen.confidence = seen.confidence.max(motion.confidence());
        seen.place =
            seen.place.into_iter().chain(motion.bounding_box.map(|found| motion.fractions(found))).reduce(around);
        last = picture.taken_at;
        let input = EpisodeInput::Picture { moving: motion.moving, active: true };
        state = tell(&rules, state, input, last, &mut seen);
    }
    tell(&rules, state, EpisodeInput::Stop, last, &mut seen);
    Ok(())
}

/// What an episode showed so far.
#[derive(Default)]
struct Seen {
    /// Percent.
    confidence: u8,
    /// Around all that moved, in fractions of the picture.
    place: Option<FractionBox>,
}

fn around(a: FractionBox, b: FractionBox) -> FractionBox {
    let (x, y) = (a.x.min(b.x), a.y.min(b.y));
    let (right, bottom) = ((a.x + a.width).max(b.x + b.width), (a.y + a.height).max(b.y + b.height));
    FractionBox { x, y, width: right - x, height: bottom - y }
}

/// Takes a step and prints what ends by it.
#[expect(clippy::print_stdout, reason = "an example speaks on standard output")]
fn tell(
    rules: &EpisodeRules,
    state: EpisodeState,
    input: EpisodeInput,
    now: Timestamp,
    seen: &mut Seen,
) -> EpisodeState {
    let seconds = |t: Timestamp| Duration::from_millis(u64::try_from(t.as_millis()).unwrap_or(0)).as_secs_f64();
    let (state, actions) = step(rules, state, input, now);
    for action in actions {
        if let EpisodeAction::End { since, last_motion, .. } = action {
            let Seen { confidence, place } = std::mem::take(seen);
            let place = place.map_or_else(String::new, |of| {
                let percent = [of.x, of.x + of.width, of.y, of.y + of.height].map(|part| part * 100.0);
                format!(
                    ", {:.0} to {:.0} % from the left, {:.0} to {:.0} % from the top",
                    percent[0], percent[1], percent[2], percent[3]
                )
            });
            println!("{:8.1} s to {:8.1} s, confidence {confidence} %{place}", seconds(since), seconds(last_motion));
        }
    }
    state
}
