//! Who calls, and whether they may: API keys. The permission that a route needs is a type in its handler's signature.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use argus_core::UserId;
use argus_core::api_key::{ApiKey, Scope};
use sha2::{Digest as _, Sha256};

use crate::error::ApiError;
use crate::peer;
use crate::rate::Standing;
use crate::state::{Shared, shared};

/// A permission as a type.
pub trait Permission: 'static {
    /// What the caller must hold; `None`: being known is enough.
    const NEEDS: Option<Scope>;
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $needs:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl Permission for $name {
            const NEEDS: Option<Scope> = $needs;
        }
    )+};
}

permissions! {
    /// Every authenticated caller.
    AnyCaller = None;
    /// `read:events`.
    ReadEvents = Some(Scope::ReadEvents);
    /// `read:cameras`.
    ReadCameras = Some(Scope::ReadCameras);
    /// `write:cameras`.
    WriteCameras = Some(Scope::WriteCameras);
    /// `admin`.
    Admin = Some(Scope::Admin);
}

/// SHA-256 of a key: what the database knows it by.
pub(crate) type KeyHash = [u8; 32];

/// An authenticated caller who holds the permission `P`. First argument of every handler that is not open, so that
/// nothing of the request is looked at before.
#[derive(Debug)]
pub struct Caller<P: Permission> {
    key: ApiKey,
    hash: KeyHash,
    permission: PhantomData<P>,
}

impl<P: Permission> Caller<P> {
    /// Whether the caller holds a permission, implied ones included.
    #[must_use]
    pub fn may(&self, wanted: Scope) -> bool {
        self.key.scopes.iter().any(|s| s.gives(wanted))
    }

    /// The user behind it; none when the caller is a program.
    #[expect(clippy::unused_self, reason = "callers are programs so far")]
    pub(crate) fn user_id(&self) -> Option<UserId> {
        None
    }

    /// How the credentials can be looked at again later.
    pub(crate) fn credentials(&self) -> (ApiKey, KeyHash) {
        (self.key.clone(), self.hash)
    }
}

impl<P: Permission> FromRequest for Caller<P> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let req = req.clone();
        Box::pin(async move {
            let (key, hash) = authenticate(&req).await?;
            admit(&req, &key)?;
            let caller = Self { key, hash, permission: PhantomData };
            match P::NEEDS {
                Some(needed) if !caller.may(needed) => Err(ApiError::Forbidden(needed)),
                _ => Ok(caller),
            }
        })
    }
}

/// Who calls an open endpoint: bad credentials count as none there.
#[derive(Debug)]
pub(crate) struct MaybeCaller(pub(crate) Option<ApiKey>);

impl FromRequest for MaybeCaller {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let req = req.clone();
        Box::pin(async move {
            let Ok((key, _)) = authenticate(&req).await else { return Ok(Self(None)) };
            admit(&req, &key)?;
            Ok(Self(Some(key)))
        })
    }
}

/// Finds out whose request it is. The first kind of credentials that is present decides.
async fn authenticate(req: &HttpRequest) -> Result<(ApiKey, KeyHash), ApiError> {
    const WRONG: ApiError = ApiError::Unauthenticated("the API key is wrong, expired or revoked");
    if let Some(value) = req.headers().get("x-api-key") {
        let hash = hash_of(value).ok_or(WRONG)?;
        let shared = shared(req);
        let key = current_key(shared, &hash).await?.ok_or(WRONG)?;
        return Ok((key, hash));
    }
    let bearer = req.headers().get(header::AUTHORIZATION).is_some_and(|v| is_bearer(v.as_bytes()));
    let reason = if bearer { "the access token is wrong or expired" } else { "credentials are missing" };
    Err(ApiError::Unauthenticated(reason))
}

/// The key with this hash, when it is neither revoked nor expired now. Its use may be up to a second out of date.
pub(crate) async fn current_key(shared: &Shared, hash: &KeyHash) -> Result<Option<ApiKey>, ApiError> {
    let (now, wall) = (shared.begun.elapsed(), shared.state.clock.now());
    let revocations = shared.state.db.api_key_revocations();
    if let Some(key) = shared.keys.get(hash, revocations, now, wall) {
        return Ok(Some(key));
    }
    let key = shared.state.db.api_key_by_hash(hash, wall).await?.filter(|k| k.is_active);
    if let Some(key) = &key {
        shared.keys.put(*hash, key.clone(), revocations, now);
    }
    Ok(key)
}

fn is_bearer(value: &[u8]) -> bool {
    value.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "))
}

/// The hash of a key that has a key's form: `argus_` and 43 characters of base64url.
///
/// Only hashes are ever compared: what the time of a look-up tells is about the hash of a guess, not about any key.
fn hash_of(value: &HeaderValue) -> Option<KeyHash> {
    let secret = value.as_bytes().strip_prefix(b"argus_")?;
    let sound = secret.len() == 43 && secret.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b));
    sound.then(|| Sha256::digest(value.as_bytes()).into())
}

/// Counts the request against the key's limit, and as its use when it is admitted.
fn admit(req: &HttpRequest, key: &ApiKey) -> Result<(), ApiError> {
    let shared = shared(req);
    let wall = shared.state.clock.now();
    let standing = shared.limiter.admit(key.id, key.rate_limit_per_minute, shared.begun.elapsed(), wall);
    req.extensions_mut().insert(Rated(standing));
    if !standing.admitted {
        return Err(ApiError::RateLimited { limit: standing.limit, retry_after_s: standing.retry_after_s });
    }
    shared.usage.count(key.id, wall, peer::address(req));
    Ok(())
}

/// Where the caller's key stands, in the request's extensions until the answer leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rated(Standing);

impl Rated {
    /// Adds the three headers.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let mut set = |name: &'static str, value: i64| {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        };
        set("x-ratelimit-limit", self.0.limit.into());
        set("x-ratelimit-remaining", self.0.remaining.into());
        set("x-ratelimit-reset", self.0.reset_s);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use argus_core::api_key::NewApiKey;
    use argus_core::{ApiKeyId, Timestamp};

    use super::*;
    use crate::key_cache::KeyCache;
    use crate::rate::Limiter;
    use crate::usage::Usage;

    fn check(key: &str, expected: bool) {
        assert_eq!(hash_of(&HeaderValue::from_str(key).unwrap()).is_some(), expected, "{key}");
    }

    #[test]
    fn only_keys_are_hashed() {
        check(&format!("argus_{}", "aB-_0".repeat(9).get(..43).unwrap()), true);
        check(&format!("argus_{}", "a".repeat(42)), false);
        check(&format!("argus_{}", "a".repeat(44)), false);
        check(&format!("argus_{}.", "a".repeat(42)), false);
        check(&format!("ARGUS_{}", "a".repeat(43)), false);
        check("", false);
    }

    /// The promise is 20 µs of processor time a request; this build is not even optimised.
    #[test]
    fn a_request_with_a_key_costs_little() {
        let (keys, limiter, usage) = (KeyCache::default(), Limiter::new(Duration::from_secs(60)), Usage::default());
        let wall = Timestamp::from_millis(1_766_485_800_000);
        let new = NewApiKey::check("test", &[Scope::Admin], None, 10_000, wall).unwrap();
        let key = ApiKey {
            id: ApiKeyId::new(wall),
            name: new.name,
            prefix: "argus_aa".into(),
            scopes: new.scopes,
            is_active: true,
            expires_at: None,
            rate_limit_per_minute: new.rate_limit_per_minute,
            usage_count: 0,
            last_used_at: None,
            last_used_ip: None,
            created_at: wall,
            created_by: None,
            revoked_at: None,
        };
        let text = HeaderValue::from_str(&format!("argus_{}", "a".repeat(43))).unwrap();
        let now = Duration::from_secs(1);
        keys.put(hash_of(&text).unwrap(), key, 0, now);
        let round = || {
            let begun = Instant::now();
            for _ in 0..1000 {
                let hash = hash_of(&text).unwrap();
                let key = keys.get(&hash, 0, now, wall).unwrap();
                assert!(limiter.admit(key.id, key.rate_limit_per_minute, now, wall).admitted);
                usage.count(key.id, wall, Some([127, 0, 0, 1].into()));
            }
            begun.elapsed() / 1000
        };
        // What other tests take away from the processor is in the worst rounds, not in the best.
        let best = (0..10).map(|_| round()).min().unwrap();
        assert!(best < Duration::from_micros(20), "{best:?}");
    }

    #[test]
    fn schemes_ignore_case() {
        assert!(is_bearer(b"bearer x") && is_bearer(b"BEARER x"));
        assert!(!is_bearer(b"Basic xxxx") && !is_bearer(b"Bearer"));
    }
}
