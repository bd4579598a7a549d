//! Measures which pictures of an event a describer gets to see, on scenes with an exact truth.
//!
//! The scenes are those by which motion detection is measured (`argus-motion/examples/motion_bench`): people and cars
//! pass over a drawn street under nine disturbances. Every episode that the detector finds is given to three ways of
//! choosing: evenly (`uniform`), the strongest moment of equal pieces (`peaks`), and those, half as many again, compared
//! with one another (`adaptive`).
//!
//! ```text
//! frame_choice [--seeds 1..5] [--count 6] [--scene NAME] [--looks] [--sizes]
//! ```
//!
//! `--sizes` tells instead how large the subjects reach a model, with and without a part of the picture.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]
#![expect(clippy::expect_used, reason = "a mistake of whoever starts it ends the program")]
#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "drawing on pictures of one fixed size; a mistake shows as a panic of the program"
)]

#[path = "../../../argus-motion/examples/motion_bench/rng.rs"]
mod rng;
#[expect(dead_code, reason = "the truth about motion is not asked here")]
#[path = "../../../argus-motion/examples/motion_bench/scenes.rs"]
mod scenes;
mod sizes;
#[expect(dead_code, reason = "the street is always drawn here")]
#[path = "../../../argus-motion/examples/motion_bench/stage.rs"]
mod stage;

use argus_core::camera::{CameraConfig, CameraFields, SourceType};
use argus_core::settings::FrameStrategy;
use argus_core::{Picture, Timestamp};
use argus_engine::look::Look;
use argus_engine::moments::{Candidate, best, candidates};
use argus_engine::{Analyser, Episode, Noticed};
use argus_motion::Reducer;
use scenes::{Plan, RATE, Scene};
use sizes::Sizes;
use stage::{H, Stage, W, drawn};

/// Seconds of a clip.
const SECONDS: usize = 60;
/// A subject of fewer pixels is not seen.
const SEEN_PX: usize = 60;

#[derive(Default)]
struct Tally {
    events: usize,
    pictures: usize,
    with_subject: usize,
    subject_px: usize,
    duplicates: usize,
    covered: usize,
}

impl Tally {
    fn row(&self, name: &str) {
        let of = |n: usize, all: usize| n as f64 / all.max(1) as f64;
        println!(
            "{name:<9} {:>6} {:>9.2} {:>12.1} % {:>12.2} % {:>10.1} % {:>10.1} %",
            self.events,
            of(self.pictures, self.events),
            100.0 * of(self.with_subject, self.pictures),
            100.0 * of(self.subject_px, self.with_subject * W * H),
            100.0 * of(self.duplicates, self.pictures),
            100.0 * of(self.covered, self.events),
        );
    }
}

/// All pictures of a clip, as they are and as motion detection sees them.
struct Clip {
    plan: Plan,
    pictures: Vec<Vec<u8>>,
}

fn clip(seed: u64, scene: Scene, stage: &Stage) -> Clip {
    let plan = Plan::new(seed, SECONDS, stage);
    let mut work = Vec::new();
    let pictures = (0..plan.pictures)
        .map(|i| {
            let mut out = vec![0; W * H];
            plan.picture(scene, i, stage, &mut work, &mut out);
            out
        })
        .collect();
    Clip { plan, pictures }
}

fn episodes(clip: &Clip, camera: &CameraConfig) -> Vec<Episode> {
    let mut analyser = Analyser::new(camera, "UTC");
    let mut reducer = Reducer::new(W as u32, H as u32);
    let mut found = Vec::new();
    // As a camera's pictures are analysed: five a second.
    for (i, full) in clip.pictures.iter().enumerate().step_by(2) {
        let luma = reducer.reduce(full, W, Vec::new()).expect("pictures of one size");
        let taken_at = at(i);
        let picture = Picture { taken_at, luma, full_size: (W as u32, H as u32), session: 1 };
        for noticed in analyser.look(&picture).expect("pictures of one size") {
            if let Noticed::Ended { episode, .. } = noticed {
                found.push(*episode);
            }
        }
    }
    found
}

/// When a picture was taken.
fn at(i: usize) -> Timestamp {
    Timestamp::from_millis(i as i64 * 1000 / RATE as i64)
}

/// The picture that is nearest to a moment.
fn nearest(clip: &Clip, moment: Timestamp) -> usize {
    let i = (moment.as_millis() * RATE as i64 + 500) / 1000;
    (i.max(0) as usize).min(clip.pictures.len() - 1)
}

fn look(clip: &Clip, i: usize) -> Look {
    Look::of_luma(W, &clip.pictures[i]).expect("a whole picture")
}

/// Judges the pictures that were chosen of an episode.
fn judge(tally: &mut Tally, clip: &Clip, episode: &Episode, chosen: &[usize]) {
    let mut passages = Vec::new();
    let mut looks: Vec<Look> = Vec::new();
    for &i in chosen {
        let seen = clip.plan.things(i, None);
        let px = seen.iter().map(|s| s.area).max().unwrap_or(0);
        if px >= SEEN_PX {
            tally.with_subject += 1;
            tally.subject_px += px;
        }
        passages.extend(seen.iter().filter(|s| s.area >= SEEN_PX).map(|s| s.passage));
        let look = look(clip, i);
        tally.duplicates += usize::from(looks.iter().any(|other| other.is_same(&look)));
        looks.push(look);
    }
    let mut there: Vec<usize> = (nearest(clip, episode.since)..=nearest(clip, episode.last_motion))
        .flat_map(|i| clip.plan.things(i, None))
        .filter(|s| s.area >= SEEN_PX)
        .map(|s| s.passage)
        .collect();
    there.sort_unstable();
    there.dedup();
    tally.events += 1;
    tally.pictures += chosen.len();
    tally.covered += usize::from(there.iter().all(|passage| passages.contains(passage)));
}

fn choices(clip: &Clip, episode: &Episode, count: usize) -> [Vec<usize>; 3] {
    let places = |moments: Vec<Timestamp>| -> Vec<usize> { moments.into_iter().map(|m| nearest(clip, m)).collect() };
    let uniform = places(candidates(FrameStrategy::Uniform, &episode.moments, count));
    // Two thirds of what `adaptive` looks at are as many as it may choose.
    let peaks = places(candidates(FrameStrategy::Adaptive, &episode.moments, count * 2 / 3));
    let offered = candidates(FrameStrategy::Adaptive, &episode.moments, count);
    let stills: Vec<Candidate> = offered
        .iter()
        .map(|moment| Candidate {
            at: *moment,
            score: episode.moments.iter().find(|m| m.at == *moment).map_or(1, |m| m.score),
            look: Some(look(clip, nearest(clip, *moment))),
        })
        .collect();
    let adaptive = places(best(&stills, count).into_iter().map(|place| offered[place]).collect());
    [uniform, peaks, adaptive]
}

/// Differences of looks of a second apart: while nothing is there, and while somebody moves.
fn differences(clip: &Clip, empty: &mut Vec<u8>, moving: &mut Vec<u8>) {
    for i in (0..clip.pictures.len().saturating_sub(RATE)).step_by(RATE / 2) {
        let (a, b) = (clip.plan.things(i, None), clip.plan.things(i + RATE, None));
        let distance = look(clip, i).distance(&look(clip, i + RATE));
        if a.is_empty() && b.is_empty() {
            empty.push(distance);
        } else if a.iter().chain(&b).any(|s| s.area >= 4 * SEEN_PX) {
            moving.push(distance);
        }
    }
}

/// Notes how large the largest subject is in each picture that `adaptive` chooses.
fn measure(sizes: &mut Sizes, clip: &Clip, episode: &Episode, count: usize) {
    let (Some(area), [_, _, chosen]) = (episode.area, choices(clip, episode, count)) else { return };
    for i in chosen {
        let largest = clip.plan.things(i, None).into_iter().filter(|s| s.area >= SEEN_PX).max_by_key(|s| s.area);
        if let Some(seen) = largest {
            sizes.note(seen.bounds, area);
        }
    }
}

fn percentiles(name: &str, mut of: Vec<u8>) {
    of.sort_unstable();
    let at = |percent: usize| of.get(of.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0);
    let [p1, p5, p25, p50, p75, p95, p99] = [1, 5, 25, 50, 75, 95, 99].map(at);
    println!(
        "{name:<20} n {:>5}  p1 {p1:>3}  p5 {p5:>3}  p25 {p25:>3}  p50 {p50:>3}  p75 {p75:>3}  p95 {p95:>3}  p99 {p99:>3}",
        of.len()
    );
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let after = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)).cloned();
    let seeds = after("--seeds").unwrap_or_else(|| "1..3".into());
    let (from, to) = seeds.split_once("..").expect("seeds such as 1..3");
    let (from, to): (u64, u64) = (from.parse().expect("a number"), to.parse().expect("a number"));
    let count: usize = after("--count").map_or(6, |n| n.parse().expect("a number"));
    let camera = CameraFields { motion_cooldown: 0, ..CameraFields::new("Street", SourceType::Test) };
    let camera = camera.check().expect("a camera");
    let mut all: [Tally; 3] = Default::default();
    let (mut empty, mut moving) = (Vec::new(), Vec::new());
    let only_sizes = args.iter().any(|a| a == "--sizes");
    let mut all_sizes = Sizes::default();
    if !only_sizes {
        println!("strategy  events  pictures  with subject   subject area   same again   all passages");
    }
    let only = after("--scene");
    for scene in Scene::ALL.into_iter().filter(|s| only.as_ref().is_none_or(|name| name == s.name())) {
        let mut tallies: [Tally; 3] = Default::default();
        let mut sizes = Sizes::default();
        for seed in from..=to {
            let stage = drawn(seed);
            let clip = clip(seed, scene, &stage);
            if args.iter().any(|a| a == "--looks") {
                differences(&clip, &mut empty, &mut moving);
            }
            for episode in episodes(&clip, &camera) {
                if only_sizes {
                    measure(&mut sizes, &clip, &episode, count);
                    continue;
                }
                for (i, chosen) in choices(&clip, &episode, count).iter().enumerate() {
                    judge(&mut tallies[i], &clip, &episode, chosen);
                    judge(&mut all[i], &clip, &episode, chosen);
                }
            }
        }
        if only_sizes {
            sizes.tell(scene.name());
            all_sizes.add(&sizes);
            continue;
        }
        println!("{}", scene.name());
        for (tally, name) in tallies.iter().zip(["uniform", "peaks", "adaptive"]) {
            tally.row(name);
        }
        if !empty.is_empty() {
            percentiles("nothing there", std::mem::take(&mut empty));
            percentiles("somebody moves", std::mem::take(&mut moving));
        }
    }
    if only_sizes {
        all_sizes.tell("all");
        return;
    }
    println!("all");
    for (tally, name) in all.iter().zip(["uniform", "peaks", "adaptive"]) {
        tally.row(name);
    }
}
