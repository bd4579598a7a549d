//! What the tests of this crate share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use argus_capture::{Feeds, FeedsConfig, GateMode};
use argus_core::camera::{Source, TestPattern};
use argus_core::ports::{FeedItem, FeedPlan, OpenFeed, StreamTrust};
use argus_core::status::{CameraState, CameraStatus};
use argus_core::{CameraId, Clock, Picture, PrivacyMask, Timestamp};
use gstreamer as gst;
use gstreamer::prelude::*;

/// Nothing here takes longer, unless it is broken.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);

/// A clock that runs, from a moment of its own.
struct Running(Instant);

impl Clock for Running {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_766_485_800_000).plus(self.0.elapsed())
    }
}

/// Directories for one test.
pub(crate) struct Bench {
    root: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("media")).unwrap();
        std::fs::create_dir(root.path().join("temp")).unwrap();
        Self { root }
    }

    pub(crate) fn feeds(&self, gate: GateMode) -> Feeds {
        Feeds::new(FeedsConfig {
            media_dirs: vec![self.root.path().join("media")],
            temp_dir: self.temp(),
            clock: Arc::new(Running(Instant::now())),
            gate,
        })
        .unwrap()
    }

    pub(crate) fn media(&self, name: &str) -> PathBuf {
        self.root.path().join("media").join(name)
    }

    pub(crate) fn temp(&self) -> PathBuf {
        self.root.path().join("temp")
    }
}

/// A small and quick synthetic camera.
pub(crate) fn pattern() -> TestPattern {
    TestPattern { width: 320, height: 180, period_s: 12, active_s: 4 }
}

pub(crate) fn file(path: &str, looped: bool) -> Source {
    Source::File { path: path.to_owned(), looped }
}

pub(crate) fn plan(source: Source, analysis_rate: Option<u8>) -> FeedPlan {
    let camera_id = CameraId::new(Timestamp::from_millis(1_766_485_800_000));
    FeedPlan {
        camera_id,
        source,
        analysis_rate,
        keep: Duration::from_secs(10),
        privacy: PrivacyMask::default(),
        trust: StreamTrust::Any,
    }
}

pub(crate) async fn next(feed: &mut OpenFeed) -> Option<FeedItem> {
    match tokio::time::timeout(DEADLINE, feed.stream.next()).await {
        Ok(item) => item,
        Err(_elapsed) => panic!("nothing came in time; the feed is {:?}", feed.handle.state()),
    }
}

/// Reads on until the feed has that status.
pub(crate) async fn until_status(feed: &mut OpenFeed, status: CameraStatus) -> CameraState {
    let started = Instant::now();
    while started.elapsed() < DEADLINE {
        match next(feed).await {
            Some(FeedItem::State(state)) if state.status == status => return state,
            Some(_) => {}
            None => break,
        }
    }
    panic!("never became {status}; it is {:?}", feed.handle.state());
}

/// The next `n` pictures.
pub(crate) async fn pictures(feed: &mut OpenFeed, n: usize) -> Vec<Picture> {
    let mut seen = Vec::new();
    while seen.len() < n {
        match next(feed).await {
            Some(FeedItem::Picture(p)) => seen.push(p),
            Some(FeedItem::State(_)) => {}
            other => panic!("{other:?} after {} pictures", seen.len()),
        }
    }
    seen
}

pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < DEADLINE, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Codes `frames` pictures at 15 a second into a file.
pub(crate) fn encode(path: &Path, encoder: &str, parser: &str, muxer: &str, frames: u32, size: (i32, i32)) {
    let options = match encoder {
        "x264enc bframes=2" => "b-adapt=false key-int-max=30 speed-preset=ultrafast",
        "x264enc" => "tune=zerolatency key-int-max=30 speed-preset=ultrafast",
        "x265enc" => "key-int-max=30 speed-preset=ultrafast tune=zerolatency log-level=none",
        _ => "",
    };
    let (width, height) = size;
    run(
        path,
        &format!(
            "videotestsrc num-buffers={frames} ! video/x-raw,format=I420,width={width},height={height},framerate=15/1 \
             ! {encoder} {options} ! {parser} ! {muxer} ! filesink name=out"
        ),
    );
}

/// A file that holds sound only.
pub(crate) fn encode_sound(path: &Path) {
    run(path, "audiotestsrc num-buffers=50 ! audioconvert ! avenc_aac ! mp4mux ! filesink name=out");
}

fn run(path: &Path, launch: &str) {
    gst::init().unwrap();
    let pipeline = gst::parse::launch(launch).unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.by_name("out").unwrap().set_property("location", path);
    pipeline.set_state(gst::State::Playing).unwrap();
    let done = pipeline
        .bus()
        .unwrap()
        .timed_pop_filtered(gst::ClockTime::from_seconds(30), &[gst::MessageType::Eos, gst::MessageType::Error])
        .unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(done.type_(), gst::MessageType::Eos, "{launch}: {done:?}");
}
