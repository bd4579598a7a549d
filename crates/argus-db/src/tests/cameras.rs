//! Cameras.

use argus_core::camera::{CameraFields, SourceType, TestPatternFields};
use argus_core::journal::{CameraStatusChange, MessageType};
use argus_core::status::{CameraState, CameraStatus, FaultKind};
use argus_core::zone::Zone;
use argus_core::{CameraId, Secret};

use super::list::rows;
use super::{at, camera, new_event, on_both, open_event};
use crate::{CameraFilter, Database, DatabaseConfig, DbError, SealKey};

fn rtsp(name: &str, password: &str) -> argus_core::camera::Camera {
    let fields = CameraFields {
        rtsp_url: Some("rtsp://cam:8554/live".into()),
        username: Some("jöe".into()),
        password: Some(Secret::new(password)),
        ..CameraFields::new(name, SourceType::Rtsp)
    };
    argus_core::camera::Camera { config: fields.check().unwrap(), ..camera("x") }
}

fn all_kinds() -> Vec<argus_core::camera::Camera> {
    let zone: Zone = serde_json::from_value(serde_json::json!({
        "id": "z1", "name": "Yard", "kind": "exclude", "enabled": false,
        "vertices": [{"x": 0.0, "y": 0.0}, {"x": 1.0, "y": 0.0}, {"x": 0.5, "y": 0.7}],
    }))
    .unwrap();
    let schedule = serde_json::from_value(serde_json::json!({
        "enabled": true, "timezone": "Europe/Berlin",
        "windows": [{"days": ["mon", "sun"], "start": "22:00", "end": "06:30"}],
    }))
    .unwrap();
    let fields = [
        CameraFields { device_index: Some(63), ..CameraFields::new("Usb", SourceType::Usb) },
        CameraFields {
            file_path: Some("walk/été.mp4".into()),
            looped: false,
            is_enabled: false,
            ..CameraFields::new("File", SourceType::File)
        },
        CameraFields {
            test_pattern: Some(TestPatternFields { period_s: Some(5), ..Default::default() }),
            detection_zones: vec![zone],
            detection_schedule: Some(schedule),
            prompt_override: Some("Look \"closely\"\n🦊".into()),
            frame_rate: 30,
            motion_cooldown: 0,
            ..CameraFields::new("Test", SourceType::Test)
        },
    ];
    let mut all: Vec<_> =
        fields.into_iter().map(|f| argus_core::camera::Camera { config: f.check().unwrap(), ..camera("x") }).collect();
    all.push(rtsp("Rtsp", "p@ss"));
    all.sort_by_key(|c| c.id);
    all
}

on_both! {
    async fn every_kind_comes_back_as_it_was(t) {
        let all = all_kinds();
        for c in &all {
            assert_eq!(&t.db.camera_insert(c.clone()).await.unwrap(), c);
            assert_eq!(&t.db.camera_get(c.id).await.unwrap(), c);
        }
        assert_eq!(t.db.camera_all().await.unwrap(), all);
        let told = t.db.journal_after(0, 10, None).await.unwrap();
        assert_eq!(told.len(), 4);
        for message in told {
            assert_eq!(message.r#type, MessageType::CameraStatus);
            assert_eq!(message.data["previous_status"], serde_json::Value::Null);
            let expected = if message.data["name"] == "File" { "stopped" } else { "starting" };
            assert_eq!(message.data["status"], expected);
        }
    }

    async fn names_are_unique_ignoring_case_in_every_script(t) {
        t.db.camera_insert(camera("Haustür Straße")).await.unwrap();
        let taken = |r: Result<_, DbError>| matches!(r, Err(DbError::Conflict { what: "camera", field: "name" }));
        assert!(taken(t.db.camera_insert(camera("HAUSTÜR STRASSE")).await));
        t.db.camera_insert(camera("Haustur")).await.unwrap();
        let other = t.db.camera_insert(camera("Ворота")).await.unwrap();
        assert!(taken(t.db.camera_insert(camera("ВОРОТА")).await));
        let edit = |name: &'static str| {
            t.db.camera_edit(other.id, at(1), move |c| {
                Ok::<_, ()>(argus_core::camera::CameraConfig { name: name.into(), ..c.config.clone() })
            })
        };
        assert!(taken(edit("haustÜr straße").await.map(|_| other.clone())));
        assert_eq!(edit("ворота").await.unwrap().unwrap().1.config.name, "ворота");
        // What was refused left nothing behind.
        assert_eq!(t.db.camera_all().await.unwrap().len(), 3);
        assert_eq!(t.db.journal_after(0, 10, None).await.unwrap().len(), 3);
    }

    async fn an_edit_sees_the_present_camera_and_may_refuse(t) {
        let c = t.db.camera_insert(camera("Door")).await.unwrap();
        let refused = t.db.camera_edit(c.id, at(5), |_| Err::<argus_core::camera::CameraConfig, _>("no")).await.unwrap();
        assert_eq!(refused, Err("no"));
        assert_eq!(t.db.camera_get(c.id).await.unwrap(), c);
        let rate = |n: u8| {
            t.db.camera_edit(c.id, at(6), move |c| {
                let frame_rate = c.config.frame_rate + n;
                Ok::<_, ()>(argus_core::camera::CameraConfig { frame_rate, ..c.config.clone() })
            })
        };
        let (a, b, d) = tokio::join!(rate(1), rate(2), rate(4));
        for changed in [a, b, d] {
            let (before, after) = changed.unwrap().unwrap();
            assert!(after.config.frame_rate > before.config.frame_rate);
        }
        let now = t.db.camera_get(c.id).await.unwrap();
        assert_eq!((now.config.frame_rate, now.updated_at, now.created_at), (12, at(6), c.created_at));
        let gone = t.db.camera_edit(CameraId::new(at(9)), at(9), |c| Ok::<_, ()>(c.config.clone())).await;
        assert!(matches!(gone, Err(DbError::NotFound { what: "camera" })));
    }

    async fn the_list_is_filtered_and_paged_oldest_first(t) {
        for i in 0..5 {
            let mut c = camera(&format!("c{i}"));
            c.created_at = at(10 - i);
            c.config.is_enabled = i % 2 == 0;
            t.db.camera_insert(c).await.unwrap();
        }
        t.db.camera_insert(rtsp("r", "x")).await.unwrap();
        let names = |p: &crate::Page<argus_core::camera::Camera>| {
            p.items.iter().map(|c| c.config.name.clone()).collect::<Vec<_>>()
        };
        // r is from second 0, c4 from 6, c3 from 7 and so on.
        let page = t.db.camera_list(CameraFilter::default(), 2, 2).await.unwrap();
        assert_eq!((page.total, page.page, page.limit), (6, 2, 2));
        assert_eq!(names(&page), ["c3", "c2"]);
        let filter = CameraFilter { types: vec![SourceType::Test], is_enabled: Some(true) };
        let page = t.db.camera_list(filter, 1, 10).await.unwrap();
        assert_eq!((names(&page), page.total), (vec!["c4".to_owned(), "c2".into(), "c0".into()], 3_u64));
        let past = t.db.camera_list(CameraFilter::default(), u32::MAX, 500).await.unwrap();
        assert_eq!((past.items.len(), past.total), (0, 6));
    }

    async fn a_deleted_camera_takes_everything_along(t) {
        let c = t.db.camera_insert(camera("Door")).await.unwrap();
        let stays = t.db.camera_insert(camera("Yard")).await.unwrap();
        for i in 0..3 {
            open_event(&t.db, c.id, at(i)).await;
        }
        let kept = open_event(&t.db, stays.id, at(1)).await;
        t.db.coverage_switch(c.id, at(0), crate::CoverageState::Received, None).await.unwrap();
        t.delete_camera(c.id, at(9)).await.unwrap();
        assert!(matches!(t.db.camera_get(c.id).await, Err(DbError::NotFound { .. })));
        assert!(matches!(t.delete_camera(c.id, at(9)).await, Err(DbError::NotFound { .. })));
        for (table, n) in [("event", 1), ("event_summary", 8), ("analysis_job", 1)] {
            assert_eq!(rows(&t, table).await, n, "{table}");
        }
        assert_eq!(rows(&t, "coverage").await, 0);
        let told = t.db.journal_after(0, 100, None).await.unwrap();
        let kinds: Vec<&str> = told.iter().map(|m| m.r#type.as_str()).collect();
        assert_eq!(kinds, ["camera.status", "camera.status", "event.created", "camera.status"]);
        assert_eq!(told[2].data["id"], kept.id.to_string());
        let last = &told[3].data;
        assert_eq!((&last["status"], &last["previous_status"], &last["name"]),
            (&"deleted".into(), &"starting".into(), &"Door".into()));
        assert!(matches!(
            t.db.event_open(new_event(c.id, at(3)), at(3), crate::DescriptionPlan::Job { priority: 0 }).await,
            Err(DbError::NotFound { what: "camera" })
        ));
    }

    async fn the_announced_state_is_kept(t) {
        let c = t.db.camera_insert(camera("Door")).await.unwrap();
        let state = CameraState {
            last_error: Some("The camera refused user or password".into()),
            last_error_kind: Some(FaultKind::Unauthorized),
            ..CameraState::of(CameraStatus::Error)
        };
        let change = CameraStatusChange::new(c.id, "Door", state, Some(CameraStatus::Starting));
        t.db.camera_state_tell(change.clone(), None, at(7)).await.unwrap();
        let kept = t.db.camera_last_states().await.unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!((kept[0].status, kept[0].since, kept[0].last_error_kind),
            (CameraStatus::Error, at(7), Some(FaultKind::Unauthorized)));
        let told = t.db.journal_after(1, 10, None).await.unwrap();
        assert_eq!(serde_json::from_value::<CameraStatusChange>(told[0].data.clone()).unwrap(), change);
        // A change of the configuration leaves it alone.
        t.db.camera_edit(c.id, at(8), |c| Ok::<_, ()>(c.config.clone())).await.unwrap().unwrap();
        assert_eq!(t.db.camera_last_states().await.unwrap(), kept);
        t.delete_camera(c.id, at(9)).await.unwrap();
        assert!(matches!(t.db.camera_state_tell(change, None, at(9)).await, Err(DbError::NotFound { .. })));
        assert_eq!(t.db.journal_bounds().await.unwrap().newest, 3);
    }

    async fn text_with_nul_is_refused_before_it_reaches_the_database(t) {
        let mut c = camera("Door");
        c.config.name = "Do\0or".into();
        assert!(matches!(t.db.camera_insert(c).await, Err(DbError::Invalid(i)) if i.field == "name"));
        let mut c = camera("Door");
        c.config.prompt_override = Some("\0".into());
        assert!(matches!(t.db.camera_insert(c).await, Err(DbError::Invalid(i)) if i.field == "prompt_override"));
        assert!(t.put(&[("k", "\"\0\"")], at(0)).await.is_err());
        let c = t.db.camera_insert(camera("Door")).await.unwrap();
        let mut new = new_event(c.id, at(0));
        new.description = "a\0b".into();
        let refused = t.db.event_open(new, at(0), crate::DescriptionPlan::Job { priority: 0 }).await;
        assert!(matches!(refused, Err(DbError::Invalid(i)) if i.field == "description"));
    }

    async fn a_password_opens_under_its_key_only(t) {
        let c = t.db.camera_insert(rtsp("Door", "hunter2-in-clear")).await.unwrap();
        let other = Database::open(DatabaseConfig::new(t.url.clone(), SealKey::new([1; 32]))).await.unwrap();
        assert!(matches!(other.camera_get(c.id).await, Err(DbError::Sealed)));
        assert_eq!(t.again().await.camera_get(c.id).await.unwrap(), c);
        let swapped = t.db.camera_insert(rtsp("Yard", "another")).await.unwrap();
        t.raw(&format!(
            "UPDATE camera SET password = (SELECT password FROM camera WHERE id = '{}') WHERE id = '{}'", c.id, swapped.id
        ));
        assert!(matches!(t.db.camera_get(swapped.id).await, Err(DbError::Sealed)));
    }

    async fn a_row_that_breaks_the_rules_is_told(t) {
        let c = t.db.camera_insert(camera("Door")).await.unwrap();
        t.raw("UPDATE camera SET frame_rate = 1000");
        assert!(matches!(t.db.camera_get(c.id).await, Err(DbError::Corrupt { what: "camera", .. })));
    }
}

/// The file itself, and what lies beside it, never holds a password.
#[tokio::test]
async fn a_password_is_nowhere_in_the_file() {
    let t = super::TestDb::sqlite().await;
    let c = t.db.camera_insert(rtsp("Door", "hunter2-in-clear")).await.unwrap();
    t.db.camera_edit(c.id, at(1), |c| Ok::<_, ()>(c.config.clone())).await.unwrap().unwrap();
    let change = CameraStatusChange::new(c.id, "Door", CameraState::of(CameraStatus::Online), None);
    t.db.camera_state_tell(change, None, at(2)).await.unwrap();
    let mut files = 0;
    let mut all = Vec::new();
    for file in std::fs::read_dir(t.folder.path()).unwrap() {
        files += 1;
        all.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    let has = |needle: &str| all.windows(needle.len()).any(|w| w == needle.as_bytes());
    assert!(files >= 2, "the journal of SQLite lies beside the database");
    assert!(has("rtsp://cam:8554/live") && has("v1."), "the camera is in there");
    assert!(!has("hunter2-in-clear"));
}
