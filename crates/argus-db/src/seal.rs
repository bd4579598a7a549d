//! Secrets at rest: XChaCha20-Poly1305 under one key, bound to the row that holds them.
//!
//! A sealed value reads `v1.<key id>.<base64 of nonce and ciphertext>`. The key id tells which key of the ring was used, so
//! that a key can be changed while values under the one before still open; the row's id is authenticated with the value,
//! so that a value copied to another row does not open there.

use std::fmt;

use argus_core::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};

use crate::error::DbError;

/// Bytes of an extended nonce (draft-irtf-cfrg-xchacha, section 2): long enough to be drawn at random.
const NONCE_BYTES: usize = 24;

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;

/// A key under which secrets are stored: 32 random bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey([u8; KEY_BYTES]);

impl SealKey {
    /// Takes the bytes as the key.
    #[must_use]
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Tells keys apart and tells nothing about them: a hash under its own label.
    #[must_use]
    pub fn id(&self) -> String {
        let hash = Sha256::new().chain_update(b"argus seal key id v1").chain_update(self.0).finalize();
        hash.iter().take(4).map(|b| format!("{b:02x}")).collect()
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The keys of a data directory: the first seals, all of them open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealRing {
    first: SealKey,
    older: Vec<SealKey>,
}

impl SealRing {
    /// A ring of a key that seals and of older ones that only open.
    #[must_use]
    pub fn new(first: SealKey, older: Vec<SealKey>) -> Self {
        Self { first, older }
    }

    /// Every key, the one that seals first.
    pub fn keys(&self) -> impl Iterator<Item = &SealKey> {
        std::iter::once(&self.first).chain(&self.older)
    }

    /// The key that seals, alone.
    #[must_use]
    pub fn first(&self) -> &SealKey {
        &self.first
    }

    /// The ring with a new key that seals from now on.
    #[must_use]
    pub fn with(self, newer: SealKey) -> Self {
        let older = std::iter::once(self.first).chain(self.older).collect();
        Self { first: newer, older }
    }
}

impl From<SealKey> for SealRing {
    fn from(key: SealKey) -> Self {
        Self::new(key, Vec::new())
    }
}

/// Seals and opens under one key.
struct Lock {
    cipher: XChaCha20Poly1305,
    key_id: String,
}

impl Lock {
    fn new(key: &SealKey) -> Self {
        Self { cipher: XChaCha20Poly1305::new(&(*key.bytes()).into()), key_id: key.id() }
    }
}

/// Seals under the first key of a ring and opens under any.
pub(crate) struct Sealer {
    first: Lock,
    older: Vec<Lock>,
}

/// The key id of a sealed value.
pub(crate) fn key_id_of(sealed: &str) -> Option<&str> {
    sealed.strip_prefix("v1.")?.split_once('.').map(|(id, _)| id)
}

impl Sealer {
    pub(crate) fn new(ring: &SealRing) -> Self {
        Self { first: Lock::new(&ring.first), older: ring.older.iter().map(Lock::new).collect() }
    }

    fn lock(&self, key_id: &str) -> Option<&Lock> {
        std::iter::once(&self.first).chain(&self.older).find(|lock| lock.key_id == key_id)
    }

    /// Seals `secret` for the row `owner`.
    pub(crate) fn seal(&self, owner: &str, secret: &Secret) -> Result<String, DbError> {
        let nonce = XNonce::try_generate().map_err(|_no_random| DbError::Sealed)?;
        let payload = Payload { msg: secret.expose().as_bytes(), aad: owner.as_bytes() };
        let sealed = self.first.cipher.encrypt(&nonce, payload).map_err(|_too_long| DbError::Sealed)?;
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&sealed);
        Ok(format!("v1.{}.{}", self.first.key_id, STANDARD_NO_PAD.encode(bytes)))
    }

    /// Opens what was sealed for the row `owner`.
    pub(crate) fn open(&self, owner: &str, sealed: &str) -> Result<Secret, DbError> {
        let mut parts = sealed.splitn(3, '.');
        let (Some("v1"), Some(key_id), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(DbError::Sealed);
        };
        let lock = self.lock(key_id).ok_or(DbError::Sealed)?;
        let bytes = STANDARD_NO_PAD.decode(text).map_err(|_damaged| DbError::Sealed)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(DbError::Sealed)?;
        let payload = Payload { msg: sealed, aad: owner.as_bytes() };
        let open = lock.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_forged| DbError::Sealed)?;
        String::from_utf8(open).map(Secret::new).map_err(|_no_text| DbError::Sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(fill: u8) -> Sealer {
        Sealer::new(&SealKey::new([fill; 32]).into())
    }

    #[test]
    fn a_ring_seals_under_its_first_key_and_opens_under_all() {
        let (old, new) = (SealKey::new([1; 32]), SealKey::new([2; 32]));
        let before = Sealer::new(&old.clone().into());
        let both = Sealer::new(&SealRing::from(old.clone()).with(new.clone()));
        let after = Sealer::new(&new.clone().into());
        let secret = Secret::new("hunter2");
        let (early, late) = (before.seal("c", &secret).unwrap(), both.seal("c", &secret).unwrap());
        assert_eq!((key_id_of(&early), key_id_of(&late)), (Some(old.id().as_str()), Some(new.id().as_str())));
        assert!(both.open("c", &early).unwrap() == secret && both.open("c", &late).unwrap() == secret);
        assert!(after.open("c", &late).unwrap() == secret);
        assert!(matches!(after.open("c", &early), Err(DbError::Sealed)));
        assert!(matches!(before.open("c", &late), Err(DbError::Sealed)));
    }

    #[test]
    fn opens_only_what_it_sealed_for_that_row() {
        let (a, b) = (sealer(1), sealer(2));
        let secret = Secret::new("hünter2");
        let sealed = a.seal("camera-1", &secret).unwrap();
        assert!(!sealed.contains("nter2"));
        assert!(a.open("camera-1", &sealed).unwrap() == secret);
        assert!(matches!(a.open("camera-2", &sealed), Err(DbError::Sealed)));
        assert!(matches!(b.open("camera-1", &sealed), Err(DbError::Sealed)));
        for damaged in
            ["", "v1", "v1..", "v2.x.y", sealed.get(..sealed.len() - 2).unwrap(), &sealed.replace("v1.", "v1.0")]
        {
            assert!(matches!(a.open("camera-1", damaged), Err(DbError::Sealed)), "{damaged:?}");
        }
    }

    #[test]
    fn every_seal_has_its_own_nonce_and_the_key_stays_unseen() {
        let a = sealer(7);
        let secret = Secret::new("x");
        assert_ne!(a.seal("c", &secret).unwrap(), a.seal("c", &secret).unwrap());
        assert_eq!(format!("{:?}", SealKey::new([7; 32])), "***");
    }
}
