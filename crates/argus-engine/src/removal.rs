//! Cameras whose deletion was begun and broken off: by a crash, a full disk, a database that was away. Nobody sees them any
//! more; what is left of them goes here, beside everything else.

use std::sync::Arc;
use std::time::Duration;

use argus_core::chain;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::Deps;
use crate::error::EngineError;

/// After a failure.
const AGAIN: Duration = Duration::from_secs(10);

/// Finishes what is left at the start, and whenever a deletion was broken off, until the server stops.
pub(crate) async fn run(deps: Arc<Deps>) {
    loop {
        let failed = tokio::select! {
            done = finish_all(&deps) => done.err(),
            () = deps.cancel.cancelled() => return,
        };
        if let Some(e) = &failed {
            warn!("a camera that was deleted still has events, their removal is tried again: {}", chain(e));
        }
        tokio::select! {
            () = sleep(AGAIN), if failed.is_some() => {}
            () = deps.deletions.notified() => {}
            () = deps.cancel.cancelled() => return,
        }
    }
}

/// One that fails holds up no other; the first failure is told.
async fn finish_all(deps: &Deps) -> Result<(), EngineError> {
    let mut all = Ok(());
    for id in deps.db.cameras_deleting().await? {
        match deps.db.camera_delete_finish(id, deps.clock.now()).await {
            Ok(()) => {
                info!(camera.id = %id, "the camera's deletion is finished");
                deps.trash.notify_one();
            }
            Err(e) => all = all.and(Err(e.into())),
        }
    }
    all
}
