//! What a start finds after a crash, and how it is put right before anything new begins.

use std::sync::Arc;

use argus_core::media::{camera_prefix, clip_key, event_prefix, frame_key, thumbnail_key};
use argus_core::{CameraId, chain};
use argus_db::{ClipState, EventChange, FramesState, UnfinishedEvent};
use tracing::{info, warn};

use crate::Deps;
use crate::error::EngineError;

/// Closes open events, ends half-done media, frees leased jobs, and removes files that no row names.
pub(crate) async fn run(deps: &Deps) -> Result<(), EngineError> {
    let now = deps.clock.now();
    deps.db.coverage_recover().await?;
    let calls = deps.db.analyses_recover(now).await?;
    let (freed, made) = deps.db.jobs_recover(now).await?;
    let jobs = freed + made;
    let unfinished = deps.db.events_unfinished().await?;
    if calls > 0 || jobs > 0 || !unfinished.is_empty() {
        info!(events = unfinished.len(), jobs, calls, "resuming what the last run left unfinished");
    }
    for event in unfinished {
        finish(deps, &event).await?;
    }
    Ok(())
}

/// Removes files that no row names: a crash between the end of a row and that of its files leaves them. Runs beside the
/// cameras, since it looks at every folder; an event's row is there before its first file, so none of theirs is taken.
pub(crate) async fn sweep(deps: Arc<Deps>) {
    let work = async {
        sweep_cameras(&deps).await?;
        sweep_events(&deps).await
    };
    tokio::select! {
        swept = work => if let Err(e) = swept {
            warn!("media that no event names could not be removed: {}", chain(&e));
        },
        () = deps.cancel.cancelled() => {}
    }
}

async fn finish(deps: &Deps, left: &UnfinishedEvent) -> Result<(), EngineError> {
    let event = &left.event;
    let prefix = event_prefix(event.camera_id, event.id, event.timestamp);
    let keep: Vec<String> = event
        .thumbnail_url
        .iter()
        .map(|_| thumbnail_key(&prefix))
        .chain(event.clip_url.iter().map(|_| clip_key(&prefix)))
        .chain(event.frames.iter().filter(|f| f.url.is_some()).map(|f| frame_key(&prefix, f.index)))
        .collect();
    for key in deps.media.list(&prefix).await? {
        if !keep.contains(&key) {
            deps.media.delete(&key).await?;
        }
    }
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
    deps.db.event_change(event.id, changes, deps.clock.now()).await?;
    Ok(())
}

/// Finishes what was left of one camera's events, whose tasks have ended without doing so.
pub(crate) async fn camera(deps: &Deps, id: CameraId) -> Result<(), EngineError> {
    for left in deps.db.events_unfinished().await? {
        if left.event.camera_id == id {
            finish(deps, &left).await?;
            deps.db.job_ready(left.event.id, None, deps.clock.now()).await?;
        }
    }
    deps.jobs.notify_one();
    Ok(())
}

/// Removes the folders of cameras that are no more: a crash between the row and the files leaves them.
async fn sweep_cameras(deps: &Deps) -> Result<(), EngineError> {
    // Folders first: a camera that is added meanwhile has no folder before its row.
    let folders = deps.media.top_folders().await?;
    let known: Vec<String> =
        deps.db.camera_last_states().await?.into_iter().map(|c| camera_prefix(c.camera_id)).collect();
    for folder in folders {
        // Only what is named like a camera's folder is ours to remove.
        if folder.parse::<CameraId>().is_ok() && !known.contains(&folder) {
            let files = deps.media.delete_all(&folder).await?;
            info!(camera.id = %folder, files, "removed media of a deleted camera");
        }
    }
    Ok(())
}

/// Removes the folders of events that are no more.
async fn sweep_events(deps: &Deps) -> Result<(), EngineError> {
    let mut folders = deps.media.top_folders().await?;
    // Below the camera: year, month, day.
    for _ in 0..3 {
        let mut below = Vec::new();
        for folder in folders {
            below.extend(deps.media.folders(&folder).await?);
        }
        folders = below;
    }
    for day in folders {
        for folder in deps.media.folders(&day).await? {
            let Some(Ok(id)) = folder.rsplit('/').next().map(str::parse::<argus_core::EventId>) else { continue };
            if deps.db.event_get(id).await?.is_none() {
                let files = deps.media.delete_all(&folder).await?;
                info!(event.id = %id, files, "removed media of a deleted event");
            }
        }
    }
    Ok(())
}
