//! Coverage.

use super::{at, camera, on_both};
use crate::CoverageState::{Missing, Received, Stopped};
use crate::DbError;

on_both! {
    async fn every_moment_belongs_to_one_interval(t) {
        let c = t.db.camera_insert(camera("Door")).await.unwrap().id;
        let db = &t.db;
        db.coverage_switch(c, at(0), Missing, Some("starting".into())).await.unwrap();
        db.coverage_switch(c, at(10), Received, None).await.unwrap();
        db.coverage_switch(c, at(20), Received, None).await.unwrap();
        db.coverage_switch(c, at(30), Missing, Some("timeout".into())).await.unwrap();
        // The clock went back: nothing ends before it began, and what lasted no time is not kept.
        db.coverage_switch(c, at(25), Received, None).await.unwrap();
        db.coverage_switch(c, at(40), Stopped, None).await.unwrap();
        let all = db.coverage_list(c, at(-100), at(100)).await.unwrap();
        let short: Vec<_> = all.iter().map(|i| (i.from, i.until, i.state, i.reason.as_deref())).collect();
        assert_eq!(short, [
            (at(0), Some(at(10)), Missing, Some("starting")),
            (at(10), Some(at(30)), Received, None),
            (at(30), Some(at(40)), Received, None),
            (at(40), None, Stopped, None),
        ]);
        let states = |list: Vec<crate::CoverageInterval>| list.iter().map(|i| i.state).collect::<Vec<_>>();
        assert_eq!(states(db.coverage_list(c, at(5), at(10)).await.unwrap()), [Missing]);
        assert_eq!(states(db.coverage_list(c, at(10), at(31)).await.unwrap()), [Received, Received]);
        assert_eq!(states(db.coverage_list(c, at(1000), at(1001)).await.unwrap()), [Stopped]);
    }

    async fn closing_ends_what_is_open(t) {
        let c = t.db.camera_insert(camera("Door")).await.unwrap().id;
        let d = t.db.camera_insert(camera("Yard")).await.unwrap().id;
        t.db.coverage_switch(c, at(0), Received, None).await.unwrap();
        t.db.coverage_switch(d, at(50), Received, None).await.unwrap();
        assert_eq!(t.db.coverage_close_all(at(20)).await.unwrap(), 2);
        assert_eq!(t.db.coverage_close_all(at(20)).await.unwrap(), 0);
        assert_eq!(t.db.coverage_list(c, at(0), at(99)).await.unwrap()[0].until, Some(at(20)));
        assert_eq!(t.db.coverage_list(d, at(0), at(99)).await.unwrap(), []);
        t.db.coverage_switch(c, at(30), Received, None).await.unwrap();
        assert_eq!(t.db.coverage_list(c, at(0), at(99)).await.unwrap().len(), 2);
        t.delete_camera(d, at(60)).await.unwrap();
        let gone = t.db.coverage_switch(d, at(70), Received, None).await;
        assert!(matches!(gone, Err(DbError::NotFound { what: "camera" })));
    }

    async fn after_a_crash_nothing_is_claimed_beyond_what_was_seen(t) {
        let c = t.db.camera_insert(camera("Door")).await.unwrap().id;
        let d = t.db.camera_insert(camera("Yard")).await.unwrap().id;
        t.db.coverage_switch(c, at(0), Received, None).await.unwrap();
        t.db.coverage_seen(at(10)).await.unwrap();
        t.db.coverage_seen(at(5)).await.unwrap();
        // Began after the last note: it is not known that it lasted at all.
        t.db.coverage_switch(d, at(12), Received, None).await.unwrap();
        assert_eq!(t.db.coverage_recover().await.unwrap(), 2);
        assert_eq!(t.db.coverage_list(c, at(0), at(99)).await.unwrap()[0].until, Some(at(10)));
        assert_eq!(t.db.coverage_list(d, at(0), at(99)).await.unwrap(), []);
        assert_eq!(t.db.coverage_recover().await.unwrap(), 0);
    }
}
