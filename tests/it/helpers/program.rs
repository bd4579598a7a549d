use std::time::Duration;

use argus_tests::http::Client;
use argus_tests::server::{ServerOptions, ServerProcess, api_key, run, run_bare};
use argus_tests::ws::WsClient;

const DEADLINE: Duration = Duration::from_secs(15);

#[tokio::test]
async fn the_program_is_built_beside_the_tests_and_runs() {
    let (status, stdout, stderr) = run_bare(&["--version"]).await;
    assert!(status.success(), "{stderr}");
    assert!(stdout.contains("argus-server"), "{stdout}");
    let dir = tempfile::tempdir().unwrap();
    let (status, _, stderr) = run(dir.path(), &["no-such-command"]).await;
    assert_eq!(status.code(), Some(2), "{stderr}");
}

#[tokio::test]
async fn a_server_listens_answers_and_ends_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(dir.path()).await;
    let client = server.client().await;
    client.get("/system/health").await.expect(200);
    client.get("/cameras").await.expect(200);
    client.anonymous().get("/cameras").await.expect(401);
    client.root().get("/openapi.json").await.expect(200);
    assert!(server.threads() > 1 && server.fds() > 3);
    assert!((1_000..500_000).contains(&server.rss_kib()), "{}", server.rss_kib());
    assert!(server.stdout_lines().iter().any(|line| line.starts_with("listening on http://127.0.0.1:")));
    let status = server.terminate(DEADLINE).await.unwrap();
    assert!(status.success(), "{status}: {}", server.log_text());
    assert_eq!((server.threads(), server.rss_kib()), (0, 0));
}

#[tokio::test]
async fn a_killed_server_starts_again_on_its_data_with_the_same_key() {
    let dir = tempfile::tempdir().unwrap();
    let key = api_key(dir.path(), "admin").await;
    assert_eq!((key.len(), key.starts_with("argus_")), (49, true));
    let mut server = ServerProcess::start(dir.path()).await;
    let before = server.pid();
    server.kill().await;
    assert!(server.exited().is_some());
    let client = Client::new(server.origin(), &key);
    assert!(client.try_send(client.request(reqwest::Method::GET, "/cameras")).await.is_err());
    let server = ServerProcess::start(dir.path()).await;
    assert_ne!(server.pid(), before);
    Client::new(server.origin(), &key).get("/cameras").await.expect(200);
}

#[tokio::test]
async fn the_websocket_client_is_let_in_by_key_alone() {
    let dir = tempfile::tempdir().unwrap();
    let key = api_key(dir.path(), "admin").await;
    let options = ServerOptions { env: vec![("ARGUS_LOG".to_owned(), "debug".into())], ..ServerOptions::default() };
    let mut server = ServerProcess::start_with(dir.path(), &options).await;
    assert_eq!(WsClient::connect(server.origin(), "argus_wrong", "/ws").await.unwrap_err(), 401);
    let mut socket = WsClient::connect(server.origin(), &key, "/ws").await.unwrap();
    assert_eq!(socket.next_json(Duration::from_millis(100)).await, None);
    server.terminate(DEADLINE).await.unwrap();
    assert_eq!(socket.next_json(DEADLINE).await, None);
    assert_eq!(socket.close_code(), Some(1001));
}
