//! The wire form of what is asked, what is made of every answer, and every fault of an endpoint.

use std::time::Duration;

use argus_ai::{OpenAi, OpenAiConfig, OpenAiKind, Prices, Provider};
use argus_core::Secret;
use argus_core::describe::{DescribeError, DescribeFailure, DescribeOutcome};
use argus_core::event::ObjectKind;
use base64::Engine as _;
use serde_json::{Value, json};

use crate::request;
use crate::server::{Reply, Server};

/// Long enough for any answer of these tests.
const AMPLE: Duration = Duration::from_secs(60);

fn config(server: &Server) -> OpenAiConfig {
    OpenAiConfig {
        api_key: Some(Secret::new("sk-test-4711")),
        timeout: AMPLE,
        ..OpenAiConfig::new(OpenAiKind::OpenAi, server.base_url(), "m")
    }
}

async fn ask(config: OpenAiConfig) -> DescribeOutcome {
    OpenAi::new(config).unwrap().call(&request(1), AMPLE).await
}

/// What comes of one answer; and that it was asked for once only.
async fn fails(reply: Reply) -> DescribeError {
    let server = Server::start(vec![reply.clone()]).await;
    let outcome = ask(config(&server)).await;
    assert_eq!(server.asked().len(), 1, "{reply:?} was asked for again");
    assert!(!outcome.record.prompt.is_empty() && outcome.record.latency_ms.is_some());
    assert_eq!(outcome.record.provider.as_deref(), Some("openai"));
    outcome.result.expect_err(&format!("{reply:?}"))
}

async fn check(reply: Reply, kind: DescribeFailure, message: &str) {
    let error = fails(reply.clone()).await;
    assert_eq!(error.kind, kind, "{reply:?}: {error}");
    assert!(error.message.contains(message), "{reply:?}: {error}");
}

#[tokio::test]
async fn what_is_asked_has_openais_form() {
    let server = Server::start(vec![Reply::good()]).await;
    let provider = OpenAi::new(config(&server)).unwrap();
    let outcome = provider.call(&request(3), AMPLE).await;

    let asked = server.asked().remove(0);
    assert_eq!(asked.line, "POST /v1/chat/completions HTTP/1.1");
    assert_eq!(asked.headers["authorization"], "Bearer sk-test-4711");
    assert_eq!(asked.headers["content-type"], "application/json");
    assert!(asked.headers["user-agent"].starts_with("argus/"));
    assert!(!asked.headers.contains_key("openai-organization") && !asked.headers.contains_key("openai-project"));

    let body = &asked.body;
    let names: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(names, ["max_completion_tokens", "messages", "model", "response_format"]);
    assert_eq!(body["model"], "m");
    assert_eq!(body["max_completion_tokens"], 400);
    assert_eq!(body["messages"][0]["role"], "system");
    assert!(body["messages"][0]["content"].is_string());
    assert_eq!(body["messages"][1]["role"], "user");
    let format = &body["response_format"];
    assert_eq!(format["type"], "json_schema");
    assert_eq!(format["json_schema"]["strict"], true);
    assert_eq!(format["json_schema"]["schema"]["required"], json!(["description", "objects", "confidence"]));

    // Text and pictures by turns, in order, each picture after the line that says when it was taken.
    let parts = body["messages"][1]["content"].as_array().unwrap();
    let types: Vec<&str> = parts.iter().map(|p| p["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["text", "text", "image_url", "text", "image_url", "text", "image_url"]);
    for (n, pair) in parts[1..].chunks(2).enumerate() {
        assert!(pair[0]["text"].as_str().unwrap().starts_with(&format!("Picture {} of 3", n + 1)));
        let uri = pair[1]["image_url"]["url"].as_str().unwrap();
        let data = uri.strip_prefix("data:image/jpeg;base64,").unwrap();
        let jpeg = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
        assert_eq!(jpeg, request(3).frames[n].jpeg, "picture {n}");
    }

    let record = &outcome.record;
    assert_eq!(record.parameters["max_completion_tokens"], 400);
    assert_eq!(&record.parameters["response_format"], format);
    assert!(record.prompt.contains(body["messages"][0]["content"].as_str().unwrap()));
    for part in parts.iter().filter(|p| p["type"] == "text") {
        assert!(record.prompt.contains(part["text"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn an_answer_becomes_words_and_a_receipt() {
    let server = Server::start(vec![Reply::good()]).await;
    let prices = Prices { input_per_million: Some(2.0), output_per_million: Some(10.0) };
    let outcome = ask(OpenAiConfig { prices, name: "Cloud".into(), ..config(&server) }).await;
    let words = outcome.result.unwrap();
    assert_eq!(words.text, "A man carries a parcel to the door.");
    assert_eq!(words.objects, [ObjectKind::Person, ObjectKind::Package]);
    assert_eq!(words.confidence, Some(91));
    let record = outcome.record;
    assert_eq!(record.provider.as_deref(), Some("openai"));
    assert_eq!(record.provider_name.as_deref(), Some("Cloud"));
    assert_eq!(record.model.as_deref(), Some("m"));
    assert_eq!((record.tokens_input, record.tokens_output), (Some(1200), Some(40)));
    assert!((record.cost.unwrap() - 0.0028).abs() < 1e-12 && record.cost_estimated);
    assert!(record.raw_answer.unwrap().starts_with(r#"{"description""#));
    assert!(record.fallback_path.is_empty());
}

#[tokio::test]
async fn what_is_not_told_is_not_known() {
    let lean = json!({ "choices": [{ "message": { "content": "{\"description\": \"A cat.\"}" } }] });
    let server = Server::start(vec![Reply::json(200, &lean)]).await;
    let config = OpenAiConfig {
        api_key: None,
        prices: Prices::FREE,
        ..OpenAiConfig::new(OpenAiKind::Compatible, format!("{}/", server.base_url()), "m")
    };
    let outcome = ask(config).await;
    let words = outcome.result.unwrap();
    assert_eq!((words.text.as_str(), words.confidence, words.objects.len()), ("A cat.", None, 0));
    let record = outcome.record;
    assert_eq!(
        (record.tokens_input, record.tokens_output, record.cost, record.cost_estimated),
        (None, None, None, false)
    );
    assert_eq!(record.provider.as_deref(), Some("openai_compatible"));
    let asked = server.asked().remove(0);
    assert_eq!(asked.line, "POST /v1/chat/completions HTTP/1.1");
    assert!(!asked.headers.contains_key("authorization"), "{:?}", asked.headers);
    assert_eq!(asked.body["max_tokens"], 400);
}

#[tokio::test]
async fn refusals_have_their_kind() {
    use DescribeFailure::{InvalidAnswer, ModelNotFound, Quota, RateLimited, ServerError, Unauthorized};
    let error = |message: &str, code: &str| json!({ "error": { "message": message, "type": code, "param": null, "code": code } });
    check(
        Reply::json(401, &error("Incorrect API key provided: sk-te**711", "invalid_api_key")),
        Unauthorized,
        "refuses the key",
    )
    .await;
    check(Reply::json(404, &error("The model `m` does not exist", "model_not_found")), ModelNotFound, "does not exist")
        .await;
    check(Reply::text(404, "page not found"), InvalidAnswer, "base_url").await;
    check(Reply::json(429, &error("You exceeded your current quota", "insufficient_quota")), Quota, "money").await;
    check(Reply::json(429, &error("Rate limit reached", "rate_limit_exceeded")), RateLimited, "Rate limit reached")
        .await;
    check(Reply::json(500, &error("The server had an error", "server_error")), ServerError, "HTTP 500").await;
    check(Reply::text(503, "busy"), ServerError, "busy").await;
    check(Reply::json(400, &error("Invalid image data", "invalid_request_error")), InvalidAnswer, "Invalid image data")
        .await;
    check(Reply::json(200, &error("upstream failed", "x")), ServerError, "upstream failed").await;
}

#[tokio::test]
async fn a_wish_when_to_try_again_is_kept() {
    let limited = || Reply::json(429, &json!({ "error": { "message": "Rate limit reached" } }));
    let wait = |reply| async move { fails(reply).await.retry_after };
    assert_eq!(wait(limited().with("retry-after", "17")).await, Some(Duration::from_secs(17)));
    let by_date =
        limited().with("date", "Sun, 06 Nov 1994 08:49:37 GMT").with("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT");
    assert_eq!(wait(by_date).await, Some(Duration::from_secs(60)));
    assert_eq!(wait(limited()).await, None);
}

#[tokio::test]
async fn unusable_answers_are_refused() {
    use DescribeFailure::InvalidAnswer;
    let choice = |choice: Value| {
        Reply::json(200, &json!({ "choices": [choice], "usage": { "prompt_tokens": 9, "completion_tokens": 1 } }))
    };
    check(Reply::text(200, "{\"id\": "), InvalidAnswer, "not JSON").await;
    check(Reply::text(200, "<html>proxy</html>"), InvalidAnswer, "not JSON").await;
    check(Reply::text(200, ""), InvalidAnswer, "not JSON").await;
    check(Reply::text(200, "[]"), InvalidAnswer, "without any choice").await;
    check(Reply::json(200, &json!({ "choices": [] })), InvalidAnswer, "without any choice").await;
    check(Reply::completion("I see a man."), InvalidAnswer, "no JSON object").await;
    check(Reply::completion(r#"{"description": ""}"#), InvalidAnswer, "is empty").await;
    check(Reply::completion(""), InvalidAnswer, "is empty").await;
    check(
        choice(json!({ "message": { "content": null, "refusal": "I cannot help." } })),
        InvalidAnswer,
        "I cannot help.",
    )
    .await;
    check(choice(json!({ "message": { "content": "" }, "finish_reason": "content_filter" })), InvalidAnswer, "filter")
        .await;
    check(
        choice(json!({ "message": { "content": "{\"descr" }, "finish_reason": "length" })),
        InvalidAnswer,
        "400 output tokens",
    )
    .await;
}

#[tokio::test]
async fn an_unusable_answer_was_paid_for_all_the_same() {
    let server = Server::start(vec![Reply::completion("I see a man.")]).await;
    let outcome = ask(OpenAiConfig {
        prices: Prices { input_per_million: Some(1.0), output_per_million: Some(1.0) },
        ..config(&server)
    })
    .await;
    assert_eq!(outcome.result.unwrap_err().kind, DescribeFailure::InvalidAnswer);
    assert_eq!(outcome.record.raw_answer.as_deref(), Some("I see a man."));
    assert_eq!((outcome.record.tokens_input, outcome.record.tokens_output), (Some(1200), Some(40)));
    assert!(outcome.record.cost.is_some());
}

#[tokio::test]
async fn broken_connections_are_the_providers_fault() {
    check(Reply::Cut, DescribeFailure::ServerError, "broke off").await;
    check(Reply::Close, DescribeFailure::ServerError, "broke the connection off").await;
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let server = Server::start(vec![Reply::good()]).await;
    let mut config = config(&server);
    // A port that was free a moment ago, and that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    config.base_url = format!("http://{free}/v1");
    let error = ask(config).await.result.unwrap_err();
    assert_eq!(error.kind, DescribeFailure::Unreachable);
    assert!(error.message.contains(&free.to_string()), "{error}");
}

#[tokio::test]
async fn tls_to_a_server_without_it_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let plain = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        listener
    });
    let config = OpenAiConfig::new(OpenAiKind::Compatible, format!("https://{address}/v1"), "m");
    assert_eq!(ask(config).await.result.unwrap_err().kind, DescribeFailure::Unreachable);
    plain.await.unwrap();
}

#[tokio::test]
async fn silence_ends_by_the_shorter_limit() {
    for reply in [Reply::Hang, Reply::HangAfterHead] {
        let server = Server::start(vec![reply]).await;
        let short = Duration::from_millis(200);
        let by_own =
            OpenAi::new(OpenAiConfig { timeout: short, ..config(&server) }).unwrap().call(&request(1), AMPLE).await;
        let by_budget = OpenAi::new(config(&server)).unwrap().call(&request(1), short).await;
        for outcome in [by_own, by_budget] {
            let error = outcome.result.unwrap_err();
            assert_eq!(error.kind, DescribeFailure::Timeout);
            assert_eq!(error.message, "no whole answer within 0.2 s");
            assert!((200..30_000).contains(&outcome.record.latency_ms.unwrap()));
            // What was sent is on record, though nothing came back.
            assert!(!outcome.record.parameters.is_empty() && !outcome.record.prompt.is_empty());
        }
        assert_eq!(server.asked().len(), 2);
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let other = Server::start(vec![Reply::good()]).await;
        let location = format!("{}/chat/completions", other.base_url());
        check(Reply::text(status, "").with("location", location), DescribeFailure::InvalidAnswer, "not followed").await;
        assert_eq!(other.asked().len(), 0, "HTTP {status} was followed");
    }
}

#[tokio::test]
async fn answers_have_a_largest_size() {
    let huge = json!({ "choices": [], "x": "y".repeat(2 * 1024 * 1024) }).to_string().into_bytes();
    check(
        Reply::Full { status: 200, headers: vec![], body: huge.clone() },
        DescribeFailure::InvalidAnswer,
        "larger than 1048576",
    )
    .await;
    check(Reply::Endless { body: huge.clone() }, DescribeFailure::InvalidAnswer, "larger than 1048576").await;
    check(
        Reply::Full { status: 500, headers: vec![], body: huge },
        DescribeFailure::InvalidAnswer,
        "larger than 1048576",
    )
    .await;
}

#[tokio::test]
async fn a_refused_schema_is_remembered() {
    let refused = Reply::json(400, &json!({ "error": "'response_format.type' must be 'json_object'" }));
    let server = Server::start(vec![refused, Reply::good()]).await;
    let provider = OpenAi::new(config(&server)).unwrap();
    for _ in 0..2 {
        let outcome = provider.call(&request(1), AMPLE).await;
        assert!(outcome.result.is_ok());
        assert_eq!(outcome.record.parameters["response_format"], json!({ "type": "json_object" }));
        assert!(outcome.record.fallback_path.is_empty());
    }
    let types: Vec<Value> = server.asked().iter().map(|a| a.body["response_format"]["type"].clone()).collect();
    assert_eq!(types, ["json_schema", "json_object", "json_object"]);
}

#[tokio::test]
async fn an_endpoint_without_any_format_is_asked_by_the_prompt_alone() {
    let refused =
        || Reply::json(422, &json!({ "detail": [{ "loc": ["body", "response_format"], "msg": "not permitted" }] }));
    let server = Server::start(vec![refused(), refused(), Reply::good()]).await;
    assert!(ask(config(&server)).await.result.is_ok());
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked[2].body.get("response_format").is_none());

    // One that goes on complaining is left at that.
    let stubborn = Server::start(vec![refused()]).await;
    assert_eq!(ask(config(&stubborn)).await.result.unwrap_err().kind, DescribeFailure::InvalidAnswer);
    assert_eq!(stubborn.asked().len(), 3);
}

#[tokio::test]
async fn the_limit_has_two_names_and_each_is_tried_once() {
    let refused = || {
        Reply::json(
            400,
            &json!({ "error": { "message": "Unsupported parameter: 'max_completion_tokens'. Use 'max_tokens'." } }),
        )
    };
    let server = Server::start(vec![refused(), Reply::good()]).await;
    assert!(ask(config(&server)).await.result.is_ok());
    assert_eq!(server.asked()[1].body["max_tokens"], 400);
    assert!(server.asked()[1].body.get("max_completion_tokens").is_none());
    let stubborn = Server::start(vec![refused()]).await;
    assert!(ask(config(&stubborn)).await.result.is_err());
    assert_eq!(stubborn.asked().len(), 2);
}
