//! What a camera's capture leaves behind when it ends: the account of what was received, and what is shown of it.

use std::time::Duration;

use argus_core::camera::{Camera, CameraConfig};
use argus_core::ports::Control;
use argus_core::status::CameraStatus;
use argus_core::{CameraId, Clock as _, Timestamp};
use argus_db::CoverageState;
use argus_db::CoverageState::{Missing, Received, Stopped};

use crate::stage::{Stage, at, wait};

/// Ten seconds of pictures from half past ten on; the test's camera is online from then.
async fn ten_seconds(stage: &Stage) -> CameraId {
    let camera = stage.camera(|_| {}).await.id;
    wait("the account", || async { received(stage, camera).await }).await;
    stage.log.pictures(camera, stage.clock.now(), 0..51);
    stage.clock.advance(Duration::from_secs(10));
    camera
}

/// Whether it is on account that video comes in.
async fn received(stage: &Stage, camera: CameraId) -> Option<()> {
    intervals(stage, camera).await.iter().any(|(state, ..)| *state == Received).then_some(())
}

/// What is on account, in whole seconds since half past ten.
async fn intervals(stage: &Stage, camera: CameraId) -> Vec<(CoverageState, i64, Option<i64>)> {
    let (from, until) = (at("2025-12-23T10:00:00Z"), at("2025-12-23T12:00:00Z"));
    let second = |t: Timestamp| (t.as_millis() - at("2025-12-23T10:30:00Z").as_millis()) / 1000;
    let list = stage.db.coverage_list(camera, from, until).await.unwrap();
    list.into_iter().map(|i| (i.state, second(i.from), i.until.map(second))).collect()
}

async fn edit(stage: &Stage, camera: CameraId, change: impl Fn(&mut CameraConfig) + Send + Sync + 'static) {
    let edit = move |camera: &Camera| {
        let mut config = camera.config.clone();
        change(&mut config);
        Ok(config)
    };
    stage.engine.camera_update(camera, Box::new(edit)).await.unwrap();
}

/// Waits until the camera has this status and its account says so.
async fn settled(stage: &Stage, camera: CameraId, status: CameraStatus, state: CoverageState) {
    wait("the status", || async {
        let last = intervals(stage, camera).await.last().map(|(state, ..)| *state);
        let live = stage.engine.camera_live(camera).unwrap();
        (live.state.status == status && last == Some(state)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_keeps_what_was_received_on_account() {
    let stage = Stage::start().await;
    let camera = ten_seconds(&stage).await;
    edit(&stage, camera, |c| c.is_enabled = false).await;
    settled(&stage, camera, CameraStatus::Stopped, Stopped).await;
    assert_eq!(intervals(&stage, camera).await, [(Received, 0, Some(10)), (Stopped, 10, None)]);
    let live = stage.engine.camera_live(camera).unwrap();
    assert_eq!(live.state.last_frame_at, Some(at("2025-12-23T10:30:10Z")), "the newest picture stays the newest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_opened_anew_keeps_what_was_received_on_account() {
    let stage = Stage::start().await;
    let camera = ten_seconds(&stage).await;
    edit(&stage, camera, |c| c.motion_enabled = false).await;
    settled(&stage, camera, CameraStatus::Starting, Missing).await;
    let live = stage.engine.camera_live(camera).unwrap();
    assert_eq!(live.state.last_frame_at, Some(at("2025-12-23T10:30:10Z")), "also while there is no new one");
    stage.clock.advance(Duration::from_secs(2));
    wait("the feed", || async { stage.log.is_open(camera).then_some(()) }).await;
    stage.log.online(camera);
    settled(&stage, camera, CameraStatus::Online, Received).await;
    assert_eq!(
        intervals(&stage, camera).await,
        [(Received, 0, Some(10)), (Missing, 10, Some(12)), (Received, 12, None)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_movement_ends_the_movement() {
    let stage = Stage::start().await;
    let camera = stage.camera(|_| {}).await.id;
    for off in [|c: &mut CameraConfig| c.motion_enabled = false, |c: &mut CameraConfig| c.is_enabled = false] {
        edit(&stage, camera, |c| (c.is_enabled, c.motion_enabled) = (true, true)).await;
        wait("the feed", || async { stage.log.is_open(camera).then_some(()) }).await;
        stage.log.online(camera);
        stage.log.pictures(camera, stage.clock.now(), 0..60);
        wait("the movement", || async { stage.engine.camera_live(camera).unwrap().motion_active.then_some(()) }).await;
        edit(&stage, camera, off).await;
        wait("its end", || async {
            let live = stage.engine.camera_live(camera).unwrap();
            (!live.motion_active && live.event_id.is_none()).then_some(())
        })
        .await;
    }
}
