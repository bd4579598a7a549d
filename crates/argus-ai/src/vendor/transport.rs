//! One HTTP exchange: no second try, no redirect, no proxy, an answer that is bounded in bytes and in time.

mod client;
mod counted;

use std::error::Error as _;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argus_core::Invalid;
use argus_core::describe::{DescribeError, DescribeFailure};
use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Request, Response, StatusCode};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use self::counted::Counted;
use super::endpoint::Endpoint;
use super::fault::{self, Fault};
use super::reach::{self, Lookup, Reach, System};
use super::scrub::Scrub;
use super::{Answer, Asked};
use crate::text::{one_line, stored};

/// Largest answer, bytes. A description of 5000 characters with all that stands around it has a few kilobytes, a list of
/// all models of a broker about a megabyte.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// Longest raw answer in a record, characters, as a receipt has it.
const MAX_RAW: usize = 65_536;
/// Most names of models that are kept.
const MAX_MODELS: usize = 1000;

/// Where a vendor wants the key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Auth {
    /// `Authorization: Bearer …`
    Bearer,
    /// A header of the vendor's own, in lower case.
    Header(&'static str),
}

/// The way to one endpoint.
pub(super) struct Transport {
    endpoint: Endpoint,
    auth: Option<(HeaderName, HeaderValue)>,
    scrub: Scrub,
    names: Arc<dyn Lookup>,
    anywhere: reqwest::Client,
    /// Connects to addresses of the own network alone.
    local: reqwest::Client,
}

/// A whole answer, whatever its status.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// How far an exchange is; also known of one that was cut off.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    started: Instant,
    seen: Arc<Mutex<Seen>>,
}

/// What was seen of an exchange so far.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    sent: u64,
    first_byte: Option<Duration>,
    received: u64,
}

impl Meter {
    fn new() -> Self {
        Self { started: Instant::now(), seen: Arc::default() }
    }

    fn first_byte(&self) {
        self.lock().first_byte = Some(self.started.elapsed());
    }

    fn received(&self, bytes: usize) {
        self.lock().received += bytes as u64;
    }

    fn sent(&self, bytes: usize) {
        self.lock().sent += bytes as u64;
    }

    fn seen(&self) -> Seen {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        // Nothing panics while it is held; and it is whole after every line that changes it.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport {
    /// # Errors
    /// `base_url` when it wants TLS and this machine knows no certificate authority; `api_key` when it cannot be sent.
    pub(super) fn new(endpoint: Endpoint, auth: Auth) -> Result<Self, Invalid> {
        Self::with_names(endpoint, auth, Arc::new(System))
    }

    /// The same with another book of names.
    pub(super) fn with_names(endpoint: Endpoint, auth: Auth, names: Arc<dyn Lookup>) -> Result<Self, Invalid> {
        let client = |local_only: bool| {
            let resolver = reach::Resolver { names: Arc::clone(&names), local_only };
            client::build(&endpoint.base, resolver)
                .map_err(|_tls| Invalid::new("base_url", "wants TLS, and this machine knows no certificate authority"))
        };
        Ok(Self {
            auth: auth_header(&endpoint, auth)?,
            scrub: Scrub::new(endpoint.key.clone()),
            anywhere: client(false)?,
            local: client(true)?,
            endpoint,
            names,
        })
    }

    pub(super) fn base(&self) -> &Url {
        &self.endpoint.base
    }

    pub(super) fn scrub(&self) -> &Scrub {
        &self.scrub
    }

    /// The address of a path below the base.
    pub(super) fn at(&self, version: &str, path: &[&str]) -> Url {
        self.endpoint.at(version, path)
    }

    /// The client for calls of this reach. A key over plain HTTP stays in the own network in any case.
    pub(super) fn client(&self, reach: Reach) -> &reqwest::Client {
        if reach == Reach::Local || self.is_clear() { &self.local } else { &self.anywhere }
    }

    /// Whether the key is sent without TLS.
    fn is_clear(&self) -> bool {
        self.auth.is_some() && self.endpoint.base.scheme() == "http"
    }

    pub(super) async fn reach(&self, within: Duration) -> Result<Reach, DescribeError> {
        reach::reach(&self.endpoint.base, &*self.names, within).await
    }

    /// Sends, with the key in its header.
    pub(super) async fn send(&self, mut request: Request, reach: Reach, meter: &Meter) -> Result<Reply, Fault> {
        self.may(reach)?;
        request.headers_mut().remove(AUTHORIZATION);
        if let Some((name, key)) = &self.auth {
            request.headers_mut().insert(name.clone(), key.clone());
        }
        if let Some(body) = request.body_mut().take() {
            *request.body_mut() = Some(reqwest::Body::wrap(Counted::new(body, meter.clone())));
        }
        let response = self.client(reach).execute(request).await.map_err(|e| self.unreached(&e))?;
        meter.first_byte();
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_redirection() {
            return Err(Fault::of(
                DescribeFailure::InvalidAnswer,
                format!("the endpoint redirects elsewhere (HTTP {}), which is not followed", status.as_u16()),
            ));
        }
        let body = bounded(response, meter).await.map_err(|fault| fault.with(status))?;
        Ok(Reply { status, headers, body })
    }

    /// Refuses what would be caught by the client as well, with the reason in words.
    fn may(&self, reach: Reach) -> Result<(), Fault> {
        if reach == Reach::Remote && self.is_clear() {
            let host = reach::host(&self.endpoint.base);
            return Err(Fault::of(
                DescribeFailure::Unauthorized,
                format!(
                    "base_url must begin with https://: {host} is outside, and the key would go there in the clear"
                ),
            ));
        }
        Ok(())
    }

    /// Sends the request of one question; `read` makes an answer of the JSON of a success. `api` is what should be at the
    /// address.
    pub(super) async fn ask(
        &self,
        api: &str,
        request: Request,
        (reach, within): (Reach, Duration),
        read: impl FnOnce(&Value) -> Result<Answer, Fault>,
    ) -> (Asked, Option<Fault>) {
        let exchange = |meter| async move { self.send(request, reach, &meter).await };
        self.ask_by(api, within, exchange, read).await
    }

    /// The same for a request that `exchange` sends.
    pub(super) async fn ask_by<F>(
        &self,
        api: &str,
        within: Duration,
        exchange: impl FnOnce(Meter) -> F,
        read: impl FnOnce(&Value) -> Result<Answer, Fault>,
    ) -> (Asked, Option<Fault>)
    where
        F: Future<Output = Result<Reply, Fault>> + Send,
    {
        let meter = Meter::new();
        let (result, body) = match tokio::time::timeout(within, exchange(meter.clone())).await {
            Ok(Ok(reply)) => {
                let result = self.json(api, &reply).and_then(|json| read(&json));
                let result = result.map_err(|fault| fault.with(reply.status));
                (result, Some(reply.body))
            }
            Ok(Err(fault)) => (Err(fault), None),
            Err(_elapsed) => (Err(late(within).charged()), None),
        };
        let hidden = matches!(&result, Err(f) if f.error.kind == DescribeFailure::Unauthorized);
        let raw = body.filter(|_| !hidden).map(|b| stored(&self.scrub.clean(&String::from_utf8_lossy(&b)), MAX_RAW));
        let Seen { sent, first_byte, received } = meter.seen();
        let maybe_charged = result.as_ref().is_err_and(|fault| fault.maybe_charged);
        let refused = result.as_ref().is_err_and(|fault| fault.refused_content);
        let asked = |result, spent| Asked {
            result,
            spent,
            bytes_sent: Some(sent),
            refused,
            maybe_charged,
            raw,
            bytes_received: received,
            first_byte,
            ask_again: false,
        };
        match result {
            Ok(answer) => {
                let text = self.scrub.clean(&answer.text);
                (asked(Ok(Answer { text, ..answer }), None), None)
            }
            Err(fault) => (asked(Err(fault.error.clone()), fault.spent.clone()), Some(fault)),
        }
    }

    /// The JSON of a success.
    fn json(&self, api: &str, reply: &Reply) -> Result<Value, Fault> {
        if !reply.status.is_success() {
            return Err(fault::refused(api, reply.status, &reply.headers, &reply.body, &self.scrub));
        }
        let json = serde_json::from_slice(&reply.body).map_err(|_syntax: serde_json::Error| {
            let what = if reply.body.is_empty() { "is empty" } else { "is not JSON" };
            Fault::of(DescribeFailure::InvalidAnswer, format!("the endpoint's answer {what}"))
        })?;
        // Some report a failure of what is behind them with a status of success.
        match fault::inside(api, &json, &self.scrub) {
            Some(fault) => Err(fault),
            None => Ok(json),
        }
    }

    /// The JSON below an address.
    pub(super) async fn fetch(
        &self,
        api: &str,
        request: Request,
        reach: Reach,
        within: Duration,
    ) -> Result<Value, DescribeError> {
        let exchange = async {
            let reply = self.send(request, reach, &Meter::new()).await?;
            self.json(api, &reply)
        };
        match tokio::time::timeout(within, exchange).await {
            Ok(result) => result.map_err(|fault| fault.error),
            Err(_elapsed) => Err(late(within).error),
        }
    }

    /// Names of models made fit to be shown, in their order.
    pub(super) fn names<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<String> {
        let fit = |name: &str| one_line(&self.scrub.clean(name), 200);
        names.map(fit).filter(|name| !name.is_empty()).take(MAX_MODELS).collect()
    }

    /// No answer began.
    fn unreached(&self, error: &reqwest::Error) -> Fault {
        let host = reach::host(&self.endpoint.base);
        let cause = one_line(&self.scrub.clean(&root_cause(error)), 200);
        // First, because a connection that is not made in time is a timeout too; nothing was sent then. Of everything
        // else nobody knows how far the model was.
        if error.is_connect() || error.is_builder() {
            Fault::of(DescribeFailure::Unreachable, format!("{host} cannot be reached: {cause}"))
        } else if error.is_timeout() {
            Fault::of(DescribeFailure::Timeout, format!("{host} did not answer in time")).charged()
        } else {
            Fault::of(DescribeFailure::ServerError, format!("{host} broke the connection off: {cause}")).charged()
        }
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").field("base", &self.endpoint.base.as_str()).finish_non_exhaustive()
    }
}

/// A request with a JSON body.
pub(super) fn post(url: Url, body: Bytes) -> Request {
    let mut request = Request::new(reqwest::Method::POST, url);
    request.headers_mut().insert(reqwest::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *request.body_mut() = Some(body.into());
    request
}

fn auth_header(endpoint: &Endpoint, auth: Auth) -> Result<Option<(HeaderName, HeaderValue)>, Invalid> {
    let Some(key) = &endpoint.key else { return Ok(None) };
    let (name, text) = match auth {
        Auth::Bearer => (AUTHORIZATION, format!("Bearer {}", key.expose())),
        Auth::Header(name) => (HeaderName::from_static(name), key.expose().to_owned()),
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_invalid| Invalid::new("api_key", "holds characters that cannot be sent"))?;
    value.set_sensitive(true);
    Ok(Some((name, value)))
}

async fn bounded(mut response: Response, meter: &Meter) -> Result<Bytes, Fault> {
    let too_large =
        || Fault::of(DescribeFailure::InvalidAnswer, format!("the answer is larger than {MAX_ANSWER_BYTES} bytes"));
    if response.content_length().is_some_and(|n| n > MAX_ANSWER_BYTES as u64) {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| broken(&e))? {
        meter.received(chunk.len());
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn late(within: Duration) -> Fault {
    Fault::of(DescribeFailure::Timeout, format!("no whole answer within {:.1} s", within.as_secs_f64()))
}

/// The answer began and did not end.
fn broken(error: &reqwest::Error) -> Fault {
    if error.is_timeout() {
        return Fault::of(DescribeFailure::Timeout, "the answer did not end in time");
    }
    Fault::of(DescribeFailure::ServerError, format!("the answer broke off: {}", one_line(&root_cause(error), 200)))
}

/// The innermost reason, which is the one that people understand. The outer ones name the URL.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.source();
    let mut text = "no reason was given".to_owned();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}
