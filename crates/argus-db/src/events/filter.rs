//! Which events of the list, and pages of them.

use argus_core::camera::SourceType;
use argus_core::event::{DescriptionStatus, DetectionType, Event};
use argus_core::{CameraId, EventId, Invalid, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::row::ClipState;
use super::{EventRow, event_id, whole_all};
use crate::conn::{DbConn, MultiBackend};
use crate::database::Database;
use crate::error::DbError;
use crate::page::{offset, total};
use crate::schema::event;
use crate::search::{self, Search};

/// Which events; the default is all. Fields combine with AND, the values of one field with OR; an empty list is no filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Cameras, as they were asked for; text that is no id matches nothing.
    pub camera_ids: Vec<String>,
    /// What set the event off, or was seen.
    pub detection_types: Vec<DetectionType>,
    /// Kinds of source.
    pub source_types: Vec<SourceType>,
    /// Not before this millisecond.
    pub start_time: Option<Timestamp>,
    /// Not after this millisecond.
    pub end_time: Option<Timestamp>,
    /// At least this confidence, percent.
    pub min_confidence: Option<u8>,
    /// Words of the description (contract 8.3); empty is no filter.
    pub q: Option<String>,
    /// How far the description is.
    pub description_statuses: Vec<DescriptionStatus>,
    /// Whether a clip can be seen.
    pub has_clip: Option<bool>,
    /// Whether the description is marked as not to be relied upon.
    pub low_confidence: Option<bool>,
}

/// Order by start, then id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Oldest first.
    Asc,
    /// Newest first.
    #[default]
    Desc,
}

/// Which part of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paging {
    /// By number, from 1.
    Page {
        /// Which page.
        page: u32,
        /// Most items on a page.
        limit: u32,
    },
    /// Behind the last item of an earlier page, at the same cost at any depth.
    Cursor {
        /// `next_cursor` of that page.
        cursor: String,
        /// Most items on a page.
        limit: u32,
    },
}

/// A part of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct EventPage {
    /// What is on it.
    pub items: Vec<Event>,
    /// How many match in all.
    pub total: u64,
    /// Continues behind the last item; `None` on the last page.
    pub next_cursor: Option<String>,
    /// Which page; `None` when a cursor was given.
    pub page: Option<u32>,
    /// Most items on a page.
    pub limit: u32,
}

type Query = event::BoxedQuery<'static, MultiBackend>;
type Condition = Box<dyn BoxableExpression<event::table, MultiBackend, SqlType = Bool>>;

/// The position of an event in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    sort: Sort,
    started_us: i64,
    id: EventId,
}

impl Cursor {
    fn encode(self) -> String {
        let sort = match self.sort {
            Sort::Asc => 'a',
            Sort::Desc => 'd',
        };
        URL_SAFE_NO_PAD.encode(format!("1{sort}{}.{}", self.started_us, self.id))
    }

    fn decode(text: &str, sort: Sort) -> Result<Self, Invalid> {
        let bad = || Invalid::new("cursor", "is not the next_cursor of a page in this order");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_damaged| bad())?;
        let plain = String::from_utf8(bytes).map_err(|_damaged| bad())?;
        let rest = match sort {
            Sort::Asc => plain.strip_prefix("1a"),
            Sort::Desc => plain.strip_prefix("1d"),
        };
        let (us, id) = rest.and_then(|r| r.split_once('.')).ok_or_else(bad)?;
        let started_us: i64 = us.parse().map_err(|_damaged| bad())?;
        let cursor = Self { sort, started_us, id: id.parse().map_err(|_damaged| bad())? };
        // One position has one text: `+5` and `05` are damaged too.
        if cursor.encode() == text { Ok(cursor) } else { Err(bad()) }
    }
}

impl EventFilter {
    /// Whether it asks for nothing but cameras: then the counts know how many there are.
    fn only_cameras(&self) -> bool {
        let rest = Self { camera_ids: Vec::new(), ..self.clone() };
        rest == Self::default()
    }

    /// The cameras that exist in name; `None` when every camera will do.
    fn cameras(&self) -> Option<Vec<String>> {
        if self.camera_ids.is_empty() {
            return None;
        }
        Some(self.camera_ids.iter().filter(|id| id.parse::<CameraId>().is_ok()).cloned().collect())
    }

    /// The query, or `None` when nothing can match.
    fn query(&self, postgres: bool) -> Option<Query> {
        let mut query: Query = event::table.into_boxed();
        if let Some(cameras) = self.cameras() {
            if cameras.is_empty() {
                return None;
            }
            query = query.filter(event::camera_id.eq_any(cameras));
        }
        if !self.detection_types.is_empty() {
            query = query.filter(detected(&self.detection_types));
        }
        if !self.source_types.is_empty() {
            let types: Vec<&'static str> = self.source_types.iter().map(|t| t.as_str()).collect();
            query = query.filter(event::source_type.eq_any(types));
        }
        // Moments are stored in microseconds and asked for as they are shown, in milliseconds.
        if let Some(start) = self.start_time {
            query = query.filter(event::started_us.ge(start.as_millis().saturating_mul(1000)));
        }
        if let Some(end) = self.end_time {
            query = query.filter(event::started_us.lt(end.as_millis().saturating_add(1).saturating_mul(1000)));
        }
        if let Some(percent) = self.min_confidence {
            query = query.filter(event::confidence.ge(i32::from(percent)));
        }
        match Search::parse(self.q.as_deref()) {
            Search::Everything => {}
            Search::Nothing => return None,
            Search::Words(words) => query = query.filter(search::condition(&words, postgres)),
        }
        if !self.description_statuses.is_empty() {
            let statuses: Vec<&'static str> = self.description_statuses.iter().map(|s| s.as_str()).collect();
            query = query.filter(event::description_status.eq_any(statuses));
        }
        if let Some(has_clip) = self.has_clip {
            let stored = ClipState::Stored.as_str();
            query = if has_clip {
                query.filter(event::clip_state.eq(stored))
            } else {
                query.filter(event::clip_state.ne(stored))
            };
        }
        if let Some(low) = self.low_confidence {
            query = query.filter(event::low_confidence.eq(low));
        }
        Some(query)
    }
}

/// `detection_type` or one of the objects is among `types`.
fn detected(types: &[DetectionType]) -> Condition {
    let names: Vec<&'static str> = types.iter().map(|t| t.as_str()).collect();
    let mut any: Condition = Box::new(event::detection_type.eq_any(names.clone()));
    for name in names {
        // The names are our own and the column is a JSON list of such names: a quoted name is found only whole.
        any = Box::new(any.or(sql::<Bool>(&format!("event.objects LIKE '%\"{name}\"%'"))));
    }
    any
}

/// How many events match.
fn count(conn: &mut DbConn, filter: &EventFilter) -> Result<u64, DbError> {
    if filter.only_cameras() {
        // The sum of all counts is exact and costs nothing.
        use crate::schema::event_count;
        let mut query: event_count::BoxedQuery<'_, MultiBackend, BigInt> =
            event_count::table.select(sql::<BigInt>("CAST(COALESCE(SUM(events), 0) AS BIGINT)")).into_boxed();
        if let Some(cameras) = filter.cameras() {
            query = query.filter(event_count::camera_id.eq_any(cameras));
        }
        return Ok(total(query.get_result(conn)?));
    }
    let Some(query) = filter.query(conn.is_postgres()) else { return Ok(0) };
    Ok(total(query.count().get_result(conn)?))
}

impl Database {
    /// A part of the events that match, with the exact number of all that match.
    ///
    /// # Errors
    /// `Invalid` (field `cursor`) for a cursor that is damaged or of the other order.
    pub async fn event_page(&self, filter: EventFilter, paging: Paging, sort: Sort) -> Result<EventPage, DbError> {
        let (skip, cursor, page, limit) = match paging {
            Paging::Page { page, limit } => (offset(page, limit), None, Some(page), limit),
            Paging::Cursor { cursor, limit } => (0, Some(Cursor::decode(&cursor, sort)?), None, limit),
        };
        self.read_snapshot(move |c| {
            let total = count(c, &filter)?;
            let mut rows: Vec<EventRow> = Vec::new();
            if total > 0
                && let Some(mut query) = filter.query(c.is_postgres())
            {
                if let Some(Cursor { started_us, id, .. }) = cursor {
                    let id = id.to_string();
                    // The first condition alone bounds the walk through the index.
                    query = match sort {
                        Sort::Desc => query
                            .filter(event::started_us.le(started_us))
                            .filter(event::started_us.lt(started_us).or(event::id.lt(id))),
                        Sort::Asc => query
                            .filter(event::started_us.ge(started_us))
                            .filter(event::started_us.gt(started_us).or(event::id.gt(id))),
                    };
                }
                query = match sort {
                    Sort::Desc => query.order((event::started_us.desc(), event::id.desc())),
                    Sort::Asc => query.order((event::started_us.asc(), event::id.asc())),
                };
                // One more than asked for tells whether there is a next page.
                rows = query.limit(i64::from(limit) + 1).offset(skip).load(c)?;
            }
            let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
            let has_more = rows.len() > wanted;
            rows.truncate(wanted);
            let next_cursor = match rows.last() {
                Some(row) if has_more => {
                    Some(Cursor { sort, started_us: row.started_us, id: event_id(&row.id)? }.encode())
                }
                _ => None,
            };
            Ok(EventPage { items: whole_all(c, rows)?, total, next_cursor, page, limit })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_survives_its_text(us in any::<i64>(), at in 0_i64..4_000_000_000_000_000, asc in any::<bool>()) {
            let sort = if asc { Sort::Asc } else { Sort::Desc };
            let other = if asc { Sort::Desc } else { Sort::Asc };
            let cursor = Cursor { sort, started_us: us, id: EventId::new(Timestamp::from_micros(at)) };
            let text = cursor.encode();
            prop_assert_eq!(Cursor::decode(&text, sort), Ok(cursor));
            prop_assert!(Cursor::decode(&text, other).is_err());
        }

        #[test]
        fn damaged_cursors_are_refused(text in ".{0,80}") {
            prop_assert!(Cursor::decode(&text, Sort::Desc).is_err());
        }
    }
}
