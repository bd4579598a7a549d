//! Tries a source: connect, receive, decode one picture.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use argus_core::camera::Source;
use argus_core::ports::{FeedError, Probe, Still, StreamTrust};
use argus_core::status::{CameraState, FaultKind};
use argus_core::{Clock, PrivacyMask};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::TaskTracker;

use crate::feeds::GateMode;
use crate::health::Fault;
use crate::shared::Shared;
use crate::source::{Opener, TRY_MAX};
use crate::still;

/// Connecting leaves time to decode.
const CONNECT_MAX: Duration = Duration::from_secs(12);
/// So long pictures are counted for their rate.
const COUNTED: Duration = Duration::from_millis(1200);
/// What is kept of the 15 s for taking the pipeline down and answering.
const RESERVE: Duration = Duration::from_millis(300);
const THUMBNAIL_WIDTH: u32 = 320;

/// Tries a source within 15 s.
pub(crate) async fn probe(
    source: Source,
    privacy: PrivacyMask,
    media_dirs: Arc<[PathBuf]>,
    clock: Arc<dyn Clock>,
) -> Probe {
    let began = Instant::now();
    let end = began + TRY_MAX - RESERVE;
    let tracker = TaskTracker::new();
    let shared = Arc::new(Shared::new(clock, None, GateMode::Off, Duration::from_secs(2), privacy));
    let opener = Opener { source, trust: StreamTrust::Any, media_dirs, tracker: tracker.clone() };
    let result = timeout_at(end, try_it(&opener, &shared, began)).await;
    tracker.close();
    // A pipeline that takes its time to go down is left to itself.
    let _ = timeout_at(end + RESERVE / 2, tracker.wait()).await;
    let limit = u64::try_from(TRY_MAX.as_millis()).unwrap_or(u64::MAX);
    let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).min(limit);
    let state = shared.state();
    let known = |success, message, error_kind, fps, thumbnail| {
        let CameraState { resolution, codec, .. } = state;
        Probe { success, message, error_kind, resolution, fps, codec, thumbnail, elapsed_ms }
    };
    match result {
        Ok(Ok((still, fps))) => {
            let thumbnail = format!("data:image/jpeg;base64,{}", STANDARD.encode(&still.jpeg));
            known(true, "the source gives pictures".to_owned(), None, fps, Some(thumbnail))
        }
        Ok(Err(fault)) => known(false, fault.text, Some(fault.kind), None, None),
        Err(_elapsed) => {
            known(false, "no picture could be decoded within 15 s".to_owned(), Some(FaultKind::Timeout), None, None)
        }
    }
}

async fn try_it(opener: &Opener, shared: &Arc<Shared>, began: Instant) -> Result<(Still, Option<f64>), Fault> {
    let connected = opener.connect(shared, CONNECT_MAX).await?;
    let first = Instant::now();
    // Counted for a moment, and until there is a key frame to decode from.
    while first.elapsed() < COUNTED || shared.newest_group().is_empty() {
        if began.elapsed() > TRY_MAX - RESERVE * 4 {
            return Err(Fault::new(FaultKind::Timeout, "no key frame came within 14 s"));
        }
        sleep(Duration::from_millis(50)).await;
    }
    let fps = shared.state().fps;
    let still = still::newest(shared, Some(THUMBNAIL_WIDTH)).await.map_err(|e| match e {
        FeedError::NoPicture(text) => Fault::new(FaultKind::Timeout, text),
        other => Fault::new(FaultKind::UnsupportedCodec, other.to_string()),
    });
    drop(connected);
    Ok((still?, fps))
}
