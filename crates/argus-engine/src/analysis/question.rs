//! What a describer is given of an event.

use std::time::Duration;

use argus_core::budget::Period;
use argus_core::calendar::Calendar;
use argus_core::camera::Camera;
use argus_core::describe::{DescribeFrame, EventFacts};
use argus_core::event::Event;
use argus_core::media::{event_prefix, frame_key};
use argus_core::settings::Settings;
use argus_core::{chain, route};
use argus_db::EventFilter;
use tracing::warn;

use crate::Deps;
use crate::error::EngineError;

/// The days by which it is told what is usual.
const DAYS: u64 = 14;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Leaves the picture of the strongest moment, or where that is not known or not there the one from the middle.
pub(crate) fn one_of(frames: &mut Vec<DescribeFrame>, best: Option<u32>) {
    let place = frames.iter().position(|frame| Some(frame.index) == best).unwrap_or(frames.len() / 2);
    if place < frames.len() {
        *frames = vec![frames.swap_remove(place)];
    }
}

/// The pictures of an event, in order, and which of them is that of the strongest moment; one that is gone is left out.
/// Those that are not to be kept are there until the event's own description is made.
///
/// # Errors
/// When none could be read, and the store failed at one: the pictures may be there again later.
pub(crate) async fn frames(deps: &Deps, event: &Event) -> Result<(Vec<DescribeFrame>, Option<u32>), EngineError> {
    let prefix = event_prefix(event.camera_id, event.id, event.timestamp);
    let mut frames = Vec::new();
    let (mut failed, mut best) = (None, None);
    for row in deps.db.event_frames(event.id).await? {
        // A picture that cannot be read is one that is not there: the others still tell what happened.
        let found = deps.media.get(&frame_key(&prefix, row.index)).await.unwrap_or_else(|e| {
            warn!(event.id = %event.id, "a picture cannot be read: {}", chain(&e));
            failed = Some(e);
            None
        });
        if let Some(jpeg) = found {
            best = best.or(row.is_best.then_some(row.index));
            frames.push(DescribeFrame {
                index: row.index,
                offset_ms: row.offset_ms,
                jpeg,
                sha256: row.sha256,
                width: row.width,
                height: row.height,
            });
        }
    }
    match failed {
        Some(e) if frames.is_empty() => Err(e),
        _ => Ok((frames, best)),
    }
}

/// What was measured; after a crash only what the event itself says. What set it off is as the controller sees it now.
pub(crate) fn facts(measured: Option<EventFacts>, event: &Event) -> EventFacts {
    let measured = measured.unwrap_or_else(|| EventFacts {
        camera_name: event.camera_name.clone(),
        started_at: event.timestamp,
        duration_ms: None,
        detection_type: event.detection_type,
        zones: event.zones.iter().map(|z| z.name.clone()).collect(),
        area: event.motion.and_then(|m| m.r#box),
        largest_ratio: None,
        first_center: None,
        last_center: None,
        confidence: event.confidence,
    });
    let duration_ms = event.duration_ms.or(measured.duration_ms);
    EventFacts { duration_ms, detection_type: event.detection_type, ..measured }
}

/// What is normal for the camera at this hour of the day, by the last whole days; nothing when that cannot be told.
pub(crate) async fn usual(deps: &Deps, camera: &Camera, event: &Event, settings: &Settings) -> Option<String> {
    let zone = settings.general.timezone.as_str();
    let calendar = Calendar::named(zone).ok()?;
    let today = Period::day(event.timestamp, zone).start;
    let known = today.since(camera.created_at).as_secs() / DAY.as_secs();
    let days = known.min(DAYS);
    if days == 0 {
        return None;
    }
    let from = today.minus(DAY.saturating_mul(u32::try_from(days).ok()?));
    let hour = usize::from(calendar.local_hour(event.timestamp).hour);
    let filter = EventFilter {
        camera_ids: vec![camera.id.to_string()],
        start_time: Some(from),
        end_time: Some(today.minus(Duration::from_millis(1))),
        ..EventFilter::default()
    };
    // It makes a description better, and none impossible.
    let stats = deps.db.event_stats(filter, calendar).await.ok()?;
    route::usual(stats.by_hour.get(hour).copied()?, days)
}
