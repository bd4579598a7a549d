//! The description of the interface, made from the handlers.

mod answers;
mod complete;
mod headers;
mod requests;
mod sample;
mod security;

use std::sync::LazyLock;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use argus_core::notification::Notification;
use utoipa::{Modify, OpenApi};

use crate::error::{ApiError, ErrorBody, FieldError};
use crate::query::Query;
use crate::{
    account, ai, api_keys, cameras, docs, events, health, journal, metrics, paths, protect, settings, sign_in, ssl,
    storage, users, ws,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Argus",
        // Two licences have no page together: with an identifier, the pages would link to one that is not there.
        license(name = "MIT OR Apache-2.0"),
        description = "Watches cameras, notices what matters, puts it into words, keeps the evidence.\n\nEvery operation \
            names the permission it needs in `x-permission`: `open` nobody needs credentials, `any` every authenticated \
            caller, `user` a signed-in user and no API key, otherwise the permission that the caller must hold. `admin` \
            implies all others, `write:cameras` implies `read:cameras`.\n\nWherever GET works, HEAD does; a path with a \
            trailing slash is the same resource; a method that a path does not have is answered 405 with `Allow`. Every \
            answer has `X-Request-Id`; every error has the body `ErrorBody`."
    ),
    servers((url = "/", description = "This server")),
    paths(
        cameras::list, cameras::create, cameras::get, cameras::update, cameras::delete, cameras::start, cameras::stop,
        cameras::status, cameras::snapshot, cameras::test,
        events::list, events::get, events::delete, events::reanalyse, events::stats, events::export,
        events::thumbnail, events::frame, events::clip, events::analyses, events::reproduce,
        ai::providers::list, ai::providers::create, ai::providers::get, ai::providers::update, ai::providers::delete,
        ai::providers::test, ai::describe::describe, ai::capabilities::capabilities, ai::usage::usage,
        ai::egress::list, ai::egress::days,
        protect::list, protect::create, protect::get, protect::update, protect::delete, protect::test,
        protect::cameras, protect::update_camera,
        api_keys::list, api_keys::create, api_keys::get, api_keys::revoke, api_keys::usage,
        sign_in::setup_status, sign_in::setup, sign_in::login, sign_in::refresh, sign_in::logout,
        account::me, account::change_password, account::sessions, account::end_others, account::end_one,
        account::ws_ticket,
        users::list, users::create, users::get, users::update, users::delete, users::reset_password,
        journal::journal, ws::ws, health::health, settings::get, settings::put, storage::storage, ssl::status,
        docs::swagger, docs::redoc, document, metrics::metrics
    ),
    components(schemas(ErrorBody, FieldError, Notification)),
    tags(
        (name = "cameras", description = "Where pictures come from"),
        (name = "events", description = "What was seen"),
        (name = "ai", description = "Who puts it into words, at what cost, and what left the machine"),
        (name = "protect", description = "UniFi Protect controllers"),
        (name = "auth", description = "Signing in and out"),
        (name = "users", description = "Who may sign in"),
        (name = "api-keys", description = "Credentials of programs"),
        (name = "live", description = "What happens now"),
        (name = "system", description = "The server itself")
    ),
    modifiers(&Common)
)]
struct Document;

/// What follows for every operation from its permission, its path and its body.
struct Common;

impl Modify for Common {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        spell_twice(api);
        complete::complete(api);
    }
}

/// One operation has two spellings, each a path of its own.
fn spell_twice(api: &mut utoipa::openapi::OpenApi) {
    let Some(mut item) = api.paths.paths.get(paths::EVENT_REANALYSE).cloned() else { return };
    if let Some(operation) = &mut item.post {
        operation.operation_id = Some("reanalyze_event".to_owned());
        operation.summary = Some("The same as `/events/{id}/reanalyse`.".to_owned());
        operation.description = None;
    }
    api.paths.paths.insert(paths::EVENT_REANALYZE.to_owned(), item);
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
pub(crate) async fn document(req: HttpRequest) -> Result<HttpResponse, ApiError> {
    Query::parse(req.query_string())?.done()?;
    Ok(match std::future::ready(&*TEXT).await {
        Ok(text) => HttpResponse::Ok().insert_header((header::CONTENT_TYPE, "application/json")).body(text.as_str()),
        Err(failure) => {
            tracing::error!(error = failure, "the OpenAPI document cannot be written");
            HttpResponse::InternalServerError().finish()
        }
    })
}
