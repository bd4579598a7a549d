//! Descriptions by a vision model behind an OpenAI-compatible endpoint, and without it.

use argus_tests::fake_ai::{FakeAi, Fault};
use argus_tests::wait::{wait_for, wait_until};
use serde_json::{Value, json};

use crate::common::{SOON, Site, id_of, is_about, picture, sha256, test_camera};

const KEY: &str = "sk-very-secret-51b7";

async fn site(ai: &FakeAi) -> Site {
    let base = ai.base_url();
    let env = [
        ("ARGUS_AI_BASE_URL", base.as_str()),
        ("ARGUS_AI_MODEL", "fake-vision"),
        ("ARGUS_AI_API_KEY", KEY),
        ("ARGUS_LOG", "debug"),
    ];
    Site::with_env(&env).await
}

async fn receipts(site: &Site, event: &str) -> Vec<Value> {
    let answer = site.client.get(&format!("/events/{event}/analyses")).await.expect(200).json;
    answer["items"].as_array().unwrap().clone()
}

/// The key is nowhere but in the request itself.
fn check_secret(site: &Site) {
    assert!(!site.server.log_text().contains(KEY), "the key is in the log");
    for file in crate::common::files(site.dir.path()) {
        let bytes = std::fs::read(site.dir.path().join(&file)).unwrap_or_default();
        let found = bytes.windows(KEY.len()).any(|w| w == KEY.as_bytes());
        assert!(!found, "the key lies in {}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_gets_several_pictures_in_one_request_and_its_answer_is_kept_whole() {
    let ai = FakeAi::start();
    let site = site(&ai).await;
    let mut live = site.listen(None).await;
    let camera = site.camera(test_camera("Yard", 12, 3)).await;
    let begun = live.created(&camera).await;
    let event = live.finished(&id_of(&begun)).await;

    assert_eq!(event["description"], "A person in a dark coat walks to the door.");
    assert_eq!((&event["objects_detected"], &event["ai_confidence"]), (&json!(["person"]), &json!(91)));
    assert_eq!((&event["provider_used"], &event["model"]), (&json!("openai_compatible"), &json!("fake-vision")));
    assert_eq!((&event["tokens_used"], &event["low_confidence"]), (&json!(1240), &json!(false)));
    assert_eq!((&event["analysis_mode"], &event["fallback_reason"]), (&json!("multi_frame"), &Value::Null));
    assert!(event["ai_response_time_ms"].is_u64());

    let [asked] = &ai.requests()[..] else { panic!("{} requests", ai.requests().len()) };
    assert_eq!(asked.authorization, Some(format!("Bearer {KEY}")));
    let frames = event["frames"].as_array().unwrap();
    assert!(frames.len() >= 2, "several pictures");
    assert_eq!((asked.images.len(), event["frame_count_used"].as_u64()), (frames.len(), Some(frames.len() as u64)));
    for (frame, sent) in frames.iter().zip(&asked.images) {
        assert_eq!(frame["sha256"], sha256(sent), "what left is what is kept");
        assert_eq!(picture(&site.client, &frame["url"]).await.bytes, *sent);
    }

    let [receipt] = &receipts(&site, &id_of(&event)).await[..] else { panic!("not one receipt") };
    assert_eq!((&receipt["status"], &receipt["provider"]), (&json!("succeeded"), &json!("openai_compatible")));
    let prompt = receipt["prompt"].as_str().unwrap();
    assert!(prompt.contains("Yard") && asked.text.contains(prompt.lines().next().unwrap()), "{prompt}");
    assert!(receipt["raw_answer"].as_str().unwrap().contains("A person in a dark coat"), "{receipt}");
    assert_eq!((&receipt["tokens_input"], &receipt["tokens_output"]), (&json!(1200), &json!(40)));
    for (kept, frame) in receipt["frames"].as_array().unwrap().iter().zip(frames) {
        assert_eq!(kept["sha256"], frame["sha256"]);
    }
    let found = site.client.get("/events?q=dark%20coat&detection_type=person").await.expect(200).json;
    assert_eq!(found["items"][0]["id"], event["id"]);
    assert_eq!(site.client.get("/events?q=tractor").await.expect(200).json["total"], 0);
    check_secret(&site);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_model_the_builtin_sentences_serve_and_say_why() {
    let ai = FakeAi::start();
    ai.fail_always(Fault::ServerError);
    let site = site(&ai).await;
    let mut live = site.listen(None).await;
    let camera = site.camera(test_camera("Yard", 6, 2)).await;
    let begun = live.created(&camera).await;
    let event = live.finished(&id_of(&begun)).await;
    assert_eq!((&event["provider_used"], &event["description_status"]), (&json!("builtin"), &json!("described")));
    assert!(event["description"].as_str().unwrap().starts_with("Motion on Yard"));
    let reason = event["fallback_reason"].as_str().unwrap();
    assert!(!reason.is_empty() && reason.chars().count() <= 300);
    let [receipt] = &receipts(&site, &id_of(&event)).await[..] else { panic!("not one receipt") };
    assert_eq!(receipt["status"], "succeeded");
    assert_eq!(receipt["fallback_path"][0]["error_kind"], "server_error", "{receipt}");

    // Wrong keys, useless answers: each is named. The wrong key comes last: after it nobody is asked for five minutes.
    for (fault, kind) in [
        (Fault::RateLimited { retry_after_s: 1 }, "rate_limited"),
        (Fault::InvalidJson, "invalid_answer"),
        (Fault::Unauthorized, "unauthorized"),
    ] {
        ai.recover();
        ai.fail_always(fault);
        let begun = live.created(&camera).await;
        let event = live.finished(&id_of(&begun)).await;
        let receipt = &receipts(&site, &id_of(&event)).await[0];
        assert_eq!(receipt["fallback_path"][0]["error_kind"], kind, "{receipt}");
    }
    ai.recover();
    check_secret(&site);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_a_crash_interrupted_is_on_record_and_made_again() {
    let ai = FakeAi::start();
    ai.fail_next(Fault::Hang);
    let mut site = site(&ai).await;
    let mut live = site.listen(None).await;
    let camera = site.camera(test_camera("Yard", 12, 2)).await;
    let event = id_of(&live.created(&camera).await);
    let clip = |m: &Value| m["data"]["id"] == json!(event) && !m["data"]["clip_url"].is_null();
    live.until("the clip", SOON, clip).await;
    wait_until("the call", SOON, || !ai.requests().is_empty()).await;
    let [running] = &receipts(&site, &event).await[..] else { panic!("the receipt is begun before the call") };
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
    let kept = receipts(&site, &event).await;
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
    check_secret(&site);
}

fn hashes(receipt: &Value) -> Vec<&Value> {
    receipt["frames"].as_array().unwrap().iter().map(|frame| &frame["sha256"]).collect()
}
