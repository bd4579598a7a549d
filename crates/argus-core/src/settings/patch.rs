//! Reading a part of the settings strictly: every fault is named by its path, what is unknown too.

use std::ops::RangeInclusive;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::text::text;
use crate::{Faults, Invalid};

/// A group of settings.
pub(super) trait Group: Default {
    /// Takes the values of a patch that keep their rules.
    fn patch(&mut self, patch: &mut Patch<'_>);
}

/// The fields of one group that a patch names; each is taken out once, what is left in the end is unknown.
pub(super) struct Patch<'f> {
    /// Path of the group, with its last point; empty at the top.
    at: String,
    fields: Map<String, Value>,
    faults: &'f mut Faults,
}

impl<'f> Patch<'f> {
    /// Patches a whole tree.
    pub(super) fn read<G: Group>(fields: Map<String, Value>, faults: &'f mut Faults, into: &mut G) {
        Patch { at: String::new(), fields, faults }.apply(into);
    }

    fn apply<G: Group>(mut self, into: &mut G) {
        into.patch(&mut self);
        for key in self.fields.keys() {
            self.faults.add(format!("{}{key}", self.at), "is not known here");
        }
    }

    /// Adds a fault of a field.
    pub(super) fn fault(&mut self, key: &str, reason: impl Into<String>) {
        self.faults.add(format!("{}{key}", self.at), reason);
    }

    /// Whether the field is there and was not taken yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    /// Patches a group in this one.
    pub(super) fn group<G: Group>(&mut self, key: &str, into: &mut G) {
        match self.fields.remove(key) {
            None => {}
            Some(Value::Null) => *into = G::default(),
            Some(Value::Object(fields)) => {
                let at = format!("{}{key}.", self.at);
                Patch { at, fields, faults: self.faults }.apply(into);
            }
            Some(other) => self.fault(key, must_be("an object", &other)),
        }
    }

    /// Takes a value; null puts back the default.
    pub(super) fn value<T>(
        &mut self,
        key: &str,
        into: &mut T,
        default: T,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) {
        match self.fields.remove(key).map(|v| if v.is_null() { Ok(default) } else { read(&v) }) {
            None => {}
            Some(Ok(value)) => *into = value,
            Some(Err(reason)) => self.fault(key, reason),
        }
    }

    /// Takes a value that may be null.
    pub(super) fn nullable<T>(
        &mut self,
        key: &str,
        into: &mut Option<T>,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) {
        self.value(key, into, None, |value| read(value).map(Some));
    }
}

/// What a JSON value is, with its article.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(n) if n.is_f64() => "a number with a fraction",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn must_be(wanted: &str, value: &Value) -> String {
    format!("is {}, must be {wanted}", kind(value))
}

/// `true` or `false`.
pub(super) fn flag(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| must_be("a boolean", value))
}

/// A whole number in a range; `i64::MAX` as its end means that there is none.
pub(super) fn int<T: TryFrom<i64>>(range: RangeInclusive<i64>) -> impl FnOnce(&Value) -> Result<T, String> {
    move |value| {
        let Value::Number(number) = value else { return Err(must_be("an integer", value)) };
        if number.is_f64() {
            return Err(must_be("an integer", value));
        }
        let fits = number.as_i64().filter(|n| range.contains(n)).and_then(|n| T::try_from(n).ok());
        fits.ok_or_else(|| match *range.end() {
            i64::MAX => format!("is {number}, must be at least {}", range.start()),
            end => format!("is {number}, allowed are {} to {end}", range.start()),
        })
    }
}

/// An amount of US dollars.
pub(super) fn money(value: &Value) -> Result<f64, String> {
    let amount = value.as_f64().ok_or_else(|| must_be("a number", value))?;
    if amount.is_finite() && amount >= 0.0 { Ok(amount) } else { Err(format!("is {value}, must be at least 0")) }
}

/// One of a closed set of names.
pub(super) fn name<T: FromStr<Err = Invalid>>(value: &Value) -> Result<T, String> {
    let text = value.as_str().ok_or_else(|| must_be("a string", value))?;
    text.parse().map_err(|fault: Invalid| fault.reason)
}

/// A text that is taken as it is.
pub(super) fn string(length: RangeInclusive<usize>) -> impl FnOnce(&Value) -> Result<String, String> {
    move |value| {
        let given = value.as_str().ok_or_else(|| must_be("a string", value))?;
        text(given, length)?;
        Ok(given.to_owned())
    }
}

/// A text that is taken as it is; one without a character says the same as null.
pub(super) fn string_or_none(most: usize) -> impl FnOnce(&Value) -> Result<Option<String>, String> {
    move |value| if value.as_str() == Some("") { Ok(None) } else { string(1..=most)(value).map(Some) }
}

/// A name: blanks at both ends do not count.
pub(super) fn trimmed(length: RangeInclusive<usize>) -> impl FnOnce(&Value) -> Result<String, String> {
    move |value| {
        let given = value.as_str().ok_or_else(|| must_be("a string", value))?.trim();
        text(given, length)?;
        Ok(given.to_owned())
    }
}
