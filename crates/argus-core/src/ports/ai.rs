//! What the API asks of descriptions beside those of events: providers, pictures that somebody sends, and calls that are
//! sent again.

use async_trait::async_trait;

use super::ControlError;
use crate::describe::{DescribeOutcome, Description};
use crate::provider::{KindInfo, ProviderCapabilities, ProviderConfig, ProviderHealth, ProviderTest, StoredProvider};
use crate::{CallId, EventId, ProviderId};

/// A provider with how it is doing.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveProvider {
    /// As it is stored.
    pub stored: StoredProvider,
    /// How it is doing.
    pub health: ProviderHealth,
    /// What it can take and give.
    pub capabilities: ProviderCapabilities,
    /// The prices that count: those set by hand, else those of the price table.
    pub prices: crate::provider::Prices,
}

/// A change of a provider, computed inside the transaction that stores it.
pub type ProviderEdit = Box<dyn FnOnce(&StoredProvider) -> Result<ProviderConfig, ControlError> + Send>;

/// A picture that somebody wants to have described.
#[derive(Clone, Debug)]
pub struct PictureQuestion {
    /// The file.
    pub image: bytes::Bytes,
    /// Replaces the instruction.
    pub prompt: Option<String>,
    /// Id or name; then no fall-back to another.
    pub provider: Option<String>,
}

/// An earlier call, sent again as it was.
#[derive(Clone, Debug)]
pub struct Reproduced {
    /// The new call.
    pub call_id: Option<CallId>,
    /// What it answered.
    pub outcome: DescribeOutcome,
    /// What the earlier one had answered.
    pub before: Option<Description>,
}

/// What the API asks of descriptions. argus-engine's engine is the real one.
#[async_trait]
pub trait AiControl: Send + Sync {
    /// Every provider, by priority, ties by id.
    ///
    /// # Errors
    /// `Failed` when the database does not answer.
    async fn ai_providers(&self) -> Result<Vec<LiveProvider>, ControlError>;

    /// What each kind of provider needs and can do.
    fn ai_kinds(&self) -> Vec<KindInfo>;

    /// Adds a provider; it is asked from the next description on.
    ///
    /// # Errors
    /// `Conflict` when the name is taken, `Invalid` with every field that breaks a rule.
    async fn ai_provider_create(&self, config: ProviderConfig) -> Result<LiveProvider, ControlError>;

    /// Changes a provider.
    ///
    /// # Errors
    /// `NotFound`, what `edit` says, `Conflict` when the name is taken, `Invalid`.
    async fn ai_provider_update(&self, id: ProviderId, edit: ProviderEdit) -> Result<LiveProvider, ControlError>;

    /// Removes a provider.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for the built-in one.
    async fn ai_provider_delete(&self, id: ProviderId) -> Result<(), ControlError>;

    /// Tries a provider with a built-in picture, whether it is enabled or not.
    ///
    /// # Errors
    /// `NotFound`.
    async fn ai_provider_test(&self, id: ProviderId) -> Result<ProviderTest, ControlError>;

    /// Describes a picture; it is not kept, the call is booked as [`Describe`](crate::call::CallPurpose::Describe).
    ///
    /// # Errors
    /// `Invalid` for a picture that cannot be read or a provider that nobody knows; `Conflict` when a budget is spent;
    /// `Upstream` or `Timeout` when all failed; `Unavailable` without any provider.
    async fn ai_describe(&self, question: PictureQuestion) -> Result<DescribeOutcome, ControlError>;

    /// Sends the request of an event's analysis again, exactly as it was, to the same provider and model.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when its pictures or its provider are gone, or a budget is spent; `Upstream`, `Timeout`.
    async fn ai_reproduce(&self, event: EventId, analysis: crate::AnalysisId) -> Result<Reproduced, ControlError>;
}
