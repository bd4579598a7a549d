//! The helpers themselves: a test that runs against a broken camera proves nothing.

mod clips;
mod program;
mod rtsp;
mod scene;
mod secrets;
mod server;
mod wait;
mod ws;
