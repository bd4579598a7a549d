//! `argus-server api-key create`.

use argus_core::api_key::{NewApiKey, Scope};
use argus_core::{Clock, Timestamp, chain};
use argus_db::DataDir;
use argus_engine::SystemClock;

use crate::config::Config;
use crate::{Failure, say, wire};

/// Makes a key and prints it, alone on one line.
pub(crate) async fn create(
    config: &Config,
    name: &str,
    scopes: &[String],
    rate_limit: i64,
    expires_at: Option<Timestamp>,
) -> Result<(), Failure> {
    let refused = |message: String| Failure { code: 5, message };
    let scopes = scopes
        .iter()
        .map(|s| s.parse::<Scope>().map_err(|e| refused(format!("scope {s:?} {}", e.reason))))
        .collect::<Result<Vec<_>, _>>()?;
    let new = NewApiKey::check(name, &scopes, expires_at, rate_limit, SystemClock.now())
        .map_err(|faults| refused(faults.to_string()))?;
    let dir = DataDir::open(&config.data_dir).map_err(wire::unusable)?;
    let db = wire::database(config, &dir).await?;
    let minted = argus_api::api_keys::mint(&db, new, None, SystemClock.now()).await;
    let (_, key) = minted.map_err(|e| Failure::data(format!("the key cannot be stored: {}", chain(&e))))?;
    say(key.expose())
}
