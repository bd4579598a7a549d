//! The thread that sends coded pictures in real time to every media that a client has opened.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use crate::clips::{self, ClipSpec, EncodedClip};

/// What one mount point sends just now; the tests change it, the pump reads it before every picture.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) path: String,
    playing: Mutex<Playing>,
    sent: AtomicU64,
}

#[derive(Debug)]
struct Playing {
    spec: ClipSpec,
    clip: Option<Arc<EncodedClip>>,
    frozen: bool,
    scene_begun: Option<Instant>,
}

impl Feed {
    /// `spec.video` must not be `None` unless the mount has sound only, where `clip` stays empty.
    pub(super) fn new(path: &str, spec: ClipSpec, clip: Option<Arc<EncodedClip>>) -> Self {
        Self {
            path: path.to_owned(),
            playing: Mutex::new(Playing { spec, clip, frozen: false, scene_begun: None }),
            sent: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Playing> {
        self.playing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn spec(&self) -> ClipSpec {
        self.lock().spec
    }

    /// Goes on with another clip, which begins with its key frame, from the next picture on.
    pub(super) fn switch(&self, spec: ClipSpec) {
        let clip = clips::encode_clip(spec);
        let mut playing = self.lock();
        playing.spec = spec;
        playing.clip = Some(clip);
    }

    pub(super) fn freeze(&self, frozen: bool) {
        self.lock().frozen = frozen;
    }

    /// Pictures given to GStreamer since the start, over all clients' media.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Time since the scene began for the newest media, or anew after a switch.
    pub(super) fn position(&self) -> Option<Duration> {
        self.lock().scene_begun.map(|begun| begun.elapsed())
    }

    pub(super) fn clip(&self) -> Option<Arc<EncodedClip>> {
        self.lock().clip.clone()
    }
}

/// What the pump is told.
pub(super) enum Command {
    /// A media wants pictures from now on.
    Start(Outlet),
    /// The media with this number is gone.
    Stop(u64),
    /// Every media is gone.
    StopAll,
    /// The server is being dropped.
    Quit,
}

/// One media: where its pictures go and how far it has come. Its timeline begins with the scene's beginning.
pub(super) struct Outlet {
    id: u64,
    source: gst_app::AppSrc,
    feed: Arc<Feed>,
    clip: Arc<EncodedClip>,
    index: usize,
    begun: Instant,
    ticks: u64,
    offset_ns: u64,
}

impl Outlet {
    pub(super) fn new(id: u64, source: gst_app::AppSrc, feed: Arc<Feed>, clip: Arc<EncodedClip>) -> Self {
        Self { id, source, feed, clip, index: 0, begun: Instant::now(), ticks: 0, offset_ns: 0 }
    }

    fn due(&self) -> Instant {
        self.begun + Duration::from_nanos(self.ticks * self.clip.spec.frame_ns())
    }

    /// Sends the picture that is due. `false` when the media takes no more.
    fn push(&mut self) -> bool {
        let tick = self.ticks;
        self.ticks += 1;
        if tick == 0 {
            self.offset_ns = self.source.current_running_time().map_or(0, gst::ClockTime::nseconds);
        }
        {
            let mut playing = self.feed.lock();
            let switched = playing.clip.clone().filter(|clip| !Arc::ptr_eq(clip, &self.clip));
            if tick == 0 || switched.is_some() {
                playing.scene_begun = Some(Instant::now());
            }
            if let Some(clip) = switched {
                self.clip = clip;
                self.index = 0;
                self.source.set_caps(Some(&self.clip.caps));
            }
            // The first picture leaves even then: without it DESCRIBE would have nothing to describe.
            if playing.frozen && tick > 0 {
                return true;
            }
        }
        let Some(unit) = self.clip.access_units.get(self.index) else { return false };
        self.index = (self.index + 1) % self.clip.access_units.len();
        let frame_ns = self.clip.spec.frame_ns();
        let buffer = clips::buffer(unit, self.offset_ns + tick * frame_ns, frame_ns);
        self.feed.sent.fetch_add(1, Ordering::Relaxed);
        self.source.push_buffer(buffer).is_ok()
    }
}

/// Runs until it is told to quit.
pub(super) fn run(commands: &Receiver<Command>) {
    /// How long to wait when nobody wants pictures; a command wakes the pump at once.
    const IDLE: Duration = Duration::from_secs(3600);
    let mut outlets: Vec<Outlet> = Vec::new();
    loop {
        let now = Instant::now();
        let pause = outlets.iter().map(|outlet| outlet.due().saturating_duration_since(now)).min().unwrap_or(IDLE);
        match commands.recv_timeout(pause) {
            Ok(Command::Start(outlet)) => outlets.push(outlet),
            Ok(Command::Stop(id)) => outlets.retain(|outlet| outlet.id != id),
            Ok(Command::StopAll) => outlets.clear(),
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Command::Quit) | Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = Instant::now();
        outlets.retain_mut(|outlet| outlet.due() > now || outlet.push());
    }
}
