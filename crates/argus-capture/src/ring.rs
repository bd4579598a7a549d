//! The last seconds of a stream, compressed: whole groups of pictures, bounded in seconds and in bytes.
//!
//! What a privacy mask hides is in here, as the camera sent it, and only here: in memory. Each unit carries the mask under
//! which it came in; every still and clip that is made of it is painted over first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use argus_core::{PrivacyMask, Timestamp};
use bytes::Bytes;

/// The two codecs that are kept; everything else is re-encoded to the first before it gets here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264, Annex B, parameter sets before every key frame.
    H264,
    /// H.265, Annex B, parameter sets before every key frame.
    H265,
}

/// What a stream is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFormat {
    /// How the units are coded.
    pub codec: Codec,
    /// What the source itself sends, such as `h264` or `mjpeg`; differs from `codec` when it is re-encoded.
    pub source_codec: String,
    /// Pixels; 0 while unknown.
    pub width: u32,
    /// Pixels; 0 while unknown.
    pub height: u32,
}

/// One compressed picture, complete.
#[derive(Clone, Debug)]
pub struct AccessUnit {
    /// When the camera took it.
    pub at: Timestamp,
    /// Presentation time on the stream's own clock, µs. `at - pts_us` is the same within a session.
    pub pts_us: i64,
    /// Decoding time on the same clock, µs, where the source tells it.
    pub dts_us: Option<i64>,
    /// Whether it can be decoded without others.
    pub key: bool,
    /// Which unbroken run of the stream it belongs to.
    pub session: u64,
    /// The coded bytes, in an allocation of exactly that size.
    pub data: Bytes,
    /// What it is coded as.
    pub format: Arc<StreamFormat>,
    /// What is painted over wherever it is shown.
    pub mask: PrivacyMask,
}

/// The newest access units, beginning with a key frame.
///
/// When full, whole groups of pictures leave at the front. What cannot be decoded (before the first key frame of a
/// session) is not taken.
#[derive(Debug)]
pub struct Ring {
    units: VecDeque<AccessUnit>,
    keep: Duration,
    max_bytes: usize,
    bytes: usize,
    dropped: u64,
}

impl Ring {
    /// A ring that holds at least `keep` before the newest unit, and the group of pictures that covers its beginning,
    /// but never more than `max_bytes`.
    #[must_use]
    pub fn new(keep: Duration, max_bytes: usize) -> Self {
        Self { units: VecDeque::new(), keep, max_bytes, bytes: 0, dropped: 0 }
    }

    /// Changes how much is held; what has left already does not come back.
    pub fn set_keep(&mut self, keep: Duration) {
        self.keep = keep;
    }

    /// Takes the next unit in the order of decoding; says whether it was kept.
    pub fn push(&mut self, unit: AccessUnit) -> bool {
        let continues = self.units.back().is_some_and(|last| last.session == unit.session);
        if !continues {
            if !unit.key {
                return false;
            }
            // A clock that was set back: the moments of the older sessions mean nothing any more.
            if self.units.iter().any(|old| old.at > unit.at) {
                self.clear();
            }
        }
        self.bytes = self.bytes.saturating_add(unit.data.len());
        let horizon = unit.at.minus(self.keep);
        self.units.push_back(unit);
        while let Some(second) = self.second_group() {
            let covered = self.units.get(second).is_some_and(|key| key.at <= horizon);
            let too_large = self.bytes > self.max_bytes;
            if !covered && !too_large {
                break;
            }
            self.drop_front(second);
            if !covered {
                self.dropped += 1;
            }
        }
        if self.bytes > self.max_bytes {
            // One group alone is too large. Without its key frame the rest of it is worth nothing.
            self.clear();
            self.dropped += 1;
            return false;
        }
        true
    }

    /// The units of the newest session from the last key frame at or before `t`, or else from its oldest: a clip is
    /// about now, not about what was before the stream broke off.
    #[must_use]
    pub fn newest_session_from(&self, t: Timestamp) -> Vec<AccessUnit> {
        let Some(newest) = self.units.back() else { return Vec::new() };
        let begin = self.units.iter().rposition(|u| u.session != newest.session).map_or(0, |i| i + 1);
        let at_or_before = self.units.iter().skip(begin).rposition(|u| u.key && u.at <= t).map_or(begin, |i| begin + i);
        self.units.iter().skip(at_or_before).cloned().collect()
    }

    /// The newest group of pictures, from its key frame.
    #[must_use]
    pub fn newest_group(&self) -> Vec<AccessUnit> {
        let key = self.units.iter().rposition(|u| u.key).unwrap_or(0);
        self.units.iter().skip(key).cloned().collect()
    }

    /// Everything, oldest first; the bytes are shared, not copied.
    #[must_use]
    pub fn snapshot(&self) -> Vec<AccessUnit> {
        self.units.iter().cloned().collect()
    }

    /// The newest unit.
    #[must_use]
    pub fn newest(&self) -> Option<&AccessUnit> {
        self.units.back()
    }

    /// Coded bytes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Groups of pictures that left before their time, because of the bound in bytes.
    #[must_use]
    pub fn dropped_groups(&self) -> u64 {
        self.dropped
    }

    fn clear(&mut self) {
        self.units.clear();
        self.bytes = 0;
    }

    fn second_group(&self) -> Option<usize> {
        self.units.iter().skip(1).position(|u| u.key).map(|i| i + 1)
    }

    fn drop_front(&mut self, n: usize) {
        for unit in self.units.drain(..n) {
            self.bytes = self.bytes.saturating_sub(unit.data.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn format() -> Arc<StreamFormat> {
        Arc::new(StreamFormat { codec: Codec::H264, source_codec: "h264".into(), width: 640, height: 360 })
    }

    fn unit(ms: i64, key: bool, session: u64, size: usize) -> AccessUnit {
        AccessUnit {
            at: Timestamp::from_millis(ms),
            pts_us: ms * 1000,
            dts_us: None,
            key,
            session,
            data: Bytes::from(vec![0; size]),
            format: format(),
            mask: PrivacyMask::default(),
        }
    }

    fn times(units: &[AccessUnit]) -> Vec<i64> {
        units.iter().map(|u| u.at.as_millis()).collect()
    }

    #[test]
    fn keeps_the_group_that_covers_the_horizon() {
        let mut ring = Ring::new(Duration::from_secs(2), 1 << 20);
        for i in 0..10 {
            assert!(ring.push(unit(i * 500, i % 2 == 0, 1, 10)));
        }
        // newest 4500, horizon 2500: the group that begins at 2000 covers it
        assert_eq!(times(&ring.snapshot()).first(), Some(&2000));
        assert_eq!(times(&ring.newest_session_from(Timestamp::from_millis(3400))), [3000, 3500, 4000, 4500]);
        assert_eq!(times(&ring.newest_session_from(Timestamp::from_millis(0))).first(), Some(&2000));
        assert_eq!(times(&ring.newest_group()), [4000, 4500]);
        assert_eq!(ring.bytes(), 60);
        assert_eq!(ring.dropped_groups(), 0);
        ring.set_keep(Duration::from_millis(600));
        ring.push(unit(5000, true, 1, 10));
        assert_eq!(times(&ring.snapshot()), [4000, 4500, 5000], "a shorter memory acts at the next unit");
    }

    #[test]
    fn bytes_are_bounded_by_whole_groups() {
        let mut ring = Ring::new(Duration::from_secs(100), 100);
        for i in 0..6 {
            ring.push(unit(i * 1000, i % 2 == 0, 1, 30));
        }
        assert_eq!(times(&ring.snapshot()), [4000, 5000]);
        assert_eq!(ring.dropped_groups(), 2);
        for i in 6..8 {
            ring.push(unit(i * 1000, false, 1, 30));
        }
        assert_eq!(ring.bytes(), 0, "one group alone was too large");
        assert!(!ring.push(unit(9000, false, 1, 30)), "and nothing is taken before the next key frame");
        assert!(ring.push(unit(9500, true, 1, 30)));
    }

    #[test]
    fn sessions_begin_with_a_key_frame_and_stay_apart() {
        let mut ring = Ring::new(Duration::from_secs(100), 1 << 20);
        assert!(!ring.push(unit(0, false, 1, 1)));
        ring.push(unit(100, true, 1, 1));
        ring.push(unit(200, false, 1, 1));
        assert!(!ring.push(unit(300, false, 2, 1)));
        ring.push(unit(400, true, 2, 1));
        ring.push(unit(500, false, 2, 1));
        assert_eq!(times(&ring.newest_session_from(Timestamp::from_millis(150))), [400, 500]);
        ring.push(unit(50, true, 3, 1));
        assert_eq!(times(&ring.snapshot()), [50], "the clock was set back");
    }

    proptest! {
        #[test]
        fn always_begins_with_a_key_frame_and_stays_in_bounds(
            steps in prop::collection::vec((1i64..400, any::<bool>(), 0usize..60, prop::bool::weighted(0.05)), 1..200)
        ) {
            let mut ring = Ring::new(Duration::from_secs(1), 500);
            let (mut now, mut session) = (0, 0);
            for (step, key, size, breaks) in steps {
                now += step;
                session += u64::from(breaks);
                ring.push(unit(now, key, session, size));
                let all = ring.snapshot();
                prop_assert!(all.first().is_none_or(|u| u.key));
                prop_assert_eq!(all.iter().map(|u| u.data.len()).sum::<usize>(), ring.bytes());
                prop_assert!(ring.bytes() <= 500);
                for pair in all.windows(2) {
                    prop_assert!(pair[0].session == pair[1].session || pair[1].key);
                }
                // nothing is kept that the horizon does not need
                let horizon = Timestamp::from_millis(now - 1000);
                prop_assert!(all.iter().skip(1).filter(|u| u.key && u.at <= horizon).count() == 0
                    || all.last().is_some_and(|u| u.at.as_millis() < now));
            }
        }
    }
}
