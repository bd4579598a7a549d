//! The data directory: private to its owner, used by one server at a time, home of the sealing key.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{Generate, Key};

use crate::error::DbError;
use crate::private::OTHERS;
use crate::seal::{KEY_BYTES, SealKey, SealRing};

/// A directory that only its owner can read, when it was made here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// Makes the directory when it is missing, with mode 0700. One that is there keeps its mode.
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

    /// Whether other users of the machine may look into it: it was there before, with a mode of its own.
    #[must_use]
    pub fn is_open_to_others(&self) -> bool {
        std::fs::metadata(&self.0).is_ok_and(|found| found.permissions().mode() & OTHERS != 0)
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

    /// Reads the keys under which secrets are stored, or makes the first one at the first start (`seal.key`, mode 0600).
    ///
    /// The file is one key of 32 bytes after the other: the first seals, the others are those before it.
    ///
    /// # Errors
    /// `Open` when the file can be neither read nor made, or holds no whole keys.
    pub fn seal_ring(&self) -> Result<SealRing, DbError> {
        let path = self.0.join(SEAL_FILE);
        match std::fs::read(&path) {
            Ok(bytes) => return ring(&path, &bytes),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(failed(&path, e)),
        }
        // Beside, then linked into place: of two first starts one wins, and both read the winner's key.
        let beside = self.beside(&path, &fresh_key()?.into())?;
        match beside.persist_noclobber(&path) {
            Ok(_) => self.seal_ring(),
            Err(e) if e.error.kind() == ErrorKind::AlreadyExists => self.seal_ring(),
            Err(e) => Err(failed(&path, e.error)),
        }
    }

    /// Puts a new key that seals before those that are there, and gives the ring. Nothing is lost by a crash: both keys
    /// open what they sealed.
    ///
    /// # Errors
    /// `Open` when the file can be neither read nor written.
    pub fn seal_key_add(&self) -> Result<SealRing, DbError> {
        let ring = self.seal_ring()?.with(fresh_key()?);
        self.seal_ring_put(&ring)?;
        Ok(ring)
    }

    /// Keeps the key that seals alone: for when nothing is sealed under another any more.
    ///
    /// # Errors
    /// `Open` when the file can be neither read nor written.
    pub fn seal_keys_drop_older(&self) -> Result<(), DbError> {
        let ring = self.seal_ring()?;
        self.seal_ring_put(&ring.first().clone().into())
    }

    /// Replaces the file whole.
    fn seal_ring_put(&self, ring: &SealRing) -> Result<(), DbError> {
        let path = self.0.join(SEAL_FILE);
        self.beside(&path, ring)?.persist(&path).map_err(|e| failed(&path, e.error))?;
        // The new name is on disk before anything is sealed under the new key.
        File::open(&self.0).and_then(|dir| dir.sync_all()).map_err(|e| failed(&self.0, e))
    }

    /// A file in the directory, on disk, that has yet to get its name.
    fn beside(&self, path: &Path, ring: &SealRing) -> Result<tempfile::NamedTempFile, DbError> {
        let mut beside = tempfile::NamedTempFile::new_in(&self.0).map_err(|e| failed(path, e))?;
        let bytes: Vec<u8> = ring.keys().flat_map(|key| *key.bytes()).collect();
        beside.write_all(&bytes).and_then(|()| beside.as_file().sync_all()).map_err(|e| failed(path, e))?;
        Ok(beside)
    }
}

/// The file of the keys.
const SEAL_FILE: &str = "seal.key";

fn fresh_key() -> Result<SealKey, DbError> {
    let key = Key::<XChaCha20Poly1305>::try_generate().map_err(|_no_random| DbError::Sealed)?;
    Ok(SealKey::new(key.into()))
}

/// The keys of a file.
fn ring(path: &Path, bytes: &[u8]) -> Result<SealRing, DbError> {
    let (keys, rest) = bytes.as_chunks::<KEY_BYTES>();
    let mut keys = keys.iter().map(|key| SealKey::new(*key));
    match (keys.next(), rest) {
        (Some(first), []) => Ok(SealRing::new(first, keys.collect())),
        _ => Err(DbError::Open(
            format!(
                "{}: holds {} bytes, which are no whole keys of {KEY_BYTES}; put the file back from a backup",
                path.display(),
                bytes.len()
            )
            .into(),
        )),
    }
}

pub(crate) fn failed(path: &Path, source: std::io::Error) -> DbError {
    DbError::Open(format!("{}: {source}", path.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_is_private() {
        let home = tempfile::tempdir().unwrap();
        let dir = DataDir::open(home.path().join("data")).unwrap();
        let first = dir.seal_ring().unwrap();
        assert!(dir.seal_ring().unwrap() == first && *first.first() != SealKey::new([0; 32]));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(dir.path()), mode(&dir.path().join("seal.key"))), (0o700, 0o600));
        assert!(!dir.is_open_to_others());
    }

    #[test]
    fn a_directory_that_was_there_keeps_its_mode_and_says_who_may_look() {
        let home = tempfile::tempdir().unwrap();
        for (mode, open) in [(0o755, true), (0o750, true), (0o711, true), (0o700, false)] {
            std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(DataDir::open(home.path()).unwrap().is_open_to_others(), open, "{mode:o}");
        }
    }

    #[test]
    fn a_cut_key_file_is_an_error_and_stays() {
        let home = tempfile::tempdir().unwrap();
        let dir = DataDir::open(home.path()).unwrap();
        for cut in [&b"short"[..], &b""[..], &[7; 33]] {
            std::fs::write(home.path().join("seal.key"), cut).unwrap();
            let e = dir.seal_ring().unwrap_err();
            assert!(argus_core::chain(&e).contains("from a backup"), "{}", argus_core::chain(&e));
            assert!(dir.seal_key_add().is_err());
            assert_eq!(std::fs::read(home.path().join("seal.key")).unwrap(), cut);
        }
    }

    #[test]
    fn a_new_key_goes_before_the_old_one_until_that_is_dropped() {
        let home = tempfile::tempdir().unwrap();
        let dir = DataDir::open(home.path()).unwrap();
        let old = dir.seal_ring().unwrap().first().clone();
        let ring = dir.seal_key_add().unwrap();
        assert!(ring.keys().count() == 2 && ring.first() != &old && ring.keys().any(|k| *k == old));
        assert_eq!(dir.seal_ring().unwrap(), ring);
        let mode = std::fs::metadata(home.path().join("seal.key")).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        dir.seal_keys_drop_older().unwrap();
        assert_eq!(dir.seal_ring().unwrap(), ring.first().clone().into());
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
