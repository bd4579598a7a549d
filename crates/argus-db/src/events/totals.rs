//! How many events match.

use diesel::prelude::*;

use super::EventFilter;
use super::facts::Kinds;
use super::ladder::{Piece, Window};
use super::remembered::Totals;
use super::summary::{self, Part};
use crate::conn::DbConn;
use crate::error::DbError;
use crate::page::total as unsigned;
use crate::search::{self, Search};

/// The exact number of events that match, in the state that the connection's transaction sees.
///
/// The summary knows it for cameras, kinds and time. Words and confidence have to be counted; what was counted is
/// remembered, and goes along with the changes of events.
pub(super) fn total(conn: &mut DbConn, known: &Totals, filter: &EventFilter) -> Result<u64, DbError> {
    if filter.is_void() {
        return Ok(0);
    }
    match filter.kinds() {
        Some(kinds) => summed(conn, filter, &kinds).map(unsigned),
        None => counted(conn, known, filter),
    }
}

/// What the summary says.
pub(super) fn summed(conn: &mut DbConn, filter: &EventFilter, kinds: &Kinds) -> Result<i64, DbError> {
    let mut sum = 0;
    let cameras = filter.summed();
    let Some(extent) = summary::extent(conn)? else { return Ok(0) };
    for Part { piece, times } in summary::parts(extent, filter.window()) {
        match piece {
            Piece::Whole(span, window) => {
                for camera in &cameras {
                    sum += times * summary::count(conn, camera, kinds, span, window)?;
                }
            }
            // What is taken out lies outside of the filter's own time.
            Piece::Rest(window) => sum += times * rows(conn, &filter.whenever(), window)?,
        }
    }
    Ok(sum)
}

fn counted(conn: &mut DbConn, known: &Totals, filter: &EventFilter) -> Result<u64, DbError> {
    let changes = summary::changes(conn)?;
    if let Some(total) = known.get(filter, changes) {
        return Ok(total);
    }
    let only_words = EventFilter { q: None, ..filter.clone() } == EventFilter::default();
    let count = match filter.search() {
        Search::Words(words) if only_words => search::count(conn, &words)?,
        _ => rows(conn, filter, Window::all())?,
    };
    known.put(filter, changes, count);
    Ok(unsigned(count))
}

/// Counts row by row.
fn rows(conn: &mut DbConn, filter: &EventFilter, window: Window) -> Result<i64, DbError> {
    let Some(query) = filter.query(window, conn.is_postgres()) else { return Ok(0) };
    Ok(query.count().get_result(conn)?)
}
