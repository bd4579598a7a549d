//! A simulated controller, a client of it, and everything that the client told.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use argus_core::controller::{
    ControllerConfig, ControllerHandle, ControllerItem, ControllerPlan, ControllerState, ControllerStatus,
    Controllers as _, Happening, HappeningPhase,
};
use argus_core::event::DetectionType;
use argus_core::{Clock, ControllerId, Secret, Timestamp};
use argus_protect::{Protect, Tuning};
use argus_protect_sim::{Options, Sim};

/// Longest wait for anything; much longer than anything takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) const LOGIN: &str = "/api/auth/login";
pub(crate) const BOOTSTRAP: &str = "/proxy/protect/api/bootstrap";
pub(crate) const UPDATES: &str = "/proxy/protect/ws/updates";

pub(crate) struct Wall;

impl Clock for Wall {
    #[expect(clippy::disallowed_methods, reason = "the simulator tells the machine's time")]
    fn now(&self) -> Timestamp {
        jiff::Timestamp::now().into()
    }
}

pub(crate) fn now() -> Timestamp {
    Wall.now()
}

/// Which credentials are used.
#[derive(Clone, Copy)]
pub(crate) enum With {
    Account,
    Key,
    Both,
}

pub(crate) struct Rig {
    pub(crate) sim: Sim,
    pub(crate) protect: Protect,
    pub(crate) dir: tempfile::TempDir,
}

/// Waits that are long on real consoles, in tests.
pub(crate) fn quick() -> Tuning {
    Tuning {
        backoff_first: Duration::from_millis(30),
        backoff_longest: Duration::from_millis(300),
        retry_first: Duration::from_millis(20),
        retry_longest: Duration::from_millis(100),
        history_retry: Duration::from_millis(100),
        types_wait: Duration::from_millis(600),
        tick: Duration::from_millis(30),
        clip_ready: Duration::from_millis(400),
        clip_retries: vec![Duration::from_millis(100); 5],
        thumbnail_every: Duration::from_millis(50),
        ..Tuning::default()
    }
}

impl Rig {
    pub(crate) async fn new(options: Options) -> Self {
        Self::tuned(options, quick()).await
    }

    pub(crate) async fn tuned(options: Options, tuning: Tuning) -> Self {
        let sim = Sim::start(options).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let protect = Protect::new(Arc::new(Wall), dir.path().to_owned(), tuning);
        Self { sim, protect, dir }
    }

    pub(crate) fn config(&self, with: With) -> ControllerConfig {
        let (account, key) = match with {
            With::Account => (true, false),
            With::Key => (false, true),
            With::Both => (true, true),
        };
        ControllerConfig {
            name: "House".into(),
            host: self.sim.address().ip().to_string(),
            port: self.sim.address().port(),
            api_key: key.then(|| Secret::new("sim-api-key")),
            username: account.then(|| "argus".into()),
            password: account.then(|| Secret::new("correct horse")),
            verify_tls: true,
            certificate_sha256: Some(self.sim.fingerprint()),
            is_enabled: true,
        }
    }

    pub(crate) fn open(&self, with: With) -> Open {
        self.open_with(self.config(with), None, None)
    }

    /// Opens a connection and waits until it stands.
    pub(crate) async fn connected(&self, with: With) -> Open {
        let open = self.open(with);
        let wanted = match with {
            With::Account => "local",
            With::Key => "integration",
            With::Both => "local+integration",
        };
        open.state(|s| s.status == ControllerStatus::Connected && s.interfaces == Some(wanted)).await;
        open
    }

    pub(crate) fn open_with(
        &self,
        config: ControllerConfig,
        kept: Option<Secret>,
        known_until: Option<Timestamp>,
    ) -> Open {
        let id: ControllerId = "01900000-0000-7000-8000-000000000000".parse().unwrap();
        let mut open = self.protect.open(ControllerPlan { id, config, kept, known_until });
        let items = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn({
            let items = Arc::clone(&items);
            async move {
                while let Some(item) = open.stream.next().await {
                    items.lock().unwrap().push(item);
                }
            }
        });
        Open { handle: open.handle, items, task }
    }

    pub(crate) fn sign_ins(&self) -> usize {
        self.sim.count_of("POST", LOGIN)
    }
}

pub(crate) struct Open {
    pub(crate) handle: Arc<dyn ControllerHandle>,
    items: Arc<Mutex<Vec<ControllerItem>>>,
    task: tokio::task::JoinHandle<()>,
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Open {
    pub(crate) fn items(&self) -> Vec<ControllerItem> {
        self.items.lock().unwrap().clone()
    }

    /// Waits for the state.
    pub(crate) async fn state(&self, holds: impl Fn(&ControllerState) -> bool) -> ControllerState {
        let deadline = Instant::now() + LIMIT;
        loop {
            let state = self.handle.state();
            if holds(&state) {
                return state;
            }
            assert!(Instant::now() < deadline, "the state stays {state:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn happenings(&self) -> Vec<Happening> {
        let happening = |item| if let ControllerItem::Happening(h) = item { Some(h) } else { None };
        self.items().into_iter().filter_map(happening).collect()
    }

    /// What was told of one detection: phase and strongest kind.
    pub(crate) fn told(&self, id: &str) -> Vec<(HappeningPhase, DetectionType)> {
        self.happenings().into_iter().filter(|h| h.id == id).map(|h| (h.phase, h.kinds[0])).collect()
    }

    /// Waits until a detection ended.
    pub(crate) async fn ended(&self, id: &str) {
        until(&format!("the end of {id}"), || {
            self.happenings().iter().any(|h| h.id == id && h.phase == HappeningPhase::Ended)
        })
        .await;
    }

    /// Waits until a detection was told.
    pub(crate) async fn began(&self, id: &str) {
        until(&format!("the beginning of {id}"), || self.happenings().iter().any(|h| h.id == id)).await;
    }

    pub(crate) fn kept(&self) -> Option<Secret> {
        let kept = |item| if let ControllerItem::Keep(kept) = item { Some(kept) } else { None };
        self.items().into_iter().filter_map(kept).next_back().flatten()
    }

    pub(crate) fn gaps(&self) -> Vec<(Timestamp, Timestamp, String)> {
        let gap = |item| {
            if let ControllerItem::Gap { from, until, reason } = item { Some((from, until, reason)) } else { None }
        };
        self.items().into_iter().filter_map(gap).collect()
    }

    /// Lets go of the connection without stopping it, and waits for the end of its items.
    pub(crate) async fn dropped(self) {
        drop(self.handle);
        tokio::time::timeout(LIMIT, self.task).await.unwrap().unwrap();
    }

    /// Stops the connection and waits for the end of its items.
    pub(crate) async fn stop(self) {
        self.handle.stop().await;
        tokio::time::timeout(LIMIT, self.task).await.unwrap().unwrap();
    }
}
