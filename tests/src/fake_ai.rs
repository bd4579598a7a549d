//! A real OpenAI-compatible HTTP server with answers and faults on demand, which remembers what it was asked.

use std::collections::VecDeque;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::Engine as _;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 401 with OpenAI's error body.
    Unauthorized,
    /// 429 with `Retry-After` in seconds.
    RateLimited {
        /// The header's value.
        retry_after_s: u32,
    },
    /// 500 with OpenAI's error body.
    ServerError,
    /// The request is taken and never answered.
    Hang,
    /// 200, the first half of the answer, then the connection breaks.
    CutMidBody,
    /// 200 with a body that is not JSON.
    InvalidJson,
    /// 200 with an empty body.
    EmptyBody,
    /// 200 with a whole answer whose content is the empty string.
    EmptyContent,
    /// 200 with a whole answer whose content is plain text instead of the structure asked for.
    NotStructured,
}

/// A request to `/v1/chat/completions`.
#[derive(Debug, Clone)]
pub struct AiRequest {
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The model asked for.
    pub model: String,
    /// The pictures of all messages in order, decoded from their data URLs.
    pub images: Vec<Bytes>,
    /// Text of all messages, one after the other.
    pub text: String,
    /// Length of the body in bytes.
    pub body_bytes: usize,
    /// The body.
    pub body: Value,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<AiRequest>,
    next: VecDeque<Fault>,
    always: Option<Fault>,
    answer: Option<Value>,
}

type Shared = Arc<Mutex<State>>;

/// The running server; dropping it breaks what is still open.
#[derive(Debug)]
pub struct FakeAi {
    port: u16,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
    state: Shared,
}

impl FakeAi {
    /// Listens on a free loopback port.
    pub fn start() -> Self {
        let state = Shared::default();
        let (started, has_started) = channel();
        let thread = std::thread::spawn({
            let state = state.clone();
            move || {
                actix_web::rt::System::new().block_on(async move {
                    let data = web::Data::from(state);
                    let server = HttpServer::new(move || {
                        App::new()
                            .app_data(data.clone())
                            .app_data(web::PayloadConfig::new(64 << 20))
                            .route("/v1/chat/completions", web::post().to(complete))
                            .route("/v1/models", web::get().to(models))
                    })
                    .workers(1)
                    .disable_signals()
                    .bind(("127.0.0.1", 0))
                    .expect("a free port");
                    let port = server.addrs().first().expect("an address").port();
                    let running = server.run();
                    started.send((port, running.handle())).expect("somebody waits for this server");
                    running.await.expect("the server ends well");
                });
            }
        });
        let (port, handle) = has_started.recv_timeout(Duration::from_secs(30)).expect("the server starts");
        Self { port, handle, thread: Some(thread), state }
    }

    /// What a provider is given as its base URL: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// All requests so far, in order; those that met a fault too.
    pub fn requests(&self) -> Vec<AiRequest> {
        self.lock().requests.clone()
    }

    /// The next request meets this fault; calls add up to a queue.
    pub fn fail_next(&self, fault: Fault) {
        self.lock().next.push_back(fault);
    }

    /// Every request meets this fault from now on, behind those of [`FakeAi::fail_next`].
    pub fn fail_always(&self, fault: Fault) {
        self.lock().always = Some(fault);
    }

    /// No more faults.
    pub fn recover(&self) {
        let mut state = self.lock();
        state.next.clear();
        state.always = None;
    }

    /// The structure that is answered from now on, in place of [`default_answer`].
    pub fn answer_with(&self, answer: Value) {
        self.lock().answer = Some(answer);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FakeAi {
    fn drop(&mut self) {
        // The command is sent at once; the future would only wait for the end, as the join does.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// `{"description", "objects", "confidence"}`: a person at a door, 91 percent.
pub fn default_answer() -> Value {
    json!({"description": "A person in a dark coat walks to the door.", "objects": ["person"], "confidence": 91})
}

async fn complete(state: web::Data<Mutex<State>>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let seen = read(&request, &body);
    let model = seen.model.clone();
    let (fault, answer) = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.requests.push(seen);
        let fault = state.next.pop_front().or(state.always);
        (fault, state.answer.clone().unwrap_or_else(default_answer))
    };
    let whole = |content: &str| completion(&model, content).to_string();
    match fault {
        None => json_body(whole(&answer.to_string())),
        Some(Fault::Unauthorized) => error(StatusCode::UNAUTHORIZED, "invalid_api_key", None),
        Some(Fault::RateLimited { retry_after_s }) => {
            error(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", Some(retry_after_s))
        }
        Some(Fault::ServerError) => error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", None),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::CutMidBody) => {
            let whole = Bytes::from(whole(&answer.to_string()));
            let half = whole.slice(..whole.len() / 2);
            let broken = stream::iter([Ok(half)])
                .chain(stream::once(async { Err(std::io::Error::other("the connection breaks here")) }));
            HttpResponse::Ok().content_type("application/json").streaming(broken)
        }
        Some(Fault::InvalidJson) => json_body("{\"id\": \"chatcmpl-1\", \"choices\": [".to_owned()),
        Some(Fault::EmptyBody) => json_body(String::new()),
        Some(Fault::EmptyContent) => json_body(whole("")),
        Some(Fault::NotStructured) => json_body(whole("I see a person in front of a door.")),
    }
}

async fn models() -> HttpResponse {
    json_body(
        json!({"object": "list", "data": [{"id": "fake-vision", "object": "model", "owned_by": "argus-tests"}]})
            .to_string(),
    )
}

fn json_body(body: String) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(body)
}

fn error(status: StatusCode, code: &str, retry_after_s: Option<u32>) -> HttpResponse {
    let mut answer = HttpResponse::build(status);
    if let Some(seconds) = retry_after_s {
        answer.insert_header(("Retry-After", seconds.to_string()));
    }
    answer.json(json!({"error": {"message": format!("refused: {code}"), "type": code, "param": null, "code": code}}))
}

/// The body of a finished chat completion with one choice.
fn completion(model: &str, content: &str) -> Value {
    json!({
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": content, "refusal": null},
            "finish_reason": "stop",
            "logprobs": null,
        }],
        "usage": {"prompt_tokens": 1200, "completion_tokens": 40, "total_tokens": 1240},
    })
}

fn read(request: &HttpRequest, body: &Bytes) -> AiRequest {
    let json: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let mut images = Vec::new();
    let mut text = String::new();
    for message in json.get("messages").and_then(Value::as_array).into_iter().flatten() {
        match message.get("content") {
            Some(Value::String(plain)) => text.push_str(plain),
            Some(Value::Array(parts)) => {
                for part in parts {
                    text.push_str(part.get("text").and_then(Value::as_str).unwrap_or_default());
                    if let Some((_, data)) =
                        part.pointer("/image_url/url").and_then(Value::as_str).and_then(|url| url.split_once("base64,"))
                    {
                        let decoded = base64::engine::general_purpose::STANDARD.decode(data);
                        images.push(Bytes::from(decoded.unwrap_or_default()));
                    }
                }
            }
            _ => {}
        }
    }
    AiRequest {
        authorization: request.headers().get("Authorization").and_then(|value| value.to_str().ok()).map(str::to_owned),
        model: json.get("model").and_then(Value::as_str).unwrap_or_default().to_owned(),
        images,
        text,
        body_bytes: body.len(),
        body: json,
    }
}
