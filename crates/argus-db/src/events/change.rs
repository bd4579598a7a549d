//! What can happen to an event after it began.

use std::collections::BTreeMap;

use argus_core::event::{
    DescriptionStatus, DetectionType, EventDescription, EventMotion, EventZone, ObjectKind, StatusReason,
};
use argus_core::{Invalid, Timestamp};

use super::row::{ClipState, EventRow, FrameRow, FramesState, frame_row, motion_json};
use crate::error::DbError;
use crate::search::search_text;
use crate::value::{check_number, check_text, fit, from_json, json, without_nul};

/// A picture that was chosen for the describer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFrame {
    /// From 0, in order of time.
    pub index: u32,
    /// Milliseconds from the event's start; may be negative.
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
}

/// The files of an event that lie in the media store, with their sizes. The default: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaFound {
    /// The thumbnail.
    pub thumbnail: Option<u64>,
    /// Pictures by their index.
    pub frames: BTreeMap<u32, u64>,
    /// The clip.
    pub clip: Option<u64>,
}

/// What a change means to the rows of the event's pictures.
pub(super) enum FrameChange {
    Keep,
    Replace(Vec<FrameRow>),
    /// Those that are not found are not stored any more; of the others the size is set right.
    Found(BTreeMap<u32, u64>),
    /// That of the strongest moment.
    Best(i32),
}

/// One thing that happened to an event.
#[derive(Clone, Debug, PartialEq)]
pub enum EventChange {
    /// It goes on. By itself this is stored and not announced.
    Progress {
        /// The last movement.
        last_motion: Timestamp,
        /// All movement so far.
        motion: Option<EventMotion>,
        /// Include zones touched so far.
        zones: Vec<EventZone>,
        /// Of the strongest moment so far, percent.
        confidence: u8,
    },
    /// The controller knows more of it.
    Refined {
        /// What set it off.
        detection_type: DetectionType,
        /// The controller's kind of detection.
        kind: Option<String>,
        /// What it saw, added to what is known.
        objects: Vec<ObjectKind>,
        /// Percent.
        confidence: u8,
        /// The plain sentence for that; takes the place of the present one while the event is not described.
        sentence: String,
    },
    /// It is over.
    Closed {
        /// The last movement; not before the event's start.
        ended_at: Timestamp,
        /// All movement.
        motion: Option<EventMotion>,
        /// Include zones that were touched.
        zones: Vec<EventZone>,
        /// Of the strongest moment, percent.
        confidence: u8,
        /// Whether a clip will follow.
        clip_expected: bool,
    },
    /// The thumbnail lies in the media store, in the place of an earlier one.
    ThumbnailStored {
        /// Its size.
        bytes: u64,
    },
    /// The pictures for the describer were chosen; they take the place of earlier ones. An empty list: there are none.
    Frames(Vec<NewFrame>),
    /// Which of the pictures is that of the strongest moment. By itself this is stored and not announced.
    BestFrame(u32),
    /// The clip lies in the media store.
    Clip {
        /// Its size.
        bytes: u64,
        /// First picture.
        from: Timestamp,
        /// Last picture.
        until: Timestamp,
    },
    /// There will be no clip, or it is gone.
    ClipNone,
    /// What is left of the event's files: what it names and is not among them loses its address. When nothing does, only
    /// the sizes are set right, and that is not announced. Not for an event whose files are still being written.
    Found(MediaFound),
    /// It was described.
    Described(EventDescription),
    /// It was described again because somebody asked.
    Reanalysed(EventDescription),
    /// It will not be described, or could not be; the sentence that it has stays.
    Undescribed {
        /// `Skipped` or `Failed`.
        status: DescriptionStatus,
        /// Why.
        reason: StatusReason,
    },
}

impl EventChange {
    /// The same with what the description cost.
    pub(crate) fn costs(self, cost: Option<f64>, tokens_used: Option<u32>) -> Self {
        let with = |description| EventDescription { cost, tokens_used, ..description };
        match self {
            Self::Described(description) => Self::Described(with(description)),
            Self::Reanalysed(description) => Self::Reanalysed(with(description)),
            other => other,
        }
    }

    /// Whether the rows of pictures may change with it.
    pub(super) fn touches_frames(&self) -> bool {
        matches!(self, Self::Frames(_) | Self::Found(_))
    }
}

/// Objects that are known, and more of them, without repeats.
fn joined(known: &str, more: &[ObjectKind]) -> Result<String, DbError> {
    let mut all: Vec<ObjectKind> = from_json(super::WHAT, known)?;
    for object in more {
        if !all.contains(object) {
            all.push(*object);
        }
    }
    json("objects_detected", &all)
}

impl EventRow {
    /// Writes one change into the row; gives what is to become of the rows of its pictures.
    pub(super) fn apply(&mut self, change: EventChange, now: Timestamp) -> Result<FrameChange, DbError> {
        match change {
            EventChange::Progress { last_motion, motion, zones, confidence } => {
                self.last_motion_us = last_motion.as_micros().max(self.last_motion_us);
                self.seen(motion, &zones, confidence)?;
            }
            EventChange::Refined { detection_type, kind, objects, confidence, sentence } => {
                self.detection_type = detection_type.to_string();
                self.smart_detection_type = kind.map(without_nul);
                self.objects = joined(&self.objects, &objects)?;
                self.detected = joined(&self.detected, &objects)?;
                self.confidence = confidence.into();
                self.is_doorbell_ring = detection_type == DetectionType::Ring;
                if self.description_status != DescriptionStatus::Described.as_str() {
                    check_text("description", &sentence)?;
                    self.search_text = search_text(&sentence);
                    self.description = sentence;
                }
            }
            EventChange::Closed { ended_at, motion, zones, confidence, clip_expected } => {
                let end = ended_at.as_micros().max(self.started_us);
                self.ended_us = Some(end);
                self.last_motion_us = end;
                self.seen(motion, &zones, confidence)?;
                if !self.has_clip() {
                    let clip = if clip_expected { ClipState::Pending } else { ClipState::None };
                    self.clip_state = clip.as_str().to_owned();
                }
            }
            EventChange::ThumbnailStored { bytes } => {
                self.thumb_stored = true;
                self.thumb_bytes = Some(fit("thumbnail", bytes)?);
            }
            EventChange::Frames(frames) => {
                let any = frames.iter().any(|f| f.stored);
                let state = if any { FramesState::Stored } else { FramesState::None };
                self.frames_state = state.as_str().to_owned();
                let rows = frames.into_iter().map(|f| frame_row(&self.id, f)).collect::<Result<_, _>>()?;
                return Ok(FrameChange::Replace(rows));
            }
            EventChange::BestFrame(index) => return Ok(FrameChange::Best(fit("frames", index)?)),
            EventChange::Clip { bytes, from, until } => {
                self.clip_state = ClipState::Stored.as_str().to_owned();
                self.clip_bytes = Some(fit("clip", bytes)?);
                self.clip_from_us = Some(from.as_micros());
                self.clip_until_us = Some(until.as_micros());
            }
            EventChange::ClipNone => self.without_clip(),
            EventChange::Found(found) => {
                if self.thumb_stored {
                    self.thumb_stored = found.thumbnail.is_some();
                    self.thumb_bytes = found.thumbnail.map(|bytes| fit("thumbnail", bytes)).transpose()?;
                }
                match found.clip {
                    Some(bytes) if self.has_clip() => self.clip_bytes = Some(fit("clip", bytes)?),
                    _ => self.without_clip(),
                }
                return Ok(FrameChange::Found(found.frames));
            }
            EventChange::Described(description) => self.described(description, now)?,
            EventChange::Reanalysed(description) => {
                if self.protect_event_id.is_some() {
                    // What an earlier description added goes with it.
                    self.objects = self.detected.clone();
                }
                self.described(description, now)?;
                self.reanalysis_count = self.reanalysis_count.saturating_add(1);
                self.reanalyzed_us = Some(now.as_micros());
            }
            EventChange::Undescribed { status, reason } => {
                if !matches!(status, DescriptionStatus::Skipped | DescriptionStatus::Failed) {
                    return Err(Invalid::new("description_status", "is neither skipped nor failed").into());
                }
                self.description_status = status.to_string();
                self.status_reason = Some(reason.to_string());
            }
        }
        Ok(FrameChange::Keep)
    }

    fn without_clip(&mut self) {
        self.clip_state = ClipState::None.as_str().to_owned();
        self.clip_bytes = None;
        self.clip_from_us = None;
        self.clip_until_us = None;
    }

    fn seen(&mut self, motion: Option<EventMotion>, zones: &[EventZone], confidence: u8) -> Result<(), DbError> {
        for zone in zones {
            check_text("zones", &zone.name)?;
            check_text("zones", &zone.id)?;
        }
        self.motion = motion_json(motion.as_ref())?;
        self.zones = json("zones", zones)?;
        self.confidence = confidence.into();
        Ok(())
    }

    fn described(&mut self, d: EventDescription, now: Timestamp) -> Result<(), DbError> {
        if d.description.is_empty() {
            return Err(Invalid::new("description", "must not be empty").into());
        }
        if let Some(cost) = d.cost {
            check_number("ai_cost", cost)?;
        }
        // An answer that was paid for is not lost for one character.
        self.description = without_nul(d.description);
        self.search_text = search_text(&self.description);
        // What the controller saw stays, whatever the describer made of the pictures.
        self.objects = match self.protect_event_id {
            Some(_) => joined(&self.objects, &d.objects)?,
            None => json("objects_detected", &d.objects)?,
        };
        self.description_status = DescriptionStatus::Described.to_string();
        self.status_reason = None;
        self.ai_confidence = d.ai_confidence.map(i32::from);
        self.low_confidence = d.low_confidence;
        self.provider_used = Some(without_nul(d.provider_used));
        self.model = Some(without_nul(d.model));
        // Whoever looked at no picture did so in no mode.
        self.analysis_mode = (d.frame_count_used > 0).then(|| d.analysis_mode.to_string());
        self.frame_count_used = Some(fit("frame_count_used", d.frame_count_used)?);
        self.fallback_reason = d.fallback_reason.map(without_nul);
        self.ai_cost = d.cost;
        self.tokens_used = d.tokens_used.map(i64::from);
        self.ai_response_time_ms = Some(d.latency_ms.into());
        self.described_us = Some(now.as_micros());
        Ok(())
    }
}
