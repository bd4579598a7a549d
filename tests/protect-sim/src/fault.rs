//! Things that go wrong on demand.

use std::time::Duration;

use serde_json::Value;

use crate::chance::Chance;
use crate::stream::Order;

/// A rule: which requests, which of them, and what happens.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Such as `GET`; `None`: any.
    pub method: Option<String>,
    /// The path, with `*` for any run of signs.
    pub path: String,
    /// Which of the requests that match.
    pub when: When,
    /// What happens to them.
    pub what: What,
}

/// Which of the requests that match a rule.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// All of them.
    Always,
    /// The first so many.
    First(u32),
    /// That one, counted from 1.
    Nth(u32),
    /// Every so many.
    Every(u32),
    /// So many of a hundred, by the seed.
    Percent(u8),
}

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum What {
    /// This instead of the answer.
    Answer(u16, Body),
    /// The answer, later.
    Delay(Duration),
    /// The answer, with a pause in the middle of its body.
    Stall(Duration),
    /// Half of the answer's body, with or without its true length told before.
    Cut {
        /// Whether `Content-Length` is that of the whole.
        told: bool,
    },
    /// The answer with another content type.
    ContentType(String),
    /// The answer as gzip, whether it was asked for or not.
    Gzip,
    /// The answer with bytes in it that are not UTF-8.
    InvalidUtf8,
    /// The answer in pieces of one byte.
    Dribble,
    /// The connection is reset.
    Reset,
    /// The connection is closed without a word.
    Close,
    /// The JSON of the answer with these places set, or removed; places are JSON pointers.
    Edit(Vec<(String, Option<Value>)>),
    /// Without these headers.
    WithoutHeaders(Vec<String>),
    /// With these headers besides.
    WithHeaders(Vec<(String, String)>),
    /// The session gets a new cookie and CSRF token with the answer.
    Rotate,
    /// For a WebSocket: is taken, and after so many messages this.
    Stream(u32, Order),
}

/// A body instead of the real one.
#[derive(Clone, Debug)]
pub enum Body {
    /// None.
    Empty,
    /// The page of a proxy.
    Html,
    /// That JSON.
    Json(Value),
    /// That text.
    Text(String),
}

impl Fault {
    /// A rule for any method.
    #[must_use]
    pub fn on(path: &str, when: When, what: What) -> Self {
        Self { method: None, path: path.into(), when, what }
    }

    /// The same for one method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.into());
        self
    }
}

/// The rules in force, each with how often it matched.
#[derive(Default)]
pub(crate) struct Faults {
    rules: Vec<(Fault, u32)>,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.rules.push((fault, 0));
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// What is to happen to this request: of the first rule that says anything.
    pub(crate) fn pick(&mut self, method: &str, path: &str, chance: &mut Chance) -> Option<What> {
        let mut picked = None;
        for (fault, seen) in &mut self.rules {
            if fault.method.as_deref().is_some_and(|wanted| wanted != method) || !matches(&fault.path, path) {
                continue;
            }
            *seen += 1;
            let is_due = match fault.when {
                When::Always => true,
                When::First(n) => *seen <= n,
                When::Nth(n) => *seen == n,
                When::Every(n) => seen.is_multiple_of(n.max(1)),
                When::Percent(percent) => chance.percent(percent),
            };
            if is_due && picked.is_none() {
                picked = Some(fault.what.clone());
            }
        }
        picked
    }
}

/// Whether a path fits a pattern with `*` in it.
fn matches(pattern: &str, path: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == path };
    let Some(path) = path.strip_prefix(head) else { return false };
    if !rest.contains('*') {
        return path.ends_with(rest);
    }
    path.char_indices().any(|(at, _)| path.get(at..).is_some_and(|tail| matches(rest, tail)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_paths() {
        assert!(matches("/a/b", "/a/b") && !matches("/a/b", "/a/bc"));
        assert!(matches("*", "/anything") && matches("/a/*", "/a/b/c") && matches("/a/*/d", "/a/b/c/d"));
        assert!(matches("/a/*/c/*", "/a/b/c/d") && !matches("/a/*/x/*", "/a/b/c/d"));
    }

    #[test]
    fn rules_fire_when_they_are_due() {
        let mut faults = Faults::default();
        faults.add(Fault::on("/x", When::Nth(2), What::Reset));
        faults.add(Fault::on("/x", When::First(3), What::Close).method("GET"));
        let mut chance = Chance::new(1);
        let mut next = |method: &str| match faults.pick(method, "/x", &mut chance) {
            Some(What::Reset) => "reset",
            Some(What::Close) => "close",
            _ => "none",
        };
        assert_eq!(
            [next("GET"), next("GET"), next("GET"), next("GET"), next("POST")],
            ["close", "reset", "close", "none", "none"]
        );
    }
}
