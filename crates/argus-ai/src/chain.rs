//! Describers in order: the first that answers, with what was passed over and what failed on the way.
//!
//! There is no second try of the same provider after a failure: the next one is asked at once, and when all have failed,
//! whoever asked tries again later. Only an answer that says nothing is asked for once more, because a model that is
//! told so often does better than another one.

use std::sync::Arc;
use std::time::Duration;

use argus_core::ProviderId;
use argus_core::call::{Ledger, Refusal};
use argus_core::describe::{
    CallRecord, DescribeError, DescribeFailure, DescribeOutcome, DescribeRequest, Description, FallbackStep,
    ProviderOrder,
};
use argus_core::event::StatusReason;
use tokio::time::Instant;

use crate::blocking;
use crate::call::{self, Done, Sending};
use crate::frames::{self, Picture, Shot};
use crate::gate::Turn;
use crate::member::{Asks, Member, capabilities};
use crate::plan::{self, Plan};
use crate::prompt::Prompt;
use crate::provider::failure;
use crate::registry::Providers;
use crate::vendor::{Reach, Vendor};

/// Longest look-up of a host's name.
const MAX_LOOKUP: Duration = Duration::from_secs(5);
/// How many ways of asking are tried after the first; a vendor knows no more.
const MAX_WAYS: usize = 4;
/// A turn is waited for no longer than that while another provider may be asked: it is not worth the wait.
const SHORT_WAIT: Duration = Duration::from_secs(3);
/// With less time left an answer that says nothing is not asked for again.
const MIN_AGAIN: Duration = Duration::from_secs(1);

/// One description while it is made.
pub(crate) struct Attempt<'a> {
    providers: &'a Providers,
    request: &'a DescribeRequest,
    ledger: &'a dyn Ledger,
    begun: Instant,
    path: Vec<FallbackStep>,
    /// The failed call whose record becomes the outcome's when all fail, and its step in the path.
    last: Option<(CallRecord, DescribeError, usize)>,
    /// Why the last one that was passed over was.
    passed: Option<(CallRecord, DescribeError)>,
    /// What all calls cost together: also a failed one is paid.
    cost: Option<f64>,
    unpaid: Option<StatusReason>,
    /// Somebody did not answer for another reason than a budget.
    not_only_unpaid: bool,
    /// Somebody refused to describe the pictures, now or before.
    refused: bool,
    /// Somebody did not answer for another reason than that.
    not_only_refused: bool,
    /// Pictures that were made already, by what was chosen.
    made: Vec<(Vec<Shot>, Arc<[Picture]>)>,
}

/// How it goes on: with this outcome, or with the next provider.
type Next = Option<DescribeOutcome>;

/// A provider that is asked now.
struct Asking<'a> {
    member: &'a Member,
    vendor: &'a dyn Vendor,
    prompt: Prompt,
    pictures: Arc<[Picture]>,
    reach: Reach,
    waited: Duration,
    /// When its time is over.
    until: Instant,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(providers: &'a Providers, request: &'a DescribeRequest, ledger: &'a dyn Ledger) -> Self {
        Self {
            providers,
            request,
            ledger,
            begun: Instant::now(),
            path: Vec::new(),
            last: None,
            passed: None,
            cost: None,
            unpaid: None,
            not_only_unpaid: false,
            refused: false,
            not_only_refused: false,
            made: Vec::new(),
        }
    }

    pub(crate) async fn run(mut self) -> DescribeOutcome {
        let members = self.order();
        for (at, member) in members.iter().enumerate() {
            let next = members.get(at + 1..).unwrap_or_default().iter().find(|next| self.may_ask(next));
            if let Some(outcome) = self.one(member, next.map(AsRef::as_ref)).await {
                return outcome;
            }
        }
        self.all_failed()
    }

    /// Whom to ask, first things first.
    fn order(&self) -> Vec<Arc<Member>> {
        let only = self.request.choice.only.as_deref();
        let mut members = self.providers.enabled();
        members.retain(|member| only.is_none_or(|name| member.config().name == name));
        if self.request.choice.order == ProviderOrder::Cheapest {
            // Whoever looks at no picture is the last resort also when it costs least, and an unknown price may be any.
            // Costs are not negative, so that their bits sort as they do.
            members.sort_by_cached_key(|member| {
                (member.is_builtin(), self.estimate(member).unwrap_or(f64::INFINITY).to_bits())
            });
        }
        members
    }

    /// What this question would cost at most.
    fn estimate(&self, member: &Member) -> Option<f64> {
        let shots = self.shots(member);
        let sizes: Vec<(u32, u32)> = shots.iter().map(|shot| (shot.width, shot.height)).collect();
        plan::estimate(member, &Prompt::new(self.request, &shots), &sizes, member.config().max_output_tokens.into())
    }

    fn shots(&self, member: &Member) -> Vec<Shot> {
        let most = capabilities(member.config().kind).max_images;
        frames::choose(&self.request.frames, self.request.facts.area, most)
    }

    fn left(&self) -> Duration {
        self.request.within.saturating_sub(self.begun.elapsed())
    }

    async fn one(&mut self, member: &Member, next: Option<&Member>) -> Next {
        if let Some(limit) = self.request.choice.spent.filter(|_| member.costs()) {
            return self.unpaid(member, limit);
        }
        let vendor = match &member.asks {
            Asks::Builtin => return self.builtin(member).await,
            Asks::Vendor(vendor) => Arc::clone(vendor),
            Asks::Nobody(faults) => {
                let message = format!("passed over: it cannot be asked: {faults}");
                return self.pass_over(member, failure(DescribeFailure::Unreachable, message));
            }
        };
        if self.request.frames.is_empty() {
            let message = "passed over: it needs pictures, and there are none";
            return self.pass_over(member, failure(DescribeFailure::InvalidAnswer, message));
        }
        if self.has_refused(member) {
            let message = "passed over: it refused to describe these pictures before";
            return self.refuses(member, failure(DescribeFailure::InvalidAnswer, message));
        }
        if self.left().is_zero() {
            return self.pass_over(member, failure(DescribeFailure::Timeout, "passed over: no time was left"));
        }
        // Whoever is left alone is not waited for either.
        if let Err(error) = member.breaker.look(self.providers.clock.now()) {
            return self.pass_over(member, error);
        }
        let waiting = Instant::now();
        let turn = match member.gate.turn(self.patience(member, next)).await {
            Ok(turn) => turn,
            Err(busy) => {
                let message = format!("passed over: {busy}");
                return self.pass_over(member, failure(DescribeFailure::RateLimited, message));
            }
        };
        self.ask(member, &*vendor, turn, waiting.elapsed()).await
    }

    /// Whether it would be asked if it were its turn now, as far as that is known; whoever looks at no picture is no
    /// match for one who does.
    fn may_ask(&self, member: &Member) -> bool {
        matches!(member.asks, Asks::Vendor(_))
            && !(self.request.choice.spent.is_some() && member.costs())
            && !self.has_refused(member)
            && member.breaker.look(self.providers.clock.now()).is_ok()
    }

    /// Whether these pictures were refused by this model before.
    fn has_refused(&self, member: &Member) -> bool {
        let of = |(id, model): &(ProviderId, String)| *id == member.stored.id && *model == member.config().model;
        self.request.choice.refused.iter().any(of)
    }

    /// How long a turn is waited for: not so long that there is no time left to ask, nor to ask the next one; and long
    /// only when there is no next one.
    fn patience(&self, member: &Member, next: Option<&Member>) -> Duration {
        let left = self.left();
        let of = |member: &Member| timeout(member).min(left / 3);
        let wait = left.saturating_sub(of(member));
        match next {
            Some(next) => wait.saturating_sub(of(next)).min(SHORT_WAIT),
            None => wait,
        }
    }

    async fn ask(&mut self, member: &Member, vendor: &dyn Vendor, turn: Turn<'_>, waited: Duration) -> Next {
        let clock = &self.providers.clock;
        let admission = match member.breaker.admit(clock.now()) {
            Ok(admission) => admission,
            Err(error) => {
                turn.unused();
                return self.pass_over(member, error);
            }
        };
        let limit = timeout(member).min(self.left());
        let until = Instant::now() + limit;
        let pictures = self.pictures(member).await;
        let shots: Vec<Shot> = pictures.iter().map(|picture| picture.shot.clone()).collect();
        let reach = vendor.reach(limit.min(MAX_LOOKUP)).await;
        let told = match reach {
            Ok(reach) => {
                let prompt = Prompt::new(self.request, &shots);
                let asking = Asking { member, vendor, prompt, pictures, reach, waited, until };
                self.told(&asking, turn).await
            }
            Err(error) => {
                turn.unused();
                let record = member.record();
                Ok(Done { record, result: Err(error), refused: false, poor: None, ask_again: false })
            }
        };
        let Done { record, result, refused, .. } = match told {
            Ok(done) => done,
            Err(refusal) => return self.unbooked(member, refusal),
        };
        match result {
            Ok(description) => {
                admission.succeeded(clock.now());
                Some(self.outcome(record, Ok(description)))
            }
            Err(error) => {
                // A provider that the others left hardly any time is not to blame for having used it up.
                let cut_short = limit < timeout(member) && limit * 2 < self.request.within;
                // Nor is one that answers that it does not describe this.
                let to_blame = !refused && (error.kind != DescribeFailure::Timeout || !cut_short);
                if admission.failed(&error, to_blame, clock.now()) {
                    tracing::warn!(provider.name = member.config().name, error.kind = %error.kind, "breaker opened: the provider is passed over for a while");
                }
                self.failed(member, record, error, refused);
                None
            }
        }
    }

    /// Asks: in simpler ways when the endpoint refuses a way of asking, and once more when the answer says nothing.
    async fn told(&mut self, asking: &Asking<'_>, mut turn: Turn<'_>) -> Result<Done, Refusal> {
        let first = match self.by_every_way(asking, &asking.prompt, &mut turn).await {
            Ok(first) => first,
            Err(refusal) => {
                turn.unused();
                return Err(refusal);
            }
        };
        let Some(why) = first.poor else { return Ok(first) };
        let member = asking.member;
        let left = asking.until.saturating_duration_since(Instant::now());
        if left < MIN_AGAIN || turn.again(Duration::ZERO).await.is_err() {
            return Ok(first);
        }
        tracing::debug!(provider.name = member.config().name, reason = why, "answer says nothing: asked once more");
        let second = match self.by_every_way(asking, &asking.prompt.again(why), &mut turn).await {
            Ok(second) => second,
            // What keeps it from being asked again does not make the first answer worse.
            Err(_refusal) => {
                turn.unused();
                return Ok(first);
            }
        };
        let (kept, other) =
            if second.result.is_ok() || first.result.is_err() { (second, first) } else { (first, second) };
        let error = match &other.result {
            Ok(_vague) => failure(DescribeFailure::InvalidAnswer, format!("asked once more: {why}")),
            Err(error) => error.clone(),
        };
        self.path.push(member.step(&error, other.record.latency_ms.unwrap_or_default()));
        self.cost = sum(self.cost, other.record.cost);
        Ok(kept)
    }

    async fn by_every_way(
        &mut self,
        asking: &Asking<'_>,
        prompt: &Prompt,
        turn: &mut Turn<'_>,
    ) -> Result<Done, Refusal> {
        let Asking { member, vendor, pictures, reach, waited, until, .. } = asking;
        let mut ways = 0;
        loop {
            let plan = Plan::new(member, *vendor, prompt, pictures, None);
            let what = Sending {
                member,
                vendor: *vendor,
                plan: &plan,
                reach: *reach,
                waited: *waited,
                within: until.saturating_duration_since(Instant::now()),
                camera_name: &self.request.facts.camera_name,
            };
            let done = call::send(what, self.ledger).await?;
            ways += 1;
            let may = done.ask_again && ways <= MAX_WAYS && *until > Instant::now();
            if !may || turn.again(Duration::ZERO).await.is_err() {
                return Ok(done);
            }
            // It was paid for, be it of use or not.
            self.cost = sum(self.cost, done.record.cost);
        }
    }

    async fn builtin(&mut self, member: &Member) -> Next {
        match call::builtin(member, self.request, self.ledger).await {
            Ok(Done { record, result, .. }) => {
                if let Ok(admission) = member.breaker.admit(self.providers.clock.now()) {
                    admission.succeeded(self.providers.clock.now());
                }
                Some(self.outcome(record, result))
            }
            Err(refusal) => self.unbooked(member, refusal),
        }
    }

    async fn pictures(&mut self, member: &Member) -> Arc<[Picture]> {
        let shots = self.shots(member);
        if let Some((_, pictures)) = self.made.iter().find(|(chosen, _)| *chosen == shots) {
            return Arc::clone(pictures);
        }
        let pictures = blocking::pictures(&self.request.frames, &shots).await;
        self.made.push((shots, Arc::clone(&pictures)));
        pictures
    }

    fn unbooked(&mut self, member: &Member, refusal: Refusal) -> Next {
        match refusal {
            Refusal::Budget(limit) => self.unpaid(member, limit),
            Refusal::LocalOnly => {
                let message = "passed over: it is outside of the own network, and `ai.local_only` is set";
                self.pass_over(member, failure(DescribeFailure::Unreachable, message))
            }
            Refusal::Unavailable(why) => {
                let message = format!("nothing was sent, because calls cannot be booked: {why}");
                let error = failure(DescribeFailure::ServerError, message);
                (self.not_only_unpaid, self.not_only_refused) = (true, true);
                Some(self.outcome(member.record(), Err(error)))
            }
        }
    }

    fn unpaid(&mut self, member: &Member, limit: StatusReason) -> Next {
        self.unpaid = self.unpaid.or(Some(limit));
        self.not_only_refused = true;
        self.skip(member, failure(DescribeFailure::Quota, format!("passed over: {}", spent(limit))))
    }

    /// It refused before.
    fn refuses(&mut self, member: &Member, error: DescribeError) -> Next {
        (self.not_only_unpaid, self.refused) = (true, true);
        self.skip(member, error)
    }

    fn pass_over(&mut self, member: &Member, error: DescribeError) -> Next {
        (self.not_only_unpaid, self.not_only_refused) = (true, true);
        self.skip(member, error)
    }

    fn skip(&mut self, member: &Member, error: DescribeError) -> Next {
        member.breaker.passed_over();
        self.path.push(member.step(&error, 0));
        self.passed = Some((member.record(), error));
        None
    }

    fn failed(&mut self, member: &Member, record: CallRecord, error: DescribeError, refused: bool) {
        self.not_only_unpaid = true;
        self.refused |= refused;
        self.not_only_refused |= !refused;
        let latency_ms = record.latency_ms.unwrap_or_default();
        tracing::warn!(
            provider.name = member.config().name, provider.model = member.config().model, error.kind = %error.kind,
            elapsed_ms = latency_ms, reason = error.message, "describer failed"
        );
        self.path.push(member.step(&error, latency_ms));
        self.cost = sum(self.cost, record.cost);
        self.last = Some((record, error, self.path.len() - 1));
    }

    /// The outcome of a call, with what came before it.
    fn outcome(&mut self, mut record: CallRecord, result: Result<Description, DescribeError>) -> DescribeOutcome {
        record.fallback_path = std::mem::take(&mut self.path);
        record.cost = sum(record.cost, self.cost);
        record.unpaid = self.unpaid.filter(|_| result.is_ok() || !self.not_only_unpaid);
        record.refused = result.is_err() && self.refused && !self.not_only_refused;
        DescribeOutcome { record, result }
    }

    /// The outcome when nobody answered: the record of the last call, or, when none was made, of the last that was
    /// passed over; the path holds all the others.
    fn all_failed(mut self) -> DescribeOutcome {
        if let Some((mut record, error, at)) = self.last.take() {
            self.path.remove(at);
            // It is among what all cost together.
            record.cost = None;
            return self.outcome(record, Err(error));
        }
        if let Some((record, error)) = self.passed.take() {
            self.path.pop();
            return self.outcome(record, Err(error));
        }
        let error = failure(DescribeFailure::Unreachable, "there is no provider to ask");
        self.outcome(CallRecord::default(), Err(error))
    }
}

/// Of one call.
pub(crate) fn timeout(member: &Member) -> Duration {
    Duration::from_secs(member.config().timeout_s.into())
}

/// Two costs together; unknown only when both are.
pub(crate) fn sum(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (one, other) => one.or(other),
    }
}

/// A limit that is used up, in words.
pub(crate) fn spent(limit: StatusReason) -> &'static str {
    match limit {
        StatusReason::BudgetDaily => "it may cost money, and the day's budget is spent",
        StatusReason::BudgetMonthly => "it may cost money, and the month's budget is spent",
        _ => "it may cost money",
    }
}
