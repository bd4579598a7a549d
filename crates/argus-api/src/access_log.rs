//! One line in the log for every request.
//!
//! It names the route, not the address: what stands in a query may be a ticket, and what stands in a path is an id of
//! somebody's event. Its own target, so that it can be turned off alone: `info,argus_api::access_log=warn`.

use std::time::Duration;

use actix_web::http::Method;

use crate::request_id::RequestId;

/// Writes it.
pub(crate) fn line(id: &RequestId, method: &Method, route: &'static str, status: u16, elapsed: Duration) {
    let elapsed_ms = (elapsed.as_secs_f64() * 1e6).round() / 1e3;
    tracing::info!(
        request.id = id.0,
        http.method = %method,
        http.route = route,
        http.status = status,
        elapsed_ms,
        "answered"
    );
}
