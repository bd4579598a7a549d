//! What happens to each access unit as it comes in: stamped, kept, counted, and decoded when it is worth it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use argus_core::PrivacyMask;
use argus_motion::{DecodeAll, DecodePolicy, PacketGate, PacketInfo, Verdict};
use bytes::Bytes;
use gstreamer as gst;
use tokio::sync::mpsc;

use crate::feeds::GateMode;
use crate::gst::faults::Findings;
use crate::gst::ingest::SessionEvent;
use crate::gst::motion::MotionDecoder;
use crate::ring::{AccessUnit, Codec, StreamFormat};
use crate::shared::Shared;
use crate::thin::Thin;
use crate::timeline::Timeline;

/// The receiving end of one pipeline; runs on its thread.
pub(crate) struct Intake {
    shared: Arc<Shared>,
    events: mpsc::Sender<SessionEvent>,
    findings: Arc<Findings>,
    timeline: Timeline,
    format: Option<(gst::Caps, Arc<StreamFormat>)>,
    session: u64,
    policy: Box<dyn DecodePolicy>,
    motion: Option<MotionDecoder>,
    /// The decoder can only go on at a key frame.
    needs_key: bool,
    /// Which decoder to take, after others have failed.
    nth: usize,
    /// Pictures of the wanted rate that went by undecoded.
    missed: Thin,
    /// The session has had a key frame.
    keyed: bool,
    /// The session was given up: what still comes touches nothing that the next one has.
    given_up: Arc<AtomicBool>,
}

impl Intake {
    pub(crate) fn new(shared: Arc<Shared>, events: mpsc::Sender<SessionEvent>) -> Self {
        let missed = Thin::new(shared.rate().unwrap_or(1));
        let policy = policy(shared.gate);
        Self {
            shared,
            events,
            findings: Arc::default(),
            timeline: Timeline::new(),
            format: None,
            session: 0,
            policy,
            motion: None,
            needs_key: true,
            nth: 0,
            missed,
            keyed: false,
            given_up: Arc::default(),
        }
    }

    pub(crate) fn findings(&self) -> Arc<Findings> {
        self.findings.clone()
    }

    /// Set by whoever gives the session up.
    pub(crate) fn given_up(&self) -> Arc<AtomicBool> {
        self.given_up.clone()
    }

    /// Takes a sample of the ingest pipeline: one access unit.
    pub(crate) fn sample(&mut self, sample: &gst::Sample) {
        if self.given_up.load(Ordering::Acquire) {
            return;
        }
        let now = Instant::now();
        let Some((buffer, segment)) = sample.buffer().zip(sample.segment()) else { return };
        let Some(segment) = segment.downcast_ref::<gst::ClockTime>() else { return };
        let time = |t: Option<gst::ClockTime>| signed_us(segment.to_running_time_full(t?)?);
        let Some(pts_us) = time(buffer.pts().or(buffer.dts())) else { return };
        let Some((format, changed)) = self.format_of(sample) else { return };
        let Ok(map) = buffer.map_readable() else { return };
        if map.is_empty() {
            return;
        }
        // One copy into an allocation of the right size: the network's buffers would pin their pools.
        let data = Bytes::copy_from_slice(&map);
        drop(map);
        let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let (at, fresh) = self.timeline.place(pts_us, now, (key, changed), || self.shared.clock.now());
        if fresh {
            self.begin_session();
        }
        let unit = AccessUnit {
            at,
            pts_us,
            dts_us: time(buffer.dts()),
            key,
            session: self.session,
            data,
            format,
            mask: PrivacyMask::default(),
        };
        let first = !std::mem::replace(&mut self.findings.lock().began, true);
        // Kept before it is told, told before it is looked at: who hears of it finds it, and hears of it first.
        let kept = self.shared.keep(now, &unit);
        self.shared.received(now, &unit.format);
        if first {
            // Nobody listens any more when this is full or closed.
            let _ = self.events.try_send(SessionEvent::First);
        }
        self.keyed |= unit.key;
        // What the ring has no room for can be decoded all the same. Before the first key frame nothing can.
        if kept || self.keyed {
            self.analyse(now, &unit);
        }
    }

    /// The source came to its end: what was received is decoded, then the end is told.
    pub(crate) fn ended(&mut self) {
        if self.given_up.load(Ordering::Acquire) {
            return;
        }
        if let Some(motion) = self.motion.take() {
            motion.drain();
        }
        let _ = self.events.try_send(SessionEvent::Ended);
    }

    fn begin_session(&mut self) {
        self.session = self.shared.next_session();
        self.policy = policy(self.shared.gate);
        self.drop_decoder();
        self.keyed = false;
        self.missed = Thin::new(self.shared.rate().unwrap_or(1));
    }

    /// The next decoder begins at a key frame. One that hangs must not hold up what comes in.
    fn drop_decoder(&mut self) {
        self.needs_key = true;
        if let Some(motion) = self.motion.take() {
            crate::blocking::aside(move || drop(motion));
        }
    }

    /// The format of a sample, and whether it is another one than before.
    fn format_of(&mut self, sample: &gst::Sample) -> Option<(Arc<StreamFormat>, bool)> {
        let caps = sample.caps()?;
        if let Some((known, format)) = &self.format
            && **known == *caps
        {
            return Some((format.clone(), false));
        }
        let s = caps.structure(0)?;
        let side = |name| s.get::<i32>(name).ok().and_then(|v| u32::try_from(v).ok()).unwrap_or(0);
        let codec = if s.name() == "video/x-h265" { Codec::H265 } else { Codec::H264 };
        let source_codec = self.findings.lock().codec.clone().unwrap_or_default();
        let format = StreamFormat { codec, source_codec, width: side("width"), height: side("height") };
        let known = self.format.as_ref().map(|(_, f)| f.clone());
        let (format, changed) = match known {
            // Other details of the caps changed; decoders find those in the stream.
            Some(known) if *known == format => (known, false),
            known => (Arc::new(format), known.is_some()),
        };
        self.format = Some((caps.to_owned(), format.clone()));
        Some((format, changed))
    }

    fn analyse(&mut self, now: Instant, unit: &AccessUnit) {
        let Some(rate) = self.shared.rate() else {
            self.drop_decoder();
            return;
        };
        self.missed.retune(rate);
        if let Some((moving, changed)) = self.shared.take_motion() {
            self.policy.on_motion(moving, changed);
        }
        let packet = PacketInfo {
            bytes: u32::try_from(unit.data.len()).unwrap_or(u32::MAX),
            key: unit.key,
            pts_us: unit.pts_us,
        };
        let verdict = self.policy.on_packet(&packet);
        if self.motion.as_ref().is_some_and(MotionDecoder::failed) {
            tracing::warn!("a decoder failed; another one begins at the next key frame");
            self.drop_decoder();
            self.nth += 1;
        }
        if unit.key && self.motion.as_ref().is_some_and(|motion| motion.hangs(now)) {
            tracing::warn!("a decoder hangs; another one takes its place");
            self.drop_decoder();
            self.nth += 1;
        }
        let taken = match verdict {
            Verdict::Skip => return,
            Verdict::DecodeFromKeyFrame => self.feed(now, &self.shared.newest_group()),
            Verdict::Decode if self.needs_key && !unit.key => false,
            Verdict::Decode => self.feed(now, std::slice::from_ref(unit)),
        };
        self.needs_key = !taken;
        if !taken && self.missed.take(unit.pts_us) {
            self.shared.queue.push_dropped(1);
        }
    }

    /// Hands units over to the decoder, which is made when there is none.
    fn feed(&mut self, now: Instant, units: &[AccessUnit]) -> bool {
        let Some(first) = units.first() else { return false };
        if self.motion.is_none() {
            match MotionDecoder::new(first, self.nth, self.shared.clone(), self.given_up.clone()) {
                Ok(decoder) => self.motion = Some(decoder),
                Err(e) => {
                    tracing::warn!(error = %argus_core::chain(&e), "a decoder could not be started");
                    self.nth += 1;
                    return false;
                }
            }
        }
        let Some(motion) = &mut self.motion else { return false };
        match units {
            [unit] => motion.push(now, unit),
            group => motion.push_group(now, group),
        }
    }
}

fn policy(gate: GateMode) -> Box<dyn DecodePolicy> {
    match gate {
        GateMode::Off => Box::new(DecodeAll),
        GateMode::Packets => Box::new(PacketGate::new()),
    }
}

fn signed_us(time: gst::Signed<gst::ClockTime>) -> Option<i64> {
    match time {
        gst::Signed::Positive(t) => i64::try_from(t.useconds()).ok(),
        gst::Signed::Negative(t) => i64::try_from(t.useconds()).ok().map(i64::wrapping_neg),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use argus_core::{ManualClock, Timestamp};

    use super::*;

    /// Access units that hold nothing that could be decoded, at ten a second.
    fn sample(index: u64, bytes: usize) -> gst::Sample {
        let mut buffer = gst::Buffer::from_slice(vec![0_u8; bytes]);
        let b = buffer.make_mut();
        b.set_pts(gst::ClockTime::from_mseconds(index * 100));
        if index > 0 {
            b.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        let caps = gst::Caps::builder("video/x-h264")
            .field("stream-format", "byte-stream")
            .field("alignment", "au")
            .field("width", 320)
            .field("height", 180)
            .build();
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        gst::Sample::builder().buffer(&buffer).caps(&caps).segment(&segment).build()
    }

    fn intake(rate: Option<u8>) -> (Intake, Arc<Shared>, mpsc::Receiver<SessionEvent>) {
        gst::init().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_766_485_800_000)));
        let keep = Duration::from_secs(60);
        let shared = Arc::new(Shared::new(clock, rate, GateMode::Off, keep, PrivacyMask::default()));
        let (tx, rx) = mpsc::channel(4);
        (Intake::new(shared.clone(), tx), shared, rx)
    }

    #[test]
    fn what_comes_after_a_session_was_given_up_touches_nothing() {
        let (mut intake, shared, mut events) = intake(None);
        intake.sample(&sample(0, 10));
        assert!(matches!(events.try_recv(), Ok(SessionEvent::First)));
        let (arrival, told) = (shared.newest_arrival(), shared.state());
        intake.given_up().store(true, Ordering::Release);
        intake.sample(&sample(1, 10));
        intake.ended();
        assert_eq!(shared.snapshot().len(), 1);
        assert_eq!((shared.newest_arrival(), shared.state()), (arrival, told));
        assert!(events.try_recv().is_err(), "and tells nothing");
    }

    #[test]
    fn what_the_ring_refuses_is_looked_at_all_the_same() {
        let (mut intake, shared, _events) = intake(Some(10));
        intake.sample(&sample(0, 10));
        intake.sample(&sample(1, 65 << 20));
        assert!(shared.snapshot().is_empty(), "one group alone is too large for the ring");
        intake.sample(&sample(2, 10));
        assert!(shared.snapshot().is_empty());
        let handed = intake.motion.as_ref().map(MotionDecoder::handed);
        assert_eq!(handed, Some(3), "the decoder goes on where it is");
    }

    #[test]
    fn what_cannot_be_decoded_any_more_is_counted() {
        let (mut intake, shared, _events) = intake(Some(10));
        intake.sample(&sample(0, 10));
        intake.drop_decoder();
        intake.sample(&sample(1, 65 << 20));
        intake.sample(&sample(2, 10));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut dropped = 0;
        shared.queue.close();
        while let Some(item) = runtime.block_on(shared.queue.next()) {
            if let argus_core::ports::FeedItem::Dropped { pictures } = item {
                dropped += pictures;
            }
        }
        assert_eq!(dropped, 2);
    }

    #[test]
    fn a_snapshot_goes_by_what_is_in_memory() {
        let (mut intake, shared, _events) = intake(None);
        intake.sample(&sample(1, 10));
        assert!(shared.newest_arrival().is_some());
        assert!(shared.newest_kept().is_none(), "nothing can be made of it");
        intake.sample(&sample(0, 10));
        assert!(shared.newest_kept().is_some());
    }
}
