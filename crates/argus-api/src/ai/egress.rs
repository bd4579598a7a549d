//! What left the process, day by day: to which host, how much, and which pictures.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::{Data, Json};
use argus_core::Timestamp;
use argus_core::calendar::Calendar;
use argus_core::call::StoredCall;
use argus_core::event::Event;
use argus_core::usage::{EgressDay, EgressHost};
use serde::Serialize;
use utoipa::ToSchema;

use super::sent::SentCall;
use crate::auth::{Admin, Caller};
use crate::error::ApiError;
use crate::list::{PageQuery, pages};
use crate::paths;
use crate::query::Query;
use crate::state::Shared;

/// Days that are listed when nothing is said.
const USUAL_DAYS: u64 = 30;
/// Most days of one answer.
const MOST_DAYS: u64 = 400;
const DAY: Duration = Duration::from_hours(24);

/// What left the process on one day, a page of calls at a time.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EgressView {
    /// The day.
    #[schema(format = Date)]
    pub date: String,
    /// The time zone whose day it is.
    pub timezone: String,
    /// Its first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
    /// Calls that went to a host.
    pub calls: u64,
    /// Sizes of what was sent, together.
    pub bytes_sent: u64,
    /// Pictures, one as often as it was sent.
    pub frames: u64,
    /// The same by host; they ascend by name.
    pub hosts: Vec<EgressHost>,
    /// The calls of this page, newest first.
    pub items: Vec<SentCall>,
    /// All calls of the day.
    pub total: u64,
    /// Which page, from 1.
    pub page: u32,
    /// Most items on a page.
    pub limit: u32,
    /// ⌈`total` / `limit`⌉.
    pub pages: u64,
}

/// The days on which something left the process.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EgressDays {
    /// The time zone whose days they are.
    pub timezone: String,
    /// The first day that was looked at.
    #[schema(format = Date)]
    pub from: String,
    /// The last one.
    #[schema(format = Date)]
    pub to: String,
    /// The days on which there were calls, ascending.
    pub days: Vec<EgressDay>,
}

fn calendar(shared: &Shared) -> Result<Calendar, ApiError> {
    Ok(Calendar::named(&shared.state.control.settings().general.timezone).map_err(argus_core::Faults::from)?)
}

fn date_of(calendar: &Calendar, at: Timestamp) -> String {
    calendar.local_hour(at).date.to_string()
}

/// Lists what left the process on a day: every call with its host, its size, its text and its pictures.
///
/// A picture has a `url` as long as the picture of the event that it is, or is a part of, is stored. Of one that is no
/// picture of an event, such as those of `/ai/describe`, only the hash is kept.
#[utoipa::path(
    get,
    path = paths::AI_EGRESS,
    operation_id = "list_ai_egress",
    tag = "ai",
    params(
        ("date" = Option<String>, Query, description = "A day of `general.timezone`, such as `2025-12-23`; today when absent",
            format = Date),
        PageQuery
    ),
    responses((status = 200, description = "What left the process on that day", body = EgressView), (status = 422)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn list(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<EgressView>, ApiError> {
    let mut query = Query::parse(req.query_string())?;
    let calendar = calendar(&shared)?;
    let today = date_of(&calendar, shared.state.clock.now());
    let given = query.read("date", |text| calendar.day(text).map(|_| text.to_owned()).map_err(|fault| fault.reason));
    let page = PageQuery::read(&mut query);
    query.done()?;
    let date = given.unwrap_or(today);
    let day = calendar.day(&date).map_err(argus_core::Faults::from)?;
    let timezone = calendar.name().to_owned();
    let db = &shared.state.db;
    let found = db.ai_egress(day.start, day.end, page.page, page.limit).await?;
    let sums = db.ai_egress_days(day.start, day.end, timezone.clone()).await?.into_iter().next();
    let sums =
        sums.unwrap_or_else(|| EgressDay { date: date.clone(), calls: 0, bytes_sent: 0, frames: 0, hosts: Vec::new() });
    let events = events(&shared, &found.items).await?;
    let items = found.items.into_iter().map(|call| {
        let event = call.event_id.and_then(|id| events.get(&id.to_string()));
        SentCall::new(call, event)
    });
    Ok(Json(EgressView {
        date,
        timezone,
        from: day.start,
        until: day.end,
        calls: sums.calls,
        bytes_sent: sums.bytes_sent,
        frames: sums.frames,
        hosts: sums.hosts,
        items: items.collect(),
        total: found.total,
        page: found.page,
        limit: found.limit,
        pages: pages(found.total, found.limit),
    }))
}

/// The events of these calls, as far as they still exist.
async fn events(shared: &Shared, calls: &[StoredCall]) -> Result<BTreeMap<String, Event>, ApiError> {
    let mut events = BTreeMap::new();
    for id in calls.iter().filter_map(|call| call.event_id) {
        if !events.contains_key(&id.to_string())
            && let Some(event) = shared.state.db.event_get(id).await?
        {
            events.insert(id.to_string(), event);
        }
    }
    Ok(events)
}

/// Lists the days on which something left the process, with hosts, calls, pictures and bytes.
#[utoipa::path(
    get,
    path = paths::AI_EGRESS_DAYS,
    operation_id = "list_ai_egress_days",
    tag = "ai",
    params(
        ("from" = Option<String>, Query, description = "The first day; the 30th up to `to` when absent", format = Date),
        ("to" = Option<String>, Query, description = "The last day, at most 400 with it; today when absent", format = Date)
    ),
    responses((status = 200, description = "The days", body = EgressDays), (status = 422)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn days(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<EgressDays>, ApiError> {
    let mut query = Query::parse(req.query_string())?;
    let calendar = calendar(&shared)?;
    let mut date = |name| query.read(name, |text| calendar.day(text).map_err(|fault| fault.reason));
    let (from, to) = (date("from"), date("to"));
    let today = calendar.day(&date_of(&calendar, shared.state.clock.now())).map_err(argus_core::Faults::from)?;
    let to = to.unwrap_or(today);
    let from = match from {
        Some(from) => from,
        None => {
            // From noon to noon: days of a clock change are an hour shorter or longer.
            let noon = to.start.plus(DAY / 2).minus(DAY * u32::try_from(USUAL_DAYS - 1).unwrap_or(0));
            calendar.day(&date_of(&calendar, noon)).map_err(argus_core::Faults::from)?
        }
    };
    if from.start > to.start {
        query.fault("to", "must not be before from");
    } else if to.end.since(from.start).as_secs() / DAY.as_secs() > MOST_DAYS {
        query.fault("to", format!("is more than {MOST_DAYS} days after from"));
    }
    query.done()?;
    let timezone = calendar.name().to_owned();
    let days = shared.state.db.ai_egress_days(from.start, to.end, timezone.clone()).await?;
    Ok(Json(EgressDays { timezone, from: date_of(&calendar, from.start), to: date_of(&calendar, to.start), days }))
}
