//! What will be sent to a provider, and what it may cost at most: known before anything leaves.

use argus_core::call::{PlannedCall, SentFrame, UNSENT};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::answer::schema;
use crate::frames::{Crop, Picture, Shot};
use crate::member::Member;
use crate::prices;
use crate::prompt::{PROMPT_VERSION, Prompt};
use crate::vendor::{Question, QuestionFrame, Reach, Vendor};

/// What vendors add around messages and pictures, tokens, generously.
const OVERHEAD_TOKENS: u32 = 256;
/// The same for each picture.
const OVERHEAD_PICTURE_TOKENS: u32 = 32;

/// A request, ready to be booked and sent.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) question: Question,
    /// As the ledger and the receipt keep it.
    pub(crate) prompt: String,
    /// The same of what is sent beside it.
    pub(crate) parameters: Map<String, Value>,
    sent: Vec<SentFrame>,
    estimate: Option<f64>,
}

/// How the pictures of a request were made.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    prompt_version: u32,
    pictures: Vec<NotedPicture>,
}

#[derive(Debug, Serialize, Deserialize)]
struct NotedPicture {
    /// The stored picture.
    index: u32,
    /// Of what was sent, hex.
    sha256: String,
    /// Absent when the stored file itself was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made: Option<Made>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Made {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crop: Option<Crop>,
    width: u32,
    height: u32,
}

impl Plan {
    /// The request to a provider. With `fixed` the parameters are those of an earlier call.
    pub(crate) fn new(
        member: &Member,
        vendor: &dyn Vendor,
        prompt: &Prompt,
        pictures: &[Picture],
        fixed: Option<Map<String, Value>>,
    ) -> Self {
        let frames = prompt.labels.iter().zip(pictures).map(|(label, picture)| QuestionFrame {
            label: label.clone(),
            bytes: picture.bytes.clone(),
            media_type: "image/jpeg",
        });
        let question = Question {
            prompt: prompt.text.clone(),
            frames: frames.collect(),
            schema: schema(),
            max_output_tokens: member.config().max_output_tokens.into(),
            parameters: fixed.as_ref().map(without_note),
        };
        let sizes: Vec<(u32, u32)> = pictures.iter().map(|p| (p.shot.width, p.shot.height)).collect();
        let output = fixed.as_ref().and_then(longest_answer).unwrap_or_default().max(question.max_output_tokens);
        let parameters = fixed.unwrap_or_else(|| noted(vendor.parameters(&question), pictures));
        Self {
            prompt: prompt.whole(),
            sent: pictures.iter().map(sent).collect(),
            estimate: estimate(member, prompt, &sizes, output),
            parameters,
            question,
        }
    }

    /// As it is booked.
    pub(crate) fn booked(&self, member: &Member, vendor: &dyn Vendor, reach: Reach) -> PlannedCall {
        PlannedCall {
            provider: vendor.kind(),
            model: vendor.model().to_owned(),
            host: Some(vendor.host()),
            is_remote: reach.is_remote() || runs_elsewhere(vendor.model()),
            prompt: self.prompt.clone(),
            parameters: self.parameters.clone(),
            frames: self.sent.clone(),
            bytes: vendor.body_bytes(&self.question),
            estimate: self.estimate,
            ..booked_by(member)
        }
    }

    /// The most that it may cost.
    pub(crate) fn estimate(&self) -> Option<f64> {
        self.estimate
    }
}

/// A call of a provider that sends nothing: it costs what the table says, which is nothing.
pub(crate) fn booked_by(member: &Member) -> PlannedCall {
    PlannedCall {
        provider_id: Some(member.stored.id),
        provider: member.config().kind,
        provider_name: member.config().name.clone(),
        model: member.config().model.clone(),
        host: None,
        is_remote: false,
        prompt: String::new(),
        parameters: Map::new(),
        frames: Vec::new(),
        bytes: 0,
        estimate: prices::cost(member.prices, Some(0), Some(0)),
        price_version: member.price_version.clone(),
    }
}

/// Ollama hands models with this ending on to its makers: what is sent to the own machine leaves it
/// (<https://docs.ollama.com/cloud>). It does so whichever of its APIs is spoken to, so that the kind tells nothing.
fn runs_elsewhere(model: &str) -> bool {
    let model = model.trim().to_lowercase();
    model.ends_with("-cloud") || model.ends_with(":cloud")
}

/// The most that a request may cost. A token is at least one byte of text, so that the bytes bound the tokens whatever
/// the language; pictures count by the vendor's own rule.
pub(crate) fn estimate(member: &Member, prompt: &Prompt, sizes: &[(u32, u32)], output: u32) -> Option<f64> {
    let config = member.config();
    let text = prompt.text.len() + prompt.labels.iter().map(String::len).sum::<usize>() + schema().to_string().len();
    let text = u32::try_from(text).unwrap_or(u32::MAX);
    let pictures = sizes.iter().fold(0_u32, |sum, (width, height)| {
        let one = prices::picture_tokens(config.kind, &config.model, *width, *height);
        sum.saturating_add(one).saturating_add(OVERHEAD_PICTURE_TOKENS)
    });
    let input = text.saturating_add(pictures).saturating_add(OVERHEAD_TOKENS);
    prices::cost(member.prices, Some(input), Some(output))
}

fn sent(picture: &Picture) -> SentFrame {
    SentFrame {
        index: Some(picture.shot.index),
        sha256: picture.sha256.clone(),
        width: picture.shot.width,
        height: picture.shot.height,
        bytes: u64::try_from(picture.bytes.len()).unwrap_or(u64::MAX),
    }
}

fn noted(mut parameters: Map<String, Value>, pictures: &[Picture]) -> Map<String, Value> {
    let of = |picture: &Picture| NotedPicture {
        index: picture.shot.index,
        sha256: picture.sha256.clone(),
        made: (!picture.shot.as_stored).then_some(Made {
            crop: picture.shot.crop,
            width: picture.shot.width,
            height: picture.shot.height,
        }),
    };
    let note = Note { prompt_version: PROMPT_VERSION, pictures: pictures.iter().map(of).collect() };
    if let Ok(note) = serde_json::to_value(note) {
        parameters.insert(UNSENT.to_owned(), note);
    }
    parameters
}

fn without_note(parameters: &Map<String, Value>) -> Map<String, Value> {
    parameters.iter().filter(|(name, _)| *name != UNSENT).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// How the pictures of an earlier call were made, in order, each with what its bytes must be; `None` when its
/// parameters do not tell.
pub(crate) fn shots_of(parameters: &Map<String, Value>) -> Option<Vec<(Shot, String)>> {
    let note: Note = serde_json::from_value(parameters.get(UNSENT)?.clone()).ok()?;
    let shot = |picture: NotedPicture| {
        let blank = Shot { index: picture.index, offset_ms: 0, crop: None, width: 0, height: 0, as_stored: true };
        let shot = match picture.made {
            None => blank,
            Some(Made { crop, width, height }) => Shot { crop, width, height, as_stored: false, ..blank },
        };
        (shot, picture.sha256)
    };
    Some(note.pictures.into_iter().map(shot).collect())
}

/// The limit of the answer as the parameters name it, whoever's they are.
fn longest_answer(parameters: &Map<String, Value>) -> Option<u32> {
    parameters
        .iter()
        .filter(|(name, _)| *name != UNSENT)
        .filter_map(|(name, value)| match value {
            Value::Object(inner) => longest_answer(inner),
            Value::Number(n) => {
                let name = name.to_lowercase();
                let limits = (name.contains("max") && name.contains("token")) || name == "num_predict";
                n.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|_| limits)
            }
            _ => None,
        })
        .max()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn models_of_a_cloud_are_not_at_home() {
        for model in ["gpt-oss:120b-cloud", "qwen3-vl:Cloud", "kimi-k2.5:CLOUD"] {
            assert!(runs_elsewhere(model), "{model}");
        }
        for model in ["llava", "cloud:7b", "my-cloud:7b", ""] {
            assert!(!runs_elsewhere(model), "{model}");
        }
    }

    #[test]
    fn the_limit_of_an_answer_is_found_under_every_name() {
        let check = |value: Value, expected| assert_eq!(longest_answer(&map(value)), expected);
        check(json!({ "max_tokens": 400, "format": {} }), Some(400));
        check(json!({ "max_completion_tokens": 300 }), Some(300));
        check(json!({ "generationConfig": { "maxOutputTokens": 200, "temperature": 9 } }), Some(200));
        check(json!({ "options": { "num_predict": 100 } }), Some(100));
        check(json!({ "temperature": 1, "argus": { "max_tokens": 7 } }), None);
    }

    #[test]
    fn how_pictures_were_made_is_told_again() {
        let shot = Shot { index: 3, offset_ms: 0, crop: None, width: 0, height: 0, as_stored: true };
        let crop = Some(Crop { x: 1, y: 2, width: 3, height: 4 });
        let part = Shot { crop, width: 9, height: 12, as_stored: false, ..shot.clone() };
        let picture = |shot: &Shot| Picture { shot: shot.clone(), bytes: "x".into(), sha256: "ab".into() };
        let parameters = noted(map(json!({ "max_tokens": 1 })), &[picture(&shot), picture(&part)]);
        assert_eq!(without_note(&parameters), map(json!({ "max_tokens": 1 })));
        assert_eq!(shots_of(&parameters), Some(vec![(shot, "ab".into()), (part, "ab".into())]));
        assert_eq!(shots_of(&Map::new()), None);
        assert_eq!(shots_of(&map(json!({ "argus": "x" }))), None);
    }
}
