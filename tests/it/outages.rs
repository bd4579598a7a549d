//! A database that goes away under a running server, and comes back.

use std::time::{Duration, Instant};

use argus_tests::cluster::Cluster;
use argus_tests::postgres;
use argus_tests::wait::wait_for;
use serde_json::{Value, json};

use crate::common::{SOON, Site, check_order, id_of, now, test_camera, time_of};

/// Health as anybody sees it.
async fn health(site: &Site) -> (u16, Value) {
    let answer = site.client.anonymous().get("/system/health").await;
    (answer.status, answer.json)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_and_comes_back_costs_no_event() {
    let Some(cluster) = Cluster::start() else {
        argus_tests::skip("a database that goes away", &"PostgreSQL is not installed");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    postgres::use_url(dir.path(), &cluster.url());
    let mut site = Site::in_folder(dir, &[]).await;
    let camera = site.camera(test_camera("Yard", 4, 2)).await;
    let mut live = site.listen(None).await;
    let first = live.created(&camera).await;
    assert_eq!(health(&site).await.0, 200);

    let pid = site.server.pid();
    cluster.stop();
    let down_at = now();
    let begun = Instant::now();
    let (status, told) = wait_for("a health that tells it", SOON, || async {
        Some(health(&site).await).filter(|(status, _)| *status != 200)
    })
    .await;
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!((status, &told["status"], &told["status_code"]), (503, &json!("down"), &json!(503)), "{told}");
    assert_eq!(told["detail"], "The database is away");
    assert!(told["version"].is_string() && told["uptime_s"].is_u64() && told["components"].is_null(), "{told}");
    // What needs it is refused for now, and says when to come back.
    let refused = site.client.get("/cameras").await.expect(503);
    assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    // The camera moves every four seconds: at least one event begins meanwhile.
    wait_for("some time without a database", SOON, || async { (now().since(down_at).as_secs() >= 9).then_some(()) })
        .await;
    let up_at = now();
    cluster.again();

    wait_for("a health that is well again", SOON, || async { (health(&site).await.0 == 200).then_some(()) }).await;
    assert_eq!((site.server.pid(), site.server.exited().is_none()), (pid, true), "it is the same server");
    let during = wait_for("an event from the time without a database", SOON, || async {
        let page = site.client.get("/events?limit=500").await;
        let items = page.json["items"].as_array()?.clone();
        items.into_iter().find(|e| time_of(&e["timestamp"]) > down_at && time_of(&e["timestamp"]) < up_at)
    })
    .await;
    // What was open then, and what began then, comes to its end.
    for id in [id_of(&first), id_of(&during)] {
        wait_for("the end of the event", SOON, || async {
            let event = site.event(&id).await;
            (!event["ended_at"].is_null() && event["description_status"] == "described").then_some(())
        })
        .await;
    }
    // And it goes on.
    let mut live = site.listen(None).await;
    let next = live.created(&camera).await;
    live.finished(&id_of(&next)).await;
    check_order(&site.journal(0).await);
    let log = site.server.log_text();
    assert!(!log.contains("panicked"), "{log}");
    site.server.terminate(SOON).await.expect("the server ends");
}
