//! Health of the server.

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use argus_core::chain;
use argus_core::ports::{ComponentStatus, Health};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::MaybeCaller;
use crate::error::ApiError;
use crate::paths;
use crate::query::Query;
use crate::state::Shared;

/// How the server is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// Everything works.
    Ok,
    /// A part does not work, or not fully.
    Degraded,
    /// The database is away.
    Down,
}

/// Health of the server.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct HealthView {
    /// How it is doing.
    pub status: HealthStatus,
    /// Version of the server.
    pub version: String,
    /// Seconds since its start.
    pub uptime_s: u64,
    /// Its parts; only for authenticated callers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub components: Option<Health>,
    /// Only with status 503.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub detail: Option<String>,
    /// Only with status 503.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub status_code: Option<u16>,
}

/// Tells how the server is doing; details need credentials.
#[utoipa::path(
    get,
    path = paths::HEALTH,
    operation_id = "get_health",
    tag = "system",
    responses(
        (status = 200, description = "It works, fully or with limits", body = HealthView),
        (status = 422),
        (status = 503, description = "The database is away", body = HealthView)
    ),
    security((), ("ApiKey" = []), ("Bearer" = []), ("Cookie" = [])),
    extensions(("x-permission" = json!("open")))
)]
pub(crate) async fn health(
    caller: MaybeCaller,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    Query::parse(req.query_string())?.done()?;
    let state = &shared.state;
    let uptime_s = state.clock.now().since(state.started_at).as_secs();
    let mut view = HealthView {
        status: HealthStatus::Ok,
        version: state.version.clone(),
        uptime_s,
        components: None,
        detail: None,
        status_code: None,
    };
    if let Err(failure) = state.db.ping().await {
        tracing::warn!(error = chain(&failure), "the database does not answer");
        return Ok(down(view));
    }
    let parts = shared.control(|c| async move { Ok(c.health().await) }).await?;
    let all = [&parts.database, &parts.storage, &parts.cameras, &parts.ai, &parts.protect, &parts.journal];
    if all.iter().any(|c| matches!(c.status, ComponentStatus::Degraded | ComponentStatus::Down)) {
        view.status = HealthStatus::Degraded;
    }
    view.components = caller.0.map(|_| parts);
    Ok(HttpResponse::Ok().json(view))
}

/// The answer while the database is away: that of an error, with what is known beside it.
fn down(mut view: HealthView) -> HttpResponse {
    view.status = HealthStatus::Down;
    view.detail = Some("The database is away".to_owned());
    view.status_code = Some(503);
    HttpResponse::ServiceUnavailable().insert_header((header::RETRY_AFTER, "5")).json(view)
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test]
    async fn without_the_database_it_is_an_error_that_tells_as_much_as_it_can() {
        let answer = down(HealthView {
            status: HealthStatus::Ok,
            version: "1.2.3".into(),
            uptime_s: 90,
            components: None,
            detail: None,
            status_code: None,
        });
        assert_eq!(
            (answer.status().as_u16(), answer.headers().get("retry-after").unwrap().to_str().unwrap()),
            (503, "5")
        );
        let body: Value = serde_json::from_slice(&to_bytes(answer.into_body()).await.unwrap()).unwrap();
        let told = json!({
            "status": "down", "version": "1.2.3", "uptime_s": 90, "detail": "The database is away", "status_code": 503,
        });
        assert_eq!(body, told);
    }
}
