//! The films: people walking, coded as a camera would, at two sizes.

use std::path::Path;
use std::process::Command;

use argus_tests::clips::{ClipSpec, write_mp4};
use argus_tests::scene::Scene;

use crate::Films;

/// Debian's opencv-doc.
const FOOTAGE: &str = "/usr/share/doc/opencv-doc/examples/data/vtest.avi";

/// Codes both films, `seconds` long.
pub(crate) fn make(seconds: u32) -> Films {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (large, small) = (dir.path().join("1080p15.mp4"), dir.path().join("360p5.mp4"));
    if Path::new(FOOTAGE).exists() {
        println!("film: {FOOTAGE}, coded by x264");
        code(&large, "scale=1920:1080,fps=15", "4M", "30", seconds);
        code(&small, "scale=640:360,fps=5", "400k", "10", seconds);
    } else {
        println!("film: a generated scene; install opencv-doc for real footage");
        let scene = Scene::Restless;
        write_mp4(
            ClipSpec { width: 1920, height: 1080, fps: 15, gop: 30, scene, ..ClipSpec::default() },
            seconds,
            &large,
        );
        write_mp4(ClipSpec { fps: 5, gop: 10, scene, ..ClipSpec::default() }, seconds, &small);
    }
    Films { dir, large, small }
}

fn code(to: &Path, filters: &str, rate: &str, key_every: &str, seconds: u32) {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-i", FOOTAGE, "-t", &seconds.to_string(), "-vf", filters])
        .args(["-c:v", "libx264", "-preset", "veryfast", "-b:v", rate, "-maxrate", rate, "-bufsize", rate])
        .args([
            "-bf",
            "0",
            "-g",
            key_every,
            "-sc_threshold",
            "0",
            "-pix_fmt",
            "yuv420p",
            "-movflags",
            "faststart",
            "-y",
        ])
        .arg(to)
        .status()
        .expect("ffmpeg runs");
    assert!(status.success(), "the film cannot be coded");
}
