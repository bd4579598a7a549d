//! The HTTP and WebSocket interface of Argus.
//!
//! It reads the database, asks the running system through [`Control`](argus_core::ports::Control), and gives out media
//! from an object store. It must not know GStreamer, vendors of AI, or how cameras are run: what changes them goes through
//! that one trait. Every handler names the permission it needs in its signature ([`auth::Caller`]), every failure becomes
//! an answer in one place ([`ApiError`]).
//!
//! ```no_run
//! use std::sync::Arc;
//! use argus_api::{ApiError, AppState, bind};
//!
//! async fn serve(state: AppState) -> Result<(), ApiError> {
//!     let bound = bind(state, &["127.0.0.1:8000".parse().unwrap()])?;
//!     println!("listening on {:?}", bound.addrs());
//!     bound.run().await // until state.shutdown is cancelled
//! }
//! ```

mod access;
pub mod api_keys;
pub mod auth;
mod body;
pub mod cameras;
mod docs;
mod error;
pub mod events;
mod feed;
pub mod health;
mod http_config;
mod ids;
pub mod journal;
pub mod list;
mod media;
mod metrics;
pub mod openapi;
mod outer;
pub mod paths;
mod peer;
mod query;
mod rate;
mod request_id;
mod routes;
mod serve;
mod state;
mod usage;
mod ws;

pub use error::{ApiError, ErrorBody, FieldError};
pub use http_config::{HttpConfig, Origin, TlsFiles, network};
pub use serve::{Bound, bind};
pub use state::{AppState, Timing};
