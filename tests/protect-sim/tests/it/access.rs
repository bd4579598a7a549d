//! Logins, sessions, rights, keys.

use std::time::Duration;

use argus_protect_sim::{CookieStyle, Fault, Order, Stream, User, What, When};
use serde_json::json;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::client::{API, Client, LIMIT, PUBLIC, sim};

#[tokio::test]
async fn a_login_gives_a_session_in_either_style() {
    for (style, name, is_partitioned) in
        [(CookieStyle::Token, "TOKEN=", false), (CookieStyle::UosToken, "UOS_TOKEN=", true)]
    {
        let sim = sim(|options| options.cookie = style).await;
        let mut client = Client::new(&sim);
        assert_eq!(client.get(&format!("{API}/bootstrap")).await.status, 401);
        let answer = client.login("argus", "correct horse").await;
        assert_eq!(answer.status, 200);
        let cookie = answer.header("set-cookie").unwrap().to_owned();
        assert!(cookie.starts_with(name) && cookie.contains("Partitioned") == is_partitioned, "{cookie}");
        assert_eq!(cookie.split(';').next().unwrap().split('.').count(), 3, "a JWT");
        client.take_session(&answer);
        let bootstrap = client.get(&format!("{API}/bootstrap")).await.json();
        assert_eq!(bootstrap["cameras"].as_array().unwrap().len(), 12);
        let own = bootstrap["authUserId"].clone();
        assert!(bootstrap["users"].as_array().unwrap().iter().any(|user| user["id"] == own && user["name"] == "argus"));
    }
}

#[tokio::test]
async fn failures_lock_everyone_out() {
    let sim = sim(|_| ()).await;
    let client = Client::new(&sim);
    for _ in 0..5 {
        let answer = client.login("argus", "wrong").await;
        assert_eq!(
            (answer.status, answer.json()["code"].clone()),
            (401, json!("AUTHENTICATION_FAILED_INVALID_CREDENTIALS"))
        );
    }
    let answer = client.login("argus", "correct horse").await;
    assert_eq!((answer.status, answer.json()["code"].clone()), (429, json!("AUTHENTICATION_FAILED_LIMIT_REACHED")));
    assert!(answer.header("retry-after").is_none());
    sim.unlock();
    assert_eq!(client.login("argus", "correct horse").await.status, 200);
}

#[tokio::test]
async fn a_cloud_account_needs_a_second_factor() {
    let sim = sim(|_| ()).await;
    assert_eq!(Client::new(&sim).login("cloud", "staple").await.status, 499);
}

#[tokio::test]
async fn a_dead_cookie_spoils_a_login() {
    let sim = sim(|_| ()).await;
    let client = Client::admin(&sim).await;
    sim.expire_sessions();
    assert_eq!(client.get(&format!("{API}/bootstrap")).await.status, 401);
    assert_eq!(client.login("argus", "correct horse").await.status, 401);
    assert_eq!(Client::new(&sim).login("argus", "correct horse").await.status, 200);
}

#[tokio::test]
async fn rights_are_kept() {
    let sim = sim(|options| options.users.push(User::limited("guest", "guest"))).await;
    let door = sim.doorbells().pop().unwrap();
    let at = sim.now_ms() - 10_000;
    let paths = [
        format!("{API}/cameras/{door}/snapshot"),
        format!("{API}/cameras/{door}/recording-snapshot?ts={at}"),
        format!("{API}/video/export?camera={door}&start={}&end={at}", at - 5000),
    ];
    let guest = Client::signed_in(&sim, "guest", "guest").await;
    let viewer = Client::signed_in(&sim, "viewer", "battery staple").await;
    for path in &paths {
        assert_eq!((guest.get(path).await.status, viewer.get(path).await.status), (403, 200), "{path}");
    }
    assert_eq!(guest.get(&format!("{API}/keyrings")).await.status, 403);
    assert_eq!(guest.get(&format!("{API}/bootstrap")).await.status, 200);
    let change = Some(json!({"name": "Mine"}));
    let answer = viewer.send("PATCH", &format!("{API}/cameras/{door}"), change).await.unwrap();
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn writes_want_the_csrf_token() {
    let sim = sim(|_| ()).await;
    let door = sim.doorbells().remove(0);
    let path = format!("{API}/cameras/{door}");
    let mut client = Client::admin(&sim).await;
    let channels = json!({"channels": [{"id": 0, "isRtspEnabled": false}, {"id": 1, "isRtspEnabled": true}]});
    let answer = client.send("PATCH", &path, Some(channels.clone())).await.unwrap().json();
    assert_eq!(answer["channels"].as_array().unwrap().len(), 2, "arrays are replaced");
    assert_eq!(answer["channels"][0]["rtspAlias"], json!(null));
    assert_eq!(answer["channels"][1]["rtspAlias"].as_str().unwrap().len(), 16);
    client.headers.retain(|(name, _)| name != "x-csrf-token");
    assert_eq!(client.send("PATCH", &path, Some(channels)).await.unwrap().status, 403);
    assert_eq!(client.get(&path).await.status, 200);
}

#[tokio::test]
async fn a_session_gets_new_cookies_and_tokens() {
    let sim = sim(|options| options.rotate_every = Some(2)).await;
    let mut client = Client::admin(&sim).await;
    let first = client.headers.clone();
    assert!(client.get(&format!("{API}/nvr")).await.header("set-cookie").is_none());
    let answer = client.get(&format!("{API}/nvr")).await;
    client.take_session(&answer);
    assert_ne!(client.headers, first);
    assert_eq!(client.get(&format!("{API}/nvr")).await.status, 200);
}

#[tokio::test]
async fn a_rule_gives_new_cookies_too() {
    let sim = sim(|_| ()).await;
    let client = Client::admin(&sim).await;
    sim.fault(Fault::on(&format!("{API}/nvr"), When::Nth(2), What::Rotate));
    let mut rotated = Vec::new();
    for _ in 0..3 {
        rotated.push(client.get(&format!("{API}/nvr")).await.header("x-updated-csrf-token").is_some());
    }
    assert_eq!(rotated, [false, true, false]);
}

#[tokio::test]
async fn a_session_makes_a_key_that_is_good_until_it_is_revoked() {
    let sim = sim(|_| ()).await;
    let admin = Client::admin(&sim).await;
    let made = admin.send("POST", "/proxy/users/api/v2/user/self/keys", Some(json!({"name": "Argus"}))).await.unwrap();
    let key = made.json()["data"]["full_api_key"].as_str().unwrap().to_owned();
    let mut client = Client::new(&sim);
    client.headers = vec![("x-api-key".into(), key.clone())];
    assert_eq!(client.get(&format!("{PUBLIC}/meta/info")).await.json(), json!({"applicationVersion": "7.1.87"}));
    let mut events = client.open(&format!("{PUBLIC}/subscribe/events")).await.unwrap();
    sim.revoke_key(&key);
    assert!(matches!(events.next().await, Ok(Message::Close(Some(frame))) if u16::from(frame.code) == 1008));
    assert_eq!(client.get(&format!("{PUBLIC}/meta/info")).await.status, 401);
    let refused = client.open(&format!("{PUBLIC}/subscribe/events")).await;
    assert!(matches!(refused.err(), Some(Error::Http(answer)) if answer.status() == 401));
}

#[tokio::test]
async fn ten_requests_in_a_second_are_the_most() {
    let sim = sim(|_| ()).await;
    let client = Client::with_key(&sim);
    let mut events = client.open(&format!("{PUBLIC}/subscribe/events")).await.unwrap();
    let mut last = None;
    for _ in 0..10 {
        last = Some(client.get(&format!("{PUBLIC}/meta/info")).await);
    }
    let last = last.unwrap();
    assert_eq!(last.status, 429);
    assert_eq!(last.header("ratelimit-policy"), Some("\"10-in-1sec\"; q=10; w=1"));
    assert!(matches!(events.next().await, Ok(Message::Close(Some(frame))) if u16::from(frame.code) == 1008));
    assert!(sim.until(LIMIT, |sim| sim.open_streams(Stream::Events) == 0).await);
    // Refused requests do not count, so asking on ends when the second is over.
    let deadline = std::time::Instant::now() + LIMIT;
    let answer = loop {
        let answer = client.get(&format!("{PUBLIC}/meta/info")).await;
        if answer.status == 200 || std::time::Instant::now() > deadline {
            break answer;
        }
    };
    assert_eq!(answer.status, 200);
    assert!(answer.header("ratelimit").unwrap().starts_with("\"10-in-1sec\"; r="));
    // Nothing is open any more.
    assert_eq!(sim.order(Stream::Events, &Order::End), 0);
}

#[tokio::test]
async fn sessions_end_when_their_time_is_over() {
    let sim = sim(|_| ()).await;
    sim.session_life(Some(Duration::from_millis(50)));
    let client = Client::admin(&sim).await;
    let deadline = std::time::Instant::now() + LIMIT;
    while client.get(&format!("{API}/nvr")).await.status != 401 {
        assert!(std::time::Instant::now() < deadline);
    }
    let logins = sim.count(|request| request.status == 200 && request.path == "/api/auth/login");
    assert_eq!(logins, 1);
}
