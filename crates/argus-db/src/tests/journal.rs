//! The journal and its memory.

use std::time::Duration;

use argus_core::CameraId;
use argus_core::journal::{DeleteReason, Message, MessageType};
use argus_core::notification::Notification;

use super::list::rows;
use super::{TestDb, at, camera, on_both, open_event};
use crate::{Audience, Database, DbError, EventChange, JournalBounds};

/// Reads on from `after` until `seq`, by the news.
async fn follow(db: Database, mut after: i64, seq: i64) -> Vec<i64> {
    let mut news = db.journal_watch();
    let mut seen = Vec::new();
    while after < seq {
        tokio::time::timeout(Duration::from_secs(30), news.wait_for(|&n| n > after)).await.unwrap().unwrap();
        let some = db.journal_tail(after, 7).await.unwrap();
        assert!(!some.is_empty(), "there is news, and nothing after {after}");
        seen.extend(some.iter().map(|e| e.seq));
        after = *seen.last().unwrap();
    }
    seen
}

async fn tell(db: &Database, c: CameraId, text: String) -> Result<i64, DbError> {
    db.write(move |tx| tx.tell_camera(MessageType::CameraStatus, c, &text, at(1))).await
}

async fn same_by_both_ways(t: &TestDb) {
    let table = t.db.journal_after(0, 500, None).await.unwrap();
    let tail = t.db.journal_tail(0, 500).await.unwrap();
    let parsed: Vec<Message> = tail.iter().map(|e| serde_json::from_str(&e.text).unwrap()).collect();
    assert_eq!(parsed, table);
}

on_both! {
    async fn readers_see_every_message_in_order_while_many_write(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let (writers, each) = (6_i64, 30_i64);
        let last = 1 + writers * each;
        let readers: Vec<_> = (0..3).map(|_| tokio::spawn(follow(t.db.clone(), 1, last))).collect();
        // One that reads only the table, as another process would, and trusts that nothing comes late below what it saw.
        let table = {
            let db = t.again().await;
            tokio::spawn(async move {
                let mut seen: Vec<i64> = vec![1];
                while *seen.last().unwrap() < last {
                    let after = *seen.last().unwrap();
                    seen.extend(db.journal_after(after, 50, None).await.unwrap().iter().map(|m| m.seq));
                    tokio::task::yield_now().await;
                }
                seen
            })
        };
        let tasks: Vec<_> = (0..writers).map(|w| {
            let db = t.db.clone();
            tokio::spawn(async move {
                for i in 0..each {
                    tell(&db, c, format!("{w}/{i}")).await.unwrap();
                }
            })
        }).collect();
        for task in tasks {
            task.await.unwrap();
        }
        let expected: Vec<i64> = (2..=last).collect();
        for reader in readers {
            assert_eq!(reader.await.unwrap(), expected);
        }
        assert_eq!(table.await.unwrap()[1..], expected);
    }

    async fn a_transaction_that_fails_tells_nobody(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let news = t.db.journal_watch();
        let failed = t.db.write(move |tx| -> Result<(), DbError> {
            tx.tell_camera(MessageType::CameraStatus, c, &"x", at(1))?;
            Err(DbError::Busy)
        }).await;
        assert!(failed.is_err());
        assert_eq!(*news.borrow(), 1);
        let seq = tell(&t.db, c, "y".into()).await.unwrap();
        assert_eq!((*news.borrow(), seq > 1), (seq, true));
        let seqs: Vec<i64> = t.db.journal_tail(1, 10).await.unwrap().iter().map(|e| e.seq).collect();
        assert_eq!(seqs, [seq]);
    }

    async fn memory_and_table_say_the_same(t) {
        let c = t.db.camera_insert(camera("A \"quoted\" 🦊")).await.unwrap().id;
        assert_eq!(t.db.journal_tail(0, 10).await.unwrap().len(), 1);
        let e = open_event(&t.db, c, at(0)).await.id;
        t.db.event_change(e, vec![EventChange::ThumbnailStored { bytes: 900 }], at(1)).await.unwrap();
        same_by_both_ways(&t).await;
        let tail = t.db.journal_tail(1, 1).await.unwrap();
        assert_eq!((tail.len(), tail[0].r#type, tail[0].event_id), (1, MessageType::EventCreated, Some(e)));
        // The same allocation for every reader.
        let again = t.db.journal_tail(1, 1).await.unwrap();
        assert!(std::sync::Arc::ptr_eq(&tail[0], &again[0]));
        assert!(t.db.journal_tail(3, 10).await.unwrap().is_empty());
        assert!(t.db.journal_tail(99, 10).await.unwrap().is_empty());
    }

    async fn what_is_gone_is_left_out_of_replays(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let d = t.db.camera_insert(camera("B")).await.unwrap().id;
        let e = open_event(&t.db, c, at(0)).await.id;
        let kept = open_event(&t.db, c, at(0)).await.id;
        // Long after: they are no group, of which more would be told.
        open_event(&t.db, d, at(60)).await;
        assert_eq!(t.db.journal_tail(2, 10).await.unwrap().len(), 3);
        t.db.event_delete(e, DeleteReason::User, at(1)).await.unwrap();
        t.delete_camera(d, at(1)).await.unwrap();
        for _ in 0..2 {
            let told: Vec<_> = t.db.journal_tail(2, 10).await.unwrap().iter().map(|e| (e.seq, e.event_id)).collect();
            assert_eq!(told, [(4, Some(kept)), (6, Some(e)), (7, None)]);
            same_by_both_ways(&t).await;
        }
        // The words of a deleted event are not kept in its old messages either.
        let empty = rows(&t, "journal WHERE data = 'null'").await;
        assert_eq!(empty, 2);
    }

    async fn everything_newer_may_be_gone(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        t.db.journal_tail(1, 10).await.unwrap();
        open_event(&t.db, c, at(0)).await;
        t.delete_camera(c, at(1)).await.unwrap();
        let told: Vec<i64> = t.db.journal_tail(1, 10).await.unwrap().iter().map(|e| e.seq).collect();
        assert_eq!(told, [3]);
    }

    async fn types_are_selected(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        open_event(&t.db, c, at(0)).await;
        let of = |types: &'static [MessageType]| t.db.journal_after(0, 10, Some(types));
        assert_eq!(of(&[MessageType::EventCreated]).await.unwrap().len(), 1);
        assert_eq!(of(&[MessageType::EventCreated, MessageType::CameraStatus]).await.unwrap().len(), 2);
        assert_eq!(of(&[MessageType::EventDeleted]).await.unwrap(), []);
        assert_eq!(of(&[]).await.unwrap(), []);
    }

    async fn numbers_never_come_again(t) {
        assert_eq!(t.db.journal_bounds().await.unwrap(), JournalBounds { oldest: 1, newest: 0 });
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        for i in 0..3 {
            tell(&t.db, c, i.to_string()).await.unwrap();
        }
        assert_eq!(t.db.journal_trim(at(1)).await.unwrap(), 1);
        assert_eq!(t.db.journal_bounds().await.unwrap(), JournalBounds { oldest: 2, newest: 4 });
        // The newest stays whatever its age.
        assert_eq!(t.db.journal_trim(at(1000)).await.unwrap(), 2);
        assert_eq!(t.db.journal_bounds().await.unwrap(), JournalBounds { oldest: 4, newest: 4 });
        t.raw("DELETE FROM journal");
        assert_eq!(tell(&t.db, c, "x".into()).await.unwrap(), 5);
        let again = t.again().await;
        assert_eq!(*again.journal_watch().borrow(), 5);
        assert_eq!(again.journal_tail(0, 10).await.unwrap().len(), 1);
    }

    async fn what_is_stored_here_is_in_memory_before_anybody_asks(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let e = open_event(&t.db, c, at(0)).await.id;
        tell(&t.db, c, "x".into()).await.unwrap();
        assert_eq!(t.db.inner.journal.held(), 3);
        same_by_both_ways(&t).await;
        t.db.event_delete(e, DeleteReason::User, at(1)).await.unwrap();
        assert_eq!(t.db.inner.journal.held(), 3, "what was said of the event is forgotten here too");
        same_by_both_ways(&t).await;
        // What somebody else stores leaves a hole, and what comes behind it has to wait for the table.
        let other = t.again().await;
        tell(&other, c, "y".into()).await.unwrap();
        tell(&t.db, c, "z".into()).await.unwrap();
        assert_eq!(t.db.inner.journal.held(), 3);
        same_by_both_ways(&t).await;
        assert_eq!(t.db.inner.journal.held(), 5);
    }

    async fn a_notification_of_an_event_that_is_gone_is_not_told(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let e = open_event(&t.db, c, at(0)).await.id;
        t.db.event_delete(e, DeleteReason::User, at(1)).await.unwrap();
        let before = t.db.journal_tail(0, 100).await.unwrap().len();
        let mut notice = Notification::camera_offline(c, "A", None, true, at(2));
        notice.event_id = Some(e);
        t.db.notification_add(notice, at(2)).await.unwrap();
        assert_eq!(t.db.journal_tail(0, 100).await.unwrap().len(), before);
        same_by_both_ways(&t).await;
    }

    async fn a_page_comes_with_the_bounds_of_its_own_state(t) {
        let all = || Audience::of(&[MessageType::CameraStatus]);
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let page = |after| t.db.journal_page(after, 100, all());
        assert_eq!(page(None).await.unwrap(), (JournalBounds { oldest: 1, newest: 1 }, Vec::new()));
        // Somebody keeps adding and trimming: whatever is seen, nothing is missing behind its oldest.
        let (writer, id) = (t.db.clone(), c);
        let busy = tokio::spawn(async move {
            for i in 1..60 {
                tell(&writer, id, i.to_string()).await.unwrap();
                writer.journal_trim(at(1000)).await.unwrap();
            }
        });
        let mut after = 0;
        while !busy.is_finished() {
            let (bounds, found) = page(Some(after)).await.unwrap();
            let expected: Vec<i64> = (bounds.oldest.max(after + 1)..=bounds.newest).collect();
            assert_eq!(found.iter().map(|m| m.seq).collect::<Vec<_>>(), expected);
            after = bounds.newest - 1;
        }
        busy.await.unwrap();
    }

    async fn memory_is_bounded_and_older_messages_come_from_the_table(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        t.db.journal_tail(1, 1).await.unwrap();
        let n = 4200_i64;
        t.db.write(move |tx| {
            for i in 0..n {
                tx.tell_camera(MessageType::CameraStatus, c, &i, at(1))?;
            }
            Ok(())
        }).await.unwrap();
        let mut after = 1;
        let mut seen = 0;
        loop {
            let some = t.db.journal_tail(after, 300).await.unwrap();
            let Some(last) = some.last() else { break };
            for entry in &some {
                after += 1;
                assert_eq!(entry.seq, after);
            }
            assert_eq!(after, last.seq);
            seen += i64::try_from(some.len()).unwrap();
        }
        assert_eq!(seen, n);
        assert_eq!(t.db.journal_tail(0, 10).await.unwrap()[0].seq, 1);
        assert_eq!(t.db.inner.journal.held(), 4096);
    }
}
