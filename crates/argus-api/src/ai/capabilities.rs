//! What each kind of provider needs and can do.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json};
use argus_core::camera::AnalysisMode;
use argus_core::provider::KindInfo;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{Admin, Caller};
use crate::error::ApiError;
use crate::paths;
use crate::query::Query;
use crate::state::Shared;

/// What can be set up.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CapabilitiesView {
    /// The kinds of providers.
    pub kinds: Vec<KindInfo>,
    /// How pictures can be looked at.
    pub analysis_modes: Vec<AnalysisMode>,
}

/// Tells what each kind of provider needs and can do.
#[utoipa::path(
    get,
    path = paths::AI_CAPABILITIES,
    operation_id = "get_ai_capabilities",
    tag = "ai",
    responses((status = 200, description = "The kinds of providers, and the analysis modes", body = CapabilitiesView)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn capabilities(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<CapabilitiesView>, ApiError> {
    Query::parse(req.query_string())?.done()?;
    let kinds = std::future::ready(shared.state.ai.ai_kinds()).await;
    Ok(Json(CapabilitiesView { kinds, analysis_modes: AnalysisMode::ALL.to_vec() }))
}
