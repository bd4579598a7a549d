//! The rate limit as clients see it.

use argus_core::api_key::Scope;
use futures_util::future::join_all;
use reqwest::Method;

use crate::support::{Answer, Server, send};

fn standing(answer: &Answer) -> (i64, i64, i64) {
    let number = |name: &str| answer.header(name).parse().unwrap_or(-1);
    (number("x-ratelimit-limit"), number("x-ratelimit-remaining"), number("x-ratelimit-reset"))
}

#[tokio::test]
async fn exactly_the_limit_is_admitted_at_once() {
    let server = Server::start().await;
    let (key, _) = server.key_limited(&[Scope::ReadCameras], 20).await;
    let ask = || send(server.bare(Method::GET, "/cameras?limit=1").header("x-api-key", &key));
    let answers = join_all((0..60).map(|_| ask())).await;
    let mut remaining: Vec<i64> = answers.iter().filter(|a| a.status == 200).map(|a| standing(a).1).collect();
    remaining.sort_unstable();
    assert_eq!(remaining, (0..20).collect::<Vec<_>>());
    for refused in answers.iter().filter(|a| a.status != 200) {
        let body = refused.expect(429);
        let wait: i64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait));
        let sentence = format!("Rate limit exceeded. Limit: 20/minute. Retry after {wait} seconds.");
        assert_eq!(body, serde_json::json!({"detail": sentence, "status_code": 429}));
        assert_eq!((standing(refused).0, standing(refused).1), (20, 0));
    }
}

#[tokio::test]
async fn every_answer_to_a_valid_key_tells_where_it_stands() {
    let server = Server::start().await;
    let (key, _) = server.key_limited(&[Scope::ReadCameras], 9).await;
    let ask = |path: &'static str| send(server.bare(Method::GET, path).header("x-api-key", key.clone()));
    let now = argus_core::Clock::now(&*server.clock).as_millis() / 1000;
    for (path, status, remaining) in [
        ("/cameras", 200, 8),
        ("/cameras?x=1", 422, 7),
        ("/events", 403, 6),
        ("/cameras/x", 404, 5),
        ("/system/health", 200, 4),
    ] {
        let answer = ask(path).await;
        assert_eq!(answer.status, status, "{path}");
        let (limit, left, reset) = standing(&answer);
        assert_eq!((limit, left), (9, remaining), "{path}");
        assert!((1..=61).contains(&(reset - now)), "{path} {reset}");
    }
    for path in ["/nothing", "/ws", "/openapi.json"] {
        assert_eq!(standing(&ask(path).await).0, -1, "{path}");
    }
    assert_eq!(standing(&ask("/cameras").await).1, 3, "the router's own answers did not count");
    let bare = send(server.bare(Method::GET, "/system/health")).await;
    assert_eq!(standing(&bare).0, -1);
}
