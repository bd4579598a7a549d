//! One provider as it is asked: its configuration, its vendor, and what must outlive a change of either.

use std::sync::Arc;

use argus_core::Faults;
use argus_core::describe::{CallRecord, DescribeError, FallbackStep};
use argus_core::provider::{Prices, ProviderCapabilities, ProviderConfig, ProviderKind, StoredProvider};

use crate::breaker::Breaker;
use crate::gate::Gate;
use crate::prices;
use crate::vendor::{Vendor, kind_info};

/// A provider.
pub(crate) struct Member {
    pub(crate) stored: StoredProvider,
    pub(crate) asks: Asks,
    pub(crate) prices: Prices,
    pub(crate) price_version: Option<String>,
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) gate: Arc<Gate>,
}

/// Who is asked.
#[derive(Clone)]
pub(crate) enum Asks {
    /// A vendor's endpoint.
    Vendor(Arc<dyn Vendor>),
    /// The built-in describer.
    Builtin,
    /// Nobody: the configuration cannot be used, and why.
    Nobody(Arc<Faults>),
}

/// Makes the vendor of a configuration.
pub(crate) type Make = dyn Fn(&ProviderConfig) -> Result<Arc<dyn Vendor>, Faults> + Send + Sync;

impl Member {
    /// The provider, with what is kept of the one that it was before.
    pub(crate) fn new(stored: &StoredProvider, before: Option<&Self>, make: &Make) -> Self {
        let config = &stored.config;
        let before_reached = before.filter(|member| reached_alike(&member.stored.config, config));
        // A vendor learns how its endpoint wants to be asked, and keeps connections: it stays while it may.
        let asks = match before_reached {
            Some(member) => member.asks.clone(),
            None if config.kind == ProviderKind::Builtin => Asks::Builtin,
            None => match make(config) {
                Ok(vendor) => Asks::Vendor(vendor),
                Err(faults) => Asks::Nobody(Arc::new(faults)),
            },
        };
        let gate = match before {
            Some(member) => Arc::new(member.gate.with(config.max_concurrent, config.requests_per_minute)),
            None => Arc::new(Gate::new(config.max_concurrent, config.requests_per_minute)),
        };
        Self {
            stored: stored.clone(),
            asks,
            prices: prices::of(config),
            price_version: prices::version(config),
            breaker: before_reached.map(|member| Arc::clone(&member.breaker)).unwrap_or_default(),
            gate,
        }
    }

    pub(crate) fn config(&self) -> &ProviderConfig {
        &self.stored.config
    }

    pub(crate) fn is_builtin(&self) -> bool {
        matches!(self.asks, Asks::Builtin)
    }

    /// Whether a call costs money, or may. The built-in describer asks nobody who could want any, whatever its prices say.
    pub(crate) fn costs(&self) -> bool {
        !self.is_builtin() && !prices::is_free(self.prices)
    }

    /// The part of a receipt that names it.
    pub(crate) fn record(&self) -> CallRecord {
        CallRecord {
            provider: Some(self.config().kind.as_str().to_owned()),
            provider_id: Some(self.stored.id),
            provider_name: Some(self.config().name.clone()),
            model: Some(self.config().model.clone()),
            ..CallRecord::default()
        }
    }

    /// Why it did not answer, for the path.
    pub(crate) fn step(&self, error: &DescribeError, latency_ms: u32) -> FallbackStep {
        FallbackStep {
            provider_name: self.config().name.clone(),
            model: self.config().model.clone(),
            error_kind: error.kind,
            message: error.message.clone(),
            latency_ms,
        }
    }
}

/// Whether both are the same endpoint, asked for the same model with the same key.
fn reached_alike(a: &ProviderConfig, b: &ProviderConfig) -> bool {
    (a.kind, &a.model, &a.base_url, &a.api_key) == (b.kind, &b.model, &b.base_url, &b.api_key)
}

/// What a provider of this kind can take and give.
pub(crate) fn capabilities(kind: ProviderKind) -> ProviderCapabilities {
    let info = kind_info(kind);
    ProviderCapabilities {
        max_images: info.max_images,
        image_formats: info.image_formats,
        json_output: info.json_output,
    }
}
