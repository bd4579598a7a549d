//! Descriptions by a vision model behind an OpenAI-compatible endpoint, and without it.

use std::time::Duration;

use argus_ai_sim::{AiSim, Dialect, Fault};
use argus_tests::wait::{wait_for, wait_until};
use serde_json::{Value, json};

use crate::common::{SOON, Site, id_of, is_about, picture, sha256, test_camera};

const KEY: &str = "sk-very-secret-51b7";

async fn site(ai: &AiSim) -> Site {
    let site = Site::with_env(&[("ARGUS_LOG", "debug")]).await;
    let fields = json!({"kind": "openai_compatible", "name": "Sim", "model": "sim-vision", "base_url": ai.base_url(), "api_key": KEY});
    site.provider(fields).await;
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_gets_several_pictures_in_one_request_and_its_answer_is_kept_whole() {
    let ai = AiSim::start(Dialect::OpenAi);
    let site = site(&ai).await;
    let mut live = site.listen(None).await;
    let camera = site.camera(test_camera("Yard", 12, 3)).await;
    let begun = live.created(&camera).await;
    let event = live.finished(&id_of(&begun)).await;

    assert_eq!(event["description"], "A person in a dark coat walks to the door.");
    assert_eq!((&event["objects_detected"], &event["ai_confidence"]), (&json!(["person"]), &json!(91)));
    assert_eq!((&event["provider_used"], &event["model"]), (&json!("openai_compatible"), &json!("sim-vision")));
    assert_eq!((&event["tokens_used"], &event["low_confidence"]), (&json!(1240), &json!(false)));
    assert_eq!((&event["analysis_mode"], &event["fallback_reason"]), (&json!("multi_frame"), &Value::Null));
    assert!(event["ai_response_time_ms"].is_u64());

    let [asked] = &ai.requests()[..] else { panic!("{} requests", ai.requests().len()) };
    assert_eq!(asked.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    let frames = event["frames"].as_array().unwrap();
    assert!(frames.len() >= 2, "several pictures");
    assert_eq!((asked.pictures.len(), event["frame_count_used"].as_u64()), (frames.len(), Some(frames.len() as u64)));
    for (frame, sent) in frames.iter().zip(&asked.pictures) {
        assert_eq!(frame["sha256"], sha256(sent), "what left is what is kept");
        assert_eq!(picture(&site.client, &frame["url"]).await.bytes, *sent);
    }

    let [receipt] = &site.receipts(&id_of(&event)).await[..] else { panic!("not one receipt") };
    assert_eq!((&receipt["status"], &receipt["provider"]), (&json!("succeeded"), &json!("openai_compatible")));
    let prompt = receipt["prompt"].as_str().unwrap();
    assert!(prompt.contains("Yard") && asked.text().contains(prompt.lines().next().unwrap()), "{prompt}");
    assert!(receipt["raw_answer"].as_str().unwrap().contains("A person in a dark coat"), "{receipt}");
    assert_eq!((&receipt["tokens_input"], &receipt["tokens_output"]), (&json!(1200), &json!(40)));
    for (kept, frame) in receipt["frames"].as_array().unwrap().iter().zip(frames) {
        assert_eq!(kept["sha256"], frame["sha256"]);
    }
    let found = site.client.get("/events?q=dark%20coat&detection_type=person").await.expect(200).json;
    assert_eq!(found["items"][0]["id"], event["id"]);
    assert_eq!(site.client.get("/events?q=tractor").await.expect(200).json["total"], 0);
    site.hides(KEY);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_model_the_builtin_sentences_serve_and_say_why() {
    let ai = AiSim::start(Dialect::OpenAi);
    ai.fault(Fault::ServerError);
    let site = site(&ai).await;
    let mut live = site.listen(None).await;
    let camera = site.camera(test_camera("Yard", 6, 2)).await;
    let begun = live.created(&camera).await;
    let event = live.finished(&id_of(&begun)).await;
    assert_eq!((&event["provider_used"], &event["description_status"]), (&json!("builtin"), &json!("described")));
    assert!(event["description"].as_str().unwrap().starts_with("Motion on Yard"));
    let reason = event["fallback_reason"].as_str().unwrap();
    assert!(!reason.is_empty() && reason.chars().count() <= 300);
    let [receipt] = &site.receipts(&id_of(&event)).await[..] else { panic!("not one receipt") };
    assert_eq!(receipt["status"], "succeeded");
    assert_eq!(receipt["fallback_path"][0]["error_kind"], "server_error", "{receipt}");
    assert!(receipt["parameters"].get("argus").is_none(), "{receipt}");
    // Whoever looks at no picture says so, also when it was asked for several.
    assert_eq!((&event["frame_count_used"], &event["analysis_mode"]), (&json!(0), &Value::Null));
    // What was measured is there for every description.
    assert!(event["description"].as_str().unwrap().contains("left to right"), "{event}");
    let path = format!("/events/{}/reanalyse?wait=40", id_of(&event));
    let again = site.client.post(&path, &json!({})).await.expect(200).json;
    assert_eq!((&again["description"], &again["reanalysis_count"]), (&event["description"], &json!(1)));

    // Useless answers, wrong keys: each is named. The wrong key comes last: whoever has one is left alone for a while.
    for (fault, kind) in [
        (Fault::InvalidJson, "invalid_answer"),
        (Fault::RateLimited(Some(Duration::from_secs(1))), "rate_limited"),
        (Fault::Unauthorized, "unauthorized"),
    ] {
        ai.recover();
        ai.fault(fault);
        let begun = live.created(&camera).await;
        let event = live.finished(&id_of(&begun)).await;
        let receipt = &site.receipts(&id_of(&event)).await[0];
        assert_eq!(receipt["fallback_path"][0]["error_kind"], kind, "{receipt}");
    }
    ai.recover();
    site.hides(KEY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_a_crash_interrupted_is_on_record_and_made_again() {
    let ai = AiSim::start(Dialect::OpenAi);
    ai.fault_next(1, Fault::Hang);
    let mut site = site(&ai).await;
    let mut live = site.listen(None).await;
    let camera = site.camera(test_camera("Yard", 12, 2)).await;
    let event = id_of(&live.created(&camera).await);
    let clip = |m: &Value| m["data"]["id"] == json!(event) && !m["data"]["clip_url"].is_null();
    live.until("the clip", SOON, clip).await;
    wait_until("the call", SOON, || !ai.requests().is_empty()).await;
    let [running] = &site.receipts(&event).await[..] else { panic!("the receipt is begun before the call") };
    assert_eq!((&running["status"], &running["finished_at"]), (&json!("running"), &Value::Null));
    assert_eq!(site.event(&event).await["description_status"], "pending");

    site.server.kill().await;
    site.again().await;
    let described = wait_for("the description", SOON, || async {
        let now = site.event(&event).await;
        (now["description_status"] == "described").then_some(now)
    })
    .await;
    assert_eq!(described["provider_used"], "openai_compatible");
    let kept = site.receipts(&event).await;
    assert_eq!(kept.len(), 2);
    assert_eq!(kept[0]["status"], "succeeded");
    assert_eq!((&kept[1]["id"], &kept[1]["status"]), (&running["id"], &json!("failed")));
    assert!(kept[1]["error"].as_str().unwrap().contains("stopped"), "{}", kept[1]);
    assert_eq!(hashes(&kept[0]), hashes(&kept[1]), "the same pictures");
    assert!(site.journal(0).await.iter().any(|m| is_about(m, "event.updated", &camera)
        && m["data"]["id"] == json!(event)
        && m["data"]["description_status"] == "described"));
    let jobs = site.rows(&format!("SELECT state AS line FROM analysis_job WHERE event_id = '{event}'"));
    assert_eq!(jobs, Vec::<String>::new());
    site.hides(KEY);
}

fn hashes(receipt: &Value) -> Vec<&Value> {
    receipt["frames"].as_array().unwrap().iter().map(|frame| &frame["sha256"]).collect()
}
