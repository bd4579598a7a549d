//! Events of different cameras that begin within ten seconds of one another share a group, in whatever order they come.

use std::collections::BTreeMap;

use argus_core::event::Event;
use argus_core::journal::MessageType;
use argus_core::{CameraId, EventId, Timestamp};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use super::{TestDb, at, camera, new_event, on_both};
use crate::{Database, DescriptionPlan};

async fn cameras(t: &TestDb, n: usize) -> Vec<CameraId> {
    let mut ids = Vec::new();
    for i in 0..n {
        ids.push(t.db.camera_insert(camera(&format!("Camera {i}"))).await.unwrap().id);
    }
    ids
}

/// Stores an event that began at `started`, some time after that.
async fn open(db: &Database, camera: CameraId, started: Timestamp, stored: Timestamp) -> EventId {
    db.event_open(new_event(camera, started), stored, DescriptionPlan::Job { priority: 0 }).await.unwrap().0.id
}

async fn get(db: &Database, id: EventId) -> Event {
    db.event_get(id).await.unwrap().unwrap()
}

on_both! {
    async fn two_cameras_at_once_share_a_group(t) {
        let c = cameras(&t, 3).await;
        let alone = open(&t.db, c[0], at(0), at(0)).await;
        assert_eq!(get(&t.db, alone).await.correlation_group_id, None);
        let same = open(&t.db, c[0], at(5), at(5)).await;
        assert_eq!(get(&t.db, same).await.correlation_group_id, None, "one camera is no group");
        let before = t.db.journal_bounds().await.unwrap().newest;

        let other = open(&t.db, c[1], at(15), at(16)).await;
        let (same, other) = (get(&t.db, same).await, get(&t.db, other).await);
        assert!(other.correlation_group_id.is_some());
        assert_eq!(same.correlation_group_id, other.correlation_group_id);
        assert_eq!(same.updated_at, at(16), "it changed");
        assert_eq!(get(&t.db, alone).await.correlation_group_id, None, "15 s before");

        // Told in the same transaction: the new event as it is, the older with its group.
        let told = t.db.journal_after(before, 10, None).await.unwrap();
        let short: Vec<_> = told.iter().map(|m| (m.r#type, id_of(&m.data), group_of(&m.data))).collect();
        let group = other.correlation_group_id.map(|g| g.to_string());
        assert_eq!(short, [
            (MessageType::EventCreated, other.id.to_string(), group.clone()),
            (MessageType::EventUpdated, same.id.to_string(), group),
        ]);
        let far = open(&t.db, c[2], Timestamp::from_millis(at(25).as_millis() + 1), at(26)).await;
        assert_eq!(get(&t.db, far).await.correlation_group_id, None, "a millisecond too late");
    }

    /// What comes late, as a controller's history does, joins what it stands between.
    async fn a_late_event_joins_two_groups(t) {
        let c = cameras(&t, 4).await;
        let mut ids = Vec::new();
        for (camera, second) in [(0, 0), (1, 2), (2, 18), (3, 20)] {
            ids.push(open(&t.db, c[camera], at(second), at(second)).await);
        }
        let groups = |events: &[Event]| events.iter().map(|e| e.correlation_group_id.unwrap()).collect::<Vec<_>>();
        let all = |ids: Vec<EventId>| { let db = t.db.clone(); async move {
            let mut events = Vec::new();
            for id in ids {
                events.push(get(&db, id).await);
            }
            events
        }};
        let before = groups(&all(ids.clone()).await);
        assert!(before[0] == before[1] && before[2] == before[3] && before[1] != before[2]);
        ids.push(open(&t.db, c[0], at(10), at(900)).await);
        let after = groups(&all(ids).await);
        assert!(after.iter().all(|g| *g == before[0]), "the older group stays: {after:?}");
    }

    async fn thirty_two_cameras_at_once_are_one_group(t) {
        let c = cameras(&t, 32).await;
        let opened = c.iter().enumerate().map(|(n, camera)| {
            let (db, camera) = (t.db.clone(), *camera);
            let started = Timestamp::from_millis(at(0).as_millis() + i64::try_from(n).unwrap() * 7);
            tokio::spawn(async move { open(&db, camera, started, at(1)).await })
        });
        let mut ids = Vec::new();
        for one in opened.collect::<Vec<_>>() {
            ids.push(one.await.unwrap());
        }
        // Once all are stored: the first got its group from the second.
        let mut groups = BTreeMap::new();
        for id in ids {
            *groups.entry(get(&t.db, id).await.correlation_group_id).or_insert(0) += 1;
        }
        assert_eq!(groups.len(), 1, "{groups:?}");
        assert!(groups.keys().all(Option::is_some));
        let told = t.db.journal_after(0, 500, None).await.unwrap();
        let updated = told.iter().filter(|m| m.r#type == MessageType::EventUpdated).count();
        assert_eq!(updated, 1, "only the first had to be told again");
    }

    /// Whatever the order in which events are stored: those of different cameras within ten seconds of one another share
    /// a group, no others do, and what was told last of each is what is stored.
    async fn groups_do_not_depend_on_the_order(t) {
        let c = cameras(&t, 4).await;
        let mut runner = TestRunner::deterministic();
        let any = prop::collection::vec((0..4_usize, 0..90_000_i64), 1..14);
        for case in 0..24 {
            // Not sorted: the order of the list is the order in which they are stored.
            let events = any.new_tree(&mut runner).unwrap().current();
            let base = at(case * 3600).as_millis();
            let mut ids = Vec::new();
            for (camera, ms) in &events {
                let started = Timestamp::from_millis(base + ms);
                ids.push(open(&t.db, c[*camera], started, at(case * 3600 + 100)).await);
            }
            let want = partition(&events);
            let mut got = Vec::new();
            for id in &ids {
                got.push(get(&t.db, *id).await.correlation_group_id);
            }
            for (i, a) in got.iter().enumerate() {
                assert_eq!(a.is_some(), want.iter().filter(|w| **w == want[i]).count() > 1, "{events:?}");
                for (j, b) in got.iter().enumerate() {
                    let same = a.is_some() && a == b;
                    assert_eq!(same, a.is_some() && want[i] == want[j], "{i} and {j} of {events:?}");
                }
            }
        }
        let mut told: BTreeMap<String, Option<String>> = BTreeMap::new();
        let (mut after, newest) = (0, t.db.journal_bounds().await.unwrap().newest);
        while after < newest {
            for message in t.db.journal_after(after, 500, None).await.unwrap() {
                after = message.seq;
                if matches!(message.r#type, MessageType::EventCreated | MessageType::EventUpdated) {
                    told.insert(id_of(&message.data), group_of(&message.data));
                }
            }
        }
        for (id, group) in told {
            let stored = get(&t.db, id.parse().unwrap()).await.correlation_group_id;
            assert_eq!(group, stored.map(|g| g.to_string()), "what was told of {id}");
        }
    }
}

/// For each event the number of the first that it belongs with.
fn partition(events: &[(usize, i64)]) -> Vec<usize> {
    let mut of: Vec<usize> = (0..events.len()).collect();
    loop {
        let before = of.clone();
        for (i, a) in events.iter().enumerate() {
            for (j, b) in events.iter().enumerate() {
                if a.0 != b.0 && (a.1 - b.1).abs() <= 10_000 {
                    let least = of[i].min(of[j]);
                    (of[i], of[j]) = (least, least);
                }
            }
        }
        if of == before {
            return of;
        }
    }
}

fn id_of(data: &Value) -> String {
    data["id"].as_str().unwrap().to_owned()
}

fn group_of(data: &Value) -> Option<String> {
    data["correlation_group_id"].as_str().map(str::to_owned)
}
