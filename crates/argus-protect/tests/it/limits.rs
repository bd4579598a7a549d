//! Limits that are kept, and those that are survived.

use std::time::Duration;

use argus_core::controller::{HappeningPhase, StreamQuality};
use argus_protect::Tuning;
use argus_protect_sim::{Lags, Options, Script};

use crate::rig::{LIMIT, Rig, With, quick, until};

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
            if let Some(argus_core::controller::ControllerItem::Happening(h)) = open.stream.next().await {
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
