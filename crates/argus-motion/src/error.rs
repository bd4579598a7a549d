//! What can be wrong with what is fed.

use argus_core::{Classify, ErrorClass, Invalid};

/// Why a picture was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MotionError {
    /// The slice ends before the last row does, or its rows are shorter than the picture is wide.
    #[error("a luma plane needs {needed} bytes, has {given}")]
    PlaneTooShort {
        /// Bytes that width, height and stride ask for.
        needed: usize,
        /// Bytes that were given.
        given: usize,
    },
    /// A row of `stride` bytes does not hold `width` pixels.
    #[error("rows of {stride} bytes do not hold {width} pixels")]
    StrideTooShort {
        /// Bytes from one row to the next.
        stride: usize,
        /// Pixels in a row.
        width: usize,
    },
    /// The picture has another size than the detector was made for: a new format needs a new detector.
    #[error("the picture is {given_width} x {given_height}, the detector was made for {width} x {height}")]
    WrongSize {
        /// Width the detector was made for.
        width: u16,
        /// Height the detector was made for.
        height: u16,
        /// Width of the picture.
        given_width: u16,
        /// Height of the picture.
        given_height: u16,
    },
    /// The reduced picture has no pixels: the source is empty.
    #[error("there is no picture to reduce")]
    Empty(#[source] Invalid),
}

impl Classify for MotionError {
    fn class(&self) -> ErrorClass {
        match self {
            // all of them are what a decoder delivered, not what a user asked for
            Self::PlaneTooShort { .. } | Self::StrideTooShort { .. } | Self::Empty(_) => ErrorClass::Upstream,
            // the owner of the detector forgot to make a new one
            Self::WrongSize { .. } => ErrorClass::Internal,
        }
    }
}
