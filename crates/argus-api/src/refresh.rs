//! Refresh tokens: good once, and recognised for as long as they could have been good.
//!
//! Of a session's tokens only the newest is stored, by its hash, and only that makes it good. The signature makes one
//! that was replaced recognisable without a row for each: its second use ends the session it was made for,
//! and a client that refreshes without end fills nothing. Under a key that was replaced the newest goes on, as it is known by
//! its hash, and those before it are refused without ending anything: there is no telling what they were.

use argus_core::{Secret, SessionId, Timestamp};
use argus_db::{NewRefresh, Presented, TokenKey};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use crate::cookies;
use crate::error::ApiError;
use crate::random;

/// Longest text that is looked at; ours have under 300 bytes.
const LONGEST: usize = 1024;

/// What tells it from an access token, which is signed with the same key.
#[derive(Serialize, Deserialize)]
enum Use {
    #[serde(rename = "refresh")]
    Refresh,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    r#use: Use,
    sid: SessionId,
    exp: i64,
    /// 32 random bytes: who has the key cannot guess the newest token either.
    jti: String,
}

/// Makes and recognises refresh tokens.
pub(crate) struct RefreshTokens {
    sign: EncodingKey,
    check: DecodingKey,
    rules: Validation,
}

impl RefreshTokens {
    pub(crate) fn new(key: &TokenKey) -> Self {
        let mut rules = Validation::new(Algorithm::HS256);
        // The end is compared with our own clock.
        rules.validate_exp = false;
        rules.required_spec_claims.clear();
        Self { sign: EncodingKey::from_secret(key.expose()), check: DecodingKey::from_secret(key.expose()), rules }
    }

    /// A token for a session, and what is stored of it.
    pub(crate) fn issue(&self, session: SessionId, now: Timestamp) -> Result<(Secret, NewRefresh), ApiError> {
        let expires_at = now.plus(std::time::Duration::from_secs(cookies::REFRESH_S.into()));
        let jti = random::token()?.expose().to_owned();
        let claims = Claims { r#use: Use::Refresh, sid: session, exp: expires_at.as_micros(), jti };
        let token = encode(&Header::new(Algorithm::HS256), &claims, &self.sign);
        let token = token.map(Secret::new).map_err(|e| ApiError::Secrecy(Box::new(e)))?;
        let sha256 = random::hash(token.expose());
        Ok((token, NewRefresh { sha256, expires_at }))
    }

    /// What a token is known by. Those of earlier versions have no signature; they are known by their hash alone.
    pub(crate) fn read(&self, token: &str, now: Timestamp) -> Presented {
        let sha256 = random::hash(token);
        let signed = if token.len() > LONGEST { None } else { decode::<Claims>(token, &self.check, &self.rules).ok() };
        let of = signed.map(|t| t.claims).filter(|claims| now.as_micros() < claims.exp).map(|claims| claims.sid);
        Presented { sha256, of }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use argus_core::UserId;
    use argus_core::user::{Role, User};

    use super::*;
    use crate::access::AccessTokens;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_millis((1_766_485_800 + s) * 1000)
    }

    #[test]
    fn a_token_names_its_session_until_it_expires_and_under_its_key_only() {
        let tokens = RefreshTokens::new(&TokenKey::new([1; 32]));
        let session = SessionId::new(at(0));
        let (token, new) = tokens.issue(session, at(0)).unwrap();
        assert_eq!(new.expires_at, at(0).plus(Duration::from_secs(2_592_000)));
        assert!(token.expose().len() < 300);
        let read = |text: &str, s| tokens.read(text, at(s));
        assert_eq!((read(token.expose(), 0).sha256, read(token.expose(), 2_591_999).of), (new.sha256, Some(session)));
        assert_eq!(read(token.expose(), 2_592_000).of, None);
        assert_eq!(RefreshTokens::new(&TokenKey::new([2; 32])).read(token.expose(), at(0)).of, None);
        let (other, _) = tokens.issue(session, at(0)).unwrap();
        assert_ne!(other.expose(), token.expose());
        for text in ["", "..", "ä", "0123456789012345678901234567890123456789012", &"a".repeat(5000)] {
            assert_eq!(read(text, 0).of, None, "{text}");
        }
    }

    #[test]
    fn neither_kind_of_token_is_taken_for_the_other() {
        let key = TokenKey::new([1; 32]);
        let (access, refresh) = (AccessTokens::new(&key), RefreshTokens::new(&key));
        let user = User {
            id: UserId::new(at(0)),
            username: "ada".into(),
            email: None,
            role: Role::Viewer,
            is_active: true,
            must_change_password: false,
            created_at: at(0),
            updated_at: at(0),
            last_login: None,
        };
        let session = SessionId::new(at(0));
        let token = access.issue(&user, session, at(0)).unwrap();
        assert_eq!(refresh.read(token.expose(), at(0)).of, None);
        let (token, _) = refresh.issue(session, at(0)).unwrap();
        assert_eq!(access.read(token.expose(), at(0)), None);
    }
}
