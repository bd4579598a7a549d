//! Answers, and how they are sent: whole, or spoilt on purpose.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use serde_json::{Value, json};

use crate::fault::{Body, What};

/// A body as it goes out.
pub(crate) type Outgoing = UnsyncBoxBody<Bytes, io::Error>;

/// An answer before it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    /// Only half of the body is sent, with the length of the whole.
    pub(crate) is_cut: bool,
}

impl Reply {
    pub(crate) fn new(status: u16, kind: &str, body: impl Into<Bytes>) -> Self {
        Self { status, headers: vec![("content-type".into(), kind.into())], body: body.into(), is_cut: false }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json; charset=utf-8", body.to_string())
    }

    pub(crate) fn ok(body: &Value) -> Self {
        Self::json(200, body)
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new(), is_cut: false }
    }

    pub(crate) fn unauthorized() -> Self {
        Self::json(401, &json!({"error": {"code": 401, "message": "Unauthorized"}}))
    }

    pub(crate) fn forbidden() -> Self {
        Self::json(403, &json!({"error": "Forbidden", "name": "FORBIDDEN"}))
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::json(404, &json!({"error": format!("Entity '{what}' not found"), "name": "NOT_FOUND"}))
    }

    pub(crate) fn bad(why: &str) -> Self {
        Self::json(400, &json!({"error": why, "name": "BAD_REQUEST"}))
    }

    pub(crate) fn jpeg(body: Vec<u8>) -> Self {
        Self::new(200, "image/jpeg", body)
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The page of the proxy while the application behind it is away.
    pub(crate) fn proxy_page(status: u16) -> Self {
        const PAGE: &str = "<!DOCTYPE html><html><head><title>UniFi OS</title></head><body><center><h1>Starting</h1></center></body></html>";
        Self::new(status, "text/html", PAGE)
    }

    pub(crate) fn fault(status: u16, body: &Body) -> Self {
        match body {
            Body::Empty => Self::empty(status),
            Body::Html => Self::proxy_page(status),
            Body::Json(value) => Self::json(status, value),
            Body::Text(text) => Self::new(status, "text/plain", text.clone()),
        }
    }

    /// The answer as it goes out.
    pub(crate) fn send(mut self, what: Option<&What>) -> Response<Outgoing> {
        let body = match what {
            Some(What::Stall(pause)) => {
                self.promise();
                let (first, second) = self.halves();
                pieces(vec![(Duration::ZERO, Ok(first)), (*pause, Ok(second))])
            }
            Some(What::Cut { told }) => {
                if *told {
                    self.promise();
                }
                let (first, _) = self.halves();
                pieces(vec![(Duration::ZERO, Ok(first)), (Duration::ZERO, Err(broken()))])
            }
            _ if self.is_cut => {
                self.promise();
                let (first, _) = self.halves();
                pieces(vec![(Duration::ZERO, Ok(first)), (Duration::ZERO, Err(broken()))])
            }
            Some(What::Dribble) => {
                let bytes = self.body.clone();
                pieces((0..bytes.len()).map(|at| (Duration::ZERO, Ok(bytes.slice(at..=at)))).collect())
            }
            Some(What::ContentType(kind)) => {
                self.headers.retain(|(name, _)| name != "content-type");
                self.headers.push(("content-type".into(), kind.clone()));
                whole(self.body.clone())
            }
            Some(What::Gzip) => {
                self.headers.push(("content-encoding".into(), "gzip".into()));
                whole(gzip(&self.body))
            }
            Some(What::InvalidUtf8) => {
                let (first, second) = self.halves();
                whole([first.as_ref(), b"\xff\xfe", second.as_ref()].concat().into())
            }
            Some(What::Edit(places)) => {
                let mut value: Value = serde_json::from_slice(&self.body).unwrap_or_default();
                for (pointer, wanted) in places {
                    edit(&mut value, pointer, wanted.as_ref());
                }
                whole(value.to_string().into())
            }
            Some(What::WithoutHeaders(names)) => {
                self.headers.retain(|(name, _)| !names.iter().any(|unwanted| unwanted.eq_ignore_ascii_case(name)));
                whole(self.body.clone())
            }
            Some(What::WithHeaders(more)) => {
                self.headers.extend(more.iter().cloned());
                whole(self.body.clone())
            }
            _ => whole(self.body.clone()),
        };
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        response.body(body).unwrap_or_else(|_| Response::new(whole(Bytes::new())))
    }

    /// Tells the length of the whole body beforehand.
    fn promise(&mut self) {
        self.headers.push(("content-length".into(), self.body.len().to_string()));
    }

    fn halves(&self) -> (Bytes, Bytes) {
        let middle = self.body.len() / 2;
        (self.body.slice(..middle), self.body.slice(middle..))
    }
}

fn whole(body: Bytes) -> Outgoing {
    Full::new(body).map_err(|never: Infallible| match never {}).boxed_unsync()
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "cut on purpose")
}

fn pieces(pieces: Vec<(Duration, io::Result<Bytes>)>) -> Outgoing {
    let pieces = stream::unfold(pieces.into_iter(), |mut rest| async move {
        let (pause, piece) = rest.next()?;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        // So that a client reads what comes before a break.
        tokio::task::yield_now().await;
        Some((piece.map(Frame::data), rest))
    });
    StreamBody::new(pieces).boxed_unsync()
}

fn gzip(body: &[u8]) -> Bytes {
    use std::io::Write as _;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing into a vector cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default().into()
}

/// Sets or removes what a JSON pointer names.
fn edit(value: &mut Value, pointer: &str, wanted: Option<&Value>) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    let Some(parent) = value.pointer_mut(parent) else { return };
    match (parent, wanted) {
        (Value::Object(fields), Some(wanted)) => {
            fields.insert(key.to_owned(), wanted.clone());
        }
        (Value::Object(fields), None) => {
            fields.remove(key);
        }
        (Value::Array(items), wanted) => {
            let Ok(at) = key.parse::<usize>() else { return };
            match (items.get_mut(at), wanted) {
                (Some(item), Some(wanted)) => *item = wanted.clone(),
                (Some(_), None) => {
                    items.remove(at);
                }
                (None, Some(wanted)) => items.push(wanted.clone()),
                (None, None) => {}
            }
        }
        _ => {}
    }
}
