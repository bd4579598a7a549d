//! Descriptions that somebody asks for once more.

use std::time::Duration;

use argus_core::camera::AnalysisMode;
use argus_core::describe::{Analysis, AnalysisStatus, AnalysisTrigger, EventFacts, Reanalysis};
use argus_core::event::{DescriptionStatus, DetectionType, StatusReason};
use argus_core::journal::DeleteReason;
use argus_core::{AnalysisId, EventId};
use diesel::prelude::*;

use super::{at, camera, lease_of, on_both, open_event};
use crate::JobOrder::Oldest;
use crate::conn::{DbConn, Role};
use crate::schema::event_facts;
use crate::{Asked, DbError, EventChange, JobCounts, ReanalysisAnswer};

const MINUTE: Duration = Duration::from_secs(60);

fn receipt(event: EventId, seconds: i64) -> Analysis {
    Analysis {
        id: AnalysisId::new(at(seconds)),
        event_id: event,
        created_at: at(seconds),
        finished_at: None,
        trigger: AnalysisTrigger::Reanalyse,
        status: AnalysisStatus::Running,
        provider: None,
        provider_id: None,
        provider_name: None,
        model: None,
        analysis_mode: AnalysisMode::MultiFrame,
        parameters: serde_json::Map::new(),
        prompt: String::new(),
        frames: vec![],
        description: None,
        confidence: None,
        objects_detected: vec![],
        tokens_input: None,
        tokens_output: None,
        tokens_used: None,
        cost: None,
        cost_estimated: false,
        latency_ms: None,
        fallback_path: vec![],
        raw_answer: None,
        error: None,
        calls: vec![],
        steps: None,
    }
}

fn failed(r: &Analysis, seconds: i64, cost: Option<f64>) -> Analysis {
    Analysis { status: AnalysisStatus::Failed, finished_at: Some(at(seconds)), cost, ..r.clone() }
}

on_both! {
    async fn a_wish_has_a_receipt_and_a_job_that_outlive_a_crash(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let e = open_event(&t.db, c, at(0)).await.id;
        t.db.job_ready(e, None, at(1)).await.unwrap();
        let (first, how) = (receipt(e, 10), Reanalysis { prompt: Some("x".into()), ..Reanalysis::default() });
        let ask = |r: &Analysis, s| t.db.reanalysis_queue(r.clone(), how.clone(), at(s));
        assert_eq!(ask(&first, 10).await.unwrap(), ReanalysisAnswer::Running, "its own description comes first");
        assert_eq!(t.db.analysis_get(first.id).await.unwrap(), None);
        t.db.job_finish(lease_of(&t.db, e).await).await.unwrap();

        assert_eq!(ask(&first, 10).await.unwrap(), ReanalysisAnswer::Queued);
        assert_eq!(t.db.analysis_get(first.id).await.unwrap(), Some(first.clone()));
        assert_eq!(ask(&receipt(e, 11), 11).await.unwrap(), ReanalysisAnswer::Running);
        let job = t.db.job_lease(at(12), MINUTE, 9, Oldest).await.unwrap().remove(0);
        assert_eq!(job.asked, Some(Asked { analysis_id: first.id, how: how.clone() }));
        assert_eq!(job.trigger, AnalysisTrigger::Reanalyse);
        assert_eq!(ask(&receipt(e, 13), 13).await.unwrap(), ReanalysisAnswer::Running);

        // A crash: the receipt of a call that is made again is not failed.
        let lost = Analysis { trigger: AnalysisTrigger::Initial, ..receipt(e, 14) };
        t.db.analysis_start(lost.clone()).await.unwrap();
        assert_eq!(t.db.analyses_recover(at(20)).await.unwrap(), 1);
        t.db.jobs_recover(at(20)).await.unwrap();
        let status = |r: &Analysis| { let (db, id) = (t.db.clone(), r.id); async move { db.analysis_get(id).await.unwrap().unwrap().status } };
        assert_eq!((status(&first).await, status(&lost).await), (AnalysisStatus::Running, AnalysisStatus::Failed));
        assert!(t.db.job_return(lease_of(&t.db, e).await, at(30)).await.unwrap());
        assert_eq!(t.db.job_lease(at(29), MINUTE, 9, Oldest).await.unwrap(), []);
        let again = t.db.job_lease(at(30), MINUTE, 9, Oldest).await.unwrap().remove(0);
        assert_eq!((again.asked.map(|a| a.analysis_id), again.attempts), (Some(first.id), 2));

        t.db.reanalysis_failed(failed(&first, 31, None), None, lease_of(&t.db, e).await).await.unwrap();
        assert_eq!(status(&first).await, AnalysisStatus::Failed);
        assert_eq!(t.db.jobs_count().await.unwrap(), JobCounts::default());
        assert!(matches!(ask(&receipt(EventId::new(at(99)), 40), 40).await, Err(DbError::NotFound { .. })));
    }

    async fn a_retry_gives_way_and_comes_back(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let e = open_event(&t.db, c, at(0)).await.id;
        t.db.job_ready(e, None, at(1)).await.unwrap();
        t.db.job_lease(at(1), MINUTE, 1, Oldest).await.unwrap();
        t.db.job_retry(lease_of(&t.db, e).await, at(1000)).await.unwrap();
        let first = receipt(e, 10);
        assert_eq!(t.db.reanalysis_queue(first.clone(), Reanalysis::default(), at(10)).await.unwrap(), ReanalysisAnswer::Queued);
        let job = t.db.job_lease(at(10), MINUTE, 1, Oldest).await.unwrap().remove(0);
        assert_eq!((job.trigger, job.attempts), (AnalysisTrigger::Reanalyse, 1));
        t.db.reanalysis_failed(failed(&first, 11, None), Some(at(500)), job.lease()).await.unwrap();
        let job = t.db.job_lease(at(500), MINUTE, 1, Oldest).await.unwrap().remove(0);
        assert_eq!((job.trigger, job.asked), (AnalysisTrigger::Retry, None));
    }

    async fn what_was_measured_is_there_for_every_wish(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let e = open_event(&t.db, c, at(0)).await.id;
        let facts = EventFacts {
            camera_name: "A".into(),
            started_at: at(0),
            duration_ms: Some(3000),
            detection_type: DetectionType::Motion,
            zones: vec![],
            area: None,
            largest_ratio: Some(0.07),
            first_center: Some((0.1, 0.5)),
            last_center: Some((0.9, 0.5)),
            confidence: 66,
        };
        t.db.job_ready(e, Some(facts.clone()), at(1)).await.unwrap();
        t.db.job_finish(lease_of(&t.db, e).await).await.unwrap();
        for s in [10, 20] {
            let asked = t.db.reanalysis_queue(receipt(e, s), Reanalysis::default(), at(s)).await.unwrap();
            assert_eq!(asked, ReanalysisAnswer::Queued);
            let job = t.db.job_lease(at(s), MINUTE, 1, Oldest).await.unwrap().remove(0);
            assert_eq!(job.facts, Some(facts.clone()));
            t.db.job_finish(job.lease()).await.unwrap();
        }
        t.db.event_delete(e, DeleteReason::User, at(30)).await.unwrap();
        let mut conn = DbConn::connect(&t.url, Role::Reader).unwrap();
        let left: i64 = event_facts::table.count().get_result(&mut conn).unwrap();
        assert_eq!(left, 0, "they go with the event");
    }

    async fn three_an_hour(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let e = open_event(&t.db, c, at(0)).await.id;
        t.db.job_finish(lease_of(&t.db, e).await).await.unwrap();
        let ask = |s| t.db.reanalysis_queue(receipt(e, s), Reanalysis::default(), at(s));
        for s in [0, 600, 1200] {
            assert_eq!(ask(s).await.unwrap(), ReanalysisAnswer::Queued);
            t.db.job_finish(lease_of(&t.db, e).await).await.unwrap();
        }
        assert_eq!(ask(3599).await.unwrap(), ReanalysisAnswer::TooMany { next_at: at(3600) });
        assert_eq!(ask(3600).await.unwrap(), ReanalysisAnswer::Queued);
    }

    async fn only_what_was_skipped_for_a_budget_is_woken(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let mut all = Vec::new();
        for (i, reason) in [StatusReason::BudgetDaily, StatusReason::BudgetMonthly, StatusReason::ProvidersFailed].into_iter().enumerate() {
            let s = i64::try_from(i).unwrap();
            let e = open_event(&t.db, c, at(s)).await.id;
            t.db.job_ready(e, None, at(s)).await.unwrap();
            t.db.job_retry(lease_of(&t.db, e).await, at(1000)).await.unwrap();
            let status = if i == 2 { DescriptionStatus::Failed } else { DescriptionStatus::Skipped };
            t.db.event_change(e, vec![EventChange::Undescribed { status, reason }], at(s)).await.unwrap();
            all.push(e);
        }
        assert_eq!(t.db.jobs_wake_unpaid(at(10)).await.unwrap(), 2);
        let woken: Vec<EventId> = t.db.job_lease(at(10), MINUTE, 9, Oldest).await.unwrap().iter().map(|j| j.event_id).collect();
        assert_eq!(woken, all[..2]);
    }
}
