//! Routes: which handler answers where. A wrong method is a 405 that names the right ones, a trailing slash changes
//! nothing, HEAD works wherever GET does.

use actix_web::dev::Handler;
use actix_web::guard;
use actix_web::http::{Method, header};
use actix_web::web::{self, ServiceConfig};
use actix_web::{FromRequest, HttpRequest, HttpResponse, Resource, Responder};

use crate::error::ApiError;
use crate::state::shared;
use crate::{
    account, ai, api_keys, cameras, docs, events, health, journal, metrics, openapi, paths, protect, settings, sign_in,
    ssl, storage, users, ws,
};

/// Registers every route. Fixed names come before the ids that they compete with.
pub(crate) fn configure(config: &mut ServiceConfig) {
    Route::at(paths::CAMERAS).get(cameras::list).post(cameras::create).register(config);
    Route::at(paths::CAMERA_TEST).post(cameras::test).register(config);
    Route::at(paths::CAMERA).get(cameras::get).put(cameras::update).delete(cameras::delete).register(config);
    Route::at(paths::CAMERA_START).post(cameras::start).register(config);
    Route::at(paths::CAMERA_STOP).post(cameras::stop).register(config);
    Route::at(paths::CAMERA_SNAPSHOT).get(cameras::snapshot).register(config);
    Route::at(paths::CAMERA_STATUS).get(cameras::status).register(config);
    Route::at(paths::EVENTS).get(events::list).register(config);
    Route::at(paths::EVENT_STATS).get(events::stats).register(config);
    Route::at(paths::EVENT_EXPORT).get(events::export).register(config);
    Route::at(paths::EVENT).get(events::get).delete(events::delete).register(config);
    Route::at(paths::EVENT_REANALYSE).post(events::reanalyse).register(config);
    Route::at(paths::EVENT_REANALYZE).post(events::reanalyse).register(config);
    Route::at(paths::EVENT_THUMBNAIL).get(events::thumbnail).register(config);
    Route::at(paths::EVENT_FRAME).get(events::frame).register(config);
    Route::at(paths::EVENT_CLIP).get(events::clip).register(config);
    Route::at(paths::EVENT_ANALYSES).get(events::analyses).register(config);
    Route::at(paths::EVENT_REPRODUCE).post(events::reproduce).register(config);
    Route::at(paths::AI_PROVIDERS).get(ai::providers::list).post(ai::providers::create).register(config);
    Route::at(paths::AI_PROVIDER)
        .get(ai::providers::get)
        .put(ai::providers::update)
        .delete(ai::providers::delete)
        .register(config);
    Route::at(paths::AI_PROVIDER_TEST).post(ai::providers::test).register(config);
    Route::at(paths::AI_DESCRIBE).post(ai::describe::describe).register(config);
    Route::at(paths::AI_USAGE).get(ai::usage::usage).register(config);
    Route::at(paths::AI_EGRESS).get(ai::egress::list).register(config);
    Route::at(paths::AI_EGRESS_DAYS).get(ai::egress::days).register(config);
    Route::at(paths::AI_CAPABILITIES).get(ai::capabilities::capabilities).register(config);
    Route::at(paths::CONTROLLERS).get(protect::list).post(protect::create).register(config);
    Route::at(paths::CONTROLLER_TEST).post(protect::test).register(config);
    Route::at(paths::CONTROLLER).get(protect::get).put(protect::update).delete(protect::delete).register(config);
    Route::at(paths::CONTROLLER_CAMERAS).get(protect::cameras).register(config);
    Route::at(paths::CONTROLLER_CAMERA).put(protect::update_camera).register(config);
    Route::at(paths::API_KEYS).get(api_keys::list).post(api_keys::create).register(config);
    Route::at(paths::API_KEY).get(api_keys::get).delete(api_keys::revoke).register(config);
    Route::at(paths::API_KEY_USAGE).get(api_keys::usage).register(config);
    Route::at(paths::HEALTH).get(health::health).register(config);
    Route::at(paths::SETTINGS).get(settings::get).put(settings::put).register(config);
    Route::at(paths::STORAGE).get(storage::storage).register(config);
    Route::at(paths::SSL_STATUS).get(ssl::status).register(config);
    Route::at(paths::SETUP_STATUS).get(sign_in::setup_status).register(config);
    Route::at(paths::SETUP).post(sign_in::setup).register(config);
    Route::at(paths::LOGIN).post(sign_in::login).register(config);
    Route::at(paths::REFRESH).post(sign_in::refresh).register(config);
    Route::at(paths::LOGOUT).post(sign_in::logout).register(config);
    Route::at(paths::ME).get(account::me).register(config);
    Route::at(paths::CHANGE_PASSWORD).post(account::change_password).register(config);
    Route::at(paths::SESSIONS).get(account::sessions).delete(account::end_others).register(config);
    Route::at(paths::SESSION).delete(account::end_one).register(config);
    Route::at(paths::WS_TICKET).post(account::ws_ticket).register(config);
    Route::at(paths::USERS).get(users::list).post(users::create).register(config);
    Route::at(paths::USER).get(users::get).put(users::update).delete(users::delete).register(config);
    Route::at(paths::RESET_PASSWORD).post(users::reset_password).register(config);
    Route::at(paths::JOURNAL).get(journal::journal).register(config);
    Route::at(paths::WS).get(ws::ws).register(config);
    Route::at(paths::DOCS).get(docs::swagger).register(config);
    Route::at(paths::DOCS_PART).get(docs::swagger_part).register(config);
    Route::at(paths::REDOC).get(docs::redoc).register(config);
    Route::at(paths::REDOC_PART).get(docs::redoc_part).register(config);
    Route::at(paths::OPENAPI).get(openapi::document).register(config);
    Route::at(paths::METRICS).get(metrics::metrics).register(config);
}

/// Answers where there is no route.
pub(crate) async fn unknown() -> Result<&'static str, ApiError> {
    std::future::ready(Err(ApiError::NotFound("route"))).await
}

/// The path of the resource that answers, with its placeholders: found in every request that came to one.
#[derive(Clone, Copy)]
pub(crate) struct RoutePath(pub(crate) &'static str);

/// One resource with its methods.
struct Route {
    resource: Resource,
    allow: Vec<&'static str>,
}

impl Route {
    fn at(path: &'static str) -> Self {
        let resource = web::resource([path.to_owned(), format!("{path}/")]).app_data(RoutePath(path));
        Self { resource, allow: Vec::new() }
    }

    fn get<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.allow.extend(["GET", "HEAD"]);
        let route = web::route().guard(guard::Any(guard::Get()).or(guard::Head())).to(handler);
        Self { resource: self.resource.route(route), ..self }
    }

    fn post<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.allow.push("POST");
        Self { resource: self.resource.route(web::post().to(handler)), ..self }
    }

    fn put<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.allow.push("PUT");
        Self { resource: self.resource.route(web::put().to(handler)), ..self }
    }

    fn delete<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.allow.push("DELETE");
        Self { resource: self.resource.route(web::delete().to(handler)), ..self }
    }

    fn register(self, config: &mut ServiceConfig) {
        let allow = self.allow.join(", ");
        let refuse = move |req: HttpRequest| {
            let allow = allow.clone();
            async move {
                // Browsers ask what the pages of other origins may do, where any may do something.
                if req.method() == Method::OPTIONS && !shared(&req).state.http.cors_origins.is_empty() {
                    let allow = format!("{allow}, OPTIONS");
                    return Ok(HttpResponse::NoContent().insert_header((header::ALLOW, allow)).finish());
                }
                Err(ApiError::MethodNotAllowed { allow })
            }
        };
        config.service(self.resource.default_service(web::to(refuse)));
    }
}
