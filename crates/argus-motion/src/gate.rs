//! The packet gate: decides from the size of compressed pictures which of them are worth decoding.
//!
//! On a still scene the pictures between key frames are small and even; movement makes them larger at once. Rain,
//! noise and encoders of constant bit rate blunt that: then the gate stays open and costs what full decoding costs.

/// A compressed picture, as far as the gate looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketInfo {
    /// Size in bytes.
    pub bytes: u32,
    /// Whether it can be decoded without others.
    pub key: bool,
    /// Presentation time in µs, on the stream's own clock.
    pub pts_us: i64,
}

/// What to do with a compressed picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Leave it undecoded.
    Skip,
    /// Decode it. The pictures since the last key frame have been decoded, or it is a key frame.
    Decode,
    /// Decode it and, before it, everything from the last key frame on, which was skipped until now.
    DecodeFromKeyFrame,
}

/// Chooses which compressed pictures are decoded. One policy serves one stream.
pub trait DecodePolicy: Send {
    /// Decides about the next picture in the order of decoding.
    fn on_packet(&mut self, packet: &PacketInfo) -> Verdict;

    /// Tells what a decoded picture showed: `moving` when there is confirmed motion, `changed` when there is anything
    /// that may become motion.
    fn on_motion(&mut self, moving: bool, changed: bool);
}

/// Decodes everything: the policy when the gate is off.
#[derive(Clone, Copy, Debug, Default)]
pub struct DecodeAll;

impl DecodePolicy for DecodeAll {
    fn on_packet(&mut self, _packet: &PacketInfo) -> Verdict {
        Verdict::Decode
    }

    fn on_motion(&mut self, _moving: bool, _changed: bool) {}
}

/// Sizes that the band is learnt from: 10 s at 15 pictures a second.
const HISTORY: usize = 150;
/// Fewest sizes that make a band; until then everything is decoded.
const LEARNT_MIN: usize = 30;
/// The band ends at median + this many times the spread (median absolute deviation) ...
const SPREADS: u32 = 4;
/// ... plus this share of the median, in percent: even streams have almost no spread.
const MARGIN_PERCENT: u32 = 25;
/// How long the gate stays open after the last sign of movement, µs.
const HOLD_US: i64 = 2_000_000;
/// Key frames further apart than this are no pulse to rely on: everything is decoded, µs.
const PULSE_MAX_US: i64 = 2_500_000;

/// Opens when pictures become larger than their learnt band, and stays open while there is movement.
///
/// Key frames are always decoded, as the safety net; a stream whose key frames are more than 2.5 s apart is decoded
/// in full. The band is learnt from pictures that showed no movement.
#[derive(Debug)]
pub struct PacketGate {
    sizes: [u32; HISTORY],
    learnt: usize,
    next: usize,
    limit: u32,
    open_until_us: i64,
    last_key_us: Option<i64>,
    last_pts_us: i64,
    /// Whether every picture since the last key frame was decoded.
    whole: bool,
    moving: bool,
}

impl Default for PacketGate {
    fn default() -> Self {
        Self::new()
    }
}

impl PacketGate {
    /// A gate that has learnt nothing yet, so it is open.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sizes: [0; HISTORY],
            learnt: 0,
            next: 0,
            limit: 0,
            open_until_us: i64::MIN,
            last_key_us: None,
            last_pts_us: i64::MIN,
            whole: false,
            moving: false,
        }
    }

    /// The size in bytes above which a picture opens the gate; `None` while the band is being learnt.
    #[must_use]
    pub fn limit(&self) -> Option<u32> {
        (self.learnt >= LEARNT_MIN).then_some(self.limit)
    }

    fn learn(&mut self, bytes: u32) {
        if let Some(slot) = self.sizes.get_mut(self.next) {
            *slot = bytes;
        }
        self.next = (self.next + 1) % HISTORY;
        self.learnt = (self.learnt + 1).min(HISTORY);
        if self.learnt < LEARNT_MIN {
            return;
        }
        let mut sorted = self.sizes;
        let Some(known) = sorted.get_mut(..self.learnt) else { return };
        let middle = known.len() / 2;
        let median = *known.select_nth_unstable(middle).1;
        for size in known.iter_mut() {
            *size = size.abs_diff(median);
        }
        let spread = *known.select_nth_unstable(middle).1;
        let margin = u64::from(median) * u64::from(MARGIN_PERCENT) / 100;
        let limit = u64::from(median) + u64::from(spread) * u64::from(SPREADS) + margin;
        self.limit = u32::try_from(limit).unwrap_or(u32::MAX);
    }
}

impl DecodePolicy for PacketGate {
    fn on_packet(&mut self, packet: &PacketInfo) -> Verdict {
        let now = packet.pts_us;
        if now < self.last_pts_us.saturating_sub(HOLD_US) {
            // the stream's clock was set back: what is known of times does not apply any more
            self.open_until_us = i64::MIN;
            self.last_key_us = None;
        }
        self.last_pts_us = now;
        if packet.key {
            self.last_key_us = Some(now);
            self.whole = true;
            return Verdict::Decode;
        }
        let pulse = self.last_key_us.is_some_and(|key| now.saturating_sub(key) <= PULSE_MAX_US);
        let above = self.limit().is_none_or(|limit| packet.bytes > limit);
        if above || self.moving {
            self.open_until_us = now.saturating_add(HOLD_US);
        }
        if !self.moving {
            // also those above: a scene that has become busier for good must become the new band
            self.learn(packet.bytes);
        }
        if now <= self.open_until_us || !pulse {
            let verdict = if self.whole { Verdict::Decode } else { Verdict::DecodeFromKeyFrame };
            self.whole = true;
            return verdict;
        }
        self.whole = false;
        Verdict::Skip
    }

    fn on_motion(&mut self, moving: bool, changed: bool) {
        self.moving = moving;
        if moving || changed {
            self.open_until_us = self.open_until_us.max(self.last_pts_us.saturating_add(HOLD_US));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP_US: i64 = 66_667;

    /// Feeds pictures at 15 a second, one key frame in 30, sized by `bytes`, and answers the verdicts.
    fn run(gate: &mut PacketGate, from: i64, n: i64, key_every: i64, bytes: impl Fn(i64) -> u32) -> Vec<Verdict> {
        (from..from + n)
            .map(|i| {
                let key = i % key_every == 0;
                let bytes = if key { 40_000 } else { bytes(i) };
                gate.on_packet(&PacketInfo { bytes, key, pts_us: i * STEP_US })
            })
            .collect()
    }

    fn even(i: i64) -> u32 {
        900 + u32::try_from(i * 37 % 80).unwrap()
    }

    #[test]
    fn a_still_scene_needs_key_frames_only() {
        let mut gate = PacketGate::new();
        let learning = run(&mut gate, 0, 60, 30, even);
        assert!(learning[..30].iter().all(|v| *v == Verdict::Decode), "everything is looked at while learning");
        let verdicts = run(&mut gate, 60, 300, 30, even);
        for (i, verdict) in (60..).zip(verdicts).skip(40) {
            assert_eq!(verdict, if i % 30 == 0 { Verdict::Decode } else { Verdict::Skip }, "picture {i}");
        }
    }

    #[test]
    fn a_larger_picture_opens_from_the_key_frame_and_motion_keeps_open() {
        let mut gate = PacketGate::new();
        run(&mut gate, 0, 310, 30, even);
        assert_eq!(run(&mut gate, 310, 1, 30, |_| 2500), [Verdict::DecodeFromKeyFrame]);
        assert_eq!(run(&mut gate, 311, 1, 30, even), [Verdict::Decode]);
        gate.on_motion(true, true);
        assert!(run(&mut gate, 312, 200, 30, even).iter().all(|v| *v == Verdict::Decode));
        gate.on_motion(false, false);
        let after = run(&mut gate, 512, 60, 30, even);
        assert!(after[..25].iter().all(|v| *v == Verdict::Decode), "held open for two seconds");
        assert!(after[35..].contains(&Verdict::Skip));
    }

    #[test]
    fn change_in_a_key_frame_opens() {
        let mut gate = PacketGate::new();
        run(&mut gate, 0, 331, 30, even);
        gate.on_motion(false, true);
        assert_eq!(run(&mut gate, 331, 2, 30, even), [Verdict::Decode, Verdict::Decode]);
    }

    #[test]
    fn a_busier_scene_becomes_the_new_band() {
        let mut gate = PacketGate::new();
        run(&mut gate, 0, 305, 30, even);
        let verdicts = run(&mut gate, 305, 300, 30, |i| even(i) * 3);
        assert_eq!(verdicts[0], Verdict::DecodeFromKeyFrame);
        assert!(verdicts[250..].contains(&Verdict::Skip));
    }

    #[test]
    fn without_a_pulse_of_key_frames_everything_is_decoded() {
        let mut gate = PacketGate::new();
        let verdicts = run(&mut gate, 0, 600, 600, even);
        assert!(verdicts[60..].iter().all(|v| *v != Verdict::Skip));
        // a stream that begins in the middle has no key frame to decode from, but is not skipped silently either
        let mut gate = PacketGate::new();
        assert_eq!(run(&mut gate, 1, 1, 600, even), [Verdict::DecodeFromKeyFrame]);
    }

    #[test]
    fn a_clock_set_back_does_not_hold_the_gate_open() {
        let mut gate = PacketGate::new();
        run(&mut gate, 10_000, 300, 30, even);
        run(&mut gate, 10_300, 1, 300, |_| 9_000);
        let verdicts = run(&mut gate, 0, 120, 30, even);
        assert!(verdicts[40..].contains(&Verdict::Skip));
    }

    #[test]
    fn decode_all_decodes_all() {
        let mut all = DecodeAll;
        all.on_motion(false, false);
        assert_eq!(all.on_packet(&PacketInfo { bytes: 0, key: false, pts_us: 0 }), Verdict::Decode);
    }
}
