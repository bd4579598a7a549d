//! Elements and pipelines: made by name and property, never from text, and always brought to `Null`.

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::ring::Codec;
use crate::{CaptureError, error::Cause};

/// Elements without which nothing works, checked at the start.
const NEEDED: &[&str] = &[
    "appsrc",
    "appsink",
    "capsfilter",
    "fakesink",
    "filesrc",
    "filesink",
    "decodebin",
    "parsebin",
    "videoconvert",
    "videoconvertscale",
    "h264parse",
    "h265parse",
    "h264timestamper",
    "h265timestamper",
    "rtspsrc",
    "rtph264depay",
    "rtph265depay",
    "mp4mux",
    "jpegenc",
    "jpegdec",
    "v4l2src",
];

/// The Debian package of an element.
fn package(element: &str) -> &'static str {
    match element {
        "h264parse" | "h265parse" | "h264timestamper" | "h265timestamper" | "openh264enc" | "openh264dec" => {
            "gstreamer1.0-plugins-bad"
        }
        "x264enc" => "gstreamer1.0-plugins-ugly",
        "rtspsrc" | "mp4mux" | "jpegenc" | "jpegdec" | "v4l2src" => "gstreamer1.0-plugins-good",
        "capsfilter" | "fakesink" | "filesrc" | "filesink" => "libgstreamer1.0-0",
        e if e.starts_with("rtp") => "gstreamer1.0-plugins-good",
        e if e.starts_with("avdec_") => "gstreamer1.0-libav",
        _ => "gstreamer1.0-plugins-base",
    }
}

/// Starts GStreamer, once, and makes sure that what is always needed is installed.
pub(crate) fn start() -> Result<(), CaptureError> {
    gst::init().map_err(|e| CaptureError::Start(e.into()))?;
    for name in NEEDED {
        if gst::ElementFactory::find(name).is_none() {
            return Err(missing(name));
        }
    }
    for codec in [Codec::H264, Codec::H265] {
        let name = match codec {
            Codec::H264 => "avdec_h264",
            Codec::H265 => "avdec_h265",
        };
        // openh264dec takes twice the time of libav's decoder.
        if let Some(factory) = gst::ElementFactory::find(name) {
            factory.set_rank(gst::Rank::PRIMARY);
        }
        if decoders(codec).is_empty() {
            return Err(missing(name));
        }
    }
    if let Some(factory) = gst::ElementFactory::find("openh264dec") {
        factory.set_rank(gst::Rank::MARGINAL);
    }
    Ok(())
}

fn missing(name: &str) -> CaptureError {
    CaptureError::MissingElement { element: name.to_owned(), package: package(name) }
}

/// Makes an element.
pub(crate) fn make(name: &str) -> Result<gst::Element, CaptureError> {
    gst::ElementFactory::make(name).build().map_err(|_missing: gst::glib::BoolError| missing(name))
}

/// Makes a filter that lets only `caps` through.
pub(crate) fn filter(caps: &gst::Caps) -> Result<gst::Element, CaptureError> {
    let element = make("capsfilter")?;
    element.set_property("caps", caps);
    Ok(element)
}

/// Whole access units, as the ring holds them.
pub(crate) fn unit_caps(codec: Codec) -> gst::Caps {
    let name = match codec {
        Codec::H264 => "video/x-h264",
        Codec::H265 => "video/x-h265",
    };
    gst::Caps::builder(name).field("stream-format", "byte-stream").field("alignment", "au").build()
}

/// The parser of a codec.
pub(crate) fn parser(codec: Codec) -> Result<gst::Element, CaptureError> {
    make(match codec {
        Codec::H264 => "h264parse",
        Codec::H265 => "h265parse",
    })
}

/// Gives units that have none their times of decoding.
pub(crate) fn timestamper(codec: Codec) -> Result<gst::Element, CaptureError> {
    make(match codec {
        Codec::H264 => "h264timestamper",
        Codec::H265 => "h265timestamper",
    })
}

/// An H.264 encoder, for sources that do not encode themselves and for clips that are painted over: constant quality, a
/// key frame every two seconds at 15 pictures a second, no delay.
///
/// x264 where its plugin is installed, as it makes half the bytes; it is under the GPL and loaded at run time, as any
/// other plugin. Else openh264, which is under the BSD licence.
pub(crate) fn encoder() -> Result<gst::Element, CaptureError> {
    if let Ok(x264) = make("x264enc") {
        x264.set_property_from_str("tune", "zerolatency");
        x264.set_property_from_str("speed-preset", "superfast");
        x264.set_property_from_str("pass", "qual");
        x264.set_property_from_str("quantizer", "23");
        x264.set_property_from_str("key-int-max", "30");
        x264.set_property_from_str("threads", "1");
        return Ok(x264);
    }
    let openh264 = make("openh264enc")?;
    openh264.set_property_from_str("gop-size", "30");
    openh264.set_property_from_str("complexity", "low");
    openh264.set_property_from_str("rate-control", "quality");
    Ok(openh264)
}

/// Decoders that take whole access units of that codec, best rank first.
pub(crate) fn decoders(codec: Codec) -> Vec<gst::ElementFactory> {
    let kind = gst::ElementFactoryType::DECODER | gst::ElementFactoryType::MEDIA_VIDEO;
    let caps = unit_caps(codec);
    let mut found: Vec<gst::ElementFactory> = gst::ElementFactory::factories_with_type(kind, gst::Rank::MARGINAL)
        .into_iter()
        .filter(|f| f.can_sink_any_caps(&caps) && !f.klass_is_bin())
        .collect();
    found.sort_by_key(|f| std::cmp::Reverse(f.rank()));
    found
}

trait Klass {
    fn klass_is_bin(&self) -> bool;
}

impl Klass for gst::ElementFactory {
    /// Bins that choose decoders by themselves would choose behind our back.
    fn klass_is_bin(&self) -> bool {
        self.metadata("klass").is_some_and(|k| k.contains("Bin"))
    }
}

/// A pipeline that goes to `Null` when it is dropped: threads, sockets and descriptors are gone after that.
#[derive(Debug)]
pub(crate) struct Running(gst::Pipeline);

impl Running {
    pub(crate) fn new() -> Self {
        Self(gst::Pipeline::new())
    }

    pub(crate) fn pipeline(&self) -> &gst::Pipeline {
        &self.0
    }

    /// Adds elements and links them in that order.
    pub(crate) fn chain(&self, elements: &[&gst::Element]) -> Result<(), CaptureError> {
        let failed = |e: gst::glib::BoolError| CaptureError::Pipeline("built", Cause::from(e));
        self.0.add_many(elements).map_err(failed)?;
        gst::Element::link_many(elements).map_err(failed)
    }

    pub(crate) fn play(&self) -> Result<(), CaptureError> {
        self.0.set_state(gst::State::Playing).map(|_| ()).map_err(|e| CaptureError::Pipeline("started", Cause::from(e)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing can be done about a pipeline that refuses; it is released all the same.
        let _ = self.0.set_state(gst::State::Null);
        if let Some(bus) = self.0.bus() {
            bus.unset_sync_handler();
        }
    }
}
