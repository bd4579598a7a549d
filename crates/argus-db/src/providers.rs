//! Providers of descriptions: whom to ask, how, and under which key.

use argus_core::provider::{Prices, ProviderConfig, ProviderKind, StoredProvider};
use argus_core::{ProviderId, Timestamp};
use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::conn::DbConn;
use crate::database::{Database, Tx};
use crate::error::{ConstraintExt, DbError};
use crate::schema::ai_provider;
use crate::seal::Sealer;
use crate::value::{check_number, check_text, fold, narrow, parse};

const WHAT: &str = "provider";

#[derive(Queryable, Insertable, AsChangeset)]
#[diesel(table_name = ai_provider, treat_none_as_default_value = false, treat_none_as_null = true)]
struct ProviderRow {
    id: String,
    name: String,
    name_key: String,
    created_us: i64,
    updated_us: i64,
    kind: String,
    model: String,
    base_url: Option<String>,
    api_key: Option<String>,
    enabled: bool,
    priority: i32,
    timeout_s: i32,
    max_output_tokens: i32,
    has_prices: bool,
    price_input: Option<f64>,
    price_output: Option<f64>,
    max_concurrent: i32,
    requests_per_minute: Option<i32>,
}

impl ProviderRow {
    fn new(p: &StoredProvider, sealer: &Sealer) -> Result<Self, DbError> {
        let (id, c) = (p.id.to_string(), &p.config);
        for (field, text) in [("name", Some(&c.name)), ("model", Some(&c.model)), ("base_url", c.base_url.as_ref())] {
            text.map_or(Ok(()), |t| check_text(field, t))?;
        }
        let prices = c.prices.unwrap_or_default();
        for price in [prices.input_per_million, prices.output_per_million].into_iter().flatten() {
            check_number("prices", price)?;
        }
        Ok(Self {
            name: c.name.clone(),
            name_key: fold(&c.name),
            created_us: p.created_at.as_micros(),
            updated_us: p.updated_at.as_micros(),
            kind: c.kind.to_string(),
            model: c.model.clone(),
            base_url: c.base_url.clone(),
            api_key: c.api_key.as_ref().map(|key| sealer.seal(&id, key)).transpose()?,
            enabled: c.enabled,
            priority: c.priority.into(),
            timeout_s: c.timeout_s.into(),
            max_output_tokens: c.max_output_tokens.into(),
            has_prices: c.prices.is_some(),
            price_input: prices.input_per_million,
            price_output: prices.output_per_million,
            max_concurrent: c.max_concurrent.into(),
            requests_per_minute: c.requests_per_minute.map(i32::from),
            id,
        })
    }

    fn provider(self, sealer: &Sealer) -> Result<StoredProvider, DbError> {
        let prices = Prices { input_per_million: self.price_input, output_per_million: self.price_output };
        Ok(StoredProvider {
            created_at: Timestamp::from_micros(self.created_us),
            updated_at: Timestamp::from_micros(self.updated_us),
            config: ProviderConfig {
                kind: parse(WHAT, &self.kind)?,
                name: self.name,
                model: self.model,
                base_url: self.base_url,
                api_key: self.api_key.map(|key| sealer.open(&self.id, &key)).transpose()?,
                enabled: self.enabled,
                priority: narrow(WHAT, self.priority)?,
                timeout_s: narrow(WHAT, self.timeout_s)?,
                max_output_tokens: narrow(WHAT, self.max_output_tokens)?,
                prices: self.has_prices.then_some(prices),
                max_concurrent: narrow(WHAT, self.max_concurrent)?,
                requests_per_minute: self.requests_per_minute.map(|n| narrow(WHAT, n)).transpose()?,
            },
            id: parse(WHAT, &self.id)?,
        })
    }
}

fn find(conn: &mut DbConn, id: ProviderId) -> Result<ProviderRow, DbError> {
    ai_provider::table.find(id.to_string()).first(conn).optional()?.ok_or(DbError::NotFound { what: WHAT })
}

/// Reads a row for a change. SQLite has one writer; PostgreSQL locks the row.
fn find_locked(tx: &mut Tx<'_>, id: ProviderId) -> Result<ProviderRow, DbError> {
    if tx.conn.is_postgres() {
        diesel::sql_query("SELECT id FROM ai_provider WHERE id = $1 FOR UPDATE")
            .bind::<Text, _>(id.to_string())
            .execute(tx.conn)?;
    }
    find(tx.conn, id)
}

impl Database {
    /// Every provider, by priority, ties by id.
    ///
    /// # Errors
    /// `Sealed` when a key cannot be opened.
    pub async fn ai_provider_all(&self) -> Result<Vec<StoredProvider>, DbError> {
        let inner = self.inner.clone();
        self.read(move |c| {
            let rows: Vec<ProviderRow> =
                ai_provider::table.order((ai_provider::priority.asc(), ai_provider::id.asc())).load(c)?;
            rows.into_iter().map(|row| row.provider(&inner.sealer)).collect()
        })
        .await
    }

    /// When each provider was changed last: differs from what it was as soon as any other process added, changed or
    /// removed one.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn ai_provider_stamps(&self) -> Result<Vec<(ProviderId, Timestamp)>, DbError> {
        self.read(move |c| {
            let rows: Vec<(String, i64)> = ai_provider::table
                .order(ai_provider::id.asc())
                .select((ai_provider::id, ai_provider::updated_us))
                .load(c)?;
            rows.into_iter().map(|(id, us)| Ok((parse(WHAT, &id)?, Timestamp::from_micros(us)))).collect()
        })
        .await
    }

    /// One provider.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn ai_provider_get(&self, id: ProviderId) -> Result<StoredProvider, DbError> {
        let inner = self.inner.clone();
        self.read(move |c| find(c, id)?.provider(&inner.sealer)).await
    }

    /// Adds a provider.
    ///
    /// # Errors
    /// `Conflict` when the name is taken, ignoring case.
    pub async fn ai_provider_insert(&self, new: StoredProvider) -> Result<StoredProvider, DbError> {
        self.write(move |tx| {
            let row = ProviderRow::new(&new, tx.sealer)?;
            diesel::insert_into(ai_provider::table).values(&row).execute(tx.conn).unique(WHAT, "name")?;
            Ok(new)
        })
        .await
    }

    /// Changes a provider. `edit` runs inside the transaction, so that two callers at once do not undo each other's
    /// changes; when it refuses, nothing is changed and its reason is the inner error.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the new name is taken.
    pub async fn ai_provider_edit<E, F>(
        &self,
        id: ProviderId,
        now: Timestamp,
        edit: F,
    ) -> Result<Result<StoredProvider, E>, DbError>
    where
        E: Send + 'static,
        F: FnOnce(&StoredProvider) -> Result<ProviderConfig, E> + Send + 'static,
    {
        self.write(move |tx| {
            let before = find_locked(tx, id)?.provider(tx.sealer)?;
            let config = match edit(&before) {
                Ok(config) => config,
                Err(refused) => return Ok(Err(refused)),
            };
            let after = StoredProvider { id, created_at: before.created_at, updated_at: now, config };
            let row = ProviderRow::new(&after, tx.sealer)?;
            diesel::update(ai_provider::table.find(id.to_string())).set(&row).execute(tx.conn).unique(WHAT, "name")?;
            Ok(Ok(after))
        })
        .await
    }

    /// Removes a provider; its calls stay. The built-in one stays, too: then it is false.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn ai_provider_delete(&self, id: ProviderId) -> Result<bool, DbError> {
        self.write(move |tx| {
            if find_locked(tx, id)?.kind == ProviderKind::Builtin.as_str() {
                return Ok(false);
            }
            diesel::delete(ai_provider::table.find(id.to_string())).execute(tx.conn)?;
            Ok(true)
        })
        .await
    }
}
