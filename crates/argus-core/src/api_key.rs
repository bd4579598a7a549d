//! API keys: credentials of programs.

use serde::{Deserialize, Serialize};

use crate::names::names;
use crate::text::text;
use crate::{ApiKeyId, Faults, Timestamp, UserId};

names! {
    /// A permission.
    Scope {
        /// Events, their media, statistics, export, event messages.
        ReadEvents = "read:events",
        /// Cameras, snapshots, camera messages.
        ReadCameras = "read:cameras",
        /// Create, change, delete, start, stop and test cameras; implies `read:cameras`.
        WriteCameras = "write:cameras",
        /// Everything.
        Admin = "admin",
    }
}

impl Scope {
    /// Whether holding this permission gives `wanted`.
    #[must_use]
    pub fn gives(self, wanted: Self) -> bool {
        match self {
            Self::Admin => true,
            Self::WriteCameras => matches!(wanted, Self::WriteCameras | Self::ReadCameras),
            Self::ReadEvents | Self::ReadCameras => self == wanted,
        }
    }
}

/// An API key as shown; the key itself is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiKey {
    /// Names it.
    pub id: ApiKeyId,
    /// What people call it.
    pub name: String,
    /// First 8 characters of the key.
    pub prefix: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// False once revoked or expired.
    pub is_active: bool,
    /// When it ends by itself.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub expires_at: Option<Timestamp>,
    /// 1..10000.
    pub rate_limit_per_minute: u32,
    /// Requests admitted with it.
    pub usage_count: i64,
    /// The last of them.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub last_used_at: Option<Timestamp>,
    /// Where that came from.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub last_used_ip: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The user who made it; null for a key made by another key or on the command line.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub created_by: Option<UserId>,
    /// When it was revoked.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub revoked_at: Option<Timestamp>,
}

/// A key to be made; its rules are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewApiKey {
    /// 1..255 characters.
    pub name: String,
    /// At least one, without repeats.
    pub scopes: Vec<Scope>,
    /// In the future.
    pub expires_at: Option<Timestamp>,
    /// 1..10000.
    pub rate_limit_per_minute: u32,
}

impl NewApiKey {
    /// Checks the rules and drops repeated scopes.
    ///
    /// # Errors
    /// All faults found, each with its field.
    pub fn check(
        name: &str,
        scopes: &[Scope],
        expires_at: Option<Timestamp>,
        rate_limit_per_minute: i64,
        now: Timestamp,
    ) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let name = name.trim();
        if let Err(reason) = text(name, 1..=255) {
            faults.add("name", reason);
        }
        let mut kept: Vec<Scope> = Vec::new();
        for &scope in scopes {
            if !kept.contains(&scope) {
                kept.push(scope);
            }
        }
        if kept.is_empty() {
            faults.add("scopes", "needs at least one scope");
        }
        if expires_at.is_some_and(|t| t <= now) {
            faults.add("expires_at", "is not in the future");
        }
        let rate = u32::try_from(rate_limit_per_minute).unwrap_or(0);
        if !(1..=10_000).contains(&rate) {
            faults.add("rate_limit_per_minute", format!("is {rate_limit_per_minute}, allowed are 1 to 10000"));
        }
        faults.or(Self { name: name.to_owned(), scopes: kept, expires_at, rate_limit_per_minute: rate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_imply_only_what_the_contract_says() {
        assert!(Scope::Admin.gives(Scope::ReadEvents));
        assert!(Scope::WriteCameras.gives(Scope::ReadCameras));
        assert!(!Scope::WriteCameras.gives(Scope::ReadEvents));
        assert!(!Scope::ReadCameras.gives(Scope::WriteCameras));
    }

    #[test]
    fn a_key_keeps_the_rules() {
        let now = Timestamp::from_millis(1000);
        let key = NewApiKey::check(" ha ", &[Scope::ReadEvents, Scope::ReadEvents], None, 100, now).unwrap();
        assert_eq!((key.name.as_str(), key.scopes.len()), ("ha", 1));
        let faults = NewApiKey::check("", &[], Some(now), 0, now).unwrap_err();
        let fields: Vec<_> = faults.0.iter().map(|f| f.field.as_str()).collect();
        assert_eq!(fields, ["name", "scopes", "expires_at", "rate_limit_per_minute"]);
    }
}
