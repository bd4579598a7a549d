//! Sends composed pictures through a video encoder and back, as they would come from a camera.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::scenes::{Plan, RATE, Scene};
use crate::stage::{H, Stage, W};

/// Whether ffmpeg with x264 is there.
pub(crate) fn is_available() -> bool {
    let out = Command::new("ffmpeg").args(["-v", "error", "-h", "encoder=libx264"]).output();
    out.is_ok_and(|o| o.status.success() && String::from_utf8_lossy(&o.stdout).contains("libx264"))
}

/// The luma of every picture of a scene, as it comes out of the decoder; without `coded`, with noise of 8 x 8 blocks
/// in place of the encoder's.
pub(crate) fn pictures(
    plan: &Plan,
    scene: Scene,
    stage: &Stage,
    coded: bool,
    mut each: impl FnMut(&[u8]),
) -> Result<(), String> {
    if !coded {
        let (mut work, mut picture) = (Vec::new(), vec![0; W * H]);
        for i in 0..plan.pictures {
            plan.picture(scene, i, stage, &mut work, &mut picture);
            quantise(&mut picture, i);
            each(&picture);
        }
        return Ok(());
    }
    // the night camera has little bandwidth: constant rate, so that noise turns into blocks
    let rate: &[&str] = match scene {
        Scene::Night => &["-b:v", "256k", "-maxrate", "256k", "-bufsize", "256k"],
        _ => &["-crf", "27"],
    };
    let size = format!("{W}x{H}");
    let fps = RATE.to_string();
    let mut encoder = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", &size, "-r", &fps, "-i", "-"])
        .args(["-c:v", "libx264", "-threads", "1", "-preset", "medium", "-g", "20", "-bf", "0", "-sc_threshold", "0"])
        .args(rate)
        .args(["-f", "h264", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("ffmpeg: {e}"))?;
    let (Some(mut input), Some(stream)) = (encoder.stdin.take(), encoder.stdout.take()) else {
        return Err("no pipe to ffmpeg".into());
    };
    let mut decoder = Command::new("ffmpeg")
        .args(["-v", "error", "-threads", "1", "-r", &fps, "-f", "h264", "-i", "-", "-vsync", "passthrough"])
        .args(["-f", "rawvideo", "-pix_fmt", "yuv420p", "-"])
        .stdin(Stdio::from(stream))
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("ffmpeg: {e}"))?;
    let Some(mut output) = decoder.stdout.take() else { return Err("no pipe from ffmpeg".into()) };
    let count = std::thread::scope(|scope| {
        scope.spawn(move || {
            let (mut work, mut picture) = (Vec::new(), vec![128; W * H * 3 / 2]);
            for i in 0..plan.pictures {
                plan.picture(scene, i, stage, &mut work, &mut picture[..W * H]);
                if input.write_all(&picture).is_err() {
                    break;
                }
            }
        });
        let mut picture = vec![0; W * H * 3 / 2];
        let mut count = 0;
        while output.read_exact(&mut picture).is_ok() {
            each(&picture[..W * H]);
            count += 1;
        }
        count
    });
    let ended = [encoder.wait(), decoder.wait()];
    if !ended.iter().all(|e| e.as_ref().is_ok_and(std::process::ExitStatus::success)) || count != plan.pictures {
        return Err(format!("ffmpeg gave {count} of {} pictures", plan.pictures));
    }
    Ok(())
}

/// What coarse quantisation does: the mean of each 8 x 8 block is kept, and of its detail half; key frames every two
/// seconds round differently.
fn quantise(picture: &mut [u8], i: usize) {
    let step: i32 = if i.is_multiple_of(2 * RATE) { 2 } else { 3 };
    for by in (0..H).step_by(8) {
        for bx in (0..W).step_by(8) {
            let mut sum = 0;
            for y in by..(by + 8).min(H) {
                sum += picture[y * W + bx..y * W + bx + 8].iter().map(|&v| i32::from(v)).sum::<i32>();
            }
            let mean = sum / ((by + 8).min(H) - by) as i32 / 8;
            for y in by..(by + 8).min(H) {
                for v in &mut picture[y * W + bx..y * W + bx + 8] {
                    let detail = i32::from(*v) - mean;
                    *v = (mean + detail / step * step).clamp(0, 255) as u8;
                }
            }
        }
    }
}
