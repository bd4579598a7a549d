//! Real encoded video of a [`Scene`]: access units in memory for the RTSP server, MP4 files for `file` cameras.
//!
//! Encoding is dear and sending is cheap, so a loop is encoded once per process and specification and then repeated.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use crate::scene::{Painter, Scene};

/// How a stream is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Video {
    /// H.264, constant quality, no B-frames.
    H264,
    /// H.265, constant quality, no B-frames.
    H265,
    /// JPEG pictures, every one a key frame.
    Mjpeg,
    /// VP8.
    Vp8,
    /// No video at all; the RTSP server then sends sound only.
    None,
}

/// What to encode: codec, size in pixels, pictures a second, distance of key frames in pictures, and the scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClipSpec {
    /// The codec.
    pub video: Video,
    /// Width in pixels, a multiple of 8.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// Pictures a second.
    pub fps: u32,
    /// Pictures from one key frame to the next.
    pub gop: u32,
    /// What is seen.
    pub scene: Scene,
}

impl Default for ClipSpec {
    /// H.264, 640x360 at 15 pictures a second, a key frame every second, a box for 4 of every 12 seconds.
    fn default() -> Self {
        Self {
            video: Video::H264,
            width: 640,
            height: 360,
            fps: 15,
            gop: 15,
            scene: Scene::MovingBox { every_s: 12, for_s: 4 },
        }
    }
}

impl ClipSpec {
    /// Time from one picture to the next, in nanoseconds.
    pub fn frame_ns(&self) -> u64 {
        1_000_000_000 / u64::from(self.fps)
    }
}

/// One coded picture.
#[derive(Debug, Clone)]
pub struct AccessUnit {
    /// Time since the first picture of the loop.
    pub pts: Duration,
    /// Whether decoding can begin here.
    pub key: bool,
    /// The coded bytes: Annex B with parameter sets before every key frame for H.264 and H.265, one whole frame otherwise.
    pub bytes: Bytes,
}

/// One loop of a scene, encoded.
#[derive(Debug)]
pub struct EncodedClip {
    /// What was encoded.
    pub spec: ClipSpec,
    /// The encoder's caps.
    pub caps: gst::Caps,
    /// All pictures in order; the first is a key frame.
    pub access_units: Vec<AccessUnit>,
}

type Cached = Arc<OnceLock<Arc<EncodedClip>>>;

/// Encodes one loop of the scene, or returns the one that this process has encoded already.
pub fn encode_clip(spec: ClipSpec) -> Arc<EncodedClip> {
    static CACHE: OnceLock<Mutex<HashMap<ClipSpec, Cached>>> = OnceLock::new();
    let cell = CACHE
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .entry(spec)
        .or_default()
        .clone();
    cell.get_or_init(|| Arc::new(encode(spec))).clone()
}

/// Writes `seconds` of the scene to an MP4 file, repeating the loop as often as needed. H.264 and H.265 only.
pub fn write_mp4(spec: ClipSpec, seconds: u32, path: &Path) {
    let parser = match spec.video {
        Video::H264 => "h264parse",
        Video::H265 => "h265parse",
        other => panic!("no MP4 of {other:?}"),
    };
    let clip = encode_clip(spec);
    let pipeline =
        launch(&format!("appsrc name=src format=time ! {parser} ! mp4mux faststart=true ! filesink name=file"));
    let file = pipeline.by_name("file").expect("the file sink");
    file.set_property("location", path.to_str().expect("a path in UTF-8"));
    let source = app_src(&pipeline);
    source.set_caps(Some(&clip.caps));
    pipeline.set_state(gst::State::Playing).expect("the muxer starts");
    let total = u64::from(seconds) * u64::from(spec.fps);
    for (index, unit) in (0..total).zip(clip.access_units.iter().cycle()) {
        source
            .push_buffer(buffer(unit, index * spec.frame_ns(), spec.frame_ns()))
            .expect("the muxer takes the picture");
    }
    source.end_of_stream().expect("the end of the file");
    finish(&pipeline);
}

/// Reads the H.264 pictures of an MP4 file, to be sent as one loop. Its scene is unknown, so the loop has no ground truth.
pub fn read_mp4(path: &Path) -> Arc<EncodedClip> {
    let pipeline = launch(
        "filesrc name=file ! qtdemux ! h264parse config-interval=-1 \
         ! video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=sink sync=false",
    );
    let file = pipeline.by_name("file").expect("the file");
    file.set_property("location", path.to_str().expect("a path in UTF-8"));
    let sink = pipeline.by_name("sink").and_downcast::<gst_app::AppSink>().expect("the sink");
    pipeline.set_state(gst::State::Playing).expect("the file opens");
    let (mut access_units, mut caps) = (Vec::new(), None);
    while let Ok(sample) = sink.pull_sample() {
        let coded = sample.buffer().expect("a coded picture");
        let key = !coded.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let map = coded.map_readable().expect("readable bytes");
        access_units.push(AccessUnit { pts: Duration::ZERO, key, bytes: Bytes::copy_from_slice(&map) });
        caps = caps.or_else(|| sample.caps_owned());
    }
    pipeline.set_state(gst::State::Null).expect("the pipeline stops");
    let caps: gst::Caps = caps.unwrap_or_else(|| panic!("no H.264 in {}", path.display()));
    let format = caps.structure(0).expect("a format");
    let side = |name| u32::try_from(format.get::<i32>(name).expect("a size")).expect("a size");
    let rate = format.get::<gst::Fraction>("framerate").expect("a rate");
    let spec = ClipSpec {
        width: side("width"),
        height: side("height"),
        fps: u32::try_from(rate.numer() / rate.denom()).expect("a rate"),
        scene: Scene::Still,
        ..ClipSpec::default()
    };
    for (unit, index) in access_units.iter_mut().zip(0..) {
        unit.pts = Duration::from_nanos(index * spec.frame_ns());
    }
    Arc::new(EncodedClip { spec, caps, access_units })
}

/// Makes a GStreamer buffer of a coded picture without copying its bytes. Times in nanoseconds.
pub(crate) fn buffer(unit: &AccessUnit, pts_ns: u64, duration_ns: u64) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice(unit.bytes.clone());
    let header = buffer.make_mut();
    header.set_pts(gst::ClockTime::from_nseconds(pts_ns));
    header.set_dts(gst::ClockTime::from_nseconds(pts_ns));
    header.set_duration(gst::ClockTime::from_nseconds(duration_ns));
    if !unit.key {
        header.set_flags(gst::BufferFlags::DELTA_UNIT);
    }
    buffer
}

/// The encoder's part of the pipeline. Scene-cut detection is off, so that key frames come at the wanted distance only.
fn encoder(spec: &ClipSpec) -> String {
    let gop = spec.gop;
    match spec.video {
        Video::H264 => format!(
            "x264enc tune=zerolatency speed-preset=ultrafast pass=quant quantizer=25 bframes=0 threads=1 key-int-max={gop} \
             option-string=scenecut=0 ! h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au"
        ),
        Video::H265 => format!(
            "x265enc tune=zerolatency speed-preset=ultrafast qp=28 key-int-max={gop} \
             option-string=scenecut=0:open-gop=0:bframes=0 ! h265parse config-interval=-1 \
             ! video/x-h265,stream-format=byte-stream,alignment=au"
        ),
        Video::Mjpeg => "jpegenc quality=70".to_owned(),
        Video::Vp8 => format!("vp8enc deadline=1 cpu-used=8 keyframe-max-dist={gop} target-bitrate=1000000"),
        Video::None => panic!("there is nothing to encode without video"),
    }
}

fn encode(spec: ClipSpec) -> EncodedClip {
    gst::init().expect("GStreamer");
    let pipeline = launch(&format!(
        "appsrc name=src format=time block=true max-bytes=8000000 ! {} ! appsink name=sink sync=false",
        encoder(&spec)
    ));
    let source = app_src(&pipeline);
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", i32::try_from(spec.width).expect("a width"))
        .field("height", i32::try_from(spec.height).expect("a height"))
        .field("framerate", gst::Fraction::new(i32::try_from(spec.fps).expect("a rate"), 1))
        .build();
    source.set_caps(Some(&caps));
    let sink = pipeline.by_name("sink").and_downcast::<gst_app::AppSink>().expect("the sink of the encoder");
    pipeline.set_state(gst::State::Playing).expect("the encoder starts");

    let painter = Painter::new(spec.scene, spec.width as usize, spec.height as usize, spec.fps);
    for index in 0..spec.scene.frames(spec.fps) {
        let mut picture = gst::Buffer::from_mut_slice(painter.frame(index));
        let header = picture.make_mut();
        header.set_pts(gst::ClockTime::from_nseconds(index as u64 * spec.frame_ns()));
        header.set_duration(gst::ClockTime::from_nseconds(spec.frame_ns()));
        source.push_buffer(picture).expect("the encoder takes the picture");
    }
    source.end_of_stream().expect("the end of the scene");

    let mut access_units = Vec::new();
    let mut coded_caps = None;
    // The sink's queue has no bound, so that everything can be pushed before anything is taken.
    while let Ok(sample) = sink.pull_sample() {
        let coded = sample.buffer().expect("a coded picture");
        let map = coded.map_readable().expect("readable bytes");
        // The encoders shift time by an hour and more; without B-frames the order says it all.
        let pts = Duration::from_nanos(access_units.len() as u64 * spec.frame_ns());
        let key = !coded.flags().contains(gst::BufferFlags::DELTA_UNIT);
        access_units.push(AccessUnit { pts, key, bytes: Bytes::copy_from_slice(&map) });
        coded_caps = coded_caps.or_else(|| sample.caps_owned());
    }
    finish(&pipeline);
    assert_eq!(access_units.len(), spec.scene.frames(spec.fps), "every picture was encoded");
    assert!(access_units.first().is_some_and(|unit| unit.key), "the clip begins with a key frame");
    EncodedClip { spec, caps: coded_caps.expect("the encoder's caps"), access_units }
}

fn launch(description: &str) -> gst::Pipeline {
    gst::init().expect("GStreamer");
    gst::parse::launch(description)
        .unwrap_or_else(|error| panic!("cannot build `{description}`: {error}"))
        .downcast::<gst::Pipeline>()
        .expect("a pipeline")
}

fn app_src(pipeline: &gst::Pipeline) -> gst_app::AppSrc {
    pipeline.by_name("src").and_downcast::<gst_app::AppSrc>().expect("the source of the pipeline")
}

/// Waits for the end of the stream and takes the pipeline down.
fn finish(pipeline: &gst::Pipeline) {
    let message = pipeline
        .bus()
        .expect("a bus")
        .timed_pop_filtered(gst::ClockTime::from_seconds(60), &[gst::MessageType::Eos, gst::MessageType::Error]);
    let outcome = match message.as_ref().map(|m| m.view()) {
        Some(gst::MessageView::Eos(_)) => Ok(()),
        Some(gst::MessageView::Error(error)) => Err(format!("{} ({:?})", error.error(), error.debug())),
        _ => Err("no end within 60 s".to_owned()),
    };
    pipeline.set_state(gst::State::Null).expect("the pipeline stops");
    if let Err(reason) = outcome {
        panic!("the pipeline failed: {reason}");
    }
}
