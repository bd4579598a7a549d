//! What every handler can reach.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use actix_web::{HttpRequest, web};
use argus_core::ports::{AiControl, Control, ControlError, ControllerControl};
use argus_core::{Clock, Secret, Timestamp};
use argus_db::{Database, TokenKey};
use object_store::ObjectStore;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::access::AccessTokens;
use crate::activity::Activity;
use crate::attempts::Attempts;
use crate::error::ApiError;
use crate::http_config::HttpConfig;
use crate::key_cache::KeyCache;
use crate::metrics::Metrics;
use crate::passwords::Passwords;
use crate::rate::{Limiter, WINDOW};
use crate::refresh::RefreshTokens;
use crate::tickets::Tickets;
use crate::tls::Certificates;
use crate::usage::Usage;

/// What the interface is made of: given once, at the start.
#[derive(Clone)]
pub struct AppState {
    /// Cameras, events, keys, the journal.
    pub db: Database,
    /// The running system.
    pub control: Arc<dyn Control>,
    /// The same, for providers of descriptions.
    pub ai: Arc<dyn AiControl>,
    /// Its controllers of cameras.
    pub controllers: Arc<dyn ControllerControl>,
    /// Pictures and clips.
    pub media: Arc<dyn ObjectStore>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Version of the server, as `/system/health` shows it.
    pub version: String,
    /// When the server was started.
    pub started_at: Timestamp,
    /// Ends everything: sockets, long polls, and in the end [`Bound::run`](crate::Bound::run).
    pub shutdown: CancellationToken,
    /// Intervals of sockets and of bookkeeping.
    pub timing: Timing,
    /// Proxies, origins, encryption.
    pub http: HttpConfig,
    /// Signing in.
    pub sign_in: SignIn,
}

/// What signing in needs beside the database.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// Signs access tokens.
    pub key: TokenKey,
    /// With it the first user is made. `None`: that can be done from this machine only.
    pub setup_token: Option<Secret>,
    /// Where that token also lies; removed with the first user.
    pub setup_file: Option<PathBuf>,
}

impl SignIn {
    /// Without a setup token.
    #[must_use]
    pub fn new(key: TokenKey) -> Self {
        Self { key, setup_token: None, setup_file: None }
    }
}

/// Intervals that clients are promised; tests shorten them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often a WebSocket is pinged.
    pub ping: Duration,
    /// A WebSocket that is silent for so long is dropped.
    pub silence: Duration,
    /// How often the credentials of a WebSocket are looked at again.
    pub recheck: Duration,
    /// How often the use of keys is written down.
    pub usage: Duration,
    /// How long a request's body may take to arrive.
    pub body: Duration,
    /// How long a connection may take to ask for something, from its beginning or from the end of the last answer.
    pub head: Duration,
    /// How long a client may refuse to take what it is sent.
    pub stall: Duration,
    /// Length of the window of the rate limit.
    pub window: Duration,
    /// How often the certificate's files are looked at.
    pub certificate: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(30),
            silence: Duration::from_secs(75),
            recheck: Duration::from_secs(3),
            usage: Duration::from_secs(2),
            body: Duration::from_secs(30),
            head: Duration::from_secs(10),
            stall: Duration::from_secs(90),
            window: WINDOW,
            certificate: Duration::from_secs(5),
        }
    }
}

/// [`AppState`] with what is kept between requests; one for all workers.
pub(crate) struct Shared {
    pub(crate) state: AppState,
    pub(crate) limiter: Limiter,
    pub(crate) usage: Usage,
    pub(crate) keys: KeyCache,
    pub(crate) metrics: Metrics,
    /// The moment from which the limiter counts.
    pub(crate) begun: Instant,
    /// Certificate and key, where TLS is spoken.
    pub(crate) tls: Option<Arc<Certificates>>,
    /// The first port that is listened on.
    pub(crate) port: u16,
    /// The runtime of [`Bound::run`](crate::Bound::run), where the running system lives.
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) accounts: Accounts,
    /// Pictures that may be described at once.
    pub(crate) pictures: Semaphore,
    /// Room for the bodies that bring them, MiB.
    pub(crate) uploads: Semaphore,
}

/// What signing in keeps between requests.
pub(crate) struct Accounts {
    pub(crate) access: AccessTokens,
    pub(crate) refresh: RefreshTokens,
    pub(crate) passwords: Passwords,
    pub(crate) attempts: Attempts,
    pub(crate) tickets: Tickets,
    pub(crate) activity: Activity,
    /// The setup token has ended.
    pub(crate) setup_over: AtomicBool,
}

impl Accounts {
    pub(crate) fn new(sign_in: &SignIn) -> Self {
        Self {
            access: AccessTokens::new(&sign_in.key),
            refresh: RefreshTokens::new(&sign_in.key),
            passwords: Passwords::default(),
            attempts: Attempts::default(),
            tickets: Tickets::default(),
            activity: Activity::default(),
            setup_over: AtomicBool::new(false),
        }
    }
}

impl Shared {
    /// Asks the running system, on its own runtime.
    ///
    /// Workers have single-threaded runtimes of their own, and drop a handler when its client goes away. What the call
    /// starts must outlive both, and a change that was begun is finished.
    pub(crate) async fn control<T, F, Fut>(&self, call: F) -> Result<T, ApiError>
    where
        F: FnOnce(Arc<dyn Control>) -> Fut,
        Fut: Future<Output = Result<T, ControlError>> + Send + 'static,
        T: Send + 'static,
    {
        let call = call(Arc::clone(&self.state.control));
        self.finish(async move { Ok(call.await?) }).await
    }

    /// The same as [`control`](Self::control), for providers of descriptions.
    pub(crate) async fn ai<T, F, Fut>(&self, call: F) -> Result<T, ApiError>
    where
        F: FnOnce(Arc<dyn AiControl>) -> Fut,
        Fut: Future<Output = Result<T, ControlError>> + Send + 'static,
        T: Send + 'static,
    {
        let call = call(Arc::clone(&self.state.ai));
        self.finish(async move { Ok(call.await?) }).await
    }

    /// Does something to its end, also when the client goes away meanwhile.
    pub(crate) async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    ) -> Result<T, ApiError> {
        // With the request's span, so that what is logged on the way has its id.
        match self.runtime.spawn(work.in_current_span()).await {
            Ok(answer) => answer,
            Err(failure) => {
                tracing::error!(error = %failure, "what a request asked for did not end");
                Err(ApiError::Panicked)
            }
        }
    }
}

/// The state of the application that a request came to.
#[expect(clippy::expect_used, reason = "lib.rs registers it with every App before any route")]
pub(crate) fn shared(req: &HttpRequest) -> &Shared {
    req.app_data::<web::Data<Shared>>().expect("the state is registered").get_ref()
}
