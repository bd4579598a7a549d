use std::time::Duration;

use argus_tests::fake_ai::{FakeAi, Fault, default_answer};
use argus_tests::http::{Answer, Client};
use argus_tests::wait::wait_until;
use reqwest::Method;
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(20);

fn request(ai: &FakeAi) -> (Client, reqwest::RequestBuilder) {
    let client = Client::new(&ai.base_url(), "").root();
    let picture = json!({"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9j/2w=="}});
    let body = json!({
        "model": "some-model",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, picture, picture]}],
    });
    let request = client.request(Method::POST, "/chat/completions").bearer_auth("sk-1").json(&body);
    (client, request)
}

async fn ask(ai: &FakeAi) -> Result<Answer, reqwest::Error> {
    let (client, request) = request(ai);
    client.try_send(request).await
}

#[tokio::test]
async fn a_healthy_provider_answers_in_the_structure_and_remembers_the_question() {
    let ai = FakeAi::start();
    let answer = ask(&ai).await.unwrap().expect(200);
    let content = answer.json["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(content).unwrap(), default_answer());
    assert_eq!(answer.json["model"], "some-model");

    let [seen] = ai.requests().try_into().unwrap();
    assert_eq!(seen.authorization.as_deref(), Some("Bearer sk-1"));
    assert_eq!((seen.model.as_str(), seen.text.as_str()), ("some-model", "What is it?"));
    assert_eq!(seen.images.len(), 2);
    assert_eq!(seen.images[0][..], [0xff, 0xd8, 0xff, 0xdb]);
    assert!(seen.body_bytes > 100);

    ai.answer_with(json!({"description": "A cat."}));
    let answer = ask(&ai).await.unwrap().expect(200);
    assert_eq!(answer.json["choices"][0]["message"]["content"], "{\"description\":\"A cat.\"}");
    let models = Client::new(&ai.base_url(), "").root().get("/models").await.expect(200);
    assert_eq!(models.json["data"][0]["id"], "fake-vision");
}

#[tokio::test]
async fn every_fault_shows_as_what_it_is_and_then_ends() {
    let ai = FakeAi::start();
    ai.fail_always(Fault::ServerError);
    ai.fail_next(Fault::Unauthorized);
    ai.fail_next(Fault::RateLimited { retry_after_s: 7 });
    ask(&ai).await.unwrap().expect(401);
    assert_eq!(ask(&ai).await.unwrap().expect(429).header("retry-after"), Some("7"));
    ask(&ai).await.unwrap().expect(500);
    ask(&ai).await.unwrap().expect(500);
    ai.recover();

    ai.fail_next(Fault::CutMidBody);
    assert!(ask(&ai).await.is_err());
    ai.fail_next(Fault::InvalidJson);
    assert_eq!(ask(&ai).await.unwrap().expect(200).json, Value::Null);
    ai.fail_next(Fault::EmptyBody);
    assert!(ask(&ai).await.unwrap().expect(200).bytes.is_empty());
    ai.fail_next(Fault::EmptyContent);
    assert_eq!(ask(&ai).await.unwrap().json["choices"][0]["message"]["content"], "");
    ai.fail_next(Fault::NotStructured);
    assert!(ask(&ai).await.unwrap().json["choices"][0]["message"]["content"].is_string());
    ask(&ai).await.unwrap().expect(200);
    assert_eq!(ai.requests().len(), 10);
}

#[tokio::test]
async fn a_hanging_provider_hangs_until_it_is_dropped() {
    let ai = FakeAi::start();
    ai.fail_next(Fault::Hang);
    let (client, first) = request(&ai);
    let mut hanging = tokio::spawn(async move { client.try_send(first).await });
    wait_until("the request", DEADLINE, || ai.requests().len() == 1).await;
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut hanging).await.is_err());
    // Others are served meanwhile.
    ask(&ai).await.unwrap().expect(200);
    drop(ai);
    let ended = tokio::time::timeout(DEADLINE, hanging).await.unwrap().unwrap();
    assert!(ended.is_err());
}
