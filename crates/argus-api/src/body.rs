//! Bodies of requests: read with a bound, then decoded so that every fault is named.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::future::{Ready, ready};
use std::ops::ControlFlow;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::{FromRequest, HttpRequest};
use argus_core::{Faults, Invalid};
use bytes::{Bytes, BytesMut};
use deserr::{DeserializeError, Deserr, ErrorKind, IntoValue, MergeWithError, Value, ValueKind, ValuePointerRef};
use futures_util::StreamExt as _;
use serde_json::Value as Json;
use tokio::sync::{Semaphore, SemaphorePermit, TryAcquireError};

use crate::error::ApiError;
use crate::state::shared;

/// Largest body.
pub(crate) const LIMIT: usize = 1024 * 1024;
/// What one place of the room for large bodies stands for.
const PLACE: usize = 1024 * 1024;
/// How much of a body that is too large is read and thrown away, so that the client hears why before it finds the
/// connection closed; twice the limit where that is more.
const DRAIN: usize = 32 * 1024 * 1024;

/// The body of a request, not yet read: that happens after caller and permission were checked.
pub(crate) struct Body {
    payload: Payload,
    length: Option<usize>,
    limit: usize,
    kind: Kind,
    deadline: Duration,
}

/// What a body is said to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// JSON in UTF-8.
    Json,
    /// `multipart/form-data`, with the boundary in the value of its header.
    Form(HeaderValue),
    /// Something else, or nothing at all.
    Other,
}

/// A body of one of two kinds.
pub(crate) enum Large {
    /// JSON, not yet parsed.
    Json(Bytes),
    /// The parts of a form, not yet taken apart, and the `Content-Type` that tells where they end.
    Form(Bytes, HeaderValue),
}

impl FromRequest for Body {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let length = req.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
        ready(Ok(Self {
            payload: payload.take(),
            length,
            limit: LIMIT,
            kind: kind(req.headers()),
            deadline: shared(req).state.timing.body,
        }))
    }
}

impl Body {
    /// Reads a JSON value.
    pub(crate) async fn json(self) -> Result<Json, ApiError> {
        match self.read().await? {
            Some(bytes) => parse(&bytes),
            None => Err(ApiError::Malformed("the body is missing".into())),
        }
    }

    /// Reads a JSON value where none is needed: without one it is an empty object.
    pub(crate) async fn json_or_empty(self) -> Result<Json, ApiError> {
        match self.read().await? {
            Some(bytes) => parse(&bytes),
            None => Ok(Json::Object(serde_json::Map::new())),
        }
    }

    /// Reads a JSON value or a form, of up to `limit` bytes. Each MiB that has come takes a place of `room`, until what is
    /// given beside the body is dropped: bodies that are being sent cannot fill the memory, and a slow one holds no more
    /// than has come of it.
    pub(crate) async fn large(
        mut self,
        limit: usize,
        room: &Semaphore,
    ) -> Result<(Large, Option<SemaphorePermit<'_>>), ApiError> {
        self.limit = limit;
        // So much takes its time over a slow line.
        self.deadline *= 4;
        let kind = self.kind.clone();
        let (bytes, held) = self.bytes(Some(room)).await?;
        let missing = || ApiError::Malformed("the body is missing".into());
        match kind {
            Kind::Json => Ok((Large::Json(bytes.ok_or_else(missing)?.freeze()), held)),
            Kind::Form(boundary) => Ok((Large::Form(bytes.ok_or_else(missing)?.freeze(), boundary), held)),
            Kind::Other if bytes.is_none() => Err(missing()),
            Kind::Other => {
                Err(ApiError::Unsupported("the body must have the media type multipart/form-data or application/json"))
            }
        }
    }

    /// For endpoints that take no body: none and `{}` will do.
    pub(crate) async fn none(self) -> Result<(), ApiError> {
        let Some(bytes) = self.read().await? else { return Ok(()) };
        let mut faults = Faults::default();
        match parse(&bytes)? {
            Json::Object(fields) => fields.keys().for_each(|name| faults.add(name, UNKNOWN)),
            _ => faults.add("", "must be an object"),
        }
        Ok(faults.or(())?)
    }

    /// The bytes of a body of the right size and type; `None` when there are none.
    async fn read(self) -> Result<Option<BytesMut>, ApiError> {
        let is_json = self.kind == Kind::Json;
        match self.bytes(None).await? {
            (Some(_), _) if !is_json => Err(ApiError::MediaType),
            (read, _) => Ok(read),
        }
    }

    /// The bytes of a body of the right size; `None` when there are none.
    async fn bytes(mut self, room: Option<&Semaphore>) -> Result<(Option<BytesMut>, Held<'_>), ApiError> {
        let is_large = self.length.is_some_and(|n| n > self.limit);
        let limit = self.limit;
        let read = tokio::time::timeout(self.deadline, self.collect(room)).await;
        let (bytes, held) = read.map_err(|_elapsed| match is_large {
            // That was known before anything came.
            true => ApiError::TooLarge { limit },
            false => ApiError::Malformed("the body did not arrive in time".into()),
        })??;
        Ok((if bytes.is_empty() { None } else { Some(bytes) }, held))
    }

    async fn collect<'r>(&mut self, room: Option<&'r Semaphore>) -> Result<(BytesMut, Held<'r>), ApiError> {
        let mut bytes = BytesMut::new();
        let mut held: Held<'r> = None;
        let mut seen = 0;
        let mut large = self.length.is_some_and(|n| n > self.limit);
        while let Some(chunk) = self.payload.next().await {
            let chunk = chunk.map_err(|e| ApiError::Malformed(format!("the body did not arrive whole: {e}")))?;
            seen += chunk.len();
            large |= seen > self.limit;
            if seen > DRAIN.max(self.limit * 2) {
                break;
            }
            if !large {
                if let Some(room) = room {
                    hold(&mut held, room, seen)?;
                }
                bytes.extend_from_slice(&chunk);
            }
        }
        if large { Err(ApiError::TooLarge { limit: self.limit }) } else { Ok((bytes, held)) }
    }
}

/// Places that a body takes while it is in memory.
type Held<'r> = Option<SemaphorePermit<'r>>;

/// Takes further places for a body of which so much has come.
fn hold<'r>(held: &mut Held<'r>, room: &'r Semaphore, bytes: usize) -> Result<(), ApiError> {
    let have = held.as_ref().map_or(0, SemaphorePermit::num_permits);
    let more = u32::try_from(bytes.div_ceil(PLACE).saturating_sub(have)).unwrap_or(u32::MAX);
    if more == 0 {
        return Ok(());
    }
    let full = |_none: TryAcquireError| ApiError::Busy("too many pictures are being sent");
    let taken = room.try_acquire_many(more).map_err(full)?;
    match held {
        Some(held) => held.merge(taken),
        None => *held = Some(taken),
    }
    Ok(())
}

/// What the headers say that the body is. One that is compressed is nothing that is read here.
fn kind(headers: &HeaderMap) -> Kind {
    let coded = headers.get(header::CONTENT_ENCODING).is_some_and(|v| !v.as_bytes().eq_ignore_ascii_case(b"identity"));
    let Some(given) = headers.get(header::CONTENT_TYPE).filter(|_| !coded) else { return Kind::Other };
    let Ok(value) = given.to_str() else { return Kind::Other };
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    if essence.eq_ignore_ascii_case("multipart/form-data") {
        return Kind::Form(given.clone());
    }
    let charset = parts.find_map(|p| p.get(..8).filter(|n| n.eq_ignore_ascii_case("charset=")).and(p.get(8..)));
    let is_utf8 = charset.is_none_or(|c| c.trim_matches('"').eq_ignore_ascii_case("utf-8"));
    if essence.eq_ignore_ascii_case("application/json") && is_utf8 { Kind::Json } else { Kind::Other }
}

pub(crate) fn parse(bytes: &[u8]) -> Result<Json, ApiError> {
    serde_json::from_slice(bytes).map_err(|e| ApiError::Malformed(format!("the body is not JSON: {e}")))
}

const UNKNOWN: &str = "is not known here";

/// A decoded body with the faults found so far.
pub(crate) struct Decoded<T> {
    /// What could be decoded; a faulty field is left out of it.
    pub(crate) value: T,
    faults: Faults,
    /// Fields at the top with a fault.
    roots: BTreeSet<String>,
}

impl<T> Decoded<T> {
    /// Adds the faults of the rules, but not of fields that already have one: they were checked without their value.
    pub(crate) fn add(&mut self, more: Faults) {
        let roots = &self.roots;
        self.faults.0.extend(more.0.into_iter().filter(|f| !roots.contains(root(&f.field))));
    }

    /// Adds one fault.
    pub(crate) fn fault(&mut self, field: &str, reason: &str) {
        self.add(Invalid::new(field, reason).into());
    }

    /// Adds the fault of a required text that is absent, or whose length is wrong.
    pub(crate) fn text(&mut self, field: &str, value: Option<&str>, length: std::ops::RangeInclusive<usize>) {
        match value.map(|v| (v.contains('\0'), v.chars().count())) {
            None => self.fault(field, "is required"),
            Some((true, _)) => self.fault(field, "contains the character U+0000"),
            Some((false, n)) if !length.contains(&n) => {
                self.fault(field, &format!("has {n} characters, allowed are {} to {}", length.start(), length.end()));
            }
            Some(_) => {}
        }
    }

    /// Whether a field at the top has a fault.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.roots.contains(field)
    }

    /// The value, when nothing was found.
    pub(crate) fn sound(self) -> Result<T, Faults> {
        self.faults.or(self.value)
    }

    /// The faults, those of the value's rules included.
    pub(crate) fn with(mut self, more: Faults) -> Faults {
        self.add(more);
        self.faults
    }

    /// Whether nothing was found.
    pub(crate) fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

/// The first part of a path.
fn root(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or_default()
}

/// Decodes an object with nothing but optional fields: what is faulty is named and left out, and the rest decoded all
/// the same, so that its rules can be checked too.
pub(crate) fn decode<T: Deserr<Faulty> + Default>(body: Json) -> Decoded<T> {
    let kept = body.clone();
    let Faulty { faults, roots } = match deserr::deserialize::<T, Json, Faulty>(body) {
        Ok(value) => return Decoded { value, faults: Faults::default(), roots: BTreeSet::new() },
        Err(faulty) => faulty,
    };
    let value = match kept {
        Json::Object(mut fields) => {
            fields.retain(|name, _| !roots.contains(name));
            deserr::deserialize::<T, Json, Faulty>(Json::Object(fields)).unwrap_or_default()
        }
        _ => T::default(),
    };
    Decoded { value, faults, roots }
}

/// The faults that decoding finds.
#[derive(Debug, Default)]
pub(crate) struct Faulty {
    faults: Faults,
    roots: BTreeSet<String>,
}

impl Faulty {
    /// A single fault of the value at a place.
    pub(crate) fn at(place: ValuePointerRef<'_>, reason: impl Into<String>) -> Self {
        let mut faulty = Self::default();
        faulty.faults.add(path(place), reason);
        faulty.roots.extend(place.first_field().map(str::to_owned));
        faulty
    }
}

impl MergeWithError<Faulty> for Faulty {
    fn merge(this: Option<Self>, other: Self, _: ValuePointerRef<'_>) -> ControlFlow<Self, Self> {
        let mut sum = this.unwrap_or_default();
        sum.faults.0.extend(other.faults.0);
        sum.roots.extend(other.roots);
        ControlFlow::Continue(sum)
    }
}

impl DeserializeError for Faulty {
    fn error<V: IntoValue>(
        this: Option<Self>,
        error: ErrorKind<'_, V>,
        place: ValuePointerRef<'_>,
    ) -> ControlFlow<Self, Self> {
        let fault = match error {
            ErrorKind::IncorrectValueKind { actual, accepted } => {
                Self::at(place, format!("is {}, must be {}", found(&actual), wanted(accepted)))
            }
            ErrorKind::MissingField { field } => Self::at(place.push_key(field), "is required"),
            ErrorKind::UnknownKey { key, .. } => Self::at(place.push_key(key), UNKNOWN),
            ErrorKind::UnknownValue { accepted, .. } => Self::at(place, format!("is none of {}", accepted.join(" "))),
            ErrorKind::BadSequenceLen { expected, .. } => Self::at(place, format!("must have {expected} items")),
            ErrorKind::Unexpected { .. } => Self::at(place, "is out of range"),
        };
        Self::merge(this, fault, place)
    }
}

fn found<V: IntoValue>(value: &Value<V>) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Boolean(_) => "a boolean",
        Value::Integer(_) | Value::NegativeInteger(_) => "an integer",
        Value::Float(_) => "a number with a fraction",
        Value::String(_) => "a string",
        Value::Sequence(_) => "a list",
        Value::Map(_) => "an object",
    }
}

fn wanted(accepted: &[ValueKind]) -> &'static str {
    let has = |kind| accepted.contains(&kind);
    if has(ValueKind::Float) {
        "a number"
    } else if has(ValueKind::Integer) || has(ValueKind::NegativeInteger) {
        "an integer"
    } else if has(ValueKind::Boolean) {
        "a boolean"
    } else if has(ValueKind::String) {
        "a string"
    } else if has(ValueKind::Sequence) {
        "a list"
    } else {
        "an object"
    }
}

/// A place as text, such as `detection_zones[0].vertices[2].x`.
fn path(place: ValuePointerRef<'_>) -> String {
    match place {
        ValuePointerRef::Origin => String::new(),
        ValuePointerRef::Key { key, prev } => {
            let before = path(*prev);
            if before.is_empty() { key.to_owned() } else { before + "." + key }
        }
        ValuePointerRef::Index { index, prev } => {
            let mut text = path(*prev);
            let _ = write!(text, "[{index}]");
            text
        }
    }
}

/// A field that may be absent, but not null.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Given<T>(pub(crate) Option<T>);

impl<T> Default for Given<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Deserr<Faulty>> Deserr<Faulty> for Given<T> {
    fn deserialize_from_value<V: IntoValue>(value: Value<V>, place: ValuePointerRef<'_>) -> Result<Self, Faulty> {
        T::deserialize_from_value(value, place).map(|v| Self(Some(v)))
    }
}

impl<T> Given<T> {
    /// Puts the value where it belongs, when there is one.
    pub(crate) fn put(self, into: &mut T) {
        if let Some(value) = self.0 {
            *into = value;
        }
    }
}

/// A field that may be absent (unchanged) or null (cleared).
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Patch<T> {
    #[default]
    Absent,
    Null,
    Value(T),
}

impl<T: Deserr<Faulty>> Deserr<Faulty> for Patch<T> {
    fn deserialize_from_value<V: IntoValue>(value: Value<V>, place: ValuePointerRef<'_>) -> Result<Self, Faulty> {
        match value {
            Value::Null => Ok(Self::Null),
            value => T::deserialize_from_value(value, place).map(Self::Value),
        }
    }
}

impl<T> Patch<T> {
    /// Puts the value where it belongs, or clears that.
    pub(crate) fn put(self, into: &mut Option<T>) {
        match self {
            Self::Absent => {}
            Self::Null => *into = None,
            Self::Value(value) => *into = Some(value),
        }
    }

    /// Turns the value into another.
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Self::Absent => Patch::Absent,
            Self::Null => Patch::Null,
            Self::Value(value) => Patch::Value(f(value)),
        }
    }
}

impl Patch<String> {
    /// A text without a character says the same as null: a form sends an emptied field so.
    pub(crate) fn or_cleared(self) -> Self {
        match self {
            Self::Value(text) if text.is_empty() => Self::Null,
            other => other,
        }
    }
}

impl Deserr<Faulty> for argus_core::Secret {
    fn deserialize_from_value<V: IntoValue>(value: Value<V>, place: ValuePointerRef<'_>) -> Result<Self, Faulty> {
        <String as Deserr<Faulty>>::deserialize_from_value(value, place).map(Self::new)
    }
}

/// Decodes a string that has a form of its own.
pub(crate) fn from_text<T, V>(value: Value<V>, place: ValuePointerRef<'_>) -> Result<T, Faulty>
where
    T: std::str::FromStr<Err = Invalid>,
    V: IntoValue,
{
    let text = <String as Deserr<Faulty>>::deserialize_from_value(value, place)?;
    text.parse().map_err(|fault: Invalid| Faulty::at(place, fault.reason))
}

/// Lets types of argus-core be decoded from their text.
macro_rules! text_fields {
    ($($name:ty),+ $(,)?) => {$(
        impl deserr::Deserr<crate::body::Faulty> for $name {
            fn deserialize_from_value<V: deserr::IntoValue>(
                value: deserr::Value<V>,
                place: deserr::ValuePointerRef<'_>,
            ) -> Result<Self, crate::body::Faulty> {
                crate::body::from_text(value, place)
            }
        }
    )+};
}
pub(crate) use text_fields;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserr)]
    #[deserr(deny_unknown_fields, error = Faulty)]
    struct Thing {
        #[deserr(default)]
        name: Given<String>,
        #[deserr(default)]
        size: Patch<i64>,
        #[deserr(default)]
        parts: Given<Vec<Part>>,
    }

    #[derive(Debug, PartialEq, Deserr)]
    #[deserr(deny_unknown_fields, error = Faulty)]
    struct Part {
        x: f64,
    }

    fn faults(body: Json) -> Vec<String> {
        let decoded = decode::<Thing>(body);
        decoded.sound().map(|_| ()).err().unwrap_or_default().0.into_iter().map(|f| f.to_string()).collect()
    }

    #[test]
    fn every_fault_is_named_with_its_path() {
        let body = json!({"name": null, "size": 5.0, "parts": [{"x": 1}, {"x": "1"}, {"y": 1}], "a.b": 1});
        let mut got = faults(body);
        got.sort();
        assert_eq!(
            got,
            [
                "a.b: is not known here",
                "name: is null, must be a string",
                "parts[1].x: is a string, must be a number",
                "parts[2].x: is required",
                "parts[2].y: is not known here",
                "size: is a number with a fraction, must be an integer",
            ]
        );
        assert_eq!(faults(json!([])), [": is a list, must be an object"]);
        assert_eq!(faults(json!({"size": u64::MAX})), ["size: is out of range"]);
        assert!(faults(json!({"size": null, "name": "x", "parts": []})).is_empty());
    }

    #[test]
    fn what_is_sound_survives_what_is_not() {
        let mut decoded = decode::<Thing>(json!({"name": 3, "size": -4}));
        assert_eq!(decoded.value, Thing { size: Patch::Value(-4), ..Thing::default() });
        decoded.fault("name", "is required");
        decoded.fault("size", "is negative");
        let faults = decoded.sound().unwrap_err();
        let fields: Vec<_> = faults.0.iter().map(|f| f.field.as_str()).collect();
        assert_eq!(fields, ["name", "size"], "a faulty field is not told to be missing too");
    }

    #[test]
    fn media_types_are_read_with_their_parameters() {
        let check = |value: &str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
            assert_eq!(kind(&headers) == Kind::Json, expected, "{value}");
        };
        check("application/json", true);
        check("Application/JSON; charset=UTF-8", true);
        check("application/json; charset=\"utf-8\"", true);
        check("application/json; charset=latin1", false);
        check("application/jsonp", false);
        check("text/plain", false);
    }
}
