//! Who calls, and whether they may: API keys and users. The permission that a route needs is a type in its handler's
//! signature.

use std::cell::Cell;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use argus_core::api_key::{ApiKey, Scope};
use argus_core::user::User;
use argus_core::{SessionId, UserId};
use sha2::{Digest as _, Sha256};

use crate::error::ApiError;
use crate::rate::Standing;
use crate::state::{Shared, shared};
use crate::{cookies, csrf, peer};

/// A permission as a type.
pub trait Permission: 'static {
    /// What the caller must hold; `None`: being known is enough.
    const NEEDS: Option<Scope>;
    /// Whether users may who must change their password first.
    const DESPITE_DUTY: bool = false;
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

/// Every authenticated caller, users who must change their password first among them.
#[derive(Debug)]
pub struct DespiteDuty;

impl Permission for DespiteDuty {
    const NEEDS: Option<Scope> = None;
    const DESPITE_DUTY: bool = true;
}

/// SHA-256 of a key: what the database knows it by.
pub(crate) type KeyHash = [u8; 32];

/// Who somebody turned out to be.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// A program.
    Key { key: Box<ApiKey>, hash: KeyHash },
    /// A person.
    User { user: Box<User>, session: SessionId },
}

/// How an identity can be looked at again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Credentials {
    Key(KeyHash),
    User(SessionId),
}

impl Identity {
    /// What it holds; implied permissions need not be in it.
    pub(crate) fn scopes(&self) -> &[Scope] {
        match self {
            Self::Key { key, .. } => &key.scopes,
            Self::User { user, .. } => user.role.scopes(),
        }
    }

    /// Whether it holds a permission, implied ones included.
    pub(crate) fn may(&self, wanted: Scope) -> bool {
        self.scopes().iter().any(|s| s.gives(wanted))
    }

    pub(crate) fn credentials(&self) -> Credentials {
        match self {
            Self::Key { hash, .. } => Credentials::Key(*hash),
            Self::User { session, .. } => Credentials::User(*session),
        }
    }

    /// Whether a password must be changed before anything else.
    pub(crate) fn has_duty(&self) -> bool {
        matches!(self, Self::User { user, .. } if user.must_change_password)
    }

    /// Refuses what needs another password first.
    pub(crate) fn without_duty(self) -> Result<Self, ApiError> {
        if self.has_duty() { Err(ApiError::Refused(DUTY)) } else { Ok(self) }
    }
}

const DUTY: &str = "the password must be changed first";

/// An authenticated caller who holds the permission `P`. First argument of every handler that is not open, so that
/// nothing of the request is looked at before.
#[derive(Debug)]
pub struct Caller<P: Permission> {
    identity: Identity,
    by_cookie: bool,
    permission: PhantomData<P>,
}

impl<P: Permission> Caller<P> {
    /// Whether the caller holds a permission, implied ones included.
    #[must_use]
    pub fn may(&self, wanted: Scope) -> bool {
        self.identity.may(wanted)
    }

    /// The user who calls; `None` when it is a program.
    #[must_use]
    pub fn user_id(&self) -> Option<UserId> {
        match &self.identity {
            Identity::User { user, .. } => Some(user.id),
            Identity::Key { .. } => None,
        }
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether a browser sent the credentials by itself.
    pub(crate) fn is_by_cookie(&self) -> bool {
        self.by_cookie
    }

    async fn of(req: HttpRequest) -> Result<Self, ApiError> {
        let Known { identity, by_cookie } = authenticate(&req).await?;
        admit_if_key(&req, &identity)?;
        if by_cookie {
            csrf::check(&req)?;
        }
        if identity.has_duty() && !P::DESPITE_DUTY {
            return Err(ApiError::Refused(DUTY));
        }
        match P::NEEDS {
            Some(needed) if !identity.may(needed) => Err(ApiError::Forbidden(needed)),
            _ => Ok(Self { identity, by_cookie, permission: PhantomData }),
        }
    }
}

impl<P: Permission> FromRequest for Caller<P> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        Box::pin(Self::of(req.clone()))
    }
}

/// A signed-in user who holds the permission `P`; programs are refused.
#[derive(Debug)]
pub struct UserCaller<P: Permission = AnyCaller> {
    pub(crate) user: User,
    pub(crate) session: SessionId,
    permission: PhantomData<P>,
}

impl<P: Permission> FromRequest for UserCaller<P> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = Caller::<P>::of(req.clone());
        Box::pin(async move {
            match caller.await?.identity {
                Identity::User { user, session } => Ok(Self { user: *user, session, permission: PhantomData }),
                Identity::Key { .. } => Err(ApiError::Refused("this needs a signed-in user, not an API key")),
            }
        })
    }
}

/// Who calls an open endpoint: bad credentials count as none there.
#[derive(Debug)]
pub(crate) struct MaybeCaller(pub(crate) Option<Identity>);

impl FromRequest for MaybeCaller {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let req = req.clone();
        Box::pin(async move {
            let Ok(known) = authenticate(&req).await else { return Ok(Self(None)) };
            admit_if_key(&req, &known.identity)?;
            Ok(Self(Some(known.identity)))
        })
    }
}

/// Who it is, and by what.
struct Known {
    identity: Identity,
    by_cookie: bool,
}

/// Finds out whose request it is. The first kind of credentials that is present decides.
async fn authenticate(req: &HttpRequest) -> Result<Known, ApiError> {
    const WRONG: ApiError = ApiError::Unauthenticated("the API key is wrong, expired or revoked");
    if let Some(value) = req.headers().get("x-api-key") {
        let hash = hash_of(value).ok_or(WRONG)?;
        let shared = shared(req);
        let key = current_key(shared, &hash).await?.ok_or(WRONG)?;
        return Ok(Known { identity: Identity::Key { key: Box::new(key), hash }, by_cookie: false });
    }
    let (token, by_cookie) = match bearer(req) {
        Some(token) => (Some(token.to_owned()), false),
        None => (cookies::read(req, cookies::ACCESS), true),
    };
    let token = token.ok_or(ApiError::Unauthenticated("credentials are missing"))?;
    let identity = user_of_token(shared(req), &token).await?;
    let identity = identity.ok_or(ApiError::Unauthenticated("the access token is wrong, expired or revoked"))?;
    Ok(Known { identity, by_cookie })
}

/// The user of an access token whose session goes on.
async fn user_of_token(shared: &Shared, token: &str) -> Result<Option<Identity>, ApiError> {
    let now = shared.state.clock.now();
    let Some((owner, session)) = shared.accounts.access.read(token, now) else { return Ok(None) };
    let identity = current_user(shared, session).await?;
    Ok(identity.filter(|i| matches!(i, Identity::User { user, .. } if user.id == owner)))
}

/// The user of a session, when both go on.
async fn current_user(shared: &Shared, id: SessionId) -> Result<Option<Identity>, ApiError> {
    let now = shared.state.clock.now();
    let Some((session, user)) = shared.state.db.session_get(id, now).await? else { return Ok(None) };
    if !user.is_active {
        return Ok(None);
    }
    shared.accounts.activity.seen(&session, now);
    Ok(Some(Identity::User { user: Box::new(user), session: id }))
}

/// Who credentials stand for now; `None` when they have ended.
pub(crate) async fn current(shared: &Shared, credentials: Credentials) -> Result<Option<Identity>, ApiError> {
    match credentials {
        Credentials::Key(hash) => {
            let key = current_key(shared, &hash).await?;
            Ok(key.map(|key| Identity::Key { key: Box::new(key), hash }))
        }
        Credentials::User(session) => current_user(shared, session).await,
    }
}

/// The access token of the header `Authorization`; other schemes are ignored.
pub(crate) fn bearer(req: &HttpRequest) -> Option<&str> {
    let value = req.headers().get(header::AUTHORIZATION)?.as_bytes();
    // What is no text is a token all the same, and a wrong one.
    is_bearer(value).then(|| value.get(7..).and_then(|t| std::str::from_utf8(t).ok()).unwrap_or_default().trim())
}

/// The session of the token that the request bears, if that is good; of `Authorization`, else of the cookie.
pub(crate) async fn session_of_request(req: &HttpRequest) -> Result<Option<SessionId>, ApiError> {
    let token = bearer(req).map(str::to_owned).or_else(|| cookies::read(req, cookies::ACCESS));
    let Some(token) = token else { return Ok(None) };
    match user_of_token(shared(req), &token).await? {
        Some(Identity::User { session, .. }) => Ok(Some(session)),
        _ => Ok(None),
    }
}

/// Counts the request when a program makes it.
pub(crate) fn admit_if_key(req: &HttpRequest, identity: &Identity) -> Result<(), ApiError> {
    match identity {
        Identity::Key { key, .. } => admit(req, key),
        Identity::User { .. } => Ok(()),
    }
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
    if let Some(rated) = req.extensions().get::<Rated>() {
        rated.0.set(Some(standing));
    }
    if !standing.admitted {
        return Err(ApiError::RateLimited { limit: standing.limit, retry_after_s: standing.retry_after_s });
    }
    shared.usage.count(key.id, wall, peer::address(req));
    Ok(())
}

/// Where the caller's key stands, once one was admitted or refused: in the request's extensions, and with what outlives
/// the request when a handler panics.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rated(Rc<Cell<Option<Standing>>>);

impl Rated {
    /// Adds the three headers, when the caller has a key.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let Some(standing) = self.0.get() else { return };
        let mut set = |name: &'static str, value: i64| {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        };
        set("x-ratelimit-limit", standing.limit.into());
        set("x-ratelimit-remaining", standing.remaining.into());
        set("x-ratelimit-reset", standing.reset_s);
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
