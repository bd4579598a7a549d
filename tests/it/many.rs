//! Many cameras, started and stopped again and again: nothing is left behind.

use std::time::{Duration, Instant};

use argus_tests::clips::ClipSpec;
use argus_tests::rtsp::RtspServer;
use argus_tests::scene::Scene;
use argus_tests::wait::{wait_for, wait_until};
use futures_util::future::join_all;
use serde_json::json;

use crate::common::{SOON, Site, statuses};

const CAMERAS: usize = 8;
/// What may stay in memory between the rounds after the allocator has found its size and the last ones: a tenth of a
/// megabyte lost at every start of a camera would be more.
const GROWTH_KIB: u64 = 14 * 1024;

#[expect(clippy::disallowed_methods, reason = "not a setting of the server: how long this test runs")]
fn rounds() -> usize {
    std::env::var("ARGUS_TEST_ROUNDS").map_or(20, |n| n.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_cameras_started_and_stopped_twenty_times_leave_nothing_behind() {
    let rounds = rounds();
    let spec = ClipSpec { width: 320, height: 240, fps: 10, gop: 5, scene: Scene::Still, ..ClipSpec::default() };
    let cameras = RtspServer::builder().size(320, 240).fps(10).gop(5).scene(Scene::Still).start();
    let site = Site::start().await;
    let mut ids = Vec::new();
    for number in 0..CAMERAS {
        let path = format!("/cam{number}");
        cameras.mount(&path, spec);
        let fields = json!({
            "name": path, "type": "rtsp", "rtsp_url": cameras.url_of(&path), "is_enabled": false, "frame_rate": 2,
            "pre_roll_s": 1,
        });
        ids.push(site.camera(fields).await);
    }
    let all = |action: &'static str| {
        let calls = ids.iter().map(|id| {
            let client = site.client.clone();
            let path = format!("/cameras/{id}/{action}");
            async move { client.post(&path, &json!({})).await.expect(202) }
        });
        join_all(calls)
    };
    let round = async || {
        all("start").await;
        wait_for("all online", SOON, || async {
            let online = site.client.get("/cameras?status=online").await.expect(200).json;
            (online["total"] == CAMERAS).then_some(())
        })
        .await;
        // A decoder has worked for each of them.
        let pictures = ids.iter().map(|id| {
            let path = format!("/cameras/{id}/snapshot?width=64");
            let client = site.client.clone();
            async move { client.get(&path).await.expect(200) }
        });
        join_all(pictures).await;
        all("stop").await;
        wait_for("all stopped", SOON, || async {
            let stopped = site.client.get("/cameras?status=stopped").await.expect(200).json;
            (stopped["total"] == CAMERAS).then_some(())
        })
        .await;
        wait_until("every client to leave", SOON, || cameras.clients() == 0).await;
    };

    // The first round starts what is started once: threads of GStreamer's and the runtime's pools.
    round().await;
    let mut seen = ((0, 0), Instant::now());
    let settled = wait_for("a number of threads that stays for a while", SOON, || {
        let now = (site.server.threads(), site.server.fds());
        if now != seen.0 {
            seen = (now, Instant::now());
        }
        std::future::ready((seen.1.elapsed() > Duration::from_secs(3)).then_some(now))
    })
    .await;
    let mut history = vec![site.server.anonymous_kib()];
    for _ in 1..rounds {
        round().await;
        history.push(site.server.anonymous_kib());
    }
    site.server.settles_at(settled.0, settled.1, SOON).await;
    println!("KiB after each round: {history:?}");
    let early = history.iter().skip(2).take(5).max().unwrap();
    let late = history.iter().rev().take(5).min().unwrap();
    assert!(late.saturating_sub(*early) < GROWTH_KIB, "from {early} KiB to {late} KiB: {history:?}");

    let told = site.journal(0).await;
    for id in &ids {
        let walked = statuses(&told, id);
        let expected: Vec<_> =
            ["stopped"].into_iter().chain((0..rounds).flat_map(|_| ["starting", "online", "stopped"])).collect();
        assert_eq!(walked, expected, "each came online each time, at once");
    }
    assert_eq!(cameras.connections(), CAMERAS * rounds * 2, "one look at the port and one connection each time");
}
