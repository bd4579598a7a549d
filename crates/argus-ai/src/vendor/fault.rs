//! What a refusal means.
//!
//! One reading for all vendors, because one stands in front of another (`OpenRouter`, `LiteLLM` and others pass on what is
//! behind them says). Forms:
//!
//! - `OpenAI`: `{"error": {"message", "type", "param", "code"}}`
//!   (<https://platform.openai.com/docs/guides/error-codes>); xAI: `{"code", "error": text}`
//!   (<https://docs.x.ai/docs/key-information/debugging>); `OpenRouter`: a number as code, `metadata`
//!   (<https://openrouter.ai/docs/api/reference/errors-and-debugging>); LM Studio: a plain text as `error`;
//!   `FastAPI` (vLLM and others): `detail`.
//! - Anthropic: `{"type": "error", "error": {"type", "message", "details"?}}`
//!   (<https://docs.claude.com/en/api/errors>).
//! - Gemini: `{"error": {"code", "message", "status", "details": [{"@type", …}]}}`
//!   (<https://ai.google.dev/gemini-api/docs/troubleshooting>, <https://cloud.google.com/apis/design/errors>).
//! - Ollama: `{"error": text}` (<https://docs.ollama.com/api/errors>).
//! - Texts that are no JSON at all, such as those of a proxy.

mod retry;
mod said;

use argus_core::describe::{DescribeError, DescribeFailure};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value};

use self::said::Said;
use super::Answer;
use super::scrub::Scrub;
use crate::provider::failure;
use crate::text::one_line;

/// Longest text of an endpoint that is quoted in a message, characters.
const MAX_QUOTE: usize = 300;

/// A failed exchange with all that decides what comes next.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{error}")]
pub(super) struct Fault {
    pub(super) error: DescribeError,
    /// What it cost all the same.
    pub(super) spent: Option<Answer>,
    /// The model may have worked, so that it may be charged though nobody told what for.
    pub(super) maybe_charged: bool,
    /// The pictures are not described, by the model's will or a filter's: an answer about them, not a failure.
    pub(super) refused_content: bool,
    /// The endpoint does not know this way of asking for JSON.
    pub(super) refused_format: bool,
    /// The endpoint does not know this name of the limit of tokens.
    pub(super) refused_limit: bool,
    /// The endpoint does not let itself be told how much to think.
    pub(super) refused_thinking: bool,
    /// What the model thought left no room for its answer.
    pub(super) thought_too_long: bool,
}

impl Fault {
    pub(super) fn of(kind: DescribeFailure, message: impl Into<String>) -> Self {
        Self {
            error: failure(kind, message),
            spent: None,
            maybe_charged: false,
            refused_content: false,
            refused_format: false,
            refused_limit: false,
            refused_thinking: false,
            thought_too_long: false,
        }
    }

    /// The same, of a request that may have reached the model.
    pub(super) fn charged(self) -> Self {
        Self { maybe_charged: true, ..self }
    }

    /// The same, of an answer with this status: a success is paid for, whatever became of it. A refusal that came in the
    /// clothes of a success is not.
    pub(super) fn with(self, status: StatusCode) -> Self {
        use DescribeFailure::{ModelNotFound, Quota, RateLimited, Unauthorized};
        let refused = matches!(self.error.kind, ModelNotFound | Quota | RateLimited | Unauthorized);
        if status.is_success() && !refused { self.charged() } else { self }
    }

    /// The model answered that it does not answer.
    pub(super) fn refusal(words: &str, scrub: &Scrub, spent: Answer) -> Self {
        let quote = one_line(&scrub.clean(words), MAX_QUOTE);
        let message =
            if quote.is_empty() { "the model refused".to_owned() } else { format!("the model refused: {quote}") };
        Self { spent: Some(spent), refused_content: true, ..Self::of(DescribeFailure::InvalidAnswer, message) }
    }

    /// A filter of the provider took the answer away, or never let the question through.
    pub(super) fn held_back(reason: &str, scrub: &Scrub, spent: Answer) -> Self {
        let reason = one_line(&scrub.clean(reason), 60);
        let message = format!("the provider's content filter held the answer back ({reason})");
        Self { spent: Some(spent), refused_content: true, ..Self::of(DescribeFailure::InvalidAnswer, message) }
    }

    /// The limit was reached while the model still thought.
    pub(super) fn thought_too_long(spent: Answer) -> Self {
        let message = "the model's thoughts used up max_output_tokens before it had answered";
        Self { thought_too_long: true, ..Self::unusable(message, spent) }
    }

    /// A whole answer without words.
    pub(super) fn unusable(message: &str, spent: Answer) -> Self {
        Self { spent: Some(spent), ..Self::of(DescribeFailure::InvalidAnswer, message) }
    }
}

/// A status that is neither success nor redirection. `api` is what should be at the address.
pub(super) fn refused(api: &str, status: StatusCode, headers: &HeaderMap, body: &[u8], scrub: &Scrub) -> Fault {
    let said = match serde_json::from_slice::<Value>(body) {
        Ok(json) => Said::of(&json),
        Err(_not_json) => Said::text(&String::from_utf8_lossy(body)),
    };
    let mut fault = meaning(api, status.as_u16(), &said, scrub);
    fault.error.retry_after = retry::after(headers).or_else(|| said.retry_after());
    fault
}

/// A failure that came with a status of success.
pub(super) fn inside(api: &str, body: &Value, scrub: &Scrub) -> Option<Fault> {
    let error = body.get("error")?;
    // A field that is there and says nothing.
    if matches!(error, Value::Null | Value::Bool(false)) || *error == "" || error.as_object().is_some_and(Map::is_empty)
    {
        return None;
    }
    let said = Said::of(body);
    let status = said.status().unwrap_or(500);
    let mut fault = meaning(api, status, &said, scrub);
    fault.error.retry_after = said.retry_after();
    Some(fault)
}

fn meaning(api: &str, status: u16, said: &Said, scrub: &Scrub) -> Fault {
    use DescribeFailure::{InvalidAnswer, ModelNotFound, Quota, RateLimited, ServerError, Timeout, Unauthorized};
    let quote = one_line(&scrub.clean(&said.message), MAX_QUOTE);
    let told = |kind, what: &str| {
        let message = if quote.is_empty() {
            format!("{what} (HTTP {status})")
        } else {
            format!("{what} (HTTP {status}): {quote}")
        };
        Fault::of(kind, message)
    };
    // The body is not quoted: it may show parts of the key.
    let unauthorized = || Fault::of(Unauthorized, format!("the endpoint refuses the key (HTTP {status})"));
    match status {
        400..=403 | 422 | 429 if said.is_spent() => told(Quota, "the account's money or quota is spent"),
        402 => told(Quota, "the account's money or quota is spent"),
        400 | 403 | 422 | 451 if said.is_content() => {
            Fault { refused_content: true, ..told(InvalidAnswer, "the provider refuses the content") }
        }
        // A project that may not use the model.
        403 if said.is_model_code() => told(ModelNotFound, "there is no such model"),
        401 | 403 => unauthorized(),
        400 | 422 if said.is_key() => unauthorized(),
        429 => told(RateLimited, "too many requests for now"),
        408 | 504 => told(Timeout, "the provider ran out of time"),
        _ if said.is_blind() => told(InvalidAnswer, "the model takes no pictures"),
        503 | 529 => told(ServerError, "the provider is overloaded"),
        500.. if said.is_overload() => told(ServerError, "the provider is overloaded"),
        500.. => told(ServerError, "the provider failed"),
        400 | 422 if said.is_context() => told(InvalidAnswer, "the request is longer than the model takes"),
        // Before the model: what says that a model does not know a parameter is about the parameter.
        400 | 422 if said.is_format() || said.is_limit() || said.is_thinking() => Fault {
            refused_format: said.is_format(),
            refused_limit: said.is_limit(),
            refused_thinking: said.is_thinking(),
            ..told(InvalidAnswer, "the endpoint refuses the request")
        },
        _ if said.is_model() => told(ModelNotFound, "there is no such model"),
        404 | 405 => told(InvalidAnswer, &format!("there is no {api} at this base_url")),
        413 => told(InvalidAnswer, "the request is too large"),
        _ => told(InvalidAnswer, "the endpoint refuses the request"),
    }
}

#[cfg(test)]
mod tests {
    use DescribeFailure::{InvalidAnswer, ModelNotFound, Quota, RateLimited, ServerError, Timeout, Unauthorized};
    use serde_json::json;

    use super::*;

    fn refuse(status: u16, body: &str) -> Fault {
        let status = StatusCode::from_u16(status).unwrap();
        refused("chat completions", status, &HeaderMap::new(), body.as_bytes(), &Scrub::default())
    }

    #[test]
    fn refusals_mean_what_vendors_say_they_mean() {
        let check = |status, body: &str, kind| assert_eq!(refuse(status, body).error.kind, kind, "{status} {body}");
        // OpenAI and those who speak like it.
        check(
            401,
            r#"{"error":{"message":"Incorrect API key provided: sk-abc***xyz","code":"invalid_api_key"}}"#,
            Unauthorized,
        );
        check(403, "", Unauthorized);
        check(
            403,
            r#"{"error":{"message":"Project `p` does not have access to model `m`","code":"model_not_found"}}"#,
            ModelNotFound,
        );
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
        check(
            400,
            r#"{"error":{"message":"/chat/completions: Invalid model name passed in model=x. Call `/v1/models`"}}"#,
            ModelNotFound,
        );
        check(404, "<html>not here</html>", InvalidAnswer);
        check(404, "", InvalidAnswer);
        check(408, "", Timeout);
        check(504, "", Timeout);
        check(500, "oops", ServerError);
        check(529, r#"{"error":"overloaded"}"#, ServerError);
        // xAI.
        check(
            400,
            r#"{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***. You can obtain an API key from https://console.x.ai."}"#,
            Unauthorized,
        );
        check(
            403,
            r#"{"code":"The caller does not have permission","error":"Your newly created team doesn't have any credits yet."}"#,
            Quota,
        );
        check(
            404,
            r#"{"code":"Some requested entity was not found","error":"The model grok-x does not exist or your team does not have access to it."}"#,
            ModelNotFound,
        );
        // OpenRouter.
        check(
            403,
            r#"{"error":{"code":403,"message":"Your chosen model requires moderation and your input was flagged","metadata":{"reasons":["violence"]}}}"#,
            InvalidAnswer,
        );
        // Anthropic.
        check(
            401,
            r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#,
            Unauthorized,
        );
        check(403, r#"{"type":"error","error":{"type":"permission_error","message":"no"}}"#, Unauthorized);
        check(402, r#"{"type":"error","error":{"type":"billing_error","message":"pay"}}"#, Quota);
        check(404, r#"{"type":"error","error":{"type":"not_found_error","message":"model: claude-x"}}"#, ModelNotFound);
        check(
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}"#,
            Quota,
        );
        check(
            429,
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"limit","details":{"error_code":"enforced_spend_limit_reached"}}}"#,
            Quota,
        );
        check(
            429,
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your organization's rate limit"}}"#,
            RateLimited,
        );
        check(529, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, ServerError);
        // Gemini.
        check(
            400,
            r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#,
            Unauthorized,
        );
        check(
            404,
            r#"{"error":{"code":404,"message":"models/x is not found for API version v1beta, or is not supported for generateContent.","status":"NOT_FOUND"}}"#,
            ModelNotFound,
        );
        check(
            503,
            r#"{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}"#,
            ServerError,
        );
        check(
            429,
            r#"{"error":{"code":429,"message":"You exceeded your current quota","status":"RESOURCE_EXHAUSTED"}}"#,
            Quota,
        );
        check(
            429,
            r#"{"error":{"code":429,"message":"Resource has been exhausted (e.g. check quota).","status":"RESOURCE_EXHAUSTED"}}"#,
            RateLimited,
        );
        // Ollama.
        check(404, r#"{"error":"model 'x' not found"}"#, ModelNotFound);
        check(404, "404 page not found", InvalidAnswer);
        check(503, r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#, ServerError);
        check(500, r#"{"error":"this model is missing data required for image input"}"#, InvalidAnswer);
    }

    #[test]
    fn geminis_quotas_of_a_minute_and_of_a_day_are_told_apart() {
        let body = |quota: &str| {
            json!({ "error": { "code": 429, "status": "RESOURCE_EXHAUSTED",
                "message": "You exceeded your current quota, please check your plan and billing details.",
                "details": [
                    { "@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{ "quotaId": quota }] },
                    { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37.8s" }
                ] } })
            .to_string()
        };
        let minute = refuse(429, &body("GenerateRequestsPerMinutePerProjectPerModel-FreeTier")).error;
        assert_eq!(minute.kind, RateLimited);
        assert_eq!(minute.retry_after, Some(std::time::Duration::from_millis(37_800)));
        assert_eq!(refuse(429, &body("GenerateRequestsPerDayPerProjectPerModel-FreeTier")).error.kind, Quota);
    }

    #[test]
    fn what_can_be_mended_is_said_in_a_sentence() {
        let check = |status, body: &str, start: &str| {
            let error = refuse(status, body).error;
            assert_eq!(error.kind, InvalidAnswer, "{body}");
            assert!(error.message.starts_with(start), "{body}: {}", error.message);
        };
        let longer = "the request is longer than the model takes";
        check(
            400,
            r#"{"error":{"message":"This model's maximum context length is 128000 tokens.","code":"context_length_exceeded"}}"#,
            longer,
        );
        check(
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 208310 tokens > 200000 maximum"}}"#,
            longer,
        );
        check(
            400,
            r#"{"error":{"code":400,"message":"The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).","status":"INVALID_ARGUMENT"}}"#,
            longer,
        );
        check(
            400,
            r#"{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error"}}"#,
            longer,
        );
        check(413, "", "the request is too large");
        check(
            400,
            r#"{"error":{"message":"Invalid content type. image_url is only supported by certain models.","code":null}}"#,
            "the model takes no pictures",
        );
        check(
            400,
            r#"{"error":{"message":"Your input image may contain content that is not allowed by our safety system.","code":"content_policy_violation"}}"#,
            "the provider refuses the content",
        );
        check(404, "", "there is no chat completions at this base_url");
    }

    #[test]
    fn a_key_that_is_echoed_is_not_quoted() {
        let fault = refuse(401, r#"{"error":{"message":"Incorrect API key provided: sk-abc***xyz"}}"#);
        assert_eq!(fault.error.message, "the endpoint refuses the key (HTTP 401)");
    }

    #[test]
    fn a_key_at_the_edge_of_the_quote_is_not_cut_in_half() {
        let scrub = Scrub::new(Some(argus_core::Secret::new("sk-secret")));
        let body = json!({ "error": { "message": format!("{} sk-secret", "x".repeat(MAX_QUOTE - 5)) } }).to_string();
        let fault = refused("x", StatusCode::BAD_REQUEST, &HeaderMap::new(), body.as_bytes(), &scrub);
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
        check(
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"output_config: Extra inputs are not permitted"}}"#,
            true,
            false,
        );
        check(
            400,
            r#"{"error":{"code":400,"message":"JSON mode is not enabled for models/gemma-3-27b-it","status":"INVALID_ARGUMENT"}}"#,
            true,
            false,
        );
        check(
            400,
            r#"{"error":"json: cannot unmarshal object into Go struct field ChatRequest.format of type string"}"#,
            true,
            false,
        );
        check(400, r#"{"error":{"message":"Unknown parameter 'response_format' for this model"}}"#, true, false);
        check(
            400,
            r#"{"error":{"message":"max_tokens: 9000 > 8192, which is the maximum for this model"}}"#,
            false,
            false,
        );
        check(400, r#"{"error":{"message":"bad picture"}}"#, false, false);
        check(500, r#"{"error":{"message":"response_format"}}"#, false, false);
    }

    #[test]
    fn failures_inside_a_success_are_found() {
        let find = |v: Value| inside("x", &v, &Scrub::default());
        assert!(find(json!({ "choices": [] })).is_none());
        for nothing in [json!(null), json!(""), json!({}), json!(false)] {
            assert!(find(json!({ "error": nothing })).is_none());
        }
        let kind = |v: Value| find(v).unwrap().error.kind;
        assert_eq!(kind(json!({ "error": { "message": "Rate limited", "code": 429 } })), RateLimited);
        assert_eq!(kind(json!({ "error": "whatever" })), ServerError);
        assert_eq!(kind(json!({ "error": { "code": 9 } })), ServerError);
        assert_eq!(
            kind(json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } })),
            ServerError
        );
        assert_eq!(
            kind(json!({ "type": "error", "error": { "type": "rate_limit_error", "message": "" } })),
            RateLimited
        );
        assert_eq!(kind(json!({ "error": { "status": "PERMISSION_DENIED", "message": "" } })), Unauthorized);
    }
}
