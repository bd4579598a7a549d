//! Messages of the private update stream: an action frame and a data frame, back to back.
//!
//! A frame is a header of 8 bytes (packet type 1 action or 2 data; format 1 JSON, 2 text, 3 bytes; 1 when deflated; 0; size
//! of the payload as a 32-bit big-endian number) and the payload, deflated as a zlib container (RFC 1950).

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::{Value, json};

const HEADER: usize = 8;

/// A whole message, deflated as consoles send it.
#[must_use]
pub fn encode(action: &Value, data: &Value) -> Vec<u8> {
    join(&frame(1, 1, true, &bytes_of(action)), &frame(2, 1, true, &bytes_of(data)))
}

/// A whole message that is not deflated: legal, and seen in logs of clients.
#[must_use]
pub fn encode_plain(action: &Value, data: &Value) -> Vec<u8> {
    join(&frame(1, 1, false, &bytes_of(action)), &frame(2, 1, false, &bytes_of(data)))
}

/// One frame.
#[must_use]
pub fn frame(packet: u8, format: u8, deflated: bool, payload: &[u8]) -> Vec<u8> {
    let payload = if deflated { deflate(payload) } else { payload.to_vec() };
    let size = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(HEADER + payload.len());
    out.extend([packet, format, u8::from(deflated), 0]);
    out.extend(size.to_be_bytes());
    out.extend(payload);
    out
}

/// Messages that a client must refuse without harm, each with what is wrong with it.
#[must_use]
pub fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let action = bytes_of(&json!({"action": "update", "newUpdateId": "00000000-0000-4000-8000-00000000bad0",
        "modelKey": "camera", "id": "0123456789abcdef01234567"}));
    let data = bytes_of(&json!({"name": "Never to be seen"}));
    let good_action = frame(1, 1, true, &action);
    let good = join(&good_action, &frame(2, 1, true, &data));
    let with = |at: usize, value: u8| {
        let mut changed = good.clone();
        if let Some(byte) = changed.get_mut(at) {
            *byte = value;
        }
        changed
    };
    let cut = |length: usize| good.get(..length).unwrap_or_default().to_vec();
    let second = good_action.len();
    vec![
        ("nothing", Vec::new()),
        ("half a header", cut(5)),
        ("a header alone", cut(HEADER)),
        ("no data frame", good_action.clone()),
        ("half of the second header", cut(second + 4)),
        ("a cut payload", cut(good.len() - 3)),
        ("bytes left over", join(&good, b"more")),
        ("frames in the wrong order", join(&frame(2, 1, true, &data), &good_action)),
        ("two action frames", join(&good_action, &good_action)),
        ("an unknown packet type", with(0, 9)),
        ("an unknown format", with(1, 7)),
        ("an unknown compression", with(second + 2, 2)),
        ("a size beyond the end", with(4, 0xff)),
        ("a size beyond the end in the second frame", with(second + 4, 0x7f)),
        ("plain text said to be deflated", join(&good_action, &raw(2, 1, 1, b"{\"name\":1}"))),
        ("deflated bytes said to be plain", with(2, 0)),
        ("broken JSON", join(&good_action, &frame(2, 1, true, b"{\"name\":"))),
        ("text that is not UTF-8", join(&good_action, &frame(2, 1, true, b"{\"name\":\"\xff\xfe\"}"))),
        ("an action that is no object", join(&frame(1, 1, true, b"[1,2]"), &frame(2, 1, true, &data))),
        ("an empty payload", join(&frame(1, 1, false, b""), &frame(2, 1, false, b""))),
    ]
}

/// A message of some ten kilobytes whose data would be `bytes` long once inflated.
#[must_use]
pub fn bomb(bytes: usize) -> Vec<u8> {
    static PIECE: [u8; 65536] = [b' '; 65536];
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    let mut left = bytes;
    while left > 0 {
        let now = left.min(PIECE.len());
        // Writing into a vector cannot fail.
        let _ = encoder.write_all(PIECE.get(..now).unwrap_or_default());
        left -= now;
    }
    let payload = encoder.finish().unwrap_or_default();
    let action =
        json!({"action": "update", "newUpdateId": null, "modelKey": "camera", "id": "0123456789abcdef01234567"});
    join(&frame(1, 1, true, &bytes_of(&action)), &raw(2, 1, 1, &payload))
}

/// A frame whose header says `deflated` whatever the payload is.
fn raw(packet: u8, format: u8, deflated: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = frame(packet, format, false, payload);
    if let Some(flag) = out.get_mut(2) {
        *flag = deflated;
    }
    out
}

fn deflate(payload: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing into a vector cannot fail.
    let _ = encoder.write_all(payload);
    encoder.finish().unwrap_or_default()
}

fn bytes_of(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn join(first: &[u8], second: &[u8]) -> Vec<u8> {
    [first, second].concat()
}
