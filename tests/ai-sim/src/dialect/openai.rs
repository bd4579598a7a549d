//! `OpenAI`'s chat completions and two that resemble them.
//!
//! <https://platform.openai.com/docs/api-reference/chat/create>,
//! <https://platform.openai.com/docs/guides/error-codes>,
//! <https://docs.x.ai/docs/key-information/debugging>,
//! <https://openrouter.ai/docs/api/reference/errors-and-debugging>.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{End, Error, Route, Speaks};
use crate::Request;
use crate::check::{self, Found, Wrong};
use crate::reply::Reply;
use crate::settings::{Lack, Settings};

/// Pictures in one request (<https://platform.openai.com/docs/guides/images-vision>).
const MAX_IMAGES: usize = 500;

/// Fields of a request that are documented and may be met here.
const FIELDS: [&str; 34] = [
    "model",
    "messages",
    "max_completion_tokens",
    "max_tokens",
    "response_format",
    "temperature",
    "top_p",
    "n",
    "stop",
    "seed",
    "user",
    "stream",
    "stream_options",
    "store",
    "metadata",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "modalities",
    "prediction",
    "audio",
    "reasoning_effort",
    "verbosity",
    "service_tier",
    "parallel_tool_calls",
    "tool_choice",
    "tools",
    "web_search_options",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "moderation",
];

/// What `OpenRouter` takes beside them (<https://openrouter.ai/docs/api-reference/parameters>).
const MORE_FIELDS: [&str; 13] = [
    "usage",
    "models",
    "provider",
    "plugins",
    "route",
    "transforms",
    "reasoning",
    "include_reasoning",
    "top_k",
    "top_a",
    "min_p",
    "repetition_penalty",
    "structured_outputs",
];

/// Who of those that speak so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    OpenAi,
    Xai,
    OpenRouter,
}

impl Speaks for Speaker {
    fn route(&self, request: &Request) -> Route {
        let base = if *self == Self::OpenRouter { "/api/v1" } else { "/v1" };
        match (request.method.as_str(), request.path.strip_prefix(base)) {
            ("POST", Some("/chat/completions")) => Route::Question,
            ("GET", Some("/models")) => Route::Models,
            _ => Route::Nothing,
        }
    }

    fn key<'a>(&self, request: &'a Request) -> Option<&'a str> {
        request.header("authorization")?.strip_prefix("Bearer ")
    }

    fn read(&self, request: &Request, settings: &Settings) -> Found {
        let mut found = Found::default();
        found.wrong = read(*self, request, settings, &mut found).err();
        found
    }

    fn answer(&self, request: &Request, words: &str, end: End, settings: &Settings) -> Value {
        let (content, refusal) = match end {
            End::Refusal => (Value::Null, json!("I'm sorry, I can't help with that.")),
            End::Empty | End::Thought => (json!(""), Value::Null),
            End::Whole | End::CutOff => (json!(words), Value::Null),
        };
        let (input, output) = settings.tokens;
        let mut usage = Map::from_iter([
            ("prompt_tokens".to_owned(), json!(input)),
            ("completion_tokens".to_owned(), json!(output)),
            ("total_tokens".to_owned(), json!(input + output)),
        ]);
        if end == End::Thought {
            usage.insert("completion_tokens_details".into(), json!({ "reasoning_tokens": output }));
        }
        if let Some(cost) = settings.cost.filter(|_| *self == Self::OpenRouter) {
            usage.insert("cost".into(), json!(cost));
        }
        json!({
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_766_485_801,
            "model": request.model,
            "choices": [{
                "index": 0,
                "message": { "role": "assistant", "content": content, "refusal": refusal, "annotations": [] },
                "logprobs": null,
                "finish_reason": if matches!(end, End::CutOff | End::Thought) { "length" } else { "stop" }
            }],
            "usage": usage
        })
    }

    fn error(&self, error: &Error) -> Reply {
        match self {
            Self::OpenAi => openai(error),
            Self::Xai => xai(error),
            Self::OpenRouter => openrouter(error),
        }
    }

    fn error_in_success(&self) -> Value {
        match self {
            Self::OpenAi => {
                json!({ "error": { "message": "The server had an error", "type": "server_error", "param": null, "code": null } })
            }
            Self::Xai => json!({ "code": "Internal error", "error": "The service is in trouble" }),
            Self::OpenRouter => {
                json!({ "error": { "code": 502, "message": "Provider returned error", "metadata": { "raw": "oops" } } })
            }
        }
    }

    fn models(&self, settings: &Settings) -> Value {
        let entry = |id: &String| json!({ "id": id, "object": "model", "created": 1_766_000_000, "owned_by": "sim" });
        json!({ "object": "list", "data": settings.listed().iter().map(entry).collect::<Vec<_>>() })
    }
}

fn read(speaker: Speaker, request: &Request, settings: &Settings, found: &mut Found) -> Result<(), Wrong> {
    if request.header("content-type").is_none_or(|v| !v.starts_with("application/json")) {
        return Err(Wrong::new("you must provide a body of type application/json"));
    }
    let Some(body) = request.json.as_object() else {
        return Err(Wrong::new("We could not parse the JSON body of your request."));
    };
    found.model = body.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
    if found.model.is_empty() {
        return Err(Wrong::new("you must provide a model parameter"));
    }
    let more: &[&str] = if speaker == Speaker::OpenRouter { &MORE_FIELDS } else { &[] };
    if let Some(name) = check::unknown(body, &[&FIELDS, more].concat()) {
        return Err(Wrong::at(name, format!("Unrecognized request argument supplied: {name}")));
    }
    let messages = body.get("messages").and_then(Value::as_array).filter(|m| !m.is_empty());
    let Some(messages) = messages else {
        return Err(Wrong::at("messages", "Missing required parameter: 'messages'."));
    };
    for (at, message) in messages.iter().enumerate() {
        self::message(at, message, found)?;
    }
    if found.pictures.len() > MAX_IMAGES {
        return Err(Wrong::at("messages", format!("Too many images in the request. Expected {MAX_IMAGES} or fewer.")));
    }
    if body.get("stream").is_some_and(|v| v.as_bool() != Some(false)) {
        return Err(Wrong::at("stream", "this fake does not stream"));
    }
    limit(body, settings)?;
    if body.contains_key("reasoning_effort") && settings.lacks(Lack::Thinking) {
        let message = "Unsupported parameter: 'reasoning_effort' is not supported with this model.";
        return Err(Wrong::at("reasoning_effort", message));
    }
    match body.get("response_format") {
        Some(format) => response_format(format, &found.texts, settings),
        None => Ok(()),
    }
}

fn limit(body: &Map<String, Value>, settings: &Settings) -> Result<(), Wrong> {
    for (name, other, lack) in [
        ("max_tokens", "max_completion_tokens", Lack::MaxTokens),
        ("max_completion_tokens", "max_tokens", Lack::MaxCompletionTokens),
    ] {
        let Some(value) = body.get(name) else { continue };
        if settings.lacks(lack) {
            let message =
                format!("Unsupported parameter: '{name}' is not supported with this model. Use '{other}' instead.");
            return Err(Wrong::at(name, message));
        }
        if value.as_u64().is_none_or(|n| n == 0) {
            return Err(Wrong::at(name, format!("Invalid '{name}': integer below minimum value.")));
        }
    }
    Ok(())
}

fn message(at: usize, message: &Value, found: &mut Found) -> Result<(), Wrong> {
    let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
    if !["developer", "system", "user", "assistant", "tool"].contains(&role) {
        return Err(Wrong::at(&format!("messages[{at}].role"), format!("Invalid value: '{role}'.")));
    }
    let param = format!("messages[{at}].content");
    match message.get("content") {
        Some(Value::String(text)) => found.texts.push(text.clone()),
        Some(Value::Array(parts)) if !parts.is_empty() => {
            for (n, part) in parts.iter().enumerate() {
                self::part(role, part, found).map_err(|why| Wrong::at(&format!("{param}[{n}]"), why))?;
            }
        }
        _ => return Err(Wrong::at(&param, "Invalid type: expected a string or an array of objects.")),
    }
    Ok(())
}

fn part(role: &str, part: &Value, found: &mut Found) -> Result<(), String> {
    match part.get("type").and_then(Value::as_str) {
        Some("text") => {
            let text = part.get("text").and_then(Value::as_str).ok_or("Missing required parameter: 'text'.")?;
            found.texts.push(text.to_owned());
            Ok(())
        }
        Some("image_url") if role == "user" => {
            let url = part.pointer("/image_url/url").and_then(Value::as_str);
            let url = url.ok_or("Missing required parameter: 'image_url.url'.")?;
            let (media_type, data) = url
                .strip_prefix("data:")
                .and_then(|rest| rest.split_once(";base64,"))
                .ok_or("Expected a base64-encoded data URL with an image MIME type.")?;
            found.pictures.push(check::picture(media_type, data)?);
            Ok(())
        }
        Some("image_url") => Err("Image URLs are only allowed for messages with role 'user'.".to_owned()),
        other => Err(format!("Invalid value: '{}'.", other.unwrap_or_default())),
    }
}

fn response_format(format: &Value, texts: &[String], settings: &Settings) -> Result<(), Wrong> {
    const PARAM: &str = "response_format";
    let bad = |message: String| Err(Wrong::at(PARAM, message));
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(()),
        Some("json_object") if settings.lacks(Lack::JsonObject) => {
            bad("Invalid parameter: 'response_format' of type 'json_object' is not supported.".to_owned())
        }
        Some("json_object") if !texts.iter().any(|t| t.to_lowercase().contains("json")) => {
            bad("'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
                .to_owned())
        }
        Some("json_object") => Ok(()),
        Some("json_schema") if settings.lacks(Lack::JsonSchema) => {
            bad("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
                .to_owned())
        }
        Some("json_schema") => {
            let name = format.pointer("/json_schema/name").and_then(Value::as_str).unwrap_or_default();
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
                return bad("Invalid 'response_format.json_schema.name'.".to_owned());
            }
            let Some(schema) = format.pointer("/json_schema/schema").filter(|s| s.is_object()) else {
                return bad("Missing required parameter: 'response_format.json_schema.schema'.".to_owned());
            };
            let strict = format.pointer("/json_schema/strict").and_then(Value::as_bool) == Some(true);
            match check::loose_object(schema).filter(|_| strict) {
                Some(_) => bad(format!(
                    "Invalid schema for response_format '{name}': 'additionalProperties' is required to be supplied and to be false, and 'required' to name every property."
                )),
                None => Ok(()),
            }
        }
        other => bad(format!("Invalid value: '{}'.", other.unwrap_or_default())),
    }
}

/// `{"error": {"message", "type", "param", "code"}}`.
fn openai(error: &Error) -> Reply {
    let body = |message: &str, kind: &str, param: Option<&str>, code: Option<&str>| json!({ "error": { "message": message, "type": kind, "param": param, "code": code } });
    let invalid = "invalid_request_error";
    let (status, body) = match error {
        Error::Bad(wrong) => (400, body(&wrong.message, invalid, wrong.param.as_deref(), None)),
        Error::Unauthorized => (
            401,
            body(
                "Incorrect API key provided: sk-ab***yz. You can find your API key at https://platform.openai.com/account/api-keys.",
                invalid,
                None,
                Some("invalid_api_key"),
            ),
        ),
        Error::Forbidden => (
            403,
            body(
                "Country, region, or territory not supported",
                "request_forbidden",
                None,
                Some("unsupported_country_region_territory"),
            ),
        ),
        Error::NoModel(model) => (
            404,
            body(
                &format!("The model `{model}` does not exist or you do not have access to it."),
                invalid,
                None,
                Some("model_not_found"),
            ),
        ),
        Error::NoPath => (404, body("Invalid URL", invalid, None, None)),
        Error::RateLimited(_) => (
            429,
            body(
                "Rate limit reached for requests per min (RPM): Limit 3, Used 3, Requested 1.",
                "requests",
                None,
                Some("rate_limit_exceeded"),
            ),
        ),
        Error::Quota => (
            429,
            body(
                "You exceeded your current quota, please check your plan and billing details.",
                "insufficient_quota",
                None,
                Some("insufficient_quota"),
            ),
        ),
        Error::Context => (
            400,
            body(
                "This model's maximum context length is 128000 tokens. However, your messages resulted in 140000 tokens.",
                invalid,
                Some("messages"),
                Some("context_length_exceeded"),
            ),
        ),
        Error::Content => (
            400,
            body(
                "Your input image may contain content that is not allowed by our safety system.",
                invalid,
                None,
                Some("content_policy_violation"),
            ),
        ),
        Error::Blind => (
            400,
            body(
                "Invalid content type. image_url is only supported by certain models.",
                invalid,
                Some("messages.[1].content.[1].type"),
                None,
            ),
        ),
        Error::Server => (
            500,
            body(
                "The server had an error while processing your request. Sorry about that!",
                "server_error",
                None,
                None,
            ),
        ),
        Error::Unavailable => {
            (503, body("That model is currently overloaded with other requests.", "server_error", None, None))
        }
        // What OpenAI has no status for is what others in its dialect answer.
        Error::Overloaded => (529, body("Overloaded", "server_error", None, None)),
        Error::TooLarge => (413, body("Request body too large", invalid, None, None)),
    };
    waiting(Reply::json(status, &body), error)
}

/// `{"code": text, "error": text}`.
fn xai(error: &Error) -> Reply {
    let argument = "Client specified an invalid argument";
    let (status, code, text): (u16, &str, String) = match error {
        Error::Bad(wrong) => (400, argument, wrong.message.clone()),
        Error::Unauthorized => (
            400,
            argument,
            "Incorrect API key provided: xa***yz. You can obtain an API key from https://console.x.ai.".into(),
        ),
        Error::Forbidden => (
            403,
            "The caller does not have permission to execute the specified operation",
            "The API key lacks an ACL for this endpoint.".into(),
        ),
        Error::NoModel(model) => (
            404,
            "Some requested entity was not found",
            format!("The model {model} does not exist or your team does not have access to it."),
        ),
        Error::NoPath => (404, "Some requested entity was not found", "No such endpoint.".into()),
        Error::RateLimited(_) => (429, "Some resource has been exhausted", "Too many requests for your team.".into()),
        Error::Quota => (
            429,
            "Some resource has been exhausted",
            "Your team has either used all available credits or reached its monthly spending limit.".into(),
        ),
        Error::Context => (
            400,
            argument,
            "This model's maximum prompt length is 131072 but the request contains 140000 tokens.".into(),
        ),
        Error::Content => {
            (403, "Content violates usage guidelines", "The request was flagged by the safety system.".into())
        }
        Error::Blind => (400, argument, "The model does not support image input.".into()),
        Error::Server => (500, "Internal error", "Internal error.".into()),
        Error::Unavailable => {
            (503, "The service is currently unavailable", "The service is currently unavailable.".into())
        }
        Error::Overloaded => (529, "The service is currently unavailable", "Overloaded.".into()),
        Error::TooLarge => (413, argument, "Request too large.".into()),
    };
    waiting(Reply::json(status, &json!({ "code": code, "error": text })), error)
}

/// `{"error": {"code": number, "message", "metadata"?}}`.
fn openrouter(error: &Error) -> Reply {
    let (status, message): (u16, String) = match error {
        Error::Bad(wrong) => (400, wrong.message.clone()),
        Error::Unauthorized => (401, "User not found.".into()),
        Error::Forbidden => (403, "Key limit exceeded for this endpoint.".into()),
        Error::NoModel(model) => (400, format!("{model} is not a valid model ID")),
        Error::NoPath => {
            return Reply::text(
                404,
                "text/html",
                Bytes::from_static(b"<!DOCTYPE html><html><body>Not Found</body></html>"),
            );
        }
        Error::RateLimited(_) => (429, "Rate limit exceeded: free-models-per-min.".into()),
        Error::Quota => (402, "Insufficient credits. Add more using https://openrouter.ai/settings/credits".into()),
        Error::Context => (400, "This endpoint's maximum context length is 32768 tokens.".into()),
        Error::Content => (403, "Your chosen model requires moderation and your input was flagged".into()),
        Error::Blind => (404, "No endpoints found that support image input".into()),
        Error::Server => (500, "Internal Server Error".into()),
        Error::Unavailable => (503, "There is no available model provider that meets your routing requirements".into()),
        Error::Overloaded => (529, "Provider returned error: overloaded".into()),
        Error::TooLarge => (413, "Payload too large".into()),
    };
    waiting(Reply::json(status, &json!({ "error": { "code": status, "message": message } })), error)
}

/// `Retry-After` in seconds, and in `OpenAI`'s finer form when it is no whole number of them.
fn waiting(reply: Reply, error: &Error) -> Reply {
    match error {
        Error::RateLimited(Some(wait)) if wait.subsec_millis() == 0 => {
            reply.with("retry-after", wait.as_secs().to_string())
        }
        Error::RateLimited(Some(wait)) => {
            reply.with("retry-after", wait.as_secs().to_string()).with("retry-after-ms", wait.as_millis().to_string())
        }
        _ => reply,
    }
}
