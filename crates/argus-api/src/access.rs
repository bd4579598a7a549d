//! Access tokens: JWT with HS256 (RFC 7519), the only algorithm that is read or written.
//!
//! A token only says which session it is of; whether that still is one, and what its user may do, is looked up.

use std::time::Duration;

use argus_core::user::User;
use argus_core::{Secret, SessionId, Timestamp, UserId};
use argus_db::TokenKey;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::ApiError;

/// How long a token is good.
pub(crate) const LIFETIME: Duration = Duration::from_secs(900);
/// Longest text that is looked at; ours have under 500 bytes.
const LONGEST: usize = 2048;

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: UserId,
    role: String,
    sid: SessionId,
    iat: i64,
    exp: i64,
    jti: String,
}

/// Writes and reads access tokens.
pub(crate) struct AccessTokens {
    sign: EncodingKey,
    check: DecodingKey,
    rules: Validation,
}

impl AccessTokens {
    pub(crate) fn new(key: &TokenKey) -> Self {
        let mut rules = Validation::new(Algorithm::HS256);
        // The end is compared with our own clock; that it is there is a matter of the claims' type.
        rules.validate_exp = false;
        rules.required_spec_claims.clear();
        Self { sign: EncodingKey::from_secret(key.expose()), check: DecodingKey::from_secret(key.expose()), rules }
    }

    /// A token for a session of a user.
    pub(crate) fn issue(&self, user: &User, session: SessionId, now: Timestamp) -> Result<Secret, ApiError> {
        let claims = Claims {
            sub: user.id,
            role: user.role.to_string(),
            sid: session,
            iat: seconds(now),
            exp: seconds(now.plus(LIFETIME)),
            jti: Uuid::now_v7().to_string(),
        };
        let token = encode(&Header::new(Algorithm::HS256), &claims, &self.sign);
        token.map(Secret::new).map_err(|e| ApiError::Secrecy(Box::new(e)))
    }

    /// Whose token this is, when it is ours and still good.
    pub(crate) fn read(&self, token: &str, now: Timestamp) -> Option<(UserId, SessionId)> {
        if token.len() > LONGEST {
            return None;
        }
        let claims = decode::<Claims>(token, &self.check, &self.rules).ok()?.claims;
        (seconds(now) < claims.exp).then_some((claims.sub, claims.sid))
    }
}

fn seconds(t: Timestamp) -> i64 {
    t.as_micros().div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use argus_core::user::Role;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_millis((1_766_485_800 + s) * 1000)
    }

    fn user() -> User {
        User {
            id: UserId::new(at(0)),
            username: "ada".into(),
            email: None,
            role: Role::Viewer,
            is_active: true,
            must_change_password: false,
            created_at: at(0),
            updated_at: at(0),
            last_login: None,
        }
    }

    fn part(value: &serde_json::Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    #[test]
    fn a_token_is_good_for_900_s_and_under_its_key_only() {
        let tokens = AccessTokens::new(&TokenKey::new([1; 32]));
        let (user, session) = (user(), SessionId::new(at(0)));
        let token = tokens.issue(&user, session, at(0)).unwrap();
        assert_eq!(tokens.read(token.expose(), at(899)), Some((user.id, session)));
        assert_eq!(tokens.read(token.expose(), at(900)), None);
        assert_eq!(AccessTokens::new(&TokenKey::new([2; 32])).read(token.expose(), at(0)), None);
        assert_ne!(tokens.issue(&user, session, at(0)).unwrap().expose(), token.expose(), "jti");
    }

    #[test]
    fn what_was_changed_or_is_of_another_algorithm_is_nothing() {
        let tokens = AccessTokens::new(&TokenKey::new([1; 32]));
        let session = SessionId::new(at(0));
        let token = tokens.issue(&user(), session, at(0)).unwrap();
        let [header, claims, signature]: [&str; 3] = token.expose().split('.').collect::<Vec<_>>().try_into().unwrap();
        let mut changed: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        let names: Vec<_> = changed.as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, ["exp", "iat", "jti", "role", "sid", "sub"]);
        assert_eq!((&changed["role"], &changed["sid"]), (&json!("viewer"), &json!(session.to_string())));
        changed["exp"] = json!(i64::MAX);
        let none = part(&json!({"typ": "JWT", "alg": "none"}));
        let upper = part(&json!({"typ": "JWT", "alg": "NONE"}));
        let rsa = part(&json!({"typ": "JWT", "alg": "RS256"}));
        for forged in [
            format!("{header}.{}.{signature}", part(&changed)),
            format!("{none}.{claims}."),
            format!("{none}.{claims}.{signature}"),
            format!("{none}.{claims}"),
            format!("{upper}.{claims}."),
            format!("{rsa}.{claims}.{signature}"),
            format!("{header}.{claims}."),
            format!("{header}.{claims}.{}", signature.chars().rev().collect::<String>()),
            format!("{}.", token.expose()),
            format!("{}{}", token.expose(), "a".repeat(LONGEST)),
            String::new(),
            "..".into(),
            "ä".into(),
        ] {
            assert_eq!(tokens.read(&forged, at(0)), None, "{forged}");
        }
        // Signed with our key, but by another algorithm of the same family, or without an end.
        let key = EncodingKey::from_secret(&[1; 32]);
        for algorithm in [Algorithm::HS384, Algorithm::HS512] {
            let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
            assert_eq!(tokens.read(&encode(&Header::new(algorithm), &claims, &key).unwrap(), at(0)), None);
        }
        changed.as_object_mut().unwrap().remove("exp");
        assert_eq!(tokens.read(&encode(&Header::default(), &changed, &key).unwrap(), at(0)), None);
    }
}
