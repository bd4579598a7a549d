//! The local interface: everything the controller has, as its own web pages see it. It changes without notice, which is
//! why it is read so carelessly of what is missing and so carefully of what is there.

use std::sync::Arc;

use http::HeaderMap;
use serde_json::Value;

use crate::ProtectError;
use crate::frame::{FrameError, Update, decode};
use crate::http::{Answer, Call, Http, again};
use crate::session::Session;
use crate::tracker::TYPES;
use crate::wire::{Bootstrap, Sighting};
use crate::ws::{self, Ended, Refused, Socket};

const API: &str = "proxy/protect/api";

/// Events on a page of the history.
const PAGE: usize = 100;

/// Most pages of one reading.
const MOST_PAGES: usize = 100;

/// The local interface of one controller.
pub struct Local {
    http: Arc<Http>,
    session: Session,
}

/// What was read of the history.
#[derive(Debug, Default)]
pub struct History {
    /// Detections, oldest first.
    pub events: Vec<Sighting>,
    /// Whether there was more than can be read at once.
    pub cut: bool,
}

impl Local {
    pub(crate) fn new(http: Arc<Http>, session: Session) -> Self {
        Self { http, session }
    }

    /// The sign-in.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Everything, read once, without trying again.
    ///
    /// # Errors
    /// What went wrong; `NotFound` and `Unusable` also while the controller restarts.
    pub async fn bootstrap(&self) -> Result<Bootstrap, ProtectError> {
        let call = Call::get("the list of cameras", self.http.url(&[API, "bootstrap"], &[])).connecting();
        let body = self.session.call(&call).await?.good()?.json()?;
        Bootstrap::read(body).map_err(ProtectError::NotProtect)
    }

    /// One camera, as it is now.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn camera(&self, id: &str) -> Result<Value, ProtectError> {
        let url = self.http.url(&[API, "cameras"], &[]);
        self.read("the camera", with(url, id)).await
    }

    /// One detection, as it is now.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn event(&self, id: &str) -> Result<Sighting, ProtectError> {
        let url = self.http.url(&[API, "events"], &[]);
        let body = self.read("the detection", with(url, id)).await?;
        Sighting::event(&body, id)
            .ok_or(ProtectError::Unusable { what: "the detection", reason: "it has no id".into() })
    }

    /// The detections that began in a span of time, in milliseconds by the console's clock.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn history(&self, from_ms: i64, until_ms: i64) -> Result<History, ProtectError> {
        let mut history = History::default();
        for page in 0..MOST_PAGES {
            let mut query = vec![
                ("start", from_ms.to_string()),
                ("end", until_ms.to_string()),
                ("limit", PAGE.to_string()),
                ("offset", page.saturating_mul(PAGE).to_string()),
                ("orderDirection", "ASC".to_owned()),
                ("withoutDescriptions", "true".to_owned()),
            ];
            // Without types the console takes no notice of the times.
            query.extend(TYPES.map(|t| ("types", t.to_owned())));
            let body = self.read("the history", self.http.url(&[API, "events"], &query)).await?;
            let Some(events) = body.as_array() else {
                return Err(ProtectError::Unusable { what: "the history", reason: "it is no list".into() });
            };
            history.events.extend(events.iter().filter_map(|e| Sighting::event(e, "")));
            if events.len() < PAGE {
                return Ok(history);
            }
        }
        history.cut = true;
        Ok(history)
    }

    /// A read, tried again as its failure allows.
    pub(crate) async fn read(&self, what: &'static str, url: url::Url) -> Result<Value, ProtectError> {
        let call = Call::get(what, url);
        again(&self.http.tuning, || async { self.session.call(&call).await?.good()?.json() }).await
    }

    /// One exchange that is no JSON, whatever its status but 401 and 403.
    pub(crate) async fn fetch(
        &self,
        what: &'static str,
        path: &[&str],
        query: &[(&str, String)],
        max_bytes: usize,
    ) -> Result<Answer, ProtectError> {
        let call = Call { max_bytes, is_media: true, ..Call::get(what, self.url(path, query)) };
        self.session.call(&call).await
    }

    /// The same for a body that is read as it comes.
    pub(crate) async fn open(
        &self,
        what: &'static str,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<reqwest::Response, ProtectError> {
        self.session.open(&Call { is_media: true, ..Call::get(what, self.url(path, query)) }).await
    }

    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> url::Url {
        let mut url = self.http.url(&[API], query);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path);
        }
        url
    }

    /// The update stream, from a place on. 401 is tried once more with a new session.
    pub(crate) async fn updates(&self, last_update_id: &str) -> Result<Updates, Refused> {
        let query = [("lastUpdateId", last_update_id.to_owned())];
        let mut url = self.http.url(&["proxy/protect/ws/updates"], &query);
        // The scheme is one of the two that WebSockets know.
        let _ = url.set_scheme("wss");
        let mut second = false;
        loop {
            let (headers, generation): (HeaderMap, u64) =
                self.session.headers().await.map_err(|error| Refused { status: None, error })?;
            match ws::open(&self.http, &url, headers, "the update stream", true).await {
                Ok(socket) => return Ok(Updates { socket }),
                Err(refused) if refused.status == Some(401) && !second => {
                    second = true;
                    self.session.forget(generation);
                }
                Err(refused) => return Err(refused),
            }
        }
    }

    /// Follows the update stream from a place on, such as a bootstrap's.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub async fn follow(&self, last_update_id: &str) -> Result<Updates, ProtectError> {
        self.updates(last_update_id).await.map_err(|refused| refused.error)
    }
}

/// Adds an id to a path as one part of it.
pub(crate) fn with(mut url: url::Url, id: &str) -> url::Url {
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.push(id);
    }
    url
}

/// The open update stream.
pub struct Updates {
    pub(crate) socket: Socket,
}

impl Updates {
    /// The next message, or why it is none. Cancel-safe.
    ///
    /// # Errors
    /// Why the stream ended.
    pub async fn next(&mut self) -> Result<Result<Update, FrameError>, ProtectError> {
        self.message().await.map_err(|ended| ProtectError::Lost(ended.reason))
    }

    pub(crate) async fn message(&mut self) -> Result<Result<Update, FrameError>, Ended> {
        Ok(decode(&self.socket.next().await?).map(Update::from))
    }
}
