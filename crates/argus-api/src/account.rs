//! What callers see and change of themselves.

use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use argus_core::api_key::{ApiKey, Scope};
use argus_core::settings::{DateFormat, TimeFormat};
use argus_core::user::{User, Username, password_check};
use argus_core::{Faults, Secret, SessionId, Timestamp};
use argus_db::{NewPassword, Session};
use deserr::Deserr;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{AnyCaller, Caller, DespiteDuty, Identity, UserCaller};
use crate::body::{Body, Faulty, Given, decode};
use crate::error::ApiError;
use crate::grant::{Grant, Opening, SignedIn, Visitor};
use crate::ids::named;
use crate::list::{List, PageQuery};
use crate::query::Query;
use crate::state::Shared;
use crate::{paths, tickets};

/// By what a caller is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthKind {
    /// A sign-in.
    User,
    /// An API key.
    ApiKey,
}

/// What user interfaces need to know of this server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Site {
    /// What it is called.
    system_name: String,
    /// IANA name.
    timezone: String,
    /// Of descriptions, such as `de` or `pt-BR`.
    language: String,
    /// How days are written.
    date_format: DateFormat,
    /// How times of day are written.
    time_format: TimeFormat,
}

/// Who the caller is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct MeView {
    /// By what the caller is known.
    auth: AuthKind,
    /// What the caller may do, implied permissions included.
    permissions: Vec<Scope>,
    /// The user; null when an API key calls.
    #[schema(required)]
    user: Option<User>,
    /// The key; null when a user calls.
    #[schema(required)]
    api_key: Option<ApiKey>,
    /// What user interfaces need to know of this server.
    site: Site,
}

/// Tells who the caller is and what they may do.
#[utoipa::path(
    get,
    path = paths::ME,
    operation_id = "get_me",
    tag = "auth",
    responses((status = 200, description = "The caller", body = MeView), (status = 422)),
    extensions(("x-permission" = json!("any")))
)]
pub(crate) async fn me(
    caller: Caller<DespiteDuty>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<MeView>, ApiError> {
    Query::parse(req.query_string())?.done()?;
    let permissions = Scope::ALL.iter().copied().filter(|&scope| caller.may(scope)).collect();
    let (auth, user, api_key) = match caller.identity().clone() {
        Identity::User { user, .. } => (AuthKind::User, Some(*user), None),
        Identity::Key { key, .. } => (AuthKind::ApiKey, None, Some(*key)),
    };
    let site = std::future::ready(site(&shared)).await;
    Ok(Json(MeView { auth, permissions, user, api_key, site }))
}

fn site(shared: &Shared) -> Site {
    let general = shared.state.control.settings().general.clone();
    Site {
        system_name: general.system_name,
        timezone: general.timezone,
        language: general.language,
        date_format: general.date_format,
        time_format: general.time_format,
    }
}

/// Two passwords.
#[derive(Clone, Debug, Default, Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = Faulty)]
pub(crate) struct ChangePasswordBody {
    /// The one that is good now.
    #[deserr(default)]
    #[schema(value_type = String, min_length = 1, max_length = 256, format = Password)]
    current_password: Given<Secret>,
    /// Another one. Must not contain the username.
    #[deserr(default)]
    #[schema(value_type = String, min_length = 10, max_length = 256, format = Password)]
    new_password: Given<Secret>,
}

/// Changes the caller's password, ends all their sessions and begins a new one.
#[utoipa::path(
    post,
    path = paths::CHANGE_PASSWORD,
    operation_id = "change_password",
    tag = "auth",
    request_body = ChangePasswordBody,
    responses(
        (status = 200, description = "The password is changed; both cookies are set", body = SignedIn),
        (status = 422, description = "The current password is wrong, or the new one breaks a rule"),
        (status = 429, description = "Too many failures")
    ),
    extensions(("x-permission" = json!("user")))
)]
pub(crate) async fn change_password(
    caller: UserCaller<DespiteDuty>,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let body = body.json().await?;
    Query::parse(req.query_string())?.done()?;
    let mut decoded = decode::<ChangePasswordBody>(body);
    let ChangePasswordBody { current_password, new_password } = decoded.value.clone();
    decoded.text("current_password", current_password.0.as_ref().map(Secret::expose), 1..=256);
    let username: Username = caller.user.username.parse().map_err(Faults::from)?;
    let mut rule = Faults::default();
    match &new_password.0 {
        Some(new) => rule.0.extend(password_check("new_password", new, Some(&username)).err()),
        None => rule.add("new_password", "is required"),
    }
    let (Some(current), Some(new), true) = (current_password.0, new_password.0, decoded.is_sound()) else {
        return Err(decoded.with(rule).into());
    };
    let (from, task) = (Visitor::of(&req), Data::clone(&shared));
    let grant = shared.finish(async move { change(&task, caller.user, current, new, rule, &from).await }).await?;
    grant.answer(&req, StatusCode::OK)
}

async fn change(
    shared: &Shared,
    user: User,
    current: Secret,
    new: Secret,
    mut faults: Faults,
    from: &Visitor,
) -> Result<Grant, ApiError> {
    const WRONG: &str = "is wrong";
    let (db, clock, accounts) = (&shared.state.db, shared.state.clock.as_ref(), &shared.accounts);
    let attempt = accounts.attempts.begin(from.network, &user.username, clock).await?;
    let known = db.user_credentials(user.username).await?.filter(|c| c.user.id == user.id && c.are_valid(clock.now()));
    let known_hash = known.map(|c| c.hash);
    if !accounts.passwords.verify(current.clone(), known_hash.clone()).await? {
        attempt.failed(clock.now());
        faults.0.insert(0, argus_core::Invalid::new("current_password", WRONG));
    } else {
        attempt.passed();
        if current == new {
            faults.add("new_password", "is the current one");
        }
    }
    let checked = faults.or(known_hash)?;
    let hash = accounts.passwords.hash(new).await?;
    let now = clock.now();
    let Opening { session, refresh } = Opening::new(shared, from, now)?;
    let (id, password) = (session.id, NewPassword { hash, expires_at: None });
    let changed = match checked {
        Some(checked) => db.session_change_password(user.id, checked, password, session, now).await?,
        None => None,
    };
    // It was changed by somebody else since it was checked.
    let user = changed.ok_or_else(|| Faults::from(argus_core::Invalid::new("current_password", WRONG)))?;
    tracing::info!(user.id = %user.id, "password changed");
    Grant::new(shared, user, id, refresh, now)
}

/// One sign-in of the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SessionView {
    /// Names it.
    id: SessionId,
    /// When it began.
    created_at: Timestamp,
    /// When it was used last.
    last_active_at: Timestamp,
    /// Where it began or was last refreshed.
    #[schema(required)]
    ip_address: Option<String>,
    /// By which program.
    #[schema(required)]
    user_agent: Option<String>,
    /// It is the one that asks.
    is_current: bool,
}

impl SessionView {
    fn new(session: Session, current: SessionId) -> Self {
        Self {
            id: session.id,
            created_at: session.created_at,
            last_active_at: session.last_active_at,
            ip_address: session.ip_address,
            user_agent: session.user_agent,
            is_current: session.id == current,
        }
    }
}

/// Lists the caller's sessions, newest first.
#[utoipa::path(
    get,
    path = paths::SESSIONS,
    operation_id = "list_sessions",
    tag = "auth",
    params(PageQuery),
    responses((status = 200, description = "A page of sessions", body = List<SessionView>), (status = 422)),
    extensions(("x-permission" = json!("user")))
)]
pub(crate) async fn sessions(
    caller: UserCaller,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<List<SessionView>>, ApiError> {
    let mut query = Query::parse(req.query_string())?;
    let page = PageQuery::read(&mut query);
    query.done()?;
    let (db, now) = (&shared.state.db, shared.state.clock.now());
    shared.accounts.activity.flush_all(db).await;
    let found = db.session_list(caller.user.id, page.page, page.limit, now).await?;
    Ok(Json(List::of(found, |session| SessionView::new(session, caller.session))))
}

/// Ends all sessions of the caller but the one that asks.
#[utoipa::path(
    delete,
    path = paths::SESSIONS,
    operation_id = "end_other_sessions",
    tag = "auth",
    responses((status = 204, description = "The others have ended")),
    extensions(("x-permission" = json!("user")))
)]
pub(crate) async fn end_others(
    caller: UserCaller,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    Query::parse(req.query_string())?.done()?;
    let task = Data::clone(&shared);
    let end = async move { Ok(task.state.db.session_end_others(caller.user.id, caller.session).await?) };
    shared.finish(end).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Ends one session of the caller; also the one that asks.
#[utoipa::path(
    delete,
    path = paths::SESSION,
    operation_id = "end_session",
    tag = "auth",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 204, description = "It has ended"), (status = 404)),
    extensions(("x-permission" = json!("user")))
)]
pub(crate) async fn end_one(
    caller: UserCaller,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let id: Option<SessionId> = named(&req, "id")?;
    Query::parse(req.query_string())?.done()?;
    let id = id.ok_or(ApiError::NotFound("session"))?;
    let task = Data::clone(&shared);
    shared.finish(async move { Ok(task.state.db.session_end(caller.user.id, id).await?) }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A ticket for `/ws`.
#[derive(Serialize, ToSchema)]
pub struct TicketView {
    /// For the parameter `ticket` of `/ws`; works once.
    ticket: String,
    /// Seconds that it is good.
    #[schema(example = 30)]
    expires_in: u64,
    /// When it ends.
    expires_at: Timestamp,
    /// The newest number of all: with `after` set to it nothing is missed meanwhile.
    last_seq: i64,
}

/// Makes a ticket with which `/ws` can be opened once, within 30 s, with the permissions of the caller.
#[utoipa::path(
    post,
    path = paths::WS_TICKET,
    operation_id = "create_ws_ticket",
    tag = "auth",
    responses((status = 201, description = "The ticket", body = TicketView,
        headers(("Location" = String, description = "Where it is good")))),
    extensions(("x-permission" = json!("any")))
)]
pub(crate) async fn ws_ticket(
    caller: Caller<AnyCaller>,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    body.none().await?;
    Query::parse(req.query_string())?.done()?;
    let last_seq = shared.state.db.journal_bounds().await?.newest;
    let now = shared.state.clock.now();
    let (ticket, expires_at) = shared.accounts.tickets.issue(caller.identity().credentials(), now)?;
    let expires_in = tickets::LIFETIME.as_secs();
    let view = TicketView { ticket: ticket.expose().to_owned(), expires_in, expires_at, last_seq };
    Ok(HttpResponse::Created().insert_header((header::LOCATION, paths::WS)).json(view))
}
