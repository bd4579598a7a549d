//! How many events match.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use diesel::prelude::*;

use super::EventFilter;
use super::facts::Kinds;
use super::ladder::{Piece, Window};
use super::summary::{self, Part};
use crate::conn::DbConn;
use crate::error::DbError;
use crate::page::total as unsigned;
use crate::search::{self, Search};

/// Answers that are remembered.
const REMEMBERED: usize = 64;

/// The exact number of events that match, in the state that the connection's transaction sees.
///
/// The summary knows it for cameras, kinds and time. Words and confidence have to be counted; what was counted holds until
/// an event changes.
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
    for Part { piece, times } in summary::parts(conn, filter.window())? {
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
    let total = unsigned(count);
    known.put(filter.clone(), changes, total);
    Ok(total)
}

/// Counts row by row.
fn rows(conn: &mut DbConn, filter: &EventFilter, window: Window) -> Result<i64, DbError> {
    let Some(query) = filter.query(window, conn.is_postgres()) else { return Ok(0) };
    Ok(query.count().get_result(conn)?)
}

/// Numbers that were counted, with the state in which they were.
#[derive(Default)]
pub(crate) struct Totals(Mutex<VecDeque<(EventFilter, i64, u64)>>);

impl Totals {
    fn kept(&self) -> MutexGuard<'_, VecDeque<(EventFilter, i64, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, filter: &EventFilter, changes: i64) -> Option<u64> {
        self.kept().iter().find(|(f, at, _)| *at == changes && f == filter).map(|&(_, _, total)| total)
    }

    fn put(&self, filter: EventFilter, changes: i64, total: u64) {
        let mut kept = self.kept();
        kept.retain(|(f, at, _)| *f != filter || *at > changes);
        if kept.len() >= REMEMBERED {
            kept.pop_front();
        }
        kept.push_back((filter, changes, total));
    }
}
