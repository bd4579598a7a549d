//! Export of events: written while it is read, in constant memory.
//!
//! One task reads the events and writes the text into a short channel, from which the answer is taken at the client's
//! pace. A client that goes away closes the channel, and with it the query ends.

use std::cell::Cell;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use argus_core::event::Event;
use argus_core::{Timestamp, chain};
use argus_db::{DbError, EventFilter, Exported, Sort};
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::csv::CsvEvents;
use super::filter::{self, EventQuery, SortQuery};
use crate::auth::{Caller, ReadEvents};
use crate::error::ApiError;
use crate::paths;
use crate::query::Query;
use crate::state::Shared;

/// Bytes that are sent at once.
pub(super) const CHUNK: usize = 64 << 10;
/// Chunks that wait for the client.
const WAITING: usize = 4;
/// Bytes a second that a client takes at the least, in the long run: only a few exports run side by side.
const SLOWEST: u64 = 16 << 10;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Format {
    #[default]
    Csv,
    Ndjson,
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    /// Ending of the file's name, and the value of `format`.
    fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }
}

/// Gives all events that match as a table or as lines of JSON, as they are when the answer begins.
#[utoipa::path(
    get,
    path = paths::EVENT_EXPORT,
    operation_id = "export_events",
    tag = "events",
    params(
        EventQuery,
        SortQuery,
        ("format" = Option<String>, Query, description = "`csv`, the default, or `ndjson`: a whole event in each line")
    ),
    responses(
        (status = 200, description = "The events, as an attachment", content(
            (String = "text/csv; charset=utf-8; header=present"),
            (String = "application/x-ndjson")
        )),
        (status = 422)
    ),
    extensions(("x-permission" = json!("read:events")))
)]
pub(crate) async fn export(
    _: Caller<ReadEvents>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let mut query = Query::parse(req.query_string())?;
    let filter = filter::read(&mut query);
    let sort = filter::sort(&mut query);
    let format = query.read("format", |text| match text {
        "csv" => Ok(Format::Csv),
        "ndjson" => Ok(Format::Ndjson),
        _ => Err("is none of csv ndjson".to_owned()),
    });
    query.done()?;
    let format = format.unwrap_or_default();
    let now = shared.state.clock.now();
    let (first, rest, broken) = begin(&shared, filter, sort, format).await?;
    // Nothing of the rest is lost: what comes first is sent first.
    let chunks = futures_util::stream::unfold((Some(first), rest, broken), next);
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, format.content_type()))
        .insert_header((header::CONTENT_DISPOSITION, attachment(now, format)))
        .streaming(chunks))
}

fn attachment(now: Timestamp, format: Format) -> String {
    let name = now.to_jiff().strftime("argus-events-%Y%m%dT%H%M%SZ");
    format!("attachment; filename=\"{name}.{}\"", format.name())
}

type Chunks = mpsc::Receiver<Result<Bytes, DbError>>;

/// The next chunk of the answer. One that was broken off must not look whole.
async fn next(
    (first, mut rest, broken): (Option<Bytes>, Chunks, Arc<AtomicBool>),
) -> Option<(Result<Bytes, ApiError>, (Option<Bytes>, Chunks, Arc<AtomicBool>))> {
    let chunk = match first.filter(|chunk| !chunk.is_empty()) {
        Some(first) => Ok(first),
        None => match rest.recv().await {
            Some(Ok(chunk)) => Ok(chunk),
            Some(Err(failure)) => {
                tracing::warn!(error = chain(&failure), "an export broke off");
                Err(failure.into())
            }
            None if broken.swap(false, Ordering::Relaxed) => {
                tracing::info!("an export broke off: its client took nothing for too long");
                Err(ApiError::Panicked)
            }
            None => return None,
        },
    };
    Some((chunk, (None, rest, broken)))
}

/// Starts the export and waits until its state stands; gives what comes first, which may be nothing.
async fn begin(
    shared: &Shared,
    filter: EventFilter,
    sort: Sort,
    format: Format,
) -> Result<(Bytes, Chunks, Arc<AtomicBool>), ApiError> {
    let (sender, mut chunks) = mpsc::channel(WAITING);
    let broken = Arc::new(AtomicBool::new(false));
    let outlet = Outlet {
        sender: sender.clone(),
        runtime: shared.runtime.clone(),
        patience: shared.state.timing.silence,
        broken: Arc::clone(&broken),
        pace: Cell::new(Pace::default()),
    };
    let db = shared.state.db.clone();
    shared.runtime.spawn(async move {
        let done = match format {
            Format::Csv => {
                let mut table = CsvEvents::new(outlet);
                db.event_lines(filter, sort, move |item| flow(table.take(item))).await
            }
            Format::Ndjson => {
                let mut lines = BufWriter::with_capacity(CHUNK, outlet);
                db.event_each(filter, sort, move |item| flow(ndjson(&mut lines, item))).await
            }
        };
        if let Err(failure) = done {
            // Nobody listens any more, or it is told.
            let _ = sender.send(Err(failure)).await;
        }
    });
    match chunks.recv().await {
        Some(first) => Ok((first?, chunks, broken)),
        None => Err(ApiError::Panicked),
    }
}

fn flow(written: io::Result<()>) -> ControlFlow<()> {
    if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

fn ndjson(lines: &mut BufWriter<Outlet>, item: Exported<Event>) -> io::Result<()> {
    match item {
        Exported::Begun(_) => lines.get_ref().send(Bytes::new()),
        Exported::Row(event) => {
            serde_json::to_writer(&mut *lines, &event)?;
            lines.write_all(b"\n")
        }
    }
}

/// The writing end of an answer, for a thread that may block.
pub(super) struct Outlet {
    sender: mpsc::Sender<Result<Bytes, DbError>>,
    runtime: Handle,
    /// How long a client may take nothing.
    patience: Duration,
    broken: Arc<AtomicBool>,
    pace: Cell<Pace>,
}

/// How fast a client takes what it is sent.
#[derive(Clone, Copy, Default)]
struct Pace {
    sent: u64,
    /// How long it has been waited for.
    waited: Duration,
}

impl Pace {
    /// How long it may be waited for now: never longer than `patience`, and on the whole only by that longer than the
    /// slowest of clients needs for what was sent.
    fn patience(self, patience: Duration) -> Duration {
        let owed = Duration::from_millis(self.sent.saturating_mul(1000) / SLOWEST);
        patience.min((patience + owed).saturating_sub(self.waited))
    }
}

impl Outlet {
    fn send(&self, chunk: Bytes) -> io::Result<()> {
        let mut pace = self.pace.get();
        pace.sent = pace.sent.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        self.pace.set(pace);
        let chunk = match self.sender.try_send(Ok(chunk)) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(io::ErrorKind::BrokenPipe.into()),
            Err(mpsc::error::TrySendError::Full(chunk)) => chunk,
        };
        let (begun, patience) = (Instant::now(), pace.patience(self.patience));
        let sent = self.runtime.block_on(async { tokio::time::timeout(patience, self.sender.send(chunk)).await });
        pace.waited += begun.elapsed();
        self.pace.set(pace);
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_closed)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_elapsed) => {
                self.broken.store(true, Ordering::Relaxed);
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }
}

impl Write for Outlet {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // What follows a break would leave a hole.
        if !text.is_empty() && !self.broken.load(Ordering::Relaxed) {
            self.send(Bytes::copy_from_slice(text))?;
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sent: u64, waited_s: u64, expected_s: u64) {
        let pace = Pace { sent, waited: Duration::from_secs(waited_s) };
        assert_eq!(pace.patience(Duration::from_secs(75)), Duration::from_secs(expected_s), "{sent} in {waited_s} s");
    }

    #[test]
    fn a_trickle_does_not_hold_an_export_for_ever() {
        check(0, 0, 75);
        check(0, 70, 5);
        check(64 << 10, 70, 9);
        check(64 << 10, 79, 0);
        check(64 << 10, 500, 0);
        // Whoever takes more than the least is never waited for longer than anybody.
        check(1 << 30, 3600, 75);
    }
}
