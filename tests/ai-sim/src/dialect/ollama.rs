//! Ollama's own chat.
//!
//! <https://docs.ollama.com/api/chat>, <https://docs.ollama.com/api/errors>, <https://docs.ollama.com/api/tags>,
//! <https://docs.ollama.com/api-reference/show-model-details>. Like the real one it ignores fields that it does not know,
//! and streams unless it is told not to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{End, Error, Route, Speaks};
use crate::Request;
use crate::check::{Found, Wrong};
use crate::reply::Reply;
use crate::settings::{Lack, Settings};

/// Ollama.
pub(super) struct Speaker;

impl Speaks for Speaker {
    fn route(&self, request: &Request) -> Route {
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/api/chat") => Route::Question,
            ("GET", "/api/tags") => Route::Models,
            ("POST", "/api/show") => Route::Show,
            _ => Route::Nothing,
        }
    }

    /// A server at home takes no key; whoever has none shows up as nobody in particular.
    fn key<'a>(&self, request: &'a Request) -> Option<&'a str> {
        match request.header("authorization") {
            Some(value) => value.strip_prefix("Bearer "),
            None => Some("nobody"),
        }
    }

    fn read(&self, request: &Request, settings: &Settings) -> Found {
        let mut found = Found::default();
        found.wrong = read(request, settings, &mut found).err();
        found
    }

    fn answer(&self, request: &Request, words: &str, end: End, settings: &Settings) -> Value {
        let content = match end {
            End::Refusal => "I'm sorry, I can't help with that.",
            End::Empty => "",
            End::Whole | End::CutOff | End::Thought => words,
        };
        let (input, output) = settings.tokens;
        json!({
            "model": request.model,
            "created_at": "2025-12-23T10:30:01.123456Z",
            "message": { "role": "assistant", "content": content },
            "done": true,
            "done_reason": if matches!(end, End::CutOff | End::Thought) { "length" } else { "stop" },
            "total_duration": 2_254_970_291_u64,
            "load_duration": 574_751_416_u64,
            "prompt_eval_count": input,
            "prompt_eval_duration": 1_502_000_000_u64,
            "eval_count": output,
            "eval_duration": 175_000_000_u64
        })
    }

    fn error(&self, error: &Error) -> Reply {
        let (status, text): (u16, String) = match error {
            Error::Bad(wrong) => (400, wrong.message.clone()),
            Error::Unauthorized => (401, "unauthorized".into()),
            Error::Forbidden => (403, "forbidden".into()),
            Error::NoModel(model) => (404, format!("model '{model}' not found")),
            Error::NoPath => return Reply::text(404, "text/plain", "404 page not found"),
            Error::RateLimited(_) => (429, "too many requests".into()),
            Error::Quota => (402, "you've reached your usage limit".into()),
            Error::Context => (400, "the input exceeds the available context size".into()),
            // It has no filter; a server that stands in for it may.
            Error::Content => (400, "the request was flagged by a safety system".into()),
            Error::Blind => (500, "Failed to create new sequence: failed to process inputs: this model is missing data required for image input".into()),
            Error::Server => (500, "llama runner process has terminated: signal: killed".into()),
            Error::Unavailable | Error::Overloaded => (503, "server busy, please try again.  maximum pending requests exceeded".into()),
            Error::TooLarge => (413, "request entity too large".into()),
        };
        let reply = Reply::json(status, &json!({ "error": text }));
        match error {
            Error::RateLimited(Some(wait)) => reply.with("retry-after", wait.as_secs().to_string()),
            _ => reply,
        }
    }

    fn error_in_success(&self) -> Value {
        json!({ "error": "an error was encountered while running the model: unexpected EOF" })
    }

    fn models(&self, settings: &Settings) -> Value {
        let entry = |name: &String| {
            json!({
                "name": name, "model": name, "modified_at": "2025-10-03T23:34:03.409490317-07:00", "size": 3_338_801_804_u64,
                "digest": "a2af6cc3eb7fa8be8504abaf9b04e88f17a119ec3f04a3addf55f92841195f5a",
                "details": { "format": "gguf", "family": "sim", "parameter_size": "4.3B", "quantization_level": "Q4_K_M" }
            })
        };
        json!({ "models": settings.listed().iter().map(entry).collect::<Vec<_>>() })
    }

    fn show(&self, settings: &Settings) -> Value {
        let can: &[&str] = if settings.lacks(Lack::Vision) { &["completion"] } else { &["completion", "vision"] };
        json!({ "details": { "family": "sim" }, "model_info": {}, "capabilities": can })
    }
}

fn read(request: &Request, settings: &Settings, found: &mut Found) -> Result<(), Wrong> {
    let Some(body) = request.json.as_object() else {
        return Err(Wrong::new("invalid character looking for beginning of value"));
    };
    found.model = body.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
    if found.model.is_empty() {
        return Err(Wrong::new("model is required"));
    }
    for message in body.get("messages").and_then(Value::as_array).into_iter().flatten() {
        let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
        if !["system", "user", "assistant", "tool"].contains(&role) {
            return Err(Wrong::new(format!("invalid role: {role:?}, must be one of [system, user, assistant, tool]")));
        }
        match message.get("content") {
            Some(Value::String(text)) => found.texts.push(text.clone()),
            None => {}
            Some(_) => {
                return Err(Wrong::new(
                    "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string",
                ));
            }
        }
        for image in message.get("images").and_then(Value::as_array).into_iter().flatten() {
            let bytes = STANDARD.decode(image.as_str().unwrap_or_default());
            let bytes = bytes.map_err(|e| Wrong::new(format!("illegal base64 data: {e}")))?;
            found.pictures.push(bytes.into());
        }
    }
    if body.get("stream").and_then(Value::as_bool) != Some(false) {
        return Err(Wrong::new("this fake does not stream, and the real one does unless `stream` is false"));
    }
    if let Some(keep_alive) = body.get("keep_alive") {
        let fits = keep_alive.is_number()
            || keep_alive
                .as_str()
                .is_some_and(|t| t.ends_with(['s', 'm', 'h']) && t.starts_with(|c: char| c.is_ascii_digit()));
        if !fits {
            return Err(Wrong::new("invalid duration in keep_alive"));
        }
    }
    match body.get("format") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(_)) if settings.lacks(Lack::JsonSchema) => {
            Err(Wrong::new("json: cannot unmarshal object into Go struct field ChatRequest.format of type string"))
        }
        Some(Value::Object(_)) => Ok(()),
        Some(Value::String(name)) if name == "json" && !settings.lacks(Lack::JsonObject) => Ok(()),
        Some(other) => Err(Wrong::new(format!(
            "invalid format: {other}; expected \"json\" or a valid JSON Schema object: invalid JSON schema in format"
        ))),
    }
}
