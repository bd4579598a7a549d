//! The request as JSON and the parts of the answer.

use argus_core::provider::ProviderKind;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::vendor::body::DataUri;
use crate::vendor::dialect::{Dialect, Format, Thinking};
use crate::vendor::schema::plain;
use crate::vendor::{Answer, Question};

/// What is sent beside prompt and pictures; `model` stands on its own in the record.
pub(super) fn parameters(kind: ProviderKind, way: Dialect, question: &Question) -> Map<String, Value> {
    // OpenAI's newer models refuse the old name of the limit, servers that resemble it know no other.
    let new_name = (kind == ProviderKind::OpenAiCompatible) == way.other_limit;
    let limit = if new_name { "max_completion_tokens" } else { "max_tokens" };
    let mut map = Map::new();
    map.insert(limit.to_owned(), json!(question.max_output_tokens));
    match way.format {
        Format::Schema => {
            // Strict schemas name every property as required and allow no other.
            let format = json!({ "name": "description", "strict": true, "schema": plain(&question.schema) });
            map.insert("response_format".to_owned(), json!({ "type": "json_schema", "json_schema": format }));
        }
        Format::Object => {
            map.insert("response_format".to_owned(), json!({ "type": "json_object" }));
        }
        Format::Offer | Format::Prompt => {}
    }
    if way.thinking == Thinking::Little {
        // The least that every model knows which thinks (<https://platform.openai.com/docs/guides/reasoning>).
        map.insert("reasoning_effort".to_owned(), json!("low"));
    }
    map
}

/// The whole request.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(flatten)]
    parameters: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a str),
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl<'a> },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: DataUri<'a>,
}

impl<'a> Body<'a> {
    pub(super) fn new(model: &'a str, question: &'a Question, parameters: &'a Map<String, Value>) -> Self {
        let prompt = Content::Text(&question.prompt);
        let messages = if question.frames.is_empty() {
            vec![Message { role: "user", content: prompt }]
        } else {
            let parts = question.frames.iter().flat_map(|frame| {
                let image_url = ImageUrl { url: DataUri(frame) };
                [Part::Text { text: &frame.label }, Part::ImageUrl { image_url }]
            });
            let pictures = Content::Parts(parts.collect());
            vec![Message { role: "system", content: prompt }, Message { role: "user", content: pictures }]
        };
        Self { model, messages, parameters }
    }
}

/// Tokens and cost, where they are told.
pub(super) fn counted(completion: &Value) -> Answer {
    let count = |at: &str| completion.pointer(at).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    let cost = completion.pointer("/usage/cost").and_then(Value::as_f64);
    let input = count("/usage/prompt_tokens");
    // xAI counts what the model thought in the total alone
    // (<https://docs.x.ai/docs/guides/reasoning>), and it is paid for as output.
    let rest = count("/usage/total_tokens").zip(input).map(|(total, input)| total.saturating_sub(input));
    Answer {
        tokens_input: input,
        tokens_output: count("/usage/completion_tokens").max(rest),
        cost: cost.filter(|c| c.is_finite() && *c >= 0.0),
        ..Answer::default()
    }
}

/// Whether the model thought before it answered.
pub(super) fn thought(completion: &Value) -> bool {
    let tokens = completion.pointer("/usage/completion_tokens_details/reasoning_tokens");
    tokens.and_then(Value::as_u64).is_some_and(|n| n > 0)
}

/// The text of a choice: one string, or a list of parts.
pub(super) fn content(choice: &Value) -> String {
    match choice.pointer("/message/content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect(),
        _ => String::new(),
    }
}

/// Why the model does not answer, in its own words.
pub(super) fn refusal(choice: &Value) -> Option<&str> {
    choice.pointer("/message/refusal").and_then(Value::as_str).filter(|r| !r.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_have_two_forms() {
        let check = |message: Value, expected: &str| assert_eq!(content(&json!({ "message": message })), expected);
        check(json!({ "content": "a" }), "a");
        check(json!({ "content": [{ "type": "text", "text": "a" }, { "type": "x" }, { "text": "b" }] }), "ab");
        check(json!({ "content": null }), "");
        check(json!(null), "");
    }

    #[test]
    fn tokens_and_costs_are_not_invented() {
        let check = |completion: Value, expected: (Option<u32>, Option<u32>, Option<f64>)| {
            let answer = counted(&completion);
            assert_eq!((answer.tokens_input, answer.tokens_output, answer.cost), expected, "{completion}");
        };
        let both = json!({ "usage": { "prompt_tokens": 5, "completion_tokens": 7, "cost": 0.002 } });
        check(both, (Some(5), Some(7), Some(0.002)));
        let thought = json!({ "usage": { "prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 112 } });
        check(thought, (Some(5), Some(107), None));
        let less = json!({ "usage": { "prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 3 } });
        check(less, (Some(5), Some(7), None));
        let bad = json!({ "usage": { "prompt_tokens": -5, "completion_tokens": "7", "cost": -1.0 } });
        check(bad, (None, None, None));
        check(json!({ "usage": null }), (None, None, None));
        check(json!([]), (None, None, None));
    }
}
