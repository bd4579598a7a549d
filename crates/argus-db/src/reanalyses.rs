//! Descriptions that somebody asks for once more.

use std::time::Duration;

use argus_core::Timestamp;
use argus_core::describe::{Analysis, AnalysisTrigger, Reanalysis};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Text};

use crate::analyses;
use crate::database::Database;
use crate::error::DbError;
use crate::events;
use crate::jobs::Lease;
use crate::schema::{analysis, analysis_job};
use crate::value::{check_text, json};

/// So many are accepted for an event within [`WINDOW`].
const MOST: i64 = 3;
/// The hour in which they are counted.
const WINDOW: Duration = Duration::from_secs(3600);
/// Somebody waits for them: before everything that nobody waits for.
const PRIORITY: i32 = 100;

/// What became of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReanalysisAnswer {
    /// Its job can be taken.
    Queued,
    /// A description of the event is being made, or about to be.
    Running,
    /// Too many were accepted lately.
    TooMany {
        /// When the next one will be.
        next_at: Timestamp,
    },
}

impl Database {
    /// Adds the receipt of a description that somebody asks for, and its job, or says why not. It takes the place of a
    /// job that waits for another try of a failed description.
    ///
    /// # Errors
    /// `NotFound` when the event is gone, `Invalid` for text with U+0000.
    pub async fn reanalysis_queue(
        &self,
        receipt: Analysis,
        how: Reanalysis,
        now: Timestamp,
    ) -> Result<ReanalysisAnswer, DbError> {
        self.write(move |tx| {
            let wish = json("reanalysis", &how)?;
            // JSON escapes the character, and what is read back would hold it all the same.
            how.prompt.as_deref().map_or(Ok(()), |prompt| check_text("prompt", prompt))?;
            events::lock(tx, receipt.event_id)?;
            let event_id = receipt.event_id.to_string();
            let job: Option<(String, String)> = analysis_job::table
                .find(&event_id)
                .select((analysis_job::state, analysis_job::asked_by))
                .first(tx.conn)
                .optional()?;
            let retry =
                |(state, asked_by): &(String, String)| state == "ready" && asked_by == AnalysisTrigger::Retry.as_str();
            if job.is_some_and(|job| !retry(&job)) {
                return Ok(ReanalysisAnswer::Running);
            }
            let asked: Vec<i64> = analysis::table
                .filter(analysis::event_id.eq(&event_id))
                .filter(analysis::asked_by.eq(AnalysisTrigger::Reanalyse.as_str()))
                .filter(analysis::created_us.gt(now.minus(WINDOW).as_micros()))
                .filter(analysis::created_us.le(now.as_micros()))
                .order(analysis::created_us.desc())
                .limit(MOST)
                .select(analysis::created_us)
                .load(tx.conn)?;
            if let Some(oldest) = usize::try_from(MOST - 1).ok().and_then(|last| asked.get(last)) {
                return Ok(ReanalysisAnswer::TooMany { next_at: Timestamp::from_micros(*oldest).plus(WINDOW) });
            }
            let analysis_id = receipt.id.to_string();
            analyses::insert(tx, receipt)?;
            diesel::sql_query(
                "INSERT INTO analysis_job (event_id, state, asked_by, priority, attempts, created_us, not_before_us, \
                   lease_until_us, analysis_id, wish, facts) \
                 VALUES ($1, 'ready', $2, $3, 0, $4, $5, 0, $6, $7, \
                   (SELECT facts FROM event_facts WHERE event_facts.event_id = $8)) \
                 ON CONFLICT (event_id) DO UPDATE SET state = excluded.state, asked_by = excluded.asked_by, \
                   priority = excluded.priority, attempts = 0, not_before_us = excluded.not_before_us, \
                   analysis_id = excluded.analysis_id, wish = excluded.wish",
            )
            .bind::<Text, _>(event_id.clone())
            .bind::<Text, _>(AnalysisTrigger::Reanalyse.as_str())
            .bind::<Integer, _>(PRIORITY)
            .bind::<BigInt, _>(now.as_micros())
            .bind::<BigInt, _>(now.as_micros())
            .bind::<Text, _>(analysis_id)
            .bind::<Text, _>(wish)
            .bind::<Text, _>(event_id)
            .execute(tx.conn)?;
            Ok(ReanalysisAnswer::Queued)
        })
        .await
    }

    /// Completes the receipt of a description that somebody asked for and that failed, and ends its job, or lets the
    /// event's own description be tried again from `retry_at` on; nothing is changed of the event.
    ///
    /// # Errors
    /// `NotFound` when the event is gone.
    pub async fn reanalysis_failed(
        &self,
        done: Analysis,
        retry_at: Option<Timestamp>,
        lease: Lease,
    ) -> Result<(), DbError> {
        self.write(move |tx| {
            events::lock(tx, done.event_id)?;
            analyses::finish(tx, done)?;
            match retry_at {
                Some(at) => crate::jobs::retry(tx.conn, lease, at)?,
                None => crate::jobs::finish(tx.conn, lease)?,
            };
            Ok(())
        })
        .await
    }

    /// Lets descriptions that were skipped for a spent budget be tried now: the limits have changed. Gives how many.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn jobs_wake_unpaid(&self, now: Timestamp) -> Result<u64, DbError> {
        self.write(move |tx| {
            let n = diesel::sql_query(
                "UPDATE analysis_job SET not_before_us = $1 WHERE state = 'ready' AND EXISTS ( \
                   SELECT 1 FROM event e WHERE e.id = analysis_job.event_id \
                   AND e.status_reason IN ('budget_daily', 'budget_monthly'))",
            )
            .bind::<BigInt, _>(now.as_micros())
            .execute(tx.conn)?;
            Ok(u64::try_from(n).unwrap_or(0))
        })
        .await
    }
}
