//! The settings as they act now: loaded at the start, changed while everything runs.

use std::sync::Arc;

use argus_core::ports::ControlError;
use argus_core::settings::{Settings, StoredSettings};
use argus_core::{Faults, Timestamp};
use argus_db::{Database, DbError};
use serde_json::Value;
use tokio::sync::{Mutex, watch};
use tracing::{info, warn};

use crate::error::control;

/// What acts now.
#[derive(Clone, Debug)]
struct State {
    settings: Arc<Settings>,
    updated_at: Option<Timestamp>,
}

/// The settings of the running system. Whoever needs a value asks when it needs it; whoever must act on a change watches.
#[derive(Debug)]
pub(crate) struct Current {
    state: watch::Sender<State>,
    /// What is stored first is published first.
    turn: Mutex<()>,
}

impl Current {
    /// Reads what is stored. A value that does not fit is told and stands at its default: it must not keep the server
    /// from starting.
    pub(crate) async fn load(db: &Database) -> Result<Self, DbError> {
        let stored = db.setting_get_all().await?;
        let updated_at = db.setting_updated_at().await?;
        let (settings, faults) = Settings::from_stored(&stored);
        for fault in &faults.0 {
            warn!(setting = fault.field, "a stored setting is left out, its default acts: {}", fault.reason);
        }
        Ok(Self {
            state: watch::Sender::new(State { settings: Arc::new(settings), updated_at }),
            turn: Mutex::default(),
        })
    }

    /// The settings of this moment.
    pub(crate) fn now(&self) -> Arc<Settings> {
        Arc::clone(&self.state.borrow().settings)
    }

    /// The same, with when they were changed last.
    pub(crate) fn stored(&self) -> StoredSettings {
        let state = self.state.borrow();
        StoredSettings { values: (*state.settings).clone(), updated_at: state.updated_at }
    }

    /// Wakes whoever must act on a change.
    pub(crate) fn watch(&self) -> SettingsWatch {
        SettingsWatch(self.state.subscribe())
    }

    /// Stores a change and lets it act.
    pub(crate) async fn put(&self, db: &Database, patch: Value, at: Timestamp) -> Result<StoredSettings, ControlError> {
        let _turn = self.turn.lock().await;
        // The change is computed from what is stored, inside the transaction that stores it.
        let edit = move |stored: &std::collections::BTreeMap<String, String>| -> Result<_, Faults> {
            let (before, _told_at_start) = Settings::from_stored(stored);
            let after = before.merge(&patch)?;
            let changes = after.changes(&before);
            Ok((changes, after))
        };
        let edited = db.setting_edit(at, edit).await.map_err(|e| control("the settings cannot be stored", e))?;
        let (changed, after) = edited?;
        let updated_at = if changed.is_empty() { self.state.borrow().updated_at } else { Some(at) };
        info!(settings = changed.join(" "), "settings changed");
        self.state.send_replace(State { settings: Arc::new(after), updated_at });
        Ok(self.stored())
    }
}

/// Tells of changes.
#[derive(Debug)]
pub(crate) struct SettingsWatch(watch::Receiver<State>);

impl SettingsWatch {
    /// Waits for the next change; for ever when there will be none. Cancel-safe.
    pub(crate) async fn changed(&mut self) -> Arc<Settings> {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        Arc::clone(&self.0.borrow_and_update().settings)
    }
}
