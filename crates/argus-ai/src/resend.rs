//! An earlier request, sent again exactly as it was: the same text, parameters and pictures to the same model, which
//! makes the same body, byte for byte.

use argus_core::call::{Ledger, Refusal};
use argus_core::describe::{DescribeError, DescribeFailure, DescribeFrame, DescribeOutcome, Resend};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::blocking;
use crate::call::{self, Done, Sending};
use crate::chain::{spent, timeout};
use crate::frames::{Picture, Shot};
use crate::member::{Asks, Member};
use crate::plan::{Plan, shots_of};
use crate::prompt::Prompt;
use crate::provider::failure;
use crate::registry::Providers;

/// Sends it.
pub(crate) async fn run(providers: &Providers, earlier: &Resend, ledger: &dyn Ledger) -> DescribeOutcome {
    let Some(member) = providers.member(earlier.provider) else {
        let error = failure(DescribeFailure::Unreachable, "the provider is gone");
        return DescribeOutcome { record: argus_core::describe::CallRecord::default(), result: Err(error) };
    };
    match again(providers, &member, earlier, ledger).await {
        Ok(Done { record, result, .. }) => DescribeOutcome { record, result },
        Err(Stop { error, unpaid }) => {
            let record = argus_core::describe::CallRecord { unpaid, ..member.record() };
            DescribeOutcome { record, result: Err(error) }
        }
    }
}

/// Why nothing was sent.
struct Stop {
    error: DescribeError,
    unpaid: Option<argus_core::event::StatusReason>,
}

impl From<DescribeError> for Stop {
    fn from(error: DescribeError) -> Self {
        Self { error, unpaid: None }
    }
}

async fn again(providers: &Providers, member: &Member, earlier: &Resend, ledger: &dyn Ledger) -> Result<Done, Stop> {
    let config = member.config();
    let stop = |kind, message: String| Stop::from(failure(kind, message));
    if !config.enabled {
        return Err(stop(DescribeFailure::Unreachable, format!("{} is switched off", config.name)));
    }
    if config.model != earlier.model {
        let message = format!("{} is asked for {} now, not for {}", config.name, config.model, earlier.model);
        return Err(stop(DescribeFailure::ModelNotFound, message));
    }
    let vendor = match &member.asks {
        Asks::Vendor(vendor) => vendor,
        Asks::Builtin => {
            let message = "the built-in describer sends nothing that could be sent again".to_owned();
            return Err(stop(DescribeFailure::InvalidAnswer, message));
        }
        Asks::Nobody(faults) => {
            return Err(stop(DescribeFailure::Unreachable, format!("{} cannot be asked: {faults}", config.name)));
        }
    };
    let pictures = pictures(&earlier.frames, &earlier.parameters).await?;
    let prompt = Prompt::parse(&earlier.prompt, pictures.len()).ok_or_else(|| {
        let message = format!("the text of the request does not have the form of one with {} pictures", pictures.len());
        stop(DescribeFailure::InvalidAnswer, message)
    })?;
    let within = timeout(member);
    let waiting = Instant::now();
    let turn = member
        .gate
        .turn(within)
        .await
        .map_err(|busy| stop(DescribeFailure::RateLimited, format!("it was not asked: {busy}")))?;
    let waited = waiting.elapsed();
    let reach = vendor.reach(within).await?;
    let plan = Plan::new(member, &**vendor, &prompt, &pictures, Some(earlier.parameters.clone()));
    let what = Sending { member, vendor: &**vendor, plan: &plan, reach, waited, within, camera_name: "" };
    let sent = call::send(what, ledger).await;
    let now = providers.clock.now();
    match sent {
        Ok(done) => {
            let admission = member.breaker.force();
            match &done.result {
                Ok(_description) => admission.succeeded(now),
                Err(error) => {
                    admission.failed(error, !done.refused, now);
                }
            }
            Ok(done)
        }
        Err(refusal) => {
            turn.unused();
            Err(refused(refusal))
        }
    }
}

fn refused(refusal: Refusal) -> Stop {
    match refusal {
        Refusal::Budget(limit) => {
            let error = failure(DescribeFailure::Quota, format!("it was not asked: {}", spent(limit)));
            Stop { error, unpaid: Some(limit) }
        }
        Refusal::LocalOnly => {
            let message = "it was not asked: it is outside of the own network, and `ai.local_only` is set";
            failure(DescribeFailure::Unreachable, message).into()
        }
        Refusal::Unavailable(why) => {
            let message = format!("nothing was sent, because calls cannot be booked: {why}");
            failure(DescribeFailure::ServerError, message).into()
        }
    }
}

/// The pictures as they were sent: made again from the stored ones where they were made, and held against what they
/// were.
async fn pictures(frames: &[DescribeFrame], parameters: &Map<String, Value>) -> Result<Vec<Picture>, DescribeError> {
    let gone = |what: String| failure(DescribeFailure::InvalidAnswer, format!("it cannot be sent as it was: {what}"));
    let Some(noted) = shots_of(parameters) else {
        return Ok(frames.iter().map(as_it_is).collect());
    };
    let (shots, hashes): (Vec<Shot>, Vec<String>) = noted.into_iter().unzip();
    let made = blocking::pictures(frames, &shots).await;
    if made.len() != shots.len() {
        return Err(gone(format!("{} of its {} pictures are gone", shots.len() - made.len(), shots.len())));
    }
    for (picture, hash) in made.iter().zip(&hashes) {
        if *hash != picture.sha256 {
            return Err(gone(format!("picture {} is another one now", picture.shot.index)));
        }
    }
    Ok(made.to_vec())
}

fn as_it_is(frame: &DescribeFrame) -> Picture {
    let shot = Shot {
        index: frame.index,
        offset_ms: frame.offset_ms,
        crop: None,
        width: frame.width,
        height: frame.height,
        as_stored: true,
    };
    Picture { shot, bytes: frame.jpeg.clone(), sha256: frame.sha256.clone() }
}
