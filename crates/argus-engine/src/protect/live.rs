//! A clip from the camera's live stream, where the controller's recordings may not be asked, cannot be painted over, or
//! are not known to come.
//!
//! The stream's address is a secret and its pictures are the house's: it is asked only from who shows the certificate
//! that the controller's settings want ([`trust`]).

use std::sync::Arc;
use std::time::Duration;

use argus_core::camera::{Camera, ProtectSource, RtspTransport, RtspUrl, Source};
use argus_core::controller::{ControllerConfig, StreamQuality};
use argus_core::ports::{ClipFile, FeedHandle, FeedItem, FeedPlan, OpenFeed, StreamTrust};
use argus_core::status::{CameraState, CameraStatus};
use argus_core::{PrivacyMask, Timestamp};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::event::ProtectEvent;
use super::link::Link;
use crate::Deps;
use crate::camera::lock;

/// A live stream that does not come within that long is not waited for: its detection is nearly over.
const STREAM_WITHIN: Duration = Duration::from_secs(15);
/// What stays in memory of a stream that is opened for one event: the clip is written as it comes.
const KEEP: Duration = Duration::from_secs(4);

/// An open live stream of a camera. Forgotten, it is stopped.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) handle: Arc<dyn FeedHandle>,
    /// How it is doing.
    pub(crate) state: watch::Receiver<CameraState>,
    plan: Arc<FeedPlan>,
}

impl Live {
    /// Takes another mask for what comes in from now on.
    pub(crate) fn hide(&self, privacy: &PrivacyMask) {
        self.handle.retune(&FeedPlan { privacy: privacy.clone(), ..(*self.plan).clone() });
    }
}

/// Opens the live stream of a camera, with so much of it in memory.
///
/// # Errors
/// Why there is none, as a sentence without its address.
pub(crate) async fn open(
    deps: &Deps,
    link: &Link,
    camera: &Camera,
    privacy: PrivacyMask,
    keep: Duration,
) -> Result<Live, String> {
    let Source::Protect(ProtectSource { camera_id: device, .. }) = &camera.config.source else {
        return Err("it is no camera of a controller".into());
    };
    let asked = link.ask(|c| async move { c.stream_url(device, StreamQuality::High).await }, false);
    let address = asked.await.map_err(|e| e.to_string())?;
    // The address is a secret: not even what is wrong with it is told.
    let Ok((url, username, password)) = RtspUrl::parse(address.expose()) else {
        return Err("the controller's address of the live stream cannot be used".into());
    };
    let plan = FeedPlan {
        camera_id: camera.id,
        source: Source::Rtsp { url, username, password, transport: RtspTransport::Tcp },
        analysis_rate: None,
        keep,
        privacy,
        trust: trust(&link.stored().config),
    };
    let OpenFeed { mut stream, handle } = deps.feeds.open(plan.clone());
    let (told, state) = watch::channel(CameraState::of(CameraStatus::Starting));
    // What the stream tells is read, or it would be held up. It ends with the feed.
    deps.tasks.spawn(async move {
        while let Some(item) = stream.next().await {
            if let FeedItem::State(now) = item {
                told.send_replace(now);
            }
        }
    });
    Ok(Live { handle, state, plan: Arc::new(plan) })
}

/// Which certificate of the stream's port will do: the same as for everything else of the controller.
fn trust(config: &ControllerConfig) -> StreamTrust {
    match &config.certificate_sha256 {
        Some(pin) => StreamTrust::Pinned(pin.clone()),
        None if config.verify_tls => StreamTrust::System,
        None => StreamTrust::Any,
    }
}

/// A stream that is told what nobody may see; forgotten with whoever records from it.
struct Shown<'a>(&'a ProtectEvent);

impl<'a> Shown<'a> {
    fn new(event: &'a ProtectEvent, live: &Live) -> Self {
        lock(&event.link.recorded).insert(event.id, (event.camera.id, live.clone()));
        Self(event)
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        lock(&self.0.link.recorded).remove(&self.0.id);
    }
}

/// Records until the event has ended and its post-roll has passed: from before it where the stream is kept open, else from
/// now. `None` when there is no stream, which is then in the log.
pub(crate) async fn record(event: &ProtectEvent, closed: watch::Receiver<Option<Timestamp>>) -> Option<ClipFile> {
    let no_clip = |why: &str| info!(event.id = %event.id, "no clip of the live stream: {why}");
    let Ok(_turn) = event.link.recordings.try_acquire() else {
        no_clip("as many as may be are recorded already");
        return None;
    };
    if let Some(live) = event.link.standing_by(event.camera.id) {
        let pre_roll = Duration::from_secs(event.camera.config.pre_roll_s.into());
        return record_from(event, &live, event.started.minus(pre_roll), closed).await;
    }
    let opened = open(&event.deps, &event.link, &event.camera, event.privacy(), KEEP).await;
    let live = opened.inspect_err(|why| no_clip(why)).ok()?;
    let shown = Shown::new(event, &live);
    // The mask may have changed before the stream could be told.
    live.hide(&event.privacy());
    let clip = record_from(event, &live, event.deps.clock.now(), closed).await;
    drop(shown);
    live.handle.stop().await;
    clip
}

async fn record_from(
    event: &ProtectEvent,
    live: &Live,
    from: Timestamp,
    mut closed: watch::Receiver<Option<Timestamp>>,
) -> Option<ClipFile> {
    let mut state = live.state.clone();
    let comes =
        timeout(STREAM_WITHIN, state.wait_for(|s| matches!(s.status, CameraStatus::Online | CameraStatus::Error)));
    let came = tokio::select! {
        came = comes => matches!(came, Ok(Ok(state)) if state.status == CameraStatus::Online),
        // Nothing is left of it to be recorded.
        _ = closed.wait_for(Option::is_some) => false,
    };
    if !came {
        let why = live.state.borrow().last_error.clone().unwrap_or_else(|| "it did not come in time".into());
        info!(event.id = %event.id, "no clip of the live stream: {why}");
        return None;
    }
    let recorder = match live.handle.start_clip(from).await {
        Ok(recorder) => recorder,
        Err(e) => {
            warn!(event.id = %event.id, "no clip can be made of the live stream: {e}");
            return None;
        }
    };
    let post_roll = Duration::from_secs(event.camera.config.post_roll_s.into());
    // Whoever would say so is gone: then it is over, too.
    let ended = closed.wait_for(Option::is_some).await.ok().and_then(|ended| *ended);
    let until = ended.unwrap_or_else(|| event.deps.clock.now()).plus(post_roll);
    sleep(until.since(event.deps.clock.now())).await;
    let finished = recorder.finish(until).await;
    finished.inspect_err(|e| warn!(event.id = %event.id, "the clip of the live stream is not complete: {e}")).ok()
}
