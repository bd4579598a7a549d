//! What can go wrong with a controller, for the caller to act on.

use std::io;
use std::time::Duration;

use argus_core::controller::{ControllerError, ControllerFault};
use argus_core::{Classify, ErrorClass, Timestamp};

/// A failure of this crate. Each message is a sentence for the person who runs the server: what, why, what to do. None
/// holds a secret. Cheap to copy, because one sign-in serves many callers, its failure too.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtectError {
    /// Nobody answers there.
    #[error("the controller cannot be reached ({0}): check its address, its port and the network")]
    Unreachable(String),
    /// A stream that was open ended.
    #[error("the connection to the controller was lost ({0})")]
    Lost(String),
    /// No answer in time.
    #[error("the controller did not answer in time ({0})")]
    Timeout(String),
    /// Its certificate is not to be trusted.
    #[error(
        "the controller's certificate is not trusted ({0}): compare its fingerprint and pin it, or give the controller a certificate that this machine trusts"
    )]
    TlsUntrusted(String),
    /// Its certificate is not the pinned one.
    #[error(
        "the controller shows another certificate than the pinned one, with the SHA-256 {0}: if it was replaced on purpose, pin the new one; nothing secret was sent"
    )]
    TlsChanged(String),
    /// Wrong user, password or key, or an account that needs a second factor.
    #[error("{0}")]
    Unauthorized(String),
    /// Too many sign-ins.
    #[error(
        "the controller refuses sign-ins after too many of them; the next try is at {until}, and trying earlier makes it longer"
    )]
    Locked {
        /// Until when it is left alone.
        until: Timestamp,
    },
    /// The account lacks a right.
    #[error("the account may not use {0}: give it that right on the controller")]
    Forbidden(String),
    /// Too many calls.
    #[error("the controller takes no more calls for now ({0}); another program may use the same key")]
    RateLimited(String),
    /// It answers, but is no Protect controller.
    #[error("this is no UniFi Protect controller ({0})")]
    NotProtect(String),
    /// Its version lacks what is needed.
    #[error("the controller's version is too old ({0}): update Protect to 5.3 or later, or use a local account")]
    TooOld(String),
    /// An answer that says "later", as during an update or a restart.
    #[error("the controller is busy or restarting: {what} answered with status {status}")]
    Busy {
        /// What was asked for.
        what: &'static str,
        /// HTTP status.
        status: u16,
    },
    /// It failed so often that it is left alone.
    #[error(
        "the controller failed many times in a row and is left alone until {until}, or until it is connected again"
    )]
    Resting {
        /// Until when.
        until: Timestamp,
    },
    /// The camera is not connected to its controller.
    #[error("the camera is not connected to its controller")]
    CameraOffline,
    /// It has no such thing.
    #[error("the controller has no {0}")]
    NotFound(String),
    /// An answer that cannot be used.
    #[error("the controller's answer to {what} cannot be used: {reason}")]
    Unusable {
        /// What was asked for.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// The credentials are not of the kind that this needs.
    #[error("{0}")]
    Unsupported(String),
    /// A file of this machine.
    #[error("{0}")]
    File(String),
    /// The connection was stopped.
    #[error("the connection was stopped")]
    Stopped,
}

/// What came of a status that is no success, where nothing better is known.
pub(crate) fn of_status(what: &'static str, status: u16) -> ProtectError {
    match status {
        401 => ProtectError::Unauthorized("the controller does not accept the sign-in".into()),
        403 => ProtectError::Forbidden(what.into()),
        404 => ProtectError::NotFound(what.into()),
        429 => ProtectError::RateLimited(what.into()),
        408 | 425 | 500..=599 => ProtectError::Busy { what, status },
        _ => ProtectError::Unusable { what, reason: format!("status {status}") },
    }
}

/// Why something failed, in the words of its innermost cause: those around it repeat it, and some add addresses of
/// manuals.
pub(crate) fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    loop {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            match (io.kind(), io.get_ref()) {
                (io::ErrorKind::UnexpectedEof, _) => return "the other side closed it".into(),
                (_, Some(wrapped)) => {
                    cause = wrapped;
                    continue;
                }
                (_, None) => {}
            }
        }
        match cause.source() {
            Some(inner) => cause = inner,
            None => return cause.to_string(),
        }
    }
}

impl ProtectError {
    /// The kind that the HTTP interface names; `None` for what is none of them.
    #[must_use]
    pub fn fault(&self) -> Option<ControllerFault> {
        match self {
            Self::Unreachable(_) | Self::Lost(_) | Self::Busy { .. } | Self::Resting { .. } => {
                Some(ControllerFault::Unreachable)
            }
            Self::Timeout(_) => Some(ControllerFault::Timeout),
            Self::TlsUntrusted(_) => Some(ControllerFault::TlsUntrusted),
            Self::TlsChanged(_) => Some(ControllerFault::TlsChanged),
            Self::Unauthorized(_) => Some(ControllerFault::Unauthorized),
            Self::Locked { .. } | Self::RateLimited(_) => Some(ControllerFault::RateLimited),
            Self::Forbidden(_) => Some(ControllerFault::Forbidden),
            Self::NotProtect(_) | Self::NotFound(_) | Self::Unusable { .. } => Some(ControllerFault::NotProtect),
            Self::TooOld(_) => Some(ControllerFault::TooOld),
            Self::CameraOffline | Self::Unsupported(_) | Self::File(_) | Self::Stopped => None,
        }
    }

    /// Whether a person must mend it, so that trying again at once is of no use.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::TlsUntrusted(_)
            | Self::TlsChanged(_)
            | Self::Unauthorized(_)
            | Self::Locked { .. }
            | Self::Forbidden(_)
            | Self::NotProtect(_)
            | Self::TooOld(_)
            | Self::Unsupported(_) => true,
            Self::Unreachable(_)
            | Self::Lost(_)
            | Self::Timeout(_)
            | Self::RateLimited(_)
            | Self::Busy { .. }
            | Self::Resting { .. }
            | Self::CameraOffline
            | Self::NotFound(_)
            | Self::Unusable { .. }
            | Self::File(_)
            | Self::Stopped => false,
        }
    }

    /// Whether the same read may be tried again, and after how long at least.
    pub(crate) fn retry(&self) -> Option<Duration> {
        match self {
            Self::Unreachable(_) | Self::Timeout(_) | Self::Busy { .. } => Some(Duration::ZERO),
            Self::RateLimited(_) => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}

impl Classify for ProtectError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Unreachable(_)
            | Self::Lost(_)
            | Self::Busy { .. }
            | Self::Resting { .. }
            | Self::CameraOffline
            | Self::Locked { .. }
            | Self::RateLimited(_)
            | Self::Stopped => ErrorClass::Unavailable,
            Self::Timeout(_) => ErrorClass::Timeout,
            Self::TlsUntrusted(_)
            | Self::TlsChanged(_)
            | Self::Unauthorized(_)
            | Self::NotProtect(_)
            | Self::TooOld(_)
            | Self::Unusable { .. } => ErrorClass::Upstream,
            Self::NotFound(_) => ErrorClass::NotFound,
            Self::Forbidden(_) | Self::Unsupported(_) => ErrorClass::Conflict,
            Self::File(_) => ErrorClass::Internal,
        }
    }
}

impl From<ProtectError> for ControllerError {
    fn from(e: ProtectError) -> Self {
        let text = e.to_string();
        match e.class() {
            ErrorClass::NotFound => Self::NotFound(text),
            ErrorClass::Conflict => Self::Unsupported(text),
            ErrorClass::Timeout => Self::Timeout(text),
            ErrorClass::Unavailable => Self::Unavailable(text),
            _ => Self::Upstream(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_short() {
        let check = |e: io::Error, expected: &str| assert_eq!(reason(&io::Error::other(e)), expected);
        check(io::Error::new(io::ErrorKind::UnexpectedEof, "see https://manual"), "the other side closed it");
        check(io::Error::other("no such name"), "no such name");
        check(io::ErrorKind::ConnectionRefused.into(), "connection refused");
    }
}
