//! End-to-end tests: the real program against real servers.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "all of this crate is tests, its helper functions too"
)]

mod accounts;
mod ai;
mod common;
mod crash;
mod describe;
mod editing;
mod full_disk;
mod helpers;
mod live;
mod logs;
mod main_job;
mod many;
mod network;
mod outages;
mod pages;
mod postgres;
mod privacy;
mod protect;
mod readme;
mod replay;
mod retention;
mod schemathesis;
mod seal;
mod sources;
mod stop;
