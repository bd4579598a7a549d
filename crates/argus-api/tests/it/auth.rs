//! API keys: which are good, what they may, and that their use is counted.

use argus_core::api_key::{NewApiKey, Scope};
use reqwest::Method;

use crate::support::{Server, send, until};

#[tokio::test]
async fn a_key_ends_when_it_is_revoked_or_expires() {
    let server = Server::start().await;
    let (text, key) = server.key_limited(&[Scope::ReadCameras], 100).await;
    let ask = |text: String| send(server.bare(Method::GET, "/cameras").header("x-api-key", text));
    ask(text.clone()).await.expect(200);
    server.db.api_key_revoke(key.id, argus_core::Clock::now(&*server.clock)).await.unwrap();
    ask(text).await.expect(401);

    let now = argus_core::Clock::now(&*server.clock);
    let soon = now.plus(std::time::Duration::from_secs(60));
    let new = NewApiKey::check("short", &[Scope::ReadCameras], Some(soon), 100, now).unwrap();
    let (text, _) = server.insert_key(new).await;
    ask(text.clone()).await.expect(200);
    server.clock.advance(std::time::Duration::from_secs(60));
    ask(text).await.expect(401);
}

#[tokio::test]
async fn the_first_kind_of_credentials_decides() {
    let server = Server::start().await;
    let good = server.key(&[Scope::Admin]).await;
    let get = || server.bare(Method::GET, "/cameras");
    send(get().header("authorization", "Bearer x").header("x-api-key", &good)).await.expect(200);
    send(get().header("authorization", format!("Bearer {good}"))).await.expect(401);
    send(get().header("cookie", "argusai_access_token=x")).await.expect(401);
    send(get().header("authorization", "Basic eDp5")).await.expect(401);
    // A bad key is not saved by anything else.
    send(get().header("x-api-key", "argus_bad").header("authorization", "Bearer x")).await.expect(401);
    send(get().header("x-api-key", good.to_uppercase())).await.expect(401);
    send(get().header("x-api-key", format!("{good}0"))).await.expect(401);
    send(get().header("x-api-key", reqwest::header::HeaderValue::from_bytes(b"argus_\xff").unwrap())).await.expect(401);
    send(server.bare(Method::GET, &format!("/cameras?api_key={good}"))).await.expect(401);
}

#[tokio::test]
async fn checks_run_in_the_order_of_the_contract() {
    let server = Server::start().await;
    let viewer = server.key(&[Scope::ReadCameras]).await;
    let post = |path: &str| server.bare(Method::POST, path).body("{").header("content-type", "text/plain");
    post("/nothing").header("x-api-key", "bad").send().await.map(|r| assert_eq!(r.status(), 404)).unwrap();
    send(server.bare(Method::PATCH, "/cameras").header("x-api-key", "bad")).await.expect(405);
    send(post("/cameras").header("x-api-key", "bad")).await.expect(401);
    send(post("/cameras").header("x-api-key", &viewer)).await.expect(403);
    send(post("/cameras").header("x-api-key", &server.admin)).await.expect(415);
    let unknown = "/cameras/0193f000-0000-7000-8000-000000000000";
    let put =
        |body: &'static str| server.request(Method::PUT, unknown).header("content-type", "application/json").body(body);
    send(put("{")).await.expect(400);
    assert_eq!(send(put("{\"frame_rate\": 0}")).await.faults(), ["frame_rate"]);
    send(put("{\"frame_rate\": 1}")).await.expect(404);
}

#[tokio::test]
async fn use_is_counted_and_none_is_lost_at_the_stop() {
    let mut server = Server::start().await;
    let (text, key) = server.key_limited(&[Scope::ReadCameras], 5).await;
    let ask = |path: &'static str| send(server.bare(Method::GET, path).header("x-api-key", text.clone()));
    ask("/cameras").await.expect(200);
    ask("/cameras?x=1").await.expect(422);
    ask("/events").await.expect(403);
    ask("/nothing").await.expect(404);
    ask("/system/health").await.expect(200);
    ask("/journal").await.expect(200);
    ask("/cameras").await.expect(429);
    let now = argus_core::Clock::now(&*server.clock);
    // Visible by itself after a while …
    let (db, id) = (server.db.clone(), key.id);
    until("the use is written down", || {
        let db = db.clone();
        async move { db.api_key_get(id, now).await.unwrap().usage_count == 5 }
    })
    .await;
    let stored = server.db.api_key_get(key.id, now).await.unwrap();
    assert_eq!((stored.last_used_at, stored.last_used_ip.as_deref()), (Some(now), Some("127.0.0.1")));
    // … and what came last at the stop.
    let (text, key) = server.key_limited(&[Scope::ReadCameras], 5).await;
    for _ in 0..3 {
        send(server.bare(Method::GET, "/cameras").header("x-api-key", text.clone())).await.expect(200);
    }
    server.stop().await;
    assert_eq!(server.db.api_key_get(key.id, now).await.unwrap().usage_count, 3);
}
