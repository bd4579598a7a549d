//! What the tasks of one connection share: the tracker, the cameras, the state, and the way out to the reader.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use argus_core::controller::{ControllerDevice, ControllerItem, ControllerState};
use argus_core::{ControllerId, Secret, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::Client;
use crate::inventory::Inventory;
use crate::local::Local;
use crate::queue::Queue;
use crate::state::{Interface, Side, Standing};
use crate::tracker::{At, Origin, Output, Tracker};
use crate::wire::{Bootstrap, Sighting};
use crate::{ProtectError, Tuning};

pub(crate) struct Hub {
    pub(crate) id: ControllerId,
    pub(crate) client: Client,
    pub(crate) tuning: Arc<Tuning>,
    pub(crate) queue: Arc<Queue>,
    /// Held while its outputs are put into the queue, so that they stay in order and a full queue holds every stream.
    tracker: tokio::sync::Mutex<Tracker>,
    pub(crate) inventory: RwLock<Inventory>,
    standing: Mutex<Standing>,
    told: Mutex<Option<ControllerState>>,
    /// Microseconds; 0 for never.
    last_message_us: AtomicI64,
    /// Until when each interface told everything, in microseconds; 0 for not known.
    told_until_us: [AtomicI64; 2],
    /// The local history is being read, or could not be: what is heard on its stream is not all that there is to know.
    pub(crate) is_filling: AtomicBool,
    malformed: AtomicU64,
    unknown: Mutex<BTreeSet<String>>,
    asks: mpsc::Sender<String>,
    /// A span that the integration interface missed and the local one is expected to fetch.
    owed: Mutex<Option<(Timestamp, Timestamp)>>,
    pub(crate) token: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// Most detections that wait to be read one by one.
const MOST_ASKS: usize = 4096;

impl Hub {
    pub(crate) fn new(
        id: ControllerId,
        client: Client,
        tuning: Arc<Tuning>,
        queue: Arc<Queue>,
        tracker: Tracker,
    ) -> (Arc<Self>, mpsc::Receiver<String>) {
        let (asks, asked) = mpsc::channel(MOST_ASKS);
        let standing = Standing::new(client.local().is_some(), client.official().is_some(), client.features());
        let hub = Self {
            id,
            client,
            tuning,
            queue,
            tracker: tokio::sync::Mutex::new(tracker),
            inventory: RwLock::default(),
            standing: Mutex::new(standing),
            told: Mutex::default(),
            last_message_us: AtomicI64::new(0),
            told_until_us: Default::default(),
            is_filling: AtomicBool::new(false),
            malformed: AtomicU64::new(0),
            unknown: Mutex::default(),
            asks,
            owed: Mutex::default(),
            token: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        (Arc::new(hub), asked)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.client.clock().now()
    }

    fn at(&self) -> At {
        At { now: self.now(), offset_ms: self.client.clock().offset_ms() }
    }

    /// How it is doing.
    pub(crate) fn state(&self) -> ControllerState {
        let mut state = self.standing.lock().unwrap_or_else(PoisonError::into_inner).state();
        let us = self.last_message_us.load(Ordering::Relaxed);
        state.last_message_at = (us != 0).then(|| Timestamp::from_micros(us));
        state.malformed = self.malformed.load(Ordering::Relaxed);
        if let Some(session) = self.client.local().map(Local::session) {
            state.locked_until = session.locked_until();
            // What the account turned out not to be allowed.
            state.features.clips &= !session.is_denied("recordings") && !session.is_denied("recorded pictures");
            state.features.snapshots &= !session.is_denied("live pictures") || self.client.official().is_some();
        }
        state.firmware_version = state.firmware_version.or_else(|| self.nvr_version());
        state
    }

    fn nvr_version(&self) -> Option<String> {
        self.inventory.read().unwrap_or_else(PoisonError::into_inner).nvr().version
    }

    /// Notes how an interface is doing, and tells it when that changes the whole.
    pub(crate) fn stand(&self, interface: Interface, side: Side) {
        let now = self.now();
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).set(interface, side, now);
        self.tell_state();
    }

    /// Notes the version of Protect that the integration interface told.
    pub(crate) fn version(&self, version: String) {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).version = Some(version);
    }

    /// Asks how the interfaces are doing.
    pub(crate) fn standing<T>(&self, ask: impl FnOnce(&Standing) -> T) -> T {
        ask(&self.standing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell_state(&self) {
        // The lock first: of two tasks the one that looks last must also tell last.
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.state();
        // Counters change all the time; they are told with the next change that matters.
        let core = |s: &ControllerState| ControllerState { last_message_at: None, malformed: 0, ..s.clone() };
        if told.as_ref().is_none_or(|old| core(old) != core(&state)) {
            *told = Some(state.clone());
            self.queue.replace(ControllerItem::State(state));
        }
    }

    /// A message came.
    pub(crate) fn heard(&self) {
        self.last_message_us.store(self.now().as_micros(), Ordering::Relaxed);
    }

    fn told_us(&self, interface: Interface) -> &AtomicI64 {
        let [local, official] = &self.told_until_us;
        match interface {
            Interface::Local => local,
            Interface::Official => official,
        }
    }

    /// Everything until then was told by an interface, or put on account as missed.
    pub(crate) fn told_until(&self, interface: Interface, until: Timestamp) {
        self.told_us(interface).fetch_max(until.as_micros(), Ordering::Relaxed);
    }

    /// Everything until then is known. The local interface alone counts where it can be used: it can fetch what it did not
    /// tell, and of what the other one told nothing is told twice.
    pub(crate) fn known_until(&self) -> Option<Timestamp> {
        let local = self.standing(|s| s.side(Interface::Local).is_some_and(|s| !matches!(s, Side::Refused(_))));
        let interface = if local { Interface::Local } else { Interface::Official };
        let us = self.told_us(interface).load(Ordering::Relaxed);
        (us != 0).then(|| Timestamp::from_micros(us))
    }

    /// A message came that makes no sense.
    pub(crate) fn malformed(&self, what: &dyn std::fmt::Display) {
        let n = self.malformed.fetch_add(1, Ordering::Relaxed);
        if n == 0 {
            tracing::warn!(controller.id = %self.id, "a message of the controller was dropped: {what}");
        }
    }

    /// A kind of object that is not known; each is logged once.
    pub(crate) fn unknown(&self, model: &str) {
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown.len() < 64 && unknown.insert(model.chars().take(64).collect()) {
            tracing::debug!(controller.id = %self.id, model, "the controller tells of a kind of object that is not known");
        }
    }

    /// Takes over cameras that were read.
    pub(crate) fn read_cameras(&self, bootstrap: Bootstrap) {
        self.malformed.fetch_add(bootstrap.bad, Ordering::Relaxed);
        self.inventory.write().unwrap_or_else(PoisonError::into_inner).bootstrap(bootstrap);
        self.tell_devices();
    }

    /// Reads the cameras of the local interface, unless messages change them meanwhile: those know better.
    pub(crate) async fn read_again(&self, local: &Local) -> Result<(), ProtectError> {
        let changes = || self.inventory.read().unwrap_or_else(PoisonError::into_inner).changes();
        let before = changes();
        let bootstrap = local.bootstrap().await?;
        if before == changes() {
            self.read_cameras(bootstrap);
        }
        Ok(())
    }

    /// Every camera.
    pub(crate) fn devices(&self) -> Vec<ControllerDevice> {
        self.inventory.read().unwrap_or_else(PoisonError::into_inner).devices()
    }

    pub(crate) fn tell_devices(&self) {
        // As with states.
        let _told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        self.queue.replace(ControllerItem::Devices(self.devices()));
    }

    /// Takes in what a message says of a detection.
    pub(crate) async fn see(&self, sighting: &Sighting, origin: Origin) {
        if sighting.kind.as_deref() == Some("ring") && origin == Origin::Official {
            let device = sighting.device.as_deref().unwrap_or_default();
            let news = self.inventory.write().unwrap_or_else(PoisonError::into_inner).rang(device);
            if news {
                self.tell_devices();
            }
        }
        let mut tracker = self.tracker.lock().await;
        let out = tracker.see(sighting, origin, self.at());
        self.put(&mut tracker, out).await;
    }

    /// Does something with the tracker and tells what comes of it.
    pub(crate) async fn track(&self, work: impl FnOnce(&mut Tracker, Timestamp) -> Vec<Output>) {
        let mut tracker = self.tracker.lock().await;
        let out = work(&mut tracker, self.now());
        self.put(&mut tracker, out).await;
    }

    /// Detections that go on.
    pub(crate) async fn open_ids(&self) -> Vec<String> {
        self.tracker.lock().await.open_ids()
    }

    async fn put(&self, tracker: &mut Tracker, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Tell(happening) => self.queue.push(ControllerItem::Happening(happening)).await,
                Output::Ask(id) => {
                    if let Err(full) = self.asks.try_send(id) {
                        let id = full.into_inner();
                        tracing::warn!(controller.id = %self.id, "too many detections wait to be read: one is given up");
                        for given_up in tracker.give_up(&id, self.now()) {
                            if let Output::Tell(happening) = given_up {
                                self.queue.push(ControllerItem::Happening(happening)).await;
                            }
                        }
                    }
                }
            }
        }
    }

    /// Tells that detections may have been missed.
    pub(crate) async fn gap(&self, from: Timestamp, until: Timestamp, reason: String) {
        tracing::warn!(controller.id = %self.id, %from, %until, "detections may have been missed: {reason}");
        self.queue.push(ControllerItem::Gap { from, until, reason }).await;
    }

    /// Leaves a span for the local interface to fetch.
    pub(crate) fn owe(&self, from: Timestamp, until: Timestamp) {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        *owed = Some(owed.map_or((from, until), |(f, u)| (f.min(from), u.max(until))));
    }

    /// What was left, once.
    pub(crate) fn take_owed(&self) -> Option<(Timestamp, Timestamp)> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Asks for a detection to be read.
    pub(crate) fn ask(&self, id: String) {
        let _ = self.asks.try_send(id);
    }

    /// Notes a failure of an interface; how long to wait before the next try.
    pub(crate) fn failed(&self, interface: Interface, error: ProtectError, wait: Duration, lasting: bool) -> Duration {
        let now = self.now();
        let wait = match (&error, lasting) {
            (ProtectError::Locked { until }, _) => until.since(now).max(Duration::from_millis(10)),
            (_, true) => self.tuning.error_pause,
            (_, false) => wait,
        };
        let side = if lasting { Side::Refused(error.clone()) } else { Side::Down(error.clone()) };
        let known = self.standing(|s| s.side(interface) == Some(&side));
        if !known {
            let text = error.to_string();
            tracing::warn!(controller.id = %self.id, controller.interface = interface.as_str(), "not connected: {text}");
        }
        self.stand(interface, side);
        wait
    }

    /// Waits, unless it is stopped before; false then.
    pub(crate) async fn rest(&self, wait: Duration) -> bool {
        tokio::select! {
            () = self.token.cancelled() => false,
            () = tokio::time::sleep(wait) => true,
        }
    }

    /// What must outlive a restart.
    pub(crate) fn keep(queue: &Queue, kept: Option<Secret>) {
        queue.replace(ControllerItem::Keep(kept));
    }
}
