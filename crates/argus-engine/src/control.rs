//! What the API may ask of the engine.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use argus_core::camera::{Camera, CameraConfig, Source};
use argus_core::describe::{Reanalysed, Reanalysis};
use argus_core::figures::Figures;
use argus_core::journal::DeleteReason;
use argus_core::media::event_prefix;
use argus_core::ports::{
    CameraEdit, ComponentHealth, ComponentStatus, Control, ControlError, FeedError, Health, Probe, Still,
};
use argus_core::settings::{Settings, StoredSettings};
use argus_core::status::{CameraLive, CameraStatus};
use argus_core::storage::StorageReport;
use argus_core::{CameraId, EventId, Faults, Invalid, PrivacyMask, chain};
use argus_db::DbError;
use async_trait::async_trait;
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::account::rules;
use crate::camera::{Slot, configure, lock, start, stop};
use crate::error::{EngineError, control};
use crate::protect::{self, Cut};
use crate::{Deps, Engine, reanalysis, recovery, retention};

#[async_trait]
impl Control for Engine {
    async fn camera_create(&self, config: CameraConfig) -> Result<Camera, ControlError> {
        self.accepting()?;
        self.source_check(&config.source).map_err(Faults::from)?;
        let now = self.deps.clock.now();
        let camera = Camera { id: CameraId::new(now), created_at: now, updated_at: now, config };
        let camera = self.deps.db.camera_insert(camera).await.map_err(|e| control("the camera cannot be stored", e))?;
        info!(camera.id = %camera.id, camera.name = %camera.config.name, "camera added");
        // The row's journal entry has told the first status already.
        let told = if camera.config.is_enabled { CameraStatus::Starting } else { CameraStatus::Stopped };
        self.launch(camera.clone(), Some(told));
        Ok(camera)
    }

    async fn camera_update(&self, id: CameraId, edit: CameraEdit) -> Result<Camera, ControlError> {
        self.accepting()?;
        edit_camera(&self.deps, id, edit).await
    }

    async fn camera_delete(&self, id: CameraId) -> Result<(), ControlError> {
        let turn = turn(&self.deps, id)?;
        let _turn = turn.lock().await;
        let slot = self.slot(id).ok_or_else(|| ControlError::NotFound("no such camera".into()))?;
        let (status, camera) = {
            let mut live = lock(&slot.live);
            let camera = live.camera.clone();
            // Its controller's task looks here before it makes an event.
            live.camera.config.is_enabled = false;
            (live.state.status, camera)
        };
        self.deps.protect.cut(&camera, Cut::Abandoned);
        stop(&slot, id, true).await;
        let now = self.deps.clock.now();
        if let Err(e) = self.deps.db.camera_delete_begin(id, now).await {
            // Where the row is still there, the camera goes on.
            let left = match self.deps.db.camera_get(id).await {
                Ok(camera) => Some(camera),
                Err(DbError::NotFound { .. }) => None,
                // What cannot be asked did not change either.
                Err(_) => Some(camera),
            };
            if let Some(camera) = left {
                if let Err(e) = recovery::camera(&self.deps, id).await {
                    warn!(camera.id = %id, "its last event stays open until the next start: {}", chain(&e));
                }
                self.launch(camera, Some(status));
            }
            return Err(control("the camera cannot be deleted", e));
        }
        lock(&self.deps.slots).remove(&id);
        lock(&self.deps.turns).remove(&id);
        if let Err(e) = self.deps.db.camera_delete_finish(id, now).await {
            self.deps.deletions.notify_one();
            return Err(control("the camera is gone, but not all of its events yet; they go by themselves", e));
        }
        info!(camera.id = %id, "camera deleted");
        // Its files are many: they go beside everything else, and also after a crash.
        self.deps.trash.notify_one();
        Ok(())
    }

    fn camera_live(&self, id: CameraId) -> Option<CameraLive> {
        let mut live = self.slot(id)?.view(self.deps.clock.now(), &self.deps.settings.now().general.timezone);
        if let Some(event) = self.deps.protect.open_event(id) {
            live.event_id = Some(event);
            live.motion_active = true;
        }
        Some(live)
    }

    async fn camera_snapshot(&self, id: CameraId, max_width: Option<u32>) -> Result<Still, ControlError> {
        let slot = self.slot(id).ok_or_else(|| ControlError::NotFound("no such camera".into()))?;
        let (feed, config) = {
            let live = lock(&slot.live);
            (live.feed.clone(), live.camera.config.clone())
        };
        if !config.is_enabled {
            return Err(ControlError::Conflict("the camera is stopped".into()));
        }
        if let Source::Protect(source) = &config.source {
            let asked = self.deps.protect.snapshot(source, &config.privacy(), max_width).await;
            return asked.map_err(protect::refused);
        }
        match feed {
            Some(feed) => feed.snapshot(max_width).await.map_err(|e| match e {
                FeedError::NoPicture(reason) => ControlError::Unavailable(reason),
                other => ControlError::Upstream(other.to_string()),
            }),
            None => Err(ControlError::Unavailable("the camera is just being started".into())),
        }
    }

    fn source_check(&self, source: &Source) -> Result<(), Invalid> {
        self.deps.feeds.check(source)
    }

    async fn source_probe(&self, source: &Source, privacy: &PrivacyMask) -> Probe {
        self.deps.feeds.probe(source, privacy).await
    }

    async fn event_delete(&self, id: EventId) -> Result<(), ControlError> {
        let now = self.deps.clock.now();
        let deleted = self.deps.db.event_delete(id, DeleteReason::User, now).await;
        let event = deleted.map_err(|e| control("the event cannot be deleted", e))?;
        let prefix = event_prefix(event.camera_id, event.id, event.timestamp);
        let gone = async {
            self.deps.media.delete_all(&prefix).await?;
            Ok::<_, EngineError>(self.deps.db.trash_done(vec![prefix]).await?)
        };
        if let Err(e) = gone.await {
            warn!(event.id = %id, "its media could not be removed yet, this is tried again: {}", chain(&e));
        }
        Ok(())
    }

    async fn health(&self) -> Health {
        let database = match self.deps.db.ping().await {
            Ok(()) if self.deps.db.is_full() => {
                let detail = "the disk of the database is full: what comes in may not be stored until there is room";
                ComponentHealth::new(ComponentStatus::Degraded, detail)
            }
            Ok(()) => ComponentHealth::ok(),
            Err(e) => ComponentHealth::new(ComponentStatus::Down, e.to_string()),
        };
        let storage = retention::health(&self.deps).await;
        let journal = database.clone();
        Health {
            database,
            storage,
            cameras: self.cameras_health(),
            ai: self.ai_health(),
            protect: self.deps.protect.health(self.deps.clock.now()),
            journal,
        }
    }

    fn settings(&self) -> Arc<Settings> {
        self.deps.settings.now()
    }

    fn settings_stored(&self) -> StoredSettings {
        self.deps.settings.stored()
    }

    async fn settings_put(&self, patch: serde_json::Value) -> Result<StoredSettings, ControlError> {
        self.accepting()?;
        let deps = &self.deps;
        let before = rules(&deps.settings.now());
        let stored = deps.settings.put(&deps.db, patch, deps.clock.now()).await?;
        let after = rules(&stored.values);
        if before != after
            // Another limit, or another day, may be spent already. What fails here is told by the next sweep.
            && let Err(e) = deps.db.ai_budgets_tell(after, deps.clock.now()).await
        {
            warn!("nobody is told yet how much of the new budgets is spent: {}", chain(&e));
        }
        Ok(stored)
    }

    async fn event_reanalyse(&self, id: EventId, how: Reanalysis, wait: Duration) -> Result<Reanalysed, ControlError> {
        self.accepting()?;
        reanalysis::ask(&self.deps, id, how, wait).await
    }

    async fn storage(&self) -> Result<StorageReport, ControlError> {
        let disk = retention::disk(&self.deps).unwrap_or_default();
        let found = self.deps.db.storage(disk, self.deps.clock.now()).await;
        found.map_err(|e| control("what is stored cannot be counted", e))
    }

    async fn figures(&self) -> Figures {
        Self::figures(self).await
    }
}

/// Changes of one camera happen one after the other; those of others do not wait for them. Only for cameras that there
/// are: nothing is remembered of an id that somebody made up.
fn turn(deps: &Deps, id: CameraId) -> Result<Arc<Mutex<()>>, ControlError> {
    // Both held, so that a deletion takes the turn away after the camera.
    let slots = lock(&deps.slots);
    let turn = turn_of(&slots, &mut lock(&deps.turns), id);
    turn.ok_or_else(|| ControlError::NotFound("no such camera".into()))
}

fn turn_of<S>(
    cameras: &HashMap<CameraId, S>,
    turns: &mut HashMap<CameraId, Arc<Mutex<()>>>,
    id: CameraId,
) -> Option<Arc<Mutex<()>>> {
    cameras.contains_key(&id).then(|| Arc::clone(turns.entry(id).or_default()))
}

/// Changes a camera, wherever the change comes from.
pub(crate) async fn edit_camera(deps: &Arc<Deps>, id: CameraId, edit: CameraEdit) -> Result<Camera, ControlError> {
    let turn = turn(deps, id)?;
    let _turn = turn.lock().await;
    let feeds = Arc::clone(&deps.feeds);
    let checked = move |camera: &Camera| -> Result<CameraConfig, ControlError> {
        let config = edit(camera)?;
        if config.source != camera.config.source {
            feeds.check(&config.source).map_err(Faults::from)?;
        }
        Ok(config)
    };
    let edited = deps.db.camera_edit(id, deps.clock.now(), checked).await;
    let (before, camera) = edited.map_err(|e| control("the camera cannot be stored", e))??;
    let slot = lock(&deps.slots).get(&id).cloned();
    if let Some(slot) = slot {
        configure(&slot, &camera).await;
    }
    if !camera.config.is_enabled {
        deps.protect.cut(&before, Cut::Stopped);
    }
    Ok(camera)
}

impl Engine {
    pub(crate) fn accepting(&self) -> Result<(), ControlError> {
        if self.deps.cancel.is_cancelled() {
            return Err(ControlError::Unavailable("the server is stopping".into()));
        }
        Ok(())
    }

    /// Starts the task of a camera, unless the server is stopping: the stop has seen every task that it waits for.
    fn launch(&self, camera: Camera, last_status: Option<CameraStatus>) {
        let mut slots = lock(&self.deps.slots);
        if !self.deps.cancel.is_cancelled() {
            slots.insert(camera.id, start(Arc::clone(&self.deps), camera, last_status));
        }
    }

    fn slot(&self, id: CameraId) -> Option<Slot> {
        lock(&self.deps.slots).get(&id).cloned()
    }

    fn cameras_health(&self) -> ComponentHealth {
        let bad = lock(&self.deps.slots)
            .values()
            .filter(|slot| {
                matches!(
                    lock(&slot.live).state.status,
                    CameraStatus::Reconnecting | CameraStatus::Offline | CameraStatus::Error
                )
            })
            .count();
        match bad {
            0 => ComponentHealth::ok(),
            1 => ComponentHealth::new(ComponentStatus::Degraded, "1 enabled camera gives no picture"),
            n => ComponentHealth::new(ComponentStatus::Degraded, format!("{n} enabled cameras give no picture")),
        }
    }
}

#[cfg(test)]
mod tests {
    use argus_core::Timestamp;

    use super::*;

    #[test]
    fn ids_that_somebody_made_up_leave_nothing_behind() {
        let id = |ms| CameraId::new(Timestamp::from_millis(ms));
        let (cameras, mut turns) = (HashMap::from([(id(1), ())]), HashMap::new());
        let known = *cameras.keys().next().unwrap();
        let turn = turn_of(&cameras, &mut turns, known).unwrap();
        assert!(Arc::ptr_eq(&turn, &turn_of(&cameras, &mut turns, known).unwrap()), "both wait for the same");
        for ms in 0..1000 {
            assert!(turn_of(&cameras, &mut turns, id(ms)).is_none());
        }
        assert_eq!(turns.len(), 1);
    }
}
