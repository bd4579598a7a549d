//! Pictures and clips out of the media store: validators, ranges, streams.

use std::ops::Range;

use actix_web::body::SizedStream;
use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use futures_util::stream;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore};

use crate::error::ApiError;

/// How a file is given out.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    /// What it is called when there is none.
    pub(crate) what: &'static str,
    /// Media type.
    pub(crate) content_type: &'static str,
    /// `Cache-Control`.
    pub(crate) cache: &'static str,
    /// Whether parts of it may be asked for.
    pub(crate) ranges: bool,
    /// Name under which a browser is to save it.
    pub(crate) save_as: Option<String>,
}

/// For files that never change.
pub(crate) const CACHE_DAY: &str = "private, max-age=86400";
/// For files that may be replaced.
pub(crate) const CACHE_ASK: &str = "private, no-cache";

/// How often a file that is replaced while it is looked at is looked at again.
const ATTEMPTS: usize = 4;

/// Answers with the file of that key.
///
/// # Errors
/// `NotFound` when there is none, `Range` when the wanted bytes lie outside it.
pub(crate) async fn serve(
    media: &dyn ObjectStore,
    key: &str,
    req: &HttpRequest,
    how: Serving,
) -> Result<HttpResponse, ApiError> {
    let path = Path::parse(key).map_err(|e| ApiError::Media(e.into()))?;
    for _ in 0..ATTEMPTS {
        if let Some(answer) = attempt(media, &path, req, &how).await? {
            return Ok(answer);
        }
    }
    // It changes all the time. Whole, it comes from one look; a range may be left out of account (RFC 9110, 14.2).
    let whole = Serving { ranges: false, ..how };
    attempt(media, &path, req, &whole).await?.ok_or(ApiError::NotFound(whole.what))
}

/// Answers with the file as it is now; `None` when another took its place before a part of it could be read.
async fn attempt(
    media: &dyn ObjectStore,
    path: &Path,
    req: &HttpRequest,
    how: &Serving,
) -> Result<Option<HttpResponse>, ApiError> {
    let failed = |e: object_store::Error| match e {
        object_store::Error::NotFound { .. } => ApiError::NotFound(how.what),
        e => ApiError::Media(e),
    };
    let is_head = req.method() == Method::HEAD;
    // One look gives validator, length and bytes of one and the same file.
    let found = media.get_opts(path, GetOptions { head: is_head, ..GetOptions::default() }).await.map_err(failed)?;
    let (meta, tag) = (found.meta.clone(), tag(&found.meta));
    if text(req, &header::IF_NONE_MATCH).is_some_and(|given| matches(&given, &tag)) {
        let mut answer = HttpResponse::NotModified();
        answer.insert_header((header::ETAG, tag)).insert_header((header::CACHE_CONTROL, how.cache));
        return Ok(Some(answer.finish()));
    }
    let mut answer = HttpResponseBuilder::new(StatusCode::OK);
    answer.insert_header((header::CACHE_CONTROL, how.cache)).content_type(how.content_type);
    if let Some(name) = &how.save_as {
        answer.insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")));
    }
    let mut part = None;
    if how.ranges {
        answer.insert_header((header::ACCEPT_RANGES, "bytes"));
        part = wanted(req, &meta, &tag)?;
    }
    answer.insert_header((header::ETAG, tag));
    let Some(range) = part else {
        if is_head || meta.size == 0 {
            let nothing = stream::empty::<Result<Bytes, std::io::Error>>();
            return Ok(Some(answer.body(SizedStream::new(meta.size, nothing))));
        }
        return Ok(Some(answer.body(SizedStream::new(meta.size, found.into_stream()))));
    };
    let place = format!("bytes {}-{}/{}", range.start, range.end - 1, meta.size);
    answer.status(StatusCode::PARTIAL_CONTENT).insert_header((header::CONTENT_RANGE, place));
    let length = range.end - range.start;
    let options =
        GetOptions { range: Some(GetRange::Bounded(range)), if_match: meta.e_tag.clone(), ..GetOptions::default() };
    match media.get_opts(path, options).await {
        Ok(found) if found.meta.size == meta.size => {
            Ok(Some(answer.body(SizedStream::new(length, found.into_stream()))))
        }
        Ok(_) | Err(object_store::Error::Precondition { .. }) => Ok(None),
        Err(failure) => Err(failed(failure)),
    }
}

/// The validator of a file, in quotes.
fn tag(meta: &ObjectMeta) -> String {
    match &meta.e_tag {
        Some(tag) if tag.starts_with('"') || tag.starts_with("W/") => tag.clone(),
        Some(tag) => format!("\"{tag}\""),
        None => format!("\"{:x}-{:x}\"", meta.last_modified.timestamp_micros(), meta.size),
    }
}

fn text(req: &HttpRequest, name: &header::HeaderName) -> Option<String> {
    Some(req.headers().get(name)?.to_str().ok()?.trim().to_owned())
}

/// Whether one of the validators in an `If-None-Match` is ours, compared weakly (RFC 9110, 13.1.2).
fn matches(given: &str, tag: &str) -> bool {
    let strong = |t: &str| t.trim().trim_start_matches("W/").to_owned();
    given == "*" || given.split(',').any(|t| strong(t) == strong(tag))
}

/// The part that is asked for; `None` for the whole file.
///
/// A range that cannot be read, several ranges at once, and one for another version of the file (`If-Range`) count as none
/// (RFC 9110, 14.2).
fn wanted(req: &HttpRequest, meta: &ObjectMeta, tag: &str) -> Result<Option<Range<u64>>, ApiError> {
    if req.method() != Method::GET {
        return Ok(None);
    }
    let Some(given) = text(req, &header::RANGE) else { return Ok(None) };
    if text(req, &header::IF_RANGE).is_some_and(|version| version != tag) {
        return Ok(None);
    }
    match parse(&given, meta.size) {
        Asked::Part(range) => Ok(Some(range)),
        Asked::Whole => Ok(None),
        Asked::Outside => Err(ApiError::Range { size: meta.size }),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    Part(Range<u64>),
    Outside,
}

fn parse(given: &str, size: u64) -> Asked {
    let Some((unit, part)) = given.split_once('=') else { return Asked::Whole };
    let Some((first, last)) = part.trim().split_once('-') else { return Asked::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") || part.contains(',') {
        return Asked::Whole;
    }
    // Larger numbers than any file is long are numbers all the same.
    let number = |text: &str| -> Option<u64> {
        let text = text.trim();
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (number(first), number(last), first.trim().is_empty(), last.trim().is_empty()) {
        (Some(first), Some(last), ..) if first > last => Asked::Whole,
        (Some(first), Some(last), ..) if first < size => Asked::Part(first..last.saturating_add(1).min(size)),
        (Some(first), None, _, true) if first < size => Asked::Part(first..size),
        (None, Some(suffix), true, _) if suffix > 0 && size > 0 => Asked::Part(size.saturating_sub(suffix)..size),
        (Some(_), Some(_), ..) | (Some(_), None, _, true) | (None, Some(_), true, _) => Asked::Outside,
        _ => Asked::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        let check = |given: &str, expected: Asked| assert_eq!(parse(given, 100), expected, "{given}");
        check("bytes=0-9", Asked::Part(0..10));
        check("bytes=90-", Asked::Part(90..100));
        check("bytes=-10", Asked::Part(90..100));
        check("bytes=-1000", Asked::Part(0..100));
        check("bytes=99-1000", Asked::Part(99..100));
        check("Bytes = 5 - 6", Asked::Part(5..7));
        check("bytes=0-99999999999999999999999", Asked::Part(0..100));
        for outside in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=99999999999999999999999-"] {
            check(outside, Asked::Outside);
        }
        for whole in ["bytes=9-5", "bytes=-", "bytes=a-b", "items=0-1", "bytes=0-1,5-6", "0-1", "", "bytes=+1-2"] {
            check(whole, Asked::Whole);
        }
        assert_eq!(parse("bytes=0-", 0), Asked::Outside);
    }

    #[test]
    fn validators_are_compared_weakly() {
        for given in ["*", "\"a\"", "W/\"a\"", "\"x\", \"a\""] {
            assert!(matches(given, "\"a\""), "{given}");
        }
        assert!(!matches("\"b\"", "\"a\"") && !matches("a", "\"a\""));
    }
}
