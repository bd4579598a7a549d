//! Providers in a book of their own, where the engine would ask them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use argus_core::describe::DescribeOutcome;
use argus_core::ports::{AiControl, ControlError, LiveProvider, PictureQuestion, ProviderEdit, Reproduced};
use argus_core::provider::{
    KindInfo, Prices, ProviderCapabilities, ProviderConfig, ProviderHealth, ProviderKind, ProviderTest, StoredProvider,
};
use argus_core::{AnalysisId, Clock, EventId, ManualClock, ProviderId};
use async_trait::async_trait;

/// What it was asked, and what it answers.
pub(crate) struct Providers {
    clock: Arc<ManualClock>,
    pub(crate) rows: Mutex<Vec<StoredProvider>>,
    /// Pictures that were sent.
    pub(crate) questions: Mutex<Vec<PictureQuestion>>,
    /// What comes of the next.
    pub(crate) outcomes: Mutex<VecDeque<Result<DescribeOutcome, ControlError>>>,
    /// Calls that were to be sent again.
    pub(crate) reproduced: Mutex<VecDeque<Result<Reproduced, ControlError>>>,
    pub(crate) asked: Mutex<Vec<(EventId, AnalysisId)>>,
}

fn missing() -> ControlError {
    ControlError::NotFound("there is no such provider".into())
}

impl Providers {
    /// With the one that every installation has.
    pub(crate) fn new(clock: Arc<ManualClock>) -> Self {
        let now = clock.now();
        let config = ProviderConfig {
            kind: ProviderKind::Builtin,
            name: "builtin".into(),
            model: "builtin-1".into(),
            base_url: None,
            api_key: None,
            enabled: true,
            priority: 1000,
            timeout_s: 30,
            max_output_tokens: 400,
            prices: None,
            max_concurrent: 4,
            requests_per_minute: None,
        };
        let builtin = StoredProvider { id: ProviderId::new(now), created_at: now, updated_at: now, config };
        Self {
            clock,
            rows: Mutex::new(vec![builtin]),
            questions: Mutex::default(),
            outcomes: Mutex::default(),
            reproduced: Mutex::default(),
            asked: Mutex::default(),
        }
    }

    fn live(stored: StoredProvider) -> LiveProvider {
        let table = Prices { input_per_million: Some(0.5), output_per_million: Some(2.0) };
        LiveProvider {
            prices: stored.config.prices.unwrap_or(table),
            health: ProviderHealth::UNKNOWN,
            capabilities: ProviderCapabilities {
                max_images: 20,
                image_formats: vec!["image/jpeg".into()],
                json_output: true,
            },
            stored,
        }
    }

    fn is_taken(rows: &[StoredProvider], id: Option<ProviderId>, name: &str) -> Result<(), ControlError> {
        let same = |p: &StoredProvider| p.config.name.to_lowercase() == name.to_lowercase() && Some(p.id) != id;
        match rows.iter().any(same) {
            true => Err(ControlError::Conflict("another provider has this name".into())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl AiControl for Providers {
    async fn ai_providers(&self) -> Result<Vec<LiveProvider>, ControlError> {
        let mut rows = self.rows.lock().unwrap().clone();
        rows.sort_by_key(|p| (p.config.priority, p.id));
        Ok(rows.into_iter().map(Self::live).collect())
    }

    fn ai_kinds(&self) -> Vec<KindInfo> {
        let kind = |&kind: &ProviderKind| KindInfo {
            kind,
            configured: kind == ProviderKind::Builtin,
            needs_key: !matches!(kind, ProviderKind::Builtin | ProviderKind::Ollama | ProviderKind::OpenAiCompatible),
            needs_base_url: kind == ProviderKind::OpenAiCompatible,
            default_base_url: match kind {
                ProviderKind::OpenAi => Some("https://api.openai.example/v1".into()),
                ProviderKind::Ollama => Some("http://127.0.0.1:11434".into()),
                _ => None,
            },
            default_model: (kind == ProviderKind::OpenAi).then(|| "the-usual".into()),
            max_images: 20,
            image_formats: vec!["image/jpeg".into()],
            json_output: true,
        };
        ProviderKind::ALL.iter().map(kind).collect()
    }

    async fn ai_provider_create(&self, config: ProviderConfig) -> Result<LiveProvider, ControlError> {
        let mut rows = self.rows.lock().unwrap();
        Self::is_taken(&rows, None, &config.name)?;
        let now = self.clock.now();
        let stored = StoredProvider { id: ProviderId::new(now), created_at: now, updated_at: now, config };
        rows.push(stored.clone());
        Ok(Self::live(stored))
    }

    async fn ai_provider_update(&self, id: ProviderId, edit: ProviderEdit) -> Result<LiveProvider, ControlError> {
        let mut rows = self.rows.lock().unwrap();
        let before = rows.iter().find(|p| p.id == id).ok_or_else(missing)?.clone();
        let config = edit(&before)?;
        Self::is_taken(&rows, Some(id), &config.name)?;
        let after = StoredProvider { config, updated_at: self.clock.now(), ..before };
        rows.retain(|p| p.id != id);
        rows.push(after.clone());
        Ok(Self::live(after))
    }

    async fn ai_provider_delete(&self, id: ProviderId) -> Result<(), ControlError> {
        let mut rows = self.rows.lock().unwrap();
        let row = rows.iter().find(|p| p.id == id).ok_or_else(missing)?;
        if row.config.kind == ProviderKind::Builtin {
            return Err(ControlError::Conflict("the built-in provider cannot be removed".into()));
        }
        rows.retain(|p| p.id != id);
        Ok(())
    }

    async fn ai_provider_test(&self, id: ProviderId) -> Result<ProviderTest, ControlError> {
        let model = self.rows.lock().unwrap().iter().find(|p| p.id == id).ok_or_else(missing)?.config.model.clone();
        Ok(ProviderTest {
            success: true,
            message: "it described the picture".into(),
            error_kind: None,
            model: model.clone(),
            models: vec![model],
            description: Some("A red square.".into()),
            latency_ms: 12,
            tokens_used: Some(34),
            cost: Some(0.0),
        })
    }

    async fn ai_describe(&self, question: PictureQuestion) -> Result<DescribeOutcome, ControlError> {
        self.questions.lock().unwrap().push(question);
        let outcome = self.outcomes.lock().unwrap().pop_front();
        outcome.unwrap_or_else(|| Err(ControlError::Unavailable("no provider is enabled".into())))
    }

    async fn ai_reproduce(&self, event: EventId, analysis: AnalysisId) -> Result<Reproduced, ControlError> {
        self.asked.lock().unwrap().push((event, analysis));
        let outcome = self.reproduced.lock().unwrap().pop_front();
        outcome.unwrap_or_else(|| Err(ControlError::NotFound("there is no such analysis".into())))
    }
}
