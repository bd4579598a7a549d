//! What was asked.

use bytes::Bytes;
use serde_json::Value;

/// A request as it came.
#[derive(Clone, PartialEq)]
pub struct Request {
    /// Such as `POST`.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// What stood behind the question mark.
    pub query: Option<String>,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: Bytes,
    /// The same as JSON; null when it is none.
    pub json: Value,
    /// The model that was asked for.
    pub model: String,
    /// All texts, in order, the instructions first.
    pub texts: Vec<String>,
    /// The pictures, decoded, in order.
    pub pictures: Vec<Bytes>,
}

impl Request {
    /// The value of a header; its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All texts in one, a line each.
    #[must_use]
    pub fn text(&self) -> String {
        self.texts.join("\n")
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { method, path, body, pictures, .. } = self;
        write!(f, "Request({method} {path}, {} bytes, {} pictures)", body.len(), pictures.len())
    }
}
