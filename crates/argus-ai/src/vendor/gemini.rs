//! Google's Gemini, `generateContent`.
//!
//! Wire format: <https://ai.google.dev/api/generate-content>, pictures:
//! <https://ai.google.dev/gemini-api/docs/image-understanding>, structured answers:
//! <https://ai.google.dev/gemini-api/docs/structured-output>, models: <https://ai.google.dev/api/models>. The key may
//! stand in the address, too, and never does here: addresses are logged by whoever sees them.

use std::time::Duration;

use argus_core::describe::DescribeError;
use argus_core::provider::ProviderKind;
use async_trait::async_trait;
use reqwest::{Method, Request};
use serde::Serialize;
use serde_json::{Map, Value, json};
use url::Url;

use super::body::Plain;
use super::dialect::{Dialect, Format, Has, Thinking, Ways};
use super::fault::Fault;
use super::reach::Reach;
use super::schema;
use super::transport::{Transport, post};
use super::{Answer, Asked, Question, Vendor, body};

/// What should be at the address.
const API: &str = "Gemini API";
/// The version of the interface, unless the base names it.
const VERSION: &str = "v1beta";

/// Tokens of thought that even a model takes which cannot do without
/// (<https://ai.google.dev/gemini-api/docs/thinking>).
const LITTLE: u32 = 128;

/// Gemini's endpoint.
pub(super) struct Gemini {
    model: String,
    transport: Transport,
    ways: Ways,
}

impl Gemini {
    pub(super) fn new(model: String, transport: Transport) -> Self {
        Self { model, transport, ways: Ways::new(Has { other_limit: false, less_thinking: true, offer: false }) }
    }

    fn chosen(question: &Question, way: Dialect) -> Map<String, Value> {
        question.parameters.clone().unwrap_or_else(|| parameters(way, question))
    }

    /// The model's own address; the list names models with `models/` in front.
    fn address(&self) -> Url {
        let model = self.model.strip_prefix("models/").unwrap_or(&self.model);
        self.transport.at(VERSION, &["models", &format!("{model}:generateContent")])
    }

    /// Takes words and tokens out of an answer.
    pub(super) fn read(&self, answer: &Value) -> Result<Answer, Fault> {
        let (scrub, counted) = (self.transport.scrub(), counted(answer));
        if let Some(reason) = answer.pointer("/promptFeedback/blockReason").and_then(Value::as_str) {
            return Err(Fault::held_back(reason, scrub, counted));
        }
        let Some(candidate) = answer.pointer("/candidates/0") else {
            return Err(Fault::unusable("the endpoint answered without any candidate", counted));
        };
        let finish = candidate.get("finishReason").and_then(Value::as_str).unwrap_or("STOP");
        let parts = candidate.pointer("/content/parts").and_then(Value::as_array).into_iter().flatten();
        // What the model thought before it answered is marked as such.
        let said = parts.filter(|part| part.get("thought").and_then(Value::as_bool) != Some(true));
        let text: String = said.filter_map(|part| part.get("text").and_then(Value::as_str)).collect();
        match finish {
            "STOP" | "FINISH_REASON_UNSPECIFIED" => Ok(Answer { text, ..counted }),
            "MAX_TOKENS" if thought(answer) || text.trim().is_empty() => Err(Fault::thought_too_long(counted)),
            "MAX_TOKENS" => Ok(Answer { text, cut_off: true, ..counted }),
            "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "IMAGE_SAFETY" => {
                Err(Fault::held_back(finish, scrub, counted))
            }
            // `OTHER` and what is not known yet: the words decide, if there are any.
            _ if text.trim().is_empty() => Err(Fault::held_back(finish, scrub, counted)),
            _ => Ok(Answer { text, ..counted }),
        }
    }
}

fn parameters(way: Dialect, question: &Question) -> Map<String, Value> {
    let mut config = Map::new();
    config.insert("maxOutputTokens".into(), json!(question.max_output_tokens));
    if way.format != Format::Prompt {
        config.insert("responseMimeType".into(), json!("application/json"));
    }
    if way.format == Format::Schema {
        config.insert("responseSchema".into(), schema::gemini(&question.schema));
    }
    if way.thinking == Thinking::Little {
        config.insert("thinkingConfig".into(), json!({ "thinkingBudget": LITTLE }));
    }
    Map::from_iter([("generationConfig".to_owned(), Value::Object(config))])
}

/// Whether the model thought before it answered.
fn thought(answer: &Value) -> bool {
    let tokens = answer.pointer("/usageMetadata/thoughtsTokenCount").and_then(Value::as_u64);
    tokens.is_some_and(|n| n > 0)
}

/// Thoughts are paid for as output.
fn counted(answer: &Value) -> Answer {
    let count = |key: &str| answer.get("usageMetadata")?.get(key)?.as_u64().and_then(|n| u32::try_from(n).ok());
    let (said, thought) = (count("candidatesTokenCount"), count("thoughtsTokenCount"));
    Answer {
        tokens_input: count("promptTokenCount"),
        tokens_output: match (said, thought) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
        },
        ..Answer::default()
    }
}

/// The whole request; the model stands in the address.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Content<'a>>,
    contents: [Content<'a>; 1],
    #[serde(flatten)]
    parameters: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: Vec<Part<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Part<'a> {
    Text(&'a str),
    InlineData(Blob<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blob<'a> {
    mime_type: &'static str,
    data: Plain<'a>,
}

impl<'a> Body<'a> {
    fn new(question: &'a Question, parameters: &'a Map<String, Value>) -> Self {
        let prompt = vec![Part::Text(&question.prompt)];
        let (system, parts) = if question.frames.is_empty() {
            (None, prompt)
        } else {
            let parts = question.frames.iter().flat_map(|frame| {
                let blob = Blob { mime_type: frame.media_type, data: Plain(frame) };
                [Part::Text(&frame.label), Part::InlineData(blob)]
            });
            (Some(Content { role: None, parts: prompt }), parts.collect())
        };
        Self { system_instruction: system, contents: [Content { role: Some("user"), parts }], parameters }
    }
}

#[async_trait]
impl Vendor for Gemini {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Gemini
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn base_url(&self) -> &Url {
        self.transport.base()
    }

    async fn reach(&self, within: Duration) -> Result<Reach, DescribeError> {
        self.transport.reach(within).await
    }

    fn parameters(&self, question: &Question) -> Map<String, Value> {
        Self::chosen(question, self.ways.now())
    }

    fn body_bytes(&self, question: &Question) -> u64 {
        let parameters = self.parameters(question);
        body::size(question, |q| body::json(&Body::new(q, &parameters)))
    }

    async fn ask(&self, question: &Question, reach: Reach, within: Duration) -> Asked {
        let way = self.ways.now();
        let body = body::whole(question, &Body::new(question, &Self::chosen(question, way)));
        let request = post(self.address(), body);
        let (asked, fault) = self.transport.ask(API, request, (reach, within), |json| self.read(json)).await;
        self.ways.learn(question, way, asked, fault)
    }

    async fn models(&self, reach: Reach, within: Duration) -> Result<Vec<String>, DescribeError> {
        let mut url = self.transport.at(VERSION, &["models"]);
        url.set_query(Some("pageSize=1000"));
        let list = self.transport.fetch("list of models", Request::new(Method::GET, url), reach, within).await?;
        let entries = list.get("models").and_then(Value::as_array).into_iter().flatten();
        let talks = |model: &&Value| match model.get("supportedGenerationMethods").and_then(Value::as_array) {
            Some(methods) => methods.iter().any(|m| m.as_str() == Some("generateContent")),
            None => true,
        };
        let names = entries.filter(talks).filter_map(|m| m.get("name").and_then(Value::as_str));
        Ok(self.transport.names(names.map(|name| name.strip_prefix("models/").unwrap_or(name))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_count_as_output() {
        let check = |usage: Value, expected: Option<u32>| {
            assert_eq!(counted(&json!({ "usageMetadata": usage })).tokens_output, expected);
        };
        check(json!({ "candidatesTokenCount": 5, "thoughtsTokenCount": 20 }), Some(25));
        check(json!({ "thoughtsTokenCount": 20 }), Some(20));
        check(json!({}), None);
    }
}
