//! One call to a provider: what is booked before anything leaves the machine, and what came of it.
//!
//! Every call is booked in a [`Ledger`] first. That is where a budget holds (the estimated cost is reserved in the same
//! step that compares it with what is left, so that two callers at once cannot both take the last cent), and it is what
//! can later be shown of what was sent to whom.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::camera::AnalysisMode;
use crate::describe::{DescribeError, DescribeFailure, Description};
use crate::event::StatusReason;
use crate::names::names;
use crate::provider::ProviderKind;
use crate::{AnalysisId, CallId, CameraId, EventId, ProviderId, Timestamp};

names! {
    /// What a call was made for.
    CallPurpose {
        /// The description of an event.
        Event = "event",
        /// A picture that somebody sent.
        Describe = "describe",
        /// The try of a provider.
        Test = "test",
        /// An earlier call, sent again as it was.
        Reproduce = "reproduce",
    }
}

/// A picture as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SentFrame {
    /// The stored picture of the event that it is, or is a part of; null when it is no picture of an event.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub index: Option<u32>,
    /// SHA-256 of what is sent, hex.
    pub sha256: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Size of the file.
    pub bytes: u64,
}

/// A call that is about to go out.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedCall {
    /// The provider's row, where there is one.
    pub provider_id: Option<ProviderId>,
    /// Its kind.
    pub provider: ProviderKind,
    /// Its name.
    pub provider_name: String,
    /// The model.
    pub model: String,
    /// Host and port to which it goes; `None` when nothing leaves the process.
    pub host: Option<String>,
    /// Whether that host is outside: neither loopback nor a private address.
    pub is_remote: bool,
    /// The whole text.
    pub prompt: String,
    /// What is sent beside prompt and pictures.
    pub parameters: serde_json::Map<String, serde_json::Value>,
    /// The pictures, in order.
    pub frames: Vec<SentFrame>,
    /// Size of the request's body.
    pub bytes: u64,
    /// The most it may cost, US dollars, by the price table; `None` when the price is unknown.
    pub estimate: Option<f64>,
    /// The version of the price table, or `custom`.
    pub price_version: Option<String>,
}

/// How long the parts of a call took, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CallTimes {
    /// Waiting for the provider's limits.
    pub waited_ms: u32,
    /// From sending to the first byte of the answer; null when there was none.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub first_byte_ms: Option<u32>,
    /// From sending to the whole answer.
    pub total_ms: u32,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct SettledCall {
    /// What was written of the request's body; `None` when that is not known, and what was booked stands.
    pub bytes_sent: Option<u64>,
    /// The model, or a filter before it, does not describe these pictures. That is an answer: asked again, it would be no
    /// other, and paid for again.
    pub is_refusal: bool,
    /// The words, or why there are none.
    pub result: Result<Description, DescribeError>,
    /// As the provider counts them.
    pub tokens_input: Option<u32>,
    /// As the provider counts them.
    pub tokens_output: Option<u32>,
    /// US dollars; `None` when unknown.
    pub cost: Option<f64>,
    /// Whether the cost was computed from a price table rather than told.
    pub cost_estimated: bool,
    /// How long it took.
    pub times: CallTimes,
    /// The answer as it came, at most 65536 characters.
    pub raw_answer: Option<String>,
    /// Size of the answer.
    pub bytes_received: u64,
}

/// Under this name the parameters of a call keep what was not sent, and is needed to send the same again. It is nobody's
/// business but the describer's.
pub const UNSENT: &str = "argus";

/// Writes the parameters of a call that were sent.
///
/// # Errors
/// Those of the serializer.
pub fn sent_parameters<S: serde::Serializer>(
    parameters: &serde_json::Map<String, serde_json::Value>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_map(parameters.iter().filter(|(name, _)| *name != UNSENT))
}

/// A call as it is on record.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoredCall {
    /// Names it.
    pub id: CallId,
    /// When it was booked.
    pub created_at: Timestamp,
    /// When it was settled; null while it is under way, and for one that a crash cut off.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub finished_at: Option<Timestamp>,
    /// What it was made for.
    pub purpose: CallPurpose,
    /// The analysis that it belongs to.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub analysis_id: Option<AnalysisId>,
    /// The event, also after that was deleted.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub event_id: Option<EventId>,
    /// The camera, also after that was deleted.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub camera_id: Option<CameraId>,
    /// One picture or several.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub analysis_mode: Option<AnalysisMode>,
    /// Kind of the provider.
    pub provider: ProviderKind,
    /// Its row, also after that was deleted.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub provider_id: Option<ProviderId>,
    /// Its name then.
    pub provider_name: String,
    /// Its model.
    pub model: String,
    /// Host and port to which it went; null when nothing left the process.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub host: Option<String>,
    /// Whether that host is outside: neither loopback nor a private address.
    pub is_remote: bool,
    /// The whole text; null once the event was deleted.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub prompt: Option<String>,
    /// What was sent beside prompt and pictures.
    #[serde(serialize_with = "sent_parameters")]
    pub parameters: serde_json::Map<String, serde_json::Value>,
    /// The pictures, in order.
    pub frames: Vec<SentFrame>,
    /// Size of the request's body.
    pub bytes_sent: u64,
    /// Size of the answer.
    pub bytes_received: u64,
    /// Why it failed; null when it was answered or is under way.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub error_kind: Option<DescribeFailure>,
    /// The same as a sentence.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub error: Option<String>,
    /// The answer as it came; null once the event was deleted.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub raw_answer: Option<String>,
    /// As the provider counts them.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub tokens_input: Option<u32>,
    /// As the provider counts them.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub tokens_output: Option<u32>,
    /// US dollars; the estimate while it is under way or was never settled.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub cost: Option<f64>,
    /// Whether the cost was computed rather than told.
    pub cost_estimated: bool,
    /// The version of the price table, or `custom`.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub price_version: Option<String>,
    /// How long it took; null while it is under way.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub times: Option<CallTimes>,
}

/// Why a call may not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It would overspend this budget.
    Budget(StatusReason),
    /// It would leave the machine's own network, which the settings forbid.
    LocalOnly,
    /// It cannot be booked, and what is not booked is not sent.
    Unavailable(String),
}

/// Where every call is booked.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Books a call before anything of it leaves, and reserves its estimate.
    ///
    /// # Errors
    /// Why it may not be made.
    async fn book(&self, call: &PlannedCall) -> Result<CallId, Refusal>;

    /// Notes what came of it, before anybody uses the answer. Returns when it is stored or when storing was given up,
    /// which the ledger tells by itself: a call that was booked and never settled counts with its estimate.
    async fn settle(&self, id: CallId, settled: &SettledCall);
}

/// Books nothing: for programs that embed a describer and keep no account.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unbooked;

#[async_trait]
impl Ledger for Unbooked {
    async fn book(&self, _call: &PlannedCall) -> Result<CallId, Refusal> {
        // Nobody looks it up: there is no account.
        Ok(CallId::new(Timestamp::from_micros(0)))
    }

    async fn settle(&self, _id: CallId, _settled: &SettledCall) {}
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    #[test]
    fn what_was_not_sent_is_not_among_the_parameters() {
        #[derive(serde::Serialize)]
        struct Shown {
            #[serde(serialize_with = "super::sent_parameters")]
            parameters: Map<String, Value>,
        }
        let kept = json!({"max_tokens": 400, "argus": {"prompt_version": 3}, "think": false});
        let shown = Shown { parameters: kept.as_object().unwrap().clone() };
        assert_eq!(serde_json::to_value(&shown).unwrap(), json!({"parameters": {"max_tokens": 400, "think": false}}));
    }
}
