//! What stands in paths.

use std::str::FromStr;

use actix_web::HttpRequest;

use crate::error::ApiError;
use crate::query::percent_decode;

/// The segment `name` of the path, read as an id or number; `None` when the text is nothing that could name anything: that
/// is told only after the faults of the values, as if it were unknown.
///
/// # Errors
/// `Malformed` when the path's encoding is broken.
pub(crate) fn named<T: FromStr>(req: &HttpRequest, name: &str) -> Result<Option<T>, ApiError> {
    if percent_decode(req.uri().path()).is_none() {
        return Err(ApiError::Malformed("the path is not percent-encoded UTF-8".into()));
    }
    Ok(req.match_info().get(name).and_then(|text| text.parse().ok()))
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
