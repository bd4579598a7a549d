//! Receipts.

use std::time::Duration;

use argus_core::camera::AnalysisMode;
use argus_core::describe::{Analysis, AnalysisFrame, AnalysisStatus, AnalysisTrigger, DescribeFailure, FallbackStep};
use argus_core::event::{DescriptionStatus, ObjectKind};
use argus_core::journal::DeleteReason;
use argus_core::{AnalysisId, EventId, ProviderId, Timestamp};

use super::events::words;
use super::{at, camera, lease_of, on_both, open_event};
use crate::JobOrder::Oldest;
use crate::{DbError, EventChange, JobCounts};

pub(super) fn running(event_id: EventId, created_at: Timestamp) -> Analysis {
    Analysis {
        id: AnalysisId::new(created_at),
        event_id,
        created_at,
        finished_at: None,
        trigger: AnalysisTrigger::Initial,
        status: AnalysisStatus::Running,
        provider: None,
        provider_id: None,
        provider_name: None,
        model: None,
        analysis_mode: AnalysisMode::MultiFrame,
        parameters: serde_json::Map::new(),
        prompt: "What happens?".into(),
        frames: vec![AnalysisFrame { index: 0, sha256: "ab".into(), width: 1280, height: 720, bytes: 5_000_000_000 }],
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

fn answered(running: &Analysis) -> Analysis {
    Analysis {
        finished_at: Some(at(9)),
        status: AnalysisStatus::Succeeded,
        provider: Some("openai".into()),
        provider_id: Some(ProviderId::new(at(0))),
        provider_name: Some("Mine".into()),
        model: Some("tiny-1".into()),
        parameters: serde_json::json!({"temperature": 0.2, "seed": 7}).as_object().unwrap().clone(),
        description: Some("A person.".into()),
        confidence: Some(81),
        objects_detected: vec![ObjectKind::Person],
        tokens_input: Some(u32::MAX),
        tokens_output: Some(12),
        tokens_used: Some(4_000_000_000),
        cost: Some(0.1 + 0.2),
        cost_estimated: true,
        latency_ms: Some(1200),
        fallback_path: vec![FallbackStep {
            provider_name: "First".into(),
            model: "m".into(),
            error_kind: DescribeFailure::Timeout,
            message: "no answer in 30 s".into(),
            latency_ms: 30_000,
        }],
        raw_answer: Some("{\"a\": 1}\n🦊".into()),
        ..running.clone()
    }
}

on_both! {
    async fn an_answer_receipt_event_and_job_change_together(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let e = open_event(&t.db, c, at(0)).await.id;
        t.db.job_ready(e, None, at(1)).await.unwrap();
        t.db.job_lease(at(1), Duration::from_secs(60), 1, Oldest).await.unwrap();
        let ask = running(e, at(2));
        t.db.analysis_start(ask.clone()).await.unwrap();
        assert_eq!(t.db.analysis_page(e, 1, 10).await.unwrap().items, std::slice::from_ref(&ask));
        let done = answered(&ask);
        let described = EventChange::Described(words("A person."));
        let event = t.db.analysis_finish_and_describe(done.clone(), vec![described], lease_of(&t.db, e).await, at(9)).await.unwrap().unwrap();
        assert_eq!(event.description_status, DescriptionStatus::Described);
        assert_eq!(t.db.analysis_page(e, 1, 10).await.unwrap().items, [done]);
        assert_eq!(t.db.jobs_count().await.unwrap(), JobCounts::default());
        assert_eq!(t.db.journal_bounds().await.unwrap().newest, 3);
    }

    async fn when_the_event_cannot_change_the_receipt_and_the_job_stay(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let e = open_event(&t.db, c, at(0)).await.id;
        let ask = running(e, at(2));
        t.db.analysis_start(ask.clone()).await.unwrap();
        let bad = EventChange::Described(words(""));
        assert!(t.db.analysis_finish_and_describe(answered(&ask), vec![bad], lease_of(&t.db, e).await, at(9)).await.is_err());
        assert_eq!(t.db.analysis_page(e, 1, 10).await.unwrap().items, [ask]);
        assert_eq!(t.db.jobs_count().await.unwrap().waiting, 1);
    }

    async fn receipts_are_paged_newest_first(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let e = open_event(&t.db, c, at(0)).await.id;
        let other = open_event(&t.db, c, at(0)).await.id;
        for i in 0..5 {
            t.db.analysis_start(running(e, at(i))).await.unwrap();
        }
        t.db.analysis_finish(answered(&running(other, at(1)))).await.unwrap();
        let page = t.db.analysis_page(e, 2, 2).await.unwrap();
        let at_s: Vec<_> = page.items.iter().map(|a| a.created_at).collect();
        assert_eq!((at_s, page.total), (vec![at(2), at(1)], 5));
        assert_eq!(t.db.analysis_page(other, 1, 2).await.unwrap().total, 1);
    }

    async fn calls_that_a_crash_cut_off_are_marked(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let e = open_event(&t.db, c, at(0)).await.id;
        t.db.analysis_start(running(e, at(1))).await.unwrap();
        t.db.analysis_finish(answered(&running(e, at(2)))).await.unwrap();
        assert_eq!(t.db.analyses_recover(at(5)).await.unwrap(), 1);
        assert_eq!(t.db.analyses_recover(at(6)).await.unwrap(), 0);
        let all = t.db.analysis_page(e, 1, 10).await.unwrap().items;
        assert_eq!((all[1].status, all[1].finished_at, all[1].error.as_deref()),
            (AnalysisStatus::Failed, Some(at(5)), Some("the server stopped during the call")));
        assert_eq!(all[0].status, AnalysisStatus::Succeeded);
    }

    async fn outside_text_with_nul_is_kept_without_it(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let e = open_event(&t.db, c, at(0)).await.id;
        let a = Analysis { raw_answer: Some("a\0b".into()), error: Some("\0".into()), ..running(e, at(1)) };
        t.db.analysis_finish(a).await.unwrap();
        let kept = t.db.analysis_page(e, 1, 1).await.unwrap().items.remove(0);
        assert_eq!((kept.raw_answer.as_deref(), kept.error.as_deref()), (Some("a\u{fffd}b"), Some("\u{fffd}")));
    }

    async fn an_answer_for_an_event_that_is_gone_has_no_place(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let e = open_event(&t.db, c, at(0)).await.id;
        let ask = running(e, at(2));
        t.db.analysis_start(ask.clone()).await.unwrap();
        t.db.event_delete(e, DeleteReason::User, at(3)).await.unwrap();
        assert_eq!(t.db.analysis_page(e, 1, 1).await.unwrap().total, 0);
        let gone = |r: Result<_, DbError>| matches!(r, Err(DbError::NotFound { what: "event" }));
        assert!(gone(t.db.analysis_finish(answered(&ask)).await));
        assert!(gone(t.db.analysis_start(ask.clone()).await));
        let described = EventChange::Described(words("A person."));
        assert!(gone(t.db.analysis_finish_and_describe(answered(&ask), vec![described], lease_of(&t.db, e).await, at(9)).await.map(|_| ())));
    }
}
