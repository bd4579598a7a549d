//! What can be wrong with a describer before it is asked anything.

use argus_core::{Classify, ErrorClass, Invalid};

/// A describer cannot be made. Failures of a call are [`DescribeError`](argus_core::describe::DescribeError) instead:
/// they belong into the receipt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AiError {
    /// A value of the configuration breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The HTTP client cannot be made, such as for https on a machine without any certificate authority.
    #[error("the HTTP client for the provider cannot be made")]
    Client(#[source] reqwest::Error),
}

impl Classify for AiError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Invalid(_) => ErrorClass::Invalid,
            Self::Client(_) => ErrorClass::Internal,
        }
    }
}
