//! Connections that are kept for more than one request, with clients that take their time.

use std::time::Duration;

use argus_api::Timing;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{PATIENCE, Server};

const HEALTH: &[u8] = b"GET /api/v1/system/health HTTP/1.1\r\nHost: a\r\n\r\n";
/// Longer than a connection is kept on which nothing happens.
const LONG: Duration = Duration::from_millis(6500);

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(("127.0.0.1", server.port)).await.unwrap()
}

/// The next answer: its head, and as much of its body as the head promises.
async fn answer(socket: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut some = vec![0; 64 << 10];
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap();
            let length: usize = length.parse().unwrap();
            if bytes.len() >= end + 4 + length {
                assert_eq!(bytes.len(), end + 4 + length, "nothing follows");
                return Ok((head, bytes.split_off(end + 4)));
            }
        }
        match timeout(PATIENCE, socket.read(&mut some)).await.expect("something comes")? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => bytes.extend_from_slice(&some[..n]),
        }
    }
}

async fn ok(socket: &mut TcpStream) {
    let (head, _) = answer(socket).await.unwrap();
    assert!(head.starts_with("http/1.1 200"), "{head}");
}

#[tokio::test]
async fn the_end_of_an_answer_waits_for_a_slow_client() {
    let server = Server::start_with(Timing { head: Duration::from_secs(5), ..Timing::default() }).await;
    let camera = server.camera("Door").await;
    // Together more than the sockets hold: the rest waits in the server.
    let text = "\u{1f441}".repeat(5000);
    for i in 0..500 {
        server.event(&camera, i, &text).await;
    }
    let mut socket = connect(&server).await;
    let key = &server.admin;
    let request = format!("GET /api/v1/events?limit=500 HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    timeout(PATIENCE, socket.readable()).await.expect("the answer begins").unwrap();
    // This connection has an answer under way.
    sleep(LONG).await;
    let (head, body) = answer(&mut socket).await.expect("the whole answer");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(body.len() > 8 << 20, "{} bytes are too few to show anything", body.len());
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["items"].as_array().unwrap().len(), 500);
    // Taking it took longer than a connection is kept: the server closes it, and the client sees that.
    let closed = timeout(PATIENCE, socket.read(&mut [0; 16])).await.expect("the server closes");
    assert_eq!(closed.expect("by an end, not by a break"), 0);
}

#[tokio::test]
async fn a_quiet_connection_is_closed_by_an_end_and_not_by_a_break() {
    let server = Server::start_with(Timing { head: Duration::from_secs(3), ..Timing::default() }).await;
    let mut socket = connect(&server).await;
    for _ in 0..3 {
        socket.write_all(HEALTH).await.unwrap();
        ok(&mut socket).await;
    }
    let begun = Instant::now();
    let closed = timeout(PATIENCE, socket.read(&mut [0; 16])).await.expect("the server closes");
    assert_eq!(closed.expect("by an end, not by a break"), 0);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    // A request that crosses with the close gets no answer, and no break before the client has seen the end.
    let mut socket = connect(&server).await;
    socket.write_all(HEALTH).await.unwrap();
    ok(&mut socket).await;
    timeout(PATIENCE, socket.readable()).await.expect("the server closes").unwrap();
    socket.write_all(HEALTH).await.unwrap();
    let closed = timeout(PATIENCE, socket.read(&mut [0; 16])).await.expect("the server closes");
    assert_eq!(closed.expect("by an end, not by a break"), 0);
}

#[tokio::test]
async fn a_request_has_its_time_however_long_the_connection_was_quiet_before() {
    let server = Server::start_with(Timing { head: Duration::from_secs(3), ..Timing::default() }).await;
    let mut socket = connect(&server).await;
    let (first, second) = HEALTH.split_at(30);
    socket.write_all(HEALTH).await.unwrap();
    ok(&mut socket).await;
    // Each wait is short enough; together they are longer than the limit with its grace.
    sleep(Duration::from_secs(2)).await;
    socket.write_all(first).await.unwrap();
    sleep(Duration::from_secs(3)).await;
    socket.write_all(second).await.unwrap();
    ok(&mut socket).await;
}
