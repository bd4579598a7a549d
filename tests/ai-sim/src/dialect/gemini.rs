//! Google's Gemini.
//!
//! <https://ai.google.dev/api/generate-content>, <https://ai.google.dev/gemini-api/docs/troubleshooting>,
//! <https://ai.google.dev/api/caching#Schema>, <https://cloud.google.com/apis/design/errors>.

use serde_json::{Map, Value, json};

use super::{End, Error, Route, Speaks};
use crate::Request;
use crate::check::{self, Found, Wrong};
use crate::reply::Reply;
use crate::settings::{Lack, Settings};

/// Pictures in one request (<https://ai.google.dev/gemini-api/docs/image-understanding>).
const MAX_IMAGES: usize = 3600;
/// Largest request with its pictures inside, bytes (same page).
const MAX_BODY: usize = 20 * 1024 * 1024;

const FIELDS: [&str; 11] = [
    "contents",
    "systemInstruction",
    "system_instruction",
    "generationConfig",
    "generation_config",
    "safetySettings",
    "tools",
    "toolConfig",
    "cachedContent",
    "model",
    "labels",
];
const CONFIG: [&str; 20] = [
    "stopSequences",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "responseModalities",
    "candidateCount",
    "maxOutputTokens",
    "temperature",
    "topP",
    "topK",
    "seed",
    "presencePenalty",
    "frequencyPenalty",
    "responseLogprobs",
    "logprobs",
    "max_output_tokens",
    "response_mime_type",
    "speechConfig",
    "thinkingConfig",
    "mediaResolution",
];
const SCHEMA: [&str; 21] = [
    "type",
    "format",
    "title",
    "description",
    "nullable",
    "enum",
    "maxItems",
    "minItems",
    "properties",
    "required",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "example",
    "anyOf",
    "propertyOrdering",
    "items",
    "minimum",
    "maximum",
];
const TYPES: [&str; 7] = ["STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"];

/// Google.
pub(super) struct Speaker;

impl Speaks for Speaker {
    fn route(&self, request: &Request) -> Route {
        match request.method.as_str() {
            "POST" if model(request).is_some() => Route::Question,
            "GET" if request.path == "/v1beta/models" => Route::Models,
            _ => Route::Nothing,
        }
    }

    /// The real one takes it from the address, too; nobody should.
    fn key<'a>(&self, request: &'a Request) -> Option<&'a str> {
        request.header("x-goog-api-key")
    }

    fn read(&self, request: &Request, settings: &Settings) -> Found {
        let mut found = Found { model: model(request).unwrap_or_default().to_owned(), ..Found::default() };
        found.wrong = read(request, settings, &mut found).err();
        found
    }

    fn answer(&self, request: &Request, words: &str, end: End, settings: &Settings) -> Value {
        let (input, output) = settings.tokens;
        let spoken = if end == End::Thought { "thoughtsTokenCount" } else { "candidatesTokenCount" };
        let usage = json!({
            "promptTokenCount": input, spoken: output, "totalTokenCount": input + output,
            "promptTokensDetails": [{ "modality": "TEXT", "tokenCount": input }]
        });
        let parts = match end {
            End::Empty | End::Refusal | End::Thought => json!([]),
            End::Whole | End::CutOff => json!([{ "text": words }]),
        };
        let finish = match end {
            End::CutOff | End::Thought => "MAX_TOKENS",
            End::Refusal => "SAFETY",
            End::Whole | End::Empty => "STOP",
        };
        json!({
            "candidates": [{
                "content": { "parts": parts, "role": "model" },
                "finishReason": finish,
                "index": 0
            }],
            "usageMetadata": usage,
            "modelVersion": request.model,
            "responseId": "r1"
        })
    }

    fn error(&self, error: &Error) -> Reply {
        let (status, name, message, details): (u16, &str, String, Value) = match error {
            Error::Bad(wrong) => (400, "INVALID_ARGUMENT", wrong.message.clone(), json!([])),
            Error::Unauthorized => (
                400,
                "INVALID_ARGUMENT",
                "API key not valid. Please pass a valid API key.".into(),
                json!([{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com" }]),
            ),
            Error::Forbidden => (403, "PERMISSION_DENIED", "The caller does not have permission".into(), json!([])),
            Error::NoModel(model) => (
                404,
                "NOT_FOUND",
                format!("models/{model} is not found for API version v1beta, or is not supported for generateContent."),
                json!([]),
            ),
            Error::NoPath => {
                return Reply::text(404, "text/html", "<html><title>Error 404 (Not Found)!!1</title></html>");
            }
            Error::RateLimited(wait) => (
                429,
                "RESOURCE_EXHAUSTED",
                quota_message(),
                quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", wait.map(|w| w.as_secs_f64())),
            ),
            Error::Quota => (
                429,
                "RESOURCE_EXHAUSTED",
                quota_message(),
                quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier", None),
            ),
            Error::Context => (
                400,
                "INVALID_ARGUMENT",
                "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).".into(),
                json!([]),
            ),
            // A success without candidates.
            Error::Content => {
                return Reply::json(
                    200,
                    &json!({
                        "promptFeedback": { "blockReason": "PROHIBITED_CONTENT" },
                        "usageMetadata": { "promptTokenCount": 1200, "totalTokenCount": 1200 }
                    }),
                );
            }
            Error::Blind => (400, "INVALID_ARGUMENT", "Image input is not supported for this model.".into(), json!([])),
            Error::Server => (500, "INTERNAL", "An internal error has occurred.".into(), json!([])),
            // Gemini has one status for both.
            Error::Unavailable | Error::Overloaded => {
                (503, "UNAVAILABLE", "The model is overloaded. Please try again later.".into(), json!([]))
            }
            Error::TooLarge => {
                (400, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520 bytes.".into(), json!([]))
            }
        };
        let mut inner = json!({ "code": status, "message": message, "status": name });
        if let Some(map) = inner.as_object_mut().filter(|_| details.as_array().is_some_and(|d| !d.is_empty())) {
            map.insert("details".into(), details);
        }
        Reply::json(status, &json!({ "error": inner }))
    }

    fn error_in_success(&self) -> Value {
        json!({ "error": { "code": 503, "message": "The model is overloaded. Please try again later.", "status": "UNAVAILABLE" } })
    }

    fn models(&self, settings: &Settings) -> Value {
        let entry = |name: &String| {
            json!({
                "name": format!("models/{name}"), "displayName": name, "version": "001",
                "inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536,
                "supportedGenerationMethods": ["generateContent", "countTokens"]
            })
        };
        let mut models: Vec<Value> = settings.listed().iter().map(entry).collect();
        models.push(json!({ "name": "models/sim-embedding", "supportedGenerationMethods": ["embedContent"] }));
        json!({ "models": models })
    }
}

fn model(request: &Request) -> Option<&str> {
    request.path.strip_prefix("/v1beta/models/")?.strip_suffix(":generateContent")
}

fn quota_message() -> String {
    "You exceeded your current quota, please check your plan and billing details.".to_owned()
}

fn quota(id: &str, wait: Option<f64>) -> Value {
    let mut details = vec![json!({
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{ "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests", "quotaId": id, "quotaValue": "20" }]
    })];
    if let Some(seconds) = wait {
        details
            .push(json!({ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{seconds}s") }));
    }
    Value::Array(details)
}

/// A field by its name in JSON or in the interface's own description: both are taken.
fn either<'a>(map: &'a Map<String, Value>, json: &str, original: &str) -> Option<&'a Value> {
    map.get(json).or_else(|| map.get(original))
}

fn no_field(name: &str, place: &str) -> Wrong {
    let at = if place.is_empty() { String::new() } else { format!(" at '{place}'") };
    Wrong::new(format!("Invalid JSON payload received. Unknown name \"{name}\"{at}: Cannot find field."))
}

fn read(request: &Request, settings: &Settings, found: &mut Found) -> Result<(), Wrong> {
    if request.body.len() > MAX_BODY {
        return Err(Wrong::new(format!("Request payload size exceeds the limit: {MAX_BODY} bytes.")));
    }
    let Some(body) = request.json.as_object() else {
        return Err(Wrong::new("Invalid JSON payload received. Expected an object."));
    };
    if let Some(name) = check::unknown(body, &FIELDS) {
        return Err(no_field(name, ""));
    }
    if let Some(system) = either(body, "systemInstruction", "system_instruction") {
        content(system, "system_instruction", found)?;
        if !found.pictures.is_empty() {
            return Err(Wrong::new("System instruction can hold text alone."));
        }
    }
    let contents = body.get("contents").and_then(Value::as_array).filter(|c| !c.is_empty());
    let Some(contents) = contents else {
        return Err(Wrong::new("* GenerateContentRequest.contents: contents is not specified"));
    };
    for (at, one) in contents.iter().enumerate() {
        match one.get("role").and_then(Value::as_str) {
            None | Some("user" | "model") => {}
            Some(_) => return Err(Wrong::new("Please use a valid role: user, model.")),
        }
        content(one, &format!("contents[{at}]"), found)?;
    }
    if found.pictures.len() > MAX_IMAGES {
        return Err(Wrong::new(format!("Please use fewer than {MAX_IMAGES} images")));
    }
    match either(body, "generationConfig", "generation_config") {
        Some(config) => self::config(config, settings),
        None => Ok(()),
    }
}

fn content(content: &Value, place: &str, found: &mut Found) -> Result<(), Wrong> {
    let parts = content.get("parts").and_then(Value::as_array).filter(|p| !p.is_empty());
    let Some(parts) = parts else {
        return Err(Wrong::new(format!("* GenerateContentRequest.{place}.parts: contents.parts must not be empty.")));
    };
    for (at, part) in parts.iter().enumerate() {
        let map = part.as_object().cloned().unwrap_or_else(Map::new);
        if let Some(name) = check::unknown(&map, &["text", "inlineData", "inline_data", "mediaResolution"]) {
            return Err(no_field(name, &format!("{place}.parts[{at}]")));
        }
        match (map.get("text").and_then(Value::as_str), either(&map, "inlineData", "inline_data")) {
            (Some(text), None) => found.texts.push(text.to_owned()),
            (None, Some(blob)) => {
                let blob = blob.as_object().cloned().unwrap_or_else(Map::new);
                let field = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
                let media_type = field(either(&blob, "mimeType", "mime_type"));
                let picture = check::picture(&media_type, &field(blob.get("data")));
                found.pictures.push(picture.map_err(|why| Wrong::new(format!("{place}.parts[{at}]: {why}")))?);
            }
            _ => {
                return Err(Wrong::new(format!(
                    "* GenerateContentRequest.{place}.parts[{at}].data: required oneof field 'data' must have one initialized field"
                )));
            }
        }
    }
    Ok(())
}

fn config(config: &Value, settings: &Settings) -> Result<(), Wrong> {
    let map = config.as_object().cloned().unwrap_or_else(Map::new);
    if let Some(name) = check::unknown(&map, &CONFIG) {
        return Err(no_field(name, "generation_config"));
    }
    if map.get("maxOutputTokens").is_some_and(|n| n.as_u64().is_none_or(|n| n == 0)) {
        return Err(Wrong::new("max_output_tokens must be positive"));
    }
    let json = map.get("responseMimeType").and_then(Value::as_str) == Some("application/json");
    if json && settings.lacks(Lack::JsonObject) {
        return Err(Wrong::new("JSON mode is not enabled for this model"));
    }
    if map.contains_key("thinkingConfig") && settings.lacks(Lack::Thinking) {
        return Err(Wrong::new("Thinking is not enabled for this model"));
    }
    match map.get("responseSchema") {
        Some(_) if settings.lacks(Lack::JsonSchema) => {
            Err(Wrong::new("generation_config.response_schema is not supported by this model"))
        }
        Some(_) if !json => {
            Err(Wrong::new("response_schema is only supported with response_mime_type application/json"))
        }
        Some(schema) => self::schema(schema, "generation_config.response_schema"),
        None => Ok(()),
    }
}

fn schema(schema: &Value, place: &str) -> Result<(), Wrong> {
    let map = schema.as_object().cloned().unwrap_or_else(Map::new);
    if let Some(name) = check::unknown(&map, &SCHEMA) {
        return Err(no_field(name, place));
    }
    match map.get("type").and_then(Value::as_str) {
        Some(kind) if TYPES.contains(&kind) => {}
        other => return Err(Wrong::new(format!("Invalid value at '{place}.type': {}", other.unwrap_or_default()))),
    }
    if let Some(items) = map.get("items") {
        self::schema(items, &format!("{place}.items"))?;
    }
    for (name, inner) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
        self::schema(inner, &format!("{place}.properties[{name}]"))?;
    }
    let known = |name: &Value| map.get("properties").zip(name.as_str()).is_some_and(|(p, n)| p.get(n).is_some());
    for list in ["required", "propertyOrdering"] {
        if let Some(name) = map.get(list).and_then(Value::as_array).into_iter().flatten().find(|name| !known(name)) {
            return Err(Wrong::new(format!("{place}.{list}: property is not defined: {name}")));
        }
    }
    Ok(())
}
