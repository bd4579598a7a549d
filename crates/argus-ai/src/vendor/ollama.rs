//! Ollama's own chat.
//!
//! Wire format: <https://docs.ollama.com/api/chat>, pictures: <https://docs.ollama.com/capabilities/vision>, structured
//! answers: <https://docs.ollama.com/capabilities/structured-outputs>, models: <https://docs.ollama.com/api/tags> and
//! <https://docs.ollama.com/api-reference/show-model-details>, errors: <https://docs.ollama.com/api/errors>.

use std::time::Duration;

use argus_core::describe::DescribeError;
use argus_core::provider::ProviderKind;
use async_trait::async_trait;
use bytes::Bytes;
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
use super::{Answer, Asked, Question, Vendor, body};

/// What should be at the address.
const API: &str = "Ollama API";
/// How long the model stays loaded after an answer: events come in bursts, and loading takes longer than describing.
const KEEP_ALIVE: &str = "15m";
/// The context that a server gives at least unless it is told otherwise
/// (<https://docs.ollama.com/context-length>). What does not fit is cut off without a word.
const DEFAULT_CONTEXT: u32 = 4096;
/// Largest context that is asked for: its memory grows with it.
const MAX_CONTEXT: u32 = 32_768;
/// Tokens of a picture at the most, by common vision models.
const PICTURE_TOKENS: usize = 1300;

/// An Ollama server.
pub(super) struct Ollama {
    model: String,
    transport: Transport,
    ways: Ways,
}

impl Ollama {
    pub(super) fn new(model: String, transport: Transport) -> Self {
        Self { model, transport, ways: Ways::new(Has::default()) }
    }

    fn chosen(question: &Question, way: Dialect) -> Map<String, Value> {
        question.parameters.clone().unwrap_or_else(|| parameters(way, question))
    }

    fn post(&self, path: &str, body: Bytes) -> Request {
        post(self.transport.at("", &["api", path]), body)
    }
}

fn parameters(way: Dialect, question: &Question) -> Map<String, Value> {
    let mut options = Map::from_iter([("num_predict".to_owned(), json!(question.max_output_tokens))]);
    if let Some(context) = context(question) {
        options.insert("num_ctx".into(), json!(context));
    }
    let mut map = Map::from_iter([
        ("stream".to_owned(), json!(false)),
        ("keep_alive".to_owned(), json!(KEEP_ALIVE)),
        // Thoughts would use up the limit of the answer; models that have none ignore it.
        ("think".to_owned(), json!(false)),
        ("options".to_owned(), Value::Object(options)),
    ]);
    match way.format {
        Format::Schema => map.insert("format".into(), plain(&question.schema)),
        Format::Object => map.insert("format".into(), json!("json")),
        Format::Offer | Format::Prompt => None,
    };
    map
}

/// The context that the question needs, in steps, because each other size loads the model anew; `None` when the server's
/// own is enough.
fn context(question: &Question) -> Option<u32> {
    // Three bytes a token is few for most languages; so it is rather too much.
    let text = question.prompt.len() + question.frames.iter().map(|f| f.label.len()).sum::<usize>();
    let need = text / 3 + question.frames.len() * PICTURE_TOKENS;
    let need = u32::try_from(need).unwrap_or(u32::MAX).saturating_add(question.max_output_tokens);
    (need > DEFAULT_CONTEXT).then(|| need.checked_next_power_of_two().unwrap_or(MAX_CONTEXT).min(MAX_CONTEXT))
}

/// The whole request.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(flatten)]
    parameters: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<[Plain<'a>; 1]>,
}

impl<'a> Body<'a> {
    /// A message has its text before its pictures, so that each picture is a message of its own with its label.
    fn new(model: &'a str, question: &'a Question, parameters: &'a Map<String, Value>) -> Self {
        let role = if question.frames.is_empty() { "user" } else { "system" };
        let mut messages = vec![Message { role, content: &question.prompt, images: None }];
        messages.extend(question.frames.iter().map(|frame| Message {
            role: "user",
            content: &frame.label,
            images: Some([Plain(frame)]),
        }));
        Self { model, messages, parameters }
    }
}

/// Takes words and tokens out of an answer.
pub(super) fn read(answer: &Value) -> Result<Answer, Fault> {
    let count = |key: &str| answer.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    let counted =
        Answer { tokens_input: count("prompt_eval_count"), tokens_output: count("eval_count"), ..Answer::default() };
    let Some(text) = answer.pointer("/message/content").and_then(Value::as_str) else {
        return Err(Fault::unusable("the endpoint answered without any message", counted));
    };
    let cut_off = answer.get("done_reason").and_then(Value::as_str) == Some("length");
    Ok(Answer { text: text.to_owned(), cut_off, ..counted })
}

#[async_trait]
impl Vendor for Ollama {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Ollama
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
        let request = self.post("chat", body);
        let (asked, fault) = self.transport.ask(API, request, (reach, within), read).await;
        self.ways.learn(question, way, asked, fault)
    }

    async fn models(&self, reach: Reach, within: Duration) -> Result<Vec<String>, DescribeError> {
        let request = Request::new(Method::GET, self.transport.at("", &["api", "tags"]));
        let list = self.transport.fetch(API, request, reach, within).await?;
        let entries = list.get("models").and_then(Value::as_array).into_iter().flatten();
        Ok(self.transport.names(entries.filter_map(|m| m.get("name").and_then(Value::as_str))))
    }

    async fn doubt(&self, reach: Reach, within: Duration) -> Option<String> {
        let request = self.post("show", body::json(&json!({ "model": self.model })).into());
        let shown = self.transport.fetch(API, request, reach, within).await.ok()?;
        // Servers before 0.6.4 do not say what a model can do.
        let can = shown.get("capabilities")?.as_array()?;
        let sees = can.iter().any(|c| c.as_str() == Some("vision"));
        (!sees).then(|| format!("the model {} takes no pictures: it has no vision capability", self.model))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::vendor::QuestionFrame;

    #[test]
    fn the_context_grows_with_the_question_in_steps() {
        let check = |pictures: usize, expected: Option<u32>| {
            let frame = QuestionFrame { label: "Picture".into(), bytes: Bytes::new(), media_type: "image/jpeg" };
            let question = Question {
                prompt: "x".repeat(1500),
                frames: vec![frame; pictures],
                schema: Value::Null,
                max_output_tokens: 400,
                parameters: None,
            };
            assert_eq!(context(&question), expected, "{pictures}");
        };
        check(1, None);
        check(2, None);
        check(6, Some(16_384));
        check(20, Some(32_768));
    }
}
