//! Secrets that the tests of this process use, and the search for them in the logs of the servers that they ran.
//!
//! Nobody has to remember anything: what goes through the clients and options of this crate under a name that is a
//! secret's is kept here, and every server's log is searched when its value is dropped.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// Shorter ones would be found in ordinary words.
const SHORTEST: usize = 6;
/// Fields whose values nobody may log.
const FIELDS: &[&str] = &[
    "password",
    "new_password",
    "current_password",
    "temporary_password",
    "api_key",
    "token",
    "access_token",
    "ticket",
];

static KNOWN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Keeps a secret in mind.
pub fn remember(secret: &str) {
    let secret = secret.trim();
    if secret.len() >= SHORTEST {
        KNOWN.lock().unwrap_or_else(PoisonError::into_inner).insert(secret.to_owned());
    }
}

/// Keeps in mind what stands in a body under a name that is a secret's, and the password in an address.
pub fn remember_json(body: &Value) {
    match body {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if FIELDS.contains(&name.as_str()) => remember(text),
                    // Keys of groups in sums are none.
                    Value::String(text) if name == "key" && text.starts_with("argus_") => remember(text),
                    Value::String(text) => remember_address(text),
                    inner => remember_json(inner),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(remember_json),
        _ => {}
    }
}

/// Keeps in mind the password in `scheme://user:password@host`.
pub fn remember_address(text: &str) {
    if !text.contains("://") {
        return;
    }
    if let Some(password) = url::Url::parse(text).ok().and_then(|url| url.password().map(str::to_owned)) {
        remember(&password);
    }
}

/// Keeps in mind the value of a variable whose name is a secret's, and the password in an address.
pub fn remember_variable(name: &str, value: &str) {
    if ["KEY", "PASSWORD", "TOKEN", "SECRET"].iter().any(|part| name.contains(part)) {
        remember(value);
    }
    remember_address(value);
}

/// Keeps in mind what a server prints for its first user: `setup token: …`, `api key: …`, `login: demo / …`.
pub fn remember_line(line: &str) {
    for begin in ["setup token: ", "api key: ", "login: demo / "] {
        if let Some(secret) = line.strip_prefix(begin) {
            remember(secret);
        }
    }
}

/// The lines of a log that show a secret which is known by now, with the secret in place of it.
pub fn found_in(log: &Path) -> Vec<String> {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let shows = |line: &&str| known.iter().any(|secret| line.contains(secret.as_str()));
    text.lines().filter(shows).map(str::to_owned).collect()
}
