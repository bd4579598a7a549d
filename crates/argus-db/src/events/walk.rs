//! Finds the rows of a page: the summary tells in which stretches of time they lie, so that neither the depth of the
//! page nor the rarity of what is looked for makes the walk through the events long.

use diesel::prelude::*;

use super::facts::Kinds;
use super::filter::Query;
use super::ladder::{Piece, Span, Window};
use super::summary::{Bucket, buckets, extent};
use super::{EventFilter, EventRow, Sort, totals};
use crate::conn::DbConn;
use crate::error::DbError;
use crate::schema::event;
use crate::search::Search;

/// So many events are rather looked through than located more closely.
const LOOK_THROUGH: i64 = 256;

/// So many stretches are looked at first.
const AT_ONCE: i64 = 4;

/// A place in the list: that of the last event seen.
#[derive(Clone, Debug)]
pub(super) struct Position {
    pub(super) started_us: i64,
    pub(super) id: String,
}

/// At most `want` rows of the list, behind a position and after passing over `skip`.
pub(super) fn page_rows(
    conn: &mut DbConn,
    filter: &EventFilter,
    sort: Sort,
    behind: Option<Position>,
    skip: i64,
    want: usize,
    total: u64,
) -> Result<Vec<EventRow>, DbError> {
    if let Some(rows) = by_text(conn, filter, sort, behind.as_ref(), skip, want, total)? {
        return Ok(rows);
    }
    located(conn, filter, sort, behind, skip, want)
}

/// Finds the rows by the summary as far as it knows, else by the indexes of the database.
fn located(
    conn: &mut DbConn,
    filter: &EventFilter,
    sort: Sort,
    behind: Option<Position>,
    skip: i64,
    want: usize,
) -> Result<Vec<EventRow>, DbError> {
    let mut window = filter.window();
    match (&behind, sort) {
        (Some(last), Sort::Desc) => window.until = window.until.min(last.started_us.saturating_add(1)),
        (Some(last), Sort::Asc) => window.from = window.from.max(last.started_us),
        (None, _) => {}
    }
    let (cameras, kinds) = (filter.summed(), filter.kinds());
    let is_indexed = kinds.is_some_and(|kinds| kinds.is_any()) && cameras.len() == 1;
    let mut walk = Walk {
        conn,
        filter,
        kinds: kinds.unwrap_or_default(),
        cameras,
        is_indexed,
        sort,
        behind,
        window,
        skip,
        want,
        rows: Vec::new(),
        is_over: false,
        run: None,
        gap: 0,
    };
    if kinds.is_none() || (is_indexed && skip == 0) {
        walk.fetch(window)?;
    } else {
        // Nothing lies outside of the days that have events.
        let window = extent(walk.conn)?.map_or(Window { until: window.from, ..window }, |days| window.and(days));
        for piece in window.pieces_in(Span::Day, sort) {
            walk.piece(piece)?;
        }
        walk.flush()?;
    }
    Ok(walk.rows)
}

/// Words that many events have are found soon by looking at one event after the other; the full-text index of SQLite
/// would first name every event that has them, in no useful order. `None`: better ask the index.
fn by_text(
    conn: &mut DbConn,
    filter: &EventFilter,
    sort: Sort,
    last: Option<&Position>,
    skip: i64,
    want: usize,
    total: u64,
) -> Result<Option<Vec<EventRow>>, DbError> {
    if conn.is_postgres() || !matches!(filter.search(), Search::Words(_)) {
        return Ok(None);
    }
    let around = filter.around();
    let all = totals::summed(conn, &around, &Kinds::default())?;
    let total = i64::try_from(total).unwrap_or(i64::MAX).max(1);
    let ahead = skip.saturating_add(i64::try_from(want).unwrap_or(i64::MAX));
    let expected = ahead.saturating_mul(all / total + 1);
    if expected > total {
        return Ok(None);
    }
    let mut window = filter.window();
    // Words have their seasons: where they are not found soon after all, the index is asked.
    let patience = expected.saturating_mul(4).saturating_add(1000);
    let end = located(conn, &around, sort, last.cloned(), patience, 1)?.pop();
    match (&end, sort) {
        (Some(end), Sort::Desc) => window.from = window.from.max(end.started_us),
        (Some(end), Sort::Asc) => window.until = window.until.min(end.started_us.saturating_add(1)),
        (None, _) => {}
    }
    let Some(mut query) = filter.query_by_text(window) else { return Ok(None) };
    if let Some(last) = last {
        query = behind(query, sort, last);
    }
    let limit = i64::try_from(want).unwrap_or(i64::MAX);
    let rows: Vec<EventRow> = in_order(query, sort).limit(limit).offset(skip).load(conn)?;
    Ok((rows.len() >= want || end.is_none()).then_some(rows))
}

/// Rows in the order of the list.
pub(super) fn in_order(query: Query, sort: Sort) -> Query {
    match sort {
        Sort::Desc => query.order((event::started_us.desc(), event::id.desc())),
        Sort::Asc => query.order((event::started_us.asc(), event::id.asc())),
    }
}

/// Only what comes behind a position.
pub(super) fn behind(query: Query, sort: Sort, last: &Position) -> Query {
    let (us, id) = (last.started_us, last.id.clone());
    // The first condition alone bounds the walk through the index.
    match sort {
        Sort::Desc => query.filter(event::started_us.le(us)).filter(event::started_us.lt(us).or(event::id.lt(id))),
        Sort::Asc => query.filter(event::started_us.ge(us)).filter(event::started_us.gt(us).or(event::id.gt(id))),
    }
}

/// Stretches that are read together.
struct Run {
    window: Window,
    expected: i64,
}

struct Walk<'a> {
    conn: &'a mut DbConn,
    filter: &'a EventFilter,
    kinds: Kinds,
    cameras: Vec<String>,
    /// Whether an index has the matching rows in the order of the list.
    is_indexed: bool,
    sort: Sort,
    behind: Option<Position>,
    window: Window,
    /// Rows still to be passed over.
    skip: i64,
    want: usize,
    rows: Vec<EventRow>,
    /// Whether everything was read, though it was less than wanted.
    is_over: bool,
    run: Option<Run>,
    /// Events without a match since the run.
    gap: i64,
}

impl Walk<'_> {
    fn is_done(&self) -> bool {
        self.is_over || self.rows.len() >= self.want
    }

    fn missing(&self) -> i64 {
        i64::try_from(self.want.saturating_sub(self.rows.len())).unwrap_or(i64::MAX)
    }

    fn piece(&mut self, piece: Piece) -> Result<(), DbError> {
        if self.is_done() {
            return Ok(());
        }
        match piece {
            Piece::Whole(span, window) => self.whole(span, window),
            Piece::Rest(window) => {
                self.flush()?;
                if self.skip > 0 {
                    let Some(query) = self.filter.query(window, self.conn.is_postgres()) else { return Ok(()) };
                    let matching: i64 = query.count().get_result(self.conn)?;
                    if matching <= self.skip {
                        self.skip -= matching;
                        return Ok(());
                    }
                }
                self.fetch(window)
            }
        }
    }

    /// Looks at some stretches, then at more: most pages are full after the first.
    fn whole(&mut self, span: Span, window: Window) -> Result<(), DbError> {
        let (mut left, mut at_once) = (window, AT_ONCE);
        while !left.is_empty() && !self.is_done() {
            let len = span.window(left.from).len_us().saturating_mul(at_once);
            let some = match self.sort {
                Sort::Desc => Window { from: left.from.max(left.until.saturating_sub(len)), ..left },
                Sort::Asc => Window { until: left.until.min(left.from.saturating_add(len)), ..left },
            };
            match self.sort {
                Sort::Desc => left.until = some.from,
                Sort::Asc => left.from = some.until,
            }
            at_once = at_once.saturating_mul(AT_ONCE);
            let mut found = buckets(self.conn, &self.cameras, &self.kinds, span, some)?;
            if self.sort == Sort::Desc {
                found.reverse();
            }
            for bucket in found {
                if self.is_done() {
                    break;
                }
                self.bucket(span, bucket)?;
            }
        }
        Ok(())
    }

    fn bucket(&mut self, span: Span, bucket: Bucket) -> Result<(), DbError> {
        if bucket.matching == 0 {
            self.gap = self.gap.saturating_add(bucket.all);
            return Ok(());
        }
        if bucket.matching <= self.skip {
            self.skip -= bucket.matching;
            return Ok(());
        }
        let window = span.window(bucket.from);
        if let Some(finer) = span.finer().filter(|_| bucket.all > LOOK_THROUGH) {
            return self.whole(finer, window);
        }
        if self.is_indexed {
            // From here on everything matches.
            let rest = match self.sort {
                Sort::Desc => Window { from: self.window.from, until: window.until },
                Sort::Asc => Window { from: window.from, until: self.window.until },
            };
            self.is_over = true;
            return self.fetch(rest);
        }
        if self.skip > 0 {
            return self.fetch(window);
        }
        if self.gap > LOOK_THROUGH {
            self.flush()?;
        }
        self.gap = 0;
        let run = self.run.get_or_insert(Run { window, expected: 0 });
        run.window = Window { from: run.window.from.min(window.from), until: run.window.until.max(window.until) };
        run.expected += bucket.matching;
        if run.expected >= self.missing() { self.flush() } else { Ok(()) }
    }

    /// Reads what was put together.
    fn flush(&mut self) -> Result<(), DbError> {
        match self.run.take() {
            Some(run) if !self.is_done() => self.fetch(run.window),
            _ => Ok(()),
        }
    }

    /// Reads the next rows of a window, and passes over those that are still to be passed over.
    fn fetch(&mut self, window: Window) -> Result<(), DbError> {
        let window = window.and(self.window);
        let Some(mut query) = self.filter.query(window, self.conn.is_postgres()) else { return Ok(()) };
        if let Some(last) = &self.behind {
            query = behind(query, self.sort, last);
        }
        let query = in_order(query, self.sort).limit(self.missing()).offset(std::mem::take(&mut self.skip));
        let rows: Vec<EventRow> = query.load(self.conn)?;
        self.rows.extend(rows);
        Ok(())
    }
}
