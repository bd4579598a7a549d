//! The request of an analysis, sent again exactly as it was.

use argus_core::call::{CallPurpose, StoredCall};
use argus_core::describe::{DescribeFrame, Description, Resend};
use argus_core::ports::{ControlError, Reproduced};
use argus_core::{AnalysisId, EventId};

use super::{failed, over_budget, refused};
use crate::Engine;
use crate::account::{Account, Cause};
use crate::analysis::{PATIENCE, question, way};
use crate::error::EngineError;

impl Engine {
    /// Sends it again, to the same provider and model, and gives both answers.
    pub(super) async fn reproduce(&self, event: EventId, analysis: AnalysisId) -> Result<Reproduced, ControlError> {
        let deps = &self.deps;
        let receipt = deps.db.analysis_get(analysis).await.map_err(failed)?.filter(|a| a.event_id == event);
        let receipt = receipt.ok_or_else(|| ControlError::NotFound("the event has no such analysis".into()))?;
        let gone = |what: &str| ControlError::Conflict(format!("{what}, so that the request cannot be sent again"));
        let event = deps.db.event_get(event).await.map_err(failed)?;
        let event = event.ok_or_else(|| ControlError::NotFound("there is no such event".into()))?;
        let calls = deps.db.ai_calls_of_analysis(analysis).await.map_err(failed)?;
        // The one that was answered; of those that failed, the last.
        let answered = calls.iter().rfind(|call| call.finished_at.is_some() && call.error.is_none());
        let call = answered.or(calls.last()).ok_or_else(|| gone("nobody was asked for this analysis"))?;
        let provider = call.provider_id.ok_or_else(|| gone("its provider is not known any more"))?;
        let stored = deps.db.ai_provider_all().await.map_err(failed)?;
        let stored = stored.into_iter().find(|p| p.id == provider);
        let stored = stored.ok_or_else(|| gone("its provider was deleted"))?;
        if stored.config.model != call.model {
            return Err(gone("its provider has another model now"));
        }
        let prompt = call.prompt.clone().ok_or_else(|| gone("its prompt is gone"))?;
        let (frames, _best) = question::frames(deps, &event).await.map_err(|e| match e {
            EngineError::Database(e) => failed(e),
            other => ControlError::Unavailable(other.to_string()),
        })?;
        let frames = as_sent(call, frames).ok_or_else(|| gone("its pictures are gone"))?;
        let settings = deps.settings.now();
        let way = way(deps, &settings).await.map_err(failed)?;
        let costs = deps.describer.providers().iter().find(|p| p.id == Some(provider)).is_none_or(|p| p.costs);
        if costs && let Some(budget) = way.spent {
            return Err(over_budget(budget));
        }
        let resend =
            Resend { provider, model: call.model.clone(), prompt, parameters: call.parameters.clone(), frames };
        let account = Account::new(
            deps,
            Cause {
                purpose: CallPurpose::Reproduce,
                analysis_id: None,
                event_id: Some(event.id),
                camera_id: Some(event.camera_id),
                mode: Some(receipt.analysis_mode),
            },
        );
        let sent = tokio::time::timeout(PATIENCE, deps.describer.resend(&resend, &account)).await;
        let outcome =
            sent.map_err(|_elapsed| ControlError::Timeout(format!("no answer within {} s", PATIENCE.as_secs())))?;
        if let Some(refused) = refused(&outcome, account.booked(), "the request was sent again without success") {
            return Err(refused);
        }
        let before = receipt.description.map(|text| Description {
            text,
            confidence: receipt.confidence,
            objects: receipt.objects_detected,
            low_confidence: false,
        });
        Ok(Reproduced { call_id: account.last(), outcome, before })
    }
}

/// The stored pictures of which the call sent something, in order; `None` when one is missing.
fn as_sent(call: &StoredCall, mut stored: Vec<DescribeFrame>) -> Option<Vec<DescribeFrame>> {
    let mut frames: Vec<DescribeFrame> = Vec::new();
    for index in call.frames.iter().filter_map(|sent| sent.index) {
        // A part of a picture was sent beside the whole.
        if frames.iter().any(|frame| frame.index == index) {
            continue;
        }
        let at = stored.iter().position(|frame| frame.index == index)?;
        frames.push(stored.remove(at));
    }
    Some(frames)
}
