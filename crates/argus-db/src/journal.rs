//! The journal: what clients should hear of, written in the transaction of the change itself.
//!
//! `seq` grows in the order in which transactions become visible, so that a reader who asks "after n" never misses one
//! that became visible late: SQLite has one writer; on PostgreSQL an append takes a lock that its transaction holds to the
//! end. It is therefore the last thing a transaction does, after every row lock.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argus_core::journal::{Message, MessageType};
use argus_core::notification::{Notification, NotificationKind};
use argus_core::{CameraId, EventId, Timestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable};
use serde::Serialize;
use tokio::sync::watch;

use crate::conn::{DbConn, MultiBackend};
use crate::database::{Database, Tx};
use crate::error::DbError;
use crate::fixed::fixed;
use crate::schema::journal;
use crate::value::{from_json, json, parse, parse_opt, text_opt, without_nul};

/// Most entries kept in memory.
const CACHE_ENTRIES: usize = 4096;
/// Most bytes of text kept in memory.
const CACHE_BYTES: usize = 16 << 20;
/// Entries read from the table at once.
const READ_AT_ONCE: u32 = 500;
/// Entries removed at once, while nobody else can write.
const TRIM_AT_ONCE: i64 = 2000;
/// Any number that nobody else uses as an advisory lock.
const APPEND_LOCK: i64 = 0x6172_6775_7300_0002;

/// A message as it goes to every reader: serialised once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// Its number.
    pub seq: i64,
    /// What kind it is.
    pub r#type: MessageType,
    /// The camera it is about, if it is about one.
    pub camera_id: Option<CameraId>,
    /// The event it is about, if it is about one.
    pub event_id: Option<EventId>,
    /// What kind of notification it is, if it is one.
    pub notice: Option<NotificationKind>,
    /// The whole message as JSON, as [`Message`] reads it.
    pub text: String,
}

/// What the journal holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalBounds {
    /// The oldest entry that is still kept; `newest` + 1 when none is.
    pub oldest: i64,
    /// The newest; 0 when there never was one.
    pub newest: i64,
}

/// An entry about to be written.
pub(crate) struct NewEntry<'a> {
    pub(crate) r#type: MessageType,
    pub(crate) camera_id: Option<CameraId>,
    pub(crate) event_id: Option<EventId>,
    pub(crate) data: &'a str,
}

/// What a reader gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// Messages of these types.
    pub types: Vec<MessageType>,
    /// Of notifications, those of these kinds.
    pub notices: Vec<NotificationKind>,
}

impl Audience {
    /// Everybody who gets these types gets every notification among them.
    #[must_use]
    pub fn of(types: &[MessageType]) -> Self {
        Self { types: types.to_vec(), notices: NotificationKind::ALL.to_vec() }
    }

    /// Whether the reader gets a message.
    #[must_use]
    pub fn gets(&self, entry: &JournalEntry) -> bool {
        self.types.contains(&entry.r#type) && entry.notice.is_none_or(|kind| self.notices.contains(&kind))
    }
}

/// What is to be told once a transaction is stored.
#[derive(Default)]
pub(crate) struct Outbox {
    newest: Option<i64>,
    gone_events: HashSet<EventId>,
    /// What was appended, as readers get it.
    entries: Vec<Arc<JournalEntry>>,
    /// Something was appended of which only the tables can say whether readers get it.
    is_partial: bool,
}

#[derive(Queryable)]
struct JournalRow {
    seq: i64,
    kind: String,
    at_us: i64,
    camera_id: Option<String>,
    event_id: Option<String>,
    data: String,
    notice: Option<String>,
}

impl TryFrom<JournalRow> for JournalEntry {
    type Error = DbError;

    fn try_from(row: JournalRow) -> Result<Self, DbError> {
        let r#type: MessageType = parse("journal entry", &row.kind)?;
        let text = text(row.seq, r#type, Timestamp::from_micros(row.at_us), &row.data);
        Ok(Self {
            seq: row.seq,
            r#type,
            camera_id: parse_opt("journal entry", row.camera_id.as_ref())?,
            event_id: parse_opt("journal entry", row.event_id.as_ref())?,
            notice: parse_opt("journal entry", row.notice.as_ref())?,
            text,
        })
    }
}

/// The whole message. The data is JSON that this crate wrote: it goes into the message as it is.
fn text(seq: i64, r#type: MessageType, at: Timestamp, data: &str) -> String {
    format!(r#"{{"seq":{seq},"type":"{}","timestamp":"{at}","data":{data}}}"#, r#type)
}

/// Lets transactions that append, or count events, pass one after the other: SQLite has one writer anyway.
pub(crate) fn lock(conn: &mut DbConn) -> Result<(), DbError> {
    if conn.is_postgres() {
        diesel::sql_query("SELECT pg_advisory_xact_lock($1)").bind::<BigInt, _>(APPEND_LOCK).execute(conn)?;
    }
    Ok(())
}

impl Tx<'_> {
    /// Appends to the journal; every other lock of the transaction must be taken before.
    pub(crate) fn append(&mut self, entry: &NewEntry<'_>, now: Timestamp) -> Result<i64, DbError> {
        self.append_as(entry, None, now)
    }

    /// Appends a notification.
    pub(crate) fn notify(&mut self, notice: &Notification, now: Timestamp) -> Result<i64, DbError> {
        let (title, body) = (without_nul(notice.title.clone()), without_nul(notice.body.clone()));
        let data = json("data", &Notification { title, body, ..notice.clone() })?;
        let entry = NewEntry {
            r#type: MessageType::NotificationNew,
            camera_id: notice.camera_id,
            event_id: notice.event_id,
            data: &data,
        };
        self.append_as(&entry, Some(notice.kind), now)
    }

    fn append_as(
        &mut self,
        entry: &NewEntry<'_>,
        notice: Option<NotificationKind>,
        now: Timestamp,
    ) -> Result<i64, DbError> {
        lock(self.conn)?;
        let seq: i64 = diesel::insert_into(journal::table)
            .values((
                journal::kind.eq(entry.r#type.as_str()),
                journal::at_us.eq(now.as_micros()),
                journal::camera_id.eq(entry.camera_id.map(|c| c.to_string())),
                journal::event_id.eq(entry.event_id.map(|e| e.to_string())),
                journal::data.eq(entry.data),
                journal::notice.eq(text_opt(notice)),
            ))
            .returning(journal::seq)
            .get_result(self.conn)?;
        self.outbox.newest = Some(seq);
        if notice.is_some() && entry.event_id.is_some() {
            // The event may be gone already.
            self.outbox.is_partial = true;
        } else {
            self.outbox.entries.push(Arc::new(JournalEntry {
                seq,
                r#type: entry.r#type,
                camera_id: entry.camera_id,
                event_id: entry.event_id,
                notice,
                text: text(seq, entry.r#type, now, entry.data),
            }));
        }
        Ok(seq)
    }

    /// Appends a message about a camera.
    pub(crate) fn tell_camera<T: Serialize>(
        &mut self,
        r#type: MessageType,
        camera: CameraId,
        data: &T,
        now: Timestamp,
    ) -> Result<i64, DbError> {
        let data = json("data", data)?;
        self.append(&NewEntry { r#type, camera_id: Some(camera), event_id: None, data: &data }, now)
    }

    /// Takes what was said about events out of the journal's content: only their `event.deleted` may be read again.
    pub(crate) fn forget_events(&mut self, ids: &[String]) -> Result<(), DbError> {
        diesel::update(journal::table.filter(journal::event_id.eq_any(ids)))
            .set(journal::data.eq("null"))
            .execute(self.conn)?;
        for id in ids {
            self.outbox.gone_events.insert(parse("event", id)?);
        }
        Ok(())
    }
}

/// The bounds as one statement sees them.
pub(crate) fn bounds(conn: &mut DbConn) -> Result<JournalBounds, DbError> {
    // Each by itself: asked for both at once, SQLite reads every entry.
    let ends = (
        fixed::<Nullable<BigInt>>("(SELECT min(seq) FROM journal)"),
        fixed::<Nullable<BigInt>>("(SELECT max(seq) FROM journal)"),
    );
    let (oldest, newest): (Option<i64>, Option<i64>) = diesel::select(ends).get_result(conn)?;
    let newest = newest.unwrap_or(0);
    Ok(JournalBounds { oldest: oldest.unwrap_or(newest + 1), newest })
}

/// Entries after a number, oldest first; those about events that are gone are left out.
fn load(conn: &mut DbConn, after: i64, limit: u32, audience: Option<&Audience>) -> Result<Vec<JournalRow>, DbError> {
    let mut query: journal::BoxedQuery<'_, MultiBackend> = journal::table.into_boxed();
    query = query
        .filter(journal::seq.gt(after))
        .filter(fixed::<Bool>(
            "(journal.event_id IS NULL OR journal.type = 'event.deleted' \
             OR EXISTS (SELECT 1 FROM event WHERE event.id = journal.event_id))",
        ))
        .order(journal::seq.asc())
        .limit(limit.into());
    if let Some(Audience { types, notices }) = audience {
        query = query.filter(journal::kind.eq_any(types.iter().map(|t| t.as_str())));
        if notices.len() < NotificationKind::ALL.len() {
            let known = journal::notice.eq_any(notices.iter().map(|k| k.as_str()));
            query = query.filter(journal::notice.is_null().or(known.assume_not_null()));
        }
    }
    Ok(query.load(conn)?)
}

fn message(row: JournalRow) -> Result<Message, DbError> {
    Ok(Message {
        seq: row.seq,
        r#type: parse("journal entry", &row.kind)?,
        timestamp: Timestamp::from_micros(row.at_us),
        data: from_json("journal entry", &row.data)?,
    })
}

impl Database {
    /// Messages with a number above `after`, oldest first, at most `limit`, of the given types. Messages about an event
    /// that is gone are left out, its `event.deleted` is not.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn journal_after(
        &self,
        after: i64,
        limit: u32,
        types: Option<&[MessageType]>,
    ) -> Result<Vec<Message>, DbError> {
        self.journal_for(after, limit, types.map(Audience::of)).await
    }

    /// The same for one reader, who may not get every notification.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn journal_for(
        &self,
        after: i64,
        limit: u32,
        audience: Option<Audience>,
    ) -> Result<Vec<Message>, DbError> {
        self.read(move |c| load(c, after, limit, audience.as_ref())?.into_iter().map(message).collect()).await
    }

    /// What the journal holds, and of that the messages above `after` (`None`: above the newest) for one reader, oldest
    /// first, at most `limit`: both in one state, so that nothing can leave between the two unnoticed. A page that is not
    /// full holds everything up to the newest number.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn journal_page(
        &self,
        after: Option<i64>,
        limit: u32,
        audience: Audience,
    ) -> Result<(JournalBounds, Vec<Message>), DbError> {
        self.read_snapshot(move |c| {
            let bounds = bounds(c)?;
            let rows = load(c, after.unwrap_or(bounds.newest), limit, Some(&audience))?;
            Ok((bounds, rows.into_iter().map(message).collect::<Result<_, _>>()?))
        })
        .await
    }

    /// The oldest and the newest entry that is kept.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn journal_bounds(&self) -> Result<JournalBounds, DbError> {
        self.read(bounds).await
    }

    /// The number of the newest stored message; changes only after that message can be read.
    #[must_use]
    pub fn journal_watch(&self) -> watch::Receiver<i64> {
        self.inner.journal.newest.subscribe()
    }

    /// Messages with a number above `after`, oldest first, at most `limit`, each serialised once for all readers; the
    /// newest few thousand come from memory. Fewer than `limit` are all there were. Whether something after `after` is no longer kept is told by
    /// [`Database::journal_bounds`].
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn journal_tail(&self, after: i64, limit: u32) -> Result<Vec<Arc<JournalEntry>>, DbError> {
        let cache = &self.inner.journal;
        loop {
            match cache.look(after, limit) {
                Look::Served(entries) => return Ok(entries),
                Look::TooOld => return self.load_entries(after, limit).await,
                Look::Behind => {}
            }
            // One reader fetches for all; the others find the entries in memory when they get the turn.
            let _turn = cache.filling.lock().await;
            let Some((from, purges)) = cache.missing() else { continue };
            let goal = *cache.newest.borrow();
            let entries = self.load_entries(from, READ_AT_ONCE).await?;
            cache.fill(entries, goal, purges);
        }
    }

    async fn load_entries(&self, after: i64, limit: u32) -> Result<Vec<Arc<JournalEntry>>, DbError> {
        self.read(move |c| {
            load(c, after, limit, None)?.into_iter().map(|row| JournalEntry::try_from(row).map(Arc::new)).collect()
        })
        .await
    }

    /// Stores and announces a notification.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`, `Full`.
    pub async fn notification_add(&self, notice: Notification, now: Timestamp) -> Result<i64, DbError> {
        self.write(move |tx| tx.notify(&notice, now)).await
    }

    /// Removes entries older than a moment and tells how many: at most 2000 a call, from the oldest on, and only up to the
    /// first that is not older. So what is kept has no holes, and whoever asks for more is told of the gap. The newest
    /// entry always stays: it keeps the place.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn journal_trim(&self, before: Timestamp) -> Result<u64, DbError> {
        self.write(move |tx| {
            let newest = bounds(tx.conn)?.newest;
            let oldest: Vec<(i64, i64)> = journal::table
                .select((journal::seq, journal::at_us))
                .filter(journal::seq.lt(newest))
                .order(journal::seq.asc())
                .limit(TRIM_AT_ONCE)
                .load(tx.conn)?;
            let old = oldest.iter().take_while(|(_, at_us)| *at_us < before.as_micros());
            let Some((last, _)) = old.last() else { return Ok(0) };
            let n = diesel::delete(journal::table.filter(journal::seq.le(*last))).execute(tx.conn)?;
            Ok(u64::try_from(n).unwrap_or(u64::MAX))
        })
        .await
    }
}

/// The newest entries in memory, and the news of newer ones.
pub(crate) struct JournalCache {
    newest: watch::Sender<i64>,
    kept: Mutex<Kept>,
    filling: tokio::sync::Mutex<()>,
}

struct Kept {
    /// Everything above this number and up to `up_to` that may be replayed is in `entries`.
    floor: i64,
    up_to: i64,
    entries: VecDeque<Arc<JournalEntry>>,
    bytes: usize,
    /// Grows whenever entries are taken out because their event is gone.
    purges: u64,
    /// Only the tables can say whether readers get what was stored until then.
    by_tables_until: i64,
}

enum Look {
    Served(Vec<Arc<JournalEntry>>),
    /// Older entries than those in memory are wanted.
    TooOld,
    /// Newer entries than those in memory exist.
    Behind,
}

impl JournalCache {
    pub(crate) fn new(newest: i64) -> Self {
        let kept =
            Kept { floor: newest, up_to: newest, entries: VecDeque::new(), bytes: 0, purges: 0, by_tables_until: 0 };
        Self { newest: watch::Sender::new(newest), kept: Mutex::new(kept), filling: tokio::sync::Mutex::new(()) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many entries are in memory.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.kept().entries.len()
    }

    /// Takes notice of a transaction that has just been stored.
    pub(crate) fn committed(&self, outbox: Outbox) {
        let mut kept = self.kept();
        let is_kept = !outbox.is_partial && kept.append(&outbox.entries);
        if !outbox.gone_events.is_empty() {
            kept.purges += 1;
            if !is_kept {
                // What was stored before it and comes in only now may be about these events.
                kept.by_tables_until = kept.by_tables_until.max(outbox.newest.unwrap_or(0));
            }
            kept.entries.retain(|e| {
                let gone = e.event_id.is_some_and(|id| outbox.gone_events.contains(&id));
                !gone || e.r#type == MessageType::EventDeleted
            });
            kept.bytes = kept.entries.iter().map(|e| e.text.len()).sum();
        }
        drop(kept);
        if let Some(seq) = outbox.newest {
            // Two transactions may arrive here in the other order than they were stored.
            self.newest.send_if_modified(|newest| {
                let is_newer = seq > *newest;
                *newest = seq.max(*newest);
                is_newer
            });
        }
    }

    fn look(&self, after: i64, limit: u32) -> Look {
        let newest = *self.newest.borrow();
        let kept = self.kept();
        if after < kept.floor {
            return Look::TooOld;
        }
        let first = kept.entries.partition_point(|e| e.seq <= after);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        // A short answer promises that there was no more: it has to be up to date.
        if kept.up_to < newest && after < newest && kept.entries.len() - first < limit {
            return Look::Behind;
        }
        Look::Served(kept.entries.iter().skip(first).take(limit).cloned().collect())
    }

    /// From where on entries have to be read, and the number of purges before that reading.
    fn missing(&self) -> Option<(i64, u64)> {
        let newest = *self.newest.borrow();
        let kept = self.kept();
        (kept.up_to < newest).then_some((kept.up_to, kept.purges))
    }

    /// Keeps what was read from `up_to` on, when `goal` was the newest number before reading.
    fn fill(&self, entries: Vec<Arc<JournalEntry>>, goal: i64, purges: u64) {
        let mut kept = self.kept();
        if kept.purges != purges {
            // An event may have gone after its entries were read: they are read again.
            return;
        }
        let is_last = entries.len() < usize::try_from(READ_AT_ONCE).unwrap_or(usize::MAX);
        let last = entries.last().map_or(kept.up_to, |e| e.seq);
        // Some may have been kept by those who stored them, meanwhile.
        let from = kept.up_to;
        // A short answer holds everything up to the goal; the numbers between belong to events that are gone.
        kept.up_to = if is_last { last.max(goal) } else { last }.max(from);
        kept.push(entries.into_iter().filter(|entry| entry.seq > from));
    }
}

impl Kept {
    /// Keeps what was just stored, where nothing is missing before it: then readers need not ask the table, and a
    /// thousand of them do not wait for one who does.
    /// Whether they are in memory now, or there are none.
    fn append(&mut self, entries: &[Arc<JournalEntry>]) -> bool {
        let Some(last) = entries.last() else { return true };
        let is_next = (self.up_to + 1..).zip(entries).all(|(seq, entry)| entry.seq == seq);
        // Another process, or a transaction whose notice has not come in yet, may have stored what lies between.
        let is_kept = is_next && self.up_to >= self.by_tables_until;
        if is_kept {
            self.up_to = last.seq;
            self.push(entries.iter().cloned());
        }
        is_kept
    }

    fn push(&mut self, entries: impl IntoIterator<Item = Arc<JournalEntry>>) {
        for entry in entries {
            self.bytes += entry.text.len();
            self.entries.push_back(entry);
        }
        while self.entries.len() > CACHE_ENTRIES || self.bytes > CACHE_BYTES {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.text.len();
            self.floor = oldest.seq;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a transaction leaves that stored one entry about an event.
    fn outbox(seq: i64, r#type: MessageType, event: EventId) -> Outbox {
        let entry = JournalEntry {
            seq,
            r#type,
            camera_id: None,
            event_id: Some(event),
            notice: None,
            text: text(seq, r#type, Timestamp::from_micros(0), "{}"),
        };
        let gone = (r#type == MessageType::EventDeleted).then_some(event);
        Outbox {
            newest: Some(seq),
            gone_events: gone.into_iter().collect(),
            entries: vec![Arc::new(entry)],
            is_partial: false,
        }
    }

    #[test]
    fn what_comes_in_late_does_not_bring_a_deleted_event_back() {
        let event = EventId::new(Timestamp::from_micros(1));
        let cache = JournalCache::new(0);
        cache.committed(outbox(2, MessageType::EventDeleted, event));
        cache.committed(outbox(1, MessageType::EventCreated, event));
        assert_eq!(cache.held(), 0, "only the table knows what readers get");
        let cache = JournalCache::new(0);
        cache.committed(outbox(1, MessageType::EventCreated, event));
        cache.committed(outbox(2, MessageType::EventDeleted, event));
        assert_eq!(cache.held(), 1);
    }
}
