//! Every test runs on SQLite in a temporary file and, with the feature `postgres` and `ARGUS_TEST_POSTGRES_URL`, on a
//! fresh PostgreSQL database too.

mod analyses;
mod calls;
mod cameras;
mod controllers;
mod counts;
mod coverage;
mod database;
mod events;
mod groups;
mod jobs;
mod journal;
mod keys;
mod list;
mod migrations;
mod providers;
mod queue;
mod reanalyses;
mod removal;
mod retention;
mod sessions;
mod usage;
mod users;

use std::time::Duration;

use argus_core::camera::{Camera, CameraFields, SourceType};
use argus_core::event::{Area, DetectionType, Event, EventMotion, EventZone, NewEvent};
use argus_core::{CameraId, EventId, Timestamp};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;

use crate::conn::{DbConn, Role};
use crate::schema::analysis_job;
use crate::{Database, DatabaseConfig, DbUrl, DescriptionPlan, Lease, SealKey};

/// Runs each body on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($(#[doc = $doc:literal])* async fn $name:ident($t:ident) $body:block)+) => {$(
        $(#[doc = $doc])*
        mod $name {
            use super::*;

            async fn body($t: crate::tests::TestDb) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                body(crate::tests::TestDb::sqlite().await).await;
            }

            #[cfg(feature = "postgres")]
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(t) = crate::tests::TestDb::postgres().await {
                    body(t).await;
                }
            }
        }
    )+};
}
pub(crate) use on_both;

/// A fresh database that goes away with this.
pub(crate) struct TestDb {
    pub(crate) db: Database,
    pub(crate) url: DbUrl,
    pub(crate) folder: tempfile::TempDir,
    #[cfg(feature = "postgres")]
    drop_by: Option<(String, String)>,
}

impl TestDb {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = DbUrl::from(folder.path().join("argus.db"));
        let db = Database::open(DatabaseConfig::new(url.clone(), key())).await.unwrap();
        Self {
            db,
            url,
            folder,
            #[cfg(feature = "postgres")]
            drop_by: None,
        }
    }

    #[cfg(feature = "postgres")]
    pub(crate) async fn postgres() -> Option<Self> {
        #[expect(clippy::disallowed_methods, reason = "tests are configured by the environment")]
        let admin = std::env::var("ARGUS_TEST_POSTGRES_URL").ok()?;
        let folder = tempfile::tempdir().unwrap();
        let unique = folder.path().file_name().unwrap().to_str().unwrap();
        let name: String = unique.chars().filter(char::is_ascii_alphanumeric).collect();
        let name = format!("argus_{}_{name}", std::process::id());
        let (base, query) = admin.split_once('?').map_or((admin.as_str(), None), |(b, q)| (b, Some(q)));
        let (server, _) = base.rsplit_once('/').unwrap();
        let address = format!("{server}/{name}{}", query.map(|q| format!("?{q}")).unwrap_or_default());
        raw(&admin.parse().unwrap(), &format!("CREATE DATABASE \"{name}\""));
        let url: DbUrl = address.parse().unwrap();
        let db = Database::open(DatabaseConfig::new(url.clone(), key())).await.unwrap();
        Some(Self { db, url, folder, drop_by: Some((admin, name)) })
    }

    /// Opens the same database once more, as another process would.
    pub(crate) async fn again(&self) -> Database {
        Database::open(DatabaseConfig::new(self.url.clone(), key())).await.unwrap()
    }

    /// Deletes a camera to the end.
    pub(crate) async fn delete_camera(&self, id: CameraId, now: Timestamp) -> Result<(), crate::DbError> {
        self.db.camera_delete_begin(id, now).await?;
        self.db.camera_delete_finish(id, now).await
    }

    /// Stores settings as they are given.
    pub(crate) async fn put(&self, values: &[(&str, &str)], now: Timestamp) -> Result<(), crate::DbError> {
        put(&self.db, values, now).await
    }

    /// Runs statements behind the back of the database layer.
    pub(crate) fn raw(&self, statements: &str) {
        raw(&self.url, statements);
    }

    pub(crate) fn is_postgres(&self) -> bool {
        !matches!(self.url, DbUrl::Sqlite(_))
    }
}

#[cfg(feature = "postgres")]
impl Drop for TestDb {
    fn drop(&mut self) {
        if let Some((admin, name)) = self.drop_by.take() {
            raw(&admin.parse().unwrap(), &format!("DROP DATABASE \"{name}\" WITH (FORCE)"));
        }
    }
}

/// Stores settings as they are given.
pub(crate) async fn put(db: &Database, values: &[(&str, &str)], now: Timestamp) -> Result<(), crate::DbError> {
    let values = values.iter().map(|(name, json)| ((*name).to_owned(), (*json).to_owned())).collect();
    db.setting_edit(now, move |_| Ok::<_, std::convert::Infallible>((values, ()))).await.map(drop)
}

fn raw(url: &DbUrl, statements: &str) {
    DbConn::connect(url, Role::Writer).unwrap().batch_execute(statements).unwrap();
}

fn key() -> SealKey {
    SealKey::new([42; 32])
}

/// 10:30 on a day in December, and some seconds.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_766_485_800 + seconds) * 1_000_000)
}

pub(crate) fn camera(name: &str) -> Camera {
    let config = CameraFields::new(name, SourceType::Test).check().unwrap();
    Camera { id: CameraId::new(at(0)), created_at: at(0), updated_at: at(0), config }
}

pub(crate) fn new_event(camera: CameraId, started: Timestamp) -> NewEvent {
    NewEvent {
        id: EventId::new(started),
        camera_id: camera,
        source_type: SourceType::Test,
        detection_type: DetectionType::Motion,
        timestamp: started,
        detected_at: started.plus(Duration::from_millis(80)),
        description: "Motion on Front door.".to_owned(),
        confidence: 50,
        zones: vec![EventZone { id: "z".into(), name: "Yard".into() }],
        motion: Some(EventMotion { score: 0.25, r#box: Some(Area { x: 0.1, y: 0.2, width: 0.3, height: 0.4 }) }),
        protect: None,
    }
}

/// What a worker holds who leased the job of an event last, or 0 who never did.
pub(crate) async fn lease_of(db: &Database, event_id: EventId) -> Lease {
    let token = db.read(move |c| {
        let job = analysis_job::table.find(event_id.to_string()).select(analysis_job::lease_token);
        Ok(job.first(c).optional()?)
    });
    Lease { event_id, token: token.await.unwrap().unwrap_or(0) }
}

/// A stored event with a job.
pub(crate) async fn open_event(db: &Database, camera: CameraId, started: Timestamp) -> Event {
    let plan = DescriptionPlan::Job { priority: 0 };
    db.event_open(new_event(camera, started), started.plus(Duration::from_millis(100)), plan).await.unwrap().0
}
