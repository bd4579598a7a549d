//! Putting an event into words: what a describer is given, what it answers, and the receipt of the call.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::call::{CallTimes, SentFrame, StoredCall};
use crate::camera::AnalysisMode;
use crate::event::{Area, DetectionType, Event, ObjectKind, StatusReason};
use crate::names::names;
use crate::provider::ProviderKind;
use crate::{AnalysisId, CallId, EventId, ProviderId, Timestamp};

/// One picture for a describer.
#[derive(Clone, PartialEq, Eq)]
pub struct DescribeFrame {
    /// From 0, in order of time.
    pub index: u32,
    /// Milliseconds from the event's start.
    pub offset_ms: i64,
    /// The JPEG as it is stored and sent.
    pub jpeg: Bytes,
    /// SHA-256 of the JPEG, hex.
    pub sha256: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

impl std::fmt::Debug for DescribeFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DescribeFrame({} at {} ms, {} bytes)", self.index, self.offset_ms, self.jpeg.len())
    }
}

/// What was measured of an event, for the built-in describer and for prompts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventFacts {
    /// The camera's name.
    pub camera_name: String,
    /// Start of the event.
    pub started_at: Timestamp,
    /// From the first to the last movement; null while it runs.
    pub duration_ms: Option<i64>,
    /// What set it off.
    pub detection_type: DetectionType,
    /// Names of the include zones that were touched.
    pub zones: Vec<String>,
    /// Around all movement.
    pub area: Option<Area>,
    /// The largest single thing that moved, fraction of the picture's area.
    pub largest_ratio: Option<f64>,
    /// Where the movement's middle was first, as fractions of width and height.
    pub first_center: Option<(f64, f64)>,
    /// Where it was last.
    pub last_center: Option<(f64, f64)>,
    /// Strongest moment, percent.
    pub confidence: u8,
}

/// A question to a describer.
#[derive(Clone, Debug)]
pub struct DescribeRequest {
    /// The pictures, in order of time; may be empty for a describer that needs none.
    pub frames: Vec<DescribeFrame>,
    /// What was measured.
    pub facts: EventFacts,
    /// What was measured of a picture that belongs to no event; then the facts say nothing of it.
    pub picture: Option<PictureFacts>,
    /// Replaces the built-in prompt's instruction.
    pub instruction: Option<String>,
    /// What is normal for this camera, as a sentence, such as `About 3 events at this hour on usual days.`; `None` when
    /// too little is known.
    pub usual: Option<String>,
    /// Tag of the language of the answer, such as `de`.
    pub language: String,
    /// IANA name, for local time in the prompt.
    pub timezone: String,
    /// One picture or several.
    pub mode: AnalysisMode,
    /// Who may be asked.
    pub choice: ProviderChoice,
    /// The whole of it, all providers together.
    pub within: Duration,
}

/// What can be told of a picture without knowing what it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureFacts {
    /// As it was sent in, upright, pixels.
    pub width: u32,
    /// The same upright.
    pub height: u32,
    /// Mean brightness, 0 (black) to 255 (white).
    pub brightness: u8,
}

/// Who may be asked; the default is everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderChoice {
    /// Only the provider of this name, without fall-back to another.
    pub only: Option<String>,
    /// A limit that is used up: nobody who costs.
    pub spent: Option<StatusReason>,
    /// In which order.
    pub order: ProviderOrder,
    /// Providers, with their model, that refused to describe these pictures: they are not asked again.
    pub refused: Vec<(ProviderId, String)>,
}

/// In which order providers are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProviderOrder {
    /// As their priorities say.
    #[default]
    Priority,
    /// Those that cost least first, by what this question would cost; ties by priority.
    Cheapest,
}

/// An earlier request, to be sent again exactly as it was.
#[derive(Clone, Debug)]
pub struct Resend {
    /// To whom.
    pub provider: ProviderId,
    /// The model, which must still be the provider's.
    pub model: String,
    /// The whole text.
    pub prompt: String,
    /// What was sent beside prompt and pictures.
    pub parameters: serde_json::Map<String, serde_json::Value>,
    /// The pictures as they were sent, in order.
    pub frames: Vec<DescribeFrame>,
}

/// What is known of a provider before it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderInfo {
    /// Its row, where there is one.
    pub id: Option<ProviderId>,
    /// Its name; unique, ignoring case.
    pub name: String,
    /// Whether a call costs money, or may: only a provider that is known to be free does not.
    pub costs: bool,
}

/// How an event is to be described again; what is absent is chosen as for a new event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reanalysis {
    /// One picture or several.
    pub analysis_mode: Option<AnalysisMode>,
    /// Replaces the instruction of camera and settings.
    pub prompt: Option<String>,
    /// Id or name of a provider; then there is no fall-back to another.
    pub provider: Option<String>,
}

/// How far a description is that somebody asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Reanalysed {
    /// It will be made.
    Queued(AnalysisId),
    /// It was made: the event as it is now.
    Done(Box<Event>),
}

/// The words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Description {
    /// One to a few sentences, never empty, at most 5000 characters.
    pub text: String,
    /// Stated by the model, percent; `None` when it states none.
    pub confidence: Option<u8>,
    /// What was seen, without repeats.
    pub objects: Vec<ObjectKind>,
    /// Whether it says nothing definite, even after the model was asked once more.
    pub low_confidence: bool,
}

names! {
    /// Why a call to a describer failed.
    DescribeFailure {
        /// Nobody answers there.
        Unreachable = "unreachable",
        /// No answer in time.
        Timeout = "timeout",
        /// Wrong key.
        Unauthorized = "unauthorized",
        /// The account's money is spent.
        Quota = "quota",
        /// Too many requests for now.
        RateLimited = "rate_limited",
        /// No such model there.
        ModelNotFound = "model_not_found",
        /// An answer that cannot be used.
        InvalidAnswer = "invalid_answer",
        /// The provider's own fault.
        ServerError = "server_error",
    }
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct DescribeError {
    /// What kind of failure.
    pub kind: DescribeFailure,
    /// A sentence without secrets.
    pub message: String,
    /// The provider's wish when to try again.
    pub retry_after: Option<Duration>,
}

/// A provider that was passed over or failed before the one that answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FallbackStep {
    /// Its name.
    pub provider_name: String,
    /// Its model.
    pub model: String,
    /// Why.
    pub error_kind: DescribeFailure,
    /// Why, as a sentence.
    pub message: String,
    /// How long it took.
    pub latency_ms: u32,
}

/// Everything about a call that a receipt keeps, whether it succeeded or not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallRecord {
    /// Kind of the provider, such as `builtin`.
    pub provider: Option<String>,
    /// The provider's row, where there is one.
    pub provider_id: Option<ProviderId>,
    /// Its name.
    pub provider_name: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// What was sent to the model beside prompt and pictures.
    pub parameters: serde_json::Map<String, serde_json::Value>,
    /// The whole text that was sent.
    pub prompt: String,
    /// As the provider counts them.
    pub tokens_input: Option<u32>,
    /// As the provider counts them.
    pub tokens_output: Option<u32>,
    /// US dollars; `None` when the price is unknown.
    pub cost: Option<f64>,
    /// Whether the cost was computed from a price table rather than told.
    pub cost_estimated: bool,
    /// From sending to the whole answer.
    pub latency_ms: Option<u32>,
    /// Tried before, in order.
    pub fallback_path: Vec<FallbackStep>,
    /// The answer as it came, at most 65536 characters.
    pub raw_answer: Option<String>,
    /// The budget that kept somebody from being asked; of a failure only when nothing else kept anybody.
    pub unpaid: Option<StatusReason>,
    /// Of a failure: whether whoever may be asked refuses to describe these pictures, and nothing else kept anybody from it.
    pub refused: bool,
}

/// How a call ended, with its record.
#[derive(Clone, Debug)]
pub struct DescribeOutcome {
    /// For the receipt.
    pub record: CallRecord,
    /// The words, or why there are none.
    pub result: Result<Description, DescribeError>,
}

names! {
    /// What asked for an analysis.
    AnalysisTrigger {
        /// The event itself.
        Initial = "initial",
        /// A failed one, tried again.
        Retry = "retry",
        /// A person or program.
        Reanalyse = "reanalyse",
    }
}

names! {
    /// How far an analysis is.
    AnalysisStatus {
        /// Asked, not yet answered.
        Running = "running",
        /// Answered.
        Succeeded = "succeeded",
        /// Not answered usefully.
        Failed = "failed",
    }
}

/// A picture as a receipt lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnalysisFrame {
    /// From 0.
    pub index: u32,
    /// SHA-256 of the JPEG, hex.
    pub sha256: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Size of the JPEG.
    pub bytes: u64,
}

/// The receipt of one analysis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Analysis {
    /// Names it.
    pub id: AnalysisId,
    /// The event.
    pub event_id: EventId,
    /// When it was asked.
    pub created_at: Timestamp,
    /// When it was answered or given up.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub finished_at: Option<Timestamp>,
    /// What asked for it.
    pub trigger: AnalysisTrigger,
    /// How far it is.
    pub status: AnalysisStatus,
    /// Kind of the provider.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub provider: Option<String>,
    /// The provider's row.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub provider_id: Option<ProviderId>,
    /// Its name.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub provider_name: Option<String>,
    /// Its model.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub model: Option<String>,
    /// One picture or several.
    pub analysis_mode: AnalysisMode,
    /// Sent to the model.
    #[serde(serialize_with = "crate::call::sent_parameters")]
    pub parameters: serde_json::Map<String, serde_json::Value>,
    /// The whole text.
    pub prompt: String,
    /// The pictures, in order.
    pub frames: Vec<AnalysisFrame>,
    /// The words.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub description: Option<String>,
    /// Stated by the model, percent.
    #[cfg_attr(feature = "openapi", schema(required, maximum = 100))]
    pub confidence: Option<u8>,
    /// What was seen.
    pub objects_detected: Vec<ObjectKind>,
    /// As the provider counts them.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub tokens_input: Option<u32>,
    /// As the provider counts them.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub tokens_output: Option<u32>,
    /// Both together.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub tokens_used: Option<u32>,
    /// US dollars.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub cost: Option<f64>,
    /// Whether the cost was computed rather than told.
    pub cost_estimated: bool,
    /// From sending to the whole answer.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub latency_ms: Option<u32>,
    /// Tried before, in order.
    pub fallback_path: Vec<FallbackStep>,
    /// The answer as it came.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub raw_answer: Option<String>,
    /// Why it failed.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub error: Option<String>,
    /// Every call that was made for it, in order, also those that failed.
    #[serde(default)]
    pub calls: Vec<AnalysisCall>,
    /// How long its steps took; null until it is over.
    #[cfg_attr(feature = "openapi", schema(required))]
    #[serde(default)]
    pub steps: Option<AnalysisSteps>,
}

/// How long the steps of an analysis took, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnalysisSteps {
    /// In the queue, since it could have been made.
    pub queued_ms: u32,
    /// Reading and comparing the pictures.
    pub frames_ms: u32,
    /// All providers together, their limits included.
    pub providers_ms: u32,
    /// Of that, keeping the account: booking calls and noting what came of them.
    pub stored_ms: u32,
}

/// One call of an analysis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnalysisCall {
    /// Names it.
    pub id: CallId,
    /// When it was booked.
    pub created_at: Timestamp,
    /// When it was settled; null while it is under way, and for one that a crash cut off.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub finished_at: Option<Timestamp>,
    /// Kind of the provider.
    pub provider: ProviderKind,
    /// Its row.
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
    /// The pictures as they were sent, in order.
    pub frames: Vec<SentFrame>,
    /// Size of the request's body.
    pub bytes_sent: u64,
    /// Why it failed; null when it was answered, is under way or was cut off.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub error_kind: Option<DescribeFailure>,
    /// The same as a sentence.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub error: Option<String>,
    /// As the provider counts them.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub tokens_input: Option<u32>,
    /// As the provider counts them.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub tokens_output: Option<u32>,
    /// US dollars.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub cost: Option<f64>,
    /// Whether the cost was computed rather than told.
    pub cost_estimated: bool,
    /// The version of the price table, or `custom`.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub price_version: Option<String>,
    /// How long its parts took; null while it is under way.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub times: Option<CallTimes>,
}

impl From<StoredCall> for AnalysisCall {
    fn from(call: StoredCall) -> Self {
        Self {
            id: call.id,
            created_at: call.created_at,
            finished_at: call.finished_at,
            provider: call.provider,
            provider_id: call.provider_id,
            provider_name: call.provider_name,
            model: call.model,
            host: call.host,
            is_remote: call.is_remote,
            frames: call.frames,
            bytes_sent: call.bytes_sent,
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

/// Which descriptions are made first: higher ones. Somebody waits at the door before anything else.
#[must_use]
pub fn priority(kind: DetectionType) -> i32 {
    match kind {
        DetectionType::Ring => 40,
        DetectionType::Person => 30,
        DetectionType::Package => 20,
        DetectionType::Vehicle | DetectionType::Animal => 10,
        DetectionType::Motion | DetectionType::Audio => 0,
    }
}

/// The plain sentence that an event has from its first moment on.
#[must_use]
pub fn first_sentence(kind: DetectionType, camera_name: &str) -> String {
    let what = match kind {
        DetectionType::Motion => "Motion on",
        DetectionType::Person => "Person on",
        DetectionType::Vehicle => "Vehicle on",
        DetectionType::Package => "Package on",
        DetectionType::Animal => "Animal on",
        DetectionType::Ring => "Ring at",
        DetectionType::Audio => "Sound at",
    };
    format!("{what} {camera_name}.")
}
