//! The description of the interface, made from the handlers.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use crate::error::{ErrorBody, FieldError};
use crate::{cameras, events, health, journal, paths, settings, ws};

/// Name of the scheme for API keys.
const API_KEY: &str = "ApiKey";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Argus",
        description = "Watches cameras, notices what matters, puts it into words, keeps the evidence.\n\nEvery operation \
            names the permission it needs in `x-permission`: `open` nobody needs credentials, `any` every authenticated \
            caller, otherwise the permission that the caller must hold. `admin` implies all others, `write:cameras` \
            implies `read:cameras`. Every answer has `X-Request-Id`; every error has the body `ErrorBody`."
    ),
    paths(
        cameras::list, cameras::create, cameras::get, cameras::update, cameras::delete, cameras::start, cameras::stop,
        cameras::status, cameras::snapshot, cameras::test,
        events::list, events::get, events::delete, events::reanalyse, events::reanalyze, events::stats, events::export,
        events::thumbnail, events::frame, events::clip, events::analyses,
        journal::journal, ws::ws, health::health, settings::get, settings::put, document
    ),
    components(schemas(ErrorBody, FieldError)),
    tags(
        (name = "cameras", description = "Where pictures come from"),
        (name = "events", description = "What was seen"),
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
        "open" => operation.security = Some(vec![SecurityRequirement::default()]),
        _ => {
            operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(API_KEY, [])]);
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
