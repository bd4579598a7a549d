//! Statistics of events.

use std::collections::BTreeMap;

use actix_web::HttpRequest;
use actix_web::web::{Data, Json};
use argus_core::calendar::Calendar;
use argus_core::camera::SourceType;
use argus_core::event::{DescriptionStatus, DetectionType, ObjectKind};
use argus_core::{Faults, Timestamp};
use argus_db::EventStats;
use serde::Serialize;
use utoipa::ToSchema;

use super::filter::{self, EventQuery};
use crate::auth::{Caller, ReadEvents};
use crate::error::ApiError;
use crate::paths;
use crate::query::Query;
use crate::state::Shared;

/// The time that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TimeRange {
    /// `start_time` of the request.
    #[schema(required)]
    pub start: Option<Timestamp>,
    /// `end_time` of the request.
    #[schema(required)]
    pub end: Option<Timestamp>,
}

/// Numbers of the events that match. Averages are over the events that have the value, and null where none has.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EventStatsView {
    /// The time that was asked for.
    pub time_range: TimeRange,
    /// Time zone of the days and hours.
    pub timezone: String,
    /// All events that match.
    pub total_events: u64,
    /// Days with events, ascending, such as `2025-12-23`.
    pub events_by_day: BTreeMap<String, u64>,
    /// All hours of the day, `00` to `23`.
    pub events_by_hour: BTreeMap<String, u64>,
    /// Cameras with events, by id.
    pub events_by_camera: BTreeMap<String, u64>,
    /// By what set them off.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub events_by_detection_type: BTreeMap<DetectionType, u64>,
    /// By what was seen; an event counts for each of its objects.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub events_by_object_type: BTreeMap<ObjectKind, u64>,
    /// By kind of source.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub events_by_source_type: BTreeMap<SourceType, u64>,
    /// By how far the description is.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub events_by_description_status: BTreeMap<DescriptionStatus, u64>,
    /// Of the detections, percent.
    #[schema(required)]
    pub average_confidence: Option<f64>,
    /// Stated by the models, percent.
    #[schema(required)]
    pub average_ai_confidence: Option<f64>,
    /// Milliseconds.
    #[schema(required)]
    pub average_duration_ms: Option<f64>,
    /// Milliseconds.
    #[schema(required)]
    pub average_ai_response_time_ms: Option<f64>,
    /// US dollars.
    pub total_ai_cost: f64,
    /// Events for which a rule raised an alert.
    pub alerts_triggered: u64,
}

impl EventStatsView {
    fn new(time_range: TimeRange, timezone: String, stats: EventStats) -> Self {
        Self {
            time_range,
            timezone,
            total_events: stats.total,
            events_by_day: stats.by_day,
            events_by_hour: (0..).zip(stats.by_hour).map(|(hour, n)| (format!("{hour:02}"), n)).collect(),
            events_by_camera: stats.by_camera,
            events_by_detection_type: stats.by_detection_type,
            events_by_object_type: stats.by_object,
            events_by_source_type: stats.by_source_type,
            events_by_description_status: stats.by_status,
            average_confidence: stats.average_confidence,
            average_ai_confidence: stats.average_ai_confidence,
            average_duration_ms: stats.average_duration_ms,
            average_ai_response_time_ms: stats.average_ai_response_time_ms,
            total_ai_cost: stats.total_ai_cost,
            alerts_triggered: stats.alerts,
        }
    }
}

/// Gives counts, averages and sums of events.
#[utoipa::path(
    get,
    path = paths::EVENT_STATS,
    operation_id = "get_event_stats",
    tag = "events",
    params(
        EventQuery,
        ("timezone" = Option<String>, Query, description = "IANA time zone of days and hours; absent: the setting `general.timezone`")
    ),
    responses((status = 200, description = "The statistics", body = EventStatsView), (status = 422)),
    extensions(("x-permission" = json!("read:events")))
)]
pub(crate) async fn stats(
    _: Caller<ReadEvents>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<EventStatsView>, ApiError> {
    let mut query = Query::parse(req.query_string())?;
    let filter = filter::read(&mut query);
    let asked = query.read("timezone", |text| Calendar::named(text).map_err(|fault| fault.reason));
    query.done()?;
    let calendar = match asked {
        Some(calendar) => calendar,
        None => Calendar::named(&shared.state.control.settings().general.timezone).map_err(Faults::from)?,
    };
    let time_range = TimeRange { start: filter.start_time, end: filter.end_time };
    let timezone = calendar.name().to_owned();
    let stats = shared.state.db.event_stats(filter, calendar).await?;
    Ok(Json(EventStatsView::new(time_range, timezone, stats)))
}
