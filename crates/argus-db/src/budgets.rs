//! Budgets: what is spent and reserved in the present day and month, and what people are told of it.

use argus_core::Timestamp;
use argus_core::budget::{Period, forecast, percent, reached, spent};
use argus_core::event::StatusReason;
use argus_core::notification::Notification;
use argus_core::settings::Budgets;
use argus_core::usage::{BudgetState, BudgetStates};
use diesel::dsl::{min, sum};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Integer, Text};

use crate::conn::DbConn;
use crate::database::{Database, Tx};
use crate::error::DbError;
use crate::schema::{ai_budget_told, ai_call, ai_spent};
use crate::spent::spent_in;

/// Any number that nobody else uses as an advisory lock.
const BUDGET_LOCK: i64 = 0x6172_6775_7300_0004;
/// From so many whole days the forecast takes its mean.
const DAYS: u32 = 7;

/// The limits that hold, and the time zone of their days and months.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BudgetRules {
    /// The limits.
    pub limits: Budgets,
    /// IANA name.
    pub timezone: String,
}

impl BudgetRules {
    fn day(&self, at: Timestamp) -> Period {
        Period::day(at, &self.timezone)
    }

    fn month(&self, at: Timestamp) -> Period {
        Period::month(at, &self.timezone)
    }
}

/// Lets transactions that book or settle pass one after the other: SQLite has one writer anyway. Taken before the rows
/// of calls and before the journal.
pub(crate) fn lock(conn: &mut DbConn) -> Result<(), DbError> {
    if conn.is_postgres() {
        diesel::sql_query("SELECT pg_advisory_xact_lock($1)").bind::<BigInt, _>(BUDGET_LOCK).execute(conn)?;
    }
    Ok(())
}

/// What is spent in a period, and what calls that are under way may cost. Both count in the period of the booking.
fn taken(conn: &mut DbConn, period: Period) -> Result<f64, DbError> {
    let open: Option<f64> = ai_call::table
        // In the words of the partial index, or it is not used.
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("state = 'open'"))
        .filter(ai_call::created_us.ge(period.start.as_micros()))
        .filter(ai_call::created_us.lt(period.end.as_micros()))
        .select(sum(ai_call::estimate))
        .get_result(conn)?;
    Ok(spent_in(conn, period.start, period.end)? + open.unwrap_or(0.0))
}

/// What is taken of the day and of the month of a moment.
pub(crate) fn taken_at(conn: &mut DbConn, at: Timestamp, rules: &BudgetRules) -> Result<(f64, f64), DbError> {
    Ok((taken(conn, rules.day(at))?, taken(conn, rules.month(at))?))
}

/// Tells of a budget of which a further part is spent, once for each part and period, also over restarts.
pub(crate) fn warn(tx: &mut Tx<'_>, rules: &BudgetRules, now: Timestamp) -> Result<(), DbError> {
    let both = [
        (StatusReason::BudgetDaily, rules.limits.daily_usd, rules.day(now)),
        (StatusReason::BudgetMonthly, rules.limits.monthly_usd, rules.month(now)),
    ];
    for (budget, limit, period) in both {
        let Some(limit) = limit else { continue };
        let sum = spent_in(tx.conn, period.start, period.end)?;
        let Some(reached) = reached(limit, sum) else { continue };
        let told: Option<(i64, f64, i32)> = ai_budget_told::table
            .find(budget.as_str())
            .select((ai_budget_told::start_us, ai_budget_told::limit_usd, ai_budget_told::percent))
            .first(tx.conn)
            .optional()?;
        // Another limit is another budget.
        let is_told = told.is_some_and(|(start_us, of, percent)| {
            start_us == period.start.as_micros() && of.total_cmp(&limit).is_eq() && percent >= i32::from(reached)
        });
        if is_told {
            continue;
        }
        diesel::sql_query(
            "INSERT INTO ai_budget_told (budget, start_us, limit_usd, percent) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (budget) DO UPDATE SET start_us = excluded.start_us, limit_usd = excluded.limit_usd, \
               percent = excluded.percent",
        )
        .bind::<Text, _>(budget.as_str())
        .bind::<BigInt, _>(period.start.as_micros())
        .bind::<Double, _>(limit)
        .bind::<Integer, _>(i32::from(reached))
        .execute(tx.conn)?;
        tx.notify(&Notification::ai_budget(budget, reached, sum, limit, now), now)?;
    }
    Ok(())
}

/// What was spent on each of the last whole days since the first on which anything was, oldest first.
fn last_days(conn: &mut DbConn, rules: &BudgetRules, now: Timestamp) -> Result<Vec<f64>, DbError> {
    let first: Option<i64> = ai_spent::table.select(min(ai_spent::quarter_us)).get_result(conn)?;
    let mut days = Vec::new();
    let mut day = rules.day(now);
    for _ in 0..DAYS {
        day = rules.day(day.start.minus(std::time::Duration::from_micros(1)));
        if first.is_none_or(|first| day.end.as_micros() <= first) {
            break;
        }
        days.push(spent_in(conn, day.start, day.end)?);
    }
    days.reverse();
    Ok(days)
}

impl Database {
    /// Tells of the budgets of which a further part is spent than was told, as after a limit was changed.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn ai_budgets_tell(&self, rules: BudgetRules, now: Timestamp) -> Result<(), DbError> {
        self.write(move |tx| {
            lock(tx.conn)?;
            warn(tx, &rules, now)
        })
        .await
    }

    /// What is taken of the day's and of the month's money: spent, or reserved for calls that are under way.
    #[cfg(test)]
    pub(crate) async fn ai_taken(&self, rules: BudgetRules, now: Timestamp) -> Result<(f64, f64), DbError> {
        self.read_snapshot(move |c| taken_at(c, now, &rules)).await
    }

    /// The budgets as they stand.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn ai_budgets(&self, rules: BudgetRules, now: Timestamp) -> Result<BudgetStates, DbError> {
        self.read_snapshot(move |c| {
            let (day_usd, month_usd) = taken_at(c, now, &rules)?;
            let days = last_days(c, &rules, now)?;
            let state = |limit: Option<f64>, sum: f64, period: Period| BudgetState {
                limit,
                spent: sum,
                percent: limit.map(|limit| percent(limit, sum)),
                resets_at: period.end,
                forecast: forecast(period, now, sum, &days),
            };
            let pause_reason = spent(&rules.limits, day_usd, month_usd);
            Ok(BudgetStates {
                daily: state(rules.limits.daily_usd, day_usd, rules.day(now)),
                monthly: state(rules.limits.monthly_usd, month_usd, rules.month(now)),
                paused: pause_reason.is_some(),
                pause_reason,
            })
        })
        .await
    }
}
