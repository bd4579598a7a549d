//! Input that no honest client sends, and clients that hold a connection without using it.

use std::time::Duration;

use argus_api::Timing;
use argus_core::media::{clip_key, event_prefix};
use argus_db::EventChange;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::support::{Answer, PATIENCE, Server, send, until};

const UNKNOWN: &str = "0193f000-0000-7000-8000-000000000000";

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(("127.0.0.1", server.port)).await.unwrap()
}

/// Everything that comes until the server closes.
async fn rest(socket: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let ended = timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("the server closes");
    if let Err(failure) = ended {
        assert!(!answer.is_empty(), "{failure}");
    }
    answer
}

async fn raw(server: &Server, request: &[u8]) -> Vec<u8> {
    let mut socket = connect(server).await;
    socket.write_all(request).await.unwrap();
    rest(&mut socket).await
}

/// Status, head and body of an error in the one shape, with its request id.
fn error(answer: &[u8]) -> (u16, String, Value) {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text}"));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let head = head.to_ascii_lowercase();
    for wanted in ["\r\nx-request-id: ", "\r\ncontent-type: application/json", "\r\nx-content-type-options: nosniff"] {
        assert!(head.contains(wanted), "{wanted:?} is missing: {text}");
    }
    assert!(head.contains("\r\ncache-control: no-store"), "{text}");
    let body: Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert_eq!(body["status_code"], status, "{text}");
    assert!(body["detail"].as_str().is_some_and(|d| !d.is_empty()), "{text}");
    (status, head, body)
}

/// Every operation that takes a method of `methods`, with its path as documented.
async fn operations(server: &Server, methods: &[Method]) -> Vec<(Method, String)> {
    let document = send(server.bare(Method::GET, "/openapi.json")).await.expect(200);
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in methods {
            if item[method.as_str().to_lowercase()].is_object() {
                found.push((method.clone(), path.clone()));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

#[tokio::test]
async fn no_body_brings_a_handler_down() {
    let server = Server::start().await;
    let deep = |open: &str, n: usize| open.repeat(n).into_bytes();
    let bodies: Vec<Vec<u8>> = vec![
        deep("[", 10_000),
        [deep("[", 10_000), deep("]", 10_000)].concat(),
        deep("{\"name\":", 10_000),
        [deep("{\"detection_zones\":[", 100), deep("]}", 100)].concat(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"\"x\"".to_vec(),
        b"{\"\\u0000\": 1}".to_vec(),
        b"{\"name\": \"a\\u0000b\", \"type\": \"test\"}".to_vec(),
        b"{\"name\": \"\xff\xfe\"}".to_vec(),
        b"{\"name\": \"a\x01b\"}".to_vec(),
        b"{\"rate_limit_per_minute\": 1e400}".to_vec(),
        b"{\"frame_rate\": 99999999999999999999999999}".to_vec(),
        b"{\"nobody knows this\": {\"a\": [1, {\"b\": null}]}}".to_vec(),
        format!("{{\"{}\": 1}}", "x".repeat(100_000)).into_bytes(),
        vec![b' '; 2 << 20],
        b"\xef\xbb\xbf{}".to_vec(),
    ];
    for (method, path) in operations(&server, &[Method::POST, Method::PUT]).await {
        let path = path.replace("{id}", UNKNOWN);
        for body in &bodies {
            let request = server.request(method.clone(), &path).header("content-type", "application/json");
            let answer = send(request.body(body.clone())).await;
            let shown = String::from_utf8_lossy(body.get(..60).unwrap_or(body));
            assert!((400..500).contains(&answer.status), "{method} {path} {shown}: {}", answer.status);
            answer.assert_error();
        }
    }
    server.get("/cameras").await.expect(200);
}

#[tokio::test]
async fn no_path_leads_out_or_brings_a_handler_down() {
    let server = Server::start().await;
    let long = "x".repeat(5000);
    let bad = [
        ("..%2f..%2f..%2fetc%2fpasswd", 0),
        ("%2e%2e", 0),
        ("..%5c..%5cetc", 0),
        ("%00", 0),
        ("0193f000-0000-7000-8000-000000000000%00", 0),
        ("%0d%0aSet-Cookie:%20a=b", 0),
        ("'%20OR%201=1--", 0),
        ("%7b%7b7*7%7d%7d", 0),
        (long.as_str(), 0),
        ("%ff", 400),
        ("%c0%ae%c0%ae", 400),
        ("%zz", 400),
        ("%", 400),
        ("%4", 400),
    ];
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
    let with_ids =
        operations(&server, &methods).await.into_iter().filter(|(_, path)| path.contains('{') && !is_of_users(path));
    for (method, path) in with_ids {
        for (bad, status) in bad {
            // Each place for a text of one's own in turn, with something harmless in the others.
            for path in in_each_place(&path, bad) {
                assert!(path.contains(bad) && !path.contains('{'), "{path}");
                let key = &server.admin;
                let json = if matches!(method, Method::POST | Method::PUT) {
                    "Content-Type: application/json\r\nContent-Length: 2\r\n"
                } else {
                    ""
                };
                let end = if json.is_empty() { "" } else { "{}" };
                let request = format!(
                    "{method} {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n{json}Connection: close\r\n\r\n{end}"
                );
                let (got, head, _) = error(&raw(&server, request.as_bytes()).await);
                assert!((400..500).contains(&got) && (status == 0 || got == status), "{method} {path}: {got}");
                assert!(!head.contains("set-cookie"), "{head}");
            }
        }
    }
}

/// The path as often as it has places, each time with `bad` in another one.
fn in_each_place(path: &str, bad: &str) -> Vec<String> {
    let places: Vec<&str> = path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
    let harmless = |name: &str| if name == "index" { "0" } else { UNKNOWN };
    let filled = |chosen: &&str| {
        places.iter().fold(path.to_owned(), |path, name| {
            path.replace(&format!("{{{name}}}"), if name == chosen { bad } else { harmless(name) })
        })
    };
    places.iter().map(filled).collect()
}

#[test]
fn every_place_of_a_path_is_tried() {
    assert_eq!(in_each_place("/a/{id}/b/{other_id}", "x"), [format!("/a/x/b/{UNKNOWN}"), format!("/a/{UNKNOWN}/b/x")]);
    assert_eq!(in_each_place("/a/{id}/{index}", "x"), ["/a/x/0".to_owned(), format!("/a/{UNKNOWN}/x")]);
}

/// Whether a key is refused there, before anything else is looked at.
fn is_of_users(path: &str) -> bool {
    path.starts_with("/api/v1/auth/sessions")
}

#[tokio::test]
async fn queries_are_read_strictly_everywhere() {
    let server = Server::start().await;
    for (_, path) in operations(&server, &[Method::GET]).await {
        if path == "/ws" || !path.starts_with("/api/") || is_of_users(&path) {
            continue;
        }
        let path = path.replace("{id}", UNKNOWN).replace("{index}", "0");
        let ask = async |query: &str| server.get(&format!("{path}?{query}")).await;
        for bad in ["a=%ff", "a=%zz", "%=1", "a=%"] {
            assert_eq!(server.raw_get(&format!("{path}?{bad}")).await.0, 400, "{path}?{bad}");
        }
        assert!(ask("nobody_knows_this=1").await.faults().contains(&"nobody_knows_this".to_owned()), "{path}");
        assert!(ask("%00=1").await.faults().contains(&"\0".to_owned()), "{path}");
        assert!(ask("a=1&a=2&b=").await.faults().len() >= 2, "{path}");
    }
    assert_eq!(server.get("/events?q=a%00b").await.faults(), ["q"]);
}

#[tokio::test]
async fn what_is_no_http_gets_an_error_in_the_one_shape() {
    let server = Server::start().await;
    for bad in [
        &b"NONSENSE\r\n\r\n"[..],
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n no-name\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        let (status, head, body) = error(&raw(&server, bad).await);
        assert_eq!((status, &body["errors"]), (400, &Value::Null), "{}", String::from_utf8_lossy(bad));
        assert!(head.contains("\r\nconnection: close"), "{head}");
    }
    server.get("/cameras").await.expect(200);
}

#[tokio::test]
async fn ten_megabytes_of_headers_are_too_many() {
    let server = Server::start().await;
    for line in
        [format!("X-Long: {}\r\n", "a".repeat(10 << 20)), format!("X-Short: {}\r\n", "a".repeat(90)).repeat(100_000)]
    {
        let request = format!("GET /api/v1/cameras HTTP/1.1\r\nHost: a\r\n{line}\r\n");
        let (status, ..) = error(&raw(&server, request.as_bytes()).await);
        // So many short ones are no longer read as headers at all.
        assert!([431, 400].contains(&status), "{status}");
    }
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(200));
    assert_eq!(error(&raw(&server, many.as_bytes()).await).0, 431);
    let request = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(10 << 20));
    assert_eq!(error(&raw(&server, request.as_bytes()).await).0, 431);
    server.get("/cameras").await.expect(200);
}

#[tokio::test]
async fn a_head_that_does_not_arrive_is_not_waited_for() {
    let timing = Timing { head: Duration::from_millis(300), ..Timing::default() };
    let server = Server::start_with(timing).await;
    let begun = Instant::now();
    let mut socket = connect(&server).await;
    socket.write_all(b"GET /api/v1/cameras HTTP/1.1\r\nHost: a\r\nX-Slow:").await.unwrap();
    let (status, ..) = error(&rest(&mut socket).await);
    assert_eq!(status, 408);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let timing = Timing { body: Duration::from_millis(300), ..Timing::default() };
    let server = Server::start_with(timing).await;
    for (length, expected) in [(500, 400), (5_000_000, 413)] {
        let head = format!(
            "POST /api/v1/cameras HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n",
            server.admin
        );
        assert_eq!(error(&raw(&server, head.as_bytes()).await).0, expected, "of {length} bytes nothing came");
    }
}

#[tokio::test]
async fn nor_is_a_second_one_however_it_trickles() {
    let timing = Timing { head: Duration::from_millis(300), ..Timing::default() };
    let server = Server::start_with(timing).await;
    let mut socket = connect(&server).await;
    let mut answer = vec![0; 4096];
    for _ in 0..3 {
        socket.write_all(b"GET /api/v1/system/health HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let read = timeout(PATIENCE, socket.read(&mut answer)).await.unwrap().unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "the connection may be used again");
    }
    let begun = Instant::now();
    let (mut from, mut to) = socket.into_split();
    let trickle = async {
        to.write_all(b"GET /api/v1/system/health HTTP/1.1\r\nX-Slow: ").await.unwrap();
        // Until the other end is gone.
        while to.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let ended = async { while from.read(&mut answer).await.is_ok_and(|n| n > 0) {} };
    timeout(PATIENCE, async { tokio::join!(trickle, ended) }).await.expect("the server closes");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_long_poll_is_no_idle_connection() {
    let timing = Timing { head: Duration::from_millis(300), ..Timing::default() };
    let server = Server::start_with(timing).await;
    // Longer than a silent connection may last.
    let answer = server.get("/journal?wait=3").await;
    assert_eq!(answer.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn many_idle_connections_keep_nobody_out() {
    let timing = Timing { head: Duration::from_millis(500), ..Timing::default() };
    let server = Server::start_with(timing).await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(connect(&server).await);
    }
    server.get("/cameras").await.expect(200);
    for socket in &mut idle {
        let mut answer = Vec::new();
        timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("an idle connection is closed").unwrap_or(0);
    }
    server.get("/cameras").await.expect(200);
}

#[tokio::test]
async fn who_does_not_take_the_answer_is_dropped() {
    let timing = Timing { stall: Duration::from_millis(300), ..Timing::default() };
    let server = Server::start_with(timing).await;
    let camera = server.camera("Door").await;
    let event = server.event(&camera, 0, "Motion").await;
    let size = 32 << 20;
    let key = clip_key(&event_prefix(event.camera_id, event.id, event.timestamp));
    server.store(&key, &vec![7; size]).await;
    let change =
        EventChange::Clip { bytes: u64::try_from(size).unwrap(), from: event.timestamp, until: event.timestamp };
    let event = server.db.event_change(event.id, vec![change], event.timestamp).await.unwrap();
    let mut socket = connect(&server).await;
    let (url, key) = (event.clip_url.unwrap(), &server.admin);
    let request = format!("GET {url} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    // Its place in the journal of connections is gone when the server stops at once, though nothing was read.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("the server closes");
    assert!(answer.len() < size, "{} bytes came", answer.len());
    // Who takes it slowly but steadily gets all of it.
    let whole = server.get(&url).await;
    assert_eq!((whole.status, whole.body.len()), (200, size));
}

#[tokio::test]
async fn only_rtsp_addresses_are_rtsp_addresses() {
    let server = Server::start().await;
    for bad in [
        "http://cam/x",
        "file:///etc/passwd",
        "rtspt://cam/x",
        "rtsp://",
        "rtsp:",
        "cam/stream",
        "videotestsrc ! fakesink",
        "rtsp://cam/x ! filesink location=/tmp/x",
        "rtsp://cam/x\nfilesink",
        "rtsp://cam/x\u{0}",
        "rtsp://cam\u{7f}/x",
        "\"rtsp://cam/x\"",
        "javascript:alert(1)",
        "rtsp://cam:99999/x",
    ] {
        let body = json!({"name": "x", "type": "rtsp", "rtsp_url": bad});
        assert_eq!(server.post("/cameras", body.clone()).await.faults(), ["rtsp_url"], "{bad:?}");
        assert_eq!(server.post("/cameras/test", body).await.faults(), ["rtsp_url"], "{bad:?}");
    }
    // Where nothing is read as a language, these are letters like others.
    let odd = "rtsp://cam/x!filesink/$(id)/%22;'";
    let made = server.post("/cameras", json!({"name": "x", "type": "rtsp", "rtsp_url": odd})).await.expect(201);
    assert!(!made["rtsp_url"].as_str().unwrap().contains(['"', ' ', '\n']));
}

#[tokio::test]
async fn control_characters_come_back_as_what_they_are() {
    let server = Server::start().await;
    let name = "a\u{1}\u{1b}[31m\u{7f}\u{202e}<script>";
    let made = server.post("/cameras", json!({"name": name, "type": "test"})).await;
    if made.status == 201 {
        assert_eq!(made.json()["name"], name);
    } else {
        assert_eq!(made.faults(), ["name"]);
    }
    // Neither an id of a request nor a header can split an answer or a line of the log.
    let bad =
        raw(&server, b"GET /nothing HTTP/1.1\r\nHost: a\r\nX-Request-Id: a\x1b[31m\r\nConnection: close\r\n\r\n").await;
    assert!(!String::from_utf8_lossy(&bad).contains('\u{1b}'));
}

#[tokio::test]
async fn values_are_looked_at_before_existence() {
    let server = Server::start().await;
    for id in [UNKNOWN, "x"] {
        for (method, path) in [
            (Method::GET, format!("/cameras/{id}")),
            (Method::DELETE, format!("/cameras/{id}")),
            (Method::GET, format!("/cameras/{id}/status")),
            (Method::GET, format!("/cameras/{id}/snapshot")),
            (Method::POST, format!("/cameras/{id}/start")),
            (Method::POST, format!("/cameras/{id}/stop")),
            (Method::GET, format!("/events/{id}")),
            (Method::DELETE, format!("/events/{id}")),
            (Method::GET, format!("/events/{id}/thumbnail")),
            (Method::GET, format!("/events/{id}/frames/x")),
            (Method::GET, format!("/events/{id}/clip")),
            (Method::GET, format!("/events/{id}/analyses")),
        ] {
            let ask = |query| send(server.request(method.clone(), &format!("{path}{query}")));
            assert_eq!(ask("?bad=1").await.faults(), ["bad"], "{method} {path}");
            ask("").await.expect(404);
        }
        // Broken encoding is a matter of syntax, which comes before the values.
        assert_eq!(server.raw_get(&format!("/api/v1/events/%ff{id}/clip?bad=1")).await.0, 400);
    }
}

#[tokio::test]
async fn connections_that_break_off_leave_nothing_behind() {
    let server = Server::start().await;
    let key = &server.admin;
    for cut in [10, 40, 90, 200] {
        let request = format!(
            "POST /api/v1/cameras HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n\
             Content-Length: 100\r\n\r\n{{\"name\": \"cut\", \"type\": \"test\""
        );
        let mut socket = connect(&server).await;
        socket.write_all(&request.as_bytes()[..cut.min(request.len())]).await.unwrap();
        drop(socket);
    }
    until("the server answers", || async { server.get("/cameras").await.status == 200 }).await;
    let list: Answer = server.get("/cameras").await;
    assert_eq!(list.expect(200)["total"], 0);
}
