//! Clips of cameras with a privacy mask: decoded, painted over and encoded anew, off to the side.
//!
//! Every picture is painted with the mask that held when it came in; where that is not known, with every mask that the
//! clip has seen. A thread of low priority does all of the work, and of all clips one works at a time: cameras come first.
//! What waits meanwhile stays compressed and in memory, within a bound; the disk sees painted pictures only.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use argus_core::{PrivacyMask, Timestamp};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;
use tempfile::TempPath;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::clip::Shown;
use crate::gst::brush::Brush;
use crate::gst::decode::{coded, make_decoder, raw_caps, stream_us};
use crate::gst::element::{Running, decoders, filter, make, unit_caps};
use crate::gst::inline::Inline;
use crate::gst::mux::Mux;
use crate::ring::AccessUnit;
use crate::{CaptureError, blocking};

/// Coded bytes that may wait for their turn.
const WAITING_MAX: u64 = 64 << 20;
/// Units that are worked on before another clip gets its turn.
const TURN: usize = 16;
/// A clip that does not get on for so long is given up.
const STALL_MAX: Duration = Duration::from_secs(120);
/// Added to the niceness of the thread.
const NICER: i32 = 10;

/// A clip that is being painted; forgotten, it is given up.
#[derive(Debug)]
pub(crate) struct Repaint {
    units: std_mpsc::Sender<AccessUnit>,
    waiting: Arc<AtomicU64>,
    done: oneshot::Receiver<Result<(TempPath, Shown), CaptureError>>,
}

impl Repaint {
    /// Begins a clip in `dir` with `first`, whose wanted beginning is `from`. `turn`: who may work. Needs the runtime's
    /// context.
    pub(crate) fn start(
        first: &AccessUnit,
        from: Timestamp,
        dir: PathBuf,
        turn: Arc<Semaphore>,
    ) -> Result<Self, CaptureError> {
        let (units, inbox) = std_mpsc::channel();
        let (tell, done) = oneshot::channel();
        let waiting = Arc::new(AtomicU64::new(0));
        let work =
            Work { first: first.clone(), from, dir, turn, runtime: Handle::current(), inbox, waiting: waiting.clone() };
        let thread = std::thread::Builder::new().name("clip-paint".into());
        let started = thread.spawn(move || {
            lower_priority();
            let result = work.run(&tell);
            // Nobody waits for it any more when the clip was given up.
            let _ = tell.send(result);
        });
        started.map_err(|e| CaptureError::File("no thread can be started to paint a clip over", e))?;
        Ok(Self { units, waiting, done })
    }

    /// Hands over the next unit; never waits. `false`: the clip takes nothing any more.
    pub(crate) fn push(&self, unit: AccessUnit) -> bool {
        let bytes = u64::try_from(unit.data.len()).unwrap_or(u64::MAX);
        if self.waiting.fetch_add(bytes, Ordering::Relaxed) > WAITING_MAX {
            tracing::warn!("a clip ends early: it cannot be painted over as fast as the video comes");
            return false;
        }
        self.units.send(unit).is_ok()
    }

    /// Waits until everything is painted; answers the file and what it shows.
    pub(crate) async fn finish(self) -> Result<(TempPath, Shown), CaptureError> {
        drop(self.units);
        let failed = |why: &str| CaptureError::Pipeline("completed", why.into());
        let (mut done, mut before) = (self.done, self.waiting.load(Ordering::Relaxed));
        loop {
            match timeout(STALL_MAX, &mut done).await {
                Ok(result) => return result.map_err(|_gone| failed("its thread ended"))?,
                Err(_elapsed) => {
                    let now = self.waiting.load(Ordering::Relaxed);
                    if now == before {
                        return Err(failed("its decoder does not go on"));
                    }
                    before = now;
                }
            }
        }
    }
}

/// The thread's own: cameras and the API come first. Elsewhere niceness belongs to the whole process.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(e) = rustix::process::nice(NICER) {
        tracing::debug!(error = %e, "the priority of a thread cannot be lowered");
    }
}

struct Work {
    first: AccessUnit,
    from: Timestamp,
    dir: PathBuf,
    turn: Arc<Semaphore>,
    runtime: Handle,
    inbox: std_mpsc::Receiver<AccessUnit>,
    waiting: Arc<AtomicU64>,
}

impl Work {
    fn run(
        self,
        tell: &oneshot::Sender<Result<(TempPath, Shown), CaptureError>>,
    ) -> Result<(TempPath, Shown), CaptureError> {
        let given_up = || CaptureError::Pipeline("completed", "the clip was given up".into());
        let runtime = self.runtime.clone();
        let mut painter = Painter::new(&self.first, self.from, self.dir, runtime)?;
        while let Ok(unit) = self.inbox.recv() {
            // Fair: whoever has waited longest comes next. It is never closed.
            let _turn = self.runtime.block_on(self.turn.acquire());
            let mut next = Some(unit);
            for _ in 0..TURN {
                let Some(unit) = next else { break };
                if tell.is_closed() {
                    return Err(given_up());
                }
                self.waiting.fetch_sub(u64::try_from(unit.data.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
                painter.take(&unit)?;
                next = self.inbox.try_recv().ok();
            }
            if let Some(unit) = next {
                self.waiting.fetch_sub(u64::try_from(unit.data.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
                painter.take(&unit)?;
            }
        }
        if tell.is_closed() {
            return Err(given_up());
        }
        let _turn = self.runtime.block_on(self.turn.acquire());
        painter.finish()
    }
}

/// Decoder, brush and encoder of one clip.
struct Painter {
    decode: Inline,
    pictures: AppSink,
    base_us: i64,
    /// Wall time of the stream's zero.
    origin_us: i64,
    /// The masks of pictures that have not come out of the decoder yet, by their time.
    masks: BTreeMap<i64, PrivacyMask>,
    /// The mask of the newest unit.
    newest: PrivacyMask,
    /// What any of the masks so far hides.
    every: PrivacyMask,
    brush: Brush,
    from: Timestamp,
    dir: PathBuf,
    runtime: Handle,
    /// Made for the first picture.
    file: Option<(Mux, Format, Shown)>,
}

impl Painter {
    fn new(first: &AccessUnit, from: Timestamp, dir: PathBuf, runtime: Handle) -> Result<Self, CaptureError> {
        let (decode, pictures) = decoder(first)?;
        Ok(Self {
            decode,
            pictures,
            base_us: first.pts_us,
            origin_us: first.at.as_micros().saturating_sub(first.pts_us),
            masks: BTreeMap::new(),
            newest: PrivacyMask::default(),
            every: PrivacyMask::default(),
            brush: Brush::default(),
            from,
            dir,
            runtime,
            file: None,
        })
    }

    fn take(&mut self, unit: &AccessUnit) -> Result<(), CaptureError> {
        if self.newest != unit.mask {
            self.every = self.every.union(&unit.mask);
            self.newest = unit.mask.clone();
        }
        self.masks.insert(unit.pts_us, unit.mask.clone());
        self.decode.push(coded(unit, self.base_us))?;
        self.paint_all()
    }

    /// Paints what has come out of the decoder.
    fn paint_all(&mut self) -> Result<(), CaptureError> {
        while let Some(sample) = self.pictures.try_pull_sample(gst::ClockTime::ZERO) {
            let Some(pts) = sample.buffer().and_then(gst::BufferRef::pts) else { continue };
            let pts_us = stream_us(pts, self.base_us);
            let mask = self.masks.get(&pts_us).unwrap_or(&self.every).clone();
            // Pictures come out in the order in which they are shown: what is before this one is over.
            self.masks = self.masks.split_off(&pts_us.saturating_add(1));
            let picture = self.brush.paint(&sample, &mask)?;
            let odd = || CaptureError::Decode("a picture without a format".to_owned());
            let caps = sample.caps_owned().ok_or_else(odd)?;
            let format = format_of(&caps).ok_or_else(odd)?;
            let at = Timestamp::from_micros(self.origin_us.saturating_add(pts_us));
            if self.file.is_none() {
                let mux = self.begin_file(caps, pts_us)?;
                self.file = Some((mux, format.clone(), Shown::new(self.from, at)));
            }
            let Some((mux, known, shown)) = &mut self.file else { continue };
            if *known != format {
                return Err(CaptureError::Decode("the format of the pictures changed".to_owned()));
            }
            mux.push_picture(picture, pts_us)?;
            shown.count(at);
        }
        Ok(())
    }

    /// Begins the file on a thread of the runtime: what GStreamer starts for it would take over the low priority of this
    /// one, and lend it to other pipelines later.
    fn begin_file(&self, caps: gst::Caps, pts_us: i64) -> Result<Mux, CaptureError> {
        let dir = self.dir.clone();
        let made =
            self.runtime.spawn(async move { blocking::spawn(move || Mux::of_pictures(&caps, pts_us, &dir)).await });
        let stopping = || CaptureError::Pipeline("started", "the server is stopping".into());
        match self.runtime.block_on(made) {
            Ok(Ok(mux)) => mux,
            Ok(Err(_)) | Err(_) => Err(stopping()),
        }
    }

    fn finish(mut self) -> Result<(TempPath, Shown), CaptureError> {
        self.decode.end();
        self.paint_all()?;
        let (mux, _, shown) = self.file.ok_or_else(|| CaptureError::Decode("it holds no picture".to_owned()))?;
        Ok((mux.finish()?, shown))
    }
}

/// Pixel format, width and height.
type Format = (String, i32, i32);

fn format_of(caps: &gst::Caps) -> Option<Format> {
    let s = caps.structure(0)?;
    Some((s.get::<String>("format").ok()?, s.get("width").ok()?, s.get("height").ok()?))
}

/// The first decoder that can be started, and where its pictures come out.
fn decoder(first: &AccessUnit) -> Result<(Inline, AppSink), CaptureError> {
    let codec = first.format.codec;
    let start = |nth| {
        let (decoder, running) = (make_decoder(codec, nth)?, Running::new());
        let sink = AppSink::builder()
            .sync(false)
            .async_(false)
            .max_buffers(0)
            .enable_last_sample(false)
            // Who would take what is left waits for the end to have gone through.
            .wait_on_eos(false)
            .build();
        running.chain(&[&decoder, &make("videoconvert")?, &filter(&raw_caps())?, sink.upcast_ref()])?;
        Ok((Inline::start(running, &decoder, &unit_caps(codec))?, sink))
    };
    let mut result = start(0);
    for nth in 1..decoders(codec).len() {
        if result.is_ok() {
            break;
        }
        result = start(nth);
    }
    result
}
