//! Motion detection on small grey pictures, and the choice of the compressed pictures that are worth decoding.
//!
//! Luma planes and packet sizes come in, motion goes out. Everything per pixel is integer arithmetic, so the same
//! pictures give the same answers on every machine, and nothing is allocated a frame once the detector is warm.
//! This crate must not know cameras, the time of day, files or decoders; it knows argus-core and nothing else.
//!
//! The way of a picture:
//!
//! 1. [`Reducer`] averages the decoder's Y plane down to about 320 x 180.
//! 2. [`Detector`] compares it with a background (running mean and mean absolute deviation of each pixel) after taking out what
//!    light did: a robust fit of gain and offset over the whole picture, then a gain a block.
//! 3. Changed pixels become regions, and regions are followed: what has support in the frame before and travels,
//!    stands where nothing stood, or comes in clearly at the border, is reported as [`Motion`].
//!
//! [`DecodePolicy`] stands before all that: [`PacketGate`] looks at compressed sizes only.
//!
//! ```
//! use argus_core::camera::Sensitivity;
//! use argus_motion::{Detector, DetectorConfig, MotionMask, Reducer};
//!
//! # fn main() -> Result<(), argus_motion::MotionError> {
//! let mut reducer = Reducer::new(640, 360);
//! let (width, height) = reducer.out_size();
//! let config =
//!     DetectorConfig { sensitivity: Sensitivity::Medium, frame_rate: 5.0, mask: MotionMask::from_zones(&[]) };
//! let mut detector = Detector::new(width, height, &config);
//!
//! let decoded = vec![90; 640 * 360]; // the Y plane of a decoder, row after row
//! let mut memory = Vec::new();
//! for _ in 0..20 {
//!     let plane = reducer.reduce(&decoded, 640, memory)?;
//!     assert!(!detector.feed(&plane)?.moving);
//!     memory = plane.into_pixels();
//! }
//! # Ok(())
//! # }
//! ```

mod background;
mod blobs;
mod detector;
mod error;
mod gate;
mod light;
mod luma;
mod mask;
mod score;
mod simd;
mod tracks;
mod tuning;
mod zones;

pub use detector::{Detector, DetectorConfig};
pub use error::MotionError;
pub use gate::{DecodeAll, DecodePolicy, PacketGate, PacketInfo, Verdict};
pub use luma::Reducer;
pub use score::{FractionBox, Motion, MotionBox};
pub use zones::MotionMask;
