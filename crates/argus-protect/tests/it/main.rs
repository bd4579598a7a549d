//! The client against a simulated controller, over real sockets.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod client;
mod limits;
mod media;
mod probe;
mod rig;
mod session;
mod streams;
mod trust;
