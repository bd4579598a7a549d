//! What kinds of failure there are, and the faults of a value that breaks a rule.

use std::fmt;

/// What a failure means to the caller; argus-api turns it into an HTTP status, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Not the promised syntax.
    Malformed,
    /// No credentials, or wrong ones.
    Unauthenticated,
    /// The caller may not.
    Forbidden,
    /// No such thing.
    NotFound,
    /// A name is taken, or the present state does not allow it.
    Conflict,
    /// Larger than the limit.
    TooLarge,
    /// Understood, but a value breaks a rule.
    Invalid,
    /// A limit is used up for now.
    RateLimited,
    /// A fault of our own.
    Internal,
    /// A camera, controller or provider answered uselessly.
    Upstream,
    /// Something needed is down or busy; try again.
    Unavailable,
    /// A camera, controller or provider did not answer in time.
    Timeout,
}

/// Says what a failure means to the caller. Matches are exhaustive, so that a new variant must choose.
pub trait Classify {
    /// The class of this failure.
    fn class(&self) -> ErrorClass;
}

/// One fault of one value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Invalid {
    /// The field's name or path, such as `detection_zones[0].vertices[2].x`; empty for the whole.
    pub field: String,
    /// What is wrong with it, as the end of the sentence "this value …".
    pub reason: String,
}

impl Invalid {
    /// A fault of `field`.
    #[must_use]
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

impl Classify for Invalid {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

/// All faults of a value, in the order in which they were found; never empty when it is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Invalid>);

impl Faults {
    /// Adds a fault.
    pub fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.0.push(Invalid::new(field, reason));
    }

    /// `value` when nothing was found, else the faults.
    ///
    /// # Errors
    /// `Faults` when there is at least one.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    /// Whether no fault was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl From<Invalid> for Faults {
    fn from(fault: Invalid) -> Self {
        Self(vec![fault])
    }
}

impl Classify for Faults {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

/// The message of a failure followed by those of its causes, for a log.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        text.push_str(": ");
        text.push_str(&e.to_string());
        cause = e.source();
    }
    text
}
