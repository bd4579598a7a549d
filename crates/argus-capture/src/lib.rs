//! Cameras through GStreamer: receive, keep the last seconds compressed, decode only what is asked for, cut clips, make
//! stills.
//!
//! This crate implements [`argus_core::ports::CameraFeeds`]. It must not know the database, events, describers or HTTP, and
//! it reads wall time from a [`argus_core::Clock`], once for each unbroken run of a stream.
//!
//! Two small pipelines a camera instead of one large one. *Ingest* brings whole access units into a [`ring::Ring`] without
//! decoding them; *decode* is fed from there when pictures are wanted. Receiving costs about 1/300 of decoding, so what
//! is not decoded is the performance.
//!
//! Without the feature `gstreamer` only the ring and the synthetic pictures remain, and nothing is linked.
//!
//! ```
//! use argus_core::camera::TestPattern;
//!
//! let pattern = TestPattern::default();
//! let mut i420 = Vec::new();
//! argus_capture::synthetic::draw(&pattern, 60, &mut i420); // four seconds in: the object is in the middle
//! let row = &i420[180 * 640..181 * 640];
//! assert_eq!(row[320], argus_capture::synthetic::OBJECT);
//! assert_eq!(row[10], argus_capture::synthetic::GROUND);
//! ```
//!
//! Opening a camera:
//!
//! ```no_run
//! # #[cfg(feature = "gstreamer")]
//! # async fn run(
//! #     camera_id: argus_core::CameraId,
//! #     clock: std::sync::Arc<dyn argus_core::Clock>,
//! # ) -> Result<(), argus_capture::CaptureError> {
//! use std::time::Duration;
//! use argus_capture::{Feeds, FeedsConfig, GateMode};
//! use argus_core::PrivacyMask;
//! use argus_core::camera::{Source, TestPattern};
//! use argus_core::ports::{CameraFeeds, FeedItem, FeedPlan, StreamTrust};
//!
//! let feeds = Feeds::new(FeedsConfig {
//!     media_dirs: Vec::new(),
//!     temp_dir: std::env::temp_dir(),
//!     clock,
//!     gate: GateMode::Off,
//! })?;
//! let mut feed = feeds.open(FeedPlan {
//!     camera_id,
//!     source: Source::Test(TestPattern::default()),
//!     analysis_rate: Some(5),
//!     keep: Duration::from_secs(10),
//!     privacy: PrivacyMask::default(),
//!     trust: StreamTrust::Any,
//! });
//! while let Some(item) = feed.stream.next().await {
//!     if let FeedItem::Picture(picture) = item {
//!         println!("{} {:?}", picture.taken_at, picture.full_size);
//!     }
//! }
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "gstreamer")]
mod blocking;
#[cfg(feature = "gstreamer")]
mod clip;
mod error;
#[cfg(feature = "gstreamer")]
mod feeds;
#[cfg(feature = "gstreamer")]
mod gst;
#[cfg(feature = "gstreamer")]
mod health;
#[cfg(feature = "gstreamer")]
mod intake;
#[cfg(feature = "gstreamer")]
mod media_path;
#[cfg(feature = "gstreamer")]
mod mp4_edit;
#[cfg(feature = "gstreamer")]
mod paint;
#[cfg(feature = "gstreamer")]
mod probe;
#[cfg(feature = "gstreamer")]
mod queue;
#[cfg(feature = "gstreamer")]
mod repaint;
#[cfg(feature = "gstreamer")]
mod replay;
pub mod ring;
#[cfg(feature = "gstreamer")]
mod shared;
#[cfg(feature = "gstreamer")]
mod source;
#[cfg(feature = "gstreamer")]
mod still;
pub mod synthetic;
#[cfg(feature = "gstreamer")]
mod thin;
#[cfg(feature = "gstreamer")]
mod timeline;

pub use error::{CaptureError, Cause};
#[cfg(feature = "gstreamer")]
pub use feeds::{Feeds, FeedsConfig, GateMode};
#[cfg(feature = "gstreamer")]
pub use replay::pictures_of_file;

/// The page's example for embedders compiles.
#[cfg(all(doctest, feature = "gstreamer"))]
#[doc = include_str!("../../../README.md")]
struct Readme;
