//! The binary messages of the local update stream: two frames back to back, what happened and to what.
//!
//! ```text
//! message := action-frame data-frame
//! frame   := header(8 bytes) payload(size bytes)
//! byte 0: 1 = action, 2 = data        byte 1: 1 = JSON, 2 = UTF-8 text, 3 = bytes
//! byte 2: 0 = plain, 1 = zlib         byte 3: reserved
//! bytes 4..8: size of the payload as it follows, unsigned, big-endian
//! ```
//!
//! Strict on purpose: a message that is off by one byte is dropped and counted, because guessing where its parts begin
//! would invent events. Measured on two recorded consoles, 182 messages.

use std::io::Read;

use flate2::bufread::ZlibDecoder;
use serde_json::Value;

/// Bytes of a header.
const HEADER: usize = 8;

/// Most bytes of an inflated payload; the largest real ones are some tens of kilobytes.
pub const MAX_INFLATED: usize = 16 * 1024 * 1024;

/// Why a message was dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A header or payload reaches beyond the end.
    #[error("the message ends inside a frame")]
    Short,
    /// Bytes after the data frame, or after a compressed payload.
    #[error("bytes are left over")]
    LeftOver,
    /// The first frame is no action, or the second no data.
    #[error("packet type {0} in the wrong place")]
    PacketType(u8),
    /// A format that is not known.
    #[error("payload format {0} is not known")]
    Format(u8),
    /// Neither plain nor zlib.
    #[error("compression {0} is not known")]
    Compression(u8),
    /// The zlib container is broken.
    #[error("the payload cannot be inflated")]
    Inflate,
    /// More than [`MAX_INFLATED`].
    #[error("the payload inflates to more than {MAX_INFLATED} bytes")]
    TooLarge,
    /// Not the JSON that the header promises.
    #[error("the payload is not JSON")]
    Json,
    /// Not the text that the header promises.
    #[error("the payload is not UTF-8")]
    Text,
    /// The action is no object.
    #[error("the action is not a JSON object")]
    Action,
}

/// What a frame holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// JSON.
    Json(Value),
    /// Text.
    Text(String),
    /// Anything else.
    Bytes(Vec<u8>),
}

/// A decoded message.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    /// What happened: a JSON object.
    pub action: Value,
    /// To what.
    pub data: Payload,
}

/// What an action does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A new object, whole.
    Add,
    /// Changed keys.
    Update,
    /// It is gone.
    Remove,
    /// A word that is not known.
    Other(String),
}

/// A message with its action read.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// What it does.
    pub action: Action,
    /// The kind of object, such as `camera`; empty when it is not told.
    pub model: String,
    /// Which object; empty when it is not told.
    pub id: String,
    /// Where to resume after this message.
    pub resume: Option<String>,
    /// The object or its changed keys; null when the data is no JSON.
    pub data: Value,
}

/// Decodes a message.
///
/// # Errors
/// What is wrong with it.
pub fn decode(message: &[u8]) -> Result<Packet, FrameError> {
    let (action, rest) = frame(message, 1)?;
    let (data, rest) = frame(rest, 2)?;
    if !rest.is_empty() {
        return Err(FrameError::LeftOver);
    }
    match action {
        Payload::Json(action @ Value::Object(_)) => Ok(Packet { action, data }),
        _ => Err(FrameError::Action),
    }
}

/// Reads one frame and what follows it.
fn frame(bytes: &[u8], packet_type: u8) -> Result<(Payload, &[u8]), FrameError> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>().ok_or(FrameError::Short)?;
    let [kind, format, compression, _reserved, size @ ..] = *header;
    if kind != packet_type {
        return Err(FrameError::PacketType(kind));
    }
    if !(1..=3).contains(&format) {
        return Err(FrameError::Format(format));
    }
    // Nothing is set aside from this number before it was held against what is there.
    let size = usize::try_from(u32::from_be_bytes(size)).unwrap_or(usize::MAX);
    let (payload, rest) = rest.split_at_checked(size).ok_or(FrameError::Short)?;
    let payload = match compression {
        0 => read(format, payload)?,
        1 => read(format, &inflate(payload)?)?,
        other => return Err(FrameError::Compression(other)),
    };
    Ok((payload, rest))
}

fn read(format: u8, payload: &[u8]) -> Result<Payload, FrameError> {
    if payload.len() > MAX_INFLATED {
        return Err(FrameError::TooLarge);
    }
    match format {
        1 => serde_json::from_slice(payload).map(Payload::Json).map_err(|_json: serde_json::Error| FrameError::Json),
        2 => String::from_utf8(payload.to_vec()).map(Payload::Text).map_err(|_text| FrameError::Text),
        _ => Ok(Payload::Bytes(payload.to_vec())),
    }
}

/// Inflates a zlib container (RFC 1950), checksum included.
fn inflate(payload: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut decoder = ZlibDecoder::new(payload);
    let mut out = Vec::new();
    let limit = u64::try_from(MAX_INFLATED).unwrap_or(u64::MAX);
    let read = (&mut decoder).take(limit.saturating_add(1)).read_to_end(&mut out);
    let length = read.map_err(|_io: std::io::Error| FrameError::Inflate)?;
    if length > MAX_INFLATED {
        return Err(FrameError::TooLarge);
    }
    if decoder.into_inner().is_empty() { Ok(out) } else { Err(FrameError::LeftOver) }
}

impl From<Packet> for Update {
    fn from(packet: Packet) -> Self {
        let text = |key: &str| packet.action.get(key).and_then(Value::as_str).unwrap_or_default();
        let action = match text("action") {
            "add" => Action::Add,
            "update" => Action::Update,
            "remove" => Action::Remove,
            other => Action::Other(other.to_owned()),
        };
        Self {
            action,
            model: text("modelKey").to_owned(),
            id: text("id").to_owned(),
            resume: Some(text("newUpdateId")).filter(|id| !id.is_empty()).map(ToOwned::to_owned),
            data: match packet.data {
                Payload::Json(data) => data,
                Payload::Text(_) | Payload::Bytes(_) => Value::Null,
            },
        }
    }
}

#[cfg(test)]
#[path = "frame/tests.rs"]
mod tests;
