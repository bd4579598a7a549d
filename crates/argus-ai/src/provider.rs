//! What every describer of this crate is to the chain.

use std::time::Duration;

use argus_core::ProviderId;
use argus_core::describe::{CallRecord, DescribeError, DescribeFailure, DescribeOutcome, DescribeRequest};
use async_trait::async_trait;

/// One describer: a vendor's endpoint, or the built-in one.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Its name, as people gave it.
    fn name(&self) -> &str;

    /// Its kind, such as `openai` or `builtin`.
    fn kind(&self) -> &'static str;

    /// The model that it asks.
    fn model(&self) -> &str;

    /// Its row, where there is one.
    fn id(&self) -> Option<ProviderId> {
        None
    }

    /// Whether it can describe nothing without pictures.
    fn needs_pictures(&self) -> bool;

    /// Whether it answers at once and on its own, so that it may be asked even after a deadline.
    fn is_instant(&self) -> bool {
        false
    }

    /// Whether a call costs money, or may: only a provider that is known to be free does not.
    fn costs(&self) -> bool {
        true
    }

    /// Describes within `budget` and within its own limit of time; the outcome is complete even when time runs out.
    async fn call(&self, request: &DescribeRequest, budget: Duration) -> DescribeOutcome;
}

/// The part of a receipt that names the provider.
pub(crate) fn record_of(provider: &dyn Provider) -> CallRecord {
    CallRecord {
        provider: Some(provider.kind().to_owned()),
        provider_id: provider.id(),
        provider_name: Some(provider.name().to_owned()),
        model: Some(provider.model().to_owned()),
        ..CallRecord::default()
    }
}

/// A failure without a wish when to try again.
pub(crate) fn failure(kind: DescribeFailure, message: impl Into<String>) -> DescribeError {
    DescribeError { kind, message: message.into(), retry_after: None }
}

/// Whole milliseconds, at most `u32::MAX` (49 days).
pub(crate) fn millis(d: Duration) -> u32 {
    u32::try_from(d.as_millis()).unwrap_or(u32::MAX)
}
