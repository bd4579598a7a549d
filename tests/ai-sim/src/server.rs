//! The HTTP server under a fake, in a thread of its own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::dialect::{Dialect, End, Error, Route, Speaks};
use crate::reply::{Body, Broken, Reply};
use crate::settings::{Lack, Settings};
use crate::{Fault, Request};

/// Largest request that any vendor takes inline.
const MAX_REQUEST: usize = 64 * 1024 * 1024;

/// What all connections share.
type Shared = Arc<Mutex<Settings>>;

/// A running server.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(dialect: Dialect, settings: Shared) -> Self {
        let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let address = listener.local_addr().expect("the listener's address");
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime for the fake").block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener of this runtime");
                tokio::select! {
                    () = stopped.cancelled() => {}
                    () = serve(listener, dialect, settings) => {}
                }
            });
        });
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // It panics only if a test's own words do, which the test has seen.
            drop(thread.join());
        }
    }
}

async fn serve(listener: TcpListener, dialect: Dialect, settings: Shared) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let settings = Arc::clone(&settings);
        connections.spawn(async move {
            let service = service_fn(move |request| respond(request, dialect.speaks(), Arc::clone(&settings)));
            // The other side may go at any time, and some faults are that this side does.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn respond(
    request: HttpRequest<Incoming>,
    speaks: &'static dyn Speaks,
    settings: Shared,
) -> Result<Response<UnsyncBoxBody<Bytes, Broken>>, Broken> {
    let lock = || settings.lock().unwrap_or_else(PoisonError::into_inner);
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, MAX_REQUEST).collect().await {
        Ok(whole) => whole.to_bytes(),
        Err(_too_large) => return Ok(speaks.error(&Error::TooLarge).response()),
    };
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let mut asked = Request {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        headers: head.headers.iter().map(header).collect(),
        json: serde_json::from_slice(&body).unwrap_or(Value::Null),
        body,
        model: String::new(),
        texts: Vec::new(),
        pictures: Vec::new(),
    };
    let route = speaks.route(&asked);
    if route != Route::Question {
        let mut settings = lock();
        let reply = besides(&route, &asked, speaks, &settings);
        settings.keep(asked);
        return Ok(reply.response());
    }
    let (refused, fault, words, latency) = {
        let mut settings = lock();
        let found = speaks.read(&asked, &settings);
        (asked.model, asked.texts, asked.pictures) = (found.model, found.texts, found.pictures);
        let refused = refusal(&asked, found.wrong, speaks, &settings);
        settings.questions += 1;
        settings.keep(asked.clone());
        // Who was refused did not meet the fault.
        let fault = if refused.is_none() { settings.next_fault() } else { None };
        (refused, fault, Arc::clone(&settings.words), settings.latency)
    };
    tokio::time::sleep(latency).await;
    if let Some(error) = refused {
        return Ok(speaks.error(&error).response());
    }
    // Not under the lock: a test's words may ask for the requests so far.
    let words = words(&asked);
    let reply = match fault {
        Some(Fault::Close) => return Err(Broken),
        Some(Fault::Hang) => std::future::pending().await,
        None => Reply::json(200, &speaks.answer(&asked, &words, End::Whole, &lock())),
        Some(fault) => failed(&fault, &asked, &words, speaks, &lock()),
    };
    Ok(reply.response())
}

/// Why the vendor does not take the question.
fn refusal(
    asked: &Request,
    wrong: Option<crate::check::Wrong>,
    speaks: &dyn Speaks,
    settings: &Settings,
) -> Option<Error> {
    let key = speaks.key(asked).filter(|key| !key.is_empty());
    let known = match (&settings.key, key) {
        (Some(expected), given) => given == Some(expected),
        (None, given) => given.is_some() || settings.lacks(Lack::Key),
    };
    if !known {
        return Some(Error::Unauthorized);
    }
    if let Some(wrong) = wrong {
        return Some(Error::Bad(wrong));
    }
    if !settings.knows(&asked.model) {
        return Some(Error::NoModel(asked.model.clone()));
    }
    (settings.lacks(Lack::Vision) && !asked.pictures.is_empty()).then_some(Error::Blind)
}

/// What is asked beside questions.
fn besides(route: &Route, asked: &Request, speaks: &dyn Speaks, settings: &Settings) -> Reply {
    if let Some(error) = refusal(asked, None, speaks, settings).filter(|e| *e == Error::Unauthorized) {
        return speaks.error(&error);
    }
    match route {
        Route::Models => Reply::json(200, &speaks.models(settings)),
        Route::Show => {
            let model = asked.json.get("model").and_then(Value::as_str).unwrap_or_default();
            if settings.knows(model) {
                Reply::json(200, &speaks.show(settings))
            } else {
                speaks.error(&Error::NoModel(model.to_owned()))
            }
        }
        Route::Question | Route::Nothing => speaks.error(&Error::NoPath),
    }
}

fn failed(fault: &Fault, asked: &Request, words: &str, speaks: &dyn Speaks, settings: &Settings) -> Reply {
    if let Some(error) = Error::of(fault, &asked.model) {
        return speaks.error(&error);
    }
    let answer = |end| Reply::json(200, &speaks.answer(asked, words, end, settings));
    let sent = |body: fn(Bytes) -> Body| {
        let whole = answer(End::Whole);
        Reply { body: body(whole.whole()), ..whole }
    };
    let heard = || asked.headers.iter().map(|(k, v)| format!("{k}: {v}")).collect::<Vec<_>>().join(", ");
    match fault {
        Fault::BadGateway => Reply::text(502, "text/html", "<html><body><h1>502 Bad Gateway</h1></body></html>"),
        Fault::ErrorInSuccess => Reply::json(200, &speaks.error_in_success()),
        Fault::Refusal => answer(End::Refusal),
        Fault::CutOff => answer(End::CutOff),
        Fault::ThoughtTooLong => answer(End::Thought),
        Fault::EmptyContent => answer(End::Empty),
        Fault::NotStructured => {
            Reply::json(200, &speaks.answer(asked, "I see a person in front of a door.", End::Whole, settings))
        }
        Fault::InvalidJson => Reply::text(200, "application/json", "{\"id\": \"1\", \"choices\": ["),
        Fault::EmptyBody => Reply::text(200, "application/json", ""),
        Fault::CutMidBody => sent(Body::Cut),
        Fault::HangMidBody => sent(Body::Stuck),
        Fault::SlowDrip(pause) => {
            let whole = answer(End::Whole);
            Reply { body: Body::Drip(whole.whole(), *pause), ..whole }
        }
        Fault::Huge => Reply { body: Body::Endless, ..answer(End::Whole) },
        Fault::Redirect(to) => Reply::text(307, "text/plain", "elsewhere").with("location", to),
        Fault::EchoKey(status) => {
            Reply::json(*status, &json!({ "error": { "message": format!("you sent {}", heard()) } }))
        }
        Fault::EchoKeyInAnswer => {
            let words = json!({ "description": format!("You sent {}", heard()), "objects": [] }).to_string();
            Reply::json(200, &speaks.answer(asked, &words, End::Whole, settings))
        }
        Fault::Raw(status, body) => Reply::text(*status, "application/json", body.clone()),
        // Those that were worded above, or met before there was an answer.
        _ => speaks.error(&Error::Server),
    }
}
