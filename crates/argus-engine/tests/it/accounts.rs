//! The account of calls: on record before they go out, counted once, never more than the budget.

use std::time::Duration;

use argus_core::Clock;
use argus_core::call::CallPurpose;
use argus_core::describe::AnalysisStatus;
use argus_core::event::{DescriptionStatus, StatusReason};
use argus_core::ports::Control as _;
use argus_core::usage::UsageGroupBy;
use serde_json::json;

use crate::describer::Answer;
use crate::stage::{Stage, wait};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn cat(cost: f64) -> Answer {
    Answer::Says { text: "A cat.", confidence: Some(80), cost: Some(cost) }
}

/// US dollars of the last day.
async fn spent(stage: &Stage) -> f64 {
    let now = stage.clock.now();
    stage.db.ai_spent(now.minus(DAY), now.plus(DAY)).await.unwrap()
}

/// Hosts that were sent anything.
async fn sent(stage: &Stage) -> u64 {
    let now = stage.clock.now();
    stage.db.ai_egress(now.minus(DAY), now.plus(DAY), 1, 10).await.unwrap().total
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_shows_every_call_and_how_long_its_steps_took() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    stage.script.answers(Answer::Fails(argus_core::describe::DescribeFailure::ServerError));
    let id = stage.event(&camera, 2).await;
    wait("the first try", || async {
        stage.receipts(id).await.first().filter(|r| r.status == AnalysisStatus::Failed).map(|_| ())
    })
    .await;
    stage.script.answers(cat(0.25));
    stage.clock.advance(Duration::from_secs(11));
    stage.nudge().await;
    stage.until(id, |e| e.description_status == DescriptionStatus::Described).await;
    let receipts = stage.receipts(id).await;
    let calls: Vec<_> = receipts.iter().flat_map(|r| &r.calls).collect();
    assert_eq!((receipts.len(), calls.len()), (2, 2));
    assert_eq!((calls[0].cost, calls[0].error_kind, calls[0].frames.len()), (Some(0.25), None, 2));
    assert_eq!(calls[1].error.as_deref(), Some("as told"));
    assert_eq!(calls[0].times.unwrap().total_ms, 7);
    // It could have been tried a second before it was.
    assert_eq!(receipts[0].steps.unwrap().queued_ms, 1000);
    let call = stage.db.ai_call_get(calls[0].id).await.unwrap().unwrap();
    assert_eq!((call.purpose, call.event_id, call.camera_id), (CallPurpose::Event, Some(id), Some(camera.id)));
    assert_eq!((call.prompt.as_deref(), call.bytes_sent), (Some("the whole prompt"), 1000));
    assert_eq!((sent(&stage).await, spent(&stage).await), (2, 0.25));
    let figures = argus_core::ports::Control::figures(&*stage.engine).await;
    assert_eq!(
        figures.calls.iter().map(|c| (c.provider.as_str(), c.succeeded, c.failed)).collect::<Vec<_>>(),
        [("Paid", 1, 1)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_do_not_spend_more_than_there_is() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    stage.put(json!({"ai": {"concurrency": 8, "budgets": {"daily_usd": 1}}})).await;
    *stage.script.estimate.lock().unwrap() = Some(0.4);
    stage.script.close();
    let mut events = Vec::new();
    for _ in 0..8 {
        stage.script.answers(cat(0.4));
        events.push(stage.event(&camera, 1).await);
    }
    // Two may be under way; for the others there is too little left.
    stage.calls(8).await;
    wait("those for whom there is nothing", || async {
        let mut skipped = 0;
        for id in &events {
            skipped += usize::from(stage.get(*id).await.status_reason == Some(StatusReason::BudgetDaily));
        }
        (skipped == 6).then_some(())
    })
    .await;
    stage.script.open();
    wait("the two", || async {
        let mut described = 0;
        for id in &events {
            described += usize::from(stage.get(*id).await.description_status == DescriptionStatus::Described);
        }
        (described == 2).then_some(())
    })
    .await;
    assert_eq!(spent(&stage).await, 0.8);
    let receipts = async |id| stage.receipts(id).await.len();
    for id in &events {
        let described = stage.get(*id).await.description_status == DescriptionStatus::Described;
        assert_eq!(receipts(*id).await, usize::from(described), "nobody was asked: there is nothing to show");
    }
    // The next day there is money again.
    stage.clock.advance(DAY - Duration::from_secs(3600));
    for _ in 0..2 {
        stage.nudge().await;
        stage.idle().await;
    }
    assert_eq!(stage.script.asked().len(), 8 + 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_came_before_a_crash_is_used_after_it() {
    let mut stage = Stage::start().await;
    let camera = stage.resting().await;
    stage.script.after.forget_permits(usize::MAX);
    stage.script.answers(cat(0.25));
    let id = stage.event(&camera, 2).await;
    wait("the stored answer", || async { (spent(&stage).await > 0.0).then_some(()) }).await;
    assert_eq!(stage.get(id).await.description_status, DescriptionStatus::Pending);
    stage.again().await;
    stage.script.after.add_permits(1000);
    let event = stage.until(id, |e| e.description_status == DescriptionStatus::Described).await;
    assert_eq!((event.description.as_str(), event.ai_cost, event.frame_count_used), ("A cat.", Some(0.25), Some(2)));
    assert_eq!((stage.script.calls(), spent(&stage).await), (1, 0.25));
    let receipts = stage.receipts(id).await;
    assert_eq!((receipts.len(), receipts[0].status, receipts[0].calls.len()), (1, AnalysisStatus::Succeeded, 1));
    assert_eq!(receipts[0].prompt, "the whole prompt");
    assert!(receipts[0].raw_answer.as_deref().unwrap().contains("A cat."));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_while_the_server_stops_is_kept() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    stage.script.close();
    stage.script.answers(cat(0.25));
    let id = stage.described_later(&camera).await;
    let engine = std::sync::Arc::clone(&stage.engine);
    let stopping = tokio::spawn(async move { engine.stop().await });
    wait("the stop", || async {
        argus_core::ports::Control::settings_put(&*stage.engine, json!({})).await.err().map(|_| ())
    })
    .await;
    stage.script.open();
    stopping.await.unwrap();
    assert_eq!(stage.get(id).await.description_status, DescriptionStatus::Described);
    assert_eq!(spent(&stage).await, 0.25);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_cut_off_counts_with_the_most_that_it_may_have_cost() {
    let mut stage = Stage::start().await;
    let camera = stage.resting().await;
    *stage.script.estimate.lock().unwrap() = Some(0.5);
    stage.script.close();
    stage.script.answers(cat(0.125));
    let id = stage.event(&camera, 1).await;
    wait("the booked call", || async { (sent(&stage).await == 1).then_some(()) }).await;
    assert_eq!(spent(&stage).await, 0.0);
    stage.clock.advance(Duration::from_secs(1));
    stage.again().await;
    assert_eq!(spent(&stage).await, 0.5);
    stage.script.open();
    stage.until(id, |e| e.description_status == DescriptionStatus::Described).await;
    assert_eq!((spent(&stage).await, sent(&stage).await), (0.625, 2));
    let receipts = stage.receipts(id).await;
    assert!(receipts[1].calls[0].error.as_deref().unwrap().starts_with("interrupted"), "{receipts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_local_only_nothing_leaves() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    stage.put(json!({"ai": {"local_only": true}})).await;
    let id = stage.event(&camera, 1).await;
    let receipt = wait("the receipt", || async {
        stage.receipts(id).await.into_iter().find(|r| r.status == AnalysisStatus::Failed)
    })
    .await;
    assert_eq!((receipt.calls.len(), sent(&stage).await), (0, 0));
    assert!(receipt.error.unwrap().contains("LocalOnly"));
    stage.put(json!({"ai": {"local_only": false}})).await;
    stage.clock.advance(Duration::from_secs(11));
    stage.nudge().await;
    stage.until(id, |e| e.description_status == DescriptionStatus::Described).await;
    assert_eq!(sent(&stage).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_event_leaves_only_its_account() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    stage.script.answers(cat(0.25));
    let id = stage.described(&camera, 1).await;
    let call = stage.receipts(id).await[0].calls[0].id;
    argus_core::ports::Control::event_delete(&*stage.engine, id).await.unwrap();
    let left = stage.db.ai_call_get(call).await.unwrap().unwrap();
    assert_eq!((left.prompt, left.raw_answer, left.cost), (None, None, Some(0.25)));
    let (from, until) = (stage.clock.now().minus(DAY), stage.clock.now());
    let usage = stage.db.ai_usage(from, until, UsageGroupBy::None, "UTC".into()).await.unwrap();
    assert_eq!((usage.sums.total_calls, usage.sums.total_cost), (1, 0.25));
}

/// An event whose pictures everybody refuses to describe, from the first refusal on.
async fn refused(stage: &Stage) -> argus_core::EventId {
    *stage.script.provider_id.lock().unwrap() = Some(argus_core::ProviderId::new(stage.clock.now()));
    let camera = stage.resting().await;
    stage.script.answers(Answer::Refuses);
    let id = stage.event(&camera, 1).await;
    stage.calls(1).await;
    stage.idle().await;
    id
}

/// A day and more passes; gives how often anybody was asked by then.
async fn calls_of_a_day(stage: &Stage) -> usize {
    for _ in 0..26 {
        stage.clock.advance(Duration::from_secs(3600));
        stage.nudge().await;
        stage.idle().await;
    }
    stage.script.calls()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_only_provider_is_paid_for_twice_and_no_more() {
    let stage = Stage::start().await;
    let id = refused(&stage).await;
    assert_eq!(stage.get(id).await.description_status, DescriptionStatus::Pending);
    stage.script.answers(Answer::Refuses);
    stage.clock.advance(Duration::from_secs(11));
    stage.nudge().await;
    let event = stage.until(id, |e| e.description_status == DescriptionStatus::Failed).await;
    assert_eq!(event.status_reason, Some(StatusReason::InvalidAnswer));
    assert_eq!(calls_of_a_day(&stage).await, 2);
    assert_eq!(spent(&stage).await, 0.0, "of the last day");
    let receipts = stage.receipts(id).await;
    assert_eq!(receipts.iter().map(|r| r.cost).collect::<Vec<_>>(), [Some(0.125), Some(0.125)]);
    assert_eq!(receipts[0].error.as_deref(), Some("invalid_answer: the model refused: no faces"));
    // Who asks for it is answered.
    let asked = stage.engine.event_reanalyse(id, argus_core::describe::Reanalysis::default(), Duration::ZERO).await;
    assert!(asked.is_ok(), "{asked:?}");
    stage.until(id, |e| e.description_status == DescriptionStatus::Described).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_all_refuse_is_not_asked_for_again() {
    let stage = Stage::start().await;
    let both = vec![crate::describer::provider("Paid", true), crate::describer::provider("Other", true)];
    *stage.script.providers.lock().unwrap() = both;
    let id = refused(&stage).await;
    let event = stage.get(id).await;
    assert_eq!(
        (event.description_status, event.status_reason),
        (DescriptionStatus::Failed, Some(StatusReason::InvalidAnswer))
    );
    assert_eq!(calls_of_a_day(&stage).await, 1);
}
