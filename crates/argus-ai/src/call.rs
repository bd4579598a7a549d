//! One call: booked before anything of it leaves, settled before anybody uses its answer.

use std::time::Duration;

use argus_core::call::{CallTimes, Ledger, Refusal, SettledCall};
use argus_core::describe::{CallRecord, DescribeError, DescribeFailure, DescribeRequest, Description};
use tokio::time::Instant;

use crate::answer;
use crate::builtin;
use crate::member::Member;
use crate::plan::{Plan, booked_by};
use crate::prices;
use crate::provider::{failure, millis};
use crate::text::stored;
use crate::vague::vague;
use crate::vendor::{Answer, Asked, Reach, Vendor};

/// How much longer than its limit a vendor may take before it is cut off: its own end of time comes first, so that the
/// record of the call is complete.
const GRACE: Duration = Duration::from_millis(500);
/// Longest raw answer in a record, characters, as a receipt has it.
const MAX_RAW: usize = 65_536;

/// A call that was made.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) record: CallRecord,
    pub(crate) result: Result<Description, DescribeError>,
    /// The pictures are not described, which is an answer about them.
    pub(crate) refused: bool,
    /// Why the answer is of no use though there is one, as the end of the sentence "it was of no use: …".
    pub(crate) poor: Option<&'static str>,
    /// The endpoint refused a way of asking, and knows a simpler one now.
    pub(crate) ask_again: bool,
}

/// What is to be sent to whom.
pub(crate) struct Sending<'a> {
    pub(crate) member: &'a Member,
    pub(crate) vendor: &'a dyn Vendor,
    pub(crate) plan: &'a Plan,
    pub(crate) reach: Reach,
    /// For its limits.
    pub(crate) waited: Duration,
    pub(crate) within: Duration,
    pub(crate) camera_name: &'a str,
}

/// Books, sends, settles.
///
/// # Errors
/// Why the ledger does not let it out.
pub(crate) async fn send(what: Sending<'_>, ledger: &dyn Ledger) -> Result<Done, Refusal> {
    let Sending { member, vendor, plan, reach, waited, within, camera_name } = what;
    let id = ledger.book(&plan.booked(member, vendor, reach)).await?;
    let unsettled = Unsettled(&member.config().name);
    let begun = Instant::now();
    let asked = tokio::time::timeout(within.saturating_add(GRACE), vendor.ask(&plan.question, reach, within)).await;
    let total = begun.elapsed();
    let Asked { result, spent, bytes_sent, refused, maybe_charged, raw, bytes_received, first_byte, ask_again } =
        asked.unwrap_or_else(|_elapsed| cut_off());
    let told = result.as_ref().ok().or(spent.as_ref()).cloned().unwrap_or_default();
    let (cost, cost_estimated) = cost(member, plan, &told, charged(&result, maybe_charged));
    let (result, poor) = read(result, camera_name, plan.question.max_output_tokens);
    let raw_answer = raw.map(|text| stored(&text, MAX_RAW));
    let settled = SettledCall {
        bytes_sent,
        is_refusal: refused,
        result: result.clone(),
        tokens_input: told.tokens_input,
        tokens_output: told.tokens_output,
        cost,
        cost_estimated,
        times: CallTimes { waited_ms: millis(waited), first_byte_ms: first_byte.map(millis), total_ms: millis(total) },
        raw_answer: raw_answer.clone(),
        bytes_received,
    };
    ledger.settle(id, &settled).await;
    unsettled.settled();
    let record = CallRecord {
        parameters: plan.parameters.clone(),
        prompt: plan.prompt.clone(),
        tokens_input: told.tokens_input,
        tokens_output: told.tokens_output,
        cost,
        cost_estimated,
        latency_ms: Some(millis(total)),
        raw_answer,
        ..member.record()
    };
    Ok(Done { record, result, refused, poor, ask_again })
}

/// The built-in describer's call: it sends nothing, and is on the account as any other.
///
/// # Errors
/// Why the ledger does not book it.
pub(crate) async fn builtin(member: &Member, request: &DescribeRequest, ledger: &dyn Ledger) -> Result<Done, Refusal> {
    let id = ledger.book(&booked_by(member)).await?;
    let begun = Instant::now();
    let description = builtin::describe(request);
    let total_ms = millis(begun.elapsed());
    let settled = SettledCall {
        bytes_sent: Some(0),
        is_refusal: false,
        result: Ok(description.clone()),
        tokens_input: None,
        tokens_output: None,
        cost: Some(0.0),
        cost_estimated: false,
        times: CallTimes { waited_ms: 0, first_byte_ms: None, total_ms },
        raw_answer: None,
        bytes_received: 0,
    };
    ledger.settle(id, &settled).await;
    let record = CallRecord { cost: Some(0.0), latency_ms: Some(total_ms), ..member.record() };
    Ok(Done { record, result: Ok(description), refused: false, poor: None, ask_again: false })
}

/// Says so when a call is dropped between booking and settling (the server stops): it counts with its estimate, because
/// what was sent may be charged.
struct Unsettled<'a>(&'a str);

impl Unsettled<'_> {
    fn settled(self) {
        std::mem::forget(self);
    }
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        tracing::warn!(provider.name = self.0, "call was given up while it was under way: it counts with its estimate");
    }
}

fn cut_off() -> Asked {
    Asked {
        result: Err(failure(DescribeFailure::Timeout, "cut off: it did not end in the time it was given")),
        spent: None,
        bytes_sent: None,
        refused: false,
        maybe_charged: true,
        raw: None,
        bytes_received: 0,
        first_byte: None,
        ask_again: false,
    }
}

/// Whether the vendor may charge for a call of which it told no tokens: an answer that was given, one of no use, or one
/// that may have been under way when the time was over or the connection broke.
fn charged(result: &Result<Answer, DescribeError>, maybe_charged: bool) -> bool {
    match result {
        Ok(_answer) => true,
        Err(error) => maybe_charged || error.kind == DescribeFailure::Timeout,
    }
}

/// What it cost, and whether that was computed. Where tokens are not told, a call that may be charged counts with its
/// estimate: a budget that forgot it would be overspent.
fn cost(member: &Member, plan: &Plan, told: &Answer, charged: bool) -> (Option<f64>, bool) {
    if let Some(cost) = told.cost.filter(|cost| cost.is_finite() && *cost >= 0.0) {
        return (Some(cost), false);
    }
    let computed = prices::cost(member.prices, told.tokens_input, told.tokens_output);
    let assumed = || plan.estimate().map(|most| if charged { most } else { 0.0 });
    let cost = computed.or_else(assumed);
    (cost, cost.is_some())
}

fn read(
    result: Result<Answer, DescribeError>,
    camera_name: &str,
    max_output_tokens: u32,
) -> (Result<Description, DescribeError>, Option<&'static str>) {
    let answer = match result {
        Ok(answer) => answer,
        Err(error) => return (Err(error), None),
    };
    let unusable = |message: String| Err(failure(DescribeFailure::InvalidAnswer, message));
    match answer::parse(&answer.text) {
        Ok(mut description) => {
            let poor = vague(&description.text, camera_name);
            description.low_confidence = poor.is_some();
            (Ok(description), poor)
        }
        Err(_why) if answer.cut_off => {
            (unusable(format!("the answer was cut off at {max_output_tokens} output tokens")), None)
        }
        Err(why) => (unusable(why.to_string()), why.is_empty().then_some("it was empty")),
    }
}
