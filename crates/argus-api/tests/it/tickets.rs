//! Live messages for browsers: tickets, cookies, and that they end with what let them in.

use std::time::Duration;

use argus_api::{HttpConfig, Timing};
use argus_core::Clock as _;
use argus_core::api_key::Scope;
use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderName;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::people::{Session, login, person};
use crate::support::{PATIENCE, Server, send};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens a socket, or gives the status of the refusal.
async fn open(server: &Server, query: &str, headers: &[(&'static str, &str)]) -> Result<Socket, u16> {
    let mut request = format!("ws://127.0.0.1:{}/ws{query}", server.port).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(HeaderName::from_static(name), value.parse().unwrap());
    }
    match connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

/// The status of an attempt to open a socket.
async fn status(server: &Server, query: &str, headers: &[(&'static str, &str)]) -> u16 {
    open(server, query, headers).await.err().unwrap_or(101)
}

/// The next message, or the code with which the server closes.
async fn next(socket: &mut Socket) -> Result<Value, u16> {
    loop {
        match timeout(PATIENCE, socket.next()).await.expect("a frame in time").expect("an open socket").unwrap() {
            Message::Text(text) => return Ok(serde_json::from_str(&text).unwrap()),
            Message::Close(frame) => return Err(frame.expect("a reason").code.into()),
            _ => {}
        }
    }
}

async fn ticket(server: &Server, session: &Session) -> String {
    let made = session.post(server, "/auth/ws-ticket", json!({})).await.expect(201);
    made["ticket"].as_str().unwrap().to_owned()
}

/// Waits until it shows that somebody used the session after `before`, which must be a minute ago.
async fn used_after(server: &Server, session: &Session, before: argus_core::Timestamp) {
    let (db, id) = (server.db.clone(), session.id().parse().unwrap());
    crate::support::until("the session is used", || {
        let (db, now) = (db.clone(), server.clock.now());
        async move { db.session_list(id, 1, 1, now).await.unwrap().items[0].last_active_at > before }
    })
    .await;
}

fn impatient() -> Timing {
    Timing { recheck: Duration::from_millis(30), ..Timing::default() }
}

#[tokio::test]
async fn a_ticket_opens_one_socket() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    let ada = person(&server, "ada", "viewer").await;
    let answer = send(ada.request(&server, Method::POST, "/auth/ws-ticket")).await;
    let made = answer.expect(201);
    assert_eq!(answer.header("location"), "/ws");
    assert_eq!((&made["expires_in"], &made["expires_at"]), (&json!(30), &json!("2025-12-23T10:30:30.000Z")));
    assert_eq!(made["last_seq"], 1);
    assert_eq!(made.as_object().unwrap().len(), 4);
    let query = format!("?ticket={}&after={}", made["ticket"].as_str().unwrap(), made["last_seq"]);
    server.event(&camera, 0, "Motion").await;
    let mut socket = open(&server, &query, &[]).await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap()["type"], "event.created");
    assert_eq!(status(&server, &query, &[]).await, 401, "it was used");
    // Also when the rest of the query was wrong.
    let ticket = ticket(&server, &ada).await;
    assert_eq!(status(&server, &format!("?ticket={ticket}&after=x"), &[]).await, 422);
    assert_eq!(status(&server, &format!("?ticket={ticket}"), &[]).await, 401);
}

#[tokio::test]
async fn a_ticket_alone_counts_and_gets_old() {
    let server = Server::start().await;
    let ada = person(&server, "ada", "viewer").await;
    let key = ("x-api-key", server.admin.as_str());
    assert_eq!(status(&server, "?ticket=nonsense", &[key]).await, 401);
    assert_eq!(status(&server, "?ticket=", &[key]).await, 422);
    assert_eq!(status(&server, "?ticket=a&ticket=b", &[key]).await, 422);
    let good = ticket(&server, &ada).await;
    assert_eq!(status(&server, &format!("?ticket={good}"), &[("x-api-key", "wrong")]).await, 101);
    let old = ticket(&server, &ada).await;
    server.clock.advance(Duration::from_secs(30));
    assert_eq!(status(&server, &format!("?ticket={old}"), &[]).await, 401);
    let orphan = ticket(&server, &ada).await;
    ada.post(&server, "/auth/logout", json!({})).await.expect(204);
    assert_eq!(status(&server, &format!("?ticket={orphan}"), &[]).await, 401);
}

#[tokio::test]
async fn a_ticket_has_the_permissions_of_its_maker() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    let key = server.key(&[Scope::ReadCameras]).await;
    let make = || send(server.bare(Method::POST, "/auth/ws-ticket").header("x-api-key", &key));
    let of_key = make().await.expect(201)["ticket"].as_str().unwrap().to_owned();
    assert_eq!(status(&server, &format!("?ticket={of_key}&types=event.created"), &[]).await, 403);
    let of_key = make().await.expect(201)["ticket"].as_str().unwrap().to_owned();
    let mut socket = open(&server, &format!("?ticket={of_key}"), &[]).await.unwrap();
    server.event(&camera, 0, "Motion").await;
    server.delete(&format!("/cameras/{camera}")).await.expect(204);
    assert_eq!(next(&mut socket).await.unwrap()["type"], "camera.status");
    send(server.bare(Method::POST, "/auth/ws-ticket")).await.expect(401);
}

#[tokio::test]
async fn a_handshake_by_the_ticket_of_a_key_is_a_request_of_the_key() {
    let server = Server::start().await;
    let (key, id) = server.key_limited(&[Scope::ReadCameras], 3).await;
    let make = || send(server.bare(Method::POST, "/auth/ws-ticket").header("x-api-key", &key));
    let first = make().await.expect(201)["ticket"].as_str().unwrap().to_owned();
    assert_eq!(status(&server, &format!("?ticket={first}"), &[]).await, 101);
    let last = make().await;
    assert_eq!(last.header("x-ratelimit-remaining"), "0");
    let last = last.expect(201)["ticket"].as_str().unwrap().to_owned();
    assert_eq!(status(&server, &format!("?ticket={last}"), &[]).await, 429);
    let (server, path) = (&server, format!("/api-keys/{}/usage", id.id));
    crate::support::until("the three uses are written down", || {
        let path = path.clone();
        async move { server.get(&path).await.expect(200)["usage_count"] == 3 }
    })
    .await;
}

#[tokio::test]
async fn a_cookie_needs_an_origin() {
    let cors_origins = vec!["https://home.example".parse().unwrap()];
    let server = Server::start_as(Timing::default(), HttpConfig { cors_origins, ..HttpConfig::default() }).await;
    let ada = person(&server, "ada", "viewer").await;
    let cookies = ada.cookies();
    let cookie = ("cookie", cookies.as_str());
    let own = format!("http://127.0.0.1:{}", server.port);
    assert_eq!(status(&server, "", &[cookie, ("origin", &own)]).await, 101);
    assert_eq!(status(&server, "", &[cookie, ("origin", "https://home.example")]).await, 101);
    assert_eq!(status(&server, "", &[cookie]).await, 403);
    assert_eq!(status(&server, "", &[cookie, ("x-requested-with", "x")]).await, 403);
    assert_eq!(status(&server, "", &[cookie, ("origin", "http://evil.example")]).await, 403);
    assert_eq!(status(&server, "", &[("cookie", "argusai_access_token=x"), ("origin", &own)]).await, 401);
    let bearer = format!("Bearer {}", ada.access);
    assert_eq!(status(&server, "", &[("authorization", &bearer), ("origin", "http://evil.example")]).await, 101);
}

#[tokio::test]
async fn a_socket_ends_with_what_let_it_in() {
    let server = Server::start_with(impatient()).await;
    let bearer = |session: &Session| format!("Bearer {}", session.access);
    let ada = person(&server, "ada", "viewer").await;
    for how in ["logout", "disabled", "reset", "deleted", "refresh token reused"] {
        if how == "disabled" || how == "deleted" {
            server.put(&format!("/users/{}", ada.id()), json!({"is_active": true})).await.expect(200);
        }
        let session = match how {
            "reset" => person(&server, "bob", "operator").await,
            "refresh token reused" => person(&server, "eve", "operator").await,
            _ => login(&server, "ada", crate::people::PASSWORD).await,
        };
        let mut by_token = open(&server, "", &[("authorization", &bearer(&session))]).await.unwrap();
        let query = format!("?ticket={}", ticket(&server, &session).await);
        let mut by_ticket = open(&server, &query, &[]).await.unwrap();
        let path = format!("/users/{}", session.id());
        match how {
            "logout" => drop(session.post(&server, "/auth/logout", json!({})).await.expect(204)),
            "disabled" => drop(server.put(&path, json!({"is_active": false})).await.expect(200)),
            "reset" => drop(server.post(&format!("{path}/reset-password"), json!({})).await.expect(200)),
            "deleted" => drop(server.delete(&path).await.expect(204)),
            _ => {
                session.refresh(&server).await.expect(200);
                session.refresh(&server).await.expect(401);
            }
        }
        assert_eq!((next(&mut by_token).await, next(&mut by_ticket).await), (Err(1008), Err(1008)), "{how}");
    }
}

#[tokio::test]
async fn a_socket_outlives_its_access_token() {
    let server = Server::start_with(impatient()).await;
    let camera = server.camera("Door").await;
    let ada = person(&server, "ada", "viewer").await;
    let mut socket = open(&server, "", &[("authorization", &format!("Bearer {}", ada.access))]).await.unwrap();
    server.clock.advance(Duration::from_secs(3600));
    assert!(!ada.lives(&server).await);
    // The session shows as used by the look at it that comes after the token's end: so the socket was asked.
    let ada = Session::of(&ada.refresh(&server).await);
    let before = server.clock.now();
    server.clock.advance(Duration::from_secs(61));
    used_after(&server, &ada, before).await;
    server.event(&camera, 0, "Motion").await;
    assert_eq!(next(&mut socket).await.unwrap()["type"], "event.created");
}

#[tokio::test]
async fn a_long_poll_ends_with_what_let_it_in() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    let ada = person(&server, "ada", "viewer").await;
    let before = server.clock.now();
    server.clock.advance(Duration::from_secs(61));
    let poll = ada.request(&server, Method::GET, "/journal?wait=15&after=1");
    let poll = tokio::spawn(async move { send(poll).await });
    used_after(&server, &ada, before).await;
    ada.post(&server, "/auth/logout", json!({})).await.expect(204);
    server.event(&camera, 0, "Motion").await;
    assert_eq!(poll.await.unwrap().status, 401);
}
