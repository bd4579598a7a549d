//! The combined connection, how one is opened, and the pools.

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "postgres")]
use diesel::PgConnection;
use diesel::connection::{AnsiTransactionManager, Connection, SimpleConnection, TransactionManager};
use diesel::r2d2::R2D2Connection;
use diesel::sqlite::SqliteConnection;

use crate::DbUrl;
use crate::error::DbError;
use crate::waits::Turns;

pub(crate) use combined::{DbConn, MultiBackend};

#[expect(unreachable_pub, reason = "the derive writes its own items this way")]
mod combined {
    #[cfg(feature = "postgres")]
    use super::PgConnection;
    use super::SqliteConnection;

    /// One connection of either kind. Queries run on both without knowing which.
    #[derive(diesel::MultiConnection)]
    pub enum DbConn {
        Sqlite(SqliteConnection),
        #[cfg(feature = "postgres")]
        Postgres(PgConnection),
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Reader,
}

impl DbConn {
    /// Connects to exactly the backend that the address names. The derive's own `establish` tries one after the other
    /// and could answer a wrong PostgreSQL address with a new, empty SQLite file: never call it.
    pub(crate) fn connect(url: &DbUrl, role: Role) -> diesel::ConnectionResult<Self> {
        match url {
            DbUrl::Sqlite(path) => {
                let path = path.to_str().ok_or_else(|| {
                    diesel::ConnectionError::InvalidConnectionUrl("the path of the database is not UTF-8".into())
                })?;
                let mut c = SqliteConnection::establish(path)?;
                // The order matters: without the timeout, the change to WAL fails when two open at once.
                c.batch_execute(
                    "PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON; PRAGMA journal_mode = WAL; \
                     PRAGMA synchronous = NORMAL;",
                )
                .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
                if role == Role::Reader {
                    c.batch_execute("PRAGMA query_only = ON;")
                        .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
                }
                Ok(Self::Sqlite(c))
            }
            #[cfg(feature = "postgres")]
            DbUrl::Postgres(url) => {
                let mut c = PgConnection::establish(url.expose())?;
                c.batch_execute("SET TIME ZONE 'UTC'").map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
                Ok(Self::Postgres(c))
            }
        }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => true,
        }
    }

    /// Begins a transaction that writes. On SQLite it takes the write lock at once: one that reads first and then
    /// writes would fail with "database is locked" however long it was told to wait.
    fn begin_write(&mut self) -> diesel::QueryResult<()> {
        match self {
            Self::Sqlite(c) => AnsiTransactionManager::begin_transaction_sql(c, "BEGIN IMMEDIATE"),
            #[cfg(feature = "postgres")]
            Self::Postgres(c) => AnsiTransactionManager::begin_transaction(c),
        }
    }

    /// Moves the log into the database and begins it anew, when readers that have begun end within a fifth of a second.
    pub(crate) fn begin_log_anew(&mut self) -> diesel::QueryResult<()> {
        match self {
            Self::Sqlite(c) => {
                let done = c.batch_execute("PRAGMA busy_timeout = 200; PRAGMA wal_checkpoint(TRUNCATE);");
                // Whatever came of it.
                c.batch_execute("PRAGMA busy_timeout = 5000;").and(done)
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Ok(()),
        }
    }

    /// Begins a transaction that sees one state of the database from its first statement on.
    fn begin_read(&mut self) -> diesel::QueryResult<()> {
        match self {
            Self::Sqlite(c) => AnsiTransactionManager::begin_transaction_sql(c, "BEGIN"),
            #[cfg(feature = "postgres")]
            Self::Postgres(c) => AnsiTransactionManager::begin_transaction_sql(
                c,
                "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
            ),
        }
    }

    /// Runs `f` in one transaction; an error rolls back.
    pub(crate) fn transact<T>(
        &mut self,
        role: Role,
        f: impl FnOnce(&mut Self) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        match role {
            Role::Writer => self.begin_write()?,
            Role::Reader => self.begin_read()?,
        }
        match f(self) {
            Ok(value) => {
                <Self as TransactionManager<Self>>::commit_transaction(self)?;
                Ok(value)
            }
            Err(e) => match <Self as TransactionManager<Self>>::rollback_transaction(self) {
                Ok(()) | Err(diesel::result::Error::BrokenTransactionManager) => Err(e),
                // SQLite has rolled back by itself when there was no room to go on.
                Err(_) if matches!(e, DbError::Full(_)) => Err(e),
                Err(other) => Err(other.into()),
            },
        }
    }
}

/// Opens, checks and judges connections for the pool.
#[derive(Debug)]
pub(crate) struct Manager {
    url: DbUrl,
    role: Role,
}

impl r2d2::ManageConnection for Manager {
    type Connection = DbConn;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<DbConn, Self::Error> {
        DbConn::connect(&self.url, self.role).map_err(diesel::r2d2::Error::ConnectionError)
    }

    fn is_valid(&self, c: &mut DbConn) -> Result<(), Self::Error> {
        c.ping().map_err(diesel::r2d2::Error::QueryError)
    }

    fn has_broken(&self, c: &mut DbConn) -> bool {
        // A connection that is given back during a panic may be inside a transaction.
        std::thread::panicking() || c.is_broken()
    }
}

/// Connections of one role, and the permits to use them.
#[derive(Clone)]
pub(crate) struct Lane {
    pub(crate) pool: r2d2::Pool<Manager>,
    pub(crate) permits: Arc<tokio::sync::Semaphore>,
    pub(crate) turns: Arc<Turns>,
}

impl Lane {
    /// A lane of `size` connections, opened when they are first needed.
    pub(crate) fn new(url: &DbUrl, role: Role, size: u32, wait: Duration) -> Result<Self, DbError> {
        let pool = r2d2::Pool::builder()
            .max_size(size)
            .min_idle(Some(0))
            .max_lifetime(None)
            .idle_timeout(None)
            .connection_timeout(wait)
            .test_on_check_out(!matches!(url, DbUrl::Sqlite(_)))
            .build(Manager { url: url.clone(), role })
            .map_err(|e| DbError::Open(Box::new(e)))?;
        let permits = Arc::new(tokio::sync::Semaphore::new(usize::try_from(size).unwrap_or(1)));
        Ok(Self { pool, permits, turns: Arc::default() })
    }
}
