//! UniFi Protect controllers: how they are reached, what is kept of their connections, and the cameras that are theirs.

use std::collections::BTreeMap;

use argus_core::camera::Camera;
use argus_core::controller::{ControllerConfig, ControllerFields, StoredController};
use argus_core::event::DetectionType;
use argus_core::{CameraId, ControllerId, EventId, Secret, Timestamp, chain};
use diesel::prelude::*;
use diesel::result::DatabaseErrorKind;
use diesel::sql_types::Text;

use crate::cameras::CameraRow;
use crate::conn::DbConn;
use crate::database::{Database, Tx};
use crate::error::DbError;
use crate::schema::{camera, event, protect_controller};
use crate::seal::Sealer;
use crate::value::{check_text, fold, from_json, json, parse, time_opt, us_opt};

const WHAT: &str = "controller";

/// What is kept of a connection between two runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ControllerMemory {
    /// The session that goes on.
    pub kept: Option<Secret>,
    /// Every detection until then is known.
    pub known_until: Option<Timestamp>,
    /// The last time it was connected.
    pub last_connected_at: Option<Timestamp>,
    /// What makes events, by device, of those that somebody chose for.
    pub choices: BTreeMap<String, Vec<DetectionType>>,
}

/// A detection that has an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetectionSeen {
    /// The camera.
    pub camera_id: CameraId,
    /// The event.
    pub event_id: EventId,
    /// The controller's name of the detection.
    pub detection: String,
    /// What set the event off.
    pub kind: DetectionType,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `None` while it is open.
    pub ended_at: Option<Timestamp>,
}

#[derive(Queryable, Insertable, AsChangeset)]
#[diesel(table_name = protect_controller, treat_none_as_default_value = false, treat_none_as_null = true)]
struct ControllerRow {
    id: String,
    name: String,
    name_key: String,
    created_us: i64,
    updated_us: i64,
    host: String,
    port: i32,
    api_key: Option<String>,
    username: Option<String>,
    password: Option<String>,
    verify_tls: bool,
    certificate_sha256: Option<String>,
    is_enabled: bool,
    kept: Option<String>,
    known_until_us: Option<i64>,
    last_connected_us: Option<i64>,
    choices: String,
}

impl ControllerRow {
    fn new(stored: &StoredController, memory: &ControllerMemory, sealer: &Sealer) -> Result<Self, DbError> {
        let (id, c) = (stored.id.to_string(), &stored.config);
        check_text("name", &c.name)?;
        check_text("host", &c.host)?;
        c.username.as_ref().map_or(Ok(()), |user| check_text("username", user))?;
        Ok(Self {
            name: c.name.clone(),
            name_key: fold(&c.name),
            created_us: stored.created_at.as_micros(),
            updated_us: stored.updated_at.as_micros(),
            host: c.host.clone(),
            port: c.port.into(),
            api_key: c.api_key.as_ref().map(|s| sealer.seal(&id, s)).transpose()?,
            username: c.username.clone(),
            password: c.password.as_ref().map(|s| sealer.seal(&id, s)).transpose()?,
            verify_tls: c.verify_tls,
            certificate_sha256: c.certificate_sha256.clone(),
            is_enabled: c.is_enabled,
            kept: sealed(sealer, &id, memory.kept.as_ref())?,
            known_until_us: us_opt(memory.known_until),
            last_connected_us: us_opt(memory.last_connected_at),
            choices: json("smart_detection_types", &memory.choices)?,
            id,
        })
    }

    fn memory(&self, sealer: &Sealer) -> Result<ControllerMemory, DbError> {
        Ok(ControllerMemory {
            kept: self.kept.as_ref().map(|s| sealer.open(&self.id, s)).transpose()?,
            known_until: time_opt(self.known_until_us),
            last_connected_at: time_opt(self.last_connected_us),
            choices: from_json(WHAT, &self.choices)?,
        })
    }

    /// The controller, every rule checked again.
    fn controller(self, sealer: &Sealer) -> Result<StoredController, DbError> {
        let open = |value: Option<String>| value.map(|s| sealer.open(&self.id, &s)).transpose();
        let fields = ControllerFields {
            name: self.name,
            host: self.host,
            port: self.port.into(),
            api_key: open(self.api_key)?,
            username: self.username,
            password: open(self.password)?,
            verify_tls: self.verify_tls,
            certificate_sha256: self.certificate_sha256,
            is_enabled: self.is_enabled,
        };
        Ok(StoredController {
            id: parse(WHAT, &self.id)?,
            created_at: Timestamp::from_micros(self.created_us),
            updated_at: Timestamp::from_micros(self.updated_us),
            // A secret that no key opened was removed, and then nobody can sign in: it is shown all the same.
            config: config_of(fields).map_err(|e| DbError::corrupt(WHAT, e))?,
        })
    }
}

/// The configuration, also when its secrets were forgotten.
fn config_of(fields: ControllerFields) -> Result<ControllerConfig, argus_core::Faults> {
    let username = fields.username.clone().filter(|_| fields.password.is_none());
    if fields.api_key.is_none() && fields.password.is_none() {
        let stand_in = ControllerFields { api_key: Some(Secret::new("none")), username: None, ..fields };
        return Ok(ControllerConfig { api_key: None, username, ..stand_in.check()? });
    }
    if username.is_some() {
        return Ok(ControllerConfig { username, ..ControllerFields { username: None, ..fields }.check()? });
    }
    fields.check()
}

fn sealed(sealer: &Sealer, id: &str, secret: Option<&Secret>) -> Result<Option<String>, DbError> {
    secret.map(|s| sealer.seal(id, s)).transpose()
}

/// A name that is taken, or a host with its port.
fn unique<T>(done: QueryResult<T>) -> Result<T, DbError> {
    done.map_err(|e| match &e {
        diesel::result::Error::DatabaseError(DatabaseErrorKind::UniqueViolation, info) => {
            let field = if info.message().contains("name_key") { "name" } else { "host and port" };
            DbError::Conflict { what: WHAT, field }
        }
        _ => e.into(),
    })
}

fn find(conn: &mut DbConn, id: ControllerId) -> Result<ControllerRow, DbError> {
    let row = protect_controller::table.find(id.to_string()).first(conn).optional()?;
    row.ok_or(DbError::NotFound { what: WHAT })
}

/// Reads a row for a change.
fn find_locked(tx: &mut Tx<'_>, id: ControllerId) -> Result<ControllerRow, DbError> {
    if tx.conn.is_postgres() {
        diesel::sql_query("SELECT id FROM protect_controller WHERE id = $1 FOR UPDATE")
            .bind::<Text, _>(id.to_string())
            .execute(tx.conn)?;
    }
    find(tx.conn, id)
}

/// Whether what signs in, or where, is another.
fn signs_in_elsewhere(a: &ControllerConfig, b: &ControllerConfig) -> bool {
    (&a.host, a.port, &a.username, &a.password, &a.certificate_sha256)
        != (&b.host, b.port, &b.username, &b.password, &b.certificate_sha256)
}

/// Whether what happened before is nobody's business: nothing was wanted of it while it was off, and of another machine
/// nothing is known. Else all of that would be told, stored and described now.
fn is_known_anew(a: &ControllerConfig, b: &ControllerConfig) -> bool {
    (!a.is_enabled && b.is_enabled) || (&a.host, a.port) != (&b.host, b.port)
}

impl Database {
    /// Adds a controller.
    ///
    /// # Errors
    /// `Conflict` when its name, ignoring case, or its host with its port is taken.
    pub async fn controller_insert(&self, new: StoredController) -> Result<StoredController, DbError> {
        self.write(move |tx| {
            let row = ControllerRow::new(&new, &ControllerMemory::default(), tx.sealer)?;
            unique(diesel::insert_into(protect_controller::table).values(&row).execute(tx.conn))?;
            Ok(new)
        })
        .await
    }

    /// Changes a controller. `edit` runs inside the transaction; when it refuses, nothing is changed and its reason is the
    /// inner error. Gives the controller before and after. A session that was kept is forgotten when it is of no use any
    /// more.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` as for adding.
    pub async fn controller_edit<E, F>(
        &self,
        id: ControllerId,
        now: Timestamp,
        edit: F,
    ) -> Result<Result<(StoredController, StoredController), E>, DbError>
    where
        E: Send + 'static,
        F: FnOnce(&StoredController) -> Result<ControllerConfig, E> + Send + 'static,
    {
        self.write(move |tx| {
            let row = find_locked(tx, id)?;
            let mut memory = row.memory(tx.sealer)?;
            let before = row.controller(tx.sealer)?;
            let config = match edit(&before) {
                Ok(config) => config,
                Err(refused) => return Ok(Err(refused)),
            };
            if signs_in_elsewhere(&before.config, &config) {
                memory.kept = None;
            }
            if is_known_anew(&before.config, &config) {
                memory.known_until = None;
            }
            let after = StoredController { id, created_at: before.created_at, updated_at: now, config };
            let row = ControllerRow::new(&after, &memory, tx.sealer)?;
            let row = diesel::update(protect_controller::table.find(id.to_string())).set(&row);
            unique(row.execute(tx.conn))?;
            Ok(Ok((before, after)))
        })
        .await
    }

    /// Every controller with what is kept of it, oldest first.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn controller_all(&self) -> Result<Vec<(StoredController, ControllerMemory)>, DbError> {
        let inner = self.inner.clone();
        self.read(move |c| {
            let order = (protect_controller::created_us.asc(), protect_controller::id.asc());
            let rows: Vec<ControllerRow> = protect_controller::table.order(order).load(c)?;
            let readable = rows.into_iter().filter_map(|row| {
                let id = row.id.clone();
                let memory = row.memory(&inner.sealer);
                let both = memory.and_then(|memory| Ok((row.controller(&inner.sealer)?, memory)));
                both.inspect_err(
                    |e| tracing::error!(controller.id = %id, "a stored controller is left out: {}", chain(e)),
                )
                .ok()
            });
            Ok(readable.collect())
        })
        .await
    }

    /// One controller with what is kept of it.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn controller_get(&self, id: ControllerId) -> Result<(StoredController, ControllerMemory), DbError> {
        let inner = self.inner.clone();
        self.read(move |c| {
            let row = find(c, id)?;
            let memory = row.memory(&inner.sealer)?;
            Ok((row.controller(&inner.sealer)?, memory))
        })
        .await
    }

    /// Removes a controller. Its cameras are disabled and stay, with their events; they are given as they are then.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn controller_delete(&self, id: ControllerId, now: Timestamp) -> Result<Vec<Camera>, DbError> {
        self.write(move |tx| {
            find_locked(tx, id)?;
            let theirs = || camera::table.filter(camera::protect_controller_id.eq(id.to_string()));
            let ids: Vec<String> = theirs().select(camera::id).load(tx.conn)?;
            diesel::update(theirs())
                .set((
                    camera::is_enabled.eq(false),
                    camera::protect_controller_id.eq(None::<String>),
                    camera::updated_us.eq(now.as_micros()),
                ))
                .execute(tx.conn)?;
            diesel::delete(protect_controller::table.find(id.to_string())).execute(tx.conn)?;
            let rows: Vec<CameraRow> = camera::table.filter(camera::id.eq_any(ids)).load(tx.conn)?;
            rows.into_iter().map(|row| row.camera(tx.sealer)).collect()
        })
        .await
    }

    /// Keeps what goes on after a restart, or forgets it.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`. A controller that is gone is no failure.
    pub async fn controller_keep(&self, id: ControllerId, kept: Option<Secret>) -> Result<(), DbError> {
        self.write(move |tx| {
            let kept = sealed(tx.sealer, &id.to_string(), kept.as_ref())?;
            let row = protect_controller::table.find(id.to_string());
            diesel::update(row).set(protect_controller::kept.eq(kept)).execute(tx.conn)?;
            Ok(())
        })
        .await
    }

    /// Notes until when every detection is known, and when it was connected last.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`. A controller that is gone is no failure.
    pub async fn controller_note(
        &self,
        id: ControllerId,
        known_until: Option<Timestamp>,
        last_connected_at: Option<Timestamp>,
    ) -> Result<(), DbError> {
        self.write(move |tx| {
            let row = || protect_controller::table.find(id.to_string());
            if let Some(until) = known_until {
                diesel::update(row())
                    .set(protect_controller::known_until_us.eq(Some(until.as_micros())))
                    .execute(tx.conn)?;
            }
            if let Some(at) = last_connected_at {
                diesel::update(row())
                    .set(protect_controller::last_connected_us.eq(Some(at.as_micros())))
                    .execute(tx.conn)?;
            }
            Ok(())
        })
        .await
    }

    /// Keeps what of a device is to make events, before it is a camera.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn controller_choose(
        &self,
        id: ControllerId,
        device: String,
        detections: Vec<DetectionType>,
    ) -> Result<(), DbError> {
        check_text("protect_camera_id", &device)?;
        self.write(move |tx| {
            let row = find_locked(tx, id)?;
            let mut choices = row.memory(tx.sealer)?.choices;
            choices.insert(device, detections);
            let choices = json("smart_detection_types", &choices)?;
            diesel::update(protect_controller::table.find(id.to_string()))
                .set(protect_controller::choices.eq(choices))
                .execute(tx.conn)?;
            Ok(())
        })
        .await
    }

    /// The detections of a controller's cameras that have an event which began since, oldest first, at most `limit` of the
    /// newest.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn detections_seen(
        &self,
        id: ControllerId,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<DetectionSeen>, DbError> {
        type Columns = (String, String, Option<String>, String, i64, Option<i64>);
        self.read(move |c| {
            let cameras: Vec<String> =
                camera::table.filter(camera::protect_controller_id.eq(id.to_string())).select(camera::id).load(c)?;
            let rows: Vec<Columns> = event::table
                .filter(event::camera_id.eq_any(cameras))
                .filter(event::started_us.ge(since.as_micros()))
                .filter(event::protect_event_id.is_not_null())
                .order((event::started_us.desc(), event::id.desc()))
                .limit(limit.into())
                .select((
                    event::camera_id,
                    event::id,
                    event::protect_event_id,
                    event::detection_type,
                    event::started_us,
                    event::ended_us,
                ))
                .load(c)?;
            let seen = |(camera, id, detection, kind, started, ended): Columns| {
                Ok(DetectionSeen {
                    camera_id: parse("event", &camera)?,
                    event_id: parse("event", &id)?,
                    detection: detection.unwrap_or_default(),
                    kind: parse("event", &kind)?,
                    started_at: Timestamp::from_micros(started),
                    ended_at: time_opt(ended),
                })
            };
            rows.into_iter().rev().map(seen).collect()
        })
        .await
    }
}
