//! Requests that another site made a browser send.

use actix_web::HttpRequest;
use actix_web::http::{Method, header};
use url::Url;

use crate::error::ApiError;
use crate::peer;
use crate::state::shared;

/// Refuses a request that is authenticated by a cookie and changes something, unless it shows that no other site sent it.
///
/// # Errors
/// `Refused`.
pub(crate) fn check(req: &HttpRequest) -> Result<(), ApiError> {
    if [Method::GET, Method::HEAD, Method::OPTIONS].contains(req.method()) {
        return Ok(());
    }
    // Another site cannot send this without asking first, which it is denied.
    if req.headers().contains_key("x-requested-with") {
        return Ok(());
    }
    check_origin(req)
}

/// Refuses a request that does not come from a page of this server or of an allowed origin.
///
/// # Errors
/// `Refused`.
pub(crate) fn check_origin(req: &HttpRequest) -> Result<(), ApiError> {
    let mut origins = req.headers().get_all(header::ORIGIN);
    let (origin, more) = (origins.next().and_then(|v| v.to_str().ok()), origins.next());
    let Some(origin) = origin.filter(|_| more.is_none()) else {
        return Err(ApiError::Refused(
            "a request with a cookie needs an Origin header of this server, or X-Requested-With",
        ));
    };
    let own = || peer::host(req).is_some_and(|host| is_same(origin, &host));
    if shared(req).state.http.allows_origin(origin) || own() {
        Ok(())
    } else {
        Err(ApiError::Refused("the Origin header is that of another site"))
    }
}

/// Whether an origin has this host and port. A `Host` without a port means the usual one of the origin's scheme: whether
/// something before this server speaks TLS may be unknown.
fn is_same(origin: &str, host: &str) -> bool {
    let Ok(origin) = Url::parse(origin) else { return false };
    if !["http", "https"].contains(&origin.scheme()) || origin.path() != "/" {
        return false;
    }
    let Ok(own) = Url::parse(&format!("{}://{host}", origin.scheme())) else { return false };
    let plain = own.path() == "/" && own.query().is_none() && own.fragment().is_none() && own.username().is_empty();
    plain && own.host() == origin.host() && own.port_or_known_default() == origin.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use super::is_same;

    #[test]
    fn host_and_port_decide() {
        for (origin, host) in [
            ("http://cam", "cam"),
            ("https://cam", "cam"),
            ("http://cam:8000", "cam:8000"),
            ("http://cam", "cam:80"),
            ("https://cam", "cam:443"),
            ("https://CAM", "cam"),
            ("http://[::1]:8000", "[::1]:8000"),
            ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ] {
            assert!(is_same(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("http://evil", "cam"),
            ("http://cam:8000", "cam"),
            ("http://cam", "cam:8000"),
            ("https://cam", "cam:80"),
            ("http://cam.evil", "cam"),
            ("http://evil", "evil@cam"),
            ("http://evil", "cam@evil"),
            ("http://evil", "evil/cam"),
            ("http://evil", "evil?cam"),
            ("null", "null"),
            ("", "cam"),
            ("cam", "cam"),
            ("file://cam", "cam"),
            ("http://cam/path", "cam"),
        ] {
            assert!(!is_same(origin, host), "{origin} {host}");
        }
    }
}
