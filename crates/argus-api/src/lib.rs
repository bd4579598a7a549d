//! The HTTP and WebSocket interface of Argus.
//!
//! It reads the database, asks the running system through [`Control`](argus_core::ports::Control), and gives out media
//! from an object store. It must not know GStreamer, vendors of AI, or how cameras are run: what changes them goes through
//! that trait, and what changes controllers through [`ControllerControl`](argus_core::ports::ControllerControl). Every handler names the permission it needs in its signature ([`auth::Caller`]), every failure becomes
//! an answer in one place ([`ApiError`]).
//!
//! ```no_run
//! use std::net::SocketAddr;
//! use argus_api::{ApiError, AppState, bind};
//!
//! async fn serve(state: AppState) -> Result<(), ApiError> {
//!     let bound = bind(state, &[SocketAddr::from(([127, 0, 0, 1], 8000))])?;
//!     println!("listening on {:?}", bound.addrs());
//!     bound.run().await // until state.shutdown is cancelled
//! }
//! ```

mod access;
mod access_log;
pub mod account;
mod activity;
pub mod ai;
pub mod api_keys;
mod attempts;
pub mod auth;
mod body;
pub mod cameras;
mod conn;
mod cookies;
mod csrf;
mod docs;
mod error;
pub mod events;
mod feed;
mod grant;
mod headers;
pub mod health;
mod http_config;
mod ids;
pub mod journal;
mod key_cache;
pub mod list;
mod media;
mod metrics;
pub mod openapi;
mod outer;
mod passwords;
pub mod paths;
mod peer;
pub mod protect;
mod query;
mod random;
mod rate;
mod refresh;
mod request_id;
mod routes;
pub mod self_signed;
mod serve;
pub mod settings;
pub mod sign_in;
pub mod ssl;
mod state;
pub mod storage;
mod tickets;
mod tls;
mod usage;
pub mod users;
mod ws;

pub use error::{ApiError, ErrorBody, FieldError};
pub use http_config::{HttpConfig, Origin, TlsFiles, network};
pub use serve::{Bound, bind};
pub use state::{AppState, SignIn, Timing};
