//! Takes a key out of what an endpoint says: some echo what they were sent.

use argus_core::Secret;

/// What stands where a key stood.
const STARS: &str = "***";

/// Knows the key, and nothing shows it.
#[derive(Clone, Debug, Default)]
pub(super) struct Scrub(Option<Secret>);

impl Scrub {
    pub(super) fn new(key: Option<Secret>) -> Self {
        Self(key.filter(|k| !k.expose().is_empty()))
    }

    /// The text without the key. To be used before a text is shortened: half a key is a secret, too.
    pub(super) fn clean(&self, text: &str) -> String {
        let Some(key) = &self.0 else { return text.to_owned() };
        let clean = text.replace(key.expose(), STARS);
        // In JSON the key's own quotes and backslashes are escaped.
        let escaped = serde_json::Value::from(key.expose()).to_string();
        clean.replace(escaped.trim_matches('"'), STARS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_text_and_in_json() {
        let check = |key: &str, text: &str, expected: &str| {
            assert_eq!(Scrub::new(Some(Secret::new(key))).clean(text), expected);
        };
        check("sk-1", "Bearer sk-1, sk-12", "Bearer ***, ***2");
        check(r#"a"b\c"#, r#"{"message": "a\"b\\c", "x": 1}"#, r#"{"message": "***", "x": 1}"#);
        check("", "nothing", "nothing");
        assert_eq!(Scrub::default().clean("nothing"), "nothing");
    }
}
