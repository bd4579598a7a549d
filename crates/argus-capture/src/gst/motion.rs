//! The motion path: decoded pictures, thinned to the wanted rate and reduced to small grey ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use argus_core::{Picture, Timestamp};
use argus_motion::Reducer;
use gstreamer as gst;
use gstreamer_app::AppSinkCallbacks;
use gstreamer_video::{VideoFrameExt, VideoFrameRef, VideoInfo};

use crate::CaptureError;
use crate::gst::decode::{Decode, stream_us};
use crate::ring::AccessUnit;
use crate::shared::Shared;
use crate::thin::Thin;

/// Units that may wait for the decoder: two seconds at 30 a second.
const WAITING_MAX: u64 = 60;

/// A decoder that takes nothing for so long while units wait for it hangs.
const HANGING: Duration = Duration::from_secs(2);

/// How far a decoder has come.
#[derive(Debug)]
struct Progress {
    /// Units that were handed over, and those of them that it has taken.
    handed: u64,
    taken: u64,
    /// When it last took one, or had none to take.
    since: Instant,
}

impl Progress {
    /// `waiting`: how many of those handed over it has not taken yet.
    fn note(&mut self, now: Instant, waiting: u64) {
        let taken = self.handed.saturating_sub(waiting);
        if taken > self.taken || waiting == 0 {
            self.taken = taken;
            self.since = now;
        }
    }

    fn hangs(&self, now: Instant) -> bool {
        self.handed > self.taken && now.saturating_duration_since(self.since) >= HANGING
    }
}

/// Turns decoded samples into pictures.
#[derive(Default)]
pub(crate) struct Shrink {
    known: Option<(gst::Caps, VideoInfo, Reducer)>,
}

impl Shrink {
    /// The small grey picture of a sample, and the size of the full one.
    pub(crate) fn reduce(&mut self, sample: &gst::Sample) -> Result<(argus_core::LumaPlane, (u32, u32)), CaptureError> {
        let bad = |what: &str| CaptureError::Decode(what.to_owned());
        let caps = sample.caps_owned().ok_or_else(|| bad("a picture without a format"))?;
        let buffer = sample.buffer().ok_or_else(|| bad("a picture without bytes"))?;
        if self.known.as_ref().is_none_or(|(known, ..)| *known != caps) {
            let info = VideoInfo::from_caps(&caps).map_err(|e| CaptureError::Pipeline("read", e.into()))?;
            let reducer = Reducer::new(info.width(), info.height());
            self.known = Some((caps, info, reducer));
        }
        let Some((_, info, reducer)) = &mut self.known else { return Err(bad("a picture without a format")) };
        let frame = VideoFrameRef::from_buffer_ref_readable(buffer, info)
            .map_err(|e| CaptureError::Pipeline("read", e.into()))?;
        let luma = frame.plane_data(0).map_err(|e| CaptureError::Pipeline("read", e.into()))?;
        let stride = frame.plane_stride().first().copied().unwrap_or(0);
        let stride = usize::try_from(stride).map_err(|e| CaptureError::Pipeline("read", e.into()))?;
        let plane = reducer.reduce(luma, stride, Vec::new()).map_err(CaptureError::Reduce)?;
        Ok((plane, (info.width(), info.height())))
    }
}

/// The decoder of one session's motion path.
#[derive(Debug)]
pub(crate) struct MotionDecoder {
    decode: Decode,
    /// Units that may wait; more than usual after a group was fed at once.
    allowed: u64,
    progress: Progress,
}

impl MotionDecoder {
    /// A decoder whose pictures go to the queue of `shared`, at the rate that is wanted there, until its session is
    /// `given_up`. `first`: the unit it begins with.
    pub(crate) fn new(
        first: &AccessUnit,
        nth: usize,
        shared: Arc<Shared>,
        given_up: Arc<AtomicBool>,
    ) -> Result<Self, CaptureError> {
        let base_us = first.pts_us;
        let origin_us = first.at.as_micros().saturating_sub(first.pts_us);
        let session = first.session;
        let (mut thin, mut shrink) = (Thin::new(shared.rate().unwrap_or(1)), Shrink::default());
        let callbacks = AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_flushing| gst::FlowError::Eos)?;
                let Some(pts) = sample.buffer().and_then(gst::BufferRef::pts) else {
                    return Ok(gst::FlowSuccess::Ok);
                };
                let pts_us = stream_us(pts, base_us);
                let Some(rate) = shared.rate().filter(|_| !given_up.load(Ordering::Acquire)) else {
                    return Ok(gst::FlowSuccess::Ok);
                };
                thin.retune(rate);
                if !thin.take(pts_us) {
                    return Ok(gst::FlowSuccess::Ok);
                }
                match shrink.reduce(&sample) {
                    Ok((luma, full_size)) => {
                        let taken_at = Timestamp::from_micros(origin_us.saturating_add(pts_us));
                        shared.queue.push_picture(Picture { taken_at, luma, full_size, session });
                    }
                    Err(e) => {
                        tracing::debug!(error = %argus_core::chain(&e), "a decoded picture could not be used");
                        shared.queue.push_dropped(1);
                    }
                }
                Ok(gst::FlowSuccess::Ok)
            })
            .build();
        let decode = Decode::new(first.format.codec, base_us, nth, Some(callbacks))?;
        let progress = Progress { handed: 0, taken: 0, since: Instant::now() };
        Ok(Self { decode, allowed: WAITING_MAX, progress })
    }

    /// Hands over the next unit. `false`: the decoder is too far behind, or has failed; go on at a key frame.
    pub(crate) fn push(&mut self, now: Instant, unit: &AccessUnit) -> bool {
        let waiting = self.decode.waiting();
        self.progress.note(now, waiting);
        if waiting <= WAITING_MAX {
            self.allowed = WAITING_MAX;
        }
        waiting <= self.allowed && self.hand_over(unit)
    }

    fn hand_over(&mut self, unit: &AccessUnit) -> bool {
        self.progress.handed += 1;
        self.decode.push(unit)
    }

    /// Hands over a group of pictures that was skipped until now; all of it, as the ring bounds it.
    pub(crate) fn push_group(&mut self, now: Instant, units: &[AccessUnit]) -> bool {
        let n = u64::try_from(units.len()).unwrap_or(u64::MAX);
        let waiting = self.decode.waiting();
        self.progress.note(now, waiting);
        self.allowed = waiting.saturating_add(n).saturating_add(WAITING_MAX);
        units.iter().all(|unit| self.hand_over(unit))
    }

    /// Whether it is too far behind and takes nothing any more.
    pub(crate) fn hangs(&self, now: Instant) -> bool {
        self.decode.waiting() > self.allowed && self.progress.hangs(now)
    }

    /// Units that were handed over so far.
    #[cfg(test)]
    pub(crate) fn handed(&self) -> u64 {
        self.progress.handed
    }

    pub(crate) fn failed(&self) -> bool {
        self.decode.failed()
    }

    /// Waits, at most two seconds, until everything that was handed over has come out.
    pub(crate) fn drain(&self) {
        self.decode.drain(Duration::from_secs(2));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use argus_core::PrivacyMask;
    use bytes::Bytes;
    use gstreamer::prelude::*;
    use gstreamer_app::AppSink;
    use gstreamer_video::VideoMeta;

    use super::*;
    use crate::gst::element::{Running, filter, make, start};
    use crate::ring::{Codec, StreamFormat};

    /// Five coded pictures of a moving ball.
    fn coded(width: u32, height: u32) -> Vec<AccessUnit> {
        let running = Running::new();
        let src = make("videotestsrc").unwrap();
        src.set_property("num-buffers", 5);
        src.set_property_from_str("pattern", "ball");
        let raw = gst::Caps::builder("video/x-raw").field("format", "I420");
        let raw = raw.field("width", i32::try_from(width).unwrap()).field("height", i32::try_from(height).unwrap());
        let coder = make("x264enc").unwrap();
        coder.set_property_from_str("tune", "zerolatency");
        coder.set_property_from_str("speed-preset", "ultrafast");
        let caps = gst::Caps::builder("video/x-h264").field("stream-format", "byte-stream").field("alignment", "au");
        let sink = AppSink::builder().sync(false).build();
        let parse = make("h264parse").unwrap();
        let (raw, caps) = (filter(&raw.build()).unwrap(), filter(&caps.build()).unwrap());
        running.chain(&[&src, &raw, &coder, &parse, &caps, sink.upcast_ref()]).unwrap();
        running.play().unwrap();
        let format = StreamFormat { codec: Codec::H264, source_codec: "h264".into(), width, height };
        let format = Arc::new(format);
        let mut units = Vec::new();
        while let Ok(sample) = sink.pull_sample() {
            let buffer = sample.buffer().unwrap();
            units.push(AccessUnit {
                at: Timestamp::from_micros(0),
                pts_us: i64::try_from(buffer.pts().unwrap().useconds()).unwrap(),
                dts_us: None,
                key: units.is_empty(),
                session: 1,
                data: Bytes::copy_from_slice(&buffer.map_readable().unwrap()),
                format: Arc::clone(&format),
                mask: PrivacyMask::default(),
            });
        }
        units
    }

    /// What comes out for readers, and what comes out in one piece.
    fn both_ways(units: &[AccessUnit]) -> [Vec<gst::Sample>; 2] {
        let base_us = units[0].pts_us;
        let (sender, samples) = mpsc::channel();
        let callbacks = AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                sender.send(sink.pull_sample().unwrap()).unwrap();
                Ok(gst::FlowSuccess::Ok)
            })
            .build();
        let padded = Decode::new(Codec::H264, base_us, 0, Some(callbacks)).unwrap();
        let plain = Decode::new(Codec::H264, base_us, 0, None).unwrap();
        for unit in units {
            assert!(padded.push(unit) && plain.push(unit));
        }
        plain.end();
        let mut whole = Vec::new();
        while let Some((sample, _)) = plain.pull(gst::ClockTime::from_seconds(20)) {
            whole.push(sample);
        }
        padded.drain(Duration::from_secs(20));
        [samples.try_iter().collect(), whole]
    }

    #[test]
    fn pictures_with_gaps_are_reduced_like_those_without() {
        start().unwrap();
        for (width, height) in [(1920, 1080), (640, 360), (322, 182)] {
            let [padded, whole] = both_ways(&coded(width, height));
            assert_eq!((padded.len(), whole.len()), (5, 5), "{width}x{height}");
            for (a, b) in padded.iter().zip(&whole) {
                let (mut one, mut other) = (Shrink::default(), Shrink::default());
                assert_eq!(one.reduce(a).unwrap(), other.reduce(b).unwrap(), "{width}x{height}");
                // The rows of the coded size are still below: the decoder's own picture, and no copy.
                let meta = a.buffer().unwrap().meta::<VideoMeta>().unwrap();
                let luma = usize::try_from(meta.stride()[0]).unwrap() * usize::try_from(height).unwrap();
                assert!(meta.offset()[1] > luma, "{width}x{height}: {:?} {:?}", meta.offset(), meta.stride());
            }
        }
    }

    #[test]
    fn a_decoder_hangs_when_it_takes_nothing_for_two_seconds() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut progress = Progress { handed: 0, taken: 0, since: start };
        progress.note(at(5000), 0);
        assert!(!progress.hangs(at(9000)), "it has nothing to do");
        progress.handed = 60;
        progress.note(at(9000), 59);
        assert!(!progress.hangs(at(10_999)) && progress.hangs(at(11_000)));
        progress.note(at(11_000), 58);
        assert!(!progress.hangs(at(12_900)), "slow is not hanging");
        progress.note(at(12_900), 58);
        assert!(progress.hangs(at(13_000)));
    }
}
