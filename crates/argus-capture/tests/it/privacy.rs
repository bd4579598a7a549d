//! What a privacy mask hides is in no still and in no clip.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use argus_capture::GateMode;
use argus_core::PrivacyMask;
use argus_core::camera::Source;
use argus_core::ports::{CameraFeeds, FeedPlan, Still, StillSpec};
use argus_core::zone::{Point, Zone, ZoneKind};
use base64::Engine;

use crate::common::{Bench, encode, eventually, file, pattern, pictures, plan};

/// Hides the left half.
fn left() -> PrivacyMask {
    let vertices = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)].map(|(x, y)| Point { x, y }).to_vec();
    let zone = Zone { id: "z".into(), name: "Window".into(), kind: ZoneKind::Privacy, enabled: true, vertices };
    PrivacyMask::from_zones(&[zone])
}

fn hidden(plan: FeedPlan) -> FeedPlan {
    FeedPlan { privacy: left(), ..plan }
}

/// Brightest and darkest value of the left and of the right half, away from the seam, where coding blurs.
#[derive(Debug, Clone, Copy)]
struct Halves {
    left: (u8, u8),
    right: (u8, u8),
}

impl Halves {
    fn of(grey: &[u8], width: usize) -> Self {
        let range = |from: usize, to: usize| {
            let part = || grey.chunks_exact(width).flat_map(move |row| row[from..to].iter().copied());
            (part().min().unwrap(), part().max().unwrap())
        };
        Self { left: range(0, width / 2 - 2), right: range(width / 2 + 2, width) }
    }

    fn is_hidden(self) -> bool {
        self.left.1 <= 32
    }

    fn shows_object(self) -> bool {
        self.right.1 > 180
    }
}

/// Every picture that a player shows of a film or a JPEG, with its time.
fn shown(path: &Path, (width, height): (usize, usize)) -> Vec<Halves> {
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(path)
        .args(["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-"])
        .output()
        .unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout.chunks_exact(width * height).map(|grey| Halves::of(grey, width)).collect()
}

fn halves(bench: &Bench, jpeg: &[u8], size: (usize, usize)) -> Halves {
    let path = bench.media("still.jpg");
    std::fs::write(&path, jpeg).unwrap();
    shown(&path, size)[0]
}

fn size(still: &Still) -> (usize, usize) {
    (usize::try_from(still.width).unwrap(), usize::try_from(still.height).unwrap())
}

#[tokio::test]
async fn stills_snapshots_clips_and_probes_are_painted_over() {
    let bench = Bench::new();
    let feeds = bench.feeds(GateMode::Off);
    let source = Source::Test(pattern());
    let mut feed = feeds.open(hidden(plan(source.clone(), Some(5))));
    // the object crosses the hidden half from second 2 to 4, the other one from 4 to 6
    let seen = pictures(&mut feed, 28).await;
    let start = seen[0].taken_at;
    let moment = |ms: u64| start.plus(Duration::from_millis(ms));

    let specs = [StillSpec { max_width: 160, quality: 85 }, StillSpec { max_width: 4000, quality: 90 }];
    let stills = feed.handle.stills(&[moment(3000), moment(5000)], &specs).await.unwrap();
    assert_eq!(stills.len(), 2);
    for (sizes, object) in stills.iter().zip([false, true]) {
        for still in sizes {
            let halves = halves(&bench, &still.jpeg, size(still));
            assert!(halves.is_hidden(), "{halves:?}");
            assert_eq!(halves.shows_object(), object, "{halves:?}");
        }
    }
    let snapshot = feed.handle.snapshot(None).await.unwrap();
    assert!(halves(&bench, &snapshot.jpeg, size(&snapshot)).is_hidden());

    let recorder = feed.handle.start_clip(moment(1000)).await.unwrap();
    let clip = recorder.finish(moment(6500)).await.unwrap();
    assert!((clip.from.millis_since(start) - 1000).abs() <= 67, "{}", clip.from.millis_since(start));
    assert!((clip.until.millis_since(start) - 6500).abs() <= 67, "{}", clip.until.millis_since(start));
    let film = shown(clip.file.as_ref().as_ref(), (320, 180));
    assert!((82..=84).contains(&film.len()), "{} pictures", film.len());
    for (i, halves) in film.iter().enumerate() {
        assert!(halves.is_hidden(), "picture {i}: {halves:?}");
    }
    assert!(film[60..64].iter().all(|halves| halves.shows_object()), "what is not hidden is seen: {film:?}");
    drop(clip);
    feed.handle.stop().await;
    eventually("nothing is left behind", || std::fs::read_dir(bench.temp()).unwrap().next().is_none()).await;

    let open = feeds.probe(&source, &PrivacyMask::default()).await.thumbnail.unwrap();
    let covered = feeds.probe(&source, &left()).await.thumbnail.unwrap();
    for (thumbnail, hides) in [(open, false), (covered, true)] {
        let jpeg = thumbnail.strip_prefix("data:image/jpeg;base64,").unwrap();
        let jpeg = base64::engine::general_purpose::STANDARD.decode(jpeg).unwrap();
        assert_eq!(halves(&bench, &jpeg, (320, 180)).is_hidden(), hides);
    }
}

#[tokio::test]
async fn a_mask_holds_from_the_moment_it_is_set_also_within_a_clip() {
    let bench = Bench::new();
    let feeds = bench.feeds(GateMode::Off);
    let open = plan(Source::Test(pattern()), Some(15));
    let mut feed = feeds.open(open.clone());
    let start = pictures(&mut feed, 30).await[0].taken_at;
    let recorder = feed.handle.start_clip(start).await.unwrap();
    feed.handle.retune(&hidden(open.clone()));
    let changed = feed.handle.state().last_frame_at.unwrap();
    let until = async |feed: &mut _, end| loop {
        let picture = pictures(feed, 1).await.remove(0);
        if picture.taken_at > end {
            break picture;
        }
    };
    let long = Duration::from_secs(2);
    let session = until(&mut feed, changed.plus(long)).await.session;
    let snapshot = feed.handle.snapshot(None).await.unwrap();
    assert!(halves(&bench, &snapshot.jpeg, size(&snapshot)).is_hidden());
    // and it ends when it is taken away: what was taken meanwhile stays hidden
    feed.handle.retune(&open);
    let opened = feed.handle.state().last_frame_at.unwrap();
    let last = until(&mut feed, opened.plus(long)).await;
    assert_eq!(last.session, session, "the stream went on without a break");
    let clip = recorder.finish(last.taken_at).await.unwrap();
    let film = shown(clip.file.as_ref().as_ref(), (320, 180));
    let at = |i: usize| clip.from.plus(Duration::from_micros(66_667) * u32::try_from(i).unwrap());
    let step = Duration::from_millis(100);
    let (mut before, mut during, mut after) = (0, 0, 0);
    for (i, halves) in film.iter().enumerate() {
        if at(i).plus(step) < changed {
            assert!(!halves.is_hidden(), "picture {i} of {}: taken before the change", film.len());
            before += 1;
        } else if at(i) > changed.plus(step) && at(i).plus(step) < opened {
            assert!(halves.is_hidden(), "picture {i} of {}: taken after the change: {halves:?}", film.len());
            during += 1;
        } else if at(i) > opened.plus(step) {
            assert!(!halves.is_hidden(), "picture {i} of {}: the mask is gone", film.len());
            after += 1;
        }
    }
    assert!(before > 20 && during > 20 && after > 20, "{before}, {during}, {after} of {}", film.len());
    feed.handle.stop().await;
}

#[tokio::test]
async fn clips_are_painted_in_every_codec_and_order() {
    let bench = Bench::new();
    let feeds = bench.feeds(GateMode::Off);
    let cases = [("a.mp4", "x264enc bframes=2", "h264parse"), ("b.mp4", "x265enc", "h265parse")];
    for (name, encoder, parser) in cases {
        encode(&bench.media(name), encoder, parser, "mp4mux", 60, (320, 180));
        let mut feed = feeds.open(hidden(plan(file(name, false), Some(15))));
        let first = pictures(&mut feed, 1).await[0].taken_at;
        let recorder = feed.handle.start_clip(first).await.unwrap();
        let clip = recorder.finish(first.plus(Duration::from_secs(3))).await.unwrap();
        let film = shown(clip.file.as_ref().as_ref(), (320, 180));
        assert!((45..=47).contains(&film.len()), "{name}: {} pictures", film.len());
        assert!(film.iter().all(|halves| halves.is_hidden() && halves.shows_object()), "{name}: {film:?}");
        feed.handle.stop().await;
    }
}

#[tokio::test]
async fn a_clip_that_is_given_up_is_not_painted_on() {
    let bench = Bench::new();
    let mut feed = bench.feeds(GateMode::Off).open(hidden(plan(Source::Test(pattern()), Some(5))));
    let from = pictures(&mut feed, 3).await[0].taken_at;
    drop(feed.handle.start_clip(from).await.unwrap());
    eventually("the abandoned clip is gone", || std::fs::read_dir(bench.temp()).unwrap().next().is_none()).await;
    feed.handle.stop().await;
}

#[tokio::test]
async fn another_rate_comes_without_a_break() {
    let bench = Bench::new();
    let slow = plan(Source::Test(pattern()), Some(3));
    let mut feed = bench.feeds(GateMode::Off).open(slow.clone());
    let before = pictures(&mut feed, 4).await;
    feed.handle.retune(&FeedPlan { analysis_rate: Some(15), keep: Duration::from_secs(2), ..slow });
    // what is on its way may still be of the old rate
    let after = pictures(&mut feed, 8).await;
    let gap = |p: &[argus_core::Picture]| p[1].taken_at.millis_since(p[0].taken_at);
    assert!(before.windows(2).all(|p| gap(p) > 300), "{before:?}");
    assert!(after[3..].windows(2).all(|p| gap(p) < 70), "{after:?}");
    assert_eq!(before[0].session, after[7].session);
    feed.handle.stop().await;
}
