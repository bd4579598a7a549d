//! Who is asked: one after the other, again after an outage, and another when somebody wishes.

use argus_ai_sim::{AiSim, Dialect, Fault};
use argus_tests::wait::wait_until;
use serde_json::json;

use super::{KEY, event, questions, vendor};
use crate::common::{SOON, Site, id_of, test_camera};

#[tokio::test(flavor = "multi_thread")]
async fn the_next_is_asked_at_once_and_the_receipt_says_why() {
    let (first, second) = (AiSim::start(Dialect::Anthropic), AiSim::start(Dialect::Gemini));
    first.fault(Fault::QuotaSpent);
    let site = Site::with_env(&[("ARGUS_LOG", "debug")]).await;
    let first_row = vendor(&site, &first, "First", json!({})).await;
    let second_row = vendor(&site, &second, "Second", json!({})).await;
    let mut live = site.listen(None).await;
    let described = event(&site, &mut live).await;
    assert_eq!((&described["provider_used"], &described["model"]), (&json!("gemini"), &json!("sim-vision")));
    let reason = described["fallback_reason"].as_str().unwrap();
    assert!(reason.contains("First"), "{reason}");
    let [receipt] = &site.receipts(&id_of(&described)).await[..] else { panic!("not one receipt") };
    let step = &receipt["fallback_path"][0];
    assert_eq!((&step["provider_name"], &step["error_kind"]), (&json!("First"), &json!("quota")), "{receipt}");
    let calls = receipt["calls"].as_array().unwrap();
    assert_eq!(calls.iter().map(|c| &c["provider_name"]).collect::<Vec<_>>(), ["First", "Second"]);
    assert_eq!((&calls[0]["error_kind"], &calls[1]["error_kind"]), (&json!("quota"), &json!(null)));
    assert_eq!(calls[1]["host"], json!(second.address().to_string()));
    assert_eq!((questions(&first).len(), questions(&second).len()), (1, 1));

    let path = format!("/ai/providers/{}", id_of(&first_row));
    let health = site.client.get(&path).await.expect(200).json["health"].clone();
    assert_ne!(health["state"], "ok");
    assert!(health["last_error"].is_string() && health["last_error_at"].is_string(), "{health}");
    let metrics = site.client.root().get("/metrics").await.expect(200);
    let metrics = String::from_utf8(metrics.bytes.to_vec()).unwrap();
    for (provider, outcome, count) in [("First", "failed", 1), ("First", "succeeded", 0), ("Second", "succeeded", 1)] {
        let line = format!("argus_ai_calls_total{{provider=\"{provider}\",outcome=\"{outcome}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    // Who was not asked has made no call.
    assert!(!metrics.contains("argus_ai_calls_total{provider=\"builtin\""), "{metrics}");

    // Whoever is named, by name or id, is asked, and nobody else.
    let id = id_of(&described);
    let wish = json!({"provider": "second", "analysis_mode": "single_frame", "prompt": "Count the birds."});
    let again = site.client.post(&format!("/events/{id}/reanalyse?wait=40"), &wish).await.expect(200).json;
    assert_eq!((&again["analysis_mode"], &again["reanalysis_count"]), (&json!("single_frame"), &json!(1)));
    let asked = questions(&second);
    assert_eq!((asked.len(), asked[1].pictures.len().min(2)), (2, asked[1].pictures.len()));
    assert!(asked[1].text().contains("Count the birds."));
    first.recover();
    let wish = json!({"provider": id_of(&second_row)});
    second.fault_next(9, Fault::ServerError);
    site.client.post(&format!("/events/{id}/reanalyse?wait=40"), &wish).await.expect(502);
    assert_eq!(questions(&first).len(), 1, "nobody else");
    let unknown = json!({"provider": "nobody"});
    site.client.post(&format!("/events/{id}/reanalyse"), &unknown).await.expect(422);
    site.hides(KEY);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_what_waited_is_described() {
    let sim = AiSim::start(Dialect::Ollama);
    sim.fault(Fault::Unavailable);
    let site = Site::start().await;
    vendor(&site, &sim, "Cellar", json!({})).await;
    site.without_builtin().await;
    let mut live = site.listen(None).await;
    let camera = site.camera(test_camera("Yard", 12, 3)).await;
    let waiting = id_of(&live.created(&camera).await);
    wait_until("a first try", SOON, || !questions(&sim).is_empty()).await;
    site.client.post(&format!("/cameras/{camera}/stop"), &json!({})).await.expect(202);
    assert_ne!(site.event(&waiting).await["description_status"], "described");
    sim.recover();
    let described = live.finished(&waiting).await;
    assert_eq!((&described["provider_used"], &described["status_reason"]), (&json!("ollama"), &json!(null)));
    let receipts = site.receipts(&waiting).await;
    assert_eq!(receipts[0]["status"], "succeeded");
    assert!(receipts.len() > 1 && receipts[1..].iter().all(|r| r["status"] == "failed"), "{receipts:?}");
}
