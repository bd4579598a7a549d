//! Pages of the list of events.

use std::sync::Arc;

use argus_core::event::Event;
use argus_core::{EventId, Invalid};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::walk::{Position, page_rows};
use super::{EventFilter, event_id, totals, whole_all};
use crate::database::Database;
use crate::error::DbError;
use crate::page::offset;

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
        let inner = Arc::clone(&self.inner);
        self.read_snapshot(move |c| {
            let total = totals::total(c, &inner.totals, &filter)?;
            let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
            let mut rows = Vec::new();
            if u64::try_from(skip).unwrap_or(0) < total {
                let behind = cursor.map(|c| Position { started_us: c.started_us, id: c.id.to_string() });
                // One more than asked for tells whether there is a next page.
                rows = page_rows(c, &filter, sort, behind, skip, wanted.saturating_add(1), total)?;
            }
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
    use argus_core::Timestamp;
    use proptest::prelude::*;

    use super::*;

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
