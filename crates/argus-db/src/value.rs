//! Small conversions at the row boundary.

use std::fmt::Display;
use std::str::FromStr;

use argus_core::{Invalid, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::DbError;

/// A hash as it is stored.
pub(crate) fn hex(hash: &[u8; 32]) -> String {
    hash.iter().map(|b| format!("{b:02x}")).collect()
}

/// A value as JSON text.
pub(crate) fn json<T: Serialize + ?Sized>(field: &str, value: &T) -> Result<String, DbError> {
    serde_json::to_string(value).map_err(|e| Invalid::new(field, format!("cannot be stored: {e}")).into())
}

/// A value from stored JSON text.
pub(crate) fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, DbError> {
    serde_json::from_str(text).map_err(|e| DbError::corrupt(what, e))
}

/// A name or id from stored text.
pub(crate) fn parse<T: FromStr<Err = Invalid>>(what: &'static str, text: &str) -> Result<T, DbError> {
    text.parse().map_err(|e: Invalid| DbError::corrupt(what, e))
}

/// The same of a column that may be null.
pub(crate) fn parse_opt<T: FromStr<Err = Invalid>>(
    what: &'static str,
    text: Option<&String>,
) -> Result<Option<T>, DbError> {
    text.map(|t| parse(what, t)).transpose()
}

/// The text of a value that may be absent.
pub(crate) fn text_opt<T: Display>(value: Option<T>) -> Option<String> {
    value.map(|v| v.to_string())
}

/// A moment of a column that may be null.
pub(crate) fn time_opt(us: Option<i64>) -> Option<Timestamp> {
    us.map(Timestamp::from_micros)
}

/// The same in the other direction.
pub(crate) fn us_opt(t: Option<Timestamp>) -> Option<i64> {
    t.map(Timestamp::as_micros)
}

/// A number from a column whose type is wider.
pub(crate) fn narrow<A, B>(what: &'static str, value: A) -> Result<B, DbError>
where
    B: TryFrom<A>,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    B::try_from(value).map_err(|e| DbError::corrupt(what, e))
}

/// A number for a column whose type is narrower.
pub(crate) fn fit<A, B: TryFrom<A>>(field: &str, value: A) -> Result<B, DbError> {
    B::try_from(value).map_err(|_too_large| Invalid::new(field, "is too large to be stored").into())
}

/// Refuses text that PostgreSQL cannot store, on both.
pub(crate) fn check_text(field: &str, text: &str) -> Result<(), DbError> {
    if text.contains('\0') { Err(Invalid::new(field, "contains the character U+0000").into()) } else { Ok(()) }
}

/// Text from outside that must not be lost for one character: U+0000 becomes U+FFFD.
pub(crate) fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// Refuses what SQLite would turn into NULL and JSON into `null`.
pub(crate) fn check_number(field: &str, value: f64) -> Result<(), DbError> {
    if value.is_finite() { Ok(()) } else { Err(Invalid::new(field, "is not a number").into()) }
}

/// Text with its case taken away, the same for everything that differs only in case, in every script.
///
/// Letter by letter and by way of upper case, so that the forms of one letter (σ, ς) and ß and ss fall together.
pub(crate) fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_ignores_case_in_every_script() {
        for (a, b) in [("Haustür", "HAUSTÜR"), ("ΟΔΟΣ", "οδος"), ("Straße", "STRASSE"), ("Ж", "ж")] {
            assert_eq!(fold(a), fold(b));
        }
        assert_ne!(fold("tür"), fold("tur"));
    }

    #[test]
    fn text_and_numbers_that_one_backend_loses_are_refused() {
        assert!(check_text("x", "a\0").is_err() && check_text("x", "a").is_ok());
        assert!(check_number("x", f64::NAN).is_err() && check_number("x", f64::INFINITY).is_err());
        assert!(check_number("x", 0.5).is_ok());
        assert_eq!(without_nul("a\0b".into()), "a\u{fffd}b");
    }
}
