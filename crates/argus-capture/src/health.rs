//! The state of capture as the API tells it: a step function of pictures, failures and time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use argus_core::Timestamp;
use argus_core::status::{CameraState, CameraStatus, FaultKind};

use crate::ring::StreamFormat;

/// Over how long the rate of pictures is told.
const FPS_WINDOW: Duration = Duration::from_secs(10);
/// Failing for so long is `offline`.
const OFFLINE_AFTER: Duration = Duration::from_secs(60);
/// More arrivals than any camera sends in the window.
const ARRIVALS_MAX: usize = 1200;

/// Why a source gives no picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    /// A sentence without credentials.
    pub(crate) text: String,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

/// How one camera is doing. Every method answers the new state when it is worth telling: another status, reason,
/// resolution or codec.
#[derive(Debug)]
pub(crate) struct Health {
    state: CameraState,
    failing_since: Option<Instant>,
    arrivals: VecDeque<Instant>,
    /// Pictures that came, in all.
    frames: u64,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            state: CameraState::of(CameraStatus::Starting),
            failing_since: None,
            arrivals: VecDeque::new(),
            frames: 0,
        }
    }

    /// A picture came.
    pub(crate) fn picture(&mut self, now: Instant, wall: Timestamp, format: &StreamFormat) -> Option<CameraState> {
        if self.arrivals.len() >= ARRIVALS_MAX {
            self.arrivals.pop_front();
        }
        self.arrivals.push_back(now);
        self.frames += 1;
        self.forget_old(now);
        self.state.last_frame_at = Some(wall);
        let known = self.state.codec.as_ref() == Some(&format.source_codec)
            && self.state.resolution.as_deref().is_some_and(|r| is_resolution(r, format));
        if self.state.status == CameraStatus::Online && known {
            return None;
        }
        // A feed that was never online has nothing to come back to.
        if self.state.status != CameraStatus::Online && self.failing_since.is_some() && self.state.codec.is_some() {
            self.state.reconnects += 1;
        }
        self.failing_since = None;
        self.state.status = CameraStatus::Online;
        self.state.last_error = None;
        self.state.last_error_kind = None;
        self.state.codec = Some(format.source_codec.clone());
        self.state.resolution = (format.width > 0).then(|| resolution(format));
        Some(self.view(now))
    }

    /// A try failed, or the picture was lost.
    pub(crate) fn lost(&mut self, now: Instant, fault: &Fault) -> Option<CameraState> {
        let since = *self.failing_since.get_or_insert(now);
        let status = if fault.kind.is_lasting() {
            CameraStatus::Error
        } else if now.saturating_duration_since(since) >= OFFLINE_AFTER {
            CameraStatus::Offline
        } else {
            CameraStatus::Reconnecting
        };
        let same = self.state.status == status && self.state.last_error.as_ref() == Some(&fault.text);
        self.state.status = status;
        self.state.last_error = Some(fault.text.clone());
        self.state.last_error_kind = Some(fault.kind);
        (!same).then(|| self.view(now))
    }

    /// Time went on.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<CameraState> {
        let failing = now.saturating_duration_since(self.failing_since?);
        if self.state.status != CameraStatus::Reconnecting || failing < OFFLINE_AFTER {
            return None;
        }
        self.state.status = CameraStatus::Offline;
        Some(self.view(now))
    }

    /// Capture ended.
    pub(crate) fn stopped(&mut self, now: Instant) -> CameraState {
        self.state.status = CameraStatus::Stopped;
        self.state.last_error = None;
        self.state.last_error_kind = None;
        self.view(now)
    }

    /// How it is now.
    pub(crate) fn view(&self, now: Instant) -> CameraState {
        CameraState { fps: self.fps(now), ..self.state.clone() }
    }

    /// How many pictures came.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// When the newest picture came.
    pub(crate) fn newest_arrival(&self) -> Option<Instant> {
        self.arrivals.back().copied()
    }

    fn forget_old(&mut self, now: Instant) {
        while self.arrivals.front().is_some_and(|t| now.saturating_duration_since(*t) > FPS_WINDOW) {
            self.arrivals.pop_front();
        }
    }

    fn fps(&self, now: Instant) -> Option<f64> {
        let recent = || self.arrivals.iter().filter(|t| now.saturating_duration_since(**t) <= FPS_WINDOW);
        let span = now.saturating_duration_since(*recent().next()?).as_secs_f64();
        let intervals = u32::try_from(recent().count()).unwrap_or(u32::MAX).saturating_sub(1);
        (span > 0.0 && intervals > 0).then(|| (f64::from(intervals) / span * 100.0).round() / 100.0)
    }
}

fn resolution(format: &StreamFormat) -> String {
    format!("{}x{}", format.width, format.height)
}

/// Whether `text` is that resolution; compared on every picture, so without an allocation.
fn is_resolution(text: &str, format: &StreamFormat) -> bool {
    text.split_once('x').is_some_and(|(w, h)| w.parse() == Ok(format.width) && h.parse() == Ok(format.height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Codec;

    fn format(width: u32) -> StreamFormat {
        StreamFormat { codec: Codec::H264, source_codec: "h264".into(), width, height: 360 }
    }

    fn told(state: Option<CameraState>) -> Option<(CameraStatus, Option<FaultKind>)> {
        state.map(|s| (s.status, s.last_error_kind))
    }

    #[test]
    fn walks_as_the_contract_says() {
        let t0 = Instant::now();
        let at = |s: u64| t0 + Duration::from_secs(s);
        let wall = Timestamp::from_millis(5);
        let refused = Fault::new(FaultKind::Unreachable, "refused");
        let mut h = Health::new();
        assert_eq!(h.view(t0).status, CameraStatus::Starting);
        assert_eq!(told(h.tick(at(99))), None, "starting has no end by time alone");
        assert_eq!(told(h.picture(at(1), wall, &format(640))), Some((CameraStatus::Online, None)));
        assert_eq!(told(h.picture(at(2), wall, &format(640))), None);
        let lost = Some(FaultKind::Unreachable);
        assert_eq!(told(h.lost(at(10), &refused)), Some((CameraStatus::Reconnecting, lost)));
        assert_eq!(told(h.lost(at(11), &refused)), None);
        assert_eq!(told(h.tick(at(69))), None);
        assert_eq!(told(h.tick(at(70))), Some((CameraStatus::Offline, lost)));
        assert_eq!(told(h.lost(at(80), &refused)), None, "stays offline");
        let back = h.picture(at(90), wall, &format(640)).unwrap();
        assert_eq!((back.status, back.reconnects, back.last_error), (CameraStatus::Online, 1, None));
        let bad = Fault::new(FaultKind::Unauthorized, "no");
        assert_eq!(told(h.lost(at(91), &bad)), Some((CameraStatus::Error, Some(FaultKind::Unauthorized))));
        assert_eq!(told(h.tick(at(300))), None, "an error is not offline");
        assert_eq!(told(h.lost(at(301), &refused)), Some((CameraStatus::Offline, lost)));
        let back = h.picture(at(302), wall, &format(640)).unwrap();
        assert_eq!(back.reconnects, 2);
        let larger = h.picture(at(303), wall, &format(1280)).unwrap();
        assert_eq!((larger.resolution.as_deref(), larger.reconnects), (Some("1280x360"), 2));
        assert_eq!(h.stopped(at(304)).status, CameraStatus::Stopped);
    }

    #[test]
    fn a_first_try_that_fails_is_no_reconnect() {
        let t0 = Instant::now();
        let mut h = Health::new();
        h.lost(t0, &Fault::new(FaultKind::Timeout, "late"));
        assert_eq!(h.picture(t0, Timestamp::from_millis(0), &format(640)).unwrap().reconnects, 0);
    }

    #[test]
    fn the_rate_is_that_of_the_last_ten_seconds() {
        let t0 = Instant::now();
        let mut h = Health::new();
        for i in 0..300 {
            h.picture(t0 + Duration::from_millis(i * 100), Timestamp::from_millis(0), &format(640));
        }
        let end = t0 + Duration::from_millis(29_900);
        assert_eq!((h.view(end).fps, h.frames()), (Some(10.0), 300));
        assert_eq!(h.view(end + Duration::from_secs(5)).fps, Some(5.0));
        assert_eq!(h.view(end + Duration::from_secs(20)).fps, None);
    }
}
