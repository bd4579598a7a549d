//! Deleting a camera, broken off at each of its steps.

use argus_core::{CameraId, EventId};
use diesel::prelude::*;

use super::list::rows;
use super::{TestDb, at, camera, on_both, open_event};
use crate::events::{EventRow, summary};
use crate::removal::step;
use crate::schema::event;
use crate::{CameraFilter, Database, DbError};

/// A camera with so many events, of which the first has a job.
async fn crowded(t: &TestDb, name: &str, events: i64) -> CameraId {
    let id = t.db.camera_insert(camera(name)).await.unwrap().id;
    open_event(&t.db, id, at(0)).await;
    t.db.write(move |tx| {
        let mut row: EventRow = event::table.filter(event::camera_id.eq(id.to_string())).first(tx.conn)?;
        for n in 1..events {
            row.id = EventId::new(at(n)).to_string();
            row.started_us = at(n * 60).as_micros();
            diesel::insert_into(event::table).values(&row).execute(tx.conn)?;
        }
        summary::recount(tx.conn)
    })
    .await
    .unwrap();
    id
}

/// Nobody sees or uses the camera.
async fn is_gone(db: &Database, id: CameraId) {
    assert!(matches!(db.camera_get(id).await, Err(DbError::NotFound { .. })));
    let edited = db.camera_edit(id, at(9), |c| Ok::<_, ()>(c.config.clone())).await;
    assert!(matches!(edited, Err(DbError::NotFound { .. })));
    assert!(matches!(db.camera_delete_begin(id, at(9)).await, Err(DbError::NotFound { .. })));
    assert!(db.camera_all().await.unwrap().iter().all(|c| c.id != id));
    assert!(db.camera_list(CameraFilter::default(), 1, 50).await.unwrap().items.iter().all(|c| c.id != id));
    assert!(db.camera_last_states().await.unwrap().iter().all(|c| c.camera_id != id));
    let report = db.storage(argus_core::retention::Disk::default(), at(9)).await.unwrap();
    assert!(report.by_camera.iter().all(|c| c.camera_id != id));
    // Nothing of it is described or brought to an end any more.
    assert_eq!(db.jobs_recover(at(9)).await.unwrap(), (0, 0));
    assert!(db.events_unfinished().await.unwrap().is_empty());
}

on_both! {
    async fn a_deletion_that_was_broken_off_is_gone_on_with(t) {
        // 450 events go in three steps; the fourth removes the row.
        for steps in 0..=4_u32 {
            let before = t.db.journal_bounds().await.unwrap().newest;
            let c = crowded(&t, "Door", 450).await;
            t.db.camera_delete_begin(c, at(5)).await.unwrap();
            for n in 1..=steps {
                let more = t.db.write(move |tx| step(tx, c, at(6))).await.unwrap();
                assert_eq!(more, n < 4, "{n}");
            }
            // As after a crash: nothing but what is stored.
            let db = t.again().await;
            is_gone(&db, c).await;
            let left = i64::from(450_u32.saturating_sub(200 * steps));
            assert_eq!((rows(&t, "event").await, rows(&t, "analysis_job").await), (left, 0), "{steps}");
            let is_done = steps == 4;
            assert_eq!(db.cameras_deleting().await.unwrap(), if is_done { vec![] } else { vec![c] });
            // Its name is free.
            let namesake = db.camera_insert(camera("Door")).await.unwrap().id;
            db.camera_delete_finish(c, at(7)).await.unwrap();
            db.camera_delete_finish(c, at(8)).await.unwrap();
            assert!(db.cameras_deleting().await.unwrap().is_empty());
            assert_eq!((rows(&t, "event").await, rows(&t, "event_summary").await), (0, 0));
            assert_eq!(db.trash(String::new(), 10).await.unwrap(), [argus_core::media::camera_prefix(c)]);
            db.trash_done(vec![argus_core::media::camera_prefix(c)]).await.unwrap();
            let told = db.journal_after(before, 100, None).await.unwrap();
            let deleted: Vec<_> = told.iter().filter(|m| m.data["status"] == "deleted").collect();
            assert_eq!(deleted.len(), 1, "{told:?}");
            assert_eq!((&deleted[0].data["camera_id"], &deleted[0].data["previous_status"]),
                (&c.to_string().into(), &"starting".into()));
            assert_eq!(db.camera_get(namesake).await.unwrap().config.name, "Door");
            t.delete_camera(namesake, at(9)).await.unwrap();
            db.trash_done(vec![argus_core::media::camera_prefix(namesake)]).await.unwrap();
        }
    }

    async fn several_who_finish_a_deletion_at_once_do_no_harm(t) {
        let c = crowded(&t, "Door", 450).await;
        let stays = crowded(&t, "Yard", 30).await;
        t.db.camera_delete_begin(c, at(5)).await.unwrap();
        let other = t.again().await;
        let all = [&t.db, &other, &t.db, &other].map(|db| db.camera_delete_finish(c, at(6)));
        for done in futures(all).await {
            done.unwrap();
        }
        let told = t.db.journal_after(0, 100, None).await.unwrap();
        assert_eq!(told.iter().filter(|m| m.data["status"] == "deleted").count(), 1);
        assert_eq!(rows(&t, "event").await, 30);
        // What is not being deleted is not touched, whoever asks.
        t.db.camera_delete_finish(stays, at(7)).await.unwrap();
        assert_eq!(rows(&t, "event").await, 30);
        assert_eq!(t.db.camera_get(stays).await.unwrap().id, stays);
        // The sums are those of what is left.
        let report = t.db.storage(argus_core::retention::Disk::default(), at(9)).await.unwrap();
        assert_eq!((report.event_count, report.by_camera.len()), (30, 1));
    }
}

/// All of them at once.
async fn futures<F: Future>(all: [F; 4]) -> [F::Output; 4] {
    let [a, b, c, d] = all;
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    [a, b, c, d]
}
