//! A clip from the camera's live stream, where the controller's recordings may not be asked or cannot be painted over.
//!
//! The stream is encrypted, but its certificate is not compared with the controller's pin: `docs/protect.md` says so.

use std::time::Duration;

use argus_core::Timestamp;
use argus_core::camera::{RtspTransport, RtspUrl, Source};
use argus_core::controller::StreamQuality;
use argus_core::ports::{ClipFile, FeedItem, FeedPlan, FeedStream, OpenFeed};
use argus_core::status::CameraStatus;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::event::ProtectEvent;

/// A live stream that does not come within that long is not waited for: its detection is nearly over.
const STREAM_WITHIN: Duration = Duration::from_secs(15);
/// What stays in memory of it: the clip is written as it comes.
const KEEP: Duration = Duration::from_secs(4);

/// Records from now until the event has ended and its post-roll has passed. `None` when there is no stream, which is
/// then in the log.
pub(crate) async fn record(event: &ProtectEvent, mut closed: watch::Receiver<Option<Timestamp>>) -> Option<ClipFile> {
    let device = event.device();
    let asked = event.link.ask(
        |c| {
            let device = device.clone();
            async move { c.stream_url(&device, StreamQuality::High).await }
        },
        false,
    );
    let address = match asked.await {
        Ok(address) => address,
        Err(e) => {
            info!(event.id = %event.id, "there is no live stream for a clip: {e}");
            return None;
        }
    };
    // The address is a secret: not even what is wrong with it is told.
    let Ok((url, username, password)) = RtspUrl::parse(address.expose()) else {
        warn!(event.id = %event.id, "the controller's address of the live stream cannot be used");
        return None;
    };
    let plan = FeedPlan {
        camera_id: event.camera.id,
        source: Source::Rtsp { url, username, password, transport: RtspTransport::Tcp },
        analysis_rate: None,
        keep: KEEP,
        privacy: event.privacy(),
    };
    let OpenFeed { mut stream, handle } = event.deps.feeds.open(plan);
    let recorded = async {
        if timeout(STREAM_WITHIN, online(&mut *stream)).await.is_err() {
            warn!(event.id = %event.id, "no clip: the live stream did not come in time");
            return None;
        }
        let recorder = match handle.start_clip(event.deps.clock.now()).await {
            Ok(recorder) => recorder,
            Err(e) => {
                warn!(event.id = %event.id, "no clip can be made of the live stream: {e}");
                return None;
            }
        };
        let post_roll = Duration::from_secs(event.camera.config.post_roll_s.into());
        let over = async {
            // Whoever would say so is gone: then it is over, too.
            let _ = closed.wait_for(Option::is_some).await;
            sleep(post_roll).await;
        };
        // What the stream tells meanwhile is read, or it would be held up.
        tokio::select! {
            () = over => {}
            () = drained(&mut *stream) => {}
        }
        let finished = recorder.finish(event.deps.clock.now()).await;
        finished.inspect_err(|e| warn!(event.id = %event.id, "the clip of the live stream is not complete: {e}")).ok()
    };
    let clip = recorded.await;
    handle.stop().await;
    clip
}

async fn online(stream: &mut dyn FeedStream) {
    loop {
        match stream.next().await {
            Some(FeedItem::State(state)) if state.status == CameraStatus::Online => return,
            Some(_) => {}
            None => std::future::pending().await,
        }
    }
}

/// Reads until the stream has ended.
async fn drained(stream: &mut dyn FeedStream) {
    while stream.next().await.is_some() {}
}
