//! Following what happens, through everything that can come between.

use std::time::Duration;

use argus_core::controller::{ControllerFault, ControllerState, ControllerStatus, HappeningPhase};
use argus_core::event::DetectionType;
use argus_protect::Tuning;
use argus_protect_sim::{Fault, Lags, Options, Order, Script, Stale, Stream, What, When, frame};
use serde_json::json;

use argus_core::Timestamp;

use crate::rig::{BOOTSTRAP, Rig, UPDATES, With, now, quick, until};

const EVENTS: &str = "/proxy/protect/api/events";
const SECOND: Duration = Duration::from_secs(1);

fn at_ms(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

use DetectionType::{Audio, Motion, Package, Person, Ring, Vehicle};
use HappeningPhase::{Began, Changed, Ended};

#[tokio::test]
async fn ring_once_across_streams() {
    for (private_extra, public_extra) in [(0, 80), (80, 0)] {
        let lags = Lags {
            private_extra: Duration::from_millis(private_extra),
            public_extra: Duration::from_millis(public_extra),
            ring_lasts: Duration::from_millis(200),
            ..Lags::none()
        };
        let rig = Rig::new(Options { lags, ..Options::default() }).await;
        let open = rig.connected(With::Both).await;
        let bell = rig.sim.doorbells().remove(0);
        let ring = rig.sim.ring(&bell);
        open.ended(&ring).await;
        // A later one proves that both streams were read beyond the first.
        let other = rig.sim.motion(&bell, Duration::from_millis(300));
        open.ended(&other).await;
        assert_eq!(open.told(&ring), [(Began, Ring), (Ended, Ring)]);
        let first = open.happenings().into_iter().find(|h| h.id == ring).unwrap();
        assert_eq!((first.device, first.types), (bell, vec!["ring".to_owned()]));
        assert!(!first.from_history && first.heard_at >= first.started_at);
        open.stop().await;
    }
}

#[tokio::test]
async fn every_kind_is_told() {
    let rig = Rig::new(Options::default()).await;
    for with in [With::Account, With::Key] {
        let open = rig.connected(with).await;
        let camera = rig.sim.cameras().remove(0);
        let ms = Duration::from_millis;
        let scripts = [
            (Script::motion(ms(50)), Motion),
            (Script::smart(&["person"], 80, ms(50)), Person),
            (Script::line(&["vehicle", "licensePlate"], 70, ms(50)), Vehicle),
            (Script::smart(&["animal"], 60, ms(50)), DetectionType::Animal),
            (Script::audio(&["alrmSmoke"], 90, ms(50)), Audio),
            (Script { kind: "smartDetectLoiterZone".into(), ..Script::smart(&["person"], 50, ms(50)) }, Person),
        ];
        for (script, kind) in scripts {
            let id = rig.sim.happen(&camera, script);
            open.ended(&id).await;
            let told = open.told(&id);
            assert_eq!((told.first(), told.last()), (Some(&(Began, kind)), Some(&(Ended, kind))));
        }
        let mut smoke = rig.sim.happenings();
        smoke.retain(|h| h.kind == "smartAudioDetect");
        let told = open.happenings().into_iter().find(|h| Some(&h.id) == smoke.last().map(|s| &s.id)).unwrap();
        assert_eq!(told.types, ["alrmSmoke"]);
        open.stop().await;
    }
}

#[tokio::test]
async fn late_types_emit_person() {
    let rig = Rig::new(Options::default()).await;
    let open = rig.connected(With::Both).await;
    let camera = rig.sim.cameras().remove(0);
    let script = Script {
        late_types: Some(Duration::from_millis(100)),
        ..Script::smart(&["person"], 80, Duration::from_millis(400))
    };
    let id = rig.sim.happen(&camera, script);
    let grows = Script {
        grows: vec![(Duration::from_millis(100), vec!["vehicle".into(), "licensePlate".into()])],
        ..Script::smart(&["vehicle"], 80, Duration::from_millis(400))
    };
    let growing = rig.sim.happen(&camera, grows);
    open.ended(&id).await;
    open.ended(&growing).await;
    assert_eq!(open.told(&id).first(), Some(&(Began, Person)));
    assert!(open.told(&growing).contains(&(Changed, Vehicle)));
    let last = open.happenings().into_iter().rfind(|h| h.id == growing).unwrap();
    assert_eq!(last.types, ["vehicle", "licensePlate"]);
    open.stop().await;
}

#[tokio::test]
async fn born_closed_package_emits_once() {
    for with in [With::Account, With::Key, With::Both] {
        let rig = Rig::new(Options::default()).await;
        let open = rig.connected(with).await;
        let camera = rig.sim.doorbells().remove(0);
        rig.sim.happen(&camera, Script::package(75));
        until("the package", || open.happenings().iter().any(|h| h.phase == Ended)).await;
        let other = rig.sim.motion(&camera, Duration::from_millis(100));
        open.ended(&other).await;
        let packages: Vec<_> = open
            .happenings()
            .into_iter()
            .filter(|h| h.kinds[0] == Package && h.phase != Changed)
            .map(|h| h.phase)
            .collect();
        assert_eq!(packages, [Began, Ended]);
        open.stop().await;
    }
}

#[tokio::test]
async fn repeated_reordered_and_stray_updates_change_nothing() {
    let rig = Rig::new(Options { bare_payloads: true, ..Options::default() }).await;
    let open = rig.connected(With::Both).await;
    let camera = rig.sim.cameras().remove(0);
    let script = |s: Script| Script { ends: 3, adds: 2, stray_update: true, whole_updates: true, ..s };
    let ms = Duration::from_millis;
    let first = rig.sim.happen(&camera, script(Script::smart(&["person"], 80, ms(100))));
    let second = rig.sim.happen(&camera, Script { is_reordered: true, ..script(Script::motion(ms(100))) });
    let lost = rig.sim.happen(&camera, Script { adds: 0, ..Script::smart(&["vehicle"], 80, ms(100)) });
    for id in [&first, &second, &lost] {
        open.ended(id).await;
    }
    let last = rig.sim.motion(&camera, ms(100));
    open.ended(&last).await;
    for id in [&first, &second, &lost] {
        let told = open.told(id);
        assert_eq!(told.iter().filter(|t| t.0 == Began).count(), 1, "{told:?}");
        assert_eq!(told.iter().filter(|t| t.0 == Ended).count(), 1, "{told:?}");
        assert_eq!(told.first().map(|t| t.0), Some(Began));
    }
    assert_eq!(open.told(&lost)[0].1, Vehicle);
    open.stop().await;
}

#[tokio::test]
async fn lost_end_times_out() {
    let tuning = Tuning { open_motion: Duration::from_millis(300), open_other: Duration::from_millis(300), ..quick() };
    let rig = Rig::tuned(Options::default(), tuning).await;
    let ms = Duration::from_millis;
    // With an account the end is read; with a key alone it is given up.
    for (with, unknown) in [(With::Account, false), (With::Key, true)] {
        let open = rig.connected(with).await;
        let camera = rig.sim.cameras().remove(0);
        let id = rig.sim.happen(&camera, Script { ends: 0, ..Script::motion(ms(50)) });
        open.ended(&id).await;
        let end = open.happenings().into_iter().rfind(|h| h.id == id).unwrap();
        assert_eq!(end.end_unknown, unknown);
        open.stop().await;
    }
}

#[tokio::test]
async fn resume_uses_last_new_update_id() {
    let rig = Rig::new(Options::default()).await;
    let open = rig.connected(With::Account).await;
    let camera = rig.sim.cameras().remove(0);
    let first = rig.sim.motion(&camera, Duration::from_millis(20));
    open.ended(&first).await;
    assert_eq!(rig.sim.order(Stream::Updates, &Order::End), 1);
    let meanwhile = rig.sim.motion(&camera, Duration::from_millis(20));
    open.ended(&meanwhile).await;
    until("the second stream", || rig.sim.count_of("GET", UPDATES) == 2).await;
    open.state(|s| s.status == ControllerStatus::Connected).await;
    let places: Vec<String> = rig.sim.requests().into_iter().filter(|r| r.path == UPDATES).map(|r| r.query).collect();
    assert_ne!(places[0], places[1]);
    assert_eq!(rig.sim.count_of("GET", BOOTSTRAP), 1);
    assert_eq!(open.told(&meanwhile), [(Began, Motion), (Ended, Motion)]);
    assert_eq!(open.gaps(), []);
    open.stop().await;
}

#[tokio::test]
async fn stale_id_rebootstraps() {
    for stale in [Stale::CloseWithReason, Stale::Close, Stale::Abort] {
        let rig = Rig::new(Options { stale, update_log: 3, ..Options::default() }).await;
        let open = rig.connected(With::Account).await;
        let camera = rig.sim.cameras().remove(0);
        rig.sim.fault(Fault::on(UPDATES, When::First(3), What::Answer(502, argus_protect_sim::Body::Html)));
        rig.sim.order(Stream::Updates, &Order::End);
        // So much that the place to resume from is forgotten.
        for n in 0..20 {
            rig.sim.rename(&camera, &format!("Name {n}"));
        }
        until("a new bootstrap", || rig.sim.count_of("GET", BOOTSTRAP) >= 2).await;
        open.state(|s| s.status == ControllerStatus::Connected).await;
        let id = rig.sim.motion(&camera, Duration::from_millis(20));
        open.ended(&id).await;
        open.stop().await;
    }
}

#[tokio::test]
async fn accept_then_close_backs_off() {
    let tuning =
        Tuning { backoff_first: Duration::from_millis(50), backoff_longest: Duration::from_secs(2), ..quick() };
    let rig = Rig::tuned(Options::default(), tuning).await;
    rig.sim.fault(Fault::on(UPDATES, When::Always, What::Stream(0, Order::Close(1001, String::new()))));
    let open = rig.open(With::Account);
    until("five tries", || rig.sim.count_of("GET", UPDATES) >= 5).await;
    let times: Vec<Duration> = rig.sim.requests().into_iter().filter(|r| r.path == UPDATES).map(|r| r.at).collect();
    // 50, 100, 200 and 400 ms, less a quarter.
    assert!(times[4] - times[0] >= Duration::from_millis(560), "{times:?}");
    assert_eq!(rig.sign_ins(), 1);
    open.stop().await;
}

#[tokio::test]
async fn what_happens_between_streams_that_end_at_once_is_told() {
    let tuning = Tuning { history_margin: Duration::from_millis(100), ..quick() };
    let rig = Rig::tuned(Options::default(), tuning).await;
    let bell = rig.sim.doorbells().remove(0);
    rig.sim.fault(Fault::on(UPDATES, When::Always, What::Stream(0, Order::Close(1001, String::new()))));
    let busy = What::Answer(502, argus_protect_sim::Body::Empty);
    rig.sim.fault(Fault::on("/proxy/protect/api/events", When::Always, busy));
    let open = rig.open(With::Account);
    until("some tries", || rig.sim.count_of("GET", UPDATES) >= 4).await;
    let ring = rig.sim.ring(&bell);
    let so_far = rig.sim.count_of("GET", UPDATES);
    until("more tries", || rig.sim.count_of("GET", UPDATES) >= so_far + 4).await;
    rig.sim.clear_faults();
    open.ended(&ring).await;
    assert_eq!(open.gaps(), []);
    open.stop().await;
}

#[tokio::test]
async fn silent_stream_detected_within_300s() {
    let tuning = Tuning {
        ping_every: Duration::from_millis(150),
        ping_deadline: Duration::from_secs(5),
        suspect_after: Duration::from_millis(375),
        silent_after: Duration::from_millis(1500),
        ..quick()
    };
    let rig = Rig::tuned(Options::default(), tuning.clone()).await;
    let open = rig.connected(With::Account).await;
    rig.sim.order(Stream::Updates, &Order::Silent { answers_pings: true });
    let camera = rig.sim.cameras().remove(0);
    let id = rig.sim.motion(&camera, Duration::from_millis(20));
    open.ended(&id).await;
    until("a second stream", || rig.sim.count_of("GET", UPDATES) >= 2).await;
    open.stop().await;

    // Half open: not even pings.
    let tuning = Tuning { ping_deadline: Duration::from_millis(500), silent_after: Duration::from_secs(300), ..tuning };
    let rig = Rig::tuned(Options::default(), tuning).await;
    let open = rig.connected(With::Both).await;
    for stream in [Stream::Updates, Stream::Events] {
        rig.sim.order(stream, &Order::Silent { answers_pings: false });
    }
    let id = rig.sim.motion(&rig.sim.cameras()[0], Duration::from_millis(20));
    open.ended(&id).await;
    open.stop().await;
}

#[tokio::test]
async fn a_mute_stream_is_seen_through_by_its_history() {
    let tuning = Tuning {
        ping_every: Duration::from_millis(150),
        suspect_after: Duration::from_millis(400),
        silent_after: Duration::from_secs(300),
        ..quick()
    };
    let rig = Rig::tuned(Options::default(), tuning).await;
    let open = rig.connected(With::Account).await;
    rig.sim.order(Stream::Updates, &Order::Silent { answers_pings: true });
    let bell = rig.sim.doorbells().remove(0);
    let ring = rig.sim.ring(&bell);
    open.ended(&ring).await;
    until("another stream", || rig.sim.count_of("GET", UPDATES) >= 2).await;
    let other = rig.sim.motion(&bell, Duration::from_millis(20));
    open.ended(&other).await;
    assert_eq!(open.told(&ring), [(Began, Ring), (Ended, Ring)]);
    open.stop().await;
    // Where nothing happens, silence is nothing.
    let open = rig.connected(With::Account).await;
    let (streams, readings) = (rig.sim.count_of("GET", UPDATES), rig.sim.count_of("GET", EVENTS));
    rig.sim.order(Stream::Updates, &Order::Silent { answers_pings: true });
    until("looks into the history", || rig.sim.count_of("GET", EVENTS) >= readings + 2).await;
    assert_eq!(rig.sim.count_of("GET", UPDATES), streams);
    open.stop().await;
}

#[tokio::test]
async fn a_restart_goes_on_where_a_silent_stream_told_its_last() {
    for with in [With::Account, With::Both] {
        let rig = Rig::new(Options::default()).await;
        let open = rig.connected(with).await;
        let camera = rig.sim.cameras().remove(0);
        let first = rig.sim.motion(&camera, Duration::from_millis(20));
        open.ended(&first).await;
        let heard = now();
        until("what was heard to count", || open.handle.known_until().is_some_and(|at| at >= heard.minus(SECOND)))
            .await;
        for stream in [Stream::Updates, Stream::Events] {
            rig.sim.order(stream, &Order::Silent { answers_pings: true });
        }
        let missed = rig.sim.motion(&camera, Duration::from_millis(20));
        let after = now();
        // Time passes and pings are answered; what was not told stays unknown.
        tokio::time::timeout(SECOND, until("it to pass", || open.handle.known_until() > Some(after)))
            .await
            .unwrap_err();
        let known = open.handle.known_until();
        assert!(known < rig.sim.happenings().into_iter().find(|h| h.id == missed).map(|h| at_ms(h.start_ms + 1)));
        open.stop().await;
        let open = rig.open_with(rig.config(with), None, known);
        open.ended(&missed).await;
        assert_eq!(open.gaps(), []);
        open.stop().await;
    }
}

#[tokio::test]
async fn what_is_not_read_yet_is_not_known() {
    let rig = Rig::new(Options::default()).await;
    let known = now().minus(Duration::from_secs(30));
    rig.sim.fault(Fault::on(EVENTS, When::Always, What::Answer(502, argus_protect_sim::Body::Empty)));
    let open = rig.open_with(rig.config(With::Account), None, Some(known));
    open.state(|s| s.status == ControllerStatus::Connected).await;
    until("tries", || rig.sim.count_of("GET", EVENTS) >= 2).await;
    assert_eq!(open.handle.known_until(), Some(known));
    // Once that is given up it is on account, and the stream counts.
    until("the gap", || !open.gaps().is_empty()).await;
    until("what is heard to count", || open.handle.known_until() > Some(known)).await;
    open.stop().await;
}

#[tokio::test]
async fn no_ring_from_reconnect() {
    let rig = Rig::new(Options::default()).await;
    let open = rig.connected(With::Both).await;
    let bell = rig.sim.doorbells().remove(0);
    let ring = rig.sim.ring(&bell);
    open.ended(&ring).await;
    for _ in 0..3 {
        rig.sim.camera_update(&bell, &json!({"lastRing": rig.sim.now_ms()}));
        let before = rig.sim.count_of("GET", UPDATES);
        rig.sim.cut_connections();
        until("a new stream", || rig.sim.count_of("GET", UPDATES) > before).await;
        open.state(|s| s.status == ControllerStatus::Connected && s.interfaces == Some("local+integration")).await;
    }
    let last = rig.sim.motion(&bell, Duration::from_millis(20));
    open.ended(&last).await;
    assert_eq!(open.told(&ring), [(Began, Ring), (Ended, Ring)]);
    assert_eq!(open.happenings().iter().filter(|h| h.kinds[0] == Ring && h.phase == Began).count(), 1);
    open.stop().await;
}

#[tokio::test]
async fn gap_filled_after_reboot() {
    let rig = Rig::new(Options::default()).await;
    let open = rig.connected(With::Both).await;
    let bell = rig.sim.doorbells().remove(0);
    let before = rig.sim.happen(&bell, Script::motion(Duration::from_millis(200)));
    open.began(&before).await;
    rig.sim.reboot(Duration::from_millis(1500));
    open.state(|s| s.status == ControllerStatus::Reconnecting).await;
    let during = rig.sim.ring(&bell);
    let person = rig.sim.detect(&bell, &["person"], 80, Duration::from_millis(100));
    open.state(|s| s.status == ControllerStatus::Connected).await;
    for id in [&before, &during, &person] {
        open.ended(id).await;
        let told = open.told(id);
        assert_eq!(
            (told.iter().filter(|t| t.0 == Began).count(), told.last().map(|t| t.0)),
            (1, Some(Ended)),
            "{told:?}"
        );
    }
    let ring = open.happenings().into_iter().find(|h| h.id == during).unwrap();
    assert!(ring.from_history);
    assert_eq!(open.gaps(), []);
    open.stop().await;
}

#[tokio::test]
async fn what_cannot_be_fetched_is_a_gap() {
    let rig = Rig::new(Options::default()).await;
    // A key alone has no history.
    let known = now().minus(Duration::from_secs(600));
    let open = rig.open_with(rig.config(With::Key), None, Some(known));
    until("the gap", || !open.gaps().is_empty()).await;
    assert_eq!(open.gaps()[0].0, known);
    open.stop().await;
    // An account has, and what is in it is told after a start.
    let camera = rig.sim.cameras().remove(0);
    let missed = rig.sim.motion(&camera, Duration::from_millis(10));
    let open = rig.open_with(rig.config(With::Account), None, Some(now().minus(Duration::from_secs(5))));
    open.ended(&missed).await;
    assert_eq!(open.gaps(), []);
    open.stop().await;
    // Even when reading it takes more than one try.
    let many = When::First(6);
    rig.sim.fault(Fault::on("/proxy/protect/api/events", many, What::Answer(502, argus_protect_sim::Body::Empty)));
    let open = rig.open_with(rig.config(With::Account), None, Some(now().minus(Duration::from_secs(5))));
    open.ended(&missed).await;
    assert_eq!(open.gaps(), []);
    open.stop().await;
    rig.sim.clear_faults();
    // Unless it may not read it.
    rig.sim.fault(Fault::on(
        "/proxy/protect/api/events",
        When::Always,
        What::Answer(403, argus_protect_sim::Body::Empty),
    ));
    let open = rig.open_with(rig.config(With::Account), None, Some(known));
    until("the gap", || !open.gaps().is_empty()).await;
    assert!(open.gaps()[0].2.contains("history"));
    open.stop().await;
    // Or is refused altogether, while the key is good.
    let mut config = rig.config(With::Both);
    config.password = Some(argus_core::Secret::new("wrong"));
    let open = rig.open_with(config, None, Some(known));
    until("the gap", || !open.gaps().is_empty()).await;
    assert_eq!(open.gaps().len(), 1);
    open.stop().await;
}

#[tokio::test]
async fn clock_skew_does_not_move_detections() {
    for skew_ms in [90_000, -90_000] {
        let rig = Rig::new(Options { skew_ms, ..Options::default() }).await;
        let open = rig.connected(With::Both).await;
        let before = now();
        let id = rig.sim.motion(&rig.sim.cameras()[0], Duration::from_millis(20));
        open.ended(&id).await;
        let told = open.happenings().into_iter().find(|h| h.id == id).unwrap();
        let off = told.started_at.millis_since(before).abs();
        assert!(off < 3000, "{off} ms off");
        open.stop().await;
    }
}

#[tokio::test]
async fn malformed_messages_are_counted_and_survived() {
    let rig = Rig::new(Options::default()).await;
    let open = rig.connected(With::Both).await;
    let bad = frame::malformed();
    let count = u64::try_from(bad.len()).unwrap();
    for (_, message) in bad {
        rig.sim.push_raw(None, message);
    }
    rig.sim.push_raw(None, frame::bomb(64 * 1024 * 1024));
    rig.sim.push_text(Stream::Updates, "text where bytes belong");
    rig.sim.push_text(Stream::Events, "no JSON");
    let id = rig.sim.motion(&rig.sim.cameras()[0], Duration::from_millis(20));
    open.ended(&id).await;
    open.state(|s| s.malformed >= count + 3).await;
    assert_eq!(rig.sim.count_of("GET", UPDATES), 1);
    open.stop().await;
}

#[tokio::test]
async fn unknown_model_ignored() {
    let rig = Rig::new(Options::default()).await;
    let open = rig.connected(With::Account).await;
    rig.sim.change("add", "unicorn", "u1", &json!({"id": "u1"}));
    rig.sim.change("explode", "camera", "u1", &json!({"id": "u1"}));
    let id = rig.sim.motion(&rig.sim.cameras()[0], Duration::from_millis(20));
    open.ended(&id).await;
    assert_eq!(open.handle.state().malformed, 0);
    open.stop().await;
}

#[tokio::test]
async fn cameras_are_followed() {
    let rig = Rig::new(Options::default()).await;
    for with in [With::Account, With::Key] {
        let open = rig.connected(with).await;
        let camera = rig.sim.cameras().remove(0);
        let find = |id: &str| {
            let devices = open.items().into_iter().rev().find_map(|i| match i {
                argus_core::controller::ControllerItem::Devices(d) => Some(d),
                _ => None,
            });
            devices.into_iter().flatten().find(|d| d.id == id)
        };
        until("the cameras", || find(&camera).is_some_and(|d| d.is_online)).await;
        until("the device stream", || matches!(with, With::Account) || rig.sim.open_streams(Stream::Devices) == 1)
            .await;
        rig.sim.rename(&camera, "Orchard");
        rig.sim.camera_state(&camera, "DISCONNECTED");
        until("the change", || find(&camera).is_some_and(|d| d.name == "Orchard" && !d.is_online)).await;
        rig.sim.camera_state(&camera, "CONNECTED");
        until("the way back", || find(&camera).is_some_and(|d| d.is_online)).await;
        let gone = rig.sim.remove(&camera).unwrap();
        until("the removal", || find(&camera).is_none()).await;
        let back = rig.sim.adopt(&gone);
        until("the adoption", || find(&back).is_some()).await;
        assert!(find(&back).unwrap().mac.is_some());
        open.stop().await;
    }
}

#[tokio::test]
async fn a_restart_of_the_machine_is_no_error() {
    let rig = Rig::new(Options::default()).await;
    let open = rig.connected(With::Account).await;
    rig.sim.restart(Duration::from_millis(600)).await.unwrap();
    let state = open.state(|s| s.status != ControllerStatus::Connected || s.last_error.is_none()).await;
    assert!(matches!(state.status, ControllerStatus::Reconnecting | ControllerStatus::Connected), "{state:?}");
    open.state(|s| s.status == ControllerStatus::Connected).await;
    let id = rig.sim.motion(&rig.sim.cameras()[0], Duration::from_millis(20));
    open.ended(&id).await;
    open.stop().await;
}

#[tokio::test]
async fn one_interface_is_enough() {
    let rig = Rig::new(Options::default()).await;
    let mut config = rig.config(With::Both);
    config.api_key = Some(argus_core::Secret::new("no key"));
    let open = rig.open_with(config, None, None);
    // What is refused is told beside what works.
    let refused = Some(ControllerFault::Unauthorized);
    let told = |s: &ControllerState| s.status == ControllerStatus::Connected && s.last_error_kind == refused;
    let state = open.state(told).await;
    assert_eq!(state.interfaces, Some("local"));
    assert!(state.features.clips, "the account gives them");
    open.stop().await;
    let mut config = rig.config(With::Both);
    config.password = Some(argus_core::Secret::new("wrong"));
    let open = rig.open_with(config, None, None);
    let state = open.state(|s| s.status == ControllerStatus::Connected).await;
    assert_eq!(state.interfaces, Some("integration"));
    let camera = rig.sim.cameras().remove(0);
    open.handle.snapshot(&camera, Some(320)).await.unwrap();
    open.stop().await;
}

#[tokio::test]
async fn what_is_no_controller_is_told() {
    let rig = Rig::new(Options::default()).await;
    rig.sim.fault(Fault::on(BOOTSTRAP, When::Always, What::Answer(404, argus_protect_sim::Body::Html)));
    let open = rig.open(With::Account);
    let state = open.state(|s| s.status == ControllerStatus::Error).await;
    assert_eq!(state.last_error_kind, Some(ControllerFault::NotProtect));
    open.stop().await;
}

#[tokio::test]
async fn faults_between_do_not_lose_or_repeat_a_happening() {
    let rig = Rig::new(Options { lags: Lags::recorded().scaled(0.02), ..Options::default() }).await;
    let open = rig.connected(With::Both).await;
    let cameras = rig.sim.cameras();
    let ms = Duration::from_millis;
    let mut ids = Vec::new();
    let mut pace = tokio::time::interval(ms(10));
    for n in 0..240_usize {
        let camera = &cameras[n % cameras.len()];
        let script = match n % 5 {
            0 => Script::motion(ms(120)),
            1 => Script { ends: 3, ..Script::smart(&["person"], 80, ms(90)) },
            2 => Script { late_types: Some(ms(60)), ..Script::smart(&["vehicle"], 70, ms(150)) },
            3 => Script { stray_update: true, whole_updates: true, ..Script::line(&["animal"], 60, ms(60)) },
            _ => Script::new("ring", ms(100)),
        };
        ids.push(rig.sim.happen(camera, script));
        match n {
            40 => rig.sim.cut_connections(),
            80 => rig.sim.reboot(ms(400)),
            120 => rig.sim.expire_sessions(),
            140 => drop(rig.sim.order(Stream::Updates, &Order::Abort)),
            180 => drop(rig.sim.order(Stream::Events, &Order::Close(1008, "rate".into()))),
            200 => rig.sim.fault(Fault::on("*", When::Percent(30), What::Answer(502, argus_protect_sim::Body::Html))),
            220 => rig.sim.cut_connections(),
            _ => {}
        }
        pace.tick().await;
    }
    rig.sim.clear_faults();
    open.state(|s| s.interfaces == Some("local+integration")).await;
    for id in &ids {
        open.ended(id).await;
    }
    for id in &ids {
        let told = open.told(id);
        let count = |phase| told.iter().filter(|t| t.0 == phase).count();
        assert_eq!((count(Began), count(Ended), told[0].0), (1, 1, Began), "{id}: {told:?}");
    }
    assert_eq!(open.gaps(), []);
    open.stop().await;
}

#[tokio::test]
async fn a_connection_that_nobody_holds_ends() {
    let rig = Rig::new(Options::default()).await;
    let open = rig.connected(With::Both).await;
    open.dropped().await;
    assert!(rig.sim.until(crate::rig::LIMIT, |sim| Stream::ALL.iter().all(|s| sim.open_streams(*s) == 0)).await);
}
