//! Recorded data (`fixtures/README.md` says where it comes from).

use serde_json::Value;

/// The bootstrap of a site with 12 cameras, Protect 1.21.
#[must_use]
pub fn bootstrap_a() -> Value {
    parse(include_str!("../fixtures/private/bootstrap_a.json"))
}

/// The bootstrap of a site with 6 cameras, Protect 1.20.
#[must_use]
pub fn bootstrap_b() -> Value {
    parse(include_str!("../fixtures/private/bootstrap_b.json"))
}

/// 131 messages that followed on bootstrap A: `t`, `raw_b64`, `action`, `data`.
#[must_use]
pub fn frames_a() -> Vec<Value> {
    lines(include_str!("../fixtures/private/ws_frames_a.jsonl"))
}

/// 51 messages that followed on bootstrap B.
#[must_use]
pub fn frames_b() -> Vec<Value> {
    lines(include_str!("../fixtures/private/ws_frames_b.jsonl"))
}

/// 77 events as `GET events` answers them.
#[must_use]
pub fn events() -> Vec<Value> {
    match parse(include_str!("../fixtures/private/events.json")) {
        Value::Array(events) => events,
        _ => Vec::new(),
    }
}

pub(crate) fn track() -> Value {
    parse(include_str!("../fixtures/private/smart_detect_track.json"))
}

/// 23 s of H.264.
pub(crate) const CLIP: &[u8] = include_bytes!("../fixtures/media/clip_23s_blank.mp4");

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(parse).collect()
}
