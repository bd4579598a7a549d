//! Takes a key out of what an endpoint says: some echo what they were sent.

use argus_core::Secret;

/// What stands where a key stood.
const STARS: &str = "***";
/// Shorter keys are not looked for: local servers are given words such as `x`, and without every `x` nothing is left of
/// an answer.
const MIN_KEY: usize = 4;

/// Knows the key, and nothing shows it.
#[derive(Clone, Debug, Default)]
pub(super) struct Scrub(Option<Secret>);

impl Scrub {
    pub(super) fn new(key: Option<Secret>) -> Self {
        Self(key.filter(|k| k.expose().len() >= MIN_KEY))
    }

    /// The text without the key. To be used before a text is shortened: half a key is a secret, too.
    pub(super) fn clean(&self, text: &str) -> String {
        let Some(key) = &self.0 else { return text.to_owned() };
        let clean = text.replace(key.expose(), STARS);
        // In JSON the key's own quotes and backslashes are escaped.
        let escaped = serde_json::Value::from(key.expose()).to_string();
        let clean = clean.replace(escaped.trim_matches('"'), STARS);
        // In an address everything is that is no letter and no digit.
        let encoded: String = url::form_urlencoded::byte_serialize(key.expose().as_bytes()).collect();
        clean.replace(&encoded, STARS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_text_in_json_and_in_addresses() {
        let check = |key: &str, text: &str, expected: &str| {
            assert_eq!(Scrub::new(Some(Secret::new(key))).clean(text), expected);
        };
        check("sk-1", "Bearer sk-1, sk-12", "Bearer ***, ***2");
        check(r#"a"b\c"#, r#"{"message": "a\"b\\c", "x": 1}"#, r#"{"message": "***", "x": 1}"#);
        check("a+b/c=", "https://x.example/?key=a%2Bb%2Fc%3D&y", "https://x.example/?key=***&y");
        check("", "nothing", "nothing");
        check("e", "nothing else", "nothing else");
        assert_eq!(Scrub::default().clean("nothing"), "nothing");
    }
}
