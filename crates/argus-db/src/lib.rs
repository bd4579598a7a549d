//! What Argus remembers: cameras, events, their receipts, the queue of descriptions, the journal, coverage, API keys and
//! settings, in SQLite or PostgreSQL.
//!
//! One set of queries serves both. Every call is one transaction on a thread where blocking is allowed; what changed and
//! the journal entry that says so are stored together or not at all. The crate knows neither who asks nor what the words
//! mean: no HTTP, no cameras, no clock (time is an argument), no media files.
//!
//! ```
//! use argus_core::camera::{Camera, CameraFields, SourceType};
//! use argus_core::{CameraId, Timestamp};
//! use argus_db::{Database, DatabaseConfig, SealKey};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let db = Database::open(DatabaseConfig::new(folder.path().join("argus.db"), SealKey::new([7; 32]))).await?;
//!
//! let now: Timestamp = "2025-12-23T10:30:00Z".parse()?;
//! let config = CameraFields::new("Front door", SourceType::Test).check()?;
//! let camera = Camera { id: CameraId::new(now), created_at: now, updated_at: now, config };
//! db.camera_insert(camera.clone()).await?;
//!
//! assert_eq!(db.camera_all().await?, [camera]);
//! assert_eq!(db.journal_after(0, 10, None).await?.len(), 1);
//! # Ok(())
//! # }
//! ```

mod among;
mod analyses;
mod api_keys;
mod budgets;
mod calls;
mod cameras;
mod conn;
mod controllers;
mod coverage;
mod data_dir;
mod database;
mod error;
mod events;
mod fixed;
mod jobs;
mod journal;
mod log_bound;
mod looks;
mod migrate;
mod page;
mod private;
mod providers;
mod reanalyses;
mod removal;
mod reseal;
mod reserve;
mod retention;
mod schema;
mod seal;
mod search;
mod sessions;
mod settings;
mod spent;
mod storage;
#[cfg(test)]
mod tests;
mod token_key;
mod usage;
mod users;
mod value;
mod waits;

pub use api_keys::ApiKeyUse;
pub use budgets::BudgetRules;
pub use calls::{KeptAnswer, NewCall};
pub use cameras::{CameraFilter, CameraLastState};
pub use controllers::{ControllerMemory, DetectionSeen};
pub use coverage::{CoverageInterval, CoverageState};
pub use data_dir::DataDir;
pub use database::{Database, DatabaseConfig, DbUrl};
pub use error::DbError;
pub use events::{
    ClipState, DescriptionPlan, EventChange, EventFilter, EventLine, EventPage, EventStats, ExportSink, Exported,
    FramesState, MediaFound, NewFrame, Paging, Sort, StoredFrame, UnfinishedEvent,
};
pub use jobs::{Asked, Job, JobCounts, JobOrder, Lease};
pub use journal::{Audience, JournalBounds, JournalEntry};
pub use looks::LookAlike;
pub use migrate::Migrator;
pub use page::Page;
pub use reanalyses::ReanalysisAnswer;
pub use reseal::Unopened;
pub use retention::{Expired, MediaRow};
pub use seal::{SealKey, SealRing};
pub use sessions::{NewRefresh, NewSession, Presented, Refreshed, Session};
pub use token_key::TokenKey;
pub use users::{Credentials, NewPassword, UserFilter};
pub use waits::Waits;
