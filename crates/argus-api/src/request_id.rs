//! The id that ties an answer to its log lines.

use actix_web::http::header::HeaderMap;

/// Name of the header.
pub(crate) const HEADER: &str = "x-request-id";

/// The id of a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) String);

impl RequestId {
    /// The client's own when it has the right form, else a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let own = headers.get(HEADER).and_then(|v| v.to_str().ok()).filter(|v| is_id(v));
        Self(own.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned))
    }
}

fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::is_id;

    #[test]
    fn ids_have_a_form() {
        assert!(is_id("a-B_9.x") && is_id(&"x".repeat(128)));
        for bad in ["", "a b", "ä", "a\"", &"x".repeat(129)] {
            assert!(!is_id(bad), "{bad}");
        }
    }
}
