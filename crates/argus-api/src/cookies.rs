//! The two cookies of browsers.

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, HeaderValue, SET_COOKIE};
use argus_core::Secret;

use crate::error::ApiError;
use crate::paths;
use crate::peer;

/// Holds the access token.
pub(crate) const ACCESS: &str = "argusai_access_token";
/// Holds the refresh token.
pub(crate) const REFRESH: &str = "argusai_refresh_token";
/// Seconds that the access token is good.
pub(crate) const ACCESS_S: u32 = 900;
/// Seconds that the refresh token is good: 30 days.
pub(crate) const REFRESH_S: u32 = 2_592_000;

/// The value of a cookie of the request.
pub(crate) fn read(req: &HttpRequest, name: &str) -> Option<String> {
    req.cookie_raw(name).map(|c| c.value().to_owned())
}

/// Gives both cookies to the client.
///
/// # Errors
/// `Secrecy` when a token cannot stand in a header, which never happens to ours.
pub(crate) fn give(
    req: &HttpRequest,
    headers: &mut HeaderMap,
    access: &Secret,
    refresh: &Secret,
) -> Result<(), ApiError> {
    set(req, headers, access.expose(), refresh.expose(), ACCESS_S, REFRESH_S)
}

/// Takes both cookies away from the client.
///
/// # Errors
/// Never; see [`give`].
pub(crate) fn take_back(req: &HttpRequest, headers: &mut HeaderMap) -> Result<(), ApiError> {
    set(req, headers, "", "", 0, 0)
}

fn set(
    req: &HttpRequest,
    headers: &mut HeaderMap,
    access: &str,
    refresh: &str,
    access_s: u32,
    refresh_s: u32,
) -> Result<(), ApiError> {
    // Without encryption a browser would not send back what is marked so.
    let secure = if peer::is_tls(req) { "; Secure" } else { "" };
    for (name, value, path, age) in [(ACCESS, access, "/", access_s), (REFRESH, refresh, paths::AUTH, refresh_s)] {
        let cookie = format!("{name}={value}; Path={path}; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
        let mut cookie = HeaderValue::from_str(&cookie).map_err(|e| ApiError::Secrecy(Box::new(e)))?;
        cookie.set_sensitive(true);
        headers.append(SET_COOKIE, cookie);
    }
    Ok(())
}
