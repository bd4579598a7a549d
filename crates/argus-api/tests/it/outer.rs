//! What every answer has, whatever it answers.

use argus_core::api_key::Scope;
use reqwest::Method;
use serde_json::json;

use crate::support::{Server, send, until};

#[tokio::test]
async fn a_request_id_of_the_right_form_comes_back_and_another_is_replaced() {
    let server = Server::start().await;
    for (sent, kept) in [("abc.DEF_1-2", true), ("a b", false), ("", false), (&"x".repeat(129) as &str, false)] {
        let answer = send(server.bare(Method::GET, "/nothing").header("x-request-id", sent)).await;
        let got = answer.header("x-request-id");
        assert_eq!(got == sent, kept, "{sent:?} {got:?}");
        assert!((1..=128).contains(&got.len()));
    }
}

#[tokio::test]
async fn a_panic_is_a_500_that_tells_nothing_and_the_server_goes_on() {
    let server = Server::start().await;
    // The first panics in the running system, the second in the handler, on its worker.
    let in_system = ("/cameras", json!({"name": "panic", "type": "test"}));
    let in_handler = ("/cameras/test", json!({"type": "file", "file_path": "panic"}));
    for (path, body) in [in_system, in_handler].into_iter().cycle().take(12) {
        let answer = server.post(path, body).await;
        assert_eq!(answer.expect(500), json!({"detail": "Internal server error", "status_code": 500}));
        assert!(!answer.header("x-request-id").is_empty());
        assert_eq!((answer.header("cache-control"), answer.header("x-content-type-options")), ("no-store", "nosniff"));
        for name in ["content-security-policy", "referrer-policy", "x-frame-options", "x-ratelimit-remaining"] {
            assert!(!answer.header(name).is_empty(), "{name} of {path}");
        }
    }
    server.get("/cameras").await.expect(200);
}

#[tokio::test]
async fn json_is_not_to_be_stored() {
    let server = Server::start().await;
    for path in ["/cameras", "/events", "/nothing", "/system/health"] {
        assert_eq!(server.get(path).await.header("cache-control"), "no-store", "{path}");
    }
}

#[tokio::test]
async fn a_listening_address_that_is_taken_is_told() {
    let server = Server::start().await;
    let taken = format!("127.0.0.1:{}", server.port).parse().unwrap();
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
        timing: argus_api::Timing::default(),
        http: argus_api::HttpConfig::default(),
        sign_in: argus_api::SignIn::new(argus_db::TokenKey::new([0; 32])),
    };
    let failure = argus_api::bind(state, &[taken]).unwrap_err();
    assert!(matches!(failure, argus_api::ApiError::Bind { addr, .. } if addr == taken), "{failure}");
}

#[tokio::test]
async fn a_stop_ends_what_waits_and_then_the_server() {
    let mut server = Server::start().await;
    let key = server.key(&[Scope::ReadEvents]).await;
    let waiting = tokio::spawn(send(server.bare(Method::GET, "/journal?wait=60").header("x-api-key", key.clone())));
    // Asking counts too: when one more was counted than was asked, the poll has come in.
    let asked = std::sync::atomic::AtomicI64::new(0);
    until("the poll comes in", || async {
        let asked = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let health = send(server.bare(Method::GET, "/system/health").header("x-api-key", key.clone())).await;
        health.header("x-ratelimit-remaining").parse::<i64>().unwrap() == 10_000 - asked - 1
    })
    .await;
    let begun = std::time::Instant::now();
    server.stop().await;
    let answer = waiting.await.unwrap();
    assert_eq!(answer.expect(200)["items"], json!([]));
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", server.port)).await.is_err());
}
