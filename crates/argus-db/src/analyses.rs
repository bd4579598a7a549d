//! Receipts: everything about every analysis of an event.

use argus_core::call::StoredCall;
use argus_core::describe::{Analysis, AnalysisStatus, AnalysisSteps};
use argus_core::event::Event;
use argus_core::{AnalysisId, EventId, Timestamp};
use diesel::prelude::*;

use crate::calls;
use crate::conn::DbConn;
use crate::database::{Database, Tx};
use crate::error::{ConstraintExt, DbError};
use crate::events::{self, EventChange};
use crate::jobs::{self, Lease};
use crate::page::{Page, offset, total};
use crate::schema::{ai_call, analysis, analysis_job};
use crate::value::{check_number, from_json, json, narrow, parse, parse_opt, text_opt, time_opt, us_opt, without_nul};

const WHAT: &str = "analysis";

#[derive(Queryable, Insertable, AsChangeset)]
#[diesel(table_name = analysis, treat_none_as_default_value = false, treat_none_as_null = true)]
struct AnalysisRow {
    id: String,
    event_id: String,
    created_us: i64,
    finished_us: Option<i64>,
    asked_by: String,
    status: String,
    provider: Option<String>,
    provider_id: Option<String>,
    provider_name: Option<String>,
    model: Option<String>,
    analysis_mode: String,
    parameters: String,
    prompt: String,
    frames: String,
    description: Option<String>,
    confidence: Option<i32>,
    objects: String,
    tokens_input: Option<i64>,
    tokens_output: Option<i64>,
    tokens_used: Option<i64>,
    cost: Option<f64>,
    cost_estimated: bool,
    latency_ms: Option<i64>,
    fallback_path: String,
    raw_answer: Option<String>,
    error: Option<String>,
    queued_ms: Option<i64>,
    frames_ms: Option<i64>,
    providers_ms: Option<i64>,
    stored_ms: Option<i64>,
}

impl AnalysisRow {
    /// The row of a receipt. Texts come from outside and are kept but for U+0000.
    fn new(a: Analysis) -> Result<Self, DbError> {
        if let Some(cost) = a.cost {
            check_number("cost", cost)?;
        }
        Ok(Self {
            id: a.id.to_string(),
            event_id: a.event_id.to_string(),
            created_us: a.created_at.as_micros(),
            finished_us: us_opt(a.finished_at),
            asked_by: a.trigger.to_string(),
            status: a.status.to_string(),
            provider: a.provider.map(without_nul),
            provider_id: text_opt(a.provider_id),
            provider_name: a.provider_name.map(without_nul),
            model: a.model.map(without_nul),
            analysis_mode: a.analysis_mode.to_string(),
            parameters: json("parameters", &a.parameters)?,
            prompt: without_nul(a.prompt),
            frames: json("frames", &a.frames)?,
            description: a.description.map(without_nul),
            confidence: a.confidence.map(i32::from),
            objects: json("objects_detected", &a.objects_detected)?,
            tokens_input: a.tokens_input.map(i64::from),
            tokens_output: a.tokens_output.map(i64::from),
            tokens_used: a.tokens_used.map(i64::from),
            cost: a.cost,
            cost_estimated: a.cost_estimated,
            latency_ms: a.latency_ms.map(i64::from),
            fallback_path: json("fallback_path", &a.fallback_path)?,
            raw_answer: a.raw_answer.map(without_nul),
            error: a.error.map(without_nul),
            queued_ms: a.steps.map(|s| s.queued_ms.into()),
            frames_ms: a.steps.map(|s| s.frames_ms.into()),
            providers_ms: a.steps.map(|s| s.providers_ms.into()),
            stored_ms: a.steps.map(|s| s.stored_ms.into()),
        })
    }
}

impl TryFrom<AnalysisRow> for Analysis {
    type Error = DbError;

    fn try_from(row: AnalysisRow) -> Result<Self, DbError> {
        let number = |n: Option<i64>| n.map(|n| narrow::<i64, u32>(WHAT, n)).transpose();
        Ok(Self {
            id: parse(WHAT, &row.id)?,
            event_id: parse(WHAT, &row.event_id)?,
            created_at: Timestamp::from_micros(row.created_us),
            finished_at: time_opt(row.finished_us),
            trigger: parse(WHAT, &row.asked_by)?,
            status: parse(WHAT, &row.status)?,
            provider: row.provider,
            provider_id: parse_opt(WHAT, row.provider_id.as_ref())?,
            provider_name: row.provider_name,
            model: row.model,
            analysis_mode: parse(WHAT, &row.analysis_mode)?,
            parameters: from_json(WHAT, &row.parameters)?,
            prompt: row.prompt,
            frames: from_json(WHAT, &row.frames)?,
            description: row.description,
            confidence: row.confidence.map(|c| narrow(WHAT, c)).transpose()?,
            objects_detected: from_json(WHAT, &row.objects)?,
            tokens_input: number(row.tokens_input)?,
            tokens_output: number(row.tokens_output)?,
            tokens_used: number(row.tokens_used)?,
            cost: row.cost,
            cost_estimated: row.cost_estimated,
            latency_ms: number(row.latency_ms)?,
            fallback_path: from_json(WHAT, &row.fallback_path)?,
            raw_answer: row.raw_answer,
            error: row.error,
            calls: Vec::new(),
            steps: match (row.queued_ms, row.frames_ms, row.providers_ms, row.stored_ms) {
                (Some(queued), Some(frames), Some(providers), Some(stored)) => Some(AnalysisSteps {
                    queued_ms: narrow(WHAT, queued)?,
                    frames_ms: narrow(WHAT, frames)?,
                    providers_ms: narrow(WHAT, providers)?,
                    stored_ms: narrow(WHAT, stored)?,
                }),
                _ => None,
            },
        })
    }
}

/// The receipt of a row, with the calls that were made for it.
fn whole(conn: &mut DbConn, row: AnalysisRow) -> Result<Analysis, DbError> {
    let calls = calls::of_analysis(conn, &row.id)?.into_iter().map(|call| Ok(StoredCall::try_from(call)?.into()));
    let calls = calls.collect::<Result<Vec<_>, DbError>>()?;
    Ok(Analysis { calls, ..row.try_into()? })
}

/// A receipt with its calls.
pub(crate) fn find(conn: &mut DbConn, id: &str) -> Result<Option<Analysis>, DbError> {
    let row: Option<AnalysisRow> = analysis::table.find(id).first(conn).optional()?;
    row.map(|row| whole(conn, row)).transpose()
}

/// Adds a receipt.
pub(crate) fn insert(tx: &mut Tx<'_>, receipt: Analysis) -> Result<(), DbError> {
    let row = AnalysisRow::new(receipt)?;
    diesel::insert_into(analysis::table).values(&row).execute(tx.conn).needs(events::WHAT)?;
    Ok(())
}

/// Completes a receipt; one that was never begun is added. It costs what its calls cost, also those that failed or were
/// cut off, in money and in tokens: the sums are taken here, so that receipt, event and usage never differ. Of the
/// pictures it names those that were sent. Gives cost and tokens.
pub(crate) fn finish(tx: &mut Tx<'_>, mut done: Analysis) -> Result<(Option<f64>, Option<u32>), DbError> {
    if let Some(sums) = calls::sums_of_analysis(tx.conn, &done.id.to_string())? {
        (done.cost, done.cost_estimated) = (sums.cost, sums.cost_estimated);
        (done.tokens_input, done.tokens_output) = (sums.tokens_input, sums.tokens_output);
        done.tokens_used = match (sums.tokens_input, sums.tokens_output) {
            (None, None) => None,
            (input, output) => Some(input.unwrap_or(0).saturating_add(output.unwrap_or(0))),
        };
        done.frames.retain(|frame| sums.sent.contains(&frame.index));
    }
    let (cost, tokens) = (done.cost, done.tokens_used);
    let row = AnalysisRow::new(done)?;
    let n = diesel::update(analysis::table.find(&row.id)).set(&row).execute(tx.conn)?;
    if n == 0 {
        diesel::insert_into(analysis::table).values(&row).execute(tx.conn).needs(events::WHAT)?;
    }
    Ok((cost, tokens))
}

impl Database {
    /// Begins a receipt, before the call goes out.
    ///
    /// # Errors
    /// `NotFound` when the event is gone.
    pub async fn analysis_start(&self, running: Analysis) -> Result<(), DbError> {
        self.write(move |tx| insert(tx, running)).await
    }

    /// Completes a receipt and nothing else: for a call whose event is tried again, or had been described before.
    ///
    /// # Errors
    /// `NotFound` when the event is gone.
    pub async fn analysis_finish(&self, done: Analysis) -> Result<(), DbError> {
        self.write(move |tx| finish(tx, done).map(drop)).await
    }

    /// Completes a receipt, changes its event, announces that and ends the job, all or nothing: an answer that was paid
    /// for is neither lost nor asked for twice. A worker whose lease ran out completes its receipt and nothing else:
    /// `None` then.
    ///
    /// # Errors
    /// `NotFound` when the event is gone, `Invalid` for a value that cannot be stored.
    pub async fn analysis_finish_and_describe(
        &self,
        done: Analysis,
        changes: Vec<EventChange>,
        lease: Lease,
        now: Timestamp,
    ) -> Result<Option<Event>, DbError> {
        self.write(move |tx| {
            let event_id = done.event_id;
            // The event's row first, as everywhere, and the journal last.
            events::lock(tx, event_id)?;
            let (cost, tokens) = finish(tx, done)?;
            if !jobs::finish(tx.conn, lease)? {
                return Ok(None);
            }
            let changes = changes.into_iter().map(|change| change.costs(cost, tokens)).collect();
            events::change(tx, event_id, changes, now).map(Some)
        })
        .await
    }

    /// One receipt.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn analysis_get(&self, id: AnalysisId) -> Result<Option<Analysis>, DbError> {
        self.read_snapshot(move |c| find(c, &id.to_string())).await
    }

    /// The receipts of an event, newest first.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn analysis_page(&self, event_id: EventId, page: u32, limit: u32) -> Result<Page<Analysis>, DbError> {
        self.read_snapshot(move |c| {
            let of_event = analysis::table.filter(analysis::event_id.eq(event_id.to_string()));
            let count: i64 = of_event.clone().count().get_result(c)?;
            let rows: Vec<AnalysisRow> = of_event
                .order((analysis::created_us.desc(), analysis::id.desc()))
                .limit(limit.into())
                .offset(offset(page, limit))
                .load(c)?;
            let items = rows.into_iter().map(|row| whole(c, row)).collect::<Result<_, _>>()?;
            Ok(Page { items, total: total(count), page, limit })
        })
        .await
    }

    /// Takes back a receipt for which nobody could be asked: no call was made, and there is nothing to show.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn analysis_forget(&self, id: AnalysisId) -> Result<(), DbError> {
        self.write(move |tx| {
            let running =
                analysis::table.find(id.to_string()).filter(analysis::status.eq(AnalysisStatus::Running.as_str()));
            diesel::delete(running).execute(tx.conn)?;
            Ok(())
        })
        .await
    }

    /// After a crash of the only process that asks: marks analyses that were never answered as failed, but for those
    /// that somebody asked for and that are made again, and for those whose answer is there and only has to be used.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn analyses_recover(&self, now: Timestamp) -> Result<u64, DbError> {
        self.write(move |tx| {
            let queued =
                analysis_job::table.filter(analysis_job::analysis_id.is_not_null()).select(analysis_job::analysis_id);
            let queued: Vec<Option<String>> = queued.load(tx.conn)?;
            let open: Vec<String> = analysis::table
                .filter(analysis::status.eq(AnalysisStatus::Running.as_str()))
                .select(analysis::id)
                .load(tx.conn)?;
            let answered: Vec<Option<String>> = ai_call::table
                .filter(ai_call::analysis_id.eq_any(open))
                .filter(ai_call::state.eq("answered"))
                .filter(ai_call::description.is_not_null())
                .select(ai_call::analysis_id)
                .load(tx.conn)?;
            let kept = queued.into_iter().chain(answered).flatten();
            let running = analysis::table
                .filter(analysis::status.eq(AnalysisStatus::Running.as_str()))
                .filter(analysis::id.ne_all(kept.collect::<Vec<String>>()));
            let n = diesel::update(running)
                .set((
                    analysis::status.eq(AnalysisStatus::Failed.as_str()),
                    analysis::finished_us.eq(Some(now.as_micros())),
                    analysis::error.eq(Some("the server stopped during the call")),
                ))
                .execute(tx.conn)?;
            Ok(u64::try_from(n).unwrap_or(0))
        })
        .await
    }
}
