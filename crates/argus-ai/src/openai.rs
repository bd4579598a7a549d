//! Any endpoint that speaks OpenAI's chat completions with pictures.
//!
//! Wire format: <https://platform.openai.com/docs/api-reference/chat/create>, through async-openai. Its own transport is
//! replaced ([`transport`]): it would try again by itself, read answers of any size, and hide the headers of refusals.

mod config;
mod dialect;
mod fault;
mod scrub;
mod transport;
mod wire;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use argus_core::ProviderId;
use argus_core::describe::{CallRecord, DescribeError, DescribeFailure, DescribeOutcome, DescribeRequest, Description};
use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_trait::async_trait;
use serde_json::Value;

pub use self::config::{OPENAI_BASE_URL, OpenAiConfig, OpenAiKind};
use self::dialect::Dialect;
use self::fault::Fault;
use self::scrub::Scrub;
use self::transport::Transport;
use crate::prices::Prices;
use crate::prompt::Prompt;
use crate::provider::{Provider, failure, millis, record_of};
use crate::text::{one_line, stored};
use crate::{AiError, answer};

/// Longest raw answer in a record, characters (contract of the receipt).
const MAX_RAW: usize = 65_536;
/// Longest text of an endpoint that is quoted in a message, characters.
const MAX_QUOTE: usize = 300;

/// A vision model behind an OpenAI-compatible endpoint.
///
/// All pictures go in one request, in order, each after a line that says when it was taken. The answer is asked for as
/// JSON by schema; an endpoint that refuses that is asked for a JSON object, then for plain text, and what it took is
/// remembered.
pub struct OpenAi {
    client: Client<OpenAIConfig>,
    base_url: String,
    name: String,
    id: Option<ProviderId>,
    kind: OpenAiKind,
    model: String,
    scrub: Scrub,
    timeout: Duration,
    max_output_tokens: u32,
    prices: Prices,
    dialect: Mutex<Dialect>,
}

impl OpenAi {
    /// Checks the configuration; nothing is asked yet.
    ///
    /// # Errors
    /// `Invalid` with the field that is to blame; `Client` when the endpoint wants TLS and this machine knows no
    /// certificate authority.
    pub fn new(config: OpenAiConfig) -> Result<Self, AiError> {
        let endpoint = config.endpoint()?;
        let http = transport::client(&endpoint.base)?;
        let scrub = Scrub::new(config.api_key);
        let base_url = endpoint.base.as_str().to_owned();
        let client = Client::build(http.clone(), endpoint.for_client());
        Ok(Self {
            client: client.with_http_service(Transport::new(http, endpoint, scrub.clone())),
            base_url,
            name: config.name,
            id: config.id,
            dialect: Mutex::new(Dialect::of(config.kind)),
            kind: config.kind,
            model: config.model,
            scrub,
            timeout: config.timeout,
            max_output_tokens: config.max_output_tokens,
            prices: config.prices,
        })
    }

    /// Asks, in simpler ways when the endpoint refuses a way of asking, and notes everything in the record.
    async fn exchange(
        &self,
        request: &DescribeRequest,
        prompt: &Prompt,
        record: &mut CallRecord,
    ) -> Result<Description, DescribeError> {
        let first = *self.dialect.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dialect = first;
        loop {
            record.parameters = wire::parameters(dialect, self.max_output_tokens);
            let body = wire::body(&self.model, prompt, &request.frames, &record.parameters);
            match self.send(body).await {
                Ok(answer) => {
                    if dialect != first {
                        *self.dialect.lock().unwrap_or_else(PoisonError::into_inner) = dialect;
                    }
                    return self.read(&answer, record);
                }
                Err(fault) => match dialect.simpler(&fault) {
                    Some(next) => {
                        tracing::debug!(provider.name = self.name, ?next, "endpoint refused a way of asking");
                        dialect = next;
                    }
                    None => {
                        record.raw_answer = fault.body.map(|b| stored(&b, MAX_RAW));
                        return Err(fault.error);
                    }
                },
            }
        }
    }

    async fn send(&self, body: Value) -> Result<Value, Fault> {
        self.client.chat().create_byot(body).await.map_err(|e: OpenAIError| match e {
            OpenAIError::Boxed(fault) => match fault.downcast::<Fault>() {
                Ok(fault) => *fault,
                Err(_other) => Fault::of(DescribeFailure::ServerError, "the request could not be made"),
            },
            // The transport answers with a `Fault` or with whole JSON; the rest is about building the request.
            _ => Fault::of(DescribeFailure::ServerError, "the request could not be made"),
        })
    }

    /// Takes tokens, cost and words out of a completion.
    fn read(&self, completion: &Value, record: &mut CallRecord) -> Result<Description, DescribeError> {
        let (input, output) = wire::usage(completion);
        (record.tokens_input, record.tokens_output) = (input, output);
        record.cost = self.prices.cost(input, output);
        record.cost_estimated = record.cost.is_some();
        // Some endpoints report a failure of what is behind them with status 200.
        if let Some(fault) = fault::inside(completion, &self.scrub) {
            record.raw_answer = fault.body.map(|b| stored(&b, MAX_RAW));
            return Err(fault.error);
        }
        let unusable = |why: String| Err(failure(DescribeFailure::InvalidAnswer, why));
        let Some(choice) = completion.pointer("/choices/0") else {
            record.raw_answer = Some(stored(&self.scrub.clean(&completion.to_string()), MAX_RAW));
            return unusable("the endpoint answered without any choice".into());
        };
        let text = self.scrub.clean(&wire::content(choice));
        if let Some(refusal) = wire::refusal(choice) {
            let refusal = self.scrub.clean(refusal);
            let quote = one_line(&refusal, MAX_QUOTE);
            record.raw_answer = Some(stored(&refusal, MAX_RAW));
            return unusable(format!("the model refused: {quote}"));
        }
        record.raw_answer = Some(stored(&text, MAX_RAW));
        let finish = choice.get("finish_reason").and_then(Value::as_str);
        if finish == Some("content_filter") {
            return unusable("the provider's content filter held the answer back".into());
        }
        answer::parse(&text).or_else(|why| {
            if finish == Some("length") {
                unusable(format!("the answer was cut off at {} output tokens", self.max_output_tokens))
            } else {
                unusable(why.to_string())
            }
        })
    }
}

impl std::fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenAi")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("model", &self.model)
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Provider for OpenAi {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        self.kind.as_str()
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn id(&self) -> Option<ProviderId> {
        self.id
    }

    fn needs_pictures(&self) -> bool {
        true
    }

    fn costs(&self) -> bool {
        !self.prices.is_free()
    }

    async fn call(&self, request: &DescribeRequest, budget: Duration) -> DescribeOutcome {
        let prompt = Prompt::new(request);
        let mut record = CallRecord { prompt: prompt.text(), ..record_of(self) };
        let limit = self.timeout.min(budget);
        let started = Instant::now();
        let exchange = Box::pin(self.exchange(request, &prompt, &mut record));
        let result = tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_elapsed| {
            let message = format!("no whole answer within {:.1} s", limit.as_secs_f64());
            Err(failure(DescribeFailure::Timeout, message))
        });
        record.latency_ms = Some(millis(started.elapsed()));
        DescribeOutcome { record, result }
    }
}
