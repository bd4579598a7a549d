//! Clips: what is in memory and what follows it, written to an MP4 as it comes in: as it is, or, where a privacy mask
//! holds, painted over and encoded anew ([`crate::repaint`]).
//!
//! A clip that began without a mask and meets one, because the camera's zones changed meanwhile, begins again with what is
//! in memory, so that all of it goes the other way. It may then begin later than was wanted.

use std::collections::VecDeque;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use argus_core::Timestamp;
use argus_core::ports::{ClipFile, ClipRecorder, FeedError};
use async_trait::async_trait;
use tempfile::TempPath;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::gst::mux::{Mux, Pushed};
use crate::mp4_edit;
use crate::repaint::Repaint;
use crate::ring::AccessUnit;
use crate::shared::Shared;
use crate::{CaptureError, blocking};

/// Bytes that may wait for the disk before the clip stops taking more.
const WAITING_MAX: u64 = 16 << 20;
/// A picture that is due may be late by that much.
const LATE_MAX: Duration = Duration::from_secs(2);
/// The index lies within the first bytes of a clip; ten minutes of it are far below that.
const HEAD_MAX: u64 = 8 << 20;

/// Where clips are written, and who may paint.
#[derive(Clone, Debug)]
pub(crate) struct Studio {
    pub(crate) dir: PathBuf,
    /// One clip at a time is painted over.
    pub(crate) turn: Arc<Semaphore>,
}

/// Begins a clip at `from`.
pub(crate) async fn start(
    shared: &Arc<Shared>,
    from: Timestamp,
    studio: Studio,
) -> Result<Box<dyn ClipRecorder>, FeedError> {
    let (backlog, live) = shared.follow(from);
    let writer = Writer::begin(shared.clone(), from, studio, backlog, live).await?;
    let (finish, until) = oneshot::channel();
    let task = tokio::spawn(write(writer, until));
    Ok(Box::new(Recorder { finish, task }))
}

struct Recorder {
    finish: oneshot::Sender<Timestamp>,
    task: JoinHandle<Result<ClipFile, FeedError>>,
}

#[async_trait]
impl ClipRecorder for Recorder {
    async fn finish(self: Box<Self>, until: Timestamp) -> Result<ClipFile, FeedError> {
        // The writer may have failed already; its answer tells.
        let _ = self.finish.send(until);
        self.task.await.map_err(stopping)?
    }
}

/// Which moments a clip shows.
#[derive(Debug)]
pub(crate) struct Shown {
    /// Wanted beginning.
    from: Timestamp,
    /// First picture in the file.
    first: Timestamp,
    /// First picture that is shown: the last one at or before the wanted beginning.
    begin: Timestamp,
    /// Last picture in the file.
    last: Timestamp,
    /// Last picture that is shown.
    end: Timestamp,
    units: u32,
}

impl Shown {
    pub(crate) fn new(from: Timestamp, first: Timestamp) -> Self {
        Self { from, first, begin: first, last: first, end: first, units: 0 }
    }

    pub(crate) fn count(&mut self, at: Timestamp) {
        self.units = self.units.saturating_add(1);
        self.last = self.last.max(at);
        if at <= self.from {
            self.begin = self.begin.max(at);
        }
    }

    /// Ends it at `until`; `false`: then nothing is left.
    fn end_at(&mut self, until: Timestamp) -> bool {
        self.end = self.last.min(until);
        self.units > 0 && self.end >= self.begin
    }

    /// The typical distance of two pictures.
    fn step(&self) -> Duration {
        self.last.since(self.first) / self.units.saturating_sub(1).max(1)
    }
}

/// Where the units go.
enum Output {
    /// Into the file, as they are.
    Copied(Mux, Shown),
    /// To be painted over.
    Painted(Repaint),
}

impl Output {
    async fn begin(first: AccessUnit, from: Timestamp, masked: bool, studio: Studio) -> Result<Self, FeedError> {
        if masked {
            return Repaint::start(&first, from, studio.dir, studio.turn).map(Self::Painted).map_err(told);
        }
        let shown = Shown::new(from, first.at);
        let mux = blocking::spawn(move || Mux::of_units(&first, &studio.dir)).await.map_err(stopping)?;
        Ok(Self::Copied(mux.map_err(told)?, shown))
    }
}

/// The times of decoding of a stream, which may not tell them.
#[derive(Debug, Default)]
struct Order {
    /// The newest picture so far.
    newest: Option<Timestamp>,
    /// How long before it is shown a picture was seen to be coded.
    early: Duration,
}

impl Order {
    fn note(&mut self, unit: &AccessUnit) {
        let newest = self.newest.map_or(unit.at, |t| t.max(unit.at));
        self.newest = Some(newest);
        self.early = self.early.max(newest.since(unit.at));
    }

    /// When a unit is to be decoded at the latest, in wall time: no picture before that comes after it.
    fn decoded_at(&self, unit: &AccessUnit) -> Timestamp {
        let early = unit.dts_us.map_or(self.early, |dts| {
            Duration::from_micros(u64::try_from(unit.pts_us.saturating_sub(dts)).unwrap_or(0))
        });
        unit.at.minus(early)
    }
}

struct Writer {
    shared: Arc<Shared>,
    from: Timestamp,
    studio: Studio,
    output: Output,
    backlog: VecDeque<AccessUnit>,
    live: mpsc::Receiver<AccessUnit>,
    session: u64,
    order: Order,
    /// When the newest unit is to be decoded, and when it is shown.
    decoded: Timestamp,
    last: Timestamp,
    /// More may come.
    open: bool,
}

impl Writer {
    async fn begin(
        shared: Arc<Shared>,
        from: Timestamp,
        studio: Studio,
        backlog: Vec<AccessUnit>,
        live: mpsc::Receiver<AccessUnit>,
    ) -> Result<Self, FeedError> {
        let first = backlog.first().cloned();
        let first =
            first.ok_or_else(|| FeedError::NoPicture("there is no picture in memory to begin a clip with".into()))?;
        let masked = backlog.iter().any(|unit| !unit.mask.is_empty());
        let (session, at) = (first.session, first.at);
        let output = Output::begin(first, from, masked, studio.clone()).await?;
        let (order, backlog) = (Order::default(), backlog.into());
        Ok(Self { shared, from, studio, output, backlog, live, session, order, decoded: at, last: at, open: true })
    }

    /// The next unit; `None` when there is none to come. Cancel-safe.
    async fn next(&mut self) -> Option<AccessUnit> {
        match self.backlog.pop_front() {
            Some(unit) => Some(unit),
            None => self.live.recv().await,
        }
    }

    /// Hands a unit on. What cannot be taken ends the clip.
    async fn put(&mut self, unit: AccessUnit) {
        if unit.session != self.session {
            self.open = false;
            return;
        }
        if !unit.mask.is_empty() && matches!(self.output, Output::Copied(..)) {
            self.open = self.begin_again().await;
            return;
        }
        self.order.note(&unit);
        self.decoded = self.order.decoded_at(&unit);
        self.last = self.last.max(unit.at);
        self.open = match &mut self.output {
            Output::Copied(mux, shown) => copy(mux, shown, &unit).await,
            Output::Painted(repaint) => repaint.push(unit),
        };
    }

    /// Begins the clip anew, painted over, with what is in memory. `false`: it ends where the mask began.
    async fn begin_again(&mut self) -> bool {
        let (backlog, live) = self.shared.follow(self.from);
        if backlog.first().is_none_or(|unit| unit.session != self.session) {
            return false;
        }
        let (shared, studio) = (self.shared.clone(), self.studio.clone());
        match Self::begin(shared, self.from, studio, backlog, live).await {
            Ok(anew) => {
                let old = std::mem::replace(self, anew);
                blocking::detach(move || drop(old));
                true
            }
            Err(e) => {
                tracing::warn!(error = %e, "a clip ends where a privacy zone was added: it could not be begun anew");
                false
            }
        }
    }
}

/// Hands a unit to the file; `false` ends the clip.
async fn copy(mux: &Mux, shown: &mut Shown, unit: &AccessUnit) -> bool {
    let patience = Instant::now() + Duration::from_secs(10);
    while mux.waiting_bytes() > WAITING_MAX {
        if Instant::now() > patience {
            tracing::warn!("a clip ends early: the disk is too slow");
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    match mux.push(unit) {
        Pushed::Taken => shown.count(unit.at),
        Pushed::Skipped => {}
        Pushed::Refused => return false,
    }
    true
}

/// Writes until the end is known and reached, or the stream breaks off.
async fn write(mut writer: Writer, mut until: oneshot::Receiver<Timestamp>) -> Result<ClipFile, FeedError> {
    let until = loop {
        tokio::select! {
            biased;
            end = &mut until => match end {
                Ok(end) => break end,
                Err(_dropped) => {
                    blocking::spawn(move || drop(writer)).await.map_err(stopping)?;
                    return Err(FeedError::Stream("the clip was abandoned".to_owned()));
                }
            },
            unit = writer.next(), if writer.open => match unit {
                Some(unit) => writer.put(unit).await,
                None => writer.open = false,
            },
        }
    };
    // What is still to come: up to the first picture after the end.
    let deadline = Instant::now() + until.since(writer.last) + LATE_MAX;
    while writer.open && writer.decoded < until {
        match timeout_at(deadline, writer.next()).await {
            // By the time of decoding: pictures may be coded after one that is shown later.
            Ok(Some(unit)) if writer.order.decoded_at(&unit) <= until => writer.put(unit).await,
            _ => writer.open = false,
        }
    }
    let Writer { output, live, backlog, .. } = writer;
    drop((live, backlog));
    let none = || FeedError::NoPicture("the clip would hold no picture".to_owned());
    match output {
        Output::Copied(mux, mut shown) => {
            if !shown.end_at(until) {
                blocking::detach(move || drop(mux));
                return Err(none());
            }
            blocking::spawn(move || complete(mux.finish()?, &shown)).await.map_err(stopping)?.map_err(told)
        }
        Output::Painted(repaint) => {
            let (path, mut shown) = repaint.finish().await.map_err(told)?;
            if !shown.end_at(until) {
                return Err(none());
            }
            blocking::spawn(move || complete(path, &shown)).await.map_err(stopping)?.map_err(told)
        }
    }
}

/// Completes the file and hides what lies before and after what was wanted.
fn complete(path: TempPath, shown: &Shown) -> Result<ClipFile, CaptureError> {
    let failed = |e| CaptureError::File("the clip cannot be completed", e);
    let skip = shown.begin.since(shown.first);
    let length = shown.end.since(shown.begin) + shown.step();
    let trimmed = trim(&path, skip, length).map_err(failed)?;
    if !trimmed {
        tracing::debug!("a clip shows all of its first group of pictures: its index has no edit list to change");
    }
    let bytes = std::fs::metadata(&path).map_err(failed)?.len();
    let (from, until) = if trimmed { (shown.begin, shown.end) } else { (shown.first, shown.last) };
    Ok(ClipFile { from, until, bytes, file: Box::new(Temporary(path)) })
}

fn trim(path: &Path, skip: Duration, length: Duration) -> std::io::Result<bool> {
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(path)?;
    let mut head = Vec::new();
    (&mut file).take(HEAD_MAX).read_to_end(&mut head)?;
    let place = mp4_edit::find_moov(&head)
        .and_then(|(at, size)| Some((at, usize::try_from(at).ok()?, usize::try_from(size).ok()?)));
    let Some((offset, at, size)) = place else { return Ok(false) };
    let Some(moov) = at.checked_add(size).and_then(|end| head.get_mut(at..end)) else { return Ok(false) };
    if mp4_edit::trim(moov, skip, length).is_none() {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(moov)?;
    file.flush()?;
    Ok(true)
}

/// Removes the file when it is dropped.
struct Temporary(TempPath);

impl AsRef<Path> for Temporary {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

fn told(e: CaptureError) -> FeedError {
    FeedError::Stream(argus_core::chain(&e))
}

fn stopping(_e: tokio::task::JoinError) -> FeedError {
    FeedError::Stream("the clip's writer was stopped".to_owned())
}
