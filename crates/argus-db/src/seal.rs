//! Secrets at rest: XChaCha20-Poly1305 under one key, bound to the row that holds them.
//!
//! A sealed value reads `v1.<key id>.<base64 of nonce and ciphertext>`. The key id tells which key was used, so that keys
//! can be changed one value at a time; the row's id is authenticated with the value, so that a value copied to another row
//! does not open there.

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

/// The key under which secrets are stored: 32 random bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey([u8; 32]);

impl SealKey {
    /// Takes the bytes as the key.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Seals and opens under one key.
pub(crate) struct Sealer {
    cipher: XChaCha20Poly1305,
    key_id: String,
}

impl Sealer {
    pub(crate) fn new(key: &SealKey) -> Self {
        // A hash under its own label tells keys apart and tells nothing about them.
        let hash = Sha256::new().chain_update(b"argus seal key id v1").chain_update(key.0).finalize();
        let key_id = hash.iter().take(4).map(|b| format!("{b:02x}")).collect();
        Self { cipher: XChaCha20Poly1305::new(&key.0.into()), key_id }
    }

    /// Seals `secret` for the row `owner`.
    pub(crate) fn seal(&self, owner: &str, secret: &Secret) -> Result<String, DbError> {
        let nonce = XNonce::try_generate().map_err(|_no_random| DbError::Sealed)?;
        let payload = Payload { msg: secret.expose().as_bytes(), aad: owner.as_bytes() };
        let sealed = self.cipher.encrypt(&nonce, payload).map_err(|_too_long| DbError::Sealed)?;
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&sealed);
        Ok(format!("v1.{}.{}", self.key_id, STANDARD_NO_PAD.encode(bytes)))
    }

    /// Opens what was sealed for the row `owner`.
    pub(crate) fn open(&self, owner: &str, sealed: &str) -> Result<Secret, DbError> {
        let mut parts = sealed.splitn(3, '.');
        let (Some("v1"), Some(key_id), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(DbError::Sealed);
        };
        if key_id != self.key_id {
            return Err(DbError::Sealed);
        }
        let bytes = STANDARD_NO_PAD.decode(text).map_err(|_damaged| DbError::Sealed)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(DbError::Sealed)?;
        let payload = Payload { msg: sealed, aad: owner.as_bytes() };
        let open = self.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_forged| DbError::Sealed)?;
        String::from_utf8(open).map(Secret::new).map_err(|_no_text| DbError::Sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(fill: u8) -> Sealer {
        Sealer::new(&SealKey::new([fill; 32]))
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
