//! What the pictures of described events look like, for as long as a description may be taken over.

use argus_core::describe::{Analysis, AnalysisStatus};
use argus_core::event::DetectionType;
use argus_core::{AnalysisId, CameraId, EventId, Timestamp};
use diesel::prelude::*;

use crate::analyses;
use crate::database::Database;
use crate::error::{ConstraintExt, DbError};
use crate::schema::{analysis, analysis_look, event};

/// So many of the newest are looked at.
const MOST: i64 = 20;

/// An event whose description may be taken over.
#[derive(Clone, Debug, PartialEq)]
pub struct LookAlike {
    /// Its receipt.
    pub receipt: Analysis,
    /// When the event began.
    pub timestamp: Timestamp,
    /// What its pictures look like, as it was stored.
    pub looks: String,
}

impl Database {
    /// Keeps what the pictures of an analysis look like, and forgets that of those from before a moment.
    ///
    /// # Errors
    /// `NotFound` when its event is gone.
    pub async fn analysis_look_put(&self, id: AnalysisId, looks: String, before: Timestamp) -> Result<(), DbError> {
        self.write(move |tx| {
            let old = analysis::table.filter(analysis::created_us.lt(before.as_micros())).select(analysis::id);
            diesel::delete(analysis_look::table.filter(analysis_look::analysis_id.eq_any(old))).execute(tx.conn)?;
            let values = (analysis_look::analysis_id.eq(id.to_string()), analysis_look::looks.eq(looks));
            diesel::insert_into(analysis_look::table).values(values).execute(tx.conn).needs("event")?;
            Ok(())
        })
        .await
    }

    /// The described events of a camera and a kind that began from a moment on and whose looks are kept, newest first;
    /// all but one event.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn analysis_looks(
        &self,
        camera: CameraId,
        kind: DetectionType,
        from: Timestamp,
        but: EventId,
    ) -> Result<Vec<LookAlike>, DbError> {
        self.read_snapshot(move |c| {
            let rows: Vec<(String, String, i64)> = analysis_look::table
                .inner_join(analysis::table.inner_join(event::table))
                .filter(event::camera_id.eq(camera.to_string()))
                .filter(event::detection_type.eq(kind.as_str()))
                .filter(event::started_us.ge(from.as_micros()))
                .filter(event::id.ne(but.to_string()))
                .filter(analysis::status.eq(AnalysisStatus::Succeeded.as_str()))
                .order((event::started_us.desc(), analysis::created_us.desc()))
                .limit(MOST)
                .select((analysis::id, analysis_look::looks, event::started_us))
                .load(c)?;
            let mut found = Vec::new();
            for (id, looks, started_us) in rows {
                if let Some(receipt) = analyses::find(c, &id)? {
                    found.push(LookAlike { receipt, timestamp: Timestamp::from_micros(started_us), looks });
                }
            }
            Ok(found)
        })
        .await
    }
}
