//! Pictures and recordings, with the waits that they need.

use std::time::Duration;

use argus_core::controller::{ControllerError, StreamQuality};
use argus_protect::Tuning;
use argus_protect_sim::media::{read_clip, read_picture};
use argus_protect_sim::{Body, ClipRule, Early, Fault, Lags, Options, What, When};
use serde_json::json;

use crate::rig::{Rig, With, now, quick, until};

const EXPORT: &str = "/proxy/protect/api/video/export";

#[tokio::test]
async fn snapshots_come_from_either_interface() {
    let rig = Rig::new(Options::default()).await;
    let camera = rig.sim.cameras().remove(0);
    rig.sim.camera_update(&camera, &json!({"isPairedWithAiPort": false}));
    for with in [With::Account, With::Key] {
        let open = rig.connected(with).await;
        let still = open.handle.snapshot(&camera, Some(320)).await.unwrap();
        let shown = read_picture(&still.jpeg).unwrap();
        assert_eq!(shown.camera, camera);
        assert!(still.width > 0 && still.height > 0);
        if matches!(with, With::Account) {
            assert_eq!(still.width, 320);
        }
        let e = open.handle.snapshot("no such camera", None).await.unwrap_err();
        assert!(matches!(e, ControllerError::NotFound(_)), "{e:?}");
        open.stop().await;
    }
    // A body that is cut is no picture.
    let open = rig.connected(With::Account).await;
    rig.sim.fault(Fault::on("*/snapshot", When::Always, What::Cut { told: false }));
    let e = open.handle.snapshot(&camera, None).await.unwrap_err();
    assert!(matches!(e, ControllerError::Upstream(_) | ControllerError::Unavailable(_)), "{e:?}");
    open.stop().await;
}

#[tokio::test]
async fn snapshot_bare_retry_for_ai_port() {
    let rig = Rig::new(Options::default()).await;
    let open = rig.connected(With::Account).await;
    let camera = rig.sim.cameras().remove(0);
    rig.sim.camera_update(&camera, &json!({"isPairedWithAiPort": true}));
    for _ in 0..3 {
        open.handle.snapshot(&camera, Some(320)).await.unwrap();
    }
    let asked: Vec<_> = rig.sim.requests().into_iter().filter(|r| r.path.ends_with("/snapshot")).collect();
    // The refusal is remembered: one try with a size, then never again.
    assert_eq!(asked.iter().map(|r| r.query.is_empty()).collect::<Vec<_>>(), [false, true, true, true]);
    open.stop().await;
}

#[tokio::test]
async fn recorded_pictures_are_of_their_moment() {
    let rig = Rig::new(Options { skew_ms: 90_000, ..Options::default() }).await;
    let open = rig.connected(With::Account).await;
    let camera = rig.sim.cameras().remove(0);
    let at = now().minus(Duration::from_secs(60));
    let still = open.handle.recorded(&camera, at).await.unwrap();
    assert_eq!(still.taken_at, at);
    let shown = read_picture(&still.jpeg).unwrap();
    assert!((shown.at_ms - at.as_millis() - 90_000).abs() < 2500, "{}", shown.at_ms - at.as_millis());
    open.stop().await;
    let open = rig.connected(With::Key).await;
    for e in [
        open.handle.recorded(&camera, at).await.unwrap_err(),
        open.handle.thumbnail("x").await.unwrap_err(),
        open.handle.clip(&camera, at, now()).await.err().unwrap(),
    ] {
        assert!(matches!(e, ControllerError::Unsupported(_)), "{e:?}");
    }
    open.stop().await;
}

#[tokio::test]
async fn thumbnail_polls_after_end() {
    let lags = Lags { thumbnail: Duration::from_millis(400), ..Lags::none() };
    let rig = Rig::new(Options { lags, ..Options::default() }).await;
    let open = rig.connected(With::Account).await;
    let camera = rig.sim.cameras().remove(0);
    let id = rig.sim.motion(&camera, Duration::from_millis(20));
    open.ended(&id).await;
    let still = open.handle.thumbnail(&format!("e-{id}")).await.unwrap();
    assert_eq!(read_picture(&still.jpeg).unwrap().kind, "thumbnail");
    let path = format!("/proxy/protect/api/events/{id}/thumbnail");
    assert!(rig.sim.count_of("GET", &path) >= 2);
    open.stop().await;

    let rig = Rig::tuned(Options::default(), Tuning { thumbnail_within: Duration::from_millis(200), ..quick() }).await;
    let open = rig.connected(With::Account).await;
    let e = open.handle.thumbnail("never").await.unwrap_err();
    assert!(matches!(e, ControllerError::NotFound(_)), "{e:?}");
    open.stop().await;
}

#[tokio::test]
async fn clip_waits_and_retries() {
    for early in [Early::NotFound502, Early::Error500, Early::Empty, Early::Cut, Early::Any] {
        // `Date` tells whole seconds, so that waits under one mean nothing where clocks differ.
        let clips = ClipRule { ready: Duration::from_millis(2600), early };
        let tuning = Tuning {
            clip_ready: Duration::from_millis(1200),
            clip_retries: vec![Duration::from_millis(300); 10],
            ..quick()
        };
        let rig = Rig::tuned(Options { clips, skew_ms: -30_000, ..Options::default() }, tuning).await;
        let open = rig.connected(With::Account).await;
        let camera = rig.sim.cameras().remove(0);
        let (from, end) = (now().minus(Duration::from_secs(3)), now());
        let clip = open.handle.clip(&camera, from, end).await.unwrap();
        let bytes = std::fs::read((*clip.file).as_ref()).unwrap();
        assert_eq!(u64::try_from(bytes.len()).unwrap(), clip.bytes);
        let shown = read_clip(&bytes).unwrap();
        assert_eq!(shown.camera, camera);
        let asked: Vec<_> = rig.sim.requests().into_iter().filter(|r| r.path == EXPORT).collect();
        assert!(asked.len() >= 2, "{early:?}: {}", asked.len());
        // The first try was not before the recording could be there.
        assert!(asked.iter().all(|r| r.status != 400));
        drop(clip);
        assert_eq!(std::fs::read_dir(rig.dir.path()).unwrap().count(), 0);
        open.stop().await;
    }
}

#[tokio::test]
async fn clip_permanent_404_stops() {
    let rig = Rig::new(Options::default()).await;
    let open = rig.connected(With::Account).await;
    let camera = rig.sim.cameras().remove(0);
    rig.sim.camera_update(&camera, &json!({"recordingSettings": {"mode": "never"}}));
    let e = open.handle.clip(&camera, now().minus(Duration::from_secs(3)), now()).await.err().unwrap();
    assert!(matches!(e, ControllerError::NotFound(_)), "{e:?}");
    assert_eq!(rig.sim.count_of("GET", EXPORT), 1);
    open.stop().await;
}

#[tokio::test]
async fn no_partial_file() {
    let rig = Rig::new(Options::default()).await;
    let open = rig.connected(With::Account).await;
    let camera = rig.sim.cameras().remove(0);
    for what in [What::Cut { told: true }, What::Cut { told: false }, What::Reset, What::Answer(200, Body::Html)] {
        rig.sim.clear_faults();
        rig.sim.fault(Fault::on(EXPORT, When::Always, what.clone()));
        let clip = open.handle.clip(&camera, now().minus(Duration::from_secs(3)), now()).await;
        // Half a body without its length looks whole; a film reader must tell. Anything else is an error.
        if !matches!(what, What::Cut { told: false }) {
            assert!(clip.is_err(), "{what:?}");
        }
        drop(clip);
        assert_eq!(std::fs::read_dir(rig.dir.path()).unwrap().count(), 0, "{what:?}");
    }
    open.stop().await;
    // A clip of which nobody is there any more to see the end leaves nothing either.
    let open = rig.connected(With::Account).await;
    rig.sim.clear_faults();
    rig.sim.fault(Fault::on(EXPORT, When::Always, What::Stall(Duration::from_secs(20))));
    let before = rig.sim.count_of("GET", EXPORT);
    let task = tokio::spawn({
        let (handle, camera) = (std::sync::Arc::clone(&open.handle), camera.clone());
        async move { handle.clip(&camera, now().minus(Duration::from_secs(3)), now()).await.map(|_| ()) }
    });
    until("the export", || rig.sim.count_of("GET", EXPORT) > before).await;
    open.stop().await;
    let e = tokio::time::timeout(Duration::from_secs(10), task).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(e, ControllerError::Unavailable(_)), "{e:?}");
    assert_eq!(std::fs::read_dir(rig.dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn rtsps_alias_refreshed() {
    let rig = Rig::new(Options::default()).await;
    let camera = rig.sim.cameras().remove(0);
    let open = rig.connected(With::Account).await;
    let first = open.handle.stream_url(&camera, StreamQuality::High).await.unwrap();
    rig.sim.rotate_alias(&camera);
    let second = open.handle.stream_url(&camera, StreamQuality::High).await.unwrap();
    assert_ne!(first.expose(), second.expose());
    let alias = rig.sim.camera(&camera).unwrap()["channels"][0]["rtspAlias"].as_str().unwrap().to_owned();
    assert!(second.expose().starts_with("rtsps://") && second.expose().ends_with(&alias));
    assert!(!second.expose().contains("enableSrtp") && !second.expose().contains('@'));
    assert_eq!(format!("{second:?}"), "***");
    open.stop().await;
    let open = rig.connected(With::Key).await;
    let url = open.handle.stream_url(&camera, StreamQuality::Low).await.unwrap();
    assert!(url.expose().starts_with("rtsps://") && !url.expose().contains("enableSrtp"));
    open.stop().await;
}
