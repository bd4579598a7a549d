//! Users, as admins see them.

use std::time::Duration;

use actix_web::http::header;
use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use argus_core::user::{Email, NewUser, Role, User, UserChange, Username};
use argus_core::{Faults, Secret, Timestamp, UserId};
use argus_db::{NewPassword, UserFilter};
use deserr::Deserr;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{Admin, Caller};
use crate::body::{Body, Decoded, Faulty, Given, Patch, decode, text_fields};
use crate::error::ApiError;
use crate::ids::named;
use crate::list::{List, PageQuery};
use crate::query::Query;
use crate::sign_in::end_setup;
use crate::state::Shared;
use crate::{paths, random};

const WHAT: &str = "user";
/// How long a temporary password is good.
const TEMPORARY: Duration = Duration::from_secs(72 * 3600);

/// Fields that answers have and requests cannot set; a PUT may repeat them.
pub(crate) const READ_ONLY: [&str; 6] =
    ["id", "username", "must_change_password", "created_at", "updated_at", "last_login"];

text_fields!(Role);

/// The user that the path names, when its text can name one. Whether there is such a user is looked at after the values.
fn id(req: &HttpRequest) -> Result<Option<UserId>, ApiError> {
    named(req, "id")
}

/// Which password a user begins with.
pub(crate) enum Passwording {
    /// This one.
    Given(Secret),
    /// One that is made here, and must be changed.
    Temporary,
    /// None was given where one is needed.
    Missing,
}

/// A user to be made; everything was checked.
pub(crate) struct Checked {
    pub(crate) user: NewUser,
    password: Option<Secret>,
}

/// Checks what a request says about a new user, and tells every fault.
///
/// # Errors
/// `Invalid`.
pub(crate) fn checked<T>(
    decoded: Decoded<T>,
    username: Given<String>,
    password: Passwording,
    email: Patch<String>,
    role: Role,
) -> Result<Checked, ApiError> {
    let mut faults = Faults::default();
    if username.0.is_none() {
        faults.add("username", "is required");
    }
    let password = match password {
        Passwording::Given(password) => Some(password),
        Passwording::Temporary => None,
        Passwording::Missing => {
            faults.add("password", "is required");
            None
        }
    };
    let mut address = None;
    email.put(&mut address);
    let name = username.0.as_deref();
    let user = NewUser::check(name.unwrap_or_default(), password.as_ref(), address.as_deref(), role);
    let more = user.as_ref().err().cloned().unwrap_or_default();
    // An absent name is told once.
    faults.0.extend(more.0.into_iter().filter(|f| name.is_some() || f.field != "username"));
    match user {
        Ok(user) if faults.is_empty() && decoded.is_sound() => Ok(Checked { user, password }),
        _ => Err(decoded.with(faults).into()),
    }
}

/// Hashes the password of a new user, or makes one, which is given with its end.
///
/// # Errors
/// `Busy`, `Secrecy`.
pub(crate) async fn hashed(
    shared: &Shared,
    new: &Checked,
) -> Result<(NewPassword, Option<(Secret, Timestamp)>), ApiError> {
    match &new.password {
        Some(password) => {
            let hash = shared.accounts.passwords.hash(password.clone()).await?;
            Ok((NewPassword { hash, expires_at: None }, None))
        }
        None => {
            let (stored, shown, end) = temporary(shared, &new.user.username).await?;
            Ok((stored, Some((shown, end))))
        }
    }
}

/// Makes a temporary password.
async fn temporary(shared: &Shared, of: &Username) -> Result<(NewPassword, Secret, Timestamp), ApiError> {
    let password = random::password(of)?;
    let hash = shared.accounts.passwords.hash(password.clone()).await?;
    let expires_at = shared.state.clock.now().plus(TEMPORARY);
    Ok((NewPassword { hash, expires_at: Some(expires_at) }, password, expires_at))
}

/// Which users.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the parameters; they are read one by one")]
pub(crate) struct UserQuery {
    /// With one of these roles.
    #[param(style = Form, explode = false, required = false)]
    role: Vec<Role>,
    /// Active or not.
    #[param(required = false)]
    is_active: bool,
}

/// Lists the users, oldest first.
#[utoipa::path(
    get,
    path = paths::USERS,
    operation_id = "list_users",
    tag = "users",
    params(UserQuery, PageQuery),
    responses((status = 200, description = "A page of users", body = List<User>), (status = 422)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn list(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<List<User>>, ApiError> {
    let mut query = Query::parse(req.query_string())?;
    let filter = UserFilter { roles: query.names::<Role>("role"), is_active: query.flag("is_active") };
    let page = PageQuery::read(&mut query);
    query.done()?;
    let found = shared.state.db.user_list(filter, page.page, page.limit).await?;
    Ok(Json(List::of(found, |user| user)))
}

/// A new user.
#[derive(Clone, Debug, Default, Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = Faulty)]
pub(crate) struct UserCreate {
    /// To sign in with; kept in lower case; unique.
    #[deserr(default)]
    #[schema(value_type = String, pattern = r"^\s*[A-Za-z0-9_.-]{3,50}\s*$")]
    username: Given<String>,
    /// Must not contain the username. Absent or null: a temporary one is made and shown once.
    #[deserr(default)]
    #[schema(value_type = Option<String>, min_length = 10, max_length = 256, format = Password)]
    password: Patch<Secret>,
    /// Unique, ignoring case.
    #[deserr(default)]
    #[schema(value_type = Option<String>, max_length = 254, format = "email")]
    email: Patch<String>,
    /// `viewer` when absent.
    #[deserr(default)]
    #[schema(value_type = Role, required = false)]
    role: Given<Role>,
}

/// A user just made.
#[derive(Serialize, ToSchema)]
pub struct UserCreated {
    #[serde(flatten)]
    user: User,
    /// To sign in with, shown this once; null when a password was given.
    #[schema(required)]
    temporary_password: Option<String>,
    /// When it ends; null when a password was given.
    #[schema(required)]
    temporary_password_expires_at: Option<Timestamp>,
}

/// Adds a user.
///
/// Without a password a temporary one is made: shown once, good for 72 h, and to be changed before anything else.
#[utoipa::path(
    post,
    path = paths::USERS,
    operation_id = "create_user",
    tag = "users",
    request_body = UserCreate,
    responses(
        (status = 201, description = "The new user", body = UserCreated,
            headers(("Location" = String, description = "Path of the user"))),
        (status = 409, description = "The username or email is taken"),
        (status = 422)
    ),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn create(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let body = body.json().await?;
    Query::parse(req.query_string())?.done()?;
    let decoded = decode::<UserCreate>(body);
    let UserCreate { username, password, email, role } = decoded.value.clone();
    let password = match password {
        Patch::Value(password) => Passwording::Given(password),
        Patch::Absent | Patch::Null => Passwording::Temporary,
    };
    let new = checked(decoded, username, password, email, role.0.unwrap_or(Role::Viewer))?;
    let task = Data::clone(&shared);
    let made = shared.finish(async move {
        let (password, shown) = hashed(&task, &new).await?;
        let now = task.state.clock.now();
        let user = task.state.db.user_insert(new.user, UserId::new(now), password, now).await?;
        end_setup(&task);
        Ok((user, shown))
    });
    let (user, shown) = made.await?;
    let place = paths::USER.replace("{id}", &user.id.to_string());
    let (password, end) = shown.unzip();
    let view = UserCreated {
        user,
        temporary_password: password.map(|p| p.expose().to_owned()),
        temporary_password_expires_at: end,
    };
    Ok(HttpResponse::Created().insert_header((header::LOCATION, place)).json(view))
}

/// Gives one user.
#[utoipa::path(
    get,
    path = paths::USER,
    operation_id = "get_user",
    tag = "users",
    params(("id" = UserId, Path, description = "The user")),
    responses((status = 200, description = "The user", body = User), (status = 404)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn get(_: Caller<Admin>, shared: Data<Shared>, req: HttpRequest) -> Result<Json<User>, ApiError> {
    let id = id(&req)?;
    Query::parse(req.query_string())?.done()?;
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    Ok(Json(shared.state.db.user_get(id).await?))
}

/// What is to be changed about a user.
#[derive(Clone, Debug, Default, Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = Faulty)]
pub(crate) struct UserUpdate {
    /// Unique, ignoring case.
    #[deserr(default)]
    #[schema(value_type = Option<String>, max_length = 254, format = "email")]
    email: Patch<String>,
    /// Another role; it works at once.
    #[deserr(default)]
    #[schema(value_type = Role, required = false)]
    role: Given<Role>,
    /// False ends all sessions.
    #[deserr(default)]
    #[schema(value_type = bool, required = false)]
    is_active: Given<bool>,
}

/// Changes a user.
///
/// Absent fields stay as they are, null clears. Fields that cannot be set are ignored, so that what GET gave can be sent
/// back. The only active admin stays one.
#[utoipa::path(
    put,
    path = paths::USER,
    operation_id = "update_user",
    tag = "users",
    params(("id" = UserId, Path, description = "The user")),
    request_body = UserUpdate,
    responses(
        (status = 200, description = "The user as it is now", body = User),
        (status = 404),
        (status = 409, description = "The email is taken, or this is the last admin"),
        (status = 422)
    ),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn update(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<Json<User>, ApiError> {
    let mut body = body.json().await?;
    let id = id(&req)?;
    Query::parse(req.query_string())?.done()?;
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
    }
    let mut decoded = decode::<UserUpdate>(body);
    let email = match decoded.value.email.clone() {
        Patch::Absent => None,
        Patch::Null => Some(None),
        Patch::Value(text) => match text.parse::<Email>() {
            Ok(email) => Some(Some(email)),
            Err(fault) => {
                decoded.add(fault.into());
                None
            }
        },
    };
    let UserUpdate { role, is_active, .. } = decoded.sound()?;
    let change = UserChange { email, role: role.0, is_active: is_active.0 };
    // Text that is no id is like an id that is unknown: told after faults of the values.
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    let task = Data::clone(&shared);
    let user = shared.finish(async move {
        let now = task.state.clock.now();
        Ok(task.state.db.user_change(id, change, now).await?)
    });
    Ok(Json(user.await?))
}

/// Removes a user with their sessions. API keys stay: they belong to the server.
#[utoipa::path(
    delete,
    path = paths::USER,
    operation_id = "delete_user",
    tag = "users",
    params(("id" = UserId, Path, description = "The user")),
    responses(
        (status = 204, description = "The user is gone"),
        (status = 404),
        (status = 409, description = "This is the caller, or the last admin")
    ),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn delete(
    caller: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let id = id(&req)?;
    Query::parse(req.query_string())?.done()?;
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    if caller.user_id() == Some(id) {
        return Err(ApiError::Conflict("nobody can delete themselves"));
    }
    let task = Data::clone(&shared);
    shared.finish(async move { Ok(task.state.db.user_delete(id).await?) }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A password to hand on.
#[derive(Serialize, ToSchema)]
pub struct TemporaryPassword {
    /// To sign in with, shown this once.
    temporary_password: String,
    /// When it ends.
    temporary_password_expires_at: Timestamp,
}

/// Gives a user a temporary password and ends all their sessions.
#[utoipa::path(
    post,
    path = paths::RESET_PASSWORD,
    operation_id = "reset_password",
    tag = "users",
    params(("id" = UserId, Path, description = "The user")),
    responses((status = 200, description = "The temporary password", body = TemporaryPassword), (status = 404)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn reset_password(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<Json<TemporaryPassword>, ApiError> {
    body.none().await?;
    let id = id(&req)?;
    Query::parse(req.query_string())?.done()?;
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    let task = Data::clone(&shared);
    let made = shared.finish(async move {
        let db = &task.state.db;
        let name = db.user_get(id).await?.username.parse::<Username>().map_err(Faults::from)?;
        let (stored, shown, end) = temporary(&task, &name).await?;
        db.user_password(id, stored, task.state.clock.now()).await?;
        Ok((shown, end))
    });
    let (shown, end) = made.await?;
    Ok(Json(TemporaryPassword { temporary_password: shown.expose().to_owned(), temporary_password_expires_at: end }))
}
