//! What the tests have in common: fake vendors as providers, a question, and an account.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use argus_ai::{BUILTIN_MODEL, Providers};
use argus_ai_sim::{AiSim, Dialect};
use argus_core::call::{Ledger, PlannedCall, Refusal, SettledCall};
use argus_core::camera::AnalysisMode;
use argus_core::describe::{DescribeFrame, DescribeRequest, EventFacts, ProviderChoice};
use argus_core::event::{Area, DetectionType};
use argus_core::provider::{Prices, ProviderConfig, ProviderKind, StoredProvider};
use argus_core::{CallId, ManualClock, ProviderId, Secret, Timestamp};
use async_trait::async_trait;
use sha2::{Digest as _, Sha256};

pub(crate) const KEY: &str = "sk-never-seen-0815";

pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(1_766_485_800_000)
}

pub(crate) fn providers() -> Providers {
    Providers::new(Arc::new(ManualClock::new(now())))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

pub(crate) fn kind(dialect: Dialect) -> ProviderKind {
    match dialect {
        Dialect::OpenAi => ProviderKind::OpenAi,
        Dialect::Xai => ProviderKind::Xai,
        Dialect::OpenRouter => ProviderKind::OpenAiCompatible,
        Dialect::Anthropic => ProviderKind::Anthropic,
        Dialect::Gemini => ProviderKind::Gemini,
        Dialect::Ollama => ProviderKind::Ollama,
    }
}

pub(crate) fn stored(kind: ProviderKind, base_url: Option<String>, priority: u16) -> StoredProvider {
    let config = ProviderConfig {
        kind,
        name: format!("{kind}-{priority}"),
        model: if kind == ProviderKind::Builtin { BUILTIN_MODEL.into() } else { "vision-1".into() },
        base_url,
        api_key: (kind != ProviderKind::Builtin).then(|| Secret::new(KEY)),
        enabled: true,
        priority,
        timeout_s: 30,
        max_output_tokens: 400,
        prices: (kind != ProviderKind::Builtin)
            .then_some(Prices { input_per_million: Some(2.0), output_per_million: Some(8.0) }),
        max_concurrent: 4,
        requests_per_minute: None,
    };
    StoredProvider { id: ProviderId::new(now()), created_at: now(), updated_at: now(), config }
}

/// A fake vendor and the provider that is asked there.
pub(crate) fn vendor(dialect: Dialect, priority: u16) -> (AiSim, StoredProvider) {
    let sim = AiSim::start(dialect);
    sim.models(&["vision-1"]);
    sim.key(KEY);
    let provider = stored(kind(dialect), Some(sim.base_url()), priority);
    (sim, provider)
}

/// A request with so many pictures, each of its own bytes; one small thing moved.
pub(crate) fn request(pictures: u8) -> DescribeRequest {
    let frame = |n: u8| {
        let image = image::RgbImage::from_fn(640, 360, |x, y| image::Rgb([n * 40, (x % 251) as u8, (y % 241) as u8]));
        let mut jpeg = Vec::new();
        image.write_with_encoder(image::codecs::jpeg::JpegEncoder::new(&mut jpeg)).unwrap();
        DescribeFrame {
            index: u32::from(n),
            offset_ms: i64::from(n) * 1000,
            sha256: hex(&jpeg),
            jpeg: jpeg.into(),
            width: 640,
            height: 360,
        }
    };
    DescribeRequest {
        frames: (0..pictures).map(frame).collect(),
        facts: EventFacts {
            camera_name: "Front door".into(),
            started_at: now(),
            duration_ms: Some(8_000),
            detection_type: DetectionType::Motion,
            zones: vec!["Path".into()],
            area: Some(Area { x: 0.6, y: 0.5, width: 0.1, height: 0.2 }),
            largest_ratio: None,
            first_center: None,
            last_center: None,
            confidence: 70,
        },
        picture: None,
        instruction: None,
        usual: Some("About 3 events at this hour on usual days.".into()),
        language: "en".into(),
        timezone: "UTC".into(),
        mode: AnalysisMode::MultiFrame,
        choice: ProviderChoice::default(),
        within: Duration::from_secs(60),
    }
}

/// Keeps the account, and lets nothing out of the own network when that is forbidden.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) calls: Mutex<Vec<(PlannedCall, Option<SettledCall>)>>,
    pub(crate) ids: Mutex<Vec<CallId>>,
    pub(crate) local_only: bool,
}

#[async_trait]
impl Ledger for Book {
    async fn book(&self, call: &PlannedCall) -> Result<CallId, Refusal> {
        if self.local_only && call.is_remote {
            return Err(Refusal::LocalOnly);
        }
        let id = CallId::new(now());
        self.ids.lock().unwrap().push(id);
        self.calls.lock().unwrap().push((call.clone(), None));
        Ok(id)
    }

    async fn settle(&self, id: CallId, settled: &SettledCall) {
        let at = self.ids.lock().unwrap().iter().position(|one| *one == id).unwrap();
        self.calls.lock().unwrap()[at].1 = Some(settled.clone());
    }
}
