//! What the API may ask of descriptions: providers, pictures that somebody sends, calls that are sent again.

mod picture;
mod reproduce;

use std::sync::Arc;

use argus_core::call::CallPurpose;
use argus_core::camera::AnalysisMode;
use argus_core::describe::{DescribeFailure, DescribeOutcome, DescribeRequest, EventFacts, ProviderChoice};
use argus_core::event::{DetectionType, StatusReason};
use argus_core::ports::{
    AiControl, ComponentHealth, ComponentStatus, ControlError, LiveProvider, PictureQuestion, ProviderEdit, Reproduced,
};
use argus_core::provider::{KindInfo, ProviderConfig, ProviderKind, ProviderState, ProviderTest, StoredProvider};
use argus_core::{AnalysisId, EventId, Invalid, ProviderId};
use argus_db::DbError;
use async_trait::async_trait;
use tracing::{info, warn};

use crate::account::{Account, Cause};
use crate::analysis::{DEADLINE, PATIENCE, way};
use crate::error::control;
use crate::{Deps, Engine, reanalysis};

/// Lets the describer ask the providers that are stored, one change after the other: the newest state is told last.
pub(crate) async fn configure(deps: &Deps) -> Result<(), DbError> {
    let mut known = deps.providers_turn.lock().await;
    // Before the providers are read: a change in between is seen as one the next time.
    let stamps = deps.db.ai_provider_stamps().await?;
    deps.describer.configure(&deps.db.ai_provider_all().await?);
    *known = stamps;
    Ok(())
}

/// Does the same when another process has changed them since. A failure costs no more than some seconds.
pub(crate) async fn follow(deps: &Deps) {
    let followed = async {
        let stamps = deps.db.ai_provider_stamps().await?;
        if stamps != *deps.providers_turn.lock().await {
            info!("providers were changed by another process");
            configure(deps).await?;
        }
        Ok::<(), DbError>(())
    };
    if let Err(e) = followed.await {
        warn!("whether providers were changed by another process cannot be read: {}", argus_core::chain(&e));
    }
}

fn failed(error: DbError) -> ControlError {
    control("the providers cannot be read or changed", error)
}

impl Engine {
    fn live_provider(&self, stored: StoredProvider) -> LiveProvider {
        let describer = &self.deps.describer;
        LiveProvider {
            health: describer.health(stored.id),
            capabilities: describer.capabilities(&stored.config),
            prices: describer.prices(&stored.config),
            stored,
        }
    }
}

impl Engine {
    /// Whether descriptions are made, for `/system/health`.
    pub(crate) fn ai_health(&self) -> ComponentHealth {
        if !self.deps.settings.now().ai.enabled {
            return ComponentHealth::new(ComponentStatus::Disabled, "descriptions are switched off");
        }
        let providers = self.deps.describer.figures();
        let down: Vec<&str> =
            providers.iter().filter(|p| p.state == ProviderState::Down).map(|p| p.provider.as_str()).collect();
        match down.as_slice() {
            [] => ComponentHealth::ok(),
            [one] => ComponentHealth::new(ComponentStatus::Degraded, format!("the provider {one} does not answer")),
            some => {
                let what = format!("the providers {} do not answer", some.join(", "));
                ComponentHealth::new(ComponentStatus::Degraded, what)
            }
        }
    }
}

/// Refuses a change that turns a provider into another, and a configuration that cannot be asked.
fn checked(deps: &Deps, before: &StoredProvider, config: ProviderConfig) -> Result<ProviderConfig, ControlError> {
    let fixed = |field: &str| ControlError::Invalid(Invalid::new(field, "cannot be changed").into());
    if config.kind != before.config.kind {
        return Err(fixed("kind"));
    }
    if config.kind == ProviderKind::Builtin && config.model != before.config.model {
        return Err(fixed("model"));
    }
    deps.describer.check(&config)?;
    Ok(config)
}

/// Why a question was not answered.
fn refused(outcome: &DescribeOutcome, booked: u32, what: &str) -> Option<ControlError> {
    let failure = outcome.result.as_ref().err()?;
    if let (Some(budget), 0) = (outcome.record.unpaid, booked) {
        return Some(over_budget(budget));
    }
    let message = format!("{what}: {failure}");
    Some(match failure.kind {
        DescribeFailure::Timeout => ControlError::Timeout(message),
        _ => ControlError::Upstream(message),
    })
}

/// A budget does not allow it.
pub(crate) fn over_budget(budget: StatusReason) -> ControlError {
    let which = if budget == StatusReason::BudgetMonthly { "month" } else { "day" };
    ControlError::Conflict(format!("the budget of the {which} is spent, and the provider costs money"))
}

#[async_trait]
impl AiControl for Engine {
    async fn ai_providers(&self) -> Result<Vec<LiveProvider>, ControlError> {
        let stored = self.deps.db.ai_provider_all().await.map_err(failed)?;
        Ok(stored.into_iter().map(|one| self.live_provider(one)).collect())
    }

    fn ai_kinds(&self) -> Vec<KindInfo> {
        self.deps.describer.kinds()
    }

    async fn ai_provider_create(&self, config: ProviderConfig) -> Result<LiveProvider, ControlError> {
        self.accepting()?;
        if config.kind == ProviderKind::Builtin {
            return Err(ControlError::Conflict("there is one built-in provider, and it is there already".into()));
        }
        self.deps.describer.check(&config)?;
        let now = self.deps.clock.now();
        let new = StoredProvider { id: ProviderId::new(now), created_at: now, updated_at: now, config };
        let stored = self.deps.db.ai_provider_insert(new).await.map_err(failed)?;
        info!(provider.id = %stored.id, provider.name = %stored.config.name, "provider added");
        configure(&self.deps).await.map_err(failed)?;
        Ok(self.live_provider(stored))
    }

    async fn ai_provider_update(&self, id: ProviderId, edit: ProviderEdit) -> Result<LiveProvider, ControlError> {
        self.accepting()?;
        let deps = Arc::clone(&self.deps);
        let edit = move |before: &StoredProvider| edit(before).and_then(|config| checked(&deps, before, config));
        let now = self.deps.clock.now();
        let stored = self.deps.db.ai_provider_edit(id, now, edit).await.map_err(failed)??;
        info!(provider.id = %id, provider.name = %stored.config.name, "provider changed");
        configure(&self.deps).await.map_err(failed)?;
        Ok(self.live_provider(stored))
    }

    async fn ai_provider_delete(&self, id: ProviderId) -> Result<(), ControlError> {
        self.accepting()?;
        if !self.deps.db.ai_provider_delete(id).await.map_err(failed)? {
            return Err(ControlError::Conflict("the built-in provider can be disabled, not deleted".into()));
        }
        info!(provider.id = %id, "provider deleted");
        configure(&self.deps).await.map_err(failed)
    }

    async fn ai_provider_test(&self, id: ProviderId) -> Result<ProviderTest, ControlError> {
        self.accepting()?;
        let stored = self.deps.db.ai_provider_get(id).await.map_err(failed)?;
        let account = Account::new(&self.deps, Cause::apart(CallPurpose::Test, Some(AnalysisMode::SingleFrame)));
        Ok(self.deps.describer.test(&stored, &account).await)
    }

    async fn ai_describe(&self, question: PictureQuestion) -> Result<DescribeOutcome, ControlError> {
        self.accepting()?;
        let deps = &self.deps;
        let providers = deps.describer.providers();
        let only = question.provider.as_deref().map(|wanted| reanalysis::find(&providers, wanted)).transpose()?;
        // Before what may change by itself: a picture that is none stays none.
        let (frame, measured) = self.picture(question.image).await?;
        if providers.is_empty() {
            return Err(ControlError::Unavailable("no provider is enabled that could describe the picture".into()));
        }
        let settings = deps.settings.now();
        let way = way(deps, &settings).await.map_err(failed)?;
        let costs = only.map_or_else(|| providers.iter().all(|p| p.costs), |p| p.costs);
        if costs && let Some(budget) = way.spent {
            return Err(over_budget(budget));
        }
        let request = DescribeRequest {
            frames: vec![frame],
            facts: EventFacts {
                camera_name: "Picture".into(),
                started_at: deps.clock.now(),
                duration_ms: None,
                detection_type: DetectionType::Motion,
                zones: Vec::new(),
                area: None,
                largest_ratio: None,
                first_center: None,
                last_center: None,
                confidence: 0,
            },
            instruction: question.prompt.or_else(|| settings.ai.prompt.clone()),
            language: settings.general.language.clone(),
            timezone: settings.general.timezone.clone(),
            mode: AnalysisMode::SingleFrame,
            picture: Some(measured),
            choice: ProviderChoice {
                only: only.map(|p| p.name.clone()),
                spent: way.spent,
                order: way.order,
                refused: Vec::new(),
            },
            usual: None,
            within: DEADLINE,
        };
        let account = Account::new(deps, Cause::apart(CallPurpose::Describe, Some(request.mode)));
        let asked = tokio::time::timeout(PATIENCE, deps.describer.describe(&request, &account)).await;
        let outcome = asked.map_err(|_elapsed| {
            ControlError::Timeout(format!("the picture could not be described within {} s", PATIENCE.as_secs()))
        })?;
        refused(&outcome, account.booked(), "the picture could not be described").map_or(Ok(outcome), Err)
    }

    async fn ai_reproduce(&self, event: EventId, analysis: AnalysisId) -> Result<Reproduced, ControlError> {
        self.accepting()?;
        self.reproduce(event, analysis).await
    }
}
