//! A server to be asked, and what is asked of it.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use argus_api::{AppState, HttpConfig, SignIn, Timing, bind};
use argus_core::api_key::{ApiKey, NewApiKey, Scope};
use argus_core::camera::{Camera, CameraConfig, Source, SourceType};
use argus_core::describe::{Reanalysed, Reanalysis};
use argus_core::event::{DetectionType, Event, NewEvent};
use argus_core::figures::Figures;
use argus_core::journal::DeleteReason;
use argus_core::ports::{
    AiControl, CameraEdit, ComponentHealth, ComponentStatus, Control, ControlError, Health, Probe, Still,
};
use argus_core::settings::{Settings, StoredSettings};
use argus_core::status::{CameraLive, CameraState, CameraStatus};
use argus_core::{
    AnalysisId, ApiKeyId, CameraId, Classify, Clock, EventId, Invalid, ManualClock, PrivacyMask, Secret, Timestamp,
};
use argus_db::{Database, DatabaseConfig, DbError, DescriptionPlan, SealKey, TokenKey};
use async_trait::async_trait;
use object_store::ObjectStoreExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use crate::cupboard::Cupboard;
use crate::providers_book::Providers;

/// With it the first user is made.
pub(crate) const SETUP_TOKEN: &str = "the-setup-token";
/// Signs access tokens.
pub(crate) const TOKEN_KEY: [u8; 32] = [9; 32];

/// Longest that anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Keeps books where the engine would run cameras.
pub(crate) struct Books {
    db: Database,
    clock: Arc<ManualClock>,
    /// States that a test gave to cameras; without one an enabled camera is online.
    pub(crate) states: Mutex<HashMap<CameraId, CameraState>>,
    /// Sources that were tried.
    pub(crate) probed: Mutex<Vec<Source>>,
    /// What people set.
    pub(crate) settings: Mutex<StoredSettings>,
    /// Descriptions that were asked for.
    pub(crate) wishes: Mutex<Vec<(EventId, Reanalysis, Duration)>>,
    /// What comes of the next ones; without any they are queued.
    pub(crate) reanalysed: Mutex<VecDeque<Result<Reanalysed, ControlError>>>,
    /// What it claims to have counted.
    pub(crate) figures: Mutex<Figures>,
}

pub(crate) fn refused(e: DbError) -> ControlError {
    match e {
        DbError::NotFound { what } => ControlError::NotFound(format!("there is no such {what}")),
        DbError::Conflict { what, field } => ControlError::Conflict(format!("another {what} has this {field}")),
        e => ControlError::Failed { what: "the change could not be stored", class: e.class(), source: Box::new(e) },
    }
}

#[async_trait]
impl Control for Books {
    async fn camera_create(&self, config: CameraConfig) -> Result<Camera, ControlError> {
        assert_ne!(config.name, "panic", "this name makes the running system panic");
        self.source_check(&config.source).map_err(argus_core::Faults::from)?;
        let now = self.clock.now();
        let camera = Camera { id: CameraId::new(now), created_at: now, updated_at: now, config };
        self.db.camera_insert(camera).await.map_err(refused)
    }

    async fn camera_update(&self, id: CameraId, edit: CameraEdit) -> Result<Camera, ControlError> {
        let edited = self.db.camera_edit(id, self.clock.now(), edit).await.map_err(refused)?;
        edited.map(|(_, after)| after)
    }

    async fn camera_delete(&self, id: CameraId) -> Result<(), ControlError> {
        self.db.camera_delete_begin(id, self.clock.now()).await.map_err(refused)?;
        self.db.camera_delete_finish(id, self.clock.now()).await.map_err(refused)
    }

    fn camera_live(&self, id: CameraId) -> Option<CameraLive> {
        let state = self.states.lock().unwrap().get(&id).cloned()?;
        Some(CameraLive {
            camera_id: id,
            is_enabled: state.status != CameraStatus::Stopped,
            state,
            status_since: self.clock.now(),
            schedule_active: true,
            motion_active: false,
            event_id: None,
        })
    }

    async fn camera_snapshot(&self, id: CameraId, max_width: Option<u32>) -> Result<Still, ControlError> {
        let camera = self.db.camera_get(id).await.map_err(refused)?;
        if camera.config.name == "panic" {
            panic!("this camera makes the running system panic");
        }
        if !camera.config.is_enabled {
            return Err(ControlError::Conflict("the camera is stopped".into()));
        }
        let width = max_width.unwrap_or(640);
        if camera.config.name == "dark" {
            return Err(ControlError::Unavailable("there is no picture from the last 10 s".into()));
        }
        Ok(Still { taken_at: self.clock.now(), width, height: 360, jpeg: format!("jpeg {width}").into() })
    }

    fn source_check(&self, source: &Source) -> Result<(), Invalid> {
        match source {
            Source::File { path, .. } if path == "panic" => panic!("this path makes the handler itself panic"),
            Source::File { path, .. } if path.starts_with("/etc") => {
                Err(Invalid::new("file_path", "lies outside the media directories"))
            }
            _ => Ok(()),
        }
    }

    async fn source_probe(&self, source: &Source, _privacy: &PrivacyMask) -> Probe {
        self.probed.lock().unwrap().push(source.clone());
        Probe {
            success: true,
            message: "a picture was decoded".into(),
            error_kind: None,
            resolution: Some("640x360".into()),
            fps: Some(5.0),
            codec: Some("h264".into()),
            thumbnail: None,
            elapsed_ms: 3,
        }
    }

    async fn event_delete(&self, id: EventId) -> Result<(), ControlError> {
        self.db.event_delete(id, DeleteReason::User, self.clock.now()).await.map(|_| ()).map_err(refused)
    }

    async fn storage(&self) -> Result<argus_core::storage::StorageReport, ControlError> {
        let disk = argus_core::retention::Disk { total_bytes: 1 << 40, free_bytes: 1 << 39 };
        self.db.storage(disk, self.clock.now()).await.map_err(refused)
    }

    async fn health(&self) -> Health {
        let ok = ComponentHealth::ok;
        let offline = self.states.lock().unwrap().values().any(|s| s.status == CameraStatus::Offline);
        let cameras =
            if offline { ComponentHealth::new(ComponentStatus::Degraded, "1 camera is offline") } else { ok() };
        let protect = ComponentHealth::new(ComponentStatus::Disabled, "no controller");
        Health { database: ok(), storage: ok(), cameras, ai: ok(), protect, journal: ok() }
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::new(self.settings.lock().unwrap().values.clone())
    }

    fn settings_stored(&self) -> StoredSettings {
        self.settings.lock().unwrap().clone()
    }

    async fn figures(&self) -> Figures {
        self.figures.lock().unwrap().clone()
    }

    async fn settings_put(&self, patch: Value) -> Result<StoredSettings, ControlError> {
        let mut stored = self.settings.lock().unwrap();
        stored.values = stored.values.merge(&patch)?;
        stored.updated_at = Some(self.clock.now());
        Ok(stored.clone())
    }

    async fn event_reanalyse(&self, id: EventId, how: Reanalysis, wait: Duration) -> Result<Reanalysed, ControlError> {
        self.wishes.lock().unwrap().push((id, how, wait));
        let answer = self.reanalysed.lock().unwrap().pop_front();
        match answer {
            Some(answer) => answer,
            None => {
                let event = self.db.event_get(id).await.map_err(refused)?;
                let event = event.ok_or_else(|| ControlError::NotFound("there is no such event".into()))?;
                Ok(Reanalysed::Queued(AnalysisId::new(event.timestamp)))
            }
        }
    }
}

/// A client that takes any certificate and follows nowhere.
pub(crate) fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
    builder
        .redirect(reqwest::redirect::Policy::none())
        .danger_accept_invalid_certs(true)
        .tls_info(true)
        .build()
        .unwrap()
}

/// A running server. It stops when it is dropped, and tests of stopping ask for it.
pub(crate) struct Server {
    pub(crate) base: String,
    pub(crate) port: u16,
    /// Where plain HTTP is sent to HTTPS.
    pub(crate) redirect: Option<SocketAddr>,
    pub(crate) db: Database,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) control: Arc<Books>,
    pub(crate) ai: Arc<Providers>,
    pub(crate) cupboard: Arc<Cupboard>,
    pub(crate) admin: String,
    pub(crate) shutdown: CancellationToken,
    media: Arc<LocalFileSystem>,
    client: reqwest::Client,
    running: Option<tokio::task::JoinHandle<()>>,
    pub(crate) folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// Checks the status, and the one shape when it is an error; gives the body.
    pub(crate) fn expect(&self, status: u16) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        if status >= 400 {
            self.assert_error();
        }
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// Checks that this is an error in the one shape.
    pub(crate) fn assert_error(&self) {
        assert_eq!(self.header("content-type"), "application/json", "{}", self.status);
        let body = self.json();
        assert_eq!(body["status_code"], self.status, "{body}");
        assert!(body["detail"].as_str().is_some_and(|d| !d.is_empty()), "{body}");
        let has_errors = body["errors"].as_array().is_some_and(|e| !e.is_empty());
        assert_eq!(has_errors, self.status == 422, "{body}");
        for (name, _) in body.as_object().unwrap() {
            assert!(["detail", "status_code", "errors"].contains(&name.as_str()), "{body}");
        }
        match self.status {
            401 => assert_eq!(self.header("www-authenticate"), "Bearer realm=\"argus\""),
            429 | 503 => assert!(self.header("retry-after").parse::<u64>().unwrap() >= 1),
            _ => {}
        }
    }

    /// The fields of a 422, sorted.
    pub(crate) fn faults(&self) -> Vec<String> {
        let body = self.expect(422);
        let field = |e: &Value| e["field"].as_str().unwrap().to_owned();
        let mut fields: Vec<String> = body["errors"].as_array().unwrap().iter().map(field).collect();
        fields.sort();
        fields
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(Timing::default()).await
    }

    pub(crate) async fn start_with(timing: Timing) -> Self {
        Self::start_as(timing, HttpConfig::default()).await
    }

    /// How it meets the network.
    pub(crate) async fn start_http(http: HttpConfig) -> Self {
        Self::start_as(Timing::default(), http).await
    }

    pub(crate) async fn start_as(timing: Timing, http: HttpConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let setup_file = Some(folder.path().join("setup-token"));
        std::fs::write(folder.path().join("setup-token"), SETUP_TOKEN).unwrap();
        let config = DatabaseConfig::new(folder.path().join("argus.db"), SealKey::new([7; 32]));
        let db = Database::open(config).await.unwrap();
        let clock = Arc::new(ManualClock::new("2025-12-23T10:30:00Z".parse().unwrap()));
        let control = Arc::new(Books {
            db: db.clone(),
            clock: Arc::clone(&clock),
            states: Mutex::default(),
            probed: Mutex::default(),
            settings: Mutex::default(),
            wishes: Mutex::default(),
            reanalysed: Mutex::default(),
            figures: Mutex::default(),
        });
        let ai = Arc::new(Providers::new(Arc::clone(&clock)));
        let cupboard = Arc::new(Cupboard::new(&db, &clock));
        std::fs::create_dir(folder.path().join("media")).unwrap();
        let media = Arc::new(LocalFileSystem::new_with_prefix(folder.path().join("media")).unwrap());
        let shutdown = CancellationToken::new();
        let state = AppState {
            db: db.clone(),
            control: Arc::clone(&control) as Arc<dyn Control>,
            ai: Arc::clone(&ai) as Arc<dyn AiControl>,
            controllers: Arc::clone(&cupboard) as _,
            media: Arc::clone(&media) as Arc<dyn object_store::ObjectStore>,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            version: "1.2.3".into(),
            started_at: clock.now(),
            shutdown: shutdown.clone(),
            timing,
            http,
            sign_in: SignIn {
                setup_token: Some(Secret::new(SETUP_TOKEN)),
                setup_file,
                ..SignIn::new(TokenKey::new(TOKEN_KEY))
            },
        };
        let bound = bind(state, &["127.0.0.1:0".parse().unwrap()]).unwrap();
        let port = bound.addrs()[0].port();
        let (scheme, redirect) = (bound.scheme(), bound.redirect_addr());
        let running = tokio::spawn(async move { bound.run().await.unwrap() });
        let mut server = Self {
            base: format!("{scheme}://127.0.0.1:{port}"),
            redirect,
            port,
            db,
            clock,
            control,
            ai,
            cupboard,
            admin: String::new(),
            shutdown,
            media,
            client: client(),
            running: Some(running),
            folder,
        };
        server.admin = server.key_limited(&[Scope::Admin], 10_000).await.0;
        server
    }

    /// Stops the server and waits until it is gone.
    pub(crate) async fn stop(&mut self) {
        self.shutdown.cancel();
        let running = self.running.take().unwrap();
        tokio::time::timeout(PATIENCE, running).await.expect("the server stops in time").unwrap();
    }

    /// Makes a key with these scopes.
    pub(crate) async fn key(&self, scopes: &[Scope]) -> String {
        self.key_limited(scopes, 10_000).await.0
    }

    pub(crate) async fn key_limited(&self, scopes: &[Scope], limit: i64) -> (String, ApiKey) {
        let new = NewApiKey::check("test", scopes, None, limit, self.clock.now()).unwrap();
        self.insert_key(new).await
    }

    pub(crate) async fn insert_key(&self, new: NewApiKey) -> (String, ApiKey) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let text = format!("argus_{:043}", NEXT.fetch_add(1, Ordering::Relaxed));
        let now = self.clock.now();
        let hash = Sha256::digest(text.as_bytes()).into();
        let prefix = text.chars().take(8).collect();
        let key = self.db.api_key_insert(new, ApiKeyId::new(now), prefix, hash, None, now).await.unwrap();
        (text, key)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        let api = ["/ws", "/openapi.json", "/docs", "/redoc", "/metrics"].iter().any(|p| path.starts_with(p))
            || path.starts_with("/api/");
        if api { format!("{}{path}", self.base) } else { format!("{}/api/v1{path}", self.base) }
    }

    /// A request without credentials.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    /// A request with the admin's key.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).header("x-api-key", &self.admin)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        send(self.request(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        send(self.request(Method::PUT, path).json(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        send(self.request(Method::DELETE, path)).await
    }

    /// Sends bytes as they are and gives what comes back until the server closes.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer));
        read.await.expect("an answer in time").unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// A GET with that path exactly as written.
    pub(crate) async fn raw_get(&self, path: &str) -> (u16, String) {
        let key = &self.admin;
        let request = format!("GET {path} HTTP/1.1\r\nHost: argus\r\nX-API-Key: {key}\r\nConnection: close\r\n\r\n");
        let answer = self.raw(&request).await;
        let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        (status, answer)
    }

    /// Adds a test camera over the interface.
    pub(crate) async fn camera(&self, name: &str) -> String {
        let answer = self.post("/cameras", json!({"name": name, "type": "test"})).await;
        answer.expect(201)["id"].as_str().unwrap().to_owned()
    }

    /// Puts a camera into a state.
    pub(crate) fn set_status(&self, id: &str, status: CameraStatus) {
        self.control.states.lock().unwrap().insert(id.parse().unwrap(), CameraState::of(status));
    }

    /// Stores an event `ms` after 10:30.
    pub(crate) async fn event(&self, camera: &str, ms: i64, description: &str) -> Event {
        let at = Timestamp::from_millis(1_766_485_800_000 + ms);
        let new = NewEvent {
            id: EventId::new(at),
            camera_id: camera.parse().unwrap(),
            source_type: SourceType::Test,
            detection_type: DetectionType::Motion,
            timestamp: at,
            detected_at: at,
            description: description.into(),
            confidence: u8::try_from(ms.rem_euclid(101)).unwrap(),
            zones: vec![],
            motion: None,
            protect: None,
        };
        let plan = DescriptionPlan::Skip(argus_core::event::StatusReason::AiDisabled);
        self.db.event_open(new, at, plan).await.unwrap().0
    }

    /// Stores a file in the media store.
    pub(crate) async fn store(&self, key: &str, bytes: &[u8]) {
        self.media.put(&Path::parse(key).unwrap(), bytes.to_vec().into()).await.unwrap();
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    Answer::of(request.send().await.unwrap()).await
}

/// Waits until something is so.
pub(crate) async fn until<F, Fut>(what: &str, mut is_so: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}
