//! Anthropic's Messages API.
//!
//! <https://platform.claude.com/docs/en/api/messages/create>, <https://docs.claude.com/en/api/errors>,
//! <https://platform.claude.com/docs/en/build-with-claude/structured-outputs>,
//! <https://platform.claude.com/docs/en/build-with-claude/vision>.

use serde_json::{Map, Value, json};

use super::{End, Error, Route, Speaks};
use crate::Request;
use crate::check::{self, Found, Wrong};
use crate::reply::Reply;
use crate::settings::{Lack, Settings};

/// Pictures in one request.
const MAX_IMAGES: usize = 100;
/// Versions of the interface (<https://platform.claude.com/docs/en/api/versioning>).
const VERSIONS: [&str; 2] = ["2023-06-01", "2023-01-01"];
/// Keywords that a schema may not hold.
const NOT_IN_SCHEMAS: [&str; 7] =
    ["minimum", "maximum", "multipleOf", "minLength", "maxLength", "maxItems", "exclusiveMinimum"];

/// Fields of a request.
const FIELDS: [&str; 19] = [
    "model",
    "messages",
    "max_tokens",
    "system",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "stream",
    "metadata",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "service_tier",
    "cache_control",
    "container",
    "inference_geo",
    "output_format",
];

/// Anthropic.
pub(super) struct Speaker;

impl Speaks for Speaker {
    fn route(&self, request: &Request) -> Route {
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/v1/messages") => Route::Question,
            ("GET", "/v1/models") => Route::Models,
            _ => Route::Nothing,
        }
    }

    fn key<'a>(&self, request: &'a Request) -> Option<&'a str> {
        request.header("x-api-key")
    }

    fn read(&self, request: &Request, settings: &Settings) -> Found {
        let mut found = Found::default();
        found.wrong = read(request, settings, &mut found).err();
        found
    }

    fn answer(&self, request: &Request, words: &str, end: End, settings: &Settings) -> Value {
        let forced = request.json.pointer("/tool_choice/name").and_then(Value::as_str);
        // One that may be called is called, after a word about it.
        let offered = request.json.pointer("/tools/0/name").and_then(Value::as_str).filter(|_| forced.is_none());
        let tool = forced.or(offered);
        let input = serde_json::from_str::<Map<String, Value>>(words).ok();
        let (content, stop, details) = match (end, tool.zip(input)) {
            (End::Refusal, _) => (
                json!([]),
                "refusal",
                json!({ "type": "refusal", "category": null, "explanation": "This request cannot be helped with." }),
            ),
            (End::Empty, _) => (json!([]), "end_turn", Value::Null),
            (End::CutOff | End::Thought, _) => (json!([{ "type": "text", "text": words }]), "max_tokens", Value::Null),
            (End::Whole, Some((name, input))) => (
                {
                    let before = offered.map(|_| json!({ "type": "text", "text": "I will describe what I see." }));
                    let call = json!({ "type": "tool_use", "id": "toolu_1", "name": name, "input": input });
                    before.into_iter().chain([call]).collect()
                },
                "tool_use",
                Value::Null,
            ),
            (End::Whole, None) => (json!([{ "type": "text", "text": words }]), "end_turn", Value::Null),
        };
        let (input, output) = settings.tokens;
        json!({
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": request.model,
            "content": content,
            "stop_reason": stop,
            "stop_sequence": null,
            "stop_details": details,
            "usage": {
                "input_tokens": input, "output_tokens": output,
                "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "service_tier": "standard"
            }
        })
    }

    fn error(&self, error: &Error) -> Reply {
        let invalid = "invalid_request_error";
        let (status, kind, message, details): (u16, &str, String, Option<Value>) = match error {
            Error::Bad(wrong) => (400, invalid, wrong.message.clone(), None),
            Error::Unauthorized => (401, "authentication_error", "invalid x-api-key".into(), None),
            Error::Forbidden => (
                403,
                "permission_error",
                "Your API key does not have permission to use the specified resource.".into(),
                None,
            ),
            Error::NoModel(model) => (404, "not_found_error", format!("model: {model}"), None),
            Error::NoPath => (404, "not_found_error", "Not Found".into(), None),
            Error::RateLimited(_) => (
                429,
                "rate_limit_error",
                "This request would exceed your organization's rate limit of 50 requests per minute.".into(),
                None,
            ),
            Error::Quota => (
                429,
                "rate_limit_error",
                "Your organization has reached its monthly spend limit.".into(),
                Some(json!({ "error_code": "enforced_spend_limit_reached" })),
            ),
            Error::Context => (400, invalid, "prompt is too long: 208310 tokens > 200000 maximum".into(), None),
            Error::Content => (400, invalid, "Output blocked by content filtering policy".into(), None),
            Error::Blind => (400, invalid, "This model does not support image input.".into(), None),
            Error::Server => (500, "api_error", "Internal server error".into(), None),
            Error::Unavailable => (503, "api_error", "Service temporarily unavailable".into(), None),
            Error::Overloaded => (529, "overloaded_error", "Overloaded".into(), None),
            Error::TooLarge => (413, "request_too_large", "Request exceeds the maximum size".into(), None),
        };
        let mut inner = json!({ "type": kind, "message": message });
        if let (Some(details), Some(map)) = (details, inner.as_object_mut()) {
            map.insert("details".into(), details);
        }
        let reply = Reply::json(status, &json!({ "type": "error", "error": inner, "request_id": "req_1" }));
        match error {
            Error::RateLimited(Some(wait)) => reply.with("retry-after", wait.as_secs().to_string()),
            _ => reply,
        }
    }

    fn error_in_success(&self) -> Value {
        json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } })
    }

    fn models(&self, settings: &Settings) -> Value {
        let listed = settings.listed();
        let entry = |id: &String| json!({ "type": "model", "id": id, "display_name": id, "created_at": "2025-12-01T00:00:00Z" });
        json!({
            "data": listed.iter().map(entry).collect::<Vec<_>>(),
            "has_more": false, "first_id": listed.first(), "last_id": listed.last()
        })
    }
}

fn read(request: &Request, settings: &Settings, found: &mut Found) -> Result<(), Wrong> {
    match request.header("anthropic-version") {
        None => return Err(Wrong::new("anthropic-version: header is required")),
        Some(version) if !VERSIONS.contains(&version) => {
            return Err(Wrong::new(format!("anthropic-version: \"{version}\" is not a valid version")));
        }
        Some(_) => {}
    }
    if request.header("content-type").is_none_or(|v| !v.starts_with("application/json")) {
        return Err(Wrong::new("content-type: application/json is required"));
    }
    let Some(body) = request.json.as_object() else {
        return Err(Wrong::new("The request body is not valid JSON"));
    };
    found.model = body.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
    if found.model.is_empty() {
        return Err(Wrong::new("model: Field required"));
    }
    if let Some(name) = check::unknown(body, &FIELDS) {
        return Err(Wrong::new(format!("{name}: Extra inputs are not permitted")));
    }
    if body.get("max_tokens").and_then(Value::as_u64).is_none_or(|n| n == 0) {
        return Err(Wrong::new("max_tokens: Field required"));
    }
    match body.get("system") {
        None => {}
        Some(Value::String(text)) => found.texts.push(text.clone()),
        Some(Value::Array(blocks)) => {
            for block in blocks {
                self::block(block, found).map_err(|why| Wrong::new(format!("system: {why}")))?;
            }
            if !found.pictures.is_empty() {
                return Err(Wrong::new("system: Input tag 'image' does not match any of the expected tags"));
            }
        }
        Some(_) => return Err(Wrong::new("system: Input should be a valid string")),
    }
    let messages = body.get("messages").and_then(Value::as_array).filter(|m| !m.is_empty());
    let Some(messages) = messages else {
        return Err(Wrong::new("messages: at least one message is required"));
    };
    for (at, message) in messages.iter().enumerate() {
        self::message(at, message, found)?;
    }
    if found.pictures.len() > MAX_IMAGES {
        return Err(Wrong::new(format!("messages: at most {MAX_IMAGES} images are allowed")));
    }
    if body.get("stream").is_some_and(|v| v.as_bool() != Some(false)) {
        return Err(Wrong::new("stream: this fake does not stream"));
    }
    output_config(body, settings)?;
    tools(body, settings)
}

fn message(at: usize, message: &Value, found: &mut Found) -> Result<(), Wrong> {
    let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
    if !["user", "assistant"].contains(&role) {
        return Err(Wrong::new(format!(
            "messages: Unexpected role \"{role}\". The Messages API accepts a top-level `system` parameter, not \"system\" as an input message role."
        )));
    }
    match message.get("content") {
        Some(Value::String(text)) if !text.is_empty() => found.texts.push(text.clone()),
        Some(Value::Array(blocks)) if !blocks.is_empty() => {
            for (n, block) in blocks.iter().enumerate() {
                self::block(block, found).map_err(|why| Wrong::new(format!("messages.{at}.content.{n}: {why}")))?;
            }
        }
        _ => return Err(Wrong::new(format!("messages.{at}: all messages must have non-empty content"))),
    }
    Ok(())
}

fn block(block: &Value, found: &mut Found) -> Result<(), String> {
    match block.get("type").and_then(Value::as_str) {
        Some("text") => match block.get("text").and_then(Value::as_str) {
            Some(text) if !text.is_empty() => {
                found.texts.push(text.to_owned());
                Ok(())
            }
            _ => Err("text content blocks must be non-empty".to_owned()),
        },
        Some("image") => {
            let field = |key: &str| block.get("source").and_then(|s| s.get(key)).and_then(Value::as_str);
            if field("type") != Some("base64") {
                return Err("source.type: this fake takes `base64` alone".to_owned());
            }
            let media_type = field("media_type").ok_or("source.media_type: Field required")?;
            let data = field("data").ok_or("source.data: Field required")?;
            found.pictures.push(check::picture(media_type, data)?);
            Ok(())
        }
        other => Err(format!("Input tag '{}' does not match any of the expected tags", other.unwrap_or_default())),
    }
}

fn output_config(body: &Map<String, Value>, settings: &Settings) -> Result<(), Wrong> {
    let Some(config) = body.get("output_config") else { return Ok(()) };
    if settings.lacks(Lack::JsonSchema) {
        return Err(Wrong::new("output_config.format: structured outputs are not supported by this model"));
    }
    let Some(format) = config.get("format") else { return Ok(()) };
    if format.get("type").and_then(Value::as_str) != Some("json_schema") {
        return Err(Wrong::new("output_config.format.type: Input should be 'json_schema'"));
    }
    let Some(schema) = format.get("schema").filter(|s| s.is_object()) else {
        return Err(Wrong::new("output_config.format.schema: Field required"));
    };
    if let Some(word) = check::keyword(schema, &NOT_IN_SCHEMAS) {
        return Err(Wrong::new(format!("output_config.format.schema: property '{word}' is not supported")));
    }
    match check::loose_object(schema) {
        Some(_) => Err(Wrong::new(
            "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false",
        )),
        None => Ok(()),
    }
}

fn tools(body: &Map<String, Value>, settings: &Settings) -> Result<(), Wrong> {
    let names: Vec<&str> = body
        .get("tools")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|tool| tool.get("name").and_then(Value::as_str))
        .collect();
    for tool in body.get("tools").and_then(Value::as_array).into_iter().flatten() {
        if tool.pointer("/input_schema/type").and_then(Value::as_str) != Some("object") {
            return Err(Wrong::new("tools.0.custom.input_schema.type: Field required"));
        }
    }
    let Some(choice) = body.get("tool_choice") else { return Ok(()) };
    let kind = choice.get("type").and_then(Value::as_str);
    if settings.lacks(Lack::JsonObject) {
        return Err(Wrong::new("tool_choice: tools are not supported by this model"));
    }
    if settings.lacks(Lack::ForcedTool) && matches!(kind, Some("tool" | "any")) {
        return Err(Wrong::new("tool_choice: type \"tool\" and \"any\" are not supported by this model, use \"auto\""));
    }
    let name = choice.get("name").and_then(Value::as_str);
    match kind {
        Some("tool") if name.is_some_and(|name| names.contains(&name)) => Ok(()),
        Some("auto" | "any" | "none") => Ok(()),
        _ => Err(Wrong::new("tool_choice: Tool not found in provided tools")),
    }
}
