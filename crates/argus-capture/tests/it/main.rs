//! Capture against real pipelines: files and a synthetic camera (`feeds`), a real RTSP server (`rtsp`).
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests fail as tests do")]

mod common;
mod feeds;
mod privacy;
mod redirect;
mod rtsp;
