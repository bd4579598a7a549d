//! Limits of what descriptions may cost.

use std::time::Duration;

use argus_core::EventId;
use argus_core::event::{DescriptionStatus, Event, StatusReason};
use argus_core::journal::MessageType;
use argus_core::ports::Control;
use serde_json::json;

use crate::describer::{Answer, provider};
use crate::stage::{Stage, wait};

const HOUR: Duration = Duration::from_secs(3600);

fn cat(cost: f64) -> Answer {
    Answer::Says { text: "A cat.", confidence: Some(80), cost: Some(cost) }
}

async fn skipped(stage: &Stage, id: EventId, reason: StatusReason) -> Event {
    stage.until(id, |e| e.description_status == DescriptionStatus::Skipped && e.status_reason == Some(reason)).await
}

async fn described(stage: &Stage, id: EventId) -> Event {
    stage.until(id, |e| e.description_status == DescriptionStatus::Described).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_nothing_lets_nobody_be_asked_who_costs_until_it_is_changed() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    for (budgets, reason) in [
        (json!({"daily_usd": 0}), StatusReason::BudgetDaily),
        (json!({"daily_usd": null, "monthly_usd": 0}), StatusReason::BudgetMonthly),
    ] {
        stage.put(json!({"ai": {"budgets": budgets}})).await;
        let id = stage.event(&camera, 2).await;
        let calls = stage.script.calls();
        skipped(&stage, id, reason).await;
        assert_eq!((stage.script.calls(), stage.receipts(id).await.len()), (calls, 0));
        let told = stage.db.journal_after(0, 500, None).await.unwrap().len();
        // Trying again says nothing new.
        stage.clock.advance(HOUR);
        stage.nudge().await;
        wait("another try", || async {
            let next = stage.db.job_next_at().await.unwrap();
            next.is_some_and(|at| at > argus_core::Clock::now(&*stage.clock)).then_some(())
        })
        .await;
        assert_eq!(stage.db.journal_after(0, 500, None).await.unwrap().len(), told);

        stage.put(json!({"ai": {"budgets": {"daily_usd": 5, "monthly_usd": 5}}})).await;
        let event = described(&stage, id).await;
        assert_eq!((event.status_reason, stage.script.calls()), (None, calls + 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_spent_when_it_is_set_is_told_of_at_once() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    stage.script.answers(cat(0.5));
    stage.described(&camera, 1).await;
    let told = async || {
        let all = stage.db.journal_after(0, 500, None).await.unwrap();
        let news = all.into_iter().filter(|m| m.r#type == MessageType::NotificationNew);
        news.map(|m| m.data["title"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told().await, [""; 0]);
    stage.put(json!({"ai": {"budgets": {"daily_usd": 0.1}}})).await;
    let titles = told().await;
    assert!(titles.len() == 1 && titles[0].starts_with("100 % of the day's"), "{titles:?}");
    // What has nothing to do with it says nothing new.
    stage.put(json!({"ai": {"budgets": {"daily_usd": 0.1}, "concurrency": 1}})).await;
    assert_eq!(told().await.len(), 1);
    stage.put(json!({"ai": {"budgets": {"daily_usd": null, "monthly_usd": 1}}})).await;
    let titles = told().await;
    assert!(titles.len() == 2 && titles[1].starts_with("50 % of the month's"), "{titles:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_spent_counts_by_day_and_month_of_the_time_zone_and_stays_spent() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    // It is 02:30 in Los Angeles, a day that ends at 08:00 UTC tomorrow.
    stage.put(json!({"general": {"timezone": "America/Los_Angeles"}, "ai": {"budgets": {"daily_usd": 1}}})).await;
    for _ in 0..2 {
        stage.script.answers(cat(0.6));
        let id = stage.described(&camera, 1).await;
        assert_eq!(stage.get(id).await.ai_cost, Some(0.6));
        stage.engine.event_delete(id).await.unwrap();
    }
    let id = stage.event(&camera, 1).await;
    skipped(&stage, id, StatusReason::BudgetDaily).await;

    stage.clock.advance(HOUR * 21);
    stage.nudge().await;
    wait("another try on the same day", || async {
        let next = stage.db.job_next_at().await.unwrap();
        next.is_some_and(|at| at > argus_core::Clock::now(&*stage.clock)).then_some(())
    })
    .await;
    assert_eq!(stage.get(id).await.status_reason, Some(StatusReason::BudgetDaily));
    stage.clock.advance(HOUR);
    stage.nudge().await;
    described(&stage, id).await;

    // The month is another matter: the two dollars and a bit of yesterday count.
    stage.put(json!({"ai": {"budgets": {"daily_usd": null, "monthly_usd": 1.2}}})).await;
    let id = stage.event(&camera, 1).await;
    skipped(&stage, id, StatusReason::BudgetMonthly).await;
    stage.put(json!({"ai": {"budgets": {"monthly_usd": 1.21}}})).await;
    described(&stage, id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_free_is_asked_all_the_same_and_told_whom_to_pass_over() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    *stage.script.providers.lock().unwrap() = vec![provider("Paid", true), provider("Local", false)];
    stage.put(json!({"ai": {"budgets": {"daily_usd": 0}}})).await;
    stage.described(&camera, 1).await;
    assert_eq!(stage.script.asked()[0].choice.spent, Some(StatusReason::BudgetDaily));
    stage.put(json!({"ai": {"budgets": null}})).await;
    stage.described(&camera, 1).await;
    assert_eq!(stage.script.asked()[1].choice.spent, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_day_nothing_is_tried_any_more() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    stage.put(json!({"ai": {"budgets": {"monthly_usd": 0}}})).await;
    let id = stage.event(&camera, 1).await;
    skipped(&stage, id, StatusReason::BudgetMonthly).await;
    stage.clock.advance(HOUR * 24);
    stage.nudge().await;
    wait("the end of the job", || async {
        (stage.db.jobs_count().await.unwrap() == argus_db::JobCounts::default()).then_some(())
    })
    .await;
    assert_eq!(stage.get(id).await.status_reason, Some(StatusReason::BudgetMonthly));
}
