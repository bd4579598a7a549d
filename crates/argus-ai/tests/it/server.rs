//! A small HTTP/1.1 server that answers by script and keeps what it was asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// One answer of the script.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A whole answer.
    Full { status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    /// The same without a length: the end of the connection is the end of the body.
    Endless { body: Vec<u8> },
    /// Head and a part of the promised body, then the connection ends.
    Cut,
    /// The connection ends without a word.
    Close,
    /// The request is read and never answered.
    Hang,
    /// The head comes, the body never.
    HangAfterHead,
    /// Status and, as the body's message, the request's own `Authorization`.
    EchoKey(u16),
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::Full { status, headers: vec![], body: body.to_string().into_bytes() }
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self::Full { status, headers: vec![], body: body.as_bytes().to_vec() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Full { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }

    /// A completion as OpenAI documents it, with this text.
    pub(crate) fn completion(content: &str) -> Self {
        Self::json(
            200,
            &json!({
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1_766_485_801, "model": "m-2025",
                "choices": [{
                    "index": 0, "finish_reason": "stop", "logprobs": null,
                    "message": { "role": "assistant", "content": content, "refusal": null }
                }],
                "usage": { "prompt_tokens": 1200, "completion_tokens": 40, "total_tokens": 1240 }
            }),
        )
    }

    /// A good completion.
    pub(crate) fn good() -> Self {
        Self::completion(
            r#"{"description":"A man carries a parcel to the door.","objects":["person","package"],"confidence":91}"#,
        )
    }
}

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

/// The server; it ends with the value.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Answers by the script, the last entry again and again.
    pub(crate) async fn start(script: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, script.clone(), Arc::clone(&log)));
            }
        });
        Self { address, asked, task }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request a connection: every answer closes it.
async fn serve(mut stream: TcpStream, script: Vec<Reply>, log: Arc<Mutex<Vec<Asked>>>) {
    let Some(asked) = read(&mut stream).await else { return };
    let key = asked.headers.get("authorization").cloned().unwrap_or_default();
    let at = {
        let mut log = log.lock().unwrap();
        log.push(asked);
        log.len() - 1
    };
    let reply = script.get(at).or(script.last()).unwrap().clone();
    let full = |status: u16, headers: &[(&str, String)], body: &[u8]| {
        let extra: String = headers.iter().map(|(k, v)| format!("{k}: {v}\r\n")).collect();
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{extra}connection: close\r\n\r\n"
        );
        [head.as_bytes(), body].concat()
    };
    let bytes = match reply {
        Reply::Full { status, headers, body } => full(status, &headers, &body),
        Reply::Endless { body } => [&b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"[..], &body].concat(),
        Reply::Cut => b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{\"id\": \"chatc".to_vec(),
        Reply::Close => return,
        Reply::Hang => std::future::pending().await,
        Reply::HangAfterHead => {
            let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{").await;
            std::future::pending().await
        }
        Reply::EchoKey(status) => {
            let body = json!({
                "error": if status == 200 { Value::Null } else { json!({ "message": format!("you sent {key}") }) },
                "choices": [{ "message": { "content": format!("you sent {key}") } }]
            });
            full(status, &[], body.to_string().as_bytes())
        }
    };
    // The client may hang up as soon as it has seen enough.
    let _gone = stream.write_all(&bytes).await;
    let _gone = stream.shutdown().await;
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).ok()?;
    let mut lines = head.lines();
    let line = lines.next()?.to_owned();
    let headers: BTreeMap<String, String> =
        lines.filter_map(|l| l.split_once(':')).map(|(k, v)| (k.trim().to_lowercase(), v.trim().to_owned())).collect();
    let length: usize = headers.get("content-length").map_or(0, |v| v.parse().unwrap());
    while bytes.len() < head_end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = serde_json::from_slice(&bytes[head_end..]).unwrap_or(Value::Null);
    Some(Asked { line, headers, body })
}
