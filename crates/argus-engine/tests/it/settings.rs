//! Every setting that the engine acts by, and that a change acts at once.

use std::time::Duration;

use argus_core::camera::AnalysisMode;
use argus_core::event::{DescriptionStatus, StatusReason};
use argus_core::media::{clip_key, event_prefix, frame_key, thumbnail_key};
use argus_core::ports::{Control, StillSpec};
use argus_core::schedule::{Day, Schedule, Window};
use argus_core::status::CameraStatus;
use serde_json::json;

use crate::describer::Answer;
use crate::stage::{Stage, at, wait};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_acts_again_after_a_restart_and_bad_values_do_not_stop_it() {
    let mut stage = Stage::start().await;
    stage.put(json!({"ai": {"frames": {"count": 3}}, "general": {"language": "de"}})).await;
    let told = stage.engine.settings_stored();
    assert_eq!(told.updated_at, Some(at("2025-12-23T10:30:00Z")));
    stage.again().await;
    assert_eq!(stage.engine.settings_stored(), told);

    let bad = [("ai.frames.count".to_owned(), "99".to_owned()), ("media.gone".into(), "1".into())];
    let store = move |_: &_| Ok::<_, std::convert::Infallible>((bad.into(), ()));
    stage.db.setting_edit(at("2025-12-23T10:31:00Z"), store).await.unwrap().unwrap();
    stage.again().await;
    let now = stage.engine.settings();
    assert_eq!((now.ai.frames.count, now.general.language.as_str()), (6, "de"));
    // And it can be mended.
    stage.put(json!({"ai": {"frames": {"count": 4}}})).await;
    stage.again().await;
    assert_eq!(stage.engine.settings().ai.frames.count, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_at_once_none_is_lost_and_a_refused_one_changes_nothing() {
    let stage = Stage::start().await;
    let keys = ["motion_cooldown", "pre_roll_s", "post_roll_s"];
    let puts = (0..30_u8).map(|n| {
        let engine = std::sync::Arc::clone(&stage.engine);
        let key = keys[usize::from(n) % 3];
        tokio::spawn(async move { engine.settings_put(json!({"motion_defaults": {key: n}})).await.unwrap() })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.unwrap();
    }
    let (now, stored) = (stage.engine.settings(), stage.db.setting_get_all().await.unwrap());
    assert_eq!(argus_core::settings::Settings::from_stored(&stored).0, *now, "what acts is what is stored");
    for (key, value) in [
        ("motion_cooldown", now.motion_defaults.motion_cooldown),
        ("pre_roll_s", now.motion_defaults.pre_roll_s),
        ("post_roll_s", now.motion_defaults.post_roll_s),
    ] {
        assert_eq!(usize::from(value) % 3, keys.iter().position(|k| *k == key).unwrap(), "{key} was put");
    }
    let refused = stage.engine.settings_put(json!({"ai": {"enabled": false}, "media": {"thumbnail_width": 1}})).await;
    assert!(refused.is_err());
    assert_eq!(*stage.engine.settings(), *now);
    assert_eq!(stage.db.setting_get_all().await.unwrap(), stored);
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_descriptions_are_skipped() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    stage.put(json!({"ai": {"enabled": false}})).await;
    let id = stage.event(&camera, 2).await;
    let event = stage.until(id, |e| e.description_status == DescriptionStatus::Skipped).await;
    assert_eq!(event.status_reason, Some(StatusReason::AiDisabled));
    assert_eq!((event.description.as_str(), stage.script.calls()), ("Motion on Wall.", 0));
    stage.put(json!({"ai": {"enabled": true}})).await;
    stage.described(&camera, 2).await;
    assert_eq!(stage.script.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_to_ask_is_said() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    stage.script.providers.lock().unwrap().clear();
    let id = stage.event(&camera, 2).await;
    let event = stage.until(id, |e| e.description_status == DescriptionStatus::Skipped).await;
    assert_eq!(event.status_reason, Some(StatusReason::NoProvider));
}

#[tokio::test(flavor = "multi_thread")]
async fn prompt_language_and_time_zone_reach_the_describer() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    stage.described(&camera, 1).await;
    stage
        .put(json!({"ai": {"prompt": "Count the birds."},
        "general": {"language": "pt-BR", "timezone": "Europe/Berlin"}}))
        .await;
    stage.described(&camera, 1).await;
    let own = |c: &argus_core::camera::Camera| {
        let mut config = c.config.clone();
        config.prompt_override = Some("Is the gate open?".into());
        Ok(config)
    };
    stage.engine.camera_update(camera.id, Box::new(own)).await.unwrap();
    stage.described(&camera, 1).await;
    let asked: Vec<_> = stage.script.asked().into_iter().map(|r| (r.instruction, r.language, r.timezone)).collect();
    let row = |prompt: Option<&str>, language: &str, zone: &str| {
        (prompt.map(str::to_owned), language.to_owned(), zone.to_owned())
    };
    assert_eq!(
        asked,
        [
            row(None, "en", "UTC"),
            row(Some("Count the birds."), "pt-BR", "Europe/Berlin"),
            row(Some("Is the gate open?"), "pt-BR", "Europe/Berlin"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn descriptions_below_the_limit_are_marked() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    for (limit, confidence, marked) in [(50, 49, true), (50, 50, false), (90, 89, true), (0, 0, false)] {
        stage.put(json!({"ai": {"low_confidence_below": limit}})).await;
        stage.script.answers(Answer::Says { text: "A dog.", confidence: Some(confidence), cost: None });
        let id = stage.described(&camera, 1).await;
        assert_eq!(stage.get(id).await.low_confidence, marked, "{confidence} of {limit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_descriptions_at_once_as_are_allowed_now() {
    let stage = Stage::start().await;
    let camera = stage.resting().await;
    stage.script.close();
    stage.put(json!({"ai": {"concurrency": 1}})).await;
    for _ in 0..6 {
        let id = stage.bare_event(&camera, 1).await;
        stage.db.job_ready(id, None, argus_core::Clock::now(&*stage.clock)).await.unwrap();
    }
    let leased = |n: u64| {
        let db = stage.db.clone();
        wait("the workers", move || {
            let db = db.clone();
            async move { (db.jobs_count().await.unwrap().leased == n).then_some(()) }
        })
    };
    stage.nudge().await;
    leased(1).await;
    stage.calls(1).await;
    stage.put(json!({"ai": {"concurrency": 4}})).await;
    stage.calls(4).await;
    leased(4).await;
    assert_eq!(stage.db.jobs_count().await.unwrap().ready, 2, "no more than four");
    // With fewer allowed, those that run go on, and none is added before they have ended.
    stage.put(json!({"ai": {"concurrency": 1}})).await;
    stage.script.gate.add_permits(3);
    leased(1).await;
    assert_eq!((stage.script.calls(), stage.db.jobs_count().await.unwrap().ready), (4, 2));
    stage.script.open();
    wait("the rest", || async { (stage.script.calls() == 6).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_as_many_as_large_and_chosen_as_set() {
    let stage = Stage::start().await;
    let camera = stage.camera(|c| c.analysis_mode = AnalysisMode::MultiFrame).await;
    stage
        .put(json!({"ai": {"frames": {"count": 4, "strategy": "uniform", "max_width": 800, "jpeg_quality": 50}},
        "media": {"thumbnail_width": 200}}))
        .await;
    let event = stage.movement(camera.id).await;
    let calls = stage.log.stills.lock().unwrap().clone();
    let thumbnail = StillSpec { max_width: 200, quality: 50 };
    assert_eq!(calls[0].1, [thumbnail], "the first thumbnail");
    assert_eq!(calls[1].1, [StillSpec { max_width: 800, quality: 50 }, thumbnail]);
    let moments = &calls[1].0;
    assert_eq!(moments.len(), 4);
    let gaps: Vec<i64> = moments.windows(2).map(|w| w[1].as_micros() - w[0].as_micros()).collect();
    assert!(gaps.iter().all(|gap| (gap - gaps[0]).abs() <= 1), "evenly spaced: {gaps:?}");
    assert_eq!(event.frames.len(), 4);
    let asked = &stage.script.asked()[0];
    assert_eq!((asked.frames.len(), asked.frames[0].width, asked.mode), (4, 800, AnalysisMode::MultiFrame));

    stage.clock.advance(Duration::from_secs(60));
    stage.put(json!({"ai": {"frames": {"count": 2, "strategy": "adaptive", "max_width": 320}}})).await;
    let later = stage.movement(camera.id).await;
    assert_ne!(later.id, event.id);
    let calls = stage.log.stills.lock().unwrap().clone();
    let adaptive = &calls[3];
    // Some more than are wanted, to choose from.
    assert_eq!((adaptive.0.len(), adaptive.1[0].max_width, later.frames.len()), (3, 320, 2));
    let on_a_picture = |at: &argus_core::Timestamp| {
        (at.as_micros() - argus_core::Clock::now(&*stage.clock).as_micros()) % 200_000 == 0
    };
    assert!(adaptive.0.iter().all(on_a_picture), "adaptive moments are pictures that moved: {:?}", adaptive.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn clips_and_pictures_are_kept_as_set() {
    let stage = Stage::start().await;
    let camera = stage.camera(|_| ()).await;
    let kept = stage.movement(camera.id).await;
    let prefix = event_prefix(camera.id, kept.id, kept.timestamp);
    assert!(kept.clip_url.is_some() && kept.frames.iter().all(|f| f.url.is_some()) && !kept.frames.is_empty());
    assert!(stage.has(&clip_key(&prefix)).await && stage.has(&frame_key(&prefix, 0)).await);

    stage.clock.advance(Duration::from_secs(60));
    stage.put(json!({"media": {"store_clips": false, "store_frames": false}})).await;
    let bare = stage.movement(camera.id).await;
    assert_ne!(bare.id, kept.id);
    let prefix = event_prefix(camera.id, bare.id, bare.timestamp);
    assert_eq!((stage.log.clips.lock().unwrap().len(), bare.clip_url), (1, None));
    assert!(!bare.frames.is_empty() && bare.frames.iter().all(|f| f.url.is_none() && f.sha256.len() == 64));
    let asked = stage.script.asked();
    assert_eq!(asked[1].frames.len(), bare.frames.len(), "the describer sees them all the same");
    assert!(!stage.has(&clip_key(&prefix)).await);
    wait("the end of the pictures", || async { (!stage.has(&frame_key(&prefix, 0)).await).then_some(()) }).await;
    assert!(stage.has(&thumbnail_key(&prefix)).await, "the thumbnail is not one of them");
}

/// At 10:30 UTC on a Tuesday it is 11:30 in Berlin.
#[tokio::test(flavor = "multi_thread")]
async fn schedules_without_a_time_zone_go_by_that_of_the_settings() {
    let stage = Stage::start().await;
    let window = Window { days: vec![Day::Tue], start: "11:00".parse().unwrap(), end: "12:00".parse().unwrap() };
    let schedule = Schedule { enabled: true, timezone: None, windows: vec![window] };
    let camera = stage.camera(|c| c.schedule = Some(schedule)).await;
    assert!(!stage.engine.camera_live(camera.id).unwrap().schedule_active);
    stage.log.pictures(camera.id, argus_core::Clock::now(&*stage.clock), 0..110);
    stage.log.state(camera.id, CameraStatus::Reconnecting);
    wait("the pictures", || async {
        (stage.engine.camera_live(camera.id).unwrap().state.status == CameraStatus::Reconnecting).then_some(())
    })
    .await;
    stage.log.online(camera.id);
    stage.put(json!({"general": {"timezone": "Europe/Berlin"}})).await;
    assert!(stage.engine.camera_live(camera.id).unwrap().schedule_active);
    stage.clock.advance(Duration::from_secs(120));
    let event = stage.movement(camera.id).await;
    assert!(event.timestamp >= at("2025-12-23T10:32:00Z"), "nothing before the change: {}", event.timestamp);
    assert_eq!(stage.events().await.len(), 1);
}
