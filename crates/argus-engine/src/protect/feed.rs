//! The feed of a camera of a controller: the controller's word about it, settled for some seconds, in the place of
//! pictures. Its task is the same as that of every other camera.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use argus_core::camera::{ProtectSource, Source};
use argus_core::controller::{ControllerFault, ControllerState, ControllerStatus};
use argus_core::ports::{
    CameraFeeds, ClipRecorder, FeedError, FeedHandle, FeedItem, FeedPlan, FeedStream, OpenFeed, Probe, Still, StillSpec,
};
use argus_core::status::{CameraState, CameraStatus, FaultKind};
use argus_core::{Invalid, PrivacyMask, Timestamp};
use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Hub;
use super::follow::device_of;
use crate::camera::lock;

/// A word of the controller counts when it has stood for that long.
const SETTLED: Duration = Duration::from_secs(5);
/// A camera that was never online says so after that long.
const FIRST: Duration = Duration::from_secs(15);
/// One that failed for that long is offline.
const OFFLINE: Duration = Duration::from_secs(60);

/// Opens the cameras of controllers, and leaves all others to the feeds that there are.
pub(crate) struct WithControllers {
    pub(crate) others: Arc<dyn CameraFeeds>,
    pub(crate) hub: Arc<Hub>,
}

#[async_trait]
impl CameraFeeds for WithControllers {
    fn check(&self, source: &Source) -> Result<(), Invalid> {
        match source {
            Source::Protect(_) => Ok(()),
            other => self.others.check(other),
        }
    }

    fn open(&self, plan: FeedPlan) -> OpenFeed {
        let Source::Protect(source) = plan.source else { return self.others.open(plan) };
        let (state, stop) = (Arc::new(Mutex::new(CameraState::of(CameraStatus::Starting))), CancellationToken::new());
        let source = Arc::new(Mutex::new(source));
        let handle = Handle {
            hub: Arc::clone(&self.hub),
            source: Arc::clone(&source),
            privacy: Mutex::new(plan.privacy),
            state: Arc::clone(&state),
            stop: stop.clone(),
        };
        let stream = Stream {
            changed: self.hub.changed.subscribe(),
            hub: Arc::clone(&self.hub),
            source,
            state,
            stop,
            since: Instant::now(),
            was_online: false,
            standing: None,
            told: None,
        };
        OpenFeed { stream: Box::new(stream), handle: Arc::new(handle) }
    }

    async fn probe(&self, source: &Source, privacy: &PrivacyMask) -> Probe {
        let Source::Protect(source) = source else { return self.others.probe(source, privacy).await };
        let began = Instant::now();
        let asked = self.hub.snapshot(source, privacy, Some(320));
        let asked = tokio::time::timeout(Duration::from_secs(14), asked).await;
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(15_000).min(15_000);
        let failed = |message: String, kind| Probe {
            success: false,
            message,
            error_kind: Some(kind),
            resolution: None,
            fps: None,
            codec: None,
            thumbnail: None,
            elapsed_ms,
        };
        match asked {
            Ok(Ok(still)) => Probe {
                success: true,
                message: "The controller gave a picture of the camera.".into(),
                error_kind: None,
                resolution: Some(format!("{}x{}", still.width, still.height)),
                fps: None,
                codec: None,
                thumbnail: Some(format!("data:image/jpeg;base64,{}", base64(&still.jpeg))),
                elapsed_ms,
            },
            Ok(Err(e)) => failed(e.to_string(), FaultKind::Unreachable),
            Err(_elapsed) => failed("The controller gave no picture in time.".into(), FaultKind::Timeout),
        }
    }
}

/// Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let mut padded = [0_u8; 4];
        for (to, from) in padded.iter_mut().skip(1).zip(three) {
            *to = *from;
        }
        let bits = u32::from_be_bytes(padded);
        for n in 0..4_usize {
            let digit = usize::try_from(bits >> (18 - 6 * n) & 63).ok().and_then(|i| DIGITS.get(i));
            text.push(if n <= three.len() { digit.map_or('=', |d| char::from(*d)) } else { '=' });
        }
    }
    text
}

/// What the controller says of a camera.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Online {
        resolution: Option<String>,
    },
    /// Not online, why, and whether trying again soon is useless.
    Away {
        reason: String,
        kind: FaultKind,
        lasting: bool,
    },
}

/// The word about a camera of this controller.
fn word(
    state: &ControllerState,
    devices: Option<&[argus_core::controller::ControllerDevice]>,
    source: &ProtectSource,
) -> Word {
    let away = |reason: String, kind: FaultKind| Word::Away { reason, kind, lasting: kind.is_lasting() };
    match state.status {
        ControllerStatus::Connected => {}
        ControllerStatus::Disabled => {
            return Word::Away {
                reason: "its controller is disabled".into(),
                kind: FaultKind::Unreachable,
                lasting: false,
            };
        }
        _ => {
            let reason = state.last_error.clone().unwrap_or_else(|| "its controller is not connected".into());
            let kind = state.last_error_kind.map_or(FaultKind::Unreachable, fault);
            let lasting = state.status == ControllerStatus::Error && kind.is_lasting();
            return Word::Away { reason, kind, lasting };
        }
    }
    let Some(devices) = devices else {
        return away("its controller has not told its cameras yet".into(), FaultKind::Timeout);
    };
    match device_of(devices, source) {
        Some(device) if device.is_online => Word::Online { resolution: device.resolution.clone() },
        Some(_) => away("the controller says that the camera is not connected to it".into(), FaultKind::Unreachable),
        None => away(
            "the controller has no such camera any more; adopt it there again, or delete it here".into(),
            FaultKind::NotFound,
        ),
    }
}

fn fault(fault: ControllerFault) -> FaultKind {
    match fault {
        ControllerFault::Unreachable => FaultKind::Unreachable,
        ControllerFault::Timeout | ControllerFault::RateLimited => FaultKind::Timeout,
        ControllerFault::Unauthorized => FaultKind::Unauthorized,
        ControllerFault::Forbidden => FaultKind::Permission,
        ControllerFault::TlsUntrusted
        | ControllerFault::TlsChanged
        | ControllerFault::NotProtect
        | ControllerFault::TooOld => FaultKind::Invalid,
    }
}

struct Stream {
    hub: Arc<Hub>,
    changed: watch::Receiver<u64>,
    source: Arc<Mutex<ProtectSource>>,
    state: Arc<Mutex<CameraState>>,
    stop: CancellationToken,
    /// Since when it is not online, or since it was opened.
    since: Instant,
    was_online: bool,
    /// The newest word, and since when it stands.
    standing: Option<(Word, Instant)>,
    /// The word that was told last.
    told: Option<Word>,
}

impl Stream {
    fn listen(&self) -> Word {
        let source = lock(&self.source).clone();
        match source.controller_id.and_then(|id| self.hub.link(id)) {
            Some(link) => word(&link.state(), link.devices().as_ref().map(|(_, devices)| &**devices), &source),
            None => {
                Word::Away { reason: "its controller was deleted".into(), kind: FaultKind::NotFound, lasting: true }
            }
        }
    }

    /// What is to be told now, and when to look again.
    fn step(&mut self, now: Instant) -> (Option<CameraState>, Option<Instant>) {
        let heard = self.listen();
        let changed = self.standing.as_ref().is_none_or(|(word, _)| differs(word, &heard));
        let stands_since = match (&self.standing, changed) {
            (Some((_, since)), false) => *since,
            _ => now,
        };
        self.standing = Some((heard.clone(), stands_since));
        // The first word counts at once, unless it is a failure: the controller may just be connecting.
        let settles = match (&self.told, &heard) {
            (None, Word::Online { .. } | Word::Away { lasting: true, .. }) => now,
            (Some(told), heard) if !differs(told, heard) => now,
            _ => stands_since + SETTLED,
        };
        if now < settles {
            return (None, Some(settles));
        }
        if self.told.as_ref().is_none_or(|told| differs(told, &heard)) {
            self.since = stands_since.max(self.since);
        }
        let mut state = lock(&self.state).clone();
        let mut again = None;
        match &heard {
            Word::Online { resolution } => {
                if self.was_online && state.status != CameraStatus::Online {
                    state.reconnects += 1;
                }
                self.was_online = true;
                let reconnects = state.reconnects;
                state = CameraState { reconnects, ..CameraState::of(CameraStatus::Online) };
                state.resolution.clone_from(resolution);
            }
            Word::Away { reason, kind, lasting } => {
                let failing = now.duration_since(self.since);
                let status = if *lasting {
                    CameraStatus::Error
                } else if failing >= OFFLINE {
                    CameraStatus::Offline
                } else if !self.was_online && failing < FIRST {
                    again = Some(self.since + FIRST);
                    CameraStatus::Starting
                } else {
                    again = Some(self.since + OFFLINE);
                    CameraStatus::Reconnecting
                };
                state = CameraState { status, ..state };
                state.last_error = Some(reason.clone());
                state.last_error_kind = Some(*kind);
            }
        }
        self.told = Some(heard);
        let mut shown = lock(&self.state);
        let is_news = *shown != state;
        *shown = state.clone();
        (is_news.then_some(state), again)
    }
}

/// Whether two words differ in more than their reasons.
fn differs(a: &Word, b: &Word) -> bool {
    match (a, b) {
        (Word::Online { .. }, Word::Online { .. }) => false,
        (Word::Away { kind: a, lasting: la, .. }, Word::Away { kind: b, lasting: lb, .. }) => {
            // One failure after the other is one failure.
            la != lb || *la && a != b
        }
        _ => true,
    }
}

#[async_trait]
impl FeedStream for Stream {
    async fn next(&mut self) -> Option<FeedItem> {
        loop {
            if self.stop.is_cancelled() {
                return None;
            }
            self.changed.mark_unchanged();
            let (state, again) = self.step(Instant::now());
            if let Some(state) = state {
                return Some(FeedItem::State(state));
            }
            let later = async {
                match again {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.changed.changed() => if changed.is_err() { return None; },
                () = later => {}
                () = self.stop.cancelled() => return None,
            }
        }
    }
}

struct Handle {
    hub: Arc<Hub>,
    source: Arc<Mutex<ProtectSource>>,
    privacy: Mutex<PrivacyMask>,
    state: Arc<Mutex<CameraState>>,
    stop: CancellationToken,
}

#[async_trait]
impl FeedHandle for Handle {
    fn state(&self) -> CameraState {
        lock(&self.state).clone()
    }

    async fn stills(&self, _wanted: &[Timestamp], _specs: &[StillSpec]) -> Result<Vec<Vec<Still>>, FeedError> {
        Ok(Vec::new())
    }

    async fn snapshot(&self, max_width: Option<u32>) -> Result<Still, FeedError> {
        let (source, privacy) = (lock(&self.source).clone(), lock(&self.privacy).clone());
        let asked = self.hub.snapshot(&source, &privacy, max_width).await;
        asked.map_err(|e| FeedError::Stream(e.to_string()))
    }

    async fn start_clip(&self, _from: Timestamp) -> Result<Box<dyn ClipRecorder>, FeedError> {
        Err(FeedError::NoPicture("clips of this camera come from its controller".into()))
    }

    fn retune(&self, plan: &FeedPlan) {
        if let Source::Protect(source) = &plan.source {
            lock(&self.source).clone_from(source);
        }
        lock(&self.privacy).clone_from(&plan.privacy);
        let link = lock(&self.source).controller_id.and_then(|id| self.hub.link(id));
        if let Some(link) = link {
            link.hide(plan.camera_id, &plan.privacy);
        }
    }

    async fn stop(&self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::super::link::blank;
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn the_word_of_a_controller_is_its_cameras_word() {
        let source = ProtectSource {
            controller_id: None,
            camera_id: "door".into(),
            mac: None,
            device_name: "Door".into(),
            is_doorbell: true,
            detections: vec![],
        };
        let kind = |status, fault: Option<ControllerFault>| {
            let state = ControllerState { last_error_kind: fault, ..blank(status) };
            match word(&state, Some(&[]), &source) {
                Word::Away { kind, lasting, .. } => (kind, lasting),
                Word::Online { .. } => panic!("there is no such camera"),
            }
        };
        assert_eq!(kind(ControllerStatus::Connected, None), (FaultKind::NotFound, true));
        assert_eq!(kind(ControllerStatus::Connecting, None), (FaultKind::Unreachable, false));
        let refused = Some(ControllerFault::Unauthorized);
        assert_eq!(kind(ControllerStatus::Error, refused), (FaultKind::Unauthorized, true));
        assert_eq!(kind(ControllerStatus::Reconnecting, refused), (FaultKind::Unauthorized, false));
        assert_eq!(kind(ControllerStatus::Disabled, None), (FaultKind::Unreachable, false));
    }
}
