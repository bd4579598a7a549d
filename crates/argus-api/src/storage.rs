//! What everything that is kept takes up.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json};
use argus_core::storage::StorageReport;

use crate::auth::{Admin, Caller};
use crate::error::ApiError;
use crate::paths;
use crate::query::Query;
use crate::state::Shared;

/// Tells what the database, pictures and clips take up, in all and by camera.
#[utoipa::path(
    get,
    path = paths::STORAGE,
    operation_id = "get_storage",
    tag = "system",
    responses((status = 200, description = "Bytes and counts, at most 60 s old", body = StorageReport), (status = 422)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn storage(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<StorageReport>, ApiError> {
    Query::parse(req.query_string())?.done()?;
    Ok(Json(shared.control(|c| async move { c.storage().await }).await?))
}
