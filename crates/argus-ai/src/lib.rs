//! Puts events into words: vision models behind one registry, the chain that asks them in order, and a describer that
//! needs none of them.
//!
//! [`Providers`] is the [`Describer`](argus_core::ports::Describer) of the rest. It is told who there is, and may be told
//! anew at any time:
//!
//! - In order of priority, or of cost, the first that answers has the word. One deadline counts for all together. Whoever
//!   is passed over or fails stands in the receipt with the reason.
//! - A provider that fails again and again is left alone for a while; one that refuses the key, has no money left or does
//!   not know the model, at once; one that asks for time gets it. Each has limits of its own for calls at the same time
//!   and in a minute.
//! - Every call is booked in a [`Ledger`](argus_core::call::Ledger) with the most that it may cost before anything of it
//!   leaves, and settled before anybody uses its answer. Prices are a table with a version; one that is not in it is
//!   unknown, not guessed.
//! - An answer that says nothing is asked for once more with the reason, and marked when that does not help.
//! - A request can be sent again exactly as it was.
//!
//! Keys are never in errors, logs or `Debug`; redirects are not followed, answers are bounded in size and time, and TLS is
//! verified. What stands in a picture is data: it is no instruction to the model, and its answer is words, whatever it says.
//!
//! This crate must not know the database, cameras or HTTP handlers: pictures and facts come in, words and records go out.
//! The types of vendors never leave it.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use std::sync::Arc;
//!
//! use argus_ai::Providers;
//! use argus_core::call::Unbooked;
//! use argus_core::camera::AnalysisMode;
//! use argus_core::describe::{DescribeRequest, EventFacts, ProviderChoice};
//! use argus_core::event::DetectionType;
//! use argus_core::ports::Describer;
//! use argus_core::provider::{ProviderConfig, ProviderKind, StoredProvider};
//! use argus_core::{ManualClock, ProviderId, Timestamp};
//!
//! let now = Timestamp::from_millis(1_766_485_800_000);
//! let stored = |kind, model: &str, base_url: Option<&str>, priority| StoredProvider {
//!     id: ProviderId::new(now),
//!     created_at: now,
//!     updated_at: now,
//!     config: ProviderConfig {
//!         kind,
//!         name: ProviderKind::as_str(kind).into(),
//!         model: model.into(),
//!         base_url: base_url.map(Into::into),
//!         api_key: None,
//!         enabled: true,
//!         priority,
//!         timeout_s: 30,
//!         max_output_tokens: 400,
//!         prices: None,
//!         max_concurrent: 2,
//!         requests_per_minute: None,
//!     },
//! };
//! let providers = Providers::new(Arc::new(ManualClock::new(now)));
//! providers.configure(&[
//!     stored(ProviderKind::OpenAiCompatible, "qwen2.5-vl-7b", Some("http://127.0.0.1:9/v1"), 10),
//!     stored(ProviderKind::Builtin, "builtin-1", None, 1000),
//! ]);
//!
//! let request = DescribeRequest {
//!     frames: vec![], // without pictures only the built-in describer is asked
//!     facts: EventFacts {
//!         camera_name: "Front door".into(),
//!         started_at: now,
//!         duration_ms: Some(8_000),
//!         detection_type: DetectionType::Motion,
//!         zones: vec!["Path".into()],
//!         area: None,
//!         largest_ratio: None,
//!         first_center: Some((0.9, 0.5)),
//!         last_center: Some((0.2, 0.5)),
//!         confidence: 70,
//!     },
//!     picture: None,
//!     instruction: None,
//!     usual: None,
//!     language: "en".into(),
//!     timezone: "UTC".into(),
//!     mode: AnalysisMode::MultiFrame,
//!     choice: ProviderChoice::default(),
//!     within: std::time::Duration::from_secs(240),
//! };
//! let outcome = providers.describe(&request, &Unbooked).await;
//! assert_eq!(
//!     outcome.result.map(|d| d.text).as_deref(),
//!     Ok("Motion on Front door in the zone Path for 8 seconds. The movement went from right to left.")
//! );
//! assert_eq!(outcome.record.provider.as_deref(), Some("builtin"));
//! assert_eq!(outcome.record.fallback_path.len(), 1);
//! # }
//! ```

mod answer;
mod blocking;
mod breaker;
mod builtin;
mod call;
mod chain;
#[cfg(test)]
mod fake;
mod frames;
mod gate;
mod member;
mod plan;
mod prices;
mod prompt;
mod provider;
mod registry;
mod resend;
#[cfg(test)]
mod tests;
mod text;
mod trial;
mod vague;
mod vendor;

pub use builtin::BUILTIN_MODEL;
pub use registry::Providers;
