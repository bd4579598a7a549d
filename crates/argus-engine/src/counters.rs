//! What has been counted since the start, for `/metrics`.

use std::collections::BTreeMap;
use std::sync::Mutex;

use argus_core::call::SettledCall;
use argus_core::camera::SourceType;
use argus_core::chain;
use argus_core::event::DetectionType;
use argus_core::figures::{CallFigures, EventFigures, Figures, Histogram, JobFigures};
use tracing::warn;

use crate::Engine;
use crate::camera::{self, lock};

/// Bounds in seconds: a description is usually there 10 to 20 s after its event began, and may come hours later.
const DESCRIBED_S: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 300.0, 3600.0];

/// Counts that only grow. One lock for all: what happens under it takes less than a microsecond, some times a minute.
pub(crate) struct Counters(Mutex<Counted>);

struct Counted {
    events: BTreeMap<(SourceType, DetectionType), u64>,
    described_s: Histogram,
    calls: BTreeMap<String, CallFigures>,
}

impl Default for Counters {
    fn default() -> Self {
        let described_s = Histogram::new(&DESCRIBED_S);
        Self(Mutex::new(Counted { events: BTreeMap::new(), described_s, calls: BTreeMap::new() }))
    }
}

impl Counters {
    /// An event began.
    pub(crate) fn event(&self, source_type: SourceType, detection_type: DetectionType) {
        *lock(&self.0).events.entry((source_type, detection_type)).or_default() += 1;
    }

    /// An event was described, that long after it began.
    pub(crate) fn described(&self, after_ms: i64) {
        let seconds = i32::try_from(after_ms.max(0)).map_or(f64::from(i32::MAX), f64::from) / 1e3;
        lock(&self.0).described_s.observe(seconds);
    }

    /// A call of a provider came to an end. One that was passed over was not called.
    pub(crate) fn call(&self, provider: &str, settled: &SettledCall) {
        let mut counted = lock(&self.0);
        let figures = counted.calls.entry(provider.to_owned()).or_default();
        provider.clone_into(&mut figures.provider);
        match settled.result {
            Ok(_) => figures.succeeded += 1,
            Err(_) => figures.failed += 1,
        }
        figures.tokens_input += settled.tokens_input.map_or(0, u64::from);
        figures.tokens_output += settled.tokens_output.map_or(0, u64::from);
        figures.cost_usd += settled.cost.unwrap_or(0.0);
    }
}

impl Engine {
    /// What was counted, and how things stand.
    pub(crate) async fn figures(&self) -> Figures {
        let cameras = lock(&self.deps.slots).values().map(camera::Slot::figures).collect();
        let jobs = match self.deps.db.jobs_count().await {
            Ok(counts) => Some(JobFigures { waiting: counts.waiting, ready: counts.ready, running: counts.leased }),
            Err(e) => {
                warn!("the analysis queue cannot be counted: {}", chain(&e));
                None
            }
        };
        let media_bytes = match self.deps.db.media_bytes().await {
            Ok(bytes) => Some(bytes),
            Err(e) => {
                warn!("the bytes of the media cannot be read: {}", chain(&e));
                None
            }
        };
        let counted = lock(&self.deps.counters.0);
        let event = |(&(source_type, detection_type), &count): (&(SourceType, DetectionType), &u64)| EventFigures {
            source_type,
            detection_type,
            count,
        };
        Figures {
            cameras,
            events: counted.events.iter().map(event).collect(),
            described_s: counted.described_s.clone(),
            calls: counted.calls.values().cloned().collect(),
            providers: self.deps.describer.figures(),
            jobs,
            media_bytes,
            controllers: self.deps.protect.figures(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_counted_in_seconds() {
        let counters = Counters::default();
        for ms in [-5, 12_000, i64::MAX] {
            counters.described(ms);
        }
        let counted = lock(&counters.0);
        let at_or_below = |bound: f64| counted.described_s.buckets.iter().find(|(b, _)| *b == bound).unwrap().1;
        assert_eq!((at_or_below(1.0), at_or_below(15.0), counted.described_s.count), (1, 2, 3));
    }
}
