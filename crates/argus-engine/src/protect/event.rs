//! The life of one detection of a controller, from the moment it is told to the stored clip.
//!
//! One task an event, like those of other cameras. What the controller tells is the newest state of a [`watch`] channel:
//! a detection is told as a whole each time, so nothing is lost when a task is slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use argus_core::camera::{Camera, Source};
use argus_core::controller::Happening;
use argus_core::describe::first_sentence;
use argus_core::event::{DetectionType, Event, NewEvent, ObjectKind, ProtectDetection};
use argus_core::media::event_prefix;
use argus_core::{EventId, PrivacyMask, Timestamp, chain};
use argus_db::{DbError, DescriptionPlan, EventChange};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::album::Album;
use super::link::Link;
use super::tracker::RING;
use crate::Deps;
use crate::camera::lock;
use crate::persist::persist;

/// Confidence where the controller gives no score.
const NO_SCORE: u8 = 50;
/// So long after a start an event of the last run waits for its controller.
const RESUME_WITHIN: Duration = Duration::from_secs(180);
/// So long after its controller was connected it waits for the end that was told meanwhile.
const HISTORY_WITHIN: Duration = Duration::from_secs(15);

/// Why an event ends before its detection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Its camera was stopped.
    Stopped,
    /// Its controller was disabled or deleted.
    Gone,
    /// Its camera is being deleted: nothing more is wanted.
    Abandoned,
    /// The server stops: the next start fetches what is missing.
    Shutdown,
}

impl Cut {
    /// What counts when a second reason comes: a server that stops, or a camera that is deleted, does not wait for what a
    /// camera that was stopped would.
    pub(crate) fn then(self, later: Self) -> Self {
        match (self, later) {
            (Self::Stopped | Self::Gone, Self::Shutdown | Self::Abandoned) => later,
            (first, _) => first,
        }
    }
}

/// What is known of a detection.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    /// As it was told last.
    pub(crate) told: Happening,
    /// What set its event off.
    pub(crate) kind: DetectionType,
    /// Whether its event has not ended.
    pub(crate) is_open: bool,
    /// Why it is to end now.
    pub(crate) cut: Option<Cut>,
}

impl Story {
    /// Percent.
    pub(crate) fn confidence(&self) -> u8 {
        match self.kind {
            DetectionType::Ring => 100,
            _ => self.told.score.filter(|score| *score > 0).map_or(NO_SCORE, |score| score.min(100)),
        }
    }

    fn objects(&self) -> Vec<ObjectKind> {
        self.told.kinds.iter().filter_map(|kind| kind.object()).collect()
    }

    /// The controller's word for what set the event off.
    fn word(&self) -> Option<String> {
        let named = self.told.types.iter().find(|word| word.eq_ignore_ascii_case(self.kind.as_str()));
        named.or(self.told.types.first()).map(|word| word.chars().take(100).collect())
    }

    /// The change that makes its event show all that.
    pub(crate) fn refined(&self, camera_name: &str) -> EventChange {
        let (detection_type, confidence, objects, kind) = self.facts();
        let sentence = first_sentence(detection_type, camera_name);
        EventChange::Refined { detection_type, kind, objects, confidence, sentence }
    }

    /// Whether its event does not show all that.
    pub(crate) fn is_news(&self, event: &Event) -> bool {
        self.kind != event.detection_type
            || self.objects().iter().any(|object| !event.objects_detected.contains(object))
    }

    /// An end that the rules of its camera allow.
    pub(crate) fn within(&self, started: Timestamp, end: Timestamp, camera: &Camera) -> Timestamp {
        end.max(started).min(started.plus(longest(self.kind, camera)))
    }

    /// The change that closes its event.
    pub(crate) fn closed(&self, ended_at: Timestamp, clip_expected: bool) -> EventChange {
        let confidence = self.confidence();
        EventChange::Closed { ended_at, motion: None, zones: Vec::new(), confidence, clip_expected }
    }

    /// What an event shows of it.
    fn facts(&self) -> (DetectionType, u8, Vec<ObjectKind>, Option<String>) {
        (self.kind, self.confidence(), self.objects(), self.word())
    }
}

/// How long an event of that kind lasts at most.
fn longest(kind: DetectionType, camera: &Camera) -> Duration {
    match kind {
        DetectionType::Ring => RING,
        _ => Duration::from_secs(camera.config.max_event_s.into()),
    }
}

/// How an event came to its task.
pub(crate) enum Origin {
    /// It was just told.
    Told,
    /// The last run left it, with this end.
    Left {
        /// As it is stored.
        ended_at: Timestamp,
        /// Whether its pictures are still to be fetched.
        frames: bool,
        /// Whether its clip is.
        clip: bool,
    },
}

/// What an event's task works with.
pub(crate) struct ProtectEvent {
    pub(crate) deps: Arc<Deps>,
    pub(crate) link: Arc<Link>,
    pub(crate) camera: Camera,
    pub(crate) id: EventId,
    pub(crate) started: Timestamp,
    pub(crate) story: watch::Receiver<Story>,
    pub(crate) origin: Origin,
    /// There are so many that nothing is fetched for this one.
    pub(crate) bare: bool,
    /// Whether a clip was promised when it ended.
    pub(crate) promised: AtomicBool,
    /// Whether the event turned out to have been deleted.
    pub(crate) gone: AtomicBool,
}

impl ProtectEvent {
    /// Runs the event to its end, and leaves no file behind when somebody deleted it meanwhile.
    pub(crate) async fn run(self) {
        let prefix = event_prefix(self.camera.id, self.id, self.started);
        if self.is_stored().await {
            self.link.is_stored(self.id);
            let (closed, is_closed) = watch::channel(None);
            let album = Album { event: &self, prefix: &prefix, closed: is_closed };
            tokio::select! {
                biased;
                () = self.follow(&closed) => {}
                () = album.run() => {}
                () = self.link.give_up.cancelled() => {}
            }
        }
        self.link.over(self.id);
        if self.gone.load(Ordering::Relaxed)
            && let Err(e) = self.deps.media.delete_all(&prefix).await
        {
            warn!(event.id = %self.id, "media of a deleted event stay until the next sweep: {}", chain(&e));
        }
    }

    /// Stores the event with nothing else, over.
    pub(crate) async fn store_alone(&self) {
        if !self.is_stored().await {
            return;
        }
        self.link.is_stored(self.id);
        let story = self.story.borrow().clone();
        let end = story.told.ended_at.map_or(self.started, |end| story.within(self.started, end, &self.camera));
        self.close(&story, end).await;
        let (_told, closed) = watch::channel(Some(end));
        let prefix = event_prefix(self.camera.id, self.id, self.started);
        Album { event: self, prefix: &prefix, closed }.frames(Vec::new()).await;
    }

    /// What of the camera nobody may see: now, and when the event began.
    pub(crate) fn privacy(&self) -> PrivacyMask {
        let slot = lock(&self.deps.slots).get(&self.camera.id).cloned();
        let now = slot.map(|slot| lock(&slot.live).camera.config.privacy()).unwrap_or_default();
        self.camera.config.privacy().union(&now)
    }

    /// The controller's name of the camera, also after it was adopted anew.
    pub(crate) fn device(&self) -> String {
        let slot = lock(&self.deps.slots).get(&self.camera.id).cloned();
        let camera = slot.map_or_else(|| self.camera.clone(), |slot| lock(&slot.live).camera.clone());
        match camera.config.source {
            Source::Protect(source) => source.camera_id,
            _ => String::new(),
        }
    }

    /// Stores the event unless it is there already. False when there is nothing more to do.
    async fn is_stored(&self) -> bool {
        if !matches!(self.origin, Origin::Told) {
            return true;
        }
        let story = self.story.borrow().clone();
        let new = NewEvent {
            id: self.id,
            camera_id: self.camera.id,
            source_type: self.camera.config.source.source_type(),
            detection_type: story.kind,
            timestamp: self.started,
            detected_at: story.told.heard_at.max(self.started),
            description: first_sentence(story.kind, &self.camera.config.name),
            confidence: story.confidence(),
            zones: Vec::new(),
            motion: None,
            protect: Some(ProtectDetection {
                event_id: story.told.id.clone(),
                kind: story.word(),
                objects: story.objects(),
            }),
        };
        // Whoever rang waits at the door.
        let priority = match story.kind {
            DetectionType::Ring => 20,
            DetectionType::Motion | DetectionType::Audio => 0,
            _ => 10,
        };
        let tried = AtomicBool::new(false);
        let stored = self.persist("store the event", || async {
            // A failed commit may have been carried out all the same.
            if tried.swap(true, Ordering::Relaxed)
                && let Some(event) = self.deps.db.event_get(self.id).await?
            {
                return Ok(Some(event));
            }
            let stored_at = self.deps.clock.now().max(self.started);
            match self.deps.db.event_open(new.clone(), stored_at, DescriptionPlan::Job { priority }).await {
                Ok((event, _seq)) => Ok(Some(event)),
                Err(DbError::Conflict { .. }) => Ok(None),
                Err(e) => Err(e),
            }
        });
        let Some(Some(event)) = stored.await else { return false };
        self.deps.counters.event(event.source_type, event.detection_type);
        info!(
            event.id = %self.id,
            camera.id = %self.camera.id,
            camera.name = %event.camera_name,
            kind = %event.detection_type,
            delay_ms = event.trace.stored_at.millis_since(event.trace.detected_at),
            from_history = story.told.from_history,
            "event began"
        );
        true
    }

    /// Stores what is told of it until it is over for good: when the server stops or the camera is deleted.
    async fn follow(&self, closed: &watch::Sender<Option<Timestamp>>) {
        let mut story = self.story.clone();
        let mut noted = story.borrow_and_update().facts();
        let mut ended = match self.origin {
            Origin::Told => None,
            Origin::Left { ended_at, .. } => Some(ended_at),
        };
        let late = self.patience();
        tokio::pin!(late);
        let mut is_late = false;
        loop {
            let now = story.borrow_and_update().clone();
            if now.facts() != noted {
                noted = now.facts();
                self.refine(&now).await;
            }
            let over = self.end(&now, is_late);
            if let Some(end) = over {
                if ended != Some(end) {
                    self.close(&now, end).await;
                    ended = Some(end);
                }
                self.link.is_closed(self.id);
                closed.send_if_modified(|closed| closed.replace(end) != Some(end));
            }
            if matches!(now.cut, Some(Cut::Shutdown | Cut::Abandoned)) {
                // What is stored of it goes with it.
                self.gone.fetch_or(now.cut == Some(Cut::Abandoned), Ordering::Relaxed);
                return;
            }
            tokio::select! {
                changed = story.changed() => if changed.is_err() { std::future::pending::<()>().await; },
                () = &mut late, if !is_late => is_late = true,
            }
        }
    }

    /// When it is over at the latest.
    fn deadline(&self) -> Instant {
        let age = self.deps.clock.now().since(self.started);
        Instant::now() + self.longest().saturating_sub(age)
    }

    /// Waits until it is over however little is told.
    async fn patience(&self) {
        if matches!(self.origin, Origin::Told) {
            return sleep_until(self.deadline()).await;
        }
        let last = Instant::now() + RESUME_WITHIN;
        while self.link.connected_since().is_none() && Instant::now() < last {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        tokio::time::sleep(HISTORY_WITHIN).await;
    }

    fn longest(&self) -> Duration {
        longest(self.story.borrow().kind, &self.camera)
    }

    /// When it ended, once that is known or will not be.
    fn end(&self, now: &Story, late: bool) -> Option<Timestamp> {
        let latest = self.started.plus(self.longest());
        if let Some(end) = now.told.ended_at {
            return Some(end.max(self.started).min(latest));
        }
        match self.origin {
            // It was closed where it was known to last when the last run ended.
            Origin::Left { ended_at, .. } => (late || now.cut.is_some()).then_some(ended_at),
            Origin::Told if late => Some(latest),
            Origin::Told => now.cut.map(|_| self.deps.clock.now().max(self.started).min(latest)),
        }
    }

    async fn refine(&self, now: &Story) {
        let refined = now.refined(&self.camera.config.name);
        self.change("note what the controller knows of the event", vec![refined]).await;
    }

    async fn close(&self, now: &Story, ended_at: Timestamp) {
        let clip_expected = self.wants_clip();
        self.promised.store(clip_expected, Ordering::Relaxed);
        let closed = now.closed(ended_at, clip_expected);
        if self.change("close the event", vec![closed]).await {
            let duration_ms = ended_at.millis_since(self.started);
            let end_unknown = now.told.ended_at.is_none() || now.told.end_unknown;
            info!(
                event.id = %self.id,
                camera.id = %self.camera.id,
                camera.name = %self.camera.config.name,
                duration_ms,
                end_unknown,
                "event closed"
            );
        }
    }

    /// Whether a clip is to be kept.
    pub(crate) fn wants_clip(&self) -> bool {
        match self.origin {
            Origin::Told => !self.bare && self.deps.settings.now().media.store_clips,
            // What is over cannot be recorded, and a recording cannot be painted over.
            Origin::Left { clip, .. } => {
                clip && self.deps.settings.now().media.store_clips && self.privacy().is_empty()
            }
        }
    }

    /// Whether its clip may be exported from the controller's recordings: they may be asked, and nothing would have to be
    /// painted over in them.
    pub(crate) fn exports(&self) -> bool {
        self.link.state().features.clips && self.privacy().is_empty()
    }

    /// Whether its clip is recorded from the live stream: none can be exported, or it is not known that one will come.
    pub(crate) fn records_live(&self) -> bool {
        let is_live = matches!(self.origin, Origin::Told) && !self.story.borrow().told.from_history;
        let is_proven = self.exports() && self.link.export_worked(self.camera.id) == Some(true);
        is_live && !is_proven && self.wants_clip()
    }

    pub(crate) async fn change(&self, what: &'static str, changes: Vec<EventChange>) -> bool {
        let done = self.persist(what, || self.deps.db.event_change(self.id, changes.clone(), self.deps.clock.now()));
        done.await.is_some()
    }

    pub(crate) async fn persist<T, F: Future<Output = Result<T, DbError>>>(
        &self,
        what: &'static str,
        call: impl FnMut() -> F,
    ) -> Option<T> {
        persist(self.id, &self.gone, &self.link.give_up, what, call).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wants_less_comes_before_what_came_first() {
        use Cut::{Abandoned, Gone, Shutdown, Stopped};
        for (first, later, counts) in [
            (Stopped, Shutdown, Shutdown),
            (Gone, Abandoned, Abandoned),
            (Stopped, Gone, Stopped),
            (Shutdown, Stopped, Shutdown),
            (Abandoned, Shutdown, Abandoned),
        ] {
            assert_eq!(first.then(later), counts, "{first:?} {later:?}");
        }
    }
}
