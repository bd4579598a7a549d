//! A WebSocket client for tests, which reads JSON messages with a deadline.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// An open connection to `/ws`.
#[derive(Debug)]
pub struct WsClient {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    close_code: Option<u16>,
}

impl WsClient {
    /// Connects to `path_and_query` (such as `/ws?after=0`) of the server at `origin`; an empty `key` sends none.
    ///
    /// # Errors
    /// The status with which the server refused the upgrade; 0 when there was no answer at all.
    pub async fn connect(origin: &str, key: &str, path_and_query: &str) -> Result<Self, u16> {
        let url = format!("{}{path_and_query}", origin.replacen("http", "ws", 1));
        let mut request = url.into_client_request().expect("a WebSocket address");
        if !key.is_empty() {
            request.headers_mut().insert("X-API-Key", HeaderValue::from_str(key).expect("a key"));
        }
        match connect_async(request).await {
            Ok((stream, _)) => Ok(Self { stream, close_code: None }),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(_) => Err(0),
        }
    }

    /// The next JSON message, or `None` when none came within `deadline` or the connection ended.
    pub async fn next_json(&mut self, deadline: Duration) -> Option<Value> {
        self.next_matching(deadline, |_| true).await
    }

    /// The next JSON message that `wanted` accepts; the others are passed over. `None` as in [`WsClient::next_json`].
    pub async fn next_matching(&mut self, deadline: Duration, mut wanted: impl FnMut(&Value) -> bool) -> Option<Value> {
        let reading = async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Text(text))) => match serde_json::from_str::<Value>(&text) {
                        Ok(value) if wanted(&value) => return Some(value),
                        _ => {}
                    },
                    Some(Ok(Message::Close(frame))) => {
                        self.close_code = frame.map(|frame| frame.code.into());
                        return None;
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        };
        tokio::time::timeout(deadline, reading).await.unwrap_or(None)
    }

    /// The next message of `kind` (its `type`), or a failed test.
    pub async fn expect_type(&mut self, kind: &str, deadline: Duration) -> Value {
        match self.next_matching(deadline, |message| message["type"] == kind).await {
            Some(message) => message,
            None => panic!("no {kind} within {deadline:?}"),
        }
    }

    /// Sends a text frame.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn send_text(&mut self, text: &str) -> Result<(), Error> {
        self.stream.send(Message::text(text)).await
    }

    /// The code with which the server closed, once [`WsClient::next_json`] has come to it.
    pub fn close_code(&self) -> Option<u16> {
        self.close_code
    }
}
