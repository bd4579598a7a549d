//! The pictures of a video file, as fast as they can be decoded and the same on every run.

use std::path::Path;

use argus_core::{Picture, Timestamp};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;

use crate::CaptureError;
use crate::gst::decode::{raw_caps, take_padded};
use crate::gst::element::{Running, filter, make, start};
use crate::gst::motion::Shrink;
use crate::thin::Thin;

/// A file that gives nothing for so long is given up.
const PATIENCE: u32 = 600;
const STEP: gst::ClockTime = gst::ClockTime::from_mseconds(50);

/// Decodes a video file of any kind that GStreamer can read and answers its pictures, reduced for motion detection and
/// thinned to `rate` a second (0 counts as 1). None is dropped. The first moment of the file is 1970-01-01T00:00:00Z.
///
/// Blocks while it decodes: not for a thread of an async runtime.
///
/// # Errors
/// `Start`, `MissingElement` and `Pipeline` when GStreamer is not in order. What is wrong with the file comes from the
/// iterator, as its last item.
pub fn pictures_of_file(
    path: &Path,
    rate: u8,
) -> Result<impl Iterator<Item = Result<Picture, CaptureError>> + Send + use<>, CaptureError> {
    start()?;
    FilePictures::new(path, rate)
}

struct FilePictures {
    running: Running,
    sink: AppSink,
    thin: Thin,
    shrink: Shrink,
    size: Option<(u32, u32)>,
    session: u64,
    over: bool,
}

impl FilePictures {
    fn new(path: &Path, rate: u8) -> Result<Self, CaptureError> {
        let running = Running::new();
        let src = make("filesrc")?;
        src.set_property("location", path);
        let decode = make("decodebin")?;
        let convert = make("videoconvert")?;
        let sink = AppSink::builder().sync(false).max_buffers(4).enable_last_sample(false).build();
        take_padded(&sink);
        running.chain(&[&src, &decode])?;
        running.chain(&[&convert, &filter(&raw_caps())?, sink.upcast_ref()])?;
        let entry = convert.static_pad("sink");
        decode.connect_pad_added(move |_, pad| {
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            let video = caps.structure(0).is_some_and(|s| s.name().starts_with("video/"));
            if let Some(entry) = entry.as_ref().filter(|e| video && !e.is_linked()) {
                // A pad that does not fit leaves the picture out; the bus tells.
                let _ = pad.link(entry);
            }
        });
        running.play()?;
        Ok(Self {
            running,
            sink,
            thin: Thin::new(rate),
            shrink: Shrink::default(),
            size: None,
            session: 1,
            over: false,
        })
    }

    fn next_sample(&self) -> Option<Result<gst::Sample, CaptureError>> {
        let bus = self.running.pipeline().bus()?;
        for _ in 0..PATIENCE {
            if let Some(sample) = self.sink.try_pull_sample(STEP) {
                return Some(Ok(sample));
            }
            if self.sink.is_eos() {
                return None;
            }
            let wanted = [gst::MessageType::Error, gst::MessageType::Eos];
            match bus.pop_filtered(&wanted).as_deref().map(gst::MessageRef::view) {
                Some(gst::MessageView::Error(e)) => {
                    return Some(Err(CaptureError::Decode(e.error().message().trim_end_matches('.').to_owned())));
                }
                Some(gst::MessageView::Eos(_)) => return None,
                _ => {}
            }
        }
        Some(Err(CaptureError::Decode("the file gives no picture".to_owned())))
    }

    fn picture(&mut self, sample: &gst::Sample) -> Option<Result<Picture, CaptureError>> {
        let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
        let time = segment.to_running_time(sample.buffer()?.pts()?)?;
        let pts_us = i64::try_from(time.useconds()).ok()?;
        if !self.thin.take(pts_us) {
            return None;
        }
        Some(self.shrink.reduce(sample).map(|(luma, full_size)| {
            if self.size.replace(full_size).is_some_and(|before| before != full_size) {
                self.session += 1;
            }
            Picture { taken_at: Timestamp::from_micros(pts_us), luma, full_size, session: self.session }
        }))
    }
}

impl Iterator for FilePictures {
    type Item = Result<Picture, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.over {
            let item = match self.next_sample() {
                Some(Ok(sample)) => self.picture(&sample),
                Some(Err(e)) => Some(Err(e)),
                None => {
                    self.over = true;
                    let empty = || CaptureError::Decode("the file has no video track".to_owned());
                    return self.size.is_none().then(|| Err(empty()));
                }
            };
            if let Some(item) = item {
                self.over = item.is_err();
                return Some(item);
            }
        }
        None
    }
}
