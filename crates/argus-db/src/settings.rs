//! Settings: JSON texts by name. What they mean is for others to say.

use std::collections::BTreeMap;

use argus_core::Timestamp;
use diesel::dsl::max;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::database::Database;
use crate::error::DbError;
use crate::schema::setting;
use crate::value::check_text;

impl Database {
    /// Every stored setting: its JSON text by its name.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn setting_get_all(&self) -> Result<BTreeMap<String, String>, DbError> {
        self.read(|c| {
            let rows: Vec<(String, String)> = setting::table.select((setting::name, setting::json)).load(c)?;
            Ok(rows.into_iter().collect())
        })
        .await
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

    /// Stores JSON texts by name, all or nothing; settings that are not named stay.
    ///
    /// # Errors
    /// `Invalid` for text with U+0000.
    pub async fn setting_put(&self, values: BTreeMap<String, String>, now: Timestamp) -> Result<(), DbError> {
        for (name, json) in &values {
            check_text(name, name)?;
            check_text(name, json)?;
        }
        self.write(move |tx| {
            // A map is in order: two callers at once cannot wait for each other's rows.
            for (name, json) in values {
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
        })
        .await
    }
}
