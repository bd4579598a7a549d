//! A small HTTP client for tests: one call, one answer with everything in it.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::secrets;

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body as JSON; `Value::Null` when it is none.
    pub json: Value,
    /// The body as it came.
    pub bytes: Bytes,
}

impl Answer {
    /// A header as text, `None` when it is missing.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The answer itself when its status is `status`; else the test fails with the body shown.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        self
    }
}

/// Speaks to one server with one API key. Paths are below `/api/v1`, except for [`Client::root`].
#[derive(Debug, Clone)]
pub struct Client {
    inner: reqwest::Client,
    origin: String,
    prefix: &'static str,
    key: Option<String>,
}

impl Client {
    /// For the server at `origin` (such as `http://127.0.0.1:8000`); an empty `key` sends none.
    pub fn new(origin: &str, key: &str) -> Self {
        secrets::remember(key);
        let inner = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        Self {
            inner,
            origin: origin.trim_end_matches('/').to_owned(),
            prefix: "/api/v1",
            key: (!key.is_empty()).then(|| key.to_owned()),
        }
    }

    /// The same client with paths from the root: `/openapi.json`, `/metrics`, or an address that the API gave.
    pub fn root(&self) -> Self {
        Self { prefix: "", ..self.clone() }
    }

    /// The same client without a key.
    pub fn anonymous(&self) -> Self {
        Self { key: None, ..self.clone() }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        secrets::remember_json(body);
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// PUT with a JSON body.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        secrets::remember_json(body);
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Any request, for headers such as `Range`; give it to [`Client::send`].
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.inner.request(method, format!("{}{}{path}", self.origin, self.prefix));
        match &self.key {
            Some(key) => request.header("X-API-Key", key),
            None => request,
        }
    }

    /// Sends a request and reads its answer; the test fails when there is none.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.try_send(request).await.unwrap_or_else(|error| panic!("no answer: {error:?}"))
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// When the connection is refused or breaks, as it does when the server is killed.
    pub async fn try_send(&self, request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await?;
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        secrets::remember_json(&json);
        for cookie in headers.get_all("set-cookie") {
            // The value stands between the name and the first attribute.
            let text = cookie.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
            secrets::remember(text.split_once('=').map_or("", |(_, value)| value));
        }
        Ok(Answer { status, headers, json, bytes })
    }
}
