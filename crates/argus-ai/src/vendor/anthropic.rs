//! Anthropic's Messages API.
//!
//! Wire format: <https://platform.claude.com/docs/en/api/messages/create>, pictures:
//! <https://platform.claude.com/docs/en/build-with-claude/vision>, structured answers:
//! <https://platform.claude.com/docs/en/build-with-claude/structured-outputs>, ends of answers:
//! <https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons>, models:
//! <https://platform.claude.com/docs/en/api/models/list>.

use std::time::Duration;

use argus_core::describe::DescribeError;
use argus_core::provider::ProviderKind;
use async_trait::async_trait;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Request};
use serde::Serialize;
use serde_json::{Map, Value, json};
use url::Url;

use super::body::Plain;
use super::dialect::{Dialect, Format, Has, Ways};
use super::fault::Fault;
use super::reach::Reach;
use super::schema::plain;
use super::transport::{Transport, post};
use super::{Answer, Asked, Question, QuestionFrame, Vendor, body};

/// What should be at the address.
const API: &str = "Messages API";
/// The version whose forms are spoken here (<https://platform.claude.com/docs/en/api/versioning>); it must be named.
const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");
/// The tool that stands in for a schema where schemas are not known.
const TOOL: &str = "describe";

/// Anthropic's endpoint, or one that speaks like it.
pub(super) struct Anthropic {
    model: String,
    transport: Transport,
    ways: Ways,
}

impl Anthropic {
    pub(super) fn new(model: String, transport: Transport) -> Self {
        Self { model, transport, ways: Ways::new(Has { offer: true, ..Has::default() }) }
    }

    fn chosen(question: &Question, way: Dialect) -> Map<String, Value> {
        question.parameters.clone().unwrap_or_else(|| parameters(way, question))
    }

    /// Takes words and tokens out of a message.
    pub(super) fn read(&self, message: &Value) -> Result<Answer, Fault> {
        let counted = counted(message);
        let Some(blocks) = message.get("content").and_then(Value::as_array) else {
            return Err(Fault::unusable("the endpoint answered without any content", counted));
        };
        let of =
            |kind: &'static str| blocks.iter().filter(move |b| b.get("type").and_then(Value::as_str) == Some(kind));
        // The tool's input is the answer; what a model says before it calls one is not.
        let tool = of("tool_use").find_map(|block| block.get("input").map(Value::to_string));
        let text =
            tool.unwrap_or_else(|| of("text").filter_map(|block| block.get("text").and_then(Value::as_str)).collect());
        let stop = message.get("stop_reason").and_then(Value::as_str);
        if stop == Some("refusal") {
            let why = message.pointer("/stop_details/explanation").and_then(Value::as_str).unwrap_or(&text);
            return Err(Fault::refusal(why, self.transport.scrub(), counted));
        }
        let cut_off = matches!(stop, Some("max_tokens" | "model_context_window_exceeded"));
        Ok(Answer { text, cut_off, ..counted })
    }

    fn with_version(mut request: Request) -> Request {
        request.headers_mut().insert(HeaderName::from_static(VERSION.0), HeaderValue::from_static(VERSION.1));
        request
    }
}

fn parameters(way: Dialect, question: &Question) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("max_tokens".into(), json!(question.max_output_tokens));
    match way.format {
        Format::Schema => {
            let format = json!({ "type": "json_schema", "schema": plain(&question.schema) });
            map.insert("output_config".into(), json!({ "format": format }));
        }
        // Models older than the schemas can be made to call a tool, whose input has one. Some take tools and refuse to be
        // made to call them: to these it is offered.
        Format::Object | Format::Offer => {
            map.insert(
                "tools".into(),
                json!([{
                    "name": TOOL,
                    "description": "Takes the description that was asked for.",
                    "input_schema": plain(&question.schema)
                }]),
            );
            let choice = match way.format {
                Format::Offer => json!({ "type": "auto" }),
                _ => json!({ "type": "tool", "name": TOOL }),
            };
            map.insert("tool_choice".into(), choice);
        }
        Format::Prompt => {}
    }
    map
}

/// What is read from or written to a cache was sent, too.
fn counted(message: &Value) -> Answer {
    let count = |key: &str| message.get("usage")?.get(key)?.as_u64().and_then(|n| u32::try_from(n).ok());
    let cached = ["cache_creation_input_tokens", "cache_read_input_tokens"].iter().filter_map(|key| count(key));
    Answer {
        tokens_input: count("input_tokens").map(|n| cached.fold(n, u32::saturating_add)),
        tokens_output: count("output_tokens"),
        ..Answer::default()
    }
}

/// The whole request.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<&'a str>,
    messages: [Message<'a>; 1],
    #[serde(flatten)]
    parameters: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text { text: &'a str },
    Image { source: Source<'a> },
}

#[derive(Serialize)]
struct Source<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    media_type: &'static str,
    data: Plain<'a>,
}

impl<'a> Body<'a> {
    fn new(model: &'a str, question: &'a Question, parameters: &'a Map<String, Value>) -> Self {
        let picture =
            |frame: &'a QuestionFrame| Source { kind: "base64", media_type: frame.media_type, data: Plain(frame) };
        let (system, content) = if question.frames.is_empty() {
            (None, vec![Block::Text { text: &question.prompt }])
        } else {
            let blocks = question
                .frames
                .iter()
                .flat_map(|frame| [Block::Text { text: &frame.label }, Block::Image { source: picture(frame) }]);
            (Some(question.prompt.as_str()), blocks.collect())
        };
        Self { model, system, messages: [Message { role: "user", content }], parameters }
    }
}

#[async_trait]
impl Vendor for Anthropic {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Anthropic
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
        body::size(question, |q| body::json(&Body::new(&self.model, q, &parameters)))
    }

    async fn ask(&self, question: &Question, reach: Reach, within: Duration) -> Asked {
        let way = self.ways.now();
        let body = body::whole(question, &Body::new(&self.model, question, &Self::chosen(question, way)));
        let request = Self::with_version(post(self.transport.at("v1", &["messages"]), body));
        let (asked, fault) = self.transport.ask(API, request, (reach, within), |json| self.read(json)).await;
        self.ways.learn(question, way, asked, fault)
    }

    async fn models(&self, reach: Reach, within: Duration) -> Result<Vec<String>, DescribeError> {
        let mut url = self.transport.at("v1", &["models"]);
        url.set_query(Some("limit=1000"));
        let request = Self::with_version(Request::new(Method::GET, url));
        let list = self.transport.fetch("list of models", request, reach, within).await?;
        let entries = list.get("data").and_then(Value::as_array).into_iter().flatten();
        Ok(self.transport.names(entries.filter_map(|m| m.get("id").and_then(Value::as_str))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_from_a_cache_counts_as_input() {
        let usage = json!({ "usage": { "input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 7 } });
        let answer = counted(&usage);
        assert_eq!((answer.tokens_input, answer.tokens_output), (Some(100), Some(7)));
        assert_eq!(counted(&json!({})), Answer::default());
    }
}
