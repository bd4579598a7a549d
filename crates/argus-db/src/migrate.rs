//! Brings the tables to the form that this program knows. Blocking: for start-up and for tools.

use std::error::Error;
use std::marker::PhantomData;

use diesel::migration::{MigrationSource, MigrationVersion};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::DbUrl;
use crate::conn::{DbConn, Role};
use crate::error::DbError;
use crate::private;

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
#[cfg(feature = "postgres")]
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Any number that nobody else uses as an advisory lock: two processes that start at once migrate one after the other.
#[cfg(feature = "postgres")]
const MIGRATION_LOCK: i64 = 0x6172_6775_7300_0001;

type Cause = Box<dyn Error + Send + Sync>;

/// A connection whose tables can be changed.
pub struct Migrator(DbConn);

impl Migrator {
    /// Connects.
    ///
    /// # Errors
    /// `Open` with the reason.
    pub fn connect(url: &DbUrl) -> Result<Self, DbError> {
        match url {
            DbUrl::Sqlite(file) => private::keep(file)?,
            #[cfg(feature = "postgres")]
            DbUrl::Postgres(_) => {}
        }
        DbConn::connect(url, Role::Writer).map(Self).map_err(|e| DbError::Open(Box::new(e)))
    }

    pub(crate) fn conn(&mut self) -> &mut DbConn {
        &mut self.0
    }

    /// Applies what is missing, all or nothing, and gives its names.
    ///
    /// # Errors
    /// `Migration` when a step fails or the database is newer than this program.
    pub fn run(&mut self) -> Result<Vec<String>, DbError> {
        self.step(|h| {
            let known = h.known()?;
            if let Some(stranger) = h.applied()?.into_iter().find(|v| !known.contains(v)) {
                return Err(format!("it was written by a newer version, with {stranger}").into());
            }
            h.run()
        })
    }

    /// Takes the newest one back and gives its name.
    ///
    /// # Errors
    /// `Migration` when it fails or nothing is applied.
    pub fn revert(&mut self) -> Result<String, DbError> {
        self.step(|h| h.revert())
    }

    /// Takes the newest one back and applies it again.
    ///
    /// # Errors
    /// As [`Migrator::revert`] and [`Migrator::run`].
    pub fn redo(&mut self) -> Result<String, DbError> {
        let name = self.revert()?;
        self.run()?;
        Ok(name)
    }

    /// Every known one by version, oldest first, and whether it is applied.
    ///
    /// # Errors
    /// `Migration` when the list cannot be read.
    pub fn status(&mut self) -> Result<Vec<(String, bool)>, DbError> {
        self.step(|h| {
            let applied = h.applied()?;
            Ok(h.known()?.into_iter().map(|v| (v.clone(), applied.contains(&v))).collect())
        })
    }

    /// Runs `f` while no other process migrates.
    fn step<T>(&mut self, f: impl FnOnce(&mut dyn Harness) -> Result<T, Cause>) -> Result<T, DbError> {
        let mut done = None;
        let result = match &mut self.0 {
            DbConn::Sqlite(c) => c.exclusive_transaction(|c| {
                done = Some(f(&mut Embedded { conn: c, source: || SQLITE, db: PhantomData })?);
                Ok::<(), Failed>(())
            }),
            #[cfg(feature = "postgres")]
            DbConn::Postgres(c) => diesel::Connection::transaction(c, |c| {
                use diesel::RunQueryDsl;
                diesel::sql_query("SELECT pg_advisory_xact_lock($1)")
                    .bind::<diesel::sql_types::BigInt, _>(MIGRATION_LOCK)
                    .execute(c)?;
                done = Some(f(&mut Embedded { conn: c, source: || POSTGRES, db: PhantomData })?);
                Ok::<(), Failed>(())
            }),
        };
        match (result, done) {
            (Ok(()), Some(value)) => Ok(value),
            (Ok(()), None) => Err(DbError::Migration("nothing was done".into())),
            (Err(Failed(cause)), _) => Err(DbError::Migration(cause)),
        }
    }
}

/// The cause of a failed step, in the form that a transaction can return.
struct Failed(Cause);

impl From<diesel::result::Error> for Failed {
    fn from(e: diesel::result::Error) -> Self {
        Self(Box::new(e))
    }
}

impl From<Cause> for Failed {
    fn from(e: Cause) -> Self {
        Self(e)
    }
}

/// What can be done with the migrations of one dialect.
trait Harness {
    fn known(&self) -> Result<Vec<String>, Cause>;
    fn applied(&mut self) -> Result<Vec<String>, Cause>;
    fn run(&mut self) -> Result<Vec<String>, Cause>;
    fn revert(&mut self) -> Result<String, Cause>;
}

struct Embedded<'c, C, DB> {
    conn: &'c mut C,
    source: fn() -> EmbeddedMigrations,
    db: PhantomData<DB>,
}

impl<C, DB> Harness for Embedded<'_, C, DB>
where
    DB: diesel::backend::Backend,
    C: MigrationHarness<DB>,
    EmbeddedMigrations: MigrationSource<DB>,
{
    fn known(&self) -> Result<Vec<String>, Cause> {
        let mut all: Vec<String> = MigrationSource::<DB>::migrations(&(self.source)())?
            .iter()
            .map(|m| m.name().version().to_string())
            .collect();
        all.sort();
        Ok(all)
    }

    fn applied(&mut self) -> Result<Vec<String>, Cause> {
        Ok(self.conn.applied_migrations()?.iter().map(MigrationVersion::to_string).collect())
    }

    fn run(&mut self) -> Result<Vec<String>, Cause> {
        Ok(self.conn.run_pending_migrations((self.source)())?.iter().map(MigrationVersion::to_string).collect())
    }

    fn revert(&mut self) -> Result<String, Cause> {
        Ok(self.conn.revert_last_migration((self.source)())?.to_string())
    }
}
