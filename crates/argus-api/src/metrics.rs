//! `/metrics` for Prometheus: what this interface counts itself, and what the running system tells.
//!
//! Labels hold values of closed sets only: a route is its path with placeholders, never what was asked for.

mod families;

use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::{Method, header};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, TEXT_FORMAT};

use crate::auth::{Admin, Caller};
use crate::error::ApiError;
use crate::query::Query;
use crate::state::{Shared, shared};
use crate::{paths, peer};

/// Bounds in seconds: from what a cached answer takes to the longest poll.
const REQUEST_S: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
/// The route of what has none.
pub(crate) const NO_ROUTE: &str = "none";

/// What this interface counts, from the start of the server on.
pub(crate) struct Metrics {
    requests: IntCounterVec,
    durations: HistogramVec,
    ws_clients: IntGauge,
    ws_waiting: IntGauge,
    ws_sent: IntCounter,
    ws_closed: IntCounterVec,
}

impl Metrics {
    /// Everything at nought.
    ///
    /// # Errors
    /// When a name or label is none, which a test would find.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(format!("argus_{name}"), help);
        let durations = HistogramOpts::new("argus_http_request_duration_seconds", "Time until a request was answered");
        Ok(Self {
            requests: IntCounterVec::new(
                opts("http_requests_total", "Requests that were answered"),
                &["method", "route", "status"],
            )?,
            durations: HistogramVec::new(durations.buckets(REQUEST_S.to_vec()), &["method", "route"])?,
            ws_clients: IntGauge::with_opts(opts("ws_clients", "Open WebSockets"))?,
            ws_waiting: IntGauge::with_opts(opts("ws_messages_waiting", "Messages that wait for slow WebSockets"))?,
            ws_sent: IntCounter::with_opts(opts("ws_messages_sent_total", "Messages given to WebSockets"))?,
            ws_closed: IntCounterVec::new(
                opts("ws_closed_total", "WebSockets that ended, by close code; 1013 is a reader that was too slow"),
                &["reason"],
            )?,
        })
    }

    /// A request was answered.
    pub(crate) fn answered(&self, method: &Method, route: &str, status: u16, elapsed: Duration) {
        let method = method_name(method);
        self.requests.with_label_values(&[method, route, status_name(status)]).inc();
        self.durations.with_label_values(&[method, route]).observe(elapsed.as_secs_f64());
    }

    /// A WebSocket was opened.
    pub(crate) fn ws_opened(&self) -> Presence {
        self.ws_clients.inc();
        Presence { clients: self.ws_clients.clone(), waiting: self.ws_waiting.clone(), mine: 0 }
    }

    /// A WebSocket ended, for one of a few reasons.
    pub(crate) fn ws_ended(&self, reason: &'static str) {
        self.ws_closed.with_label_values(&[reason]).inc();
    }

    /// A message went to a WebSocket.
    pub(crate) fn ws_message(&self) {
        self.ws_sent.inc();
    }

    fn collect(&self) -> Vec<prometheus::proto::MetricFamily> {
        let own: [&dyn Collector; 6] =
            [&self.requests, &self.durations, &self.ws_clients, &self.ws_waiting, &self.ws_sent, &self.ws_closed];
        own.iter().flat_map(|one| one.collect()).collect()
    }
}

/// A WebSocket, counted for as long as this lives, however it ends.
pub(crate) struct Presence {
    clients: IntGauge,
    waiting: IntGauge,
    /// Its messages among those that wait.
    mine: i64,
}

impl Presence {
    /// So many messages wait for it now.
    pub(crate) fn waits(&mut self, messages: usize) {
        let now = i64::try_from(messages).unwrap_or(i64::MAX);
        if now != self.mine {
            self.waiting.add(now - self.mine);
            self.mine = now;
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.waits(0);
        self.clients.dec();
    }
}

/// Methods are a closed set here, whatever callers invent.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// The status as text, without an allocation for those that occur.
fn status_name(status: u16) -> &'static str {
    match status {
        101 => "101",
        200 => "200",
        201 => "201",
        202 => "202",
        204 => "204",
        206 => "206",
        304 => "304",
        308 => "308",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        405 => "405",
        408 => "408",
        409 => "409",
        413 => "413",
        415 => "415",
        416 => "416",
        422 => "422",
        426 => "426",
        429 => "429",
        431 => "431",
        500 => "500",
        502 => "502",
        503 => "503",
        504 => "504",
        _ => "other",
    }
}

/// Whoever may read: an address that is on the list, or an admin.
pub(crate) struct Reader;

impl FromRequest for Reader {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if peer::address(req).is_some_and(|ip| shared(req).state.http.may_read_metrics(ip)) {
            return Box::pin(std::future::ready(Ok(Self)));
        }
        let caller = Caller::<Admin>::from_request(req, payload);
        Box::pin(async move { caller.await.map(|_| Self) })
    }
}

/// Gives the counts of the server in the text format of Prometheus.
///
/// Addresses on `metrics_allow` need no credentials.
#[utoipa::path(
    get,
    path = paths::METRICS,
    operation_id = "get_metrics",
    tag = "system",
    responses((status = 200, description = "Text format 0.0.4", content_type = "text/plain; version=0.0.4", body = String,
        example = "# HELP argus_ws_clients Open WebSockets\n# TYPE argus_ws_clients gauge\nargus_ws_clients 2\n")),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn metrics(_: Reader, shared: Data<Shared>, req: HttpRequest) -> Result<HttpResponse, ApiError> {
    Query::parse(req.query_string())?.done()?;
    let figures = shared.control(|c| async move { Ok(c.figures().await) }).await?;
    let state = &shared.state;
    let mut found = families::of_figures(&figures);
    found.extend(families::of_server(&state.version, state.clock.now().since(state.started_at)));
    found.extend(families::of_database(*state.db.journal_watch().borrow(), state.db.waits()));
    let text = families::text(shared.metrics.collect(), found).map_err(ApiError::Metrics)?;
    Ok(HttpResponse::Ok().insert_header((header::CONTENT_TYPE, TEXT_FORMAT)).body(text))
}
