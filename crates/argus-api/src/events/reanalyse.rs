//! A description of an event that somebody asks for once more.

use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use argus_core::camera::AnalysisMode;
use argus_core::describe::{Reanalysed, Reanalysis};
use argus_core::event::Event;
use argus_core::{AnalysisId, EventId, Faults};
use deserr::Deserr;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{Admin, Caller};
use crate::body::{Body, Faulty, Given, decode};
use crate::error::ApiError;
use crate::ids::named;
use crate::paths;
use crate::query::Query;
use crate::state::Shared;

/// Longest that is waited, seconds.
const WAIT_S: i64 = 60;

/// How an event is to be described again; what is absent is chosen as for a new event.
#[derive(Clone, Debug, Default, Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = Faulty)]
#[schema(as = Reanalysis)]
pub(crate) struct ReanalysisBody {
    /// One picture or several.
    #[deserr(default)]
    #[schema(value_type = AnalysisMode, required = false)]
    analysis_mode: Given<AnalysisMode>,
    /// Replaces the prompt of camera and settings.
    #[deserr(default)]
    #[schema(value_type = String, min_length = 1, max_length = 2000, required = false)]
    prompt: Given<String>,
    /// Id or name of a provider; then there is no fall-back to another.
    #[deserr(default)]
    #[schema(value_type = String, min_length = 1, max_length = 100, required = false)]
    provider: Given<String>,
}

impl ReanalysisBody {
    /// Checks the rules of the texts.
    fn check(&self) -> Faults {
        let mut faults = Faults::default();
        for (field, given, most) in [("prompt", &self.prompt.0, 2000), ("provider", &self.provider.0, 100)] {
            let Some(text) = given else { continue };
            if text.contains('\0') {
                faults.add(field, "contains the character U+0000");
            } else if text.is_empty() {
                faults.add(field, "must not be empty");
            } else if text.chars().count() > most {
                faults.add(field, format!("has more than {most} characters"));
            }
        }
        faults
    }
}

/// A description that will be made.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ReanalysisQueued {
    /// The event.
    pub event_id: EventId,
    /// Its receipt, to be found among the event's analyses.
    pub analysis_id: AnalysisId,
    /// `queued`.
    pub status: QueuedStatus,
}

/// The one status of a description that will be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueuedStatus {
    /// It will be made.
    Queued,
}

/// Has an event described again, from its stored pictures.
///
/// Success replaces the texts and AI fields; a failure leaves the event as it was and is found among its analyses. With
/// `wait` the answer is the updated event, when it is ready in time.
#[utoipa::path(
    post,
    path = paths::EVENT_REANALYSE,
    operation_id = "reanalyse_event",
    tag = "events",
    params(
        ("id" = EventId, Path, description = "The event"),
        ("wait" = Option<u32>, Query, description = "Seconds to wait for the description; 0 when absent", maximum = 60)
    ),
    request_body(content = Option<ReanalysisBody>),
    responses(
        (status = 200, description = "The event with its new description; only with `wait`", body = Event),
        (status = 202, description = "It will be described", body = ReanalysisQueued),
        (status = 404),
        (status = 409, description = "A description is being made, no picture is stored, or a budget is spent"),
        (status = 422),
        (status = 429, description = "Three were accepted for the event within an hour, or the key's requests are used up"),
        (status = 502, description = "No provider could describe it; only with `wait`"),
        (status = 503, description = "No provider is enabled"),
        (status = 504, description = "The provider did not answer in time; only with `wait`")
    ),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn reanalyse(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let body = body.json_or_empty().await?;
    let id: Option<EventId> = named(&req, "id")?;
    let mut query = Query::parse(req.query_string())?;
    let wait_s = query.int("wait", 0..=WAIT_S).and_then(|s| u64::try_from(s).ok()).unwrap_or(0);
    let asked = query.done();
    let decoded = decode::<ReanalysisBody>(body);
    let mut faults = decoded.value.check();
    faults.0.extend(asked.err().unwrap_or_default().0);
    if !decoded.is_sound() || !faults.is_empty() {
        return Err(decoded.with(faults).into());
    }
    let body = decoded.value;
    let how = Reanalysis { analysis_mode: body.analysis_mode.0, prompt: body.prompt.0, provider: body.provider.0 };
    let event_id = id.ok_or(ApiError::NotFound(super::WHAT))?;
    let wait = Duration::from_secs(wait_s);
    match shared.control(move |c| async move { c.event_reanalyse(event_id, how, wait).await }).await? {
        Reanalysed::Done(event) => Ok(HttpResponse::Ok().json(event)),
        Reanalysed::Queued(analysis_id) => {
            let status = QueuedStatus::Queued;
            Ok(HttpResponse::Accepted().json(ReanalysisQueued { event_id, analysis_id, status }))
        }
    }
}
