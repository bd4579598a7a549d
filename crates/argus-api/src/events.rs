//! Events and their media.

mod csv;
mod difference;
mod export;
mod filter;
mod reanalyse;
mod reproduce;
mod stats;

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use argus_core::describe::Analysis;
use argus_core::event::Event;
use argus_core::media::{clip_key, event_prefix, frame_key, thumbnail_key};
use argus_core::{EventId, chain};
use argus_db::{EventPage, Paging};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{Admin, Caller, ReadEvents};
use crate::error::ApiError;
use crate::ids::{Index, named};
use crate::list::{List, PageQuery, pages};
use crate::media::{self, CACHE_ASK, CACHE_DAY, Serving};
use crate::paths;
use crate::query::Query;
use crate::state::Shared;

pub use difference::{Change, Words};
pub(crate) use export::{__path_export, export};
pub(crate) use filter::{EventQuery, SortQuery};
pub(crate) use reanalyse::{__path_reanalyse, reanalyse};
pub use reanalyse::{QueuedStatus, ReanalysisQueued};
pub(crate) use reproduce::{__path_reproduce, reproduce};
pub use reproduce::{AnswerView, ReproductionView};
pub(crate) use stats::{__path_stats, stats};
pub use stats::{EventStatsView, TimeRange};

const WHAT: &str = "event";

/// One page of events.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EventList {
    /// What is on it.
    pub items: Vec<Event>,
    /// All matches, on all pages.
    pub total: u64,
    /// Which page, from 1; null with a cursor.
    #[schema(required)]
    pub page: Option<u32>,
    /// Most items on a page.
    pub limit: u32,
    /// ⌈`total` / `limit`⌉.
    pub pages: u64,
    /// Continues behind the last item, whatever is inserted meanwhile; null on the last page.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

impl From<EventPage> for EventList {
    fn from(page: EventPage) -> Self {
        Self {
            pages: pages(page.total, page.limit),
            items: page.items,
            total: page.total,
            page: page.page,
            limit: page.limit,
            next_cursor: page.next_cursor,
        }
    }
}

/// One event as stored.
async fn stored(shared: &Shared, id: Option<EventId>) -> Result<Event, ApiError> {
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    shared.state.db.event_get(id).await?.ok_or(ApiError::NotFound(WHAT))
}

/// The event that the path names, when its text can name one. Whether it exists is looked at after the values.
fn id(req: &HttpRequest) -> Result<Option<EventId>, ApiError> {
    named(req, "id")
}

/// Lists events, newest first.
#[utoipa::path(
    get,
    path = paths::EVENTS,
    operation_id = "list_events",
    tag = "events",
    params(
        EventQuery,
        SortQuery,
        PageQuery,
        ("cursor" = Option<String>, Query, description = "`next_cursor` of an earlier page, instead of `page`")
    ),
    responses((status = 200, description = "A page of events", body = EventList), (status = 422)),
    extensions(("x-permission" = json!("read:events")))
)]
pub(crate) async fn list(
    _: Caller<ReadEvents>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<EventList>, ApiError> {
    let mut query = Query::parse(req.query_string())?;
    let filter = filter::read(&mut query);
    let sort = filter::sort(&mut query);
    let cursor = query.one("cursor");
    if cursor.is_some() && query.has("page") {
        query.fault("page", "must be absent when a cursor is given");
    }
    let PageQuery { page, limit } = PageQuery::read(&mut query);
    query.done()?;
    let paging = match cursor {
        Some(cursor) => Paging::Cursor { cursor, limit },
        None => Paging::Page { page, limit },
    };
    Ok(Json(shared.state.db.event_page(filter, paging, sort).await?.into()))
}

/// Gives one event.
#[utoipa::path(
    get,
    path = paths::EVENT,
    operation_id = "get_event",
    tag = "events",
    params(("id" = EventId, Path, description = "The event")),
    responses((status = 200, description = "The event", body = Event), (status = 404)),
    extensions(("x-permission" = json!("read:events")))
)]
pub(crate) async fn get(
    _: Caller<ReadEvents>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<Event>, ApiError> {
    let id = id(&req)?;
    Query::parse(req.query_string())?.done()?;
    Ok(Json(stored(&shared, id).await?))
}

/// Removes an event with its thumbnail, frames, clip and receipts.
#[utoipa::path(
    delete,
    path = paths::EVENT,
    operation_id = "delete_event",
    tag = "events",
    params(("id" = EventId, Path, description = "The event")),
    responses((status = 204, description = "It is gone"), (status = 404)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn delete(_: Caller<Admin>, shared: Data<Shared>, req: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = id(&req)?;
    Query::parse(req.query_string())?.done()?;
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    shared.control(move |c| async move { c.event_delete(id).await }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Gives the small picture of an event.
#[utoipa::path(
    get,
    path = paths::EVENT_THUMBNAIL,
    operation_id = "get_event_thumbnail",
    tag = "events",
    params(("id" = EventId, Path, description = "The event")),
    responses(
        (status = 200, description = "The picture", content_type = "image/jpeg", body = [u8]),
        (status = 304, description = "The client's copy is the present one"),
        (status = 404)
    ),
    extensions(("x-permission" = json!("read:events")))
)]
pub(crate) async fn thumbnail(
    _: Caller<ReadEvents>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let id = id(&req)?;
    Query::parse(req.query_string())?.done()?;
    let event = stored(&shared, id).await?;
    let how = Serving { what: "thumbnail", content_type: "image/jpeg", cache: CACHE_ASK, ranges: false, save_as: None };
    if event.thumbnail_url.is_none() {
        return Err(ApiError::NotFound(how.what));
    }
    served(&shared, &thumbnail_key(&prefix(&event)), &req, how).await
}

/// Gives one of the pictures that the describer was given.
#[utoipa::path(
    get,
    path = paths::EVENT_FRAME,
    operation_id = "get_event_frame",
    tag = "events",
    params(
        ("id" = EventId, Path, description = "The event"),
        ("index" = u32, Path, description = "Which picture, from 0")
    ),
    responses(
        (status = 200, description = "The picture, byte for byte", content_type = "image/jpeg", body = [u8]),
        (status = 304, description = "The client's copy is the present one"),
        (status = 404)
    ),
    extensions(("x-permission" = json!("read:events")))
)]
pub(crate) async fn frame(
    _: Caller<ReadEvents>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let how = Serving { what: "frame", content_type: "image/jpeg", cache: CACHE_DAY, ranges: false, save_as: None };
    let id = id(&req)?;
    let index: Option<Index> = named(&req, "index")?;
    Query::parse(req.query_string())?.done()?;
    let event = stored(&shared, id).await?;
    let Some(Index(index)) = index else { return Err(ApiError::NotFound(how.what)) };
    if !event.frames.iter().any(|f| f.index == index && f.url.is_some()) {
        return Err(ApiError::NotFound(how.what));
    }
    served(&shared, &frame_key(&prefix(&event), index), &req, how).await
}

/// Gives the video of an event, whole or in parts.
#[utoipa::path(
    get,
    path = paths::EVENT_CLIP,
    operation_id = "get_event_clip",
    tag = "events",
    params(
        ("id" = EventId, Path, description = "The event"),
        ("download" = Option<bool>, Query, description = "As an attachment"),
        ("Range" = Option<String>, Header, description = "Such as `bytes=0-1023`")
    ),
    responses(
        (status = 200, description = "The video", content_type = "video/mp4", body = [u8]),
        (status = 206, description = "The wanted part of it", content_type = "video/mp4", body = [u8]),
        (status = 304, description = "The client's copy is the present one"),
        (status = 404),
        (status = 416, description = "The range lies outside the clip"),
        (status = 422)
    ),
    extensions(("x-permission" = json!("read:events")))
)]
pub(crate) async fn clip(
    _: Caller<ReadEvents>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let id = id(&req)?;
    let mut query = Query::parse(req.query_string())?;
    let download = query.flag("download").unwrap_or(false);
    query.done()?;
    let event = stored(&shared, id).await?;
    let how = Serving {
        what: "clip",
        content_type: "video/mp4",
        cache: CACHE_DAY,
        ranges: true,
        save_as: download.then(|| format!("argus-{}.mp4", event.id)),
    };
    if event.clip_url.is_none() {
        return Err(ApiError::NotFound(how.what));
    }
    served(&shared, &clip_key(&prefix(&event)), &req, how).await
}

/// Lists the receipts of an event's descriptions, newest first.
#[utoipa::path(
    get,
    path = paths::EVENT_ANALYSES,
    operation_id = "list_event_analyses",
    tag = "events",
    params(("id" = EventId, Path, description = "The event"), PageQuery),
    responses((status = 200, description = "A page of receipts", body = List<Analysis>), (status = 404), (status = 422)),
    extensions(("x-permission" = json!("read:events")))
)]
pub(crate) async fn analyses(
    _: Caller<ReadEvents>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<List<Analysis>>, ApiError> {
    let id = id(&req)?;
    let mut query = Query::parse(req.query_string())?;
    let PageQuery { page, limit } = PageQuery::read(&mut query);
    query.done()?;
    let event = stored(&shared, id).await?;
    let found = shared.state.db.analysis_page(event.id, page, limit).await?;
    Ok(Json(List::of(found, |analysis| analysis)))
}

/// Where the event's files lie.
fn prefix(event: &Event) -> String {
    event_prefix(event.camera_id, event.id, event.timestamp)
}

/// A file of an event. One that the event names and the store does not have is missing for the client and a fault of ours.
async fn served(shared: &Shared, key: &str, req: &HttpRequest, how: Serving) -> Result<HttpResponse, ApiError> {
    let answer = media::serve(shared.state.media.as_ref(), key, req, how).await;
    if let Err(failure @ ApiError::NotFound(_)) = &answer {
        tracing::warn!(media.key = key, error = chain(failure), "a file that an event names is not in the store");
    }
    answer
}
