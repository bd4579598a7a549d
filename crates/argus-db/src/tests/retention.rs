//! Forgetting, and the account of what is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use argus_core::journal::{DeleteReason, MessageType};
use argus_core::media::{camera_prefix, event_prefix};
use argus_core::notification::{Notification, NotificationKind};
use argus_core::retention::Disk;
use argus_core::storage::StorageReport;
use argus_core::{CameraId, EventId, Timestamp};

use super::{TestDb, at, camera, on_both, open_event};
use crate::{Audience, DbError, EventChange, Expired, MediaFound, NewFrame};

const DISK: Disk = Disk { total_bytes: 1000, free_bytes: 400 };

fn frame(index: u32, bytes: u64, stored: bool) -> NewFrame {
    NewFrame { index, offset_ms: 0, sha256: format!("{index:064x}"), width: 64, height: 36, bytes, stored }
}

fn closed(at: Timestamp, clip_expected: bool) -> EventChange {
    EventChange::Closed { ended_at: at, motion: None, zones: vec![], confidence: 50, clip_expected }
}

fn clip(bytes: u64) -> EventChange {
    EventChange::Clip { bytes, from: at(0), until: at(1) }
}

/// A closed event with files of 10, 20 + 30 and `clip_bytes` bytes.
async fn with_media(t: &TestDb, camera: CameraId, started: Timestamp, clip_bytes: u64) -> EventId {
    let id = open_event(&t.db, camera, started).await.id;
    let changes = vec![
        EventChange::ThumbnailStored { bytes: 10 },
        EventChange::Frames(vec![frame(0, 20, true), frame(1, 30, true), frame(2, 999, false)]),
        closed(started, true),
        clip(clip_bytes),
    ];
    t.db.event_change(id, changes, started).await.unwrap();
    id
}

async fn storage(t: &TestDb) -> StorageReport {
    t.db.storage(DISK, at(99)).await.unwrap()
}

/// Thumbnails, frames, clips; number of frames, of clips, of events.
async fn sums(t: &TestDb) -> (u64, u64, u64, u64, u64, u64) {
    let s = storage(t).await;
    (s.thumbnails_bytes, s.frames_bytes, s.clips_bytes, s.frame_count, s.clip_count, s.event_count)
}

async fn trash(t: &TestDb) -> Vec<String> {
    t.db.trash(String::new(), 1000).await.unwrap()
}

/// The account against a full count over every row that names a file.
async fn check_account(t: &TestDb) {
    let mut named: BTreeMap<CameraId, u64> = BTreeMap::new();
    let mut all = (0, 0, 0, 0, 0);
    let mut after = None;
    loop {
        let page = t.db.media_page(after, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.timestamp, last.id));
        for row in &page {
            let frames: u64 = row.named.frames.values().sum();
            let (thumbnail, clip) = (row.named.thumbnail.unwrap_or(0), row.named.clip.unwrap_or(0));
            *named.entry(row.camera_id).or_default() += thumbnail + frames + clip;
            all.0 += thumbnail;
            all.1 += frames;
            all.2 += clip;
            all.3 += row.named.frames.len() as u64;
            all.4 += u64::from(row.named.clip.is_some());
        }
    }
    let events = super::list::rows(t, "event").await;
    let got = sums(t).await;
    assert_eq!((got.0, got.1, got.2, got.3, got.4), all);
    assert_eq!(got.5, u64::try_from(events).unwrap());
    let report = storage(t).await;
    for camera in &report.by_camera {
        assert_eq!(camera.media_bytes, named.get(&camera.camera_id).copied().unwrap_or(0));
    }
    assert_eq!(report.total_bytes, report.database_bytes + all.0 + all.1 + all.2);
    assert_eq!(t.db.media_bytes().await.unwrap(), all.0 + all.1 + all.2);
}

on_both! {
    async fn what_is_kept_is_reported(t) {
        let empty = storage(&t).await;
        assert_eq!((empty.event_count, empty.oldest_event_at, empty.by_camera.len(), empty.disk), (0, None, 0, DISK));
        assert!(empty.database_bytes > 0 && empty.measured_at == at(99));
        let c = t.db.camera_insert(camera("Front door")).await.unwrap().id;
        let d = t.db.camera_insert(camera("Yard")).await.unwrap().id;
        with_media(&t, c, at(10), 100).await;
        with_media(&t, c, at(20), 200).await;
        open_event(&t.db, c, at(30)).await;
        assert_eq!(sums(&t).await, (20, 100, 300, 4, 2, 3));
        let report = storage(&t).await;
        assert_eq!(report.oldest_event_at, Some(at(10)));
        let by_camera: Vec<_> = report.by_camera.iter().map(|c| (c.camera_id, c.media_bytes, c.event_count)).collect();
        let mut expected = vec![(c, 420, 3), (d, 0, 0)];
        expected.sort();
        assert_eq!(by_camera, expected);
        check_account(&t).await;
    }

    async fn a_replaced_file_counts_once(t) {
        let c = t.db.camera_insert(camera("Front door")).await.unwrap().id;
        let e = open_event(&t.db, c, at(0)).await.id;
        for (change, expected) in [
            (EventChange::ThumbnailStored { bytes: 5 }, (5, 0, 0, 0, 0, 1)),
            (EventChange::ThumbnailStored { bytes: 7 }, (7, 0, 0, 0, 0, 1)),
            (EventChange::Frames(vec![frame(0, 20, true), frame(1, 30, false)]), (7, 20, 0, 1, 0, 1)),
            (EventChange::Frames(vec![frame(0, 1, true), frame(1, 2, true)]), (7, 3, 0, 2, 0, 1)),
            (clip(50), (7, 3, 50, 2, 1, 1)),
            (clip(40), (7, 3, 40, 2, 1, 1)),
            (EventChange::ClipNone, (7, 3, 0, 2, 0, 1)),
            (EventChange::ClipNone, (7, 3, 0, 2, 0, 1)),
            (EventChange::Frames(vec![]), (7, 0, 0, 0, 0, 1)),
        ] {
            t.db.event_change(e, vec![change], at(1)).await.unwrap();
            assert_eq!(sums(&t).await, expected);
            check_account(&t).await;
        }
        t.db.event_delete(e, DeleteReason::User, at(2)).await.unwrap();
        assert_eq!(sums(&t).await, (0, 0, 0, 0, 0, 0));
    }

    async fn old_events_go_oldest_first_in_one_message(t) {
        let c = t.db.camera_insert(camera("Front door")).await.unwrap().id;
        let mut ids = Vec::new();
        for i in 0..5 {
            ids.push(with_media(&t, c, at(i), 100).await);
        }
        let told = t.db.journal_bounds().await.unwrap().newest;
        let gone = t.db.events_expire(at(4), 3, at(50)).await.unwrap();
        assert_eq!(gone, Expired { events: 3, bytes: 480 });
        let messages = t.db.journal_after(told, 10, None).await.unwrap();
        assert_eq!((messages.len(), messages[0].r#type), (1, MessageType::EventDeleted));
        assert_eq!(messages[0].data, serde_json::json!({"ids": ids[..3], "reason": "retention"}));
        // What was said of them is neither repeated nor kept.
        for seq in [0, 1] {
            let replay = t.db.journal_tail(seq, 100).await.unwrap();
            assert!(replay.iter().all(|m| m.event_id.is_none_or(|id| !ids[..3].contains(&id))));
        }
        assert_eq!(t.db.events_expire(at(4), 3, at(51)).await.unwrap().events, 1);
        assert_eq!(t.db.events_expire(at(4), 3, at(52)).await.unwrap(), Expired::default());
        assert_eq!(t.db.journal_bounds().await.unwrap().newest, told + 2);
        assert!(t.db.event_get(ids[4]).await.unwrap().is_some());
        let expected: Vec<_> = (0..4).map(|i| event_prefix(c, ids[usize::try_from(i).unwrap()], at(i))).collect();
        let mut found = trash(&t).await;
        found.sort_by_key(|p| expected.iter().position(|e| e == p));
        assert_eq!(found, expected);
        t.db.trash_done(expected[..2].to_vec()).await.unwrap();
        assert_eq!(trash(&t).await.len(), 2);
        check_account(&t).await;
    }

    async fn old_media_go_and_their_events_say_so(t) {
        let c = t.db.camera_insert(camera("Front door")).await.unwrap().id;
        let old = with_media(&t, c, at(0), 100).await;
        let new = with_media(&t, c, at(10), 100).await;
        let told = t.db.journal_bounds().await.unwrap().newest;
        assert_eq!(t.db.media_expire(at(10), 10, at(50)).await.unwrap(), Expired { events: 1, bytes: 160 });
        let event = t.db.event_get(old).await.unwrap().unwrap();
        assert_eq!((&event.thumbnail_url, &event.clip_url, event.frames.len()), (&None, &None, 3));
        assert!(event.frames.iter().all(|f| f.url.is_none()), "the hashes stay, the addresses go");
        let messages = t.db.journal_after(told, 10, None).await.unwrap();
        assert_eq!((messages.len(), messages[0].r#type), (1, MessageType::EventUpdated));
        assert_eq!(messages[0].data, serde_json::to_value(&event).unwrap());
        assert!(t.db.event_get(new).await.unwrap().unwrap().clip_url.is_some());
        assert_eq!(t.db.media_expire(at(10), 10, at(51)).await.unwrap().events, 0);
        assert_eq!(trash(&t).await, [event_prefix(c, old, at(0))]);
        check_account(&t).await;
    }

    async fn no_more_of_the_oldest_go_than_needed(t) {
        let c = t.db.camera_insert(camera("Front door")).await.unwrap().id;
        let ids = [with_media(&t, c, at(0), 40).await, with_media(&t, c, at(1), 40).await, with_media(&t, c, at(2), 40).await];
        assert_eq!(t.db.media_expire_oldest(0, 10, at(50)).await.unwrap(), Expired::default());
        assert_eq!(t.db.media_expire_oldest(101, 10, at(50)).await.unwrap(), Expired { events: 2, bytes: 200 });
        let has_clip: Vec<_> = [ids[0], ids[1], ids[2]].into_iter().collect();
        let mut left = Vec::new();
        for id in has_clip {
            left.push(t.db.event_get(id).await.unwrap().unwrap().clip_url.is_some());
        }
        assert_eq!(left, [false, false, true]);
        assert_eq!(t.db.media_expire_oldest(u64::MAX, 10, at(50)).await.unwrap().events, 1);
        assert_eq!(t.db.media_expire_oldest(u64::MAX, 10, at(50)).await.unwrap().events, 0);
        check_account(&t).await;
    }

    async fn what_still_gets_files_is_left_alone(t) {
        let c = t.db.camera_insert(camera("Front door")).await.unwrap().id;
        let open = open_event(&t.db, c, at(0)).await.id;
        t.db.event_change(open, vec![EventChange::ThumbnailStored { bytes: 9 }], at(0)).await.unwrap();
        let waits = open_event(&t.db, c, at(1)).await.id;
        let frames = EventChange::Frames(vec![frame(0, 20, true)]);
        t.db.event_change(waits, vec![frames, closed(at(1), true)], at(1)).await.unwrap();
        for _ in 0..2 {
            assert_eq!(t.db.events_expire(at(9), 10, at(50)).await.unwrap().events, 0);
            assert_eq!(t.db.media_expire(at(9), 10, at(50)).await.unwrap().events, 0);
            assert_eq!(t.db.media_expire_oldest(1, 10, at(50)).await.unwrap().events, 0);
        }
        t.db.event_change(waits, vec![EventChange::ClipNone], at(2)).await.unwrap();
        assert_eq!(t.db.media_expire_oldest(1, 10, at(50)).await.unwrap(), Expired { events: 1, bytes: 20 });
        check_account(&t).await;
    }

    async fn found_files_set_rows_right(t) {
        let c = t.db.camera_insert(camera("Front door")).await.unwrap().id;
        let e = with_media(&t, c, at(0), 100).await;
        let before = t.db.event_get(e).await.unwrap().unwrap();
        let told = t.db.journal_bounds().await.unwrap().newest;
        // Another size is noted and not told.
        let found = MediaFound { thumbnail: Some(11), frames: [(0, 20), (1, 31)].into(), clip: Some(99) };
        t.db.event_change(e, vec![EventChange::Found(found.clone())], at(60)).await.unwrap();
        assert_eq!(sums(&t).await, (11, 51, 99, 2, 1, 1));
        assert_eq!(t.db.media_of(vec![e]).await.unwrap()[0].named, found);
        assert_eq!(t.db.event_get(e).await.unwrap().unwrap(), before);
        assert_eq!(t.db.journal_bounds().await.unwrap().newest, told);
        // A missing one is told.
        let found = MediaFound { frames: [(1, 31)].into(), ..found };
        let event = t.db.event_change(e, vec![EventChange::Found(found)], at(61)).await.unwrap();
        assert_eq!((&event.frames[0].url, event.frames[1].url.is_some()), (&None, true));
        assert_eq!((event.updated_at, t.db.journal_bounds().await.unwrap().newest), (at(61), told + 1));
        // What the row does not name is not believed.
        let more = MediaFound { thumbnail: Some(11), frames: [(0, 20), (1, 31), (7, 7)].into(), clip: None };
        let event = t.db.event_change(e, vec![EventChange::Found(more)], at(62)).await.unwrap();
        assert_eq!((&event.clip_url, &event.frames[0].url), (&None, &None));
        assert_eq!(sums(&t).await, (11, 31, 0, 1, 0, 1));
        check_account(&t).await;
    }

    async fn a_deleted_camera_leaves_its_folder_in_the_trash(t) {
        let c = t.db.camera_insert(camera("Front door")).await.unwrap().id;
        with_media(&t, c, at(0), 100).await;
        t.delete_camera(c, at(5)).await.unwrap();
        assert_eq!(trash(&t).await, [camera_prefix(c)]);
        assert_eq!(sums(&t).await, (0, 0, 0, 0, 0, 0));
    }

    async fn after_random_operations_the_account_is_the_full_count(t) {
        let cameras = [
            t.db.camera_insert(camera("A")).await.unwrap().id,
            t.db.camera_insert(camera("B")).await.unwrap().id,
            t.db.camera_insert(camera("C")).await.unwrap().id,
        ];
        // Marsaglia's xorshift: an even spread is all that is wanted.
        let mut state = 0x5EED_0001_u64;
        let mut dice = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut events: Vec<EventId> = Vec::new();
        for step in 0..250_i64 {
            let camera = cameras[usize::try_from(dice(3)).unwrap()];
            let pick = events.get(usize::try_from(dice(events.len().max(1) as u64)).unwrap()).copied();
            let bytes = dice(10_000) + 1;
            let change = |change: EventChange| {
                let db = t.db.clone();
                async move {
                    match db.event_change(pick.unwrap_or(EventId::new(at(0))), vec![change], at(step)).await {
                        Ok(_) | Err(DbError::NotFound { .. }) => {}
                        Err(e) => panic!("{e}"),
                    }
                }
            };
            match dice(12) {
                0..=2 => events.push(open_event(&t.db, camera, at(step)).await.id),
                3 => change(EventChange::ThumbnailStored { bytes }).await,
                4 => change(EventChange::Frames((0..u32::try_from(dice(4)).unwrap()).map(|i| frame(i, bytes, i != 1)).collect())).await,
                5 => change(clip(bytes)).await,
                6 => change(closed(at(step), dice(2) == 0)).await,
                7 => change(EventChange::ClipNone).await,
                8 => {
                    let frames = (0..u32::try_from(dice(4)).unwrap()).map(|i| (i, bytes)).collect();
                    let found = MediaFound { thumbnail: (dice(2) == 0).then_some(bytes), frames, clip: Some(bytes) };
                    change(EventChange::Found(found)).await;
                }
                9 => {
                    t.db.media_expire_oldest(bytes, 3, at(step)).await.unwrap();
                }
                10 if dice(3) == 0 => {
                    t.db.events_expire(at(step / 2), 2, at(step)).await.unwrap();
                }
                11 => {
                    if let Some(id) = pick {
                        match t.db.event_delete(id, DeleteReason::User, at(step)).await {
                            Ok(_) | Err(DbError::NotFound { .. }) => {}
                            Err(e) => panic!("{e}"),
                        }
                    }
                }
                _ => {}
            }
            if step % 25 == 0 {
                check_account(&t).await;
            }
        }
        check_account(&t).await;
        let (bytes, events) = (t.db.media_bytes().await.unwrap(), storage(&t).await.event_count);
        assert!(bytes > 0 && events > 5, "{bytes} bytes, {events} events: nothing was tried");
        t.delete_camera(cameras[0], at(300)).await.unwrap();
        check_account(&t).await;
    }

    async fn many_writers_at_once_lose_no_byte(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let tasks: Vec<_> = (0..8_i64).map(|n| {
            let db = t.db.clone();
            tokio::spawn(async move {
                for i in 0..5 {
                    let id = open_event(&db, c, at(n * 10 + i)).await.id;
                    db.event_change(id, vec![EventChange::ThumbnailStored { bytes: 10 }, closed(at(99), true), clip(100),
                        EventChange::Frames(vec![])], at(1)).await.unwrap();
                    if i % 2 == 0 {
                        db.event_delete(id, DeleteReason::User, at(2)).await.unwrap();
                    }
                }
            })
        }).collect();
        for _ in 0..5 {
            // Beside the writers; deadlocks of PostgreSQL are tried again, as the engine does.
            match t.db.media_expire_oldest(300, 10, at(3)).await {
                Ok(_) | Err(DbError::Busy) => {}
                Err(e) => panic!("{e}"),
            }
            tokio::task::yield_now().await;
        }
        for task in tasks {
            task.await.unwrap();
        }
        check_account(&t).await;
        assert_eq!(storage(&t).await.event_count, 16);
    }

    async fn a_reader_gets_the_notifications_of_its_kinds(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let low = Notification::storage_low(DISK, 500, at(1));
        let lost = Notification::camera_offline(c, "A", None, false, at(2));
        t.db.notification_add(low.clone(), at(1)).await.unwrap();
        t.db.notification_add(lost.clone(), at(2)).await.unwrap();
        let types = vec![MessageType::NotificationNew, MessageType::CameraStatus];
        let some = Audience { types: types.clone(), notices: vec![NotificationKind::CameraOffline] };
        let got = t.db.journal_for(0, 10, Some(some.clone())).await.unwrap();
        assert_eq!(got.iter().map(|m| m.seq).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(got[1].data, serde_json::to_value(&lost).unwrap());
        let tail = t.db.journal_tail(0, 10).await.unwrap();
        assert_eq!(tail.iter().map(|m| some.gets(m)).collect::<Vec<_>>(), [true, false, true]);
        let all = Audience::of(&types);
        assert_eq!(t.db.journal_for(0, 10, Some(all.clone())).await.unwrap().len(), 3);
        assert!(tail.iter().all(|m| all.gets(m)));
        let none = Audience { types, notices: vec![] };
        assert_eq!(t.db.journal_for(0, 10, Some(none)).await.unwrap().len(), 1);
    }

    async fn messages_go_from_the_oldest_on_and_leave_no_holes(t) {
        for (n, seconds) in [10, 20, 90, 30, 95].into_iter().enumerate() {
            t.db.notification_add(Notification::storage_low(DISK, 500, at(seconds)), at(seconds)).await.unwrap();
            assert_eq!(t.db.journal_bounds().await.unwrap().newest, i64::try_from(n).unwrap() + 1);
        }
        // The third was stored by a clock that ran ahead: the fourth is older, and stays with it.
        assert_eq!(t.db.journal_trim(at(50)).await.unwrap(), 2);
        assert_eq!(t.db.journal_bounds().await.unwrap().oldest, 3);
        let kept: Vec<i64> = t.db.journal_after(2, 10, None).await.unwrap().iter().map(|m| m.seq).collect();
        assert_eq!(kept, [3, 4, 5]);
        assert_eq!(t.db.journal_trim(at(1000)).await.unwrap(), 2);
        assert_eq!(t.db.journal_trim(at(1000)).await.unwrap(), 0);
        assert_eq!(t.db.journal_bounds().await.unwrap().oldest, 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_as_such_and_passes() {
    let t = TestDb::sqlite().await;
    t.db.write(|tx| {
        use diesel::connection::SimpleConnection;
        // No page more than there are: to SQLite the disk is full.
        tx.conn.batch_execute("PRAGMA max_page_count = 1").map_err(DbError::from)
    })
    .await
    .unwrap();
    let mut stored = 0;
    let full = loop {
        match t.db.camera_insert(camera(&format!("{stored} {}", "x".repeat(80)))).await {
            Ok(_) => stored += 1,
            Err(e) => break e,
        }
        assert!(stored < 10_000, "the disk never gets full");
    };
    assert!(matches!(full, DbError::Full(_)), "{full:?}");
    assert_eq!(argus_core::Classify::class(&full), argus_core::ErrorClass::Unavailable);
    // Reading goes on, and after there is room, so does writing.
    assert_eq!(t.db.camera_all().await.unwrap().len(), stored);
    let _ =
        t.db.write(|tx| {
            use diesel::connection::SimpleConnection;
            tx.conn.batch_execute("PRAGMA max_page_count = 1000000").map_err(DbError::from)
        })
        .await;
    t.db.camera_insert(camera("at last")).await.unwrap();
    assert_eq!(t.db.camera_all().await.unwrap().len(), stored + 1);
    tokio::time::timeout(Duration::from_secs(10), t.db.ping()).await.unwrap().unwrap();
}
