//! JPEGs of raw pictures.

use argus_core::ports::StillSpec;
use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

use crate::CaptureError;
use crate::gst::element::{Running, filter, make};

/// Scales and encodes pictures of one format.
#[derive(Debug)]
pub(crate) struct Jpeg {
    _running: Running,
    src: AppSrc,
    sink: AppSink,
    caps: gst::Caps,
    size: (u32, u32),
}

impl Jpeg {
    /// An encoder for pictures of the format of `caps`.
    pub(crate) fn new(caps: gst::Caps, spec: StillSpec) -> Result<Self, CaptureError> {
        let info =
            gstreamer_video::VideoInfo::from_caps(&caps).map_err(|e| CaptureError::Pipeline("built", e.into()))?;
        let size = fit(info.width(), info.height(), spec.max_width);
        let side = |v: u32| i32::try_from(v).unwrap_or(i32::MAX);
        let scaled =
            gst::Caps::builder("video/x-raw").field("width", side(size.0)).field("height", side(size.1)).build();
        let src = AppSrc::builder().caps(&caps).format(gst::Format::Time).build();
        let scale = make("videoconvertscale")?;
        scale.set_property("add-borders", false);
        let encoder = make("jpegenc")?;
        encoder.set_property("quality", i32::from(spec.quality.clamp(40, 95)));
        let sink = AppSink::builder().sync(false).async_(false).enable_last_sample(false).build();
        let running = Running::new();
        running.chain(&[src.upcast_ref(), &scale, &filter(&scaled)?, &encoder, sink.upcast_ref()])?;
        running.play()?;
        Ok(Self { _running: running, src, sink, caps, size })
    }

    /// Whether it was made for that format.
    pub(crate) fn takes(&self, caps: &gst::CapsRef) -> bool {
        *self.caps == *caps
    }

    /// Width and height of what comes out.
    pub(crate) fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Encodes one picture.
    pub(crate) fn encode(&self, buffer: gst::Buffer) -> Result<Bytes, CaptureError> {
        let failed = || CaptureError::Decode("a picture could not be made into a JPEG".to_owned());
        self.src.push_buffer(buffer).map_err(|_flow: gst::FlowError| failed())?;
        let coded = self.sink.try_pull_sample(gst::ClockTime::from_seconds(5)).ok_or_else(failed)?;
        let map =
            coded.buffer().ok_or_else(failed)?.map_readable().map_err(|e| CaptureError::Pipeline("read", e.into()))?;
        Ok(Bytes::copy_from_slice(&map))
    }
}

/// The size within `max_width`, in proportion, never larger than the picture.
fn fit(width: u32, height: u32, max_width: u32) -> (u32, u32) {
    if width <= max_width || max_width == 0 {
        return (width, height);
    }
    let scaled = (u64::from(height) * u64::from(max_width) + u64::from(width) / 2) / u64::from(width.max(1));
    (max_width, u32::try_from(scaled).unwrap_or(height).max(1))
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn scaled_down_in_proportion_and_never_up() {
        assert_eq!(fit(1920, 1080, 320), (320, 180));
        assert_eq!(fit(640, 360, 1280), (640, 360));
        assert_eq!(fit(704, 576, 320), (320, 262));
        assert_eq!(fit(3000, 1, 64), (64, 1));
    }
}
