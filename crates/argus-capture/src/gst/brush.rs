//! Paints over what a privacy mask hides, on decoded pictures of every format that goes through here.

use argus_core::PrivacyMask;
use gstreamer as gst;
use gstreamer_video::{VideoFrame, VideoFrameExt, VideoInfo};

use crate::CaptureError;
use crate::paint::{BLACK, COLOURLESS, Cover, Layout};

/// What is known of the pictures of the last format and mask.
struct Known {
    caps: gst::Caps,
    mask: PrivacyMask,
    info: VideoInfo,
    cover: Cover,
}

/// Paints pictures; remembers what it worked out for the last one.
#[derive(Default)]
pub(crate) struct Brush(Option<Known>);

impl Brush {
    /// The picture as it may be shown: itself when nothing is hidden, else a painted copy.
    ///
    /// What cannot be painted is an error: a picture that should be painted leaves this painted or not at all.
    pub(crate) fn paint(&mut self, sample: &gst::Sample, mask: &PrivacyMask) -> Result<gst::Buffer, CaptureError> {
        let bad = || CaptureError::Decode("a picture could not be painted over".to_owned());
        let buffer = sample.buffer().ok_or_else(bad)?;
        if mask.is_empty() {
            return Ok(buffer.to_owned());
        }
        let caps = sample.caps_owned().ok_or_else(bad)?;
        let known = match self.0.take() {
            Some(known) if known.caps == caps && known.mask == *mask => known,
            _ => {
                let info = VideoInfo::from_caps(&caps).map_err(|e| CaptureError::Pipeline("read", e.into()))?;
                let side = |v: u32| usize::try_from(v).unwrap_or(0);
                let cover = Cover::new(mask, side(info.width()), side(info.height()));
                Known { caps, mask: mask.clone(), info, cover }
            }
        };
        let known = self.0.insert(known);
        // The decoder still needs its own copy: other pictures are made of it.
        let copy = buffer.copy_deep().map_err(|e| CaptureError::Pipeline("read", e.into()))?;
        let mut frame = VideoFrame::from_buffer_writable(copy, &known.info).map_err(|_refused| bad())?;
        paint(&mut frame, &known.info, &known.cover).ok_or_else(bad)?;
        Ok(frame.into_buffer())
    }
}

fn paint(
    frame: &mut VideoFrame<gstreamer_video::video_frame::Writable>,
    info: &VideoInfo,
    cover: &Cover,
) -> Option<()> {
    let format = info.format_info();
    for component in 0..usize::try_from(format.n_components()).ok()? {
        let plane = *format.plane().get(component)?;
        let stride = *frame.plane_stride().get(usize::try_from(plane).ok()?)?;
        let at = Layout {
            stride: usize::try_from(stride).ok()?,
            offset: usize::try_from(*format.poffset().get(component)?).ok()?,
            step: usize::try_from(*format.pixel_stride().get(component)?).ok()?,
            x_shift: *format.w_sub().get(component)?,
            y_shift: *format.h_sub().get(component)?,
            paint: if component == 0 { BLACK } else { COLOURLESS },
        };
        cover.paint(frame.plane_data_mut(plane).ok()?, at)?;
    }
    Some(())
}
