//! The failures.

use std::time::Duration;

use argus_ai_sim::{AiSim, Dialect, Fault, sample};
use serde_json::{Value, json};

use crate::{client, send};

#[tokio::test]
async fn every_failure_has_a_status_and_a_body_of_its_own() {
    let wait = Duration::from_secs(7);
    for dialect in Dialect::ALL {
        let sim = AiSim::start(dialect);
        let request = sample(dialect).request;
        for (fault, statuses) in [
            (Fault::Unauthorized, &[400, 401][..]),
            (Fault::Forbidden, &[403]),
            (Fault::ModelNotFound, &[400, 404]),
            (Fault::RateLimited(Some(wait)), &[429]),
            (Fault::RateLimited(None), &[429]),
            (Fault::QuotaSpent, &[402, 429]),
            (Fault::ContextTooLong, &[400]),
            (Fault::ContentRefused, &[200, 400, 403]),
            (Fault::Blind, &[400, 404, 500]),
            (Fault::ServerError, &[500]),
            (Fault::Unavailable, &[503]),
            (Fault::Overloaded, &[503, 529]),
            (Fault::BadGateway, &[502]),
            (Fault::ErrorInSuccess, &[200]),
            (Fault::Refusal, &[200]),
            (Fault::CutOff, &[200]),
            (Fault::ThoughtTooLong, &[200]),
            (Fault::EmptyContent, &[200]),
            (Fault::NotStructured, &[200]),
            (Fault::InvalidJson, &[200]),
            (Fault::EmptyBody, &[200]),
            (Fault::Redirect("http://127.0.0.1:9/".into()), &[307]),
            (Fault::EchoKey(418), &[418]),
            (Fault::Raw(200, "{}".into()), &[200]),
        ] {
            sim.fault_next(1, fault.clone());
            let (status, body) = send(&sim, &request).await;
            assert!(statuses.contains(&status), "{dialect:?} {fault:?}: {status} {body}");
        }
        // The queue is used up.
        let (status, body) = send(&sim, &request).await;
        assert_eq!(status, 200, "{dialect:?}: {body}");
        sim.fault(Fault::ServerError);
        assert_eq!((send(&sim, &request).await.0, send(&sim, &request).await.0), (500, 500));
        sim.recover();
        assert_eq!(send(&sim, &request).await.0, 200);
    }
}

#[tokio::test]
async fn answers_break_off_stop_or_never_come() {
    let request = sample(Dialect::OpenAi).request;
    let sim = AiSim::start(Dialect::OpenAi);
    let post = || {
        let post = client().post(format!("{}/chat/completions", sim.base_url())).bearer_auth("k").json(&request.body);
        post.timeout(Duration::from_millis(300)).send()
    };
    for fault in [Fault::Close, Fault::Hang] {
        sim.fault_next(1, fault.clone());
        let error = post().await.expect_err("no head comes");
        assert_eq!(error.is_timeout(), fault == Fault::Hang, "{error:?}");
    }
    for (fault, late) in
        [(Fault::CutMidBody, false), (Fault::HangMidBody, true), (Fault::SlowDrip(Duration::from_millis(100)), true)]
    {
        sim.fault_next(1, fault.clone());
        let response = post().await.unwrap();
        assert_eq!(response.status(), 200);
        let error = response.bytes().await.expect_err("no whole body comes");
        assert_eq!(error.is_timeout(), late, "{fault:?}: {error:?}");
    }
    sim.fault_next(1, Fault::Huge);
    let mut response = post().await.unwrap();
    let mut seen = 0;
    while seen < 8 << 20 {
        seen += response.chunk().await.unwrap().expect("it goes on").len();
    }
}

#[tokio::test]
async fn words_can_be_made_of_the_question() {
    let sim = AiSim::start(Dialect::Gemini);
    sim.answer_by(|asked| format!("{} pictures", asked.pictures.len()));
    sim.tokens(7, 9);
    let (_, body) = send(&sim, &sample(Dialect::Gemini).request).await;
    assert_eq!(body.pointer("/candidates/0/content/parts/0/text"), Some(&json!("1 pictures")));
    assert_eq!(body.pointer("/usageMetadata/promptTokenCount"), Some(&json!(7)));
    let sim = AiSim::start(Dialect::OpenRouter);
    sim.cost(0.25);
    let (_, body) = send(&sim, &sample(Dialect::OpenRouter).request).await;
    assert_eq!(body.pointer("/usage/cost").and_then(Value::as_f64), Some(0.25));
}
