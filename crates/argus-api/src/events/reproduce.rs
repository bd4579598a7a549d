//! The request of an earlier description, sent again exactly as it was.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json};
use argus_core::describe::Description;
use argus_core::event::ObjectKind;
use argus_core::ports::Reproduced;
use argus_core::{AnalysisId, CallId, EventId};
use serde::Serialize;
use utoipa::ToSchema;

use super::difference::{Words, difference};
use crate::ai::describe::failure;
use crate::auth::{Admin, Caller};
use crate::body::Body;
use crate::error::ApiError;
use crate::ids::named;
use crate::paths;
use crate::query::Query;
use crate::state::Shared;

/// What a model answered.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AnswerView {
    /// The words.
    pub description: String,
    /// Stated by the model; null when it states none.
    #[schema(required, maximum = 100)]
    pub confidence: Option<u8>,
    /// What was seen.
    pub objects: Vec<ObjectKind>,
}

impl From<Description> for AnswerView {
    fn from(words: Description) -> Self {
        Self { description: words.text, confidence: words.confidence, objects: words.objects }
    }
}

/// The same request, asked twice.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ReproductionView {
    /// The analysis whose request was sent again.
    pub analysis_id: AnalysisId,
    /// The new call; null when nothing had to be sent.
    #[schema(required)]
    pub call_id: Option<CallId>,
    /// Whether words, confidence and objects are the same.
    pub identical: bool,
    /// What was answered then; null when that call had failed.
    #[schema(required)]
    pub before: Option<AnswerView>,
    /// What is answered now.
    pub after: AnswerView,
    /// How the words differ.
    pub difference: Vec<Words>,
    /// Of the new call, US dollars; null when the price is unknown.
    #[schema(required)]
    pub cost: Option<f64>,
    /// Of the new call.
    pub latency_ms: u32,
}

/// Sends the request of a description again: the same text, parameters and pictures to the same provider and model.
///
/// The event stays as it is. The call counts in usage and budgets.
#[utoipa::path(
    post,
    path = paths::EVENT_REPRODUCE,
    operation_id = "reproduce_event_analysis",
    tag = "events",
    params(
        ("id" = EventId, Path, description = "The event"),
        ("analysis_id" = AnalysisId, Path, description = "One of its analyses")
    ),
    responses(
        (status = 200, description = "Both answers and how they differ", body = ReproductionView),
        (status = 404),
        (status = 409, description = "Its pictures, its provider or its model are gone, or a budget is spent"),
        (status = 502, description = "The provider failed"),
        (status = 503, description = "The server stops, or something needed is down"),
        (status = 504, description = "The provider did not answer in time")
    ),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn reproduce(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<Json<ReproductionView>, ApiError> {
    body.none().await?;
    let event: Option<EventId> = named(&req, "id")?;
    let analysis: Option<AnalysisId> = named(&req, "analysis_id")?;
    Query::parse(req.query_string())?.done()?;
    let event = event.ok_or(ApiError::NotFound(super::WHAT))?;
    let analysis_id = analysis.ok_or(ApiError::NotFound("analysis"))?;
    let again = shared.ai(move |ai| async move { ai.ai_reproduce(event, analysis_id).await }).await?;
    let Reproduced { call_id, outcome, before } = again;
    let now = outcome.result.map_err(failure)?;
    let identical = before
        .as_ref()
        .is_some_and(|then| (&then.text, then.confidence, &then.objects) == (&now.text, now.confidence, &now.objects));
    let difference = difference(before.as_ref().map_or("", |then| &then.text), &now.text);
    Ok(Json(ReproductionView {
        analysis_id,
        call_id,
        identical,
        before: before.map(AnswerView::from),
        after: now.into(),
        difference,
        cost: outcome.record.cost,
        latency_ms: outcome.record.latency_ms.unwrap_or(0),
    }))
}
