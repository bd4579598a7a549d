//! What a vendor's wire format is to the rest of this crate: a question goes in, an answer and its costs come out.
//!
//! A vendor knows how to write the request and read the answer, and what each of its errors means. It knows nothing of
//! events, prompts, budgets, order or repetition: one [`Vendor::ask`] is exactly one request.

use std::time::Duration;

use argus_core::describe::DescribeError;
use argus_core::provider::ProviderKind;
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Map, Value};

/// Everything that decides the body of a request: the same question makes the same request, byte for byte.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Question {
    /// The whole text, without the pictures.
    pub(crate) prompt: String,
    /// The pictures, in order.
    pub(crate) frames: Vec<QuestionFrame>,
    /// JSON schema of the answer, for vendors that can demand it.
    pub(crate) schema: Value,
    /// Longest answer.
    pub(crate) max_output_tokens: u32,
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
    /// As the vendor counts them.
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
    /// The answer's body as it came, at most 65536 characters; that of a refusal too.
    pub(crate) raw: Option<String>,
    /// Size of the answer's body.
    pub(crate) bytes_received: u64,
    /// From sending to the first byte of the answer.
    pub(crate) first_byte: Option<Duration>,
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

    /// What goes out beside prompt and pictures, for the receipt.
    fn parameters(&self, question: &Question) -> Map<String, Value>;

    /// Size of the request's body.
    fn body_bytes(&self, question: &Question) -> u64;

    /// Sends one request and waits at most so long for the whole answer. Redirects are not followed, TLS is verified,
    /// the answer is bounded in size; no error and no raw answer holds the key.
    async fn ask(&self, question: &Question, within: Duration) -> Asked;

    /// Names of the models that it offers.
    async fn models(&self, within: Duration) -> Result<Vec<String>, DescribeError>;
}
