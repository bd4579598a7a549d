//! Signing in: once, never by force, and never to the wrong machine.

use std::time::Duration;

use argus_core::Secret;
use argus_core::controller::{ControllerFault, ControllerStatus};
use argus_protect::Tuning;
use argus_protect_sim::{Body, CookieStyle, Fault, Options, What, When};
use serde_json::json;

use crate::rig::{BOOTSTRAP, LOGIN, Rig, With, now, quick, until};

#[tokio::test]
async fn login_once_for_n_calls() {
    let rig = Rig::new(Options { rotate_every: Some(2), ..Options::default() }).await;
    let open = rig.connected(With::Account).await;
    let camera = rig.sim.cameras().remove(0);
    for _ in 0..5 {
        open.handle.snapshot(&camera, Some(320)).await.unwrap();
        open.handle.devices().await.unwrap();
    }
    assert_eq!(rig.sign_ins(), 1);
    open.stop().await;
}

#[tokio::test]
async fn both_cookie_names_are_understood() {
    for cookie in [CookieStyle::Token, CookieStyle::UosToken] {
        let rig = Rig::new(Options { cookie, ..Options::default() }).await;
        let open = rig.connected(With::Account).await;
        open.handle.devices().await.unwrap();
        assert_eq!(rig.sign_ins(), 1, "{cookie:?}");
        open.stop().await;
    }
}

#[tokio::test]
async fn login_not_retried_on_429() {
    let rig = Rig::new(Options::default()).await;
    let body = Body::Json(json!({"code": "AUTHENTICATION_FAILED_LIMIT_REACHED"}));
    rig.sim.fault(Fault::on(LOGIN, When::Always, What::Answer(429, body)));
    let open = rig.open(With::Account);
    let state = open.state(|s| s.status == ControllerStatus::Error).await;
    assert_eq!(state.last_error_kind, Some(ControllerFault::RateLimited));
    let until_then = state.locked_until.unwrap().since(now());
    assert!((200..=300).contains(&until_then.as_secs()), "{until_then:?}");
    // Nobody else tries either: not a question, not a test of the settings, not a new start.
    open.handle.devices().await.unwrap_err();
    let probe = argus_core::controller::Controllers::probe(&rig.protect, &rig.config(With::Account)).await;
    assert_eq!(probe.error_kind, Some(ControllerFault::RateLimited));
    until("the secret", || open.kept().is_some()).await;
    let kept = open.kept();
    open.stop().await;
    let second = Rig::new(Options::default()).await;
    let config = argus_core::controller::ControllerConfig {
        certificate_sha256: None,
        verify_tls: false,
        ..rig.config(With::Account)
    };
    let open = second.open_with(config, kept, None);
    open.state(|s| s.status == ControllerStatus::Error && s.locked_until.is_some()).await;
    open.stop().await;
    assert_eq!(rig.sign_ins(), 1);
}

#[tokio::test]
async fn wrong_passwords_and_cloud_accounts_are_told() {
    let rig = Rig::new(Options::default()).await;
    let mut config = rig.config(With::Account);
    config.password = Some(Secret::new("wrong"));
    let open = rig.open_with(config.clone(), None, None);
    let state = open.state(|s| s.status == ControllerStatus::Error).await;
    assert_eq!(state.last_error_kind, Some(ControllerFault::Unauthorized));
    assert!(state.last_error.unwrap().contains("password"));
    // Whoever asks meanwhile gets the same answer, and the controller is left alone.
    rig.sim.clear_requests();
    for _ in 0..3 {
        let e = open.handle.devices().await.unwrap_err();
        assert!(e.to_string().contains("password"), "{e}");
    }
    assert_eq!(rig.sim.requests().len(), 0);
    open.stop().await;
    assert_eq!(rig.sign_ins(), 0);

    config.username = Some("cloud".into());
    config.password = Some(Secret::new("staple"));
    let open = rig.open_with(config, None, None);
    let state = open.state(|s| s.status == ControllerStatus::Error).await;
    assert_eq!(state.last_error_kind, Some(ControllerFault::Unauthorized));
    assert!(state.last_error.unwrap().contains("second factor"));
    open.stop().await;
}

#[tokio::test]
async fn a_password_that_is_refused_again_and_again_is_kept_back() {
    let error_pause = Duration::from_millis(100);
    let rig = Rig::tuned(Options::default(), Tuning { error_pause, ..quick() }).await;
    let mut config = rig.config(With::Account);
    config.password = Some(Secret::new("wrong"));
    let open = rig.open_with(config.clone(), None, None);
    // It is tried on, without the password.
    until("more tries", || rig.sim.count_of("GET", "/api/system") >= 4).await;
    assert_eq!(rig.sign_ins(), 3, "below the number that locks everybody out");
    let state = open.state(|s| s.status == ControllerStatus::Error).await;
    assert_eq!(state.last_error_kind, Some(ControllerFault::Unauthorized));
    assert!(state.last_error.unwrap().contains("sent again in 6 hours"));
    let kept = open.kept();
    open.stop().await;
    // Nor after a restart,
    rig.sim.clear_requests();
    let open = rig.open_with(config.clone(), kept.clone(), None);
    until("tries after a restart", || rig.sim.count_of("GET", "/api/system") >= 2).await;
    assert_eq!(rig.sign_ins(), 0);
    open.stop().await;
    // unless it is another one, or somebody sends it anew.
    let open = rig.open_with(rig.config(With::Account), kept, None);
    open.state(|s| s.status == ControllerStatus::Connected).await;
    open.stop().await;
    let before = rig.sign_ins();
    let open = rig.open_with(config, None, None);
    open.state(|s| s.status == ControllerStatus::Error).await;
    open.stop().await;
    assert_eq!(rig.sign_ins(), before + 1);
}

#[tokio::test]
async fn rights_are_those_of_a_camera() {
    let rig = Rig::new(Options::default()).await;
    let open = rig.connected(With::Account).await;
    let [one, other] = [0, 1].map(|n| rig.sim.cameras()[n].clone());
    let refused = format!("/proxy/protect/api/cameras/{other}/recording-snapshot");
    rig.sim.fault(Fault::on(&refused, When::Always, What::Answer(403, Body::Empty)));
    let past = now().minus(Duration::from_secs(60));
    for _ in 0..3 {
        open.handle.recorded(&one, past).await.unwrap();
        open.handle.recorded(&other, past).await.unwrap_err();
    }
    assert_eq!(rig.sign_ins(), 1, "it never was allowed there, so nothing was lost");
    assert!(open.handle.state().features.clips, "it may look at the recordings of others");
    open.stop().await;
}

#[tokio::test]
async fn a_token_is_fetched_where_signing_in_wants_one() {
    let rig = Rig::new(Options::default()).await;
    rig.sim.fault(Fault::on(LOGIN, When::First(1), What::Answer(403, Body::Empty)));
    let open = rig.connected(With::Account).await;
    let logins: Vec<_> = rig.sim.requests().into_iter().filter(|r| r.path == LOGIN).collect();
    let tokens: Vec<bool> = logins.iter().map(|r| r.header("x-csrf-token").is_some()).collect();
    assert_eq!(tokens, [false, true]);
    open.stop().await;
}

#[tokio::test]
async fn relogin_coalesced() {
    let rig = Rig::new(Options::default()).await;
    let open = rig.connected(With::Account).await;
    let camera = rig.sim.cameras().remove(0);
    open.handle.snapshot(&camera, Some(320)).await.unwrap();
    rig.sim.expire_sessions();
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let (handle, camera) = (std::sync::Arc::clone(&open.handle), camera.clone());
            tokio::spawn(async move { handle.stream_url(&camera, argus_core::controller::StreamQuality::High).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(rig.sign_ins(), 2);
    open.stop().await;
}

#[tokio::test]
async fn old_cookie_not_sent_on_login() {
    let rig = Rig::new(Options::default()).await;
    let open = rig.connected(With::Account).await;
    rig.sim.expire_sessions();
    open.handle.devices().await.unwrap();
    let logins: Vec<_> = rig.sim.requests().into_iter().filter(|r| r.path == LOGIN).collect();
    assert_eq!(logins.len(), 2);
    assert!(logins.iter().all(|r| r.header("cookie").is_none()));
    open.stop().await;
}

#[tokio::test]
async fn a_session_outlives_a_restart() {
    let rig = Rig::new(Options::default()).await;
    let open = rig.connected(With::Account).await;
    until("the secret", || open.kept().is_some()).await;
    let kept = open.kept();
    assert_eq!(format!("{kept:?}"), "Some(***)");
    open.stop().await;
    let open = rig.open_with(rig.config(With::Account), kept.clone(), None);
    open.state(|s| s.status == ControllerStatus::Connected).await;
    open.stop().await;
    assert_eq!(rig.sign_ins(), 1);
    // Not with another password.
    let mut config = rig.config(With::Account);
    config.password = Some(Secret::new("another"));
    let open = rig.open_with(config, kept, None);
    open.state(|s| s.status == ControllerStatus::Error).await;
    assert!(rig.sign_ins() > 1);
    open.stop().await;
}

#[tokio::test]
async fn a_refused_account_beside_a_good_key_is_told() {
    let rig = Rig::new(Options::default()).await;
    let mut config = rig.config(With::Both);
    config.password = Some(Secret::new("another"));
    let open = rig.open_with(config, None, None);
    let is_told = |s: &argus_core::controller::ControllerState| {
        s.status == ControllerStatus::Connected && s.last_error_kind == Some(ControllerFault::Unauthorized)
    };
    let state = open.state(is_told).await;
    assert_eq!(state.interfaces, Some("integration"));
    assert_eq!((state.features.events, state.features.snapshots, state.features.clips), (true, true, false));
    assert!(state.last_error.is_some());
    open.stop().await;

    let open = rig.connected(With::Both).await;
    let state = open.handle.state();
    assert!(state.last_error.is_none() && state.features.clips);
    open.stop().await;
}

#[tokio::test]
async fn no_password_after_pin_change() {
    let rig = Rig::tuned(Options::default(), Tuning { error_pause: Duration::from_millis(300), ..quick() }).await;
    let open = rig.connected(With::Both).await;
    rig.sim.clear_requests();
    let new = rig.sim.new_certificate(false).unwrap();
    rig.sim.cut_connections();
    let state = open.state(|s| s.status == ControllerStatus::Error).await;
    assert_eq!(state.last_error_kind, Some(ControllerFault::TlsChanged));
    assert!(state.last_error.unwrap().contains(&new));
    open.handle.devices().await.unwrap_err();
    assert_eq!(rig.sim.requests().len(), 0, "something was said to the wrong machine");
    open.stop().await;
}

#[tokio::test]
async fn a_403_on_the_side_is_no_lost_session() {
    let rig = Rig::new(Options::default()).await;
    let open = rig.connected(With::Account).await;
    rig.sim.fault(Fault::on("*/recording-snapshot", When::Always, What::Answer(403, Body::Empty)));
    let camera = rig.sim.cameras().remove(0);
    for _ in 0..3 {
        let e = open.handle.recorded(&camera, now().minus(Duration::from_secs(60))).await.unwrap_err();
        assert!(matches!(e, argus_core::controller::ControllerError::Unsupported(_)), "{e:?}");
    }
    // The state tells what the account turned out not to be allowed.
    let features = open.handle.state().features;
    assert_eq!((features.events, features.snapshots, features.clips), (true, true, false));
    assert_eq!(rig.sign_ins(), 1);
    assert_eq!(open.handle.state().status, ControllerStatus::Connected);
    open.stop().await;
}

#[tokio::test]
async fn a_refused_session_is_renewed_once() {
    let rig = Rig::new(Options::default()).await;
    rig.sim.fault(Fault::on(BOOTSTRAP, When::First(1), What::Answer(401, Body::Empty)));
    let open = rig.connected(With::Account).await;
    assert_eq!(rig.sign_ins(), 2);
    open.stop().await;

    let rig = Rig::new(Options::default()).await;
    rig.sim.fault(Fault::on(BOOTSTRAP, When::Always, What::Answer(401, Body::Empty)));
    let open = rig.open(With::Account);
    let state = open.state(|s| s.status == ControllerStatus::Error).await;
    assert_eq!(state.last_error_kind, Some(ControllerFault::Unauthorized));
    assert_eq!(rig.sign_ins(), 2);
    for _ in 0..3 {
        open.handle.devices().await.unwrap_err();
    }
    assert_eq!(rig.sign_ins(), 2);
    open.stop().await;
}

#[tokio::test]
async fn a_403_for_what_was_allowed_renews_a_session_once() {
    let rig = Rig::new(Options::default()).await;
    let open = rig.connected(With::Account).await;
    let camera = rig.sim.cameras().remove(0);
    for n in 0..3 {
        open.handle.snapshot(&camera, Some(320)).await.unwrap();
        rig.sim.fault(Fault::on("*/snapshot", When::First(1), What::Answer(403, Body::Empty)));
        let asked = open.handle.snapshot(&camera, Some(320)).await;
        assert_eq!(asked.is_ok(), n == 0, "{n}");
        rig.sim.clear_faults();
    }
    assert_eq!(rig.sign_ins(), 2);
    open.stop().await;
}

#[tokio::test]
async fn revoked_key_reported() {
    let rig = Rig::new(Options::default()).await;
    let open = rig.connected(With::Key).await;
    rig.sim.revoke_key("sim-api-key");
    let state = open.state(|s| s.status == ControllerStatus::Error).await;
    assert_eq!(state.last_error_kind, Some(ControllerFault::Unauthorized));
    assert!(state.last_error.unwrap().contains("API key"));
    let before = rig.sim.requests().len();
    // It is not asked again at once.
    tokio::time::timeout(Duration::from_millis(300), until("more requests", || rig.sim.requests().len() > before + 1))
        .await
        .unwrap_err();
    open.stop().await;
}
