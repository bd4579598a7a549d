//! The key that signs access and refresh tokens: made at the first start, kept beside the sealing key.
//!
//! Without it a new one is made. Access tokens that are out are then worth nothing. The newest refresh token of a session
//! still is, as it is known by its hash; one that was replaced before is no longer recognised as such: its use is refused,
//! but does not end the session, as it does under the same key.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};

use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{Generate, Key};

use crate::data_dir::{DataDir, failed};
use crate::error::DbError;

/// Where it lies.
const FILE: &str = "token.key";
/// Where the token for the first user lies.
const SETUP_FILE: &str = "setup-token";

/// The key that signs access and refresh tokens: 32 random bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenKey([u8; 32]);

impl TokenKey {
    /// Takes the bytes as the key.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the one place that signs.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl DataDir {
    /// Reads the key that signs tokens, or makes it at the first start (`token.key`, mode 0600).
    ///
    /// # Errors
    /// `Open` when the file can be neither read nor made.
    pub fn token_key(&self) -> Result<TokenKey, DbError> {
        let path = self.path().join(FILE);
        let mut key = [0_u8; 32];
        match File::open(&path) {
            Ok(mut file) => {
                file.read_exact(&mut key).map_err(|e| failed(&path, e))?;
                return Ok(TokenKey(key));
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(failed(&path, e)),
        }
        let fresh = Key::<XChaCha20Poly1305>::try_generate().map_err(|_no_random| DbError::Sealed)?;
        // Beside, then linked into place: of two first starts one wins, and both read the winner's key.
        let mut beside = tempfile::NamedTempFile::new_in(self.path()).map_err(|e| failed(&path, e))?;
        beside.write_all(&fresh).and_then(|()| beside.as_file().sync_all()).map_err(|e| failed(&path, e))?;
        match beside.persist_noclobber(&path) {
            Ok(_) => self.token_key(),
            Err(e) if e.error.kind() == ErrorKind::AlreadyExists => self.token_key(),
            Err(e) => Err(failed(&path, e.error)),
        }
    }

    /// Writes the token with which the first user is made (`setup-token`, mode 0600), in place of an earlier one, and
    /// tells where.
    ///
    /// # Errors
    /// `Open` when it cannot be written.
    pub fn setup_token_write(&self, token: &argus_core::Secret) -> Result<std::path::PathBuf, DbError> {
        let path = self.path().join(SETUP_FILE);
        let mut beside = tempfile::NamedTempFile::new_in(self.path()).map_err(|e| failed(&path, e))?;
        writeln!(beside, "{}", token.expose()).map_err(|e| failed(&path, e))?;
        beside.persist(&path).map_err(|e| failed(&path, e.error))?;
        Ok(path)
    }

    /// Removes that token, when there is one.
    ///
    /// # Errors
    /// `Open` when it is there and cannot be removed.
    pub fn setup_token_remove(&self) -> Result<(), DbError> {
        let path = self.path().join(SETUP_FILE);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(failed(&path, e)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_key_is_made_once_is_private_and_is_not_the_sealing_key() {
        let home = tempfile::tempdir().unwrap();
        let dir = DataDir::open(home.path()).unwrap();
        let first = dir.token_key().unwrap();
        assert!(dir.token_key().unwrap() == first && first.expose() != [0; 32]);
        assert_eq!(mode(&home.path().join("token.key")), 0o600);
        dir.seal_ring().unwrap();
        assert_ne!(std::fs::read(home.path().join("seal.key")).unwrap(), first.expose());
        assert_eq!(format!("{first:?}"), "***");
    }

    #[test]
    fn the_setup_token_is_private_and_goes_away() {
        let home = tempfile::tempdir().unwrap();
        let dir = DataDir::open(home.path()).unwrap();
        let path = dir.setup_token_write(&argus_core::Secret::new("first")).unwrap();
        dir.setup_token_write(&argus_core::Secret::new("second")).unwrap();
        assert_eq!((std::fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("second\n", 0o600));
        dir.setup_token_remove().unwrap();
        dir.setup_token_remove().unwrap();
        assert!(!path.exists());
    }
}
