//! The file of SQLite is for its owner alone, whatever the folder lets others do: it holds the hashes of passwords.

use std::fs::{OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::data_dir::failed;
use crate::error::DbError;

/// Bits of a mode that let others in.
pub(crate) const OTHERS: u32 = 0o077;

/// Makes the file when it is missing, before SQLite does: what SQLite puts beside it takes its mode. Files that others may
/// read are closed to them.
pub(crate) fn keep(file: &Path) -> Result<(), DbError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(_empty) => Ok(()),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            for suffix in ["", "-wal", "-shm"] {
                let mut name = file.as_os_str().to_owned();
                name.push(suffix);
                close(&PathBuf::from(name));
            }
            Ok(())
        }
        Err(e) => Err(failed(file, e)),
    }
}

fn close(file: &Path) {
    let Ok(mode) = std::fs::metadata(file).map(|found| found.permissions().mode()) else { return };
    if mode & OTHERS == 0 {
        return;
    }
    // A file of another user that may be written all the same: it works, and somebody should know.
    match std::fs::set_permissions(file, Permissions::from_mode(mode & !OTHERS)) {
        Ok(()) => tracing::info!("{} was open to other users; only its owner may read it now", file.display()),
        Err(e) => tracing::warn!("other users may read {}, and that cannot be changed: {e}", file.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Database, DatabaseConfig, SealKey};

    fn set(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// Every file in the folder, by name, with its mode.
    fn modes(folder: &Path) -> Vec<(String, u32)> {
        let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
        let mode = |entry: &std::fs::DirEntry| entry.metadata().unwrap().permissions().mode() & 0o777;
        let mut found: Vec<_> = entries.map(|entry| (entry.file_name().into_string().unwrap(), mode(&entry))).collect();
        found.sort();
        found
    }

    #[tokio::test]
    async fn only_the_owner_reads_the_database_in_a_folder_that_is_open_to_all() {
        let home = tempfile::tempdir().unwrap();
        set(home.path(), 0o755);
        let open = || Database::open(DatabaseConfig::new(home.path().join("argus.db"), SealKey::new([7; 32])));
        let private = ["argus.db", "argus.db-shm", "argus.db-wal"].map(|name| (name.to_owned(), 0o600));
        let db = open().await.unwrap();
        // The log is there once it was needed.
        db.camera_all().await.unwrap();
        assert_eq!(modes(home.path()), private);
        // As an earlier version left them.
        for (name, _) in &private {
            set(&home.path().join(name), 0o644);
        }
        let again = open().await.unwrap();
        assert_eq!(modes(home.path()), private);
        drop((db, again));
    }
}
