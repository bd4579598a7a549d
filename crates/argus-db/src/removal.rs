//! Deleting a camera with everything that hangs on it: many transactions, of which every one can be the last before a crash.
//!
//! The first one takes the camera out of everybody's sight, and its name and its place at the controller are free again.
//! Then its events go, some at a time, so that other writers get their turns; the last transaction removes its row and
//! announces it as `deleted`. Whoever finds a camera in between goes on with it.

use argus_core::journal::{CameraStatusChange, MessageType};
use argus_core::media::camera_prefix;
use argus_core::{CameraId, Timestamp};
use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::cameras;
use crate::database::{Database, Tx};
use crate::error::DbError;
use crate::events::delete_of_camera;
use crate::schema::camera;
use crate::storage;
use crate::value::parse;

const WHAT: &str = "camera";

/// Events that are removed at once: some milliseconds of the one writer.
const EVENTS_AT_ONCE: i64 = 200;

/// Of an event: that its camera is not being deleted. SQL over `event`.
pub(crate) const CAMERA_STAYS: &str =
    "NOT EXISTS (SELECT 1 FROM camera c WHERE c.id = event.camera_id AND c.removed_us IS NOT NULL)";

impl Database {
    /// Begins to delete a camera: from here on there is none with this id, its name can be given to another, and nothing
    /// of its events is described any more. Its events and its files are there until [`Database::camera_delete_finish`].
    ///
    /// # Errors
    /// `NotFound`, also when its deletion has begun already.
    pub async fn camera_delete_begin(&self, id: CameraId, now: Timestamp) -> Result<(), DbError> {
        self.write(move |tx| {
            cameras::find_locked(tx, id)?;
            diesel::update(camera::table.find(id.to_string()))
                .set((
                    camera::removed_us.eq(Some(now.as_micros())),
                    camera::is_enabled.eq(false),
                    // No name begins with a blank.
                    camera::name_key.eq(format!(" {id}")),
                    camera::protect_controller_id.eq(None::<String>),
                ))
                .execute(tx.conn)?;
            diesel::sql_query(
                "DELETE FROM analysis_job WHERE EXISTS \
                   (SELECT 1 FROM event e WHERE e.id = analysis_job.event_id AND e.camera_id = $1)",
            )
            .bind::<Text, _>(id.to_string())
            .execute(tx.conn)?;
            Ok(())
        })
        .await
    }

    /// Cameras whose deletion has begun and is not finished, the first begun first.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn cameras_deleting(&self) -> Result<Vec<CameraId>, DbError> {
        self.read(|c| {
            let ids: Vec<String> = camera::table
                .filter(camera::removed_us.is_not_null())
                .order((camera::removed_us.asc(), camera::id.asc()))
                .select(camera::id)
                .load(c)?;
            ids.iter().map(|id| parse(WHAT, id)).collect()
        })
        .await
    }

    /// Removes what is left of a camera whose deletion has begun: its events with their frames, receipts and jobs, its
    /// counts, its coverage, its row. Then it is announced as `deleted`, and its folder is in the trash (see
    /// [`Database::trash`]): the files are the caller's. Several callers at once, and one who comes when all is done, do no
    /// harm.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`, `Full`: what was removed until then is gone, the rest is for the next call.
    pub async fn camera_delete_finish(&self, id: CameraId, now: Timestamp) -> Result<(), DbError> {
        while self.write(move |tx| step(tx, id, now)).await? {}
        Ok(())
    }
}

/// One transaction of it; tells whether another has to follow.
pub(crate) fn step(tx: &mut Tx<'_>, id: CameraId, now: Timestamp) -> Result<bool, DbError> {
    let text = id.to_string();
    if named(tx, &text)?.is_none() {
        return Ok(false);
    }
    if delete_of_camera(tx, &text, EVENTS_AT_ONCE)? > 0 {
        return Ok(true);
    }
    cameras::lock(tx, id)?;
    // Another caller may have been faster.
    let Some((name, status)) = named(tx, &text)? else { return Ok(false) };
    // What came in after all. With the camera's row locked nothing more does.
    delete_of_camera(tx, &text, i64::MAX)?;
    storage::trash(tx.conn, &[camera_prefix(id)], now)?;
    // Everything else of the camera hangs on its row.
    diesel::delete(camera::table.find(&text)).execute(tx.conn)?;
    let change = CameraStatusChange::deleted(id, &name, parse(WHAT, &status).ok());
    tx.tell_camera(MessageType::CameraStatus, id, &change, now)?;
    Ok(false)
}

/// Name and last announced status of a camera that is being deleted.
fn named(tx: &mut Tx<'_>, id: &str) -> Result<Option<(String, String)>, DbError> {
    let row = camera::table.find(id).filter(camera::removed_us.is_not_null());
    Ok(row.select((camera::name, camera::status)).first(tx.conn).optional()?)
}
