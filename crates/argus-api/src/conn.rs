//! One connection of a client, with the bounds that keep it from holding the server up.
//!
//! What lies above knows a time limit only for the first request of a connection, waits without end for a client that does
//! not take its answer, and answers what is no HTTP with a bare status. All three are mended here, below it: the time
//! between requests is bounded, so is the time without progress of a write, and a bare status gets the one shape of errors.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::StatusCode;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::server::TlsStream;

use crate::error::ErrorBody;
use crate::headers;
use crate::request_id;

/// Beyond the limit of the first request, which is kept above and answered with a 408.
const GRACE: Duration = Duration::from_secs(1);
/// How long, and how much, is read and thrown away after a last answer, so that the client sees it before the close.
const DRAIN: Duration = Duration::from_secs(2);
const DRAIN_BYTES: u64 = 32 << 20;

/// The bytes of a connection, in clear or encrypted.
pub(crate) enum Stream {
    /// In clear.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

/// What is known about a connection while its requests are answered; kept in the data of the connection.
#[derive(Clone, Debug)]
pub(crate) struct Link(Rc<LinkState>);

#[derive(Debug)]
struct LinkState {
    is_tls: bool,
    /// Requests that are being answered.
    active: Cell<usize>,
    /// Requests so far.
    begun: Cell<u64>,
}

impl Link {
    /// Whether the client speaks TLS with this server.
    pub(crate) fn is_tls(&self) -> bool {
        self.0.is_tls
    }

    /// Notes that a request is being answered, for as long as the value lives.
    pub(crate) fn enter(&self) -> Busy {
        self.0.active.set(self.0.active.get() + 1);
        self.0.begun.set(self.0.begun.get() + 1);
        Busy(self.clone())
    }

    fn is_busy(&self) -> bool {
        self.0.active.get() > 0
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Busy(Link);

impl Drop for Busy {
    fn drop(&mut self) {
        let active = &self.0.0.active;
        active.set(active.get().saturating_sub(1));
    }
}

/// A body that keeps its connection busy until it is sent.
pub(crate) struct Held {
    body: BoxBody,
    _busy: Busy,
}

impl Held {
    pub(crate) fn new(body: BoxBody, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl MessageBody for Held {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(cx)
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// To ask for something.
    pub(crate) head: Duration,
    /// To take what is sent.
    pub(crate) stall: Duration,
}

/// A connection.
pub(crate) struct Conn {
    /// Gone only while the connection is dropped.
    stream: Option<Stream>,
    link: Link,
    limits: Limits,
    runtime: tokio::runtime::Handle,
    /// Requests so far when `idle` was set.
    seen: u64,
    /// Whether the next request has begun to arrive; it then has a time of its own.
    arriving: bool,
    /// Whether the client has said that it sends no more, or the connection is broken.
    ended: bool,
    /// Whether something was sent.
    answered: bool,
    /// Ends the wait for a request.
    idle: Option<Pin<Box<Sleep>>>,
    /// Ends the wait for the client to take something.
    stalled: Option<Pin<Box<Sleep>>>,
    farewell: Option<Farewell>,
}

/// A last answer, in place of a bare status.
struct Farewell {
    bytes: Bytes,
    sent: usize,
}

impl Conn {
    /// `runtime` is where a connection is drained after its last answer.
    pub(crate) fn new(stream: Stream, limits: Limits, runtime: tokio::runtime::Handle) -> Self {
        let is_tls = matches!(stream, Stream::Tls(_));
        let link = Link(Rc::new(LinkState { is_tls, active: Cell::new(0), begun: Cell::new(0) }));
        Self {
            stream: Some(stream),
            link,
            limits,
            runtime,
            seen: 0,
            arriving: false,
            ended: false,
            answered: false,
            idle: None,
            stalled: None,
            farewell: None,
        }
    }

    /// For the data of the connection.
    pub(crate) fn link(&self) -> Link {
        self.link.clone()
    }

    fn stream(&mut self) -> io::Result<Pin<&mut Stream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// With nothing to read: whether the client has been waited for long enough. It then looks as if it had hung up.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let begun = self.link.0.begun.get();
        if self.link.is_busy() {
            self.idle = None;
            return Poll::Pending;
        }
        let limit = self.limits.head + GRACE;
        if self.seen != begun {
            self.seen = begun;
            self.arriving = false;
            self.idle = None;
        }
        let idle = self.idle.get_or_insert_with(|| Box::pin(sleep(limit)));
        idle.as_mut().poll(cx).map(Ok)
    }

    /// Something was read. With the first of a request its time begins, however long the connection was quiet before; what
    /// follows of it gets no more.
    fn came(&mut self) {
        let begun = self.link.0.begun.get();
        if self.seen != begun {
            self.seen = begun;
            self.arriving = false;
        }
        if !self.link.is_busy() && !self.arriving {
            self.arriving = true;
            self.idle = None;
        }
    }

    /// With nothing taken: whether the client had long enough to take something.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let limit = self.limits.stall;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        stalled.as_mut().poll(cx).map(|()| io::ErrorKind::TimedOut.into())
    }

    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((bytes, sent)) = self.farewell.as_ref().map(|f| (f.bytes.clone(), f.sent)) {
            let rest = bytes.slice(sent.min(bytes.len())..);
            if rest.is_empty() {
                break;
            }
            let written = ready!(self.stream()?.poll_write(cx, &rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if let Some(farewell) = &mut self.farewell {
                farewell.sent += written;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Conn {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let had = buf.filled().len();
        match this.stream()?.poll_read(cx, buf) {
            Poll::Pending => this.poll_idle(cx),
            Poll::Ready(Ok(())) if buf.filled().len() > had => {
                this.came();
                Poll::Ready(Ok(()))
            }
            done => {
                this.ended = true;
                done
            }
        }
    }
}

impl AsyncWrite for Conn {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.farewell.is_none() && !this.link.is_busy() {
            this.farewell = bare(buf).map(|status| Farewell::new(status, this.link.is_tls()));
        }
        let done = if this.farewell.is_some() {
            this.poll_farewell(cx).map_ok(|()| buf.len())
        } else {
            this.stream()?.poll_write(cx, buf)
        };
        match done {
            Poll::Pending => this.poll_stalled(cx).map(Err),
            done => {
                this.stalled = None;
                this.answered = true;
                this.ended |= matches!(done, Poll::Ready(Err(_)));
                done
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.stream()?.poll_flush(cx) {
            Poll::Pending => this.poll_stalled(cx).map(Err),
            done => {
                this.stalled = None;
                done
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream()?.poll_shutdown(cx)
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        let is_over = self.ended || !self.answered || self.stalled.is_some();
        if (self.farewell.is_some() || !is_over)
            && let Some(stream) = self.stream.take()
        {
            self.runtime.spawn(drain(stream));
        }
    }
}

/// Closing a connection with unread input makes the system throw away what was sent last. The input may be a request that
/// crossed with the close.
async fn drain(mut stream: Stream) {
    let drained = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(DRAIN_BYTES), &mut tokio::io::sink()).await
    };
    // However it ends, the connection is closed now.
    let _ = timeout(DRAIN, drained).await;
}

/// The status, when this is the whole of an answer that was made for what is no request.
fn bare(buf: &[u8]) -> Option<StatusCode> {
    let text = std::str::from_utf8(buf).ok().filter(|text| text.len() < 512)?;
    let status = text.strip_prefix("HTTP/1.")?.get(2..5)?.parse::<u16>().ok()?;
    let is_bare = text.ends_with("\r\n\r\n")
        && text.contains("\r\ncontent-length: 0\r\n")
        && !text.contains(request_id::HEADER)
        && status >= 400;
    if is_bare { StatusCode::from_u16(status).ok() } else { None }
}

impl Farewell {
    /// `is_tls`: how the connection came, as an answer says by a header.
    fn new(status: StatusCode, is_tls: bool) -> Self {
        let detail = match status {
            StatusCode::BAD_REQUEST => "The request is not HTTP as it should be",
            StatusCode::REQUEST_TIMEOUT => "The request did not arrive in time",
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "The head of the request is larger than 128 KiB",
            other => other.canonical_reason().unwrap_or("The request failed"),
        };
        let body = ErrorBody { detail: detail.to_owned(), status_code: status.as_u16(), errors: None };
        let body = serde_json::to_string(&body).unwrap_or_default();
        let id = uuid::Uuid::now_v7();
        tracing::debug!(request.id = %id, http.status = status.as_u16(), "what came is no request");
        let hsts = if is_tls { format!("strict-transport-security: {}\r\n", headers::HSTS) } else { String::new() };
        let text = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
             x-content-type-options: nosniff\r\ncontent-security-policy: {}\r\nreferrer-policy: no-referrer\r\n\
             x-frame-options: DENY\r\n{}{}: {id}\r\nconnection: close\r\n\r\n{body}",
            status.as_u16(),
            status.canonical_reason().unwrap_or_default(),
            body.len(),
            headers::NO_PAGE,
            hsts,
            request_id::HEADER,
        );
        Self { bytes: text.into(), sent: 0 }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<u16>) {
        assert_eq!(bare(text.as_bytes()).map(|s| s.as_u16()), expected, "{text:?}");
    }

    #[test]
    fn only_an_answer_without_body_and_id_is_bare() {
        check("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\ndate: x\r\n\r\n", Some(400));
        check("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", Some(408));
        check("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", None);
        check("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nx-request-id: a\r\n\r\n", None);
        check("HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}", None);
        check("HTTP/1.1 4\r\n\r\n", None);
        check("\u{81}\u{5}hello", None);
    }

    #[test]
    fn a_farewell_is_an_error_in_the_one_shape() {
        let farewell = Farewell::new(StatusCode::BAD_REQUEST, true);
        let text = std::str::from_utf8(&farewell.bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())) && head.contains("x-request-id: "), "{head}");
        for name in ["content-security-policy", "referrer-policy", "x-frame-options", "strict-transport-security"] {
            assert!(head.contains(&format!("\r\n{name}: ")), "{name}: {head}");
        }
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["status_code"], 400);
        assert_eq!(bare(&farewell.bytes), None);
    }

    #[test]
    fn a_link_is_busy_while_something_is_answered() {
        let link = Link(Rc::new(LinkState { is_tls: false, active: Cell::new(0), begun: Cell::new(0) }));
        let (one, two) = (link.enter(), link.enter());
        drop(one);
        assert!(link.is_busy());
        drop(two);
        assert!(!link.is_busy() && link.0.begun.get() == 2);
    }
}
