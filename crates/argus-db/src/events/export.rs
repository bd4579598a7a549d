//! All events that match, one after the other, as they are at one moment.

use std::collections::HashMap;
use std::ops::ControlFlow;

use argus_core::event::Event;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};

use super::filter::Query;
use super::ladder::Window;
use super::row::{ClipState, FrameRow};
use super::walk::{Position, behind, in_order};
use super::{EventFilter, EventRow, Sort, WHAT};
use crate::conn::{DbConn, Role};
use crate::database::{Database, Lanes};
use crate::error::DbError;
use crate::schema::{camera, event};

/// Rows that PostgreSQL is asked for at once: its client library keeps a whole answer in memory. SQLite gives row by row.
const POSTGRES_AT_ONCE: i64 = 2_000;

/// An event as one line of a table, in stored form.
#[derive(Debug, Queryable)]
#[expect(missing_docs, reason = "the columns of `event` under their own names")]
pub struct EventLine {
    pub id: String,
    pub camera_id: String,
    pub started_us: i64,
    pub ended_us: Option<i64>,
    pub source_type: String,
    pub detection_type: String,
    /// A JSON list.
    pub objects: String,
    pub description: String,
    pub description_status: String,
    pub confidence: i32,
    pub ai_confidence: Option<i32>,
    pub low_confidence: bool,
    pub is_doorbell_ring: bool,
    pub alert_triggered: bool,
    pub provider_used: Option<String>,
    pub model: Option<String>,
    pub analysis_mode: Option<String>,
    pub frame_count_used: Option<i32>,
    pub ai_cost: Option<f64>,
    pub tokens_used: Option<i64>,
    pub ai_response_time_ms: Option<i64>,
    clip_state: String,
    pub created_us: i64,
}

impl EventLine {
    /// Whether a clip can be seen.
    #[must_use]
    pub fn has_clip(&self) -> bool {
        self.clip_state == ClipState::Stored.as_str()
    }
}

/// What an export is made of, in this order.
#[derive(Debug)]
pub enum Exported<T> {
    /// From here on the state stands; the names of all cameras by id.
    Begun(HashMap<String, String>),
    /// The next event.
    Row(T),
}

/// Takes what is exported, and may block; `Break` ends the export.
pub trait ExportSink<T>: FnMut(Exported<T>) -> ControlFlow<()> + Send + 'static {}

impl<T, F: FnMut(Exported<T>) -> ControlFlow<()> + Send + 'static> ExportSink<T> for F {}

/// Pictures of an event in one column: index, offset, whether stored, hash.
const FRAMES: &str = "(SELECT AGGREGATE(f.idx || ' ' || f.offset_ms || ' ' || CAST(f.stored AS INTEGER) || ' ' || f.sha256, \
     ';') FROM event_frame AS f WHERE f.event_id = event.id)";

impl Database {
    /// Gives every matching event as a line to `sink`, in the order of the list and in one state of the database, one at a
    /// time. A slow sink delays nobody: exports have connections of their own.
    ///
    /// # Errors
    /// `Busy` when too many exports run, `Unavailable`.
    pub async fn event_lines<S: ExportSink<EventLine>>(
        &self,
        filter: EventFilter,
        sort: Sort,
        mut sink: S,
    ) -> Result<(), DbError> {
        self.export(move |c| {
            if sink(Exported::Begun(names(c)?)).is_break() {
                return Ok(());
            }
            in_parts(c, &filter, sort, |c, query| {
                let columns = (
                    event::id,
                    event::camera_id,
                    event::started_us,
                    event::ended_us,
                    event::source_type,
                    event::detection_type,
                    event::objects,
                    event::description,
                    event::description_status,
                    event::confidence,
                    event::ai_confidence,
                    event::low_confidence,
                    event::is_doorbell_ring,
                    event::alert_triggered,
                    event::provider_used,
                    event::model,
                    event::analysis_mode,
                    event::frame_count_used,
                    event::ai_cost,
                    event::tokens_used,
                    event::ai_response_time_ms,
                    event::clip_state,
                    event::created_us,
                );
                let mut part = Part::default();
                for row in query.select(columns).load_iter::<EventLine, _>(c)? {
                    let row = row?;
                    part.seen(row.started_us, &row.id);
                    if sink(Exported::Row(row)).is_break() {
                        return Ok(Part::default());
                    }
                }
                Ok(part)
            })
        })
        .await
    }

    /// The same with whole events.
    ///
    /// # Errors
    /// `Busy` when too many exports run, `Unavailable`.
    pub async fn event_each<S: ExportSink<Event>>(
        &self,
        filter: EventFilter,
        sort: Sort,
        mut sink: S,
    ) -> Result<(), DbError> {
        self.export(move |c| {
            let names = names(c)?;
            if sink(Exported::Begun(HashMap::new())).is_break() {
                return Ok(());
            }
            let frames = FRAMES.replace("AGGREGATE", if c.is_postgres() { "string_agg" } else { "group_concat" });
            in_parts(c, &filter, sort, |c, query| {
                let query = query.select((event::all_columns, sql::<Nullable<Text>>(&frames)));
                let mut part = Part::default();
                for row in query.load_iter::<(EventRow, Option<String>), _>(c)? {
                    let (row, frames) = row?;
                    part.seen(row.started_us, &row.id);
                    let frames = frames_of(&row.id, frames.as_deref().unwrap_or_default())?;
                    let name = names.get(&row.camera_id).cloned().unwrap_or_default();
                    if sink(Exported::Row(row.event(name, &frames)?)).is_break() {
                        return Ok(Part::default());
                    }
                }
                Ok(part)
            })
        })
        .await
    }

    /// Runs one closure in one state of the database, on a connection that only exports use.
    async fn export<F>(&self, f: F) -> Result<(), DbError>
    where
        F: FnOnce(&mut DbConn) -> Result<(), DbError> + Send + 'static,
    {
        self.run(Lanes::Export, move |c| c.transact(Role::Reader, f)).await
    }
}

/// What was read of a part of an export.
#[derive(Default)]
struct Part {
    rows: i64,
    last: Option<Position>,
}

impl Part {
    fn seen(&mut self, started_us: i64, id: &str) {
        self.rows += 1;
        match &mut self.last {
            Some(last) => {
                last.started_us = started_us;
                id.clone_into(&mut last.id);
            }
            none => *none = Some(Position { started_us, id: id.to_owned() }),
        }
    }
}

/// Reads all that matches in parts that fit into memory; an empty part is the last.
fn in_parts(
    c: &mut DbConn,
    filter: &EventFilter,
    sort: Sort,
    mut read: impl FnMut(&mut DbConn, Query) -> Result<Part, DbError>,
) -> Result<(), DbError> {
    let at_once = if c.is_postgres() { POSTGRES_AT_ONCE } else { i64::MAX };
    let mut after = None;
    loop {
        let Some(mut query) = filter.query(Window::all(), c.is_postgres()) else { return Ok(()) };
        if let Some(last) = &after {
            query = behind(query, sort, last);
        }
        let part = read(c, in_order(query, sort).limit(at_once))?;
        if part.rows < at_once {
            return Ok(());
        }
        after = part.last;
    }
}

/// The names of all cameras by id.
fn names(c: &mut DbConn) -> Result<HashMap<String, String>, DbError> {
    let names: Vec<(String, String)> = camera::table.select((camera::id, camera::name)).load(c)?;
    Ok(names.into_iter().collect())
}

/// Pictures out of the one column of [`FRAMES`], in order.
fn frames_of(event_id: &str, text: &str) -> Result<Vec<FrameRow>, DbError> {
    let damaged = || DbError::corrupt(WHAT, format!("its pictures are {text:?}"));
    let mut frames = Vec::new();
    for one in text.split(';').filter(|one| !one.is_empty()) {
        let mut fields = one.splitn(4, ' ');
        let mut field = || fields.next().ok_or_else(damaged);
        let (idx, offset_ms, stored, sha256) = (field()?, field()?, field()?, field()?);
        frames.push(FrameRow {
            event_id: event_id.to_owned(),
            idx: idx.parse().map_err(|_bad| damaged())?,
            offset_ms: offset_ms.parse().map_err(|_bad| damaged())?,
            sha256: sha256.to_owned(),
            // Not shown.
            width: 0,
            height: 0,
            bytes: 0,
            stored: stored == "1",
            is_best: false,
        });
    }
    frames.sort_by_key(|frame| frame.idx);
    Ok(frames)
}
