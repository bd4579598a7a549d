//! Tries the settings of a controller, each credential by itself, and signs out again.

use std::sync::Arc;

use argus_core::controller::{ControllerFeatures, ControllerProbe};
use tokio::time::{Instant, timeout};

use crate::ProtectError;
use crate::client::Client;
use crate::inventory::Inventory;
use crate::local::Local;
use crate::official::Official;

/// What was learned.
#[derive(Default)]
struct Learned {
    inventory: Inventory,
    version: Option<String>,
    features: ControllerFeatures,
    failure: Option<(&'static str, ProtectError)>,
}

impl Learned {
    fn failed(&mut self, with: &'static str, e: ProtectError) {
        self.failure.get_or_insert((with, e));
    }
}

/// Tries it within the time that the client's settings give.
pub(crate) async fn probe(client: Result<Client, ProtectError>, limit: std::time::Duration) -> ControllerProbe {
    let started = Instant::now();
    let client = match client {
        Ok(client) => Arc::new(client),
        Err(e) => return report(None, Learned { failure: Some(("", e)), ..Learned::default() }, started),
    };
    let mut learned = Learned::default();
    if timeout(limit, try_all(&client, &mut learned)).await.is_err() {
        learned.failed("", ProtectError::Timeout("the test of the connection".into()));
    }
    if let Some(local) = client.local() {
        // In the background: the answer does not hang on it.
        let client = Arc::clone(&client);
        if local.session().sign_ins() > 0 {
            tokio::spawn(async move {
                if let Some(local) = client.local() {
                    local.session().sign_out().await;
                }
            });
        }
    }
    report(Some(&client), learned, started)
}

async fn try_all(client: &Client, learned: &mut Learned) {
    // Nothing secret is in this one: it proves that somebody speaks TLS there, with a certificate that will do.
    if let Err(e) = client.knock().await {
        return learned.failed("", e);
    }
    if let Some(local) = client.local() {
        try_local(local, learned).await;
    }
    if let Some(official) = client.official() {
        try_official(official, learned).await;
    }
    if client.local().is_none() && client.official().is_none() {
        learned.failed("", ProtectError::Unauthorized("there is neither an API key nor a user name".into()));
    }
}

async fn try_local(local: &Local, learned: &mut Learned) {
    match local.bootstrap().await {
        Ok(bootstrap) => {
            learned.inventory.bootstrap(bootstrap);
            learned.version = learned.inventory.nvr().version;
            learned.features = ControllerFeatures { events: true, snapshots: true, clips: true };
        }
        Err(ProtectError::NotFound(what)) => {
            learned.failed("", ProtectError::NotProtect(format!("it has no {what}")));
        }
        Err(e) => learned.failed("with the user name", e),
    }
}

async fn try_official(official: &Official, learned: &mut Learned) {
    let version = match official.version().await {
        Ok(version) => version,
        Err(e) => return learned.failed("with the API key", e),
    };
    learned.version.get_or_insert(version);
    match official.cameras().await {
        Ok(cameras) => {
            learned.inventory.official(cameras, &serde_json::Value::Null);
            learned.features.events = true;
            learned.features.snapshots = true;
        }
        Err(e) => learned.failed("with the API key", e),
    }
}

fn report(client: Option<&Client>, learned: Learned, started: Instant) -> ControllerProbe {
    let shown = client.and_then(Client::certificate);
    let count = learned.inventory.count().and_then(|n| u32::try_from(n).ok());
    let any = learned.features != ControllerFeatures::default();
    let message = match &learned.failure {
        None => {
            let version = learned.version.as_deref().unwrap_or("an unknown version");
            format!("connected: Protect {version} with {} cameras", count.unwrap_or(0))
        }
        Some((with, e)) if any && !with.is_empty() => format!("{with}: {e}"),
        Some((_, e)) => e.to_string(),
    };
    ControllerProbe {
        success: learned.failure.is_none(),
        message,
        error_kind: learned.failure.as_ref().and_then(|(_, e)| e.fault()),
        firmware_version: learned.version,
        camera_count: count,
        certificate_sha256: shown.as_ref().map(|s| s.sha256.clone()),
        certificate_trusted: shown.map(|s| s.trusted),
        features: any.then_some(learned.features),
        elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}
