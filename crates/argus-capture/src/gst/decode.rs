//! Decoding on demand: access units in, raw pictures out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};
use gstreamer_video::{VideoBufferPool, VideoInfo, VideoMeta};

use crate::CaptureError;
use crate::gst::element::{Running, decoders, filter, make, unit_caps};
use crate::ring::{AccessUnit, Codec};

/// Formats whose first plane is 8-bit luma: they go through untouched, everything else is converted to one of them.
const LUMA_FIRST: [&str; 7] = ["I420", "NV12", "YV12", "NV21", "Y42B", "Y444", "GRAY8"];

/// Pictures may be coded in another order than they are shown, so the first one gets room before it.
const LEAD_US: i64 = 10_000_000;

/// Raw pictures with 8-bit luma in the first plane.
pub(crate) fn raw_caps() -> gst::Caps {
    gst::Caps::builder("video/x-raw").field("format", gst::List::new(LUMA_FIRST)).build()
}

/// A decoder and what feeds it.
#[derive(Debug)]
pub(crate) struct Decode {
    _running: Running,
    src: AppSrc,
    sink: AppSink,
    failed: Arc<AtomicBool>,
    base_us: i64,
}

impl Decode {
    /// A running decoder for units whose times begin near `base_us`. `nth`: which of the decoders found, best first. With
    /// `callbacks`, which must only read, pictures come as they lie in the decoder's memory.
    pub(crate) fn new(
        codec: Codec,
        base_us: i64,
        nth: usize,
        callbacks: Option<AppSinkCallbacks>,
    ) -> Result<Self, CaptureError> {
        let decoder = make_decoder(codec, nth)?;
        let caps = unit_caps(codec);
        let src = AppSrc::builder().caps(&caps).format(gst::Format::Time).max_bytes(0).build();
        let mut sink = AppSink::builder().sync(false).async_(false).max_buffers(4).enable_last_sample(false);
        let is_read_only = callbacks.is_some();
        if let Some(callbacks) = callbacks {
            sink = sink.callbacks(callbacks);
        }
        let sink = sink.build();
        if is_read_only {
            take_padded(&sink);
        }
        let running = Running::new();
        running.chain(&[
            src.upcast_ref(),
            &decoder,
            &make("videoconvert")?,
            &filter(&raw_caps())?,
            sink.upcast_ref(),
        ])?;
        let failed = Arc::new(AtomicBool::new(false));
        if let Some(bus) = running.pipeline().bus() {
            let failed = failed.clone();
            bus.set_sync_handler(move |_, message| {
                if message.type_() == gst::MessageType::Error {
                    failed.store(true, Ordering::Release);
                }
                gst::BusSyncReply::Drop
            });
        }
        running.play()?;
        Ok(Self { _running: running, src, sink, failed, base_us })
    }

    /// Hands over a unit; never waits. Whether it was taken.
    pub(crate) fn push(&self, unit: &AccessUnit) -> bool {
        self.src.push_buffer(coded(unit, self.base_us)).is_ok()
    }

    /// Nothing more comes: what the decoder still holds is to come out.
    pub(crate) fn end(&self) {
        // A pipeline that has failed refuses; that is seen by `failed`.
        let _ = self.src.end_of_stream();
    }

    /// Units that wait to be decoded.
    pub(crate) fn waiting(&self) -> u64 {
        self.src.current_level_buffers()
    }

    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// The next picture with its time on the stream's clock; `None` at the end, or when nothing came for `patience`.
    pub(crate) fn pull(&self, patience: gst::ClockTime) -> Option<(gst::Sample, i64)> {
        let step = gst::ClockTime::from_mseconds(50);
        let mut waited = gst::ClockTime::ZERO;
        loop {
            if let Some(sample) = self.sink.try_pull_sample(step) {
                let pts_us = stream_us(sample.buffer()?.pts()?, self.base_us);
                return Some((sample, pts_us));
            }
            waited += step;
            if self.sink.is_eos() || self.failed() || waited >= patience {
                return None;
            }
        }
    }

    /// Whether everything came out; waits at most `patience`. For a decoder with callbacks.
    pub(crate) fn drain(&self, patience: std::time::Duration) {
        self.end();
        let start = std::time::Instant::now();
        while !self.sink.is_eos() && !self.failed() && start.elapsed() < patience {
            std::thread::park_timeout(std::time::Duration::from_millis(2));
        }
    }
}

/// Tells a decoder that rows may be as far apart, and begin as far in, as its own pictures have them, and gives it a pool
/// of such pictures. Without both, libav's copies every picture whose coded size is not its own (1080 rows are coded as
/// 1088) into one without gaps.
///
/// For readers only: what is handed on then may be a picture from which the decoder makes the next.
pub(crate) fn take_padded(sink: &AppSink) {
    let Some(pad) = sink.static_pad("sink") else { return };
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| {
        let Some(query) = info.query_mut() else { return gst::PadProbeReturn::Ok };
        let gst::QueryViewMut::Allocation(wishes) = query.view_mut() else { return gst::PadProbeReturn::Ok };
        wishes.add_allocation_meta::<VideoMeta>(None);
        // A pool that can place rows as the decoder wants them: it decodes into its buffers and hands these on.
        let info = wishes.get_owned().0.and_then(|caps| VideoInfo::from_caps(&caps).ok());
        if let Some(size) = info.and_then(|info| u32::try_from(info.size()).ok()) {
            wishes.add_allocation_pool(Some(&VideoBufferPool::new()), size, 0, 0);
        }
        // An appsink has nothing to add.
        gst::PadProbeReturn::Handled
    });
}

/// The decoder number `nth` of those found for a codec, best first; after the last comes the first again.
pub(crate) fn make_decoder(codec: Codec, nth: usize) -> Result<gst::Element, CaptureError> {
    let found = decoders(codec);
    let none = || CaptureError::Decode("no decoder is installed".to_owned());
    let factory = found.get(nth % found.len().max(1)).ok_or_else(none)?;
    let decoder = factory.create().build().map_err(|e| CaptureError::Pipeline("built", e.into()))?;
    // One thread a decoder: a second one costs more in total, and a picture of delay.
    if decoder.find_property("max-threads").is_some() {
        decoder.set_property("max-threads", 1);
    }
    Ok(decoder)
}

/// A unit as a buffer for a decoder.
pub(crate) fn coded(unit: &AccessUnit, base_us: i64) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice(unit.data.clone());
    if let Some(b) = buffer.get_mut() {
        b.set_pts(clock(unit.pts_us, base_us));
        b.set_dts(unit.dts_us.and_then(|t| clock(t, base_us)));
        if !unit.key {
            b.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
    }
    buffer
}

/// A time of the stream's clock as the pipeline's.
fn clock(us: i64, base_us: i64) -> Option<gst::ClockTime> {
    let shifted = us.saturating_sub(base_us).saturating_add(LEAD_US);
    Some(gst::ClockTime::from_useconds(u64::try_from(shifted).ok()?))
}

/// The reverse of [`clock`].
pub(crate) fn stream_us(time: gst::ClockTime, base_us: i64) -> i64 {
    i64::try_from(time.useconds()).unwrap_or(i64::MAX).saturating_sub(LEAD_US).saturating_add(base_us)
}
