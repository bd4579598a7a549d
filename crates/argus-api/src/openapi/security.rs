//! Who may call: the kinds of credentials, and which of them an operation takes.

use utoipa::openapi::RefOr;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};

use super::complete::Place;

const API_KEY: &str = "ApiKey";
const BEARER: &str = "Bearer";
const COOKIE: &str = "Cookie";
const REFRESH: &str = "RefreshCookie";
const TICKET: &str = "Ticket";

/// The kinds of credentials.
pub(super) fn schemes() -> Vec<(String, RefOr<SecurityScheme>)> {
    let key = ApiKeyValue::with_description("X-API-Key", "For programs: `argus_` and 43 characters of base64url");
    let cookie = ApiKeyValue::with_description("argusai_access_token", "For browsers: the access token as a cookie");
    let refresh = ApiKeyValue::with_description("argusai_refresh_token", "Set by signing in, and replaced at each use");
    let ticket = ApiKeyValue::with_description("ticket", "Works once, within 30 s; from `POST /api/v1/auth/ws-ticket`");
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("The access token that signing in gives"))
        .build();
    [
        (API_KEY, SecurityScheme::ApiKey(ApiKey::Header(key))),
        (BEARER, SecurityScheme::Http(bearer)),
        (COOKIE, SecurityScheme::ApiKey(ApiKey::Cookie(cookie))),
        (REFRESH, SecurityScheme::ApiKey(ApiKey::Cookie(refresh))),
        (TICKET, SecurityScheme::ApiKey(ApiKey::Query(ticket))),
    ]
    .map(|(name, scheme)| (name.to_owned(), RefOr::T(scheme)))
    .into()
}

/// Names the credentials that an operation takes, each an alternative; none for open ones, unless they say otherwise.
pub(super) fn require(operation: &mut Operation, place: &Place<'_>) {
    if operation.security.is_some() {
        return;
    }
    let schemes: &[&str] = match place.permission.as_str() {
        "open" => &[],
        "user" => &[BEARER, COOKIE],
        _ if place.path == crate::paths::WS => &[API_KEY, BEARER, COOKIE, TICKET],
        other if other.contains("refresh") => &[REFRESH],
        other if other.starts_with("open") => &[],
        _ => &[API_KEY, BEARER, COOKIE],
    };
    let alternative = |name: &&str| SecurityRequirement::new::<_, [&str; 0], &str>(*name, []);
    operation.security = Some(schemes.iter().map(alternative).collect());
}
