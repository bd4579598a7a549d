//! Making API keys (contract 6.1).

use argus_core::api_key::{ApiKey, NewApiKey};
use argus_core::{ApiKeyId, Secret, Timestamp, UserId};
use argus_db::{Database, DbError};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::error::ApiError;

/// Characters of a key that stay known.
const PREFIX: usize = 8;

/// Makes a key: `argus_` and 32 random bytes as base64url. Only its SHA-256 is stored; the key is given this once.
///
/// # Errors
/// What the database says; `Internal` when the system gives no randomness.
pub async fn mint(
    db: &Database,
    new: NewApiKey,
    created_by: Option<UserId>,
    now: Timestamp,
) -> Result<(ApiKey, Secret), ApiError> {
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).map_err(|e| DbError::Unavailable(e.to_string().into()))?;
    let key = format!("argus_{}", URL_SAFE_NO_PAD.encode(random));
    let prefix = key.chars().take(PREFIX).collect();
    let hash = Sha256::digest(&key).into();
    let row = db.api_key_insert(new, ApiKeyId::new(now), prefix, hash, created_by, now).await?;
    Ok((row, Secret::new(key)))
}
