//! WebSocket connections to a controller, through the same TLS rules as HTTPS.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderMap;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use url::Url;

use crate::ProtectError;
use crate::error::{of_status, reason};
use crate::http::Http;
use crate::tls::fault;
use crate::watch::{Step, Watch};

/// Largest message; real ones stay under a hundred kilobytes.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// Why a WebSocket could not be opened.
pub(crate) struct Refused {
    /// HTTP status, where it came so far.
    pub(crate) status: Option<u16>,
    pub(crate) error: ProtectError,
}

/// Why a WebSocket ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// As the end of a sentence.
    pub(crate) reason: String,
    /// Close code, where there was one.
    pub(crate) code: Option<u16>,
    /// No message had come.
    pub(crate) at_once: bool,
}

/// An open WebSocket that is watched.
pub(crate) struct Socket {
    inner: WebSocketStream<TlsStream<TcpStream>>,
    watch: Watch,
    opened: Instant,
    messages: u64,
    every: Duration,
}

/// Opens a WebSocket; `what` names it in errors.
pub(crate) async fn open(
    http: &Http,
    url: &Url,
    headers: HeaderMap,
    what: &'static str,
    talkative: bool,
) -> Result<Socket, Refused> {
    let tuning = &http.tuning;
    let limit = tuning.connect.saturating_add(tuning.answer);
    let inner = match timeout(limit, handshake(http, url, headers, what)).await {
        Ok(inner) => inner?,
        Err(_) => return Err(Refused { status: None, error: ProtectError::Timeout(what.into()) }),
    };
    let now = Instant::now();
    let watch = if talkative { Watch::talkative(tuning, now) } else { Watch::quiet(tuning, now) };
    Ok(Socket { inner, watch, opened: now, messages: 0, every: tuning.ping_every })
}

async fn handshake(
    http: &Http,
    url: &Url,
    headers: HeaderMap,
    what: &'static str,
) -> Result<WebSocketStream<TlsStream<TcpStream>>, Refused> {
    let unreachable = |e: &(dyn std::error::Error + 'static)| Refused {
        status: None,
        error: fault(e, http.tls.shown().as_ref()).unwrap_or_else(|| ProtectError::Unreachable(reason(e))),
    };
    let tcp = TcpStream::connect((http.host.as_str(), http.port)).await.map_err(|e| unreachable(&e))?;
    tcp.set_nodelay(true).map_err(|e| unreachable(&e))?;
    let name = ServerName::try_from(http.host.clone()).map_err(|e| unreachable(&e))?;
    let connector = TlsConnector::from(Arc::clone(&http.tls.config()));
    let tls = connector.connect(name, tcp).await.map_err(|e| unreachable(&e))?;
    let mut request = url.as_str().into_client_request().map_err(|e| unreachable(&e))?;
    request.headers_mut().extend(headers);
    let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    match tokio_tungstenite::client_async_with_config(request, tls, Some(config)).await {
        Ok((socket, answer)) => {
            if let Some(date) = answer.headers().get(http::header::DATE).and_then(|d| d.to_str().ok()) {
                http.clock.learn(date);
            }
            http.breaker.worked();
            Ok(socket)
        }
        Err(Error::Http(answer)) => {
            let status = answer.status().as_u16();
            Err(Refused { status: Some(status), error: of_status(what, status) })
        }
        Err(e) => Err(unreachable(&e)),
    }
}

impl Socket {
    /// How long it has been open.
    pub(crate) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// How long there was no message.
    pub(crate) fn silence(&self) -> Duration {
        self.watch.silence(Instant::now())
    }

    /// How long nothing was heard, not even an answer to a ping.
    pub(crate) fn unheard(&self) -> Duration {
        self.watch.unheard(Instant::now())
    }

    /// The next message with content; pings are answered and sent meanwhile. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Bytes, Ended> {
        loop {
            let due = match self.watch.step(Instant::now()) {
                Step::Wait(due) => due,
                Step::Ping => {
                    self.send(Message::Ping(Bytes::new())).await?;
                    continue;
                }
                Step::Dead(reason) => return Err(self.ended(reason.into(), None)),
            };
            let message = tokio::select! {
                message = self.inner.next() => message,
                () = sleep_until(due) => continue,
            };
            let content = matches!(&message, Some(Ok(Message::Binary(_) | Message::Text(_))));
            self.watch.heard(Instant::now(), content);
            match message {
                Some(Ok(Message::Binary(bytes))) => return Ok(self.counted(bytes)),
                Some(Ok(Message::Text(text))) => return Ok(self.counted(text.into())),
                // Reading on sends the answer to a ping.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.as_ref().map(|f| u16::from(f.code));
                    let why =
                        frame.map(|f| f.reason.as_str().chars().take(100).collect::<String>()).unwrap_or_default();
                    return Err(self.ended(format!("the controller closed it {why}").trim_end().to_owned(), code));
                }
                Some(Err(e)) => return Err(self.ended(reason(&e), None)),
                None => return Err(self.ended("the connection broke".into(), None)),
            }
        }
    }

    /// Runs `work` to its end while the stream is held back, and shows the controller that this side lives.
    pub(crate) async fn hold<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    // What could not be read was not missing.
                    self.watch.heard(Instant::now(), true);
                    return done;
                }
                () = tokio::time::sleep(self.every) => {
                    // Bounded, because the work is not driven meanwhile.
                    let pong = self.inner.send(Message::Pong(Bytes::new()));
                    let _ = timeout(Duration::from_millis(200), pong).await;
                }
            }
        }
    }

    /// Closes it, without waiting for the answer.
    pub(crate) async fn close(mut self) {
        let _ = timeout(Duration::from_secs(1), self.inner.close(None)).await;
    }

    async fn send(&mut self, message: Message) -> Result<(), Ended> {
        match timeout(self.every, self.inner.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(self.ended(reason(&e), None)),
            Err(_) => Err(self.ended("it takes no more".into(), None)),
        }
    }

    fn counted(&mut self, bytes: Bytes) -> Bytes {
        self.messages = self.messages.saturating_add(1);
        bytes
    }

    fn ended(&self, reason: String, code: Option<u16>) -> Ended {
        Ended { reason, code, at_once: self.messages == 0 }
    }
}

impl Ended {
    /// Whether the place to resume from is to blame.
    pub(crate) fn is_stale(&self) -> bool {
        self.at_once || self.reason.contains("lastUpdateId")
    }
}
