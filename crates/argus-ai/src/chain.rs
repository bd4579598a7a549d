//! Describers in order: the first that answers, with what was passed over and what failed on the way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use argus_core::Clock;
use argus_core::call::Ledger;
use argus_core::describe::{
    CallRecord, DescribeError, DescribeFailure, DescribeOutcome, DescribeRequest, FallbackStep, ProviderInfo, Resend,
};
use argus_core::event::StatusReason;
use argus_core::ports::Describer;
use argus_core::provider::{ProviderTest, StoredProvider};
use async_trait::async_trait;

use crate::breaker::{Admission, Breaker};
use crate::provider::{Provider, failure, millis, record_of};

/// Limit for all providers of one description together, unless another is given.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(120);

/// How much longer than its budget a provider may take before it is cut off: its own end of time comes first, so that
/// the record of the call is complete.
const GRACE: Duration = Duration::from_millis(500);

/// Providers in order of preference, each behind a breaker. Whether the built-in describer has the last word is decided
/// by putting it last.
///
/// There is no second try of the same provider: the next one is asked at once, and when all have failed, whoever asked
/// tries again later.
pub struct Chain {
    links: Vec<Link>,
    clock: Arc<dyn Clock>,
    deadline: Duration,
}

struct Link {
    provider: Arc<dyn Provider>,
    breaker: Breaker,
}

impl Chain {
    /// A chain of providers, first things first; `clock` decides how long a breaker stays open.
    #[must_use]
    pub fn new(providers: Vec<Arc<dyn Provider>>, clock: Arc<dyn Clock>) -> Self {
        let links = providers.into_iter().map(|provider| Link { provider, breaker: Breaker::default() }).collect();
        Self { links, clock, deadline: DEFAULT_DEADLINE }
    }

    /// The same with another limit for all providers of one description together.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Whether there is nobody to ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Lets a provider be asked, or says why it is passed over.
    fn admit<'a>(
        &self,
        link: &'a Link,
        request: &DescribeRequest,
        left: Duration,
    ) -> Result<Admission<'a>, DescribeError> {
        if let Some(limit) = request.choice.spent.filter(|_| link.provider.costs()) {
            return Err(failure(DescribeFailure::Quota, format!("passed over: {}", spent(limit))));
        }
        if request.frames.is_empty() && link.provider.needs_pictures() {
            return Err(failure(DescribeFailure::InvalidAnswer, "passed over: it needs pictures, and there are none"));
        }
        if left.is_zero() && !link.provider.is_instant() {
            return Err(failure(DescribeFailure::Timeout, "passed over: no time was left"));
        }
        link.breaker.admit(self.clock.now())
    }

    /// Asks one provider, and cuts it off when it does not keep to its budget.
    async fn ask(link: &Link, request: &DescribeRequest, left: Duration) -> DescribeOutcome {
        let started = Instant::now();
        match tokio::time::timeout(left.saturating_add(GRACE), link.provider.call(request, left)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => DescribeOutcome {
                record: CallRecord { latency_ms: Some(millis(started.elapsed())), ..record_of(&*link.provider) },
                result: Err(failure(DescribeFailure::Timeout, "cut off: it did not end in the time it was given")),
            },
        }
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.links.iter().map(|l| l.provider.name()).collect();
        f.debug_struct("Chain").field("providers", &names).field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

#[async_trait]
impl Describer for Chain {
    /// Pictures are needed when nobody in the chain can do without.
    fn needs_pictures(&self) -> bool {
        self.links.iter().all(|link| link.provider.needs_pictures())
    }

    fn providers(&self) -> Vec<ProviderInfo> {
        let info = |link: &Link| ProviderInfo {
            id: link.provider.id(),
            name: link.provider.name().to_owned(),
            costs: link.provider.costs(),
        };
        self.links.iter().map(info).collect()
    }

    async fn describe(&self, request: &DescribeRequest, _ledger: &dyn Ledger) -> DescribeOutcome {
        let begun = tokio::time::Instant::now();
        let mut path: Vec<FallbackStep> = Vec::new();
        // The failed call whose record becomes the outcome's when all fail, and its step in the path.
        let mut last: Option<(CallRecord, DescribeError, usize)> = None;
        // What failed calls cost: it was paid all the same.
        let mut wasted: Option<f64> = None;
        let wanted = |link: &&Link| request.choice.only.as_deref().is_none_or(|name| link.provider.name() == name);
        for link in self.links.iter().filter(wanted) {
            let provider = &link.provider;
            let left = self.deadline.saturating_sub(begun.elapsed());
            let admission = match self.admit(link, request, left) {
                Ok(admission) => admission,
                Err(why) => {
                    path.push(step(&**provider, &why, 0));
                    continue;
                }
            };
            let asked = Instant::now();
            let DescribeOutcome { mut record, result } = Self::ask(link, request, left).await;
            let error = match result {
                Ok(description) => {
                    admission.succeeded();
                    record.fallback_path = path;
                    record.cost = sum(record.cost, wasted);
                    return DescribeOutcome { record, result: Ok(description) };
                }
                Err(error) => error,
            };
            // A provider that the others left hardly any time is not to blame for having used it up.
            let cut_short = error.kind == DescribeFailure::Timeout && left * 2 < self.deadline;
            if !cut_short && admission.failed(error.kind, self.clock.now()) {
                tracing::warn!(provider.name = provider.name(), error.kind = %error.kind, "breaker opened: the provider is passed over for a while");
            }
            let latency_ms = record.latency_ms.unwrap_or_else(|| millis(asked.elapsed()));
            tracing::warn!(
                provider.name = provider.name(), provider.model = provider.model(), error.kind = %error.kind,
                elapsed_ms = latency_ms, reason = error.message, "describer failed"
            );
            path.push(step(&**provider, &error, latency_ms));
            wasted = sum(wasted, record.cost);
            last = Some((record, error, path.len() - 1));
        }
        let mut outcome = all_failed(path, last, self.links.iter().rfind(|link| wanted(link)));
        // The last call is among them.
        outcome.record.cost = wasted;
        outcome
    }

    async fn test(&self, provider: &StoredProvider, _ledger: &dyn Ledger) -> ProviderTest {
        ProviderTest {
            success: false,
            message: "cannot be tried".to_owned(),
            error_kind: Some(DescribeFailure::ServerError),
            model: provider.config.model.clone(),
            models: Vec::new(),
            description: None,
            latency_ms: 0,
            tokens_used: None,
            cost: None,
        }
    }

    async fn resend(&self, _call: &Resend, _ledger: &dyn Ledger) -> DescribeOutcome {
        all_failed(Vec::new(), None, None)
    }
}

/// The outcome when nobody answered: the record of the last call, or, when none was made, of the last that was passed
/// over; the path holds all the others.
fn all_failed(
    mut path: Vec<FallbackStep>,
    last: Option<(CallRecord, DescribeError, usize)>,
    end: Option<&Link>,
) -> DescribeOutcome {
    let (mut record, error) = match (last, end) {
        (Some((record, error, at)), _) => {
            path.remove(at);
            (record, error)
        }
        (None, Some(link)) => {
            let error = path.pop().map_or_else(
                || failure(DescribeFailure::Unreachable, "nobody was asked"),
                |step| failure(step.error_kind, step.message),
            );
            (record_of(&*link.provider), error)
        }
        (None, None) => (CallRecord::default(), failure(DescribeFailure::Unreachable, "there is no provider to ask")),
    };
    record.fallback_path = path;
    DescribeOutcome { record, result: Err(error) }
}

/// Two costs together; unknown only when both are.
fn sum(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (one, other) => one.or(other),
    }
}

/// A limit that is used up, in words.
fn spent(limit: StatusReason) -> &'static str {
    match limit {
        StatusReason::BudgetDaily => "it may cost money, and the day's budget is spent",
        StatusReason::BudgetMonthly => "it may cost money, and the month's budget is spent",
        _ => "it may cost money",
    }
}

fn step(provider: &dyn Provider, error: &DescribeError, latency_ms: u32) -> FallbackStep {
    FallbackStep {
        provider_name: provider.name().to_owned(),
        model: provider.model().to_owned(),
        error_kind: error.kind,
        message: error.message.clone(),
        latency_ms,
    }
}
