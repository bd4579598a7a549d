//! Controllers, their cameras and their detections.

use argus_core::camera::{Camera, CameraConfig, ProtectSource, Source};
use argus_core::controller::{ControllerConfig, ControllerFields, StoredController};
use argus_core::event::{DetectionType, ObjectKind, ProtectDetection};
use argus_core::{CameraId, ControllerId, EventId, Faults, Secret};

use super::{at, camera, new_event, on_both};
use crate::{CoverageState, Database, DbError, DescriptionPlan, EventChange};

fn controller(name: &str, host: &str) -> StoredController {
    let fields = ControllerFields {
        api_key: Some(Secret::new("the-key")),
        username: Some("joe".into()),
        password: Some(Secret::new("the password")),
        ..ControllerFields::new(name, host)
    };
    StoredController {
        id: ControllerId::new(at(0)),
        created_at: at(0),
        updated_at: at(0),
        config: fields.check().unwrap(),
    }
}

async fn door(db: &Database, controller: ControllerId) -> Camera {
    doorbell(db, controller, "Door", "65a1").await
}

async fn doorbell(db: &Database, controller: ControllerId, name: &str, device: &str) -> Camera {
    let source = Source::Protect(ProtectSource {
        controller_id: Some(controller),
        camera_id: device.into(),
        mac: Some("AABBCCDDEEFF".into()),
        device_name: name.into(),
        is_doorbell: true,
        detections: ProtectSource::DETECTIONS.to_vec(),
    });
    let plain = camera(name);
    let config = CameraConfig { source, ..plain.config };
    db.camera_insert(Camera { config, id: CameraId::new(at(1)), ..plain }).await.unwrap()
}

fn detection(camera: CameraId, id: &str, second: i64) -> argus_core::event::NewEvent {
    argus_core::event::NewEvent {
        id: EventId::new(at(second)),
        detection_type: DetectionType::Motion,
        zones: vec![],
        motion: None,
        protect: Some(ProtectDetection { event_id: id.into(), kind: Some("motion".into()), objects: vec![] }),
        ..new_event(camera, at(second))
    }
}

on_both! {
    async fn a_controller_comes_back_as_it_was_stored(t) {
        let home = t.db.controller_insert(controller("Home", "10.0.0.1")).await.unwrap();
        let (stored, memory) = t.db.controller_get(home.id).await.unwrap();
        assert_eq!((stored, memory.kept, memory.known_until), (home.clone(), None, None));
        for (name, host, field) in [("HOME", "10.0.0.2", "name"), ("Other", "10.0.0.1", "host and port")] {
            let refused = t.db.controller_insert(controller(name, host)).await;
            assert!(matches!(refused, Err(DbError::Conflict { field: f, .. }) if f == field), "{refused:?}");
        }
        let edited = t.db.controller_edit(home.id, at(5), |c| {
            Ok::<_, Faults>(ControllerConfig { name: "House".into(), ..c.config.clone() })
        });
        let (before, after) = edited.await.unwrap().unwrap();
        assert_eq!((before.config.name.as_str(), after.config.name.as_str(), after.updated_at), ("Home", "House", at(5)));
        let refused = t.db.controller_edit(home.id, at(6), |_| Err::<ControllerConfig, _>("no"));
        assert_eq!(refused.await.unwrap().unwrap_err(), "no");
        assert_eq!(t.db.controller_all().await.unwrap().len(), 1);
    }

    async fn a_session_is_kept_until_somebody_signs_in_elsewhere(t) {
        let home = t.db.controller_insert(controller("Home", "10.0.0.1")).await.unwrap();
        t.db.controller_keep(home.id, Some(Secret::new("a session"))).await.unwrap();
        t.db.controller_note(home.id, Some(at(7)), Some(at(8))).await.unwrap();
        t.db.controller_choose(home.id, "65a1".into(), vec![DetectionType::Ring]).await.unwrap();
        let edit = |change: fn(&mut ControllerConfig)| {
            let edited = t.db.controller_edit(home.id, at(9), move |c| {
                let mut config = c.config.clone();
                change(&mut config);
                Ok::<_, Faults>(config)
            });
            async { edited.await.unwrap().unwrap(); t.db.controller_get(home.id).await.unwrap().1 }
        };
        let memory = edit(|c| c.name = "House".into()).await;
        assert_eq!(memory.kept.as_ref().map(Secret::expose), Some("a session"));
        assert_eq!((memory.known_until, memory.last_connected_at), (Some(at(7)), Some(at(8))));
        assert_eq!(memory.choices["65a1"], [DetectionType::Ring]);
        let memory = edit(|c| c.host = "10.0.0.9".into()).await;
        assert_eq!((memory.kept, memory.known_until), (None, None), "of another machine nothing is known");
        // What happened while it was off is not wanted; switching it off changes nothing.
        t.db.controller_note(home.id, Some(at(7)), Some(at(8))).await.unwrap();
        assert_eq!(edit(|c| c.is_enabled = false).await.known_until, Some(at(7)));
        assert_eq!(edit(|c| c.is_enabled = true).await.known_until, None);
        t.db.controller_note(home.id, Some(at(7)), Some(at(8))).await.unwrap();
        assert_eq!(edit(|c| c.name = "Hut".into()).await.known_until, Some(at(7)));
        assert_eq!(edit(|c| c.port = 7443).await.known_until, None);
    }

    async fn secrets_are_sealed(t) {
        let home = t.db.controller_insert(controller("Home", "10.0.0.1")).await.unwrap();
        t.db.controller_keep(home.id, Some(Secret::new("a session"))).await.unwrap();
        assert_eq!(t.db.reseal().await.unwrap(), 3);
        let other = crate::DatabaseConfig::new(t.url.clone(), crate::SealKey::new([9; 32]));
        let other = Database::open(other).await.unwrap();
        assert_eq!(other.seal_check().await.unwrap().len(), 3);
        assert_eq!(other.seal_forget().await.unwrap().len(), 3);
        let (left, _) = other.controller_get(home.id).await.unwrap();
        assert_eq!((left.config.api_key, left.config.password, left.config.username.as_deref()), (None, None, Some("joe")));
    }

    async fn its_cameras_stay_when_it_goes(t) {
        let home = t.db.controller_insert(controller("Home", "10.0.0.1")).await.unwrap();
        let door = door(&t.db, home.id).await;
        assert_eq!(t.db.camera_get(door.id).await.unwrap(), door);
        let left = t.db.controller_delete(home.id, at(9)).await.unwrap();
        let now = t.db.camera_get(door.id).await.unwrap();
        assert_eq!(left, std::slice::from_ref(&now));
        let Source::Protect(source) = &now.config.source else { panic!("it is of another kind") };
        assert_eq!((now.config.is_enabled, source.controller_id, source.camera_id.as_str()), (false, None, "65a1"));
        assert!(matches!(t.db.controller_delete(home.id, at(9)).await, Err(DbError::NotFound { .. })));
    }

    async fn one_detection_has_one_event(t) {
        let home = t.db.controller_insert(controller("Home", "10.0.0.1")).await.unwrap();
        let door = door(&t.db, home.id).await;
        let plan = DescriptionPlan::Job { priority: 10 };
        let (event, _) = t.db.event_open(detection(door.id, "e1", 1), at(2), plan).await.unwrap();
        assert_eq!(event.protect_event_id.as_deref(), Some("e1"));
        let again = t.db.event_open(detection(door.id, "e1", 3), at(4), plan).await;
        assert!(matches!(again, Err(DbError::Conflict { field: "protect_event_id", .. })), "{again:?}");
        t.db.event_open(detection(door.id, "e2", 5), at(6), plan).await.unwrap();
        let refined = EventChange::Refined {
            detection_type: DetectionType::Person,
            kind: Some("person".into()),
            objects: vec![ObjectKind::Person],
            confidence: 91,
            sentence: "Person on Door.".into(),
        };
        let refined = t.db.event_change(event.id, vec![refined], at(7)).await.unwrap();
        assert_eq!(
            (refined.detection_type, refined.confidence, refined.description.as_str()),
            (DetectionType::Person, 91, "Person on Door.")
        );
        let seen = t.db.detections_seen(home.id, at(0), 10).await.unwrap();
        let seen: Vec<_> = seen.iter().map(|s| (s.detection.as_str(), s.kind, s.ended_at)).collect();
        assert_eq!(seen, [("e1", DetectionType::Person, None), ("e2", DetectionType::Motion, None)]);
    }

    async fn what_was_missed_takes_the_place_of_what_was_received(t) {
        let id = t.db.camera_insert(camera("Door")).await.unwrap().id;
        t.db.coverage_switch(id, at(0), CoverageState::Received, None).await.unwrap();
        t.db.coverage_switch(id, at(100), CoverageState::Missing, Some("lost".into())).await.unwrap();
        t.db.coverage_switch(id, at(110), CoverageState::Received, None).await.unwrap();
        t.db.coverage_missed(id, at(90), at(120), "a gap".into()).await.unwrap();
        t.db.coverage_missed(id, at(130), at(140), "another".into()).await.unwrap();
        let list = t.db.coverage_list(id, at(0), at(1000)).await.unwrap();
        let list: Vec<_> =
            list.iter().map(|i| (i.from, i.until, i.state, i.reason.as_deref().unwrap_or(""))).collect();
        assert_eq!(list, [
            (at(0), Some(at(90)), CoverageState::Received, ""),
            (at(90), Some(at(100)), CoverageState::Missing, "a gap"),
            (at(100), Some(at(110)), CoverageState::Missing, "lost"),
            (at(110), Some(at(120)), CoverageState::Missing, "a gap"),
            (at(120), Some(at(130)), CoverageState::Received, ""),
            (at(130), Some(at(140)), CoverageState::Missing, "another"),
            (at(140), None, CoverageState::Received, ""),
        ]);
    }

    async fn gaps_of_a_controller_can_be_read_again(t) {
        let home = t.db.controller_insert(controller("Home", "10.0.0.1")).await.unwrap();
        let door = doorbell(&t.db, home.id, "Door", "65a1").await.id;
        let yard = doorbell(&t.db, home.id, "Yard", "65a2").await.id;
        let none = t.db.camera_insert(camera("None of its")).await.unwrap().id;
        for camera in [door, yard, none] {
            t.db.coverage_switch(camera, at(0), CoverageState::Received, None).await.unwrap();
        }
        // The connection is lost, which is noticed after 5 s; one camera rests.
        t.db.coverage_switch(door, at(105), CoverageState::Missing, Some("not reachable".into())).await.unwrap();
        t.db.coverage_switch(yard, at(50), CoverageState::Stopped, None).await.unwrap();
        for camera in [door, yard, none] {
            t.db.coverage_missed(camera, at(100), at(160), "no history".into()).await.unwrap();
        }
        t.db.coverage_switch(door, at(165), CoverageState::Received, None).await.unwrap();
        // The server is stopped for a while, of which nothing is on account.
        t.db.coverage_close_all(at(200)).await.unwrap();
        t.db.coverage_switch(door, at(300), CoverageState::Missing, None).await.unwrap();
        t.db.coverage_missed(door, at(190), at(302), "the server was away".into()).await.unwrap();
        t.db.coverage_switch(door, at(302), CoverageState::Received, None).await.unwrap();

        let read = |since, limit| { let (db, id) = (t.db.clone(), home.id); async move {
            let gaps = db.coverage_gaps(id, at(since), limit).await.unwrap();
            gaps.into_iter().map(|g| (g.from, g.until, g.reason)).collect::<Vec<_>>()
        }};
        let (first, second) = (
            (at(100), at(160), "no history".to_owned()),
            (at(190), at(302), "the server was away".to_owned()),
        );
        assert_eq!(read(0, 9).await, [second.clone(), first], "newest first");
        assert_eq!(read(150, 9).await, std::slice::from_ref(&second));
        assert_eq!(read(0, 1).await, [second]);
        let list = t.db.coverage_list(yard, at(0), at(1000)).await.unwrap();
        assert!(list.iter().all(|i| i.state != CoverageState::Missing), "nothing is missed of one that rests: {list:?}");
        let list = t.db.coverage_list(door, at(90), at(302)).await.unwrap();
        for pair in list.windows(2) {
            assert_eq!(pair[0].until, Some(pair[1].from), "every moment once: {list:?}");
        }
    }
}
