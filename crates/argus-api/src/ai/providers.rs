//! Providers of descriptions.

use actix_web::http::header;
use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use argus_core::ProviderId;
use argus_core::ports::{ControlError, LiveProvider};
use argus_core::provider::{Prices, ProviderKind, ProviderTest, StoredProvider};

use super::request::{self, ProviderCreate, ProviderUpdate, Rules};
use super::view::ProviderView;
use crate::auth::{Admin, Caller};
use crate::body::{Body, decode};
use crate::error::ApiError;
use crate::ids::named;
use crate::list::{List, PageQuery};
use crate::paths;
use crate::query::Query;
use crate::state::Shared;

const WHAT: &str = "provider";

/// The provider that the path names, when its text can name one. Whether it exists is looked at after the values.
fn id(req: &HttpRequest) -> Result<Option<ProviderId>, ApiError> {
    named(req, "id")
}

async fn all(shared: &Shared) -> Result<Vec<LiveProvider>, ApiError> {
    shared.ai(|ai| async move { ai.ai_providers().await }).await
}

async fn one(shared: &Shared, id: Option<ProviderId>) -> Result<Option<LiveProvider>, ApiError> {
    let Some(id) = id else { return Ok(None) };
    Ok(all(shared).await?.into_iter().find(|p| p.stored.id == id))
}

/// Lists the providers in the order in which they are asked.
#[utoipa::path(
    get,
    path = paths::AI_PROVIDERS,
    operation_id = "list_ai_providers",
    tag = "ai",
    params(PageQuery),
    responses((status = 200, description = "A page of providers", body = List<ProviderView>), (status = 422)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn list(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<List<ProviderView>>, ApiError> {
    let mut query = Query::parse(req.query_string())?;
    let page = PageQuery::read(&mut query);
    query.done()?;
    let views = all(&shared).await?.into_iter().map(ProviderView::from).collect();
    Ok(Json(page.of(views)))
}

/// Adds a provider. It is asked from the next description on.
#[utoipa::path(
    post,
    path = paths::AI_PROVIDERS,
    operation_id = "create_ai_provider",
    tag = "ai",
    request_body = ProviderCreate,
    responses(
        (status = 201, description = "The new provider", body = ProviderView,
            headers(("Location" = String, description = "Path of the provider"))),
        (status = 409, description = "The name is taken, or the kind is `builtin`, of which there is one"),
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
    let decoded = decode::<ProviderUpdate>(body);
    let kinds = shared.state.ai.ai_kinds();
    let others = all(&shared).await?;
    let configs = others.iter().map(|p| &p.stored.config).filter(|c| c.kind != ProviderKind::Builtin);
    let last = configs.map(|c| c.priority).max().unwrap_or(0);
    let rules = Rules { kinds: &kinds, prices: Prices::default() };
    let config = match (decoded.value.clone().create(last, &rules), decoded.is_sound()) {
        (Ok(config), true) => config,
        (checked, _) => return Err(decoded.with(checked.err().unwrap_or_default()).into()),
    };
    if config.kind == ProviderKind::Builtin {
        return Err(ApiError::Conflict("there is one built-in provider, and no second one"));
    }
    let live = shared.ai(|ai| async move { ai.ai_provider_create(config).await }).await?;
    let place = paths::AI_PROVIDER.replace("{id}", &live.stored.id.to_string());
    Ok(HttpResponse::Created().insert_header((header::LOCATION, place)).json(ProviderView::from(live)))
}

/// Gives one provider.
#[utoipa::path(
    get,
    path = paths::AI_PROVIDER,
    operation_id = "get_ai_provider",
    tag = "ai",
    params(("id" = ProviderId, Path, description = "The provider")),
    responses((status = 200, description = "The provider", body = ProviderView), (status = 404)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn get(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<ProviderView>, ApiError> {
    let id = id(&req)?;
    Query::parse(req.query_string())?.done()?;
    let live = one(&shared, id).await?.ok_or(ApiError::NotFound(WHAT))?;
    Ok(Json(live.into()))
}

/// Changes a provider.
///
/// Absent fields stay as they are, null clears. Of the built-in one only `enabled`, `priority` and `name` can be changed.
/// Fields that cannot be set are ignored, so that what GET gave can be sent back.
#[utoipa::path(
    put,
    path = paths::AI_PROVIDER,
    operation_id = "update_ai_provider",
    tag = "ai",
    params(("id" = ProviderId, Path, description = "The provider")),
    request_body = ProviderUpdate,
    responses(
        (status = 200, description = "The provider as it is now", body = ProviderView),
        (status = 404),
        (status = 409, description = "The name is taken"),
        (status = 422)
    ),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn update(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<Json<ProviderView>, ApiError> {
    let body = body.json().await?;
    let id = id(&req)?;
    Query::parse(req.query_string())?.done()?;
    let decoded = decode::<ProviderUpdate>(request::without_read_only(body));
    let live = one(&shared, id).await?;
    let kinds = shared.state.ai.ai_kinds();
    let prices = live.as_ref().map(|p| p.prices).unwrap_or_default();
    let common = decoded.value.check_common();
    if !decoded.is_sound() || !common.is_empty() {
        // Which faults there are beside these depends on the provider, and is told when it exists.
        let rules = Rules { kinds: &kinds, prices };
        let more = live.map(|p| decoded.value.clone().apply(&p.stored, &rules).err().unwrap_or_default());
        return Err(decoded.with(more.unwrap_or(common)).into());
    }
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    let change = decoded.sound()?;
    let edit = Box::new(move |stored: &StoredProvider| {
        change.apply(stored, &Rules { kinds: &kinds, prices }).map_err(ControlError::from)
    });
    let live = shared.ai(move |ai| async move { ai.ai_provider_update(id, edit).await }).await?;
    Ok(Json(live.into()))
}

/// Removes a provider. Its calls stay in the account.
#[utoipa::path(
    delete,
    path = paths::AI_PROVIDER,
    operation_id = "delete_ai_provider",
    tag = "ai",
    params(("id" = ProviderId, Path, description = "The provider")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404),
        (status = 409, description = "The built-in provider cannot be removed, only disabled")
    ),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn delete(_: Caller<Admin>, shared: Data<Shared>, req: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = id(&req)?;
    Query::parse(req.query_string())?.done()?;
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    shared.ai(move |ai| async move { ai.ai_provider_delete(id).await }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Tries a provider with a built-in picture, whether it is enabled or not, and lists its models where it can.
///
/// The call counts in usage and budgets.
#[utoipa::path(
    post,
    path = paths::AI_PROVIDER_TEST,
    operation_id = "test_ai_provider",
    tag = "ai",
    params(("id" = ProviderId, Path, description = "The provider")),
    responses((status = 200, description = "How the try came out", body = ProviderTest), (status = 404)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn test(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<Json<ProviderTest>, ApiError> {
    body.none().await?;
    let id = id(&req)?;
    Query::parse(req.query_string())?.done()?;
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    Ok(Json(shared.ai(move |ai| async move { ai.ai_provider_test(id).await }).await?))
}
