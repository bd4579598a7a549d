//! The fake controller seen from outside: by a plain client, and by real ones.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "all of this crate is tests, its helper functions too"
)]

mod access;
mod certify;
mod client;
mod driver;
mod faults;
mod integration;
mod media;
mod site;
mod streams;
