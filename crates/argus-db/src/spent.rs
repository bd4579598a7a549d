//! What calls have cost, for budgets: sums by quarters of an hour, which outlive the calls.
//!
//! A call counts in the quarter in which it was booked, so that it counts in the period whose budget let it pass.

use argus_core::Timestamp;
use diesel::dsl::sum;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double};

use crate::conn::DbConn;
use crate::database::{Database, Tx};
use crate::error::DbError;
use crate::schema::ai_spent;

/// Microseconds of a quarter of an hour.
pub(crate) const QUARTER_US: i64 = 900_000_000;

/// Adds a cost to its quarter.
pub(crate) fn add(tx: &mut Tx<'_>, at: Timestamp, usd: f64) -> Result<(), DbError> {
    diesel::sql_query(
        "INSERT INTO ai_spent (quarter_us, usd) VALUES ($1, $2) \
         ON CONFLICT (quarter_us) DO UPDATE SET usd = ai_spent.usd + excluded.usd",
    )
    .bind::<BigInt, _>(at.as_micros().div_euclid(QUARTER_US).saturating_mul(QUARTER_US))
    .bind::<Double, _>(usd)
    .execute(tx.conn)?;
    Ok(())
}

/// US dollars spent in a span of time.
pub(crate) fn spent_in(conn: &mut DbConn, from: Timestamp, until: Timestamp) -> Result<f64, DbError> {
    let usd: Option<f64> = ai_spent::table
        .filter(ai_spent::quarter_us.ge(from.as_micros().div_euclid(QUARTER_US).saturating_mul(QUARTER_US)))
        .filter(ai_spent::quarter_us.lt(until.as_micros()))
        .select(sum(ai_spent::usd))
        .get_result(conn)?;
    Ok(usd.unwrap_or(0.0))
}

impl Database {
    /// US dollars spent in a span of time, which begins and ends with a quarter of an hour.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn ai_spent(&self, from: Timestamp, until: Timestamp) -> Result<f64, DbError> {
        self.read(move |c| spent_in(c, from, until)).await
    }
}
