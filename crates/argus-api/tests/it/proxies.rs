//! Callers behind proxies.

use argus_api::{HttpConfig, network};
use argus_core::Clock as _;
use argus_core::api_key::Scope;
use reqwest::Method;

use crate::support::{Server, send, until};

async fn used_from(trusted: &[&str], forwarded: &str) -> String {
    let trusted_proxies = trusted.iter().map(|net| network(net).unwrap()).collect();
    let server = Server::start_http(HttpConfig { trusted_proxies, ..HttpConfig::default() }).await;
    let (text, key) = server.key_limited(&[Scope::ReadCameras], 5).await;
    let request = server.bare(Method::GET, "/cameras").header("x-api-key", text);
    send(request.header("x-forwarded-for", forwarded)).await.expect(200);
    let now = server.clock.now();
    let read = || async { server.db.api_key_get(key.id, now).await.unwrap().last_used_ip };
    until("the use is written down", || async { read().await.is_some() }).await;
    read().await.unwrap()
}

#[tokio::test]
async fn only_trusted_proxies_say_who_calls() {
    assert_eq!(used_from(&[], "198.51.100.7").await, "127.0.0.1");
    assert_eq!(used_from(&["127.0.0.0/8"], "198.51.100.7").await, "198.51.100.7");
    assert_eq!(used_from(&["127.0.0.0/8", "10.0.0.0/8"], "6.6.6.6, 198.51.100.7, 10.1.1.1").await, "198.51.100.7");
    assert_eq!(used_from(&["10.0.0.0/8"], "198.51.100.7").await, "127.0.0.1");
}

#[tokio::test]
async fn a_trusted_proxy_says_that_its_caller_came_encrypted() {
    for (trusted, expected) in [("127.0.0.1", "max-age=31536000"), ("10.0.0.1", "")] {
        let trusted_proxies = vec![network(trusted).unwrap()];
        let server = Server::start_http(HttpConfig { trusted_proxies, ..HttpConfig::default() }).await;
        let answer = send(server.bare(Method::GET, "/system/health").header("x-forwarded-proto", "https")).await;
        assert_eq!(answer.header("strict-transport-security"), expected, "{trusted}");
        let answer = send(server.bare(Method::GET, "/system/health").header("x-forwarded-proto", "http")).await;
        assert_eq!(answer.header("strict-transport-security"), "");
    }
}
