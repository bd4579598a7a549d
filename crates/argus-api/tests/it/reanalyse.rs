//! `POST /events/{id}/reanalyse`.

use std::time::Duration;

use argus_core::api_key::Scope;
use argus_core::camera::AnalysisMode;
use argus_core::describe::{Reanalysed, Reanalysis};
use argus_core::ports::ControlError;
use argus_core::{Faults, Invalid};
use reqwest::Method;
use serde_json::json;

use crate::support::{Server, send};

#[tokio::test]
async fn without_waiting_it_is_queued_under_both_names() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    let event = server.event(&camera, 0, "Motion on Door.").await;
    for name in ["reanalyse", "reanalyze"] {
        let path = format!("/events/{}/{name}", event.id);
        let answer = send(server.request(Method::POST, &path)).await.expect(202);
        assert_eq!((&answer["event_id"], &answer["status"]), (&json!(event.id), &json!("queued")));
        assert!(answer["analysis_id"].as_str().unwrap().len() == 36 && answer.as_object().unwrap().len() == 3);
        server.post(&path, json!({})).await.expect(202);
    }
    let wishes = server.control.wishes.lock().unwrap().clone();
    assert_eq!(wishes, vec![(event.id, Reanalysis::default(), Duration::ZERO); 4]);
}

#[tokio::test]
async fn what_is_asked_reaches_the_running_system() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    let event = server.event(&camera, 0, "Motion on Door.").await;
    server.control.reanalysed.lock().unwrap().push_back(Ok(Reanalysed::Done(Box::new(event.clone()))));
    let body = json!({"analysis_mode": "single_frame", "prompt": "  Count. ", "provider": "Local"});
    let answer = server.post(&format!("/events/{}/reanalyse?wait=60", event.id), body).await.expect(200);
    assert_eq!(answer, serde_json::to_value(&event).unwrap());
    let how = Reanalysis {
        analysis_mode: Some(AnalysisMode::SingleFrame),
        prompt: Some("  Count. ".into()),
        provider: Some("Local".into()),
    };
    assert_eq!(*server.control.wishes.lock().unwrap(), [(event.id, how, Duration::from_secs(60))]);
}

#[tokio::test]
async fn refusals_have_their_status() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    let event = server.event(&camera, 0, "Motion on Door.").await;
    let path = format!("/events/{}/reanalyse?wait=1", event.id);
    let next = |answer: ControlError| server.control.reanalysed.lock().unwrap().push_back(Err(answer));
    for (answer, status) in [
        (ControlError::Conflict("a description of the event is being made already".into()), 409),
        (ControlError::Upstream("the event could not be described".into()), 502),
        (ControlError::Timeout("the event could not be described".into()), 504),
        (ControlError::Unavailable("no provider is enabled".into()), 503),
        (ControlError::NotFound("there is no such event".into()), 404),
    ] {
        next(answer);
        server.post(&path, json!({})).await.expect(status);
    }
    next(ControlError::Invalid(Faults::from(Invalid::new("provider", "is unknown"))));
    assert_eq!(server.post(&path, json!({"provider": "x"})).await.faults(), ["provider"]);
    next(ControlError::Exhausted {
        message: "three within an hour".into(),
        retry_after: Duration::from_millis(61_200),
    });
    let answer = server.post(&path, json!({})).await;
    answer.expect(429);
    assert_eq!(answer.header("retry-after"), "62");
}

#[tokio::test]
async fn values_are_checked_before_the_event_is_looked_for() {
    let server = Server::start().await;
    let path = "/events/no-such-event/reanalyse";
    let check = async |query: &str, body, fields: &[&str]| {
        assert_eq!(server.post(&format!("{path}{query}"), body).await.faults(), fields);
    };
    check(
        "?wait=61&x=1",
        json!({"prompt": "", "provider": "\u{0}", "mode": 1}),
        &["mode", "prompt", "provider", "wait", "x"],
    )
    .await;
    check("", json!({"analysis_mode": null, "prompt": "x".repeat(2001)}), &["analysis_mode", "prompt"]).await;
    check("", json!({"analysis_mode": "both", "provider": 5}), &["analysis_mode", "provider"]).await;
    check("?wait=-1", json!([]), &["", "wait"]).await;
    server.post(path, json!({"prompt": "x".repeat(2000)})).await.expect(404);
    let text = server.request(Method::POST, path).header("content-type", "text/plain").body("{}");
    send(text).await.expect(415);
    assert!(server.control.wishes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn only_admins_may_ask() {
    let server = Server::start().await;
    let key = server.key(&[Scope::ReadEvents, Scope::WriteCameras]).await;
    for path in ["/events/x/reanalyse", "/events/x/reanalyze"] {
        send(server.bare(Method::POST, path)).await.expect(401);
        send(server.bare(Method::POST, path).header("x-api-key", &key)).await.expect(403);
    }
}
