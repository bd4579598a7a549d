//! Prints the episodes of motion in a video file.
//!
//! `cargo run -p argus-capture --example motion_in_file -- VIDEO [low|medium|high]`

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use argus_capture::pictures_of_file;
use argus_core::Timestamp;
use argus_core::camera::Sensitivity;
use argus_core::episode::{EpisodeAction, EpisodeInput, EpisodeRules, EpisodeState, step};
use argus_motion::{Detector, DetectorConfig, MotionMask};

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
    let mut best = 0;
    let mut last = Timestamp::default();
    for picture in pictures_of_file(&path, RATE)? {
        let picture = picture?;
        // Another session has another size or another time: what was learnt does not apply any more.
        if detector.as_ref().is_none_or(|(session, _)| *session != picture.session) {
            detector = Some((picture.session, Detector::new(picture.luma.width(), picture.luma.height(), &config)));
        }
        let Some((_, detector)) = &mut detector else { continue };
        let motion = detector.feed(&picture.luma)?;
        best = best.max(motion.confidence());
        last = picture.taken_at;
        let input = EpisodeInput::Picture { moving: motion.moving, active: true };
        state = tell(&rules, state, input, last, &mut best);
    }
    tell(&rules, state, EpisodeInput::Stop, last, &mut best);
    Ok(())
}

/// Takes a step and prints what ends by it.
#[expect(clippy::print_stdout, reason = "an example speaks on standard output")]
fn tell(rules: &EpisodeRules, state: EpisodeState, input: EpisodeInput, now: Timestamp, best: &mut u8) -> EpisodeState {
    let seconds = |t: Timestamp| Duration::from_millis(u64::try_from(t.as_millis()).unwrap_or(0)).as_secs_f64();
    let (state, actions) = step(rules, state, input, now);
    for action in actions {
        if let EpisodeAction::End { since, last_motion, .. } = action {
            println!("{:8.1} s to {:8.1} s, confidence {best} %", seconds(since), seconds(last_motion));
            *best = 0;
        }
    }
    state
}
