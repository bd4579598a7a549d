//! Connections: TCP, TLS, HTTP/1.1, and the switch to WebSocket.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::service::service_fn;
use hyper::{HeaderMap, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;

use crate::console::Console;
use crate::fault::What;
use crate::journal::Request;
use crate::reply::{Outgoing, Reply};
use crate::route::{self, Outcome};
use crate::stream;
use crate::tls::Wire;

/// The largest body that is taken.
const BODY_LIMIT: usize = 1024 * 1024;
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// A hold on a connection from inside it.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) number: u64,
    pub(crate) stop: CancellationToken,
    resets: Arc<AtomicBool>,
}

impl Link {
    /// The connection ends with a TCP reset, now.
    pub(crate) fn reset(&self) {
        self.resets.store(true, Ordering::Relaxed);
        self.stop.cancel();
    }
}

/// A TCP connection that can end with a reset.
struct Tcp {
    inner: TcpStream,
    resets: Arc<AtomicBool>,
}

impl Drop for Tcp {
    fn drop(&mut self) {
        if self.resets.load(Ordering::Relaxed) {
            // Without lingering, closing sends a reset; when that fails the connection ends all the same.
            let _ = self.inner.set_zero_linger();
        }
    }
}

impl AsyncRead for Tcp {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Takes connections until `until` is cancelled.
pub(crate) async fn listen(console: Arc<Console>, listener: TcpListener, until: CancellationToken) {
    loop {
        let taken = tokio::select! {
            () = until.cancelled() => return,
            taken = listener.accept() => taken,
        };
        match taken {
            Ok((tcp, _)) => {
                tokio::spawn(connection(Arc::clone(&console), tcp));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn connection(console: Arc<Console>, tcp: TcpStream) {
    let resets = Arc::new(AtomicBool::new(false));
    let (number, wire, config) = {
        let mut state = console.state();
        let number = state.next_connection;
        state.next_connection += 1;
        let certificate = &state.certificate;
        let config = if state.wire == Wire::Tls12 { &certificate.config_12 } else { &certificate.config };
        (number, state.wire, Arc::clone(config))
    };
    let link = Link { number, stop: console.connection_token(), resets: Arc::clone(&resets) };
    // What is sent is small, and others wait for it.
    let _ = tcp.set_nodelay(true);
    let tcp = Tcp { inner: tcp, resets };
    match wire {
        Wire::Mute => link.stop.cancelled().await,
        Wire::Reset => link.reset(),
        Wire::Plain => http(console, link, tcp).await,
        Wire::Tls | Wire::Tls12 => {
            let stop = link.stop.clone();
            let accepted = tokio::time::timeout(HANDSHAKE_LIMIT, TlsAcceptor::from(config).accept(tcp));
            tokio::select! {
                () = stop.cancelled() => {}
                accepted = accepted => match accepted {
                    Ok(Ok(tls)) => http(console, link, tls).await,
                    Ok(Err(error)) => tracing::debug!(%error, "no TLS"),
                    Err(_) => tracing::debug!("no TLS in time"),
                }
            }
        }
    }
}

async fn http(console: Arc<Console>, link: Link, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let stop = link.stop.clone();
    let service = service_fn(move |request| handle(Arc::clone(&console), link.clone(), request));
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    tokio::select! {
        () = stop.cancelled() => {}
        served = served => if let Err(error) = served {
            tracing::debug!(%error, "a connection broke");
        }
    }
}

/// A request as handlers see it.
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The first parameter of that name.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All parameters of that name.
    pub(crate) fn parameters(&self, name: &str) -> Vec<&str> {
        self.query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.parameter(name)?.parse().ok()
    }

    /// The value of a cookie.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        let all = self.headers.get_all(hyper::header::COOKIE);
        let pairs = all.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
        pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

async fn handle(
    console: Arc<Console>,
    link: Link,
    mut request: hyper::Request<Incoming>,
) -> io::Result<Response<Outgoing>> {
    let upgrade = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Err(io::Error::other(error.to_string())),
    };
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let asked = Asked {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers: parts.headers,
        body,
    };
    let (number, what) = note(&console, &link, &asked, query);
    match &what {
        Some(What::Reset) => {
            link.reset();
            return Err(io::Error::other("reset on purpose"));
        }
        Some(What::Close) => {
            link.stop.cancel();
            return Err(io::Error::other("closed on purpose"));
        }
        Some(What::Delay(pause)) => tokio::time::sleep(*pause).await,
        _ => {}
    }
    let outcome = match &what {
        Some(What::Answer(status, body)) => Outcome::Reply(Reply::fault(*status, body)),
        _ => route::answer(&console, &asked, upgrade.is_some(), what.as_ref()),
    };
    let date = console.clock.http_date();
    let mut response = match (outcome, upgrade) {
        (Outcome::Reply(reply), _) => reply.send(what.as_ref()),
        (Outcome::Upgrade(start), Some(upgrade)) => {
            let key = asked.headers.get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
            let entry = stream::Entry::new(&console, &start);
            tokio::spawn(async move {
                match upgrade.await {
                    Ok(upgraded) => stream::serve(entry, link, upgraded, *start).await,
                    Err(error) => tracing::debug!(%error, "no WebSocket"),
                }
            });
            let mut response = Reply::empty(101).send(None);
            let headers = response.headers_mut();
            headers.insert(CONNECTION, hyper::header::HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, hyper::header::HeaderValue::from_static("websocket"));
            if let Some(Ok(key)) = key.map(|key| key.parse()) {
                headers.insert(SEC_WEBSOCKET_ACCEPT, key);
            }
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response
        }
        (Outcome::Upgrade(_), None) => Reply::bad("a WebSocket was expected").send(None),
    };
    if let Ok(date) = date.parse() {
        response.headers_mut().insert(hyper::header::DATE, date);
    }
    console.state().journal.answered(number, response.status().as_u16());
    Ok(response)
}

/// Writes the request down and asks whether something is to go wrong with it.
fn note(console: &Console, link: &Link, asked: &Asked, query: String) -> (u64, Option<What>) {
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let request = Request {
        at: console.started.elapsed(),
        connection: link.number,
        method: asked.method.clone(),
        path: asked.path.clone(),
        query,
        headers: asked.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: asked.body.to_vec(),
        status: 0,
    };
    let mut state = console.state();
    let number = state.journal.add(request);
    let state = &mut *state;
    let what = state.faults.pick(&asked.method, &asked.path, &mut state.chance);
    (number, what)
}
