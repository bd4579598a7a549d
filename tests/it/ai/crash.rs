//! A crash in the middle of a call: one description, and each call once in the account.

use argus_ai_sim::{AiSim, Dialect, Fault};
use argus_tests::wait::{wait_for, wait_until};
use serde_json::json;

use super::{KEY, egress, questions, vendor};
use crate::common::{SOON, Site, id_of, test_camera};

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_a_call_loses_and_doubles_nothing() {
    let sim = AiSim::start(Dialect::Anthropic);
    sim.fault_next(1, Fault::Hang);
    let mut site = Site::start().await;
    let prices = json!({"prices": {"input_per_million": 10, "output_per_million": 100}});
    vendor(&site, &sim, "Sim", prices).await;
    site.without_builtin().await;
    let mut live = site.listen(None).await;
    let camera = site.camera(test_camera("Yard", 12, 3)).await;
    let id = id_of(&live.created(&camera).await);
    live.until("the clip", SOON, |m| m["data"]["id"] == json!(id) && !m["data"]["clip_url"].is_null()).await;
    wait_until("the call", SOON, || !questions(&sim).is_empty()).await;
    site.client.post(&format!("/cameras/{camera}/stop"), &json!({})).await.expect(202);
    // It is on record before it is answered, and what it may cost is taken.
    let [open] = &egress(&site).await[..] else { panic!("not one call") };
    assert_eq!((&open["finished_at"], &open["times"]), (&json!(null), &json!(null)));
    let reserved = open["cost"].as_f64().unwrap();
    let spent = |usage: &serde_json::Value| usage["budgets"]["daily"]["spent"].as_f64().unwrap();
    let usage = site.client.get("/ai/usage").await.expect(200).json;
    assert!(reserved > 0.016 && (spent(&usage) - reserved).abs() < 1e-9, "{usage}");

    site.server.kill().await;
    site.again().await;
    let described = wait_for("the description", SOON, || async {
        let now = site.event(&id).await;
        (now["description_status"] == "described").then_some(now)
    })
    .await;
    assert_eq!(described["description"], "A person in a dark coat walks to the door.");
    let receipts = site.receipts(&id).await;
    assert_eq!(receipts.iter().filter(|r| r["status"] == "succeeded").count(), 1, "{receipts:?}");
    assert_eq!(questions(&sim).len(), 2);
    let [answered, cut] = &egress(&site).await[..] else { panic!("not two calls") };
    assert_eq!((&cut["id"], &cut["cost"]), (&open["id"], &json!(reserved)));
    assert!(cut["error"].is_string() && answered["error"].is_null(), "{cut}");
    let usage = site.client.get("/ai/usage").await.expect(200).json;
    assert_eq!((&usage["total_calls"], &usage["successful_calls"]), (&json!(2), &json!(1)));
    assert!((spent(&usage) - reserved - 0.016).abs() < 1e-9, "{usage}");
    assert!((usage["total_cost"].as_f64().unwrap() - reserved - 0.016).abs() < 1e-9, "{usage}");

    // Another life changes nothing of it.
    site.server.kill().await;
    site.again().await;
    let after = site.client.get("/ai/usage").await.expect(200).json;
    assert!((spent(&after) - spent(&usage)).abs() < 1e-9 && after["total_calls"] == 2, "{after}");
    assert_eq!(site.event(&id).await["description"], described["description"]);
    assert_eq!(questions(&sim).len(), 2);
    site.hides(KEY);
}
