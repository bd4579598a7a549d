//! `POST /events/{id}/analyses/{analysis_id}/reproduce`.

use argus_core::api_key::Scope;
use argus_core::describe::{CallRecord, DescribeError, DescribeFailure, DescribeOutcome, Description};
use argus_core::event::ObjectKind;
use argus_core::ports::{ControlError, Reproduced};
use argus_core::{AnalysisId, CallId, EventId, Timestamp};
use reqwest::Method;
use serde_json::json;

use crate::support::{Server, send};

fn words(text: &str, confidence: Option<u8>) -> Description {
    Description { text: text.into(), confidence, objects: vec![ObjectKind::Person], ..Description::default() }
}

fn outcome(result: Result<Description, DescribeError>) -> DescribeOutcome {
    let record = CallRecord { cost: Some(0.5), latency_ms: Some(7), ..CallRecord::default() };
    DescribeOutcome { record, result }
}

fn next(server: &Server, again: Result<Reproduced, ControlError>) {
    server.ai.reproduced.lock().unwrap().push_back(again);
}

fn ids() -> (EventId, AnalysisId) {
    (EventId::new(Timestamp::from_millis(5)), AnalysisId::new(Timestamp::from_millis(6)))
}

#[tokio::test]
async fn both_answers_are_shown_with_their_difference() {
    let server = Server::start().await;
    let (event, analysis) = ids();
    let path = format!("/events/{event}/analyses/{analysis}/reproduce");
    let call = CallId::new(Timestamp::from_millis(7));
    let before = words("A man walks by.", Some(80));
    let outcome_ok = |text: &str| outcome(Ok(words(text, Some(80))));
    next(
        &server,
        Ok(Reproduced { call_id: Some(call), outcome: outcome_ok("A woman walks by."), before: Some(before.clone()) }),
    );
    let answer = server.post(&path, json!({})).await.expect(200);
    let shown = |text: &str| json!({"description": text, "confidence": 80, "objects": ["person"]});
    assert_eq!(
        answer,
        json!({
            "analysis_id": analysis, "call_id": call, "identical": false,
            "before": shown("A man walks by."), "after": shown("A woman walks by."),
            "difference": [
                {"change": "same", "text": "A"}, {"change": "removed", "text": "man"},
                {"change": "added", "text": "woman"}, {"change": "same", "text": "walks by."},
            ],
            "cost": 0.5, "latency_ms": 7,
        })
    );
    next(
        &server,
        Ok(Reproduced { call_id: None, outcome: outcome_ok("A man walks by."), before: Some(before.clone()) }),
    );
    let answer = send(server.request(Method::POST, &path)).await.expect(200);
    assert_eq!((&answer["identical"], &answer["call_id"]), (&json!(true), &json!(null)));
    assert_eq!(answer["difference"], json!([{"change": "same", "text": "A man walks by."}]));
    // The same words with another confidence are another answer; where there was none, nothing is the same.
    let other = outcome(Ok(words("A man walks by.", None)));
    next(&server, Ok(Reproduced { call_id: None, outcome: other.clone(), before: Some(before) }));
    assert_eq!(server.post(&path, json!({})).await.expect(200)["identical"], false);
    next(&server, Ok(Reproduced { call_id: None, outcome: other, before: None }));
    let answer = server.post(&path, json!({})).await.expect(200);
    assert_eq!((&answer["identical"], &answer["before"]), (&json!(false), &json!(null)));
    assert_eq!(*server.ai.asked.lock().unwrap(), vec![(event, analysis); 4]);
}

#[tokio::test]
async fn refusals_have_their_status() {
    let server = Server::start().await;
    let (event, analysis) = ids();
    let path = format!("/events/{event}/analyses/{analysis}/reproduce");
    for (kind, status) in [(DescribeFailure::Timeout, 504), (DescribeFailure::ServerError, 502)] {
        let error = DescribeError { kind, message: "it failed".into(), retry_after: None };
        next(&server, Ok(Reproduced { call_id: None, outcome: outcome(Err(error)), before: None }));
        server.post(&path, json!({})).await.expect(status);
    }
    next(&server, Err(ControlError::Conflict("its pictures are gone".into())));
    server.post(&path, json!({})).await.expect(409);
    server.post(&path, json!({})).await.expect(404);
    assert_eq!(server.post(&format!("{path}?x=1"), json!({})).await.faults(), ["x"]);
    assert_eq!(server.post(&path, json!({"x": 1})).await.faults(), ["x"]);
    for nothing in [format!("/events/x/analyses/{analysis}/reproduce"), format!("/events/{event}/analyses/x/reproduce")]
    {
        server.post(&nothing, json!({})).await.expect(404);
    }
    assert_eq!(server.ai.asked.lock().unwrap().len(), 4);
    let key = server.key(&[Scope::ReadEvents, Scope::WriteCameras]).await;
    send(server.bare(Method::POST, &path).header("x-api-key", key)).await.expect(403);
}
