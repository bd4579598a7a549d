//! The session cookie, read by hand: cookie parsers drop it whole when they meet `Partitioned`, and its name differs
//! between versions of UniFi OS.

use argus_core::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, header};
use serde_json::Value;

/// Names of the cookie: up to UniFi OS 3, and since 4.
const NAMES: [&str; 2] = ["TOKEN", "UOS_TOKEN"];

/// A session cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cookie {
    /// `NAME=value`, as it is sent back.
    pub(crate) pair: Secret,
    /// When it ends, by the console's clock, in seconds since 1970.
    pub(crate) expires_s: Option<i64>,
    /// The token for writes that is written in it.
    pub(crate) csrf: Option<Secret>,
}

impl Cookie {
    /// The session cookie among the headers of an answer.
    pub(crate) fn find(headers: &HeaderMap) -> Option<Self> {
        headers.get_all(header::SET_COOKIE).iter().filter_map(|v| v.to_str().ok()).find_map(Self::read)
    }

    fn read(set_cookie: &str) -> Option<Self> {
        let (name, value) = set_cookie.split(';').next()?.trim().split_once('=')?;
        // An empty value takes the cookie away, as signing out does.
        if !NAMES.contains(&name) || value.is_empty() {
            return None;
        }
        Some(Self::new(&format!("{name}={value}")))
    }

    /// A cookie from its pair.
    pub(crate) fn new(pair: &str) -> Self {
        let claims = claims(pair.split_once('=').map_or("", |(_, value)| value));
        let text = |key: &str| claims.as_ref().and_then(|c| c.get(key)).and_then(Value::as_str).map(Secret::new);
        let number = |key: &str| claims.as_ref().and_then(|c| c.get(key)).and_then(Value::as_i64);
        Self { pair: Secret::new(pair), expires_s: number("exp"), csrf: text("csrfToken") }
    }
}

/// The claims of a JWT. Its signature is the console's affair.
fn claims(jwt: &str) -> Option<Value> {
    let payload = jwt.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[&str], expected: Option<(&str, Option<i64>, Option<&str>)>) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::SET_COOKIE, line.parse().unwrap());
        }
        let got = Cookie::find(&headers);
        let got = got.as_ref().map(|c| (c.pair.expose(), c.expires_s, c.csrf.as_ref().map(Secret::expose)));
        assert_eq!(got, expected, "{lines:?}");
    }

    #[test]
    fn uos_token_partitioned() {
        let jwt = format!("h.{}.s", URL_SAFE_NO_PAD.encode(r#"{"exp":1766485800,"csrfToken":"c"}"#));
        let full = format!("UOS_TOKEN={jwt}; path=/; samesite=none; secure; httponly; Partitioned");
        let pair = format!("UOS_TOKEN={jwt}");
        check(&["x=y", &full], Some((&pair, Some(1_766_485_800), Some("c"))));
        check(&["TOKEN=plain"], Some(("TOKEN=plain", None, None)));
        check(&["Partitioned; TOKEN=a"], None);
        check(&["TOKEN=; max-age=0"], None);
        check(&["token=a", "OTHER=b"], None);
        check(&["TOKEN=a.%%%.c"], Some(("TOKEN=a.%%%.c", None, None)));
        check(&[], None);
    }
}
