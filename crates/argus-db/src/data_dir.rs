//! The data directory: private to its owner, used by one server at a time, home of the sealing key.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{Generate, Key};

use crate::error::DbError;
use crate::seal::SealKey;

/// A directory that only its owner can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// Makes the directory when it is missing, with mode 0700.
    ///
    /// # Errors
    /// `Open` when it cannot be made.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DbError> {
        let path = path.into();
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(|e| failed(&path, e))?;
        Ok(Self(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A directory in it, made like itself.
    ///
    /// # Errors
    /// `Open` when it cannot be made.
    pub fn below(&self, name: &str) -> Result<PathBuf, DbError> {
        Self::open(self.0.join(name)).map(|dir| dir.0)
    }

    /// Makes sure that no other server works here, for as long as the file is held.
    ///
    /// # Errors
    /// `Open` when another one does.
    pub fn lock(&self) -> Result<File, DbError> {
        let path = self.0.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(|e| failed(&path, e))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(_held) => Err(DbError::Open(format!("{} is in use by another server", self.0.display()).into())),
        }
    }

    /// Reads the key under which secrets are stored, or makes it at the first start (`seal.key`, mode 0600).
    ///
    /// # Errors
    /// `Open` when the file can be neither read nor made.
    pub fn seal_key(&self) -> Result<SealKey, DbError> {
        let path = self.0.join("seal.key");
        let mut key = [0_u8; 32];
        match File::open(&path) {
            Ok(mut file) => {
                file.read_exact(&mut key).map_err(|e| failed(&path, e))?;
                return Ok(SealKey::new(key));
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(failed(&path, e)),
        }
        let fresh = Key::<XChaCha20Poly1305>::try_generate().map_err(|_no_random| DbError::Sealed)?;
        // Beside, then linked into place: of two first starts one wins, and both read the winner's key.
        let mut beside = tempfile::NamedTempFile::new_in(&self.0).map_err(|e| failed(&path, e))?;
        beside.write_all(&fresh).and_then(|()| beside.as_file().sync_all()).map_err(|e| failed(&path, e))?;
        match beside.persist_noclobber(&path) {
            Ok(_) => self.seal_key(),
            Err(e) if e.error.kind() == ErrorKind::AlreadyExists => self.seal_key(),
            Err(e) => Err(failed(&path, e.error)),
        }
    }
}

pub(crate) fn failed(path: &Path, source: std::io::Error) -> DbError {
    DbError::Open(format!("{}: {source}", path.display()).into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_is_private() {
        let home = tempfile::tempdir().unwrap();
        let dir = DataDir::open(home.path().join("data")).unwrap();
        let first = dir.seal_key().unwrap();
        assert!(dir.seal_key().unwrap() == first && first != SealKey::new([0; 32]));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(dir.path()), mode(&dir.path().join("seal.key"))), (0o700, 0o600));
    }

    #[test]
    fn a_cut_key_file_is_an_error_and_stays() {
        let home = tempfile::tempdir().unwrap();
        let dir = DataDir::open(home.path()).unwrap();
        std::fs::write(home.path().join("seal.key"), b"short").unwrap();
        assert!(dir.seal_key().is_err());
        assert_eq!(std::fs::read(home.path().join("seal.key")).unwrap(), b"short");
    }

    #[test]
    fn a_directory_serves_one_server() {
        let home = tempfile::tempdir().unwrap();
        let dir = DataDir::open(home.path()).unwrap();
        let held = dir.lock().unwrap();
        assert!(dir.lock().is_err());
        drop(held);
        dir.lock().unwrap();
    }
}
