//! Every call is on the account: before it goes out with the most that it may cost, after it with what it did.

use std::time::Duration;

use argus_core::call::Refusal;
use argus_core::describe::{DescribeFailure, DescribeRequest, ProviderChoice};
use argus_core::event::StatusReason;
use argus_core::ports::Describer;
use argus_core::provider::{Prices, ProviderState};

use crate::fake::{Does, FakeVendor, GOOD, Rig, builtin, request, stored};

#[tokio::test(start_paused = true)]
async fn a_call_is_booked_with_all_that_goes_out() {
    let a = stored("a", 1);
    let vendor = FakeVendor::new([Does::Says(GOOD, 250)]);
    let rig = Rig::new(&[(&a, &vendor)]);
    rig.providers.configure(std::slice::from_ref(&a));
    let asked = request(2);
    let outcome = rig.providers.describe(&asked, &rig.book).await;
    let (_, booked) = rig.book.booked.lock().unwrap()[0].clone();
    assert_eq!((booked.provider_id, booked.provider_name.as_str(), booked.model.as_str()), (Some(a.id), "a", "fake-1"));
    assert_eq!((booked.host.as_deref(), booked.is_remote), (Some("203.0.113.7:8080"), true));
    assert_eq!(booked.price_version.as_deref(), Some("custom"));
    assert!(booked.prompt.ends_with("[picture 2]"), "{}", booked.prompt);
    assert_eq!(booked.prompt, outcome.record.prompt);
    assert_eq!(booked.parameters, outcome.record.parameters);
    assert_eq!(booked.parameters["max_tokens"], 400);
    assert_eq!(booked.frames.iter().map(|f| f.index).collect::<Vec<_>>(), [Some(0), Some(1)]);
    assert_eq!(booked.frames[0].sha256, asked.frames[0].sha256);
    assert_eq!(booked.frames[0].bytes, asked.frames[0].jpeg.len() as u64);
    assert!(booked.bytes > 0);

    let (_, settled) = rig.book.settled.lock().unwrap()[0].clone();
    assert_eq!((settled.tokens_input, settled.tokens_output), (Some(1000), Some(100)));
    assert_eq!((settled.cost, settled.cost_estimated), (Some(0.0011), true));
    assert!(booked.estimate.unwrap() > 0.0011, "{booked:?}");
    assert_eq!((settled.times.waited_ms, settled.times.first_byte_ms, settled.times.total_ms), (0, Some(1), 250));
    assert_eq!((settled.raw_answer.as_deref(), settled.bytes_received), (Some(GOOD), 7));
    assert_eq!(settled.result.unwrap(), outcome.result.unwrap());
    assert_eq!(outcome.record.cost, Some(0.0011));
}

#[tokio::test(start_paused = true)]
async fn what_failed_calls_cost_is_counted() {
    let (a, b, c) = (stored("a", 1), stored("b", 2), stored("c", 3));
    // The first answer is paid and cannot be read, the second call is refused at no cost.
    let unreadable = FakeVendor::new([Does::Says("no JSON at all", 0)]);
    let refused = FakeVendor::new([Does::Fails(DescribeFailure::ServerError, 0)]);
    let good = FakeVendor::new([Does::Says(GOOD, 0)]);
    let rig = Rig::new(&[(&a, &unreadable), (&b, &refused), (&c, &good)]);
    rig.providers.configure(&[a, b, c]);
    let outcome = rig.providers.describe(&request(1), &rig.book).await;
    assert_eq!((outcome.result.is_ok(), outcome.record.cost), (true, Some(0.0022)));
}

#[tokio::test(start_paused = true)]
async fn what_a_refused_way_of_asking_costs_is_counted() {
    let a = stored("a", 1);
    // Thoughts that used up the limit look like that: paid for, and asked again in another way.
    let vendor = FakeVendor::new([Does::WantsAnotherWay, Does::Says("no JSON at all", 0), Does::Says(GOOD, 0)]);
    let paid = FakeVendor::new([Does::ThinksTooLong, Does::ThinksTooLong, Does::Says(GOOD, 0)]);
    for (vendor, answers) in [(vendor, false), (paid, true)] {
        let rig = Rig::new(&[(&a, &vendor)]);
        rig.providers.configure(std::slice::from_ref(&a));
        let outcome = rig.providers.describe(&request(1), &rig.book).await;
        assert_eq!(outcome.result.is_ok(), answers);
        let settled: f64 = rig.book.settled.lock().unwrap().iter().filter_map(|(_, call)| call.cost).sum();
        assert!((outcome.record.cost.unwrap() - settled).abs() < 1e-12, "{:?} {settled}", outcome.record.cost);
        assert!(settled > 0.001);
        assert!(rig.book.is_closed());
    }
    // And of a try.
    let paid = FakeVendor::new([Does::ThinksTooLong, Does::Says(GOOD, 0)]);
    let rig = Rig::new(&[(&a, &paid)]);
    let tried = rig.providers.test(&a, &rig.book).await;
    let settled: f64 = rig.book.settled.lock().unwrap().iter().filter_map(|(_, call)| call.cost).sum();
    assert!((tried.cost.unwrap() - settled).abs() < 1e-12 && rig.book.names().len() == 2, "{tried:?} {settled}");
}

#[tokio::test(start_paused = true)]
async fn the_built_in_describer_is_free_whatever_its_prices_say() {
    let mut own = builtin();
    own.config.prices = Some(Prices { input_per_million: Some(5.0), output_per_million: None });
    let rig = Rig::new(&[]);
    rig.providers.configure(&[own]);
    assert!(!rig.providers.providers()[0].costs);
    let choice = ProviderChoice { spent: Some(StatusReason::BudgetDaily), ..ProviderChoice::default() };
    let outcome = rig.providers.describe(&DescribeRequest { choice, ..request(1) }, &rig.book).await;
    assert_eq!((outcome.result.is_ok(), outcome.record.cost), (true, Some(0.0)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_came_counts_with_the_estimate() {
    let a = stored("a", 1);
    let rig_vendor = FakeVendor::new([Does::TakesItsTime]);
    let rig = Rig::new(&[(&a, &rig_vendor)]);
    rig.providers.configure(&[a]);
    let outcome = rig.providers.describe(&request(1), &rig.book).await;
    let estimate = rig.book.booked.lock().unwrap()[0].1.estimate;
    assert!(estimate.is_some());
    assert_eq!((outcome.record.cost, outcome.record.cost_estimated), (estimate, true));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_broke_off_counts_with_the_estimate() {
    let a = stored("a", 1);
    let vendor = FakeVendor::new([Does::BreaksOff, Does::Fails(DescribeFailure::ServerError, 0)]);
    let rig = Rig::new(&[(&a, &vendor)]);
    rig.providers.configure(&[a]);
    let broken = rig.providers.describe(&request(1), &rig.book).await.record;
    let estimate = rig.book.booked.lock().unwrap()[0].1.estimate;
    assert_eq!((broken.cost, estimate.is_some()), (estimate, true));
    // A refusal is not paid for.
    let refused = rig.providers.describe(&request(1), &rig.book).await.record;
    assert_eq!(refused.cost, Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_price_stays_unknown() {
    let mut a = stored("a", 1);
    a.config.prices = Some(Prices::default());
    let vendor = FakeVendor::new([Does::Says(GOOD, 0)]);
    let rig = Rig::new(&[(&a, &vendor)]);
    rig.providers.configure(&[a]);
    let outcome = rig.providers.describe(&request(1), &rig.book).await;
    assert_eq!((outcome.record.cost, outcome.record.cost_estimated), (None, false));
    assert_eq!(rig.book.booked.lock().unwrap()[0].1.estimate, None);
    assert!(rig.providers.providers()[0].costs, "an unknown price may be any");
}

#[tokio::test(start_paused = true)]
async fn what_the_ledger_refuses_is_not_sent() {
    let (a, b) = (stored("a", 1), stored("b", 2));
    let (one, other) = (FakeVendor::new([Does::Says(GOOD, 0)]), FakeVendor::new([Does::Says(GOOD, 0)]));
    let rig = Rig::new(&[(&a, &one), (&b, &other)]);
    rig.providers.configure(&[a.clone(), b, builtin()]);
    *rig.book.refuses.lock().unwrap() =
        vec![("a".into(), Refusal::Budget(StatusReason::BudgetDaily)), ("b".into(), Refusal::LocalOnly)];
    let outcome = rig.providers.describe(&request(1), &rig.book).await;
    assert_eq!((one.calls(), other.calls()), (0, 0));
    let record = outcome.record;
    assert_eq!((record.provider.as_deref(), record.unpaid), (Some("builtin"), Some(StatusReason::BudgetDaily)));
    let messages: Vec<&str> = record.fallback_path.iter().map(|s| s.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "passed over: it may cost money, and the day's budget is spent",
            "passed over: it is outside of the own network, and `ai.local_only` is set",
        ]
    );
    // A budget is nothing that a provider is to blame for.
    assert_eq!(rig.providers.health(a.id).state, ProviderState::Unknown);

    // What cannot be booked is not sent, and nobody else is tried: they could not be booked either.
    *rig.book.refuses.lock().unwrap() = vec![("a".into(), Refusal::Unavailable("the database is gone".into()))];
    let error = rig.providers.describe(&request(1), &rig.book).await.result.unwrap_err();
    assert_eq!(error.message, "nothing was sent, because calls cannot be booked: the database is gone");
    assert_eq!((one.calls(), other.calls()), (0, 0));
    assert!(rig.book.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_unpaid_only_when_nothing_but_budgets_kept_it() {
    let (a, b) = (stored("a", 1), stored("b", 2));
    let (one, other) = (FakeVendor::new([Does::Says(GOOD, 0)]), FakeVendor::new([Does::Says(GOOD, 0)]));
    let rig = Rig::new(&[(&a, &one), (&b, &other)]);
    rig.providers.configure(&[a, b]);
    let day = || Refusal::Budget(StatusReason::BudgetDaily);
    for (second, unpaid) in [
        (day(), Some(StatusReason::BudgetDaily)),
        (Refusal::LocalOnly, None),
        (Refusal::Unavailable("the database is gone".into()), None),
    ] {
        *rig.book.refuses.lock().unwrap() = vec![("a".into(), day()), ("b".into(), second.clone())];
        let outcome = rig.providers.describe(&request(1), &rig.book).await;
        assert!(outcome.result.is_err());
        assert_eq!(outcome.record.unpaid, unpaid, "{second:?}");
    }
    assert_eq!((one.calls(), other.calls()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_does_not_use_up_a_limit() {
    let mut a = stored("a", 1);
    (a.config.max_concurrent, a.config.requests_per_minute) = (1, Some(1));
    let vendor = FakeVendor::new([Does::Says(GOOD, 0)]);
    let rig = Rig::new(&[(&a, &vendor)]);
    rig.providers.configure(&[a]);
    *rig.book.refuses.lock().unwrap() = vec![("a".into(), Refusal::Budget(StatusReason::BudgetMonthly))];
    rig.providers.describe(&request(1), &rig.book).await;
    rig.book.refuses.lock().unwrap().clear();
    assert!(rig.providers.describe(&request(1), &rig.book).await.result.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_asks_nobody_who_costs() {
    let a = stored("a", 1);
    let vendor = FakeVendor::new([Does::Says(GOOD, 0)]);
    let rig = Rig::new(&[(&a, &vendor)]);
    rig.providers.configure(&[a, builtin()]);
    let choice = ProviderChoice { spent: Some(StatusReason::BudgetMonthly), ..ProviderChoice::default() };
    let outcome = rig.providers.describe(&DescribeRequest { choice, ..request(1) }, &rig.book).await;
    assert_eq!(outcome.record.unpaid, Some(StatusReason::BudgetMonthly));
    assert_eq!((vendor.calls(), rig.book.names()), (0, vec!["builtin".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_stays_booked() {
    let a = stored("a", 1);
    let vendor = FakeVendor::new([Does::Hangs, Does::Says(GOOD, 0)]);
    let rig = Rig::new(&[(&a, &vendor)]);
    rig.providers.configure(&[a]);
    let asked = request(1);
    let describe = rig.providers.describe(&asked, &rig.book);
    assert!(tokio::time::timeout(Duration::from_secs(1), describe).await.is_err());
    // What was sent may be charged: it is on the account, unsettled, and counts with its estimate.
    assert_eq!((rig.book.names().len(), rig.book.settled.lock().unwrap().len()), (1, 0));
    // Its place is free again.
    assert!(rig.providers.describe(&request(1), &rig.book).await.result.is_ok());
}
