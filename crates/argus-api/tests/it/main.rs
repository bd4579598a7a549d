//! The interface as its clients see it: a real server on a free port, a real database in a temporary folder, and in place
//! of the running system one that only keeps books.

mod auth;
mod bodies;
mod cameras;
mod events;
mod health;
mod journal;
mod media;
mod outer;
mod rate;
mod support;
mod sweep;
mod ws;
