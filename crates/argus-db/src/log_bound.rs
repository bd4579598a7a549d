//! The write-ahead log of SQLite, kept from growing for as long as somebody reads.
//!
//! SQLite moves the log into the database by itself, but begins it anew only at a moment when nobody reads. Where one
//! request follows the other that moment never comes, and the log outgrows the database.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::DbUrl;
use crate::conn::DbConn;

/// Bytes of the log from which it is begun anew.
const MOST_BYTES: u64 = 64 << 20;
/// Its size is looked at once in so many changes.
const LOOK_EVERY: u32 = 256;

/// Looks after the log.
#[derive(Debug)]
pub(crate) struct LogBound {
    /// `None` where there is no log of ours.
    file: Option<PathBuf>,
    most_bytes: u64,
    look_every: u32,
    /// Changes until the next look.
    left: AtomicU32,
}

impl LogBound {
    /// For the log of a database.
    pub(crate) fn new(url: &DbUrl) -> Self {
        Self::with(url, MOST_BYTES, LOOK_EVERY)
    }

    fn with(url: &DbUrl, most_bytes: u64, look_every: u32) -> Self {
        let file = match url {
            DbUrl::Sqlite(path) => {
                let mut name = path.as_os_str().to_owned();
                name.push("-wal");
                Some(PathBuf::from(name))
            }
            #[cfg(feature = "postgres")]
            DbUrl::Postgres(_) => None,
        };
        Self { file, most_bytes, look_every, left: AtomicU32::new(look_every) }
    }

    /// After a change of the one connection that writes, outside of a transaction. Waits for readers that have begun, a fifth
    /// of a second at most; those that begin meanwhile need not wait. While one reads on, the log grows on.
    pub(crate) fn after_change(&self, writer: &mut DbConn) {
        let Some(file) = &self.file else { return };
        let is_due = |left: u32| left.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_due).is_ok() {
            return;
        }
        let size = std::fs::metadata(file).map_or(0, |log| log.len());
        if size > self.most_bytes
            && let Err(e) = writer.begin_log_anew()
        {
            tracing::warn!("the log of the database cannot be begun anew: {e}");
        }
        self.left.store(self.look_every, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use diesel::connection::SimpleConnection as _;

    use super::*;
    use crate::conn::Role;

    const MOST: u64 = 2 << 20;

    /// The largest log after each of 400 changes of 40 KB, while at every moment one of four reads.
    fn largest_log(bound: impl Fn(&DbUrl) -> LogBound) -> u64 {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("argus.db");
        let url = DbUrl::Sqlite(file.clone());
        let mut writer = DbConn::connect(&url, Role::Writer).unwrap();
        writer.batch_execute("CREATE TABLE t (x BLOB); INSERT INTO t VALUES (zeroblob(100))").unwrap();
        let bound = bound(&url);
        let (stop, open) = (AtomicBool::new(false), std::sync::Barrier::new(5));
        let mut largest = 0;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut reader = DbConn::connect(&url, Role::Reader).unwrap();
                    let look = "SELECT max(length(x)) FROM t;".repeat(20);
                    reader.batch_execute(&format!("BEGIN; {look}")).unwrap();
                    open.wait();
                    while !stop.load(Ordering::Acquire) {
                        reader.batch_execute(&format!("COMMIT; BEGIN; {look}")).unwrap();
                    }
                });
            }
            open.wait();
            for _ in 0..400 {
                writer.batch_execute("INSERT INTO t VALUES (randomblob(40000))").unwrap();
                bound.after_change(&mut writer);
                let log = std::fs::metadata(file.with_extension("db-wal")).unwrap().len();
                largest = largest.max(log);
            }
            stop.store(true, Ordering::Release);
        });
        largest
    }

    #[test]
    fn the_log_does_not_grow_for_as_long_as_somebody_reads() {
        let bounded = largest_log(|url| LogBound::with(url, MOST, 10));
        // Ten changes may come before the next look, and a look may find that somebody reads on.
        assert!(bounded < 3 * MOST, "{bounded}");
        let free = largest_log(|url| LogBound::with(url, u64::MAX, 10));
        assert!(free > 3 * MOST, "without a bound it would: {free}");
    }
}
