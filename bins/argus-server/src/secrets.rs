//! The key file under which stored secrets are sealed.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::Failure;

/// Makes the data directory, readable by its owner only.
///
/// # Errors
/// `Failure` with code 4.
pub(crate) fn data_dir(dir: &Path) -> Result<(), Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| Failure::data(format!("cannot make the data directory {}: {e}", dir.display())))
}

/// Makes sure that no other server works in the data directory, for as long as the file is held.
///
/// # Errors
/// `Failure` with code 4.
pub(crate) fn lock(dir: &Path) -> Result<File, Failure> {
    let path = dir.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.map_err(|e| Failure::data(format!("cannot open {}: {e}", path.display())))?;
    file.try_lock().map_err(|e| {
        Failure::data(format!("the data directory {} is in use by another server ({e})", dir.display()))
    })?;
    Ok(file)
}

/// Reads the sealing key, or makes it at the first start.
///
/// # Errors
/// `Failure` with code 4.
pub(crate) fn seal_key(dir: &Path) -> Result<[u8; 32], Failure> {
    let path = dir.join("seal.key");
    let failed = |e: std::io::Error| Failure::data(format!("cannot use the key file {}: {e}", path.display()));
    let mut key = [0_u8; 32];
    match File::open(&path) {
        Ok(mut file) => {
            file.read_exact(&mut key).map_err(failed)?;
            return Ok(key);
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(failed(e)),
    }
    getrandom::fill(&mut key).map_err(|e| Failure::data(format!("the system gives no randomness: {e}")))?;
    // Beside, then linked into place: of two first starts one wins, and both read the winner's key.
    let mut beside = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
    beside.write_all(&key).and_then(|()| beside.as_file().sync_all()).map_err(failed)?;
    match beside.persist_noclobber(&path) {
        Ok(_) => Ok(key),
        Err(e) if e.error.kind() == ErrorKind::AlreadyExists => seal_key(dir),
        Err(e) => Err(failed(e.error)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = seal_key(dir.path()).unwrap();
        assert_eq!(seal_key(dir.path()).unwrap(), first);
        assert_ne!(first, [0; 32]);
        let mode = std::fs::metadata(dir.path().join("seal.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_directory_serves_one_server() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        assert_eq!(lock(dir.path()).unwrap_err().code, 4);
        drop(held);
        lock(dir.path()).unwrap();
    }
}
