//! Secrets that are made here.

use argus_core::Secret;
use argus_core::user::Username;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::error::ApiError;

/// What temporary passwords are written with: nothing that looks like something else. 32 letters, so that every five bits
/// are one.
const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789+";
/// Length of a temporary password: 80 bits.
const PASSWORD: usize = 16;

fn bytes<const N: usize>() -> Result<[u8; N], ApiError> {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).map_err(|e| ApiError::Secrecy(Box::new(e)))?;
    Ok(bytes)
}

/// 32 random bytes as base64url.
pub(crate) fn token() -> Result<Secret, ApiError> {
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes::<32>()?)))
}

/// SHA-256 of a token: what is kept of it.
///
/// Tokens are looked up by it. What the time of that tells is about the hash of a guess, not about any token.
pub(crate) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// A temporary password for a user.
pub(crate) fn password(of: &Username) -> Result<Secret, ApiError> {
    loop {
        let text: String = bytes::<PASSWORD>()?
            .iter()
            .filter_map(|b| LETTERS.get(usize::from(b % 32)).copied().map(char::from))
            .collect();
        // A short name may be in it by chance.
        if !text.contains(of.as_str()) {
            return Ok(Secret::new(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use argus_core::user::password_check;

    use super::*;

    #[test]
    fn every_one_is_another() {
        let ada: Username = "ada".parse().unwrap();
        let (a, b) = (password(&ada).unwrap(), password(&ada).unwrap());
        assert!(a != b && a.expose().len() == 16 && password_check("p", &a, Some(&ada)).is_ok());
        assert!(token().unwrap() != token().unwrap() && token().unwrap().expose().len() == 43);
        let mut letters = LETTERS.to_vec();
        letters.dedup();
        assert_eq!(letters.len(), 32);
    }
}
