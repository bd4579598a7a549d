//! The life of one event, from the first moving picture to the stored clip.
//!
//! One task an event. The camera's task tells it what happens; it stores, makes pictures and the clip, and hands the
//! event to the analysis queue. Nothing that goes wrong after the event was stored loses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use argus_core::camera::{AnalysisMode, Camera};
use argus_core::describe::{EventFacts, first_sentence};
use argus_core::event::{DetectionType, EventMotion, NewEvent};
use argus_core::media::{clip_key, event_prefix, frame_key, thumbnail_key};
use argus_core::ports::{ClipRecorder, FeedHandle, Still, StillSpec};
use argus_core::settings::FrameStrategy;
use argus_core::{EventId, Timestamp, chain};
use argus_db::{DbError, DescriptionPlan, EventChange, NewFrame};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::Deps;
use crate::analyser::{Episode, Moment};
use crate::error::EngineError;
use crate::look::Look;
use crate::moments::{Candidate, best, candidates, strongest};
use crate::persist::persist;

/// After that long from the start of an event its pictures are chosen, even if it still runs.
pub(crate) const FRAMES_AFTER: Duration = Duration::from_secs(10);

/// So often the progress of an event is noted: a crash makes it end there.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);
/// Pieces of news that may wait: half of them are kept for what must not be lost, of which there are at most three.
pub(crate) const NEWS: usize = 8;

/// What the camera's task tells the event's.
#[derive(Debug)]
pub(crate) enum EventNews {
    /// It is time to choose the pictures; the event still runs.
    FramesDue(Box<Episode>),
    /// It still runs; what is known so far is noted for the case of a crash.
    Progress(Box<Episode>),
    /// The event is over.
    Ended {
        /// All of it.
        episode: Box<Episode>,
        /// Nothing comes in after this moment, or nobody waits for it: capture is being stopped, or was lost.
        broken_off: Option<Timestamp>,
    },
    /// The camera is being deleted: nothing more is wanted.
    Abandoned,
}

/// An event whose task runs.
pub(crate) struct OpenEvent {
    pub(crate) id: EventId,
    pub(crate) since: Timestamp,
    pub(crate) frames_asked: bool,
    /// The last picture at which progress was told.
    pub(crate) told_at: Timestamp,
    /// Bounded; progress is told only while there is room for everything else that may come.
    pub(crate) news: mpsc::Sender<EventNews>,
}

impl OpenEvent {
    /// Tells the progress of the event every two seconds.
    pub(crate) fn progress(&mut self, at: Timestamp, episode: &Episode) {
        if at.since(self.told_at) >= PROGRESS_EVERY && self.news.capacity() > NEWS / 2 {
            self.told_at = at;
            self.tell(EventNews::Progress(Box::new(episode.clone())));
        }
    }

    /// Tells the task something. It takes news as long as it lives, and there is room for all an event can get.
    pub(crate) fn tell(&self, news: EventNews) {
        if self.news.try_send(news).is_err() {
            debug!(event.id = %self.id, "the event's task has ended already");
        }
    }
}

/// What an event's task works with.
pub(crate) struct EventTask {
    pub(crate) deps: Arc<Deps>,
    pub(crate) camera: Camera,
    pub(crate) feed: Arc<dyn FeedHandle>,
    pub(crate) id: EventId,
    pub(crate) detected_at: Timestamp,
    pub(crate) news: mpsc::Receiver<EventNews>,
    /// Set when the server gives up waiting for it.
    pub(crate) give_up: CancellationToken,
    /// Whether the event turned out to have been deleted.
    pub(crate) gone: AtomicBool,
}

impl EventTask {
    /// Runs the event to its end, and leaves no file behind when somebody deleted it meanwhile.
    pub(crate) async fn run(mut self, first: Box<Episode>) {
        let prefix = event_prefix(self.camera.id, self.id, first.since);
        self.live(&prefix, first).await;
        if self.gone.load(Ordering::Relaxed)
            && let Err(e) = self.deps.media.delete_all(&prefix).await
        {
            warn!(event.id = %self.id, "media of a deleted event stay until the next sweep: {}", chain(&e));
        }
    }

    async fn live(&mut self, prefix: &str, first: Box<Episode>) {
        let store_clips = self.deps.settings.now().media.store_clips;
        let pre_roll = Duration::from_secs(self.camera.config.pre_roll_s.into());
        // Both at once: the ring must not move on while the database is busy.
        let (stored, clip) = tokio::join!(self.store(&first), async {
            if store_clips { Some(self.feed.start_clip(first.since.minus(pre_roll)).await) } else { None }
        });
        if !stored {
            return;
        }
        let clip = match clip {
            Some(Ok(recorder)) => Some(recorder),
            Some(Err(e)) => {
                warn!(event.id = %self.id, camera.id = %self.camera.id, "no clip can be made: {e}");
                None
            }
            None => None,
        };
        if let Err(e) = self.first_thumbnail(prefix, first.since).await {
            warn!(event.id = %self.id, "the first thumbnail could not be stored: {}", chain(&e));
        }
        let mut frames_done = false;
        let mut latest = first;
        let (episode, broken_off) = loop {
            match self.next().await {
                Some(EventNews::FramesDue(episode)) => {
                    self.frames(prefix, &episode, None).await;
                    frames_done = true;
                    latest = episode;
                }
                Some(EventNews::Progress(episode)) => {
                    self.note_progress(&episode).await;
                    latest = episode;
                }
                Some(EventNews::Ended { episode, broken_off }) => break (episode, broken_off),
                Some(EventNews::Abandoned) => return,
                None => {
                    error!(event.id = %self.id, "the event's camera ended without closing it");
                    break (latest, Some(self.deps.clock.now()));
                }
            }
        };
        self.close(&episode, clip.is_some()).await;
        if !frames_done {
            let duration_ms = episode.last_motion.millis_since(episode.since);
            self.frames(prefix, &episode, Some(duration_ms)).await;
        }
        if let Some(recorder) = clip {
            self.clip(prefix, recorder, &episode, broken_off).await;
        }
    }

    async fn note_progress(&self, episode: &Episode) {
        let progress = EventChange::Progress {
            last_motion: episode.last_motion,
            motion: Some(motion(episode)),
            zones: episode.zones.clone(),
            confidence: episode.confidence,
        };
        // The next one comes in two seconds: not worth another try.
        if let Err(e) = self.deps.db.event_change(self.id, vec![progress], self.deps.clock.now()).await {
            debug!(event.id = %self.id, "its progress was not noted: {}", chain(&e));
        }
    }

    /// The next news, or `None` when nobody is left to send any.
    async fn next(&mut self) -> Option<EventNews> {
        self.news.recv().await
    }

    /// Stores the event, and tries again while the database is away. False when it had to be given up.
    async fn store(&self, first: &Episode) -> bool {
        let new = NewEvent {
            id: self.id,
            camera_id: self.camera.id,
            source_type: self.camera.config.source.source_type(),
            detection_type: DetectionType::Motion,
            timestamp: first.since,
            detected_at: self.detected_at,
            description: first_sentence(DetectionType::Motion, &self.camera.config.name),
            confidence: first.confidence,
            zones: first.zones.clone(),
            motion: Some(motion(first)),
            protect: None,
        };
        let plan = DescriptionPlan::Job { priority: 0 };
        let tried = AtomicBool::new(false);
        let stored = self
            .persist("store the event", || async {
                // A failed commit may have been carried out all the same.
                if tried.swap(true, Ordering::Relaxed)
                    && let Some(event) = self.deps.db.event_get(self.id).await?
                {
                    return Ok(event);
                }
                let stored_at = self.deps.clock.now().max(first.since);
                self.deps.db.event_open(new.clone(), stored_at, plan).await.map(|(event, _seq)| event)
            })
            .await;
        if let Some(event) = &stored {
            self.deps.counters.event(event.source_type, event.detection_type);
            info!(
                event.id = %self.id,
                camera.id = %self.camera.id,
                camera.name = %event.camera_name,
                delay_ms = event.trace.stored_at.millis_since(event.timestamp),
                confidence = event.confidence,
                "event began"
            );
        }
        stored.is_some()
    }

    async fn close(&self, episode: &Episode, clip_expected: bool) {
        let closed = EventChange::Closed {
            ended_at: episode.last_motion,
            motion: Some(motion(episode)),
            zones: episode.zones.clone(),
            confidence: episode.confidence,
            clip_expected,
        };
        if self.change("close the event", vec![closed]).await {
            let duration_ms = episode.last_motion.millis_since(episode.since);
            let camera = &self.camera;
            info!(event.id = %self.id, camera.id = %camera.id, camera.name = %camera.config.name, duration_ms, "event closed");
        }
    }

    async fn first_thumbnail(&self, prefix: &str, at: Timestamp) -> Result<(), EngineError> {
        let Some(still) = self.stills(&[at], &[self.thumbnail_spec()]).await.into_iter().flatten().next() else {
            return Ok(());
        };
        let bytes = size(&still);
        self.deps.media.put(&thumbnail_key(prefix), still.jpeg).await?;
        self.change("note the thumbnail", vec![EventChange::ThumbnailStored { bytes }]).await;
        Ok(())
    }

    /// Chooses, makes and stores the pictures, and hands the event to the analysis queue, whatever came of it.
    async fn frames(&self, prefix: &str, episode: &Episode, duration_ms: Option<i64>) {
        let settings = self.deps.settings.now();
        let pictures = &settings.ai.frames;
        let (strategy, count) = (pictures.strategy, usize::from(pictures.count));
        let wanted = match self.camera.config.analysis_mode {
            AnalysisMode::SingleFrame => strongest(&episode.moments).into_iter().collect(),
            AnalysisMode::MultiFrame => candidates(strategy, &episode.moments, count),
        };
        let best = strongest(&episode.moments);
        let spec = StillSpec { max_width: pictures.max_width, quality: pictures.jpeg_quality };
        let mut pictures = self.stills(&wanted, &[spec, self.thumbnail_spec()]).await;
        if strategy == FrameStrategy::Adaptive && pictures.len() > 1 {
            pictures = best_of(pictures, &episode.moments, count).await;
        }
        let mut frames = Vec::new();
        let mut thumbnail: Option<(Duration, Still)> = None;
        let mut best_index = None;
        for (index, stills) in (0_u32..).zip(pictures) {
            let mut stills = stills.into_iter();
            let (Some(frame), small) = (stills.next(), stills.next()) else { continue };
            if let Some(small) = small {
                let distance = best.map_or(Duration::ZERO, |b| b.since(small.taken_at).max(small.taken_at.since(b)));
                if thumbnail.as_ref().is_none_or(|(d, _)| distance < *d) {
                    thumbnail = Some((distance, small));
                    best_index = Some(index);
                }
            }
            // The describer gets them from the store in any case; those that are not to be kept go when it is done.
            let stored = self.put(&frame_key(prefix, index), &frame).await && settings.media.store_frames;
            frames.push(NewFrame {
                index,
                offset_ms: frame.taken_at.millis_since(episode.since),
                sha256: hex(&Sha256::digest(&frame.jpeg)),
                width: frame.width,
                height: frame.height,
                bytes: size(&frame),
                stored,
            });
        }
        let mut changes = vec![EventChange::Frames(frames)];
        changes.extend(best_index.map(EventChange::BestFrame));
        if let Some((_, small)) = thumbnail
            && self.put(&thumbnail_key(prefix), &small).await
        {
            changes.push(EventChange::ThumbnailStored { bytes: size(&small) });
        }
        self.change("note the pictures", changes).await;
        let facts = self.facts(episode, duration_ms);
        let ready = self.persist("queue the description", || {
            self.deps.db.job_ready(self.id, Some(facts.clone()), self.deps.clock.now())
        });
        ready.await;
        self.deps.jobs.notify_one();
    }

    async fn clip(
        &self,
        prefix: &str,
        recorder: Box<dyn ClipRecorder>,
        episode: &Episode,
        broken_off: Option<Timestamp>,
    ) {
        let post_roll = Duration::from_secs(self.camera.config.post_roll_s.into());
        let wanted = episode.last_motion.plus(post_roll);
        let until = broken_off.map_or(wanted, |end| wanted.min(end));
        let stored = match recorder.finish(until).await {
            Ok(clip) => match self.deps.media.put_file(&clip_key(prefix), (*clip.file).as_ref()).await {
                Ok(bytes) => EventChange::Clip { bytes, from: clip.from, until: clip.until },
                Err(e) => {
                    error!(event.id = %self.id, "the clip could not be stored: {}", chain(&e));
                    EventChange::ClipNone
                }
            },
            Err(e) => {
                warn!(event.id = %self.id, "the clip could not be completed: {e}");
                EventChange::ClipNone
            }
        };
        self.change("note the clip", vec![stored]).await;
    }

    fn facts(&self, episode: &Episode, duration_ms: Option<i64>) -> EventFacts {
        EventFacts {
            camera_name: self.camera.config.name.clone(),
            started_at: episode.since,
            duration_ms,
            detection_type: DetectionType::Motion,
            zones: episode.zones.iter().map(|z| z.name.clone()).collect(),
            area: episode.area,
            largest_ratio: Some(episode.largest_ratio),
            first_center: episode.first_center,
            last_center: episode.last_center,
            confidence: episode.confidence,
        }
    }

    fn thumbnail_spec(&self) -> StillSpec {
        let settings = self.deps.settings.now();
        StillSpec { max_width: settings.media.thumbnail_width, quality: settings.ai.frames.jpeg_quality }
    }

    async fn stills(&self, wanted: &[Timestamp], specs: &[StillSpec]) -> Vec<Vec<Still>> {
        match self.feed.stills(wanted, specs).await {
            Ok(stills) => stills,
            Err(e) => {
                warn!(event.id = %self.id, camera.id = %self.camera.id, "no stills could be made: {e}");
                Vec::new()
            }
        }
    }

    async fn put(&self, key: &str, still: &Still) -> bool {
        match self.deps.media.put(key, still.jpeg.clone()).await {
            Ok(()) => true,
            Err(e) => {
                error!(event.id = %self.id, "a picture could not be stored: {}", chain(&e));
                false
            }
        }
    }

    async fn change(&self, what: &'static str, changes: Vec<EventChange>) -> bool {
        let done = self.persist(what, || self.deps.db.event_change(self.id, changes.clone(), self.deps.clock.now()));
        done.await.is_some()
    }

    /// Runs a database call until it succeeds, as long as waiting can help; `None` when it cannot, or when the event is gone.
    async fn persist<T, F: Future<Output = Result<T, DbError>>>(
        &self,
        what: &'static str,
        call: impl FnMut() -> F,
    ) -> Option<T> {
        persist(self.id, &self.gone, &self.give_up, what, call).await
    }
}

/// Leaves the pictures that show most. What they look like is told by their smallest form.
async fn best_of(pictures: Vec<Vec<Still>>, moments: &[Moment], count: usize) -> Vec<Vec<Still>> {
    let scored: Vec<(Timestamp, u16, Bytes)> = pictures
        .iter()
        .filter_map(|stills| stills.last())
        .map(|still| (still.taken_at, score_at(moments, still.taken_at), still.jpeg.clone()))
        .collect();
    let chosen = move || {
        let look = |(at, score, jpeg): (Timestamp, u16, Bytes)| Candidate { at, score, look: Look::of_jpeg(&jpeg) };
        best(&scored.into_iter().map(look).collect::<Vec<_>>(), count)
    };
    #[expect(clippy::disallowed_methods, reason = "decoding two dozen pictures takes a tenth of a second of computing")]
    let chosen = tokio::task::spawn_blocking(chosen).await;
    match chosen {
        Ok(chosen) => pictures.into_iter().enumerate().filter(|(at, _)| chosen.contains(at)).map(|(_, p)| p).collect(),
        Err(e) => {
            error!("the pictures of an event could not be compared: {e}");
            pictures.into_iter().take(count).collect()
        }
    }
}

/// How strong the movement was at the moment that is nearest.
fn score_at(moments: &[Moment], at: Timestamp) -> u16 {
    moments.iter().min_by_key(|m| m.at.millis_since(at).unsigned_abs()).map_or(1, |m| m.score)
}

/// Bytes of the file.
pub(crate) fn size(still: &Still) -> u64 {
    u64::try_from(still.jpeg.len()).unwrap_or(u64::MAX)
}

fn motion(episode: &Episode) -> EventMotion {
    EventMotion { score: f64::from(episode.score) / 1000.0, r#box: episode.area }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).filter_map(|d| char::from_digit(d.into(), 16)).collect()
}
