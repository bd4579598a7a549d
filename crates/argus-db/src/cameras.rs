//! Cameras: their configuration, and the last known state of capture.

use argus_core::camera::{
    Camera, CameraConfig, CameraFields, ProtectSource, SourceType, TestPattern, TestPatternFields,
};
use argus_core::journal::{CameraStatusChange, MessageType};
use argus_core::notification::Notification;
use argus_core::status::{CameraState, CameraStatus, FaultKind};
use argus_core::{CameraId, Timestamp, chain};
use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::conn::{DbConn, MultiBackend};
use crate::database::{Database, Tx};
use crate::error::{ConstraintExt, DbError};
use crate::page::{Page, offset, total};
use crate::schema::camera;
use crate::seal::Sealer;
use crate::value::{check_text, fit, fold, from_json, json, parse, parse_opt};

const WHAT: &str = "camera";

/// Which cameras of the list; the default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CameraFilter {
    /// Of one of these kinds; empty: of any.
    pub types: Vec<SourceType>,
    /// Enabled or not.
    pub is_enabled: Option<bool>,
}

/// The state of capture as it was last announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraLastState {
    /// The camera.
    pub camera_id: CameraId,
    /// Its status.
    pub status: CameraStatus,
    /// Since when.
    pub since: Timestamp,
    /// Why it is not online.
    pub last_error: Option<String>,
    /// The kind of that.
    pub last_error_kind: Option<FaultKind>,
}

#[derive(Queryable, Insertable, AsChangeset)]
#[diesel(table_name = camera, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct CameraRow {
    id: String,
    name: String,
    name_key: String,
    created_us: i64,
    updated_us: i64,
    source_type: String,
    rtsp_url: Option<String>,
    username: Option<String>,
    password: Option<String>,
    rtsp_transport: String,
    device_index: Option<i32>,
    file_path: Option<String>,
    looped: bool,
    test_pattern: Option<String>,
    is_enabled: bool,
    frame_rate: i32,
    motion_enabled: bool,
    motion_sensitivity: String,
    motion_cooldown_s: i32,
    pre_roll_s: i32,
    post_roll_s: i32,
    max_event_s: i32,
    analysis_mode: String,
    prompt_override: Option<String>,
    zones: String,
    schedule: Option<String>,
    status: String,
    status_us: i64,
    last_error: Option<String>,
    last_error_kind: Option<String>,
    protect_controller_id: Option<String>,
    protect_camera_id: Option<String>,
    protect_mac: Option<String>,
    protect_name: Option<String>,
    is_doorbell: bool,
    detections: Option<String>,
    removed_us: Option<i64>,
}

/// The status of a camera of which nothing else is known.
fn first_status(config: &CameraConfig) -> CameraStatus {
    if config.is_enabled { CameraStatus::Starting } else { CameraStatus::Stopped }
}

impl CameraRow {
    fn new(camera: &Camera, sealer: &Sealer) -> Result<Self, DbError> {
        let id = camera.id.to_string();
        let f = CameraFields::from(&camera.config);
        let texts = [("name", Some(&f.name)), ("username", f.username.as_ref())];
        let more = [("file_path", f.file_path.as_ref()), ("prompt_override", f.prompt_override.as_ref())];
        let protect = f.protect.as_ref();
        let theirs = [
            ("protect_camera_id", protect.map(|p| &p.camera_id)),
            ("protect_mac", protect.and_then(|p| p.mac.as_ref())),
            ("protect_name", protect.map(|p| &p.device_name)),
        ];
        for (field, text) in texts.into_iter().chain(more).chain(theirs) {
            text.map_or(Ok(()), |t| check_text(field, t))?;
        }
        let pattern = match &camera.config.source {
            argus_core::camera::Source::Test(p) => Some(json("test_pattern", p)?),
            _ => None,
        };
        Ok(Self {
            name_key: fold(&f.name),
            created_us: camera.created_at.as_micros(),
            updated_us: camera.updated_at.as_micros(),
            source_type: f.source_type.to_string(),
            rtsp_url: f.rtsp_url,
            username: f.username,
            password: f.password.as_ref().map(|p| sealer.seal(&id, p)).transpose()?,
            rtsp_transport: f.rtsp_transport.to_string(),
            device_index: f.device_index.map(|i| fit("device_index", i)).transpose()?,
            file_path: f.file_path,
            looped: f.looped,
            test_pattern: pattern,
            is_enabled: f.is_enabled,
            frame_rate: fit("frame_rate", f.frame_rate)?,
            motion_enabled: f.motion_enabled,
            motion_sensitivity: f.motion_sensitivity.to_string(),
            motion_cooldown_s: fit("motion_cooldown", f.motion_cooldown)?,
            pre_roll_s: fit("pre_roll_s", f.pre_roll_s)?,
            post_roll_s: fit("post_roll_s", f.post_roll_s)?,
            max_event_s: fit("max_event_s", f.max_event_s)?,
            analysis_mode: f.analysis_mode.to_string(),
            prompt_override: f.prompt_override,
            zones: json("detection_zones", &f.detection_zones)?,
            schedule: f.detection_schedule.map(|s| json("detection_schedule", &s)).transpose()?,
            status: first_status(&camera.config).to_string(),
            status_us: camera.created_at.as_micros(),
            last_error: None,
            last_error_kind: None,
            protect_controller_id: protect.and_then(|p| p.controller_id).map(|id| id.to_string()),
            protect_camera_id: protect.map(|p| p.camera_id.clone()),
            protect_mac: protect.and_then(|p| p.mac.clone()),
            protect_name: protect.map(|p| p.device_name.clone()),
            is_doorbell: protect.is_some_and(|p| p.is_doorbell),
            detections: protect.map(|p| json("detections", &p.detections)).transpose()?,
            removed_us: None,
            name: f.name,
            id,
        })
    }

    /// The camera of a controller that it is.
    fn protect(&self) -> Result<Option<ProtectSource>, DbError> {
        let Some(camera_id) = &self.protect_camera_id else { return Ok(None) };
        Ok(Some(ProtectSource {
            controller_id: parse_opt(WHAT, self.protect_controller_id.as_ref())?,
            camera_id: camera_id.clone(),
            mac: self.protect_mac.clone(),
            device_name: self.protect_name.clone().unwrap_or_default(),
            is_doorbell: self.is_doorbell,
            detections: from_json(WHAT, self.detections.as_deref().unwrap_or("[]"))?,
        }))
    }

    /// The camera, every rule checked again: a row that was changed by hand does no harm.
    pub(crate) fn camera(self, sealer: &Sealer) -> Result<Camera, DbError> {
        let protect = self.protect()?;
        let pattern: Option<TestPattern> = self.test_pattern.map(|t| from_json(WHAT, &t)).transpose()?;
        let fields = CameraFields {
            name: self.name,
            source_type: parse(WHAT, &self.source_type)?,
            rtsp_url: self.rtsp_url,
            username: self.username,
            password: self.password.map(|p| sealer.open(&self.id, &p)).transpose()?,
            rtsp_transport: parse(WHAT, &self.rtsp_transport)?,
            device_index: self.device_index.map(i64::from),
            file_path: self.file_path,
            looped: self.looped,
            test_pattern: pattern.map(|p| TestPatternFields {
                width: Some(p.width.into()),
                height: Some(p.height.into()),
                period_s: Some(p.period_s.into()),
                active_s: Some(p.active_s.into()),
            }),
            protect,
            is_enabled: self.is_enabled,
            frame_rate: self.frame_rate.into(),
            motion_enabled: self.motion_enabled,
            motion_sensitivity: parse(WHAT, &self.motion_sensitivity)?,
            motion_cooldown: self.motion_cooldown_s.into(),
            pre_roll_s: self.pre_roll_s.into(),
            post_roll_s: self.post_roll_s.into(),
            max_event_s: self.max_event_s.into(),
            analysis_mode: parse(WHAT, &self.analysis_mode)?,
            prompt_override: self.prompt_override,
            detection_zones: from_json(WHAT, &self.zones)?,
            detection_schedule: self.schedule.map(|s| from_json(WHAT, &s)).transpose()?,
        };
        Ok(Camera {
            id: parse(WHAT, &self.id)?,
            created_at: Timestamp::from_micros(self.created_us),
            updated_at: Timestamp::from_micros(self.updated_us),
            config: fields.check().map_err(|e| DbError::corrupt(WHAT, e))?,
        })
    }
}

fn find(conn: &mut DbConn, id: CameraId) -> Result<CameraRow, DbError> {
    let row = camera::table.find(id.to_string()).filter(camera::removed_us.is_null()).first(conn).optional()?;
    row.ok_or(DbError::NotFound { what: WHAT })
}

/// Takes the row for this transaction. SQLite has one writer; PostgreSQL locks the row.
pub(crate) fn lock(tx: &mut Tx<'_>, id: CameraId) -> Result<(), DbError> {
    if tx.conn.is_postgres() {
        diesel::sql_query("SELECT id FROM camera WHERE id = $1 FOR UPDATE")
            .bind::<Text, _>(id.to_string())
            .execute(tx.conn)?;
    }
    Ok(())
}

/// Reads a row for a change.
pub(crate) fn find_locked(tx: &mut Tx<'_>, id: CameraId) -> Result<CameraRow, DbError> {
    lock(tx, id)?;
    find(tx.conn, id)
}

fn matching(filter: &CameraFilter) -> camera::BoxedQuery<'static, MultiBackend> {
    let mut query: camera::BoxedQuery<'static, MultiBackend> =
        camera::table.filter(camera::removed_us.is_null()).into_boxed();
    if !filter.types.is_empty() {
        let types: Vec<String> = filter.types.iter().map(ToString::to_string).collect();
        query = query.filter(camera::source_type.eq_any(types));
    }
    if let Some(is_enabled) = filter.is_enabled {
        query = query.filter(camera::is_enabled.eq(is_enabled));
    }
    query
}

impl Database {
    /// Adds a camera and announces it as `starting` or, when it is not enabled, `stopped`.
    ///
    /// # Errors
    /// `Conflict` when the name is taken, ignoring case.
    pub async fn camera_insert(&self, new: Camera) -> Result<Camera, DbError> {
        self.write(move |tx| {
            let row = CameraRow::new(&new, tx.sealer)?;
            diesel::insert_into(camera::table).values(&row).execute(tx.conn).unique(WHAT, "name")?;
            let state = CameraState::of(first_status(&new.config));
            let change = CameraStatusChange::new(new.id, &new.config.name, state, None);
            tx.tell_camera(MessageType::CameraStatus, new.id, &change, new.created_at)?;
            Ok(new)
        })
        .await
    }

    /// Changes a camera. `edit` runs inside the transaction, so that two callers at once do not undo each other's
    /// changes; when it refuses, nothing is changed and its reason is the inner error. Gives the camera before and after.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the new name is taken.
    pub async fn camera_edit<E, F>(
        &self,
        id: CameraId,
        now: Timestamp,
        edit: F,
    ) -> Result<Result<(Camera, Camera), E>, DbError>
    where
        E: Send + 'static,
        F: FnOnce(&Camera) -> Result<CameraConfig, E> + Send + 'static,
    {
        self.write(move |tx| {
            let row = find_locked(tx, id)?;
            let (status, status_us) = (row.status.clone(), row.status_us);
            let (last_error, last_error_kind) = (row.last_error.clone(), row.last_error_kind.clone());
            let before = row.camera(tx.sealer)?;
            let config = match edit(&before) {
                Ok(config) => config,
                Err(refused) => return Ok(Err(refused)),
            };
            let after = Camera { id, created_at: before.created_at, updated_at: now, config };
            let row =
                CameraRow { status, status_us, last_error, last_error_kind, ..CameraRow::new(&after, tx.sealer)? };
            diesel::update(camera::table.find(id.to_string())).set(&row).execute(tx.conn).unique(WHAT, "name")?;
            Ok(Ok((before, after)))
        })
        .await
    }

    /// One camera.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn camera_get(&self, id: CameraId) -> Result<Camera, DbError> {
        let inner = self.inner.clone();
        self.read(move |c| find(c, id)?.camera(&inner.sealer)).await
    }

    /// A page of the cameras that match, oldest first.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn camera_list(&self, filter: CameraFilter, page: u32, limit: u32) -> Result<Page<Camera>, DbError> {
        let inner = self.inner.clone();
        self.read_snapshot(move |c| {
            let count: i64 = matching(&filter).count().get_result(c)?;
            let rows: Vec<CameraRow> = matching(&filter)
                .order((camera::created_us.asc(), camera::id.asc()))
                .limit(limit.into())
                .offset(offset(page, limit))
                .load(c)?;
            let items = rows.into_iter().map(|r| r.camera(&inner.sealer)).collect::<Result<_, _>>()?;
            Ok(Page { items, total: total(count), page, limit })
        })
        .await
    }

    /// Every camera, oldest first.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn camera_all(&self) -> Result<Vec<Camera>, DbError> {
        let inner = self.inner.clone();
        self.read(move |c| {
            let rows: Vec<CameraRow> = camera::table
                .filter(camera::removed_us.is_null())
                .order((camera::created_us.asc(), camera::id.asc()))
                .load(c)?;
            let readable = rows.into_iter().filter_map(|row| {
                let id = row.id.clone();
                let camera = row.camera(&inner.sealer);
                camera
                    .inspect_err(|e| tracing::error!(camera.id = %id, "a stored camera is left out: {}", chain(e)))
                    .ok()
            });
            Ok(readable.collect())
        })
        .await
    }

    /// Announces a change of the state of capture and keeps it; a notification with it, both or none.
    ///
    /// # Errors
    /// `NotFound` when the camera is gone; nothing is announced then.
    pub async fn camera_state_tell(
        &self,
        mut change: CameraStatusChange,
        notice: Option<Notification>,
        now: Timestamp,
    ) -> Result<(), DbError> {
        change.rest.last_error = change.rest.last_error.map(crate::value::without_nul);
        self.write(move |tx| {
            let kind = change.rest.last_error_kind.map(|k| k.to_string());
            let row = camera::table.find(change.camera_id.to_string()).filter(camera::removed_us.is_null());
            let n = diesel::update(row)
                .set((
                    camera::status.eq(&change.status),
                    camera::status_us.eq(now.as_micros()),
                    camera::last_error.eq(&change.rest.last_error),
                    camera::last_error_kind.eq(kind),
                ))
                .execute(tx.conn)?;
            if n == 0 {
                return Err(DbError::NotFound { what: WHAT });
            }
            tx.tell_camera(MessageType::CameraStatus, change.camera_id, &change, now)?;
            if let Some(notice) = &notice {
                tx.notify(notice, now)?;
            }
            Ok(())
        })
        .await
    }

    /// The state of every camera as it was last announced, oldest camera first.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn camera_last_states(&self) -> Result<Vec<CameraLastState>, DbError> {
        type Columns = (String, String, i64, Option<String>, Option<String>);
        self.read(|c| {
            let rows: Vec<Columns> = camera::table
                .filter(camera::removed_us.is_null())
                .select((camera::id, camera::status, camera::status_us, camera::last_error, camera::last_error_kind))
                .order((camera::created_us.asc(), camera::id.asc()))
                .load(c)?;
            rows.into_iter()
                .map(|(id, status, since, last_error, kind)| {
                    Ok(CameraLastState {
                        camera_id: parse(WHAT, &id)?,
                        status: parse(WHAT, &status)?,
                        since: Timestamp::from_micros(since),
                        last_error,
                        last_error_kind: parse_opt(WHAT, kind.as_ref())?,
                    })
                })
                .collect()
        })
        .await
    }
}
