//! What happens to each access unit as it comes in: stamped, kept, counted, and decoded when it is worth it.

use std::sync::Arc;
use std::time::Instant;

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
}

impl Intake {
    pub(crate) fn new(shared: Arc<Shared>, events: mpsc::Sender<SessionEvent>) -> Self {
        let missed = Thin::new(shared.rate.unwrap_or(1));
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
        }
    }

    pub(crate) fn findings(&self) -> Arc<Findings> {
        self.findings.clone()
    }

    /// Takes a sample of the ingest pipeline: one access unit.
    pub(crate) fn sample(&mut self, sample: &gst::Sample) {
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
        let (at, fresh) = self.timeline.place(pts_us, now, changed, || self.shared.clock.now());
        if fresh {
            self.begin_session();
        }
        let unit = AccessUnit {
            at,
            pts_us,
            dts_us: time(buffer.dts()),
            key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            session: self.session,
            data,
            format,
        };
        let first = !std::mem::replace(&mut self.findings.lock().began, true);
        // Kept before it is told, told before it is looked at: who hears of it finds it, and hears of it first.
        let kept = self.shared.keep(&unit);
        self.shared.received(now, &unit.format);
        if first {
            // Nobody listens any more when this is full or closed.
            let _ = self.events.try_send(SessionEvent::First);
        }
        if kept {
            self.analyse(&unit);
        }
    }

    /// The source came to its end: what was received is decoded, then the end is told.
    pub(crate) fn ended(&mut self) {
        if let Some(motion) = self.motion.take() {
            motion.drain();
        }
        let _ = self.events.try_send(SessionEvent::Ended);
    }

    fn begin_session(&mut self) {
        self.session = self.shared.next_session();
        self.policy = policy(self.shared.gate);
        self.motion = None;
        self.needs_key = true;
        self.missed = Thin::new(self.shared.rate.unwrap_or(1));
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

    fn analyse(&mut self, unit: &AccessUnit) {
        let Some(rate) = self.shared.rate else { return };
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
            self.motion = None;
            self.needs_key = true;
            self.nth += 1;
        }
        let taken = match verdict {
            Verdict::Skip => return,
            Verdict::DecodeFromKeyFrame => self.feed(rate, &self.shared.newest_group()),
            Verdict::Decode if self.needs_key && !unit.key => false,
            Verdict::Decode => self.feed(rate, std::slice::from_ref(unit)),
        };
        self.needs_key = !taken;
        if !taken && self.missed.take(unit.pts_us) {
            self.shared.queue.push_dropped(1);
        }
    }

    /// Hands units over to the decoder, which is made when there is none.
    fn feed(&mut self, rate: u8, units: &[AccessUnit]) -> bool {
        let Some(first) = units.first() else { return false };
        if self.motion.is_none() {
            match MotionDecoder::new(first, rate, self.nth, self.shared.queue.clone()) {
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
            [unit] => motion.push(unit),
            group => motion.push_group(group),
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
