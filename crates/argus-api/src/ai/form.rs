//! The question of `/ai/describe`, as a form or as JSON.

use actix_multipart::Multipart;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use argus_core::Faults;
use argus_core::ports::PictureQuestion;
use bytes::Bytes;
use deserr::Deserr;
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::Value as Json;
use utoipa::ToSchema;

use super::{picture, shallow};
use crate::body::{Decoded, Faulty, Large, Patch, decode};
use crate::error::ApiError;

/// Most parts of a form.
const MOST_PARTS: usize = 16;
/// Longest prompt, characters.
const PROMPT: usize = 2000;
/// Longest name of a provider, characters.
const PROVIDER: usize = 100;

/// What is asked about the picture.
#[derive(Clone, Debug, Default, Deserr)]
#[deserr(deny_unknown_fields, error = Faulty)]
struct Wishes {
    #[deserr(default)]
    prompt: Patch<String>,
    #[deserr(default)]
    provider: Patch<String>,
}

/// A picture to be described, as JSON.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; the picture is taken out of it before the rest is decoded")]
pub(crate) struct DescribeBody {
    /// JPEG, PNG or WebP, 20 MiB and 50 megapixels at most: base64, or a data URI with base64.
    #[schema(min_length = 1)]
    image: String,
    /// Replaces the instruction of the settings.
    #[schema(max_length = 2000)]
    prompt: Option<String>,
    /// Id or name of a provider; then there is no fall-back to another.
    #[schema(min_length = 1, max_length = 100)]
    provider: Option<String>,
}

/// A picture to be described, as a form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; the parts are read one by one")]
pub(crate) struct DescribeForm {
    /// One JPEG, PNG or WebP, 20 MiB and 50 megapixels at most.
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    image: Vec<u8>,
    /// Replaces the instruction of the settings.
    #[schema(max_length = 2000, required = false)]
    prompt: String,
    /// Id or name of a provider; then there is no fall-back to another.
    #[schema(max_length = 100, required = false)]
    provider: String,
}

/// Reads the question. Size and format of the picture are judged before anything else of it.
///
/// # Errors
/// `Malformed`, `Oversized`, `Unsupported`, `Invalid` with every fault.
pub(super) async fn question(body: Large) -> Result<PictureQuestion, ApiError> {
    let (image, decoded) = match body {
        Large::Json(body) => of_json(shallow::parse(&body)?)?,
        Large::Form(bytes, kind) => of_form(bytes, kind).await?,
    };
    let mut faults = match image.as_ref().map(|image| picture::check(image)) {
        Some(Err(ApiError::Invalid(faults))) => faults,
        Some(Err(failure)) => return Err(failure),
        Some(Ok(())) | None => Faults::default(),
    };
    let Wishes { prompt, provider } = decoded.value.clone();
    let prompt = text(&mut faults, "prompt", prompt, PROMPT).filter(|p| !p.is_empty());
    let provider = text(&mut faults, "provider", provider, PROVIDER);
    if provider.as_deref() == Some("") {
        faults.add("provider", "must not be empty");
    }
    match (image, decoded.is_sound() && faults.is_empty()) {
        (Some(image), true) => Ok(PictureQuestion { image, prompt, provider }),
        _ => Err(decoded.with(faults).into()),
    }
}

fn text(faults: &mut Faults, field: &str, given: Patch<String>, most: usize) -> Option<String> {
    let Patch::Value(text) = given else { return None };
    if text.contains('\0') {
        faults.add(field, "contains the character U+0000");
    } else if text.chars().count() > most {
        faults.add(field, format!("has more than {most} characters"));
    }
    Some(text)
}

fn of_json(mut body: Json) -> Result<(Option<Bytes>, Decoded<Wishes>), ApiError> {
    // Taken out before the rest is decoded, which copies what it decodes.
    let given = body.as_object_mut().map(|fields| fields.remove(picture::FIELD));
    let mut decoded = decode::<Wishes>(body);
    let image = match given {
        Some(Some(Json::String(text))) => match picture::of_text(text) {
            Ok(file) => Some(Bytes::from(file)),
            Err(ApiError::Invalid(more)) => {
                decoded.add(more);
                None
            }
            Err(failure) => return Err(failure),
        },
        Some(Some(_)) => {
            decoded.fault(picture::FIELD, "must be a string");
            None
        }
        Some(None) => {
            decoded.fault(picture::FIELD, "is required");
            None
        }
        // No object at all, which is told already.
        None => None,
    };
    Ok((image, decoded))
}

async fn of_form(bytes: Bytes, kind: HeaderValue) -> Result<(Option<Bytes>, Decoded<Wishes>), ApiError> {
    let broken = |what: &dyn std::fmt::Display| ApiError::Malformed(format!("the form is broken: {what}"));
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, kind);
    let length = bytes.len();
    let mut form = Multipart::new(&headers, stream::iter([Ok(bytes)]));
    let mut image = None;
    let mut fields = serde_json::Map::new();
    let mut faults = Faults::default();
    let mut parts = 0;
    while let Some(part) = form.next().await {
        let mut part = part.map_err(|e| broken(&e))?;
        parts += 1;
        if parts > MOST_PARTS {
            return Err(ApiError::Malformed(format!("the form has more than {MOST_PARTS} parts")));
        }
        let name = part.name().unwrap_or_default().to_owned();
        let read = part.bytes(length).await.map_err(|_longer| broken(&"a part is longer than the whole"))?;
        let value = read.map_err(|e| broken(&e))?;
        if fields.contains_key(&name) || (name == picture::FIELD && image.is_some()) {
            faults.add(name, "is given more than once");
        } else if name == picture::FIELD {
            image = Some(value);
        } else {
            let text = std::str::from_utf8(&value).map_err(|_not| broken(&format_args!("{name:?} is not UTF-8")))?;
            fields.insert(name, Json::String(text.to_owned()));
        }
    }
    // A field of a page that was left blank is sent all the same.
    fields.retain(|name, text| text != "" || !matches!(name.as_str(), "prompt" | "provider"));
    let mut decoded = decode::<Wishes>(Json::Object(fields));
    decoded.add(faults);
    if image.is_none() {
        decoded.fault(picture::FIELD, "is required");
    }
    Ok((image, decoded))
}
