//! Cameras.

mod request;
mod view;

use actix_web::http::header;
use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use argus_core::CameraId;
use argus_core::camera::{Camera, CameraConfig, SourceType};
use argus_core::ports::{ControlError, Probe};
use argus_core::settings::MotionDefaults;
use argus_core::status::{CameraLive, CameraState, CameraStatus};
use argus_db::{CameraFilter, DbError};
use serde_json::Value;

use crate::auth::{Caller, ReadCameras, WriteCameras};
use crate::body::{Body, decode};
use crate::error::ApiError;
use crate::ids::named;
use crate::list::{List, PageQuery};
use crate::paths;
use crate::query::Query;
use crate::state::Shared;

pub(crate) use request::{CameraCreate, CameraTest, CameraUpdate, READ_ONLY};
pub use view::{CameraSwitch, CameraView};

const WHAT: &str = "camera";

/// The camera that the path names, when its text can name one. Whether it exists is looked at after the values.
fn id(req: &HttpRequest) -> Result<Option<CameraId>, ApiError> {
    named(req, "id")
}

/// One camera as stored.
async fn stored(shared: &Shared, id: CameraId) -> Result<Option<Camera>, ApiError> {
    match shared.state.db.camera_get(id).await {
        Ok(camera) => Ok(Some(camera)),
        Err(DbError::NotFound { .. }) => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

fn state(shared: &Shared, id: CameraId) -> Option<CameraState> {
    shared.state.control.camera_live(id).map(|live| live.state)
}

fn view(shared: &Shared, camera: Camera) -> CameraView {
    let state = state(shared, camera.id);
    CameraView::new(camera, state)
}

/// Which cameras.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the parameters; they are read one by one")]
pub(crate) struct CameraQuery {
    /// Of one of these kinds.
    #[param(style = Form, explode = false, required = false)]
    r#type: Vec<SourceType>,
    /// In one of these states.
    #[param(style = Form, explode = false, required = false)]
    status: Vec<CameraStatus>,
    /// Enabled or not.
    #[param(required = false)]
    is_enabled: bool,
}

/// Lists the cameras, oldest first.
#[utoipa::path(
    get,
    path = paths::CAMERAS,
    operation_id = "list_cameras",
    tag = "cameras",
    params(CameraQuery, PageQuery),
    responses((status = 200, description = "A page of cameras", body = List<CameraView>), (status = 422)),
    extensions(("x-permission" = json!("read:cameras")))
)]
pub(crate) async fn list(
    _: Caller<ReadCameras>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<List<CameraView>>, ApiError> {
    let mut query = Query::parse(req.query_string())?;
    let types = query.names::<SourceType>("type");
    let statuses = query.names::<CameraStatus>("status");
    let filter = CameraFilter { types, is_enabled: query.flag("is_enabled") };
    let page = PageQuery::read(&mut query);
    query.done()?;
    let db = &shared.state.db;
    if statuses.is_empty() {
        let found = db.camera_list(filter, page.page, page.limit).await?;
        return Ok(Json(List::of(found, |camera| view(&shared, camera))));
    }
    // The state of capture lives in the running system, so the page is cut here; cameras are few.
    let mut all = db.camera_all().await?;
    all.retain(|c| filter.types.is_empty() || filter.types.contains(&c.config.source.source_type()));
    all.retain(|c| filter.is_enabled.is_none_or(|wanted| wanted == c.config.is_enabled));
    let mut views: Vec<CameraView> = all.into_iter().map(|camera| view(&shared, camera)).collect();
    views.retain(|v| statuses.contains(&v.state.status));
    Ok(Json(page.of(views)))
}

/// Reads a camera as `POST /cameras` takes it, for configurations in files.
///
/// # Errors
/// `Malformed` when it is no JSON, `Invalid` with every fault.
pub fn config_of_json(text: &[u8]) -> Result<CameraConfig, ApiError> {
    config_of(crate::body::parse(text)?, &MotionDefaults::default())
}

/// Checks types and rules of a new camera, and tells every fault of both.
fn config_of(body: Value, defaults: &MotionDefaults) -> Result<CameraConfig, ApiError> {
    let decoded = decode::<CameraUpdate>(body);
    match (decoded.value.clone().create(defaults), decoded.is_sound()) {
        (Ok(config), true) => Ok(config),
        (checked, _) => Err(decoded.with(checked.err().unwrap_or_default()).into()),
    }
}

/// Adds a camera and starts capture in the background.
///
/// A camera that is out of reach is added all the same; its status tells.
#[utoipa::path(
    post,
    path = paths::CAMERAS,
    operation_id = "create_camera",
    tag = "cameras",
    request_body = CameraCreate,
    responses(
        (status = 201, description = "The new camera", body = CameraView,
            headers(("Location" = String, description = "Path of the camera"))),
        (status = 409, description = "The name is taken"),
        (status = 422)
    ),
    extensions(("x-permission" = json!("write:cameras")))
)]
pub(crate) async fn create(
    _: Caller<WriteCameras>,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let body = body.json().await?;
    Query::parse(req.query_string())?.done()?;
    let config = config_of(body, &shared.state.control.settings().motion_defaults)?;
    let camera = shared.control(|c| async move { c.camera_create(config).await }).await?;
    let place = paths::CAMERA.replace("{id}", &camera.id.to_string());
    Ok(HttpResponse::Created().insert_header((header::LOCATION, place)).json(view(&shared, camera)))
}

/// Gives one camera.
#[utoipa::path(
    get,
    path = paths::CAMERA,
    operation_id = "get_camera",
    tag = "cameras",
    params(("id" = CameraId, Path, description = "The camera")),
    responses((status = 200, description = "The camera", body = CameraView), (status = 404)),
    extensions(("x-permission" = json!("read:cameras")))
)]
pub(crate) async fn get(
    _: Caller<ReadCameras>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<CameraView>, ApiError> {
    let id = id(&req)?;
    Query::parse(req.query_string())?.done()?;
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    let camera = stored(&shared, id).await?.ok_or(ApiError::NotFound(WHAT))?;
    Ok(Json(view(&shared, camera)))
}

/// Changes a camera.
///
/// Absent fields stay as they are, null clears. A changed source restarts capture. Fields that cannot be set are ignored,
/// so that what GET gave can be sent back.
#[utoipa::path(
    put,
    path = paths::CAMERA,
    operation_id = "update_camera",
    tag = "cameras",
    params(("id" = CameraId, Path, description = "The camera")),
    request_body = CameraUpdate,
    responses(
        (status = 200, description = "The camera as it is now", body = CameraView),
        (status = 404),
        (status = 409, description = "The name is taken"),
        (status = 422)
    ),
    extensions(("x-permission" = json!("write:cameras")))
)]
pub(crate) async fn update(
    _: Caller<WriteCameras>,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<Json<CameraView>, ApiError> {
    let body = body.json().await?;
    let id = id(&req)?;
    Query::parse(req.query_string())?.done()?;
    let decoded = decode::<CameraUpdate>(request::without_read_only(body));
    let checked = decoded.value.check_common();
    if !decoded.is_sound() || checked.is_err() {
        // Which faults there are beside these depends on the camera, and is told when it exists.
        let camera = match id {
            Some(id) => stored(&shared, id).await?,
            None => None,
        };
        let more = camera.map_or(checked, |camera| decoded.value.clone().apply(&camera).map(|_| ()));
        return Err(decoded.with(more.err().unwrap_or_default()).into());
    }
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    let change = decoded.sound()?;
    let edit = Box::new(move |camera: &Camera| change.apply(camera).map_err(ControlError::from));
    let camera = shared.control(move |c| async move { c.camera_update(id, edit).await }).await?;
    Ok(Json(view(&shared, camera)))
}

/// Removes a camera with its events and their media.
#[utoipa::path(
    delete,
    path = paths::CAMERA,
    operation_id = "delete_camera",
    tag = "cameras",
    params(("id" = CameraId, Path, description = "The camera")),
    responses((status = 204, description = "It is gone"), (status = 404)),
    extensions(("x-permission" = json!("write:cameras")))
)]
pub(crate) async fn delete(
    _: Caller<WriteCameras>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let id = id(&req)?;
    Query::parse(req.query_string())?.done()?;
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    shared.control(move |c| async move { c.camera_delete(id).await }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Enables a camera and starts its capture.
#[utoipa::path(
    post,
    path = paths::CAMERA_START,
    operation_id = "start_camera",
    tag = "cameras",
    params(("id" = CameraId, Path, description = "The camera")),
    responses((status = 202, description = "Capture starts, or runs already", body = CameraSwitch), (status = 404)),
    extensions(("x-permission" = json!("write:cameras")))
)]
pub(crate) async fn start(
    _: Caller<WriteCameras>,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    switch(&shared, &req, body, true).await
}

/// Disables a camera and stops its capture; a running event is closed.
#[utoipa::path(
    post,
    path = paths::CAMERA_STOP,
    operation_id = "stop_camera",
    tag = "cameras",
    params(("id" = CameraId, Path, description = "The camera")),
    responses((status = 202, description = "Capture stops", body = CameraSwitch), (status = 404)),
    extensions(("x-permission" = json!("write:cameras")))
)]
pub(crate) async fn stop(
    _: Caller<WriteCameras>,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    switch(&shared, &req, body, false).await
}

async fn switch(shared: &Shared, req: &HttpRequest, body: Body, on: bool) -> Result<HttpResponse, ApiError> {
    body.none().await?;
    let id = id(req)?;
    Query::parse(req.query_string())?.done()?;
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    let edit = Box::new(move |camera: &Camera| {
        let mut config = camera.config.clone();
        config.is_enabled = on;
        Ok(config)
    });
    shared.control(move |c| async move { c.camera_update(id, edit).await }).await?;
    // A file that has ended is enabled and stopped: it starts again.
    let running = state(shared, id).map(|s| s.status).filter(|status| *status != CameraStatus::Stopped);
    let status = if on { running.unwrap_or(CameraStatus::Starting) } else { CameraStatus::Stopped };
    Ok(HttpResponse::Accepted().json(CameraSwitch { camera_id: id, status }))
}

/// Tells how capture is doing.
#[utoipa::path(
    get,
    path = paths::CAMERA_STATUS,
    operation_id = "get_camera_status",
    tag = "cameras",
    params(("id" = CameraId, Path, description = "The camera")),
    responses((status = 200, description = "State of capture", body = CameraLive), (status = 404)),
    extensions(("x-permission" = json!("read:cameras")))
)]
pub(crate) async fn status(
    _: Caller<ReadCameras>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<CameraLive>, ApiError> {
    let id = id(&req)?;
    Query::parse(req.query_string())?.done()?;
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    let live = std::future::ready(shared.state.control.camera_live(id)).await;
    live.map(Json).ok_or(ApiError::NotFound(WHAT))
}

/// Gives the newest picture.
#[utoipa::path(
    get,
    path = paths::CAMERA_SNAPSHOT,
    operation_id = "get_camera_snapshot",
    tag = "cameras",
    params(
        ("id" = CameraId, Path, description = "The camera"),
        ("width" = Option<u32>, Query, description = "Scaled down to it, never up", minimum = 64, maximum = 3840)
    ),
    responses(
        (status = 200, description = "The picture", content_type = "image/jpeg", body = [u8],
            headers(("X-Captured-At" = String, description = "When it was taken"))),
        (status = 404),
        (status = 409, description = "The camera is stopped"),
        (status = 422),
        (status = 502, description = "The controller of the camera answered uselessly"),
        (status = 503, description = "There is no picture from the last 10 s"),
        (status = 504, description = "The controller of the camera did not answer in time")
    ),
    extensions(("x-permission" = json!("read:cameras")))
)]
pub(crate) async fn snapshot(
    _: Caller<ReadCameras>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let id = id(&req)?;
    let mut query = Query::parse(req.query_string())?;
    let width = query.int("width", 64..=3840).and_then(|w| u32::try_from(w).ok());
    query.done()?;
    let id = id.ok_or(ApiError::NotFound(WHAT))?;
    let still = shared.control(move |c| async move { c.camera_snapshot(id, width).await }).await?;
    Ok(HttpResponse::Ok()
        .content_type("image/jpeg")
        .insert_header(("X-Captured-At", still.taken_at.to_string()))
        .body(still.jpeg))
}

/// Tries a source. Nothing is stored, and no running camera is disturbed.
///
/// With `camera_id`, absent fields come from that camera. Its password is used only with its own host and port.
#[utoipa::path(
    post,
    path = paths::CAMERA_TEST,
    operation_id = "test_camera",
    tag = "cameras",
    request_body = CameraTest,
    responses((status = 200, description = "How the try came out", body = Probe), (status = 404), (status = 422)),
    extensions(("x-permission" = json!("write:cameras")))
)]
pub(crate) async fn test(
    _: Caller<WriteCameras>,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<Json<Probe>, ApiError> {
    let mut body = body.json().await?;
    Query::parse(req.query_string())?.done()?;
    let camera_id = body.as_object_mut().and_then(|fields| fields.remove("camera_id")).unwrap_or(Value::Null);
    let mut decoded = decode::<CameraUpdate>(body);
    let wanted = match &camera_id {
        Value::Null => None,
        Value::String(text) => Some(text.parse::<CameraId>().ok()),
        _ => {
            decoded.fault("camera_id", "must be a string or null");
            None
        }
    };
    let camera = match wanted.flatten() {
        Some(id) => stored(&shared, id).await?,
        None => None,
    };
    if wanted.is_some() && camera.is_none() {
        // Which camera fills the gaps is not known, but faults of what was sent come first.
        let checked = decoded.value.check_common();
        if decoded.is_sound() && checked.is_ok() {
            return Err(ApiError::NotFound(WHAT));
        }
        return Err(decoded.with(checked.err().unwrap_or_default()).into());
    }
    let source = match (decoded.value.clone().probe(camera.as_ref()), decoded.is_sound()) {
        (Ok(source), true) => source,
        (checked, _) => return Err(decoded.with(checked.err().unwrap_or_default()).into()),
    };
    shared.state.control.source_check(&source).map_err(argus_core::Faults::from)?;
    // What nobody may see of the camera stays hidden when its source is tried.
    let privacy = camera.map(|c| c.config.privacy()).unwrap_or_default();
    Ok(Json(shared.control(|c| async move { Ok(c.source_probe(&source, &privacy).await) }).await?))
}
