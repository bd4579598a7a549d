//! An event: something that a camera saw, with everything that is known of it.
//!
//! [`Event`] is both what the API shows and what the journal stores, so that both say the same.

use serde::{Deserialize, Serialize};

use crate::camera::{AnalysisMode, SourceType};
use crate::names::names;
use crate::{CameraId, EventId, GroupId, Timestamp};

names! {
    /// What set an event off.
    DetectionType {
        /// Movement in the picture.
        Motion = "motion",
        /// A person.
        Person = "person",
        /// A vehicle.
        Vehicle = "vehicle",
        /// A package.
        Package = "package",
        /// An animal.
        Animal = "animal",
        /// The doorbell.
        Ring = "ring",
        /// A sound.
        Audio = "audio",
    }
}

names! {
    /// What a describer or controller saw.
    ObjectKind {
        /// A person.
        Person = "person",
        /// A vehicle.
        Vehicle = "vehicle",
        /// A package.
        Package = "package",
        /// An animal.
        Animal = "animal",
    }
}

names! {
    /// How far the description is.
    DescriptionStatus {
        /// Not yet described.
        Pending = "pending",
        /// Described.
        Described = "described",
        /// Will not be described, for the reason given.
        Skipped = "skipped",
        /// Could not be described, for the reason given.
        Failed = "failed",
    }
}

names! {
    /// Why an event is not described.
    StatusReason {
        /// Descriptions are switched off.
        AiDisabled = "ai_disabled",
        /// No provider is enabled.
        NoProvider = "no_provider",
        /// The day's money is spent.
        BudgetDaily = "budget_daily",
        /// The month's money is spent.
        BudgetMonthly = "budget_monthly",
        /// There is no picture to describe.
        NoPicture = "no_picture",
        /// Every provider failed.
        ProvidersFailed = "providers_failed",
        /// No answer in time.
        Timeout = "timeout",
        /// The answer was unusable.
        InvalidAnswer = "invalid_answer",
    }
}

/// A picture that was given to the describer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventFrame {
    /// From 0, in order of time.
    pub index: u32,
    /// Milliseconds from the event's `timestamp`; may be negative.
    pub offset_ms: i64,
    /// Path of the JPEG on this server; null once it is gone or was not kept.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub url: Option<String>,
    /// SHA-256 of the JPEG, hex.
    pub sha256: String,
}

/// A zone that the movement touched, as named then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventZone {
    /// The zone.
    pub id: String,
    /// Its name when it was touched.
    pub name: String,
}

/// A rectangle as fractions of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Area {
    /// Left edge, 0..1.
    pub x: f64,
    /// Upper edge, 0..1.
    pub y: f64,
    /// 0..1.
    pub width: f64,
    /// 0..1.
    pub height: f64,
}

impl Area {
    /// The smallest rectangle around both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let right = (self.x + self.width).max(other.x + other.width);
        let bottom = (self.y + self.height).max(other.y + other.height);
        Self { x, y, width: right - x, height: bottom - y }
    }
}

/// The movement of an event.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventMotion {
    /// Strength of the strongest moment, 0..1.
    pub score: f64,
    /// Around all movement.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub r#box: Option<Area>,
}

/// When each step happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventTrace {
    /// The picture was taken.
    pub captured_at: Timestamp,
    /// The server saw it.
    pub detected_at: Timestamp,
    /// The event was stored.
    pub stored_at: Timestamp,
    /// The description was stored.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub described_at: Option<Timestamp>,
}

/// An event with all that is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// Names it.
    pub id: EventId,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
    /// The camera.
    pub camera_id: CameraId,
    /// The camera's present name.
    pub camera_name: String,
    /// When the first picture that belongs to it was taken.
    pub timestamp: Timestamp,
    /// The moment of the last movement; null until it closes.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub ended_at: Option<Timestamp>,
    /// `ended_at` − `timestamp`.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub duration_ms: Option<i64>,
    /// Kind of the camera's source.
    pub source_type: SourceType,
    /// What set it off.
    pub detection_type: DetectionType,
    /// What the describer or controller saw, without repeats.
    pub objects_detected: Vec<ObjectKind>,
    /// One or more sentences, never empty.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 5000))]
    pub description: String,
    /// How far the description is.
    pub description_status: DescriptionStatus,
    /// Why it is skipped or failed.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub status_reason: Option<StatusReason>,
    /// Of the detection, percent: 50 at the threshold of the sensitivity.
    #[cfg_attr(feature = "openapi", schema(maximum = 100))]
    pub confidence: u8,
    /// Stated by the model, percent.
    #[cfg_attr(feature = "openapi", schema(required, maximum = 100))]
    pub ai_confidence: Option<u8>,
    /// The description is not to be relied upon.
    pub low_confidence: bool,
    /// Path of the thumbnail on this server.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub thumbnail_url: Option<String>,
    /// Path of the clip on this server.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub clip_url: Option<String>,
    /// Pictures given to the describer.
    pub frames: Vec<EventFrame>,
    /// Include zones that the movement touched.
    pub zones: Vec<EventZone>,
    /// The movement; null for detections of a controller.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub motion: Option<EventMotion>,
    /// Whether the doorbell rang.
    pub is_doorbell_ring: bool,
    /// Kind of the provider that described it.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub provider_used: Option<String>,
    /// Its model.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub model: Option<String>,
    /// What was really done; null also when no picture was looked at.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub analysis_mode: Option<AnalysisMode>,
    /// Pictures that were looked at for the description.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub frame_count_used: Option<u32>,
    /// Why not the first provider or the wanted mode.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub fallback_reason: Option<String>,
    /// US dollars, of the analysis that gave the description.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub ai_cost: Option<f64>,
    /// Of that analysis.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub tokens_used: Option<u32>,
    /// Of that analysis.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub ai_response_time_ms: Option<u32>,
    /// Successful ones.
    pub reanalysis_count: u32,
    /// The last of them.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub reanalyzed_at: Option<Timestamp>,
    /// Whether a rule raised an alert.
    pub alert_triggered: bool,
    /// The controller's id of the detection.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub protect_event_id: Option<String>,
    /// The controller's kind of detection.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub smart_detection_type: Option<String>,
    /// Shared by events of different cameras that begin within 10 s of one another.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub correlation_group_id: Option<GroupId>,
    /// When each step happened.
    pub trace: EventTrace,
}

impl DetectionType {
    /// What of it is an object.
    #[must_use]
    pub fn object(self) -> Option<ObjectKind> {
        match self {
            Self::Person => Some(ObjectKind::Person),
            Self::Vehicle => Some(ObjectKind::Vehicle),
            Self::Package => Some(ObjectKind::Package),
            Self::Animal => Some(ObjectKind::Animal),
            Self::Motion | Self::Ring | Self::Audio => None,
        }
    }
}

/// What a controller says of a detection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProtectDetection {
    /// Its name of the detection.
    pub event_id: String,
    /// Its kind of detection.
    pub kind: Option<String>,
    /// What it saw.
    pub objects: Vec<ObjectKind>,
}

/// What is known when an event begins.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// Names it.
    pub id: EventId,
    /// The camera.
    pub camera_id: CameraId,
    /// Kind of the camera's source.
    pub source_type: SourceType,
    /// What set it off.
    pub detection_type: DetectionType,
    /// When the first picture that belongs to it was taken.
    pub timestamp: Timestamp,
    /// When the server saw it.
    pub detected_at: Timestamp,
    /// The plain built-in sentence.
    pub description: String,
    /// Of the detection, percent.
    pub confidence: u8,
    /// Include zones touched so far.
    pub zones: Vec<EventZone>,
    /// The movement so far.
    pub motion: Option<EventMotion>,
    /// What the controller says, when it is a detection of one.
    pub protect: Option<ProtectDetection>,
}

/// How a description came out, as the event shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct EventDescription {
    /// The text.
    pub description: String,
    /// What was seen.
    pub objects: Vec<ObjectKind>,
    /// Stated by the model.
    pub ai_confidence: Option<u8>,
    /// The description is not to be relied upon.
    pub low_confidence: bool,
    /// Kind of the provider.
    pub provider_used: String,
    /// Its model.
    pub model: String,
    /// What was really done; counts only when there were pictures.
    pub analysis_mode: AnalysisMode,
    /// Stored pictures that were looked at.
    pub frame_count_used: u32,
    /// Why not the first provider or the wanted mode.
    pub fallback_reason: Option<String>,
    /// US dollars.
    pub cost: Option<f64>,
    /// In and out together.
    pub tokens_used: Option<u32>,
    /// How long the provider took.
    pub latency_ms: u32,
}
