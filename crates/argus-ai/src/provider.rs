//! Small things that every way to a description needs.

use std::time::Duration;

use argus_core::describe::{DescribeError, DescribeFailure};

/// A failure without a wish when to try again.
pub(crate) fn failure(kind: DescribeFailure, message: impl Into<String>) -> DescribeError {
    DescribeError { kind, message: message.into(), retry_after: None }
}

/// Whole milliseconds, at most `u32::MAX` (49 days).
pub(crate) fn millis(d: Duration) -> u32 {
    u32::try_from(d.as_millis()).unwrap_or(u32::MAX)
}
