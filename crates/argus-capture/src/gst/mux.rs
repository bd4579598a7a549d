//! Writes an MP4 file: access units as they are, or pictures that are encoded.

use std::path::Path;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;
use tempfile::TempPath;

use crate::CaptureError;
use crate::gst::element::{Running, encoder, filter, make, parser, timestamper, unit_caps};
use crate::gst::inline::Inline;
use crate::ring::{AccessUnit, Codec};

/// How long completing a file may take.
const FINISH_MAX: gst::ClockTime = gst::ClockTime::from_seconds(60);

/// What a file is fed by.
#[derive(Debug)]
enum Entry {
    /// Access units, on a thread of GStreamer.
    Units(Running, AppSrc),
    /// Pictures, on the thread that brings them.
    Pictures(Inline),
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Mux {
    entry: Entry,
    path: TempPath,
    /// Where the media lies until the index can be put before it; the muxer removes it by itself when all goes well.
    _beside: TempPath,
    base_us: i64,
}

/// What became of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It is on its way into the file.
    Taken,
    /// It is shown before the first picture of the file, and needs pictures that are not in it.
    Skipped,
    /// The file takes nothing any more.
    Refused,
}

impl Mux {
    /// Begins a file in `dir` that takes units as they are; its times begin with `first`.
    pub(crate) fn of_units(first: &AccessUnit, dir: &Path) -> Result<Self, CaptureError> {
        let codec = first.format.codec;
        let src = AppSrc::builder().caps(&unit_caps(codec)).format(gst::Format::Time).max_bytes(0).build();
        let files = Files::new(dir)?;
        let (running, parser) = (Running::new(), parser(codec)?);
        let [boxed, mux, sink] = files.tail(codec)?;
        let mut chain = vec![src.clone().upcast(), parser, boxed];
        if first.dts_us.is_none() {
            // Without times of decoding, pictures that are coded in another order than they are shown would be
            // played in the order in which they are coded.
            chain.push(timestamper(codec)?);
        }
        chain.extend([mux, sink]);
        running.chain(&chain.iter().collect::<Vec<_>>())?;
        running.play()?;
        let base_us = first.dts_us.map_or(first.pts_us, |dts| dts.min(first.pts_us));
        Ok(files.taken_by(Entry::Units(running, src), base_us))
    }

    /// Begins a file in `dir` that encodes pictures of the format `caps`; its times begin at `base_us`.
    pub(crate) fn of_pictures(caps: &gst::Caps, base_us: i64, dir: &Path) -> Result<Self, CaptureError> {
        let files = Files::new(dir)?;
        let (running, convert) = (Running::new(), make("videoconvert")?);
        let i420 = gst::Caps::builder("video/x-raw").field("format", "I420").build();
        let chain = [convert.clone(), filter(&i420)?, encoder()?, parser(Codec::H264)?];
        running.chain(&chain.iter().chain(&files.tail(Codec::H264)?).collect::<Vec<_>>())?;
        let inline = Inline::start(running, &convert, caps)?;
        Ok(files.taken_by(Entry::Pictures(inline), base_us))
    }

    /// A moment of the stream's clock as one of the file; `None` before its beginning.
    fn time(&self, us: i64) -> Option<gst::ClockTime> {
        u64::try_from(us.saturating_sub(self.base_us)).ok().map(gst::ClockTime::from_useconds)
    }

    /// Hands over a unit; never waits.
    pub(crate) fn push(&self, unit: &AccessUnit) -> Pushed {
        let Entry::Units(_, src) = &self.entry else { return Pushed::Refused };
        let Some(pts) = self.time(unit.pts_us) else { return Pushed::Skipped };
        let mut buffer = gst::Buffer::from_slice(unit.data.clone());
        if let Some(b) = buffer.get_mut() {
            b.set_pts(pts);
            b.set_dts(unit.dts_us.and_then(|us| self.time(us)));
            if !unit.key {
                b.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        }
        if src.push_buffer(buffer).is_ok() { Pushed::Taken } else { Pushed::Refused }
    }

    /// Encodes a picture; returns when that is done.
    pub(crate) fn push_picture(&self, mut picture: gst::Buffer, pts_us: i64) -> Result<(), CaptureError> {
        let Entry::Pictures(inline) = &self.entry else {
            return Err(CaptureError::Pipeline("fed", "it takes no pictures".into()));
        };
        let b = picture.make_mut();
        b.set_pts(self.time(pts_us));
        b.set_dts(gst::ClockTime::NONE);
        b.set_duration(gst::ClockTime::NONE);
        inline.push(picture)
    }

    /// Bytes that wait to be written.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        match &self.entry {
            Entry::Units(_, src) => src.current_level_bytes(),
            Entry::Pictures(_) => 0,
        }
    }

    /// Completes the file; blocks until it is whole.
    pub(crate) fn finish(self) -> Result<TempPath, CaptureError> {
        let failed = |what: &str| CaptureError::Pipeline("completed", what.to_owned().into());
        let bus = match &self.entry {
            Entry::Units(running, src) => {
                src.end_of_stream().map_err(|e| failed(&e.to_string()))?;
                running.pipeline().bus()
            }
            Entry::Pictures(inline) => {
                inline.end();
                inline.bus()
            }
        };
        let bus = bus.ok_or_else(|| failed("it has no bus"))?;
        let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
        match bus.timed_pop_filtered(FINISH_MAX, &wanted).as_deref().map(gst::MessageRef::view) {
            Some(gst::MessageView::Eos(_)) => Ok(self.path),
            Some(gst::MessageView::Error(e)) => Err(failed(&e.error().to_string())),
            _ => Err(failed("it took too long")),
        }
    }
}

/// The places that writing a file needs.
struct Files {
    path: TempPath,
    beside: TempPath,
}

impl Files {
    fn new(dir: &Path) -> Result<Self, CaptureError> {
        let temp = |suffix| {
            tempfile::Builder::new()
                .prefix("clip-")
                .suffix(suffix)
                .tempfile_in(dir)
                .map(tempfile::NamedTempFile::into_temp_path)
                .map_err(|e| CaptureError::File("the clip cannot be written", e))
        };
        Ok(Self { path: temp(".mp4")?, beside: temp(".part")? })
    }

    /// From parsed units to the file.
    fn tail(&self, codec: Codec) -> Result<[gst::Element; 3], CaptureError> {
        // What browsers want: the parameter sets in the box that describes the track.
        let boxed = match codec {
            Codec::H264 => gst::Caps::builder("video/x-h264").field("stream-format", "avc"),
            Codec::H265 => gst::Caps::builder("video/x-h265").field("stream-format", "hvc1"),
        };
        let mux = make("mp4mux")?;
        mux.set_property("faststart", true);
        mux.set_property("faststart-file", text(&self.beside)?);
        let sink = make("filesink")?;
        sink.set_property("location", text(&self.path)?);
        sink.set_property("async", false);
        Ok([filter(&boxed.field("alignment", "au").build())?, mux, sink])
    }

    fn taken_by(self, entry: Entry, base_us: i64) -> Mux {
        Mux { entry, path: self.path, _beside: self.beside, base_us }
    }
}

fn text(path: &Path) -> Result<&str, CaptureError> {
    let odd = || std::io::Error::new(std::io::ErrorKind::InvalidFilename, "the name is not UTF-8");
    path.to_str().ok_or_else(|| CaptureError::File("the clip cannot be written", odd()))
}
