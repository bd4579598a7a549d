//! A chain of elements that works on the thread that feeds it, so that it runs with that thread's priority.

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::CaptureError;
use crate::gst::element::Running;

/// A running pipeline whose first element is fed by hand.
#[derive(Debug)]
pub(crate) struct Inline {
    running: Running,
    entry: gst::Pad,
}

impl Inline {
    /// Starts `running`, whose `first` element gets buffers of the format `caps`.
    pub(crate) fn start(running: Running, first: &gst::Element, caps: &gst::Caps) -> Result<Self, CaptureError> {
        let entry = first.static_pad("sink").ok_or_else(|| CaptureError::Pipeline("linked", "no pad".into()))?;
        running.play()?;
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        let opening = entry.send_event(gst::event::StreamStart::new("argus"))
            && entry.send_event(gst::event::Caps::new(caps))
            && entry.send_event(gst::event::Segment::new(&segment));
        if !opening {
            return Err(CaptureError::Pipeline("started", "it does not take the format".into()));
        }
        Ok(Self { running, entry })
    }

    /// Works on a buffer; returns when the elements have done what they do at once.
    pub(crate) fn push(&self, buffer: gst::Buffer) -> Result<(), CaptureError> {
        self.entry.chain(buffer).map(drop).map_err(|e| CaptureError::Pipeline("fed", e.into()))
    }

    /// Nothing more comes: what the elements still hold comes out.
    pub(crate) fn end(&self) -> bool {
        self.entry.send_event(gst::event::Eos::new())
    }

    pub(crate) fn bus(&self) -> Option<gst::Bus> {
        self.running.pipeline().bus()
    }
}
