//! Order, fallback, deadline and breakers of the chain.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use argus_ai::{Builtin, Chain, OpenAi, OpenAiConfig, OpenAiKind, Provider};
use argus_core::call::Unbooked;
use argus_core::describe::{
    CallRecord, DescribeError, DescribeFailure, DescribeOutcome, DescribeRequest, Description, FallbackStep,
};
use argus_core::ports::Describer;
use argus_core::{ManualClock, Timestamp};
use async_trait::async_trait;

use crate::request;
use crate::server::{Reply, Server};

/// What a fake does when it is asked.
#[derive(Clone, Copy)]
enum Does {
    Answers,
    Fails(DescribeFailure),
    /// Takes money and fails.
    FailsFor(f64),
    /// So many seconds, and fails then.
    Takes(u64),
    /// Until its budget is used up, as a good provider does.
    TakesItsBudget,
    /// For ever, against the rules.
    Hangs,
}

struct Fake {
    name: &'static str,
    does: Mutex<Does>,
    calls: AtomicUsize,
}

impl Fake {
    fn new(name: &'static str, does: Does) -> Arc<Self> {
        Arc::new(Self { name, does: Mutex::new(does), calls: AtomicUsize::new(0) })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn now_does(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }
}

#[async_trait]
impl Provider for Fake {
    fn name(&self) -> &str {
        self.name
    }

    fn kind(&self) -> &'static str {
        "fake"
    }

    fn model(&self) -> &str {
        "fake-1"
    }

    fn needs_pictures(&self) -> bool {
        true
    }

    async fn call(&self, _request: &DescribeRequest, budget: Duration) -> DescribeOutcome {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let does = *self.does.lock().unwrap();
        let fail = |kind| Err(DescribeError { kind, message: "as told".into(), retry_after: None });
        let result = match does {
            Does::Answers => Ok(Description { text: format!("Said by {}.", self.name), ..Description::default() }),
            Does::Fails(kind) => fail(kind),
            Does::FailsFor(_) => fail(DescribeFailure::InvalidAnswer),
            Does::Takes(seconds) => {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                fail(DescribeFailure::ServerError)
            }
            Does::TakesItsBudget => {
                tokio::time::sleep(budget).await;
                fail(DescribeFailure::Timeout)
            }
            Does::Hangs => std::future::pending().await,
        };
        let record = CallRecord {
            provider_name: Some(self.name.into()),
            prompt: format!("prompt of {}", self.name),
            cost: if let Does::FailsFor(usd) = does { Some(usd) } else { None },
            ..CallRecord::default()
        };
        DescribeOutcome { record, result }
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_millis(1_766_485_800_000)))
}

fn chain(providers: &[&Arc<Fake>], clock: &Arc<ManualClock>) -> Chain {
    let providers = providers.iter().map(|p| Arc::clone(p) as Arc<dyn Provider>).collect();
    Chain::new(providers, Arc::<ManualClock>::clone(clock))
}

fn kinds(path: &[FallbackStep]) -> Vec<(&str, DescribeFailure)> {
    path.iter().map(|s| (s.provider_name.as_str(), s.error_kind)).collect()
}

#[tokio::test]
async fn the_first_that_answers_has_the_word() {
    let a = Fake::new("a", Does::Fails(DescribeFailure::Quota));
    let b = Fake::new("b", Does::Fails(DescribeFailure::Unauthorized));
    let c = Fake::new("c", Does::Answers);
    let d = Fake::new("d", Does::Answers);
    let outcome = chain(&[&a, &b, &c, &d], &clock()).describe(&request(1), &Unbooked).await;
    assert_eq!(outcome.result.unwrap().text, "Said by c.");
    assert_eq!(outcome.record.prompt, "prompt of c");
    assert_eq!(
        kinds(&outcome.record.fallback_path),
        [("a", DescribeFailure::Quota), ("b", DescribeFailure::Unauthorized)]
    );
    assert_eq!(outcome.record.fallback_path[0].message, "as told");
    assert_eq!([a.calls(), b.calls(), c.calls(), d.calls()], [1, 1, 1, 0]);
}

#[tokio::test]
async fn what_failed_calls_cost_is_counted() {
    let (a, b) = (Fake::new("a", Does::FailsFor(0.5)), Fake::new("b", Does::FailsFor(0.25)));
    let free = Fake::new("c", Does::Answers);
    let outcome = chain(&[&a, &b, &free], &clock()).describe(&request(1), &Unbooked).await;
    assert_eq!((outcome.result.is_ok(), outcome.record.cost), (true, Some(0.75)));
    let outcome = chain(&[&a, &b], &clock()).describe(&request(1), &Unbooked).await;
    assert_eq!((outcome.result.is_ok(), outcome.record.cost), (false, Some(0.75)));
    let outcome = chain(&[&free], &clock()).describe(&request(1), &Unbooked).await;
    assert_eq!(outcome.record.cost, None);
}

#[tokio::test]
async fn when_all_fail_the_record_is_that_of_the_last_call() {
    let a = Fake::new("a", Does::Fails(DescribeFailure::ServerError));
    let b = Fake::new("b", Does::Fails(DescribeFailure::RateLimited));
    let outcome = chain(&[&a, &b], &clock()).describe(&request(1), &Unbooked).await;
    assert_eq!(outcome.result.unwrap_err().kind, DescribeFailure::RateLimited);
    assert_eq!(outcome.record.prompt, "prompt of b");
    assert_eq!(kinds(&outcome.record.fallback_path), [("a", DescribeFailure::ServerError)]);

    let nobody = chain(&[], &clock());
    assert!(nobody.is_empty());
    assert_eq!(nobody.describe(&request(1), &Unbooked).await.result.unwrap_err().kind, DescribeFailure::Unreachable);
}

#[tokio::test]
async fn a_breaker_passes_over_and_lets_one_try() {
    let time = clock();
    let a = Fake::new("a", Does::Fails(DescribeFailure::ServerError));
    let b = Fake::new("b", Does::Answers);
    let chain = chain(&[&a, &b], &time);
    for _ in 0..5 {
        chain.describe(&request(1), &Unbooked).await;
    }
    assert_eq!(a.calls(), 5);
    let outcome = chain.describe(&request(1), &Unbooked).await;
    assert_eq!(a.calls(), 5, "asked in spite of its breaker");
    let step = &outcome.record.fallback_path[0];
    assert_eq!((step.error_kind, step.latency_ms), (DescribeFailure::ServerError, 0));
    assert!(step.message.starts_with("passed over: it failed 5 times in a row"), "{}", step.message);
    assert_eq!(b.calls(), 6);

    a.now_does(Does::Answers);
    time.advance(Duration::from_secs(60));
    assert_eq!(chain.describe(&request(1), &Unbooked).await.result.unwrap().text, "Said by a.");
    assert_eq!(chain.describe(&request(1), &Unbooked).await.result.unwrap().text, "Said by a.");
    assert_eq!(b.calls(), 6);
}

#[tokio::test]
async fn when_all_are_passed_over_it_says_so() {
    let a = Fake::new("a", Does::Fails(DescribeFailure::Quota));
    let chain = chain(&[&a], &clock());
    for _ in 0..5 {
        chain.describe(&request(1), &Unbooked).await;
    }
    let outcome = chain.describe(&request(1), &Unbooked).await;
    let error = outcome.result.unwrap_err();
    assert_eq!(error.kind, DescribeFailure::Quota);
    assert!(error.message.starts_with("passed over"), "{error}");
    assert_eq!(outcome.record.provider_name.as_deref(), Some("a"));
    assert!(outcome.record.fallback_path.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_for_all_together() {
    let a = Fake::new("a", Does::TakesItsBudget);
    let b = Fake::new("b", Does::Answers);
    let mut providers: Vec<Arc<dyn Provider>> = vec![Arc::<Fake>::clone(&a), Arc::<Fake>::clone(&b)];
    let begun = tokio::time::Instant::now();
    let outcome = Chain::new(providers.clone(), clock())
        .with_deadline(Duration::from_secs(10))
        .describe(&request(1), &Unbooked)
        .await;
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
    assert_eq!(outcome.result.unwrap_err().kind, DescribeFailure::Timeout);
    assert_eq!(outcome.record.prompt, "prompt of a", "the record of the call that was made");
    assert_eq!(kinds(&outcome.record.fallback_path), [("b", DescribeFailure::Timeout)]);
    assert_eq!(b.calls(), 0);

    // The built-in describer needs no time.
    providers.push(Arc::new(Builtin::new()));
    let outcome =
        Chain::new(providers, clock()).with_deadline(Duration::from_secs(10)).describe(&request(1), &Unbooked).await;
    assert_eq!(outcome.result.unwrap().text, "Motion on Front door in the zone Path for 8 seconds.");
    assert_eq!(outcome.record.fallback_path.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_ignores_its_budget_is_cut_off() {
    let a = Fake::new("a", Does::Hangs);
    let begun = tokio::time::Instant::now();
    let outcome = chain(&[&a], &clock()).with_deadline(Duration::from_secs(10)).describe(&request(1), &Unbooked).await;
    assert!(begun.elapsed() < Duration::from_secs(11));
    assert_eq!(outcome.result.unwrap_err().kind, DescribeFailure::Timeout);
    assert_eq!(outcome.record.provider_name.as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_was_left_little_time_is_not_blamed() {
    let a = Fake::new("a", Does::Takes(8));
    let b = Fake::new("b", Does::TakesItsBudget);
    let chain = chain(&[&a, &b], &clock()).with_deadline(Duration::from_secs(10));
    for _ in 0..5 {
        let outcome = chain.describe(&request(1), &Unbooked).await;
        assert_eq!(outcome.result.unwrap_err().kind, DescribeFailure::Timeout);
    }
    assert_eq!((a.calls(), b.calls()), (5, 5));
    // The first one's breaker is open now, so that the other has all the time: from here on it is to blame.
    for _ in 0..5 {
        chain.describe(&request(1), &Unbooked).await;
    }
    assert_eq!((a.calls(), b.calls()), (5, 10));
    chain.describe(&request(1), &Unbooked).await;
    assert_eq!(b.calls(), 10, "its own breaker is open now");
}

#[tokio::test]
async fn without_pictures_only_those_are_asked_that_need_none() {
    let a = Fake::new("a", Does::Answers);
    let alone = chain(&[&a], &clock());
    assert!(alone.needs_pictures());
    assert_eq!(alone.describe(&request(0), &Unbooked).await.result.unwrap_err().kind, DescribeFailure::InvalidAnswer);
    let with = Chain::new(vec![Arc::<Fake>::clone(&a), Arc::new(Builtin::new())], clock());
    assert!(!with.needs_pictures());
    let outcome = with.describe(&request(0), &Unbooked).await;
    assert!(outcome.result.is_ok());
    assert_eq!(outcome.record.provider.as_deref(), Some("builtin"));
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn real_endpoints_fall_back_to_the_builtin() {
    let broken = Server::start(vec![Reply::text(500, "oops")]).await;
    let silent = Server::start(vec![Reply::Hang]).await;
    let endpoint = |name: &str, server: &Server| -> Arc<dyn Provider> {
        let config = OpenAiConfig {
            name: name.into(),
            timeout: Duration::from_millis(200),
            ..OpenAiConfig::new(OpenAiKind::Compatible, server.base_url(), "m")
        };
        Arc::new(OpenAi::new(config).unwrap())
    };
    let chain =
        Chain::new(vec![endpoint("broken", &broken), endpoint("silent", &silent), Arc::new(Builtin::new())], clock());
    let outcome = chain.describe(&request(2), &Unbooked).await;
    assert!(outcome.result.is_ok());
    assert_eq!(outcome.record.provider.as_deref(), Some("builtin"));
    assert_eq!(
        kinds(&outcome.record.fallback_path),
        [("broken", DescribeFailure::ServerError), ("silent", DescribeFailure::Timeout)]
    );
    assert!(outcome.record.fallback_path[1].latency_ms >= 200);
}
