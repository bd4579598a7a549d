//! What every answer goes through: request id, common headers, the one shape of errors, panics, the log.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage as _, HttpResponse, ResponseError};
use argus_core::chain;
use futures_util::FutureExt as _;
use tracing::Instrument as _;

use crate::access_log;
use crate::auth::Rated;
use crate::conn::{Held, Link};
use crate::error::{ApiError, ErrorBody};
use crate::headers;
use crate::metrics::NO_ROUTE;
use crate::peer;
use crate::request_id::{self, RequestId};
use crate::routes::RoutePath;
use crate::state::Shared;

/// The outermost layer.
pub(crate) async fn outer<B: MessageBody + 'static>(
    req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id = RequestId::of(req.headers());
    let busy = req.conn_data::<Link>().map(Link::enter);
    let (rated, is_tls) = (Rated::default(), peer::is_tls(req.request()));
    req.extensions_mut().insert(rated.clone());
    let (method, path, begun) = (req.method().clone(), req.path().to_owned(), Instant::now());
    let shared = req.app_data::<Data<Shared>>().cloned();
    let told = |route: &'static str, status: u16| {
        let elapsed = begun.elapsed();
        if let Some(shared) = &shared {
            shared.metrics.answered(&method, route, status, elapsed);
        }
        access_log::line(&id, &method, route, status, elapsed);
    };
    // Every line that is logged on the way to the answer has the request's id by this. Of the highest level, so that no
    // filter that lets a line through takes its id away.
    let span = tracing::error_span!("request", request.id = id.0);
    let answer = async move { next.call(req).await.map(|answer| finish(answer.map_into_boxed_body())) };
    let answer = AssertUnwindSafe(answer.instrument(span.clone())).catch_unwind().await;
    let failure = match answer {
        Ok(Ok(mut answer)) => {
            common_headers(answer.headers_mut(), &id);
            let route = answer.request().app_data::<RoutePath>().map_or(NO_ROUTE, |route| route.0);
            told(route, answer.status().as_u16());
            // Until the answer is sent, the connection is not one that nothing is asked on.
            return Ok(match busy {
                Some(busy) => answer.map_body(|_, body| BoxBody::new(Held::new(body, busy))),
                None => answer,
            });
        }
        Ok(Err(failure)) => {
            span.in_scope(|| tracing::error!(http.path = path, error = %failure, "request failed outside its handler"));
            ApiError::Panicked
        }
        Err(panic) => {
            let what = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let what = what.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            span.in_scope(|| {
                tracing::error!(http.method = %method, http.path = path, panic = what, "handler panicked");
            });
            ApiError::Panicked
        }
    };
    // Which route it was is gone with the request.
    told(NO_ROUTE, 500);
    // The request is gone with the panic, so actix itself answers, with what this error says.
    Err(Lost { id, failure, is_tls, rated }.into())
}

/// A failure that took its request along.
#[derive(Debug, thiserror::Error)]
#[error("{failure}")]
struct Lost {
    id: RequestId,
    failure: ApiError,
    is_tls: bool,
    rated: Rated,
}

impl ResponseError for Lost {
    fn status_code(&self) -> StatusCode {
        self.failure.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = self.failure.error_response();
        common_headers(answer.headers_mut(), &self.id);
        headers::always(answer.headers_mut(), self.is_tls);
        self.rated.write(answer.headers_mut());
        answer
    }
}

/// Logs what went wrong, brings errors into shape, adds the headers.
fn finish(answer: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let (req, mut answer) = answer.into_parts();
    let status = answer.status();
    if status.is_server_error() {
        let cause = answer.error().map(|e| e.as_error::<ApiError>().map_or_else(|| e.to_string(), |e| chain(e)));
        let cause = cause.unwrap_or_default();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(http.method = %req.method(), http.path = req.path(), cause, "request failed");
        } else {
            let code = status.as_u16();
            tracing::warn!(http.path = req.path(), http.status = code, cause, "request failed");
        }
    }
    let is_json =
        answer.headers().get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"application/json"));
    if (status.is_client_error() || status.is_server_error()) && !is_json {
        answer = reshaped(status, answer.headers());
    }
    let headers = answer.headers_mut();
    if let Some(rated) = req.extensions().get::<Rated>() {
        rated.write(headers);
    }
    headers::protect(&req, headers);
    headers::share(&req, status, headers);
    ServiceResponse::new(req, answer)
}

/// An error in the one shape, in place of one that actix made.
fn reshaped(status: StatusCode, old: &HeaderMap) -> HttpResponse {
    let detail = status.canonical_reason().unwrap_or("The request failed").to_owned();
    let mut answer = HttpResponse::build(status).json(ErrorBody { detail, status_code: status.as_u16(), errors: None });
    for (name, value) in old {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            answer.headers_mut().insert(name.clone(), value.clone());
        }
    }
    answer
}

fn common_headers(headers: &mut HeaderMap, id: &RequestId) {
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert(HeaderName::from_static(request_id::HEADER), value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}
