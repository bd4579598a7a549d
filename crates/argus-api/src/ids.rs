//! What stands in paths.

use std::str::FromStr;

use actix_web::HttpRequest;

use crate::error::ApiError;
use crate::query::percent_decode;

/// The segment `name` of the path, read as an id or number.
///
/// # Errors
/// `Malformed` when the path's encoding is broken, `NotFound` when the text is nothing that could name a `what`.
pub(crate) fn segment<T: FromStr>(req: &HttpRequest, name: &str, what: &'static str) -> Result<T, ApiError> {
    if percent_decode(req.uri().path()).is_none() {
        return Err(ApiError::Malformed("the path is not percent-encoded UTF-8".into()));
    }
    req.match_info().get(name).and_then(|text| text.parse().ok()).ok_or(ApiError::NotFound(what))
}

/// A whole number as it is written, without sign or leading zeros.
pub(crate) struct Index(pub(crate) u32);

impl FromStr for Index {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number: u32 = text.parse().map_err(|_no_number| ())?;
        if number.to_string() == text { Ok(Self(number)) } else { Err(()) }
    }
}
