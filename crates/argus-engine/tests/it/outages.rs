//! Providers that are down, servers that are killed, and what waits behind them: every event ends described, or with its
//! reason.

use std::sync::atomic::Ordering;
use std::time::Duration;

use argus_core::EventId;
use argus_core::event::{DescriptionStatus, StatusReason};
use argus_db::JobCounts;
use serde_json::json;

use crate::stage::{Stage, wait};

const MINUTE: Duration = Duration::from_secs(60);

/// Lets time pass, in steps, with everything done that is due.
async fn pass(stage: &Stage, minutes: u32, step: u32) {
    for _ in 0..minutes / step {
        stage.clock.advance(MINUTE * step);
        stage.nudge().await;
        stage.idle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_without_providers_and_two_crashes_lose_nothing() {
    let mut stage = Stage::start().await;
    let camera = stage.resting().await;
    stage.put(json!({"ai": {"concurrency": 4}})).await;
    stage.script.down.store(true, Ordering::Relaxed);
    let mut events: Vec<EventId> = Vec::new();
    for round in 0..3 {
        for _ in 0..5 {
            events.push(stage.event(&camera, 1).await);
        }
        pass(&stage, 20, 5).await;
        if round < 2 {
            // Killed in the middle of calls.
            stage.script.close();
            events.push(stage.described_later(&camera).await);
            stage.again().await;
            stage.script.open();
        }
    }
    let failed = stage.get(events[0]).await;
    assert_eq!(
        (failed.description_status, failed.status_reason),
        (DescriptionStatus::Failed, Some(StatusReason::ProvidersFailed)),
        "it says so, and is tried again"
    );
    stage.script.down.store(false, Ordering::Relaxed);
    pass(&stage, 120, 60).await;
    for id in &events {
        stage.until(*id, |e| e.description_status == DescriptionStatus::Described).await;
    }
    assert_eq!(stage.db.jobs_count().await.unwrap(), JobCounts::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_day_every_event_ends_with_its_reason() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    stage.script.down.store(true, Ordering::Relaxed);
    let mut events = Vec::new();
    for _ in 0..3 {
        events.push(stage.event(&camera, 1).await);
    }
    pass(&stage, 25 * 60, 60).await;
    wait("the end of the queue", || async {
        (stage.db.jobs_count().await.unwrap() == JobCounts::default()).then_some(())
    })
    .await;
    for id in events {
        let event = stage.get(id).await;
        assert_eq!(
            (event.description_status, event.status_reason),
            (DescriptionStatus::Failed, Some(StatusReason::ProvidersFailed))
        );
        // 10 s, 20 s … an hour: some thirty tries, not one every second.
        assert!(stage.receipts(id).await.len() < 40);
    }
    assert!(stage.script.calls() > 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_tried_in_a_day_is_out_of_time() {
    let mut stage = Stage::start().await;
    let camera = stage.resting().await;
    let id = stage.bare_event(&camera, 1).await;
    stage.engine.stop().await;
    stage.clock.advance(MINUTE * 60 * 24);
    stage.again().await;
    let event = stage.until(id, |e| e.description_status != DescriptionStatus::Pending).await;
    assert_eq!(
        (event.description_status, event.status_reason),
        (DescriptionStatus::Failed, Some(StatusReason::Timeout))
    );
    assert_eq!((stage.script.calls(), stage.receipts(id).await.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_now_does_not_wait_for_what_was_left() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    stage.put(json!({"ai": {"concurrency": 1}})).await;
    stage.script.close();
    let mut left = Vec::new();
    for _ in 0..20 {
        left.push(stage.event(&camera, 1).await);
        stage.clock.advance(Duration::from_secs(1));
    }
    stage.calls(1).await;
    let new = stage.event(&camera, 1).await;
    stage.script.gate.add_permits(3);
    stage.until(new, |e| e.description_status == DescriptionStatus::Described).await;
    // And the oldest is not forgotten over it.
    stage.script.gate.add_permits(2);
    stage.until(left[0], |e| e.description_status == DescriptionStatus::Described).await;
    stage.script.open();
    for id in left {
        stage.until(id, |e| e.description_status == DescriptionStatus::Described).await;
    }
}
