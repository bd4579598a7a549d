//! Forgetting: events and media that are too old or too many, a bounded number in each transaction, oldest first.
//!
//! A row never names a file that was removed before: first the rows change and the folder is put into the trash, in one
//! transaction; then the files go; then the folder leaves the trash.

use std::collections::{BTreeMap, HashMap};

use argus_core::journal::{DeleteReason, EventDeleted, MessageType};
use argus_core::retention::enough;
use argus_core::{CameraId, EventId, Timestamp};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use crate::conn::{DbConn, MultiBackend};
use crate::database::{Database, Tx};
use crate::error::DbError;
use crate::events::{self, EventChange, EventRow, FINISHED, MediaFound};
use crate::journal::NewEntry;
use crate::schema::{event, event_frame};
use crate::storage;
use crate::value::{json, narrow, parse};

/// What went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Events that went, or whose media did.
    pub events: usize,
    /// Bytes of their files.
    pub bytes: u64,
}

/// The files that an event's row names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaRow {
    /// The event.
    pub id: EventId,
    /// Its camera.
    pub camera_id: CameraId,
    /// Its start.
    pub timestamp: Timestamp,
    /// Whether no more files will come.
    pub is_finished: bool,
    /// Named files with their sizes; 0 where the size is not known.
    pub named: MediaFound,
}

impl Database {
    /// Removes events that began before a moment, oldest first, at most `limit` (1 to 500), with their frames, receipts
    /// and jobs, and announces that in one message. Their folders are in the trash.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`, `Full`.
    pub async fn events_expire(&self, before: Timestamp, limit: u32, now: Timestamp) -> Result<Expired, DbError> {
        self.write(move |tx| {
            let ids: Vec<String> = event::table
                .filter(event::started_us.lt(before.as_micros()))
                .filter(sql::<Bool>(FINISHED))
                .select(event::id)
                .order((event::started_us.asc(), event::id.asc()))
                .limit(limit.clamp(1, 500).into())
                .load(tx.conn)?;
            let rows = locked(tx, &ids)?;
            remove(tx, &rows, DeleteReason::Retention, now)?;
            let bytes = rows.iter().map(|row| u64::try_from(row.media_bytes).unwrap_or(0)).sum();
            Ok(Expired { events: rows.len(), bytes })
        })
        .await
    }

    /// Takes the media from events that began before a moment, oldest first, at most `limit`; each is announced. Their
    /// folders are in the trash.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`, `Full`.
    pub async fn media_expire(&self, before: Timestamp, limit: u32, now: Timestamp) -> Result<Expired, DbError> {
        self.write(move |tx| {
            let oldest = with_media(tx.conn, Some(before), limit)?;
            take_media(tx, oldest.into_iter().map(|(id, _)| id).collect(), now)
        })
        .await
    }

    /// Takes the media from the oldest events, as many as are needed for `excess` bytes and at most `limit`.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`, `Full`.
    pub async fn media_expire_oldest(&self, excess: u64, limit: u32, now: Timestamp) -> Result<Expired, DbError> {
        self.write(move |tx| {
            let oldest = with_media(tx.conn, None, limit)?;
            let n = enough(oldest.iter().map(|(_, bytes)| u64::try_from(*bytes).unwrap_or(0)), excess);
            take_media(tx, oldest.into_iter().take(n).map(|(id, _)| id).collect(), now)
        })
        .await
    }

    /// Events that name files, in order of start, behind a place in that order; with their files.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn media_page(&self, after: Option<(Timestamp, EventId)>, limit: u32) -> Result<Vec<MediaRow>, DbError> {
        self.read_snapshot(move |c| {
            let mut query: event::BoxedQuery<'_, MultiBackend> = event::table
                .filter(sql::<Bool>("(thumb_stored OR clip_state = 'stored' OR frames_state = 'stored')"))
                .order((event::started_us.asc(), event::id.asc()))
                .limit(limit.into())
                .into_boxed();
            if let Some((started, id)) = after {
                let (us, id) = (started.as_micros(), id.to_string());
                // The first condition alone bounds the walk through the index.
                query = query.filter(event::started_us.ge(us)).filter(event::started_us.gt(us).or(event::id.gt(id)));
            }
            let rows: Vec<EventRow> = query.load(c)?;
            media_rows(c, rows)
        })
        .await
    }

    /// The same of some events; those that are unknown are left out.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn media_of(&self, ids: Vec<EventId>) -> Result<Vec<MediaRow>, DbError> {
        self.read_snapshot(move |c| {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let rows: Vec<EventRow> = event::table.filter(event::id.eq_any(ids)).load(c)?;
            media_rows(c, rows)
        })
        .await
    }
}

fn media_rows(conn: &mut DbConn, rows: Vec<EventRow>) -> Result<Vec<MediaRow>, DbError> {
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let stored: Vec<(String, i32, i64)> = event_frame::table
        .filter(event_frame::event_id.eq_any(ids))
        .filter(event_frame::stored)
        .select((event_frame::event_id, event_frame::idx, event_frame::bytes))
        .load(conn)?;
    let mut frames: HashMap<String, BTreeMap<u32, u64>> = HashMap::new();
    for (id, idx, bytes) in stored {
        frames.entry(id).or_default().insert(narrow(events::WHAT, idx)?, narrow(events::WHAT, bytes)?);
    }
    let size = |bytes: Option<i64>| narrow::<i64, u64>(events::WHAT, bytes.unwrap_or(0));
    rows.into_iter()
        .map(|row| {
            let named = MediaFound {
                thumbnail: row.thumb_stored.then(|| size(row.thumb_bytes)).transpose()?,
                clip: row.has_clip().then(|| size(row.clip_bytes)).transpose()?,
                frames: frames.remove(&row.id).unwrap_or_default(),
            };
            Ok(MediaRow {
                id: events::event_id(&row.id)?,
                camera_id: parse("camera", &row.camera_id)?,
                timestamp: Timestamp::from_micros(row.started_us),
                is_finished: row.is_finished(),
                named,
            })
        })
        .collect()
}

/// The oldest events that hold media, with their bytes.
fn with_media(conn: &mut DbConn, before: Option<Timestamp>, limit: u32) -> Result<Vec<(String, i64)>, DbError> {
    let mut query = event::table
        // In the words of the partial index, or it is not used.
        .filter(sql::<Bool>("media_bytes > 0"))
        .filter(sql::<Bool>(FINISHED))
        .select((event::id, event::media_bytes))
        .order((event::started_us.asc(), event::id.asc()))
        .limit(limit.into())
        .into_boxed::<MultiBackend>();
    if let Some(before) = before {
        query = query.filter(event::started_us.lt(before.as_micros()));
    }
    Ok(query.load(conn)?)
}

fn take_media(tx: &mut Tx<'_>, ids: Vec<String>, now: Timestamp) -> Result<Expired, DbError> {
    let rows = locked(tx, &ids)?;
    storage::lock(tx.conn, &rows)?;
    let mut expired = Expired::default();
    for row in &rows {
        storage::trash(tx.conn, &[storage::prefix_of(row)?], now)?;
        events::change(tx, events::event_id(&row.id)?, vec![EventChange::Found(MediaFound::default())], now)?;
        expired.events += 1;
        expired.bytes += u64::try_from(row.media_bytes).unwrap_or(0);
    }
    Ok(expired)
}

/// The rows as they are once they are locked, in the order of the ids; those that went meanwhile are left out.
fn locked(tx: &mut Tx<'_>, ids: &[String]) -> Result<Vec<EventRow>, DbError> {
    for id in ids {
        events::lock(tx, events::event_id(id)?)?;
    }
    let rows: Vec<EventRow> = event::table.filter(event::id.eq_any(ids)).load(tx.conn)?;
    let mut by_id: HashMap<String, EventRow> = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
    Ok(ids.iter().filter_map(|id| by_id.remove(id)).collect())
}

/// Removes locked events with everything that hangs on them, and announces it in one message.
pub(crate) fn remove(tx: &mut Tx<'_>, rows: &[EventRow], reason: DeleteReason, now: Timestamp) -> Result<(), DbError> {
    if rows.is_empty() {
        return Ok(());
    }
    let ids = rows.iter().map(|row| events::event_id(&row.id)).collect::<Result<Vec<_>, _>>()?;
    storage::forget(tx.conn, rows, now)?;
    events::delete_rows(tx, rows)?;
    // One event alone can be named beside the message; several are only in it.
    let (camera_id, event_id) = match (rows, ids.as_slice()) {
        ([row], [id]) => (Some(parse("camera", &row.camera_id)?), Some(*id)),
        _ => (None, None),
    };
    let data = json("data", &EventDeleted { ids, reason })?;
    tx.append(&NewEntry { r#type: MessageType::EventDeleted, camera_id, event_id, data: &data }, now)?;
    Ok(())
}
