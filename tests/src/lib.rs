//! The servers and clients that the end-to-end tests of Argus run against: a real RTSP server with encoded video whose
//! ground truth is known, the `argus-server` process itself, and small HTTP and WebSocket clients. Vendors of vision models
//! are in `argus-ai-sim`.
//!
//! Everything listens on loopback, on a port that the system chose, and goes away when its value is dropped. Nothing here
//! knows how Argus works inside; it sees what a camera, a provider and a client see. A helper that cannot do its work
//! panics, because the test that asked for it has failed.
//!
//! ```no_run
//! use argus_tests::{rtsp::RtspServer, scene::Scene, server::ServerProcess};
//! use serde_json::json;
//!
//! # #[tokio::main] async fn main() {
//! let camera = RtspServer::builder().scene(Scene::MovingBox { every_s: 8, for_s: 3 }).start();
//! let dir = tempfile::tempdir().expect("a temporary folder");
//! let server = ServerProcess::start(dir.path()).await;
//! let client = server.client().await;
//! let made = client.post("/cameras", &json!({"name": "Door", "type": "rtsp", "rtsp_url": camera.url()})).await;
//! assert_eq!(made.status, 201);
//! # }
//! ```
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "test support: a helper that cannot do its work must fail the test there and then"
)]

pub mod browser;
pub mod clips;
pub mod cluster;
pub mod http;
pub mod net;
pub mod postgres;
pub mod protect;
pub mod rtsp;
pub mod scene;
pub mod secrets;
pub mod server;
pub mod wait;
pub mod ws;

/// Says so that nobody can miss it that a test proves nothing here, and why.
pub fn skip(what: &str, why: &dyn std::fmt::Display) {
    use std::io::Write as _;
    // Past the runner's capture: a test that passes is not shown.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}: {why}");
}
