//! A describer that remembers what it was asked and answers as it is told.

use std::collections::VecDeque;
use std::sync::Mutex;

use argus_core::call::{CallTimes, Ledger, PlannedCall, Refusal, SentFrame, SettledCall};
use argus_core::describe::{
    CallRecord, DescribeError, DescribeFailure, DescribeOutcome, DescribeRequest, Description, ProviderInfo, Resend,
};
use argus_core::event::ObjectKind;
use argus_core::figures::ProviderFigures;
use argus_core::ports::Describer;
use argus_core::provider::{ProviderConfig, ProviderKind, ProviderTest, StoredProvider};
use argus_core::{Faults, ProviderId};
use async_trait::async_trait;
use tokio::sync::Semaphore;

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Says {
        text: &'static str,
        confidence: Option<u8>,
        cost: Option<f64>,
    },
    Fails(DescribeFailure),
    /// It does not describe these pictures, and is paid for saying so.
    Refuses,
}

pub(crate) struct Script {
    pub(crate) providers: Mutex<Vec<ProviderInfo>>,
    pub(crate) requests: Mutex<Vec<DescribeRequest>>,
    answers: Mutex<VecDeque<Answer>>,
    /// Permits to answer; plenty unless a test takes them away.
    pub(crate) gate: Semaphore,
    /// Permits to hand over an answer that is settled.
    pub(crate) after: Semaphore,
    /// Whether nobody answers, whatever is asked.
    pub(crate) down: std::sync::atomic::AtomicBool,
    /// The most that a call may cost; none: nobody knows.
    pub(crate) estimate: Mutex<Option<f64>>,
    /// Whose row calls name.
    pub(crate) provider_id: Mutex<Option<ProviderId>>,
    /// What it was told of providers last.
    pub(crate) configured: Mutex<Vec<StoredProvider>>,
    pub(crate) resent: Mutex<Vec<Resend>>,
    /// How providers are doing.
    pub(crate) figures: Mutex<Vec<ProviderFigures>>,
}

pub(crate) fn provider(name: &str, costs: bool) -> ProviderInfo {
    ProviderInfo { id: None, name: name.into(), costs }
}

impl Script {
    pub(crate) fn new() -> Self {
        Self {
            providers: Mutex::new(vec![provider("Paid", true)]),
            requests: Mutex::default(),
            answers: Mutex::default(),
            gate: Semaphore::new(1_000_000),
            after: Semaphore::new(1_000_000),
            down: std::sync::atomic::AtomicBool::new(false),
            estimate: Mutex::default(),
            provider_id: Mutex::default(),
            configured: Mutex::default(),
            resent: Mutex::default(),
            figures: Mutex::default(),
        }
    }

    /// The next answer; without any it is a plain sentence for nothing.
    pub(crate) fn answers(&self, answer: Answer) {
        self.answers.lock().unwrap().push_back(answer);
    }

    pub(crate) fn asked(&self) -> Vec<DescribeRequest> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn calls(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// Lets nobody be answered until [`Script::open`].
    pub(crate) fn close(&self) {
        self.gate.forget_permits(usize::MAX);
    }

    pub(crate) fn open(&self) {
        self.gate.add_permits(1_000_000);
    }
}

#[async_trait]
impl Describer for Script {
    fn needs_pictures(&self) -> bool {
        true
    }

    fn providers(&self) -> Vec<ProviderInfo> {
        self.providers.lock().unwrap().clone()
    }

    async fn describe(&self, request: &DescribeRequest, ledger: &dyn Ledger) -> DescribeOutcome {
        self.requests.lock().unwrap().push(request.clone());
        let frames = request.frames.iter().map(|f| (Some(f.index), f.sha256.clone())).collect();
        self.call(self.planned("the whole prompt", frames), ledger).await
    }

    fn figures(&self) -> Vec<ProviderFigures> {
        self.figures.lock().unwrap().clone()
    }

    fn configure(&self, providers: &[StoredProvider]) {
        *self.configured.lock().unwrap() = providers.to_vec();
    }

    fn check(&self, config: &ProviderConfig) -> Result<(), Faults> {
        let mut faults = Faults::default();
        if config.base_url.as_deref() == Some("nonsense") {
            faults.add("base_url", "is no address");
        }
        faults.or(())
    }

    async fn test(&self, provider: &StoredProvider, ledger: &dyn Ledger) -> ProviderTest {
        let outcome = self.call(self.planned("the picture of a test", Vec::new()), ledger).await;
        ProviderTest {
            success: outcome.result.is_ok(),
            message: "as told".into(),
            error_kind: outcome.result.as_ref().err().map(|e| e.kind),
            model: provider.config.model.clone(),
            models: Vec::new(),
            description: outcome.result.ok().map(|d| d.text),
            latency_ms: 7,
            tokens_used: None,
            cost: outcome.record.cost,
        }
    }

    async fn resend(&self, call: &Resend, ledger: &dyn Ledger) -> DescribeOutcome {
        self.resent.lock().unwrap().push(call.clone());
        let frames = call.frames.iter().map(|f| (Some(f.index), f.sha256.clone())).collect();
        self.call(self.planned(&call.prompt, frames), ledger).await
    }
}

impl Script {
    /// What a call of the script says of itself.
    fn planned(&self, prompt: &str, frames: Vec<(Option<u32>, String)>) -> PlannedCall {
        let sent = |(index, sha256)| SentFrame { index, sha256, width: 640, height: 360, bytes: 9 };
        PlannedCall {
            provider_id: *self.provider_id.lock().unwrap(),
            provider: ProviderKind::OpenAi,
            provider_name: "Paid".into(),
            model: "script-1".into(),
            host: Some("192.0.2.1:443".into()),
            is_remote: true,
            prompt: prompt.into(),
            parameters: serde_json::Map::from_iter([("temperature".to_owned(), 0.5.into())]),
            frames: frames.into_iter().map(sent).collect(),
            bytes: 1000,
            // Whoever is free is asked where there is such a one.
            estimate: match self.providers.lock().unwrap().iter().all(|p| p.costs) {
                true => *self.estimate.lock().unwrap(),
                false => Some(0.0),
            },
            price_version: Some("script".into()),
        }
    }

    /// Books a call, waits at the gate, answers as told, settles.
    async fn call(&self, planned: PlannedCall, ledger: &dyn Ledger) -> DescribeOutcome {
        let mut record = CallRecord {
            provider: Some("openai".into()),
            provider_id: planned.provider_id,
            provider_name: Some("Paid".into()),
            model: Some("script-1".into()),
            prompt: planned.prompt.clone(),
            parameters: planned.parameters.clone(),
            latency_ms: Some(7),
            ..CallRecord::default()
        };
        let refused = |message: &str| {
            Err(DescribeError { kind: DescribeFailure::Quota, message: message.into(), retry_after: None })
        };
        let booked = match ledger.book(&planned).await {
            Ok(id) => id,
            Err(Refusal::Budget(budget)) => {
                record.unpaid = Some(budget);
                return DescribeOutcome { record, result: refused("the budget does not allow it") };
            }
            Err(other) => return DescribeOutcome { record, result: refused(&format!("{other:?}")) },
        };
        self.gate.acquire().await.unwrap().forget();
        let is_down = self.down.load(std::sync::atomic::Ordering::Relaxed);
        let plain = Answer::Says { text: "A cat.", confidence: Some(80), cost: None };
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(plain);
        let answer = if is_down { Answer::Fails(DescribeFailure::Unreachable) } else { answer };
        let is_refusal = matches!(answer, Answer::Refuses);
        record.refused = is_refusal;
        let result = match answer {
            Answer::Says { text, confidence, cost } => {
                record.cost = cost;
                record.raw_answer = Some(format!("{{\"description\": \"{text}\"}}"));
                Ok(Description {
                    text: text.into(),
                    confidence,
                    objects: vec![ObjectKind::Animal],
                    low_confidence: false,
                })
            }
            Answer::Refuses => {
                record.cost = Some(0.125);
                let message = "the model refused: no faces".into();
                Err(DescribeError { kind: DescribeFailure::InvalidAnswer, message, retry_after: None })
            }
            Answer::Fails(kind) => Err(DescribeError { kind, message: "as told".into(), retry_after: None }),
        };
        let settled = SettledCall {
            bytes_sent: None,
            is_refusal,
            result: result.clone(),
            tokens_input: None,
            tokens_output: None,
            cost: record.cost,
            cost_estimated: false,
            times: CallTimes { waited_ms: 0, first_byte_ms: Some(3), total_ms: 7 },
            raw_answer: record.raw_answer.clone(),
            bytes_received: 99,
        };
        ledger.settle(booked, &settled).await;
        // A server that is killed after the answer was stored and before it was used.
        self.after.acquire().await.unwrap().forget();
        DescribeOutcome { record, result }
    }
}
