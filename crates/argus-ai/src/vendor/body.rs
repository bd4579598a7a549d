//! What the bodies of all vendors have in common: pictures as base64 that is written where it is sent, without a copy.

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Serialize, Serializer};

use super::{Question, QuestionFrame};

/// What stands around a picture, bytes, generously: its label, and the names of the fields.
const AROUND: usize = 256;
/// The same of everything else: schema, parameters, the model's name.
const AROUND_ALL: usize = 8192;

/// A picture's bytes as base64.
#[derive(Clone, Copy)]
pub(super) struct Plain<'a>(pub(super) &'a QuestionFrame);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&Base64Display::new(&self.0.bytes, &STANDARD))
    }
}

/// A picture as a data URI (RFC 2397).
#[derive(Clone, Copy)]
pub(super) struct DataUri<'a>(pub(super) &'a QuestionFrame);

impl Serialize for DataUri<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let bytes = Base64Display::new(&self.0.bytes, &STANDARD);
        to.collect_str(&format_args!("data:{};base64,{bytes}", self.0.media_type))
    }
}

/// Size of the body that `write` makes of the question, without encoding any picture.
pub(super) fn size(question: &Question, write: impl FnOnce(&Question) -> Vec<u8>) -> u64 {
    let pictures: usize = question.frames.iter().map(|frame| frame.bytes.len().div_ceil(3) * 4).sum();
    let blank = |frame: &QuestionFrame| QuestionFrame { bytes: Bytes::new(), ..frame.clone() };
    let rest = write(&Question { frames: question.frames.iter().map(blank).collect(), ..question.clone() });
    (pictures + rest.len()) as u64
}

/// The body of a question, in memory that is taken once: growing with the pictures, it would be copied again and again.
pub(super) fn whole(question: &Question, body: &impl Serialize) -> Bytes {
    let pictures: usize = question.frames.iter().map(|frame| frame.bytes.len().div_ceil(3) * 4 + AROUND).sum();
    let mut bytes = Vec::with_capacity(pictures + question.prompt.len() / 8 * 9 + AROUND_ALL);
    // As below.
    let _infallible = serde_json::to_writer(&mut bytes, body);
    bytes.into()
}

/// The body. Nothing in a body can fail to be written: there are only texts, numbers and maps with texts as keys.
pub(super) fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_written_as_they_are_and_measured_without_it() {
        for length in 0..7 {
            let frame =
                QuestionFrame { label: "one".into(), bytes: Bytes::from(vec![0xfb; length]), media_type: "image/png" };
            let question = Question {
                prompt: String::new(),
                frames: vec![frame.clone()],
                schema: serde_json::Value::Null,
                max_output_tokens: 1,
                parameters: None,
            };
            let write = |q: &Question| json(&q.frames.iter().map(DataUri).collect::<Vec<_>>());
            let whole = write(&question);
            assert_eq!(size(&question, write), whole.len() as u64, "{length}");
            let text = String::from_utf8(json(&DataUri(&frame))).unwrap();
            let plain = String::from_utf8(json(&Plain(&frame))).unwrap();
            assert_eq!(text, format!("\"data:image/png;base64,{}\"", plain.trim_matches('"')));
        }
    }
}
