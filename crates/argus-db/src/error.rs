//! What can go wrong below.

use std::error::Error;

use argus_core::{Classify, ErrorClass, Invalid};
use diesel::result::DatabaseErrorKind;

type Cause = Box<dyn Error + Send + Sync>;

/// A failure of the database layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// No such row.
    #[error("no such {what}")]
    NotFound {
        /// The noun, such as `camera`.
        what: &'static str,
    },
    /// A unique value is taken.
    #[error("another {what} with this {field} exists")]
    Conflict {
        /// The noun, such as `camera`.
        what: &'static str,
        /// The field that must be unique.
        field: &'static str,
    },
    /// The last admin who can sign in must stay one.
    #[error("the only active user with the role admin cannot be demoted, disabled or deleted")]
    LastAdmin,
    /// A value that cannot be stored, a damaged cursor, or an address that is none.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Too many callers before this one, or another process holds the database.
    #[error("the database is busy")]
    Busy,
    /// The database does not answer.
    #[error("the database is away")]
    Unavailable(#[source] Cause),
    /// The database cannot be opened at all.
    #[error("the database cannot be opened")]
    Open(#[source] Cause),
    /// The tables cannot be brought to the form that this program knows.
    #[error("the database cannot be migrated")]
    Migration(#[source] Cause),
    /// A stored row breaks the rules.
    #[error("a stored {what} cannot be read")]
    Corrupt {
        /// The noun, such as `camera`.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: Cause,
    },
    /// A stored secret was sealed under another key, or was tampered with.
    #[error("a stored secret cannot be opened with the present key")]
    Sealed,
    /// A statement failed.
    #[error("a statement failed")]
    Query(#[source] Cause),
    /// Our own code panicked during a call; nothing of the call was stored.
    #[error("a database call panicked")]
    Panicked,
}

impl DbError {
    pub(crate) fn corrupt(what: &'static str, source: impl Into<Cause>) -> Self {
        Self::Corrupt { what, source: source.into() }
    }
}

impl Classify for DbError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound { .. } => ErrorClass::NotFound,
            Self::Conflict { .. } | Self::LastAdmin => ErrorClass::Conflict,
            Self::Invalid(_) => ErrorClass::Invalid,
            Self::Busy | Self::Unavailable(_) => ErrorClass::Unavailable,
            Self::Open(_)
            | Self::Migration(_)
            | Self::Corrupt { .. }
            | Self::Sealed
            | Self::Query(_)
            | Self::Panicked => ErrorClass::Internal,
        }
    }
}

impl From<diesel::result::Error> for DbError {
    fn from(e: diesel::result::Error) -> Self {
        use diesel::result::Error as E;
        match &e {
            E::NotFound => Self::NotFound { what: "row" },
            E::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => Self::Busy,
            E::DatabaseError(DatabaseErrorKind::ClosedConnection, _) => Self::Unavailable(Box::new(e)),
            // SQLite's words for SQLITE_BUSY and SQLITE_LOCKED, PostgreSQL's for 40P01; diesel has no kind for them.
            E::DatabaseError(DatabaseErrorKind::Unknown, info)
                if info.message().starts_with("database is locked")
                    || info.message().starts_with("database table is locked")
                    || info.message() == "deadlock detected" =>
            {
                Self::Busy
            }
            _ => Self::Query(Box::new(e)),
        }
    }
}

/// Gives a broken constraint its meaning for the caller; everything else stays what it is.
pub(crate) trait ConstraintExt<T> {
    /// A broken unique constraint means that `field` is taken.
    fn unique(self, what: &'static str, field: &'static str) -> Result<T, DbError>;
    /// A broken foreign key means that there is no such `what`.
    fn needs(self, what: &'static str) -> Result<T, DbError>;
}

impl<T> ConstraintExt<T> for diesel::QueryResult<T> {
    fn unique(self, what: &'static str, field: &'static str) -> Result<T, DbError> {
        self.map_err(|e| match e {
            diesel::result::Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => {
                DbError::Conflict { what, field }
            }
            e => e.into(),
        })
    }

    fn needs(self, what: &'static str) -> Result<T, DbError> {
        self.map_err(|e| match e {
            diesel::result::Error::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _) => {
                DbError::NotFound { what }
            }
            e => e.into(),
        })
    }
}
