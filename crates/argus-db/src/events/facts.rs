//! What is counted of an event: its kinds in a few bits, and its numbers.

use std::collections::BTreeMap;

use argus_core::camera::SourceType;
use argus_core::event::{DescriptionStatus, DetectionType, ObjectKind};
use diesel::prelude::*;

use super::row::{ClipState, EventRow};
use super::{EventFilter, WHAT};
use crate::error::DbError;
use crate::schema::event;
use crate::value::{from_json, parse};

/// The columns that are counted, and no others.
#[derive(Clone, Queryable)]
pub(crate) struct CountedRow {
    pub(crate) id: String,
    pub(crate) camera_id: String,
    pub(crate) started_us: i64,
    ended_us: Option<i64>,
    source_type: String,
    detection_type: String,
    objects: String,
    description_status: String,
    confidence: i32,
    ai_confidence: Option<i32>,
    low_confidence: bool,
    ai_cost: Option<f64>,
    ai_response_time_ms: Option<i64>,
    alert_triggered: bool,
    clip_state: String,
}

type Columns = (
    event::id,
    event::camera_id,
    event::started_us,
    event::ended_us,
    event::source_type,
    event::detection_type,
    event::objects,
    event::description_status,
    event::confidence,
    event::ai_confidence,
    event::low_confidence,
    event::ai_cost,
    event::ai_response_time_ms,
    event::alert_triggered,
    event::clip_state,
);

/// The columns of a [`CountedRow`] in its order.
pub(crate) const COUNTED: Columns = (
    event::id,
    event::camera_id,
    event::started_us,
    event::ended_us,
    event::source_type,
    event::detection_type,
    event::objects,
    event::description_status,
    event::confidence,
    event::ai_confidence,
    event::low_confidence,
    event::ai_cost,
    event::ai_response_time_ms,
    event::alert_triggered,
    event::clip_state,
);

impl From<&EventRow> for CountedRow {
    fn from(row: &EventRow) -> Self {
        Self {
            id: row.id.clone(),
            camera_id: row.camera_id.clone(),
            started_us: row.started_us,
            ended_us: row.ended_us,
            source_type: row.source_type.clone(),
            detection_type: row.detection_type.clone(),
            objects: row.objects.clone(),
            description_status: row.description_status.clone(),
            confidence: row.confidence,
            ai_confidence: row.ai_confidence,
            low_confidence: row.low_confidence,
            ai_cost: row.ai_cost,
            ai_response_time_ms: row.ai_response_time_ms,
            alert_triggered: row.alert_triggered,
            clip_state: row.clip_state.clone(),
        }
    }
}

impl CountedRow {
    /// What kind of event it is, and its numbers as those of one event.
    pub(crate) fn cell(&self) -> Result<(Facts, Cell), DbError> {
        let objects: Vec<ObjectKind> = if self.objects == "[]" { Vec::new() } else { from_json(WHAT, &self.objects)? };
        let facts = Facts::new(
            parse(WHAT, &self.detection_type)?,
            parse(WHAT, &self.source_type)?,
            &objects,
            parse(WHAT, &self.description_status)?,
            self.clip_state == ClipState::Stored.as_str(),
            self.low_confidence,
        );
        let (ai, response) = (self.ai_confidence, self.ai_response_time_ms);
        // As it is shown: the difference of two moments in milliseconds.
        let duration = self.ended_us.map(|end| end.div_euclid(1000) - self.started_us.div_euclid(1000));
        let cell = Cell([
            1,
            self.confidence.into(),
            ai.is_some().into(),
            ai.unwrap_or(0).into(),
            duration.is_some().into(),
            duration.unwrap_or(0),
            response.is_some().into(),
            response.unwrap_or(0),
            self.ai_cost.map_or(0, nano),
            self.alert_triggered.into(),
        ]);
        Ok((facts, cell))
    }
}

/// Billionths of a dollar: sums of whole numbers come back to zero when everything is taken out again.
#[expect(clippy::cast_possible_truncation, reason = "rounded, and beyond any bill where it would saturate")]
fn nano(dollars: f64) -> i64 {
    (dollars * 1e9).round() as i64
}

/// The kinds of an event: what filters can ask for with one answer per kind. Stored, so the places of the values are
/// fixed: new values of the enumerations come at their ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Facts(u16);

fn place<T: PartialEq>(all: &[T], value: &T) -> u16 {
    all.iter().position(|v| v == value).and_then(|n| u16::try_from(n).ok()).unwrap_or(0)
}

impl Facts {
    fn new(
        detection: DetectionType,
        source: SourceType,
        objects: &[ObjectKind],
        status: DescriptionStatus,
        clip: bool,
        low: bool,
    ) -> Self {
        let objects = objects.iter().fold(0, |mask, kind| mask | (1 << place(ObjectKind::ALL, kind)));
        Self(
            place(DetectionType::ALL, &detection)
                | (place(SourceType::ALL, &source) << 4)
                | (objects << 8)
                | (place(DescriptionStatus::ALL, &status) << 12)
                | (u16::from(clip) << 14)
                | (u16::from(low) << 15),
        )
    }

    pub(super) fn from_bits(bits: i64) -> Option<Self> {
        u16::try_from(bits).ok().map(Self)
    }

    pub(super) fn bits(self) -> i64 {
        self.0.into()
    }

    fn detection_place(self) -> u16 {
        self.0 & 15
    }

    fn source_place(self) -> u16 {
        (self.0 >> 4) & 15
    }

    fn object_mask(self) -> u16 {
        (self.0 >> 8) & 15
    }

    fn status_place(self) -> u16 {
        (self.0 >> 12) & 3
    }

    pub(crate) fn has_clip(self) -> bool {
        self.0 & (1 << 14) != 0
    }

    pub(crate) fn is_low(self) -> bool {
        self.0 & (1 << 15) != 0
    }

    pub(crate) fn detection(self) -> Option<DetectionType> {
        DetectionType::ALL.get(usize::from(self.detection_place())).copied()
    }

    pub(crate) fn source(self) -> Option<SourceType> {
        SourceType::ALL.get(usize::from(self.source_place())).copied()
    }

    pub(crate) fn status(self) -> Option<DescriptionStatus> {
        DescriptionStatus::ALL.get(usize::from(self.status_place())).copied()
    }

    pub(crate) fn objects(self) -> impl Iterator<Item = ObjectKind> {
        ObjectKind::ALL
            .iter()
            .copied()
            .filter(move |kind| self.object_mask() & (1 << place(ObjectKind::ALL, kind)) != 0)
    }
}

/// Sums over events of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell(pub(super) [i64; 10]);

impl Cell {
    pub(crate) fn events(&self) -> i64 {
        self.0[0]
    }

    pub(crate) fn confidence(&self) -> i64 {
        self.0[1]
    }

    /// How many have one, and their sum; the next two alike.
    pub(crate) fn ai_confidence(&self) -> (i64, i64) {
        (self.0[2], self.0[3])
    }

    /// Milliseconds.
    pub(crate) fn duration(&self) -> (i64, i64) {
        (self.0[4], self.0[5])
    }

    /// Milliseconds.
    pub(crate) fn response(&self) -> (i64, i64) {
        (self.0[6], self.0[7])
    }

    pub(crate) fn cost_nano(&self) -> i64 {
        self.0[8]
    }

    pub(crate) fn alerts(&self) -> i64 {
        self.0[9]
    }

    /// Adds another, or with −1 takes it out.
    pub(crate) fn add(&mut self, other: &Self, times: i64) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs.saturating_mul(times));
        }
    }
}

/// Cells by kind.
pub(crate) type Cells = BTreeMap<Facts, Cell>;

/// Which kinds a filter asks for. A mask of 0 asks for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds {
    detections: u16,
    objects: u16,
    sources: u16,
    statuses: u16,
    has_clip: Option<bool>,
    low: Option<bool>,
}

impl Kinds {
    pub(super) fn of(filter: &EventFilter) -> Self {
        fn mask<T: PartialEq>(all: &[T], wanted: &[T]) -> u16 {
            wanted.iter().fold(0, |mask, value| mask | (1 << place(all, value)))
        }
        let seen: Vec<ObjectKind> =
            filter.detection_types.iter().filter_map(|t| t.as_str().parse::<ObjectKind>().ok()).collect();
        Self {
            detections: mask(DetectionType::ALL, &filter.detection_types),
            objects: mask(ObjectKind::ALL, &seen),
            sources: mask(SourceType::ALL, &filter.source_types),
            statuses: mask(DescriptionStatus::ALL, &filter.description_statuses),
            has_clip: filter.has_clip,
            low: filter.low_confidence,
        }
    }

    /// Whether it asks for nothing.
    pub(crate) fn is_any(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn matches(&self, facts: Facts) -> bool {
        let among = |mask: u16, place: u16| mask == 0 || mask & (1 << place) != 0;
        (among(self.detections, facts.detection_place()) || self.objects & facts.object_mask() != 0)
            && among(self.sources, facts.source_place())
            && among(self.statuses, facts.status_place())
            && self.has_clip.is_none_or(|wanted| wanted == facts.has_clip())
            && self.low.is_none_or(|wanted| wanted == facts.is_low())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_come_back_from_their_bits() {
        for &detection in DetectionType::ALL {
            for &source in SourceType::ALL {
                for &status in DescriptionStatus::ALL {
                    for mask in 0..16_u16 {
                        let objects: Vec<ObjectKind> = ObjectKind::ALL
                            .iter()
                            .copied()
                            .filter(|k| mask & (1 << place(ObjectKind::ALL, k)) != 0)
                            .collect();
                        let (clip, low) = (mask % 2 == 0, mask % 3 == 0);
                        let facts = Facts::new(detection, source, &objects, status, clip, low);
                        let facts = Facts::from_bits(facts.bits()).unwrap();
                        assert_eq!(
                            (facts.detection(), facts.source(), facts.status(), facts.has_clip(), facts.is_low()),
                            (Some(detection), Some(source), Some(status), clip, low)
                        );
                        assert_eq!(facts.objects().collect::<Vec<_>>(), objects);
                    }
                }
            }
        }
        // Places beyond these need more bits, and the stored summaries made anew.
        assert!(DetectionType::ALL.len() <= 16 && SourceType::ALL.len() <= 16);
        assert!(ObjectKind::ALL.len() <= 4 && DescriptionStatus::ALL.len() <= 4);
    }
}
