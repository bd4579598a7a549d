//! Pictures that somebody sends: what can be told of them without decoding them.

use std::io::Cursor;

use argus_core::{Faults, Invalid};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use image::{ImageFormat, ImageReader};

use crate::error::ApiError;

/// Largest file.
const MOST_BYTES: usize = 20 * 1024 * 1024;
/// Most pixels.
const MOST_PIXELS: u64 = 50_000_000;
/// The field in which it comes.
pub(super) const FIELD: &str = "image";

/// With and without the `=` at the end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Takes base64 apart, also that of a data URI, also in lines.
///
/// # Errors
/// `Oversized` when it is too long, `Invalid` when it is no base64.
pub(super) fn of_text(mut text: String) -> Result<Vec<u8>, ApiError> {
    let bad = |reason: &str| ApiError::from(Faults::from(Invalid::new(FIELD, reason)));
    if let Some(comma) = data_uri(&text) {
        let comma = comma.ok_or_else(|| bad("is no data URI with base64, such as data:image/jpeg;base64,…"))?;
        text.drain(..=comma);
    }
    text.retain(|c| !c.is_ascii_whitespace());
    if text.len() / 4 * 3 > MOST_BYTES + 3 {
        return Err(too_large());
    }
    BASE64.decode(text).map_err(|_not| bad("is not base64"))
}

/// Where the comma of a data URI (RFC 2397) stands; `None` when the text is none, an inner one when it has no base64.
fn data_uri(text: &str) -> Option<Option<usize>> {
    let is_one = text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    is_one.then(|| {
        let (head, _) = text.split_once(',')?;
        let coding = head.rsplit(';').next()?;
        coding.trim().eq_ignore_ascii_case("base64").then_some(head.len())
    })
}

/// Checks size, format and dimensions. What it shows is found out by who decodes it.
///
/// # Errors
/// `Oversized`, `Unsupported`, `Invalid`.
pub(super) fn check(file: &[u8]) -> Result<(), ApiError> {
    if file.is_empty() {
        return Err(Faults::from(Invalid::new(FIELD, "must not be empty")).into());
    }
    if file.len() > MOST_BYTES {
        return Err(too_large());
    }
    let format = match image::guess_format(file) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP)) => format,
        _ => return Err(ApiError::Unsupported("the picture must be JPEG, PNG or WebP")),
    };
    let size = ImageReader::with_format(Cursor::new(file), format).into_dimensions();
    let (width, height) = size.map_err(|_broken| Faults::from(Invalid::new(FIELD, "cannot be decoded")))?;
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(ApiError::Oversized("the picture has more than 50 megapixels"));
    }
    Ok(())
}

fn too_large() -> ApiError {
    ApiError::Oversized("the picture is larger than 20 MiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_may_be_in_lines_unpadded_and_in_a_data_uri() {
        let check = |text: &str, expected: Option<&[u8]>| {
            assert_eq!(of_text(text.to_owned()).ok().as_deref(), expected, "{text}");
        };
        check("AAEC/w==", Some(&[0, 1, 2, 255]));
        check("AAEC/w", Some(&[0, 1, 2, 255]));
        check("AAEC\r\n /w==\n", Some(&[0, 1, 2, 255]));
        check("data:image/png;base64,AAEC/w==", Some(&[0, 1, 2, 255]));
        check("DATA:;name=x;BASE64,AAEC/w", Some(&[0, 1, 2, 255]));
        check("", Some(&[]));
        for bad in ["AAEC_w==", "A", "data:image/png,AAEC", "data:image/png;base64", "AAEC/w==x", "ä"] {
            check(bad, None);
        }
    }

    #[test]
    fn what_is_too_long_is_not_decoded() {
        let long = "A".repeat((MOST_BYTES + 3) / 3 * 4 + 8);
        assert!(matches!(of_text(long), Err(ApiError::Oversized(_))));
    }

    #[test]
    fn formats_are_known_by_their_bytes() {
        let png = |width: u32, height: u32| {
            // Signature, and the header with its checksum left out: it is read before that.
            let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
            file.extend(width.to_be_bytes());
            file.extend(height.to_be_bytes());
            file.extend([8, 2, 0, 0, 0]);
            file
        };
        assert!(matches!(check(b"GIF89a\x01\0\x01\0\0\0\0"), Err(ApiError::Unsupported(_))));
        assert!(matches!(check(b"words"), Err(ApiError::Unsupported(_))));
        assert!(matches!(check(b""), Err(ApiError::Invalid(_))));
        assert!(matches!(check(b"\xff\xd8\xff\xe0"), Err(ApiError::Invalid(_))));
        assert!(matches!(check(&png(2, 2)), Err(ApiError::Invalid(_))));
    }
}
