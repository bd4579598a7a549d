//! Taking over the description of an event that looks the same, when a budget runs short.

use std::time::Duration;

use argus_core::describe::{Analysis, DescribeFrame, Description};
use argus_core::event::{DetectionType, Event, StatusReason};
use argus_core::route::{Route, taken_over};
use argus_core::settings::Settings;
use argus_core::{AnalysisId, chain};
use argus_db::LookAlike;
use tracing::warn;

use crate::Deps;
use crate::error::EngineError;
use crate::look::Look;

/// Longest that a description may be taken over, by the settings.
const KEPT: Duration = Duration::from_secs(3600);

/// Whether what events look like is of any use: only with a budget.
fn is_useful(settings: &Settings) -> bool {
    let budgets = &settings.ai.budgets;
    settings.ai.routing.reuse_within_s > 0 && (budgets.daily_usd.is_some() || budgets.monthly_usd.is_some())
}

/// What the pictures of a question look like; `None` when nobody needs it, or when one cannot be read. Who rings is
/// looked at anew every time.
pub(crate) async fn looks(settings: &Settings, event: &Event, frames: &[DescribeFrame]) -> Option<Vec<Look>> {
    if !is_useful(settings) || event.detection_type == DetectionType::Ring || frames.is_empty() {
        return None;
    }
    let jpegs: Vec<_> = frames.iter().map(|frame| frame.jpeg.clone()).collect();
    let look = move || jpegs.iter().map(|jpeg| Look::of_jpeg(jpeg)).collect();
    #[expect(clippy::disallowed_methods, reason = "decoding the pictures takes a tenth of a second of computing")]
    let task = tokio::task::spawn_blocking(look);
    task.await.unwrap_or_default()
}

/// An event that looks the same, and whose description is recent enough.
pub(crate) async fn find(
    deps: &Deps,
    settings: &Settings,
    event: &Event,
    looks: &[Look],
) -> Result<Option<LookAlike>, EngineError> {
    let within = Duration::from_secs(settings.ai.routing.reuse_within_s.into());
    let from = event.timestamp.minus(within);
    let others = deps.db.analysis_looks(event.camera_id, event.detection_type, from, event.id).await?;
    let is_same = |other: &LookAlike| {
        let there: Vec<Look> = serde_json::from_str(&other.looks).unwrap_or_default();
        other.timestamp <= event.timestamp && looks.iter().all(|look| there.iter().any(|one| one.is_same(look)))
    };
    Ok(others.into_iter().find(is_same))
}

/// The words of the other event, which say that they are.
pub(crate) fn words(other: &LookAlike, settings: &Settings) -> Description {
    let (zone, language) = (&settings.general.timezone, &settings.general.language);
    Description {
        text: taken_over(other.receipt.description.as_deref().unwrap_or_default(), other.timestamp, zone, language),
        confidence: other.receipt.confidence,
        objects: other.receipt.objects_detected.clone(),
        low_confidence: false,
    }
}

/// The receipt of a description that was taken over: nobody was asked, and it cost nothing.
pub(crate) fn receipt(own: Analysis, other: &Analysis) -> Analysis {
    Analysis {
        provider: other.provider.clone(),
        provider_id: other.provider_id,
        provider_name: other.provider_name.clone(),
        model: other.model.clone(),
        cost: Some(0.0),
        cost_estimated: false,
        latency_ms: Some(0),
        // The pictures were compared here, and shown to nobody.
        frames: Vec::new(),
        ..own
    }
}

/// Why it was taken over.
pub(crate) fn reason(way: &Route, other: &Analysis) -> String {
    let (budget, used) = way.reuse.unwrap_or((StatusReason::BudgetDaily, 100.0));
    let period = if budget == StatusReason::BudgetMonthly { "month" } else { "day" };
    format!(
        "{used:.0} % of the {period}'s budget is spent, and event {} looks the same: its text was taken over",
        other.event_id
    )
}

/// Keeps what the pictures look like, for the events to come. A failure costs no more than money.
pub(crate) async fn keep(deps: &Deps, id: AnalysisId, looks: &[Look]) {
    let json = match serde_json::to_string(looks) {
        Ok(json) => json,
        Err(e) => return warn!("what an event looks like cannot be stored: {e}"),
    };
    if let Err(e) = deps.db.analysis_look_put(id, json, deps.clock.now().minus(KEPT)).await {
        warn!("what an event looks like is not kept: {}", chain(&e));
    }
}
