//! API keys: only the hash of a key is kept.

use std::sync::atomic::Ordering;

use argus_core::api_key::{ApiKey, NewApiKey};
use argus_core::{ApiKeyId, Timestamp, UserId};
use diesel::prelude::*;

use crate::conn::MultiBackend;
use crate::database::Database;
use crate::error::DbError;
use crate::page::{Page, offset, total};
use crate::schema::api_key;
use crate::value::{
    check_text, fit, from_json, hex, json, narrow, parse, parse_opt, text_opt, time_opt, us_opt, without_nul,
};

const WHAT: &str = "API key";

/// Requests that were admitted with a key since the last time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyUse {
    /// The key.
    pub id: ApiKeyId,
    /// How many.
    pub count: u64,
    /// The last of them.
    pub last_used_at: Timestamp,
    /// Where that came from.
    pub ip: Option<String>,
}

#[derive(Queryable, Insertable)]
#[diesel(table_name = api_key, treat_none_as_default_value = false)]
struct ApiKeyRow {
    id: String,
    name: String,
    prefix: String,
    sha256: String,
    scopes: String,
    expires_us: Option<i64>,
    rate_limit_per_minute: i32,
    usage_count: i64,
    last_used_us: Option<i64>,
    last_used_ip: Option<String>,
    created_us: i64,
    created_by: Option<String>,
    revoked_us: Option<i64>,
}

impl ApiKeyRow {
    fn key(self, now: Timestamp) -> Result<ApiKey, DbError> {
        let (expires_at, revoked_at) = (time_opt(self.expires_us), time_opt(self.revoked_us));
        Ok(ApiKey {
            id: parse(WHAT, &self.id)?,
            name: self.name,
            prefix: self.prefix,
            scopes: from_json(WHAT, &self.scopes)?,
            is_active: revoked_at.is_none() && expires_at.is_none_or(|t| t > now),
            expires_at,
            rate_limit_per_minute: narrow(WHAT, self.rate_limit_per_minute)?,
            usage_count: self.usage_count,
            last_used_at: time_opt(self.last_used_us),
            last_used_ip: self.last_used_ip,
            created_at: Timestamp::from_micros(self.created_us),
            created_by: parse_opt(WHAT, self.created_by.as_ref())?,
            revoked_at,
        })
    }
}

/// A hash as the column holds it.
impl Database {
    /// Adds a key by its hash.
    ///
    /// # Errors
    /// `Conflict` when the same key exists, `Invalid` for a value that cannot be stored.
    pub async fn api_key_insert(
        &self,
        new: NewApiKey,
        id: ApiKeyId,
        prefix: String,
        sha256: [u8; 32],
        created_by: Option<UserId>,
        now: Timestamp,
    ) -> Result<ApiKey, DbError> {
        use crate::error::ConstraintExt;
        check_text("name", &new.name)?;
        let row = ApiKeyRow {
            id: id.to_string(),
            name: new.name,
            prefix,
            sha256: hex(&sha256),
            scopes: json("scopes", &new.scopes)?,
            expires_us: us_opt(new.expires_at),
            rate_limit_per_minute: fit("rate_limit_per_minute", new.rate_limit_per_minute)?,
            usage_count: 0,
            last_used_us: None,
            last_used_ip: None,
            created_us: now.as_micros(),
            created_by: text_opt(created_by),
            revoked_us: None,
        };
        self.write(move |tx| {
            diesel::insert_into(api_key::table).values(&row).execute(tx.conn).unique(WHAT, "key")?;
            row.key(now)
        })
        .await
    }

    /// The key with this hash, also when it was revoked or has expired: `is_active` tells.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn api_key_by_hash(&self, sha256: &[u8; 32], now: Timestamp) -> Result<Option<ApiKey>, DbError> {
        let hash = hex(sha256);
        self.read(move |c| {
            let row: Option<ApiKeyRow> = api_key::table.filter(api_key::sha256.eq(hash)).first(c).optional()?;
            row.map(|r| r.key(now)).transpose()
        })
        .await
    }

    /// One key.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn api_key_get(&self, id: ApiKeyId, now: Timestamp) -> Result<ApiKey, DbError> {
        self.read(move |c| {
            let row: Option<ApiKeyRow> = api_key::table.find(id.to_string()).first(c).optional()?;
            row.ok_or(DbError::NotFound { what: WHAT })?.key(now)
        })
        .await
    }

    /// A page of the keys, oldest first; expired ones are in it.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn api_key_list(
        &self,
        include_revoked: bool,
        page: u32,
        limit: u32,
        now: Timestamp,
    ) -> Result<Page<ApiKey>, DbError> {
        self.read_snapshot(move |c| {
            let matching = || {
                let mut query: api_key::BoxedQuery<'_, MultiBackend> = api_key::table.into_boxed();
                if !include_revoked {
                    query = query.filter(api_key::revoked_us.is_null());
                }
                query
            };
            let count: i64 = matching().count().get_result(c)?;
            let rows: Vec<ApiKeyRow> = matching()
                .order((api_key::created_us.asc(), api_key::id.asc()))
                .limit(limit.into())
                .offset(offset(page, limit))
                .load(c)?;
            let items = rows.into_iter().map(|r| r.key(now)).collect::<Result<_, _>>()?;
            Ok(Page { items, total: total(count), page, limit })
        })
        .await
    }

    /// Revokes a key and keeps its record; one that was revoked before stays as it was.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn api_key_revoke(&self, id: ApiKeyId, now: Timestamp) -> Result<ApiKey, DbError> {
        let revoked = self.write(move |tx| {
            let key = api_key::table.find(id.to_string());
            diesel::update(key.filter(api_key::revoked_us.is_null()))
                .set(api_key::revoked_us.eq(Some(now.as_micros())))
                .execute(tx.conn)?;
            let row: Option<ApiKeyRow> = api_key::table.find(id.to_string()).first(tx.conn).optional()?;
            row.ok_or(DbError::NotFound { what: WHAT })?.key(now)
        });
        let revoked = revoked.await;
        self.inner.revocations.fetch_add(1, Ordering::Release);
        revoked
    }

    /// A number that changes whenever a key was revoked through this handle or one of its clones: what was read before,
    /// with an older number, may be out of date.
    #[must_use]
    pub fn api_key_revocations(&self) -> u64 {
        self.inner.revocations.load(Ordering::Acquire)
    }

    /// Adds up the use of keys. Keys that are gone are passed over.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn api_key_used(&self, mut batch: Vec<ApiKeyUse>) -> Result<(), DbError> {
        // In one order everywhere: two batches at once cannot wait for each other's rows.
        batch.sort_by_key(|u| u.id);
        self.write(move |tx| {
            for used in batch {
                let id = used.id.to_string();
                let count = i64::try_from(used.count).unwrap_or(i64::MAX);
                diesel::update(api_key::table.find(&id))
                    .set(api_key::usage_count.eq(api_key::usage_count + count))
                    .execute(tx.conn)?;
                let at = used.last_used_at.as_micros();
                let key = api_key::table.filter(api_key::id.eq(&id));
                let older = key.filter(api_key::last_used_us.is_null().or(api_key::last_used_us.le(Some(at))));
                diesel::update(older)
                    .set((api_key::last_used_us.eq(Some(at)), api_key::last_used_ip.eq(used.ip.map(without_nul))))
                    .execute(tx.conn)?;
            }
            Ok(())
        })
        .await
    }
}
