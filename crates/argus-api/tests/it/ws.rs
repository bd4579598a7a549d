//! Live messages by WebSocket.

use std::time::Duration;

use argus_api::Timing;
use argus_core::api_key::Scope;
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::{PATIENCE, Server, send};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn try_open(server: &Server, key: &str, query: &str) -> Result<Socket, Error> {
    let mut request = format!("ws://127.0.0.1:{}/ws{query}", server.port).into_client_request().unwrap();
    request.headers_mut().insert("x-api-key", key.parse().unwrap());
    connect_async(request).await.map(|(socket, _)| socket)
}

async fn open(server: &Server, query: &str) -> Socket {
    try_open(server, &server.admin, query).await.unwrap()
}

/// The next frame that is no ping or pong.
async fn next(socket: &mut Socket) -> Message {
    loop {
        let frame = timeout(PATIENCE, socket.next()).await.expect("a frame in time");
        match frame.expect("the connection is open").unwrap() {
            Message::Ping(_) | Message::Pong(_) => {}
            frame => return frame,
        }
    }
}

async fn message(socket: &mut Socket) -> Value {
    match next(socket).await {
        Message::Text(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Reads until the server closes, and gives the numbers of the messages before and the code.
async fn to_the_end(socket: &mut Socket) -> (Vec<i64>, u16) {
    let mut seqs = Vec::new();
    loop {
        match next(socket).await {
            Message::Text(text) => seqs.push(serde_json::from_str::<Value>(&text).unwrap()["seq"].as_i64().unwrap()),
            Message::Close(Some(frame)) => return (seqs, frame.code.into()),
            other => panic!("{other:?}"),
        }
    }
}

/// Whether nothing but what follows a text `ping` comes: everything sent before is in order with it.
async fn assert_quiet(socket: &mut Socket) {
    socket.send(Message::text("ping")).await.unwrap();
    assert_eq!(next(socket).await, Message::text("pong"));
}

#[tokio::test]
async fn messages_come_as_they_happen() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    let mut socket = open(&server, "").await;
    assert_quiet(&mut socket).await;
    let event = server.event(&camera, 0, "Motion").await;
    let got = message(&mut socket).await;
    assert_eq!(got["type"], "event.created");
    assert_eq!(got["data"], serde_json::to_value(&event).unwrap());
    assert_eq!(got["seq"], 2);
    server.delete(&format!("/cameras/{camera}")).await.expect(204);
    let gone = message(&mut socket).await;
    assert_eq!((&gone["type"], &gone["data"]["status"]), (&json!("camera.status"), &json!("deleted")));
}

#[tokio::test]
async fn a_replay_has_everything_once_and_in_order() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    for i in 0..600 {
        server.event(&camera, i, "Motion").await;
    }
    let mut socket = open(&server, "?after=0").await;
    // Events go on while the past is read.
    for i in 600..700 {
        server.event(&camera, i, "Motion").await;
    }
    for seq in 1..=701 {
        assert_eq!(message(&mut socket).await["seq"], seq);
    }
    assert_quiet(&mut socket).await;
    let mut late = open(&server, "?after=699&types=event.created").await;
    assert_eq!(message(&mut late).await["seq"], 700);
    assert_eq!(message(&mut late).await["seq"], 701);
    assert_quiet(&mut late).await;
}

#[tokio::test]
async fn a_replay_larger_than_what_may_wait_is_no_slowness() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    for i in 0..1500 {
        server.event(&camera, i, "Motion").await;
    }
    let mut socket = open(&server, "?after=1").await;
    for seq in 2..=1501 {
        assert_eq!(message(&mut socket).await["seq"], seq);
    }
}

/// More may come while the past is read than may wait for a slow reader: one who takes everything is not slow.
#[tokio::test]
async fn what_comes_during_a_replay_is_no_slowness() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    // More than the kernel holds, so that the replay stands still until somebody reads.
    let long = "🦉".repeat(5000);
    for i in 0..600 {
        server.event(&camera, i, &long).await;
    }
    let mut socket = open(&server, "?after=1").await;
    assert_eq!(message(&mut socket).await["seq"], 2);
    for i in 600..2200 {
        server.event(&camera, i, "Motion").await;
    }
    for seq in 3..=2201 {
        assert_eq!(message(&mut socket).await["seq"], seq);
    }
}

#[tokio::test]
async fn gaps_come_first() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    for i in 0..3 {
        server.event(&camera, i * 1000, "Motion").await;
    }
    let mut socket = open(&server, "?after=50&types=event.created").await;
    let gap = message(&mut socket).await;
    assert_eq!((&gap["type"], &gap["seq"]), (&json!("journal.gap"), &json!(4)));
    assert_eq!(gap["data"], json!({"after": 50, "oldest_seq": 1, "reason": "unknown"}));
    server.event(&camera, 3000, "Motion").await;
    assert_eq!(message(&mut socket).await["seq"], 5);
    server.db.journal_trim("2025-12-23T10:30:02Z".parse().unwrap()).await.unwrap();
    let mut socket = open(&server, "?after=0").await;
    let gap = message(&mut socket).await;
    assert_eq!((&gap["data"]["reason"], &gap["seq"]), (&json!("expired"), &json!(3)));
    assert_eq!(message(&mut socket).await["seq"], 4);
}

#[tokio::test]
async fn types_and_permissions_decide_what_comes() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    server.event(&camera, 0, "Motion").await;
    let cameras = server.key(&[Scope::ReadCameras]).await;
    let mut socket = try_open(&server, &cameras, "?after=0").await.unwrap();
    assert_eq!(message(&mut socket).await["type"], "camera.status");
    assert_quiet(&mut socket).await;
    let mut socket = open(&server, "?after=0&types=event.created&types=event.deleted").await;
    assert_eq!(message(&mut socket).await["type"], "event.created");
    assert_quiet(&mut socket).await;
}

#[tokio::test]
async fn faults_before_the_upgrade_are_ordinary_answers() {
    let server = Server::start().await;
    let cameras = server.key(&[Scope::ReadCameras]).await;
    let (none, _) = server.key_limited(&[Scope::Admin], 1).await;
    send(server.bare(Method::GET, "/ws").header("x-api-key", &none)).await.expect(426);
    drop(try_open(&server, &none, "").await.expect("426 did not count"));
    for (key, query, expected) in [
        ("argus_bad", "", 401),
        (server.admin.as_str(), "?ticket=x", 401),
        (cameras.as_str(), "?types=event.created", 403),
        (server.admin.as_str(), "?after=-1", 422),
        (server.admin.as_str(), "?types=walrus", 422),
        (server.admin.as_str(), "?hue=1", 422),
        (none.as_str(), "", 429),
    ] {
        let Err(Error::Http(answer)) = try_open(&server, key, query).await else { panic!("{query} was let in") };
        assert_eq!(answer.status().as_u16(), expected, "{query}");
        let body: Value = serde_json::from_slice(answer.body().as_deref().unwrap_or_default()).unwrap_or_default();
        // The client of the test may stop reading before the body; the sweep looks at bodies.
        assert!(body.is_null() || body["status_code"] == expected, "{body}");
    }
    let answer = send(server.bare(Method::GET, "/ws")).await;
    answer.expect(426);
    assert_eq!((answer.header("upgrade"), answer.header("sec-websocket-version")), ("websocket", "13"));
}

#[tokio::test]
async fn frames_have_a_limit_and_other_text_is_ignored() {
    let server = Server::start().await;
    let mut socket = open(&server, "").await;
    socket.send(Message::text("x".repeat(4000))).await.unwrap();
    socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    socket.send(Message::text("PING")).await.unwrap();
    assert_quiet(&mut socket).await;
    socket.send(Message::text("x".repeat(5000))).await.unwrap();
    assert_eq!(to_the_end(&mut socket).await, (vec![], 1009));
}

#[tokio::test]
async fn a_close_is_answered() {
    let server = Server::start().await;
    let mut socket = open(&server, "").await;
    socket.close(None).await.unwrap();
    let frame = timeout(PATIENCE, socket.next()).await.unwrap();
    assert!(matches!(frame, Some(Ok(Message::Close(_))) | None), "{frame:?}");
}

#[tokio::test]
async fn a_revoked_key_ends_its_connections() {
    let timing = Timing { recheck: Duration::from_millis(50), ..Timing::default() };
    let server = Server::start_with(timing).await;
    let (text, key) = server.key_limited(&[Scope::ReadEvents], 10).await;
    let mut socket = try_open(&server, &text, "").await.unwrap();
    let mut other = open(&server, "").await;
    assert_quiet(&mut socket).await;
    server.db.api_key_revoke(key.id, argus_core::Clock::now(&*server.clock)).await.unwrap();
    assert_eq!(to_the_end(&mut socket).await, (vec![], 1008));
    assert_quiet(&mut other).await;
}

#[tokio::test]
async fn the_stop_of_the_server_is_told() {
    let mut server = Server::start().await;
    let mut socket = open(&server, "").await;
    assert_quiet(&mut socket).await;
    let end = tokio::spawn(async move { to_the_end(&mut socket).await });
    let begun = std::time::Instant::now();
    server.stop().await;
    assert_eq!(end.await.unwrap(), (vec![], 1001));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_server_pings_and_drops_who_is_silent() {
    let timing = Timing { ping: Duration::from_millis(20), silence: Duration::from_millis(300), ..Timing::default() };
    let server = Server::start_with(timing).await;
    let mut lively = open(&server, "").await;
    // The client answers pings while it reads: far beyond the silence that is allowed.
    let begun = tokio::time::Instant::now();
    let mut pings = 0;
    while begun.elapsed() < Duration::from_millis(900) {
        let frame = timeout(PATIENCE, lively.next()).await.unwrap().unwrap().unwrap();
        assert!(matches!(frame, Message::Ping(_)), "{frame:?}");
        pings += 1;
    }
    assert!(pings >= 5, "{pings}");
    // One that does not answer is dropped without a word: its connection just ends.
    let key = &server.admin;
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: argus\r\nX-API-Key: {key}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    let begun = tokio::time::Instant::now();
    let answer = server.raw(&request).await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert!(begun.elapsed() >= timing.silence, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_slow_reader_is_sent_away_and_loses_nothing() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    let mut slow = open(&server, "").await;
    let mut quick = open(&server, "").await;
    assert_quiet(&mut slow).await;
    // What the kernel holds comes on top of what may wait, so there has to be a lot: 1200 of about 20 kB.
    let long = "🦉".repeat(5000);
    let total = 1200;
    let reader = tokio::spawn(async move {
        let mut last = 0;
        while last < total + 1 {
            last = message(&mut quick).await["seq"].as_i64().unwrap();
        }
        quick
    });
    for i in 0..total {
        server.event(&camera, i, &long).await;
    }
    let mut quick = reader.await.unwrap();
    assert_quiet(&mut quick).await;
    let (seqs, code) = to_the_end(&mut slow).await;
    assert_eq!(code, 1013);
    assert!(i64::try_from(seqs.len()).unwrap() < total, "{}", seqs.len());
    let last = seqs.last().copied().unwrap_or(1);
    assert!(seqs.iter().copied().eq(2..=last), "what came was without holes");
    let mut again = open(&server, &format!("?after={last}")).await;
    for seq in last + 1..=total + 1 {
        assert_eq!(message(&mut again).await["seq"], seq);
    }
}
