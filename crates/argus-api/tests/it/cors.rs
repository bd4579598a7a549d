//! Pages of other origins, and headers against misuse.

use argus_api::HttpConfig;
use reqwest::Method;

use crate::support::{Answer, Server, send};

const HOME: &str = "https://home.example:8123";

async fn with_origins() -> Server {
    let cors_origins = vec![HOME.parse().unwrap(), "http://localhost:3000".parse().unwrap()];
    Server::start_http(HttpConfig { cors_origins, ..HttpConfig::default() }).await
}

fn cors(answer: &Answer) -> Vec<(String, String)> {
    let named = answer.headers.iter().filter(|(name, _)| name.as_str().starts_with("access-control-"));
    named.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
}

#[tokio::test]
async fn nobody_is_let_in_by_default() {
    let server = Server::start().await;
    let answer = send(server.request(Method::GET, "/cameras").header("origin", HOME)).await;
    answer.expect(200);
    assert!(cors(&answer).is_empty() && answer.header("vary").is_empty());
    let asked = server.bare(Method::OPTIONS, "/cameras").header("origin", HOME);
    let answer = send(asked.header("access-control-request-method", "GET")).await;
    answer.expect(405);
    assert!(cors(&answer).is_empty());
    assert_eq!(answer.header("allow"), "GET, HEAD, POST");
}

#[tokio::test]
async fn exact_origins_are_let_in_with_credentials() {
    let server = with_origins().await;
    for (path, status) in [("/cameras", 200), ("/cameras/x", 404), ("/nothing", 404), ("/cameras?x=1", 422)] {
        let answer = send(server.request(Method::GET, path).header("origin", HOME)).await;
        answer.expect(status);
        assert_eq!(answer.header("access-control-allow-origin"), HOME, "{path}");
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        assert!(answer.header("access-control-expose-headers").contains("X-RateLimit-Remaining"));
        assert_eq!(answer.header("vary"), "Origin");
    }
    let bare = send(server.bare(Method::GET, "/cameras").header("origin", HOME)).await;
    bare.expect(401);
    assert_eq!(bare.header("access-control-allow-origin"), HOME, "pages may read why they were refused");
    for other in [
        "https://home.example",
        "http://home.example:8123",
        "https://home.example:8123.evil.example",
        "https://HOME.example:8123",
        "null",
        "*",
        "",
    ] {
        let answer = send(server.request(Method::GET, "/cameras").header("origin", other)).await;
        answer.expect(200);
        assert!(cors(&answer).is_empty(), "{other}");
        assert_eq!(answer.header("vary"), "Origin", "what caches keep depends on it all the same");
    }
}

#[tokio::test]
async fn browsers_may_ask_first() {
    let server = with_origins().await;
    let ask = |path: &str, origin: &str| {
        let request = server.bare(Method::OPTIONS, path).header("origin", origin);
        send(
            request
                .header("access-control-request-method", "PUT")
                .header("access-control-request-headers", "x-api-key"),
        )
    };
    let path = "/cameras/0193f000-0000-7000-8000-000000000000";
    let answer = ask(path, HOME).await;
    assert!(answer.expect(204).is_null());
    assert_eq!(answer.header("access-control-allow-origin"), HOME);
    assert_eq!(answer.header("access-control-allow-methods"), "GET, HEAD, PUT, DELETE, OPTIONS");
    assert!(answer.header("access-control-allow-headers").contains("X-API-Key"));
    assert_eq!(answer.header("access-control-max-age"), "600");
    assert_eq!(answer.header("vary"), "Origin");
    assert_eq!(answer.header("x-ratelimit-limit"), "");
    let other = ask(path, "https://evil.example").await;
    other.expect(204);
    assert!(cors(&other).is_empty());
    ask("/nothing", HOME).await.expect(404);
    send(server.request(Method::PATCH, "/cameras")).await.expect(405);
}

#[tokio::test]
async fn every_answer_is_kept_out_of_frames_and_scripts() {
    let server = Server::start().await;
    for path in ["/cameras", "/nothing", "/cameras?x=1", "/system/health", "/openapi.json"] {
        let answer = server.get(path).await;
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'", "{path}");
        assert_eq!(answer.header("strict-transport-security"), "", "not without TLS");
    }
}
