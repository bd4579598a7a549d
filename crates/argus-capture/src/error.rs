//! What can go wrong while capturing, for the caller to act on.

use argus_core::{Classify, ErrorClass};

/// A foreign failure, kept as the cause.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// GStreamer itself could not be started.
    #[error("GStreamer could not be started")]
    Start(#[source] Cause),
    /// A part of GStreamer is not installed.
    #[error("the GStreamer element {element} is missing (on Debian: package {package})")]
    MissingElement {
        /// Its name.
        element: String,
        /// The Debian package that brings it.
        package: &'static str,
    },
    /// A pipeline could not be built or started.
    #[error("the pipeline could not be {0}")]
    Pipeline(&'static str, #[source] Cause),
    /// What was given is no video that can be decoded here.
    #[error("the video cannot be decoded: {0}")]
    Decode(String),
    /// A file could not be read or written.
    #[error("{0}")]
    File(&'static str, #[source] std::io::Error),
    /// A decoded picture could not be reduced.
    #[error("the picture could not be reduced")]
    Reduce(#[source] argus_motion::MotionError),
}

impl Classify for CaptureError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Start(_) | Self::MissingElement { .. } => ErrorClass::Unavailable,
            Self::Pipeline(..) | Self::File(..) => ErrorClass::Internal,
            Self::Decode(_) => ErrorClass::Upstream,
            Self::Reduce(e) => e.class(),
        }
    }
}
