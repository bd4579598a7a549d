//! Pictures that somebody sends and wants to have described.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::{Data, Json};
use argus_core::ProviderId;
use argus_core::describe::{DescribeError, DescribeFailure, DescribeOutcome, FallbackStep};
use argus_core::event::ObjectKind;
use argus_core::ports::ControlError;
use serde::Serialize;
use utoipa::ToSchema;

use super::form::{DescribeBody, DescribeForm, question};
use crate::auth::{Admin, Caller};
use crate::body::Body;
use crate::error::ApiError;
use crate::paths;
use crate::query::Query;
use crate::state::Shared;

/// Largest body.
const LIMIT: usize = 32 * 1024 * 1024;
/// How long is waited until fewer pictures are in memory.
const TURN: Duration = Duration::from_secs(30);

/// Tokens of a call, as the provider counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokensView {
    /// What was sent.
    #[schema(required)]
    pub input: Option<u32>,
    /// What was answered.
    #[schema(required)]
    pub output: Option<u32>,
    /// Both together.
    #[schema(required)]
    pub total: Option<u32>,
}

impl TokensView {
    fn new(input: Option<u32>, output: Option<u32>) -> Self {
        let total = match (input, output) {
            (None, None) => None,
            (input, output) => Some(input.unwrap_or(0).saturating_add(output.unwrap_or(0))),
        };
        Self { input, output, total }
    }
}

/// A picture in words.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DescriptionView {
    /// The words.
    pub description: String,
    /// Stated by the model; null when it states none.
    #[schema(required, maximum = 100)]
    pub confidence: Option<u8>,
    /// What was seen.
    pub objects: Vec<ObjectKind>,
    /// Kind of the provider.
    #[schema(required)]
    pub provider: Option<String>,
    /// The provider.
    #[schema(required)]
    pub provider_id: Option<ProviderId>,
    /// Its name.
    #[schema(required)]
    pub provider_name: Option<String>,
    /// Its model.
    #[schema(required)]
    pub model: Option<String>,
    /// As the provider counts them.
    pub tokens: TokensView,
    /// US dollars; null when the price is unknown.
    #[schema(required)]
    pub cost: Option<f64>,
    /// Whether the cost was computed from a price table rather than told.
    pub cost_estimated: bool,
    /// From sending to the whole answer.
    pub latency_ms: u32,
    /// Providers that were passed over or failed before, in order.
    pub fallback_path: Vec<FallbackStep>,
}

/// The words of an outcome with its record, or the failure in the form in which it is answered.
fn view(outcome: DescribeOutcome) -> Result<DescriptionView, ApiError> {
    let DescribeOutcome { record, result } = outcome;
    let words = result.map_err(failure)?;
    Ok(DescriptionView {
        description: words.text,
        confidence: words.confidence,
        objects: words.objects,
        provider: record.provider,
        provider_id: record.provider_id,
        provider_name: record.provider_name,
        model: record.model,
        tokens: TokensView::new(record.tokens_input, record.tokens_output),
        cost: record.cost,
        cost_estimated: record.cost_estimated,
        latency_ms: record.latency_ms.unwrap_or(0),
        fallback_path: record.fallback_path,
    })
}

/// A call that failed, as the API answers it.
pub(crate) fn failure(error: DescribeError) -> ApiError {
    ApiError::Control(match error.kind {
        DescribeFailure::Timeout => ControlError::Timeout(error.message),
        _ => ControlError::Upstream(error.message),
    })
}

/// Describes a picture. It is not kept; the call counts in usage and budgets.
#[utoipa::path(
    post,
    path = paths::AI_DESCRIBE,
    operation_id = "describe_picture",
    tag = "ai",
    request_body(content((DescribeBody = "application/json"), (DescribeForm = "multipart/form-data"))),
    responses(
        (status = 200, description = "The picture in words", body = DescriptionView),
        (status = 409, description = "A budget is spent"),
        (status = 413, description = "The body, or the picture in it, is too large"),
        (status = 415, description = "The picture is neither JPEG, PNG nor WebP, or the body neither form nor JSON"),
        (status = 422),
        (status = 502, description = "All providers that could be asked failed"),
        (status = 503, description = "No provider is enabled, or too many pictures are being described"),
        (status = 504, description = "No provider answered in time")
    ),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn describe(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<Json<DescriptionView>, ApiError> {
    let asked = Query::parse(req.query_string());
    let (body, _room) = body.large(LIMIT, &shared.uploads).await?;
    // Only now: who sends slowly keeps nobody from being described.
    let turn = tokio::time::timeout(TURN, shared.pictures.acquire()).await;
    let Ok(Ok(_permit)) = turn else { return Err(ApiError::Busy("too many pictures are being described")) };
    let question = match (question(body).await, asked?.done()) {
        (Ok(question), Ok(())) => question,
        (Err(ApiError::Invalid(mut faults)), asked) => {
            faults.0.extend(asked.err().unwrap_or_default().0);
            return Err(faults.into());
        }
        (Err(failure), _) => return Err(failure),
        (Ok(_), Err(faults)) => return Err(faults.into()),
    };
    let outcome = shared.ai(|ai| async move { ai.ai_describe(question).await }).await?;
    Ok(Json(view(outcome)?))
}
