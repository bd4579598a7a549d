//! What a start finds after a crash, and how it is put right before anything new begins.

use std::collections::HashSet;
use std::time::Duration;

use argus_core::camera::Source;
use argus_core::media::{event_prefix, frame_key};
use argus_core::{CameraId, Timestamp};
use argus_db::{ClipState, EventChange, FramesState, UnfinishedEvent};
use tracing::info;

use crate::Deps;
use crate::account::rules;
use crate::error::EngineError;
use crate::sweep::{Named, awaits_description, is_ours, media_in};

/// What is still to be fetched of a controller's detection waits with its description at most that long.
const RESUMED_WITHIN: Duration = Duration::from_secs(10 * 60);

/// Closes open events, ends half-done media and frees leased jobs. Gives the events whose controller may still have what
/// is missing: they are closed, and their media are left to be fetched.
pub(crate) async fn run(deps: &Deps) -> Result<Vec<UnfinishedEvent>, EngineError> {
    let now = deps.clock.now();
    deps.db.coverage_recover().await?;
    // Nobody but this process asks: what is open now was cut off, also what was booked by a clock that was ahead.
    let rules = rules(&deps.settings.now());
    let cut_off = deps.db.ai_calls_interrupt(Timestamp::from_micros(i64::MAX), rules, now).await?;
    if cut_off > 0 {
        info!(calls = cut_off, "calls were cut off and count with what was reserved for them");
    }
    let calls = deps.db.analyses_recover(now).await?;
    let (freed, made) = deps.db.jobs_recover(now).await?;
    let jobs = freed + made;
    let unfinished = deps.db.events_unfinished().await?;
    if calls > 0 || jobs > 0 || !unfinished.is_empty() {
        info!(events = unfinished.len(), jobs, calls, "resuming what the last run left unfinished");
    }
    let is_ours = is_ours(deps).await?;
    let asked = cameras_of_controllers(deps).await?;
    let mut resumed = Vec::new();
    for event in unfinished {
        if asked.contains(&event.event.camera_id) && event.event.protect_event_id.is_some() {
            resumed.push(close(deps, event, is_ours).await?);
        } else {
            finish(deps, &event, is_ours).await?;
        }
    }
    Ok(resumed)
}

/// The enabled cameras of enabled controllers.
async fn cameras_of_controllers(deps: &Deps) -> Result<HashSet<CameraId>, EngineError> {
    let controllers = deps.db.controller_all().await?;
    let is_asked = |id| controllers.iter().any(|(stored, _)| stored.id == id && stored.config.is_enabled);
    let cameras = deps.db.camera_all().await?.into_iter().filter(|camera| match &camera.config.source {
        Source::Protect(source) => camera.config.is_enabled && source.controller_id.is_some_and(is_asked),
        _ => false,
    });
    Ok(cameras.map(|camera| camera.id).collect())
}

/// Closes the event of a controller's detection and leaves its media to be fetched.
async fn close(deps: &Deps, mut left: UnfinishedEvent, is_ours: bool) -> Result<UnfinishedEvent, EngineError> {
    let (event, now) = (&left.event, deps.clock.now());
    let mut changes = Vec::new();
    if event.ended_at.is_none() {
        changes.push(EventChange::Closed {
            ended_at: left.last_motion.max(event.timestamp),
            motion: None,
            zones: Vec::new(),
            confidence: event.confidence,
            clip_expected: true,
        });
        left.clip = ClipState::Pending;
    }
    if left.frames == FramesState::Pending {
        deps.db.job_put_back(event.id, now.plus(RESUMED_WITHIN)).await?;
    }
    if is_ours {
        let prefix = event_prefix(event.camera_id, event.id, event.timestamp);
        let (_, strays) = media_in(&prefix, deps.media.list(&prefix).await?, &Named::of(event));
        let awaits = awaits_description(deps, event.id).await?;
        for key in strays {
            if !(awaits && event.frames.iter().any(|frame| frame_key(&prefix, frame.index) == key)) {
                deps.media.delete(&key).await?;
            }
        }
    }
    if !changes.is_empty() {
        left.event = deps.db.event_change(event.id, changes, now).await?;
    }
    Ok(left)
}

/// Ends one event. `is_ours`: what lies in the media store is what the rows speak of, and may be told from it.
async fn finish(deps: &Deps, left: &UnfinishedEvent, is_ours: bool) -> Result<(), EngineError> {
    let event = &left.event;
    let mut changes = Vec::new();
    if event.ended_at.is_none() {
        changes.push(EventChange::Closed {
            ended_at: left.last_motion.max(event.timestamp),
            motion: event.motion,
            zones: event.zones.clone(),
            confidence: event.confidence,
            clip_expected: false,
        });
    } else if left.clip == ClipState::Pending {
        changes.push(EventChange::ClipNone);
    }
    if left.frames == FramesState::Pending {
        changes.push(EventChange::Frames(Vec::new()));
    }
    if is_ours {
        let prefix = event_prefix(event.camera_id, event.id, event.timestamp);
        let (found, strays) = media_in(&prefix, deps.media.list(&prefix).await?, &Named::of(event));
        // Pictures that are not kept lie there until the event is described.
        let awaits = awaits_description(deps, event.id).await?;
        for key in strays {
            if !(awaits && event.frames.iter().any(|frame| frame_key(&prefix, frame.index) == key)) {
                deps.media.delete(&key).await?;
            }
        }
        // A picture may have been replaced after its size was noted.
        changes.push(EventChange::Found(found));
    }
    deps.db.event_change(event.id, changes, deps.clock.now()).await?;
    Ok(())
}

/// Finishes what was left of one camera's events, whose tasks have ended without doing so.
pub(crate) async fn camera(deps: &Deps, id: CameraId) -> Result<(), EngineError> {
    let is_ours = is_ours(deps).await?;
    for left in deps.db.events_unfinished().await? {
        if left.event.camera_id == id {
            finish(deps, &left, is_ours).await?;
            deps.db.job_ready(left.event.id, None, deps.clock.now()).await?;
        }
    }
    deps.jobs.notify_one();
    Ok(())
}
