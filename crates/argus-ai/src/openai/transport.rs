//! One HTTP exchange: no second try, no redirect, no proxy, an answer of bounded size.

use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use argus_core::describe::DescribeFailure;
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use bytes::{Bytes, BytesMut};
use reqwest::Response;
use reqwest::header::AUTHORIZATION;
use serde_json::Value;
use url::Url;

use super::config::Endpoint;
use super::fault::{self, Fault};
use super::scrub::Scrub;
use crate::AiError;
use crate::text::one_line;

/// Largest answer, bytes. A description of 5000 characters with all that stands around it has a few kilobytes.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// Limit for name look-up, connection and TLS together.
const CONNECT: Duration = Duration::from_secs(10);

/// The client under the transport. TLS is verified against the machine's certificate authorities. Proxies of the
/// environment are not used: nothing may go to a host that the configuration does not name.
///
/// # Errors
/// `Client` when the endpoint wants TLS and this machine knows no certificate authority.
pub(super) fn client(base: &Url) -> Result<reqwest::Client, AiError> {
    let mut builder = reqwest::Client::builder();
    if base.scheme() == "http" {
        // Trusts nobody, and never needs to; the machine's authorities would be read in vain, and a small container for
        // a model beside it may have none.
        builder = builder.tls_certs_only(std::iter::empty());
    }
    builder
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT)
        .user_agent(concat!("argus/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(AiError::Client)
}

/// Carries a request out; what is not a whole JSON answer with a status of success is a [`Fault`].
#[derive(Clone, Debug)]
pub(super) struct Transport {
    client: reqwest::Client,
    endpoint: Endpoint,
    scrub: Scrub,
}

impl Transport {
    pub(super) fn new(client: reqwest::Client, endpoint: Endpoint, scrub: Scrub) -> Self {
        Self { client, endpoint, scrub }
    }

    async fn exchange(self, request: HttpRequestFactory) -> Result<Response, Fault> {
        let mut request = request
            .build()
            .await
            .map_err(|_build: OpenAIError| Fault::of(DescribeFailure::ServerError, "the request could not be made"))?;
        request.headers_mut().remove(AUTHORIZATION);
        if let Some(key) = &self.endpoint.authorization {
            request.headers_mut().insert(AUTHORIZATION, key.clone());
        }
        let response = self.client.execute(request).await.map_err(|e| self.unreached(&e))?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_redirection() {
            return Err(Fault::of(
                DescribeFailure::InvalidAnswer,
                format!("the endpoint redirects elsewhere (HTTP {}), which is not followed", status.as_u16()),
            ));
        }
        let body = self.bounded(response).await?;
        if !status.is_success() {
            return Err(fault::refused(status, &headers, &body, &self.scrub));
        }
        // Looked at here, because async-openai writes what it cannot read into the log, whole.
        if let Err(_syntax) = serde_json::from_slice::<Value>(&body) {
            return Err(Fault {
                body: Some(self.scrub.clean(&String::from_utf8_lossy(&body))),
                ..Fault::of(DescribeFailure::InvalidAnswer, "the endpoint's answer is not JSON")
            });
        }
        Ok(http::Response::new(reqwest::Body::from(body)).into())
    }

    async fn bounded(&self, mut response: Response) -> Result<Bytes, Fault> {
        let too_large =
            || Fault::of(DescribeFailure::InvalidAnswer, format!("the answer is larger than {MAX_ANSWER_BYTES} bytes"));
        if response.content_length().is_some_and(|n| n > MAX_ANSWER_BYTES as u64) {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| broken(&e))? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// No answer began.
    fn unreached(&self, error: &reqwest::Error) -> Fault {
        let host = self.endpoint.base.host_str().unwrap_or_default();
        let port = self.endpoint.base.port_or_known_default().unwrap_or_default();
        let cause = root_cause(error);
        if error.is_connect() || error.is_builder() {
            Fault::of(DescribeFailure::Unreachable, format!("{host}:{port} cannot be reached: {cause}"))
        } else if error.is_timeout() {
            Fault::of(DescribeFailure::Timeout, format!("{host}:{port} did not answer in time"))
        } else {
            Fault::of(DescribeFailure::ServerError, format!("{host}:{port} broke the connection off: {cause}"))
        }
    }
}

/// The answer began and did not end.
fn broken(error: &reqwest::Error) -> Fault {
    if error.is_timeout() {
        return Fault::of(DescribeFailure::Timeout, "the answer did not end in time");
    }
    Fault::of(DescribeFailure::ServerError, format!("the answer broke off: {}", root_cause(error)))
}

/// The innermost reason, which is the one that people understand. The outer ones name the URL.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.source();
    let mut text = "no reason was given".to_owned();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    one_line(&text, 200)
}

impl tower_service::Service<HttpRequestFactory> for Transport {
    type Response = Response;
    type Error = OpenAIError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, OpenAIError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequestFactory) -> Self::Future {
        let transport = self.clone();
        Box::pin(async move { transport.exchange(request).await.map_err(|fault| OpenAIError::Boxed(Box::new(fault))) })
    }
}
