//! Room that is kept for the database of SQLite on a disk that gets full: a file beside it, given up when a write finds no
//! room. What makes room (deleting what is old) has to write itself, and so have events, until there is some again.
//!
//! A part is kept for the next start: one that finds the disk full needs room for the log of changes.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use tokio::sync::Notify;
use tracing::{error, info, warn};

use crate::DbUrl;
use crate::error::DbError;

/// With less than that free, writes of a start are about to fail.
const TIGHT_BYTES: u64 = 1 << 20;
/// The part that is given up by a start only: one in so many.
const KEPT_PART: u64 = 8;

/// The room that is kept, and whether it was needed.
#[derive(Debug)]
pub(crate) struct Reserve {
    /// `None`: nothing is kept.
    file: Option<PathBuf>,
    bytes: u64,
    is_full: AtomicBool,
    /// Wakes whoever can make room.
    pub(crate) needed: Notify,
}

impl Reserve {
    /// So many bytes beside a database; it is filled later.
    pub(crate) fn new(url: &DbUrl, bytes: u64) -> Self {
        let file = match url {
            DbUrl::Sqlite(path) if bytes > 0 => {
                let mut name = path.as_os_str().to_owned();
                name.push("-reserve");
                Some(PathBuf::from(name))
            }
            _ => None,
        };
        Self { file, bytes, is_full: AtomicBool::new(false), needed: Notify::new() }
    }

    /// Whether a write found no room, and there has not been enough since.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// For the writes of a start: when there is next to no room, all of the reserve is given up.
    pub(crate) fn relieve_start(&self) {
        if let Some(file) = &self.file
            && free_bytes(file).is_some_and(|free| free < TIGHT_BYTES)
        {
            warn!("the disk of the database is full; what was reserved for that is used now");
            self.is_full.store(true, Ordering::Relaxed);
            shrink(file, 0);
        }
    }

    /// Takes note of a failed write. When there was no room for it, the next ones get what was reserved.
    pub(crate) fn judge(&self, failure: DbError) -> DbError {
        let failure = match failure {
            // What SQLite says when the index of its log cannot grow.
            DbError::Query(cause) if cause.to_string() == "disk I/O error" && self.is_tight() => DbError::Full(cause),
            other => other,
        };
        if matches!(failure, DbError::Full(_)) {
            let was = self.is_full.swap(true, Ordering::Relaxed);
            let freed = self.file.as_ref().is_some_and(|file| shrink(file, self.bytes / KEPT_PART));
            // Once: whoever makes room may fail to write too.
            if freed || !was {
                error!("the disk of the database is full; until there is room, what was reserved for that is used");
                self.needed.notify_one();
            }
        }
        failure
    }

    /// Makes it whole again; tells whether it is. With that, the disk is no longer taken for full. What was given up is not
    /// taken back before there is more room than that.
    pub(crate) fn fill(&self) -> bool {
        if self.is_full() && self.file.as_deref().is_some_and(|file| !has_room(file, self.bytes)) {
            return false;
        }
        let filled = self.file.as_ref().map_or(Ok(()), |file| grow(file, self.bytes));
        match filled {
            Ok(()) => {
                if self.is_full.swap(false, Ordering::Relaxed) {
                    info!("there is room for the database again");
                }
                true
            }
            Err(e) if matches!(e.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                if !self.is_full.swap(true, Ordering::Relaxed) {
                    warn!("the disk of the database has no room for what is reserved for when it is full");
                    self.needed.notify_one();
                }
                false
            }
            Err(e) => {
                // Without it everything works, until the disk is full.
                warn!("no room can be reserved beside the database: {e}");
                self.is_full.store(false, Ordering::Relaxed);
                true
            }
        }
    }

    fn is_tight(&self) -> bool {
        self.file.as_deref().and_then(free_bytes).is_some_and(|free| free < TIGHT_BYTES)
    }
}

/// Free bytes of the disk of a file, which need not exist.
fn free_bytes(file: &Path) -> Option<u64> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let disk = statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Whether there is more room than a file of so many bytes takes; where nothing can be learned, whether it can is tried.
fn has_room(file: &Path, bytes: u64) -> bool {
    let had = std::fs::metadata(file).map_or(0, |meta| meta.len());
    free_bytes(file).is_none_or(|free| free >= bytes.saturating_sub(had).saturating_add(TIGHT_BYTES))
}

/// Leaves at most so many bytes of it; tells whether there were more.
fn shrink(path: &Path, keep: u64) -> bool {
    let shrunk = OpenOptions::new().write(true).open(path).and_then(|file| {
        let had = file.metadata()?.len();
        if had > keep {
            file.set_len(keep)?;
        }
        Ok(had > keep)
    });
    match shrunk {
        Ok(freed) => freed,
        Err(e) if e.kind() == ErrorKind::NotFound => false,
        Err(e) => {
            error!("what is reserved cannot be given up: {}: {e}", path.display());
            false
        }
    }
}

/// Makes it that long, with blocks that are really its own; leaves it as it was when there is no room.
fn grow(path: &Path, bytes: u64) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    let had = file.metadata()?.len();
    if had >= bytes {
        return Ok(());
    }
    let grown = match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => write_out(&mut file, had, bytes),
        other => other.map_err(Into::into),
    };
    grown.inspect_err(|_| {
        // It had that length before.
        let _ = file.set_len(had);
    })
}

/// Where blocks cannot be asked for they are written.
fn write_out(file: &mut File, from: u64, until: u64) -> std::io::Result<()> {
    const BLOCK: [u8; 4096] = [0xA5; 4096];
    file.seek(SeekFrom::Start(from))?;
    let mut left = until.saturating_sub(from);
    while left > 0 {
        let some = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK.len());
        file.write_all(BLOCK.get(..some).unwrap_or_default())?;
        left -= u64::try_from(some).unwrap_or(left);
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    const SIZE: u64 = 1 << 20;

    fn full() -> DbError {
        DbError::Full("no room".into())
    }

    fn len(path: &Path) -> Option<u64> {
        std::fs::metadata(path).ok().map(|meta| meta.len())
    }

    #[tokio::test]
    async fn it_is_given_up_once_and_made_whole_again() {
        let dir = tempfile::tempdir().unwrap();
        let url = DbUrl::from(dir.path().join("argus.db"));
        let file = dir.path().join("argus.db-reserve");
        let reserve = Reserve::new(&url, SIZE);
        assert!(reserve.fill() && reserve.fill() && !reserve.is_full());
        assert_eq!(len(&file), Some(SIZE));
        assert!(std::fs::metadata(&file).unwrap().blocks() * 512 >= SIZE, "its blocks are its own");
        // Other failures are nothing to it.
        assert!(matches!(reserve.judge(DbError::Busy), DbError::Busy) && !reserve.is_full());
        assert!(matches!(reserve.judge(full()), DbError::Full(_)) && reserve.is_full());
        assert_eq!(len(&file), Some(SIZE / KEPT_PART), "a part is left for the next start");
        reserve.needed.notified().await;
        reserve.judge(full());
        let again = tokio::time::timeout(std::time::Duration::ZERO, reserve.needed.notified());
        assert!(again.await.is_err(), "nobody is woken who fails to write himself");
        assert!(reserve.fill() && !reserve.is_full());
        assert_eq!(len(&file), Some(SIZE));
        // There is room: a start leaves it alone.
        reserve.relieve_start();
        assert_eq!((len(&file), reserve.is_full()), (Some(SIZE), false));
    }

    #[test]
    fn where_nothing_is_kept_a_full_disk_is_known_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::new(&DbUrl::from(dir.path().join("argus.db")), 0);
        assert!(reserve.fill());
        reserve.judge(full());
        assert!(reserve.is_full());
        assert!(reserve.fill() && !reserve.is_full());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn blocks_are_written_where_they_cannot_be_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = File::create(dir.path().join("x")).unwrap();
        write_out(&mut file, 0, 5000).unwrap();
        write_out(&mut file, 5000, 9001).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 9001);
    }
}
