//! What is kept and what it takes up: the bytes of every event's files, counted by the transactions that name them, and
//! the folders whose files are still to be removed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{AddAssign, Sub};
use std::path::Path;

use argus_core::media::event_prefix;
use argus_core::retention::Disk;
use argus_core::storage::{CameraStorage, StorageReport};
use argus_core::{CameraId, Timestamp};
use diesel::dsl::{min, sql};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::conn::DbConn;
use crate::database::Database;
use crate::error::DbError;
use crate::events::{self, EventRow};
use crate::schema::{camera, event, event_frame, media_trash, media_usage};
use crate::value::{fit, narrow, parse};

const WHAT: &str = "camera";

/// Files and their bytes: of an event, of a camera, or a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) thumbnails_bytes: i64,
    pub(crate) frames_bytes: i64,
    pub(crate) clips_bytes: i64,
    pub(crate) frames: i64,
    pub(crate) clips: i64,
}

impl Held {
    /// What the row names, with the number and the bytes of its stored pictures.
    pub(crate) fn of(row: &EventRow, (frames, frames_bytes): (i64, i64)) -> Self {
        Self {
            thumbnails_bytes: if row.thumb_stored { row.thumb_bytes.unwrap_or(0) } else { 0 },
            frames_bytes,
            clips_bytes: if row.has_clip() { row.clip_bytes.unwrap_or(0) } else { 0 },
            frames,
            clips: i64::from(row.has_clip()),
        }
    }

    /// All bytes.
    pub(crate) fn bytes(&self) -> i64 {
        self.thumbnails_bytes + self.frames_bytes + self.clips_bytes
    }
}

impl Sub for Held {
    type Output = Self;

    fn sub(self, less: Self) -> Self {
        Self {
            thumbnails_bytes: self.thumbnails_bytes - less.thumbnails_bytes,
            frames_bytes: self.frames_bytes - less.frames_bytes,
            clips_bytes: self.clips_bytes - less.clips_bytes,
            frames: self.frames - less.frames,
            clips: self.clips - less.clips,
        }
    }
}

impl AddAssign for Held {
    fn add_assign(&mut self, more: Self) {
        *self = *self - (Self::default() - more);
    }
}

/// Number and bytes of an event's pictures that lie in the media store.
pub(crate) fn frames_of(conn: &mut DbConn, id: &str) -> Result<(i64, i64), DbError> {
    Ok(frames_of_all(conn, &[id])?.remove(id).unwrap_or_default())
}

/// The same of several events.
pub(crate) fn frames_of_all(conn: &mut DbConn, ids: &[&str]) -> Result<HashMap<String, (i64, i64)>, DbError> {
    let rows: Vec<(String, i64)> = event_frame::table
        .filter(event_frame::event_id.eq_any(ids.iter().copied()))
        .filter(event_frame::stored)
        .select((event_frame::event_id, event_frame::bytes))
        .load(conn)?;
    let mut held: HashMap<String, (i64, i64)> = HashMap::new();
    for (id, bytes) in rows {
        let of_event = held.entry(id).or_default();
        *of_event = (of_event.0 + 1, of_event.1.saturating_add(bytes));
    }
    Ok(held)
}

/// Makes the rows of an event's pictures say which of them lie in the media store; tells whether one is not there any
/// more.
pub(crate) fn frames_found(conn: &mut DbConn, row: &mut EventRow, found: &BTreeMap<u32, u64>) -> Result<bool, DbError> {
    let named: Vec<(i32, i64)> = event_frame::table
        .filter(event_frame::event_id.eq(&row.id))
        .filter(event_frame::stored)
        .select((event_frame::idx, event_frame::bytes))
        .load(conn)?;
    let (mut left, mut is_news) = (0, false);
    for (idx, bytes) in named {
        let frame = event_frame::table.find((row.id.clone(), idx));
        match found.get(&narrow(events::WHAT, idx)?) {
            Some(size) => {
                left += 1;
                let size: i64 = fit("frames", *size)?;
                if size != bytes {
                    diesel::update(frame).set(event_frame::bytes.eq(size)).execute(conn)?;
                }
            }
            None => {
                is_news = true;
                diesel::update(frame).set(event_frame::stored.eq(false)).execute(conn)?;
            }
        }
    }
    if left == 0 {
        row.without_frames();
    }
    Ok(is_news)
}

/// Adds a difference to what a camera holds.
pub(crate) fn add(conn: &mut DbConn, camera_id: &str, more: Held) -> Result<(), DbError> {
    if more == Held::default() {
        return Ok(());
    }
    diesel::sql_query(
        "INSERT INTO media_usage (camera_id, thumbnails_bytes, frames_bytes, clips_bytes, frames, clips) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (camera_id) DO UPDATE SET \
         thumbnails_bytes = media_usage.thumbnails_bytes + excluded.thumbnails_bytes, \
         frames_bytes = media_usage.frames_bytes + excluded.frames_bytes, \
         clips_bytes = media_usage.clips_bytes + excluded.clips_bytes, \
         frames = media_usage.frames + excluded.frames, clips = media_usage.clips + excluded.clips",
    )
    .bind::<Text, _>(camera_id)
    .bind::<BigInt, _>(more.thumbnails_bytes)
    .bind::<BigInt, _>(more.frames_bytes)
    .bind::<BigInt, _>(more.clips_bytes)
    .bind::<BigInt, _>(more.frames)
    .bind::<BigInt, _>(more.clips)
    .execute(conn)?;
    Ok(())
}

/// Notes that folders are to be removed with everything in them.
pub(crate) fn trash(conn: &mut DbConn, prefixes: &[String], now: Timestamp) -> Result<(), DbError> {
    for prefix in prefixes {
        diesel::sql_query("INSERT INTO media_trash (prefix, at_us) VALUES ($1, $2) ON CONFLICT (prefix) DO NOTHING")
            .bind::<Text, _>(prefix)
            .bind::<BigInt, _>(now.as_micros())
            .execute(conn)?;
    }
    Ok(())
}

/// Locks what is counted of the cameras of these events, in one order: it comes before the lock of the journal, which the
/// first of several changes takes.
pub(crate) fn lock(conn: &mut DbConn, rows: &[EventRow]) -> Result<(), DbError> {
    if conn.is_postgres() {
        let cameras: BTreeSet<&str> = rows.iter().map(|row| row.camera_id.as_str()).collect();
        for camera in cameras {
            diesel::sql_query("SELECT frames FROM media_usage WHERE camera_id = $1 FOR UPDATE")
                .bind::<Text, _>(camera)
                .execute(conn)?;
        }
    }
    Ok(())
}

/// Takes events whose files go out of the account, and puts their folders into the trash.
pub(crate) fn forget(conn: &mut DbConn, rows: &[EventRow], now: Timestamp) -> Result<(), DbError> {
    uncount(conn, rows)?;
    let prefixes = rows.iter().map(prefix_of).collect::<Result<Vec<_>, _>>()?;
    trash(conn, &prefixes, now)
}

/// Takes the files of events out of the account.
pub(crate) fn uncount(conn: &mut DbConn, rows: &[EventRow]) -> Result<(), DbError> {
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let frames = frames_of_all(conn, &ids)?;
    // In the order of their names: two transactions at once cannot wait for each other's rows.
    let mut by_camera: BTreeMap<&str, Held> = BTreeMap::new();
    for row in rows {
        let held = Held::of(row, frames.get(&row.id).copied().unwrap_or_default());
        *by_camera.entry(&row.camera_id).or_default() += held;
    }
    for (camera_id, held) in by_camera {
        add(conn, camera_id, Held::default() - held)?;
    }
    Ok(())
}

/// The folder of an event's files.
pub(crate) fn prefix_of(row: &EventRow) -> Result<String, DbError> {
    let camera: CameraId = parse(WHAT, &row.camera_id)?;
    Ok(event_prefix(camera, events::event_id(&row.id)?, Timestamp::from_micros(row.started_us)))
}

fn held_by_camera(conn: &mut DbConn) -> Result<HashMap<String, Held>, DbError> {
    let rows: Vec<(String, i64, i64, i64, i64, i64)> = media_usage::table.load(conn)?;
    let held = |(camera, thumbnails_bytes, frames_bytes, clips_bytes, frames, clips)| {
        (camera, Held { thumbnails_bytes, frames_bytes, clips_bytes, frames, clips })
    };
    Ok(rows.into_iter().map(held).collect())
}

impl Database {
    /// What everything that is kept takes up, with what is known of the media's disk.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn storage(&self, disk: Disk, now: Timestamp) -> Result<StorageReport, DbError> {
        let inner = self.inner.clone();
        self.read_snapshot(move |c| {
            let cameras: Vec<String> = camera::table
                .filter(camera::removed_us.is_null())
                .select(camera::id)
                .order((camera::created_us.asc(), camera::id.asc()))
                .load(c)?;
            let held = held_by_camera(c)?;
            let events: HashMap<String, i64> = events::summary::of_cameras(c)?;
            let oldest: Option<i64> = event::table.select(min(event::started_us)).get_result(c)?;
            let database_bytes = match &inner.file {
                Some(file) => file_bytes(file),
                None => {
                    let size = sql::<BigInt>("pg_database_size(current_database())");
                    diesel::select(size).get_result::<i64>(c)?.unsigned_abs()
                }
            };
            // What a camera that is being deleted still has counts too.
            let mut all = Held::default();
            held.values().for_each(|of_camera| all += *of_camera);
            let event_count = events.values().copied().map(number).sum();
            let mut by_camera = Vec::new();
            for id in cameras {
                let of_camera = held.get(&id).copied().unwrap_or_default();
                let count = number(events.get(&id).copied().unwrap_or(0));
                let media_bytes = number(of_camera.bytes());
                by_camera.push(CameraStorage { camera_id: parse(WHAT, &id)?, media_bytes, event_count: count });
            }
            Ok(StorageReport {
                database_bytes,
                thumbnails_bytes: number(all.thumbnails_bytes),
                frames_bytes: number(all.frames_bytes),
                clips_bytes: number(all.clips_bytes),
                total_bytes: database_bytes.saturating_add(number(all.bytes())),
                event_count,
                frame_count: number(all.frames),
                clip_count: number(all.clips),
                oldest_event_at: oldest.map(Timestamp::from_micros),
                disk,
                by_camera,
                measured_at: now,
            })
        })
        .await
    }

    /// Bytes of all thumbnails, pictures and clips together.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn media_bytes(&self) -> Result<u64, DbError> {
        self.read(|c| Ok(held_by_camera(c)?.values().map(|held| number(held.bytes())).sum())).await
    }

    /// Folders whose rows are gone and whose files are to be removed, in order, behind `after`.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn trash(&self, after: String, limit: u32) -> Result<Vec<String>, DbError> {
        self.read(move |c| {
            let behind = media_trash::table.filter(media_trash::prefix.gt(after));
            Ok(behind.select(media_trash::prefix).order(media_trash::prefix.asc()).limit(limit.into()).load(c)?)
        })
        .await
    }

    /// The files of these folders are gone.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`, `Full`.
    pub async fn trash_done(&self, prefixes: Vec<String>) -> Result<(), DbError> {
        if prefixes.is_empty() {
            return Ok(());
        }
        self.write(move |tx| {
            diesel::delete(media_trash::table.filter(media_trash::prefix.eq_any(prefixes))).execute(tx.conn)?;
            Ok(())
        })
        .await
    }
}

/// A count that is never below 0.
fn number(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// The file of the database and its log of changes.
fn file_bytes(file: &Path) -> u64 {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    size(file) + size(Path::new(&log))
}
