//! Order, falling back, the deadline, breakers and limits.

use std::time::Duration;

use argus_core::ProviderId;
use argus_core::describe::{DescribeFailure, DescribeRequest, FallbackStep, ProviderChoice, ProviderOrder};
use argus_core::ports::Describer;
use argus_core::provider::{BreakerState, Prices, ProviderConfig, ProviderState, StoredProvider};

use crate::fake::{Does, FakeVendor, GOOD, Rig, builtin, request, stored};

const SECOND: Duration = Duration::from_secs(1);

fn kinds(path: &[FallbackStep]) -> Vec<(&str, DescribeFailure)> {
    path.iter().map(|s| (s.provider_name.as_str(), s.error_kind)).collect()
}

fn with(stored: &StoredProvider, change: impl FnOnce(&mut ProviderConfig)) -> StoredProvider {
    let mut stored = stored.clone();
    change(&mut stored.config);
    stored
}

fn says() -> Does {
    Does::Says(GOOD, 0)
}

fn fails(kind: DescribeFailure) -> Does {
    Does::Fails(kind, 0)
}

#[tokio::test(start_paused = true)]
async fn the_first_that_answers_has_the_word() {
    let (a, b, c, d) = (stored("a", 1), stored("b", 2), stored("c", 3), stored("d", 4));
    let vendors = [
        FakeVendor::new([fails(DescribeFailure::Quota)]),
        FakeVendor::new([fails(DescribeFailure::Unauthorized)]),
        FakeVendor::new([says()]),
        FakeVendor::new([says()]),
    ];
    let rig = Rig::new(&[(&a, &vendors[0]), (&b, &vendors[1]), (&c, &vendors[2]), (&d, &vendors[3])]);
    // Given in any order, asked by priority.
    rig.providers.configure(&[d, b, a.clone(), c.clone()]);
    let outcome = rig.providers.describe(&request(2), &rig.book).await;
    assert_eq!(outcome.result.unwrap().text, "A man carries a parcel.");
    let record = outcome.record;
    assert_eq!((record.provider_id, record.provider_name.as_deref()), (Some(c.id), Some("c")));
    assert_eq!(record.provider.as_deref(), Some("openai_compatible"));
    assert_eq!(kinds(&record.fallback_path), [("a", DescribeFailure::Quota), ("b", DescribeFailure::Unauthorized)]);
    assert_eq!(record.fallback_path[0].message, "as told");
    assert_eq!(vendors.iter().map(|v| v.calls()).collect::<Vec<_>>(), [1, 1, 1, 0]);
    assert_eq!(rig.book.names(), ["a", "b", "c"]);
    assert!(rig.book.is_closed());
    // Whatever does not mend itself is not tried at the next description.
    let outcome = rig.providers.describe(&request(2), &rig.book).await;
    assert_eq!(
        outcome.record.fallback_path[0].message,
        "passed over: its account has no money left, next try in 300 s"
    );
    assert_eq!(outcome.record.fallback_path[1].message, "passed over: it refused the key, next try in 300 s");
    assert_eq!(rig.book.names().len(), 4, "what is passed over is no call");
    assert_eq!(rig.providers.health(a.id).state, ProviderState::Down);
    let figures = rig.providers.figures();
    let passed: Vec<(&str, u64)> = figures.iter().map(|f| (f.provider.as_str(), f.passed_over)).collect();
    assert_eq!(passed, [("a", 1), ("b", 1), ("c", 0), ("d", 0)]);
    assert_eq!((figures[0].state, figures[0].breaker), (ProviderState::Down, BreakerState::Open));
}

#[tokio::test(start_paused = true)]
async fn equal_priorities_go_by_id() {
    let (one, other) = (stored("one", 5), stored("other", 5));
    let vendor = FakeVendor::new([says()]);
    let rig = Rig::new(&[(&one, &vendor), (&other, &vendor)]);
    rig.providers.configure(&[other.clone(), one.clone()]);
    let names: Vec<String> = rig.providers.providers().into_iter().map(|p| p.name).collect();
    assert_eq!(names, if one.id < other.id { ["one", "other"] } else { ["other", "one"] });
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_the_record_is_that_of_the_last_call() {
    let (a, b) = (stored("a", 1), stored("b", 2));
    let (first, second) =
        (FakeVendor::new([fails(DescribeFailure::ServerError)]), FakeVendor::new([fails(DescribeFailure::Timeout)]));
    let rig = Rig::new(&[(&a, &first), (&b, &second)]);
    assert_eq!(
        rig.providers.describe(&request(1), &rig.book).await.result.unwrap_err().message,
        "there is no provider to ask"
    );
    rig.providers.configure(&[a, b]);
    let outcome = rig.providers.describe(&request(1), &rig.book).await;
    assert_eq!(outcome.result.unwrap_err().kind, DescribeFailure::Timeout);
    assert_eq!(outcome.record.provider_name.as_deref(), Some("b"));
    assert!(outcome.record.prompt.contains("Front door"));
    assert_eq!(kinds(&outcome.record.fallback_path), [("a", DescribeFailure::ServerError)]);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_passes_over_and_lets_one_try() {
    let (a, b) = (stored("a", 1), stored("b", 2));
    let (ill, well) = (FakeVendor::new([fails(DescribeFailure::ServerError)]), FakeVendor::new([says()]));
    let rig = Rig::new(&[(&a, &ill), (&b, &well)]);
    rig.providers.configure(&[a.clone(), b]);
    for _ in 0..5 {
        rig.providers.describe(&request(1), &rig.book).await;
    }
    assert_eq!(ill.calls(), 5);
    let health = rig.providers.health(a.id);
    assert_eq!((health.state, health.breaker), (ProviderState::Down, BreakerState::Open));
    let outcome = rig.providers.describe(&request(1), &rig.book).await;
    assert_eq!((ill.calls(), well.calls()), (5, 6), "asked in spite of its breaker");
    let step = &outcome.record.fallback_path[0];
    assert_eq!((step.error_kind, step.latency_ms), (DescribeFailure::ServerError, 0));
    assert_eq!(step.message, "passed over: it failed 5 times in a row, next try in 60 s");

    ill.now_does(says());
    rig.clock.advance(60 * SECOND);
    assert_eq!(rig.providers.health(a.id).breaker, BreakerState::HalfOpen);
    for _ in 0..2 {
        let outcome = rig.providers.describe(&request(1), &rig.book).await;
        assert_eq!(outcome.record.provider_name.as_deref(), Some("a"));
    }
    assert_eq!(rig.providers.health(a.id).state, ProviderState::Ok);
}

#[tokio::test(start_paused = true)]
async fn who_asks_to_be_left_alone_is() {
    let (a, b) = (stored("a", 1), stored("b", 2));
    let (busy, well) = (FakeVendor::new([Does::Limits(20), says()]), FakeVendor::new([says()]));
    let rig = Rig::new(&[(&a, &busy), (&b, &well)]);
    rig.providers.configure(&[a, b]);
    rig.providers.describe(&request(1), &rig.book).await;
    rig.clock.advance(19 * SECOND);
    let outcome = rig.providers.describe(&request(1), &rig.book).await;
    assert_eq!(outcome.record.fallback_path[0].message, "passed over: it asked to be left alone, next try in 1 s");
    rig.clock.advance(SECOND);
    let outcome = rig.providers.describe(&request(1), &rig.book).await;
    assert_eq!(outcome.record.provider_name.as_deref(), Some("a"));
    // When nobody is left, whoever asked is told when to come again.
    busy.now_does(Does::Limits(20));
    well.now_does(Does::Limits(30));
    rig.providers.describe(&request(1), &rig.book).await;
    let error = rig.providers.describe(&request(1), &rig.book).await.result.unwrap_err();
    assert_eq!(error.retry_after, Some(30 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_for_all_together() {
    let (a, b) = (stored("a", 1), stored("b", 2));
    let (slow, other) = (FakeVendor::new([Does::TakesItsTime]), FakeVendor::new([says()]));
    let rig = Rig::new(&[(&a, &slow), (&b, &other)]);
    rig.providers.configure(&[a.clone(), b.clone()]);
    let short = DescribeRequest { within: 10 * SECOND, ..request(1) };
    let begun = tokio::time::Instant::now();
    let outcome = rig.providers.describe(&short, &rig.book).await;
    assert_eq!(begun.elapsed(), 10 * SECOND);
    assert_eq!(outcome.result.unwrap_err().kind, DescribeFailure::Timeout);
    assert_eq!(outcome.record.provider_name.as_deref(), Some("a"), "the record of the call that was made");
    assert_eq!(kinds(&outcome.record.fallback_path), [("b", DescribeFailure::Timeout)]);
    assert_eq!(other.calls(), 0);
    // The built-in describer needs no time.
    rig.providers.configure(&[a, b, builtin()]);
    let outcome = rig.providers.describe(&short, &rig.book).await;
    assert_eq!(outcome.result.unwrap().text, "Motion on Front door in the zone Path for 8 seconds.");
    assert_eq!(outcome.record.fallback_path.len(), 2);
    assert!(rig.book.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_by_its_own_limit_and_one_that_ignores_it_is_cut_off() {
    let (a, b) = (stored("a", 1), stored("b", 2));
    let (slow, deaf) = (FakeVendor::new([Does::TakesItsTime]), FakeVendor::new([Does::Hangs]));
    let rig = Rig::new(&[(&a, &slow), (&b, &deaf)]);
    rig.providers.configure(&[with(&a, |c| c.timeout_s = 7), with(&b, |c| c.timeout_s = 5)]);
    let begun = tokio::time::Instant::now();
    let outcome = rig.providers.describe(&request(1), &rig.book).await;
    assert_eq!(begun.elapsed(), Duration::from_millis(12_500));
    let error = outcome.result.unwrap_err();
    assert_eq!(error.message, "cut off: it did not end in the time it was given");
    assert!(rig.book.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_was_left_little_time_is_not_blamed() {
    let (a, b) = (stored("a", 1), stored("b", 2));
    let slow = FakeVendor::new([Does::Fails(DescribeFailure::ServerError, 8_000)]);
    let hurried = FakeVendor::new([Does::TakesItsTime]);
    let rig = Rig::new(&[(&a, &slow), (&b, &hurried)]);
    rig.providers.configure(&[a.clone(), b.clone()]);
    let short = DescribeRequest { within: 10 * SECOND, ..request(1) };
    for _ in 0..5 {
        rig.providers.describe(&short, &rig.book).await;
    }
    assert_eq!(rig.providers.health(b.id).state, ProviderState::Degraded);
    // The first one's breaker is open now, so that the other has all the time: from here on it is to blame.
    for _ in 0..5 {
        rig.providers.describe(&short, &rig.book).await;
    }
    assert_eq!((slow.calls(), hurried.calls()), (5, 10));
    assert_eq!(rig.providers.health(b.id).breaker, BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn without_pictures_only_those_are_asked_that_need_none() {
    let a = stored("a", 1);
    let vendor = FakeVendor::new([says()]);
    let rig = Rig::new(&[(&a, &vendor)]);
    rig.providers.configure(std::slice::from_ref(&a));
    assert!(rig.providers.needs_pictures());
    let outcome = rig.providers.describe(&request(0), &rig.book).await;
    assert_eq!(outcome.result.unwrap_err().kind, DescribeFailure::InvalidAnswer);
    rig.providers.configure(&[a, builtin()]);
    assert!(!rig.providers.needs_pictures());
    let outcome = rig.providers.describe(&request(0), &rig.book).await;
    assert_eq!(outcome.record.provider.as_deref(), Some("builtin"));
    assert_eq!(outcome.record.cost, Some(0.0));
    assert_eq!(vendor.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_asked_for_is_asked_alone() {
    let (a, b, off) = (stored("a", 1), stored("b", 2), stored("off", 3));
    let (first, second) = (FakeVendor::new([says()]), FakeVendor::new([fails(DescribeFailure::ServerError)]));
    let rig = Rig::new(&[(&a, &first), (&b, &second), (&off, &first)]);
    rig.providers.configure(&[a, b, with(&off, |c| c.enabled = false)]);
    let only = |name: &str| {
        let choice = ProviderChoice { only: Some(name.into()), ..ProviderChoice::default() };
        DescribeRequest { choice, ..request(1) }
    };
    let outcome = rig.providers.describe(&only("b"), &rig.book).await;
    assert_eq!(outcome.result.unwrap_err().kind, DescribeFailure::ServerError);
    assert!(outcome.record.fallback_path.is_empty());
    for nobody in ["off", "c"] {
        let error = rig.providers.describe(&only(nobody), &rig.book).await.result.unwrap_err();
        assert_eq!(error.kind, DescribeFailure::Unreachable, "{nobody}");
    }
    assert_eq!(first.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_cheapest_comes_first_when_that_is_wished() {
    let at = |name: &str, priority, dollars: Option<f64>| {
        let prices = Prices { input_per_million: dollars, output_per_million: dollars };
        with(&stored(name, priority), |c| c.prices = Some(prices))
    };
    let (dear, cheap, unknown, free) =
        (at("dear", 1, Some(9.0)), at("cheap", 3, Some(0.5)), at("unknown", 2, None), at("free", 4, Some(0.0)));
    let vendor = FakeVendor::new([fails(DescribeFailure::InvalidAnswer)]);
    let rig = Rig::new(&[(&dear, &vendor), (&cheap, &vendor), (&unknown, &vendor), (&free, &vendor)]);
    rig.providers.configure(&[dear, cheap, unknown, free, builtin()]);
    let choice = ProviderChoice { order: ProviderOrder::Cheapest, ..ProviderChoice::default() };
    rig.providers.describe(&DescribeRequest { choice, ..request(1) }, &rig.book).await;
    assert_eq!(rig.book.names(), ["free", "cheap", "dear", "unknown", "builtin"]);
}

#[tokio::test(start_paused = true)]
async fn calls_wait_long_only_for_the_last_that_may_be_asked() {
    let (a, b) = (stored("a", 1), stored("b", 2));
    let (one, other) = (FakeVendor::new([Does::Says(GOOD, 9_000)]), FakeVendor::new([Does::Says(GOOD, 1_000)]));
    let rig = Rig::new(&[(&a, &one), (&b, &other)]);
    rig.providers.configure(&[with(&a, |c| (c.max_concurrent, c.timeout_s) = (1, 20)), with(&b, |c| c.timeout_s = 20)]);
    let ask = |within: u64| {
        let (providers, book) = (&rig.providers, &rig.book);
        async move {
            let request = DescribeRequest { within: Duration::from_secs(within), ..request(1) };
            providers.describe(&request, book).await.record
        }
    };
    // With a next provider nobody waits 9 s.
    let (x, y) = tokio::join!(ask(60), ask(60));
    assert_eq!((x.provider_name.as_deref(), y.provider_name.as_deref()), (Some("a"), Some("b")));
    let step = &y.fallback_path[0];
    assert_eq!(step.error_kind, DescribeFailure::RateLimited);
    assert_eq!(step.message, "passed over: the one call that it may have at a time is under way");
    // It waits 3 s for the first one, and none for the other.
    let waited = |rig: &Rig| -> Vec<u32> {
        rig.book.settled.lock().unwrap().drain(..).map(|(_, call)| call.times.waited_ms).collect()
    };
    assert_eq!(waited(&rig), [0, 0]);
    assert_eq!(other.asked.lock().unwrap()[0].1 - one.asked.lock().unwrap()[0].1, 3 * SECOND);
    // One that would be passed over is no reason to hurry: of 60 s, 20 are for the call.
    other.now_does(fails(DescribeFailure::Unauthorized));
    let only = |name: &str| ProviderChoice { only: Some(name.into()), ..ProviderChoice::default() };
    rig.providers.describe(&DescribeRequest { choice: only("b"), ..request(1) }, &rig.book).await;
    assert_eq!(waited(&rig), [0]);
    let (x, y, z) = tokio::join!(ask(60), ask(60), ask(60));
    for record in [x, y, z] {
        assert_eq!(record.provider_name.as_deref(), Some("a"));
    }
    assert_eq!(waited(&rig), [0, 9_000, 18_000]);
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_in_a_minute_than_may_be() {
    let (a, b) = (stored("a", 1), stored("b", 2));
    let (one, other) = (FakeVendor::new([says()]), FakeVendor::new([says()]));
    let rig = Rig::new(&[(&a, &one), (&b, &other)]);
    rig.providers.configure(&[with(&a, |c| c.requests_per_minute = Some(3)), b]);
    for n in 0..5 {
        let outcome = rig.providers.describe(&request(1), &rig.book).await;
        assert_eq!(outcome.record.provider_name.as_deref(), Some(if n < 3 { "a" } else { "b" }));
    }
    tokio::time::advance(60 * SECOND).await;
    let outcome = rig.providers.describe(&request(1), &rig.book).await;
    assert_eq!(outcome.record.provider_name.as_deref(), Some("a"));
    assert_eq!(one.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_cannot_be_asked_is_passed_over_with_the_reason() {
    let (a, b) = (stored("a", 1), stored("b", 2));
    let vendor = FakeVendor::new([says()]);
    let rig = Rig::new(&[(&b, &vendor)]);
    rig.providers.configure(&[a, b]);
    let outcome = rig.providers.describe(&request(1), &rig.book).await;
    let step = &outcome.record.fallback_path[0];
    assert!(step.message.starts_with("passed over: it cannot be asked: "), "{}", step.message);
    assert_eq!(rig.providers.health(ProviderId::new(crate::fake::now())).state, ProviderState::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_from_a_failure() {
    let (a, b) = (stored("a", 1), stored("b", 2));
    let described = async |one: Does, other: Does, refused: Vec<(ProviderId, String)>| {
        let (one, other) = (FakeVendor::new([one]), FakeVendor::new([other]));
        let rig = Rig::new(&[(&a, &one), (&b, &other)]);
        rig.providers.configure(&[a.clone(), b.clone()]);
        let choice = ProviderChoice { refused, ..ProviderChoice::default() };
        let outcome = rig.providers.describe(&DescribeRequest { choice, ..request(1) }, &rig.book).await;
        let known: Vec<bool> = rig.book.settled.lock().unwrap().iter().map(|(_, call)| call.is_refusal).collect();
        (
            outcome.result.is_ok(),
            outcome.record.refused,
            (one.calls(), other.calls()),
            known,
            rig.providers.health(a.id),
        )
    };
    let down = || Does::Fails(DescribeFailure::ServerError, 0);
    let nobody = Vec::new;
    // All refuse.
    let (ok, refused, calls, known, health) = described(Does::Refuses, Does::Refuses, nobody()).await;
    assert_eq!((ok, refused, calls, known), (false, true, (1, 1), vec![true, true]));
    // It answered, though not what was wished for: it is not left alone for that.
    assert_eq!(health.breaker, BreakerState::Closed);
    // Who is down may still describe it.
    let (ok, refused, ..) = described(Does::Refuses, down(), nobody()).await;
    assert_eq!((ok, refused), (false, false));
    // Who refused before is not asked, and counts as one who does.
    let before = || vec![(a.id, "fake-1".to_owned())];
    let (ok, refused, calls, ..) = described(Does::Says(GOOD, 0), Does::Refuses, before()).await;
    assert_eq!((ok, refused, calls), (false, true, (0, 1)));
    let (ok, refused, calls, ..) = described(Does::Says(GOOD, 0), Does::Says(GOOD, 0), before()).await;
    assert_eq!((ok, refused, calls), (true, false, (0, 1)));
    // Another model is another judge.
    let (ok, _, calls, ..) = described(Does::Says(GOOD, 0), down(), vec![(a.id, "fake-0".to_owned())]).await;
    assert_eq!((ok, calls), (true, (1, 0)));
}
