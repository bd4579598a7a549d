//! An answer on its way out.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde_json::Value;

/// Pieces of an endless answer, bytes.
const PIECE: usize = 64 * 1024;
/// Where an endless answer ends after all, should nobody have had enough.
const MAX_ENDLESS: usize = 256 * 1024 * 1024;

/// Why a body breaks off.
#[derive(Debug)]
pub(crate) struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body ends here, as it was told to")
    }
}

impl std::error::Error for Broken {}

impl From<Infallible> for Broken {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Status, headers and body.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body,
}

/// How a body is sent.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// At once.
    Whole(Bytes),
    /// Half of it, then the connection breaks.
    Cut(Bytes),
    /// The beginning, then nothing.
    Stuck(Bytes),
    /// Byte after byte.
    Drip(Bytes, Duration),
    /// Without end.
    Endless,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".into())],
            body: Body::Whole(body.to_string().into()),
        }
    }

    pub(crate) fn text(status: u16, media_type: &str, body: impl Into<Bytes>) -> Self {
        Self { status, headers: vec![("content-type", media_type.into())], body: Body::Whole(body.into()) }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The body; empty when it is not sent at once.
    pub(crate) fn whole(&self) -> Bytes {
        match &self.body {
            Body::Whole(bytes) => bytes.clone(),
            _ => Bytes::new(),
        }
    }

    /// For hyper.
    pub(crate) fn response(self) -> Response<UnsyncBoxBody<Bytes, Broken>> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(*name, value);
        }
        if !self.headers.iter().any(|(name, _)| *name == CONTENT_TYPE.as_str()) {
            response = response.header(CONTENT_TYPE, "application/json");
        }
        let body = match self.body {
            Body::Whole(bytes) => Full::new(bytes).map_err(Broken::from).boxed_unsync(),
            Body::Cut(bytes) => {
                response = response.header(CONTENT_LENGTH, bytes.len());
                let half = bytes.slice(..bytes.len() / 2);
                // Only when nothing more is to be had at once, hyper sends what it has.
                let end = stream::once(async {
                    tokio::task::yield_now().await;
                    Err(Broken)
                });
                streamed(stream::iter([Ok(half)]).chain(end).boxed())
            }
            Body::Stuck(bytes) => {
                response = response.header(CONTENT_LENGTH, bytes.len());
                let begin = bytes.slice(..bytes.len().min(1));
                streamed(stream::iter([Ok(begin)]).chain(stream::pending()).boxed())
            }
            Body::Drip(bytes, pause) => {
                response = response.header(CONTENT_LENGTH, bytes.len());
                let drops = stream::unfold(bytes, move |mut rest| async move {
                    if rest.is_empty() {
                        return None;
                    }
                    tokio::time::sleep(pause).await;
                    let drop = rest.split_to(1);
                    Some((Ok(drop), rest))
                });
                streamed(drops.boxed())
            }
            Body::Endless => {
                let piece = Bytes::from(vec![b' '; PIECE]);
                streamed(stream::iter((0..MAX_ENDLESS / PIECE).map(move |_| Ok(piece.clone()))).boxed())
            }
        };
        response.body(body).expect("statuses and headers of fakes are valid")
    }
}

fn streamed(stream: BoxStream<'static, Result<Bytes, Broken>>) -> UnsyncBoxBody<Bytes, Broken> {
    BodyExt::boxed_unsync(StreamBody::new(stream.map(|piece| piece.map(Frame::data))))
}
