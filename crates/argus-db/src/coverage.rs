//! Coverage: for every moment of every camera, whether its video was received, and why not.

use std::fmt;
use std::str::FromStr;

use argus_core::controller::ControllerGap;
use argus_core::{CameraId, ControllerId, Invalid, Timestamp};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use crate::cameras;
use crate::database::Database;
use crate::error::{ConstraintExt, DbError};
use crate::schema::{camera, coverage};
use crate::value::{check_text, parse, time_opt};

/// So many rows are looked at for the newest gaps of a controller.
const GAP_ROWS: i64 = 1000;

/// What was the case during an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CoverageState {
    /// Video came in.
    Received,
    /// Video should have come in and did not.
    Missing,
    /// Nobody asked for video.
    Stopped,
}

impl CoverageState {
    /// The name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Missing => "missing",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for CoverageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CoverageState {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "received" => Ok(Self::Received),
            "missing" => Ok(Self::Missing),
            "stopped" => Ok(Self::Stopped),
            _ => Err(Invalid::new("state", "is none of received missing stopped")),
        }
    }
}

/// A time during which one thing was the case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoverageInterval {
    /// The camera.
    pub camera_id: CameraId,
    /// First moment.
    pub from: Timestamp,
    /// First moment after it; `None` while it lasts.
    pub until: Option<Timestamp>,
    /// What was the case.
    pub state: CoverageState,
    /// Why, when there is something to say.
    pub reason: Option<String>,
}

#[derive(Queryable)]
struct CoverageRow {
    id: i64,
    camera_id: String,
    from_us: i64,
    until_us: Option<i64>,
    state: String,
    reason: Option<String>,
    /// Until when it is known to have been the case, while it is open.
    seen_us: i64,
    /// Whether what happened meanwhile may have been missed for good.
    is_gap: bool,
}

/// A part of the account about to be written.
#[derive(Insertable)]
#[diesel(table_name = coverage, treat_none_as_default_value = false)]
struct NewPart {
    camera_id: String,
    from_us: i64,
    until_us: Option<i64>,
    state: String,
    reason: Option<String>,
    seen_us: i64,
    is_gap: bool,
}

impl CoverageRow {
    /// A part of it.
    fn part(&self, from_us: i64, until_us: Option<i64>) -> NewPart {
        NewPart {
            camera_id: self.camera_id.clone(),
            from_us,
            until_us,
            state: self.state.clone(),
            reason: self.reason.clone(),
            seen_us: until_us.unwrap_or(self.seen_us.max(from_us)),
            is_gap: self.is_gap,
        }
    }
}

impl TryFrom<CoverageRow> for CoverageInterval {
    type Error = DbError;

    fn try_from(row: CoverageRow) -> Result<Self, DbError> {
        Ok(Self {
            camera_id: parse("coverage", &row.camera_id)?,
            from: Timestamp::from_micros(row.from_us),
            until: time_opt(row.until_us),
            state: parse("coverage", &row.state)?,
            reason: row.reason,
        })
    }
}

impl Database {
    /// Ends what is the case at a camera and begins something else; nothing happens when it is the case already. A clock
    /// that went back does not make an interval end before it began.
    ///
    /// # Errors
    /// `NotFound` when the camera is gone.
    pub async fn coverage_switch(
        &self,
        camera_id: CameraId,
        at: Timestamp,
        state: CoverageState,
        reason: Option<String>,
    ) -> Result<(), DbError> {
        if let Some(reason) = &reason {
            check_text("reason", reason)?;
        }
        self.write(move |tx| {
            cameras::lock(tx, camera_id)?;
            let camera = camera_id.to_string();
            let open: Option<CoverageRow> = coverage::table
                .filter(coverage::camera_id.eq(&camera))
                .filter(coverage::until_us.is_null())
                .first(tx.conn)
                .optional()?;
            let mut from = at.as_micros();
            if let Some(open) = open {
                if open.state == state.as_str() && open.reason == reason {
                    return Ok(());
                }
                from = from.max(open.from_us);
                if from == open.from_us {
                    diesel::delete(coverage::table.find(open.id)).execute(tx.conn)?;
                } else {
                    diesel::update(coverage::table.find(open.id))
                        .set(coverage::until_us.eq(Some(from)))
                        .execute(tx.conn)?;
                }
            }
            diesel::insert_into(coverage::table)
                .values((
                    coverage::camera_id.eq(&camera),
                    coverage::from_us.eq(from),
                    coverage::state.eq(state.as_str()),
                    coverage::reason.eq(&reason),
                    coverage::seen_us.eq(from),
                ))
                .execute(tx.conn)
                .needs("camera")?;
            Ok(())
        })
        .await
    }

    /// Puts on account that what happened at a camera may have been missed for good, also where its video came in and
    /// where nothing is on account because the server did not run. While it was stopped nothing was missed, nor before
    /// anything was on account.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn coverage_missed(
        &self,
        camera_id: CameraId,
        from: Timestamp,
        until: Timestamp,
        reason: String,
    ) -> Result<(), DbError> {
        let reason = crate::value::without_nul(reason);
        let (from, until) = (from.as_micros(), until.as_micros());
        self.write(move |tx| {
            cameras::lock(tx, camera_id)?;
            let camera = camera_id.to_string();
            let theirs = || coverage::table.filter(coverage::camera_id.eq(&camera));
            let first: Option<i64> = theirs().select(diesel::dsl::min(coverage::from_us)).first(tx.conn)?;
            let Some(from) = first.map(|first| first.max(from)) else { return Ok(()) };
            let rows: Vec<CoverageRow> = theirs()
                .filter(coverage::from_us.lt(until))
                .filter(coverage::until_us.is_null().or(coverage::until_us.gt(Some(from))))
                .order((coverage::from_us.asc(), coverage::id.asc()))
                .load(tx.conn)?;
            let gap = |from: i64, until: i64, reason: &str| NewPart {
                camera_id: camera.clone(),
                from_us: from,
                until_us: Some(until),
                state: CoverageState::Missing.as_str().to_owned(),
                reason: Some(reason.to_owned()),
                seen_us: until,
                is_gap: true,
            };
            // Up to where everything is on account.
            let mut known = from;
            let mut parts = Vec::new();
            for row in rows {
                let (begin, end) = (from.max(row.from_us), row.until_us.map_or(until, |end| end.min(until)));
                if known < begin {
                    parts.push(gap(known, begin, &reason));
                }
                known = known.max(end);
                if row.state == CoverageState::Stopped.as_str() || begin >= end {
                    continue;
                }
                diesel::delete(coverage::table.find(row.id)).execute(tx.conn)?;
                if row.from_us < begin {
                    parts.push(row.part(row.from_us, Some(begin)));
                }
                // Why no video came in is the better reason.
                let was_missing = row.state == CoverageState::Missing.as_str();
                let why = row.reason.as_ref().filter(|_| was_missing).unwrap_or(&reason);
                parts.push(gap(begin, end, why));
                if row.until_us.is_none_or(|last| last > end) {
                    parts.push(row.part(end, row.until_us));
                }
            }
            if known < until {
                parts.push(gap(known, until, &reason));
            }
            for part in parts {
                diesel::insert_into(coverage::table).values(&part).execute(tx.conn)?;
            }
            Ok(())
        })
        .await
    }

    /// When something may have been missed for good at cameras of a controller since a moment, newest first, at most
    /// `limit`; what is without a break at one camera or the other is one.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn coverage_gaps(
        &self,
        controller: ControllerId,
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<ControllerGap>, DbError> {
        self.read_snapshot(move |c| {
            let cameras: Vec<String> = camera::table
                .filter(camera::protect_controller_id.eq(Some(controller.to_string())))
                .select(camera::id)
                .load(c)?;
            let mut rows: Vec<(i64, Option<i64>, Option<String>)> = coverage::table
                .filter(coverage::camera_id.eq_any(cameras))
                // In the words of the partial index.
                .filter(sql::<Bool>("is_gap"))
                .filter(coverage::from_us.ge(since.as_micros()))
                .select((coverage::from_us, coverage::until_us, coverage::reason))
                .order((coverage::from_us.desc(), coverage::id.desc()))
                .limit(GAP_ROWS)
                .load(c)?;
            rows.reverse();
            let mut gaps: Vec<ControllerGap> = Vec::new();
            for (from, until, reason) in rows {
                let (from, until) = (Timestamp::from_micros(from), Timestamp::from_micros(until.unwrap_or(from)));
                match gaps.last_mut() {
                    Some(last) if from <= last.until => last.until = last.until.max(until),
                    _ => gaps.push(ControllerGap { from, until, reason: reason.unwrap_or_default() }),
                }
            }
            gaps.reverse();
            gaps.truncate(limit);
            Ok(gaps)
        })
        .await
    }

    /// What was the case at a camera from one moment to another, in order; intervals that reach out are given whole.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn coverage_list(
        &self,
        camera_id: CameraId,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<CoverageInterval>, DbError> {
        self.read(move |c| {
            let rows: Vec<CoverageRow> = coverage::table
                .filter(coverage::camera_id.eq(camera_id.to_string()))
                .filter(coverage::from_us.lt(until.as_micros()))
                .filter(coverage::until_us.is_null().or(coverage::until_us.gt(Some(from.as_micros()))))
                .order((coverage::from_us.asc(), coverage::id.asc()))
                .load(c)?;
            rows.into_iter().map(TryInto::try_into).collect()
        })
        .await
    }

    /// Notes that what is the case everywhere still is: after a crash, nothing is claimed for longer than this was said.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn coverage_seen(&self, at: Timestamp) -> Result<(), DbError> {
        self.write(move |tx| {
            let open =
                coverage::table.filter(coverage::until_us.is_null()).filter(coverage::seen_us.lt(at.as_micros()));
            diesel::update(open).set(coverage::seen_us.eq(at.as_micros())).execute(tx.conn)?;
            Ok(())
        })
        .await
    }

    /// After a crash: ends every open interval where it was last known to be the case. What was never seen to last is
    /// removed. Between the crash and the next interval nothing is on account: the server did not run.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn coverage_recover(&self) -> Result<u64, DbError> {
        self.write(move |tx| {
            let open = || coverage::table.filter(coverage::until_us.is_null());
            let void = diesel::delete(open().filter(coverage::seen_us.le(coverage::from_us))).execute(tx.conn)?;
            let ended =
                diesel::update(open()).set(coverage::until_us.eq(coverage::seen_us.nullable())).execute(tx.conn)?;
            Ok(u64::try_from(void.saturating_add(ended)).unwrap_or(u64::MAX))
        })
        .await
    }

    /// Ends every open interval, for a stop. What would end before it began is removed.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn coverage_close_all(&self, at: Timestamp) -> Result<u64, DbError> {
        self.write(move |tx| {
            let open = || coverage::table.filter(coverage::until_us.is_null());
            let void = diesel::delete(open().filter(coverage::from_us.ge(at.as_micros()))).execute(tx.conn)?;
            let ended = diesel::update(open()).set(coverage::until_us.eq(Some(at.as_micros()))).execute(tx.conn)?;
            Ok(u64::try_from(void.saturating_add(ended)).unwrap_or(u64::MAX))
        })
        .await
    }
}
