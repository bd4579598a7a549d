//! API keys: credentials of programs.

use actix_web::http::header;
use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use argus_core::api_key::{ApiKey, NewApiKey, Scope};
use argus_core::{ApiKeyId, Faults, Secret, Timestamp, UserId};
use argus_db::{Database, DbError};
use deserr::Deserr;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{Admin, Caller};
use crate::body::{Body, Decoded, Faulty, Given, Patch, decode, text_fields};
use crate::error::ApiError;
use crate::ids::named;
use crate::list::{List, PageQuery};
use crate::paths;
use crate::query::Query;
use crate::random;
use crate::state::Shared;

const WHAT: &str = "API key";

text_fields!(Scope, Timestamp);

/// Which keys.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the parameters; they are read one by one")]
pub(crate) struct ApiKeyQuery {
    /// Revoked ones too; expired ones are always listed.
    #[param(default = false, required = false)]
    include_revoked: bool,
}

/// A key to be made.
#[derive(Clone, Debug, Default, Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = Faulty)]
pub(crate) struct ApiKeyCreate {
    /// What people call it; need not be unique.
    #[deserr(default)]
    #[schema(value_type = String, min_length = 1, max_length = 255, required = true, example = "Home Assistant")]
    name: Given<String>,
    /// What it may do, at least one; `["read:events"]` when absent.
    #[deserr(default)]
    #[schema(value_type = Vec<Scope>, min_items = 1, required = false)]
    scopes: Given<Vec<Scope>>,
    /// When it ends by itself, in the future; null means never.
    #[deserr(default)]
    #[schema(value_type = Option<Timestamp>, required = false)]
    expires_at: Patch<Timestamp>,
    /// 100 when absent.
    #[deserr(default)]
    #[schema(value_type = u32, minimum = 1, maximum = 10_000, required = false)]
    rate_limit_per_minute: Given<i64>,
}

impl ApiKeyCreate {
    fn check(&self, now: Timestamp) -> Result<NewApiKey, Faults> {
        let scopes = self.scopes.0.as_deref().unwrap_or(&[Scope::ReadEvents]);
        let expires_at = match &self.expires_at {
            Patch::Value(at) => Some(*at),
            Patch::Absent | Patch::Null => None,
        };
        let rate = self.rate_limit_per_minute.0.unwrap_or(100);
        let name = self.name.0.as_deref();
        let checked = NewApiKey::check(name.unwrap_or("absent"), scopes, expires_at, rate, now);
        if name.is_some() {
            return checked;
        }
        let mut faults = checked.err().unwrap_or_default();
        faults.add("name", "is required");
        Err(faults)
    }
}

/// A key that was just made.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct NewApiKeyView {
    /// The key as it will be shown later.
    #[serde(flatten)]
    pub api_key: ApiKey,
    /// The key itself, shown this once.
    #[schema(example = "argus_WmQy5vT0c1qkD3pJ8sXo2hYbN7uRfLgKzAeViCt4M9w", min_length = 49, max_length = 49)]
    pub key: String,
}

/// How a key was used.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ApiKeyUsage {
    /// Names the key.
    pub id: ApiKeyId,
    /// What people call it.
    pub name: String,
    /// First 8 characters of the key.
    pub prefix: String,
    /// Requests admitted with it, whatever they were answered.
    pub usage_count: i64,
    /// The last of them.
    #[schema(required)]
    pub last_used_at: Option<Timestamp>,
    /// Where that came from.
    #[schema(required)]
    pub last_used_ip: Option<String>,
    /// Requests that it may make in any 60 s.
    pub rate_limit_per_minute: u32,
    /// When it was made.
    pub created_at: Timestamp,
}

impl From<ApiKey> for ApiKeyUsage {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            prefix: key.prefix,
            usage_count: key.usage_count,
            last_used_at: key.last_used_at,
            last_used_ip: key.last_used_ip,
            rate_limit_per_minute: key.rate_limit_per_minute,
            created_at: key.created_at,
        }
    }
}

/// Lists the keys, oldest first.
#[utoipa::path(
    get,
    path = paths::API_KEYS,
    operation_id = "list_api_keys",
    tag = "api-keys",
    params(ApiKeyQuery, PageQuery),
    responses((status = 200, description = "A page of keys", body = List<ApiKey>), (status = 422)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn list(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<List<ApiKey>>, ApiError> {
    let mut query = Query::parse(req.query_string())?;
    let include_revoked = query.flag("include_revoked").unwrap_or(false);
    let PageQuery { page, limit } = PageQuery::read(&mut query);
    query.done()?;
    let state = &shared.state;
    let found = state.db.api_key_list(include_revoked, page, limit, state.clock.now()).await?;
    Ok(Json(List::of(found, |key| key)))
}

/// Makes a key. It is shown in this answer and never again.
#[utoipa::path(
    post,
    path = paths::API_KEYS,
    operation_id = "create_api_key",
    tag = "api-keys",
    request_body = ApiKeyCreate,
    responses(
        (status = 201, description = "The new key", body = NewApiKeyView,
            headers(("Location" = String, description = "Path of the key"))),
        (status = 422)
    ),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn create(
    caller: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let body = body.json().await?;
    Query::parse(req.query_string())?.done()?;
    let state = &shared.state;
    let now = state.clock.now();
    let decoded: Decoded<ApiKeyCreate> = decode(body);
    let new = match (decoded.value.check(now), decoded.is_sound()) {
        (Ok(new), true) => new,
        (checked, _) => return Err(decoded.with(checked.err().unwrap_or_default()).into()),
    };
    let (db, by) = (state.db.clone(), caller.user_id());
    let (api_key, key) = shared.finish(async move { mint(&db, new, by, now).await }).await?;
    tracing::info!(api_key.id = %api_key.id, api_key.prefix, "API key made");
    let place = paths::API_KEY.replace("{id}", &api_key.id.to_string());
    let view = NewApiKeyView { api_key, key: key.expose().to_owned() };
    Ok(HttpResponse::Created().insert_header((header::LOCATION, place)).json(view))
}

/// One key as stored, after the values of the request were looked at.
async fn stored(shared: &Shared, req: &HttpRequest) -> Result<ApiKey, ApiError> {
    let id: Option<ApiKeyId> = named(req, "id")?;
    Query::parse(req.query_string())?.done()?;
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    shared.state.db.api_key_get(id, shared.state.clock.now()).await.map_err(unknown)
}

/// One sentence for a key that does not exist, whoever finds that out.
fn unknown(failure: DbError) -> ApiError {
    match failure {
        DbError::NotFound { .. } => ApiError::NotFound(WHAT),
        failure => failure.into(),
    }
}

/// Gives one key, also a revoked one.
#[utoipa::path(
    get,
    path = paths::API_KEY,
    operation_id = "get_api_key",
    tag = "api-keys",
    params(("id" = ApiKeyId, Path, description = "The key")),
    responses((status = 200, description = "The key", body = ApiKey), (status = 404)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn get(_: Caller<Admin>, shared: Data<Shared>, req: HttpRequest) -> Result<Json<ApiKey>, ApiError> {
    Ok(Json(stored(&shared, &req).await?))
}

/// Revokes a key at once and keeps its record. May be repeated.
#[utoipa::path(
    delete,
    path = paths::API_KEY,
    operation_id = "revoke_api_key",
    tag = "api-keys",
    params(("id" = ApiKeyId, Path, description = "The key")),
    responses((status = 204, description = "It is good for nothing any more"), (status = 404)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn revoke(_: Caller<Admin>, shared: Data<Shared>, req: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id: Option<ApiKeyId> = named(&req, "id")?;
    Query::parse(req.query_string())?.done()?;
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    let (db, now) = (shared.state.db.clone(), shared.state.clock.now());
    let key = shared.finish(async move { db.api_key_revoke(id, now).await.map_err(unknown) }).await?;
    tracing::info!(api_key.id = %key.id, api_key.prefix = key.prefix, "API key revoked");
    Ok(HttpResponse::NoContent().finish())
}

/// Tells how a key was used.
#[utoipa::path(
    get,
    path = paths::API_KEY_USAGE,
    operation_id = "get_api_key_usage",
    tag = "api-keys",
    params(("id" = ApiKeyId, Path, description = "The key")),
    responses((status = 200, description = "Its use, at most 5 s old", body = ApiKeyUsage), (status = 404)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn usage(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<ApiKeyUsage>, ApiError> {
    Ok(Json(stored(&shared, &req).await?.into()))
}

/// Characters of a key that stay known.
const PREFIX: usize = 8;

/// Makes a key: `argus_` and 32 random bytes as base64url. Only its SHA-256 is stored; the key is given this once.
///
/// # Errors
/// What the database says; `Internal` when the system gives no randomness.
pub async fn mint(
    db: &Database,
    new: NewApiKey,
    created_by: Option<UserId>,
    now: Timestamp,
) -> Result<(ApiKey, Secret), ApiError> {
    let key = format!("argus_{}", random::token()?.expose());
    let prefix = key.chars().take(PREFIX).collect();
    let row = db.api_key_insert(new, ApiKeyId::new(now), prefix, random::hash(&key), created_by, now).await?;
    Ok((row, Secret::new(key)))
}
