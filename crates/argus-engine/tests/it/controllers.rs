//! Controllers: what they tell becomes events, once each, whatever happens meanwhile.

use std::time::Duration;

use argus_core::camera::{Camera, CameraConfig, Source};
use argus_core::controller::{
    ControllerConfig, ControllerFault, ControllerFeatures, ControllerFields, ControllerItem, ControllerState,
    ControllerStatus, Happening, HappeningPhase,
};
use argus_core::event::{DescriptionStatus, DetectionType, Event, ObjectKind};
use argus_core::ports::{ComponentStatus, Control, ControllerControl, StreamTrust};
use argus_core::schedule::{Day, Schedule, Window};
use argus_core::status::{CameraStatus, FaultKind};
use argus_core::{CameraId, Clock, ControllerId, ErrorClass, Secret};
use argus_db::CoverageState;

use crate::console::{connected, device, ended, happening};
use crate::stage::{Stage, at, class, wait};

/// A controller on its own port.
fn config(port: u16) -> ControllerConfig {
    let fields = ControllerFields {
        port: port.into(),
        username: Some("argus".into()),
        password: Some(Secret::new("secret")),
        ..ControllerFields::new(format!("Console {port}"), "10.0.0.1")
    };
    fields.check().unwrap()
}

/// A connected controller.
async fn controller(stage: &Stage, port: u16) -> ControllerId {
    let id = stage.engine.controller_create(config(port)).await.unwrap().stored.id;
    greet(stage, id).await;
    id
}

/// Lets a controller be connected and tell its doorbell.
async fn greet(stage: &Stage, id: ControllerId) {
    wait("the connection", || async { stage.consoles.is_open(id).then_some(()) }).await;
    stage.consoles.connected(id);
    stage.consoles.devices(id, vec![device("door", "AA0000000001", "Front door")]);
}

/// The doorbell, enabled, with every event at once.
async fn door(stage: &Stage, id: ControllerId) -> Camera {
    let put = stage.engine.controller_camera_put(id, "door", Some(true), None).await.unwrap();
    let camera = put.camera_id.unwrap();
    change(stage, camera, |c| c.motion_cooldown_s = 0).await
}

async fn change(stage: &Stage, camera: CameraId, change: impl FnOnce(&mut CameraConfig) + Send + 'static) -> Camera {
    let edit = |camera: &Camera| {
        let mut config = camera.config.clone();
        change(&mut config);
        Ok(config)
    };
    stage.engine.camera_update(camera, Box::new(edit)).await.unwrap()
}

impl Stage {
    fn told(&self, id: ControllerId, told: &Happening) {
        self.consoles.tell(id, ControllerItem::Happening(told.clone()));
    }

    /// The event of a detection, once it is so.
    async fn detection(&self, detection: &str, done: impl Fn(&Event) -> bool) -> Event {
        let find = || async {
            let all = self.events().await;
            all.into_iter().find(|e| e.protect_event_id.as_deref() == Some(detection) && done(e))
        };
        wait(detection, find).await
    }

    async fn status(&self, camera: CameraId, status: CameraStatus) {
        let look = || async { (self.engine.camera_live(camera)?.state.status == status).then_some(()) };
        wait(&format!("status {status}"), look).await;
    }
}

fn is_complete(e: &Event) -> bool {
    e.ended_at.is_some()
        && e.clip_url.is_some()
        && e.thumbnail_url.is_some()
        && e.description_status == DescriptionStatus::Described
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_becomes_an_event_with_pictures_words_and_a_clip() {
    let stage = Stage::start().await;
    let id = controller(&stage, 443).await;
    let camera = door(&stage, id).await;
    assert_eq!(camera.config.name, "Front door");
    stage.status(camera.id, CameraStatus::Online).await;
    let ring = happening("e1", "door", DetectionType::Ring, stage.clock.now());
    stage.told(id, &ring);
    let open = stage.detection("e1", |_| true).await;
    assert_eq!((open.detection_type, open.is_doorbell_ring, open.confidence), (DetectionType::Ring, true, 100));
    assert_eq!(stage.engine.camera_live(camera.id).unwrap().event_id, Some(open.id));
    stage.told(id, &ended(&ring, 1));
    let event = stage.detection("e1", is_complete).await;
    assert_eq!((event.duration_ms, event.smart_detection_type.as_deref()), (Some(1000), Some("ring")));
    assert!(!event.frames.is_empty() && event.motion.is_none());
    assert_eq!(stage.engine.camera_live(camera.id).unwrap().event_id, None);
    let clip = "clip door 2025-12-23T10:29:55.000Z 2025-12-23T10:30:06.000Z";
    assert!(stage.consoles.asked().iter().any(|asked| asked == clip), "{:?}", stage.consoles.asked());
    let kinds: Vec<_> = stage.db.journal_after(0, 500, None).await.unwrap();
    let created = kinds.iter().filter(|e| e.r#type == argus_core::journal::MessageType::EventCreated).count();
    assert_eq!(created, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn however_often_it_is_told_a_detection_is_one_event() {
    let mut stage = Stage::start().await;
    let id = controller(&stage, 443).await;
    door(&stage, id).await;
    let told = happening("e1", "door", DetectionType::Person, stage.clock.now());
    for _ in 0..5 {
        stage.told(id, &told);
    }
    for _ in 0..3 {
        stage.told(id, &ended(&told, 4));
    }
    stage.detection("e1", is_complete).await;
    stage.again().await;
    greet(&stage, id).await;
    stage.told(id, &Happening { from_history: true, ..ended(&told, 4) });
    let next = happening("e2", "door", DetectionType::Person, stage.clock.now());
    stage.told(id, &ended(&next, 1));
    stage.detection("e2", |e| e.ended_at.is_some()).await;
    assert_eq!(stage.events().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_clear_later_is_told_later() {
    let stage = Stage::start().await;
    let id = controller(&stage, 443).await;
    door(&stage, id).await;
    let all = vec![DetectionType::Motion, DetectionType::Person];
    stage.engine.controller_camera_put(id, "door", None, Some(all)).await.unwrap();
    stage.script.close();
    let told = happening("e1", "door", DetectionType::Motion, stage.clock.now());
    stage.told(id, &told);
    let event = stage.detection("e1", |_| true).await;
    assert_eq!((event.detection_type, event.description.as_str()), (DetectionType::Motion, "Motion on Front door."));
    let more = Happening {
        phase: HappeningPhase::Changed,
        kinds: vec![DetectionType::Person, DetectionType::Vehicle, DetectionType::Motion],
        types: vec!["person".into(), "vehicle".into()],
        score: Some(93),
        ..told.clone()
    };
    stage.told(id, &more);
    let event = stage.detection("e1", |e| e.detection_type == DetectionType::Person).await;
    assert_eq!((event.description.as_str(), event.confidence), ("Person on Front door.", 93));
    assert_eq!(event.objects_detected, [ObjectKind::Person, ObjectKind::Vehicle]);
    stage.script.open();
    stage.told(id, &ended(&more, 3));
    let event = stage.detection("e1", is_complete).await;
    assert_eq!(event.objects_detected, [ObjectKind::Person, ObjectKind::Vehicle, ObjectKind::Animal], "both saw");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_chosen_makes_events_and_rings_always_do() {
    let stage = Stage::start().await;
    let id = controller(&stage, 443).await;
    let camera = door(&stage, id).await;
    let night = "2025-12-23T22:00:00Z".parse().unwrap();
    stage.clock.set(night);
    let days = vec![Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];
    let window = Window { days, start: "08:00".parse().unwrap(), end: "18:00".parse().unwrap() };
    let schedule = Schedule { enabled: true, timezone: None, windows: vec![window] };
    change(&stage, camera.id, |c| {
        c.schedule = Some(schedule);
        c.motion_cooldown_s = 30;
    })
    .await;
    stage.told(id, &happening("night", "door", DetectionType::Person, night));
    stage.told(id, &happening("ring", "door", DetectionType::Ring, night));
    let day = "2025-12-24T10:00:00Z".parse().unwrap();
    stage.clock.set(day);
    stage.told(id, &happening("motion", "door", DetectionType::Motion, day));
    stage.told(id, &happening("other", "elsewhere", DetectionType::Person, day));
    stage.told(id, &happening("person", "door", DetectionType::Person, day));
    stage.told(id, &happening("same", "door", DetectionType::Person, day.plus(Duration::from_secs(5))));
    stage.told(id, &happening("car", "door", DetectionType::Vehicle, day.plus(Duration::from_secs(5))));
    wait("three events", || async { (stage.events().await.len() == 3).then_some(()) }).await;
    let mut made: Vec<_> = stage.events().await.into_iter().filter_map(|e| e.protect_event_id).collect();
    made.sort();
    assert_eq!(made, ["car", "person", "ring"]);
    change(&stage, camera.id, |c| c.is_enabled = false).await;
    let event = stage.detection("person", |e| e.ended_at.is_some()).await;
    assert_eq!(event.duration_ms, Some(0), "a stopped camera closes its events");
    stage.told(id, &happening("stopped", "door", DetectionType::Ring, day));
    change(&stage, camera.id, |c| c.is_enabled = true).await;
    stage.told(id, &happening("again", "door", DetectionType::Ring, day));
    stage.detection("again", |_| true).await;
    assert_eq!(stage.events().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_because_a_picture_is_slow() {
    let stage = Stage::start().await;
    let id = controller(&stage, 443).await;
    door(&stage, id).await;
    stage.consoles.gate.forget_permits(usize::MAX);
    for n in 0..60 {
        let told = happening(&format!("e{n}"), "door", DetectionType::Person, stage.clock.now());
        stage.told(id, &told);
        stage.told(id, &ended(&told, 2));
    }
    let all_closed = || async {
        let events = stage.events().await;
        (events.len() == 60 && events.iter().all(|e| e.ended_at.is_some())).then_some(())
    };
    wait("all events", all_closed).await;
    stage.consoles.gate.add_permits(1_000_000);
    wait("all pictures", || async { stage.events().await.iter().all(is_complete).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_more_events_than_can_run_each_is_stored() {
    let stage = Stage::start().await;
    let id = controller(&stage, 443).await;
    door(&stage, id).await;
    stage.consoles.gate.forget_permits(usize::MAX);
    let began = stage.clock.now().minus(Duration::from_secs(5));
    let at = |n: u32| began.plus(Duration::from_millis(n.into()));
    let told = |n: u32| happening(&format!("e{n}"), "door", DetectionType::Person, at(n));
    for n in 0..2100 {
        stage.told(id, &told(n));
        if n % 100 == 99 {
            stage.detection(&format!("e{n}"), |_| true).await;
        }
    }
    stage.detection("e2047", |e| e.ended_at.is_none()).await;
    stage.detection("e2048", |e| e.ended_at.is_some()).await;
    let last = stage.detection("e2099", |e| e.ended_at.is_some()).await;
    assert_eq!((last.duration_ms, last.thumbnail_url.is_some()), (Some(0), false), "nothing more is known of it");
    // What is told of it later is noted without a task of its own.
    let end = ended(&told(2099), 7);
    stage.told(id, &Happening { kinds: vec![DetectionType::Person, DetectionType::Vehicle], ..end });
    let last = stage.detection("e2099", |e| e.duration_ms == Some(7000)).await;
    assert!(last.objects_detected.contains(&ObjectKind::Vehicle));
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_a_controller_is_known_moves_with_what_was_heard() {
    let stage = Stage::start().await;
    let id = controller(&stage, 443).await;
    let since = stage.clock.now();
    let known = || async { stage.db.controller_get(id).await.unwrap().1.known_until };
    wait("the first note", || async { known().await.filter(|at| *at == since) }).await;
    stage.clock.advance(Duration::from_secs(300));
    let heard = since.plus(Duration::from_secs(100));
    *stage.consoles.known_until.lock().unwrap() = Some(heard);
    wait("what was heard", || async { known().await.filter(|at| *at == heard) }).await;
    // What was just heard may still be on its way to the database.
    *stage.consoles.known_until.lock().unwrap() = Some(stage.clock.now());
    let settled = stage.clock.now().minus(Duration::from_secs(30));
    wait("what is settled", || async { known().await.filter(|at| *at == settled) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_the_last_run_gets_what_it_lacks() {
    let mut stage = Stage::start().await;
    let id = controller(&stage, 443).await;
    door(&stage, id).await;
    stage.consoles.gate.forget_permits(usize::MAX);
    let told = happening("e1", "door", DetectionType::Person, stage.clock.now());
    stage.told(id, &told);
    stage.detection("e1", |_| true).await;
    stage.again().await;
    stage.consoles.gate.add_permits(1_000_000);
    let event = stage.detection("e1", |_| true).await;
    assert!(event.ended_at.is_some(), "it was closed at the stop");
    greet(&stage, id).await;
    stage.told(id, &Happening { from_history: true, ..ended(&told, 7) });
    let event = stage.detection("e1", is_complete).await;
    assert_eq!(event.duration_ms, Some(7000), "the true end");
    assert!(stage.consoles.asked().iter().any(|asked| asked.starts_with("recorded door")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_a_connection_is_given_back_to_the_next() {
    let mut stage = Stage::start().await;
    let id = controller(&stage, 443).await;
    stage.consoles.tell(id, ControllerItem::Keep(Some(Secret::new("a session"))));
    let kept = || async { stage.db.controller_get(id).await.unwrap().1.kept.map(|_| ()) };
    wait("the session", kept).await;
    stage.again().await;
    wait("the connection", || async { stage.consoles.is_open(id).then_some(()) }).await;
    let plan = stage.consoles.plans().pop().unwrap();
    assert_eq!(plan.kept.as_ref().map(Secret::expose), Some("a session"));
    assert_eq!(plan.known_until, Some(stage.clock.now()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_is_followed_through_names_and_adoptions() {
    let stage = Stage::start().await;
    let id = controller(&stage, 443).await;
    let camera = door(&stage, id).await;
    stage.consoles.devices(id, vec![device("door", "AA0000000001", "Main door")]);
    let name = |name: &'static str| {
        let db = stage.db.clone();
        move || {
            let db = db.clone();
            async move { (db.camera_get(camera.id).await.unwrap().config.name == name).then_some(()) }
        }
    };
    wait("the new name", name("Main door")).await;
    // Adopted anew: another id, the same device. Its next detection counts at once.
    let told = happening("e1", "new", DetectionType::Ring, stage.clock.now());
    stage.consoles.devices(id, vec![device("new", "AA0000000001", "Main door")]);
    stage.told(id, &told);
    let event = stage.detection("e1", |_| true).await;
    assert_eq!(event.camera_id, camera.id);
    // A name that a person gave stays.
    change(&stage, camera.id, |c| c.name = "Porch".into()).await;
    stage.consoles.devices(id, vec![device("new", "AA0000000001", "Side door")]);
    let followed = || async {
        let camera = stage.db.camera_get(camera.id).await.unwrap();
        matches!(&camera.config.source, Source::Protect(s) if s.device_name == "Side door" && s.camera_id == "new")
            .then_some(camera)
    };
    assert_eq!(wait("the name there", followed).await.config.name, "Porch");
    // Removed.
    stage.consoles.devices(id, vec![]);
    stage.status(camera.id, CameraStatus::Error).await;
    let state = stage.engine.camera_live(camera.id).unwrap().state;
    assert_eq!(state.last_error_kind, Some(FaultKind::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_absence_is_no_news_and_a_long_one_is() {
    let stage = Stage::start().await;
    let id = controller(&stage, 443).await;
    let camera = door(&stage, id).await;
    stage.status(camera.id, CameraStatus::Online).await;
    let mut away = device("door", "AA0000000001", "Front door");
    away.is_online = false;
    for _ in 0..5 {
        stage.consoles.devices(id, vec![away.clone()]);
        stage.consoles.devices(id, vec![device("door", "AA0000000001", "Front door")]);
    }
    stage.consoles.devices(id, vec![away.clone()]);
    stage.status(camera.id, CameraStatus::Reconnecting).await;
    let told = stage.db.journal_after(0, 500, None).await.unwrap();
    let statuses = told.iter().filter(|e| e.r#type == argus_core::journal::MessageType::CameraStatus).count();
    assert_eq!(statuses, 3, "starting, online, reconnecting");
    stage.consoles.devices(id, vec![device("door", "AA0000000001", "Front door")]);
    stage.status(camera.id, CameraStatus::Online).await;
    assert_eq!(stage.engine.camera_live(camera.id).unwrap().state.reconnects, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_refuses_is_shown_by_itself_and_by_its_cameras() {
    let stage = Stage::start().await;
    let id = controller(&stage, 443).await;
    let camera = door(&stage, id).await;
    stage.status(camera.id, CameraStatus::Online).await;
    let refused = ControllerState {
        status: ControllerStatus::Error,
        last_error: Some("user or password are wrong".into()),
        last_error_kind: Some(ControllerFault::Unauthorized),
        ..connected()
    };
    stage.consoles.tell(id, ControllerItem::State(refused));
    stage.status(camera.id, CameraStatus::Error).await;
    let state = stage.engine.camera_live(camera.id).unwrap().state;
    assert_eq!(state.last_error_kind, Some(FaultKind::Unauthorized));
    let live = stage.engine.controllers().await.unwrap().pop().unwrap();
    assert_eq!(live.state.last_error_kind, Some(ControllerFault::Unauthorized));
    let health = stage.engine.health().await.protect;
    assert_eq!(health.status, ComponentStatus::Down);
    assert!(health.detail.unwrap().contains("user or password are wrong"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_is_removed_while_events_run() {
    let stage = Stage::start().await;
    let (id, other) = (controller(&stage, 443).await, controller(&stage, 444).await);
    let camera = door(&stage, id).await;
    for n in 0..20 {
        stage.told(id, &happening(&format!("e{n}"), "door", DetectionType::Person, stage.clock.now()));
    }
    stage.detection("e19", |_| true).await;
    stage.engine.controller_delete(id).await.unwrap();
    assert_eq!(class(stage.engine.controller_delete(id).await), ErrorClass::NotFound);
    let all = || async { stage.events().await.iter().all(|e| e.ended_at.is_some()).then_some(()) };
    wait("the ends", all).await;
    assert_eq!(stage.events().await.len(), 20);
    let done = || async {
        let events = stage.events().await;
        events.iter().all(|e| e.description_status != DescriptionStatus::Pending).then_some(())
    };
    wait("the descriptions", done).await;
    stage.status(camera.id, CameraStatus::Stopped).await;
    let left = stage.db.camera_get(camera.id).await.unwrap();
    assert!(!left.config.is_enabled);
    assert!(matches!(left.config.source, Source::Protect(s) if s.controller_id.is_none()));
    assert!(!stage.consoles.is_open(id) && stage.consoles.is_open(other));

    // Added anew, the same device is the same camera.
    let again = controller(&stage, 443).await;
    let put = stage.engine.controller_camera_put(again, "door", Some(true), None).await.unwrap();
    assert_eq!(put.camera_id, Some(camera.id));
    stage.told(again, &happening("e100", "door", DetectionType::Ring, stage.clock.now()));
    assert_eq!(stage.detection("e100", |_| true).await.camera_id, camera.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_is_deleted_while_its_events_run() {
    let stage = Stage::start().await;
    let id = controller(&stage, 443).await;
    let camera = door(&stage, id).await;
    for n in 0..20 {
        stage.told(id, &happening(&format!("e{n}"), "door", DetectionType::Person, stage.clock.now()));
    }
    stage.detection("e5", |_| true).await;
    stage.engine.camera_delete(camera.id).await.unwrap();
    stage.told(id, &happening("late", "door", DetectionType::Ring, stage.clock.now()));
    let listed = stage.engine.controller_cameras(id, false).await.unwrap();
    assert_eq!((listed.len(), listed[0].enabled, listed[0].camera_id), (1, false, None));
    let gone = || async {
        let left = object_store::ObjectStore::list(&*stage.media, Some(&camera.id.to_string().into()));
        futures_util::TryStreamExt::try_collect::<Vec<_>>(left).await.unwrap().is_empty().then_some(())
    };
    wait("no file", gone).await;
    assert_eq!(stage.events().await, []);
    let anew = door(&stage, id).await;
    assert_ne!(anew.id, camera.id);
    stage.told(id, &happening("anew", "door", DetectionType::Ring, stage.clock.now()));
    assert_eq!(stage.detection("anew", |_| true).await.camera_id, anew.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_name_of_a_detection_at_two_controllers_is_two_detections() {
    let stage = Stage::start().await;
    let (a, b) = (controller(&stage, 443).await, controller(&stage, 444).await);
    let (first, second) = (door(&stage, a).await, door(&stage, b).await);
    assert_eq!(second.config.name, "Front door 2");
    for id in [a, b] {
        stage.told(id, &happening("e1", "door", DetectionType::Ring, stage.clock.now()));
    }
    wait("both", || async { (stage.events().await.len() == 2).then_some(()) }).await;
    let mut cameras: Vec<_> = stage.events().await.into_iter().map(|e| e.camera_id).collect();
    cameras.sort();
    let mut both = [first.id, second.id];
    both.sort();
    assert_eq!(cameras, both);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_missed_is_on_account() {
    let mut stage = Stage::start().await;
    let id = controller(&stage, 443).await;
    let camera = door(&stage, id).await;
    stage.status(camera.id, CameraStatus::Online).await;
    let received = || async {
        let list = stage.db.coverage_list(camera.id, at("2025-12-23T10:00:00Z"), at("2025-12-23T12:00:00Z")).await;
        list.unwrap().iter().any(|i| i.state == CoverageState::Received && i.until.is_none()).then_some(())
    };
    wait("the account", received).await;
    stage.clock.advance(Duration::from_secs(600));
    let (from, until) = (at("2025-12-23T10:32:00Z"), at("2025-12-23T10:33:00Z"));
    let reason = "the key does not show what happened meanwhile".to_owned();
    stage.consoles.tell(id, ControllerItem::Gap { from, until, reason: reason.clone() });
    let missing = || async {
        let list = stage.db.coverage_list(camera.id, from, until).await.unwrap();
        list.into_iter().find(|i| i.state == CoverageState::Missing)
    };
    let gap = wait("the gap", missing).await;
    assert_eq!((gap.from, gap.until, gap.reason), (from, Some(until), Some(reason.clone())));
    let health = stage.engine.health().await.protect;
    assert!(health.status == ComponentStatus::Ok && health.detail.unwrap().contains(&reason));

    // Also after the next start, and beside the next gap.
    stage.again().await;
    let second = (at("2025-12-23T10:36:00Z"), at("2025-12-23T10:37:00Z"));
    wait("the connection", || async { stage.consoles.is_open(id).then_some(()) }).await;
    let told = ControllerItem::Gap { from: second.0, until: second.1, reason: "again".into() };
    stage.consoles.tell(id, told);
    let both = || async {
        let gaps = stage.engine.controllers().await.unwrap().remove(0).gaps;
        (gaps.len() == 2).then_some(gaps)
    };
    let gaps = wait("both gaps", both).await;
    let spans: Vec<_> = gaps.iter().map(|gap| (gap.from, gap.until)).collect();
    assert_eq!(spans, [second, (from, until)]);
    let detail = stage.engine.health().await.protect.detail.unwrap();
    assert!(detail.contains("10:36:00") && detail.contains("1 earlier"), "{detail}");
    stage.clock.advance(Duration::from_secs(8 * 24 * 3600));
    let later = stage.engine.health().await.protect;
    assert!(!later.detail.unwrap_or_default().contains("may be missing"), "a week later it is no news");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_account_beside_a_good_key_is_told() {
    let stage = Stage::start().await;
    let id = controller(&stage, 443).await;
    let refused = ControllerState {
        last_error: Some("user name or password are refused".into()),
        last_error_kind: Some(ControllerFault::Unauthorized),
        ..stage.engine.controllers().await.unwrap().remove(0).state
    };
    assert_eq!(refused.status, ControllerStatus::Connected);
    stage.consoles.tell(id, ControllerItem::State(refused));
    let told = || async {
        let health = stage.engine.health().await.protect;
        (health.status == ComponentStatus::Degraded).then_some(health.detail)
    };
    let detail = wait("the health", told).await.unwrap();
    assert!(detail.contains("connected in part: user name or password are refused"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_recordings_gives_events_with_live_pictures() {
    let stage = Stage::start().await;
    stage.consoles.allow(ControllerFeatures { events: true, snapshots: true, clips: false });
    let id = controller(&stage, 443).await;
    door(&stage, id).await;
    let told = happening("e1", "door", DetectionType::Person, stage.clock.now());
    stage.told(id, &told);
    stage.told(id, &ended(&told, 2));
    let event = stage.detection("e1", |e| e.description_status == DescriptionStatus::Described).await;
    assert!(event.thumbnail_url.is_some() && event.clip_url.is_none() && !event.frames.is_empty());
    assert!(stage.consoles.asked().iter().all(|asked| asked.starts_with("snapshot") || asked == "devices"));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_recording_may_be_asked_the_live_stream_is_recorded() {
    let stage = Stage::start().await;
    stage.consoles.allow(ControllerFeatures { events: true, snapshots: true, clips: false });
    *stage.consoles.streams.lock().unwrap() = true;
    let id = controller(&stage, 443).await;
    let camera = door(&stage, id).await;
    change(&stage, camera.id, |c| c.post_roll_s = 0).await;
    wait("the stream", || async { stage.log.is_open(camera.id).then_some(()) }).await;
    let told = happening("e1", "door", DetectionType::Person, stage.clock.now());
    stage.told(id, &told);
    stage.log.online(camera.id);
    wait("the clip", || async { stage.log.clips.lock().unwrap().pop() }).await;
    stage.told(id, &ended(&told, 2));
    stage.detection("e1", |e| e.clip_url.is_some()).await;
    let plan = stage.log.plans.lock().unwrap()[0].clone();
    assert!(matches!(plan.source, Source::Rtsp { .. }) && plan.analysis_rate.is_none());
    assert_eq!(plan.trust, StreamTrust::System, "as everything else of this controller");
    // It is kept open, so that the next clip has the seconds before.
    let told = happening("e2", "door", DetectionType::Person, stage.clock.now());
    stage.told(id, &told);
    let from = wait("the next clip", || async { stage.log.clips.lock().unwrap().pop() }).await;
    assert_eq!(from, told.started_at.minus(Duration::from_secs(camera.config.pre_roll_s.into())));
    stage.told(id, &ended(&told, 2));
    stage.detection("e2", |e| e.clip_url.is_some()).await;
    assert!(stage.log.is_open(camera.id));
    change(&stage, camera.id, |c| c.is_enabled = false).await;
    wait("the end of the stream", || async { (!stage.log.is_open(camera.id)).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_before_enabling_is_kept_and_a_change_reconnects() {
    let stage = Stage::start().await;
    let id = controller(&stage, 443).await;
    wait("the cameras", || async { stage.engine.controllers().await.unwrap()[0].camera_count }).await;
    let rings = vec![DetectionType::Ring];
    let put = stage.engine.controller_camera_put(id, "door", None, Some(rings.clone())).await.unwrap();
    assert_eq!((put.camera_id, put.enabled, put.detections), (None, false, rings.clone()));
    let put = stage.engine.controller_camera_put(id, "door", Some(true), None).await.unwrap();
    assert_eq!((put.enabled, put.detections), (true, rings));
    let off = stage.engine.controller_camera_put(id, "door", Some(false), None).await.unwrap();
    assert_eq!((off.camera_id, off.enabled), (put.camera_id, false));
    let refused = stage.engine.controller_camera_put(id, "nobody", Some(true), None).await;
    assert_eq!(class(refused), ErrorClass::NotFound);

    let opened = stage.consoles.plans().len();
    let edit = |change: fn(&mut ControllerConfig)| {
        let edit = move |c: &argus_core::controller::StoredController| {
            let mut config = c.config.clone();
            change(&mut config);
            Ok(config)
        };
        stage.engine.controller_update(id, Box::new(edit))
    };
    edit(|c| c.name = "House".into()).await.unwrap();
    edit(|c| c.port = 8443).await.unwrap();
    wait("a new connection", || async { (stage.consoles.plans().len() == opened + 1).then_some(()) }).await;
    assert_eq!(stage.consoles.plans().pop().unwrap().config.port, 8443);
    let off = edit(|c| c.is_enabled = false).await.unwrap();
    assert_eq!(off.state.status, ControllerStatus::Disabled);
    wait("the end", || async { (!stage.consoles.is_open(id)).then_some(()) }).await;
    assert_eq!(class(stage.engine.controller_create(config(8443)).await), ErrorClass::Conflict);
}
