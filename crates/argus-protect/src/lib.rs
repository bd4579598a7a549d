//! A client of UniFi Protect controllers: their cameras, what they see as it happens, pictures and clips.
//!
//! It speaks both interfaces of a console, the integration interface with an API key and the local one with an account,
//! and uses the one that can do more for a task. This crate implements [`argus_core::controller::Controllers`]. It must not
//! know the database, the events of this server, or HTTP as a server; it reads wall time from a [`argus_core::Clock`].
//!
//! [`Protect`] keeps connections: it signs in once, follows the streams, notices when they fall silent, fetches what was
//! missed, and tells each detection once. [`Client`] is the part below it, for one question at a time.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # async fn run(clock: Arc<dyn argus_core::Clock>) -> Result<(), Box<dyn std::error::Error>> {
//! use argus_core::controller::{ControllerConfig, ControllerItem, ControllerPlan, Controllers as _};
//! use argus_core::{ControllerId, Secret, Timestamp};
//! use argus_protect::{Protect, Tuning};
//!
//! let protect = Protect::new(clock, std::env::temp_dir(), Tuning::default());
//! let config = ControllerConfig {
//!     name: "House".into(),
//!     host: "192.0.2.1".into(),
//!     port: 443,
//!     api_key: None,
//!     username: Some("argus".into()),
//!     password: Some(Secret::new("secret")),
//!     verify_tls: true,
//!     certificate_sha256: None,
//!     is_enabled: true,
//! };
//! let probe = protect.probe(&config).await;
//! println!("{}", probe.message);
//! // Most consoles have a certificate of their own making: look at it, then pin it.
//! let config = ControllerConfig { certificate_sha256: probe.certificate_sha256, ..config };
//! # let id: ControllerId = "01900000-0000-7000-8000-000000000000".parse()?;
//! let mut open = protect.open(ControllerPlan { id, config, kept: None, known_until: None });
//! while let Some(item) = open.stream.next().await {
//!     if let ControllerItem::Happening(happening) = item {
//!         println!("{:?} {:?} at {}", happening.phase, happening.kinds, happening.device);
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod backoff;
mod breaker;
mod client;
mod clock;
mod cookie;
mod error;
pub mod frame;
mod handle;
mod http;
mod hub;
mod inventory;
mod local;
mod lockout;
mod media;
mod official;
mod pace;
mod probe;
mod protect;
mod queue;
mod rtsps;
mod session;
mod state;
mod supervisor;
mod tls;
pub mod tracker;
mod tuning;
mod watch;
pub mod wire;
mod ws;

pub use client::Client;
pub use clock::ConsoleClock;
pub use error::ProtectError;
pub use local::{History, Local, Updates};
pub use official::Official;
pub use protect::Protect;
pub use session::Session;
pub use tls::Shown;
pub use tuning::Tuning;
