//! What a start finds after a crash, and how it is put right before anything new begins.

use argus_core::chain;
use argus_core::media::{camera_prefix, clip_key, event_prefix, frame_key, thumbnail_key};
use argus_db::{ClipState, EventChange, FramesState, UnfinishedEvent};
use tracing::{info, warn};

use crate::Deps;
use crate::error::EngineError;

/// Closes open events, ends half-done media, frees leased jobs, and removes files that no row names.
pub(crate) async fn run(deps: &Deps) -> Result<(), EngineError> {
    let now = deps.clock.now();
    deps.db.coverage_close_all(now).await?;
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
    if let Err(e) = sweep_cameras(deps).await {
        warn!("media of deleted cameras could not be removed: {}", chain(&e));
    }
    Ok(())
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

/// Removes the folders of cameras that are no more: a crash between the row and the files leaves them.
async fn sweep_cameras(deps: &Deps) -> Result<(), EngineError> {
    let known: Vec<String> = deps.db.camera_all().await?.into_iter().map(|c| camera_prefix(c.id)).collect();
    for folder in deps.media.top_folders().await? {
        // Only what is named like a camera's folder is ours to remove.
        if folder.parse::<argus_core::CameraId>().is_ok() && !known.contains(&folder) {
            let files = deps.media.delete_all(&folder).await?;
            info!(camera.id = %folder, files, "removed media of a deleted camera");
        }
    }
    Ok(())
}
