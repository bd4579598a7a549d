//! The handle that everybody holds, and the only place that blocks.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use argus_core::Invalid;
#[cfg(feature = "postgres")]
use argus_core::Secret;

use crate::conn::{DbConn, Lane, Role};
use crate::error::DbError;
use crate::events::{Step, Totals, summary};
use crate::journal::{self, JournalCache, Outbox};
use crate::log_bound::LogBound;
use crate::migrate::Migrator;
use crate::reserve::Reserve;
use crate::seal::{SealRing, Sealer};
use crate::waits::Waits;

/// Which database.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DbUrl {
    /// A file of SQLite; it is made when it is missing, its folder is not.
    Sqlite(PathBuf),
    /// A PostgreSQL server, as libpq reads it.
    #[cfg(feature = "postgres")]
    Postgres(Secret),
}

impl From<&Path> for DbUrl {
    fn from(path: &Path) -> Self {
        Self::Sqlite(path.to_owned())
    }
}

impl From<PathBuf> for DbUrl {
    fn from(path: PathBuf) -> Self {
        Self::Sqlite(path)
    }
}

impl FromStr for DbUrl {
    type Err = Invalid;

    /// Reads `sqlite:PATH`, `postgres://…` or `postgresql://…`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = |reason: &str| Err(Invalid::new("database_url", reason));
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            // In memory, every connection of the pools would have a database of its own.
            if path.is_empty() || path == ":memory:" || path.starts_with("file:") {
                return bad("names no file");
            }
            return Ok(Self::Sqlite(PathBuf::from(path)));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            #[cfg(feature = "postgres")]
            return Ok(Self::Postgres(Secret::new(text)));
            #[cfg(not(feature = "postgres"))]
            return bad("names PostgreSQL, which this build does not speak");
        }
        bad("begins with neither sqlite: nor postgres://")
    }
}

/// How to open the database.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// Which one.
    pub url: DbUrl,
    /// Under which secrets are stored.
    pub seal_ring: SealRing,
    /// Connections that read (SQLite), or that read and write (PostgreSQL); at least 1.
    pub readers: u32,
    /// How long a call waits for its turn before it fails with `Busy`.
    pub wait: Duration,
    /// Bytes that are kept beside a file of SQLite for when its disk is full; none: nothing is kept.
    pub reserve_bytes: u64,
}

impl DatabaseConfig {
    /// Four readers, ten seconds of patience, nothing reserved.
    #[must_use]
    pub fn new(url: impl Into<DbUrl>, seal_ring: impl Into<SealRing>) -> Self {
        Self {
            url: url.into(),
            seal_ring: seal_ring.into(),
            readers: 4,
            wait: Duration::from_secs(10),
            reserve_bytes: 0,
        }
    }
}

/// How long it may take to find out whether it answers: whoever asks for health does not ask for long.
const PING: Duration = Duration::from_secs(5);
/// Exports that run side by side.
const EXPORTS: u32 = 2;

/// Which connections.
#[derive(Clone, Copy)]
pub(crate) enum Lanes {
    Read,
    /// They may be held for as long as a slow client takes.
    Export,
}

pub(crate) struct Inner {
    pub(crate) read: Lane,
    export: Lane,
    pub(crate) write: Lane,
    pub(crate) wait: Duration,
    pub(crate) sealer: Sealer,
    pub(crate) journal: JournalCache,
    /// Grows with every key that is revoked, after that was stored.
    pub(crate) revocations: AtomicU64,
    /// The file of SQLite.
    pub(crate) file: Option<PathBuf>,
    pub(crate) totals: Totals,
    reserve: Reserve,
    log_bound: LogBound,
}

/// The database. Clones are the same database.
#[derive(Clone)]
pub struct Database {
    pub(crate) inner: Arc<Inner>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Database")
    }
}

/// What a closure that writes is given: one transaction, and what is to be told once it is stored.
pub(crate) struct Tx<'c> {
    pub(crate) conn: &'c mut DbConn,
    pub(crate) sealer: &'c Sealer,
    pub(crate) outbox: Outbox,
    /// What has become of events, for totals that are remembered.
    pub(crate) steps: Vec<Step>,
}

impl Database {
    /// Connects, brings the tables to the present form and makes the pools.
    ///
    /// # Errors
    /// `Open` with the real reason when the database cannot be reached, `Migration` when its tables are not ours or
    /// newer than this program.
    pub async fn open(config: DatabaseConfig) -> Result<Self, DbError> {
        blocking(move || {
            let DatabaseConfig { url, seal_ring, readers, wait, reserve_bytes } = config;
            let (reserve, log_bound) = (Reserve::new(&url, reserve_bytes), LogBound::new(&url));
            reserve.relieve_start();
            let mut migrator = Migrator::connect(&url)?;
            migrator.run()?;
            summary::ensure(migrator.conn())?;
            let newest = journal::bounds(migrator.conn())?.newest;
            drop(migrator);
            // A start that had to use it leaves making room to those who can.
            if !reserve.is_full() {
                reserve.fill();
            }
            let read = Lane::new(&url, Role::Reader, readers.max(1), wait)?;
            let write = match &url {
                DbUrl::Sqlite(_) => Lane::new(&url, Role::Writer, 1, wait)?,
                #[cfg(feature = "postgres")]
                DbUrl::Postgres(_) => read.clone(),
            };
            let export = Lane::new(&url, Role::Reader, EXPORTS, wait)?;
            let file = match url {
                DbUrl::Sqlite(path) => Some(path),
                #[cfg(feature = "postgres")]
                DbUrl::Postgres(_) => None,
            };
            let (sealer, journal) = (Sealer::new(&seal_ring), JournalCache::new(newest));
            let (revocations, totals) = (AtomicU64::new(0), Totals::default());
            let inner =
                Inner { read, export, write, wait, sealer, journal, revocations, file, totals, reserve, log_bound };
            Ok(Self { inner: Arc::new(inner) })
        })
        .await
    }

    /// Whether other processes may work on it at the same time.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        // The file of SQLite is one process's alone.
        self.inner.file.is_none()
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn ping(&self) -> Result<(), DbError> {
        // A row, so that SQLite has to look into its file.
        let asked = self.read(|c| summary::changes(c).map(drop));
        let late = |_elapsed| DbError::Unavailable("it does not answer in time".into());
        tokio::time::timeout(PING.min(self.inner.wait), asked).await.map_err(late)?
    }

    /// Runs one closure on a connection that only reads. What needs one state for several statements asks for
    /// [`Database::read_snapshot`].
    pub(crate) async fn read<T, F>(&self, f: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut DbConn) -> Result<T, DbError> + Send + 'static,
    {
        self.run(Lanes::Read, f).await
    }

    /// Runs one closure on one of these connections.
    pub(crate) async fn run<T, F>(&self, lanes: Lanes, f: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut DbConn) -> Result<T, DbError> + Send + 'static,
    {
        let lane = match lanes {
            Lanes::Read => &self.inner.read,
            Lanes::Export => &self.inner.export,
        };
        let permit = self.permit(lane).await?;
        let pool = lane.pool.clone();
        blocking(move || {
            let _permit = permit;
            let mut conn = pool.get().map_err(|e| DbError::Unavailable(Box::new(e)))?;
            f(&mut conn)
        })
        .await
    }

    /// Like [`Database::read`], all statements seeing the same state.
    pub(crate) async fn read_snapshot<T, F>(&self, f: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut DbConn) -> Result<T, DbError> + Send + 'static,
    {
        self.read(move |c| c.transact(Role::Reader, f)).await
    }

    /// Runs one closure as one transaction. It is finished and its messages are published even when the caller is
    /// dropped meanwhile.
    pub(crate) async fn write<T, F>(&self, f: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        let permit = self.permit(&self.inner.write).await?;
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let _permit = permit;
            let mut conn = inner.write.pool.get().map_err(|e| DbError::Unavailable(Box::new(e)))?;
            let done = conn.transact(Role::Writer, |conn| {
                let mut tx = Tx { conn, sealer: &inner.sealer, outbox: Outbox::default(), steps: Vec::new() };
                let value = f(&mut tx)?;
                Ok((value, tx.outbox, tx.steps))
            });
            let (value, outbox, steps) = done.map_err(|failure| inner.reserve.judge(failure))?;
            // Only what is stored: after a rollback another change has the same number.
            inner.totals.committed(steps);
            inner.journal.committed(outbox);
            inner.log_bound.after_change(&mut conn);
            Ok(value)
        })
        .await
    }

    async fn permit(&self, lane: &Lane) -> Result<tokio::sync::OwnedSemaphorePermit, DbError> {
        let turn = match Arc::clone(&lane.permits).try_acquire_owned() {
            // Most calls need not wait, and asking the time twice for them would tell nothing.
            Ok(permit) => {
                lane.turns.taken(Duration::ZERO);
                return Ok(permit);
            }
            Err(_) => Arc::clone(&lane.permits).acquire_owned(),
        };
        let begun = Instant::now();
        match tokio::time::timeout(self.inner.wait, turn).await {
            Ok(Ok(permit)) => {
                lane.turns.taken(begun.elapsed());
                Ok(permit)
            }
            // The semaphore is never closed; the other case is the deadline.
            Ok(Err(_)) | Err(_) => {
                lane.turns.refused();
                Err(DbError::Busy)
            }
        }
    }

    /// Whether a write found no room on the disk, and there has not been enough since.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.inner.reserve.is_full()
    }

    /// Waits until a write finds no room on the disk. What was reserved for that is given up by then: the next writes
    /// succeed, for a while.
    pub async fn full(&self) {
        self.inner.reserve.needed.notified().await;
    }

    /// Reserves room again, once there is some; tells whether it is all there. From then on the disk is not taken for full.
    ///
    /// # Errors
    /// `Panicked`.
    pub async fn reserve(&self) -> Result<bool, DbError> {
        let inner = Arc::clone(&self.inner);
        blocking(move || Ok(inner.reserve.fill())).await
    }

    /// The folder of a database of SQLite.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.inner.file.as_deref().and_then(Path::parent)
    }

    /// How long calls waited for their turn since the database was opened: first those that read, then those that write.
    /// Where one pool serves both (PostgreSQL), both are the same.
    #[must_use]
    pub fn waits(&self) -> [Waits; 2] {
        [self.inner.read.turns.read(), self.inner.write.turns.read()]
    }
}

/// Runs a closure where blocking is allowed.
async fn blocking<T: Send + 'static>(f: impl FnOnce() -> Result<T, DbError> + Send + 'static) -> Result<T, DbError> {
    #[expect(clippy::disallowed_methods, reason = "this is the one home of blocking database calls")]
    let task = tokio::task::spawn_blocking(f);
    task.await.unwrap_or(Err(DbError::Panicked))
}
