//! One exchange of each vendor, written after its documentation.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Dialect;

/// A request and its answer as a vendor documents them.
#[derive(Clone, Debug, Deserialize)]
pub struct Sample {
    /// The pages that it is written after.
    pub source: Vec<String>,
    /// What is asked.
    pub request: SampleRequest,
    /// The body of the answer.
    pub response: Value,
    /// What the answer says: `text`, `tokens_input`, `tokens_output`, `cost`.
    pub expected: Value,
}

/// What is asked.
#[derive(Clone, Debug, Deserialize)]
pub struct SampleRequest {
    /// Below the host.
    pub path: String,
    /// Beside `content-type`.
    pub headers: Map<String, Value>,
    /// As JSON.
    pub body: Value,
}

/// The vendor's sample.
///
/// # Panics
/// Never with the files of this package, which a test reads.
#[must_use]
pub fn sample(dialect: Dialect) -> Sample {
    let text = match dialect {
        Dialect::OpenAi => include_str!("../samples/openai.json"),
        Dialect::Xai => include_str!("../samples/xai.json"),
        Dialect::OpenRouter => include_str!("../samples/openrouter.json"),
        Dialect::Anthropic => include_str!("../samples/anthropic.json"),
        Dialect::Gemini => include_str!("../samples/gemini.json"),
        Dialect::Ollama => include_str!("../samples/ollama.json"),
    };
    serde_json::from_str(text).expect("the samples are JSON")
}
