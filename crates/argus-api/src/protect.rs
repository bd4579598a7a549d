//! UniFi Protect controllers.

mod request;
mod view;

use std::future::Future;
use std::sync::Arc;

use actix_web::http::header;
use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use argus_core::ControllerId;
use argus_core::controller::{ControllerProbe, StoredController};
use argus_core::ports::{ControlError, ControllerControl, LiveController};
use serde_json::Value;

use crate::auth::{Admin, Caller};
use crate::body::{Body, decode};
use crate::error::ApiError;
use crate::ids::named;
use crate::list::{List, PageQuery};
use crate::paths;
use crate::query::{Query, percent_decode};
use crate::state::Shared;

use request::{ControllerCameraUpdate, ControllerCreate, ControllerTest, ControllerUpdate};
pub(crate) use request::{READ_ONLY, READ_ONLY_OF_CAMERA};
pub use view::{ControllerCameraView, ControllerView};

const WHAT: &str = "controller";

impl Shared {
    /// Asks the running system about controllers, on its own runtime.
    async fn controllers<T, F, Fut>(&self, call: F) -> Result<T, ApiError>
    where
        F: FnOnce(Arc<dyn ControllerControl>) -> Fut,
        Fut: Future<Output = Result<T, ControlError>> + Send + 'static,
        T: Send + 'static,
    {
        let call = call(Arc::clone(&self.state.controllers));
        self.finish(async move { Ok(call.await?) }).await
    }
}

/// The controller of that id with how it is doing.
async fn live(shared: &Shared, id: ControllerId) -> Result<Option<LiveController>, ApiError> {
    let all = shared.controllers(|c| async move { c.controllers().await }).await?;
    Ok(all.into_iter().find(|one| one.stored.id == id))
}

/// The controller that the path names, after the values of the request were looked at.
async fn of_path(shared: &Shared, id: Option<ControllerId>) -> Result<LiveController, ApiError> {
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    live(shared, id).await?.ok_or(ApiError::NotFound(WHAT))
}

/// The controller's id of a camera, the last segment of the path. It is any text, and may have a coded slash in it, which
/// the router leaves as it is.
fn device(req: &HttpRequest) -> Option<String> {
    let path = req.uri().path();
    let segment = path.strip_suffix('/').unwrap_or(path).rsplit('/').next()?;
    percent_decode(segment)
}

/// Lists the controllers, oldest first.
#[utoipa::path(
    get,
    path = paths::CONTROLLERS,
    operation_id = "list_controllers",
    tag = "protect",
    params(PageQuery),
    responses((status = 200, description = "A page of controllers", body = List<ControllerView>), (status = 422)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn list(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<List<ControllerView>>, ApiError> {
    let mut query = Query::parse(req.query_string())?;
    let page = PageQuery::read(&mut query);
    query.done()?;
    let all = shared.controllers(|c| async move { c.controllers().await }).await?;
    Ok(Json(page.of(all.into_iter().map(ControllerView::from).collect())))
}

/// Adds a controller and connects it in the background.
///
/// A controller that is out of reach is added all the same; its status tells.
#[utoipa::path(
    post,
    path = paths::CONTROLLERS,
    operation_id = "create_controller",
    tag = "protect",
    request_body = ControllerCreate,
    responses(
        (status = 201, description = "The new controller", body = ControllerView,
            headers(("Location" = String, description = "Path of the controller"))),
        (status = 409, description = "The name, or the host with its port, is taken"),
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
    let decoded = decode::<ControllerUpdate>(body);
    let config = match (decoded.value.clone().create(), decoded.is_sound()) {
        (Ok(config), true) => config,
        (checked, _) => return Err(decoded.with(checked.err().unwrap_or_default()).into()),
    };
    let made = shared.controllers(|c| async move { c.controller_create(config).await }).await?;
    let place = paths::CONTROLLER.replace("{id}", &made.stored.id.to_string());
    Ok(HttpResponse::Created().insert_header((header::LOCATION, place)).json(ControllerView::from(made)))
}

/// Gives one controller.
#[utoipa::path(
    get,
    path = paths::CONTROLLER,
    operation_id = "get_controller",
    tag = "protect",
    params(("id" = ControllerId, Path, description = "The controller")),
    responses((status = 200, description = "The controller", body = ControllerView), (status = 404)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn get(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<ControllerView>, ApiError> {
    let id = named(&req, "id")?;
    Query::parse(req.query_string())?.done()?;
    Ok(Json(of_path(&shared, id).await?.into()))
}

/// Changes a controller, and connects it anew.
///
/// Absent fields stay as they are, null clears. When host or port change, the stored secrets must be sent again, or null.
#[utoipa::path(
    put,
    path = paths::CONTROLLER,
    operation_id = "update_controller",
    tag = "protect",
    params(("id" = ControllerId, Path, description = "The controller")),
    request_body = ControllerUpdate,
    responses(
        (status = 200, description = "The controller as it is now", body = ControllerView),
        (status = 404),
        (status = 409, description = "The name, or the host with its port, is taken"),
        (status = 422)
    ),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn update(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<Json<ControllerView>, ApiError> {
    let body = body.json().await?;
    let id: Option<ControllerId> = named(&req, "id")?;
    Query::parse(req.query_string())?.done()?;
    let decoded = decode::<ControllerUpdate>(request::without_read_only(body));
    let checked = decoded.value.check_alone();
    if !decoded.is_sound() || checked.is_err() {
        // Which faults there are beside these depends on the controller, and is told when it exists.
        let found = match id {
            Some(id) => live(&shared, id).await?,
            None => None,
        };
        let more = found.map_or(checked, |one| decoded.value.clone().apply(&one.stored.config).map(|_| ()));
        return Err(decoded.with(more.err().unwrap_or_default()).into());
    }
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    let change = decoded.sound()?;
    let edit = Box::new(move |stored: &StoredController| change.apply(&stored.config).map_err(ControlError::from));
    let changed = shared.controllers(move |c| async move { c.controller_update(id, edit).await }).await?;
    Ok(Json(changed.into()))
}

/// Removes a controller. Its cameras are stopped and stay, with their events.
#[utoipa::path(
    delete,
    path = paths::CONTROLLER,
    operation_id = "delete_controller",
    tag = "protect",
    params(("id" = ControllerId, Path, description = "The controller")),
    responses((status = 204, description = "It is gone"), (status = 404)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn delete(_: Caller<Admin>, shared: Data<Shared>, req: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id: Option<ControllerId> = named(&req, "id")?;
    Query::parse(req.query_string())?.done()?;
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    shared.controllers(move |c| async move { c.controller_delete(id).await }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Tries a connection. Nothing is stored.
///
/// With `controller_id`, absent fields come from that controller; its secrets are used only with its own host and port.
#[utoipa::path(
    post,
    path = paths::CONTROLLER_TEST,
    operation_id = "test_controller",
    tag = "protect",
    request_body = ControllerTest,
    responses(
        (status = 200, description = "How the try came out", body = ControllerProbe),
        (status = 404),
        (status = 422)
    ),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn test(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<Json<ControllerProbe>, ApiError> {
    let mut body = body.json().await?;
    Query::parse(req.query_string())?.done()?;
    let given = body.as_object_mut().and_then(|fields| fields.remove("controller_id")).unwrap_or(Value::Null);
    let mut decoded = decode::<ControllerUpdate>(body);
    let wanted = match &given {
        Value::Null => None,
        Value::String(text) => Some(text.parse::<ControllerId>().ok()),
        _ => {
            decoded.fault("controller_id", "must be a string or null");
            None
        }
    };
    let stored = match wanted.flatten() {
        Some(id) => live(&shared, id).await?,
        None => None,
    };
    if wanted.is_some() && stored.is_none() {
        // Which controller fills the gaps is not known, but faults of what was sent come first.
        let checked = decoded.value.check_alone();
        if decoded.is_sound() && checked.is_ok() {
            return Err(ApiError::NotFound(WHAT));
        }
        return Err(decoded.with(checked.err().unwrap_or_default()).into());
    }
    let stored = stored.as_ref().map(|one| &one.stored.config);
    let config = match (decoded.value.clone().probe(stored), decoded.is_sound()) {
        (Ok(config), true) => config,
        (checked, _) => return Err(decoded.with(checked.err().unwrap_or_default()).into()),
    };
    Ok(Json(shared.controllers(|c| async move { Ok(c.controller_probe(&config).await) }).await?))
}

/// Lists the cameras of a controller, as it knows them and with what this server makes of them.
#[utoipa::path(
    get,
    path = paths::CONTROLLER_CAMERAS,
    operation_id = "list_controller_cameras",
    tag = "protect",
    params(
        ("id" = ControllerId, Path, description = "The controller"),
        ("refresh" = Option<bool>, Query, description = "Read now; otherwise they may be 60 s old"),
        PageQuery
    ),
    responses(
        (status = 200, description = "A page of cameras", body = List<ControllerCameraView>),
        (status = 404),
        (status = 422),
        (status = 503, description = "They were never read, and the controller cannot be reached")
    ),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn cameras(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<List<ControllerCameraView>>, ApiError> {
    let id: Option<ControllerId> = named(&req, "id")?;
    let mut query = Query::parse(req.query_string())?;
    let refresh = query.flag("refresh").unwrap_or(false);
    let page = PageQuery::read(&mut query);
    query.done()?;
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    let all = shared.controllers(move |c| async move { c.controller_cameras(id, refresh).await }).await?;
    Ok(Json(page.of(all.into_iter().map(ControllerCameraView::from).collect())))
}

/// Enables or disables a camera of a controller, and chooses what of it makes events.
#[utoipa::path(
    put,
    path = paths::CONTROLLER_CAMERA,
    operation_id = "update_controller_camera",
    tag = "protect",
    params(
        ("id" = ControllerId, Path, description = "The controller"),
        ("camera_id" = String, Path, description = "The controller's id of the camera")
    ),
    request_body = ControllerCameraUpdate,
    responses(
        (status = 200, description = "The camera as it is now", body = ControllerCameraView),
        (status = 404),
        (status = 422),
        (status = 503, description = "The cameras were never read, and the controller cannot be reached")
    ),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn update_camera(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<Json<ControllerCameraView>, ApiError> {
    let body = body.json().await?;
    let (id, device) = (named::<ControllerId>(&req, "id")?, device(&req));
    Query::parse(req.query_string())?.done()?;
    let change = decode::<ControllerCameraUpdate>(request::without_read_only_of_camera(body)).sound()?;
    let (enabled, detections) = (change.enabled.0, change.detections());
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    let device = device.ok_or(ApiError::NotFound("camera"))?;
    let put = move |c: Arc<dyn ControllerControl>| async move {
        c.controller_camera_put(id, &device, enabled, detections).await
    };
    Ok(Json(shared.controllers(put).await?.into()))
}
