//! Descriptions that are taken over from an event that looks the same.

use std::time::Duration;

use argus_core::camera::Camera;
use argus_core::describe::{AnalysisStatus, ProviderOrder};
use argus_core::event::DescriptionStatus;
use argus_core::media::{event_prefix, frame_key};
use argus_core::{Clock, EventId};
use object_store::ObjectStoreExt as _;
use serde_json::json;

use crate::describer::Answer;
use crate::stage::Stage;

/// A street in which somebody stands, or nobody.
fn street(stands_at: Option<u32>) -> Vec<u8> {
    let picture = image::GrayImage::from_fn(640, 360, |x, y| {
        let is_person = stands_at.is_some_and(|at| (at..at + 60).contains(&x)) && (120..280).contains(&y);
        image::Luma([if is_person { 230 } else { 60 + u8::try_from(x / 8 + y % 7).unwrap() }])
    });
    let mut jpeg = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 85).encode_image(&picture).unwrap();
    jpeg
}

/// An event of these pictures, described or not.
async fn event(stage: &Stage, camera: &Camera, pictures: &[Vec<u8>]) -> EventId {
    let id = stage.bare_event(camera, u32::try_from(pictures.len()).unwrap()).await;
    let prefix = event_prefix(camera.id, id, stage.clock.now());
    for (index, jpeg) in (0..).zip(pictures) {
        stage.media.put(&frame_key(&prefix, index).into(), jpeg.clone().into()).await.unwrap();
    }
    stage.queue(id).await;
    stage.until(id, |e| e.description_status == DescriptionStatus::Described).await;
    stage.clock.advance(Duration::from_secs(60));
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn what_looks_the_same_is_not_asked_twice_when_money_runs_short() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    let other = stage.camera(|c| {
        c.is_enabled = false;
        c.name = "Yard".into();
    });
    let other = other.await;
    stage.put(json!({"ai": {"budgets": {"daily_usd": 1}, "routing": {"reuse_from_percent": 50}}})).await;
    stage.script.answers(Answer::Says { text: "A person waits.", confidence: Some(90), cost: Some(0.25) });
    let pictures = [street(Some(100)), street(Some(110))];
    let first = event(&stage, &camera, &pictures).await;
    // A quarter of the money is spent: there is no need.
    stage.script.answers(Answer::Says { text: "Still waiting.", confidence: Some(90), cost: Some(0.25) });
    let second = event(&stage, &camera, &pictures).await;
    assert_eq!(stage.get(second).await.description, "Still waiting.");
    assert_eq!(stage.script.calls(), 2);

    let third = event(&stage, &camera, &pictures[..1]).await;
    let shown = stage.get(third).await;
    assert_eq!(stage.script.calls(), 2, "nobody was asked");
    assert_eq!(shown.description, "As at 10:31: Still waiting.");
    assert_eq!((shown.ai_cost, shown.tokens_used, shown.provider_used.as_deref()), (Some(0.0), None, Some("openai")));
    let reason = shown.fallback_reason.unwrap();
    assert!(reason.starts_with("50 % of the day's budget") && reason.contains(&second.to_string()), "{reason}");
    let receipt = &stage.receipts(third).await[0];
    assert_eq!((receipt.status, receipt.calls.len(), receipt.prompt.as_str()), (AnalysisStatus::Succeeded, 0, ""));
    assert_eq!(receipt.model.as_deref(), Some("script-1"));

    // Who stands elsewhere, who is gone, and what another camera sees is looked at anew.
    for (of, picture) in [(&camera, street(Some(400))), (&camera, street(None)), (&other, pictures[0].clone())] {
        let calls = stage.script.calls();
        let id = event(&stage, of, &[picture]).await;
        assert_eq!((stage.get(id).await.description.as_str(), stage.script.calls()), ("A cat.", calls + 1));
    }
    // After five minutes it is another matter, also when it looks the same.
    stage.clock.advance(Duration::from_secs(300));
    let late = event(&stage, &camera, &pictures).await;
    assert_eq!(stage.get(late).await.description, "A cat.");
    // What was taken over is not taken over again, and what is set to nothing is nothing.
    let calls = stage.script.calls();
    stage.put(json!({"ai": {"routing": {"reuse_within_s": 0}}})).await;
    event(&stage, &camera, &pictures).await;
    assert_eq!(stage.script.calls(), calls + 1);
    assert_ne!(first, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_costs_least_is_asked_first_when_money_runs_short() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    stage.put(json!({"ai": {"budgets": {"monthly_usd": 1}, "routing": {"reuse_within_s": 0}}})).await;
    stage.script.answers(Answer::Says { text: "A cat.", confidence: None, cost: Some(0.8) });
    stage.described(&camera, 1).await;
    stage.described(&camera, 1).await;
    let orders: Vec<_> = stage.script.asked().iter().map(|r| r.choice.order).collect();
    assert_eq!(orders, [ProviderOrder::Priority, ProviderOrder::Cheapest]);
}
