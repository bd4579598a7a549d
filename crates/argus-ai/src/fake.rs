//! Doubles for tests: a vendor that does as it is told, and a ledger that keeps what it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use argus_core::call::{Ledger, PlannedCall, Refusal, SettledCall};
use argus_core::camera::AnalysisMode;
use argus_core::describe::{
    DescribeError, DescribeFailure, DescribeFrame, DescribeRequest, EventFacts, ProviderChoice,
};
use argus_core::event::DetectionType;
use argus_core::provider::{Prices, ProviderConfig, ProviderKind, StoredProvider};
use argus_core::{CallId, ManualClock, ProviderId, Timestamp};
use async_trait::async_trait;
use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use url::Url;

use crate::frames::hex;
use crate::registry::Providers;
use crate::vendor::{Answer, Asked, Question, Reach, Vendor};

pub(crate) const GOOD: &str = r#"{"description":"A man carries a parcel.","objects":["person"],"confidence":91}"#;
pub(crate) const VAGUE: &str = r#"{"description":"I see an image.","objects":[],"confidence":10}"#;

pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(1_766_485_800_000)
}

/// A picture in which every pixel differs from its neighbours.
pub(crate) fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let image = RgbImage::from_fn(width, height, |x, y| {
        let v = |n: u32| u8::try_from(n % 256).unwrap();
        Rgb([v(x * 7 + y), v(y * 5), v(x + y * 3)])
    });
    let mut bytes = Vec::new();
    image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 80)).unwrap();
    bytes
}

pub(crate) fn request(pictures: u32) -> DescribeRequest {
    static SMALL: OnceLock<Bytes> = OnceLock::new();
    let small = SMALL.get_or_init(|| jpeg(64, 48).into());
    let frame = |index: u32| DescribeFrame {
        index,
        offset_ms: i64::from(index) * 1000,
        sha256: hex(small),
        jpeg: small.clone(),
        width: 64,
        height: 48,
    };
    DescribeRequest {
        frames: (0..pictures).map(frame).collect(),
        facts: EventFacts {
            camera_name: "Front door".into(),
            started_at: now(),
            duration_ms: Some(8_000),
            detection_type: DetectionType::Motion,
            zones: vec!["Path".into()],
            area: None,
            largest_ratio: None,
            first_center: None,
            last_center: None,
            confidence: 70,
        },
        picture: None,
        instruction: None,
        usual: None,
        language: "en".into(),
        timezone: "UTC".into(),
        mode: AnalysisMode::MultiFrame,
        choice: ProviderChoice::default(),
        within: Duration::from_secs(60),
    }
}

pub(crate) fn config(kind: ProviderKind) -> ProviderConfig {
    ProviderConfig {
        kind,
        name: kind.as_str().into(),
        model: "fake-1".into(),
        base_url: None,
        api_key: None,
        enabled: true,
        priority: 10,
        timeout_s: 30,
        max_output_tokens: 400,
        prices: None,
        max_concurrent: 2,
        requests_per_minute: None,
    }
}

/// Of a name and a priority, at a dollar for a million tokens in and out.
pub(crate) fn stored(name: &str, priority: u16) -> StoredProvider {
    let prices = Prices { input_per_million: Some(1.0), output_per_million: Some(1.0) };
    let config =
        ProviderConfig { name: name.into(), priority, prices: Some(prices), ..config(ProviderKind::OpenAiCompatible) };
    StoredProvider { id: ProviderId::new(now()), created_at: now(), updated_at: now(), config }
}

pub(crate) fn builtin() -> StoredProvider {
    let config = ProviderConfig { model: crate::BUILTIN_MODEL.into(), priority: 1000, ..config(ProviderKind::Builtin) };
    StoredProvider { id: ProviderId::new(now()), created_at: now(), updated_at: now(), config }
}

/// What a fake vendor does when it is asked.
#[derive(Clone, Debug)]
pub(crate) enum Does {
    /// Says this after so many milliseconds.
    Says(&'static str, u64),
    /// Fails after so many milliseconds.
    Fails(DescribeFailure, u64),
    /// Wants to be left alone for so many seconds.
    Limits(u64),
    /// Refuses the way of asking.
    WantsAnotherWay,
    /// Does not describe these pictures.
    Refuses,
    /// Thinks until its limit is reached, is paid for that, and may be asked in another way.
    ThinksTooLong,
    /// Breaks off while it works, so that it may be paid for.
    BreaksOff,
    /// Uses up its time, as a good vendor does.
    TakesItsTime,
    /// For ever, against the rules.
    Hangs,
}

/// A vendor that does as it is told: each step once, the last again and again.
pub(crate) struct FakeVendor {
    model: String,
    url: Url,
    pub(crate) reach: Reach,
    script: Mutex<VecDeque<Does>>,
    ways: Mutex<u32>,
    /// What it was asked, and when.
    pub(crate) asked: Mutex<Vec<(Question, Instant)>>,
}

impl FakeVendor {
    pub(crate) fn new(script: impl IntoIterator<Item = Does>) -> Arc<Self> {
        Arc::new(Self {
            model: "fake-1".into(),
            url: Url::parse("http://203.0.113.7:8080/v1").unwrap(),
            reach: Reach::Remote,
            script: Mutex::new(script.into_iter().collect()),
            ways: Mutex::new(0),
            asked: Mutex::default(),
        })
    }

    pub(crate) fn calls(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    pub(crate) fn now_does(&self, does: Does) {
        *self.script.lock().unwrap() = [does].into();
    }
}

#[async_trait]
impl Vendor for FakeVendor {
    fn kind(&self) -> ProviderKind {
        ProviderKind::OpenAiCompatible
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn base_url(&self) -> &Url {
        &self.url
    }

    async fn reach(&self, _within: Duration) -> Result<Reach, DescribeError> {
        Ok(self.reach)
    }

    fn parameters(&self, question: &Question) -> Map<String, Value> {
        let way = *self.ways.lock().unwrap();
        question.parameters.clone().unwrap_or_else(|| {
            json!({ "max_tokens": question.max_output_tokens, "way": way }).as_object().unwrap().clone()
        })
    }

    fn body_bytes(&self, question: &Question) -> u64 {
        question.prompt.len() as u64
    }

    async fn ask(&self, question: &Question, _reach: Reach, within: Duration) -> Asked {
        self.asked.lock().unwrap().push((question.clone(), Instant::now()));
        let does = {
            let mut script = self.script.lock().unwrap();
            if script.len() > 1 { script.pop_front() } else { script.front().cloned() }.unwrap()
        };
        let fails = |kind, retry_after| Err(DescribeError { kind, message: "as told".into(), retry_after });
        let wait = |ms: u64| Duration::from_millis(ms).min(within);
        let mut ask_again = false;
        let maybe_charged = matches!(does, Does::BreaksOff);
        let refused = matches!(does, Does::Refuses);
        let counted = Answer { tokens_input: Some(1000), tokens_output: Some(400), ..Answer::default() };
        let spent = matches!(does, Does::ThinksTooLong | Does::Refuses).then_some(counted);
        let result = match does {
            Does::Says(_, ms) | Does::Fails(_, ms) if Duration::from_millis(ms) > within => {
                tokio::time::sleep(within).await;
                fails(DescribeFailure::Timeout, None)
            }
            Does::Says(text, ms) => {
                tokio::time::sleep(wait(ms)).await;
                Ok(Answer {
                    text: text.into(),
                    tokens_input: Some(1000),
                    tokens_output: Some(100),
                    ..Answer::default()
                })
            }
            Does::Fails(kind, ms) => {
                tokio::time::sleep(wait(ms)).await;
                fails(kind, None)
            }
            Does::Limits(s) => fails(DescribeFailure::RateLimited, Some(Duration::from_secs(s))),
            Does::WantsAnotherWay => {
                *self.ways.lock().unwrap() += 1;
                ask_again = true;
                fails(DescribeFailure::InvalidAnswer, None)
            }
            Does::BreaksOff => fails(DescribeFailure::ServerError, None),
            Does::ThinksTooLong => {
                ask_again = true;
                fails(DescribeFailure::InvalidAnswer, None)
            }
            Does::Refuses => fails(DescribeFailure::InvalidAnswer, None),
            Does::TakesItsTime => {
                tokio::time::sleep(within).await;
                fails(DescribeFailure::Timeout, None)
            }
            Does::Hangs => std::future::pending().await,
        };
        // A refusal has a body, an answer that never came has none.
        let raw = match &result {
            Ok(answer) => Some(answer.text.clone()),
            Err(error) => (error.kind != DescribeFailure::Timeout).then(|| "refused".into()),
        };
        Asked {
            result,
            spent,
            bytes_sent: Some(question.prompt.len() as u64),
            refused,
            maybe_charged,
            raw,
            bytes_received: 7,
            first_byte: Some(Duration::from_millis(1)),
            ask_again,
        }
    }

    async fn models(&self, _reach: Reach, _within: Duration) -> Result<Vec<String>, DescribeError> {
        Ok(vec!["fake-1".into(), "fake\n-2".into()])
    }
}

/// Keeps what is booked and settled, and refuses what it is told to.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) booked: Mutex<Vec<(CallId, PlannedCall)>>,
    pub(crate) settled: Mutex<Vec<(CallId, SettledCall)>>,
    /// By the provider's name.
    pub(crate) refuses: Mutex<Vec<(String, Refusal)>>,
}

impl Book {
    pub(crate) fn names(&self) -> Vec<String> {
        self.booked.lock().unwrap().iter().map(|(_, call)| call.provider_name.clone()).collect()
    }

    /// Whether every call that was booked was settled, once, in that order.
    pub(crate) fn is_closed(&self) -> bool {
        let ids = |of: Vec<CallId>| of;
        let mut booked = ids(self.booked.lock().unwrap().iter().map(|(id, _)| *id).collect());
        let mut settled = ids(self.settled.lock().unwrap().iter().map(|(id, _)| *id).collect());
        booked.sort();
        settled.sort();
        booked == settled
    }
}

#[async_trait]
impl Ledger for Book {
    async fn book(&self, call: &PlannedCall) -> Result<CallId, Refusal> {
        let refuses = self.refuses.lock().unwrap();
        if let Some((_, refusal)) = refuses.iter().find(|(name, _)| *name == call.provider_name) {
            return Err(refusal.clone());
        }
        let id = CallId::new(now());
        self.booked.lock().unwrap().push((id, call.clone()));
        Ok(id)
    }

    async fn settle(&self, id: CallId, settled: &SettledCall) {
        assert!(self.booked.lock().unwrap().iter().any(|(booked, _)| *booked == id), "settled before it was booked");
        self.settled.lock().unwrap().push((id, settled.clone()));
    }
}

/// A registry of fake vendors, by name.
pub(crate) struct Rig {
    pub(crate) providers: Providers,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) book: Book,
}

impl Rig {
    pub(crate) fn new(vendors: &[(&StoredProvider, &Arc<FakeVendor>)]) -> Self {
        let clock = Arc::new(ManualClock::new(now()));
        let known: Vec<(String, Arc<FakeVendor>)> =
            vendors.iter().map(|(stored, vendor)| (stored.config.name.clone(), Arc::clone(vendor))).collect();
        let make = move |config: &ProviderConfig| {
            let found = known.iter().find(|(name, _)| *name == config.name).map(|(_, vendor)| Arc::clone(vendor));
            found
                .map(|vendor| vendor as Arc<dyn Vendor>)
                .ok_or_else(|| argus_core::Faults(vec![argus_core::Invalid::new("base_url", "is nobody's")]))
        };
        let providers = Providers::with_vendors(Arc::<ManualClock>::clone(&clock), Box::new(make));
        Self { providers, clock, book: Book::default() }
    }
}
