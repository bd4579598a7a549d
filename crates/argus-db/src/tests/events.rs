//! The life of an event.

use argus_core::EventId;
use argus_core::camera::AnalysisMode;
use argus_core::event::{
    DescriptionStatus, DetectionType, Event, EventDescription, EventMotion, NewEvent, ObjectKind, ProtectDetection,
    StatusReason,
};
use argus_core::journal::{DeleteReason, MessageType};

use super::list::rows;
use super::{TestDb, at, camera, new_event, on_both, open_event};
use crate::{ClipState, DbError, DescriptionPlan, EventChange, FramesState, NewFrame};

pub(crate) fn words(text: &str) -> EventDescription {
    EventDescription {
        description: text.to_owned(),
        objects: vec![ObjectKind::Person, ObjectKind::Animal],
        ai_confidence: Some(81),
        low_confidence: false,
        provider_used: "openai".into(),
        model: "tiny-1".into(),
        analysis_mode: AnalysisMode::MultiFrame,
        frame_count_used: 2,
        fallback_reason: Some("first one timed out".into()),
        cost: Some(0.0125),
        tokens_used: Some(4_000_000_000),
        latency_ms: 1234,
    }
}

fn frame(index: u32, stored: bool) -> NewFrame {
    let offset_ms = i64::from(index) * 400 - 100;
    NewFrame { index, offset_ms, sha256: format!("{index:064x}"), width: 1280, height: 720, bytes: 90_000, stored }
}

/// What the journal says last about an event is what the event is.
async fn told_last(t: &TestDb, id: EventId) -> Event {
    let all = t.db.journal_after(0, 500, None).await.unwrap();
    let last = all.into_iter().rfind(|m| m.data["id"] == id.to_string()).unwrap();
    let event: Event = serde_json::from_value(last.data).unwrap();
    let stored = t.db.event_get(id).await.unwrap().unwrap();
    assert_eq!(serde_json::to_value(&event).unwrap(), serde_json::to_value(&stored).unwrap());
    event
}

on_both! {
    async fn an_event_is_stored_counted_queued_and_told_at_once(t) {
        let c = t.db.camera_insert(camera("Front door")).await.unwrap();
        let new = new_event(c.id, at(0));
        let (event, seq) =
            t.db.event_open(new.clone(), at(1), DescriptionPlan::Job { priority: 3 }).await.unwrap();
        assert_eq!(t.db.event_get(new.id).await.unwrap().unwrap(), event);
        assert_eq!((event.camera_name.as_str(), event.description_status), ("Front door", DescriptionStatus::Pending));
        assert_eq!((event.motion, &event.zones, event.confidence), (new.motion, &new.zones, 50));
        assert_eq!((event.trace.captured_at, event.trace.detected_at, event.trace.stored_at),
            (new.timestamp, new.detected_at, at(1)));
        assert_eq!((event.thumbnail_url, event.clip_url, event.ended_at), (None, None, None));
        let told = t.db.journal_after(1, 10, None).await.unwrap();
        assert_eq!((told.len(), told[0].seq, told[0].r#type), (1, seq, MessageType::EventCreated));
        told_last(&t, new.id).await;
        assert_eq!(t.db.jobs_count().await.unwrap().waiting, 1);
        // Of the camera and of all cameras: quarter, hour, day, all time.
        assert_eq!(rows(&t, "event_summary").await, 8);
        assert_eq!(t.db.event_get(EventId::new(at(5))).await.unwrap(), None);
    }

    async fn without_a_job_an_event_says_why(t) {
        let c = t.db.camera_insert(camera("Front door")).await.unwrap();
        let plan = DescriptionPlan::Skip(StatusReason::AiDisabled);
        let (event, _) = t.db.event_open(new_event(c.id, at(0)), at(0), plan).await.unwrap();
        assert_eq!((event.description_status, event.status_reason),
            (DescriptionStatus::Skipped, Some(StatusReason::AiDisabled)));
        assert_eq!(rows(&t, "analysis_job").await, 0);
    }

    async fn when_the_message_cannot_be_stored_nothing_is(t) {
        let c = t.db.camera_insert(camera("Door")).await.unwrap();
        let event = open_event(&t.db, c.id, at(0)).await;
        if t.is_postgres() {
            t.raw("ALTER TABLE journal ADD CONSTRAINT no CHECK (type = 'camera.status') NOT VALID");
        } else {
            t.raw("CREATE TRIGGER no BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT, 'no'); END");
        }
        let news = t.db.journal_watch();
        let plan = DescriptionPlan::Job { priority: 0 };
        assert!(matches!(t.db.event_open(new_event(c.id, at(5)), at(5), plan).await, Err(DbError::Query(_))));
        assert!(t.db.event_change(event.id, vec![EventChange::ThumbnailStored { bytes: 900 }], at(6)).await.is_err());
        assert!(t.db.event_delete(event.id, DeleteReason::User, at(7)).await.is_err());
        assert_eq!(t.db.event_get(event.id).await.unwrap().unwrap(), event);
        for (table, n) in [("event", 1), ("analysis_job", 1), ("event_summary", 8)] {
            assert_eq!(rows(&t, table).await, n, "{table}");
        }
        assert_eq!((*news.borrow(), news.has_changed().unwrap()), (2, false));
    }

    async fn progress_is_stored_and_not_told(t) {
        let c = t.db.camera_insert(camera("Door")).await.unwrap();
        let event = open_event(&t.db, c.id, at(0)).await;
        let motion = Some(EventMotion { score: 0.75, r#box: None });
        let progress = |s| EventChange::Progress { last_motion: at(s), motion, zones: vec![], confidence: 90 };
        let after = t.db.event_change(event.id, vec![progress(4)], at(4)).await.unwrap();
        assert_eq!((after.motion, after.zones.len(), after.confidence, after.updated_at), (motion, 0, 90, at(4)));
        t.db.event_change(event.id, vec![progress(2)], at(5)).await.unwrap();
        assert_eq!(t.db.journal_bounds().await.unwrap().newest, 2);
        let open = t.db.events_unfinished().await.unwrap();
        assert_eq!((open.len(), open[0].last_motion, open[0].clip, open[0].frames),
            (1, at(4), ClipState::None, FramesState::Pending));
    }

    async fn several_changes_are_one_message(t) {
        let c = t.db.camera_insert(camera("Door")).await.unwrap();
        let e = open_event(&t.db, c.id, at(0)).await.id;
        let closed = EventChange::Closed {
            ended_at: argus_core::Timestamp::from_micros(at(7).as_micros() + 250_999),
            motion: None, zones: vec![], confidence: 66, clip_expected: true,
        };
        let changes = vec![closed, EventChange::ThumbnailStored { bytes: 900 }, EventChange::Frames(vec![frame(0, true), frame(1, false)])];
        let event = t.db.event_change(e, changes, at(12)).await.unwrap();
        assert_eq!(t.db.journal_bounds().await.unwrap().newest, 3);
        assert_eq!(event.duration_ms, Some(7250));
        assert_eq!(event.thumbnail_url, Some(format!("/api/v1/events/{e}/thumbnail")));
        assert_eq!(event.frames.len(), 2);
        assert_eq!(event.frames[0].url, Some(format!("/api/v1/events/{e}/frames/0")));
        assert_eq!((event.frames[0].offset_ms, &event.frames[1].url), (-100, &None));
        assert_eq!(event.clip_url, None);
        assert_eq!(t.db.events_unfinished().await.unwrap()[0].clip, ClipState::Pending);
        let clip = EventChange::Clip { bytes: 5_000_000_000, from: at(-5), until: at(12) };
        let event = t.db.event_change(e, vec![clip], at(13)).await.unwrap();
        assert_eq!(event.clip_url, Some(format!("/api/v1/events/{e}/clip")));
        assert_eq!(t.db.events_unfinished().await.unwrap(), []);
        let stored = t.db.event_frames(e).await.unwrap();
        assert_eq!((stored.len(), stored[0].bytes, stored[0].stored, stored[1].stored), (2, 90_000, true, false));
        let event = t.db.event_change(e, vec![EventChange::ClipNone, EventChange::Frames(vec![])], at(14)).await.unwrap();
        assert_eq!((event.clip_url, event.frames.len()), (None, 0));
        told_last(&t, e).await;
    }

    async fn a_description_replaces_the_sentence(t) {
        let c = t.db.camera_insert(camera("Door")).await.unwrap();
        let e = open_event(&t.db, c.id, at(0)).await.id;
        let failed = EventChange::Undescribed { status: DescriptionStatus::Failed, reason: StatusReason::Timeout };
        let event = t.db.event_change(e, vec![failed], at(3)).await.unwrap();
        assert_eq!((event.description.as_str(), event.status_reason), ("Motion on Front door.", Some(StatusReason::Timeout)));
        let event = t.db.event_change(e, vec![EventChange::Described(words("A\0 person."))], at(4)).await.unwrap();
        assert_eq!((event.description.as_str(), event.description_status, event.status_reason),
            ("A\u{fffd} person.", DescriptionStatus::Described, None));
        assert_eq!((event.objects_detected.len(), event.ai_confidence, event.ai_cost, event.tokens_used),
            (2, Some(81), Some(0.0125), Some(4_000_000_000)));
        assert_eq!((event.trace.described_at, event.reanalysis_count), (Some(at(4)), 0));
        let event = t.db.event_change(e, vec![EventChange::Reanalysed(words("Two cats."))], at(5)).await.unwrap();
        assert_eq!((event.reanalysis_count, event.reanalyzed_at), (1, Some(at(5))));
        told_last(&t, e).await;
        let pending = EventChange::Undescribed { status: DescriptionStatus::Pending, reason: StatusReason::Timeout };
        assert!(matches!(t.db.event_change(e, vec![pending], at(6)).await, Err(DbError::Invalid(_))));
        let empty = EventChange::Described(words(""));
        assert!(matches!(t.db.event_change(e, vec![empty], at(6)).await, Err(DbError::Invalid(_))));
        let nan = EventDescription { cost: Some(f64::NAN), ..words("x") };
        assert!(t.db.event_change(e, vec![EventChange::Described(nan)], at(6)).await.is_err());
    }

    async fn what_the_controller_saw_stays_whatever_is_described(t) {
        let c = t.db.camera_insert(camera("Door")).await.unwrap();
        let protect = ProtectDetection { event_id: "p1".into(), kind: Some("person".into()), objects: vec![ObjectKind::Person] };
        let new = NewEvent { protect: Some(protect), ..new_event(c.id, at(0)) };
        t.db.event_open(new.clone(), at(0), DescriptionPlan::Job { priority: 0 }).await.unwrap();
        let refined = EventChange::Refined {
            detection_type: DetectionType::Person,
            kind: Some("person".into()),
            objects: vec![ObjectKind::Person, ObjectKind::Package],
            confidence: 80,
            sentence: "A person on Front door.".into(),
        };
        t.db.event_change(new.id, vec![refined], at(1)).await.unwrap();
        let saw = |objects: &[ObjectKind]| EventDescription { objects: objects.to_vec(), ..words("Words.") };
        let change = async |change| t.db.event_change(new.id, vec![change], at(2)).await.unwrap().objects_detected;
        let first = change(EventChange::Described(saw(&[ObjectKind::Animal]))).await;
        assert_eq!(first, [ObjectKind::Person, ObjectKind::Package, ObjectKind::Animal]);
        let second = change(EventChange::Reanalysed(saw(&[ObjectKind::Vehicle]))).await;
        assert_eq!(second, [ObjectKind::Person, ObjectKind::Package, ObjectKind::Vehicle]);
        assert_eq!(change(EventChange::Reanalysed(saw(&[]))).await, [ObjectKind::Person, ObjectKind::Package]);
    }

    async fn numbers_that_are_none_are_refused(t) {
        let c = t.db.camera_insert(camera("Door")).await.unwrap();
        let mut new = new_event(c.id, at(0));
        new.motion = Some(EventMotion { score: f64::NAN, r#box: None });
        let refused = t.db.event_open(new, at(0), DescriptionPlan::Job { priority: 0 }).await;
        assert!(matches!(refused, Err(DbError::Invalid(i)) if i.field == "motion.score"));
    }

    async fn the_camera_is_named_as_it_is_now(t) {
        let c = t.db.camera_insert(camera("Door")).await.unwrap();
        let e = open_event(&t.db, c.id, at(0)).await;
        t.db.camera_edit(c.id, at(1), |c| {
            Ok::<_, ()>(argus_core::camera::CameraConfig { name: "Gate".into(), ..c.config.clone() })
        }).await.unwrap().unwrap();
        assert_eq!((e.camera_name.as_str(), t.db.event_get(e.id).await.unwrap().unwrap().camera_name.as_str()), ("Door", "Gate"));
    }

    async fn one_picture_is_that_of_the_strongest_moment(t) {
        let c = t.db.camera_insert(camera("Door")).await.unwrap();
        let e = open_event(&t.db, c.id, at(0)).await.id;
        let best = async || t.db.event_frames(e).await.unwrap().iter().map(|f| f.is_best).collect::<Vec<_>>();
        let frames = EventChange::Frames(vec![frame(0, true), frame(1, true), frame(2, true)]);
        t.db.event_change(e, vec![frames], at(2)).await.unwrap();
        assert_eq!(best().await, [false; 3]);
        let told = t.db.journal_after(0, 100, None).await.unwrap().len();
        for (index, expected) in [(2, [false, false, true]), (0, [true, false, false])] {
            t.db.event_change(e, vec![EventChange::BestFrame(index)], at(3)).await.unwrap();
            assert_eq!(best().await, expected);
        }
        assert_eq!(t.db.journal_after(0, 100, None).await.unwrap().len(), told, "nobody is told of it");
    }

    async fn who_looks_at_no_picture_does_so_in_no_mode(t) {
        let c = t.db.camera_insert(camera("Door")).await.unwrap();
        let e = open_event(&t.db, c.id, at(0)).await.id;
        for (pictures, mode) in [(2, Some(AnalysisMode::MultiFrame)), (0, None)] {
            let described = EventChange::Reanalysed(EventDescription { frame_count_used: pictures, ..words("A cat.") });
            let event = t.db.event_change(e, vec![described], at(4)).await.unwrap();
            assert_eq!((event.frame_count_used, event.analysis_mode), (Some(pictures), mode));
        }
    }

    async fn a_deleted_event_is_gone_from_everywhere(t) {
        let c = t.db.camera_insert(camera("Door")).await.unwrap();
        let e = open_event(&t.db, c.id, at(0)).await.id;
        let kept = open_event(&t.db, c.id, at(1)).await.id;
        t.db.event_change(e, vec![EventChange::Frames(vec![frame(0, true)])], at(2)).await.unwrap();
        let gone = t.db.event_delete(e, DeleteReason::User, at(3)).await.unwrap();
        assert_eq!((gone.id, gone.frames.len()), (e, 1));
        assert_eq!(t.db.event_get(e).await.unwrap(), None);
        assert_eq!(t.db.event_frames(e).await.unwrap(), []);
        assert_eq!((rows(&t, "event_frame").await, rows(&t, "analysis_job").await), (0, 1));
        let told = t.db.journal_after(0, 100, None).await.unwrap();
        let kinds: Vec<_> = told.iter().map(|m| m.r#type.as_str()).collect();
        assert_eq!(kinds, ["camera.status", "event.created", "event.deleted"]);
        assert_eq!(told[1].data["id"], kept.to_string());
        assert_eq!(told[2].data, serde_json::json!({"ids": [e], "reason": "user"}));
        assert!(matches!(t.db.event_delete(e, DeleteReason::User, at(4)).await, Err(DbError::NotFound { what: "event" })));
        assert!(matches!(t.db.event_change(e, vec![EventChange::ThumbnailStored { bytes: 900 }], at(4)).await, Err(DbError::NotFound { .. })));
    }

    async fn a_ring_is_a_ring(t) {
        let c = t.db.camera_insert(camera("Door")).await.unwrap();
        let mut new = new_event(c.id, at(0));
        new.detection_type = DetectionType::Ring;
        let (event, _) = t.db.event_open(new, at(0), DescriptionPlan::Job { priority: 9 }).await.unwrap();
        assert!(event.is_doorbell_ring);
    }
}
