//! Everything that touches GStreamer.

pub(crate) mod brush;
pub(crate) mod decode;
pub(crate) mod element;
pub(crate) mod faults;
pub(crate) mod ingest;
pub(crate) mod inline;
pub(crate) mod jpeg;
pub(crate) mod motion;
pub(crate) mod mux;
pub(crate) mod trust;
