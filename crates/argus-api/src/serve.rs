//! Listening, serving, stopping.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_http::error::DispatchError;
use actix_http::{Extensions, HttpService, Protocol};
use actix_server::{GracefulShutdownSignal, Server};
use actix_service::{IntoServiceFactory as _, ServiceFactory, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::App;
use actix_web::dev::AppConfig;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use argus_core::chain;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;

use crate::conn::{Conn, Limits, Stream};
use crate::error::ApiError;
use crate::key_cache::KeyCache;
use crate::metrics::Metrics;
use crate::outer::outer;
use crate::rate::Limiter;
use crate::state::{Accounts, AppState, Shared, Timing};
use crate::tls::Certificates;
use crate::usage::Usage;
use crate::{routes, ssl};

/// How long requests that are being answered may take once the server stops, seconds.
const STOP_S: u64 = 3;
/// How often sessions that have ended by their time are forgotten.
const ENDED_EVERY: Duration = Duration::from_secs(600);
/// Most workers; each is a thread.
const WORKERS: usize = 4;
/// How long a client may take to agree on a cipher.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Pictures that may be described at once: each takes up to 200 MB decoded.
const PICTURES: usize = 4;
/// What bodies with pictures may take together while they come and until they are described, MiB.
const UPLOADS_MIB: usize = 128;

/// Where it listens when nothing is said.
const PORT: u16 = 8000;

/// Takes the addresses, so that callers know the real ports and whether they are free, before anything is served.
/// Without any, port 8000 of all this machine's addresses, IPv6 where there is any.
///
/// # Errors
/// `Bind` when an address is not available, `Certificate` when the certificate or its key cannot be used.
pub fn bind(state: AppState, addrs: &[SocketAddr]) -> Result<Bound, ApiError> {
    let tls = state.http.tls.as_ref().map(Certificates::load).transpose()?;
    let listeners = if addrs.is_empty() {
        let any = |ip: IpAddr| Listener::bind(SocketAddr::new(ip, PORT)).map(|one| vec![one]);
        match any(Ipv6Addr::UNSPECIFIED.into()) {
            Err(ApiError::Bind { source, .. }) if no_ipv6(&source) => any(Ipv4Addr::UNSPECIFIED.into())?,
            bound => bound?,
        }
    } else {
        addrs.iter().map(|&addr| Listener::bind(addr)).collect::<Result<_, _>>()?
    };
    let redirect = state.http.tls.as_ref().and_then(|tls| tls.redirect_listen);
    let redirect = redirect.map(Listener::bind).transpose()?;
    let addrs = listeners.iter().map(|l| l.addr).collect();
    Ok(Bound { state, tls, listeners, redirect, addrs })
}

/// Whether an address could not be taken because this machine has no IPv6, and not because somebody else has it.
fn no_ipv6(failure: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    /// `EAFNOSUPPORT` of Linux and of the BSDs.
    const NO_FAMILY: [i32; 2] = [97, 47];
    matches!(failure.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported)
        || failure.raw_os_error().is_some_and(|code| NO_FAMILY.contains(&code))
}

/// A socket that listens, with its real port.
struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
}

impl Listener {
    fn bind(addr: SocketAddr) -> Result<Self, ApiError> {
        let taken = |source| ApiError::Bind { addr, source };
        let socket = TcpListener::bind(addr).map_err(taken)?;
        let addr = socket.local_addr().map_err(taken)?;
        Ok(Self { socket, addr })
    }
}

/// An interface that listens and does not answer yet.
pub struct Bound {
    state: AppState,
    tls: Option<Arc<Certificates>>,
    listeners: Vec<Listener>,
    redirect: Option<Listener>,
    addrs: Vec<SocketAddr>,
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bound({:?})", self.addrs)
    }
}

impl Bound {
    /// The addresses with their real ports, in the order in which they were asked for.
    #[must_use]
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Where plain HTTP is sent to HTTPS.
    #[must_use]
    pub fn redirect_addr(&self) -> Option<SocketAddr> {
        self.redirect.as_ref().map(|l| l.addr)
    }

    /// `https` or `http`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Answers requests until `state.shutdown` is cancelled: sockets are closed, long polls answered, what is being
    /// answered is finished within 3 s, and the use of keys is written down. Calls of the running system are made on the
    /// runtime that polls this.
    ///
    /// # Errors
    /// `Serve` when serving fails.
    pub async fn run(self) -> Result<(), ApiError> {
        let (shutdown, timing) = (self.state.shutdown.clone(), self.state.timing);
        let shared = Data::new(Shared {
            accounts: Accounts::new(&self.state.sign_in),
            pictures: Semaphore::new(PICTURES),
            uploads: Semaphore::new(UPLOADS_MIB),
            state: self.state,
            limiter: Limiter::new(timing.window),
            usage: Usage::default(),
            keys: KeyCache::default(),
            metrics: Metrics::new().map_err(ApiError::Metrics)?,
            begun: Instant::now(),
            runtime: tokio::runtime::Handle::current(),
            tls: self.tls,
            port: self.addrs.first().map_or(PORT, SocketAddr::port),
        });
        let server = start(self.listeners, self.redirect, &shared)?;
        let handle = server.handle();
        let mut server = pin!(server);
        // Apart from serving: a database that lets it wait delays no stop.
        let books = tokio::spawn(keep_books(Data::clone(&shared).into_inner(), timing));
        let mut stopping = false;
        let served = loop {
            tokio::select! {
                served = &mut server => break served,
                () = shutdown.cancelled(), if !stopping => {
                    stopping = true;
                    // The command is sent at once; that it was carried out is seen by the server's own end.
                    drop(handle.stop(true));
                }
            }
        };
        shutdown.cancel();
        if books.await.is_err() {
            tracing::error!("the books were not kept to the end");
        }
        // Once nothing is answered any more: what was admitted last counts too.
        shared.usage.flush(&shared.state.db).await;
        shared.accounts.activity.flush_all(&shared.state.db).await;
        served.map_err(ApiError::Serve)
    }
}

/// Writes down what was counted, forgets what is over, and looks at the certificate, until the server stops.
async fn keep_books(shared: Arc<Shared>, timing: Timing) {
    let db = &shared.state.db;
    let [mut usage, mut certificate, mut ended] = [timing.usage, timing.certificate, ENDED_EVERY].map(|every| {
        let mut timer = interval(every);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        timer
    });
    loop {
        tokio::select! {
            () = shared.state.shutdown.cancelled() => break,
            _ = usage.tick() => {
                shared.usage.flush(db).await;
                shared.limiter.sweep(shared.begun.elapsed());
                shared.accounts.activity.flush(db).await;
                shared.accounts.attempts.sweep(shared.state.clock.now());
                shared.keys.sweep(shared.begun.elapsed());
            }
            _ = certificate.tick() => {
                if let Some(tls) = &shared.tls {
                    tls.reload().await;
                }
            }
            _ = ended.tick() => {
                if let Err(failure) = db.sessions_expire(shared.state.clock.now()).await {
                    tracing::warn!(error = chain(&failure), "sessions that have ended stay stored for now");
                }
            }
        }
    }
}

/// What is spoken on a socket.
#[derive(Clone)]
enum Speaks {
    Http,
    Https(TlsAcceptor),
    /// Plain HTTP, answered with the way to HTTPS.
    Redirect,
}

/// Starts the workers. Apart from the rest, because what builds a server may not cross threads, and the server may.
fn start(listeners: Vec<Listener>, redirect: Option<Listener>, shared: &Data<Shared>) -> Result<Server, ApiError> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS);
    let mut server = Server::build().workers(workers).disable_signals().shutdown_timeout(STOP_S);
    let speaks = match &shared.tls {
        Some(tls) => Speaks::Https(TlsAcceptor::from(Arc::new(tls.acceptor()?))),
        None => Speaks::Http,
    };
    let all = listeners.into_iter().map(|l| (l, speaks.clone())).chain(redirect.map(|l| (l, Speaks::Redirect)));
    for (listener, speaks) in all {
        let (shared, stopping) = (Data::clone(shared), server.graceful_shutdown_signal());
        let make = move || service(&shared, speaks.clone(), stopping.clone());
        server = server.listen(format!("http-{}", listener.addr), listener.socket, make).map_err(ApiError::Serve)?;
    }
    Ok(server.run())
}

/// What one worker does with the connections of one socket.
fn service(
    shared: &Data<Shared>,
    speaks: Speaks,
    stopping: GracefulShutdownSignal,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<> {
    let timing = shared.state.timing;
    let limits = Limits { head: timing.head, stall: timing.stall };
    let runtime = shared.runtime.clone();
    let (routes, other): (fn(&mut ServiceConfig), _) = match speaks {
        Speaks::Redirect => (|_: &mut ServiceConfig| {}, web::to(ssl::redirect)),
        Speaks::Http | Speaks::Https(_) => (routes::configure, web::to(routes::unknown)),
    };
    let app = App::new().app_data(Data::clone(shared)).configure(routes).default_service(other).wrap(from_fn(outer));
    let app = app.into_factory().map_err(|failure: actix_web::Error| failure.error_response());
    let http = HttpService::build()
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
        .client_request_timeout(timing.head)
        .keep_alive(timing.head)
        // The end of an answer may still wait for a slow client when the connection has been quiet for long enough, and
        // a body that nobody wants may still be arriving when it is refused: without this the answer would be thrown
        // away. Whether the client takes anything is watched below.
        .client_disconnect_timeout(timing.stall)
        .on_connect_ext(|conn: &Conn, data: &mut Extensions| {
            data.insert(conn.link());
        })
        .finish(map_config(app, |()| AppConfig::default()));
    fn_service(move |tcp: TcpStream| {
        let (speaks, runtime) = (speaks.clone(), runtime.clone());
        async move {
            let peer = tcp.peer_addr().ok();
            // Messages are small and due at once.
            tcp.set_nodelay(true).map_err(DispatchError::Io)?;
            let stream = match speaks {
                Speaks::Http | Speaks::Redirect => Stream::Plain(tcp),
                Speaks::Https(acceptor) => encrypted(&acceptor, tcp).await?,
            };
            Ok((Conn::new(stream, limits, runtime), Protocol::Http1, peer))
        }
    })
    .and_then(http)
}

/// Agrees with the client on a cipher.
async fn encrypted(acceptor: &TlsAcceptor, tcp: TcpStream) -> Result<Stream, DispatchError> {
    let accepted = timeout(HANDSHAKE, acceptor.accept(tcp)).await;
    let accepted = accepted.unwrap_or_else(|_elapsed| Err(std::io::ErrorKind::TimedOut.into()));
    let stream = accepted.map_err(|failure| {
        tracing::debug!(error = %failure, "no TLS connection came about");
        DispatchError::Io(failure)
    })?;
    Ok(Stream::Tls(Box::new(stream)))
}
