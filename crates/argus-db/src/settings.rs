//! Settings: JSON texts by name. What they mean is for others to say.

use std::collections::BTreeMap;

use argus_core::Timestamp;
use diesel::dsl::max;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::conn::DbConn;
use crate::database::{Database, Tx};
use crate::error::DbError;
use crate::schema::setting;
use crate::value::check_text;

fn all(conn: &mut DbConn) -> Result<BTreeMap<String, String>, DbError> {
    let rows: Vec<(String, String)> = setting::table.select((setting::name, setting::json)).load(conn)?;
    Ok(rows.into_iter().collect())
}

fn put(tx: &mut Tx<'_>, values: BTreeMap<String, String>, now: Timestamp) -> Result<(), DbError> {
    // A map is in order: two callers at once cannot wait for each other's rows.
    for (name, json) in values {
        check_text(&name, &name)?;
        check_text(&name, &json)?;
        diesel::sql_query(
            "INSERT INTO setting (name, json, updated_us) VALUES ($1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET json = excluded.json, updated_us = excluded.updated_us",
        )
        .bind::<Text, _>(name)
        .bind::<Text, _>(json)
        .bind::<BigInt, _>(now.as_micros())
        .execute(tx.conn)?;
    }
    Ok(())
}

impl Database {
    /// Every stored setting: its JSON text by its name.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn setting_get_all(&self) -> Result<BTreeMap<String, String>, DbError> {
        self.read(all).await
    }

    /// When a setting was stored last; `None` when none ever was.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn setting_updated_at(&self) -> Result<Option<Timestamp>, DbError> {
        self.read(|c| {
            let us: Option<i64> = setting::table.select(max(setting::updated_us)).get_result(c)?;
            Ok(us.map(Timestamp::from_micros))
        })
        .await
    }

    /// Changes settings by what is stored: `edit` runs inside the transaction and gives what is to be stored (JSON texts by
    /// name; what is not named stays) and an answer of its own, so that two callers at once do not undo each other's
    /// changes. When it refuses, nothing is changed and its reason is the inner error. Gives the names of what was stored,
    /// and the answer.
    ///
    /// # Errors
    /// `Invalid` for text with U+0000.
    pub async fn setting_edit<T, E, F>(&self, now: Timestamp, edit: F) -> Result<Result<(Vec<String>, T), E>, DbError>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce(&BTreeMap<String, String>) -> Result<(BTreeMap<String, String>, T), E> + Send + 'static,
    {
        self.write(move |tx| {
            if tx.conn.is_postgres() {
                // Writers run side by side there, and a setting that is not stored yet has no row to be locked.
                diesel::sql_query("LOCK TABLE setting IN SHARE ROW EXCLUSIVE MODE").execute(tx.conn)?;
            }
            let stored = all(tx.conn)?;
            let (changes, answer) = match edit(&stored) {
                Ok(edited) => edited,
                Err(refused) => return Ok(Err(refused)),
            };
            let names = changes.keys().cloned().collect();
            put(tx, changes, now)?;
            Ok(Ok((names, answer)))
        })
        .await
    }
}
