use std::path::Path;
use std::process::Command;

use argus_tests::clips::{ClipSpec, Video, encode_clip, write_mp4};
use argus_tests::scene::Scene;
use serde_json::Value;

fn spec(video: Video) -> ClipSpec {
    ClipSpec { video, width: 320, height: 240, fps: 10, gop: 8, scene: Scene::MovingBox { every_s: 4, for_s: 2 } }
}

fn keys(video: Video) -> Vec<usize> {
    let clip = encode_clip(spec(video));
    clip.access_units.iter().enumerate().filter(|(_, unit)| unit.key).map(|(index, _)| index).collect()
}

#[test]
fn key_frames_come_at_the_wanted_distance() {
    assert_eq!(keys(Video::H264), [0, 8, 16, 24, 32]);
    assert_eq!(keys(Video::H265), [0, 8, 16, 24, 32]);
    assert_eq!(keys(Video::Mjpeg).len(), 40);
}

#[test]
fn every_h264_key_frame_carries_its_parameter_sets() {
    let clip = encode_clip(spec(Video::H264));
    for unit in clip.access_units.iter().filter(|unit| unit.key) {
        let types: Vec<u8> = unit.bytes.windows(4).filter(|w| w[..3] == [0, 0, 1]).map(|w| w[3] & 0x1f).collect();
        assert!(types.contains(&7) && types.contains(&8) && types.contains(&5), "{types:?}");
    }
}

#[test]
fn motion_makes_larger_pictures_than_noise() {
    let clip = encode_clip(spec(Video::H264));
    let mean = |range: std::ops::Range<usize>| {
        let sizes: Vec<_> = clip.access_units[range].iter().filter(|unit| !unit.key).map(|u| u.bytes.len()).collect();
        sizes.iter().sum::<usize>() / sizes.len()
    };
    assert!(mean(22..40) > mean(1..20) * 3 / 2, "{} against {}", mean(22..40), mean(1..20));
}

fn probe(path: &Path) -> Value {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-show_streams", "-show_format", "-of", "json"])
        .arg(path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn check_mp4(video: Video, codec: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    write_mp4(spec(video), 7, &path);
    let probed = probe(&path);
    let stream = &probed["streams"][0];
    assert_eq!(stream["codec_name"], codec);
    assert_eq!((stream["width"].as_u64(), stream["height"].as_u64()), (Some(320), Some(240)));
    assert_eq!(stream["nb_read_frames"], "70");
    let seconds: f64 = probed["format"]["duration"].as_str().unwrap().parse().unwrap();
    assert!((seconds - 7.0).abs() < 0.11, "{seconds}");
}

#[test]
fn mp4_files_hold_what_was_asked_for() {
    check_mp4(Video::H264, "h264");
    check_mp4(Video::H265, "hevc");
}
