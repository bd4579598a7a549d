//! The integration interface: documented and stable, with a key instead of an account. Live detections and pictures, but
//! no history and no recordings.

use std::sync::Arc;

use argus_core::Secret;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};

use crate::ProtectError;
use crate::http::{Answer, Call, Http, again};
use crate::local::with;
use crate::pace::Pace;
use crate::wire::text;
use crate::ws::{self, Refused, Socket};

const API: &str = "proxy/protect/integration/v1";

/// The integration interface of one controller.
pub struct Official {
    http: Arc<Http>,
    key: Secret,
    pace: Pace,
}

impl Official {
    pub(crate) fn new(http: Arc<Http>, key: Secret) -> Self {
        let pace = Pace::new(http.tuning.pace);
        Self { http, key, pace }
    }

    /// The version of Protect: the cheapest question that needs the key.
    ///
    /// # Errors
    /// `TooOld` where there is no such interface.
    pub async fn version(&self) -> Result<String, ProtectError> {
        let answer = self.call(&Call::get("its version", self.http.url(&[API, "meta/info"], &[])).connecting()).await?;
        if answer.status == 404 {
            return Err(ProtectError::TooOld("it has no integration interface".into()));
        }
        let body = answer.good()?.json()?;
        text(&body, "applicationVersion").ok_or_else(|| ProtectError::NotProtect("its answer names no version".into()))
    }

    /// The cameras, as they came.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn cameras(&self) -> Result<Vec<Value>, ProtectError> {
        let body = self.read("the list of cameras", &[API, "cameras"]).await?;
        match body {
            Value::Array(cameras) => Ok(cameras),
            _ => Err(ProtectError::Unusable { what: "the list of cameras", reason: "it is no list".into() }),
        }
    }

    /// The chimes, as they came; nothing where there are none.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn chimes(&self) -> Result<Value, ProtectError> {
        match self.read("the list of chimes", &[API, "chimes"]).await {
            Err(ProtectError::NotFound(_) | ProtectError::Forbidden(_)) => Ok(Value::Null),
            other => other,
        }
    }

    /// A camera's present picture.
    pub(crate) async fn snapshot(&self, device: &str, high: bool, max_bytes: usize) -> Result<Answer, ProtectError> {
        let mut url = self.http.url(&[API, "cameras"], &[("highQuality", high.to_string())]);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend([device, "snapshot"]);
        }
        self.call(&Call { max_bytes, is_media: true, ..Call::get("live pictures", url) }).await
    }

    /// The addresses of a camera's streams, made where they are not there yet.
    pub(crate) async fn streams(&self, device: &str, quality: &str) -> Result<Value, ProtectError> {
        let url = with(with(self.http.url(&[API, "cameras"], &[]), device), "rtsps-stream");
        let read = Call::get("the live stream", url.clone());
        let body = again(&self.http.tuning, || async { self.call(&read).await?.good()?.json() }).await?;
        if text(&body, quality).is_some() {
            return Ok(body);
        }
        let make = Call::post("the live stream", url, json!({ "qualities": [quality] }));
        self.call(&make).await?.good()?.json()
    }

    /// The detections as they happen.
    pub(crate) async fn events(&self) -> Result<Socket, Refused> {
        self.socket("events", "the event stream").await
    }

    /// Changes of devices as they happen.
    pub(crate) async fn devices(&self) -> Result<Socket, Refused> {
        self.socket("devices", "the device stream").await
    }

    async fn socket(&self, name: &str, what: &'static str) -> Result<Socket, Refused> {
        let mut url = self.http.url(&[API, "subscribe", name], &[]);
        // The scheme is one of the two that WebSockets know.
        let _ = url.set_scheme("wss");
        self.pace.turn().await;
        let socket = ws::open(&self.http, &url, self.headers(), what, false).await;
        socket.map_err(|refused| match refused.status {
            Some(401) => Refused { error: revoked(), ..refused },
            _ => refused,
        })
    }

    async fn read(&self, what: &'static str, path: &[&str]) -> Result<Value, ProtectError> {
        let call = Call::get(what, self.http.url(path, &[]));
        again(&self.http.tuning, || async { self.call(&call).await?.good()?.json() }).await
    }

    async fn call(&self, call: &Call) -> Result<Answer, ProtectError> {
        let mut call = call.clone();
        call.headers.extend(self.headers());
        debug_assert!(matches!(call.method, Method::GET | Method::POST));
        self.pace.turn().await;
        let answer = self.http.once(&call).await?;
        match answer.status {
            401 => Err(revoked()),
            503 if call.what == "live pictures" => Err(ProtectError::Busy { what: call.what, status: 503 }),
            _ => Ok(answer),
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Ok(mut key) = HeaderValue::from_str(self.key.expose()) {
            key.set_sensitive(true);
            headers.insert("x-api-key", key);
        }
        headers
    }
}

fn revoked() -> ProtectError {
    ProtectError::Unauthorized(
        "the controller refuses the API key: it may have been revoked; make a new one in the controller's settings under Integrations".into(),
    )
}
