//! The first user, and sessions from their beginning to their end.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse, ResponseError as _};
use argus_core::user::{NewUser, Role};
use argus_core::{Secret, UserId};
use argus_db::{NewPassword, Refreshed};
use deserr::Deserr;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{MaybeCaller, bearer, session_of_request};
use crate::body::{Body, Faulty, Given, Patch, decode};
use crate::error::ApiError;
use crate::grant::{Grant, Opening, Visitor};
use crate::query::Query;
use crate::state::Shared;
use crate::users::{self, Passwording};
use crate::{cookies, csrf, paths, random};

pub use crate::grant::SignedIn;

const REFUSED: ApiError = ApiError::Unauthenticated("invalid username or password");

/// Whether there is a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SetupStatus {
    /// There is one.
    setup_complete: bool,
    /// This caller needs the setup token to make the first.
    token_required: bool,
}

/// Tells whether the first user is still missing.
#[utoipa::path(
    get,
    path = paths::SETUP_STATUS,
    operation_id = "get_setup_status",
    tag = "auth",
    responses((status = 200, description = "How far the setup is", body = SetupStatus), (status = 422), (status = 503)),
    extensions(("x-permission" = json!("open")))
)]
pub(crate) async fn setup_status(
    _: MaybeCaller,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<SetupStatus>, ApiError> {
    Query::parse(req.query_string())?.done()?;
    let setup_complete = shared.state.db.user_exists().await?;
    Ok(Json(SetupStatus { setup_complete, token_required: !setup_complete && !is_loopback(&req) }))
}

/// The first user.
#[derive(Clone, Debug, Default, Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = Faulty)]
pub(crate) struct SetupBody {
    /// To sign in with; kept in lower case.
    #[deserr(default)]
    #[schema(value_type = String, pattern = r"^\s*[A-Za-z0-9_.-]{3,50}\s*$")]
    username: Given<String>,
    /// Must not contain the username.
    #[deserr(default)]
    #[schema(value_type = String, min_length = 10, max_length = 256, format = Password)]
    password: Given<Secret>,
    /// Where mail reaches them.
    #[deserr(default)]
    #[schema(value_type = Option<String>, max_length = 254, format = "email")]
    email: Patch<String>,
    /// The setup token; needed unless the request comes from the machine itself.
    #[deserr(default)]
    #[schema(value_type = Option<String>, write_only)]
    token: Patch<Secret>,
}

/// Makes the first user, an admin, and signs them in.
#[utoipa::path(
    post,
    path = paths::SETUP,
    operation_id = "setup",
    tag = "auth",
    request_body = SetupBody,
    responses(
        (status = 201, description = "The user is made and signed in", body = SignedIn,
            headers(("Location" = String, description = "Path of the user"))),
        (status = 403, description = "The token is missing or wrong"),
        (status = 409, description = "There is a user"),
        (status = 422),
        (status = 429, description = "Too many wrong tokens, or the key's requests are used up"),
        (status = 503)
    ),
    extensions(("x-permission" = json!("open + token")))
)]
pub(crate) async fn setup(
    _: MaybeCaller,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    const COMPLETE: ApiError = ApiError::Conflict("the setup is complete: a user exists");
    if shared.state.db.user_exists().await? {
        return Err(COMPLETE);
    }
    let body = body.json().await?;
    Query::parse(req.query_string())?.done()?;
    let decoded = decode::<SetupBody>(body);
    let SetupBody { username, password, email, token } = decoded.value.clone();
    let from = Visitor::of(&req);
    check_setup_token(&shared, &req, &from, token, decoded.has("token"))?;
    let password = password.0.map_or(Passwording::Missing, Passwording::Given);
    let new = users::checked(decoded, username, password, email, Role::Admin)?;
    let task = Data::clone(&shared);
    let grant = shared.finish(async move {
        let shared = task;
        let (password, _) = users::hashed(&shared, &new).await?;
        let (hash, now) = (password.hash.clone(), shared.state.clock.now());
        let user = shared.state.db.user_insert_first(new.user, UserId::new(now), password, now).await?;
        let user = user.ok_or(COMPLETE)?;
        end_setup(&shared);
        tracing::info!(user.id = %user.id, "the first user was made");
        let Opening { session, refresh } = Opening::new(&shared, &from, now)?;
        let id = session.id;
        let user = shared.state.db.session_open(user.id, hash, session, now).await?.ok_or(REFUSED)?;
        Grant::new(&shared, user, id, refresh, now)
    });
    let grant = grant.await?;
    let place = paths::USER.replace("{id}", &grant.user.id.to_string());
    let mut answer = grant.answer(&req, StatusCode::CREATED)?;
    let place = header::HeaderValue::from_str(&place).map_err(|e| ApiError::Secrecy(Box::new(e)))?;
    answer.headers_mut().insert(header::LOCATION, place);
    Ok(answer)
}

/// A token that is sent must be right; without one the caller must sit at this machine. One that is no text is left to
/// the check of the values.
fn check_setup_token(
    shared: &Shared,
    req: &HttpRequest,
    from: &Visitor,
    token: Patch<Secret>,
    is_faulty: bool,
) -> Result<(), ApiError> {
    let now = shared.state.clock.now();
    match token {
        Patch::Value(token) => {
            shared.accounts.attempts.may_try_setup(from.network, now)?;
            let known = shared.state.sign_in.setup_token.as_ref();
            let is_over = shared.accounts.setup_over.load(Ordering::Acquire);
            if known.is_some_and(|known| *known == token) && !is_over {
                return Ok(());
            }
            shared.accounts.attempts.wrong_setup(from.network, now);
            Err(ApiError::Refused("the setup token is wrong"))
        }
        Patch::Absent | Patch::Null if is_faulty || is_loopback(req) => Ok(()),
        Patch::Absent | Patch::Null => Err(ApiError::Refused("the setup token is missing")),
    }
}

/// Ends the setup token, in memory and on the disk.
pub(crate) fn end_setup(shared: &Shared) {
    shared.accounts.setup_over.store(true, Ordering::Release);
    let Some(file) = &shared.state.sign_in.setup_file else { return };
    if let Err(e) = std::fs::remove_file(file)
        && e.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(error = %e, "the file of the setup token could not be removed");
    }
}

/// Whether the caller sits at this machine: the connection comes from a loopback address, asks for one, and no proxy
/// stands between.
fn is_loopback(req: &HttpRequest) -> bool {
    let is_direct = req.peer_addr().is_some_and(|a| a.ip().to_canonical().is_loopback());
    let host = req.headers().get(header::HOST).and_then(|v| v.to_str().ok());
    let host = host.map(str::to_owned).or_else(|| req.uri().authority().map(ToString::to_string));
    let forwarded = req.headers().keys().any(|name| {
        let name = name.as_str();
        name == "forwarded" || name.starts_with("x-forwarded-")
    });
    is_direct && !forwarded && host.is_some_and(|host| names_loopback(&host))
}

/// Whether a `Host` is a loopback address or `localhost`, with or without a port.
fn names_loopback(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        // The colon of a port, not one inside an address of IPv6.
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port),
        _ => (host, ""),
    };
    let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    let is_ip = bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    port.bytes().all(|b| b.is_ascii_digit()) && (is_ip || name.eq_ignore_ascii_case("localhost"))
}

/// Who wants to sign in.
#[derive(Clone, Debug, Default, Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = Faulty)]
pub(crate) struct LoginBody {
    /// Ignoring case.
    #[deserr(default)]
    #[schema(value_type = String, min_length = 1, max_length = 256)]
    username: Given<String>,
    /// As it is.
    #[deserr(default)]
    #[schema(value_type = String, min_length = 1, max_length = 256, format = Password)]
    password: Given<Secret>,
}

/// Begins a session.
#[utoipa::path(
    post,
    path = paths::LOGIN,
    operation_id = "login",
    tag = "auth",
    request_body = LoginBody,
    responses(
        (status = 200, description = "The session has begun; both cookies are set", body = SignedIn),
        (status = 401, description = "Username or password is wrong, or the user may not sign in"),
        (status = 422),
        (status = 429, description = "Too many failures, or the key's requests are used up"),
        (status = 503)
    ),
    extensions(("x-permission" = json!("open")))
)]
pub(crate) async fn login(
    _: MaybeCaller,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let body = body.json().await?;
    Query::parse(req.query_string())?.done()?;
    let mut decoded = decode::<LoginBody>(body);
    let LoginBody { username, password } = decoded.value.clone();
    let username = username.0.map(|name| name.trim().to_lowercase());
    decoded.text("username", username.as_deref(), 1..=256);
    decoded.text("password", password.0.as_ref().map(Secret::expose), 1..=256);
    decoded.sound()?;
    let (Some(username), Some(password)) = (username, password.0) else { return Err(REFUSED) };
    let (from, task) = (Visitor::of(&req), Data::clone(&shared));
    let grant = shared.finish(async move { check_and_open(&task, username, password, &from).await }).await?;
    grant.answer(&req, StatusCode::OK)
}

async fn check_and_open(
    shared: &Shared,
    username: String,
    password: Secret,
    from: &Visitor,
) -> Result<Grant, ApiError> {
    let (db, clock, accounts) = (&shared.state.db, shared.state.clock.as_ref(), &shared.accounts);
    let attempt = accounts.attempts.begin(from.network, &username, clock).await?;
    let known = db.user_credentials(username).await?;
    // Also for nobody, so that names cannot be told from the time it takes.
    let is_right = accounts.passwords.verify(password, known.as_ref().map(|c| c.hash.clone())).await?;
    let now = clock.now();
    let (user, ip) = (known.as_ref().map(|c| c.user.id), from.ip.as_deref());
    if let Some(known) = known.filter(|c| is_right && c.are_valid(now)) {
        accounts.activity.flush_all(db).await;
        let Opening { session, refresh } = Opening::new(shared, from, now)?;
        let id = session.id;
        if let Some(user) = db.session_open(known.user.id, known.hash, session, now).await? {
            attempt.passed();
            tracing::info!(user.id = %user.id, session.id = %id, caller.ip = ip, "signed in");
            return Grant::new(shared, user, id, refresh, now);
        }
    }
    attempt.failed(now);
    tracing::info!(user.id = user.map(tracing::field::display), caller.ip = ip, "sign-in refused");
    Err(REFUSED)
}

/// Replaces the refresh token and gives a new access token.
///
/// A refresh token is good once. One that comes again was stolen: its session ends.
#[utoipa::path(
    post,
    path = paths::REFRESH,
    operation_id = "refresh",
    tag = "auth",
    responses(
        (status = 200, description = "The session goes on; both cookies are set", body = SignedIn),
        (status = 401, description = "The refresh cookie is missing, expired, revoked or was used; both cookies are removed"),
        (status = 422)
    ),
    extensions(("x-permission" = json!("refresh cookie")))
)]
pub(crate) async fn refresh(
    _: MaybeCaller,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    match refreshed(&shared, &req, body).await {
        Err(refused @ ApiError::Unauthenticated(_)) => {
            let mut answer = refused.error_response();
            cookies::take_back(&req, answer.headers_mut())?;
            Ok(answer)
        }
        other => other,
    }
}

async fn refreshed(shared: &Data<Shared>, req: &HttpRequest, body: Body) -> Result<HttpResponse, ApiError> {
    const OVER: ApiError = ApiError::Unauthenticated("the refresh token is missing, expired, revoked or was used");
    let (db, now) = (&shared.state.db, shared.state.clock.now());
    let token = cookies::read(req, cookies::REFRESH).ok_or(OVER)?;
    let presented = shared.accounts.refresh.read(&token, now);
    let session = db.session_of_refresh(presented, now).await?.ok_or(OVER)?;
    if !has_other_credentials(req) {
        csrf::check(req)?;
    }
    body.none().await?;
    Query::parse(req.query_string())?.done()?;
    let (next, new) = shared.accounts.refresh.issue(session, now)?;
    let (from, task) = (Visitor::of(req), Data::clone(shared));
    let refreshed = shared
        .finish(async move { Ok(task.state.db.session_refresh(presented, new, from.ip, from.agent, now).await?) });
    match refreshed.await? {
        Refreshed::Good(user, session) => Grant::new(shared, *user, session, next, now)?.answer(req, StatusCode::OK),
        Refreshed::Reused(session) => {
            tracing::warn!(session.id = %session, "a refresh token was used twice: the session has ended");
            Err(OVER)
        }
        Refreshed::Unknown => Err(OVER),
    }
}

/// Whether the request bears something that browsers do not send by themselves.
fn has_other_credentials(req: &HttpRequest) -> bool {
    req.headers().contains_key("x-api-key") || bearer(req).is_some()
}

/// Ends the session of the token, or of the refresh cookie, and removes both cookies.
#[utoipa::path(
    post,
    path = paths::LOGOUT,
    operation_id = "logout",
    tag = "auth",
    responses(
        (status = 204, description = "There is no session any more; both cookies are removed"),
        (status = 403, description = "A cookie was sent without `Origin` or `X-Requested-With`"),
        (status = 422),
        (status = 503)
    ),
    extensions(("x-permission" = json!("open")))
)]
pub(crate) async fn logout(
    _: MaybeCaller,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let now = shared.state.clock.now();
    let mut sessions: Vec<_> = session_of_request(&req).await?.into_iter().collect();
    if let Some(token) = cookies::read(&req, cookies::REFRESH) {
        let presented = shared.accounts.refresh.read(&token, now);
        sessions.extend(shared.state.db.session_of_refresh(presented, now).await?);
    }
    if !sessions.is_empty() && !has_other_credentials(&req) {
        csrf::check(&req)?;
    }
    body.none().await?;
    Query::parse(req.query_string())?.done()?;
    if !sessions.is_empty() {
        let task = Data::clone(&shared);
        shared.finish(async move { Ok(task.state.db.sessions_end(sessions).await?) }).await?;
    }
    let mut answer = HttpResponse::NoContent().finish();
    cookies::take_back(&req, answer.headers_mut())?;
    Ok(answer)
}

/// Adds a user with a password that keeps the rules, for the command line.
///
/// # Errors
/// `Db` with `Conflict` when the username or email is taken; what the database says.
pub async fn add_user(
    db: &argus_db::Database,
    new: NewUser,
    password: &Secret,
    now: argus_core::Timestamp,
) -> Result<argus_core::user::User, ApiError> {
    let password = NewPassword { hash: crate::passwords::hash(password)?, expires_at: None };
    Ok(db.user_insert(new, UserId::new(now), password, now).await?)
}

/// The token with which a new installation's first user is made.
///
/// # Errors
/// `Secrecy` when the system gives no randomness.
pub fn new_setup_token() -> Result<Secret, ApiError> {
    random::token()
}

/// A password that nobody chose.
///
/// # Errors
/// `Secrecy` when the system gives no randomness.
pub fn new_password(user: &NewUser) -> Result<Secret, ApiError> {
    random::password(&user.username)
}

#[cfg(test)]
mod tests {
    use super::names_loopback;

    #[test]
    fn only_names_of_this_machine_are_its_names() {
        for own in
            ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:8000", "[::ffff:127.0.0.1]"]
        {
            assert!(names_loopback(own), "{own}");
        }
        for other in
            ["", "cam", "localhost.evil", "evil:80", "10.0.0.1", "[::2]:80", "127.0.0.1.evil", "localhost:x", "0.0.0.0"]
        {
            assert!(!names_loopback(other), "{other}");
        }
    }
}
