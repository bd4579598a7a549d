//! How the program meets the network: TLS, the way from HTTP there, configuration that is wrong.

use std::path::Path;
use std::time::Duration;

use argus_tests::server::{ServerOptions, ServerProcess, api_key, run};
use argus_tests::wait::wait_for;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use crate::common::SOON;

/// Writes a certificate with its key, the key first.
fn write(dir: &Path, name: &str) -> (String, String) {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap().pem();
    let path = |file: &str| dir.join(file).to_str().unwrap().to_owned();
    std::fs::write(path("key.pem"), key.serialize_pem()).unwrap();
    std::fs::write(path("cert.pem"), cert).unwrap();
    (path("cert.pem"), path("key.pem"))
}

fn with(env: &[(&str, &str)]) -> ServerOptions {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    ServerOptions { env, ..ServerOptions::default() }
}

fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().danger_accept_invalid_certs(true).tls_info(true);
    builder.redirect(reqwest::redirect::Policy::none()).timeout(SOON).build().unwrap()
}

/// The certificate that a new connection gets.
async fn served(origin: &str) -> Vec<u8> {
    let answer = client().get(format!("{origin}/api/v1/system/health")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.extensions().get::<reqwest::tls::TlsInfo>().unwrap().peer_certificate().unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_files_are_served_redirected_to_and_reread() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = write(dir.path(), "first.example");
    let data = dir.path().join("data");
    let options =
        with(&[("ARGUS_TLS_CERT", &cert), ("ARGUS_TLS_KEY", &key), ("ARGUS_TLS_REDIRECT_LISTEN", "127.0.0.1:0")]);
    let mut server = ServerProcess::start_with(&data, &options).await;
    let origin = server.origin().to_owned();
    assert!(origin.starts_with("https://127.0.0.1:"), "{origin}");
    let first = served(&origin).await;
    let log = server.log_text();
    let (_, plain) = log.split_once("redirecting from ").unwrap();
    let plain = plain.split_whitespace().next().unwrap();
    let answer = client().get(format!("{plain}/api/v1/cameras?limit=2")).send().await.unwrap();
    assert_eq!(answer.status(), 308);
    assert_eq!(answer.headers()["location"].to_str().unwrap(), format!("{origin}/api/v1/cameras?limit=2"));
    write(dir.path(), "second.example");
    wait_for("the new certificate", SOON, || async { (served(&origin).await != first).then_some(()) }).await;
    let key = api_key(&data, "admin").await;
    let status = client().get(format!("{origin}/api/v1/system/ssl-status")).header("x-api-key", key);
    let status: serde_json::Value =
        serde_json::from_slice(&status.send().await.unwrap().bytes().await.unwrap()).unwrap();
    assert_eq!((&status["certificate_subject"], &status["http_redirect"]), (&"CN=second.example".into(), &true.into()));
    assert!(server.terminate(Duration::from_secs(15)).await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_self_signed_certificate_is_made_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let options = with(&[("ARGUS_TLS_SELF_SIGNED", "true")]);
    let mut server = ServerProcess::start_with(dir.path(), &options).await;
    assert!(server.origin().starts_with("https://"));
    let first = served(server.origin()).await;
    let mode = std::fs::metadata(dir.path().join("self-signed.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(server.terminate(Duration::from_secs(15)).await.unwrap().success());
    let server = ServerProcess::start_with(dir.path(), &options).await;
    assert_eq!(served(server.origin()).await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_says_where_and_shows_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("argus.toml");
    let (cert, key) = write(dir.path(), "a");
    let nonsense = dir.path().join("nonsense.pem");
    std::fs::write(&nonsense, "hunter2").unwrap();
    let nonsense = nonsense.to_str().unwrap();
    for (text, word) in [
        ("[tls]\ncert = '/c'\n".to_owned(), "argus.toml line 2"),
        (format!("tls.cert = '{cert}'\ntls.key = '{nonsense}'\n"), "nonsense.pem"),
        (format!("tls.cert = '{nonsense}'\ntls.key = '{key}'\n"), "nonsense.pem"),
        ("tls.cert = '/no/such/file'\ntls.key = '/no/such/file'\n".to_owned(), "/no/such/file"),
        ("trusted_proxies = ['everybody']\n".to_owned(), "argus.toml line 1"),
        ("cors_origins = '*'\n".to_owned(), "argus.toml line 1"),
        ("log_format = 'xml'\n".to_owned(), "argus.toml line 1"),
        ("\n[ai]\napi_key = \"hunter2\n".to_owned(), "argus.toml line 3"),
        ("database_url = ['hunter2']\n".to_owned(), "argus.toml line 1"),
        ("database_url = 'mysql://u:hunter2@h/d'\n".to_owned(), "database_url"),
    ] {
        std::fs::write(&file, &text).unwrap();
        let args = ["--config", file.to_str().unwrap(), "--listen", "127.0.0.1:0"];
        let (status, stdout, stderr) = run(&dir.path().join("data"), &args).await;
        assert_eq!((status.code(), stdout.as_str()), (Some(2), ""), "{text}: {stderr}");
        assert!(stderr.contains(word) && !stderr.contains("hunter2"), "{text}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_redirect_address_ends_the_start_with_3() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = dir.path().join("argus.toml");
    std::fs::write(&file, format!("tls.self_signed = true\ntls.redirect_listen = '{address}'\n")).unwrap();
    let args = ["--config", file.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let (status, stdout, stderr) = run(&dir.path().join("data"), &args).await;
    assert_eq!((status.code(), stdout.as_str()), (Some(3), ""), "{stderr}");
    assert!(stderr.contains(&address), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_variables_are_logged_and_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let server =
        ServerProcess::start_with(dir.path(), &with(&[("ARGUS_NO_SUCH_KEY", "hunter2"), ("ARGUS_AI_MODEL", "m")]))
            .await;
    let log = server.log_text();
    let of_ai = log.lines().find(|line| line.contains("ARGUS_AI_MODEL")).unwrap();
    assert!(of_ai.contains("/ai/providers"), "{of_ai}");
    assert!(log.contains("ARGUS_NO_SUCH_KEY") && !log.contains("hunter2"), "{log}");
}
