//! The sums of events by time, camera and kind: kept by the transactions that change events, read instead of counting.
//!
//! Each event is part of eight rows: its quarter of an hour, hour, day and all time, of its camera and of all cameras
//! together. A row packs one cell for each kind of event that it holds, so that a row answers every filter but words and
//! confidence. docs/adr/0005-counts.md tells why.

use std::collections::{BTreeMap, HashMap};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};

use super::facts::{COUNTED, Cell, Cells, CountedRow, Facts, Kinds};
use super::ladder::{Piece, Span, Window};
use super::remembered::{Seen, Step};
use super::row::EventRow;
use crate::among::among;
use crate::conn::{DbConn, Role};
use crate::database::Tx;
use crate::error::DbError;
use crate::fixed::fixed;
use crate::journal;
use crate::schema::{event, event_state, event_summary};

/// Stands for all cameras in `event_summary.camera_id`.
pub(crate) const EVERY_CAMERA: &str = "";
/// Events that are counted at once when all are counted anew.
const RECOUNT_AT_ONCE: i64 = 20_000;

/// Which row of the summary.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    span: i32,
    camera_id: String,
    from_us: i64,
}

/// Changes of the summary, gathered so that each of its rows is written once.
#[derive(Default)]
pub(crate) struct Changes {
    rows: BTreeMap<Key, Cells>,
    step: Step,
}

impl Changes {
    /// Counts an event in (1) or out (−1).
    pub(crate) fn add(&mut self, row: &EventRow, times: i64) -> Result<(), DbError> {
        let facts = self.count(&CountedRow::from(row), times)?;
        self.step.add(Seen::new(row, facts), times);
        Ok(())
    }

    fn count(&mut self, row: &CountedRow, times: i64) -> Result<Facts, DbError> {
        let (facts, cell) = row.cell()?;
        for camera_id in [row.camera_id.as_str(), EVERY_CAMERA] {
            for span in Span::EACH {
                let key =
                    Key { span: span.code(), camera_id: camera_id.to_owned(), from_us: span.begin(row.started_us) };
                self.rows.entry(key).or_default().entry(facts).or_default().add(&cell, times);
            }
        }
        Ok(facts)
    }

    /// Writes them, and notes what they mean to totals. On PostgreSQL this takes the lock of the journal, so every row
    /// lock must be taken before.
    pub(crate) fn apply(mut self, tx: &mut Tx<'_>) -> Result<(), DbError> {
        let step = std::mem::take(&mut self.step);
        let number = self.write(tx.conn)?;
        tx.steps.push(step.numbered(number));
        Ok(())
    }

    /// Writes them and gives their number.
    fn write(self, conn: &mut DbConn) -> Result<i64, DbError> {
        journal::lock(conn)?;
        for (key, mut change) in self.rows {
            change.retain(|_, cell| *cell != Cell::default());
            if !change.is_empty() {
                merge(conn, &key, &change)?;
            }
        }
        let next = diesel::update(event_state::table).set(event_state::changes.eq(event_state::changes + 1));
        Ok(next.returning(event_state::changes).get_result(conn)?)
    }
}

/// Adds cells to a row of the summary.
fn merge(conn: &mut DbConn, key: &Key, change: &Cells) -> Result<(), DbError> {
    let row = event_summary::table.find((key.span, key.camera_id.as_str(), key.from_us));
    let stored: Option<(Vec<u8>, Vec<u8>)> =
        row.select((event_summary::cells, event_summary::sums)).first(conn).optional()?;
    let mut cells = stored.as_ref().map(|(cells, sums)| unpack(cells, sums)).transpose()?.unwrap_or_default();
    for (facts, cell) in change {
        cells.entry(*facts).or_default().add(cell, 1);
    }
    cells.retain(|_, cell| *cell != Cell::default());
    if cells.values().any(|cell| cell.events() <= 0) {
        // Something changed events and did not tell. The sums are wrong until all is counted anew.
        tracing::error!("the counts of events are wrong; the next start counts all events");
        diesel::update(event_state::table).set(event_state::summarised.eq(false)).execute(conn)?;
        cells.retain(|_, cell| cell.events() > 0);
    }
    if cells.is_empty() {
        diesel::delete(row).execute(conn)?;
        return Ok(());
    }
    let (packed, sums) = pack(&cells);
    let events: i64 = cells.values().map(Cell::events).sum();
    let values = (event_summary::events.eq(events), event_summary::cells.eq(packed), event_summary::sums.eq(sums));
    if stored.is_some() {
        diesel::update(row).set(values).execute(conn)?;
    } else {
        diesel::insert_into(event_summary::table)
            .values((
                event_summary::span.eq(key.span),
                event_summary::camera_id.eq(&key.camera_id),
                event_summary::from_us.eq(key.from_us),
                values,
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// How many events each camera has; those without any are left out.
pub(crate) fn of_cameras(conn: &mut DbConn) -> Result<HashMap<String, i64>, DbError> {
    let rows: Vec<(String, i64)> = event_summary::table
        .filter(event_summary::span.eq(Span::All.code()))
        .filter(event_summary::camera_id.ne(EVERY_CAMERA))
        .select((event_summary::camera_id, event_summary::events))
        .load(conn)?;
    Ok(rows.into_iter().collect())
}

/// The number that changes with every change of events.
pub(crate) fn changes(conn: &mut DbConn) -> Result<i64, DbError> {
    Ok(event_state::table.select(event_state::changes).first(conn)?)
}

/// Counts all events when the summary does not hold them: after an update of the program.
pub(crate) fn ensure(conn: &mut DbConn) -> Result<(), DbError> {
    let summarised = |conn: &mut DbConn| -> Result<bool, DbError> {
        Ok(event_state::table.select(event_state::summarised).first(conn)?)
    };
    if summarised(conn)? {
        return Ok(());
    }
    conn.transact(Role::Writer, |conn| {
        journal::lock(conn)?;
        // Another process may have been here first.
        if summarised(conn)? {
            return Ok(());
        }
        recount(conn)
    })
}

/// Counts all events anew, inside a transaction.
pub(crate) fn recount(conn: &mut DbConn) -> Result<(), DbError> {
    diesel::delete(event_summary::table).execute(conn)?;
    let mut after = (i64::MIN, String::new());
    loop {
        let rows: Vec<CountedRow> = event::table
            .filter(event::started_us.ge(after.0))
            .filter(event::started_us.gt(after.0).or(event::id.gt(&after.1)))
            .order((event::started_us.asc(), event::id.asc()))
            .select(COUNTED)
            .limit(RECOUNT_AT_ONCE)
            .load(conn)?;
        let Some(last) = rows.last() else { break };
        after = (last.started_us, last.id.clone());
        let mut changes = Changes::default();
        for row in &rows {
            changes.count(row, 1)?;
        }
        changes.write(conn)?;
    }
    diesel::update(event_state::table).set(event_state::summarised.eq(true)).execute(conn)?;
    Ok(())
}

/// A part of what is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) piece: Piece,
    /// 1, or −1 where it is taken out of the whole.
    pub(crate) times: i64,
}

/// The days from the first with events to the last; `None` without any.
pub(crate) fn extent(conn: &mut DbConn) -> Result<Option<Window>, DbError> {
    // Each by itself: asked for both at once, SQLite reads every day. 1 is `Span::Day`, '' is `EVERY_CAMERA`.
    let first = "(SELECT min(from_us) FROM event_summary WHERE span = 1 AND camera_id = '')";
    let last = "(SELECT max(from_us) FROM event_summary WHERE span = 1 AND camera_id = '')";
    let ends = (fixed::<Nullable<BigInt>>(first), fixed::<Nullable<BigInt>>(last));
    let (first, last): (Option<i64>, Option<i64>) = diesel::select(ends).get_result(conn)?;
    Ok(first.zip(last).map(|(first, last)| Window { from: first, until: Span::Day.window(last).until }))
}

/// How a window is best added up, when nothing lies outside of `extent`: from what is in it, or, where that is most of
/// all there is, from all that there is without what is not in it.
pub(crate) fn parts(extent: Window, window: Window) -> Vec<Part> {
    let put = |window: Window, times| window.pieces(Span::All).into_iter().map(move |piece| Part { piece, times });
    let inside = window.and(extent);
    if inside.is_empty() {
        return Vec::new();
    }
    let before = Window { from: extent.from, until: inside.from };
    let after = Window { from: inside.until, until: extent.until };
    if (before.len_us() + after.len_us()).saturating_mul(2) > inside.len_us() {
        return put(inside, 1).collect();
    }
    put(Window::all(), 1).chain(put(before, -1)).chain(put(after, -1)).collect()
}

/// How many events a stretch of time has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) from: i64,
    /// Of the kinds that were asked for.
    pub(crate) matching: i64,
    /// Of any kind.
    pub(crate) all: i64,
}

/// The stretches of a window that hold events of these cameras, in order of time.
pub(crate) fn buckets(
    conn: &mut DbConn,
    cameras: &[String],
    kinds: &Kinds,
    span: Span,
    window: Window,
) -> Result<Vec<Bucket>, DbError> {
    let mut found: Vec<Bucket> = Vec::new();
    for camera in cameras {
        let rows = event_summary::table
            .filter(event_summary::span.eq(span.code()))
            .filter(event_summary::camera_id.eq(camera))
            .filter(event_summary::from_us.ge(window.from))
            .filter(event_summary::from_us.lt(window.until))
            .order(event_summary::from_us.asc());
        if kinds.is_any() {
            let rows: Vec<(i64, i64)> = rows.select((event_summary::from_us, event_summary::events)).load(conn)?;
            found.extend(rows.into_iter().map(|(from, all)| Bucket { from, matching: all, all }));
        } else {
            let columns = (event_summary::from_us, event_summary::events, event_summary::cells);
            let rows: Vec<(i64, i64, Vec<u8>)> = rows.select(columns).load(conn)?;
            for (from, all, cells) in rows {
                found.push(Bucket { from, matching: matching(&cells, kinds)?, all });
            }
        }
    }
    if cameras.len() > 1 {
        found.sort_by_key(|bucket| bucket.from);
        found.dedup_by(|bucket, kept| {
            let is_same = bucket.from == kept.from;
            if is_same {
                kept.matching += bucket.matching;
                kept.all += bucket.all;
            }
            is_same
        });
    }
    Ok(found)
}

/// How many events of one camera (or of [`EVERY_CAMERA`]) whole stretches hold.
pub(crate) fn count(
    conn: &mut DbConn,
    camera: &str,
    kinds: &Kinds,
    span: Span,
    window: Window,
) -> Result<i64, DbError> {
    let rows = event_summary::table
        .filter(event_summary::span.eq(span.code()))
        .filter(event_summary::camera_id.eq(camera))
        .filter(event_summary::from_us.ge(window.from))
        .filter(event_summary::from_us.lt(window.until));
    if kinds.is_any() {
        let sum = fixed::<BigInt>("CAST(COALESCE(SUM(events), 0) AS BIGINT)");
        return Ok(rows.select(sum).get_result(conn)?);
    }
    let packed: Vec<Vec<u8>> = rows.select(event_summary::cells).load(conn)?;
    packed.iter().map(|cells| matching(cells, kinds)).sum()
}

/// The same for each of several cameras, in one statement; those without events may be missing.
pub(crate) fn count_each(
    conn: &mut DbConn,
    cameras: &[String],
    kinds: &Kinds,
    span: Span,
    window: Window,
) -> Result<Vec<(String, i64)>, DbError> {
    if kinds.is_any() && span == Span::All {
        let all = of_cameras(conn)?;
        return Ok(cameras.iter().filter_map(|id| Some((id.clone(), *all.get(id)?))).collect());
    }
    let rows = event_summary::table
        .filter(event_summary::span.eq(span.code()))
        .filter(event_summary::from_us.ge(window.from))
        .filter(event_summary::from_us.lt(window.until));
    if kinds.is_any() {
        let sum = fixed::<BigInt>("CAST(SUM(events) AS BIGINT)");
        let sums = rows.group_by(event_summary::camera_id).select((event_summary::camera_id, sum));
        return Ok(match conn.is_postgres() {
            true => sums.filter(event_summary::camera_id.eq_any(cameras)).load(conn)?,
            false => sums.filter(among(event_summary::camera_id, cameras)?).load(conn)?,
        });
    }
    let cells = rows.select((event_summary::camera_id, event_summary::cells));
    let packed: Vec<(String, Vec<u8>)> = match conn.is_postgres() {
        true => cells.filter(event_summary::camera_id.eq_any(cameras)).load(conn)?,
        false => cells.filter(among(event_summary::camera_id, cameras)?).load(conn)?,
    };
    packed.into_iter().map(|(camera, cells)| Ok((camera, matching(&cells, kinds)?))).collect()
}

/// Adds the cells of whole stretches of one camera to `into`, or with −1 takes them out: those of the kinds that are asked
/// for.
pub(crate) fn gather(
    conn: &mut DbConn,
    camera: &str,
    kinds: &Kinds,
    span: Span,
    window: Window,
    times: i64,
    into: &mut Cells,
) -> Result<(), DbError> {
    let rows: Vec<(Vec<u8>, Vec<u8>)> = event_summary::table
        .filter(event_summary::span.eq(span.code()))
        .filter(event_summary::camera_id.eq(camera))
        .filter(event_summary::from_us.ge(window.from))
        .filter(event_summary::from_us.lt(window.until))
        .select((event_summary::cells, event_summary::sums))
        .load(conn)?;
    for (cells, sums) in rows {
        each(&cells, &sums, |facts, cell| {
            if kinds.matches(facts) {
                into.entry(facts).or_default().add(cell, times);
            }
        })?;
    }
    Ok(())
}

/// Writes a whole number: zigzag, then seven bits a byte, the lowest first.
fn put(out: &mut Vec<u8>, value: i64) {
    let mut rest = (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

/// Reads what [`put`] wrote and steps over it.
fn take(from: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    None
}

fn damaged() -> DbError {
    DbError::corrupt("count of events", "the packed cells are damaged")
}

/// The counts by kind, and apart from them the other sums.
fn pack(cells: &Cells) -> (Vec<u8>, Vec<u8>) {
    let (mut counts, mut sums) = (Vec::with_capacity(cells.len() * 4), Vec::with_capacity(cells.len() * 20));
    for (facts, cell) in cells {
        put(&mut counts, facts.bits());
        put(&mut counts, cell.events());
        cell.0.iter().skip(1).for_each(|&sum| put(&mut sums, sum));
    }
    (counts, sums)
}

fn unpack(counts: &[u8], sums: &[u8]) -> Result<Cells, DbError> {
    let mut cells = Cells::new();
    each(counts, sums, |facts, cell| {
        cells.insert(facts, *cell);
    })?;
    Ok(cells)
}

/// Gives the cells one after the other.
fn each(mut counts: &[u8], mut sums: &[u8], mut take_in: impl FnMut(Facts, &Cell)) -> Result<(), DbError> {
    while !counts.is_empty() {
        let (facts, events) = next(&mut counts)?;
        let mut cell = Cell::default();
        for (place, value) in cell.0.iter_mut().enumerate() {
            *value = if place == 0 { events } else { take(&mut sums).ok_or_else(damaged)? };
        }
        take_in(facts, &cell);
    }
    Ok(())
}

fn next(counts: &mut &[u8]) -> Result<(Facts, i64), DbError> {
    let facts = take(counts).and_then(Facts::from_bits).ok_or_else(damaged)?;
    Ok((facts, take(counts).ok_or_else(damaged)?))
}

/// How many events of these kinds a row holds, without its sums.
fn matching(mut counts: &[u8], kinds: &Kinds) -> Result<i64, DbError> {
    let mut matching = 0;
    while !counts.is_empty() {
        let (facts, events) = next(&mut counts)?;
        if kinds.matches(facts) {
            matching += events;
        }
    }
    Ok(matching)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cells_survive_packing(cells in proptest::collection::btree_map(any::<u16>(), any::<[i64; 10]>(), 0..20)) {
            let cells: Cells =
                cells.into_iter().map(|(bits, sums)| (Facts::from_bits(bits.into()).unwrap(), Cell(sums))).collect();
            let (packed, sums) = pack(&cells);
            prop_assert_eq!(&unpack(&packed, &sums).unwrap(), &cells);
            let all = cells.values().fold(0_i64, |sum, cell| sum.wrapping_add(cell.events()));
            if cells.len() < 2 {
                prop_assert_eq!(matching(&packed, &Kinds::default()).unwrap(), all);
            }
        }

        #[test]
        fn damage_is_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = unpack(&bytes, &bytes);
            let _ = matching(&bytes, &Kinds::default());
        }
    }

    #[test]
    fn small_numbers_are_small() {
        for (value, len) in [(0, 1), (63, 1), (-64, 1), (64, 2), (-65, 2), (i64::MAX, 10), (i64::MIN, 10)] {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            assert_eq!((bytes.len(), take(&mut bytes.as_slice())), (len, Some(value)));
        }
        assert_eq!(take(&mut [0x80_u8; 20].as_slice()), None);
    }
}
