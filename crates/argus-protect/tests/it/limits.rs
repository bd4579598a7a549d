//! Limits that are kept, and those that are survived.

use std::time::Duration;

use argus_core::controller::{ControllerItem, HappeningPhase, StreamQuality};
use argus_protect::Tuning;
use argus_protect_sim::{Fault, Lags, Options, Script, What, When};
use serde_json::json;

use crate::rig::{LIMIT, Rig, UPDATES, With, quick, until};

#[tokio::test]
async fn rate_limit_paced() {
    let rig = Rig::new(Options::default()).await;
    let open = rig.connected(With::Key).await;
    let calls: Vec<_> = rig
        .sim
        .cameras()
        .into_iter()
        .cycle()
        .take(20)
        .map(|camera| {
            let handle = std::sync::Arc::clone(&open.handle);
            tokio::spawn(async move { handle.stream_url(&camera, StreamQuality::High).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let times: Vec<Duration> =
        rig.sim.requests().iter().filter(|r| r.header("x-api-key").is_some()).map(|r| r.at).collect();
    assert!(times.len() > 20);
    for (n, from) in times.iter().enumerate() {
        let within = times.iter().skip(n).take_while(|at| **at - *from < Duration::from_millis(990)).count();
        assert!(within <= 9, "{within} calls in a second");
    }
    assert_eq!(rig.sim.count(|r| r.status == 429), 0);
    assert!(
        rig.sim.requests().iter().filter(|r| r.header("x-api-key").is_some()).all(|r| r.header("cookie").is_none())
    );
    open.stop().await;
}

#[tokio::test]
async fn a_burst_behind_a_slow_reader_loses_nothing() {
    let rig = Rig::tuned(Options { lags: Lags::none(), ..Options::default() }, Tuning { queue: 8, ..quick() }).await;
    let mut open = argus_core::controller::Controllers::open(
        &rig.protect,
        argus_core::controller::ControllerPlan {
            id: "01900000-0000-7000-8000-000000000000".parse().unwrap(),
            config: rig.config(With::Both),
            kept: None,
            known_until: None,
        },
    );
    until("the connection", || open.handle.state().interfaces == Some("local+integration")).await;
    let camera = rig.sim.cameras().remove(0);
    let ids: Vec<String> =
        (0..400).map(|_| rig.sim.happen(&camera, Script::motion(Duration::from_millis(50)))).collect();
    // Nobody reads until all of it was told; states go on meanwhile.
    assert!(
        rig.sim.until(LIMIT, |sim| sim.happenings().iter().filter(|h| h.private_at.is_some()).count() >= 400).await
    );
    rig.sim.rename(&camera, "Renamed meanwhile");
    let (mut began, mut ended) = (std::collections::HashSet::new(), std::collections::HashSet::new());
    let read = async {
        while ended.len() < ids.len() {
            if let Some(ControllerItem::Happening(h)) = open.stream.next().await {
                match h.phase {
                    HappeningPhase::Began => assert!(began.insert(h.id)),
                    HappeningPhase::Ended => assert!(ended.insert(h.id)),
                    HappeningPhase::Changed => {}
                }
            }
        }
    };
    tokio::time::timeout(LIMIT, read).await.unwrap();
    assert!(ids.iter().all(|id| began.contains(id) && ended.contains(id)));
    open.handle.stop().await;
}

#[tokio::test]
async fn a_controller_that_fails_again_and_again_is_left_alone() {
    let tuning = Tuning { retries: 0, breaker_pause: Duration::from_secs(300), ..quick() };
    let rig = Rig::tuned(Options::default(), tuning).await;
    let open = rig.connected(With::Account).await;
    let camera = rig.sim.cameras().remove(0);
    rig.sim.clear_requests();
    rig.sim.fault(Fault::on("*/cameras/*", When::Always, What::Reset));
    for n in 0..30 {
        let e = open.handle.recorded(&camera, crate::rig::now()).await.unwrap_err();
        assert!(n < 10 || e.to_string().contains("left alone"), "{n}: {e}");
    }
    assert!(rig.sim.requests().len() <= 10, "{}", rig.sim.requests().len());
    // Being connected again ends it before its time.
    rig.sim.clear_faults();
    rig.sim.cut_connections();
    until("the next stream", || rig.sim.count_of("GET", UPDATES) > 0).await;
    open.state(|s| s.interfaces == Some("local")).await;
    open.handle.snapshot(&camera, Some(320)).await.unwrap();
    open.stop().await;
}

#[tokio::test]
async fn noise_does_not_hide_happenings() {
    let rig = Rig::new(Options { lags: Lags::none(), ..Options::default() }).await;
    let open = rig.connected(With::Account).await;
    let cameras = rig.sim.cameras();
    let mut ids = Vec::new();
    // Twenty times as much noise as news, as fast as it can be made.
    for (n, camera) in cameras.iter().cycle().take(6_000).enumerate() {
        rig.sim.camera_update(camera, &json!({"stats": {"rxBytes": n}, "lastMotion": n, "upSince": n}));
        if n % 20 == 0 {
            ids.push(rig.sim.motion(camera, Duration::from_millis(5)));
        }
    }
    for id in &ids {
        open.ended(id).await;
    }
    assert_eq!(ids.len(), 300);
    assert_eq!(rig.sim.count_of("GET", UPDATES), 1);
    // Noise changes no camera, so nothing is told of them.
    let told = open.items().into_iter().filter(|i| matches!(i, ControllerItem::Devices(_))).count();
    assert!(told <= 2, "{told} times");
    open.stop().await;
}
