//! The program on PostgreSQL: what it does on SQLite everywhere else.

use argus_tests::wait::wait_for;
use serde_json::json;

use crate::common::{SOON, Site, check_order, files, id_of, is_finished, rows, test_camera};

/// A site on PostgreSQL, or a word that nothing was proved.
async fn site() -> Option<Site> {
    let site = Site::on_postgres().await;
    if site.is_none() {
        argus_tests::skip("the program on PostgreSQL", &"ARGUS_TEST_POSTGRES_URL names none");
    }
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_told_described_found_counted_and_forgotten() {
    let Some(site) = site().await else { return };
    assert!(!site.dir.path().join("argus.db").exists(), "nothing is stored beside PostgreSQL");
    let mut live = site.listen(None).await;
    let camera = site.camera(test_camera("Yard", 6, 2)).await;
    let begun = live.created(&camera).await;
    let event = live.finished(&id_of(&begun)).await;
    assert_eq!((&event["description_status"], &event["provider_used"]), (&json!("described"), &json!("builtin")));
    site.client.post(&format!("/cameras/{camera}/stop"), &json!({})).await.expect(202);
    let page = wait_for("the end of every event", SOON, || async {
        let page = site.client.get(&format!("/events?q=motion+yard&camera_id={camera}")).await.expect(200).json;
        page["items"].as_array().unwrap().iter().all(is_finished).then_some(page)
    })
    .await;
    let total = page["total"].as_u64().unwrap();
    assert!(total >= 1 && page["items"].as_array().unwrap().iter().any(|e| e["id"] == event["id"]));
    let stats = site.client.get("/events/stats").await.expect(200).json;
    assert_eq!((&stats["total_events"], &stats["events_by_camera"][&camera]), (&json!(total), &json!(total)));
    let lines = site.client.get("/events/export?format=ndjson").await.expect(200);
    let lines = lines.bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).count();
    assert_eq!(u64::try_from(lines).unwrap(), total);
    check_order(&site.journal(0).await);
    site.client.delete(&format!("/cameras/{camera}")).await.expect(204);
    assert_eq!(site.client.get("/events").await.expect(200).json["total"], 0);
    wait_for("the end of its files", SOON, || async { files(&site.stored(&camera)).is_empty().then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_kill_left_open_is_ended_by_the_next_start() {
    let Some(mut site) = site().await else { return };
    let mut live = site.listen(None).await;
    let camera = site.camera(test_camera("Yard", 8, 6)).await;
    let begun = id_of(&live.created(&camera).await);
    site.server.kill().await;
    let open = rows(site.dir.path(), "SELECT id AS line FROM event WHERE ended_us IS NULL");
    assert_eq!(open, std::slice::from_ref(&begun));
    site.again().await;
    let event = wait_for("its end", SOON, || async {
        let event = site.event(&begun).await;
        (!event["ended_at"].is_null() && event["description_status"] != "pending").then_some(event)
    })
    .await;
    assert_eq!(event["camera_id"], json!(camera));
    check_order(&site.journal(0).await);
}
