//! The nouns of Argus, their rules, the pure decisions, and the seams between its crates.
//!
//! Nothing here does I/O, knows a runtime, a database, HTTP or GStreamer, or reads a clock: time is an argument, or comes
//! from a [`Clock`].
//!
//! ```
//! use std::time::Duration;
//! use argus_core::Timestamp;
//! use argus_core::episode::{EpisodeAction, EpisodeInput, EpisodeRules, EpisodeState, step};
//!
//! let rules = EpisodeRules {
//!     min_duration: Duration::ZERO,
//!     cooldown: Duration::from_secs(30),
//!     post_roll: Duration::from_secs(5),
//!     max_length: Duration::from_secs(60),
//! };
//! let at = Timestamp::from_millis(1_766_485_800_000);
//! let moving = EpisodeInput::Picture { moving: true, active: true };
//! let (state, actions) = step(&rules, EpisodeState::default(), moving, at);
//! assert_eq!(actions.into_iter().next(), Some(EpisodeAction::Start { at }));
//! assert_eq!(state, EpisodeState::Running { since: at, last_motion: at });
//! ```

pub mod api_key;
pub mod budget;
pub mod calendar;
pub mod call;
pub mod camera;
pub mod controller;
pub mod describe;
pub mod episode;
mod error;
pub mod event;
pub mod figures;
mod id;
pub mod journal;
pub mod media;
mod names;
pub mod notification;
mod picture;
pub mod ports;
mod privacy;
pub mod provider;
pub mod retention;
pub mod route;
pub mod schedule;
mod secret;
pub mod settings;
pub mod status;
pub mod storage;
mod text;
mod time;
pub mod usage;
pub mod user;
pub mod zone;

pub use error::{Classify, ErrorClass, Faults, Invalid, chain};
pub use id::{
    AnalysisId, ApiKeyId, CallId, CameraId, ControllerId, EventId, GroupId, NotificationId, ProviderId, SessionId,
    UserId,
};
pub use picture::{LumaPlane, Picture};
pub use privacy::PrivacyMask;
pub use secret::Secret;
pub use time::{Clock, ManualClock, Timestamp};
