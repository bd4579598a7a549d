//! What answers say about providers.

use argus_core::ports::LiveProvider;
use argus_core::provider::{Prices, ProviderCapabilities, ProviderHealth, ProviderKind};
use argus_core::{ProviderId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// A provider of descriptions.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ProviderView {
    /// Names it.
    pub id: ProviderId,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// What it speaks.
    pub kind: ProviderKind,
    /// What people call it.
    pub name: String,
    /// The model that is asked.
    pub model: String,
    /// Where it is; null: at the address of the kind.
    #[schema(required)]
    pub base_url: Option<String>,
    /// Whether a key is stored.
    pub has_key: bool,
    /// Whether it is asked.
    pub enabled: bool,
    /// Lower comes first; ties by id.
    pub priority: u16,
    /// Of one call, seconds.
    pub timeout_s: u16,
    /// Longest answer, tokens.
    pub max_output_tokens: u16,
    /// Calls at the same time.
    pub max_concurrent: u8,
    /// Calls begun in a minute; null means no limit.
    #[schema(required)]
    pub requests_per_minute: Option<u16>,
    /// The prices that count: those set by hand, else those of the table of known models.
    pub prices: Prices,
    /// What it can take and give.
    pub capabilities: ProviderCapabilities,
    /// How it is doing.
    pub health: ProviderHealth,
}

impl From<LiveProvider> for ProviderView {
    fn from(live: LiveProvider) -> Self {
        let LiveProvider { stored, health, capabilities, prices } = live;
        let config = stored.config;
        Self {
            id: stored.id,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
            kind: config.kind,
            name: config.name,
            model: config.model,
            base_url: config.base_url,
            has_key: config.api_key.is_some(),
            enabled: config.enabled,
            priority: config.priority,
            timeout_s: config.timeout_s,
            max_output_tokens: config.max_output_tokens,
            max_concurrent: config.max_concurrent,
            requests_per_minute: config.requests_per_minute,
            prices,
            capabilities,
            health,
        }
    }
}
