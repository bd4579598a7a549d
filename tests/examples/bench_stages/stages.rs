//! Processor time a picture of each stage, beside a bare decode of the same film.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use argus_capture::{Feeds, FeedsConfig, GateMode, pictures_of_file};
use argus_core::camera::{Sensitivity, Source};
use argus_core::ports::{CameraFeeds, FeedItem, FeedPlan, StillSpec};
use argus_core::{CameraId, Clock, LumaPlane, Timestamp};
use argus_motion::{Detector, DetectorConfig, MotionMask, Reducer};
use gstreamer as gst;
use gstreamer::prelude::*;

use crate::cpu::{median, ms, process, thread};
use crate::{Films, Options, table};

/// The system's clock.
struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        let since = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970");
        Timestamp::from_micros(i64::try_from(since.as_micros()).expect("a clock before 290000"))
    }
}

pub(crate) async fn run(options: &Options, films: &Films) {
    for (name, film, size) in [
        ("1920x1080 at 15, 4 Mbit/s", &films.large, (1920, 1080)),
        ("640x360 at 5, 0.4 Mbit/s", &films.small, (640, 360)),
    ] {
        let mut rows = decoded_stages(options, film, size);
        rows.extend(live_stages(options, films, film).await);
        table::print(
            &format!("Stages, {name}: processor time"),
            &["stage", "ms a picture", "of the bare decode"],
            &rows,
        );
    }
}

fn row(name: &str, value: f64, decode: f64) -> Vec<String> {
    vec![name.to_owned(), format!("{value:.3}"), format!("{:.1} %", value / decode * 100.0)]
}

/// Decode, reduce and detect, interleaved; the middle of all rounds.
fn decoded_stages(options: &Options, film: &Path, size: (u32, u32)) -> Vec<Vec<String>> {
    let (mut bare, mut whole, mut reduce, mut detect) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.amount(7).max(3) {
        let (pictures, cost) = bare_decode(film);
        let frames = f64::from(pictures);
        bare.push(ms(cost) / frames);

        let begun = process();
        let planes: Vec<LumaPlane> = pictures_of_file(film, 30)
            .expect("GStreamer works")
            .map(|picture| picture.expect("a film that can be decoded").luma)
            .collect();
        whole.push(ms(process().saturating_sub(begun)) / frames);
        assert_eq!(planes.len(), pictures as usize, "every picture was looked at");

        reduce.push(ms(reduce_once(size)));
        detect.push(ms(detect_all(&planes)) / frames);
    }
    let decode = median(&bare);
    vec![
        row("bare decode (filesrc, qtdemux, h264parse, avdec_h264, fakesink)", decode, decode),
        row("decode and reduce as `argus-server replay` does", median(&whole), decode),
        row("reduce alone", median(&reduce), decode),
        row("detect alone, on the reduced picture", median(&detect), decode),
    ]
}

/// Decodes the film as fast as it goes, with nothing else: pictures, and processor time of all threads.
pub(crate) fn bare_decode(film: &Path) -> (u32, Duration) {
    gst::init().expect("GStreamer");
    let line = "filesrc name=src ! qtdemux ! h264parse ! avdec_h264 max-threads=1 ! fakesink name=sink sync=false";
    let pipeline = gst::parse::launch(line).expect("the decoder").downcast::<gst::Pipeline>().expect("a pipeline");
    pipeline.by_name("src").expect("the source").set_property("location", film.to_str().expect("a path in UTF-8"));
    let begun = process();
    pipeline.set_state(gst::State::Playing).expect("the decoder starts");
    let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = pipeline.bus().expect("a bus").timed_pop_filtered(gst::ClockTime::from_seconds(120), &wanted);
    assert!(end.is_some_and(|message| message.type_() == gst::MessageType::Eos), "the film was decoded");
    let cost = process().saturating_sub(begun);
    let stats = pipeline.by_name("sink").expect("the sink").property::<gst::Structure>("stats");
    let pictures = stats.get::<u64>("rendered").expect("a count");
    pipeline.set_state(gst::State::Null).expect("the decoder stops");
    (u32::try_from(pictures).expect("a short film"), cost)
}

/// One full picture reduced; the mean over enough of them for the clock.
fn reduce_once((width, height): (u32, u32)) -> Duration {
    const TIMES: u32 = 200;
    // Rows as decoders lay them out, with some bytes of padding.
    let stride = width as usize + 64;
    let plane: Vec<u8> = (0..stride * height as usize).map(|i| u8::try_from(i * 7 % 251).unwrap_or(0)).collect();
    let mut reducer = Reducer::new(width, height);
    let mut memory = Vec::new();
    let begun = thread();
    for _ in 0..TIMES {
        memory = reducer.reduce(&plane, stride, memory).expect("a whole plane").into_pixels();
    }
    std::hint::black_box(&memory);
    thread().saturating_sub(begun) / TIMES
}

fn detect_all(planes: &[LumaPlane]) -> Duration {
    let first = planes.first().expect("pictures");
    let config =
        DetectorConfig { sensitivity: Sensitivity::Medium, frame_rate: 15.0, mask: MotionMask::from_zones(&[]) };
    let mut detector = Detector::new(first.width(), first.height(), &config);
    let begun = thread();
    for plane in planes {
        std::hint::black_box(detector.feed(plane).expect("planes of one size"));
    }
    thread().saturating_sub(begun)
}

/// What is done while a camera runs: receiving, stills, clips. The film plays in real time.
async fn live_stages(options: &Options, films: &Films, film: &Path) -> Vec<Vec<String>> {
    let (pictures, cost) = bare_decode(film);
    let decode = ms(cost) / f64::from(pictures);
    let feeds = Feeds::new(FeedsConfig {
        media_dirs: vec![films.dir.path().to_owned()],
        temp_dir: films.dir.path().to_owned(),
        clock: Arc::new(Wall),
        gate: GateMode::Off,
    })
    .expect("GStreamer works");
    let keep = Duration::from_secs(12);
    let mut feed = feeds.open(FeedPlan {
        camera_id: CameraId::new(Wall.now()),
        source: Source::File { path: film.to_str().expect("a path in UTF-8").to_owned(), looped: true },
        analysis_rate: None,
        keep,
        privacy: argus_core::PrivacyMask::default(),
        trust: argus_core::ports::StreamTrust::Any,
    });
    let handle = feed.handle.clone();
    let reader = tokio::spawn(async move {
        while let Some(item) = feed.stream.next().await {
            assert!(!matches!(item, FeedItem::Dropped { .. }), "nothing is decoded, nothing dropped");
        }
    });

    // Starting is not receiving.
    wait(Duration::from_secs(2)).await;
    let begun = (process(), Instant::now());
    let seconds = options.amount(20).max(13);
    wait(Duration::from_secs(seconds.into())).await;
    let idle = process().saturating_sub(begun.0);
    let rate = handle.state().fps.expect("pictures came");
    let received = idle.as_secs_f64() * 1000.0 / (begun.1.elapsed().as_secs_f64() * rate);
    let idle_share = idle.as_secs_f64() / begun.1.elapsed().as_secs_f64();

    let specs = [StillSpec { max_width: 1280, quality: 85 }, StillSpec { max_width: 640, quality: 85 }];
    let (mut still_cpu, mut still_wall) = (Vec::new(), Vec::new());
    for n in 0..options.amount(24) {
        // All over the last ten seconds: near a key frame and far from one.
        let at = Wall.now().minus(Duration::from_millis(1000 + u64::from(n) * 370 % 9000));
        let begun = (process(), Instant::now());
        let stills = handle.stills(&[at], &specs).await.expect("the ring can be decoded");
        assert_eq!(stills.len(), 1, "one moment, one still");
        let wall = begun.1.elapsed();
        let cpu = process().saturating_sub(begun.0).as_secs_f64() - wall.as_secs_f64() * idle_share;
        still_cpu.push(cpu * 1000.0);
        still_wall.push(ms(wall));
    }

    let (mut clip_cpu, mut clip_pictures) = (Vec::new(), 0.0);
    for _ in 0..options.amount(9).max(3) {
        let until = Wall.now().minus(Duration::from_secs(1));
        let begun = (process(), Instant::now());
        let clip = handle.start_clip(until.minus(Duration::from_secs(10))).await.expect("the ring holds a clip");
        let clip = clip.finish(until).await.expect("a clip");
        let cpu = process().saturating_sub(begun.0).as_secs_f64() - begun.1.elapsed().as_secs_f64() * idle_share;
        clip_cpu.push(cpu * 1000.0);
        clip_pictures = clip.until.since(clip.from).as_secs_f64() * rate;
    }
    handle.stop().await;
    reader.await.expect("the reader ends");
    let clip = median(&clip_cpu);
    vec![
        row("bare decode, with which those below are compared", decode, decode),
        row("receive (read, parse, keep in memory)", received, decode),
        row("still in two sizes from memory: middle", median(&still_cpu), decode),
        row("still: worst", still_cpu.iter().copied().fold(0.0, f64::max), decode),
        row("still: middle, wall time", median(&still_wall), decode),
        row(&format!("clip of {:.0} pictures, whole", clip_pictures), clip, decode),
        row("clip, a picture", clip / clip_pictures, decode),
    ]
}

/// Lets the camera run: here time itself is what is waited for.
pub(crate) async fn wait(time: Duration) {
    tokio::time::sleep(time).await;
}
