//! What calls to providers came to: sums over spans of time, and the budgets.

use serde::Serialize;

use crate::Timestamp;
use crate::event::StatusReason;
use crate::names::names;

names! {
    /// By what sums are grouped.
    UsageGroupBy {
        /// Not at all.
        None = "none",
        /// Day of `general.timezone`.
        Day = "day",
        /// Provider.
        Provider = "provider",
        /// Model.
        Model = "model",
        /// Camera; null for pictures that were sent and for tries.
        Camera = "camera",
        /// Analysis mode.
        Mode = "mode",
    }
}

/// Sums over calls. Every call to a provider is one, failed ones too.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UsageSums {
    /// All of them.
    pub total_calls: u64,
    /// Those that gave a description.
    pub successful_calls: u64,
    /// Those that were not, or were cut off. One that is under way is neither.
    pub failed_calls: u64,
    /// As the providers count them.
    pub tokens_input: u64,
    /// As the providers count them.
    pub tokens_output: u64,
    /// Both together.
    pub total_tokens: u64,
    /// US dollars, of calls whose cost is known.
    pub total_cost: f64,
    /// Milliseconds, of calls that gave a description; null without any.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub avg_response_time_ms: Option<f64>,
}

/// The sums of one group.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UsageGroup {
    /// The day, provider id, model, camera id or mode; groups ascend by it.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub key: Option<String>,
    /// Its name.
    pub label: String,
    /// Its sums.
    #[serde(flatten)]
    pub sums: UsageSums,
}

/// A budget and what of it is spent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BudgetState {
    /// US dollars; null means no limit.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub limit: Option<f64>,
    /// US dollars, what calls that are under way may cost among them.
    pub spent: f64,
    /// Of the limit; null without one.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub percent: Option<f64>,
    /// When the next day or month begins.
    pub resets_at: Timestamp,
    /// What will be spent by then if it goes on as in the last days, US dollars; null when too little is known.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub forecast: Option<f64>,
}

/// The budgets.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BudgetStates {
    /// Of the present day.
    pub daily: BudgetState,
    /// Of the present month.
    pub monthly: BudgetState,
    /// Whether nothing that costs is asked.
    pub paused: bool,
    /// Which budget is spent.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub pause_reason: Option<StatusReason>,
}

/// Calls of a span of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Usage {
    /// All together.
    pub sums: UsageSums,
    /// By group; empty for [`UsageGroupBy::None`].
    pub groups: Vec<UsageGroup>,
}

/// What went to one host in a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EgressHost {
    /// Host and port.
    pub host: String,
    /// Whether it is outside: neither loopback nor a private address.
    pub is_remote: bool,
    /// Calls.
    pub calls: u64,
    /// Sizes of what was sent, together.
    pub bytes_sent: u64,
    /// Pictures, one as often as it was sent.
    pub frames: u64,
}

/// What left the process on one day of `general.timezone`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EgressDay {
    /// Such as `2025-12-23`.
    pub date: String,
    /// Calls.
    pub calls: u64,
    /// Sizes of what was sent, together.
    pub bytes_sent: u64,
    /// Pictures, one as often as it was sent.
    pub frames: u64,
    /// The same by host; they ascend by name.
    pub hosts: Vec<EgressHost>,
}
