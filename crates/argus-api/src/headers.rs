//! Headers that every answer has: against misuse of answers by browsers, and for pages of other origins that may call.

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::peer;
use crate::state::shared;

/// Pages take everything from here and are shown in no frame.
const PAGE: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";
/// What is no page loads nothing, should a browser take it for one.
pub(crate) const NO_PAGE: &str = "default-src 'none'; frame-ancestors 'none'";
/// A year, for this host alone (RFC 6797).
pub(crate) const HSTS: &str = "max-age=31536000";
/// What pages of allowed origins may read beside the body.
const EXPOSED: &str = "Accept-Ranges, Content-Disposition, Content-Range, ETag, Location, Retry-After, X-Captured-At, \
    X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-Id";
/// What they may send.
const ALLOWED: &str = "Authorization, Content-Type, If-None-Match, If-Range, Range, X-API-Key, X-Request-Id, \
    X-Requested-With";
/// How long browsers may remember that, seconds.
const REMEMBERED: &str = "600";

/// Adds what protects the answer; what a handler has set stays.
pub(crate) fn protect(req: &HttpRequest, headers: &mut HeaderMap) {
    always(headers, peer::is_tls(req));
}

/// The same where the request is not known any more.
pub(crate) fn always(headers: &mut HeaderMap, is_tls: bool) {
    let is_page = headers.get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"text/html"));
    let mut set = |name: HeaderName, value: &'static str| {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    set(header::CONTENT_SECURITY_POLICY, if is_page { PAGE } else { NO_PAGE });
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::X_FRAME_OPTIONS, "DENY");
    if is_tls {
        set(header::STRICT_TRANSPORT_SECURITY, HSTS);
    }
}

/// Adds what lets pages of allowed origins use the answer. Nothing where none is allowed.
pub(crate) fn share(req: &HttpRequest, status: StatusCode, headers: &mut HeaderMap) {
    let config = &shared(req).state.http;
    if config.cors_origins.is_empty() {
        return;
    }
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = req.headers().get(header::ORIGIN).filter(|o| o.to_str().is_ok_and(|o| config.allows_origin(o)))
    else {
        return;
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    if req.method() == Method::OPTIONS && status.is_success() {
        if let Some(methods) = headers.get(header::ALLOW).cloned() {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBERED));
    } else {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
}
