//! A call that left the process, as the egress list shows it.

use argus_core::call::{CallPurpose, CallTimes, SentFrame, StoredCall, sent_parameters};
use argus_core::camera::AnalysisMode;
use argus_core::describe::DescribeFailure;
use argus_core::event::Event;
use argus_core::provider::ProviderKind;
use argus_core::{AnalysisId, CallId, CameraId, EventId, ProviderId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// A picture that left the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SentPicture {
    /// What was sent.
    #[serde(flatten)]
    pub frame: SentFrame,
    /// Whether it is a part or a smaller form of the picture at `url`; false: it is that picture, byte for byte.
    pub is_derived: bool,
    /// The stored picture of the event; null once that is gone, and when it is no picture of an event.
    #[schema(required)]
    pub url: Option<String>,
}

/// A call that left the process.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SentCall {
    /// Names it.
    pub id: CallId,
    /// When it was booked, which is just before it was sent.
    pub created_at: Timestamp,
    /// When it was settled; null while it is under way, and for one that a crash cut off.
    #[schema(required)]
    pub finished_at: Option<Timestamp>,
    /// What it was made for.
    pub purpose: CallPurpose,
    /// Host and port to which it went.
    #[schema(required)]
    pub host: Option<String>,
    /// Whether that host is outside: neither loopback nor a private address.
    pub is_remote: bool,
    /// Kind of the provider.
    pub provider: ProviderKind,
    /// The provider, also after that was deleted.
    #[schema(required)]
    pub provider_id: Option<ProviderId>,
    /// Its name then.
    pub provider_name: String,
    /// Its model.
    pub model: String,
    /// The analysis that it belongs to.
    #[schema(required)]
    pub analysis_id: Option<AnalysisId>,
    /// The event, also after that was deleted.
    #[schema(required)]
    pub event_id: Option<EventId>,
    /// The camera, also after that was deleted.
    #[schema(required)]
    pub camera_id: Option<CameraId>,
    /// One picture or several.
    #[schema(required)]
    pub analysis_mode: Option<AnalysisMode>,
    /// Size of the request's body.
    pub bytes_sent: u64,
    /// Size of the answer.
    pub bytes_received: u64,
    /// The pictures, in order.
    pub frames: Vec<SentPicture>,
    /// The whole text; null once the event was deleted.
    #[schema(required)]
    pub prompt: Option<String>,
    /// What was sent beside text and pictures.
    #[serde(serialize_with = "sent_parameters")]
    pub parameters: serde_json::Map<String, serde_json::Value>,
    /// The answer as it came; null once the event was deleted, and when there was none.
    #[schema(required)]
    pub raw_answer: Option<String>,
    /// Why it failed; null when it was answered or is under way.
    #[schema(required)]
    pub error_kind: Option<DescribeFailure>,
    /// The same as a sentence.
    #[schema(required)]
    pub error: Option<String>,
    /// As the provider counts them.
    #[schema(required)]
    pub tokens_input: Option<u32>,
    /// As the provider counts them.
    #[schema(required)]
    pub tokens_output: Option<u32>,
    /// US dollars; the estimate while it is under way or was never settled.
    #[schema(required)]
    pub cost: Option<f64>,
    /// Whether the cost was computed rather than told.
    pub cost_estimated: bool,
    /// The version of the price table, or `custom`.
    #[schema(required)]
    pub price_version: Option<String>,
    /// How long it took; null while it is under way.
    #[schema(required)]
    pub times: Option<CallTimes>,
}

impl SentCall {
    /// A call with the event whose pictures it sent, when that still exists.
    pub(super) fn new(call: StoredCall, event: Option<&Event>) -> Self {
        let picture = |frame: SentFrame| {
            let kept = event.zip(frame.index).and_then(|(event, index)| event.frames.iter().find(|f| f.index == index));
            SentPicture {
                is_derived: kept.is_some_and(|kept| kept.sha256 != frame.sha256),
                url: kept.and_then(|kept| kept.url.clone()),
                frame,
            }
        };
        Self {
            id: call.id,
            created_at: call.created_at,
            finished_at: call.finished_at,
            purpose: call.purpose,
            host: call.host,
            is_remote: call.is_remote,
            provider: call.provider,
            provider_id: call.provider_id,
            provider_name: call.provider_name,
            model: call.model,
            analysis_id: call.analysis_id,
            event_id: call.event_id,
            camera_id: call.camera_id,
            analysis_mode: call.analysis_mode,
            bytes_sent: call.bytes_sent,
            bytes_received: call.bytes_received,
            frames: call.frames.into_iter().map(picture).collect(),
            prompt: call.prompt,
            parameters: call.parameters,
            raw_answer: call.raw_answer,
            error_kind: call.error_kind,
            error: call.error,
            tokens_input: call.tokens_input,
            tokens_output: call.tokens_output,
            cost: call.cost,
            cost_estimated: call.cost_estimated,
            price_version: call.price_version,
            times: call.times,
        }
    }
}
