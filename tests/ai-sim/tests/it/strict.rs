//! The forms.

use argus_ai_sim::{AiSim, DEFAULT_MODEL, Dialect, Lack, Sample, sample};
use serde_json::{Value, json};

use crate::{client, send};

#[tokio::test]
async fn what_is_documented_is_taken() {
    for dialect in Dialect::ALL {
        let sim = AiSim::start(dialect);
        sim.answer(r#"{"description": "A cat on a wall."}"#);
        let Sample { request, source, .. } = sample(dialect);
        assert!(!source.is_empty());
        let (status, body) = send(&sim, &request).await;
        assert_eq!(status, 200, "{dialect:?}: {body}");
        assert!(body.to_string().contains("A cat on a wall."), "{dialect:?}: {body}");
        let asked = sim.requests().remove(0);
        assert_eq!(asked.pictures.len(), 1, "{dialect:?}");
        assert!(asked.pictures[0].starts_with(&[0xff, 0xd8, 0xff]), "{dialect:?}");
        assert_eq!(asked.texts.len(), 2, "{dialect:?}: {:?}", asked.texts);
        assert_eq!(asked.json, request.body, "{dialect:?}");
        assert!(!asked.model.is_empty(), "{dialect:?}");
    }
}

/// The answers of a fake have the fields that the documented answer has, as far as the fake sends them.
#[tokio::test]
async fn the_answers_have_the_documented_form() {
    fn same_kinds(place: &str, ours: &Value, documented: &Value) {
        match (ours, documented) {
            (Value::Object(ours), Value::Object(documented)) => {
                for (key, value) in ours {
                    // What a page leaves out is told in the text of the same page.
                    if let Some(other) = documented.get(key) {
                        same_kinds(&format!("{place}/{key}"), value, other);
                    }
                }
            }
            (Value::Array(ours), Value::Array(documented)) => {
                if let (Some(ours), Some(documented)) = (ours.first(), documented.first()) {
                    same_kinds(&format!("{place}/0"), ours, documented);
                }
            }
            (Value::Null, _) | (_, Value::Null) => {}
            (a, b) => {
                assert_eq!(std::mem::discriminant(a), std::mem::discriminant(b), "{place}: {a} and {b}");
            }
        }
    }
    for dialect in Dialect::ALL {
        let sim = AiSim::start(dialect);
        let sample = sample(dialect);
        let (_, body) = send(&sim, &sample.request).await;
        same_kinds(&format!("{dialect:?}"), &body, &sample.response);
        let missing: Vec<&String> = body
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| sample.response.get(key.as_str()).is_none() && key.as_str() != "stop_details")
            .collect();
        assert!(missing.is_empty(), "{dialect:?} answers what is not documented: {missing:?}");
    }
}

/// Changes the documented request, and is refused with these words.
async fn refused(dialect: Dialect, change: impl FnOnce(&mut Sample), words: &str) {
    let sim = AiSim::start(dialect);
    let mut sample = sample(dialect);
    change(&mut sample);
    let (status, body) = send(&sim, &sample.request).await;
    assert!((400..500).contains(&status), "{dialect:?} {words}: {status} {body}");
    assert!(body.to_string().contains(words), "{dialect:?} {words}: {body}");
}

fn set(pointer: &'static str, value: Value) -> impl FnOnce(&mut Sample) {
    move |sample| *sample.request.body.pointer_mut(pointer).unwrap() = value
}

fn add(pointer: &'static str, key: &'static str, value: Value) -> impl FnOnce(&mut Sample) {
    move |sample| {
        sample.request.body.pointer_mut(pointer).unwrap().as_object_mut().unwrap().insert(key.into(), value);
    }
}

fn without_header(name: &'static str) -> impl FnOnce(&mut Sample) {
    move |sample| drop(sample.request.headers.remove(name).unwrap())
}

#[tokio::test]
async fn what_the_real_one_refuses_is_refused() {
    use Dialect::{Anthropic, Gemini, Ollama, OpenAi};
    let picture = "/messages/1/content/1/image_url/url";
    refused(OpenAi, without_header("authorization"), "Incorrect API key").await;
    refused(OpenAi, add("", "temprature", json!(1)), "Unrecognized request argument").await;
    refused(OpenAi, set("/messages/0/role", json!("boss")), "Invalid value: 'boss'").await;
    refused(OpenAi, set("/messages/1/role", json!("system")), "only allowed for messages with role 'user'").await;
    refused(OpenAi, set(picture, json!("data:image/jpeg;base64,%%")), "invalid base64").await;
    refused(OpenAi, set(picture, json!("data:image/jpeg;base64,AAAA")), "Could not process image").await;
    refused(OpenAi, set(picture, json!("data:image/bmp;base64,AAAA")), "not a supported image type").await;
    refused(OpenAi, set("/max_completion_tokens", json!(0)), "minimum").await;
    refused(OpenAi, set("/response_format", json!({ "type": "yaml" })), "Invalid value: 'yaml'").await;
    let schema = "/response_format/json_schema/schema";
    refused(OpenAi, add(schema, "additionalProperties", json!(true)), "additionalProperties").await;
    let many = |sample: &mut Sample| {
        let parts = sample.request.body.pointer_mut("/messages/1/content").unwrap().as_array_mut().unwrap();
        let one = parts[1].clone();
        parts.extend(std::iter::repeat_n(one, 500));
    };
    refused(OpenAi, many, "Too many images").await;

    refused(Anthropic, without_header("anthropic-version"), "anthropic-version").await;
    refused(Anthropic, without_header("x-api-key"), "invalid x-api-key").await;
    refused(Anthropic, add("", "response_format", json!({})), "Extra inputs are not permitted").await;
    refused(Anthropic, set("/messages/0/role", json!("system")), "Unexpected role").await;
    refused(Anthropic, set("/max_tokens", json!(null)), "max_tokens: Field required").await;
    refused(Anthropic, set("/messages/0/content/0/text", json!("")), "must be non-empty").await;
    refused(Anthropic, set("/messages/0/content/1/source/data", json!("%%")), "invalid base64").await;
    let confidence = "/output_config/format/schema/properties/confidence";
    refused(Anthropic, add(confidence, "minimum", json!(0)), "'minimum' is not supported").await;

    refused(Gemini, without_header("x-goog-api-key"), "API_KEY_INVALID").await;
    refused(Gemini, add("", "model_config", json!({})), "Unknown name").await;
    refused(Gemini, set("/contents/0/role", json!("system")), "valid role").await;
    refused(Gemini, set("/contents/0/parts/1/inlineData/data", json!("%%")), "invalid base64").await;
    let schema = "/generationConfig/responseSchema";
    refused(Gemini, add(schema, "additionalProperties", json!(false)), "Unknown name").await;
    refused(Gemini, set("/generationConfig/responseSchema/type", json!("object")), "Invalid value").await;
    refused(Gemini, set("/generationConfig/responseMimeType", json!("text/plain")), "response_mime_type").await;

    refused(Ollama, set("/messages/1/role", json!("boss")), "invalid role").await;
    refused(Ollama, set("/messages/1/images/0", json!("%%")), "illegal base64").await;
    refused(Ollama, set("/messages/1/content", json!([])), "cannot unmarshal").await;
    refused(Ollama, set("/format", json!("yaml")), "invalid format").await;
}

#[tokio::test]
async fn keys_models_and_abilities_can_be_set() {
    for dialect in Dialect::ALL {
        let sim = AiSim::start(dialect);
        let request = sample(dialect).request;
        sim.key("another-key");
        let (status, body) = send(&sim, &request).await;
        assert!((400..402).contains(&status), "{dialect:?}: {body}");
        let sim = AiSim::start(dialect);
        sim.models(&["one-model"]);
        let (status, body) = send(&sim, &request).await;
        assert!((400..405).contains(&status), "{dialect:?}: {body}");
        assert!(body.to_string().contains("model"), "{dialect:?}: {body}");
        let sim = AiSim::start(dialect);
        sim.lacks(&[Lack::Vision]);
        let (status, _) = send(&sim, &request).await;
        assert_ne!(status, 200, "{dialect:?}");
    }
}

#[tokio::test]
async fn models_are_listed() {
    for (dialect, path) in [
        (Dialect::OpenAi, "/v1/models"),
        (Dialect::Xai, "/v1/models"),
        (Dialect::OpenRouter, "/api/v1/models"),
        (Dialect::Anthropic, "/v1/models"),
        (Dialect::Gemini, "/v1beta/models"),
        (Dialect::Ollama, "/api/tags"),
    ] {
        let sim = AiSim::start(dialect);
        let get = client().get(format!("http://{}{path}", sim.address()));
        let get = get.bearer_auth("k").header("x-api-key", "k").header("x-goog-api-key", "k");
        let body: Value = get.send().await.unwrap().json().await.unwrap();
        assert!(body.to_string().contains(DEFAULT_MODEL), "{dialect:?}: {body}");
    }
}

/// Everything of a fake can be used where nothing waits.
#[test]
fn a_fake_needs_no_runtime() {
    let sim = AiSim::start(Dialect::Ollama);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (status, _) = runtime.block_on(send(&sim, &sample(Dialect::Ollama).request));
    assert_eq!(status, 200);
    assert_eq!(sim.requests().len(), 1);
    sim.forget();
    assert!(sim.requests().is_empty());
}
