//! TLS: the certificate, its change, the way there.

use std::path::Path;
use std::time::Duration;

use argus_api::{ApiError, HttpConfig, Timing, TlsFiles};
use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use reqwest::{Method, Version};
use serde_json::json;

use crate::support::{PATIENCE, Server, client, send, until};

/// Writes a certificate with its key, the key first.
fn write(dir: &Path, name: &str, until_year: i32) -> TlsFiles {
    let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(until_year, 1, 1);
    let key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    let (cert_path, key_path) = (dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&key_path, key.serialize_pem()).unwrap();
    std::fs::write(&cert_path, cert.pem()).unwrap();
    TlsFiles { cert: cert_path, key: key_path, redirect_listen: None }
}

fn with(tls: TlsFiles) -> HttpConfig {
    HttpConfig { tls: Some(tls), ..HttpConfig::default() }
}

/// The certificate that a new connection gets.
async fn served(server: &Server) -> Vec<u8> {
    let answer = client().get(server.url("/system/health")).send().await.unwrap();
    let info = answer.extensions().get::<reqwest::tls::TlsInfo>().unwrap();
    info.peer_certificate().unwrap().to_vec()
}

#[tokio::test]
async fn answers_come_encrypted_by_both_versions_of_http() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_http(with(write(dir.path(), "argus.example", 2030))).await;
    assert!(server.base.starts_with("https://"));
    let answer = server.get("/cameras").await;
    answer.expect(200);
    assert_eq!(answer.header("strict-transport-security"), "max-age=31536000");
    let status = server.get("/system/ssl-status").await.expect(200);
    assert_eq!(
        status,
        json!({
            "ssl_enabled": true, "ssl_ready": true, "certificate_valid": true,
            "certificate_expires": "2030-01-01T00:00:00.000Z", "certificate_issuer": "CN=argus.example",
            "certificate_subject": "CN=argus.example", "tls_version": "TLSv1.2", "ssl_port": server.port,
            "http_redirect": false,
        })
    );
    let old = reqwest::Client::builder().no_proxy().danger_accept_invalid_certs(true);
    let old = old.tls_version_max(reqwest::tls::Version::TLS_1_2).http1_only().build().unwrap();
    let answer = old.get(server.url("/system/health")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_11));
    // Plain HTTP gets no answer there.
    let plain = client().get(format!("http://127.0.0.1:{}/api/v1/system/health", server.port)).send().await;
    assert!(plain.is_err(), "{plain:?}");
    server.get("/cameras").await.expect(200);
}

#[tokio::test]
async fn without_tls_there_is_nothing_to_tell() {
    let server = Server::start().await;
    let status = server.get("/system/ssl-status").await.expect(200);
    for (field, value) in status.as_object().unwrap() {
        assert!(value.is_null() || value == false, "{field}");
    }
    assert_eq!(status.as_object().unwrap().len(), 9);
    assert_eq!(server.get("/system/ssl-status?x=1").await.faults(), ["x"]);
}

#[tokio::test]
async fn an_old_certificate_is_served_and_told() {
    let dir = tempfile::tempdir().unwrap();
    // The clock of the server says December 2025.
    let mut files = write(dir.path(), "late.example", 2026);
    let server = Server::start_http(with(files.clone())).await;
    assert_eq!(server.get("/system/ssl-status").await.expect(200)["certificate_valid"], true);
    server.clock.advance(Duration::from_secs(10 * 24 * 60 * 60));
    assert_eq!(server.get("/system/ssl-status").await.expect(200)["certificate_valid"], false);
    files.redirect_listen = None;
}

#[tokio::test]
async fn a_changed_pair_is_served_and_a_bad_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let files = write(dir.path(), "first.example", 2030);
    let timing = Timing { certificate: Duration::from_millis(20), ..Timing::default() };
    let server = Server::start_as(timing, with(files.clone())).await;
    let first = served(&server).await;
    let subject = || async { server.get("/system/ssl-status").await.expect(200)["certificate_subject"].clone() };
    // A certificate without its key, nonsense, nothing: all the same for those who connect.
    let good = std::fs::read(&files.cert).unwrap();
    write(dir.path(), "second.example", 2031);
    let (second, second_key) = (std::fs::read(&files.cert).unwrap(), std::fs::read(&files.key).unwrap());
    until("the second is served", || async { subject().await == "CN=second.example" }).await;
    let second_served = served(&server).await;
    assert_ne!(second_served, first);
    for bad in [&good[..], b"nonsense", b""] {
        std::fs::write(&files.cert, bad).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(served(&server).await, second_served);
    }
    std::fs::remove_file(&files.cert).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(served(&server).await, second_served);
    std::fs::write(&files.key, second_key).unwrap();
    std::fs::write(&files.cert, second).unwrap();
    write(dir.path(), "third.example", 2031);
    until("the third is served", || async { subject().await == "CN=third.example" }).await;
    assert_ne!(served(&server).await, second_served);
}

#[tokio::test]
async fn a_pair_that_is_no_good_ends_the_start() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let good = write(dir.path(), "a", 2030);
    let other = tempfile::tempdir().unwrap();
    let strange = write(other.path(), "b", 2030);
    let missing = TlsFiles { cert: dir.path().join("none.pem"), ..good.clone() };
    let mixed = TlsFiles { key: strange.key.clone(), ..good.clone() };
    let swapped = TlsFiles { cert: good.key.clone(), key: good.cert.clone(), redirect_listen: None };
    let secret = std::fs::read_to_string(&good.key).unwrap();
    let secret = secret.lines().nth(1).unwrap();
    for (tls, word) in [(missing, "none.pem"), (mixed, "cannot be used together"), (swapped, "holds no certificate")] {
        let state = argus_api::AppState {
            db: server.db.clone(),
            control: server.control.clone(),
            ai: server.ai.clone(),
            controllers: server.cupboard.clone(),
            media: std::sync::Arc::new(object_store::memory::InMemory::new()),
            clock: server.clock.clone(),
            version: String::new(),
            started_at: argus_core::Timestamp::from_millis(0),
            shutdown: server.shutdown.clone(),
            timing: Timing::default(),
            http: with(tls),
            sign_in: argus_api::SignIn::new(argus_db::TokenKey::new([7; 32])),
        };
        let failure = argus_api::bind(state, &["127.0.0.1:0".parse().unwrap()]).unwrap_err();
        assert!(matches!(&failure, ApiError::Certificate(text) if text.contains(word)), "{failure}");
        assert!(!failure.to_string().contains(secret));
    }
}

#[tokio::test]
async fn plain_http_is_shown_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let files = write(dir.path(), "a", 2030);
    let redirect_listen = Some("127.0.0.1:0".parse().unwrap());
    let server = Server::start_http(with(TlsFiles { redirect_listen, ..files })).await;
    let plain = format!("http://{}", server.redirect.unwrap());
    let ask = |method: Method, path: &str, host: &str| {
        send(client().request(method, format!("{plain}{path}")).header("host", host))
    };
    for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD, Method::OPTIONS] {
        let answer = ask(method, "/api/v1/cameras?limit=1&q=%20", "argus.example:8080").await;
        assert_eq!(answer.status, 308);
        let target = format!("https://argus.example:{}/api/v1/cameras?limit=1&q=%20", server.port);
        assert_eq!(answer.header("location"), target);
        assert_eq!(answer.header("strict-transport-security"), "", "not over plain HTTP");
        assert!(!answer.header("x-request-id").is_empty());
    }
    for bad in ["good.example@evil.example", "evil.example/x", "a:b", "a%00b"] {
        let answer = ask(Method::GET, "/", bad).await;
        answer.expect(400);
        assert_eq!(answer.header("location"), "", "{bad}");
    }
    // Keys sent there by mistake are answered with the way only.
    let answer = send(client().get(format!("{plain}/api/v1/cameras")).header("x-api-key", &server.admin)).await;
    assert_eq!((answer.status, answer.body.len()), (308, 0));
    assert_eq!(server.get("/system/ssl-status").await.expect(200)["http_redirect"], true);
}

#[tokio::test]
async fn a_client_that_never_shakes_hands_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_http(with(write(dir.path(), "a", 2030))).await;
    let mut silent = tokio::net::TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    server.get("/cameras").await.expect(200);
    let mut rest = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut silent, &mut rest);
    let ended = tokio::time::timeout(PATIENCE, read).await.expect("dropped in time");
    assert!(ended.is_err() || rest.is_empty());
}
