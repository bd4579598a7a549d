//! Pictures and clip of a detection: fetched from its controller while it lasts and after it.
//!
//! The event is stored before anything is fetched, and nothing that fails here loses it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use argus_core::camera::AnalysisMode;
use argus_core::controller::ControllerError;
use argus_core::describe::EventFacts;
use argus_core::media::{clip_key, frame_key, thumbnail_key};
use argus_core::ports::{ClipFile, Still};
use argus_core::{Timestamp, chain};
use argus_db::{EventChange, NewFrame};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, error, info, warn};

use super::event::{Cut, Origin, ProtectEvent};
use super::live;
use super::paint::painted;
use crate::lifecycle::{FRAMES_AFTER, hex, size};

/// What is seen now is not what was seen that long ago: then the recording is asked.
const LIVE_WITHIN: Duration = Duration::from_secs(8);
/// Pictures are taken for at least that long, however short the detection was: a ring lasts a second.
const AT_LEAST: Duration = Duration::from_secs(3);

/// The media of one event.
pub(crate) struct Album<'a> {
    pub(crate) event: &'a ProtectEvent,
    pub(crate) prefix: &'a str,
    /// When the event ended, once it has.
    pub(crate) closed: watch::Receiver<Option<Timestamp>>,
}

impl Album<'_> {
    /// Fetches everything. A future that may be dropped at any time: the next start fetches what is missing then.
    pub(crate) async fn run(mut self) {
        let wants_frames = match self.event.origin {
            Origin::Told => true,
            Origin::Left { frames, .. } => frames,
        };
        let is_live = self.event.records_live();
        let (event, closed) = (self.event, self.closed.clone());
        let record = async { if is_live { live::record(event, closed).await } else { None } };
        let ((), recorded) = tokio::join!(
            async {
                if wants_frames {
                    self.pictures().await;
                }
            },
            record
        );
        let Some(ended) = self.ended().await else { return };
        if self.event.link.state().features.clips
            && wants_frames
            && let Some(still) = self.thumbnail().await
        {
            self.put_thumbnail(&still).await;
        }
        match recorded {
            Some(clip) if !self.event.exports() => self.put_clip(clip).await,
            None if is_live && !self.event.exports() => {
                self.no_clip("cannot be had: there was no live stream to record").await;
            }
            recorded => self.clip(ended, recorded).await,
        }
    }

    /// Waits until the event has ended; `None` when nobody is left to say so.
    async fn ended(&mut self) -> Option<Timestamp> {
        self.closed.wait_for(Option::is_some).await.ok().and_then(|ended| *ended)
    }

    async fn pictures(&mut self) {
        let began = Instant::now();
        // A permit that is waited for is got in the end: those who hold one are bounded in time.
        let place = self.event.link.albums.acquire().await.ok();
        let settings = self.event.deps.settings.now();
        let wanted = match self.event.camera.config.analysis_mode {
            AnalysisMode::SingleFrame => 1,
            AnalysisMode::MultiFrame => usize::from(settings.ai.frames.count.max(1)),
        };
        let late = self.is_late();
        let mut stills: Vec<Still> = Vec::new();
        if let Some(first) = self.first(late).await {
            self.put_thumbnail(&first).await;
            stills.push(first);
        }
        if late {
            self.past(&mut stills, wanted).await;
        } else {
            self.present(&mut stills, wanted, began).await;
        }
        if stills.is_empty() {
            // The controller makes its own picture when the detection is over.
            self.ended().await;
            stills.extend(self.thumbnail().await);
            if let Some(first) = stills.first() {
                self.put_thumbnail(first).await;
            }
        }
        self.frames(stills).await;
        drop(place);
    }

    /// Whether what is seen now has nothing to do with it any more.
    fn is_late(&self) -> bool {
        let age = self.event.deps.clock.now().since(self.event.started);
        matches!(self.event.origin, Origin::Left { .. })
            || self.event.story.borrow().told.from_history
            || age > LIVE_WITHIN
    }

    async fn first(&self, late: bool) -> Option<Still> {
        if late {
            let recorded = self.recorded(self.event.started).await;
            let is_over = self.event.story.borrow().told.ended_at.is_some();
            return match recorded {
                None if !is_over && matches!(self.event.origin, Origin::Told) => self.live().await,
                recorded => recorded,
            };
        }
        match self.live().await {
            Some(still) => Some(still),
            None => self.recorded(self.event.started).await,
        }
    }

    /// Takes pictures while it lasts, evenly until it is time to choose them.
    async fn present(&mut self, stills: &mut Vec<Still>, wanted: usize, began: Instant) {
        let every = FRAMES_AFTER / u32::try_from(wanted.max(2)).unwrap_or(2);
        let (least, last) = (began + AT_LEAST, began + FRAMES_AFTER);
        while stills.len() < wanted && !stills.is_empty() {
            // Others wait for their turn: one picture will do.
            if self.event.link.albums.available_permits() == 0 {
                break;
            }
            let until = if self.closed.borrow().is_some() { least } else { last };
            let next = Instant::now() + every;
            if next > until {
                // A clip or an end may still come before it is time.
                if self.closed.borrow().is_none() {
                    // Whether it ended in time or not: the pictures are due.
                    let _ = timeout_at(last, self.closed.wait_for(Option::is_some)).await;
                }
                break;
            }
            sleep(every).await;
            match self.live().await {
                Some(still) if stills.last().is_none_or(|last| last.taken_at < still.taken_at) => stills.push(still),
                Some(_) => {}
                None => break,
            }
        }
    }

    /// Fetches pictures of what was, evenly from its beginning to its end.
    async fn past(&mut self, stills: &mut Vec<Still>, wanted: usize) {
        if stills.is_empty() || !self.event.link.state().features.clips {
            return;
        }
        let Some(ended) = self.ended().await else { return };
        let span = ended.since(self.event.started).min(FRAMES_AFTER);
        let pieces = u32::try_from(wanted.max(1)).unwrap_or(1);
        // Recordings are asked by the second: closer moments give the same picture.
        let pieces = pieces.min(u32::try_from(span.as_secs()).unwrap_or(1).max(1));
        for n in 1..pieces {
            match self.recorded(self.event.started.plus(span * n / pieces)).await {
                Some(still) if stills.last().is_none_or(|last| last.jpeg != still.jpeg) => stills.push(still),
                Some(_) => {}
                None => break,
            }
        }
    }

    async fn live(&self) -> Option<Still> {
        let (device, width) = (self.event.device(), self.event.deps.settings.now().ai.frames.max_width);
        let _turn = self.event.link.pictures.acquire().await.ok()?;
        let asked = self.event.link.ask(
            |c| {
                let device = device.clone();
                async move { c.snapshot(&device, Some(width)).await }
            },
            false,
        );
        self.hidden("what the camera sees", asked.await).await
    }

    async fn recorded(&self, at: Timestamp) -> Option<Still> {
        let device = self.event.device();
        let _turn = self.event.link.pictures.acquire().await.ok()?;
        let patient = matches!(self.event.origin, Origin::Left { .. });
        let asked = self.event.link.ask(
            |c| {
                let device = device.clone();
                async move { c.recorded(&device, at).await }
            },
            patient,
        );
        self.hidden("what the camera saw", asked.await).await
    }

    /// The controller's own picture of the detection.
    async fn thumbnail(&self) -> Option<Still> {
        let id = self.event.story.borrow().told.id.clone();
        let asked = self.event.link.ask(
            |c| {
                let id = id.clone();
                async move { c.thumbnail(&id).await }
            },
            false,
        );
        let asked = asked.await;
        self.hidden("the controller's picture", asked).await
    }

    /// The picture as it may be shown, or a line in the log.
    async fn hidden(&self, what: &str, asked: Result<Still, ControllerError>) -> Option<Still> {
        let id = self.event.id;
        match asked {
            Ok(still) => {
                let width = self.event.deps.settings.now().ai.frames.max_width;
                let still = painted(still, self.event.privacy(), Some(width)).await;
                if still.is_none() {
                    warn!(event.id = %id, "{what} could not be painted over, and is not kept");
                }
                still
            }
            Err(ControllerError::Unsupported(reason)) => {
                debug!(event.id = %id, "{what} cannot be had: {reason}");
                None
            }
            Err(e) => {
                warn!(event.id = %id, "{what} could not be fetched: {e}");
                None
            }
        }
    }

    async fn put_thumbnail(&self, still: &Still) {
        let width = self.event.deps.settings.now().media.thumbnail_width;
        // What nobody may see was painted over before.
        let Some(small) = painted(still.clone(), argus_core::PrivacyMask::default(), Some(width)).await else { return };
        if self.put(&thumbnail_key(self.prefix), &small).await {
            let bytes = size(&small);
            self.event.change("note the thumbnail", vec![EventChange::ThumbnailStored { bytes }]).await;
        }
    }

    async fn put(&self, key: &str, still: &Still) -> bool {
        match self.event.deps.media.put(key, still.jpeg.clone()).await {
            Ok(()) => true,
            Err(e) => {
                error!(event.id = %self.event.id, "a picture could not be stored: {}", chain(&e));
                false
            }
        }
    }

    /// Stores the pictures and hands the event to the analysis queue, whatever came of them.
    pub(crate) async fn frames(&self, stills: Vec<Still>) {
        let settings = self.event.deps.settings.now();
        let mut frames = Vec::new();
        for (index, still) in (0_u32..).zip(stills) {
            // The describer gets them from the store in any case; those that are not to be kept go when it is done.
            let stored = self.put(&frame_key(self.prefix, index), &still).await && settings.media.store_frames;
            frames.push(NewFrame {
                index,
                offset_ms: still.taken_at.millis_since(self.event.started),
                sha256: hex(&Sha256::digest(&still.jpeg)),
                width: still.width,
                height: still.height,
                bytes: size(&still),
                stored,
            });
        }
        self.event.change("note the pictures", vec![EventChange::Frames(frames)]).await;
        let facts = self.facts();
        let (deps, id) = (&self.event.deps, self.event.id);
        let is_left = matches!(self.event.origin, Origin::Left { .. });
        let ready = self.event.persist("queue the description", || async {
            // What the last run left waits with its time, not with its state.
            if is_left {
                deps.db.job_put_back(id, deps.clock.now()).await
            } else {
                deps.db.job_ready(id, Some(facts.clone()), deps.clock.now()).await
            }
        });
        ready.await;
        deps.jobs.notify_one();
    }

    fn facts(&self) -> EventFacts {
        let story = self.event.story.borrow();
        EventFacts {
            camera_name: self.event.camera.config.name.clone(),
            started_at: self.event.started,
            duration_ms: (*self.closed.borrow()).map(|end| end.millis_since(self.event.started)),
            detection_type: story.kind,
            zones: Vec::new(),
            area: None,
            largest_ratio: None,
            first_center: None,
            last_center: None,
            confidence: story.confidence(),
        }
    }

    /// Exports the clip; what was recorded meanwhile takes its place when none comes.
    async fn clip(&self, ended: Timestamp, recorded: Option<ClipFile>) {
        if !self.event.wants_clip() {
            let is_left = matches!(self.event.origin, Origin::Left { clip: true, .. });
            if is_left || self.event.promised.load(Ordering::Relaxed) {
                self.no_clip("is not to be kept").await;
            }
            return;
        }
        if self.event.story.borrow().cut == Some(Cut::Gone) {
            return match recorded {
                Some(clip) => self.put_clip(clip).await,
                None => self.no_clip("cannot be had: the controller was disabled or deleted").await,
            };
        }
        let config = &self.event.camera.config;
        let from = self.event.started.minus(Duration::from_secs(config.pre_roll_s.into()));
        let until = ended.plus(Duration::from_secs(config.post_roll_s.into()));
        let device = self.event.device();
        let Ok(_turn) = self.event.link.clips.acquire().await else { return };
        let asked = self.event.link.ask(
            |c| {
                let device = device.clone();
                async move { c.clip(&device, from, until).await }
            },
            true,
        );
        match asked.await {
            Ok(clip) if !self.event.privacy().is_empty() => {
                drop(clip);
                match recorded {
                    Some(clip) => self.put_clip(clip).await,
                    None => self.no_clip("is not kept: what nobody may see cannot be painted over in it").await,
                }
            }
            Ok(clip) => {
                self.event.link.note_export(self.event.camera.id, true);
                self.put_clip(clip).await;
            }
            Err(e) => {
                // Of one that is away nothing is known of its recordings.
                if !matches!(e, ControllerError::Unavailable(_)) {
                    self.event.link.note_export(self.event.camera.id, false);
                }
                match recorded {
                    Some(clip) => {
                        info!(event.id = %self.event.id, "the clip is that of the live stream; none could be fetched: {e}");
                        self.put_clip(clip).await;
                    }
                    None => self.no_clip(&format!("could not be fetched: {e}")).await,
                }
            }
        }
    }

    async fn put_clip(&self, clip: ClipFile) {
        let stored = match self.event.deps.media.put_file(&clip_key(self.prefix), (*clip.file).as_ref()).await {
            Ok(bytes) => EventChange::Clip { bytes, from: clip.from, until: clip.until },
            Err(e) => {
                error!(event.id = %self.event.id, "the clip could not be stored: {}", chain(&e));
                EventChange::ClipNone
            }
        };
        self.event.change("note the clip", vec![stored]).await;
    }

    async fn no_clip(&self, why: &str) {
        info!(event.id = %self.event.id, "the clip {why}");
        self.event.change("note that there is no clip", vec![EventChange::ClipNone]).await;
    }
}
