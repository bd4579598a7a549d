//! A describer that remembers what it was asked and answers as it is told.

use std::collections::VecDeque;
use std::sync::Mutex;

use argus_core::describe::{
    CallRecord, DescribeError, DescribeFailure, DescribeOutcome, DescribeRequest, Description, ProviderInfo,
};
use argus_core::event::ObjectKind;
use argus_core::ports::Describer;
use async_trait::async_trait;
use tokio::sync::Semaphore;

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Says { text: &'static str, confidence: Option<u8>, cost: Option<f64> },
    Fails(DescribeFailure),
}

pub(crate) struct Script {
    pub(crate) providers: Mutex<Vec<ProviderInfo>>,
    pub(crate) requests: Mutex<Vec<DescribeRequest>>,
    answers: Mutex<VecDeque<Answer>>,
    /// Permits to answer; plenty unless a test takes them away.
    pub(crate) gate: Semaphore,
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

    async fn describe(&self, request: &DescribeRequest, _ledger: &dyn argus_core::call::Ledger) -> DescribeOutcome {
        self.requests.lock().unwrap().push(request.clone());
        self.gate.acquire().await.unwrap().forget();
        let plain = Answer::Says { text: "A cat.", confidence: Some(80), cost: None };
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(plain);
        let mut record = CallRecord {
            provider: Some("openai".into()),
            provider_name: Some("Paid".into()),
            model: Some("script-1".into()),
            prompt: "the whole prompt".into(),
            latency_ms: Some(7),
            ..CallRecord::default()
        };
        let result = match answer {
            Answer::Says { text, confidence, cost } => {
                record.cost = cost;
                Ok(Description { text: text.into(), confidence, objects: vec![ObjectKind::Animal], low_confidence: false })
            }
            Answer::Fails(kind) => Err(DescribeError { kind, message: "as told".into(), retry_after: None }),
        };
        DescribeOutcome { record, result }
    }

    async fn test(
        &self,
        _provider: &argus_core::provider::StoredProvider,
        _ledger: &dyn argus_core::call::Ledger,
    ) -> argus_core::provider::ProviderTest {
        unimplemented!("no test of the engine tries a provider")
    }

    async fn resend(
        &self,
        _call: &argus_core::describe::Resend,
        _ledger: &dyn argus_core::call::Ledger,
    ) -> DescribeOutcome {
        unimplemented!("no test of the engine sends a call again")
    }
}
