//! Calls: booked, settled, cut off, forgotten; and the budgets that hold all the while.

use std::time::Duration;

use argus_core::call::{CallPurpose, CallTimes, PlannedCall, SentFrame, SettledCall};
use argus_core::camera::AnalysisMode;
use argus_core::describe::{
    Analysis, AnalysisFrame, AnalysisStatus, AnalysisTrigger, DescribeError, DescribeFailure, Description,
};
use argus_core::event::{ObjectKind, StatusReason};
use argus_core::journal::DeleteReason;
use argus_core::provider::ProviderKind;
use argus_core::settings::Budgets;
use argus_core::{CallId, CameraId, EventId, Timestamp};
use proptest::prelude::*;

use super::analyses::running;
use super::{TestDb, at, camera, on_both, open_event};
use crate::{BudgetRules, Database, DbError, NewCall};

pub(super) fn daily(usd: f64) -> BudgetRules {
    rules(Some(usd), None)
}

pub(super) fn rules(daily_usd: Option<f64>, monthly_usd: Option<f64>) -> BudgetRules {
    BudgetRules { limits: Budgets { daily_usd, monthly_usd }, timezone: "UTC".into() }
}

pub(super) fn planned(estimate: Option<f64>) -> PlannedCall {
    PlannedCall {
        provider_id: Some("01940000-0000-7000-8000-000000000001".parse().unwrap()),
        provider: ProviderKind::OpenAi,
        provider_name: "Mine".into(),
        model: "tiny-1".into(),
        host: Some("api.example:443".into()),
        is_remote: true,
        prompt: "What happens?".into(),
        parameters: serde_json::json!({"temperature": 0.2}).as_object().unwrap().clone(),
        frames: vec![SentFrame { index: Some(0), sha256: "ab".into(), width: 640, height: 360, bytes: 40_000 }],
        bytes: 54_321,
        estimate,
        price_version: Some("2026-11".into()),
    }
}

pub(super) fn call(when: Timestamp, estimate: Option<f64>) -> NewCall {
    NewCall {
        id: CallId::new(when),
        at: when,
        purpose: CallPurpose::Describe,
        analysis_id: None,
        event_id: None,
        camera_id: None,
        analysis_mode: Some(AnalysisMode::SingleFrame),
        planned: planned(estimate),
    }
}

pub(super) fn says(cost: Option<f64>) -> SettledCall {
    SettledCall {
        bytes_sent: None,
        is_refusal: false,
        result: Ok(Description {
            text: "A person.".into(),
            confidence: Some(80),
            objects: vec![ObjectKind::Person],
            low_confidence: true,
        }),
        tokens_input: Some(900),
        tokens_output: Some(40),
        cost,
        cost_estimated: true,
        times: CallTimes { waited_ms: 3, first_byte_ms: Some(200), total_ms: 450 },
        raw_answer: Some("{\"description\": \"A person.\"}".into()),
        bytes_received: 777,
    }
}

pub(super) fn fails() -> SettledCall {
    let failure = DescribeError { kind: DescribeFailure::Quota, message: "no money".into(), retry_after: None };
    SettledCall { result: Err(failure), tokens_input: None, tokens_output: None, raw_answer: None, ..says(None) }
}

async fn event_of(t: &TestDb) -> (CameraId, EventId) {
    let c = t.db.camera_insert(camera("A")).await.unwrap().id;
    (c, open_event(&t.db, c, at(0)).await.id)
}

/// A call of an analysis that runs.
async fn of_event(t: &TestDb, camera: CameraId, event: EventId) -> (NewCall, Analysis) {
    let receipt = running(event, at(2));
    t.db.analysis_start(receipt.clone()).await.unwrap();
    let new = NewCall {
        purpose: CallPurpose::Event,
        analysis_id: Some(receipt.id),
        event_id: Some(event),
        camera_id: Some(camera),
        ..call(at(3), Some(0.5))
    };
    t.db.ai_call_book(new.clone(), rules(None, None)).await.unwrap().unwrap();
    (new, receipt)
}

async fn notices(db: &Database) -> Vec<String> {
    let told = db.journal_after(0, 500, None).await.unwrap();
    let titles = told.iter().filter(|m| m.r#type == argus_core::journal::MessageType::NotificationNew);
    titles.map(|m| m.data["title"].as_str().unwrap().to_owned()).collect()
}

on_both! {
    async fn a_call_is_on_record_before_and_after_it_is_answered(t) {
        let (c, e) = event_of(&t).await;
        let (new, receipt) = of_event(&t, c, e).await;
        let open = t.db.ai_call_get(new.id).await.unwrap().unwrap();
        assert_eq!((open.finished_at, open.cost, open.times, open.error_kind), (None, Some(0.5), None, None));
        assert_eq!((open.host.as_deref(), open.bytes_sent, open.frames.clone()),
            (Some("api.example:443"), 54_321, new.planned.frames.clone()));
        t.db.ai_call_settle(new.id, says(Some(0.125)), rules(None, None), at(4)).await.unwrap();
        let done = t.db.ai_call_get(new.id).await.unwrap().unwrap();
        assert_eq!((done.finished_at, done.cost, done.times), (Some(at(4)), Some(0.125), Some(says(None).times)));
        assert_eq!((done.tokens_input, done.tokens_output, done.bytes_received), (Some(900), Some(40), 777));
        assert_eq!((done.purpose, done.price_version.as_deref()), (CallPurpose::Event, Some("2026-11")));
        // What is settled stays so.
        t.db.ai_call_settle(new.id, fails(), rules(None, None), at(5)).await.unwrap();
        assert_eq!(t.db.ai_calls_of_analysis(receipt.id).await.unwrap(), std::slice::from_ref(&done));
        assert_eq!(t.db.ai_spent(at(0), at(900)).await.unwrap(), 0.125);
        let shown = t.db.analysis_get(receipt.id).await.unwrap().unwrap();
        assert_eq!(shown.calls, [done.into()]);
        assert!(matches!(t.db.ai_call_settle(CallId::new(at(9)), fails(), rules(None, None), at(9)).await,
            Err(DbError::NotFound { what: "call" })));
    }

    async fn a_failure_says_why(t) {
        let new = call(at(3), None);
        t.db.ai_call_book(new.clone(), rules(None, None)).await.unwrap().unwrap();
        t.db.ai_call_settle(new.id, fails(), rules(None, None), at(4)).await.unwrap();
        let done = t.db.ai_call_get(new.id).await.unwrap().unwrap();
        assert_eq!((done.error_kind, done.error.as_deref(), done.cost), (Some(DescribeFailure::Quota), Some("no money"), None));
    }

    async fn what_is_known_of_the_bytes_that_were_sent_takes_the_place_of_what_was_planned(t) {
        for (known, expected) in [(None, 54_321), (Some(0), 0), (Some(7), 7)] {
            let new = call(at(3), None);
            t.db.ai_call_book(new.clone(), rules(None, None)).await.unwrap().unwrap();
            let settled = SettledCall { bytes_sent: known, ..fails() };
            t.db.ai_call_settle(new.id, settled, rules(None, None), at(4)).await.unwrap();
            assert_eq!(t.db.ai_call_get(new.id).await.unwrap().unwrap().bytes_sent, expected);
        }
        let listed = t.db.ai_egress(at(0), at(900), 1, 10).await.unwrap().items;
        assert_eq!(listed.iter().map(|call| call.bytes_sent).sum::<u64>(), 54_328);
    }

    async fn who_refused_an_events_pictures_is_known(t) {
        let (c, e) = event_of(&t).await;
        let (new, _) = of_event(&t, c, e).await;
        let refusal = || SettledCall { is_refusal: true, ..fails() };
        assert_eq!(t.db.ai_refusals(e).await.unwrap(), []);
        t.db.ai_call_settle(new.id, refusal(), rules(None, None), at(4)).await.unwrap();
        let (other, _) = of_event(&t, c, e).await;
        t.db.ai_call_settle(other.id, fails(), rules(None, None), at(5)).await.unwrap();
        let known = [(new.planned.provider_id.unwrap(), "tiny-1".to_owned())];
        assert_eq!(t.db.ai_refusals(e).await.unwrap(), known);
        // What somebody asked for is not the event's own description.
        let asked = Analysis { trigger: AnalysisTrigger::Reanalyse, ..running(e, at(6)) };
        t.db.analysis_start(asked.clone()).await.unwrap();
        let third = NewCall { analysis_id: Some(asked.id), event_id: Some(e), ..call(at(7), None) };
        t.db.ai_call_book(third.clone(), rules(None, None)).await.unwrap().unwrap();
        t.db.ai_call_settle(third.id, refusal(), rules(None, None), at(8)).await.unwrap();
        assert_eq!(t.db.ai_refusals(e).await.unwrap(), known);
    }

    async fn an_analysis_costs_what_all_its_calls_cost(t) {
        let (c, e) = event_of(&t).await;
        t.db.job_ready(e, None, at(1)).await.unwrap();
        let lease = t.db.job_lease(at(1), Duration::from_secs(60), 1, crate::JobOrder::Oldest).await.unwrap()[0].lease();
        let (first, receipt) = of_event(&t, c, e).await;
        t.db.ai_call_settle(first.id, SettledCall { cost: Some(0.125), ..fails() }, rules(None, None), at(4)).await.unwrap();
        // A second was answered, a third is settled by nobody, a fourth has no known price.
        for (seconds, cost) in [(5, Some(Some(0.25))), (6, None), (7, Some(None))] {
            let new = NewCall { id: CallId::new(at(seconds)), at: at(seconds), ..first.clone() };
            t.db.ai_call_book(new.clone(), rules(None, None)).await.unwrap().unwrap();
            if let Some(cost) = cost {
                t.db.ai_call_settle(new.id, says(cost), rules(None, None), at(seconds)).await.unwrap();
            }
        }
        let words = crate::tests::events::words("A person.");
        let done = Analysis { status: AnalysisStatus::Succeeded, cost: Some(0.25), cost_estimated: false, ..receipt.clone() };
        let change = vec![crate::EventChange::Described(words)];
        let event = t.db.analysis_finish_and_describe(done, change, lease, at(8)).await.unwrap().unwrap();
        let shown = t.db.analysis_get(receipt.id).await.unwrap().unwrap();
        let sum: f64 = shown.calls.iter().filter_map(|call| call.cost).sum();
        assert_eq!((shown.calls.len(), sum), (4, 0.125 + 0.25 + 0.5));
        assert_eq!((event.ai_cost, shown.cost, shown.cost_estimated), (Some(sum), Some(sum), true));
        // Two of the calls were told their tokens.
        assert_eq!((shown.tokens_input, shown.tokens_output), (Some(1800), Some(80)));
        assert_eq!((shown.tokens_used, event.tokens_used), (Some(1880), Some(1880)));
        let usage = t.db.ai_usage(at(0), at(900), argus_core::usage::UsageGroupBy::None, "UTC".into()).await.unwrap();
        assert_eq!(usage.sums.total_cost, sum);
    }

    async fn a_receipt_names_the_pictures_that_were_sent(t) {
        let (c, e) = event_of(&t).await;
        for (sent, expected) in [(None, &[0, 2][..]), (Some(0), &[2])] {
            let (first, receipt) = of_event(&t, c, e).await;
            // Nothing reached the first, or all of it did.
            t.db.ai_call_settle(first.id, SettledCall { bytes_sent: sent, ..fails() }, rules(None, None), at(4)).await.unwrap();
            let frame = |index| SentFrame { index: Some(index), ..first.planned.frames[0].clone() };
            let planned = PlannedCall { frames: vec![frame(2), frame(2)], ..first.planned.clone() };
            let second = NewCall { id: CallId::new(at(5)), planned, ..first.clone() };
            t.db.ai_call_book(second.clone(), rules(None, None)).await.unwrap().unwrap();
            t.db.ai_call_settle(second.id, says(None), rules(None, None), at(5)).await.unwrap();
            let stored = |index| AnalysisFrame { index, sha256: "cd".into(), width: 640, height: 360, bytes: 7 };
            let frames = [0, 1, 2].map(stored).to_vec();
            t.db.analysis_finish(Analysis { frames, ..receipt.clone() }).await.unwrap();
            let shown = t.db.analysis_get(receipt.id).await.unwrap().unwrap();
            assert_eq!(shown.frames.iter().map(|f| f.index).collect::<Vec<_>>(), expected);
        }
    }

    async fn what_is_reserved_is_not_given_twice(t) {
        let book = async |seconds, estimate| {
            let new = call(at(seconds), estimate);
            t.db.ai_call_book(new.clone(), daily(1.0)).await.unwrap().map(|_| new.id)
        };
        let first = book(0, Some(0.6)).await.unwrap();
        assert_eq!(book(1, Some(0.6)).await, Err(StatusReason::BudgetDaily));
        assert!(book(2, Some(0.0)).await.is_ok(), "what is free is always allowed");
        // It cost less than it might have.
        t.db.ai_call_settle(first, says(Some(0.25)), daily(1.0), at(3)).await.unwrap();
        assert!(book(4, Some(0.6)).await.is_ok());
        assert_eq!(book(5, Some(0.2)).await, Err(StatusReason::BudgetDaily));
        assert!(book(6, None).await.is_ok(), "nobody knows what it costs, and the budget is not used up");
        assert_eq!(t.db.ai_taken(daily(1.0), at(7)).await.unwrap(), (0.85, 0.85));
        // The next day is another, also for what is still under way.
        assert!(book(86_400, Some(1.0)).await.is_ok());
    }

    async fn under_a_budget_of_nothing_only_what_is_free_goes_out(t) {
        for rules in [daily(0.0), rules(None, Some(0.0))] {
            for (estimate, allowed) in [(None, false), (Some(0.001), false), (Some(0.0), true)] {
                let booked = t.db.ai_call_book(call(at(0), estimate), rules.clone()).await.unwrap();
                assert_eq!(booked.is_ok(), allowed, "{rules:?} {estimate:?}");
            }
        }
    }

    async fn a_call_counts_in_the_period_that_let_it_pass(t) {
        // Booked a second before midnight, answered after it.
        let midnight = 13 * 3600 + 1800;
        let new = call(at(midnight - 1), Some(1.0));
        t.db.ai_call_book(new.clone(), daily(1.0)).await.unwrap().unwrap();
        t.db.ai_call_settle(new.id, says(Some(1.0)), daily(1.0), at(midnight + 5)).await.unwrap();
        assert_eq!(t.db.ai_taken(daily(1.0), at(midnight + 6)).await.unwrap(), (0.0, 1.0));
        assert_eq!(t.db.ai_taken(daily(1.0), at(midnight - 1)).await.unwrap(), (1.0, 1.0));
    }

    async fn what_a_crash_cut_off_counts_with_its_estimate(t) {
        let (c, e) = event_of(&t).await;
        let (new, receipt) = of_event(&t, c, e).await;
        assert_eq!(t.db.ai_calls_interrupt(at(3), daily(1.0), at(10)).await.unwrap(), 0, "it may still be answered");
        assert_eq!(t.db.ai_calls_interrupt(at(4), daily(1.0), at(10)).await.unwrap(), 1);
        assert_eq!(t.db.ai_calls_interrupt(at(4), daily(1.0), at(10)).await.unwrap(), 0);
        let cut = t.db.ai_call_get(new.id).await.unwrap().unwrap();
        assert_eq!((cut.finished_at, cut.cost, cut.error_kind), (None, Some(0.5), None));
        assert!(cut.error.unwrap().starts_with("interrupted"));
        assert_eq!(t.db.ai_taken(daily(1.0), at(11)).await.unwrap(), (0.5, 0.5));
        assert_eq!(notices(&t.db).await, ["50 % of the day's budget for descriptions is spent"]);
        // Nothing was answered: there is nothing to use.
        assert_eq!(t.db.ai_answer_kept(e, None).await.unwrap(), None);
        assert_eq!(t.db.analyses_recover(at(12)).await.unwrap(), 1);
        // Who comes after all changes nothing any more.
        t.db.ai_call_settle(new.id, says(Some(0.1)), daily(1.0), at(13)).await.unwrap();
        assert_eq!(t.db.ai_taken(daily(1.0), at(14)).await.unwrap(), (0.5, 0.5));
        assert_eq!(t.db.analysis_get(receipt.id).await.unwrap().unwrap().status, AnalysisStatus::Failed);
    }

    async fn an_answer_that_was_stored_is_there_after_a_crash(t) {
        let (c, e) = event_of(&t).await;
        let (new, receipt) = of_event(&t, c, e).await;
        t.db.ai_call_settle(new.id, says(Some(0.125)), rules(None, None), at(4)).await.unwrap();
        assert_eq!(t.db.analyses_recover(at(10)).await.unwrap(), 0, "only its use is missing");
        let kept = t.db.ai_answer_kept(e, None).await.unwrap().unwrap();
        assert_eq!((kept.receipt.id, kept.receipt.status, kept.call.id), (receipt.id, AnalysisStatus::Running, new.id));
        assert_eq!(Ok(kept.description), says(None).result);
        assert_eq!(t.db.ai_answer_kept(e, Some(receipt.id)).await.unwrap().unwrap().call, kept.call);
        t.db.analysis_finish(Analysis { status: AnalysisStatus::Succeeded, ..receipt }).await.unwrap();
        assert_eq!(t.db.ai_answer_kept(e, None).await.unwrap(), None);
    }

    async fn a_deleted_event_takes_the_words_and_leaves_the_account(t) {
        let (c, e) = event_of(&t).await;
        let (done, _) = of_event(&t, c, e).await;
        t.db.ai_call_settle(done.id, says(Some(0.125)), rules(None, None), at(4)).await.unwrap();
        let (late, _) = of_event(&t, c, e).await;
        t.db.event_delete(e, DeleteReason::User, at(5)).await.unwrap();
        t.db.ai_call_settle(late.id, says(Some(0.25)), rules(None, None), at(6)).await.unwrap();
        for (id, cost) in [(done.id, 0.125), (late.id, 0.25)] {
            let left = t.db.ai_call_get(id).await.unwrap().unwrap();
            assert_eq!((left.prompt, left.raw_answer, left.parameters.len()), (None, None, 0));
            assert_eq!((left.cost, left.event_id, left.bytes_sent), (Some(cost), Some(e), 54_321));
            assert_eq!((left.host.as_deref(), left.frames[0].sha256.as_str()), (Some("api.example:443"), "ab"));
            assert_eq!((left.tokens_input, left.finished_at.is_some()), (Some(900), true));
        }
        assert_eq!(t.db.ai_spent(at(0), at(900)).await.unwrap(), 0.375);
        let again = NewCall { event_id: Some(e), ..call(at(7), None) };
        assert!(matches!(t.db.ai_call_book(again, rules(None, None)).await, Err(DbError::NotFound { what: "event" })));
    }

    async fn old_calls_go_and_what_they_cost_stays(t) {
        for seconds in [0, 10, 20] {
            let new = call(at(seconds), Some(0.25));
            t.db.ai_call_book(new.clone(), rules(None, None)).await.unwrap().unwrap();
            if seconds < 20 {
                t.db.ai_call_settle(new.id, says(Some(0.25)), rules(None, None), at(30)).await.unwrap();
            }
        }
        assert_eq!(t.db.ai_calls_expire(at(10)).await.unwrap(), 1);
        assert_eq!(t.db.ai_calls_expire(at(99)).await.unwrap(), 1, "not what is under way");
        assert_eq!(t.db.ai_spent(at(0), at(900)).await.unwrap(), 0.5);
    }

    async fn people_are_told_once_for_each_part_and_period(t) {
        let spend = async |seconds, usd, rules: BudgetRules| {
            let new = call(at(seconds), Some(usd));
            t.db.ai_call_book(new.clone(), rules.clone()).await.unwrap().unwrap();
            assert_eq!(notices(&t.db).await.len(), notices(&t.again().await).await.len());
            t.db.ai_call_settle(new.id, says(Some(usd)), rules, at(seconds)).await.unwrap();
        };
        let both = rules(Some(1.0), Some(4.0));
        for (seconds, usd, told) in [
            (0, 0.25, &[][..]),
            (1, 0.25, &["50 % of the day's"]),
            (2, 0.1, &["50 % of the day's"]),
            // Two parts at once: the higher one tells enough.
            (3, 0.4, &["50 % of the day's", "100 % of the day's"]),
            // The next day.
            (86_400, 0.9, &["50 % of the day's", "100 % of the day's", "80 % of the day's"]),
            (172_800, 0.1, &["50 % of the day's", "100 % of the day's", "80 % of the day's", "50 % of the month's"]),
        ] {
            spend(seconds, usd, both.clone()).await;
            let titles = notices(&t.db).await;
            assert_eq!(titles.len(), told.len(), "{titles:?}");
            assert!(titles.iter().zip(told).all(|(title, told)| title.starts_with(told)), "{titles:?}");
        }
        // Another limit is another budget.
        spend(172_801, 0.1, rules(None, Some(2.5))).await;
        assert!(notices(&t.db).await.last().unwrap().starts_with("80 % of the month's"));
        // Nobody has to be asked for it.
        for _ in 0..2 {
            t.db.ai_budgets_tell(rules(Some(0.1), None), at(172_802)).await.unwrap();
            let titles = notices(&t.db).await;
            assert_eq!(titles.len(), 6, "{titles:?}");
            assert!(titles[5].starts_with("100 % of the day's"), "{titles:?}");
        }
    }

    async fn the_budgets_stand_as_they_are_told(t) {
        for (seconds, usd) in [(-2 * 86_400, 1.0), (-86_400, 3.0), (0, 0.5)] {
            let new = call(at(seconds), Some(usd));
            t.db.ai_call_book(new.clone(), rules(None, None)).await.unwrap().unwrap();
            t.db.ai_call_settle(new.id, says(Some(usd)), rules(None, None), at(seconds)).await.unwrap();
        }
        t.db.ai_call_book(call(at(1), Some(0.25)), rules(None, None)).await.unwrap().unwrap();
        // 10:30; the day has thirteen hours and a half left, the month eight days and these.
        let states = t.db.ai_budgets(rules(Some(3.0), None), at(0)).await.unwrap();
        assert_eq!((states.daily.limit, states.daily.spent, states.daily.percent), (Some(3.0), 0.75, Some(25.0)));
        assert_eq!((states.monthly.limit, states.monthly.spent, states.monthly.percent), (None, 4.75, None));
        assert_eq!((states.daily.forecast, states.monthly.forecast), (Some(0.75 + 2.0 * 13.5 / 24.0), Some(4.75 + 2.0 * (8.0 + 13.5 / 24.0))));
        assert_eq!((states.daily.resets_at, states.monthly.resets_at),
            ("2025-12-24T00:00:00Z".parse().unwrap(), "2026-01-01T00:00:00Z".parse().unwrap()));
        assert_eq!((states.paused, states.pause_reason), (false, None));
        let states = t.db.ai_budgets(rules(Some(3.0), Some(4.0)), at(0)).await.unwrap();
        assert_eq!((states.paused, states.pause_reason), (true, Some(StatusReason::BudgetMonthly)));
    }

    async fn many_at_once_do_not_overspend(t) {
        let other = t.again().await;
        let limits = rules(Some(2.0), Some(3.0));
        let tasks: Vec<_> = (0..12_u32).map(|i| {
            let db = if i % 2 == 0 { t.db.clone() } else { other.clone() };
            let limits = limits.clone();
            tokio::spawn(async move {
                let mut cost = 0.0;
                for n in 0..8 {
                    // Three days, each task at its own pace.
                    let when = at(i64::from(n / 3) * 86_400 + i64::from(i));
                    let estimate = 0.1 + f64::from(i % 4) / 10.0;
                    let new = call(when, Some(estimate));
                    if db.ai_call_book(new.clone(), limits.clone()).await.unwrap().is_err() {
                        continue;
                    }
                    if n % 4 == 3 {
                        // Never settled.
                        cost += estimate;
                        continue;
                    }
                    let real = estimate * 0.75;
                    db.ai_call_settle(new.id, says(Some(real)), limits.clone(), when).await.unwrap();
                    cost += real;
                }
                cost
            })
        }).collect();
        let mut spent = 0.0;
        for task in tasks {
            spent += task.await.unwrap();
        }
        t.db.ai_calls_interrupt(at(9_999_999), limits.clone(), at(300_000)).await.unwrap();
        let (_, month) = t.db.ai_taken(limits, at(0)).await.unwrap();
        assert!((month - spent).abs() < 1e-6, "{month} {spent}");
        assert!(month <= 3.0 + 1e-6, "{month}");
        for day in 0..3 {
            let (day, _) = t.db.ai_taken(rules(None, None), at(day * 86_400)).await.unwrap();
            assert!(day <= 2.0 + 1e-6, "{day}");
        }
    }
}

/// One thing that happens in a simulated month.
#[derive(Clone, Debug)]
enum Happens {
    /// Calls at the same moment, each with its estimate and how much of it is charged.
    Calls(Vec<(u16, u8)>),
    /// The server is killed: whatever is open stays open until the next start.
    Crash,
    /// Time passes, in hours.
    Later(u8),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => proptest::collection::vec((0_u16..60, 0_u8..=100), 1..6).prop_map(Happens::Calls),
        1 => Just(Happens::Crash),
        3 => (0_u8..30).prop_map(Happens::Later),
    ]
}

/// Steps, what a day and a month may cost in cents, and where the days begin.
type Month = (Vec<Happens>, u16, u16, &'static str);

fn months() -> impl Strategy<Value = Month> {
    (
        proptest::collection::vec(happens(), 1..40),
        0_u16..150,
        0_u16..400,
        prop_oneof![Just("UTC"), Just("Europe/Berlin"), Just("Asia/Kathmandu"), Just("America/Los_Angeles")],
    )
}

fn usd(cents: u16) -> f64 {
    f64::from(cents) / 100.0
}

/// Books calls by tasks of their own, all at once; gives those that may go out, with what they will cost.
async fn book_at_once(db: &Database, now: Timestamp, calls: &[(u16, u8)], rules: &BudgetRules) -> Vec<(CallId, f64)> {
    let tasks: Vec<_> = calls
        .iter()
        .map(|(cents, charged)| {
            let (db, rules, new) = (db.clone(), rules.clone(), call(now, Some(usd(*cents))));
            let cost = usd(*cents) * f64::from(*charged) / 100.0;
            tokio::spawn(async move { db.ai_call_book(new, rules).await.unwrap().ok().map(|id| (id, cost)) })
        })
        .collect();
    let mut booked = Vec::new();
    for task in tasks {
        booked.extend(task.await.unwrap());
    }
    booked
}

/// A month in which everything may happen: no day and no month is ever overspent, and the sums agree with the calls.
async fn month(t: TestDb, (steps, daily_cents, monthly_cents, zone): Month) {
    let limits = Budgets { daily_usd: Some(usd(daily_cents)), monthly_usd: Some(usd(monthly_cents)) };
    let rules = BudgetRules { limits, timezone: zone.into() };
    // The other process of the same database, which books and settles as well.
    let other = t.again().await;
    let mut now: Timestamp = "2025-12-01T00:00:00Z".parse().unwrap();
    let mut open: Vec<(CallId, f64)> = Vec::new();
    let mut spans = Vec::new();
    for step in steps {
        match step {
            Happens::Calls(calls) => {
                let (one, rest) = calls.split_at(calls.len() / 2);
                let here = book_at_once(&t.db, now, one, &rules);
                let (mut here, there) = tokio::join!(here, book_at_once(&other, now, rest, &rules));
                open.append(&mut here);
                open.extend(there);
                // Answers come later, and not in order; several at once.
                let mut settled = Vec::new();
                while open.len() > 3 {
                    let (id, cost) = open.swap_remove(open.len() / 2);
                    let (db, rules) =
                        (if settled.len() % 2 == 0 { t.db.clone() } else { other.clone() }, rules.clone());
                    settled.push(tokio::spawn(async move {
                        db.ai_call_settle(id, says(Some(cost)), rules, now).await.unwrap();
                    }));
                }
                for task in settled {
                    task.await.unwrap();
                }
            }
            Happens::Crash => {
                open.clear();
                t.db.ai_calls_interrupt(Timestamp::from_micros(i64::MAX), rules.clone(), now).await.unwrap();
            }
            Happens::Later(hours) => now = now.plus(Duration::from_secs(3600 * u64::from(hours))),
        }
        let (day, month) = t.db.ai_taken(rules.clone(), now).await.unwrap();
        assert!(day <= usd(daily_cents) + 1e-6 && month <= usd(monthly_cents) + 1e-6, "{day} {month} at {now}");
        spans.push(now);
    }
    t.db.ai_calls_interrupt(Timestamp::from_micros(i64::MAX), rules.clone(), now).await.unwrap();
    for at in spans {
        let (day, month) = t.db.ai_taken(rules.clone(), at).await.unwrap();
        assert!(day <= usd(daily_cents) + 1e-6 && month <= usd(monthly_cents) + 1e-6, "{day} {month} at {at}");
    }
    let sums = t.db.ai_usage(Timestamp::from_micros(0), now, argus_core::usage::UsageGroupBy::None, zone.into());
    let spent = t.db.ai_spent(Timestamp::from_micros(0), now.plus(Duration::from_secs(900))).await.unwrap();
    assert!((sums.await.unwrap().sums.total_cost - spent).abs() < 1e-6);
}

mod a_month_with_a_budget_is_never_overspent {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn sqlite(case in months()) {
            runtime().block_on(async { month(TestDb::sqlite().await, case).await });
        }
    }

    #[cfg(feature = "postgres")]
    proptest! {
        // Each case makes a database of its own.
        #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

        #[test]
        fn postgres(case in months()) {
            runtime().block_on(async {
                if let Some(t) = TestDb::postgres().await {
                    month(t, case).await;
                }
            });
        }
    }
}
