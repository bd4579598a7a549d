//! What a vendor's wire format is to the rest of this crate: a question goes in, an answer and its costs come out.
//!
//! A vendor knows how to write the request and read the answer, and what each of its errors means. It knows nothing of
//! events, prompts, budgets, order or repetition: one [`Vendor::ask`] is exactly one request.
//!
//! All vendors share one transport, so that what must never happen is prevented once: redirects are not followed,
//! proxies of the environment are not used, TLS is always verified, an answer has a bound in bytes and in time, a key
//! goes into a header and nowhere else, and a call that was found to stay in the own network cannot leave it.

mod anthropic;
mod body;
mod dialect;
mod endpoint;
mod fault;
mod gemini;
mod kinds;
mod ollama;
mod openai;
mod reach;
mod schema;
mod scrub;
#[cfg(test)]
mod tests;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use argus_core::describe::DescribeError;
use argus_core::provider::{ProviderConfig, ProviderKind};
use argus_core::{Faults, Invalid};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Map, Value};

pub(crate) use self::kinds::{kind_info, kinds_version};
pub(crate) use self::reach::Reach;

/// Everything that decides the body of a request: the same question makes the same request, byte for byte.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Question {
    /// The whole text, without the pictures. It stands in the system's role, the pictures alone in the user's, so that
    /// what is written inside a picture never stands where instructions do.
    pub(crate) prompt: String,
    /// The pictures, in order.
    pub(crate) frames: Vec<QuestionFrame>,
    /// JSON schema of the answer, for vendors that can demand it.
    pub(crate) schema: Value,
    /// Longest answer.
    pub(crate) max_output_tokens: u32,
    /// What went out beside prompt and pictures when this question was asked before, as [`Vendor::parameters`] told it:
    /// it is sent again as it is. `None`: what the vendor would send now.
    pub(crate) parameters: Option<Map<String, Value>>,
}

/// A picture of a question.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct QuestionFrame {
    /// Stands before the picture, such as `Picture 2, +1.5 s`.
    pub(crate) label: String,
    /// The file.
    pub(crate) bytes: Bytes,
    /// Such as `image/jpeg`.
    pub(crate) media_type: &'static str,
}

impl std::fmt::Debug for QuestionFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "QuestionFrame({:?}, {} bytes of {})", self.label, self.bytes.len(), self.media_type)
    }
}

/// What the model said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    /// Its text, not yet read.
    pub(crate) text: String,
    /// As the vendor counts them.
    pub(crate) tokens_input: Option<u32>,
    /// As the vendor counts them; with what the model thought before it answered, where that is paid for.
    pub(crate) tokens_output: Option<u32>,
    /// US dollars, where the vendor tells them.
    pub(crate) cost: Option<f64>,
    /// Whether it broke off at the limit of its length.
    pub(crate) cut_off: bool,
}

/// How one request came out.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The answer, or why there is none.
    pub(crate) result: Result<Answer, DescribeError>,
    /// Tokens and cost of a request that failed all the same, such as a refusal that was paid for; the text is empty.
    pub(crate) spent: Option<Answer>,
    /// What a connection took of the request's body; `None` when nobody knows.
    pub(crate) bytes_sent: Option<u64>,
    /// The model, or a filter before it, does not describe these pictures.
    pub(crate) refused: bool,
    /// A request without an answer may have been worked on, and be charged though its tokens are not told.
    pub(crate) maybe_charged: bool,
    /// The answer's body as it came, at most 65536 characters; that of a refusal too.
    pub(crate) raw: Option<String>,
    /// Size of the answer's body.
    pub(crate) bytes_received: u64,
    /// From sending to the first byte of the answer.
    pub(crate) first_byte: Option<Duration>,
    /// The endpoint refused a way of asking, not the question, or the model's thoughts left no room for an answer: asked
    /// once more, the same question goes out in another way, which is remembered. Never more than five times in a row.
    pub(crate) ask_again: bool,
}

/// A vendor's endpoint.
#[async_trait]
pub(crate) trait Vendor: Send + Sync {
    /// What it speaks.
    fn kind(&self) -> ProviderKind;

    /// The model that it is asked for.
    fn model(&self) -> &str;

    /// Where its requests go: scheme, host and port, nothing secret.
    fn base_url(&self) -> &url::Url;

    /// Host and port, as the ledger names them.
    fn host(&self) -> String {
        reach::host(self.base_url())
    }

    /// Looks up where the host is. A name is asked for anew each time, for it may move.
    ///
    /// # Errors
    /// `Unreachable` when nobody knows the name, `Timeout`.
    async fn reach(&self, within: Duration) -> Result<Reach, DescribeError>;

    /// What goes out beside prompt and pictures, for the receipt.
    fn parameters(&self, question: &Question) -> Map<String, Value>;

    /// Size of the request's body.
    fn body_bytes(&self, question: &Question) -> u64;

    /// Sends one request and waits at most so long for the whole answer. With [`Reach::Local`] no address outside is
    /// connected to, whatever the host's name means by then. No error and no raw answer holds the key.
    async fn ask(&self, question: &Question, reach: Reach, within: Duration) -> Asked;

    /// Names of the models that it offers, at most 1000.
    async fn models(&self, reach: Reach, within: Duration) -> Result<Vec<String>, DescribeError>;

    /// A sentence on why its model will not do, as far as the vendor tells that without a question; `None` when nothing
    /// speaks against it, or nobody tells.
    async fn doubt(&self, _reach: Reach, _within: Duration) -> Option<String> {
        None
    }
}

/// The vendor of a configuration; nothing is asked yet.
///
/// # Errors
/// Every field that breaks a rule: `base_url`, `api_key`, `model`, or `kind` for the built-in describer, which is none.
pub(crate) fn vendor(config: &ProviderConfig) -> Result<Arc<dyn Vendor>, Faults> {
    let (endpoint, model) = endpoint::check(config)?;
    let client = |auth| transport::Transport::new(endpoint, auth).map_err(|e| Faults(vec![e]));
    Ok(match config.kind {
        ProviderKind::OpenAi | ProviderKind::Xai | ProviderKind::OpenAiCompatible => {
            Arc::new(openai::OpenAi::new(config.kind, model, client(transport::Auth::Bearer)?))
        }
        ProviderKind::Anthropic => {
            Arc::new(anthropic::Anthropic::new(model, client(transport::Auth::Header("x-api-key"))?))
        }
        ProviderKind::Gemini => {
            Arc::new(gemini::Gemini::new(model, client(transport::Auth::Header("x-goog-api-key"))?))
        }
        ProviderKind::Ollama => Arc::new(ollama::Ollama::new(model, client(transport::Auth::Bearer)?)),
        ProviderKind::Builtin => {
            return Err(Faults(vec![Invalid::new("kind", "is built in and asks nobody")]));
        }
    })
}
