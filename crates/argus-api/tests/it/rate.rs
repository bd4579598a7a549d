//! The rate limit as clients see it.

use std::time::Duration;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_32_clients_exactly_the_limit_is_admitted() {
    let server = Server::start().await;
    let (key, _) = server.key_limited(&[Scope::ReadCameras], 100).await;
    // Each with a connection of its own, ten requests one after the other.
    let clients = (0..32).map(|_| {
        let (client, url, key) = (crate::support::client(), server.url("/cameras?limit=1"), key.clone());
        tokio::spawn(async move {
            let mut answers = Vec::new();
            for _ in 0..10 {
                answers.push(send(client.get(&url).header("x-api-key", &key)).await);
            }
            answers
        })
    });
    let answers: Vec<Answer> = join_all(clients).await.into_iter().flat_map(Result::unwrap).collect();
    let mut remaining: Vec<i64> = answers.iter().filter(|a| a.status == 200).map(|a| standing(a).1).collect();
    remaining.sort_unstable();
    assert_eq!(remaining, (0..100).collect::<Vec<_>>());
    assert_eq!(answers.iter().filter(|a| a.status == 429).count(), 220);
    let resets: Vec<i64> = answers.iter().map(|a| standing(a).2).collect();
    let spread = resets.iter().max().unwrap() - resets.iter().min().unwrap();
    // The clock of this server stands, so what differs is how long ago the first request was.
    assert!(spread <= 20, "the oldest request is the same for all: {spread}");
}

#[tokio::test]
async fn waiting_as_long_as_told_is_enough_for_one_more() {
    let timing = argus_api::Timing { window: Duration::from_millis(1500), ..argus_api::Timing::default() };
    let server = Server::start_with(timing).await;
    let (key, _) = server.key_limited(&[Scope::ReadCameras], 2).await;
    let ask = || send(server.bare(Method::GET, "/cameras").header("x-api-key", &key));
    ask().await.expect(200);
    ask().await.expect(200);
    let refused = ask().await;
    refused.expect(429);
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    tokio::time::sleep(Duration::from_secs(wait)).await;
    ask().await.expect(200);
}

#[tokio::test]
async fn open_endpoints_count_and_refuse_too() {
    let server = Server::start().await;
    let (key, _) = server.key_limited(&[Scope::ReadCameras], 1).await;
    let ask = || send(server.bare(Method::GET, "/system/health").header("x-api-key", &key));
    assert_eq!(standing(&ask().await).1, 0);
    let refused = ask().await;
    refused.expect(429);
    assert_eq!((standing(&refused).0, standing(&refused).1), (1, 0));
    send(server.bare(Method::GET, "/system/health")).await.expect(200);
}
