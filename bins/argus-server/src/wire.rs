//! The composition: which implementation stands behind each port.

use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;

use argus_ai::Providers;
use argus_api::{ApiError, AppState, SignIn, Timing, self_signed};
use argus_capture::{Feeds, FeedsConfig, GateMode};
use argus_core::api_key::{NewApiKey, Scope};
use argus_core::camera::{CameraFields, SourceType};
use argus_core::ports::{CameraFeeds, Control, ControllerControl};
use argus_core::{Clock, Invalid, chain};
use argus_db::{DataDir, Database, DatabaseConfig, DbError, DbUrl};
use argus_engine::{Engine, EngineParts, LocalDisk, SystemClock};
use argus_protect::{Protect, Tuning};
use object_store::ObjectStore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;
use crate::{Failure, people, say, seal};

/// A server that runs.
pub struct Running {
    addresses: Vec<SocketAddr>,
    serving: JoinHandle<Result<(), ApiError>>,
    shutdown: CancellationToken,
    engine: Arc<Engine>,
    /// Held until the end: no second server may work in the data directory.
    _lock: File,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns only when serving has failed by itself.
    pub async fn failed(&mut self) -> Failure {
        match (&mut self.serving).await {
            Ok(Ok(())) => Failure::running("serving ended by itself".into()),
            Ok(Err(e)) => Failure::running(format!("serving failed: {}", chain(&e))),
            Err(e) => Failure::running(format!("serving failed: {e}")),
        }
    }

    /// Closes every event, when nothing is served any more.
    pub async fn close(&self) {
        self.engine.stop().await;
    }

    /// Closes every event, answers what is being asked, and ends.
    pub async fn stop(self) {
        self.shutdown.cancel();
        // Side by side: a long poll must not keep an event from being closed, nor the other way round.
        let (served, ()) = tokio::join!(self.serving, self.engine.stop());
        match served {
            Ok(Ok(())) => info!("stopped"),
            Ok(Err(e)) => warn!("serving ended with a failure: {}", chain(&e)),
            Err(e) => warn!("serving ended with a failure: {e}"),
        }
    }
}

/// A data directory that cannot be used.
pub(crate) fn unusable(e: DbError) -> Failure {
    Failure::data(format!("the data directory cannot be used: {}", chain(&e)))
}

/// Kept free beside a database of SQLite, for when its disk is full: what some hundred events write.
const RESERVE_BYTES: u64 = 8 << 20;

/// Opens the database that is configured, for a short while.
pub(crate) async fn database(config: &Config, dir: &DataDir) -> Result<Database, Failure> {
    open(config, dir, 0).await
}

async fn open(config: &Config, dir: &DataDir, reserve_bytes: u64) -> Result<Database, Failure> {
    let seal_ring = dir.seal_ring().map_err(unusable)?;
    let url = match &config.database_url {
        Some(url) => url.expose().parse().map_err(|e: Invalid| Failure::usage(e.to_string()))?,
        None => DbUrl::from(dir.path().join("argus.db")),
    };
    Database::open(DatabaseConfig { reserve_bytes, ..DatabaseConfig::new(url, seal_ring) })
        .await
        .map_err(|e| Failure::data(format!("the database cannot be used: {}", chain(&e))))
}

/// Starts everything and returns when requests are served.
///
/// # Errors
/// `Failure` with the exit code that docs/config.md names.
pub async fn serve(config: Config, demo: bool) -> Result<Running, Failure> {
    let dir = DataDir::open(&config.data_dir).map_err(unusable)?;
    let lock = dir.lock().map_err(unusable)?;
    if dir.is_open_to_others() {
        let folder = dir.path().display();
        warn!(
            "other users of this machine may look into {folder}; the secrets in it are private, `chmod 700` hides the rest"
        );
    }
    let db = open(&config, &dir, RESERVE_BYTES).await?;
    seal::check(&db, &dir).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let media_dir = dir.below("events").map_err(unusable)?;
    let media = argus_engine::media_folder(&media_dir)
        .map_err(|e| Failure::data(format!("the media directory cannot be used: {}", chain(&e))))?;
    let feeds = feeds(&config, &dir, Arc::clone(&clock))?;
    if let (true, Some(files)) = (config.self_signed, &config.http.tls) {
        self_signed::ensure(files, clock.now()).map_err(|e| Failure::data(chain(&e)))?;
    }
    let sign_in = people::sign_in(&db, &dir, demo).await?;
    let controllers = Arc::new(Protect::new(Arc::clone(&clock), dir.path().join("tmp"), Tuning::default()));
    let engine = Engine::start(EngineParts {
        db: db.clone(),
        media: Arc::clone(&media),
        disk: Arc::new(LocalDisk::new(media_dir)),
        feeds,
        // Whom it asks, the engine tells it from the database.
        describer: Arc::new(Providers::new(Arc::clone(&clock))),
        controllers,
        clock: Arc::clone(&clock),
    })
    .await
    .map_err(|e| Failure::data(format!("the last run's data cannot be read: {}", chain(&e))))?;
    // Whatever keeps it from serving: what runs already is ended as at any stop.
    match offer(&config, demo, db, Arc::clone(&engine), media, clock, sign_in).await {
        Ok((addresses, serving, shutdown)) => Ok(Running { addresses, serving, shutdown, engine, _lock: lock }),
        Err(failure) => {
            engine.stop().await;
            Err(failure)
        }
    }
}

/// Lets clients in.
async fn offer(
    config: &Config,
    demo: bool,
    db: Database,
    engine: Arc<Engine>,
    media: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
    sign_in: SignIn,
) -> Result<(Vec<SocketAddr>, JoinHandle<Result<(), ApiError>>, CancellationToken), Failure> {
    let control: Arc<dyn Control> = Arc::clone(&engine) as _;
    let controllers: Arc<dyn ControllerControl> = Arc::clone(&engine) as _;
    let shutdown = CancellationToken::new();
    let setup_token = sign_in.setup_token.clone();
    let state = AppState {
        db: db.clone(),
        control: Arc::clone(&control),
        ai: engine,
        controllers,
        media,
        started_at: clock.now(),
        clock: Arc::clone(&clock),
        version: env!("CARGO_PKG_VERSION").into(),
        shutdown: shutdown.clone(),
        timing: Timing::default(),
        http: config.http.clone(),
        sign_in,
    };
    if let (true, Some(files)) = (config.self_signed, &config.http.tls) {
        tokio::spawn(self_signed::keep(files.clone(), Arc::clone(&clock), shutdown.clone()));
    }
    let bound = argus_api::bind(state, &config.listen).map_err(|e| {
        let code = if matches!(e, ApiError::Certificate(_)) { 2 } else { 3 };
        Failure { code, message: chain(&e) }
    })?;
    if let Some(token) = setup_token {
        say(&format!("setup token: {}", token.expose()))?;
    }
    if demo {
        furnish(&db, control.as_ref(), clock.as_ref()).await?;
    }
    let (addresses, scheme) = (bound.addrs().to_vec(), bound.scheme());
    if let Some(address) = bound.redirect_addr() {
        info!("redirecting from http://{address} to HTTPS");
    }
    info!(
        version = env!("CARGO_PKG_VERSION"),
        data_dir = %config.data_dir.display(),
        database = config.database(),
        addresses = %addresses.iter().map(|address| format!("{scheme}://{address}")).collect::<Vec<_>>().join(" "),
        "argus-server started"
    );
    let serving = tokio::spawn(bound.run());
    for address in &addresses {
        say(&format!("listening on {scheme}://{address}"))?;
    }
    Ok((addresses, serving, shutdown))
}

fn feeds(config: &Config, dir: &DataDir, clock: Arc<dyn Clock>) -> Result<Arc<dyn CameraFeeds>, Failure> {
    // Clips that were being written when the last run ended; nothing else lies here.
    let _ = std::fs::remove_dir_all(dir.path().join("tmp"));
    let temp_dir = dir.below("tmp").map_err(unusable)?;
    for dir in &config.media_dirs {
        DataDir::open(dir).map_err(unusable)?;
    }
    let gate = if config.packet_gate { GateMode::Packets } else { GateMode::Off };
    let feeds = Feeds::new(FeedsConfig { media_dirs: config.media_dirs.clone(), temp_dir, clock, gate })
        .map_err(|e| Failure::running(format!("video cannot be used: {}", chain(&e))))?;
    Ok(Arc::new(feeds))
}

/// The demo's camera, key and admin.
async fn furnish(db: &Database, control: &dyn Control, clock: &dyn Clock) -> Result<(), Failure> {
    let failed = |e: &dyn std::fmt::Display| Failure::running(format!("the demo cannot be set up: {e}"));
    let fields = CameraFields { motion_cooldown: 0, ..CameraFields::new("Demo", SourceType::Test) };
    let camera = fields.check().map_err(|e| failed(&e))?;
    control.camera_create(camera).await.map_err(|e| failed(&e))?;
    let new = NewApiKey::check("demo", &[Scope::Admin], None, 10_000, clock.now()).map_err(|e| failed(&e))?;
    let (_, key) = argus_api::api_keys::mint(db, new, None, clock.now()).await.map_err(|e| failed(&e))?;
    say(&format!("api key: {}", key.expose()))?;
    people::demo_admin(db, clock).await
}
