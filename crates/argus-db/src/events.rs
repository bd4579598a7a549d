//! Events: opened, changed and removed together with their journal entries, jobs and counts.

mod change;
mod export;
mod facts;
mod filter;
mod group;
mod ladder;
mod list;
mod remembered;
mod row;
mod stats;
pub(crate) mod summary;
mod totals;
mod walk;

use std::collections::HashMap;

use argus_core::event::{DescriptionStatus, Event, NewEvent, StatusReason};
use argus_core::journal::{DeleteReason, MessageType};
use argus_core::{EventId, Timestamp};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::result::DatabaseErrorKind;
use diesel::sql_types::{BigInt, Bool, Text};

use crate::among::among;
use crate::calls;
use crate::conn::DbConn;
use crate::database::{Database, Tx};
use crate::error::{ConstraintExt, DbError};
use crate::jobs;
use crate::journal::NewEntry;
use crate::removal::CAMERA_STAYS;
use crate::retention;
use crate::schema::{camera, event, event_frame};
use crate::storage::{self, Held};
use crate::value::{json, parse};

pub use change::{EventChange, MediaFound, NewFrame};
pub use export::{EventLine, ExportSink, Exported};
pub use filter::EventFilter;
pub use list::{EventPage, Paging, Sort};
pub use row::{ClipState, FramesState, StoredFrame, UnfinishedEvent};

pub use stats::EventStats;

pub(crate) use remembered::{Step, Totals};
pub(crate) use row::{EventRow, FINISHED, FrameRow, UNFINISHED};

use summary::Changes;

use change::FrameChange;

pub(crate) const WHAT: &str = "event";

/// What is to become of the description of a new event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DescriptionPlan {
    /// A job waits until the event's pictures are there.
    Job {
        /// Higher ones go first.
        priority: i32,
    },
    /// It keeps its built-in sentence, for this reason.
    Skip(StatusReason),
}

impl Database {
    /// Stores a new event, its group, its count, its job and its `event.created`, all or nothing. Gives the event and the
    /// number of the message. Events whose group changes with it are announced after it.
    ///
    /// # Errors
    /// `NotFound` when the camera is gone, `Conflict` when the controller's detection has an event already, `Invalid` for
    /// a value that cannot be stored.
    pub async fn event_open(
        &self,
        new: NewEvent,
        stored_at: Timestamp,
        plan: DescriptionPlan,
    ) -> Result<(Event, i64), DbError> {
        self.write(move |tx| {
            let mut row = EventRow::new(&new, stored_at)?;
            if let DescriptionPlan::Skip(reason) = plan {
                row.description_status = DescriptionStatus::Skipped.to_string();
                row.status_reason = Some(reason.to_string());
            }
            let regrouped = group::join(tx, &mut row, stored_at)?;
            match diesel::insert_into(event::table).values(&row).execute(tx.conn) {
                Err(diesel::result::Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _))
                    if new.protect.is_some() =>
                {
                    return Err(DbError::Conflict { what: WHAT, field: "protect_event_id" });
                }
                stored => stored.needs("camera")?,
            };
            let mut counts = Changes::default();
            counts.add(&row, 1)?;
            if let DescriptionPlan::Job { priority } = plan {
                jobs::insert_waiting(tx.conn, &row.id, priority, stored_at)?;
            }
            counts.apply(tx)?;
            let event = whole(tx.conn, row)?;
            let seq = tell(tx, MessageType::EventCreated, &event, stored_at)?;
            for older in whole_all(tx.conn, regrouped)? {
                tell(tx, MessageType::EventUpdated, &older, stored_at)?;
            }
            Ok((event, seq))
        })
        .await
    }

    /// Makes all the changes at once and announces the event as it is then, in one message; only `Progress` by itself is
    /// not announced.
    ///
    /// # Errors
    /// `NotFound` when the event is gone, `Invalid` for a value that cannot be stored.
    pub async fn event_change(&self, id: EventId, changes: Vec<EventChange>, now: Timestamp) -> Result<Event, DbError> {
        self.write(move |tx| change(tx, id, changes, now)).await
    }

    /// One event.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn event_get(&self, id: EventId) -> Result<Option<Event>, DbError> {
        self.read_snapshot(move |c| {
            let row: Option<EventRow> = event::table.find(id.to_string()).first(c).optional()?;
            row.map(|row| whole(c, row)).transpose()
        })
        .await
    }

    /// The pictures of an event in order.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn event_frames(&self, id: EventId) -> Result<Vec<StoredFrame>, DbError> {
        self.read(move |c| {
            let rows: Vec<FrameRow> = event_frame::table
                .filter(event_frame::event_id.eq(id.to_string()))
                .order(event_frame::idx.asc())
                .load(c)?;
            rows.iter().map(FrameRow::stored).collect()
        })
        .await
    }

    /// Removes an event with its frames, receipts and job, and announces it. Gives the event as it was. Its folder is in
    /// the trash (see [`Database::trash`]): its files are the caller's.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn event_delete(&self, id: EventId, reason: DeleteReason, now: Timestamp) -> Result<Event, DbError> {
        self.write(move |tx| {
            let row = find_locked(tx, id)?;
            let event = whole(tx.conn, row.clone())?;
            retention::remove(tx, &[row], reason, now)?;
            Ok(event)
        })
        .await
    }

    /// Events that are still open, or whose clip or pictures are still expected, oldest first: after a crash, what has
    /// to be brought to an end. Those whose camera is being deleted are left out.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn events_unfinished(&self) -> Result<Vec<UnfinishedEvent>, DbError> {
        self.read_snapshot(|c| {
            let rows: Vec<EventRow> = event::table
                .filter(sql::<Bool>(UNFINISHED))
                .filter(sql::<Bool>(CAMERA_STAYS))
                .order((event::started_us.asc(), event::id.asc()))
                .load(c)?;
            let media = rows.iter().map(EventRow::media).collect::<Result<Vec<_>, _>>()?;
            let events = whole_all(c, rows)?;
            Ok(events
                .into_iter()
                .zip(media)
                .map(|(event, (last_motion, clip, frames))| UnfinishedEvent { event, last_motion, clip, frames })
                .collect())
        })
        .await
    }
}

/// Takes the event's row for this transaction. SQLite has one writer; PostgreSQL locks the row.
pub(crate) fn lock(tx: &mut Tx<'_>, id: EventId) -> Result<(), DbError> {
    if tx.conn.is_postgres() {
        diesel::sql_query("SELECT id FROM event WHERE id = $1 FOR UPDATE")
            .bind::<Text, _>(id.to_string())
            .execute(tx.conn)?;
    }
    Ok(())
}

/// Reads a row for a change.
fn find_locked(tx: &mut Tx<'_>, id: EventId) -> Result<EventRow, DbError> {
    lock(tx, id)?;
    event::table.find(id.to_string()).first(tx.conn).optional()?.ok_or(DbError::NotFound { what: WHAT })
}

/// Makes changes inside a transaction; see [`Database::event_change`].
pub(crate) fn change(
    tx: &mut Tx<'_>,
    id: EventId,
    changes: Vec<EventChange>,
    now: Timestamp,
) -> Result<Event, DbError> {
    let mut row = find_locked(tx, id)?;
    let mut counts = Changes::default();
    counts.add(&row, -1)?;
    let frames_change = changes.iter().any(EventChange::touches_frames);
    let frames_of = |tx: &mut Tx<'_>, id: &str| match frames_change {
        true => storage::frames_of(tx.conn, id),
        // Both before and after: their difference is nothing.
        false => Ok((0, 0)),
    };
    let held = Held::of(&row, frames_of(tx, &row.id)?);
    let names = (row.thumb_stored, row.has_clip());
    let is_told = |c: &EventChange| {
        !matches!(c, EventChange::Progress { .. } | EventChange::Found(_) | EventChange::BestFrame(_))
    };
    let mut is_news = changes.iter().any(is_told);
    let is_progress = changes.iter().any(|c| matches!(c, EventChange::Progress { .. }));
    for one in changes {
        match row.apply(one, now)? {
            FrameChange::Keep => {}
            FrameChange::Replace(frames) => {
                diesel::delete(event_frame::table.filter(event_frame::event_id.eq(&row.id))).execute(tx.conn)?;
                for frame in frames {
                    diesel::insert_into(event_frame::table).values(&frame).execute(tx.conn)?;
                }
            }
            FrameChange::Best(idx) => {
                let frames = event_frame::table.filter(event_frame::event_id.eq(&row.id));
                diesel::update(frames).set(event_frame::is_best.eq(event_frame::idx.eq(idx))).execute(tx.conn)?;
            }
            FrameChange::Found(found) => is_news |= storage::frames_found(tx.conn, &mut row, &found)?,
        }
    }
    let difference = Held::of(&row, frames_of(tx, &row.id)?) - held;
    storage::add(tx.conn, &row.camera_id, difference)?;
    row.media_bytes = row.media_bytes.saturating_add(difference.bytes());
    is_news |= names.0 && !row.thumb_stored || names.1 && !row.has_clip();
    if is_news || is_progress {
        row.updated_us = now.as_micros();
    }
    diesel::update(event::table.find(&row.id)).set(&row).execute(tx.conn)?;
    counts.add(&row, 1)?;
    counts.apply(tx)?;
    let event = whole(tx.conn, row)?;
    if is_news {
        tell(tx, MessageType::EventUpdated, &event, now)?;
    }
    Ok(event)
}

fn tell(tx: &mut Tx<'_>, r#type: MessageType, event: &Event, now: Timestamp) -> Result<i64, DbError> {
    let data = json("data", event)?;
    tx.append(&NewEntry { r#type, camera_id: Some(event.camera_id), event_id: Some(event.id), data: &data }, now)
}

/// Removes at most `limit` events of a camera, oldest first, with everything that hangs on them, and tells how many.
pub(crate) fn delete_of_camera(tx: &mut Tx<'_>, camera: &str, limit: i64) -> Result<usize, DbError> {
    let lock = if tx.conn.is_postgres() { "FOR UPDATE" } else { "" };
    let ids: Vec<OnlyId> =
        diesel::sql_query(format!("SELECT id FROM event WHERE camera_id = $1 ORDER BY started_us, id LIMIT $2 {lock}"))
            .bind::<Text, _>(camera)
            .bind::<BigInt, _>(limit)
            .load(tx.conn)?;
    if ids.is_empty() {
        return Ok(0);
    }
    // Read once they are locked: what is counted out is what is deleted.
    let rows: Vec<EventRow> = event::table.filter(event::id.eq_any(ids.iter().map(|row| &row.id))).load(tx.conn)?;
    storage::uncount(tx.conn, &rows)?;
    delete_rows(tx, &rows)
}

#[derive(QueryableByName)]
struct OnlyId {
    #[diesel(sql_type = Text)]
    id: String,
}

/// Removes locked events with what hangs on them, and takes them out of the counts and out of the journal's content.
pub(crate) fn delete_rows(tx: &mut Tx<'_>, rows: &[EventRow]) -> Result<usize, DbError> {
    let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
    calls::forget_events(tx.conn, &ids)?;
    let mut counts = Changes::default();
    for row in rows {
        counts.add(row, -1)?;
    }
    diesel::delete(event::table.filter(event::id.eq_any(&ids))).execute(tx.conn)?;
    counts.apply(tx)?;
    tx.forget_events(&ids)?;
    Ok(ids.len())
}

/// The event of a row, with its frames and its camera's name.
fn whole(conn: &mut DbConn, row: EventRow) -> Result<Event, DbError> {
    whole_all(conn, vec![row])?.pop().ok_or(DbError::NotFound { what: WHAT })
}

/// The same for several, in their order.
pub(crate) fn whole_all(conn: &mut DbConn, rows: Vec<EventRow>) -> Result<Vec<Event>, DbError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut cameras: Vec<&str> = rows.iter().map(|r| r.camera_id.as_str()).collect();
    cameras.sort_unstable();
    cameras.dedup();
    let names = camera::table.select((camera::id, camera::name));
    let names: Vec<(String, String)> = match conn.is_postgres() {
        true => names.filter(camera::id.eq_any(cameras)).load(conn)?,
        false => names.filter(among(camera::id, &cameras)?).load(conn)?,
    };
    let names: HashMap<String, String> = names.into_iter().collect();
    let ids: Vec<&str> = rows.iter().map(|r| r.id.as_str()).collect();
    let mut frames: HashMap<String, Vec<FrameRow>> = HashMap::new();
    for some in ids.chunks(500) {
        let in_order = event_frame::table.order((event_frame::event_id.asc(), event_frame::idx.asc()));
        let found: Vec<FrameRow> = match conn.is_postgres() {
            true => in_order.filter(event_frame::event_id.eq_any(some.iter().copied())).load(conn)?,
            false => in_order.filter(among(event_frame::event_id, some)?).load(conn)?,
        };
        for frame in found {
            frames.entry(frame.event_id.clone()).or_default().push(frame);
        }
    }
    rows.into_iter()
        .map(|row| {
            let name = names.get(&row.camera_id).cloned().unwrap_or_default();
            let frames = frames.remove(&row.id).unwrap_or_default();
            row.event(name, &frames)
        })
        .collect()
}

/// The id of a row.
pub(crate) fn event_id(text: &str) -> Result<EventId, DbError> {
    parse(WHAT, text)
}
