//! What calls came to, and what of them left the process: sums over spans of time.

use std::collections::BTreeMap;

use argus_core::Timestamp;
use argus_core::calendar::Calendar;
use argus_core::call::StoredCall;
use argus_core::usage::{EgressDay, EgressHost, Usage, UsageGroup, UsageGroupBy, UsageSums};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Double, Nullable, Text};

use crate::calls::CallRow;
use crate::database::Database;
use crate::error::DbError;
use crate::page::{Page, offset, total};
use crate::schema::ai_call;
use crate::spent::QUARTER_US;

#[derive(QueryableByName)]
struct SumRow {
    #[diesel(sql_type = Nullable<Text>)]
    key: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    label: Option<String>,
    #[diesel(sql_type = BigInt)]
    quarter: i64,
    #[diesel(sql_type = BigInt)]
    calls: i64,
    #[diesel(sql_type = BigInt)]
    answered: i64,
    #[diesel(sql_type = BigInt)]
    failed: i64,
    #[diesel(sql_type = BigInt)]
    tokens_input: i64,
    #[diesel(sql_type = BigInt)]
    tokens_output: i64,
    #[diesel(sql_type = Double)]
    cost: f64,
    #[diesel(sql_type = BigInt)]
    answered_ms: i64,
}

/// Sums that can be added up; the mean is made at the end.
#[derive(Default)]
struct Sums {
    sums: UsageSums,
    answered_ms: u64,
    label: Option<String>,
}

impl Sums {
    fn add(&mut self, row: &SumRow) {
        let sums = &mut self.sums;
        sums.total_calls += total(row.calls);
        sums.successful_calls += total(row.answered);
        sums.failed_calls += total(row.failed);
        sums.tokens_input += total(row.tokens_input);
        sums.tokens_output += total(row.tokens_output);
        sums.total_cost += row.cost;
        self.answered_ms = self.answered_ms.saturating_add(total(row.answered_ms));
        if row.label.is_some() {
            self.label.clone_from(&row.label);
        }
    }

    fn done(self) -> UsageSums {
        let sums = self.sums;
        UsageSums {
            total_tokens: sums.tokens_input.saturating_add(sums.tokens_output),
            avg_response_time_ms: mean(self.answered_ms, sums.successful_calls),
            ..sums
        }
    }
}

fn mean(sum: u64, n: u64) -> Option<f64> {
    // Nearer than a thousandth of a millisecond nobody wants to know it.
    let thousandths = u32::try_from(sum.saturating_mul(1000).checked_div(n)?).unwrap_or(u32::MAX);
    Some(f64::from(thousandths) / 1000.0)
}

/// The key and the label of a group, as SQL over `ai_call a` and `camera c`.
fn columns(group_by: UsageGroupBy) -> (&'static str, &'static str) {
    match group_by {
        UsageGroupBy::None | UsageGroupBy::Day => ("NULL", "NULL"),
        UsageGroupBy::Provider => ("a.provider_id", "MAX(a.provider_name)"),
        UsageGroupBy::Model => ("a.model", "MAX(a.model)"),
        UsageGroupBy::Camera => ("a.camera_id", "MAX(c.name)"),
        UsageGroupBy::Mode => ("a.analysis_mode", "MAX(a.analysis_mode)"),
    }
}

/// What a group is called that has no name of its own.
fn unnamed(group_by: UsageGroupBy, key: Option<&str>) -> String {
    match (group_by, key) {
        (UsageGroupBy::Camera, None) => "No camera".to_owned(),
        (UsageGroupBy::Camera, Some(_)) => "Deleted camera".to_owned(),
        (UsageGroupBy::Mode, None) => "No mode".to_owned(),
        (UsageGroupBy::Provider, None) => "No provider".to_owned(),
        (_, key) => key.unwrap_or_default().to_owned(),
    }
}

/// The local day of a quarter of an hour.
fn date(calendar: &Calendar, quarter: i64) -> String {
    calendar.local_hour(Timestamp::from_micros(quarter.saturating_mul(QUARTER_US))).date.to_string()
}

#[derive(QueryableByName)]
struct SentRow {
    #[diesel(sql_type = BigInt)]
    quarter: i64,
    #[diesel(sql_type = Text)]
    host: String,
    #[diesel(sql_type = Bool)]
    is_remote: bool,
    #[diesel(sql_type = BigInt)]
    calls: i64,
    #[diesel(sql_type = BigInt)]
    bytes: i64,
    #[diesel(sql_type = BigInt)]
    frames: i64,
}

impl Database {
    /// Sums over the calls that were booked from a moment to another, both included, by group.
    ///
    /// # Errors
    /// `Invalid` for an unknown time zone.
    pub async fn ai_usage(
        &self,
        from: Timestamp,
        until: Timestamp,
        group_by: UsageGroupBy,
        timezone: String,
    ) -> Result<Usage, DbError> {
        let calendar = Calendar::named(&timezone)?;
        self.read(move |c| {
            let (key, label) = columns(group_by);
            let rows: Vec<SumRow> = diesel::sql_query(format!(
                "SELECT {key} AS key, {label} AS label, {quarter} AS quarter, COUNT(*) AS calls, \
                   CAST(SUM(CASE WHEN a.state = 'answered' THEN 1 ELSE 0 END) AS BIGINT) AS answered, \
                   CAST(SUM(CASE WHEN a.state IN ('failed', 'interrupted') THEN 1 ELSE 0 END) AS BIGINT) AS failed, \
                   CAST(SUM(COALESCE(a.tokens_input, 0)) AS BIGINT) AS tokens_input, \
                   CAST(SUM(COALESCE(a.tokens_output, 0)) AS BIGINT) AS tokens_output, \
                   SUM(COALESCE(CASE WHEN a.state = 'open' THEN a.estimate ELSE a.cost END, 0.0)) AS cost, \
                   CAST(SUM(CASE WHEN a.state = 'answered' THEN COALESCE(a.total_ms, 0) ELSE 0 END) AS BIGINT) \
                     AS answered_ms \
                 FROM ai_call a LEFT JOIN camera c ON c.id = a.camera_id \
                 WHERE a.created_us >= $1 AND a.created_us <= $2 GROUP BY {groups}",
                // A group that is no column of the table is none.
                quarter = if group_by == UsageGroupBy::Day { QUARTER } else { "CAST(0 AS BIGINT)" },
                groups = match group_by {
                    UsageGroupBy::None => "a.is_remote",
                    UsageGroupBy::Day => QUARTER,
                    _ => key,
                },
            ))
            .bind::<BigInt, _>(from.as_micros())
            .bind::<BigInt, _>(until.as_micros())
            .load(c)?;
            let mut all = Sums::default();
            let mut groups: BTreeMap<Option<String>, Sums> = BTreeMap::new();
            for row in &rows {
                all.add(row);
                let key = match group_by {
                    UsageGroupBy::None => continue,
                    UsageGroupBy::Day => Some(date(&calendar, row.quarter)),
                    _ => row.key.clone(),
                };
                groups.entry(key).or_default().add(row);
            }
            let named = |(key, sums): (Option<String>, Sums)| UsageGroup {
                label: sums.label.clone().unwrap_or_else(|| unnamed(group_by, key.as_deref())),
                key,
                sums: sums.done(),
            };
            Ok(Usage { sums: all.done(), groups: groups.into_iter().map(named).collect() })
        })
        .await
    }

    /// The calls that went to a host from a moment until before another, newest first.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn ai_egress(
        &self,
        from: Timestamp,
        until: Timestamp,
        page: u32,
        limit: u32,
    ) -> Result<Page<StoredCall>, DbError> {
        self.read_snapshot(move |c| {
            let sent = ai_call::table
                .filter(ai_call::host.is_not_null())
                .filter(ai_call::created_us.ge(from.as_micros()))
                .filter(ai_call::created_us.lt(until.as_micros()));
            let count: i64 = sent.count().get_result(c)?;
            let rows: Vec<CallRow> = sent
                .order((ai_call::created_us.desc(), ai_call::id.desc()))
                .limit(limit.into())
                .offset(offset(page, limit))
                .load(c)?;
            let items = rows.into_iter().map(StoredCall::try_from).collect::<Result<_, _>>()?;
            Ok(Page { items, total: total(count), page, limit })
        })
        .await
    }

    /// What went to hosts from a moment until before another, by local day; the days ascend, those without calls are
    /// left out.
    ///
    /// # Errors
    /// `Invalid` for an unknown time zone.
    pub async fn ai_egress_days(
        &self,
        from: Timestamp,
        until: Timestamp,
        timezone: String,
    ) -> Result<Vec<EgressDay>, DbError> {
        let calendar = Calendar::named(&timezone)?;
        self.read(move |c| {
            let rows: Vec<SentRow> = diesel::sql_query(format!(
                "SELECT {QUARTER} AS quarter, a.host, a.is_remote, COUNT(*) AS calls, \
                   CAST(SUM(a.bytes_sent) AS BIGINT) AS bytes, CAST(SUM(a.frame_count) AS BIGINT) AS frames \
                 FROM ai_call a WHERE a.host IS NOT NULL AND a.created_us >= $1 AND a.created_us < $2 \
                 GROUP BY {QUARTER}, a.host, a.is_remote"
            ))
            .bind::<BigInt, _>(from.as_micros())
            .bind::<BigInt, _>(until.as_micros())
            .load(c)?;
            let mut days: BTreeMap<String, BTreeMap<(String, bool), [u64; 3]>> = BTreeMap::new();
            for row in rows {
                let hosts = days.entry(date(&calendar, row.quarter)).or_default();
                let [calls, bytes, frames] = hosts.entry((row.host, row.is_remote)).or_default();
                *calls += total(row.calls);
                *bytes += total(row.bytes);
                *frames += total(row.frames);
            }
            let day = |(date, hosts): (String, BTreeMap<(String, bool), [u64; 3]>)| {
                let hosts: Vec<EgressHost> = hosts
                    .into_iter()
                    .map(|((host, is_remote), [calls, bytes_sent, frames])| EgressHost {
                        host,
                        is_remote,
                        calls,
                        bytes_sent,
                        frames,
                    })
                    .collect();
                EgressDay {
                    date,
                    calls: hosts.iter().map(|h| h.calls).sum(),
                    bytes_sent: hosts.iter().map(|h| h.bytes_sent).sum(),
                    frames: hosts.iter().map(|h| h.frames).sum(),
                    hosts,
                }
            };
            Ok(days.into_iter().map(day).collect())
        })
        .await
    }
}

/// The number of a call's quarter of an hour: all time zones in use are off by whole quarters.
const QUARTER: &str = "(a.created_us / 900000000)";
