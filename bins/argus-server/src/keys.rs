//! `argus-server api-key create`.

use argus_core::api_key::{NewApiKey, Scope};
use argus_core::{ApiKeyId, Clock, Secret, Timestamp, chain};
use argus_db::Database;
use argus_engine::SystemClock;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::{Failure, say, secrets, wire};

/// Makes a key and prints it, alone on one line.
pub(crate) async fn create(
    config: &Config,
    name: &str,
    scopes: &[Scope],
    rate_limit: i64,
    expires_at: Option<Timestamp>,
) -> Result<(), Failure> {
    let new = NewApiKey::check(name, scopes, expires_at, rate_limit, SystemClock.now())
        .map_err(|faults| Failure { code: 5, message: faults.to_string() })?;
    secrets::data_dir(&config.data_dir)?;
    let db = wire::database(config).await?;
    say(mint(&db, new, SystemClock.now()).await?.expose())
}

/// Makes a key: `argus_` and 32 random bytes as base64url. Only its SHA-256 is stored.
pub(crate) async fn mint(db: &Database, new: NewApiKey, now: Timestamp) -> Result<Secret, Failure> {
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).map_err(|e| Failure::running(format!("the system gives no randomness: {e}")))?;
    let key = format!("argus_{}", URL_SAFE_NO_PAD.encode(random));
    let prefix = key.chars().take(8).collect();
    db.api_key_insert(new, ApiKeyId::new(now), prefix, Sha256::digest(&key).into(), None, now)
        .await
        .map_err(|e| Failure::data(format!("the key cannot be stored: {}", chain(&e))))?;
    Ok(Secret::new(key))
}
