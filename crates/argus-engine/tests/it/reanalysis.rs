//! Descriptions that somebody asks for once more.

use std::time::Duration;

use argus_core::camera::AnalysisMode;
use argus_core::describe::{AnalysisStatus, AnalysisTrigger, DescribeFailure, EventFacts, Reanalysed, Reanalysis};
use argus_core::event::{DescriptionStatus, DetectionType};
use argus_core::ports::{Control, ControlError};
use argus_core::{AnalysisId, ErrorClass, EventId};
use argus_db::{EventChange, JobCounts};
use object_store::ObjectStoreExt as _;
use serde_json::json;

use crate::describer::{Answer, provider};
use crate::stage::{Stage, class, wait};

/// Longer than any test takes.
const WAIT: Duration = Duration::from_secs(30);

async fn ask(stage: &Stage, id: EventId, wait: Duration) -> Result<Reanalysed, ControlError> {
    stage.engine.event_reanalyse(id, Reanalysis::default(), wait).await
}

async fn queued(stage: &Stage, id: EventId, how: Reanalysis) -> AnalysisId {
    match stage.engine.event_reanalyse(id, how, Duration::ZERO).await.unwrap() {
        Reanalysed::Queued(id) => id,
        done @ Reanalysed::Done(_) => panic!("{done:?}"),
    }
}

async fn ends(stage: &Stage, id: AnalysisId) -> argus_core::describe::Analysis {
    wait("the receipt", || async {
        let receipt = stage.db.analysis_get(id).await.unwrap().unwrap();
        (receipt.status != AnalysisStatus::Running).then_some(receipt)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn success_replaces_the_words_and_not_the_pictures() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    let id = stage.described(&camera, 3).await;
    let before = stage.get(id).await;
    stage.script.answers(Answer::Says { text: "A white cat.", confidence: Some(40), cost: Some(0.02) });
    stage.clock.advance(Duration::from_secs(60));
    let Reanalysed::Done(event) = ask(&stage, id, WAIT).await.unwrap() else { panic!("not in time") };
    assert_eq!(
        (event.description.as_str(), event.ai_confidence, event.ai_cost),
        ("A white cat.", Some(40), Some(0.02))
    );
    assert_eq!((event.low_confidence, event.reanalysis_count), (true, 1));
    assert_eq!(event.reanalyzed_at, Some(argus_core::Clock::now(&*stage.clock)));
    assert_eq!((&event.frames, event.timestamp), (&before.frames, before.timestamp));
    assert_eq!(*event, stage.get(id).await);
    let receipts = stage.receipts(id).await;
    assert_eq!(
        receipts.iter().map(|r| r.trigger).collect::<Vec<_>>(),
        [AnalysisTrigger::Reanalyse, AnalysisTrigger::Initial]
    );
    assert_eq!((receipts[0].status, receipts[0].prompt.as_str()), (AnalysisStatus::Succeeded, "the whole prompt"));
    assert_eq!(stage.db.jobs_count().await.unwrap(), JobCounts::default());
    let told = stage.db.journal_after(0, 500, None).await.unwrap();
    assert!(told.iter().any(|m| m.data.to_string().contains("A white cat.")), "it is announced");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_at_a_time_and_its_receipt_is_there_at_once() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    let id = stage.described(&camera, 2).await;
    stage.script.close();
    stage.clock.advance(Duration::from_secs(1));
    let analysis = queued(&stage, id, Reanalysis::default()).await;
    let receipt = &stage.receipts(id).await[0];
    assert_eq!((receipt.id, receipt.status, receipt.frames.len()), (analysis, AnalysisStatus::Running, 2));
    assert_eq!(class(ask(&stage, id, Duration::ZERO).await), ErrorClass::Conflict);
    stage.calls(2).await;
    assert_eq!(class(ask(&stage, id, Duration::ZERO).await), ErrorClass::Conflict);
    let other = stage.described_later(&camera).await;
    assert_eq!(class(ask(&stage, other, Duration::ZERO).await), ErrorClass::Conflict, "its first one is being made");
    stage.script.open();
    assert_eq!(ends(&stage, analysis).await.status, AnalysisStatus::Succeeded);
    // Whoever waits too short gets the same answer as who does not wait.
    stage.script.close();
    let late = ask(&stage, id, Duration::from_millis(50)).await.unwrap();
    assert!(matches!(late, Reanalysed::Queued(_)), "{late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_survives_a_crash() {
    let mut stage = Stage::start().await;
    let camera = stage.resting().await;
    let id = stage.described(&camera, 2).await;
    stage.script.close();
    let how = Reanalysis { prompt: Some("Count the cats.".into()), ..Reanalysis::default() };
    let analysis = queued(&stage, id, how).await;
    stage.calls(2).await;
    stage.again().await;
    stage.script.open();
    let receipt = ends(&stage, analysis).await;
    assert_eq!(receipt.status, AnalysisStatus::Succeeded, "{:?}", receipt.error);
    assert_eq!(stage.receipts(id).await.len(), 2, "the same receipt");
    assert_eq!(stage.get(id).await.reanalysis_count, 1);
    let asked = stage.script.asked();
    assert_eq!(asked.last().unwrap().instruction.as_deref(), Some("Count the cats."));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_leaves_the_event_and_says_why() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    let id = stage.described(&camera, 2).await;
    let before = stage.get(id).await;
    for (kind, expected) in [
        (DescribeFailure::ServerError, ErrorClass::Upstream),
        (DescribeFailure::Timeout, ErrorClass::Timeout),
        (DescribeFailure::InvalidAnswer, ErrorClass::Upstream),
    ] {
        stage.clock.advance(Duration::from_secs(1));
        stage.script.answers(Answer::Fails(kind));
        let refused = ask(&stage, id, WAIT).await;
        assert_eq!(class(refused), expected, "{kind}");
        let receipt = &stage.receipts(id).await[0];
        assert_eq!(receipt.status, AnalysisStatus::Failed);
        assert!(receipt.error.as_deref().unwrap().starts_with(kind.as_str()), "{:?}", receipt.error);
    }
    assert_eq!(stage.get(id).await, before);
    assert_eq!(stage.db.jobs_count().await.unwrap(), JobCounts::default(), "nothing is tried again by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_failed_is_still_tried_by_itself_afterwards() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    stage.script.answers(Answer::Fails(DescribeFailure::ServerError));
    let id = stage.event(&camera, 1).await;
    wait("the failure", || async {
        let receipts = stage.receipts(id).await;
        (receipts.first()?.status == AnalysisStatus::Failed && stage.db.jobs_count().await.ok()?.ready == 1)
            .then_some(())
    })
    .await;
    stage.script.answers(Answer::Fails(DescribeFailure::ServerError));
    assert_eq!(class(ask(&stage, id, WAIT).await), ErrorClass::Upstream);
    assert_eq!(stage.get(id).await.description_status, DescriptionStatus::Pending);
    assert_eq!(stage.db.jobs_count().await.unwrap(), JobCounts { ready: 1, ..JobCounts::default() });
    stage.clock.advance(Duration::from_secs(60));
    stage.nudge().await;
    let event = stage.until(id, |e| e.description_status == DescriptionStatus::Described).await;
    assert_eq!(event.reanalysis_count, 0);
    assert_eq!(stage.receipts(id).await[0].trigger, AnalysisTrigger::Retry);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_read_is_tried_again_and_what_is_owed_stays_owed() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    stage.media.unreadable(true);
    let id = stage.event(&camera, 1).await;
    stage.idle().await;
    assert_eq!(stage.get(id).await.description_status, DescriptionStatus::Pending, "not: it has no picture");
    let asked = queued(&stage, id, Reanalysis::default()).await;
    for _ in 0..5 {
        stage.clock.advance(Duration::from_secs(60));
        stage.nudge().await;
        stage.idle().await;
    }
    let receipt = ends(&stage, asked).await;
    assert_eq!(receipt.status, AnalysisStatus::Failed);
    assert_eq!(receipt.error.as_deref(), Some("the server could not do the work; its log says why"));
    assert_eq!(stage.script.asked().len(), 0, "nobody was asked without pictures");
    assert_eq!(stage.db.jobs_count().await.unwrap(), JobCounts { ready: 1, ..JobCounts::default() });
    stage.media.unreadable(false);
    stage.clock.advance(Duration::from_secs(3600));
    stage.nudge().await;
    let event = stage.until(id, |e| e.description_status == DescriptionStatus::Described).await;
    assert_eq!(event.reanalysis_count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn mode_prompt_and_provider_are_as_asked_or_as_for_a_new_event() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    *stage.script.providers.lock().unwrap() = vec![provider("Paid", true), provider("Local", false)];
    let id = stage.described(&camera, 3).await;
    stage.put(json!({"ai": {"prompt": "From the settings."}})).await;
    let how = [
        Reanalysis { analysis_mode: Some(AnalysisMode::SingleFrame), ..Reanalysis::default() },
        Reanalysis { prompt: Some("As asked.".into()), provider: Some("lOCAL".into()), ..Reanalysis::default() },
        Reanalysis { analysis_mode: Some(AnalysisMode::MultiFrame), ..Reanalysis::default() },
    ];
    for how in how {
        let analysis = queued(&stage, id, how).await;
        ends(&stage, analysis).await;
    }
    let asked = stage.script.asked();
    let [_, single, chosen, several] = &asked[..] else { panic!("{} calls", asked.len()) };
    assert_eq!((single.mode, single.frames.len(), single.frames[0].index), (AnalysisMode::SingleFrame, 1, 1));
    assert_eq!(single.frames[0].jpeg, "picture 1");
    assert_eq!((single.instruction.as_deref(), &single.choice.only), (Some("From the settings."), &None));
    assert_eq!((chosen.mode, chosen.frames.len()), (AnalysisMode::MultiFrame, 3));
    assert_eq!(chosen.instruction.as_deref(), Some("As asked."));
    assert_eq!(chosen.choice.only.as_deref(), Some("Local"));
    assert_eq!((several.mode, several.frames.len()), (AnalysisMode::MultiFrame, 3));
    assert_eq!(stage.get(id).await.reanalysis_count, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_measured_and_the_best_picture_are_known_again() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    let id = stage.bare_event(&camera, 3).await;
    stage.db.event_change(id, vec![EventChange::BestFrame(2)], argus_core::Clock::now(&*stage.clock)).await.unwrap();
    let facts = EventFacts {
        camera_name: "Wall".into(),
        started_at: argus_core::Clock::now(&*stage.clock),
        duration_ms: Some(3000),
        detection_type: DetectionType::Motion,
        zones: vec!["Yard".into()],
        area: None,
        largest_ratio: Some(0.07),
        first_center: Some((0.1, 0.5)),
        last_center: Some((0.9, 0.5)),
        confidence: 61,
    };
    stage.db.job_ready(id, Some(facts.clone()), argus_core::Clock::now(&*stage.clock)).await.unwrap();
    stage.nudge().await;
    stage.until(id, |e| e.description_status == DescriptionStatus::Described).await;
    let how = Reanalysis { analysis_mode: Some(AnalysisMode::SingleFrame), ..Reanalysis::default() };
    ends(&stage, queued(&stage, id, how).await).await;
    let asked = stage.script.asked();
    assert_eq!((asked.len(), &asked[0].facts, &asked[1].facts), (2, &facts, &facts));
    assert_eq!(asked[1].frames.iter().map(|f| f.index).collect::<Vec<_>>(), [2]);
    let event = stage.get(id).await;
    assert_eq!((event.analysis_mode, event.frame_count_used), (Some(AnalysisMode::SingleFrame), Some(1)));
    assert_eq!(event.fallback_reason, None, "one picture was wished for");

    // The strongest moment's picture is gone.
    let prefix = argus_core::media::event_prefix(camera.id, id, event.timestamp);
    stage.media.delete(&argus_core::media::frame_key(&prefix, 2).into()).await.unwrap();
    let how = Reanalysis { analysis_mode: Some(AnalysisMode::SingleFrame), ..Reanalysis::default() };
    ends(&stage, queued(&stage, id, how).await).await;
    assert_eq!(stage.script.asked()[2].frames.iter().map(|f| f.index).collect::<Vec<_>>(), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn why_not_the_wanted_mode_is_told() {
    let stage = Stage::start().await;
    let camera = stage.camera(|c| (c.is_enabled, c.analysis_mode) = (false, AnalysisMode::MultiFrame)).await;
    let id = stage.described(&camera, 1).await;
    let event = stage.get(id).await;
    assert_eq!((event.analysis_mode, event.frame_count_used), (Some(AnalysisMode::SingleFrame), Some(1)));
    assert_eq!(event.fallback_reason.as_deref(), Some("there is only one picture of the event"));
    let receipt = &stage.receipts(id).await[0];
    assert_eq!((receipt.analysis_mode, receipt.frames.len()), (AnalysisMode::SingleFrame, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_stands_in_the_way_is_told() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    let id = stage.described(&camera, 2).await;
    let now = argus_core::Clock::now(&*stage.clock);
    let with = |provider: &str| Reanalysis { provider: Some(provider.into()), ..Reanalysis::default() };
    let refused = |how: Reanalysis| {
        let engine = &stage.engine;
        async move { class(engine.event_reanalyse(id, how, Duration::ZERO).await) }
    };

    assert_eq!(class(ask(&stage, EventId::new(now), Duration::ZERO).await), ErrorClass::NotFound);
    // A value that nobody knows is told before the event is looked for.
    let unknown = stage.engine.event_reanalyse(EventId::new(now), with("Nobody"), Duration::ZERO).await;
    assert!(matches!(&unknown, Err(ControlError::Invalid(f)) if f.0[0].field == "provider"), "{unknown:?}");

    stage.put(json!({"ai": {"enabled": false}})).await;
    assert_eq!(refused(Reanalysis::default()).await, ErrorClass::Conflict);
    stage.put(json!({"ai": {"enabled": true, "budgets": {"daily_usd": 0}}})).await;
    assert_eq!(refused(Reanalysis::default()).await, ErrorClass::Conflict);
    *stage.script.providers.lock().unwrap() = vec![provider("Paid", true), provider("Local", false)];
    assert_eq!(refused(with("Paid")).await, ErrorClass::Conflict);
    let analysis = queued(&stage, id, with("Local")).await;
    ends(&stage, analysis).await;
    stage.script.providers.lock().unwrap().clear();
    assert_eq!(refused(Reanalysis::default()).await, ErrorClass::Unavailable);
    *stage.script.providers.lock().unwrap() = vec![provider("Local", false)];

    let bare = stage.described(&camera, 1).await;
    stage.db.event_change(bare, vec![EventChange::Frames(vec![])], now).await.unwrap();
    assert_eq!(class(ask(&stage, bare, Duration::ZERO).await), ErrorClass::Conflict);
    assert_eq!(stage.receipts(bare).await.len(), 1, "what was refused has no receipt");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_an_hour_for_each_event() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    let id = stage.described(&camera, 1).await;
    for _ in 0..3 {
        ask(&stage, id, WAIT).await.unwrap();
        stage.clock.advance(Duration::from_secs(60));
    }
    let refused = ask(&stage, id, WAIT).await.unwrap_err();
    assert!(
        matches!(&refused, ControlError::Exhausted { retry_after, .. } if *retry_after == Duration::from_secs(57 * 60)),
        "{refused:?}"
    );
    let other = stage.described(&camera, 1).await;
    ask(&stage, other, WAIT).await.unwrap();
    stage.clock.advance(Duration::from_secs(57 * 60));
    ask(&stage, id, WAIT).await.unwrap();
}
