//! What the API may ask of the engine.

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
use async_trait::async_trait;
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::Engine;
use crate::camera::{Slot, configure, lock, start, stop};
use crate::error::{EngineError, control};
use crate::{reanalysis, recovery, retention};

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
        let turn = self.turn(id);
        let _turn = turn.lock().await;
        let feeds = Arc::clone(&self.deps.feeds);
        let checked = move |camera: &Camera| -> Result<CameraConfig, ControlError> {
            let config = edit(camera)?;
            if config.source != camera.config.source {
                feeds.check(&config.source).map_err(Faults::from)?;
            }
            Ok(config)
        };
        let edited = self.deps.db.camera_edit(id, self.deps.clock.now(), checked).await;
        let (_, camera) = edited.map_err(|e| control("the camera cannot be stored", e))??;
        if let Some(slot) = self.slot(id) {
            configure(&slot, &camera).await;
        }
        Ok(camera)
    }

    async fn camera_delete(&self, id: CameraId) -> Result<(), ControlError> {
        let turn = self.turn(id);
        let _turn = turn.lock().await;
        let slot = self.slot(id).ok_or_else(|| ControlError::NotFound("no such camera".into()))?;
        let status = lock(&slot.live).state.status;
        stop(&slot, id, true).await;
        let now = self.deps.clock.now();
        let gone = self.deps.db.camera_delete(id, now, Some(status)).await;
        if let Err(e) = gone {
            // The row is still there: the camera goes on.
            if let Ok(camera) = self.deps.db.camera_get(id).await {
                if let Err(e) = recovery::camera(&self.deps, id).await {
                    warn!(camera.id = %id, "its last event stays open until the next start: {}", chain(&e));
                }
                self.launch(camera, Some(status));
            }
            return Err(control("the camera cannot be deleted", e));
        }
        lock(&self.slots).remove(&id);
        lock(&self.turns).remove(&id);
        info!(camera.id = %id, "camera deleted");
        // Its files are many: they go beside everything else, and also after a crash.
        self.deps.trash.notify_one();
        Ok(())
    }

    fn camera_live(&self, id: CameraId) -> Option<CameraLive> {
        Some(self.slot(id)?.view(self.deps.clock.now(), &self.deps.settings.now().general.timezone))
    }

    async fn camera_snapshot(&self, id: CameraId, max_width: Option<u32>) -> Result<Still, ControlError> {
        let slot = self.slot(id).ok_or_else(|| ControlError::NotFound("no such camera".into()))?;
        let (feed, enabled) = {
            let live = lock(&slot.live);
            (live.feed.clone(), live.camera.config.is_enabled)
        };
        if !enabled {
            return Err(ControlError::Conflict("the camera is stopped".into()));
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
            protect: ComponentHealth { status: ComponentStatus::Disabled, detail: None },
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
        self.deps.settings.put(&self.deps.db, patch, self.deps.clock.now()).await
    }

    async fn event_reanalyse(&self, id: EventId, how: Reanalysis, wait: Duration) -> Result<Reanalysed, ControlError> {
        self.accepting()?;
        reanalysis::ask(&self.deps, id, how, wait).await
    }

    async fn storage(&self) -> Result<StorageReport, ControlError> {
        let disk = self.deps.disk.measure().unwrap_or_else(|e| {
            warn!("the disk of the media cannot be measured: {e}");
            None
        });
        let found = self.deps.db.storage(disk.unwrap_or_default(), self.deps.clock.now()).await;
        found.map_err(|e| control("what is stored cannot be counted", e))
    }

    async fn figures(&self) -> Figures {
        Self::figures(self).await
    }
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
        let mut slots = lock(&self.slots);
        if !self.deps.cancel.is_cancelled() {
            slots.insert(camera.id, start(Arc::clone(&self.deps), camera, last_status));
        }
    }

    fn slot(&self, id: CameraId) -> Option<Slot> {
        lock(&self.slots).get(&id).cloned()
    }

    /// Changes of one camera happen one after the other; those of others do not wait for them.
    fn turn(&self, id: CameraId) -> Arc<Mutex<()>> {
        Arc::clone(lock(&self.turns).entry(id).or_default())
    }

    fn cameras_health(&self) -> ComponentHealth {
        let bad = lock(&self.slots)
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
