//! What every handler can reach.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::{HttpRequest, web};
use argus_core::ports::{Control, ControlError};
use argus_core::{Clock, Timestamp};
use argus_db::Database;
use object_store::ObjectStore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::error::ApiError;
use crate::http_config::HttpConfig;
use crate::metrics::Metrics;
use crate::rate::Limiter;
use crate::usage::Usage;

/// What the interface is made of: given once, at the start.
#[derive(Clone)]
pub struct AppState {
    /// Cameras, events, keys, the journal.
    pub db: Database,
    /// The running system.
    pub control: Arc<dyn Control>,
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
}

/// Intervals that the contract promises; tests shorten them.
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
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(30),
            silence: Duration::from_secs(75),
            recheck: Duration::from_secs(3),
            usage: Duration::from_secs(2),
            body: Duration::from_secs(30),
        }
    }
}

/// [`AppState`] with what is kept between requests; one for all workers.
pub(crate) struct Shared {
    pub(crate) state: AppState,
    pub(crate) limiter: Limiter,
    pub(crate) usage: Usage,
    pub(crate) metrics: Metrics,
    /// The moment from which the limiter counts.
    pub(crate) begun: Instant,
    /// The runtime of [`Bound::run`](crate::Bound::run), where the running system lives.
    pub(crate) runtime: tokio::runtime::Handle,
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
        // With the request's span, so that what is logged on the way has its id.
        let task = self.runtime.spawn(call(Arc::clone(&self.state.control)).in_current_span());
        match task.await {
            Ok(answer) => Ok(answer?),
            Err(failure) => {
                tracing::error!(error = %failure, "a call of the running system did not end");
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
