//! Query parameters, read strictly: what is unknown, given twice, empty or out of its range is named.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::str::FromStr;

use argus_core::{Faults, Invalid, Timestamp};

use crate::error::ApiError;

/// The parameters of a request; each is taken out once, what is left in the end is unknown.
pub(crate) struct Query {
    /// In the order of names, so that faults have an order too.
    values: BTreeMap<String, Vec<String>>,
    faults: Faults,
}

impl Query {
    /// Splits and decodes the part of the address behind `?`.
    ///
    /// # Errors
    /// `Malformed` when its percent-encoding or UTF-8 is broken.
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        let mut values = BTreeMap::<String, Vec<String>>::new();
        for pair in text.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            values.entry(decode(name)?).or_default().push(decode(value)?);
        }
        Ok(Self { values, faults: Faults::default() })
    }

    /// Adds a fault.
    pub(crate) fn fault(&mut self, name: &str, reason: impl Into<String>) {
        self.faults.add(name, reason);
    }

    /// Whether the parameter is there and was not taken yet.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// A single value that may be empty.
    pub(crate) fn raw(&mut self, name: &str) -> Option<String> {
        let mut given = self.values.remove(name)?;
        let value = given.pop()?;
        if !given.is_empty() {
            self.faults.add(name, "is given more than once");
            return None;
        }
        if value.contains('\0') {
            self.faults.add(name, "contains the character U+0000");
            return None;
        }
        Some(value)
    }

    /// A single value that is not empty.
    pub(crate) fn one(&mut self, name: &str) -> Option<String> {
        let value = self.raw(name)?;
        if value.is_empty() {
            self.faults.add(name, "must not be empty");
            return None;
        }
        Some(value)
    }

    /// A single value with a form of its own.
    pub(crate) fn read<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let value = self.one(name)?;
        match read(&value) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.faults.add(name, reason);
                None
            }
        }
    }

    /// `true`, `false`, `1` or `0`.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        self.read(name, |text| match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err("is none of true false 1 0".into()),
        })
    }

    /// A whole number in a range.
    pub(crate) fn int(&mut self, name: &str, range: RangeInclusive<i64>) -> Option<i64> {
        self.read(name, |text| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let number = text.parse::<i64>().ok().filter(|n| is_number && range.contains(n));
            number.ok_or_else(|| format!("is no whole number from {} to {}", range.start(), range.end()))
        })
    }

    /// A time. An unencoded `+` of its offset arrives as a blank and is understood.
    pub(crate) fn time(&mut self, name: &str) -> Option<Timestamp> {
        self.read(name, |text| text.replace(' ', "+").parse().map_err(|fault: Invalid| fault.reason))
    }

    /// Several values: repeated, separated by commas, or both.
    pub(crate) fn many<T>(&mut self, name: &str, read: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let mut found = Vec::new();
        for value in self.values.remove(name).unwrap_or_default().iter().flat_map(|v| v.split(',')) {
            let read = match value {
                "" => Err("must not be empty".to_owned()),
                v if v.contains('\0') => Err("contains the character U+0000".to_owned()),
                v => read(v),
            };
            match read {
                Ok(value) => found.push(value),
                Err(reason) => self.faults.add(name, reason),
            }
        }
        found
    }

    /// Several of a closed set of names.
    pub(crate) fn names<T: FromStr<Err = Invalid>>(&mut self, name: &str) -> Vec<T> {
        self.many(name, |text| text.parse().map_err(|fault: Invalid| fault.reason))
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// All faults, each parameter that nobody asked for among them.
    pub(crate) fn done(mut self) -> Result<(), Faults> {
        for name in self.values.keys() {
            self.faults.add(name, "is not known here");
        }
        self.faults.or(())
    }
}

/// Decodes `%41` forms, and `+` as a blank.
fn decode(text: &str) -> Result<String, ApiError> {
    let bad = || ApiError::Malformed("the query is not percent-encoded UTF-8".into());
    let spaced = text.replace('+', " ");
    percent_decode(&spaced).ok_or_else(bad)
}

/// Decodes `%41` forms; `None` when one is broken or the result is not UTF-8.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let value = digit()? * 16 + digit()?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use argus_core::event::DetectionType;

    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(text).unwrap()
    }

    fn faults(query: Query) -> Vec<String> {
        query.done().err().unwrap_or_default().0.into_iter().map(|f| f.field).collect()
    }

    #[test]
    fn lists_may_be_repeated_and_separated() {
        let mut q = query("t=motion&t=person,ring");
        let expected = [DetectionType::Motion, DetectionType::Person, DetectionType::Ring];
        assert_eq!(q.names::<DetectionType>("t"), expected);
        assert!(faults(q).is_empty());
        let mut q = query("t=motion,,walrus");
        q.names::<DetectionType>("t");
        assert_eq!(faults(q), ["t", "t"]);
    }

    #[test]
    fn single_values_are_single_known_and_not_empty() {
        let mut q = query("a=1&a=2&b=&c=3&d=x");
        assert_eq!((q.int("a", 0..=9), q.int("b", 0..=9), q.int("c", 0..=9)), (None, None, Some(3)));
        assert_eq!(faults(q), ["a", "b", "d"]);
        let mut q = query("q=");
        assert_eq!(q.raw("q"), Some(String::new()));
        assert!(faults(q).is_empty());
    }

    #[test]
    fn numbers_are_not_converted() {
        for bad in ["a=5.0", "a=+5", "a=5%20", "a=0x5", "a=-", "a=99999999999999999999", "a=11"] {
            let mut q = query(bad);
            assert_eq!(q.int("a", 0..=10), None, "{bad}");
            assert_eq!(faults(q), ["a"], "{bad}");
        }
    }

    #[test]
    fn a_plus_in_a_time_is_a_plus() {
        for text in ["t=2025-12-23T11:30:00+01:00", "t=2025-12-23T11:30:00%2B01:00", "t=2025-12-23T10:30:00Z"] {
            let mut q = query(text);
            assert_eq!(q.time("t").unwrap().to_string(), "2025-12-23T10:30:00.000Z", "{text}");
        }
        let mut q = query("t=2025-12-23T11:30:00");
        assert_eq!(q.time("t"), None);
    }

    #[test]
    fn broken_encodings_are_malformed() {
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff", "%c3=1", "a=%+1"] {
            assert!(matches!(Query::parse(bad), Err(ApiError::Malformed(_))), "{bad}");
        }
        let mut q = query("a=%C3%A4+b&&");
        assert_eq!(q.one("a").as_deref(), Some("ä b"));
    }
}
