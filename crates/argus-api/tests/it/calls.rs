//! `/ai/usage` and `/ai/egress`: what calls came to, and what of them left the machine.

use argus_core::call::{CallPurpose, CallTimes, PlannedCall, SentFrame, SettledCall};
use argus_core::camera::AnalysisMode;
use argus_core::describe::{DescribeError, DescribeFailure, Description};
use argus_core::event::Event;
use argus_core::provider::ProviderKind;
use argus_core::{AnalysisId, CallId, ProviderId, Timestamp};
use argus_db::{BudgetRules, EventChange, NewCall, NewFrame};
use serde_json::{Value, json};

use crate::support::Server;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// One call; what is not said is as of any.
struct Call<'a> {
    at: &'a str,
    name: &'a str,
    event: Option<&'a Event>,
    host: Option<&'a str>,
    frames: Vec<SentFrame>,
    cost: Option<f64>,
    failure: Option<DescribeFailure>,
    is_open: bool,
}

impl Default for Call<'_> {
    fn default() -> Self {
        let host = Some("api.vendor.example:443");
        Self {
            at: "2025-12-23T10:00:00Z",
            name: "Vendor",
            event: None,
            host,
            frames: vec![],
            cost: Some(0.25),
            failure: None,
            is_open: false,
        }
    }
}

/// The same id for the same name.
fn provider(name: &str) -> ProviderId {
    format!("0193f000-0000-7000-8000-{:012}", name.bytes().map(u32::from).sum::<u32>()).parse().unwrap()
}

fn frame(index: Option<u32>, sha256: &str) -> SentFrame {
    SentFrame { index, sha256: sha256.into(), width: 640, height: 360, bytes: 1000 }
}

/// Books and settles a call as the engine does.
async fn call(server: &Server, call: Call<'_>) -> String {
    let booked = at(call.at);
    let id = CallId::new(booked);
    let is_remote = call.host.is_some_and(|host| host.contains("vendor"));
    let new = NewCall {
        id,
        at: booked,
        purpose: if call.event.is_some() { CallPurpose::Event } else { CallPurpose::Describe },
        analysis_id: call.event.map(|_| AnalysisId::new(booked)),
        event_id: call.event.map(|e| e.id),
        camera_id: call.event.map(|e| e.camera_id),
        analysis_mode: Some(if call.event.is_some() { AnalysisMode::MultiFrame } else { AnalysisMode::SingleFrame }),
        planned: PlannedCall {
            provider_id: Some(provider(call.name)),
            provider: if is_remote { ProviderKind::OpenAi } else { ProviderKind::Ollama },
            provider_name: call.name.into(),
            model: format!("{}-1", call.name),
            host: call.host.map(str::to_owned),
            is_remote,
            prompt: "What is there?".into(),
            parameters: json!({"max_tokens": 400, "argus": {"prompt_version": 1}}).as_object().unwrap().clone(),
            frames: call.frames,
            bytes: 2_000,
            estimate: Some(0.5),
            price_version: Some("2025-12-01".into()),
        },
    };
    server.db.ai_call_book(new, BudgetRules::default()).await.unwrap().unwrap();
    if call.is_open {
        return id.to_string();
    }
    let words = Description { text: "A man.".into(), ..Description::default() };
    let failed = |kind| DescribeError { kind, message: "it did not".into(), retry_after: None };
    let settled = SettledCall {
        bytes_sent: None,
        is_refusal: false,
        result: call.failure.map_or(Ok(words), |kind| Err(failed(kind))),
        tokens_input: Some(100),
        tokens_output: Some(10),
        cost: call.cost,
        cost_estimated: true,
        times: CallTimes { waited_ms: 1, first_byte_ms: Some(20), total_ms: 200 },
        raw_answer: Some("{}".into()),
        bytes_received: 50,
    };
    server.db.ai_call_settle(id, settled, BudgetRules::default(), booked).await.unwrap();
    id.to_string()
}

#[tokio::test]
async fn without_calls_everything_is_nothing() {
    let server = Server::start().await;
    let answer = server.get("/ai/usage").await.expect(200);
    let budget =
        |resets_at| json!({"limit": null, "spent": 0.0, "percent": null, "resets_at": resets_at, "forecast": null});
    assert_eq!(
        answer,
        json!({
            "from": "2025-11-23T10:30:00.000Z", "to": "2025-12-23T10:30:00.000Z", "group_by": "day",
            "total_calls": 0, "successful_calls": 0, "failed_calls": 0,
            "tokens_input": 0, "tokens_output": 0, "total_tokens": 0, "total_cost": 0.0, "avg_response_time_ms": null,
            "groups": [],
            "budgets": {
                "daily": budget("2025-12-24T00:00:00.000Z"), "monthly": budget("2026-01-01T00:00:00.000Z"),
                "paused": false, "pause_reason": null,
            },
        })
    );
    let answer = server.get("/ai/egress").await.expect(200);
    assert_eq!(
        answer,
        json!({
            "date": "2025-12-23", "timezone": "UTC",
            "from": "2025-12-23T00:00:00.000Z", "until": "2025-12-24T00:00:00.000Z",
            "calls": 0, "bytes_sent": 0, "frames": 0, "hosts": [],
            "items": [], "total": 0, "page": 1, "limit": 20, "pages": 0,
        })
    );
    let answer = server.get("/ai/egress/days").await.expect(200);
    assert_eq!(answer, json!({"timezone": "UTC", "from": "2025-11-24", "to": "2025-12-23", "days": []}));
}

#[tokio::test]
async fn sums_are_grouped_by_what_is_asked_for() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    let event = server.event(&camera, 0, "Motion on Door.").await;
    call(&server, Call { at: "2025-12-21T23:30:00Z", event: Some(&event), ..Call::default() }).await;
    call(
        &server,
        Call { name: "Cellar", host: Some("127.0.0.1:1"), cost: Some(0.0), event: Some(&event), ..Call::default() },
    )
    .await;
    call(&server, Call { failure: Some(DescribeFailure::RateLimited), cost: None, ..Call::default() }).await;
    let usage = async |query: &str| server.get(&format!("/ai/usage{query}")).await.expect(200);
    let all = usage("").await;
    assert_eq!(
        (&all["total_calls"], &all["successful_calls"], &all["failed_calls"]),
        (&json!(3), &json!(2), &json!(1))
    );
    assert_eq!((&all["tokens_input"], &all["total_tokens"]), (&json!(300), &json!(330)));
    assert_eq!((&all["total_cost"], &all["avg_response_time_ms"]), (&json!(0.25), &json!(200.0)));
    let keys = async |query: &str| -> Vec<(Value, Value, Value)> {
        let answer = usage(query).await;
        let group = |g: &Value| (g["key"].clone(), g["label"].clone(), g["total_calls"].clone());
        answer["groups"].as_array().unwrap().iter().map(group).collect()
    };
    let groups = |all: &[(Value, &str, u32)]| -> Vec<(Value, Value, Value)> {
        all.iter().map(|(key, label, n)| (key.clone(), json!(label), json!(n))).collect()
    };
    let days = [(json!("2025-12-21"), "2025-12-21", 1), (json!("2025-12-23"), "2025-12-23", 2)];
    assert_eq!(keys("?group_by=day").await, groups(&days));
    assert_eq!(keys("?group_by=none").await, groups(&[]));
    let models = [(json!("Cellar-1"), "Cellar-1", 1), (json!("Vendor-1"), "Vendor-1", 2)];
    assert_eq!(keys("?group_by=model").await, groups(&models));
    let modes = [(json!("multi_frame"), "multi_frame", 2), (json!("single_frame"), "single_frame", 1)];
    assert_eq!(keys("?group_by=mode").await, groups(&modes));
    let cameras = keys("?group_by=camera").await;
    assert!(cameras.contains(&(json!(camera), json!("Door"), json!(2))), "{cameras:?}");
    assert!(cameras.iter().any(|(key, _, n)| key.is_null() && n == 1), "{cameras:?}");
    assert_eq!(keys("?group_by=provider").await.len(), 2);
    // Both ends are included, to the millisecond.
    let exact = "?from=2025-12-21T23:30:00Z&to=2025-12-21T23:30:00Z";
    assert_eq!(usage(exact).await["total_calls"], 1);
    assert_eq!(usage("?from=2025-12-21T23:30:00.001Z").await["total_calls"], 2);
    assert_eq!(usage("?to=2025-12-21T23:29:59.999Z").await["total_calls"], 0);
    // Days are those of the settings.
    server.put("/system/settings", json!({"general": {"timezone": "Europe/Berlin"}})).await.expect(200);
    let days = [(json!("2025-12-22"), "2025-12-22", 1), (json!("2025-12-23"), "2025-12-23", 2)];
    assert_eq!(keys("").await, groups(&days));
    for (bad, fields) in [
        ("?group_by=week", vec!["group_by"]),
        ("?from=2025-12-23T10:30:00Z&to=2025-12-22T10:30:00Z", vec!["to"]),
        ("?from=2025-12-24T10:30:00Z", vec!["to"]),
        ("?from=x&to=&y=1", vec!["from", "to", "y"]),
    ] {
        assert_eq!(server.get(&format!("/ai/usage{bad}")).await.faults(), fields, "{bad}");
    }
}

#[tokio::test]
async fn budgets_tell_what_is_spent_and_reserved() {
    let server = Server::start().await;
    let budgets = json!({"ai": {"budgets": {"daily_usd": 1.0, "monthly_usd": 10.0}}});
    server.put("/system/settings", budgets).await.expect(200);
    call(&server, Call { at: "2025-12-22T09:00:00Z", ..Call::default() }).await;
    call(&server, Call::default()).await;
    call(&server, Call { is_open: true, ..Call::default() }).await;
    let answer = server.get("/ai/usage").await.expect(200);
    let daily = &answer["budgets"]["daily"];
    assert_eq!((&daily["limit"], &daily["spent"], &daily["percent"]), (&json!(1.0), &json!(0.75), &json!(75.0)));
    assert_eq!(answer["budgets"]["monthly"]["spent"], 1.0);
    assert!(daily["forecast"].as_f64().unwrap() > 0.75, "{daily}");
    call(&server, Call::default()).await;
    let paused = &server.get("/ai/usage").await.expect(200)["budgets"];
    assert_eq!((&paused["paused"], &paused["pause_reason"]), (&json!(true), &json!("budget_daily")));
}

#[tokio::test]
async fn what_left_is_listed_by_day_with_its_pictures() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    let event = server.event(&camera, 0, "Motion on Door.").await;
    let kept =
        NewFrame { index: 0, offset_ms: 0, sha256: "aa".into(), width: 640, height: 360, bytes: 5, stored: true };
    let event = server.db.event_change(event.id, vec![EventChange::Frames(vec![kept])], event.timestamp).await.unwrap();
    let url = format!("/api/v1/events/{}/frames/0", event.id);
    let frames = vec![frame(Some(0), "aa"), frame(Some(0), "bb"), frame(Some(7), "cc")];
    let first = call(&server, Call { event: Some(&event), frames, ..Call::default() }).await;
    let near = Call {
        name: "Cellar",
        host: Some("127.0.0.1:9"),
        at: "2025-12-23T23:30:00Z",
        frames: vec![frame(None, "dd")],
        ..Call::default()
    };
    let second = call(&server, near).await;
    // Nothing left the process.
    call(&server, Call { host: None, ..Call::default() }).await;
    call(&server, Call { at: "2025-12-20T00:00:00Z", ..Call::default() }).await;

    let day = server.get("/ai/egress").await.expect(200);
    assert_eq!(
        (&day["calls"], &day["bytes_sent"], &day["frames"], &day["total"]),
        (&json!(2), &json!(4000), &json!(4), &json!(2))
    );
    let hosts = json!([
        {"host": "127.0.0.1:9", "is_remote": false, "calls": 1, "bytes_sent": 2000, "frames": 1},
        {"host": "api.vendor.example:443", "is_remote": true, "calls": 1, "bytes_sent": 2000, "frames": 3},
    ]);
    assert_eq!(day["hosts"], hosts);
    let [late, early] = &day["items"].as_array().unwrap()[..] else { panic!("{day}") };
    assert_eq!((&late["id"], &early["id"]), (&json!(second), &json!(first)));
    assert_eq!(
        (&early["event_id"], &early["is_remote"], &early["prompt"]),
        (&json!(event.id), &json!(true), &json!("What is there?"))
    );
    assert_eq!(early["parameters"], json!({"max_tokens": 400}), "what was not sent is not shown as sent");
    let shown: Vec<_> = early["frames"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["sha256"].clone(), f["url"].clone(), f["is_derived"].clone()))
        .collect();
    assert_eq!(
        shown,
        [
            (json!("aa"), json!(url), json!(false)),
            (json!("bb"), json!(url), json!(true)),
            (json!("cc"), json!(null), json!(false)),
        ]
    );
    assert_eq!(late["frames"][0]["url"], json!(null));
    assert_eq!(late["times"], json!({"waited_ms": 1, "first_byte_ms": 20, "total_ms": 200}));
    let page = server.get("/ai/egress?limit=1&page=2").await.expect(200);
    assert_eq!((&page["items"][0]["id"], &page["pages"], &page["calls"]), (&json!(first), &json!(2), &json!(2)));

    let days = server.get("/ai/egress/days").await.expect(200);
    let dates: Vec<_> = days["days"].as_array().unwrap().iter().map(|d| d["date"].clone()).collect();
    assert_eq!(dates, ["2025-12-20", "2025-12-23"]);
    assert_eq!(days["days"][1]["hosts"], hosts);
    let some = server.get("/ai/egress/days?from=2025-12-21&to=2025-12-22").await.expect(200);
    assert_eq!((&some["from"], &some["to"], &some["days"]), (&json!("2025-12-21"), &json!("2025-12-22"), &json!([])));
    assert_eq!(server.get("/ai/egress/days?to=2025-12-20").await.expect(200)["days"][0]["calls"], 1);

    // Elsewhere the late one belongs to the next day.
    server.put("/system/settings", json!({"general": {"timezone": "Europe/Berlin"}})).await.expect(200);
    let next = server.get("/ai/egress?date=2025-12-24").await.expect(200);
    assert_eq!((&next["from"], &next["items"][0]["id"]), (&json!("2025-12-23T23:00:00.000Z"), &json!(second)));
    assert_eq!(server.get("/ai/egress?date=2025-12-23").await.expect(200)["total"], 1);

    // A deleted event takes its text with it, and its pictures; that it was sent stays.
    server.delete(&format!("/events/{}", event.id)).await.expect(204);
    let after = server.get("/ai/egress?date=2025-12-23").await.expect(200);
    let call = &after["items"][0];
    assert_eq!((&call["id"], &call["prompt"], &call["raw_answer"]), (&json!(first), &json!(null), &json!(null)));
    assert_eq!((&call["frames"][0]["sha256"], &call["frames"][0]["url"]), (&json!("aa"), &json!(null)));
    assert_eq!(after["bytes_sent"], 2000);
}

#[tokio::test]
async fn days_are_dates() {
    let server = Server::start().await;
    for bad in ["2025-02-29", "today", "20251223", "2025-12-23T00:00:00Z", ""] {
        assert_eq!(server.get(&format!("/ai/egress?date={bad}")).await.faults(), ["date"], "{bad}");
        assert_eq!(server.get(&format!("/ai/egress/days?from={bad}&to={bad}")).await.faults(), ["from", "to"], "{bad}");
    }
    assert_eq!(server.get("/ai/egress?page=0&limit=501&x=1").await.faults(), ["limit", "page", "x"]);
    assert_eq!(server.get("/ai/egress/days?from=2025-12-24").await.faults(), ["to"]);
    assert_eq!(server.get("/ai/egress/days?from=2024-11-17&to=2025-12-23").await.faults(), ["to"]);
    server.get("/ai/egress/days?from=2024-11-19&to=2025-12-23").await.expect(200);
}
