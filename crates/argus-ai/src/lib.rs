//! Puts events into words: vision models behind one trait, the chain that asks them in order, and a describer that needs
//! none of them.
//!
//! - [`Builtin`] says what was measured, without pictures, network or cost.
//! - [`OpenAi`] asks any endpoint that speaks OpenAI's chat completions: OpenAI itself, llama.cpp, vLLM, LM Studio, …
//! - [`Chain`] asks them in order until one answers, and is the [`Describer`](argus_core::ports::Describer) of the rest.
//!
//! Every call ends in a complete record for the receipt, also when it fails. Keys are never in errors, logs or `Debug`;
//! redirects are not followed, answers are bounded in size and time, and TLS is verified.
//!
//! This crate must not know the database, cameras or HTTP handlers: pictures and facts come in, words and records go out.
//! The types of vendors never leave it.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), argus_ai::AiError> {
//! use std::sync::Arc;
//!
//! use argus_ai::{Builtin, Chain, OpenAi, OpenAiConfig, OpenAiKind};
//! use argus_core::camera::AnalysisMode;
//! use argus_core::describe::{DescribeRequest, EventFacts, ProviderChoice};
//! use argus_core::event::DetectionType;
//! use argus_core::ports::Describer;
//! use argus_core::{ManualClock, Timestamp};
//!
//! let now = Timestamp::from_millis(1_766_485_800_000);
//! let local = OpenAiConfig::new(OpenAiKind::Compatible, "http://127.0.0.1:9/v1", "qwen2.5-vl-7b");
//! let chain =
//!     Chain::new(vec![Arc::new(OpenAi::new(local)?), Arc::new(Builtin::new())], Arc::new(ManualClock::new(now)));
//!
//! let outcome = chain
//!     .describe(&DescribeRequest {
//!         frames: vec![], // without pictures only the built-in describer is asked
//!         facts: EventFacts {
//!             camera_name: "Front door".into(),
//!             started_at: now,
//!             duration_ms: Some(8_000),
//!             detection_type: DetectionType::Motion,
//!             zones: vec!["Path".into()],
//!             area: None,
//!             largest_ratio: None,
//!             first_center: Some((0.9, 0.5)),
//!             last_center: Some((0.2, 0.5)),
//!             confidence: 70,
//!         },
//!         instruction: None,
//!         usual: None,
//!         language: "en".into(),
//!         timezone: "UTC".into(),
//!         mode: AnalysisMode::MultiFrame,
//!         choice: ProviderChoice::default(),
//!         within: std::time::Duration::from_secs(240),
//!     }, &argus_core::call::Unbooked)
//!     .await;
//! assert_eq!(
//!     outcome.result.map(|d| d.text).as_deref(),
//!     Ok("Motion on Front door in the zone Path for 8 seconds. The movement went from right to left.")
//! );
//! assert_eq!(outcome.record.provider.as_deref(), Some("builtin"));
//! assert_eq!(outcome.record.fallback_path.len(), 1);
//! # Ok(())
//! # }
//! ```

mod answer;
mod breaker;
mod builtin;
mod chain;
mod error;
mod openai;
mod prices;
mod prompt;
mod provider;
mod text;
mod vendor;

pub use builtin::{BUILTIN_KIND, BUILTIN_MODEL, Builtin, first_sentence};
pub use chain::{Chain, DEFAULT_DEADLINE};
pub use error::AiError;
pub use openai::{OPENAI_BASE_URL, OpenAi, OpenAiConfig, OpenAiKind};
pub use prices::Prices;
pub use prompt::PROMPT_VERSION;
pub use provider::Provider;
