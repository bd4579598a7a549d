//! Which events belong together: those of different cameras that begin within ten seconds of one another.
//!
//! The same holds between the second and a third, so that a group is a chain: whoever crosses three cameras in half a
//! minute leaves one group. An event that comes late, as a controller's history does, may stand between two groups and
//! makes one of them; in whatever order events are stored, the groups are the same.

use std::collections::{BTreeSet, HashMap};

use argus_core::{GroupId, Timestamp};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::{EventRow, event_id, lock};
use crate::database::Tx;
use crate::error::DbError;
use crate::removal::CAMERA_STAYS;
use crate::schema::event;

/// So far apart two starts may be, as they are shown.
const WITHIN_MS: i64 = 10_000;
/// So many events are given a group for one new event, each with its message. A group of more keeps its own.
const MEMBERS: usize = 100;
/// Any number that nobody else uses as an advisory lock.
const GROUP_LOCK: i64 = 0x4172_6775_7347;

/// Takes a new event into the group to which it belongs. Gives the events whose group changed with it, as they are now
/// stored; they are to be told. Must be called before the event is stored and before anything is counted or appended.
pub(super) fn join(tx: &mut Tx<'_>, new: &mut EventRow, now: Timestamp) -> Result<Vec<EventRow>, DbError> {
    if tx.conn.is_postgres() {
        // Two events that begin at once would not see one another.
        diesel::sql_query("SELECT pg_advisory_xact_lock($1)").bind::<BigInt, _>(GROUP_LOCK).execute(tx.conn)?;
    }
    let neighbours = neighbours(tx, new)?;
    if neighbours.is_empty() {
        return Ok(Vec::new());
    }
    // Groups in the order of their first neighbour.
    let mut loose = Vec::new();
    let mut groups: Vec<String> = Vec::new();
    for (id, group) in neighbours {
        match group {
            None => loose.push(id),
            Some(group) if !groups.contains(&group) => groups.push(group),
            Some(_) => {}
        }
    }
    let mut members: Vec<(String, Vec<String>)> = Vec::new();
    let are_many = groups.len() > 1;
    for group in groups {
        if !are_many {
            members.push((group, Vec::new()));
            break;
        }
        let of_group = event::table
            .filter(event::correlation_group_id.eq(Some(&group)))
            .filter(sql::<Bool>(CAMERA_STAYS))
            .select(event::id)
            .order(event::id.asc())
            .limit(i64::try_from(MEMBERS).unwrap_or(i64::MAX) + 1);
        let ids = of_group.load(tx.conn)?;
        members.push((group, ids));
    }
    // The larger one stays, of equals the one that began first: the sort keeps their order.
    members.sort_by_key(|(_, ids)| std::cmp::Reverse(ids.len()));
    let mut members = members.into_iter();
    let group = members.next().map_or_else(|| GroupId::new(now).to_string(), |(group, _)| group);
    let mut moved = loose;
    for (_, ids) in members {
        if moved.len() + ids.len() <= MEMBERS {
            moved.extend(ids);
        }
    }
    new.correlation_group_id = Some(group.clone());
    regroup(tx, moved, &group, now)
}

/// The events of other cameras that begin so near, in order of their start, with their groups.
fn neighbours(tx: &mut Tx<'_>, new: &EventRow) -> Result<Vec<(String, Option<String>)>, DbError> {
    // By the milliseconds that people see.
    let ms = Timestamp::from_micros(new.started_us).as_millis();
    let first = Timestamp::from_millis(ms - WITHIN_MS).as_micros();
    let behind = Timestamp::from_millis(ms + WITHIN_MS + 1).as_micros();
    Ok(event::table
        .filter(event::started_us.ge(first))
        .filter(event::started_us.lt(behind))
        .filter(event::camera_id.ne(&new.camera_id))
        .filter(sql::<Bool>(CAMERA_STAYS))
        .select((event::id, event::correlation_group_id))
        .order((event::started_us.asc(), event::id.asc()))
        .limit(i64::try_from(MEMBERS).unwrap_or(i64::MAX))
        .load(tx.conn)?)
}

/// Gives events a group. Those that were deleted meanwhile are left out.
fn regroup(tx: &mut Tx<'_>, ids: Vec<String>, group: &str, now: Timestamp) -> Result<Vec<EventRow>, DbError> {
    let starts: Vec<(String, i64)> =
        event::table.filter(event::id.eq_any(&ids)).select((event::id, event::started_us)).load(tx.conn)?;
    // Locked in the order in which everybody locks several.
    let ordered: BTreeSet<(i64, String)> = starts.into_iter().map(|(id, started)| (started, id)).collect();
    for (_, id) in &ordered {
        lock(tx, event_id(id)?)?;
    }
    diesel::update(event::table.filter(event::id.eq_any(&ids)))
        .set((event::correlation_group_id.eq(Some(group)), event::updated_us.eq(now.as_micros())))
        .execute(tx.conn)?;
    let rows: Vec<EventRow> = event::table.filter(event::id.eq_any(&ids)).load(tx.conn)?;
    let mut by_id: HashMap<String, EventRow> = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
    Ok(ordered.into_iter().filter_map(|(_, id)| by_id.remove(&id)).collect())
}
