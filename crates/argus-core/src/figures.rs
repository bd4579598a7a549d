//! What the running system has counted since it started, and how much lies where now: plain numbers for `/metrics`.

use crate::camera::SourceType;
use crate::controller::ControllerStatus;
use crate::event::DetectionType;
use crate::provider::{BreakerState, ProviderState};
use crate::status::CameraStatus;
use crate::{CameraId, ControllerId};

/// Counts and amounts of the running system.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Every camera.
    pub cameras: Vec<CameraFigures>,
    /// Events that began.
    pub events: Vec<EventFigures>,
    /// Seconds from the first picture of an event to its description.
    pub described_s: Histogram,
    /// Calls of describers.
    pub calls: Vec<CallFigures>,
    /// Providers of descriptions, by priority.
    pub providers: Vec<ProviderFigures>,
    /// Descriptions to be made; `None` when the database does not tell.
    pub jobs: Option<JobFigures>,
    /// Bytes of pictures and clips that are stored; `None` when the database does not tell.
    pub media_bytes: Option<u64>,
    /// Every controller.
    pub controllers: Vec<ControllerFigures>,
}

/// One controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerFigures {
    /// Which.
    pub controller_id: ControllerId,
    /// How its connection is doing.
    pub status: ControllerStatus,
    /// Pieces of news about detections that it told.
    pub happenings: u64,
    /// Times in which detections may have been missed.
    pub gaps: u64,
    /// Detections whose end it never told.
    pub ends_unknown: u64,
    /// Messages that could not be understood.
    pub malformed: u64,
}

/// One camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraFigures {
    /// Which.
    pub camera_id: CameraId,
    /// How capture is doing.
    pub status: CameraStatus,
    /// Pictures received.
    pub frames: u64,
    /// Times that the picture was lost and came back.
    pub reconnects: u64,
    /// Pictures that were due for motion detection and not looked at.
    pub dropped: u64,
}

/// Events of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventFigures {
    /// Kind of the camera's source.
    pub source_type: SourceType,
    /// What set them off.
    pub detection_type: DetectionType,
    /// How many.
    pub count: u64,
}

/// Calls of one provider.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallFigures {
    /// Its name.
    pub provider: String,
    /// Calls that gave a description.
    pub succeeded: u64,
    /// Calls that did not.
    pub failed: u64,
    /// Tokens sent.
    pub tokens_input: u64,
    /// Tokens received.
    pub tokens_output: u64,
    /// US dollars.
    pub cost_usd: f64,
}

/// How a provider is doing, and what came of its turns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderFigures {
    /// Its name.
    pub provider: String,
    /// In a word.
    pub state: ProviderState,
    /// Whether it is asked.
    pub breaker: BreakerState,
    /// Times that it was its turn and it was not called: left alone, busy, unpaid, not allowed, without pictures.
    pub passed_over: u64,
}

/// The queue of descriptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobFigures {
    /// Not before their event has its pictures.
    pub waiting: u64,
    /// To be done, now or later.
    pub ready: u64,
    /// Being done.
    pub running: u64,
}

/// How a measure is spread: for each bound how many values lie at or below it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Bound and count, ascending; the counts include those of the lower bounds.
    pub buckets: Vec<(f64, u64)>,
    /// All values together.
    pub sum: f64,
    /// How many values.
    pub count: u64,
}

impl Histogram {
    /// Nothing measured yet.
    #[must_use]
    pub fn new(bounds: &[f64]) -> Self {
        Self { buckets: bounds.iter().map(|bound| (*bound, 0)).collect(), sum: 0.0, count: 0 }
    }

    /// Counts a value.
    pub fn observe(&mut self, value: f64) {
        for (_, count) in self.buckets.iter_mut().filter(|(bound, _)| value <= *bound) {
            *count += 1;
        }
        self.sum += value;
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_is_at_or_below_their_bound() {
        let mut spread = Histogram::new(&[1.0, 5.0]);
        for value in [0.5, 1.0, 3.0, 9.0] {
            spread.observe(value);
        }
        assert_eq!(spread, Histogram { buckets: vec![(1.0, 2), (5.0, 3)], sum: 13.5, count: 4 });
    }
}
