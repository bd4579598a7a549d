//! What an error body says, wherever it says it.

use std::time::Duration;

use serde_json::Value;

use super::retry;

/// Longest text that is searched, bytes; what vendors mean stands at the beginning.
const MAX_SEARCHED: usize = 16 * 1024;

/// The words of an error.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// For people.
    pub(super) message: String,
    /// The same, and everything else that is a text, in lower case.
    words: String,
    /// Names for programs: `code`, `type`, `param`, `status`, reasons, quotas; lower case.
    marks: String,
    /// A code that is a number.
    number: Option<u64>,
    /// Whether the vendor names the quotas that were exceeded.
    names_quotas: bool,
    retry_after: Option<Duration>,
}

impl Said {
    /// Of a body that is no JSON.
    pub(super) fn text(text: &str) -> Self {
        Self { message: text.to_owned(), words: lower(text), ..Self::default() }
    }

    pub(super) fn of(body: &Value) -> Self {
        let error = body.get("error").filter(|e| !e.is_null()).unwrap_or(body);
        let text = |key: &str| error.get(key).and_then(Value::as_str);
        let message = error
            .as_str()
            .or_else(|| text("message"))
            .or_else(|| text("detail"))
            .or_else(|| body.get("message").and_then(Value::as_str))
            .map(str::to_owned)
            // FastAPI's `detail` may be a list of faults.
            .or_else(|| error.get("detail").map(Value::to_string))
            .unwrap_or_default();
        let mut marks: Vec<&str> = ["code", "type", "param", "status"].iter().filter_map(|key| text(key)).collect();
        marks.extend(body.get("code").and_then(Value::as_str));
        marks.extend(error.pointer("/details/error_code").and_then(Value::as_str));
        let (mut names_quotas, mut retry_after) = (false, None);
        for detail in error.get("details").and_then(Value::as_array).into_iter().flatten() {
            marks.extend(detail.get("reason").and_then(Value::as_str));
            for violation in detail.get("violations").and_then(Value::as_array).into_iter().flatten() {
                names_quotas = true;
                marks.extend(violation.get("quotaId").and_then(Value::as_str));
            }
            if let Some(delay) = detail.get("retryDelay").and_then(Value::as_str) {
                retry_after = delay.strip_suffix('s').and_then(retry::seconds);
            }
        }
        // What is behind a broker says it there.
        let behind = error.pointer("/metadata/raw").and_then(Value::as_str).unwrap_or_default();
        let code = error.get("code");
        let number = code.and_then(Value::as_u64).or_else(|| code.and_then(Value::as_str)?.parse().ok());
        Self {
            words: lower(&format!("{message} {behind}")),
            message,
            marks: marks.join(" ").to_lowercase(),
            number,
            names_quotas,
            retry_after,
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The status that belongs to an error which came with another.
    pub(super) fn status(&self) -> Option<u16> {
        let named = [
            ("authentication_error", 401),
            ("permission_error", 403),
            ("permission_denied", 403),
            ("unauthenticated", 401),
            ("billing_error", 402),
            ("not_found", 404),
            ("request_too_large", 413),
            ("rate_limit", 429),
            ("resource_exhausted", 429),
            ("insufficient_quota", 429),
            ("invalid_request_error", 400),
            ("invalid_argument", 400),
            ("deadline_exceeded", 504),
            ("overloaded_error", 529),
        ];
        let number = self.number.and_then(|n| u16::try_from(n).ok()).filter(|n| (400..600).contains(n));
        number.or_else(|| named.iter().find(|(mark, _)| self.marks.contains(mark)).map(|(_, status)| *status))
    }

    fn mentions(&self, words: &[&str]) -> bool {
        words.iter().any(|w| self.words.contains(w) || self.marks.contains(w))
    }

    /// The account's money, or its quota for longer than a minute, is used up.
    pub(super) fn is_spent(&self) -> bool {
        // Gemini says "exceeded your current quota" of its limits of a minute, too, but names them.
        if self.names_quotas {
            return self.marks.contains("perday");
        }
        self.mentions(&[
            "insufficient_quota",
            "billing_hard_limit",
            "billing_error",
            "insufficient credits",
            "insufficient balance",
            "exceeded your current quota",
            "credit balance is too low",
            "specified api usage limits",
            "enforced_spend_limit_reached",
            "any credits",
            "available credits",
            "spending limit",
        ])
    }

    pub(super) fn is_key(&self) -> bool {
        self.mentions(&[
            "api_key_invalid",
            "invalid_api_key",
            "api key not valid",
            "api key expired",
            "incorrect api key",
            "invalid api key",
            "invalid x-api-key",
            "authentication_error",
        ])
    }

    /// A filter does not let the question through.
    pub(super) fn is_content(&self) -> bool {
        self.mentions(&[
            "content_policy",
            "content_filter",
            "content management policy",
            "content filtering policy",
            "safety system",
            "requires moderation",
            "was flagged",
        ])
    }

    /// It does not have the model.
    pub(super) fn is_model(&self) -> bool {
        self.mentions(&["model_not_found", "model not found", "no such model", "invalid model name"])
            || (self.mentions(&["model"])
                && self.mentions(&["not exist", "not found", "not_found", "unknown", "not a valid model"]))
    }

    /// The same, said by a code.
    pub(super) fn is_model_code(&self) -> bool {
        self.marks.contains("model_not_found")
    }

    /// The model sees nothing.
    pub(super) fn is_blind(&self) -> bool {
        self.mentions(&[
            "image_url is only supported",
            "missing data required for image input",
            "does not support image",
            "not support vision",
            "image input is not supported",
            "support image input",
            "is not a multimodal model",
        ])
    }

    pub(super) fn is_context(&self) -> bool {
        self.mentions(&[
            "context_length_exceeded",
            "exceed_context_size",
            "available context size",
            "maximum context length",
            "context window",
            "prompt is too long",
            "input token count",
            "maximum prompt length",
            "too many tokens",
        ])
    }

    pub(super) fn is_overload(&self) -> bool {
        self.mentions(&["overloaded"])
    }

    /// The way to ask for JSON is not known there.
    pub(super) fn is_format(&self) -> bool {
        self.mentions(&[
            "response_format",
            "json_schema",
            "json_object",
            "structured output",
            "output_config",
            "output_format",
            "tool_choice",
            "json mode",
            "response_mime_type",
            "responsemimetype",
            "response_schema",
            "responseschema",
            "chatrequest.format",
            "invalid json schema in format",
        ])
    }

    /// It does not let itself be told how much to think.
    pub(super) fn is_thinking(&self) -> bool {
        self.mentions(&["reasoning_effort", "reasoningeffort", "thinking"])
    }

    /// The name of the limit of tokens is not known there.
    pub(super) fn is_limit(&self) -> bool {
        self.mentions(&["max_tokens", "max_completion_tokens"])
            && self.mentions(&[
                "not supported",
                "unsupported",
                "unrecognized",
                "unknown",
                "unexpected",
                "not permitted",
            ])
    }
}

fn lower(text: &str) -> String {
    let mut end = text.len().min(MAX_SEARCHED);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_lowercase()
}
