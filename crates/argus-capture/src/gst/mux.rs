//! Writes access units into an MP4 file, as they are.

use std::path::Path;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;
use tempfile::TempPath;

use crate::CaptureError;
use crate::gst::element::{Running, filter, make, parser, unit_caps};
use crate::ring::{AccessUnit, Codec};

/// How long completing a file may take.
const FINISH_MAX: gst::ClockTime = gst::ClockTime::from_seconds(60);

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Mux {
    running: Running,
    src: AppSrc,
    path: TempPath,
    /// Where the media lies until the index can be put before it; the muxer removes it by itself when all goes well.
    _beside: TempPath,
    base_us: i64,
}

impl Mux {
    /// Begins a file in `dir` whose times begin with `first`.
    pub(crate) fn new(first: &AccessUnit, dir: &Path) -> Result<Self, CaptureError> {
        let temp = |suffix| {
            tempfile::Builder::new()
                .prefix("clip-")
                .suffix(suffix)
                .tempfile_in(dir)
                .map(tempfile::NamedTempFile::into_temp_path)
                .map_err(|e| CaptureError::File("the clip cannot be written", e))
        };
        let (path, beside) = (temp(".mp4")?, temp(".part")?);
        let codec = first.format.codec;
        // What browsers want: the parameter sets in the box that describes the track.
        let boxed = match codec {
            Codec::H264 => gst::Caps::builder("video/x-h264").field("stream-format", "avc"),
            Codec::H265 => gst::Caps::builder("video/x-h265").field("stream-format", "hvc1"),
        };
        let boxed = boxed.field("alignment", "au").build();
        let src = AppSrc::builder().caps(&unit_caps(codec)).format(gst::Format::Time).max_bytes(0).build();
        let mux = make("mp4mux")?;
        mux.set_property("faststart", true);
        mux.set_property("faststart-file", text(&beside)?);
        let sink = make("filesink")?;
        sink.set_property("location", text(&path)?);
        sink.set_property("async", false);
        let running = Running::new();
        running.chain(&[src.upcast_ref(), &parser(codec)?, &filter(&boxed)?, &mux, &sink])?;
        running.play()?;
        let base_us = first.dts_us.map_or(first.pts_us, |dts| dts.min(first.pts_us));
        Ok(Self { running, src, path, _beside: beside, base_us })
    }

    /// Hands over a unit; never waits.
    pub(crate) fn push(&self, unit: &AccessUnit) -> bool {
        let time = |us: i64| u64::try_from(us.saturating_sub(self.base_us)).ok().map(gst::ClockTime::from_useconds);
        let mut buffer = gst::Buffer::from_slice(unit.data.clone());
        if let Some(b) = buffer.get_mut() {
            b.set_pts(time(unit.pts_us));
            b.set_dts(unit.dts_us.and_then(time));
            if !unit.key {
                b.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        }
        self.src.push_buffer(buffer).is_ok()
    }

    /// Bytes that wait to be written.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.src.current_level_bytes()
    }

    /// Completes the file; blocks until it is whole.
    pub(crate) fn finish(self) -> Result<TempPath, CaptureError> {
        let failed = |what: &str| CaptureError::Pipeline("completed", what.to_owned().into());
        self.src.end_of_stream().map_err(|e| failed(&e.to_string()))?;
        let bus = self.running.pipeline().bus().ok_or_else(|| failed("it has no bus"))?;
        let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
        match bus.timed_pop_filtered(FINISH_MAX, &wanted).as_deref().map(gst::MessageRef::view) {
            Some(gst::MessageView::Eos(_)) => Ok(self.path),
            Some(gst::MessageView::Error(e)) => Err(failed(&e.error().to_string())),
            _ => Err(failed("it took too long")),
        }
    }
}

fn text(path: &Path) -> Result<&str, CaptureError> {
    let odd = || std::io::Error::new(std::io::ErrorKind::InvalidFilename, "the name is not UTF-8");
    path.to_str().ok_or_else(|| CaptureError::File("the clip cannot be written", odd()))
}
