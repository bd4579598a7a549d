//! The account of what is sent and spent: every call is booked in it before anything leaves the machine.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use argus_core::call::{CallPurpose, Ledger, PlannedCall, Refusal, SettledCall};
use argus_core::camera::AnalysisMode;
use argus_core::settings::Settings;
use argus_core::{AnalysisId, CallId, CameraId, Classify, ErrorClass, EventId, chain};
use argus_db::{BudgetRules, DbError, NewCall};
use async_trait::async_trait;
use tokio::time::{Instant, sleep};
use tracing::{error, warn};

use crate::Deps;

/// Between tries of storing what came of a call, seconds.
pub(crate) const STORE_PAUSES_S: [u64; 3] = [1, 2, 4];

/// The limits that hold now.
pub(crate) fn rules(settings: &Settings) -> BudgetRules {
    BudgetRules { limits: settings.ai.budgets.clone(), timezone: settings.general.timezone.clone() }
}

/// What calls are made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cause {
    pub(crate) purpose: CallPurpose,
    pub(crate) analysis_id: Option<AnalysisId>,
    pub(crate) event_id: Option<EventId>,
    pub(crate) camera_id: Option<CameraId>,
    pub(crate) mode: Option<AnalysisMode>,
}

impl Cause {
    /// Of a call that belongs to no event.
    pub(crate) fn apart(purpose: CallPurpose, mode: Option<AnalysisMode>) -> Self {
        Self { purpose, analysis_id: None, event_id: None, camera_id: None, mode }
    }
}

/// The ledger of one question.
pub(crate) struct Account<'a> {
    deps: &'a Deps,
    cause: Cause,
    booked: AtomicU32,
    took_ms: AtomicU64,
    names: std::sync::Mutex<Vec<(CallId, String)>>,
}

impl<'a> Account<'a> {
    pub(crate) fn new(deps: &'a Deps, cause: Cause) -> Self {
        let names = std::sync::Mutex::default();
        Self { deps, cause, booked: AtomicU32::new(0), took_ms: AtomicU64::new(0), names }
    }

    /// How many calls went out.
    pub(crate) fn booked(&self) -> u32 {
        self.booked.load(Ordering::Relaxed)
    }

    /// The last call that went out.
    pub(crate) fn last(&self) -> Option<CallId> {
        crate::camera::lock(&self.names).last().map(|(id, _)| *id)
    }

    /// How long keeping the account took.
    pub(crate) fn took_ms(&self) -> u32 {
        u32::try_from(self.took_ms.load(Ordering::Relaxed)).unwrap_or(u32::MAX)
    }

    fn note_time(&self, since: Instant) {
        let ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.took_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

#[async_trait]
impl Ledger for Account<'_> {
    async fn book(&self, call: &PlannedCall) -> Result<CallId, Refusal> {
        let settings = self.deps.settings.now();
        if call.is_remote && settings.ai.local_only {
            return Err(Refusal::LocalOnly);
        }
        let (begun, at) = (Instant::now(), self.deps.clock.now());
        let new = NewCall {
            id: CallId::new(at),
            at,
            purpose: self.cause.purpose,
            analysis_id: self.cause.analysis_id,
            event_id: self.cause.event_id,
            camera_id: self.cause.camera_id,
            analysis_mode: self.cause.mode,
            planned: call.clone(),
        };
        let booked = self.deps.db.ai_call_book(new, rules(&settings)).await;
        self.note_time(begun);
        match booked {
            Ok(Ok(id)) => {
                self.booked.fetch_add(1, Ordering::Relaxed);
                crate::camera::lock(&self.names).push((id, call.provider_name.clone()));
                Ok(id)
            }
            Ok(Err(budget)) => Err(Refusal::Budget(budget)),
            Err(e) => {
                warn!("a call could not be booked and is not made: {}", chain(&e));
                Err(Refusal::Unavailable(format!("the call could not be booked: {e}")))
            }
        }
    }

    async fn settle(&self, id: CallId, settled: &SettledCall) {
        let begun = Instant::now();
        let name = crate::camera::lock(&self.names).iter().find(|(of, _)| *of == id).map(|(_, name)| name.clone());
        self.deps.counters.call(name.as_deref().unwrap_or("unknown"), settled);
        let store = || {
            let rules = rules(&self.deps.settings.now());
            self.deps.db.ai_call_settle(id, settled.clone(), rules, self.deps.clock.now())
        };
        if let Err(e) = with_patience(store).await {
            error!(call.id = %id, "what came of a call could not be stored, it counts with its estimate: {}", chain(&e));
        }
        self.note_time(begun);
    }
}

/// Stores what may have been paid for: a database that is away for a moment must not lose it.
pub(crate) async fn with_patience<T, F: Future<Output = Result<T, DbError>>>(
    store: impl Fn() -> F,
) -> Result<T, DbError> {
    let mut pauses = STORE_PAUSES_S.into_iter();
    loop {
        match store().await {
            Ok(done) => return Ok(done),
            Err(e) => match pauses.next() {
                Some(seconds) if e.class() == ErrorClass::Unavailable => {
                    warn!("what came of a call could not be stored yet: {}", chain(&e));
                    sleep(Duration::from_secs(seconds)).await;
                }
                _ => return Err(e),
            },
        }
    }
}
