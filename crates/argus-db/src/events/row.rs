//! The rows of events and their frames, and the event that is made of them.

use argus_core::event::{DescriptionStatus, DetectionType, Event, EventFrame, EventMotion, EventTrace, NewEvent};
use argus_core::{Invalid, Timestamp};
use diesel::prelude::*;

use super::WHAT;
use crate::error::DbError;
use crate::schema::{event, event_frame};
use crate::search::search_text;
use crate::value::{check_number, check_text, fit, from_json, json, narrow, parse, parse_opt, time_opt};

/// How far the clip is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClipState {
    /// There is none, or none yet.
    None,
    /// It is expected.
    Pending,
    /// It lies in the media store.
    Stored,
}

/// How far the pictures for the describer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramesState {
    /// They have not been chosen yet.
    Pending,
    /// At least one lies in the media store.
    Stored,
    /// None is kept.
    None,
}

impl ClipState {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pending => "pending",
            Self::Stored => "stored",
        }
    }
}

impl FramesState {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Stored => "stored",
            Self::None => "none",
        }
    }
}

/// An event that has to be brought to an end.
#[derive(Clone, Debug, PartialEq)]
pub struct UnfinishedEvent {
    /// As it stands.
    pub event: Event,
    /// The last movement that was noted: its end, if it is still open.
    pub last_motion: Timestamp,
    /// How far the clip is.
    pub clip: ClipState,
    /// How far the pictures are.
    pub frames: FramesState,
}

/// A picture of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFrame {
    /// From 0.
    pub index: u32,
    /// Milliseconds from the event's start.
    pub offset_ms: i64,
    /// SHA-256 of the JPEG, hex.
    pub sha256: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Size of the JPEG.
    pub bytes: u64,
    /// Whether the JPEG lies in the media store.
    pub stored: bool,
    /// Whether it is the one of the strongest moment; none is when that is not known.
    pub is_best: bool,
}

#[derive(Clone, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = event, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct EventRow {
    pub(crate) id: String,
    pub(crate) camera_id: String,
    pub(crate) created_us: i64,
    pub(crate) updated_us: i64,
    pub(crate) started_us: i64,
    pub(crate) ended_us: Option<i64>,
    pub(crate) last_motion_us: i64,
    pub(crate) detected_us: i64,
    pub(crate) described_us: Option<i64>,
    pub(crate) source_type: String,
    pub(crate) detection_type: String,
    pub(crate) objects: String,
    pub(crate) description: String,
    pub(crate) search_text: String,
    pub(crate) description_status: String,
    pub(crate) status_reason: Option<String>,
    pub(crate) confidence: i32,
    pub(crate) ai_confidence: Option<i32>,
    pub(crate) low_confidence: bool,
    pub(crate) zones: String,
    pub(crate) motion: Option<String>,
    pub(crate) is_doorbell_ring: bool,
    pub(crate) provider_used: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) analysis_mode: Option<String>,
    pub(crate) frame_count_used: Option<i32>,
    pub(crate) fallback_reason: Option<String>,
    pub(crate) ai_cost: Option<f64>,
    pub(crate) tokens_used: Option<i64>,
    pub(crate) ai_response_time_ms: Option<i64>,
    pub(crate) reanalysis_count: i32,
    pub(crate) reanalyzed_us: Option<i64>,
    pub(crate) alert_triggered: bool,
    pub(crate) protect_event_id: Option<String>,
    pub(crate) smart_detection_type: Option<String>,
    pub(crate) correlation_group_id: Option<String>,
    pub(crate) thumb_stored: bool,
    pub(crate) clip_state: String,
    pub(crate) clip_bytes: Option<i64>,
    pub(crate) clip_from_us: Option<i64>,
    pub(crate) clip_until_us: Option<i64>,
    pub(crate) frames_state: String,
    pub(crate) thumb_bytes: Option<i64>,
    pub(crate) media_bytes: i64,
    /// What the controller saw.
    pub(crate) detected: String,
}

#[derive(Queryable, Insertable)]
#[diesel(table_name = event_frame, treat_none_as_default_value = false)]
pub(crate) struct FrameRow {
    pub(crate) event_id: String,
    pub(crate) idx: i32,
    pub(crate) offset_ms: i64,
    pub(crate) sha256: String,
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) bytes: i64,
    pub(crate) stored: bool,
    pub(crate) is_best: bool,
}

impl FrameRow {
    pub(crate) fn stored(&self) -> Result<StoredFrame, DbError> {
        Ok(StoredFrame {
            index: narrow(WHAT, self.idx)?,
            offset_ms: self.offset_ms,
            sha256: self.sha256.clone(),
            width: narrow(WHAT, self.width)?,
            height: narrow(WHAT, self.height)?,
            bytes: narrow(WHAT, self.bytes)?,
            stored: self.stored,
            is_best: self.is_best,
        })
    }
}

/// The movement as JSON, with every number checked.
pub(super) fn motion_json(motion: Option<&EventMotion>) -> Result<Option<String>, DbError> {
    let Some(motion) = motion else { return Ok(None) };
    check_number("motion.score", motion.score)?;
    if let Some(area) = motion.r#box {
        for side in [area.x, area.y, area.width, area.height] {
            check_number("motion.box", side)?;
        }
    }
    json("motion", motion).map(Some)
}

/// [`EventRow::is_finished`] as a condition: nothing is taken away from an event that still gets files.
pub(crate) const FINISHED: &str = "(ended_us IS NOT NULL AND clip_state <> 'pending' AND frames_state <> 'pending')";
/// The opposite, in the words of the partial index `event_unfinished`, or that is not used.
pub(crate) const UNFINISHED: &str = "(ended_us IS NULL OR clip_state = 'pending' OR frames_state = 'pending')";

impl EventRow {
    /// The row of an event that has just begun.
    pub(super) fn new(new: &NewEvent, stored_at: Timestamp) -> Result<Self, DbError> {
        check_text("description", &new.description)?;
        if new.description.is_empty() {
            return Err(Invalid::new("description", "must not be empty").into());
        }
        let protect = new.protect.as_ref();
        if let Some(protect) = protect {
            check_text("protect_event_id", &protect.event_id)?;
            protect.kind.as_ref().map_or(Ok(()), |kind| check_text("smart_detection_type", kind))?;
        }
        let zones = json("zones", &new.zones)?;
        let detected = protect.map_or_else(|| Ok("[]".to_owned()), |p| json("objects_detected", &p.objects))?;
        for zone in &new.zones {
            check_text("zones", &zone.name)?;
            check_text("zones", &zone.id)?;
        }
        Ok(Self {
            id: new.id.to_string(),
            camera_id: new.camera_id.to_string(),
            created_us: stored_at.as_micros(),
            updated_us: stored_at.as_micros(),
            started_us: new.timestamp.as_micros(),
            ended_us: None,
            last_motion_us: new.timestamp.as_micros(),
            detected_us: new.detected_at.as_micros(),
            described_us: None,
            source_type: new.source_type.to_string(),
            detection_type: new.detection_type.to_string(),
            objects: detected.clone(),
            search_text: search_text(&new.description),
            description: new.description.clone(),
            description_status: DescriptionStatus::Pending.to_string(),
            status_reason: None,
            confidence: new.confidence.into(),
            ai_confidence: None,
            low_confidence: false,
            zones,
            motion: motion_json(new.motion.as_ref())?,
            is_doorbell_ring: new.detection_type == DetectionType::Ring,
            provider_used: None,
            model: None,
            analysis_mode: None,
            frame_count_used: None,
            fallback_reason: None,
            ai_cost: None,
            tokens_used: None,
            ai_response_time_ms: None,
            reanalysis_count: 0,
            reanalyzed_us: None,
            alert_triggered: false,
            protect_event_id: protect.map(|p| p.event_id.clone()),
            smart_detection_type: protect.and_then(|p| p.kind.clone()),
            correlation_group_id: None,
            thumb_stored: false,
            clip_state: ClipState::None.as_str().to_owned(),
            clip_bytes: None,
            clip_from_us: None,
            clip_until_us: None,
            frames_state: FramesState::Pending.as_str().to_owned(),
            thumb_bytes: None,
            media_bytes: 0,
            detected,
        })
    }

    /// Whether nothing more is written for it: it is over, and its files are all there that will be. The same as
    /// [`FINISHED`], and the opposite of [`UNFINISHED`].
    pub(crate) fn is_finished(&self) -> bool {
        self.ended_us.is_some()
            && self.clip_state != ClipState::Pending.as_str()
            && self.frames_state != FramesState::Pending.as_str()
    }

    /// None of its pictures lies in the media store any more.
    pub(crate) fn without_frames(&mut self) {
        if self.frames_state == FramesState::Stored.as_str() {
            self.frames_state = FramesState::None.as_str().to_owned();
        }
    }

    /// Whether the clip lies in the media store.
    pub(crate) fn has_clip(&self) -> bool {
        self.clip_state == ClipState::Stored.as_str()
    }

    /// Last movement, clip and pictures.
    pub(super) fn media(&self) -> Result<(Timestamp, ClipState, FramesState), DbError> {
        let clip = match self.clip_state.as_str() {
            "none" => ClipState::None,
            "pending" => ClipState::Pending,
            "stored" => ClipState::Stored,
            other => return Err(DbError::corrupt(WHAT, format!("clip_state is {other}"))),
        };
        let frames = match self.frames_state.as_str() {
            "none" => FramesState::None,
            "pending" => FramesState::Pending,
            "stored" => FramesState::Stored,
            other => return Err(DbError::corrupt(WHAT, format!("frames_state is {other}"))),
        };
        Ok((Timestamp::from_micros(self.last_motion_us), clip, frames))
    }

    /// The event as it is shown and told.
    pub(super) fn event(self, camera_name: String, frames: &[FrameRow]) -> Result<Event, DbError> {
        let has_clip = self.has_clip();
        let id = self.id;
        let timestamp = Timestamp::from_micros(self.started_us);
        let ended_at = time_opt(self.ended_us);
        let url = |rest: &str| format!("/api/v1/events/{id}/{rest}");
        let frames = frames
            .iter()
            .map(|f| {
                Ok(EventFrame {
                    index: narrow(WHAT, f.idx)?,
                    offset_ms: f.offset_ms,
                    url: f.stored.then(|| url(&format!("frames/{}", f.idx))),
                    sha256: f.sha256.clone(),
                })
            })
            .collect::<Result<Vec<_>, DbError>>()?;
        Ok(Event {
            id: parse(WHAT, &id)?,
            created_at: Timestamp::from_micros(self.created_us),
            updated_at: Timestamp::from_micros(self.updated_us),
            camera_id: parse(WHAT, &self.camera_id)?,
            camera_name,
            timestamp,
            ended_at,
            // Both moments are shown in milliseconds: the duration is their difference as shown.
            duration_ms: ended_at.map(|end| end.as_millis() - timestamp.as_millis()),
            source_type: parse(WHAT, &self.source_type)?,
            detection_type: parse(WHAT, &self.detection_type)?,
            objects_detected: from_json(WHAT, &self.objects)?,
            description: self.description,
            description_status: parse(WHAT, &self.description_status)?,
            status_reason: parse_opt(WHAT, self.status_reason.as_ref())?,
            confidence: narrow(WHAT, self.confidence)?,
            ai_confidence: self.ai_confidence.map(|c| narrow(WHAT, c)).transpose()?,
            low_confidence: self.low_confidence,
            thumbnail_url: self.thumb_stored.then(|| url("thumbnail")),
            clip_url: has_clip.then(|| url("clip")),
            frames,
            zones: from_json(WHAT, &self.zones)?,
            motion: self.motion.map(|m| from_json(WHAT, &m)).transpose()?,
            is_doorbell_ring: self.is_doorbell_ring,
            provider_used: self.provider_used,
            model: self.model,
            analysis_mode: parse_opt(WHAT, self.analysis_mode.as_ref())?,
            frame_count_used: self.frame_count_used.map(|n| narrow(WHAT, n)).transpose()?,
            fallback_reason: self.fallback_reason,
            ai_cost: self.ai_cost,
            tokens_used: self.tokens_used.map(|n| narrow(WHAT, n)).transpose()?,
            ai_response_time_ms: self.ai_response_time_ms.map(|n| narrow(WHAT, n)).transpose()?,
            reanalysis_count: narrow(WHAT, self.reanalysis_count)?,
            reanalyzed_at: time_opt(self.reanalyzed_us),
            alert_triggered: self.alert_triggered,
            protect_event_id: self.protect_event_id,
            smart_detection_type: self.smart_detection_type,
            correlation_group_id: parse_opt(WHAT, self.correlation_group_id.as_ref())?,
            trace: EventTrace {
                // The start of an event is the moment at which its first picture was taken.
                captured_at: timestamp,
                detected_at: Timestamp::from_micros(self.detected_us),
                stored_at: Timestamp::from_micros(self.created_us),
                described_at: time_opt(self.described_us),
            },
        })
    }
}

/// A number of pixels, bytes or the like for its column.
pub(super) fn frame_row(event_id: &str, frame: super::NewFrame) -> Result<FrameRow, DbError> {
    check_text("frames", &frame.sha256)?;
    Ok(FrameRow {
        event_id: event_id.to_owned(),
        idx: fit("frames", frame.index)?,
        offset_ms: frame.offset_ms,
        sha256: frame.sha256,
        width: fit("frames", frame.width)?,
        height: fit("frames", frame.height)?,
        bytes: fit("frames", frame.bytes)?,
        stored: frame.stored,
        is_best: false,
    })
}
