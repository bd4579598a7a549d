//! A plain client: HTTPS without verification, streams, and a decoder of its own for the private stream.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use argus_protect_sim::{Options, Sim};
use futures_util::StreamExt as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Longer than anything here takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
pub(crate) const API: &str = "/proxy/protect/api";
pub(crate) const PUBLIC: &str = "/proxy/protect/integration/v1";

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A client that keeps its cookie, as a program does.
pub(crate) struct Client {
    http: reqwest::Client,
    pub(crate) origin: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Client {
    /// Nobody yet.
    pub(crate) fn new(sim: &Sim) -> Self {
        let http = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().timeout(LIMIT).build();
        Self { http: http.unwrap(), origin: sim.origin(), headers: Vec::new() }
    }

    /// With a key.
    pub(crate) fn with_key(sim: &Sim) -> Self {
        Self { headers: vec![("x-api-key".into(), "sim-api-key".into())], ..Self::new(sim) }
    }

    /// Signed in.
    pub(crate) async fn signed_in(sim: &Sim, user: &str, password: &str) -> Self {
        let mut client = Self::new(sim);
        let answer = client.login(user, password).await;
        assert_eq!(answer.status, 200);
        client.take_session(&answer);
        client
    }

    pub(crate) async fn admin(sim: &Sim) -> Self {
        Self::signed_in(sim, "argus", "correct horse").await
    }

    pub(crate) fn take_session(&mut self, answer: &Answer) {
        let cookies = answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
        let session = cookies.map(|cookie| cookie.split(';').next().unwrap()).find(|pair| pair.contains("TOKEN="));
        let csrf = answer.header("x-updated-csrf-token").or(answer.header("x-csrf-token")).unwrap();
        self.headers = vec![("cookie".into(), session.unwrap().into()), ("x-csrf-token".into(), csrf.into())];
    }

    pub(crate) async fn login(&self, user: &str, password: &str) -> Answer {
        let body = json!({"username": user, "password": password, "rememberMe": true, "token": ""});
        self.send("POST", "/api/auth/login", Some(body)).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await.unwrap()
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<Value>) -> reqwest::Result<Answer> {
        let mut request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.origin));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Answer { status, headers, body: answer.bytes().await?.to_vec() })
    }

    /// Opens a WebSocket.
    pub(crate) async fn open(&self, path: &str) -> Result<Socket, Error> {
        let address = self.origin.trim_start_matches("https://");
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("unifi.local").unwrap();
        let tls = tokio_rustls::TlsConnector::from(trusting()).connect(name, tcp).await.unwrap();
        let mut request = format!("wss://{address}{path}").into_client_request().unwrap();
        for (name, value) in &self.headers {
            let name: tokio_tungstenite::tungstenite::http::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let (socket, _) = tokio_tungstenite::client_async(request, tls).await?;
        Ok(Socket(socket))
    }

    /// Opens the private stream after an update.
    pub(crate) async fn updates(&self, after: &str) -> Socket {
        self.open(&format!("/proxy/protect/ws/updates?lastUpdateId={after}")).await.unwrap()
    }
}

/// An open WebSocket.
pub(crate) struct Socket(pub(crate) WebSocketStream<TlsStream<TcpStream>>);

impl Socket {
    /// The next message that is no ping.
    pub(crate) async fn next(&mut self) -> Result<Message, Error> {
        loop {
            let next = tokio::time::timeout(LIMIT, self.0.next()).await.expect("nothing came");
            match next.unwrap_or(Err(Error::ConnectionClosed))? {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return Ok(message),
            }
        }
    }

    /// The next message of the private stream.
    pub(crate) async fn update(&mut self) -> (Value, Value) {
        decode(&self.next().await.unwrap().into_data()).unwrap()
    }

    /// The next that tells of events.
    pub(crate) async fn event(&mut self) -> (Value, Value) {
        loop {
            let (action, data) = self.update().await;
            if action["modelKey"] == "event" && data["type"] != "access" {
                return (action, data);
            }
        }
    }

    /// The next message of an integration stream.
    pub(crate) async fn json(&mut self) -> Value {
        match self.next().await.unwrap() {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

/// Takes a message of the private stream apart, strictly; `None` when it is malformed.
pub(crate) fn decode(message: &[u8]) -> Option<(Value, Value)> {
    let (action, rest) = frame(message, 1)?;
    let (data, rest) = frame(rest, 2)?;
    (rest.is_empty() && action.is_object()).then_some((action, data))
}

fn frame(bytes: &[u8], packet: u8) -> Option<(Value, &[u8])> {
    let (head, rest) = bytes.split_at_checked(8)?;
    let size = usize::try_from(u32::from_be_bytes(head[4..].try_into().unwrap())).unwrap();
    let (payload, rest) = rest.split_at_checked(size)?;
    if head[0] != packet || head[1] != 1 {
        return None;
    }
    let json = match head[2] {
        0 => payload.to_vec(),
        1 => {
            let mut out = Vec::new();
            flate2::read::ZlibDecoder::new(payload).take(16 << 20).read_to_end(&mut out).ok()?;
            out
        }
        _ => return None,
    };
    Some((serde_json::from_slice(&json).ok()?, rest))
}

/// A console with the default options, changed.
pub(crate) async fn sim(change: impl FnOnce(&mut Options)) -> Sim {
    let mut options = Options::default();
    change(&mut options);
    Sim::start(options).await.unwrap()
}

/// Verifies nothing.
#[derive(Debug)]
struct Trusting(Arc<rustls::crypto::CryptoProvider>);

fn trusting() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(Trusting(provider)));
    Arc::new(config.with_no_client_auth())
}

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
