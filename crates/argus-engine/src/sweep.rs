//! Media store and rows made to agree again, both ways: files that no row names are removed, and what a row names and
//! is not there loses its address.
//!
//! Runs beside everything else, at the start and once a day; what it holds in memory is bounded by the events of one
//! camera on one day. An event's row is there before its first file, and is finished only after its last: what is looked
//! at in this order is never being written.

use std::sync::Arc;
use std::time::{Duration, Instant};

use argus_core::event::Event;
use argus_core::media::{camera_prefix, clip_key, event_prefix, frame_key, thumbnail_key};
use argus_core::{CameraId, EventId, Timestamp, chain};
use argus_db::{EventChange, MediaFound, MediaRow};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::Deps;
use crate::error::EngineError;
use crate::media::half_files;

const EVERY: Duration = Duration::from_secs(24 * 3600);
/// After a failure, and while the media store is not there.
const AGAIN: Duration = Duration::from_secs(300);
/// Events looked at together.
const AT_ONCE: u32 = 200;
/// Longest pause after events that were looked at together.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Events whose files tell whether a store without a mark is ours.
const SAMPLE: u32 = 20;

/// Sweeps at the start and then once a day, until the server stops.
pub(crate) async fn run(deps: Arc<Deps>, started: Timestamp) {
    loop {
        let pause = tokio::select! {
            swept = sweep(&deps, started) => match swept {
                Ok(true) => EVERY,
                Ok(false) => AGAIN,
                Err(e) => {
                    warn!("media and events could not be compared, this is tried again: {}", chain(&e));
                    AGAIN
                }
            },
            () = deps.cancel.cancelled() => return,
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = deps.cancel.cancelled() => return,
        }
    }
}

/// One sweep; false when the media store does not look like ours.
async fn sweep(deps: &Deps, started: Timestamp) -> Result<bool, EngineError> {
    if !is_ours(deps).await? {
        warn!("the media store holds nothing of what events name: is its disk mounted? Nothing is changed");
        return Ok(false);
    }
    let folders = deps.media.top_folders().await?;
    if let Some(folder) = deps.disk.folder()
        && let Err(e) = half_files(folder, started).await
    {
        warn!("half-written files could not be looked for: {e}");
    }
    for camera in &folders {
        // Only what is named like a camera's folder is ours to remove.
        if let Ok(id) = camera.parse::<CameraId>() {
            sweep_camera(deps, id).await?;
        }
    }
    sweep_rows(deps).await?;
    Ok(true)
}

/// Lies in the store once it was found to be ours; empty.
const MARK: &str = ".argus-store";

/// Whether this is the store that the rows speak of. An empty mount point, and a store that was mixed up with another, must
/// not make every event forget its pictures. A store without the mark is ours when nothing is expected in it, or when a
/// file is there of one of the oldest events that name some: what is stored beside a disk that is not mounted is new.
pub(crate) async fn is_ours(deps: &Deps) -> Result<bool, EngineError> {
    if deps.media.has(MARK).await? {
        return Ok(true);
    }
    if deps.db.media_bytes().await? > 0 {
        let mut found = false;
        for row in deps.db.media_page(None, SAMPLE).await? {
            found |= !deps.media.list(&event_prefix(row.camera_id, row.id, row.timestamp)).await?.is_empty();
        }
        if !found {
            return Ok(false);
        }
    }
    if let Err(e) = deps.media.put(MARK, bytes::Bytes::new()).await {
        // On a full disk it waits for room.
        warn!("the media store cannot be marked as ours yet: {}", chain(&e));
    }
    Ok(true)
}

async fn sweep_camera(deps: &Deps, id: CameraId) -> Result<(), EngineError> {
    let prefix = camera_prefix(id);
    // The folder was seen first: a camera that is added meanwhile has no folder before its row.
    let is_known = deps.db.camera_last_states().await?.iter().any(|camera| camera.camera_id == id)
        // Its events still name its files.
        || deps.db.cameras_deleting().await?.contains(&id);
    if !is_known {
        let files = deps.media.delete_all(&prefix).await?;
        info!(camera.id = %id, files, "removed media of a deleted camera");
        return Ok(());
    }
    // Below the camera: year, month, day.
    let mut level = vec![prefix];
    for _ in 0..3 {
        let mut below = Vec::new();
        for folder in level {
            let (folders, files) = deps.media.inside(&folder).await?;
            strays(deps, files).await?;
            below.extend(folders);
        }
        level = below;
    }
    for day in level {
        let (folders, files) = deps.media.inside(&day).await?;
        strays(deps, files).await?;
        for some in folders.chunks(usize::try_from(AT_ONCE).unwrap_or(1)) {
            sweep_folders(deps, some).await?;
        }
    }
    Ok(())
}

/// Removes folders of events that are no more, or that name no files.
async fn sweep_folders(deps: &Deps, folders: &[String]) -> Result<(), EngineError> {
    let named = |folder: &String| folder.rsplit('/').next().and_then(|name| name.parse::<EventId>().ok());
    let ids: Vec<EventId> = folders.iter().filter_map(named).collect();
    let rows = deps.db.media_of(ids).await?;
    for folder in folders {
        let Some(id) = named(folder) else { continue };
        let row = rows.iter().find(|row| row.id == id);
        let is_place = row.is_some_and(|row| event_prefix(row.camera_id, row.id, row.timestamp) == *folder);
        let is_wanted = row.is_some_and(|row| !row.is_finished || row.named != MediaFound::default());
        if !is_place || (!is_wanted && !awaits_description(deps, id).await?) {
            let files = deps.media.delete_all(folder).await?;
            info!(event.id = %id, files, "removed media that no event names");
        }
    }
    Ok(())
}

/// Compares every event that names files with what lies in its folder.
async fn sweep_rows(deps: &Deps) -> Result<(), EngineError> {
    let mut after = None;
    loop {
        let rows = deps.db.media_page(after, AT_ONCE).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some((last.timestamp, last.id));
        let begun = Instant::now();
        let mut changed = 0_usize;
        for row in &rows {
            if row.is_finished {
                changed += usize::from(compare(deps, row).await?);
            }
        }
        if changed > 0 {
            info!(events = changed, last.event.id = %last.id, "files were not what was noted of them; the events say so now");
        }
        // Half of the time at most: who asks and what happens come first, also the day after a disk was lost.
        sleep(begun.elapsed().min(PAUSE_MAX)).await;
    }
}

/// Whether the event had to be corrected.
async fn compare(deps: &Deps, row: &MediaRow) -> Result<bool, EngineError> {
    let prefix = event_prefix(row.camera_id, row.id, row.timestamp);
    let named = Named {
        thumbnail: row.named.thumbnail.is_some(),
        clip: row.named.clip.is_some(),
        frames: row.named.frames.keys().copied().collect(),
    };
    let (found, not_named) = media_in(&prefix, deps.media.list(&prefix).await?, &named);
    if !not_named.is_empty() && !awaits_description(deps, row.id).await? {
        strays(deps, not_named).await?;
    }
    if found == row.named {
        return Ok(false);
    }
    let changed = deps.db.event_change(row.id, vec![EventChange::Found(found)], deps.clock.now()).await;
    match changed {
        Ok(_) => Ok(true),
        Err(argus_db::DbError::NotFound { .. }) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Whether a description is still to be made, or made once more: its pictures may lie there without being kept, and so
/// without a name.
pub(crate) async fn awaits_description(deps: &Deps, id: EventId) -> Result<bool, EngineError> {
    Ok(deps.db.job_exists(id).await?)
}

async fn strays(deps: &Deps, files: Vec<String>) -> Result<(), EngineError> {
    for key in files {
        deps.media.delete(&key).await?;
        info!(file = key, "removed a file that no event names");
    }
    Ok(())
}

/// Which files an event names.
pub(crate) struct Named {
    thumbnail: bool,
    clip: bool,
    frames: Vec<u32>,
}

impl Named {
    /// Those that it shows.
    pub(crate) fn of(event: &Event) -> Self {
        Self {
            thumbnail: event.thumbnail_url.is_some(),
            clip: event.clip_url.is_some(),
            frames: event.frames.iter().filter(|f| f.url.is_some()).map(|f| f.index).collect(),
        }
    }
}

/// Of the files in an event's folder: those that it names, and the keys of the others.
pub(crate) fn media_in(prefix: &str, files: Vec<(String, u64)>, named: &Named) -> (MediaFound, Vec<String>) {
    let (mut found, mut strays) = (MediaFound::default(), Vec::new());
    for (key, bytes) in files {
        let frame = named.frames.iter().copied().find(|index| frame_key(prefix, *index) == key);
        if named.thumbnail && key == thumbnail_key(prefix) {
            found.thumbnail = Some(bytes);
        } else if named.clip && key == clip_key(prefix) {
            found.clip = Some(bytes);
        } else if let Some(index) = frame {
            found.frames.insert(index, bytes);
        } else {
            strays.push(key);
        }
    }
    (found, strays)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_those_that_are_named_or_strays() {
        let named = Named { thumbnail: true, clip: false, frames: vec![0, 2] };
        let files = ["thumbnail.jpg", "clip.mp4", "frame-00.jpg", "frame-01.jpg", "frame-02.jpg", "x"];
        let files = files.iter().zip(1_u64..).map(|(name, bytes)| (format!("p/{name}"), bytes)).collect();
        let (found, strays) = media_in("p", files, &named);
        assert_eq!((found.thumbnail, found.clip), (Some(1), None));
        assert_eq!(found.frames.into_iter().collect::<Vec<_>>(), [(0, 3), (2, 5)]);
        assert_eq!(strays, ["p/clip.mp4", "p/frame-01.jpg", "p/x"]);
    }
}
