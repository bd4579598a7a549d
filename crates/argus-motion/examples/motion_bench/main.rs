//! Measures the quality of motion detection on scenes with an exact truth: `cargo xtask bench motion`.
//!
//! People and cars pass over a background under nine disturbances; seeds choose passages and strengths. With ffmpeg
//! the pictures go through x264 and back as they would come from a camera, and with Debian's opencv-doc the background
//! and the people are from `vtest.avi`. `judge.rs` has the rules.
//!
//! ```text
//! motion_bench [--seeds 1..5] [--held-out 101..110] [--fps 10] [--scene NAME] [--stage auto|vtest|drawn] [--film FILE]
//!              [--coded auto|yes|no] [--sensitivity low|medium|high] [--keep DIR] [--quick] [--verbose]
//!              [--explain] [--dump] [--json FILE] [--check]
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]
#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "drawing on pictures of one fixed size; a mistake shows as a panic of the bench"
)]

mod coder;
mod judge;
mod options;
mod report;
mod rng;
mod scenes;
mod stage;

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use argus_core::LumaPlane;
use argus_motion::{Detector, DetectorConfig, MotionMask, Reducer};

use judge::{Said, Tally, judge};
use options::Options;
use scenes::{Plan, RATE, Scene};
use stage::{H, Stage, W};

/// Changes when the scenes do, so that kept pictures are made anew.
const SCENES_VERSION: u32 = 1;

/// One clip to judge.
#[derive(Clone, Copy)]
struct Job {
    seed: u64,
    scene: Scene,
}

/// The result of one clip.
struct Judged {
    seed: u64,
    scene: Scene,
    tally: Tally,
}

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

/// Judges all clips; answers whether the targets are met (always, without `--check`).
fn run(options: &Options) -> Result<bool, String> {
    let coded = options.coded.unwrap_or_else(coder::is_available);
    let filmed = match (&options.film, options.drawn_only) {
        (Some(film), false) => stage::filmed(film),
        _ => None,
    };
    if options.filmed_only && filmed.is_none() {
        return Err("there is no film to cut people from: install opencv-doc and ffmpeg, or name it with --film".into());
    }
    println!(
        "{} s clips of {W} x {H}, composed at {RATE} pictures a second, fed at {}; people and background: {}; {}; sensitivity {}",
        options.seconds,
        options.rate,
        filmed.as_ref().map_or("drawn", |s| s.name),
        if coded { "coded by x264" } else { "not coded (block noise instead)" },
        options.sensitivity,
    );
    let mut met = true;
    let mut groups = Vec::new();
    for (name, seeds) in [("tuning", &options.seeds), ("held out", &options.held_out)] {
        let Some(seeds) = seeds else { continue };
        let jobs: Vec<Job> =
            seeds.clone().flat_map(|seed| options.scenes().map(move |scene| Job { seed, scene })).collect();
        let judged = judge_all(&jobs, options, filmed.as_ref(), coded)?;
        met &= report::table(name, seeds, &judged);
        groups.push((name, judged));
    }
    if let Some(file) = &options.json {
        std::fs::write(file, report::json(options, coded, &groups)).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(met || !options.check)
}

/// All clips, two at a time on two processors.
fn judge_all(jobs: &[Job], options: &Options, filmed: Option<&Stage>, coded: bool) -> Result<Vec<Judged>, String> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = judge_one(*job, options, filmed, coded);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((job.seed, job.scene as usize, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(seed, scene, _)| (*seed, *scene));
    results.into_iter().map(|(_, _, result)| result).collect()
}

fn judge_one(job: Job, options: &Options, filmed: Option<&Stage>, coded: bool) -> Result<Judged, String> {
    let drawn;
    let stage = match filmed {
        Some(stage) => stage,
        None => {
            drawn = stage::drawn(job.seed);
            &drawn
        }
    };
    let plan = Plan::new(job.seed, options.seconds, stage);
    let planes = match &options.keep {
        Some(folder) => kept(folder, &plan, job, stage, coded)?,
        None => reduced(&plan, job.scene, stage, coded)?,
    };
    let config = DetectorConfig {
        sensitivity: options.sensitivity,
        frame_rate: options.rate as f32,
        mask: MotionMask::from_zones(&[]),
    };
    let every = RATE / options.rate;
    let (width, height) = Reducer::new(W as u32, H as u32).out_size();
    let mut detector = Detector::new(width, height, &config);
    let mut dump = String::new();
    let (mut truth, mut said, mut ms, mut followed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (i, plane) in planes.iter().enumerate().step_by(every) {
        let from = Instant::now();
        let motion = detector.feed(plane).map_err(|e| e.to_string())?;
        ms.push(from.elapsed().as_secs_f32() * 1000.0);
        let full = |v: u16, small: u16, large: usize| usize::from(v) * large / usize::from(small);
        let boxes: Said = motion
            .boxes
            .iter()
            .map(|b| [full(b.x0, width, W), full(b.y0, height, H), full(b.x1, width, W), full(b.y1, height, H)])
            .collect();
        let seen = plan.things(i, None);
        if options.verbose {
            report::picture(job.seed, job.scene, i, &seen, &boxes);
        }
        if options.dump {
            let _ =
                write!(dump, "F {} {} {i} {} {}", job.scene.name(), job.seed, u8::from(!boxes.is_empty()), seen.len());
            for s in &seen {
                let [x0, y0, x1, y1] = s.bounds;
                let _ = write!(dump, " {},{x0},{y0},{x1},{y1},{}", s.passage, s.area);
            }
            let _ = write!(dump, "\n{}", detector.followed());
        }
        if options.explain {
            followed.push(detector.followed());
        }
        truth.push(seen);
        said.push(boxes);
    }
    let mut tally = judge(&truth, &said, plan.passages(), options.rate as f32);
    tally.detect_ms = ms;
    print!("{dump}");
    if options.explain {
        report::explain(job.seed, job.scene, options.rate as f32, &tally, &truth, &followed);
    }
    Ok(Judged { seed: job.seed, scene: job.scene, tally })
}

/// The planes as the detector gets them.
fn reduced(plan: &Plan, scene: Scene, stage: &Stage, coded: bool) -> Result<Vec<LumaPlane>, String> {
    let mut reducer = Reducer::new(W as u32, H as u32);
    let mut planes = Vec::new();
    let mut failed = None;
    coder::pictures(plan, scene, stage, coded, |picture| match reducer.reduce(picture, W, Vec::new()) {
        Ok(plane) => planes.push(plane),
        Err(e) => failed = Some(e.to_string()),
    })?;
    failed.map_or(Ok(planes), Err)
}

/// The same, from a file of an earlier run when there is one: most of the bench's time goes into making pictures.
fn kept(folder: &Path, plan: &Plan, job: Job, stage: &Stage, coded: bool) -> Result<Vec<LumaPlane>, String> {
    let name = format!(
        "v{SCENES_VERSION}-{}-{}-{}-{}-{}.luma",
        stage.name,
        if coded { "x264" } else { "plain" },
        job.scene.name(),
        job.seed,
        plan.pictures
    );
    let file = folder.join(name);
    let (width, height) = Reducer::new(W as u32, H as u32).out_size();
    let size = usize::from(width) * usize::from(height);
    let plane = |bytes: &[u8]| LumaPlane::new(width, height, bytes.to_vec()).map_err(|e| e.to_string());
    if let Ok(bytes) = std::fs::read(&file)
        && bytes.len() == size * plan.pictures
    {
        return bytes.chunks_exact(size).map(plane).collect();
    }
    let planes = reduced(plan, job.scene, stage, coded)?;
    let bytes: Vec<u8> = planes.iter().flat_map(|p| p.pixels().iter().copied()).collect();
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&file, bytes));
    written.map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(planes)
}
