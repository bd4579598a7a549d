//! What is stored of a detection without a task that follows it: of more events than can run at a time, and news of one
//! whose task has ended. Each is short, and they take turns.

use std::sync::Arc;
use std::time::Duration;

use argus_core::camera::Camera;
use argus_core::{EventId, chain};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;
use tracing::warn;

use super::event::{ProtectEvent, Story};
use super::link::Link;
use crate::Deps;

/// Stores an event, over as far as it is known: what is told of it later comes by [`late`].
pub(crate) async fn store(event: ProtectEvent, room: Option<OwnedSemaphorePermit>) {
    tokio::select! {
        () = event.store_alone() => {}
        () = event.link.give_up.cancelled() => {}
    }
    event.link.over(event.id);
    drop(room);
}

/// So often it is looked whether an event is stored by now.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Notes what an event was, and when it ended.
pub(crate) async fn late(
    deps: Arc<Deps>,
    link: Arc<Link>,
    event: EventId,
    camera: Camera,
    story: Story,
    room: Option<OwnedSemaphorePermit>,
) {
    // News may overtake an event that waits for the database.
    while link.is_bare(event) {
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = link.give_up.cancelled() => return,
        }
    }
    let noted = async {
        let Some(stored) = deps.db.event_get(event).await? else { return Ok(()) };
        let mut changes = Vec::new();
        if story.is_news(&stored) {
            changes.push(story.refined(&camera.config.name));
        }
        // One that was stored alone ended where it began.
        let end = story.told.ended_at.filter(|_| stored.ended_at == Some(stored.timestamp));
        if let Some(end) =
            end.map(|end| story.within(stored.timestamp, end, &camera)).filter(|end| *end > stored.timestamp)
        {
            changes.push(story.closed(end, false));
        }
        if changes.is_empty() {
            return Ok(());
        }
        deps.db.event_change(event, changes, deps.clock.now()).await.map(drop)
    };
    let noted: Result<(), argus_db::DbError> = noted.await;
    if let Err(e) = noted {
        warn!(event.id = %event, "late news of it could not be stored: {}", chain(&e));
    }
    drop(room);
}
