//! Whatever an endpoint says, something is made of it.

use std::time::Duration;

use argus_ai_sim::Dialect;
use argus_core::Secret;
use argus_core::provider::ProviderKind;
use proptest::prelude::*;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value, json};

use super::super::anthropic::Anthropic;
use super::super::fault::{self, Fault};
use super::super::gemini::Gemini;
use super::super::openai::OpenAi;
use super::super::scrub::Scrub;
use super::super::transport::{Auth, Transport};
use super::super::{Answer, endpoint, ollama};
use super::{HALF_KEY, KEY, config};

/// Names and words that mean something to somebody, the key among them.
const WORDS: [&str; 33] = [
    "error",
    "message",
    "code",
    "type",
    "param",
    "status",
    "details",
    "reason",
    "violations",
    "quotaId",
    "retryDelay",
    "choices",
    "finish_reason",
    "length",
    "content",
    "refusal",
    "usage",
    "cost",
    "prompt_tokens",
    "stop_reason",
    "candidates",
    "parts",
    "text",
    "finishReason",
    "SAFETY",
    "promptFeedback",
    "blockReason",
    "done_reason",
    "detail",
    "model not found",
    "37s",
    "metadata",
    KEY,
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(&WORDS[..]).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => any::<String>().prop_map(|text| format!("{text}{KEY}\n\u{202e}")),
    ]
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((word(), inner), 0..6).prop_map(|map| Value::Object(Map::from_iter(map))),
        ]
    })
}

/// What may be shown of a failure.
fn check(fault: &Fault) {
    let message = &fault.error.message;
    assert!(!message.contains(HALF_KEY), "{message}");
    assert!(!message.contains(char::is_control), "{message:?}");
    assert!(message.chars().count() < 500, "{message}");
    assert!(fault.error.retry_after.is_none_or(|wait| wait <= Duration::from_secs(24 * 3600)));
}

fn transport(dialect: Dialect) -> Transport {
    let (endpoint, _) = endpoint::check(&config(dialect, "http://127.0.0.1:9")).unwrap();
    Transport::new(endpoint, Auth::Bearer).unwrap()
}

/// What every vendor makes of a success.
fn read(body: &Value) -> Vec<Result<Answer, Fault>> {
    let openai = OpenAi::new(ProviderKind::OpenAi, "m".into(), transport(Dialect::OpenAi));
    let anthropic = Anthropic::new("m".into(), transport(Dialect::Anthropic));
    let gemini = Gemini::new("m".into(), transport(Dialect::Gemini));
    vec![openai.read(body), anthropic.read(body), gemini.read(body), ollama::read(body)]
}

/// The key in each of the texts that a sentence is made of.
#[test]
fn no_text_of_an_answer_brings_the_key_into_a_sentence() {
    let key = format!("{} {KEY}", "x".repeat(50));
    let bodies = [
        json!({ "promptFeedback": { "blockReason": key } }),
        json!({ "candidates": [{ "finishReason": key }] }),
        json!({ "choices": [{ "message": { "refusal": key } }] }),
        json!({ "choices": [{ "error": { "message": key, "code": 502 } }] }),
        json!({ "content": [], "stop_reason": "refusal", "stop_details": { "explanation": key } }),
        json!({ "content": [{ "type": "text", "text": key }], "stop_reason": "refusal" }),
    ];
    for body in bodies {
        let faults: Vec<Fault> = read(&body).into_iter().filter_map(Result::err).collect();
        faults.iter().for_each(check);
        assert!(faults.iter().any(|f| f.error.message.contains("xxx")), "{body} made no sentence");
    }
}

proptest! {
    #[test]
    fn refusals_of_any_form_are_understood(status in 400_u16..600, body in anything(), text in any::<String>()) {
        let scrub = Scrub::new(Some(Secret::new(KEY)));
        let status = StatusCode::from_u16(status).unwrap();
        for bytes in [body.to_string(), text.clone(), format!("{text}{KEY}")] {
            check(&fault::refused("API", status, &HeaderMap::new(), bytes.as_bytes(), &scrub));
        }
    }

    #[test]
    fn successes_of_any_form_are_understood(body in anything()) {
        let scrub = Scrub::new(Some(Secret::new(KEY)));
        if let Some(fault) = fault::inside("API", &body, &scrub) {
            check(&fault);
        }
        for outcome in read(&body) {
            match outcome {
                Ok(answer) => assert!(answer.cost.is_none_or(|cost| cost.is_finite() && cost >= 0.0)),
                Err(fault) => check(&fault),
            }
        }
    }
}
