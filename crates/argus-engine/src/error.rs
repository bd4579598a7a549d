//! What can go wrong in the running system.

use argus_core::ports::ControlError;
use argus_core::{Classify, ErrorClass};
use argus_db::DbError;

/// A failure of the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The database refused or failed.
    #[error("the database failed")]
    Database(#[from] DbError),
    /// The media store refused or failed.
    #[error("the media store failed at {key}")]
    Media {
        /// What was read or written.
        key: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// A file could not be put into the media store.
    #[error("cannot store {key}")]
    Store {
        /// Under what name.
        key: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {what}")]
    File {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Classify for EngineError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Database(e) => e.class(),
            Self::Media { .. } | Self::Store { .. } | Self::File { .. } => ErrorClass::Internal,
        }
    }
}

/// A database error as the API's port tells it.
pub(crate) fn control(what: &'static str, error: DbError) -> ControlError {
    match error.class() {
        ErrorClass::NotFound => ControlError::NotFound(error.to_string()),
        ErrorClass::Conflict => ControlError::Conflict(error.to_string()),
        class => ControlError::Failed { what, class, source: Box::new(error) },
    }
}
