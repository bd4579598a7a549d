//! In which order jobs ended, and whether anything was asked for twice.

use std::collections::BTreeMap;
use std::path::Path;

use argus_core::event::DescriptionStatus;
use argus_core::{EventId, Timestamp};
use argus_db::Database;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;

use crate::seconds;
use crate::seed::Queued;

/// A job of the backlog with its end.
pub(crate) struct Ended {
    pub(crate) job: Queued,
    pub(crate) described: Option<Timestamp>,
}

/// The backlog in the order in which its jobs ended.
pub(crate) async fn ended(db: &Database, queued: &[Queued]) -> Vec<Ended> {
    let mut ended = Vec::with_capacity(queued.len());
    for job in queued {
        let event = db.event_get(job.id).await.expect("the event can be read").expect("the event is there");
        let done = event.description_status == DescriptionStatus::Described;
        ended.push(Ended { job: *job, described: event.trace.described_at.filter(|_| done) });
    }
    ended.sort_by_key(|one| one.described.unwrap_or(Timestamp::from_micros(i64::MAX)));
    ended
}

/// How many jobs ended before one of higher priority that was queued before them.
pub(crate) fn overtakers(ended: &[Ended]) -> usize {
    // The oldest job of each priority among those that ended later.
    let mut later: BTreeMap<i32, Timestamp> = BTreeMap::new();
    let mut overtook = 0;
    for Ended { job, .. } in ended.iter().rev() {
        overtook += usize::from(later.range(job.priority + 1..).any(|(_, oldest)| *oldest < job.at));
        later.entry(job.priority).and_modify(|oldest| *oldest = job.at.min(*oldest)).or_insert(job.at);
    }
    overtook
}

/// How long events that came in the middle waited, by what set them off.
pub(crate) async fn waits(db: &Database, fresh: &[EventId]) -> BTreeMap<&'static str, Vec<f64>> {
    let mut waits: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    for id in fresh {
        let event = db.event_get(*id).await.expect("the event can be read").expect("the event is there");
        let described = event.trace.described_at.map_or(f64::INFINITY, |at| seconds(event.timestamp, at));
        waits.entry(event.detection_type.as_str()).or_default().push(described);
    }
    waits
}

/// What the account of calls says.
pub(crate) struct Account {
    pub(crate) answered: i64,
    pub(crate) doubled: i64,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

pub(crate) fn account(path: &Path) -> Account {
    let mut c = SqliteConnection::establish(path.to_str().expect("a path in UTF-8")).expect("the database opens");
    let mut number = |query: &str| diesel::sql_query(query).get_result::<Number>(&mut c).expect("a number").n;
    let answered = "FROM ai_call WHERE state = 'answered'";
    Account {
        answered: number(&format!("SELECT count(*) AS n {answered}")),
        doubled: number(&format!(
            "SELECT count(*) AS n FROM (SELECT event_id {answered} GROUP BY event_id HAVING count(*) > 1)"
        )),
    }
}
