//! Feeds against real pipelines: the synthetic camera and files that are coded here.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use argus_capture::{GateMode, pictures_of_file};
use argus_core::camera::{Source, TestPattern};
use argus_core::ports::{CameraFeeds, FeedItem, StillSpec};
use argus_core::status::{CameraStatus, FaultKind};
use argus_core::{Picture, PrivacyMask};

use crate::common::{Bench, encode, encode_sound, eventually, file, next, pattern, pictures, plan, until_status};

#[tokio::test]
async fn the_test_camera_shows_its_object_and_stills_and_clips_of_it() {
    let bench = Bench::new();
    let mut feed = bench.feeds(GateMode::Off).open(plan(Source::Test(pattern()), Some(5)));
    let online = until_status(&mut feed, CameraStatus::Online).await;
    assert_eq!(online.resolution.as_deref(), Some("320x180"));
    assert_eq!(online.codec.as_deref(), Some("h264"));
    assert_eq!(online.last_error, None);

    // three seconds and a bit: still until 2 s, then the object enters
    let seen = pictures(&mut feed, 20).await;
    let start = seen[0].taken_at;
    for pair in seen.windows(2) {
        assert_eq!(pair[1].taken_at.millis_since(pair[0].taken_at), 200, "an even grid");
        assert_eq!(pair[0].session, pair[1].session);
    }
    let bright = |p: &Picture| p.luma.pixels().iter().filter(|v| **v > 180).count();
    for p in &seen {
        assert_eq!(p.full_size, (320, 180));
        let moving = p.taken_at.millis_since(start) > 2100;
        assert_eq!(bright(p) > 0, moving, "at {} ms", p.taken_at.millis_since(start));
    }

    // stills of two moments in two sizes from one decode, nearest and without repeats
    let moment = |ms: u64| start.plus(Duration::from_millis(ms));
    let specs = [StillSpec { max_width: 160, quality: 80 }, StillSpec { max_width: 4000, quality: 90 }];
    let stills = feed.handle.stills(&[moment(2800), moment(1010), moment(1020)], &specs).await.unwrap();
    assert_eq!(stills.len(), 2);
    for (sizes, ms) in stills.iter().zip([1000, 2800]) {
        assert_eq!(sizes.iter().map(|s| (s.width, s.height)).collect::<Vec<_>>(), [(160, 90), (320, 180)]);
        assert!((sizes[0].taken_at.millis_since(start) - ms).abs() <= 34);
        assert!(sizes.iter().all(|s| s.jpeg.starts_with(&[0xff, 0xd8]) && s.jpeg.ends_with(&[0xff, 0xd9])));
    }
    assert!(feed.handle.stills(&[moment(3_600_000)], &specs).await.unwrap().is_empty());
    let snapshot = feed.handle.snapshot(Some(200)).await.unwrap();
    assert_eq!((snapshot.width, snapshot.height), (200, 113));

    // a clip from the middle of a group of pictures in memory to a moment that is still to come
    let recorder = feed.handle.start_clip(moment(1500)).await.unwrap();
    let clip = recorder.finish(moment(5000)).await.unwrap();
    let path = clip.file.as_ref().as_ref().to_owned();
    assert!((clip.from.millis_since(start) - 1500).abs() <= 67, "{}", clip.from.millis_since(start));
    assert!((clip.until.millis_since(start) - 5000).abs() <= 67, "{}", clip.until.millis_since(start));
    assert_eq!(clip.bytes, std::fs::metadata(&path).unwrap().len());
    let (codec, seconds) = ffprobe(&path);
    assert_eq!(codec, "h264");
    assert!((seconds - 3.55).abs() < 0.15, "{seconds} s");
    assert!(moov_first(&path));
    // what a player shows begins where it was wanted: 0.5 s before the object enters, so the first picture is empty,
    // and one from the end of the clip is not
    assert!(brightest(&path, 0.0) < 110);
    assert!(brightest(&path, 1.5) > 180);
    drop(clip);
    assert!(!path.exists());

    let state = feed.handle.state();
    assert!(state.fps.is_some_and(|fps| (13.5..16.5).contains(&fps)), "{:?}", state.fps);
    feed.handle.stop().await;
    assert_eq!(feed.handle.state().status, CameraStatus::Stopped);
    assert!(std::fs::read_dir(bench.temp()).unwrap().next().is_none(), "nothing is left behind");
    while feed.stream.next().await.is_some() {}
}

#[tokio::test]
async fn a_clip_lives_through_the_end_of_its_stream() {
    let bench = Bench::new();
    encode(&bench.media("a.mp4"), "x264enc", "h264parse", "mp4mux", 45, (320, 180));
    let mut feed = bench.feeds(GateMode::Off).open(plan(file("a.mp4", false), None));
    let online = until_status(&mut feed, CameraStatus::Online).await;
    let recorder = feed.handle.start_clip(online.last_frame_at.unwrap()).await.unwrap();
    until_status(&mut feed, CameraStatus::Stopped).await;
    assert!(feed.stream.next().await.is_none(), "stopped is the last item");
    let clip = recorder.finish(online.last_frame_at.unwrap().plus(Duration::from_secs(60))).await.unwrap();
    let (_, seconds) = ffprobe(clip.file.as_ref().as_ref());
    assert!((2.8..=3.1).contains(&seconds), "{seconds}");
    // an abandoned clip leaves nothing
    drop(clip);
    drop(feed.handle.start_clip(online.last_frame_at.unwrap()).await.unwrap());
    feed.handle.stop().await;
    eventually("the abandoned clip is gone", || std::fs::read_dir(bench.temp()).unwrap().next().is_none()).await;
}

#[tokio::test]
async fn clips_are_whole_in_every_codec_and_order() {
    let bench = Bench::new();
    let feeds = bench.feeds(GateMode::Off);
    let cases = [
        ("a.mp4", "x264enc bframes=2", "h264parse", "h264", "avc1"),
        ("b.mp4", "x265enc", "h265parse", "hevc", "hvc1"),
    ];
    for (name, encoder, parser, codec, tag) in cases {
        encode(&bench.media(name), encoder, parser, "mp4mux", 60, (320, 180));
        let mut feed = feeds.open(plan(file(name, false), Some(15)));
        let first = pictures(&mut feed, 1).await[0].taken_at;
        let at = |ms: u64| first.plus(Duration::from_millis(ms));
        let recorder = feed.handle.start_clip(at(0)).await.unwrap();
        let clip = recorder.finish(at(3000)).await.unwrap();
        let path: &Path = clip.file.as_ref().as_ref();
        let (found, seconds) = ffprobe(path);
        assert_eq!(found, codec, "{name}");
        assert!((seconds - 3.06).abs() < 0.15, "{name}: {seconds} s");
        let bytes = std::fs::read(path).unwrap();
        assert!(bytes.windows(4).any(|w| w == tag.as_bytes()), "{name} is not {tag}");
        let shown = frames(path);
        assert!((45..=47).contains(&shown), "{name}: {shown} pictures, {seconds} s");
        // pictures come in the order in which they are shown, whatever order they are coded in
        let seen = pictures(&mut feed, 30).await;
        assert!(seen.windows(2).all(|p| (60..=70).contains(&p[1].taken_at.millis_since(p[0].taken_at))), "{name}");
        feed.handle.stop().await;
    }
}

#[tokio::test]
async fn files_of_every_kind_are_played_at_their_own_speed() {
    let bench = Bench::new();
    let cases = [
        ("a.mp4", "x264enc", "h264parse", "mp4mux", "h264"),
        ("b.mp4", "x265enc", "h265parse", "mp4mux", "h265"),
        ("c.avi", "avenc_mpeg4", "mpeg4videoparse", "avimux", "mpeg4"),
        ("d.mkv", "jpegenc", "jpegparse", "matroskamux", "mjpeg"),
    ];
    let feeds = bench.feeds(GateMode::Off);
    for (name, encoder, parser, muxer, codec) in cases {
        encode(&bench.media(name), encoder, parser, muxer, 30, (320, 180));
        let mut feed = feeds.open(plan(file(name, false), Some(5)));
        let began = std::time::Instant::now();
        let (mut seen, mut online) = (0, None);
        loop {
            match next(&mut feed).await {
                Some(FeedItem::Picture(p)) => {
                    assert_eq!(p.full_size, (320, 180), "{name}");
                    seen += 1;
                }
                Some(FeedItem::State(s)) if s.status == CameraStatus::Stopped => break,
                Some(FeedItem::State(s)) => online = Some(s),
                Some(FeedItem::Dropped { pictures }) => panic!("{name}: {pictures} dropped"),
                None => panic!("{name}: no last state"),
            }
        }
        let online = online.unwrap_or_else(|| panic!("{name} was never online"));
        assert_eq!((online.status, online.codec.as_deref()), (CameraStatus::Online, Some(codec)), "{name}");
        assert_eq!(seen, 10, "{name}: two seconds at five a second");
        assert!(began.elapsed() > Duration::from_millis(1500), "{name} ran at its own speed");
        let still = feed.handle.snapshot(None).await.unwrap();
        assert_eq!((still.width, still.height), (320, 180), "{name}");
        feed.handle.stop().await;
    }
}

#[tokio::test]
async fn a_looped_file_goes_on_without_a_loss() {
    let bench = Bench::new();
    encode(&bench.media("a.mp4"), "x264enc", "h264parse", "mp4mux", 15, (320, 180));
    let mut feed = bench.feeds(GateMode::Off).open(plan(file("a.mp4", true), Some(5)));
    until_status(&mut feed, CameraStatus::Online).await;
    let mut sessions = Vec::new();
    while sessions.len() < 3 {
        match next(&mut feed).await {
            Some(FeedItem::Picture(p)) => sessions.push(p.session),
            Some(FeedItem::State(s)) => panic!("{s:?}"),
            _ => {}
        }
        sessions.dedup();
    }
    assert_eq!(feed.handle.state().reconnects, 0);
    feed.handle.stop().await;
}

#[tokio::test]
async fn what_is_no_video_is_said() {
    let bench = Bench::new();
    std::fs::write(bench.media("text.mp4"), "no video at all, but long enough to look at ".repeat(50)).unwrap();
    std::fs::write(bench.media("empty.mp4"), "").unwrap();
    encode_sound(&bench.media("sound.mp4"));
    let feeds = bench.feeds(GateMode::Off);
    let cases = [
        (file("text.mp4", true), FaultKind::Invalid, "the file"),
        (file("empty.mp4", true), FaultKind::Invalid, "the file"),
        (file("sound.mp4", true), FaultKind::Invalid, "the file has no video track"),
        (file("none.mp4", true), FaultKind::NotFound, "the file does not exist"),
        (file("/etc/hostname", true), FaultKind::Permission, "the file is not inside a media directory"),
        (Source::Usb { device_index: 63 }, FaultKind::NotFound, "there is no /dev/video63"),
    ];
    for (source, kind, text) in cases {
        let mut feed = feeds.open(plan(source.clone(), Some(5)));
        let state = until_status(&mut feed, CameraStatus::Error).await;
        assert_eq!(state.last_error_kind, Some(kind), "{source:?}: {state:?}");
        assert!(state.last_error.as_ref().is_some_and(|t| t.starts_with(text)), "{source:?}: {state:?}");
        assert!(feed.handle.snapshot(None).await.is_err());
        assert!(feed.handle.start_clip(state.last_frame_at.unwrap_or_default()).await.is_err());
        feed.handle.stop().await;
        let probe = feeds.probe(&source, &PrivacyMask::default()).await;
        assert_eq!((probe.success, probe.error_kind), (false, Some(kind)), "{source:?}: {probe:?}");
        assert!(probe.elapsed_ms < 5000);
    }
    assert_eq!(feeds.check(&file("none.mp4", true)).unwrap_err().field, "file_path");
    assert!(feeds.check(&file("text.mp4", true)).is_ok());
    assert!(feeds.check(&Source::Test(TestPattern::default())).is_ok());
}

#[tokio::test]
async fn a_probe_decodes_a_picture() {
    let bench = Bench::new();
    let probe = bench.feeds(GateMode::Off).probe(&Source::Test(TestPattern::default()), &PrivacyMask::default()).await;
    assert!(probe.success, "{probe:?}");
    assert_eq!((probe.resolution.as_deref(), probe.codec.as_deref()), (Some("640x360"), Some("h264")));
    assert!(probe.fps.is_some_and(|fps| (10.0..20.0).contains(&fps)), "{:?}", probe.fps);
    assert!(probe.thumbnail.is_some_and(|t| t.starts_with("data:image/jpeg;base64,/9j/") && t.len() > 500));
    assert!(probe.elapsed_ms < 5000, "{}", probe.elapsed_ms);
}

#[tokio::test]
async fn the_gate_decodes_key_frames_only_while_nothing_happens() {
    let bench = Bench::new();
    let rare = TestPattern { period_s: 9, active_s: 1, ..pattern() };
    let mut feed = bench.feeds(GateMode::Packets).open(plan(Source::Test(rare), Some(15)));
    let (mut start, mut times) = (None, Vec::new());
    while times.last().is_none_or(|ms| *ms < 11_950) {
        if let Some(FeedItem::Picture(p)) = next(&mut feed).await {
            times.push(p.taken_at.millis_since(*start.get_or_insert(p.taken_at)));
        }
    }
    let within = |from: i64, to: i64| times.iter().filter(|ms| (from..to).contains(*ms)).count();
    assert!(times.is_sorted(), "{times:?}");
    assert!(within(2_000, 3_000) >= 14, "the first movement: {times:?}");
    assert!(within(6_000, 9_900) <= 2, "nothing but key frames: {times:?}");
    assert!(within(11_000, 11_950) >= 13, "the second movement: {times:?}");
    let back = times.iter().rposition(|ms| *ms < 11_000).unwrap();
    let gap = times.windows(2).take(back).rposition(|p| p[1] - p[0] > 100).unwrap();
    assert!(times[gap + 1] < 11_000 && back > gap + 1, "and all from the key frame before it: {times:?}");
    feed.handle.stop().await;
}

#[tokio::test]
async fn replaying_a_file_gives_the_same_pictures_every_time() {
    let bench = Bench::new();
    let path = bench.media("a.mp4");
    encode(&path, "x264enc", "h264parse", "mp4mux", 45, (640, 360));
    let run = || pictures_of_file(&path, 5).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    let first = run();
    assert_eq!(first.len(), 15);
    assert_eq!(first[0].taken_at.as_micros(), 0);
    assert_eq!(first[14].taken_at.as_micros(), 2_800_000);
    assert!(first.iter().all(|p| p.full_size == (640, 360) && (p.luma.width(), p.luma.height()) == (320, 180)));
    assert_eq!(first, run());
    std::fs::write(&path, "nothing of use").unwrap();
    let broken: Vec<_> = pictures_of_file(&path, 5).unwrap().collect();
    assert!(matches!(broken[..], [Err(_)]), "{broken:?}");
}

fn ffprobe(path: &Path) -> (String, f64) {
    let out = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-select_streams",
            "v:0",
            "-show_entries",
            "stream=codec_name,duration",
            "-of",
            "csv=p=0",
        ])
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    let (codec, seconds) = text.trim().split_once(',').unwrap();
    (codec.to_owned(), seconds.parse().unwrap())
}

/// How many pictures a player shows; a damaged file fails.
fn frames(path: &Path) -> usize {
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(path)
        .args(["-vf", "scale=16:16", "-fps_mode", "passthrough", "-pix_fmt", "gray", "-f", "rawvideo", "-"])
        .output()
        .unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout.len() / 256
}

/// The brightest pixel of the picture that is shown at `seconds`.
fn brightest(path: &Path, seconds: f64) -> u8 {
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-ss", &seconds.to_string(), "-frames:v", "1", "-pix_fmt", "gray", "-f", "rawvideo", "-"])
        .output()
        .unwrap();
    *out.stdout.iter().max().unwrap()
}

fn moov_first(path: &Path) -> bool {
    let bytes = std::fs::read(path).unwrap();
    let find = |kind: &[u8]| bytes.windows(4).position(|w| w == kind).unwrap();
    find(b"moov") < find(b"mdat")
}
