//! Providers, pictures that somebody sends, and requests that are sent again.

use argus_core::call::CallPurpose;
use argus_core::camera::AnalysisMode;
use argus_core::describe::DescribeFailure;
use argus_core::figures::ProviderFigures;
use argus_core::ports::{AiControl, ComponentHealth, ComponentStatus, Control, ControlError, PictureQuestion};
use argus_core::provider::{BreakerState, ProviderConfig, ProviderKind, ProviderState};
use argus_core::{AnalysisId, Clock, ErrorClass, Secret};
use bytes::Bytes;
use serde_json::json;

use crate::describer::{Answer, provider};
use crate::stage::{Stage, class};

fn config(name: &str) -> ProviderConfig {
    ProviderConfig {
        kind: ProviderKind::OpenAiCompatible,
        name: name.into(),
        model: "script-1".into(),
        base_url: Some("http://127.0.0.1:9/v1".into()),
        api_key: Some(Secret::new("sk-secret")),
        enabled: true,
        priority: 10,
        timeout_s: 30,
        max_output_tokens: 400,
        prices: None,
        max_concurrent: 4,
        requests_per_minute: None,
    }
}

fn names(stage: &Stage) -> Vec<String> {
    stage.script.configured.lock().unwrap().iter().map(|p| p.config.name.clone()).collect()
}

fn picture(format: image::ImageFormat) -> Bytes {
    let mut file = std::io::Cursor::new(Vec::new());
    image::DynamicImage::new_rgb8(64, 36).write_to(&mut file, format).unwrap();
    file.into_inner().into()
}

fn ask(image: Bytes) -> PictureQuestion {
    PictureQuestion { image, prompt: Some("What is it?".into()), provider: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_describer_hears_of_every_change() {
    let mut stage = Stage::start().await;
    assert_eq!(names(&stage), ["builtin"]);
    let made = stage.engine.ai_provider_create(config("Mine")).await.unwrap();
    assert_eq!(names(&stage), ["Mine", "builtin"]);
    assert_eq!(class(stage.engine.ai_provider_create(config("MINE")).await), ErrorClass::Conflict);
    let bad = ProviderConfig { base_url: Some("nonsense".into()), ..config("Other") };
    assert_eq!(class(stage.engine.ai_provider_create(bad).await), ErrorClass::Invalid);
    let builtin = ProviderConfig { kind: ProviderKind::Builtin, ..config("Other") };
    assert_eq!(class(stage.engine.ai_provider_create(builtin).await), ErrorClass::Conflict);

    let rename = |to: &'static str| -> argus_core::ports::ProviderEdit {
        Box::new(move |p| Ok(ProviderConfig { name: to.into(), priority: 2000, ..p.config.clone() }))
    };
    let id = made.stored.id;
    let renamed = stage.engine.ai_provider_update(id, rename("Ours")).await.unwrap();
    assert_eq!((renamed.stored.config.name.as_str(), renamed.stored.created_at), ("Ours", made.stored.created_at));
    assert_eq!(names(&stage), ["builtin", "Ours"]);
    let turn: argus_core::ports::ProviderEdit =
        Box::new(|p| Ok(ProviderConfig { kind: ProviderKind::Gemini, ..p.config.clone() }));
    assert_eq!(class(stage.engine.ai_provider_update(id, turn).await), ErrorClass::Invalid);
    let refuse: argus_core::ports::ProviderEdit = Box::new(|_| Err(ControlError::Conflict("no".into())));
    assert_eq!(class(stage.engine.ai_provider_update(id, refuse).await), ErrorClass::Conflict);

    stage.again().await;
    assert_eq!(names(&stage), ["builtin", "Ours"], "also after a restart");
    let all = stage.engine.ai_providers().await.unwrap();
    assert_eq!(all.iter().map(|p| p.stored.config.name.as_str()).collect::<Vec<_>>(), ["builtin", "Ours"]);
    assert_eq!(class(stage.engine.ai_provider_delete(all[0].stored.id).await), ErrorClass::Conflict);
    stage.engine.ai_provider_delete(id).await.unwrap();
    assert_eq!(names(&stage), ["builtin"]);
    assert_eq!(class(stage.engine.ai_provider_delete(id).await), ErrorClass::NotFound);
    assert_eq!(class(stage.engine.ai_provider_test(id).await), ErrorClass::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_answer_is_seen_in_the_health() {
    let stage = Stage::start().await;
    let health = async || stage.engine.health().await.ai;
    assert_eq!(health().await, ComponentHealth::ok());
    let figures = |name: &str, state| ProviderFigures {
        provider: name.into(),
        state,
        breaker: BreakerState::Open,
        passed_over: 3,
    };
    *stage.script.figures.lock().unwrap() = vec![figures("A", ProviderState::Down), figures("B", ProviderState::Ok)];
    let degraded = health().await;
    assert_eq!(degraded.status, ComponentStatus::Degraded);
    assert_eq!(degraded.detail.as_deref(), Some("the provider A does not answer"));
    stage.put(json!({"ai": {"enabled": false}})).await;
    assert_eq!(health().await.status, ComponentStatus::Disabled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_described_booked_and_not_kept() {
    let stage = Stage::start().await;
    stage.script.answers(Answer::Says { text: "A cat.", confidence: Some(80), cost: Some(0.25) });
    let outcome = stage.engine.ai_describe(ask(picture(image::ImageFormat::Png))).await.unwrap();
    assert_eq!(outcome.result.unwrap().text, "A cat.");
    let asked = &stage.script.asked()[0];
    assert_eq!(
        (asked.frames.len(), asked.mode, asked.instruction.as_deref()),
        (1, AnalysisMode::SingleFrame, Some("What is it?"))
    );
    assert_eq!(image::guess_format(&asked.frames[0].jpeg).unwrap(), image::ImageFormat::Jpeg);
    let now = stage.clock.now();
    let calls = stage.db.ai_egress(now, now.plus(std::time::Duration::from_secs(1)), 1, 9).await.unwrap().items;
    assert_eq!((calls[0].purpose, calls[0].event_id, calls[0].cost), (CallPurpose::Describe, None, Some(0.25)));

    assert_eq!(class(stage.engine.ai_describe(ask(Bytes::from_static(b"no picture"))).await), ErrorClass::Invalid);
    let other = PictureQuestion { provider: Some("Nobody".into()), ..ask(picture(image::ImageFormat::Jpeg)) };
    assert_eq!(class(stage.engine.ai_describe(other).await), ErrorClass::Invalid);
    for (kind, expected) in
        [(DescribeFailure::Timeout, ErrorClass::Timeout), (DescribeFailure::ServerError, ErrorClass::Upstream)]
    {
        stage.script.answers(Answer::Fails(kind));
        assert_eq!(class(stage.engine.ai_describe(ask(picture(image::ImageFormat::WebP))).await), expected);
    }
    // What is left of the budget is too little, and then it is spent.
    *stage.script.estimate.lock().unwrap() = Some(0.5);
    for daily_usd in [0.5, 0.25] {
        stage.put(json!({"ai": {"budgets": {"daily_usd": daily_usd}}})).await;
        let refused = stage.engine.ai_describe(ask(picture(image::ImageFormat::Jpeg))).await;
        assert_eq!(class(refused), ErrorClass::Conflict, "{daily_usd}");
    }
    // What is no picture is refused as such, whatever else stands in the way.
    let none = || ask(Bytes::from_static(b"no picture"));
    assert_eq!(class(stage.engine.ai_describe(none()).await), ErrorClass::Invalid);
    stage.script.providers.lock().unwrap().clear();
    assert_eq!(class(stage.engine.ai_describe(ask(picture(image::ImageFormat::Jpeg))).await), ErrorClass::Unavailable);
    assert_eq!(class(stage.engine.ai_describe(none()).await), ErrorClass::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_is_booked_as_one() {
    let stage = Stage::start().await;
    let made = stage.engine.ai_provider_create(config("Mine")).await.unwrap();
    let trial = stage.engine.ai_provider_test(made.stored.id).await.unwrap();
    assert!(trial.success && trial.model == "script-1", "{trial:?}");
    let now = stage.clock.now();
    let calls = stage.db.ai_egress(now, now.plus(std::time::Duration::from_secs(1)), 1, 9).await.unwrap().items;
    assert_eq!(calls.iter().map(|c| c.purpose).collect::<Vec<_>>(), [CallPurpose::Test]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_sent_again_as_it_was() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    let made = stage.engine.ai_provider_create(config("Paid")).await.unwrap();
    *stage.script.provider_id.lock().unwrap() = Some(made.stored.id);
    let id = stage.described(&camera, 3).await;
    let analysis = stage.receipts(id).await[0].id;
    stage.script.answers(Answer::Says { text: "A dog.", confidence: Some(70), cost: Some(0.125) });
    let again = stage.engine.ai_reproduce(id, analysis).await.unwrap();
    assert_eq!(again.outcome.result.unwrap().text, "A dog.");
    assert_eq!(again.before.unwrap().text, "A cat.");
    let resent = stage.script.resent.lock().unwrap().clone();
    assert_eq!(
        (resent[0].provider, resent[0].prompt.as_str(), resent[0].frames.len()),
        (made.stored.id, "the whole prompt", 3)
    );
    assert_eq!(resent[0].parameters["temperature"], 0.5);
    let call = stage.db.ai_call_get(again.call_id.unwrap()).await.unwrap().unwrap();
    assert_eq!(
        (call.purpose, call.event_id, call.analysis_id, call.cost),
        (CallPurpose::Reproduce, Some(id), None, Some(0.125))
    );
    assert_eq!(stage.get(id).await.description, "A cat.", "the event stays as it was");

    stage.script.answers(Answer::Fails(DescribeFailure::Timeout));
    assert_eq!(class(stage.engine.ai_reproduce(id, analysis).await), ErrorClass::Timeout);
    assert_eq!(class(stage.engine.ai_reproduce(id, AnalysisId::new(stage.clock.now())).await), ErrorClass::NotFound);
    stage.put(json!({"ai": {"budgets": {"daily_usd": 0.125}}})).await;
    assert_eq!(class(stage.engine.ai_reproduce(id, analysis).await), ErrorClass::Conflict, "the budget is spent");
    *stage.script.providers.lock().unwrap() = vec![provider("Paid", true)];
    stage.put(json!({"ai": {"budgets": {"daily_usd": null}}})).await;
    stage.engine.ai_provider_delete(made.stored.id).await.unwrap();
    assert_eq!(class(stage.engine.ai_reproduce(id, analysis).await), ErrorClass::Conflict, "its provider is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_another_process_is_noticed_by_itself() {
    let stage = Stage::start().await;
    let now = stage.clock.now();
    let row = argus_core::provider::StoredProvider {
        id: argus_core::ProviderId::new(now),
        created_at: now,
        updated_at: now,
        config: config("Elsewhere"),
    };
    let knows = async |wanted: bool| {
        crate::stage::wait("the change", || async {
            // The queue looks when it turns, and no more often than every few seconds.
            stage.nudge().await;
            (names(&stage).contains(&"Elsewhere".to_owned()) == wanted).then_some(())
        })
        .await;
    };
    // Behind the engine's back, as another process does.
    stage.db.ai_provider_insert(row.clone()).await.unwrap();
    knows(true).await;
    stage.db.ai_provider_delete(row.id).await.unwrap();
    knows(false).await;
}
