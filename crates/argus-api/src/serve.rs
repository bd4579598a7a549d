//! Listening, serving, stopping.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::pin::pin;
use std::time::Instant;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data};
use actix_web::{App, HttpServer};
use tokio::time::{MissedTickBehavior, interval};

use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::outer::outer;
use crate::rate::Limiter;
use crate::routes;
use crate::state::{Accounts, AppState, Shared};
use crate::usage::Usage;

/// How long requests that are being answered may take once the server stops, seconds.
const STOP_S: u64 = 3;
/// Most workers; each is a thread.
const WORKERS: usize = 4;

/// Where it listens when nothing is said.
const PORT: u16 = 8000;

/// Takes the addresses, so that callers know the real ports and whether they are free, before anything is served.
/// Without any, port 8000 of all this machine's addresses, IPv6 where there is any.
///
/// # Errors
/// `Bind` when an address is not available.
pub fn bind(state: AppState, addrs: &[SocketAddr]) -> Result<Bound, ApiError> {
    if addrs.is_empty() {
        let any = |ip: IpAddr| SocketAddr::new(ip, PORT);
        return bind(state.clone(), &[any(Ipv6Addr::UNSPECIFIED.into())])
            .or_else(|_no_ipv6| bind(state, &[any(Ipv4Addr::UNSPECIFIED.into())]));
    }
    let mut listeners = Vec::with_capacity(addrs.len());
    let mut bound = Vec::with_capacity(addrs.len());
    for &addr in addrs {
        let taken = |source| ApiError::Bind { addr, source };
        let listener = TcpListener::bind(addr).map_err(taken)?;
        bound.push(listener.local_addr().map_err(taken)?);
        listeners.push(listener);
    }
    Ok(Bound { state, listeners, addrs: bound })
}

/// An interface that listens and does not answer yet.
pub struct Bound {
    state: AppState,
    listeners: Vec<TcpListener>,
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
            state: self.state,
            limiter: Limiter::default(),
            usage: Usage::default(),
            metrics: Metrics::new().map_err(ApiError::Metrics)?,
            begun: Instant::now(),
            runtime: tokio::runtime::Handle::current(),
        });
        let server = start(self.listeners, &shared)?;
        let handle = server.handle();
        let mut server = pin!(server);
        let mut bookkeeping = interval(timing.usage);
        bookkeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping = false;
        let served = loop {
            tokio::select! {
                served = &mut server => break served,
                () = shutdown.cancelled(), if !stopping => {
                    stopping = true;
                    // The command is sent at once; that it was carried out is seen by the server's own end.
                    drop(handle.stop(true));
                }
                _ = bookkeeping.tick() => {
                    shared.usage.flush(&shared.state.db).await;
                    shared.limiter.sweep(shared.begun.elapsed());
                    shared.accounts.activity.flush(&shared.state.db).await;
                    shared.accounts.attempts.sweep(shared.state.clock.now());
                }
            }
        };
        shared.usage.flush(&shared.state.db).await;
        shared.accounts.activity.flush_all(&shared.state.db).await;
        served.map_err(ApiError::Serve)
    }
}

/// Starts the workers. Apart from the rest, because what builds a server may not cross threads, and the server may.
fn start(listeners: Vec<TcpListener>, shared: &Data<Shared>) -> Result<Server, ApiError> {
    let app = Data::clone(shared);
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS);
    let mut server = HttpServer::new(move || {
        App::new()
            .app_data(Data::clone(&app))
            .configure(routes::configure)
            .default_service(web::to(routes::unknown))
            .wrap(from_fn(outer))
    })
    .workers(workers)
    .disable_signals()
    .shutdown_timeout(STOP_S);
    for listener in listeners {
        server = server.listen(listener).map_err(ApiError::Serve)?;
    }
    Ok(server.run())
}
