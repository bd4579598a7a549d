//! The try of a provider: with a built-in picture, whether it is asked otherwise or not.

use std::io::Cursor;
use std::time::Duration;

use argus_core::call::{Ledger, Refusal};
use argus_core::camera::AnalysisMode;
use argus_core::describe::{
    DescribeError, DescribeFailure, DescribeFrame, DescribeRequest, EventFacts, ProviderChoice,
};
use argus_core::event::{DetectionType, StatusReason};
use argus_core::provider::{ProviderTest, StoredProvider};
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use tokio::time::Instant;

use crate::call::{self, Done, Sending};
use crate::chain::{sum, timeout};
use crate::frames::{Picture, Shot, hex};
use crate::member::{Asks, Member};
use crate::plan::Plan;
use crate::prompt::Prompt;
use crate::provider::{failure, millis};
use crate::registry::Providers;
use crate::text::one_line;
use crate::vendor::{Reach, Vendor};

/// What is asked of the picture.
const TASK: &str = "This is a test picture. Say in one sentence what it shows.";
/// Longest look-up of a host's name, and longest list of models.
const ASIDE: Duration = Duration::from_secs(10);
/// How long it waits for calls that are under way.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many models are listed.
const MAX_MODELS: usize = 1000;
/// How many ways of asking are tried.
const MAX_WAYS: usize = 5;
/// Longest name of a model, characters.
const MAX_NAME: usize = 200;
const WIDTH: u32 = 320;
const HEIGHT: u32 = 240;

/// Tries a provider.
pub(crate) async fn run(providers: &Providers, provider: &StoredProvider, ledger: &dyn Ledger) -> ProviderTest {
    let known = providers.member(provider.id);
    let member = Member::new(provider, known.as_deref(), &*providers.make);
    let begun = Instant::now();
    let (models, told) = match &member.asks {
        Asks::Nobody(faults) => {
            let message = format!("it cannot be asked: {faults}");
            (Vec::new(), Err(failure(DescribeFailure::Unreachable, message)))
        }
        Asks::Builtin => (Vec::new(), call::builtin(&member, &request(providers), ledger).await.map_err(why)),
        Asks::Vendor(vendor) => ask(providers, &member, &**vendor, ledger).await,
    };
    let elapsed = millis(begun.elapsed());
    let (record, result) = match told {
        Ok(Done { record, result, .. }) => (record, result),
        Err(error) => (member.record(), Err(error)),
    };
    let total = record.tokens_input.zip(record.tokens_output).and_then(|(input, output)| input.checked_add(output));
    ProviderTest {
        success: result.is_ok(),
        message: match &result {
            Ok(_description) => format!("{} described the test picture.", member.config().name),
            Err(error) => error.message.clone(),
        },
        error_kind: result.as_ref().err().map(|error| error.kind),
        model: member.config().model.clone(),
        models,
        description: result.ok().map(|description| description.text),
        latency_ms: record.latency_ms.unwrap_or(elapsed),
        tokens_used: total,
        cost: record.cost,
    }
}

async fn ask(
    providers: &Providers,
    member: &Member,
    vendor: &dyn Vendor,
    ledger: &dyn Ledger,
) -> (Vec<String>, Result<Done, DescribeError>) {
    let clock = &providers.clock;
    let reach = match vendor.reach(ASIDE.min(timeout(member))).await {
        Ok(reach) => reach,
        Err(error) => return (Vec::new(), Err(error)),
    };
    let waiting = Instant::now();
    let mut turn = match member.gate.turn(PATIENCE).await {
        Ok(turn) => turn,
        Err(busy) => {
            let error = failure(DescribeFailure::RateLimited, format!("it was not asked: {busy}"));
            return (Vec::new(), Err(error));
        }
    };
    let waited = waiting.elapsed();
    let picture = [picture()];
    let prompt = Prompt::new(&request(providers), &[picture[0].shot.clone()]);
    let (mut ways, mut before) = (0, None);
    let told = loop {
        let plan = Plan::new(member, vendor, &prompt, &picture, None);
        let what = Sending {
            member,
            vendor,
            plan: &plan,
            reach,
            waited,
            within: timeout(member),
            camera_name: "Test picture",
        };
        let mut told = call::send(what, ledger).await;
        ways += 1;
        if let Ok(done) = &mut told {
            // What refused ways of asking cost is paid as well.
            done.record.cost = sum(before, done.record.cost);
            before = done.record.cost;
        }
        let again = told.as_ref().is_ok_and(|done| done.ask_again) && ways < MAX_WAYS;
        if !again || turn.again(PATIENCE).await.is_err() {
            break told;
        }
    };
    let mut done = match told {
        Ok(done) => done,
        // Nothing went out, so nothing more does.
        Err(refusal) => {
            turn.unused();
            return (Vec::new(), Err(why(refusal)));
        }
    };
    drop(turn);
    // A try is let through whatever the breaker says, and decides about it.
    let admission = member.breaker.force();
    match &done.result {
        Ok(_description) => admission.succeeded(clock.now()),
        Err(error) => {
            admission.failed(error, true, clock.now());
        }
    }
    let (models, doubt) = aside(vendor, reach).await;
    if let Err(error) = &mut done.result
        && let Some(doubt) = doubt
    {
        error.message = format!("{}; {doubt}", error.message);
    }
    (models, Ok(done))
}

/// What it tells without a question.
async fn aside(vendor: &dyn Vendor, reach: Reach) -> (Vec<String>, Option<String>) {
    let models = vendor.models(reach, ASIDE).await.unwrap_or_default();
    let names = models.iter().take(MAX_MODELS).map(|name| one_line(name, MAX_NAME)).filter(|name| !name.is_empty());
    (names.collect(), vendor.doubt(reach, ASIDE).await)
}

fn why(refusal: Refusal) -> DescribeError {
    match refusal {
        Refusal::Budget(limit) => {
            let which = if limit == StatusReason::BudgetMonthly { "month" } else { "day" };
            failure(DescribeFailure::Quota, format!("it was not asked: the {which}'s budget is spent"))
        }
        Refusal::LocalOnly => {
            let message = "it was not asked: it is outside of the own network, and `ai.local_only` is set";
            failure(DescribeFailure::Unreachable, message)
        }
        Refusal::Unavailable(why) => {
            failure(DescribeFailure::ServerError, format!("it was not asked: calls cannot be booked: {why}"))
        }
    }
}

fn facts(providers: &Providers) -> EventFacts {
    EventFacts {
        camera_name: "Test picture".to_owned(),
        started_at: providers.clock.now(),
        duration_ms: Some(0),
        detection_type: DetectionType::Motion,
        zones: Vec::new(),
        area: None,
        largest_ratio: None,
        first_center: None,
        last_center: None,
        confidence: 100,
    }
}

fn request(providers: &Providers) -> DescribeRequest {
    DescribeRequest {
        frames: Vec::<DescribeFrame>::new(),
        facts: facts(providers),
        picture: None,
        instruction: Some(TASK.to_owned()),
        usual: None,
        language: "en".to_owned(),
        timezone: "UTC".to_owned(),
        mode: AnalysisMode::SingleFrame,
        choice: ProviderChoice::default(),
        within: Duration::ZERO,
    }
}

/// A white house with a red door under a blue sky: drawn, so that nothing of anybody's is sent.
fn picture() -> Picture {
    let image = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| match (x, y) {
        (145..175, 130..200) => Rgb([200, 30, 30]),
        (90..230, 100..200) => Rgb([240, 240, 235]),
        (80..240, 80..100) => Rgb([120, 60, 40]),
        (_, 200..) => Rgb([70, 140, 60]),
        _ => Rgb([110, 170, 230]),
    });
    let mut bytes = Cursor::new(Vec::new());
    // In memory, and a size that JPEG can hold: it does not fail, and an empty picture would be refused.
    let _infallible = image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 90));
    let bytes = bytes.into_inner();
    let sha256 = hex(&bytes);
    let shot = Shot { index: 0, offset_ms: 0, crop: None, width: WIDTH, height: HEIGHT, as_stored: true };
    Picture { shot, bytes: bytes.into(), sha256 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_a_jpeg() {
        let image = image::load_from_memory(&picture().bytes).unwrap();
        assert_eq!((image.width(), image.height()), (WIDTH, HEIGHT));
        assert_eq!(picture(), picture());
    }
}
