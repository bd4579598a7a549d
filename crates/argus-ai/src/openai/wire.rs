//! The request as JSON and the parts of the answer.
//!
//! The answer is walked, not deserialised into async-openai's types: they demand `id`, `created` and known names, which
//! compatible endpoints leave out or make up.

use argus_core::describe::DescribeFrame;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::dialect::{Dialect, Format, Limit};
use crate::prompt::{Part, Prompt};

/// What is sent beside prompt and pictures; `model` stands on its own in the record.
pub(super) fn parameters(dialect: Dialect, max_output_tokens: u32) -> Map<String, Value> {
    let mut map = Map::new();
    let limit = match dialect.limit {
        Limit::MaxCompletionTokens => "max_completion_tokens",
        Limit::MaxTokens => "max_tokens",
    };
    map.insert(limit.to_owned(), json!(max_output_tokens));
    match dialect.format {
        Format::Schema => map.insert("response_format".to_owned(), schema()),
        Format::Object => map.insert("response_format".to_owned(), json!({ "type": "json_object" })),
        Format::Prompt => None,
    };
    map
}

/// Strict schemas name every property as required and allow no other
/// (<https://platform.openai.com/docs/guides/structured-outputs>).
fn schema() -> Value {
    json!({
        "type": "json_schema",
        "json_schema": {
            "name": "description",
            "strict": true,
            "schema": {
                "type": "object",
                "properties": {
                    "description": { "type": "string" },
                    "objects": {
                        "type": "array",
                        "items": { "type": "string", "enum": ["person", "vehicle", "package", "animal"] }
                    },
                    "confidence": { "type": ["integer", "null"] }
                },
                "required": ["description", "objects", "confidence"],
                "additionalProperties": false
            }
        }
    })
}

/// The whole request.
pub(super) fn body(model: &str, prompt: &Prompt, frames: &[DescribeFrame], parameters: &Map<String, Value>) -> Value {
    let parts: Vec<Value> = prompt
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Text(text) => Some(json!({ "type": "text", "text": text })),
            Part::Picture(at) => frames
                .get(*at)
                .map(|frame| json!({ "type": "image_url", "image_url": { "url": data_uri(&frame.jpeg) } })),
        })
        .collect();
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(model));
    body.insert(
        "messages".to_owned(),
        json!([{ "role": "system", "content": prompt.system }, { "role": "user", "content": Value::Array(parts) }]),
    );
    body.extend(parameters.clone());
    Value::Object(body)
}

fn data_uri(jpeg: &[u8]) -> String {
    let mut uri = String::from("data:image/jpeg;base64,");
    STANDARD.encode_string(jpeg, &mut uri);
    uri
}

/// Tokens in and out, where they are told.
pub(super) fn usage(completion: &Value) -> (Option<u32>, Option<u32>) {
    let count = |at: &str| completion.pointer(at).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    (count("/usage/prompt_tokens"), count("/usage/completion_tokens"))
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
    fn tokens_are_not_invented() {
        assert_eq!(usage(&json!({ "usage": { "prompt_tokens": 5, "completion_tokens": 7 } })), (Some(5), Some(7)));
        assert_eq!(usage(&json!({ "usage": { "prompt_tokens": -5, "completion_tokens": "7" } })), (None, None));
        assert_eq!(usage(&json!({ "usage": null })), (None, None));
        assert_eq!(usage(&json!([])), (None, None));
    }
}
