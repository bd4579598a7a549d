//! `OpenAI`'s chat completions, and everything that speaks like them.
//!
//! Wire format: <https://platform.openai.com/docs/api-reference/chat/create>, pictures:
//! <https://platform.openai.com/docs/guides/images-vision>, structured answers:
//! <https://platform.openai.com/docs/guides/structured-outputs>; xAI takes the same
//! (<https://docs.x.ai/docs/guides/image-understanding>), `OpenRouter` tells the cost
//! (<https://openrouter.ai/docs/use-cases/usage-accounting>).
//!
//! Through async-openai, whose own transport is replaced: it would try again by itself, read answers of any size, and
//! hide the headers of refusals. The answer is walked, not read into its types: they demand `id`, `created` and known
//! names, which endpoints that only resemble `OpenAI` leave out or make up.

mod service;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use argus_core::describe::{DescribeError, DescribeFailure};
use argus_core::provider::ProviderKind;
use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_trait::async_trait;
use bytes::Bytes;
use reqwest::{Method, Request};
use serde_json::{Map, Value};
use url::Url;

use self::service::Service;
use super::dialect::{Dialect, Has, Ways};
use super::fault::{self, Fault};
use super::reach::Reach;
use super::transport::{Meter, Reply, Transport};
use super::{Answer, Asked, Question, Vendor, body};

/// What should be at the address.
const API: &str = "chat completions API";

/// An endpoint of chat completions.
pub(super) struct OpenAi {
    kind: ProviderKind,
    model: String,
    transport: Arc<Transport>,
    ways: Ways,
}

impl OpenAi {
    pub(super) fn new(kind: ProviderKind, model: String, transport: Transport) -> Self {
        Self {
            kind,
            model,
            transport: Arc::new(transport),
            ways: Ways::new(Has { other_limit: true, less_thinking: true, offer: false }),
        }
    }

    fn chosen(&self, question: &Question, way: Dialect) -> Map<String, Value> {
        question.parameters.clone().unwrap_or_else(|| wire::parameters(self.kind, way, question))
    }

    /// The request through async-openai. Its every field is set, because those left out would come from the environment,
    /// which must not decide what is sent where; the key is not among them: the transport sets the header.
    async fn exchange(&self, body: Bytes, reach: Reach, meter: Meter) -> Result<Reply, Fault> {
        let config = OpenAIConfig::new()
            .with_api_base(self.transport.base().as_str().trim_end_matches('/'))
            .with_api_key("")
            .with_org_id("")
            .with_project_id("");
        let service = Service::new(Arc::clone(&self.transport), reach, meter, body);
        let client = Client::build(self.transport.client(reach).clone(), config).with_http_service(service.clone());
        let sent: Result<Value, OpenAIError> = client.chat().create_byot(Map::new()).await;
        if let Some(reply) = service.reply() {
            return Ok(reply);
        }
        // Without a whole answer it is a fault of the transport, or the request could not even be made.
        match sent {
            Err(OpenAIError::Boxed(fault)) => Err(match fault.downcast::<Fault>() {
                Ok(fault) => *fault,
                Err(_other) => not_made(),
            }),
            _ => Err(not_made()),
        }
    }

    /// Takes words, tokens and cost out of a completion.
    pub(super) fn read(&self, completion: &Value) -> Result<Answer, Fault> {
        let scrub = self.transport.scrub();
        let counted = wire::counted(completion);
        let Some(choice) = completion.pointer("/choices/0") else {
            return Err(Fault::unusable("the endpoint answered without any choice", counted));
        };
        // OpenRouter puts a failure of what is behind it there.
        if let Some(fault) = fault::inside(API, choice, scrub) {
            return Err(Fault { spent: Some(counted), ..fault });
        }
        if let Some(refusal) = wire::refusal(choice) {
            return Err(Fault::refusal(refusal, scrub, counted));
        }
        let finish = choice.get("finish_reason").and_then(Value::as_str);
        if finish == Some("content_filter") {
            return Err(Fault::held_back("content_filter", scrub, counted));
        }
        let (text, cut_off) = (wire::content(choice), finish == Some("length"));
        if cut_off && (wire::thought(completion) || text.trim().is_empty()) {
            return Err(Fault::thought_too_long(counted));
        }
        Ok(Answer { text, cut_off, ..counted })
    }
}

fn not_made() -> Fault {
    Fault::of(DescribeFailure::ServerError, "the request could not be made")
}

#[async_trait]
impl Vendor for OpenAi {
    fn kind(&self) -> ProviderKind {
        self.kind
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
        self.chosen(question, self.ways.now())
    }

    fn body_bytes(&self, question: &Question) -> u64 {
        let parameters = self.parameters(question);
        body::size(question, |q| body::json(&wire::Body::new(&self.model, q, &parameters)))
    }

    async fn ask(&self, question: &Question, reach: Reach, within: Duration) -> Asked {
        let way = self.ways.now();
        let parameters = self.chosen(question, way);
        let body = body::whole(question, &wire::Body::new(&self.model, question, &parameters));
        let exchange = |meter| self.exchange(body, reach, meter);
        let (asked, fault) = self.transport.ask_by(API, within, exchange, |json| self.read(json)).await;
        self.ways.learn(question, way, asked, fault)
    }

    async fn models(&self, reach: Reach, within: Duration) -> Result<Vec<String>, DescribeError> {
        let request = Request::new(Method::GET, self.transport.at("", &["models"]));
        let list = self.transport.fetch("list of models", request, reach, within).await?;
        let entries = list.get("data").and_then(Value::as_array).into_iter().flatten();
        Ok(self.transport.names(entries.filter_map(|m| m.get("id").and_then(Value::as_str))))
    }
}
