//! Receipts: everything about every call to a describer.

use argus_core::describe::{Analysis, AnalysisStatus};
use argus_core::event::Event;
use argus_core::{AnalysisId, EventId, Timestamp};
use diesel::prelude::*;

use crate::database::{Database, Tx};
use crate::error::{ConstraintExt, DbError};
use crate::events::{self, EventChange};
use crate::jobs;
use crate::page::{Page, offset, total};
use crate::schema::{analysis, analysis_job};
use crate::spent;
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
        })
    }
}

/// Adds a receipt.
pub(crate) fn insert(tx: &mut Tx<'_>, receipt: Analysis) -> Result<(), DbError> {
    let row = AnalysisRow::new(receipt)?;
    diesel::insert_into(analysis::table).values(&row).execute(tx.conn).needs(events::WHAT)?;
    Ok(())
}

/// Completes a receipt; one that was never begun is added. What the call cost counts as spent from then on.
pub(crate) fn finish(tx: &mut Tx<'_>, done: Analysis) -> Result<(), DbError> {
    let (cost, at) = (done.cost, done.finished_at.unwrap_or(done.created_at));
    let row = AnalysisRow::new(done)?;
    if let Some(usd) = cost.filter(|usd| *usd > 0.0) {
        spent::add(tx, at, usd)?;
    }
    let n = diesel::update(analysis::table.find(&row.id)).set(&row).execute(tx.conn)?;
    if n == 0 {
        diesel::insert_into(analysis::table).values(&row).execute(tx.conn).needs(events::WHAT)?;
    }
    Ok(())
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
        self.write(move |tx| finish(tx, done)).await
    }

    /// Completes a receipt, changes its event, announces that and ends the job, all or nothing: an answer that was paid
    /// for is neither lost nor asked for twice.
    ///
    /// # Errors
    /// `NotFound` when the event is gone, `Invalid` for a value that cannot be stored.
    pub async fn analysis_finish_and_describe(
        &self,
        done: Analysis,
        changes: Vec<EventChange>,
        now: Timestamp,
    ) -> Result<Event, DbError> {
        self.write(move |tx| {
            let event_id = done.event_id;
            // The event's row first, as everywhere, and the journal last.
            events::lock(tx, event_id)?;
            finish(tx, done)?;
            jobs::finish(tx.conn, event_id)?;
            events::change(tx, event_id, changes, now)
        })
        .await
    }

    /// One receipt.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn analysis_get(&self, id: AnalysisId) -> Result<Option<Analysis>, DbError> {
        self.read(move |c| {
            let row: Option<AnalysisRow> = analysis::table.find(id.to_string()).first(c).optional()?;
            row.map(Analysis::try_from).transpose()
        })
        .await
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
            let items = rows.into_iter().map(Analysis::try_from).collect::<Result<_, _>>()?;
            Ok(Page { items, total: total(count), page, limit })
        })
        .await
    }

    /// After a crash of the only process that asks: marks calls that were never answered as failed, but for those that
    /// somebody asked for and that are made again.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn analyses_recover(&self, now: Timestamp) -> Result<u64, DbError> {
        self.write(move |tx| {
            let queued =
                analysis_job::table.filter(analysis_job::analysis_id.is_not_null()).select(analysis_job::analysis_id);
            let queued: Vec<Option<String>> = queued.load(tx.conn)?;
            let running = analysis::table
                .filter(analysis::status.eq(AnalysisStatus::Running.as_str()))
                .filter(analysis::id.ne_all(queued.into_iter().flatten().collect::<Vec<String>>()));
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
