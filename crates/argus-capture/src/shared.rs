//! What the parts of one feed share: the ring and who follows it, the state, and the queue to the reader.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use argus_core::status::CameraState;
use argus_core::{Clock, PrivacyMask, Timestamp};
use tokio::sync::mpsc;

use crate::feeds::GateMode;
use crate::health::{Fault, Health};
use crate::queue::Queue;
use crate::ring::{AccessUnit, Ring, StreamFormat};

/// Coded bytes in memory a camera at most.
const RING_BYTES_MAX: usize = 64 << 20;
/// Units that may wait for a clip's writer: more than 8 s at 30 a second.
const FOLLOW_MAX: usize = 256;

struct Store {
    ring: Ring,
    /// What is hidden in the pictures that come in now.
    mask: PrivacyMask,
    /// When the newest unit in the ring came in.
    newest: Option<Instant>,
    followers: Vec<mpsc::Sender<AccessUnit>>,
    /// Nothing will come in any more.
    closed: bool,
}

/// One feed's common memory.
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) gate: GateMode,
    pub(crate) queue: Arc<Queue>,
    store: Mutex<Store>,
    health: Mutex<Health>,
    sessions: AtomicU64,
    /// Pictures a second that are wanted; 0: none.
    rate: AtomicU8,
    /// Bit 0: the newest picture shows motion; bit 1: something changed; bit 7: not yet told to the gate.
    motion: AtomicU8,
}

impl Shared {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        rate: Option<u8>,
        gate: GateMode,
        keep: Duration,
        mask: PrivacyMask,
    ) -> Self {
        let ring = Ring::new(keep, RING_BYTES_MAX);
        Self {
            clock,
            gate,
            queue: Arc::new(Queue::default()),
            store: Mutex::new(Store { ring, mask, newest: None, followers: Vec::new(), closed: false }),
            health: Mutex::new(Health::new()),
            sessions: AtomicU64::new(0),
            rate: AtomicU8::new(rate.unwrap_or(0)),
            motion: AtomicU8::new(0),
        }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Steps the state and tells the reader, in one: states reach it in the order in which they came about.
    fn health<T>(&self, step: impl FnOnce(&mut Health) -> (T, Option<CameraState>)) -> T {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, told) = step(&mut health);
        if let Some(state) = told {
            self.queue.push_state(state);
        }
        answer
    }

    pub(crate) fn next_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// An access unit came in.
    pub(crate) fn received(&self, now: Instant, format: &StreamFormat) {
        let wall = self.clock.now();
        self.health(|h| ((), h.picture(now, wall, format)));
    }

    pub(crate) fn lost(&self, fault: &Fault) {
        self.health(|h| ((), h.lost(Instant::now(), fault)));
    }

    pub(crate) fn tick(&self) {
        self.health(|h| ((), h.tick(Instant::now())));
    }

    /// The source came to its end: the last state of the feed.
    pub(crate) fn finished(&self) {
        self.health(|h| ((), Some(h.stopped(Instant::now()))));
        self.queue.close();
    }

    /// The feed was stopped by its owner, who needs not be told.
    pub(crate) fn closed(&self) {
        self.health(|h| {
            let _ = h.stopped(Instant::now());
            ((), None)
        });
        self.queue.close();
        self.store().closed = true;
        self.release_followers();
    }

    pub(crate) fn state(&self) -> CameraState {
        self.health(|h| (h.view(Instant::now()), None))
    }

    pub(crate) fn frames(&self) -> u64 {
        self.health(|h| (h.frames(), None))
    }

    pub(crate) fn newest_arrival(&self) -> Option<Instant> {
        self.health(|h| (h.newest_arrival(), None))
    }

    /// Pictures a second that are wanted.
    pub(crate) fn rate(&self) -> Option<u8> {
        Some(self.rate.load(Ordering::Relaxed)).filter(|rate| *rate > 0)
    }

    /// Changes what is wanted of the stream. The mask holds for every unit that is kept after this.
    pub(crate) fn retune(&self, rate: Option<u8>, keep: Duration, mask: PrivacyMask) {
        self.rate.store(rate.unwrap_or(0), Ordering::Relaxed);
        let mut store = self.store();
        store.ring.set_keep(keep);
        store.mask = mask;
    }

    /// When the newest unit in memory came in.
    pub(crate) fn newest_kept(&self) -> Option<Instant> {
        self.store().newest
    }

    /// Keeps a unit under the present mask and hands it to those who follow; says whether it was kept.
    pub(crate) fn keep(&self, now: Instant, unit: &AccessUnit) -> bool {
        let mut store = self.store();
        let unit = AccessUnit { mask: store.mask.clone(), ..unit.clone() };
        let dropped = store.ring.dropped_groups();
        let is_kept = store.ring.push(unit.clone());
        if dropped == 0 && store.ring.dropped_groups() > 0 {
            tracing::warn!(
                bytes = RING_BYTES_MAX,
                "the video is too large for its memory: clips may begin later than they should"
            );
        }
        if !is_kept {
            return false;
        }
        store.newest = Some(now);
        store.followers.retain(|follower| match follower.try_send(unit.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(_)) => {
                tracing::warn!("a clip ends early: it could not be written as fast as the video came");
                false
            }
        });
        true
    }

    /// What is in memory for a clip that begins at `from`, and everything that comes after it.
    pub(crate) fn follow(&self, from: Timestamp) -> (Vec<AccessUnit>, mpsc::Receiver<AccessUnit>) {
        let (tx, rx) = mpsc::channel(FOLLOW_MAX);
        let mut store = self.store();
        let backlog = store.ring.newest_session_from(from);
        // Dropped, it tells the follower that the backlog is all there is.
        if !store.closed {
            store.followers.push(tx);
        }
        (backlog, rx)
    }

    /// The session is over: those who follow it get no more.
    pub(crate) fn release_followers(&self) {
        self.store().followers.clear();
    }

    pub(crate) fn snapshot(&self) -> Vec<AccessUnit> {
        self.store().ring.snapshot()
    }

    pub(crate) fn newest_group(&self) -> Vec<AccessUnit> {
        self.store().ring.newest_group()
    }

    pub(crate) fn tell_motion(&self, moving: bool, changed: bool) {
        self.motion.store(0x80 | u8::from(moving) | (u8::from(changed) << 1), Ordering::Relaxed);
    }

    /// What was told since the last time.
    pub(crate) fn take_motion(&self) -> Option<(bool, bool)> {
        let told = self.motion.fetch_and(0x7f, Ordering::Relaxed);
        (told & 0x80 != 0).then_some((told & 1 != 0, told & 2 != 0))
    }
}
