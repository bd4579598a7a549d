//! What is sent, and what is made of a documented answer.

use argus_ai_sim::{AiSim, DEFAULT_MODEL, Dialect, Fault, Lack, sample};
use bytes::Bytes;
use serde_json::{Value, json};

use super::super::dialect::Format;
use super::{AMPLE, KEY, Question, Reach, ask, of, question};

/// Where each vendor wants the key.
fn key_header(dialect: Dialect) -> (&'static str, String) {
    match dialect {
        Dialect::Anthropic => ("x-api-key", KEY.to_owned()),
        Dialect::Gemini => ("x-goog-api-key", KEY.to_owned()),
        _ => ("authorization", format!("Bearer {KEY}")),
    }
}

/// The fakes are strict, so that an answer says that the form was right; the rest is order and completeness.
#[tokio::test]
async fn questions_have_the_vendors_form_and_order() {
    for dialect in Dialect::ALL {
        for pictures in [0, 1, 3, 20] {
            let what = format!("{dialect:?} with {pictures} pictures");
            let sim = AiSim::start(dialect);
            let (vendor, question) = (of(&sim), question(pictures));
            let (size, parameters) = (vendor.body_bytes(&question), vendor.parameters(&question));
            let asked = vendor.ask(&question, Reach::Local, AMPLE).await;
            assert!(asked.result.is_ok(), "{what}: {:?}", asked.result);
            let seen = sim.requests().remove(0);
            assert_eq!(seen.model, "some-model", "{what}");
            let labels = question.frames.iter().map(|f| f.label.clone());
            assert_eq!(
                seen.texts,
                std::iter::once(question.prompt.clone()).chain(labels).collect::<Vec<_>>(),
                "{what}"
            );
            let sent: Vec<Bytes> = question.frames.iter().map(|f| f.bytes.clone()).collect();
            assert_eq!(seen.pictures, sent, "{what}");
            assert_eq!(seen.body.len() as u64, size, "{what}");
            for (name, value) in &parameters {
                assert_eq!(seen.json.get(name), Some(value), "{what}: {name}");
            }
            let (header, value) = key_header(dialect);
            assert_eq!(seen.header(header), Some(value.as_str()), "{what}");
            assert_eq!(seen.query, None, "{what}");
            assert_eq!(seen.headers.iter().filter(|(_, v)| v.contains(KEY)).count(), 1, "{what}: {:?}", seen.headers);
            assert!(!String::from_utf8_lossy(&seen.body).contains(KEY), "{what}");
            assert_eq!(seen.header("content-type"), Some("application/json"), "{what}");
            assert!(seen.header("user-agent").unwrap().starts_with("argus/"), "{what}");
            assert!(seen.header("openai-organization").or(seen.header("openai-project")).is_none(), "{what}");
            assert!(asked.raw.is_some() && asked.bytes_received > 0 && asked.first_byte.is_some(), "{what}");
        }
    }
}

#[tokio::test]
async fn instructions_and_pictures_stand_in_different_roles() {
    for dialect in Dialect::ALL {
        let sim = AiSim::start(dialect);
        assert!(ask(&sim, AMPLE).await.result.is_ok());
        let body = sim.requests().remove(0).json;
        let (instructions, pictures) = match dialect {
            Dialect::Anthropic => (body["system"].clone(), body["messages"].clone()),
            Dialect::Gemini => (body["systemInstruction"].clone(), body["contents"].clone()),
            _ => (body["messages"][0].clone(), json!([body["messages"][1]])),
        };
        assert!(instructions.to_string().contains("Describe what happens"), "{dialect:?}: {instructions}");
        assert!(!pictures.to_string().contains("Describe what happens"), "{dialect:?}: {pictures}");
        assert_eq!(pictures[0]["role"], "user", "{dialect:?}");
    }
}

#[tokio::test]
async fn the_documented_answer_is_understood() {
    for dialect in Dialect::ALL {
        let sim = AiSim::start(dialect);
        let sample = sample(dialect);
        sim.fault(Fault::Raw(200, sample.response.to_string().into()));
        let asked = ask(&sim, AMPLE).await;
        let answer = asked.result.unwrap();
        let found = json!({
            "text": answer.text, "tokens_input": answer.tokens_input, "tokens_output": answer.tokens_output, "cost": answer.cost
        });
        assert_eq!(found, sample.expected, "{dialect:?}");
        assert!(!answer.cut_off, "{dialect:?}");
        assert_eq!(asked.bytes_received, sample.response.to_string().len() as u64, "{dialect:?}");
    }
}

#[tokio::test]
async fn models_are_listed_without_what_cannot_be_asked() {
    for dialect in Dialect::ALL {
        let sim = AiSim::start(dialect);
        assert_eq!(of(&sim).models(Reach::Local, AMPLE).await.unwrap(), [DEFAULT_MODEL], "{dialect:?}");
    }
}

/// Which form the answer was demanded in.
fn form(dialect: Dialect, body: &Value) -> Format {
    let (schema, object) = match dialect {
        Dialect::OpenAi | Dialect::Xai | Dialect::OpenRouter => {
            let kind = &body["response_format"]["type"];
            (kind == "json_schema", kind == "json_object")
        }
        Dialect::Anthropic => (body.get("output_config").is_some(), body.get("tools").is_some()),
        Dialect::Gemini => {
            let config = &body["generationConfig"];
            (config.get("responseSchema").is_some(), config.get("responseMimeType").is_some())
        }
        Dialect::Ollama => (body["format"].is_object(), body["format"] == "json"),
    };
    match (schema, object) {
        (false, true) if body["tool_choice"]["type"] == "auto" => Format::Offer,
        (true, _) => Format::Schema,
        (false, true) => Format::Object,
        (false, false) => Format::Prompt,
    }
}

#[tokio::test]
async fn endpoints_without_schemas_are_asked_in_simpler_ways() {
    use Format::{Object, Offer, Prompt, Schema};
    for dialect in Dialect::ALL {
        // Tools are offered before they are given up.
        let without_tools = if dialect == Dialect::Anthropic {
            &[Schema, Object, Offer, Prompt][..]
        } else {
            &[Schema, Object, Prompt]
        };
        let unforced = if dialect == Dialect::Anthropic { &[Schema, Object, Offer][..] } else { &[Schema, Object] };
        for (lacks, expected) in [
            (&[][..], &[Schema][..]),
            (&[Lack::JsonSchema], &[Schema, Object]),
            (&[Lack::JsonSchema, Lack::ForcedTool], unforced),
            (&[Lack::JsonSchema, Lack::JsonObject], without_tools),
        ] {
            let what = format!("{dialect:?} without {lacks:?}");
            let sim = AiSim::start(dialect);
            sim.lacks(lacks);
            let vendor = of(&sim);
            let mut asked = vendor.ask(&question(1), Reach::Local, AMPLE).await;
            for _ in 1..expected.len() {
                assert!(asked.ask_again && asked.result.is_err(), "{what}: {asked:?}");
                asked = vendor.ask(&question(1), Reach::Local, AMPLE).await;
            }
            assert!(!asked.ask_again, "{what}");
            let text = asked.result.unwrap().text;
            let words: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(words["confidence"], 91, "{what}: {text}");
            // What was learned is kept.
            assert!(vendor.ask(&question(1), Reach::Local, AMPLE).await.result.is_ok(), "{what}");
            let forms: Vec<Format> = sim.requests().iter().map(|seen| form(dialect, &seen.json)).collect();
            let mut all = expected.to_vec();
            all.extend(expected.last());
            assert_eq!(forms, all, "{what}");
        }
    }
}

#[tokio::test]
async fn the_limit_of_tokens_has_two_names() {
    for (dialect, first, lack, second) in [
        (Dialect::OpenAi, "max_completion_tokens", Lack::MaxCompletionTokens, "max_tokens"),
        (Dialect::OpenRouter, "max_tokens", Lack::MaxTokens, "max_completion_tokens"),
    ] {
        let sim = AiSim::start(dialect);
        sim.lacks(&[lack]);
        let vendor = of(&sim);
        assert!(vendor.ask(&question(1), Reach::Local, AMPLE).await.ask_again, "{dialect:?}");
        assert!(vendor.ask(&question(1), Reach::Local, AMPLE).await.result.is_ok(), "{dialect:?}");
        let bodies: Vec<Value> = sim.requests().into_iter().map(|seen| seen.json).collect();
        assert_eq!((&bodies[0][first], &bodies[1][second]), (&json!(400), &json!(400)), "{dialect:?}");
        assert_eq!((bodies[0].get(second), bodies[1].get(first)), (None, None), "{dialect:?}");
    }
}

#[tokio::test]
async fn a_model_that_thinks_too_long_is_asked_to_think_less() {
    for (dialect, place) in [
        (Dialect::OpenAi, "/reasoning_effort"),
        (Dialect::Xai, "/reasoning_effort"),
        (Dialect::Gemini, "/generationConfig/thinkingConfig/thinkingBudget"),
    ] {
        let sim = AiSim::start(dialect);
        let vendor = of(&sim);
        sim.fault_next(1, Fault::ThoughtTooLong);
        let asked = vendor.ask(&question(1), Reach::Local, AMPLE).await;
        assert!(asked.ask_again, "{dialect:?}: {asked:?}");
        assert_eq!(asked.spent.and_then(|s| s.tokens_output), Some(40), "{dialect:?}: it was paid for");
        assert_eq!(
            asked.result.unwrap_err().message,
            "the model's thoughts used up max_output_tokens before it had answered"
        );
        // Asked to think less, and not again when that does not help either.
        sim.fault_next(2, Fault::ThoughtTooLong);
        for _ in 0..2 {
            assert!(!vendor.ask(&question(1), Reach::Local, AMPLE).await.ask_again, "{dialect:?}");
        }
        let told: Vec<bool> = sim.requests().iter().map(|seen| seen.json.pointer(place).is_some()).collect();
        assert_eq!(told, [false, true, true], "{dialect:?}");

        // An endpoint that does not let itself be told is left alone.
        let sim = AiSim::start(dialect);
        sim.lacks(&[Lack::Thinking]);
        let vendor = of(&sim);
        sim.fault_next(1, Fault::ThoughtTooLong);
        assert!(vendor.ask(&question(1), Reach::Local, AMPLE).await.ask_again, "{dialect:?}");
        assert!(vendor.ask(&question(1), Reach::Local, AMPLE).await.ask_again, "{dialect:?}");
        assert!(vendor.ask(&question(1), Reach::Local, AMPLE).await.result.is_ok(), "{dialect:?}");
        let told: Vec<bool> = sim.requests().iter().map(|seen| seen.json.pointer(place).is_some()).collect();
        assert_eq!(told, [false, true, false], "{dialect:?}");
    }
}

#[tokio::test]
async fn a_question_is_sent_again_byte_for_byte() {
    for dialect in Dialect::ALL {
        let sim = AiSim::start(dialect);
        sim.lacks(&[Lack::JsonSchema]);
        let vendor = of(&sim);
        vendor.ask(&question(3), Reach::Local, AMPLE).await;
        let parameters = vendor.parameters(&question(3));
        assert!(vendor.ask(&question(3), Reach::Local, AMPLE).await.result.is_ok(), "{dialect:?}");
        // Another vendor value, which has learned nothing yet, with another wish for the length.
        let again = Question { parameters: Some(parameters), max_output_tokens: 16, ..question(3) };
        let asked = of(&sim).ask(&again, Reach::Local, AMPLE).await;
        assert!(asked.result.is_ok() && !asked.ask_again, "{dialect:?}: {asked:?}");
        let bodies: Vec<Bytes> = sim.requests().into_iter().map(|seen| seen.body).collect();
        assert_eq!(bodies[1], bodies[2], "{dialect:?}");
        // What is refused of it is not asked for in another way: that would be another question.
        sim.lacks(&[Lack::JsonSchema, Lack::JsonObject]);
        let asked = of(&sim).ask(&again, Reach::Local, AMPLE).await;
        assert!(asked.result.is_err() && !asked.ask_again, "{dialect:?}: {asked:?}");
    }
}

#[tokio::test]
async fn costs_are_told_by_who_tells_them() {
    let sim = AiSim::start(Dialect::OpenRouter);
    sim.cost(0.0123);
    assert_eq!(ask(&sim, AMPLE).await.result.unwrap().cost, Some(0.0123));
    let sim = AiSim::start(Dialect::OpenAi);
    assert_eq!(ask(&sim, AMPLE).await.result.unwrap().cost, None);
}

#[tokio::test]
async fn a_server_at_home_needs_no_key() {
    let sim = AiSim::start(Dialect::Ollama);
    let keyless =
        argus_core::provider::ProviderConfig { api_key: None, ..super::config(Dialect::Ollama, &sim.base_url()) };
    let vendor = super::vendor(&keyless).unwrap();
    assert!(vendor.ask(&question(1), Reach::Local, AMPLE).await.result.is_ok());
    assert_eq!(sim.requests()[0].header("authorization"), None);
}
