//! One HTTP exchange with a controller: bounded in time and bytes, no redirects, no proxy, and with the reason when it
//! fails.

use std::borrow::Cow;
use std::io::Read as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::bufread::GzDecoder;
use http::{HeaderMap, Method, header};
use serde_json::Value;
use tokio::time::{Instant, timeout};
use url::Url;

use crate::backoff::Backoff;
use crate::breaker::Breaker;
use crate::clock::ConsoleClock;
use crate::error::{of_status, reason};
use crate::tls::{Tls, fault};
use crate::{ProtectError, Tuning};

/// Most bytes of a JSON answer; a large site's bootstrap has some megabytes.
const MAX_JSON: usize = 64 * 1024 * 1024;

/// A call that can be sent.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) what: &'static str,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Value>,
    pub(crate) max_bytes: usize,
    /// Part of connecting: made also while the controller is left alone.
    pub(crate) connects: bool,
    /// A picture or recording: a part behind the console may fail for one camera or moment.
    pub(crate) is_media: bool,
}

impl Call {
    /// A read; `what` names it for the reader of an error.
    pub(crate) fn get(what: &'static str, url: Url) -> Self {
        Self {
            what,
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: None,
            max_bytes: MAX_JSON,
            connects: false,
            is_media: false,
        }
    }

    /// A write.
    pub(crate) fn post(what: &'static str, url: Url, body: Value) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(what, url) }
    }

    /// The same as part of connecting.
    pub(crate) fn connecting(self) -> Self {
        Self { connects: true, ..self }
    }
}

/// An answer, whatever its status.
pub(crate) struct Answer {
    pub(crate) what: &'static str,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// Itself, unless its status is a failure.
    pub(crate) fn good(self) -> Result<Self, ProtectError> {
        if (200..300).contains(&self.status) { Ok(self) } else { Err(of_status(self.what, self.status)) }
    }

    /// Its JSON.
    pub(crate) fn json(&self) -> Result<Value, ProtectError> {
        let unusable = |reason: String| ProtectError::Unusable { what: self.what, reason };
        let kind = self.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let body = self.plain().ok_or_else(|| unusable("it cannot be unpacked".into()))?;
        let starts = body.iter().find(|b| !b.is_ascii_whitespace());
        if kind.contains("html") || starts == Some(&b'<') {
            return Err(unusable("HTML instead of JSON, as while the controller restarts".into()));
        }
        // A name with a broken letter in it must not cost the rest.
        serde_json::from_slice(&body)
            .or_else(|_broken| serde_json::from_str(&String::from_utf8_lossy(&body)))
            .map_err(|e| unusable(format!("it is no JSON ({e})")))
    }

    /// The body, unpacked where a proxy packed it unasked.
    fn plain(&self) -> Option<Cow<'_, [u8]>> {
        if self.header("content-encoding") != Some("gzip") {
            return Some(Cow::Borrowed(&self.body));
        }
        let mut plain = Vec::new();
        let limit = u64::try_from(MAX_JSON).unwrap_or(u64::MAX);
        GzDecoder::new(self.body.as_ref()).take(limit).read_to_end(&mut plain).ok()?;
        Some(Cow::Owned(plain))
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }
}

/// Speaks HTTPS with one controller.
pub(crate) struct Http {
    client: reqwest::Client,
    base: Url,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: Tls,
    pub(crate) clock: ConsoleClock,
    pub(crate) tuning: Arc<Tuning>,
    pub(crate) breaker: Breaker,
}

/// `https://host:port` with an IPv6 address in brackets.
pub(crate) fn base_url(scheme: &str, host: &str, port: u16) -> Result<Url, ProtectError> {
    let bad = || ProtectError::Unreachable(format!("{host} is no host name or address"));
    let mut url = Url::parse(&format!("{scheme}://localhost/")).map_err(|_e| bad())?;
    match host.parse::<IpAddr>() {
        Ok(ip) => url.set_ip_host(ip).map_err(|()| bad())?,
        Err(_) => url.set_host(Some(host)).map_err(|_e| bad())?,
    }
    url.set_port(Some(port)).map_err(|()| bad())?;
    Ok(url)
}

impl Http {
    pub(crate) fn new(
        host: &str,
        port: u16,
        tls: Tls,
        clock: ConsoleClock,
        tuning: Arc<Tuning>,
    ) -> Result<Self, ProtectError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.config().as_ref().clone())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(tuning.connect)
            .pool_max_idle_per_host(4)
            .pool_idle_timeout(Duration::from_secs(30))
            .build()
            .map_err(|e| ProtectError::Unreachable(reason(&e)))?;
        let base = base_url("https", host, port)?;
        Ok(Self { client, base, host: host.to_owned(), port, tls, clock, tuning, breaker: Breaker::default() })
    }

    /// The address of a path, each part of it encoded, with a query.
    pub(crate) fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(path.iter().flat_map(|p| p.split('/')));
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query.iter().map(|(k, v)| (*k, v.as_str())));
        }
        url
    }

    /// Sends a call and reads the head of the answer.
    pub(crate) async fn open(&self, call: &Call) -> Result<reqwest::Response, ProtectError> {
        if !call.connects {
            self.breaker.check(&self.tuning, Instant::now(), self.clock.now())?;
        }
        let answer = self.send(call).await;
        match &answer {
            Ok(response) if is_away(response.status().as_u16()) && !call.is_media => self.failed(),
            // Whatever it says, it answers.
            Ok(_) => self.breaker.worked(),
            // One camera that hangs is not the controller.
            Err(ProtectError::Timeout(_)) if call.is_media => {}
            Err(ProtectError::Unreachable(_) | ProtectError::Timeout(_)) => self.failed(),
            Err(_) => {}
        }
        answer
    }

    fn failed(&self) {
        if self.breaker.failed(&self.tuning, Instant::now()) {
            let (host, seconds) = (&self.host, self.tuning.breaker_pause.as_secs());
            tracing::warn!(controller.host = %host, "it fails again and again: it is left alone for {seconds} s");
        }
    }

    async fn send(&self, call: &Call) -> Result<reqwest::Response, ProtectError> {
        let mut request = self.client.request(call.method.clone(), call.url.clone()).headers(call.headers.clone());
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let limit = self.tuning.connect.saturating_add(self.tuning.answer);
        let response = match timeout(limit, request.send()).await {
            Ok(response) => response.map_err(|e| self.failure(call.what, e))?,
            Err(_) => return Err(ProtectError::Timeout(call.what.into())),
        };
        if let Some(date) = response.headers().get(header::DATE).and_then(|d| d.to_str().ok()) {
            self.clock.learn(date);
        }
        Ok(response)
    }

    /// One exchange, whatever its status.
    pub(crate) async fn once(&self, call: &Call) -> Result<Answer, ProtectError> {
        let response = self.open(call).await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = self.body(call, response).await?;
        Ok(Answer { what: call.what, status, headers, body })
    }

    async fn body(&self, call: &Call, mut response: reqwest::Response) -> Result<Bytes, ProtectError> {
        let mut body = BytesMut::new();
        loop {
            match timeout(self.tuning.answer, response.chunk()).await {
                Err(_) => return Err(ProtectError::Timeout(call.what.into())),
                Ok(Err(e)) => return Err(self.failure(call.what, e)),
                Ok(Ok(None)) => return Ok(body.freeze()),
                Ok(Ok(Some(chunk))) if body.len().saturating_add(chunk.len()) > call.max_bytes => {
                    let reason = format!("it is longer than {} bytes", call.max_bytes);
                    return Err(ProtectError::Unusable { what: call.what, reason });
                }
                Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
            }
        }
    }

    /// Names what is behind a failure of the transport.
    pub(crate) fn failure(&self, what: &'static str, e: reqwest::Error) -> ProtectError {
        let e = e.without_url();
        if let Some(fault) = fault(&e, self.tls.shown().as_ref()) {
            return fault;
        }
        if e.is_timeout() { ProtectError::Timeout(what.into()) } else { ProtectError::Unreachable(reason(&e)) }
    }
}

/// Whether the console's proxy answers for an application that is not there.
fn is_away(status: u16) -> bool {
    matches!(status, 502..=504)
}

/// Tries a read again as its failure allows: 0.5 to 8 s, four times, a quarter of chance.
pub(crate) async fn again<T, F>(tuning: &Tuning, mut attempt: impl FnMut() -> F) -> Result<T, ProtectError>
where
    F: Future<Output = Result<T, ProtectError>>,
{
    again_at_most(tuning, tuning.retries, &mut attempt).await
}

/// The same, only so often.
pub(crate) async fn again_at_most<T, F>(
    tuning: &Tuning,
    mut left: u32,
    attempt: &mut impl FnMut() -> F,
) -> Result<T, ProtectError>
where
    F: Future<Output = Result<T, ProtectError>>,
{
    let mut backoff = Backoff::new(tuning.retry_first, tuning.retry_longest);
    loop {
        let failure = match attempt().await {
            Ok(value) => return Ok(value),
            Err(e) => e,
        };
        match failure.retry() {
            Some(least) if left > 0 => {
                left = left.saturating_sub(1);
                tokio::time::sleep(backoff.next().max(least)).await;
            }
            _ => return Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_urls() {
        let check = |host: &str, port, expected: &str| {
            assert_eq!(base_url("https", host, port).unwrap().as_str(), expected);
        };
        check("fd00::17", 443, "https://[fd00::17]/");
        check("fd00::17", 7443, "https://[fd00::17]:7443/");
        check("192.0.2.5", 443, "https://192.0.2.5/");
        check("unvr.example.org", 8443, "https://unvr.example.org:8443/");
        assert_eq!(base_url("rtsps", "fd00::17", 7441).unwrap().as_str(), "rtsps://[fd00::17]:7441/");
        assert!(base_url("https", "a b", 443).is_err());
        assert!(base_url("https", "", 443).is_err());
    }
}
