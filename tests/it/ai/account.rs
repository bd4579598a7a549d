//! What it costs and what left the machine agree with what the vendors were sent.

use argus_ai_sim::{AiSim, Dialect, Fault, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use super::{KEY, egress, event, questions, set, vendor};
use crate::common::{SOON, Site, id_of, sha256, test_camera};

/// A form with a picture and the name of a provider.
async fn form(site: &Site, file: &[u8], provider: &str) -> Value {
    let mut body = format!(
        "--XyZ\r\nContent-Disposition: form-data; name=\"provider\"\r\n\r\n{provider}\r\n--XyZ\r\n\
         Content-Disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(file);
    body.extend_from_slice(b"\r\n--XyZ--\r\n");
    let request = site.client.request(Method::POST, "/ai/describe");
    let request = request.header("content-type", "multipart/form-data; boundary=XyZ").body(body);
    site.client.send(request).await.expect(200).json
}

/// A call on record is the request that the vendor got, byte for byte.
fn agrees(call: &Value, request: &Request, host: &str) {
    assert_eq!((&call["host"], &call["is_remote"]), (&json!(host), &json!(false)), "{call}");
    assert_eq!(call["bytes_sent"], json!(request.body.len()), "{call}");
    let sent: Vec<String> = request.pictures.iter().map(|picture| sha256(picture)).collect();
    let kept: Vec<&str> = call["frames"].as_array().unwrap().iter().map(|f| f["sha256"].as_str().unwrap()).collect();
    assert_eq!(kept, sent, "the pictures, in order");
    let sizes: Vec<u64> = call["frames"].as_array().unwrap().iter().map(|f| f["bytes"].as_u64().unwrap()).collect();
    assert_eq!(sizes, request.pictures.iter().map(|p| p.len() as u64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_that_are_sent_are_described_and_accounted_for() {
    let site = Site::with_env(&[("ARGUS_LOG", "debug")]).await;
    let camera = site.camera(test_camera("Yard", 600, 1)).await;
    site.reaches(&camera, "online", SOON).await;
    let file = site.client.get(&format!("/cameras/{camera}/snapshot")).await.expect(200).bytes;
    site.client.post(&format!("/cameras/{camera}/stop"), &json!({})).await.expect(202);
    let prices = json!({"prices": {"input_per_million": 10, "output_per_million": 100}});
    let mut sims = Vec::new();
    for dialect in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini, Dialect::Ollama] {
        let sim = AiSim::start(dialect);
        let name = format!("{dialect:?}");
        let row = vendor(&site, &sim, &name, prices.clone()).await;
        for answer in [
            form(&site, &file, &name).await,
            site.client
                .post(
                    "/ai/describe",
                    &json!({"image": STANDARD.encode(&file), "provider": row["id"], "prompt": "Who?"}),
                )
                .await
                .expect(200)
                .json,
        ] {
            assert_eq!(answer["description"], "A person in a dark coat walks to the door.");
            assert_eq!((&answer["confidence"], &answer["objects"]), (&json!(91), &json!(["person"])));
            assert_eq!((&answer["provider_name"], &answer["provider_id"]), (&json!(name), &row["id"]));
            assert_eq!(answer["tokens"], json!({"input": 1200, "output": 40, "total": 1240}));
            assert!((answer["cost"].as_f64().unwrap() - 0.016).abs() < 1e-9, "{answer}");
            assert_eq!(answer["fallback_path"], json!([]));
        }
        let asked = questions(&sim);
        assert_eq!(asked.len(), 2);
        assert!(asked.iter().all(|q| q.pictures == [file.clone()]), "the file itself");
        assert!(asked[1].text().contains("Who?"));
        sims.push(sim);
    }
    // One that is refused is a call, too.
    sims[0].fault_next(9, Fault::EchoKey(401));
    let refused = json!({"image": STANDARD.encode(&file), "provider": "OpenAi"});
    let refused = site.client.post("/ai/describe", &refused).await.expect(502);
    assert!(!String::from_utf8_lossy(&refused.bytes).contains(KEY));

    let usage = site.client.get("/ai/usage?group_by=provider").await.expect(200).json;
    let asked: usize = sims.iter().map(|sim| questions(sim).len()).sum();
    assert_eq!((&usage["total_calls"], &usage["successful_calls"]), (&json!(asked), &json!(8)), "{usage}");
    assert_eq!((&usage["tokens_input"], &usage["tokens_output"]), (&json!(8 * 1200), &json!(8 * 40)));
    assert!((usage["total_cost"].as_f64().unwrap() - 8.0 * 0.016).abs() < 1e-9, "{usage}");
    assert_eq!(usage["groups"].as_array().unwrap().len(), 4);
    for (by, key) in [("camera", Value::Null), ("mode", json!("single_frame")), ("model", json!("sim-vision"))] {
        let usage = site.client.get(&format!("/ai/usage?group_by={by}")).await.expect(200).json;
        let [group] = &usage["groups"].as_array().unwrap()[..] else { panic!("{usage}") };
        assert_eq!((&group["key"], &group["total_calls"]), (&key, &json!(asked)));
    }
    let mut calls = egress(&site).await;
    assert_eq!(calls.len(), asked);
    calls.reverse();
    for sim in &sims {
        let host = sim.address().to_string();
        let here: Vec<&Value> = calls.iter().filter(|call| call["host"] == json!(host)).collect();
        let asked = questions(sim);
        assert_eq!(here.len(), asked.len());
        for (call, request) in here.into_iter().zip(&asked) {
            agrees(call, request, &host);
            assert_eq!((&call["purpose"], &call["frames"][0]["url"]), (&json!("describe"), &Value::Null));
        }
    }
    let day = site.client.get("/ai/egress").await.expect(200).json;
    let bytes: usize = sims.iter().flat_map(questions).map(|request| request.body.len()).sum();
    assert_eq!(day["bytes_sent"], json!(bytes));
    assert_eq!(day["hosts"].as_array().unwrap().len(), 4);
    site.hides(KEY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_can_be_sent_again_byte_for_byte() {
    for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
        let sim = AiSim::start(dialect);
        let site = Site::start().await;
        vendor(&site, &sim, "Sim", json!({})).await;
        let mut live = site.listen(None).await;
        let described = event(&site, &mut live).await;
        let id = id_of(&described);
        let [receipt] = &site.receipts(&id).await[..] else { panic!("not one receipt") };
        let path = format!("/events/{id}/analyses/{}/reproduce", id_of(receipt));
        let same = site.client.post(&path, &json!({})).await.expect(200).json;
        assert_eq!((&same["identical"], &same["analysis_id"]), (&json!(true), &receipt["id"]), "{same}");
        let other =
            json!({"description": "A person in a red coat walks away.", "objects": ["person"], "confidence": 70});
        sim.answer(other.to_string());
        let differs = site.client.post(&path, &json!({})).await.expect(200).json;
        assert_eq!((&differs["identical"], &differs["after"]["confidence"]), (&json!(false), &json!(70)));
        let words = differs["difference"].as_array().unwrap();
        assert!(words.contains(&json!({"change": "removed", "text": "dark"})), "{differs}");
        assert!(words.contains(&json!({"change": "added", "text": "red"})), "{differs}");
        let asked = questions(&sim);
        assert_eq!(asked.len(), 3);
        assert!(asked.iter().all(|q| q.body == asked[0].body && q.path == asked[0].path), "{dialect:?}");

        // The event is as it was; the account knows of all.
        assert_eq!(site.event(&id).await, described);
        assert_eq!(site.receipts(&id).await.len(), 1);
        let calls = egress(&site).await;
        let purposes: Vec<&Value> = calls.iter().map(|call| &call["purpose"]).collect();
        assert_eq!(purposes, ["reproduce", "reproduce", "event"]);
        for (call, request) in calls.iter().rev().zip(&asked) {
            agrees(call, request, &sim.address().to_string());
            assert_eq!(call["event_id"], described["id"]);
            for frame in call["frames"].as_array().unwrap() {
                let kept = site.client.root().get(frame["url"].as_str().unwrap()).await.expect(200);
                assert_eq!(frame["sha256"] != json!(sha256(&kept.bytes)), frame["is_derived"] == true);
            }
        }
        let nowhere = format!("/events/{id}/analyses/{id}/reproduce");
        site.client.post(&nowhere, &json!({})).await.expect(404);
        site.client.delete(&format!("/events/{id}")).await.expect(204);
        site.client.post(&path, &json!({})).await.expect(404);
        let after = egress(&site).await;
        assert_eq!(after.len(), 3);
        assert!(
            after.iter().all(|c| c["prompt"].is_null() && c["raw_answer"].is_null() && c["frames"][0]["url"].is_null())
        );
        assert_eq!(after[0]["bytes_sent"], calls[0]["bytes_sent"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_holds_and_a_larger_one_lets_on() {
    let sim = AiSim::start(Dialect::OpenAi);
    let site = Site::start().await;
    vendor(&site, &sim, "Dear", json!({"prices": {"input_per_million": 100, "output_per_million": 100}})).await;
    site.without_builtin().await;
    set(&site, json!({"budgets": {"daily_usd": 0.0001}})).await;
    let mut live = site.listen(None).await;
    let camera = site.camera(test_camera("Yard", 12, 3)).await;
    let id = id_of(&live.created(&camera).await);
    let skipped = live
        .until("the end of the description", SOON, |m| {
            m["data"]["id"] == json!(id)
                && m["data"]["description_status"] == "skipped"
                && !m["data"]["clip_url"].is_null()
        })
        .await["data"]
        .clone();
    site.client.post(&format!("/cameras/{camera}/stop"), &json!({})).await.expect(202);
    assert_eq!(skipped["status_reason"], "budget_daily");
    assert_eq!(questions(&sim).len(), 0);
    assert_eq!(egress(&site).await, Vec::<Value>::new());
    let usage = site.client.get("/ai/usage").await.expect(200).json;
    assert_eq!((&usage["total_calls"], &usage["budgets"]["daily"]["spent"]), (&json!(0), &json!(0.0)));

    // What was skipped is made up for.
    set(&site, json!({"budgets": {"daily_usd": 100}})).await;
    let described = live.finished(&id).await;
    assert_eq!((&described["status_reason"], &described["provider_used"]), (&json!(null), &json!("openai")));
    assert_eq!(questions(&sim).len(), 1);
    let usage = site.client.get("/ai/usage").await.expect(200).json;
    let daily = &usage["budgets"]["daily"];
    assert!((daily["spent"].as_f64().unwrap() - 0.124).abs() < 1e-9, "{usage}");
    assert!((daily["percent"].as_f64().unwrap() - 0.124).abs() < 1e-9 && daily["limit"] == 100.0, "{usage}");
    assert!((described["ai_cost"].as_f64().unwrap() - 0.124).abs() < 1e-9, "{described}");
}
