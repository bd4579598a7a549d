//! Our transport in the place of async-openai's.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use bytes::Bytes;
use reqwest::Response;
use serde_json::Value;

use super::not_made;
use crate::vendor::fault::Fault;
use crate::vendor::reach::Reach;
use crate::vendor::transport::{Meter, Reply, Transport};

/// Carries one request out and keeps its whole answer.
#[derive(Clone)]
pub(super) struct Service {
    transport: Arc<Transport>,
    reach: Reach,
    meter: Meter,
    body: Bytes,
    reply: Arc<Mutex<Option<Reply>>>,
}

impl Service {
    /// Sends this body in the place of what async-openai would write: that grows with the pictures, and is copied each time.
    pub(super) fn new(transport: Arc<Transport>, reach: Reach, meter: Meter, body: Bytes) -> Self {
        Self { transport, reach, meter, body, reply: Arc::default() }
    }

    /// The answer, once.
    pub(super) fn reply(&self) -> Option<Reply> {
        self.reply.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn exchange(self, request: HttpRequestFactory) -> Result<Response, Fault> {
        let mut request = request.build().await.map_err(|_build: OpenAIError| not_made())?;
        *request.body_mut() = Some(self.body.into());
        let reply = self.transport.send(request, self.reach, &self.meter).await?;
        let body = reply.body.clone();
        *self.reply.lock().unwrap_or_else(PoisonError::into_inner) = Some(reply);
        // Looked at here, because async-openai writes what it cannot read into the log, whole. Whatever the status was,
        // the answer is taken from this service.
        if serde_json::from_slice::<Value>(&body).is_err() {
            return Err(not_made());
        }
        Ok(http::Response::new(reqwest::Body::from(body)).into())
    }
}

impl tower_service::Service<HttpRequestFactory> for Service {
    type Response = Response;
    type Error = OpenAIError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, OpenAIError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequestFactory) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { service.exchange(request).await.map_err(|fault| OpenAIError::Boxed(Box::new(fault))) })
    }
}
