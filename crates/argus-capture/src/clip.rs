//! Clips: what is in memory and what follows it, written to an MP4 as it comes in, without re-encoding.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use argus_core::Timestamp;
use argus_core::ports::{ClipFile, ClipRecorder, FeedError};
use async_trait::async_trait;
use tempfile::TempPath;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::gst::mux::Mux;
use crate::mp4_edit;
use crate::ring::AccessUnit;
use crate::shared::Shared;
use crate::{CaptureError, blocking};

/// Bytes that may wait for the disk before the clip stops taking more.
const WAITING_MAX: u64 = 16 << 20;
/// A picture that is due may be late by that much.
const LATE_MAX: Duration = Duration::from_secs(2);
/// The index lies within the first bytes of a clip; ten minutes of it are far below that.
const HEAD_MAX: u64 = 8 << 20;

/// Begins a clip at `from`.
pub(crate) async fn start(shared: &Shared, from: Timestamp, dir: PathBuf) -> Result<Box<dyn ClipRecorder>, FeedError> {
    let (backlog, live) = shared.follow(from);
    let first = backlog.first().cloned();
    let first =
        first.ok_or_else(|| FeedError::NoPicture("there is no picture in memory to begin a clip with".into()))?;
    let begin = first.clone();
    let mux = blocking::spawn(move || Mux::new(&begin, &dir)).await.map_err(stopping)?.map_err(told)?;
    let (finish, until) = oneshot::channel();
    let writer = Writer {
        mux,
        session: first.session,
        decoded: first.at,
        shown: Shown { from, first: first.at, begin: first.at, last: first.at, end: first.at, units: 0 },
    };
    let task = tokio::spawn(write(writer, backlog, live, until));
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
struct Shown {
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
    fn count(&mut self, at: Timestamp) {
        self.units = self.units.saturating_add(1);
        self.last = self.last.max(at);
        if at <= self.from {
            self.begin = self.begin.max(at);
        }
    }

    /// The typical distance of two pictures.
    fn step(&self) -> Duration {
        self.last.since(self.first) / self.units.saturating_sub(1).max(1)
    }
}

/// When a unit is to be decoded, in wall time.
fn decoded_at(unit: &AccessUnit) -> Timestamp {
    let early = unit.dts_us.map_or(0, |dts| unit.pts_us.saturating_sub(dts)).max(0);
    unit.at.minus(Duration::from_micros(u64::try_from(early).unwrap_or(0)))
}

struct Writer {
    mux: Mux,
    session: u64,
    /// When the newest unit is to be decoded.
    decoded: Timestamp,
    shown: Shown,
}

impl Writer {
    /// Hands a unit to the file; `false` ends the clip.
    async fn take(&mut self, unit: &AccessUnit) -> bool {
        if unit.session != self.session {
            return false;
        }
        let patience = Instant::now() + Duration::from_secs(10);
        while self.mux.waiting_bytes() > WAITING_MAX {
            if Instant::now() > patience {
                tracing::warn!("a clip ends early: the disk is too slow");
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let taken = self.mux.push(unit);
        if taken {
            self.shown.count(unit.at);
            self.decoded = decoded_at(unit);
        }
        taken
    }
}

/// Writes until the end is known and reached, or the stream breaks off.
async fn write(
    mut writer: Writer,
    backlog: Vec<AccessUnit>,
    mut live: mpsc::Receiver<AccessUnit>,
    mut until: oneshot::Receiver<Timestamp>,
) -> Result<ClipFile, FeedError> {
    let abandoned = || FeedError::Stream("the clip was abandoned".to_owned());
    let mut open = true;
    for unit in &backlog {
        open = open && writer.take(unit).await;
    }
    drop(backlog);
    let until = loop {
        tokio::select! {
            biased;
            end = &mut until => match end {
                Ok(end) => break end,
                Err(_dropped) => return discard(writer, abandoned()).await,
            },
            unit = live.recv(), if open => open = match unit {
                Some(unit) => writer.take(&unit).await,
                None => false,
            },
        }
    };
    // What is still to come: up to the first picture after the end.
    let deadline = Instant::now() + until.since(writer.shown.last) + LATE_MAX;
    while open && writer.decoded < until {
        match timeout_at(deadline, live.recv()).await {
            // By the time of decoding: pictures may be coded after one that is shown later.
            Ok(Some(unit)) if decoded_at(&unit) <= until => open = writer.take(&unit).await,
            _ => open = false,
        }
    }
    drop(live);
    let Writer { mux, mut shown, .. } = writer;
    shown.end = shown.last.min(until);
    if shown.units == 0 || shown.end < shown.begin {
        drop(blocking::spawn(move || drop(mux)));
        return Err(FeedError::NoPicture("the clip would hold no picture".to_owned()));
    }
    blocking::spawn(move || complete(mux, &shown)).await.map_err(stopping)?.map_err(told)
}

async fn discard(writer: Writer, error: FeedError) -> Result<ClipFile, FeedError> {
    blocking::spawn(move || drop(writer)).await.map_err(stopping)?;
    Err(error)
}

/// Completes the file and hides what lies before and after what was wanted.
fn complete(mux: Mux, shown: &Shown) -> Result<ClipFile, CaptureError> {
    let path = mux.finish()?;
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
