//! Descriptions by providers, over the API: who is asked, what it costs, what leaves the machine, and what nobody finds.

mod account;
mod chain;
mod crash;
mod local;
mod sign;

use argus_ai_sim::{AiSim, Dialect, Request};
use serde_json::{Value, json};

use crate::common::{Listener, Site, id_of, test_camera, with};

/// A key that must be found nowhere.
const KEY: &str = "sk-very-secret-91d2f0";

/// How the API calls who speaks like this.
fn kind(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAi => "openai",
        Dialect::Xai => "xai",
        Dialect::OpenRouter => "openai_compatible",
        Dialect::Anthropic => "anthropic",
        Dialect::Gemini => "gemini",
        Dialect::Ollama => "ollama",
    }
}

/// Adds a fake vendor under a name, with further fields.
async fn vendor(site: &Site, sim: &AiSim, name: &str, more: Value) -> Value {
    let fields = json!({
        "kind": kind(sim.dialect()), "name": name, "model": "sim-vision", "base_url": sim.base_url(), "api_key": KEY,
    });
    site.provider(with(fields, &more)).await
}

/// What it was asked about pictures.
fn questions(sim: &AiSim) -> Vec<Request> {
    sim.requests().into_iter().filter(|request| !request.pictures.is_empty()).collect()
}

/// A camera, and its next event with everything that belongs to it.
async fn event(site: &Site, live: &mut Listener) -> Value {
    let camera = site.camera(test_camera("Yard", 12, 3)).await;
    let begun = live.created(&camera).await;
    let event = live.finished(&id_of(&begun)).await;
    site.client.post(&format!("/cameras/{camera}/stop"), &json!({})).await.expect(202);
    event
}

async fn set(site: &Site, ai: Value) {
    site.client.put("/system/settings", &json!({ "ai": ai })).await.expect(200);
}

/// What left the machine today, the newest first.
async fn egress(site: &Site) -> Vec<Value> {
    let answer = site.client.get("/ai/egress?limit=500").await.expect(200).json;
    assert_eq!(answer["total"], answer["calls"], "{answer}");
    answer["items"].as_array().unwrap().clone()
}
