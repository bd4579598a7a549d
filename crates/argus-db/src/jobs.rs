//! The queue of descriptions to be made: durable, leased, never lost by a crash.

use std::time::Duration;

use argus_core::describe::{AnalysisTrigger, EventFacts, Reanalysis, priority};
use argus_core::event::{DescriptionStatus, DetectionType, StatusReason};
use argus_core::{AnalysisId, EventId, Timestamp};
use diesel::dsl::{count_star, min};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::conn::DbConn;
use crate::database::Database;
use crate::error::DbError;
use crate::events::{self, EventChange};
use crate::page::total;
use crate::schema::analysis_job;
use crate::value::{json, narrow, parse};

const WHAT: &str = "job";
/// A job that is to wait for longer than this was stored before the clock was set back: nobody puts one off so far.
const FAR: Duration = Duration::from_secs(2 * 3600);

/// A job that is not older than that belongs to what happens now.
const YOUNG: Duration = Duration::from_secs(300);

/// A description to be made, leased to the caller.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The event.
    pub event_id: EventId,
    /// What asked for it.
    pub trigger: AnalysisTrigger,
    /// Higher ones go first.
    pub priority: i32,
    /// How often it was leased, this time included.
    pub attempts: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it could have been done.
    pub due_at: Timestamp,
    /// Until when it is the caller's alone.
    pub lease_until: Timestamp,
    /// Tells this lease from every other: whoever ends the job or gives it back must show it.
    pub lease_token: i64,
    /// What was measured of the event; `None` when a crash came before it was stored.
    pub facts: Option<EventFacts>,
    /// Of a description that somebody asked for: what was asked.
    pub asked: Option<Asked>,
}

impl Job {
    /// What the caller holds.
    #[must_use]
    pub fn lease(&self) -> Lease {
        Lease { event_id: self.event_id, token: self.lease_token }
    }
}

/// The right to end a job, or to give it back, until another worker has leased it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The job's event.
    pub event_id: EventId,
    /// Which lease of it.
    pub token: i64,
}

/// Which of several jobs is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobOrder {
    /// Of those of the highest priority that which waits longest.
    Oldest,
    /// Of those of the highest priority that of the newest event; what is only minutes old goes before all that is not.
    Newest,
}

/// A description that somebody asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Its receipt, which is there from the asking on.
    pub analysis_id: AnalysisId,
    /// How it is to be done.
    pub how: Reanalysis,
}

/// How many jobs there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Not before their event has its pictures.
    pub waiting: u64,
    /// To be done, now or later.
    pub ready: u64,
    /// Being done.
    pub leased: u64,
}

#[derive(QueryableByName)]
#[diesel(table_name = analysis_job)]
struct JobRow {
    event_id: String,
    asked_by: String,
    priority: i32,
    attempts: i32,
    created_us: i64,
    not_before_us: i64,
    lease_until_us: i64,
    lease_token: i64,
    facts: Option<String>,
    analysis_id: Option<String>,
    wish: Option<String>,
}

impl TryFrom<JobRow> for Job {
    type Error = DbError;

    fn try_from(row: JobRow) -> Result<Self, DbError> {
        Ok(Self {
            event_id: parse(WHAT, &row.event_id)?,
            trigger: parse(WHAT, &row.asked_by)?,
            priority: row.priority,
            attempts: narrow(WHAT, row.attempts)?,
            created_at: Timestamp::from_micros(row.created_us),
            due_at: Timestamp::from_micros(row.not_before_us.max(row.created_us)),
            lease_until: Timestamp::from_micros(row.lease_until_us),
            lease_token: row.lease_token,
            facts: row.facts.as_deref().and_then(facts),
            asked: match row.analysis_id {
                Some(id) => Some(Asked { analysis_id: parse(WHAT, &id)?, how: wish(row.wish.as_deref()) }),
                None => None,
            },
        })
    }
}

/// What was measured; what cannot be read is left out, or one bad row would hold up the whole queue.
fn facts(text: &str) -> Option<EventFacts> {
    serde_json::from_str(text)
        .inspect_err(|e| tracing::warn!(error = %e, "the facts of a job cannot be read and are left out"))
        .ok()
}

/// Keeps what was measured of an event beyond its job, for descriptions that are asked for later.
fn keep_facts(conn: &mut DbConn, event_id: EventId, facts: &str) -> Result<(), DbError> {
    diesel::sql_query(
        "INSERT INTO event_facts (event_id, facts) VALUES ($1, $2) \
         ON CONFLICT (event_id) DO UPDATE SET facts = excluded.facts",
    )
    .bind::<Text, _>(event_id.to_string())
    .bind::<Text, _>(facts)
    .execute(conn)?;
    Ok(())
}

/// How it is to be done; what cannot be read is left out, for the same reason.
fn wish(text: Option<&str>) -> Reanalysis {
    let read = text.map(serde_json::from_str).transpose();
    read.inspect_err(|e| tracing::warn!(error = %e, "what was asked of a job cannot be read and is left out"))
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Adds the job of a new event.
pub(crate) fn insert_waiting(conn: &mut DbConn, event_id: &str, priority: i32, now: Timestamp) -> Result<(), DbError> {
    diesel::insert_into(analysis_job::table)
        .values((
            analysis_job::event_id.eq(event_id),
            analysis_job::state.eq("waiting"),
            analysis_job::asked_by.eq(AnalysisTrigger::Initial.as_str()),
            analysis_job::priority.eq(priority),
            analysis_job::attempts.eq(0),
            analysis_job::created_us.eq(now.as_micros()),
            analysis_job::not_before_us.eq(now.as_micros()),
            analysis_job::lease_until_us.eq(0_i64),
        ))
        .execute(conn)?;
    Ok(())
}

/// The job of a lease that was not taken over by another.
#[diesel::dsl::auto_type(no_type_alias)]
fn held(event_id: String, token: i64) -> _ {
    analysis_job::table.filter(analysis_job::event_id.eq(event_id)).filter(analysis_job::lease_token.eq(token))
}

/// Removes a job; tells whether the caller still held it.
pub(crate) fn finish(conn: &mut DbConn, lease: Lease) -> Result<bool, DbError> {
    Ok(diesel::delete(held(lease.event_id.to_string(), lease.token)).execute(conn)? > 0)
}

/// The priority of an event's own description, as SQL over `event e`.
fn own_priority() -> String {
    let of = |kind: &DetectionType| format!("WHEN '{kind}' THEN {} ", priority(*kind));
    format!("CASE e.detection_type {}ELSE 0 END", DetectionType::ALL.iter().map(of).collect::<String>())
}

/// Gives a job back as another try of the event's own description; tells whether the caller still held it.
pub(crate) fn retry(conn: &mut DbConn, lease: Lease, not_before: Timestamp) -> Result<bool, DbError> {
    // What somebody asked for went before the others; this goes as the event does.
    let n = diesel::sql_query(format!(
        "UPDATE analysis_job SET state = 'ready', asked_by = $1, not_before_us = $2, analysis_id = NULL, wish = NULL, \
           priority = COALESCE((SELECT {} FROM event e WHERE e.id = analysis_job.event_id), 0) \
         WHERE event_id = $3 AND lease_token = $4",
        own_priority()
    ))
    .bind::<Text, _>(AnalysisTrigger::Retry.as_str())
    .bind::<BigInt, _>(not_before.as_micros())
    .bind::<Text, _>(lease.event_id.to_string())
    .bind::<BigInt, _>(lease.token)
    .execute(conn)?;
    Ok(n > 0)
}

impl Database {
    /// Whether an event has a job: it is described now, or will be.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn job_exists(&self, event_id: EventId) -> Result<bool, DbError> {
        self.read(move |c| {
            let job = analysis_job::table.find(event_id.to_string());
            Ok(diesel::select(diesel::dsl::exists(job)).get_result(c)?)
        })
        .await
    }

    /// Lets a waiting job be done, with what was measured of its event. Tells whether there was one that waited.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn job_ready(
        &self,
        event_id: EventId,
        facts: Option<EventFacts>,
        now: Timestamp,
    ) -> Result<bool, DbError> {
        self.write(move |tx| {
            let facts = facts.map(|f| json(WHAT, &f)).transpose()?;
            // The event's row first, as everywhere.
            events::lock(tx, event_id)?;
            let waiting = analysis_job::table
                .filter(analysis_job::event_id.eq(event_id.to_string()))
                .filter(analysis_job::state.eq("waiting"));
            let n = diesel::update(waiting)
                .set((
                    analysis_job::state.eq("ready"),
                    analysis_job::not_before_us.eq(now.as_micros()),
                    analysis_job::facts.eq(&facts),
                ))
                .execute(tx.conn)?;
            if let (1.., Some(facts)) = (n, facts) {
                keep_facts(tx.conn, event_id, &facts)?;
            }
            Ok(n > 0)
        })
        .await
    }

    /// Takes up to `n` jobs whose time has come, highest priority first, then in the given order. Of the newest, those that
    /// came within the last minutes go before all others, whatever their priority: what happens now does not wait for a
    /// backlog of more urgent things that are over. A job goes to one caller
    /// only; one that is neither finished nor given back within `lease_for` can be taken again.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn job_lease(
        &self,
        now: Timestamp,
        lease_for: Duration,
        n: u32,
        order: JobOrder,
    ) -> Result<Vec<Job>, DbError> {
        self.write(move |tx| {
            // Nothing is younger than the end of time.
            let (direction, young) = match order {
                JobOrder::Oldest => ("ASC", i64::MAX),
                JobOrder::Newest => ("DESC", now.minus(YOUNG).as_micros()),
            };
            // Side by side on PostgreSQL, leasers pass by rows that another is taking at this moment.
            let lock = if tx.conn.is_postgres() { "FOR UPDATE SKIP LOCKED" } else { "" };
            let first = format!("ORDER BY priority DESC, created_us {direction}, event_id {direction} LIMIT $3 {lock}");
            // Each part walks an index and ends at its limit. The plus signs keep the first from walking the queue for want
            // of anything young.
            let rows: Vec<JobRow> = diesel::sql_query(format!(
                "WITH young AS ( \
                   SELECT event_id, 0 AS turn, priority, created_us FROM analysis_job \
                   WHERE state = 'ready' AND created_us > $1 AND attempts = 0 AND not_before_us <= $2 \
                   ORDER BY +priority DESC, +created_us DESC, event_id DESC LIMIT $3 {lock}), \
                 ready AS ( \
                   SELECT event_id, 1 AS turn, priority, created_us FROM analysis_job \
                   WHERE state = 'ready' AND (not_before_us <= $2 OR not_before_us > $4) {first}), \
                 expired AS ( \
                   SELECT event_id, 1 AS turn, priority, created_us FROM analysis_job \
                   WHERE state = 'leased' AND (lease_until_us <= $2 OR lease_until_us > $4) {first}), \
                 picked AS ( \
                   SELECT event_id FROM (SELECT * FROM young UNION ALL SELECT * FROM ready \
                     UNION ALL SELECT * FROM expired) AS one \
                   GROUP BY event_id, priority, created_us \
                   ORDER BY MIN(turn), priority DESC, created_us {direction}, event_id {direction} LIMIT $3) \
                 UPDATE analysis_job SET state = 'leased', attempts = attempts + 1, lease_until_us = $5, \
                   lease_token = CASE WHEN lease_token < $6 THEN $7 ELSE lease_token + 1 END \
                 WHERE event_id IN (SELECT event_id FROM picked) \
                 RETURNING event_id, asked_by, priority, attempts, created_us, not_before_us, lease_until_us, \
                   lease_token, facts, analysis_id, wish"
            ))
            .bind::<BigInt, _>(young)
            .bind::<BigInt, _>(now.as_micros())
            .bind::<BigInt, _>(i64::from(n))
            .bind::<BigInt, _>(now.plus(lease_for.max(FAR)).as_micros())
            .bind::<BigInt, _>(now.plus(lease_for).as_micros())
            // By the time, so that a job that was made anew for the same event never gives the same one again.
            .bind::<BigInt, _>(now.as_micros())
            .bind::<BigInt, _>(now.as_micros())
            .load(tx.conn)?;
            let mut jobs = rows.into_iter().map(Job::try_from).collect::<Result<Vec<_>, _>>()?;
            // What is returned comes in no promised order.
            jobs.sort_by_key(|j| (j.created_at, j.event_id));
            if order == JobOrder::Newest {
                jobs.reverse();
            }
            jobs.sort_by_key(|j| std::cmp::Reverse(j.priority));
            Ok(jobs)
        })
        .await
    }

    /// Gives a job back, to be tried again not before a moment. Tells whether the caller still held it.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn job_retry(&self, lease: Lease, not_before: Timestamp) -> Result<bool, DbError> {
        self.write(move |tx| retry(tx.conn, lease, not_before)).await
    }

    /// Gives a job back as it was, to be taken again not before a moment. Tells whether the caller still held it.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn job_return(&self, lease: Lease, not_before: Timestamp) -> Result<bool, DbError> {
        self.write(move |tx| {
            let n = diesel::update(held(lease.event_id.to_string(), lease.token))
                .set((analysis_job::state.eq("ready"), analysis_job::not_before_us.eq(not_before.as_micros())))
                .execute(tx.conn)?;
            Ok(n > 0)
        })
        .await
    }

    /// Puts off a job that nobody works on, or brings it forward: it can be taken not before a moment. Tells whether there
    /// was one.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn job_put_back(&self, event_id: EventId, not_before: Timestamp) -> Result<bool, DbError> {
        self.write(move |tx| {
            let free = analysis_job::table
                .filter(analysis_job::event_id.eq(event_id.to_string()))
                .filter(analysis_job::state.ne("leased"));
            let n = diesel::update(free)
                .set((analysis_job::state.eq("ready"), analysis_job::not_before_us.eq(not_before.as_micros())))
                .execute(tx.conn)?;
            Ok(n > 0)
        })
        .await
    }

    /// Ends a job without a description, or gives it back to be tried again not before a moment, and says of its event why
    /// it is not described, all or nothing. Tells whether the caller still held the job; nothing is changed if not.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn job_undescribed(
        &self,
        lease: Lease,
        why: Option<(DescriptionStatus, StatusReason)>,
        retry_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, DbError> {
        self.write(move |tx| {
            events::lock(tx, lease.event_id)?;
            let held = match retry_at {
                Some(at) => retry(tx.conn, lease, at)?,
                None => finish(tx.conn, lease)?,
            };
            if let Some((status, reason)) = why.filter(|_| held) {
                events::change(tx, lease.event_id, vec![EventChange::Undescribed { status, reason }], now)?;
            }
            Ok(held)
        })
        .await
    }

    /// Removes a job that is done. Tells whether the caller still held it.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn job_finish(&self, lease: Lease) -> Result<bool, DbError> {
        self.write(move |tx| finish(tx.conn, lease)).await
    }

    /// When the next job can be taken; `None` when there is none but waiting ones.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn job_next_at(&self) -> Result<Option<Timestamp>, DbError> {
        self.read(|c| {
            let ready: Option<i64> = analysis_job::table
                .filter(analysis_job::state.eq("ready"))
                .select(min(analysis_job::not_before_us))
                .get_result(c)?;
            let leased: Option<i64> = analysis_job::table
                .filter(analysis_job::state.eq("leased"))
                .select(min(analysis_job::lease_until_us))
                .get_result(c)?;
            Ok(ready.into_iter().chain(leased).min().map(Timestamp::from_micros))
        })
        .await
    }

    /// How many jobs there are, by state.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn jobs_count(&self) -> Result<JobCounts, DbError> {
        self.read(|c| {
            let rows: Vec<(String, i64)> = analysis_job::table
                .group_by(analysis_job::state)
                .select((analysis_job::state, count_star()))
                .load(c)?;
            let of = |state: &str| rows.iter().find(|(s, _)| s == state).map_or(0, |(_, n)| total(*n));
            Ok(JobCounts { waiting: of("waiting"), ready: of("ready"), leased: of("leased") })
        })
        .await
    }

    /// After a crash of the only process that works on the queue: frees every lease, lets every waiting job be done (nobody is left
    /// who would bring pictures), and makes a job for every event that is pending without one, but for those whose camera
    /// is being deleted. Gives how many were
    /// freed and made.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn jobs_recover(&self, now: Timestamp) -> Result<(u64, u64), DbError> {
        self.write(move |tx| {
            let freed = diesel::update(analysis_job::table.filter(analysis_job::state.ne("ready")))
                .set((analysis_job::state.eq("ready"), analysis_job::not_before_us.eq(now.as_micros())))
                .execute(tx.conn)?;
            let made = diesel::sql_query(format!(
                "INSERT INTO analysis_job \
                   (event_id, state, asked_by, priority, attempts, created_us, not_before_us, lease_until_us) \
                 SELECT e.id, 'ready', $1, {}, 0, e.created_us, $2, 0 FROM event e \
                 WHERE e.description_status = 'pending' \
                   AND NOT EXISTS (SELECT 1 FROM analysis_job j WHERE j.event_id = e.id) \
                   AND NOT EXISTS (SELECT 1 FROM camera c WHERE c.id = e.camera_id AND c.removed_us IS NOT NULL)",
                own_priority()
            ))
            .bind::<Text, _>(AnalysisTrigger::Initial.as_str())
            .bind::<BigInt, _>(now.as_micros())
            .execute(tx.conn)?;
            Ok((u64::try_from(freed).unwrap_or(0), u64::try_from(made).unwrap_or(0)))
        })
        .await
    }
}
