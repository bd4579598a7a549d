//! What a refusal means.
//!
//! Forms seen: OpenAI's `{"error": {"message", "type", "param", "code"}}`
//! (<https://platform.openai.com/docs/guides/error-codes>), the same with a number as code (`OpenRouter`), a plain string as
//! `error` (LM Studio), `detail` (`FastAPI`: vLLM and others), and texts that are no JSON at all.

use std::time::Duration;

use argus_core::describe::{DescribeError, DescribeFailure};
use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde_json::Value;

use super::MAX_QUOTE;
use super::scrub::Scrub;
use crate::provider::failure;
use crate::text::one_line;

/// Longest wait that is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// A failed exchange with all that decides what comes next.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{error}")]
pub(super) struct Fault {
    pub(super) error: DescribeError,
    /// What the endpoint said, where it may be kept.
    pub(super) body: Option<String>,
    /// The endpoint does not know this way of asking for JSON.
    pub(super) refused_format: bool,
    /// The endpoint does not know this name of the limit of tokens.
    pub(super) refused_limit: bool,
}

impl Fault {
    pub(super) fn of(kind: DescribeFailure, message: impl Into<String>) -> Self {
        Self { error: failure(kind, message), body: None, refused_format: false, refused_limit: false }
    }
}

/// What an error body says, wherever it says it.
#[derive(Debug, Default)]
struct Said {
    message: String,
    /// `code`, `type` and `param`, lower case.
    marks: String,
    /// A code that is a number.
    number: Option<u64>,
}

impl Said {
    fn of(body: &Value) -> Self {
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
        let marks: Vec<&str> = ["code", "type", "param"].iter().filter_map(|key| text(key)).collect();
        let code = error.get("code");
        let number = code.and_then(Value::as_u64).or_else(|| code.and_then(Value::as_str)?.parse().ok());
        Self { message, marks: marks.join(" ").to_lowercase(), number }
    }

    fn mentions(&self, words: &[&str]) -> bool {
        let message = self.message.to_lowercase();
        words.iter().any(|w| message.contains(w) || self.marks.contains(w))
    }
}

/// A status that is neither success nor redirection.
pub(super) fn refused(status: StatusCode, headers: &HeaderMap, body: &[u8], scrub: &Scrub) -> Fault {
    let text = String::from_utf8_lossy(body);
    let said = match serde_json::from_slice::<Value>(body) {
        Ok(json) => Said::of(&json),
        Err(_not_json) => Said { message: text.clone().into_owned(), ..Said::default() },
    };
    let mut fault = meaning(status.as_u16(), &said, scrub);
    if fault.error.kind != DescribeFailure::Unauthorized {
        fault.body = Some(scrub.clean(&text));
    }
    fault.error.retry_after = retry_after(headers);
    fault
}

/// A failure that came with a status of success.
pub(super) fn inside(completion: &Value, scrub: &Scrub) -> Option<Fault> {
    completion.get("error").filter(|e| !e.is_null())?;
    let said = Said::of(completion);
    let status = said.number.and_then(|n| u16::try_from(n).ok()).filter(|n| (400..600).contains(n)).unwrap_or(500);
    let mut fault = meaning(status, &said, scrub);
    if fault.error.kind != DescribeFailure::Unauthorized {
        fault.body = Some(scrub.clean(&completion.to_string()));
    }
    Some(fault)
}

fn meaning(status: u16, said: &Said, scrub: &Scrub) -> Fault {
    let quote = one_line(&scrub.clean(&said.message), MAX_QUOTE);
    let told = |what: &str| {
        if quote.is_empty() { format!("{what} (HTTP {status})") } else { format!("{what} (HTTP {status}): {quote}") }
    };
    let quota = said.mentions(&[
        "insufficient_quota",
        "billing_hard_limit",
        "insufficient credits",
        "exceeded your current quota",
    ]);
    let model = said.mentions(&["model_not_found", "model not found", "no such model"])
        || (said.mentions(&["model"]) && said.mentions(&["not exist", "not found", "unknown", "not a valid model"]));
    match status {
        // The body is not quoted: it may show parts of the key.
        401 | 403 => Fault::of(DescribeFailure::Unauthorized, format!("the endpoint refuses the key (HTTP {status})")),
        402 => Fault::of(DescribeFailure::Quota, told("the account's money is spent")),
        429 if quota => Fault::of(DescribeFailure::Quota, told("the account's money is spent")),
        429 => Fault::of(DescribeFailure::RateLimited, told("too many requests for now")),
        404 | 405 if !model => {
            Fault::of(DescribeFailure::InvalidAnswer, told("there are no chat completions at this base_url"))
        }
        408 | 504 => Fault::of(DescribeFailure::Timeout, told("the provider ran out of time")),
        500.. => Fault::of(DescribeFailure::ServerError, told("the provider failed")),
        _ if model => Fault::of(DescribeFailure::ModelNotFound, told("there is no such model")),
        _ => Fault {
            refused_format: said.mentions(&["response_format", "json_schema", "json_object", "structured output"]),
            refused_limit: said.mentions(&["max_tokens", "max_completion_tokens"]),
            ..Fault::of(DescribeFailure::InvalidAnswer, told("the endpoint refuses the request"))
        },
    }
}

/// `retry-after-ms` (OpenAI), or `Retry-After` in seconds or as a date (RFC 9110, 10.2.3), the latter reckoned from the
/// answer's own `Date`, so that no clock is read and no two clocks are compared.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(ms) = text("retry-after-ms").and_then(|t| t.parse::<f64>().ok()) {
        return seconds(ms / 1000.0);
    }
    let value = text(RETRY_AFTER.as_str())?;
    if let Ok(s) = value.parse::<f64>() {
        return seconds(s);
    }
    let date = |t: &str| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(t).ok();
    let wait = date(value)?.duration_since(date(text(DATE.as_str())?)?);
    Some(Duration::try_from(wait).ok()?.min(MAX_RETRY_AFTER))
}

fn seconds(s: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(s).ok().map(|d| d.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use DescribeFailure::{InvalidAnswer, ModelNotFound, Quota, RateLimited, ServerError, Timeout, Unauthorized};
    use reqwest::header::HeaderValue;
    use serde_json::json;

    use super::*;

    fn refuse(status: u16, body: &str) -> Fault {
        refused(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes(), &Scrub::default())
    }

    #[test]
    fn refusals_mean_what_vendors_say_they_mean() {
        let check = |status, body: &str, kind| assert_eq!(refuse(status, body).error.kind, kind, "{status} {body}");
        check(
            401,
            r#"{"error":{"message":"Incorrect API key provided: sk-abc***xyz","code":"invalid_api_key"}}"#,
            Unauthorized,
        );
        check(403, "", Unauthorized);
        check(402, r#"{"error":{"message":"Insufficient credits","code":402}}"#, Quota);
        check(
            429,
            r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#,
            Quota,
        );
        check(
            429,
            r#"{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}"#,
            RateLimited,
        );
        check(429, "slow down", RateLimited);
        check(404, r#"{"error":{"message":"The model `x` does not exist","code":"model_not_found"}}"#, ModelNotFound);
        check(404, r#"{"object":"error","message":"The model `x` does not exist.","code":404}"#, ModelNotFound);
        check(400, r#"{"error":{"message":"x is not a valid model ID","code":400}}"#, ModelNotFound);
        check(404, "<html>not here</html>", InvalidAnswer);
        check(404, "", InvalidAnswer);
        check(400, r#"{"error":{"message":"context too long","code":"context_length_exceeded"}}"#, InvalidAnswer);
        check(408, "", Timeout);
        check(504, "", Timeout);
        check(500, "oops", ServerError);
        check(529, r#"{"error":"overloaded"}"#, ServerError);
    }

    #[test]
    fn a_key_that_is_echoed_is_not_quoted() {
        let fault = refuse(401, r#"{"error":{"message":"Incorrect API key provided: sk-abc***xyz"}}"#);
        assert_eq!(fault.error.message, "the endpoint refuses the key (HTTP 401)");
        assert_eq!(fault.body, None);
    }

    #[test]
    fn a_key_at_the_edge_of_the_quote_is_not_cut_in_half() {
        let scrub = Scrub::new(Some(argus_core::Secret::new("sk-secret")));
        let body = json!({ "error": { "message": format!("{} sk-secret", "x".repeat(MAX_QUOTE - 5)) } }).to_string();
        let fault = refused(StatusCode::BAD_REQUEST, &HeaderMap::new(), body.as_bytes(), &scrub);
        assert!(!fault.error.message.contains("sk-"), "{}", fault.error.message);
    }

    #[test]
    fn refused_ways_of_asking_are_recognised() {
        let check = |status, body: &str, format, limit| {
            let fault = refuse(status, body);
            assert_eq!((fault.refused_format, fault.refused_limit), (format, limit), "{status} {body}");
        };
        check(400, r#"{"error":"'response_format.type' must be 'json_schema' or 'text'"}"#, true, false);
        check(400, r#"{"error":{"message":"Invalid parameter","param":"response_format"}}"#, true, false);
        check(
            422,
            r#"{"detail":[{"loc":["body","response_format"],"msg":"extra fields not permitted"}]}"#,
            true,
            false,
        );
        check(400, r#"{"error":{"message":"Unsupported parameter: 'max_tokens'","param":"max_tokens"}}"#, false, true);
        check(400, r#"{"error":{"message":"bad picture"}}"#, false, false);
        check(500, r#"{"error":{"message":"response_format"}}"#, false, false);
    }

    #[test]
    fn failures_inside_a_success_are_found() {
        assert!(inside(&json!({ "choices": [] }), &Scrub::default()).is_none());
        assert!(inside(&json!({ "error": null }), &Scrub::default()).is_none());
        let kind = |v: Value| inside(&v, &Scrub::default()).unwrap().error.kind;
        assert_eq!(kind(json!({ "error": { "message": "Rate limited", "code": 429 } })), RateLimited);
        assert_eq!(kind(json!({ "error": "whatever" })), ServerError);
        assert_eq!(kind(json!({ "error": { "code": 9 } })), ServerError);
    }

    #[test]
    fn waits_are_read_in_every_form() {
        let check = |pairs: &[(&'static str, &'static str)], expected: Option<u64>| {
            let headers: HeaderMap = pairs
                .iter()
                .map(|(k, v)| (reqwest::header::HeaderName::from_static(k), HeaderValue::from_static(v)))
                .collect();
            assert_eq!(retry_after(&headers), expected.map(Duration::from_millis), "{pairs:?}");
        };
        check(&[], None);
        check(&[("retry-after", "20")], Some(20_000));
        check(&[("retry-after", "0.5")], Some(500));
        check(&[("retry-after", "20"), ("retry-after-ms", "1500")], Some(1_500));
        check(&[("retry-after", "-1")], None);
        check(&[("retry-after", "soon")], None);
        check(&[("retry-after", "NaN")], None);
        check(&[("retry-after", "99999999")], Some(86_400_000));
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        check(&[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT"), date], Some(30_000));
        check(&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT"), date], None);
        check(&[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")], None);
    }
}
