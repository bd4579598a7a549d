//! Every vendor against a fake that speaks as it does.

mod anything;
mod faults;
mod litellm;
mod local;
mod secrets;
mod tls;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use argus_ai_sim::{AiSim, Dialect};
use argus_core::Secret;
use argus_core::provider::{ProviderConfig, ProviderKind};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{Asked, Question, QuestionFrame, Reach, Vendor, vendor};

/// Long enough for any answer that comes.
const AMPLE: Duration = Duration::from_secs(60);
/// Stands in every request, and must stand nowhere else.
const KEY: &str = "sk-never-seen-0815";
/// Half a key is a secret, too.
const HALF_KEY: &str = "sk-never";

fn config(dialect: Dialect, base_url: &str) -> ProviderConfig {
    ProviderConfig {
        kind: match dialect {
            Dialect::OpenAi => ProviderKind::OpenAi,
            Dialect::Xai => ProviderKind::Xai,
            Dialect::OpenRouter => ProviderKind::OpenAiCompatible,
            Dialect::Anthropic => ProviderKind::Anthropic,
            Dialect::Gemini => ProviderKind::Gemini,
            Dialect::Ollama => ProviderKind::Ollama,
        },
        name: "Tried".into(),
        model: "some-model".into(),
        base_url: Some(base_url.into()),
        api_key: Some(Secret::new(KEY)),
        enabled: true,
        priority: 1,
        timeout_s: 30,
        max_output_tokens: 400,
        prices: None,
        max_concurrent: 1,
        requests_per_minute: None,
    }
}

fn of(sim: &AiSim) -> Arc<dyn Vendor> {
    vendor(&config(sim.dialect(), &sim.base_url())).unwrap()
}

fn question(pictures: u8) -> Question {
    let frame = |n: u8| QuestionFrame {
        label: format!("Picture {} of {pictures}:", n + 1),
        bytes: Bytes::from(vec![0xff, 0xd8, 0xff, n, 0xff, 0xd9]),
        media_type: "image/jpeg",
    };
    Question {
        prompt: "Describe what happens, as JSON.".into(),
        frames: (0..pictures).map(frame).collect(),
        schema: schema(),
        max_output_tokens: 400,
        parameters: None,
    }
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "description": { "type": "string" },
            "objects": { "type": "array", "items": { "type": "string", "enum": ["person", "vehicle"] } },
            "confidence": { "type": ["integer", "null"], "minimum": 0, "maximum": 100 }
        },
        "required": ["description", "objects", "confidence"],
        "additionalProperties": false
    })
}

async fn ask(sim: &AiSim, within: Duration) -> Asked {
    of(sim).ask(&question(1), Reach::Local, within).await
}
