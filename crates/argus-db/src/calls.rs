//! Calls to providers: booked before anything leaves, settled before an answer is used, and on record ever after.

use argus_core::budget::admit;
use std::collections::BTreeSet;

use argus_core::call::{CallPurpose, CallTimes, PlannedCall, SentFrame, SettledCall, StoredCall};
use argus_core::camera::AnalysisMode;
use argus_core::describe::{Analysis, AnalysisStatus, AnalysisTrigger, Description};
use argus_core::event::StatusReason;
use argus_core::{AnalysisId, CallId, CameraId, EventId, ProviderId, Timestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::analyses;
use crate::budgets::{self, BudgetRules, taken_at};
use crate::conn::DbConn;
use crate::database::{Database, Tx};
use crate::error::DbError;
use crate::events;
use crate::schema::{ai_call, analysis, event};
use crate::spent;
use crate::value::{check_number, fit, from_json, json, narrow, parse, parse_opt, text_opt, time_opt, without_nul};

pub(crate) const WHAT: &str = "call";
/// Calls that are removed at once, while nobody else can write.
const EXPIRE_AT_ONCE: i64 = 2000;

/// A call that is to be booked, and what for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewCall {
    /// Names it.
    pub id: CallId,
    /// Now.
    pub at: Timestamp,
    /// What it is made for.
    pub purpose: CallPurpose,
    /// The analysis that it belongs to.
    pub analysis_id: Option<AnalysisId>,
    /// The event.
    pub event_id: Option<EventId>,
    /// The camera.
    pub camera_id: Option<CameraId>,
    /// One picture or several.
    pub analysis_mode: Option<AnalysisMode>,
    /// What will be sent, to whom.
    pub planned: PlannedCall,
}

/// An answer that was stored and whose analysis was not finished: a crash came between.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptAnswer {
    /// The receipt, still `running`.
    pub receipt: Analysis,
    /// The call.
    pub call: StoredCall,
    /// What it answered.
    pub description: Description,
}

#[derive(Queryable, Insertable)]
#[diesel(table_name = ai_call, treat_none_as_default_value = false)]
pub(crate) struct CallRow {
    id: String,
    created_us: i64,
    finished_us: Option<i64>,
    state: String,
    purpose: String,
    analysis_id: Option<String>,
    event_id: Option<String>,
    camera_id: Option<String>,
    analysis_mode: Option<String>,
    provider: String,
    provider_id: Option<String>,
    provider_name: String,
    model: String,
    host: Option<String>,
    is_remote: bool,
    prompt: Option<String>,
    parameters: String,
    frames: String,
    frame_count: i32,
    bytes_sent: i64,
    bytes_received: i64,
    error_kind: Option<String>,
    error: Option<String>,
    raw_answer: Option<String>,
    tokens_input: Option<i64>,
    tokens_output: Option<i64>,
    estimate: Option<f64>,
    cost: Option<f64>,
    cost_estimated: bool,
    price_version: Option<String>,
    waited_ms: Option<i64>,
    first_byte_ms: Option<i64>,
    total_ms: Option<i64>,
    description: Option<String>,
    confidence: Option<i32>,
    objects: Option<String>,
    is_vague: bool,
    is_refusal: bool,
}

impl CallRow {
    fn new(new: NewCall) -> Result<Self, DbError> {
        let call = new.planned;
        if let Some(usd) = call.estimate {
            check_number("estimate", usd)?;
        }
        Ok(Self {
            id: new.id.to_string(),
            created_us: new.at.as_micros(),
            finished_us: None,
            state: "open".to_owned(),
            purpose: new.purpose.to_string(),
            analysis_id: text_opt(new.analysis_id),
            event_id: text_opt(new.event_id),
            camera_id: text_opt(new.camera_id),
            analysis_mode: text_opt(new.analysis_mode),
            provider: call.provider.to_string(),
            provider_id: text_opt(call.provider_id),
            provider_name: without_nul(call.provider_name),
            model: without_nul(call.model),
            host: call.host.map(without_nul),
            is_remote: call.is_remote,
            prompt: Some(without_nul(call.prompt)),
            parameters: json("parameters", &call.parameters)?,
            frame_count: fit("frames", call.frames.len())?,
            frames: json("frames", &call.frames)?,
            bytes_sent: fit("bytes", call.bytes)?,
            bytes_received: 0,
            error_kind: None,
            error: None,
            raw_answer: None,
            tokens_input: None,
            tokens_output: None,
            estimate: call.estimate,
            cost: None,
            cost_estimated: true,
            price_version: call.price_version.map(without_nul),
            waited_ms: None,
            first_byte_ms: None,
            total_ms: None,
            description: None,
            confidence: None,
            objects: None,
            is_vague: false,
            is_refusal: false,
        })
    }

    fn answer(&self) -> Result<Option<Description>, DbError> {
        let Some(text) = self.description.clone() else { return Ok(None) };
        Ok(Some(Description {
            text,
            confidence: self.confidence.map(|c| narrow(WHAT, c)).transpose()?,
            objects: self.objects.as_deref().map_or(Ok(Vec::new()), |o| from_json(WHAT, o))?,
            low_confidence: self.is_vague,
        }))
    }
}

impl TryFrom<CallRow> for StoredCall {
    type Error = DbError;

    fn try_from(row: CallRow) -> Result<Self, DbError> {
        let number = |n: Option<i64>| n.map(|n| narrow::<i64, u32>(WHAT, n)).transpose();
        let times = match (row.waited_ms, row.total_ms) {
            (Some(waited), Some(total)) => Some(CallTimes {
                waited_ms: narrow(WHAT, waited)?,
                first_byte_ms: number(row.first_byte_ms)?,
                total_ms: narrow(WHAT, total)?,
            }),
            _ => None,
        };
        Ok(Self {
            id: parse(WHAT, &row.id)?,
            created_at: Timestamp::from_micros(row.created_us),
            finished_at: time_opt(row.finished_us),
            purpose: parse(WHAT, &row.purpose)?,
            analysis_id: parse_opt(WHAT, row.analysis_id.as_ref())?,
            event_id: parse_opt(WHAT, row.event_id.as_ref())?,
            camera_id: parse_opt(WHAT, row.camera_id.as_ref())?,
            analysis_mode: parse_opt(WHAT, row.analysis_mode.as_ref())?,
            provider: parse(WHAT, &row.provider)?,
            provider_id: parse_opt(WHAT, row.provider_id.as_ref())?,
            provider_name: row.provider_name,
            model: row.model,
            host: row.host,
            is_remote: row.is_remote,
            prompt: row.prompt,
            parameters: from_json(WHAT, &row.parameters)?,
            frames: from_json(WHAT, &row.frames)?,
            bytes_sent: narrow(WHAT, row.bytes_sent)?,
            bytes_received: narrow(WHAT, row.bytes_received)?,
            error_kind: parse_opt(WHAT, row.error_kind.as_ref())?,
            error: row.error,
            raw_answer: row.raw_answer,
            tokens_input: number(row.tokens_input)?,
            tokens_output: number(row.tokens_output)?,
            // Before it is settled, what is reserved for it.
            cost: if row.state == "open" { row.estimate } else { row.cost },
            cost_estimated: row.cost_estimated,
            price_version: row.price_version,
            times,
        })
    }
}

/// The calls of an analysis, in order.
pub(crate) fn of_analysis(conn: &mut DbConn, id: &str) -> Result<Vec<CallRow>, DbError> {
    Ok(ai_call::table
        .filter(ai_call::analysis_id.eq(id))
        .order((ai_call::created_us.asc(), ai_call::id.asc()))
        .load(conn)?)
}

/// What the calls of an analysis came to, all together.
pub(crate) struct CallSums {
    /// As far as it is known; calls that are not settled count with what is reserved for them.
    pub(crate) cost: Option<f64>,
    /// Whether any of that was computed.
    pub(crate) cost_estimated: bool,
    /// As far as the providers count them.
    pub(crate) tokens_input: Option<u32>,
    pub(crate) tokens_output: Option<u32>,
    /// The stored pictures that somebody was sent, or a part of them.
    pub(crate) sent: BTreeSet<u32>,
}

/// What the calls of an analysis came to. `None` when none was made.
pub(crate) fn sums_of_analysis(conn: &mut DbConn, id: &str) -> Result<Option<CallSums>, DbError> {
    let rows: Vec<SummedRow> = ai_call::table
        .filter(ai_call::analysis_id.eq(id))
        .order((ai_call::created_us.asc(), ai_call::id.asc()))
        .select(SummedRow::as_select())
        .load(conn)?;
    if rows.is_empty() {
        return Ok(None);
    }
    let costs: Vec<(f64, bool)> = rows
        .iter()
        .filter_map(|row| Some((if row.state == "open" { row.estimate } else { row.cost }?, row.cost_estimated)))
        .collect();
    let tokens = |of: fn(&SummedRow) -> Option<i64>| {
        let known: Vec<i64> = rows.iter().filter_map(of).collect();
        (!known.is_empty()).then(|| u32::try_from(known.iter().sum::<i64>()).unwrap_or(u32::MAX))
    };
    let mut sent = BTreeSet::new();
    for row in rows.iter().filter(|row| row.bytes_sent > 0) {
        let frames: Vec<SentFrame> = from_json(WHAT, &row.frames)?;
        sent.extend(frames.iter().filter_map(|frame| frame.index));
    }
    Ok(Some(CallSums {
        cost: (!costs.is_empty()).then(|| costs.iter().map(|(usd, _)| usd).sum()),
        cost_estimated: costs.iter().any(|(_, computed)| *computed),
        tokens_input: tokens(|row| row.tokens_input),
        tokens_output: tokens(|row| row.tokens_output),
        sent,
    }))
}

/// What is summed up of a call.
#[derive(Queryable, Selectable)]
#[diesel(table_name = ai_call)]
struct SummedRow {
    state: String,
    estimate: Option<f64>,
    cost: Option<f64>,
    cost_estimated: bool,
    tokens_input: Option<i64>,
    tokens_output: Option<i64>,
    frames: String,
    bytes_sent: i64,
}

/// Takes from the calls of events what these showed; what they cost and how much was sent to whom stays. Before every
/// other row of the events is touched: whoever settles a call holds it when it asks for the journal.
pub(crate) fn forget_events(conn: &mut DbConn, ids: &[String]) -> Result<(), DbError> {
    diesel::update(ai_call::table.filter(ai_call::event_id.eq_any(ids)))
        .set((
            ai_call::prompt.eq(None::<String>),
            ai_call::parameters.eq("{}"),
            ai_call::raw_answer.eq(None::<String>),
            ai_call::description.eq(None::<String>),
            ai_call::objects.eq(None::<String>),
        ))
        .execute(conn)?;
    Ok(())
}

/// Writes what came of an open call into its row.
fn close(tx: &mut Tx<'_>, id: CallId, settled: SettledCall, at: Timestamp) -> Result<(), DbError> {
    let (state, words, failure) = match settled.result {
        Ok(words) => ("answered", Some(words), None),
        Err(failure) => ("failed", None, Some(failure)),
    };
    let row = ai_call::table.find(id.to_string());
    if let Some(bytes) = settled.bytes_sent {
        diesel::update(row.clone()).set(ai_call::bytes_sent.eq(fit::<u64, i64>("bytes", bytes)?)).execute(tx.conn)?;
    }
    diesel::update(row)
        .set((
            ai_call::state.eq(state),
            ai_call::finished_us.eq(Some(at.as_micros())),
            ai_call::bytes_received.eq(fit::<u64, i64>("bytes", settled.bytes_received)?),
            ai_call::error_kind.eq(failure.as_ref().map(|f| f.kind.as_str())),
            ai_call::error.eq(failure.map(|f| without_nul(f.message))),
            ai_call::tokens_input.eq(settled.tokens_input.map(i64::from)),
            ai_call::tokens_output.eq(settled.tokens_output.map(i64::from)),
            ai_call::cost.eq(settled.cost),
            ai_call::cost_estimated.eq(settled.cost_estimated),
            ai_call::waited_ms.eq(Some(i64::from(settled.times.waited_ms))),
            ai_call::first_byte_ms.eq(settled.times.first_byte_ms.map(i64::from)),
            ai_call::total_ms.eq(Some(i64::from(settled.times.total_ms))),
            ai_call::confidence.eq(words.as_ref().and_then(|w| w.confidence).map(i32::from)),
            ai_call::is_vague.eq(words.as_ref().is_some_and(|w| w.low_confidence)),
            ai_call::is_refusal.eq(settled.is_refusal),
        ))
        .execute(tx.conn)?;
    // An event that was deleted meanwhile has taken the prompt with it, and takes the answer, too.
    diesel::update(ai_call::table.find(id.to_string()).filter(ai_call::prompt.is_not_null()))
        .set((
            ai_call::raw_answer.eq(settled.raw_answer.map(without_nul)),
            ai_call::objects.eq(words.as_ref().map(|w| json("objects", &w.objects)).transpose()?),
            ai_call::description.eq(words.map(|w| without_nul(w.text))),
        ))
        .execute(tx.conn)?;
    Ok(())
}

impl Database {
    /// Books a call and reserves its estimate, in the step that compares it with what is left of the budgets. The inner
    /// error is the budget that it would overspend; nothing is stored then.
    ///
    /// # Errors
    /// `NotFound` when its event is gone, `Invalid` for an estimate that is no number.
    pub async fn ai_call_book(
        &self,
        new: NewCall,
        rules: BudgetRules,
    ) -> Result<Result<CallId, StatusReason>, DbError> {
        self.write(move |tx| {
            let (id, estimate) = (new.id, new.planned.estimate);
            if let Some(event_id) = new.event_id {
                events::lock(tx, event_id)?;
                let there = event::table.find(event_id.to_string());
                if !diesel::select(diesel::dsl::exists(there)).get_result::<bool>(tx.conn)? {
                    return Err(DbError::NotFound { what: events::WHAT });
                }
            }
            budgets::lock(tx.conn)?;
            if rules.limits.daily_usd.is_some() || rules.limits.monthly_usd.is_some() {
                let (day_usd, month_usd) = taken_at(tx.conn, new.at, &rules)?;
                if let Err(budget) = admit(&rules.limits, day_usd, month_usd, estimate) {
                    return Ok(Err(budget));
                }
            }
            diesel::insert_into(ai_call::table).values(&CallRow::new(new)?).execute(tx.conn)?;
            Ok(Ok(id))
        })
        .await
    }

    /// Notes what came of a call: its cost takes the place of what was reserved, and a further part of a budget that is
    /// spent by that is told of. One that is settled already stays as it is.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` for a cost that is no number.
    pub async fn ai_call_settle(
        &self,
        id: CallId,
        settled: SettledCall,
        rules: BudgetRules,
        at: Timestamp,
    ) -> Result<(), DbError> {
        self.write(move |tx| {
            if let Some(usd) = settled.cost {
                check_number("cost", usd)?;
            }
            budgets::lock(tx.conn)?;
            let found: Option<(String, i64)> = ai_call::table
                .find(id.to_string())
                .select((ai_call::state, ai_call::created_us))
                .first(tx.conn)
                .optional()?;
            let (state, created_us) = found.ok_or(DbError::NotFound { what: WHAT })?;
            if state != "open" {
                return Ok(());
            }
            let cost = settled.cost.filter(|usd| *usd > 0.0);
            close(tx, id, settled, at)?;
            if let Some(usd) = cost {
                spent::add(tx, Timestamp::from_micros(created_us), usd)?;
                budgets::warn(tx, &rules, at)?;
            }
            Ok(())
        })
        .await
    }

    /// Closes calls that were booked before a moment and never settled, because of a crash: they count with what was
    /// reserved for them. Gives how many.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn ai_calls_interrupt(
        &self,
        before: Timestamp,
        rules: BudgetRules,
        now: Timestamp,
    ) -> Result<u64, DbError> {
        self.write(move |tx| {
            budgets::lock(tx.conn)?;
            let open: Vec<(String, i64, Option<f64>)> = ai_call::table
                .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("state = 'open'"))
                .filter(ai_call::created_us.lt(before.as_micros()))
                .select((ai_call::id, ai_call::created_us, ai_call::estimate))
                .load(tx.conn)?;
            for (id, created_us, estimate) in &open {
                diesel::update(ai_call::table.find(id))
                    .set((
                        ai_call::state.eq("interrupted"),
                        ai_call::cost.eq(*estimate),
                        ai_call::error.eq(Some("interrupted: what came of it was never stored")),
                    ))
                    .execute(tx.conn)?;
                if let Some(usd) = estimate.filter(|usd| *usd > 0.0) {
                    spent::add(tx, Timestamp::from_micros(*created_us), usd)?;
                }
            }
            // Also of a limit that was changed when nobody could be told.
            budgets::warn(tx, &rules, now)?;
            Ok(u64::try_from(open.len()).unwrap_or(u64::MAX))
        })
        .await
    }

    /// One call.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn ai_call_get(&self, id: CallId) -> Result<Option<StoredCall>, DbError> {
        self.read(move |c| {
            let row: Option<CallRow> = ai_call::table.find(id.to_string()).first(c).optional()?;
            row.map(StoredCall::try_from).transpose()
        })
        .await
    }

    /// The calls of an analysis, in order.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn ai_calls_of_analysis(&self, id: AnalysisId) -> Result<Vec<StoredCall>, DbError> {
        self.read(move |c| of_analysis(c, &id.to_string())?.into_iter().map(StoredCall::try_from).collect()).await
    }

    /// Who refused to describe an event's pictures when its own description was to be made: provider and model, once for
    /// each time, oldest first.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn ai_refusals(&self, event_id: EventId) -> Result<Vec<(ProviderId, String)>, DbError> {
        self.read(move |c| {
            let own: Vec<String> = analysis::table
                .filter(analysis::event_id.eq(event_id.to_string()))
                .filter(analysis::asked_by.ne(AnalysisTrigger::Reanalyse.as_str()))
                .select(analysis::id)
                .load(c)?;
            let rows: Vec<(Option<String>, String)> = ai_call::table
                .filter(ai_call::analysis_id.eq_any(own))
                .filter(ai_call::is_refusal.eq(true))
                .order((ai_call::created_us.asc(), ai_call::id.asc()))
                .select((ai_call::provider_id, ai_call::model))
                .load(c)?;
            let known = rows.into_iter().filter_map(|(id, model)| Some((id?, model)));
            known.map(|(id, model)| Ok((parse(WHAT, &id)?, model))).collect()
        })
        .await
    }

    /// The answer of an unfinished analysis of an event: of the one that somebody asked for, or of one of the event's own.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn ai_answer_kept(
        &self,
        event_id: EventId,
        asked: Option<AnalysisId>,
    ) -> Result<Option<KeptAnswer>, DbError> {
        self.read_snapshot(move |c| {
            let mut running = analysis::table
                .filter(analysis::event_id.eq(event_id.to_string()))
                .filter(analysis::status.eq(AnalysisStatus::Running.as_str()))
                .order((analysis::created_us.desc(), analysis::id.desc()))
                .select(analysis::id)
                .into_boxed::<crate::conn::MultiBackend>();
            running = match asked {
                Some(id) => running.filter(analysis::id.eq(id.to_string())),
                None => running.filter(analysis::asked_by.ne(AnalysisTrigger::Reanalyse.as_str())),
            };
            for id in running.load::<String>(c)? {
                let Some(row) = of_analysis(c, &id)?.into_iter().rfind(|row| row.state == "answered") else { continue };
                let (Some(description), Some(receipt)) = (row.answer()?, analyses::find(c, &id)?) else { continue };
                return Ok(Some(KeptAnswer { receipt, call: row.try_into()?, description }));
            }
            Ok(None)
        })
        .await
    }

    /// Removes calls from before a moment, oldest first; gives how many. What they cost stays in the sums.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`, `Full`.
    pub async fn ai_calls_expire(&self, before: Timestamp) -> Result<usize, DbError> {
        self.write(move |tx| {
            Ok(diesel::sql_query(
                "DELETE FROM ai_call WHERE id IN ( \
                   SELECT id FROM ai_call WHERE created_us < $1 AND state <> $2 ORDER BY created_us, id LIMIT $3)",
            )
            .bind::<BigInt, _>(before.as_micros())
            .bind::<Text, _>("open")
            .bind::<BigInt, _>(EXPIRE_AT_ONCE)
            .execute(tx.conn)?)
        })
        .await
    }
}
