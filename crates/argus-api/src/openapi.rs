//! The description of the interface, made from the handlers.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header;
use argus_core::notification::Notification;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use crate::error::{ErrorBody, FieldError};
use crate::{
    account, api_keys, cameras, cookies, events, health, journal, paths, settings, sign_in, ssl, storage, users, ws,
};

/// Name of the scheme for API keys.
const API_KEY: &str = "ApiKey";
/// Name of the scheme for access tokens in the header `Authorization`.
const TOKEN: &str = "AccessToken";
/// Name of the scheme for access tokens in a cookie.
const COOKIE: &str = "SessionCookie";
/// Name of the scheme for refresh tokens.
const REFRESH: &str = "RefreshCookie";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Argus",
        description = "Watches cameras, notices what matters, puts it into words, keeps the evidence.\n\nEvery operation \
            names the permission it needs in `x-permission`: `open` nobody needs credentials, `any` every authenticated \
            caller, `user` a signed-in user and no API key, otherwise the permission that the caller must hold. `admin` implies all others, `write:cameras` \
            implies `read:cameras`. Every answer has `X-Request-Id`; every error has the body `ErrorBody`."
    ),
    paths(
        cameras::list, cameras::create, cameras::get, cameras::update, cameras::delete, cameras::start, cameras::stop,
        cameras::status, cameras::snapshot, cameras::test,
        events::list, events::get, events::delete, events::reanalyse, events::reanalyze, events::stats, events::export,
        events::thumbnail, events::frame, events::clip, events::analyses,
        api_keys::list, api_keys::create, api_keys::get, api_keys::revoke, api_keys::usage,
        sign_in::setup_status, sign_in::setup, sign_in::login, sign_in::refresh, sign_in::logout,
        account::me, account::change_password, account::sessions, account::end_others, account::end_one,
        account::ws_ticket,
        users::list, users::create, users::get, users::update, users::delete, users::reset_password,
        journal::journal, ws::ws, health::health, settings::get, settings::put, storage::storage, ssl::status, document
    ),
    components(schemas(ErrorBody, FieldError, Notification)),
    tags(
        (name = "cameras", description = "Where pictures come from"),
        (name = "events", description = "What was seen"),
        (name = "auth", description = "Signing in and out"),
        (name = "users", description = "Who may sign in"),
        (name = "api-keys", description = "Credentials of programs"),
        (name = "live", description = "What happens now"),
        (name = "system", description = "The server itself")
    ),
    modifiers(&Common)
)]
struct Document;

/// What all operations have in common.
struct Common;

impl Modify for Common {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let key = ApiKeyValue::with_description("X-API-Key", "`argus_` and 43 characters of base64url");
        let components = api.components.get_or_insert_default();
        components.add_security_scheme(API_KEY, SecurityScheme::ApiKey(ApiKey::Header(key)));
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
        components.add_security_scheme(TOKEN, SecurityScheme::Http(token.build()));
        for (scheme, cookie) in [(COOKIE, cookies::ACCESS), (REFRESH, cookies::REFRESH)] {
            let value = ApiKeyValue::with_description(
                cookie,
                "For browsers. What changes anything needs `Origin` or `X-Requested-With` too",
            );
            components.add_security_scheme(scheme, SecurityScheme::ApiKey(ApiKey::Cookie(value)));
        }
        for item in api.paths.paths.values_mut() {
            operations(item).for_each(|(operation, takes_body)| complete(operation, takes_body));
        }
    }
}

/// The operations of a path, and whether a body is read: also where none is needed, what comes is checked.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (&mut Operation, bool)> {
    [(&mut item.get, false), (&mut item.put, true), (&mut item.post, true), (&mut item.delete, false)]
        .into_iter()
        .filter_map(|(operation, takes_body)| Some((operation.as_mut()?, takes_body)))
}

/// Adds what follows from the permission, the description of well-known statuses, and the shape of errors.
fn complete(operation: &mut Operation, takes_body: bool) {
    let permission = operation.extensions.as_ref().and_then(|e| e.get("x-permission")).and_then(|p| p.as_str());
    // A path or query may be broken, and an unknown parameter is refused, everywhere.
    let mut statuses = vec!["400", "422", "429", "500"];
    match permission.unwrap_or_default() {
        "open" | "open + token" => operation.security = Some(vec![SecurityRequirement::default()]),
        permission => {
            let schemes: &[&str] = match permission {
                "refresh cookie" => &[REFRESH],
                "user" => &[TOKEN, COOKIE],
                _ => &[API_KEY, TOKEN, COOKIE],
            };
            let requirement = |scheme: &&str| SecurityRequirement::new::<_, [&str; 0], &str>(*scheme, []);
            operation.security = Some(schemes.iter().map(requirement).collect());
            // Where being known is enough, a message type may still be refused.
            statuses.extend(["401", "403", "503"]);
        }
    }
    if takes_body {
        statuses.extend(["413", "415"]);
    }
    let responses = &mut operation.responses.responses;
    for status in statuses {
        responses.entry(status.to_owned()).or_insert_with(|| Response::new("").into());
    }
    for (status, response) in responses.iter_mut() {
        let RefOr::T(response) = response else { continue };
        if response.description.is_empty() {
            response.description = usual(status).to_owned();
        }
        if status.as_str() >= "400" && response.content.is_empty() {
            *response = ResponseBuilder::from(response.clone())
                .content("application/json", Content::new(Some(Ref::from_schema_name("ErrorBody"))))
                .build();
        }
    }
}

/// What a status means where nothing else is said.
fn usual(status: &str) -> &'static str {
    match status {
        "400" => "The body is missing or not JSON, or the percent-encoding is broken",
        "401" => "No credentials, or wrong, expired or revoked ones",
        "403" => "A permission is missing; `detail` names it",
        "404" => "There is no such resource",
        "409" => "The present state does not allow it",
        "413" => "The body is too large",
        "415" => "The body is not `application/json`",
        "422" => "A value breaks a rule; `errors` names every fault",
        "429" => "The key's requests are used up for now; `Retry-After` tells how long to wait",
        "500" => "A fault in the server; the cause is in its log, with the request id",
        "502" => "A provider, controller or camera answered uselessly",
        "504" => "A provider, controller or camera did not answer in time",
        "503" => "Something needed is down; try again after `Retry-After`",
        _ => "The request failed",
    }
}

/// The document as it is served.
#[must_use]
pub fn api() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

static TEXT: LazyLock<Result<String, String>> =
    LazyLock::new(|| api().to_pretty_json().map_err(|failure| failure.to_string()));

/// Describes this interface as OpenAPI 3.1.
#[utoipa::path(
    get,
    path = paths::OPENAPI,
    operation_id = "get_openapi",
    tag = "system",
    responses((status = 200, description = "The document", content_type = "application/json", body = Object)),
    extensions(("x-permission" = json!("open")))
)]
pub(crate) async fn document() -> HttpResponse {
    match std::future::ready(&*TEXT).await {
        Ok(text) => HttpResponse::Ok().insert_header((header::CONTENT_TYPE, "application/json")).body(text.as_str()),
        Err(failure) => {
            tracing::error!(error = failure, "the OpenAPI document cannot be written");
            HttpResponse::InternalServerError().finish()
        }
    }
}
