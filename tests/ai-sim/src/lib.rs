//! Fake vendors of vision models that speak each vendor's wire format, for tests.
//!
//! An [`AiSim`] is a real HTTP server on a free loopback port. It refuses what the real vendor refuses (a missing header,
//! an unknown field, a role that does not exist, base64 that is none, too many pictures), answers as the real one does,
//! fails on demand in each of the [`Fault`]s, and keeps every request. It has a thread of its own, so that tests of any
//! kind can use it, also those whose time stands still.
//!
//! Forms are those that the vendors document; [`sample`] holds one exchange of each, with the page that it is written
//! after. What it must not know: Argus. Nothing of it is used here.
//!
//! ```
//! use argus_ai_sim::{AiSim, Dialect, Fault};
//!
//! let sim = AiSim::start(Dialect::Anthropic);
//! sim.answer(r#"{"description": "A cat."}"#);
//! sim.fault_next(1, Fault::Overloaded);
//! assert!(sim.base_url().starts_with("http://127.0.0.1:"));
//! assert!(sim.requests().is_empty());
//! ```

// A package for tests alone: what cannot go wrong there may panic.
#![expect(clippy::expect_used, reason = "a fake that cannot be started ends the test that wanted it")]

mod check;
mod dialect;
mod fault;
mod journal;
mod reply;
mod samples;
mod server;
mod settings;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

pub use self::dialect::Dialect;
pub use self::fault::Fault;
pub use self::journal::Request;
pub use self::samples::{Sample, SampleRequest, sample};
use self::server::Running;
pub use self::settings::Lack;
use self::settings::Settings;

/// A fake vendor; it ends with the value.
pub struct AiSim {
    dialect: Dialect,
    running: Running,
    settings: Arc<Mutex<Settings>>,
}

impl AiSim {
    /// Listens on a free loopback port and answers [`default_answer`] to everything that is asked in the right form.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start(dialect: Dialect) -> Self {
        let settings = Arc::new(Mutex::new(Settings::default()));
        let running = Running::start(dialect, Arc::clone(&settings));
        Self { dialect, running, settings }
    }

    /// What it speaks.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// What a provider is given as its base URL.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}{}", self.running.address, self.dialect.base_path())
    }

    /// All requests so far, in order; those that were refused or met a fault, too.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    /// How many questions came so far, whether their requests are still kept or not.
    #[must_use]
    pub fn questions(&self) -> u64 {
        self.lock().questions
    }

    /// Keeps no more than the newest so many requests; 20,000 without it.
    pub fn keep(&self, most: usize) {
        self.lock().most = most;
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.lock().requests.clear();
    }

    /// Every question meets this fault from now on, behind those of [`AiSim::fault_next`].
    pub fn fault(&self, fault: Fault) {
        self.lock().always = Some(fault);
    }

    /// The next `n` questions meet this fault; calls add up to a queue.
    pub fn fault_next(&self, n: usize, fault: Fault) {
        self.lock().next.extend(std::iter::repeat_n(fault, n));
    }

    /// No more faults.
    pub fn recover(&self) {
        let mut settings = self.lock();
        settings.next.clear();
        settings.always = None;
    }

    /// The model's words from now on.
    pub fn answer(&self, text: impl Into<String>) {
        let text = text.into();
        self.answer_by(move |_| text.clone());
    }

    /// The model's words from now on, made of the question.
    pub fn answer_by(&self, words: impl Fn(&Request) -> String + Send + Sync + 'static) {
        self.lock().words = Arc::new(words);
    }

    /// Waits so long before each answer to a question.
    pub fn latency(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    /// Takes this key alone; without it any key is taken.
    pub fn key(&self, key: impl Into<String>) {
        self.lock().key = Some(key.into());
    }

    /// Knows these models alone, and lists them; without it any model is taken, and [`DEFAULT_MODEL`] is listed.
    pub fn models(&self, names: &[&str]) {
        self.lock().models = Some(names.iter().map(|name| (*name).to_owned()).collect());
    }

    /// Is without these abilities, as older or smaller servers are.
    pub fn lacks(&self, lacks: &[Lack]) {
        self.lock().lacks = lacks.to_vec();
    }

    /// Tokens in and out that are told of each answer; 1200 and 40 without it.
    pub fn tokens(&self, input: u32, output: u32) {
        self.lock().tokens = (input, output);
    }

    /// Cost in US dollars that is told of each answer where the vendor tells it; nothing without it.
    pub fn cost(&self, dollars: f64) {
        self.lock().cost = Some(dollars);
    }

    fn lock(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for AiSim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AiSim").field("dialect", &self.dialect).field("address", &self.running.address).finish()
    }
}

/// The model that is listed when no others are named.
pub const DEFAULT_MODEL: &str = "sim-vision";

/// A person at a door, 91 percent, with a reason.
#[must_use]
pub fn default_answer() -> Value {
    serde_json::json!({
        "description": "A person in a dark coat walks to the door.",
        "objects": ["person"],
        "confidence": 91,
        "reason": "The person is fully in view."
    })
}
