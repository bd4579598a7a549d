//! Export of events.

use std::time::Duration;

use argus_api::Timing;
use argus_core::api_key::Scope;
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{PATIENCE, Server, send};

const COLUMNS: &str = "id,camera_id,camera_name,timestamp,ended_at,duration_ms,source_type,detection_type,objects_detected,\
    description,description_status,confidence,ai_confidence,low_confidence,is_doorbell_ring,alert_triggered,provider_used,\
    model,analysis_mode,frame_count_used,ai_cost,tokens_used,ai_response_time_ms,has_clip,created_at";

fn records(body: &[u8]) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(body);
    reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect()
}

#[tokio::test]
async fn a_table_is_one_that_spreadsheets_read() {
    let server = Server::start().await;
    let camera = server.camera("=Door, \"front\"").await;
    let plain = server.event(&camera, 0, "A person").await;
    let wild = server.event(&camera, 1500, "+1, \"quoted\"\r\nand more; \u{1f600}").await;
    let answer = server.get("/events/export").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8; header=present");
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"argus-events-20251223T103000Z.csv\"");
    assert_eq!((answer.header("cache-control"), answer.header("x-content-type-options")), ("no-store", "nosniff"));
    let text = String::from_utf8(answer.body.clone()).unwrap();
    assert!(text.starts_with(&format!("{COLUMNS}\r\n")) && text.ends_with("\r\n"), "{text}");
    let table = records(&answer.body);
    assert_eq!(table.len(), 3);
    let (id, camera_id) = (wild.id.to_string(), camera.clone());
    assert_eq!(
        table[1],
        [
            id.as_str(),
            &camera_id,
            "'=Door, \"front\"",
            "2025-12-23T10:30:01.500Z",
            "",
            "",
            "test",
            "motion",
            "",
            "'+1, \"quoted\"\r\nand more; \u{1f600}",
            "skipped",
            "86",
            "",
            "false",
            "false",
            "false",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "false",
            "2025-12-23T10:30:01.500Z"
        ]
    );
    assert_eq!(table[2][0], plain.id.to_string());

    let oldest = server.get("/events/export?format=csv&sort=asc&q=person").await;
    let table = records(&oldest.body);
    assert_eq!((table.len(), table[1][0].as_str()), (2, plain.id.to_string().as_str()));
    let nothing = server.get("/events/export?camera_id=123").await;
    assert_eq!(String::from_utf8(nothing.body).unwrap(), format!("{COLUMNS}\r\n"));
    let head = send(server.request(Method::HEAD, "/events/export")).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-type"), "text/csv; charset=utf-8; header=present");
}

#[tokio::test]
async fn lines_hold_whole_events() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    for i in 0..3 {
        server.event(&camera, i, &format!("event {i}\nand")).await;
    }
    let answer = server.get("/events/export?format=ndjson&sort=asc&limit=1").await;
    assert_eq!(answer.faults(), ["limit"]);
    let answer = server.get("/events/export?format=ndjson&sort=asc&min_confidence=1").await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"argus-events-20251223T103000Z.ndjson\"");
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.ends_with('\n'));
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let list = server.get("/events?sort=asc&min_confidence=1").await.expect(200);
    assert_eq!(serde_json::Value::Array(lines), list["items"]);
    let nothing = server.get("/events/export?format=ndjson&q=nothing").await;
    assert_eq!((nothing.status, nothing.body.len()), (200, 0));
}

#[tokio::test]
async fn an_export_takes_the_filters_and_no_page() {
    let server = Server::start().await;
    for (query, faults) in [
        ("?format=xml", &["format"][..]),
        ("?page=1&cursor=x", &["cursor", "page"]),
        ("?sort=up&timezone=UTC", &["sort", "timezone"]),
        ("?start_time=2025-12-24T00:00:00Z&end_time=2025-12-23T00:00:00Z", &["start_time"]),
    ] {
        assert_eq!(server.get(&format!("/events/export{query}")).await.faults(), faults, "{query}");
    }
    let camera = server.key(&[Scope::ReadCameras]).await;
    let refused = send(server.bare(Method::GET, "/events/export").header("x-api-key", camera)).await;
    assert_eq!(refused.expect(403)["detail"], "Missing permission: read:events");
    assert_eq!(server.post("/events/export", serde_json::json!({})).await.status, 405);
}

/// Events of together more text than sockets hold.
async fn many(server: &Server, n: i64) -> String {
    let camera = server.camera("Door").await;
    let text = "many words ".repeat(450);
    for i in 0..n {
        server.event(&camera, i, &text).await;
    }
    camera
}

/// An export of which nobody reads more than its beginning.
async fn stuck(server: &Server) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    let key = &server.admin;
    let request = format!("GET /api/v1/events/export HTTP/1.1\r\nHost: argus\r\nX-API-Key: {key}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut begin = [0; 512];
    let read = tokio::time::timeout(PATIENCE, socket.read(&mut begin)).await.expect("the first bytes come at once");
    assert!(begin[..read.unwrap()].starts_with(b"HTTP/1.1 200 OK\r\n"));
    socket
}

#[tokio::test]
async fn a_slow_client_delays_nobody_and_is_cut_off() {
    let server = Server::start_with(Timing { silence: Duration::from_millis(500), ..Timing::default() }).await;
    let camera = many(&server, 2400).await;
    let mut first = stuck(&server).await;
    let mut second = stuck(&server).await;
    // Whoever writes and reads meanwhile does so as ever.
    server.event(&camera, 9000, "after it began").await;
    assert_eq!(server.get("/events?q=began").await.expect(200)["total"], 1);
    // There is room for two: the third begins once the others were given up.
    let whole = server.get("/events/export").await;
    assert_eq!(records(&whole.body).len(), 2402);
    for socket in [&mut first, &mut second] {
        let mut rest = Vec::new();
        // The connection may also be reset.
        let _ = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest)).await.expect("the connection ends");
        assert!(!rest.ends_with(b"0\r\n\r\n"), "an answer that was broken off must not look whole");
        assert!(rest.len() < 11 << 20);
    }
}

#[tokio::test]
async fn an_export_ends_when_its_client_goes_away() {
    let server = Server::start().await;
    many(&server, 2400).await;
    // More than can run side by side: each must have ended, or the next would be kept waiting and refused.
    for _ in 0..5 {
        drop(stuck(&server).await);
    }
    assert_eq!(records(&server.get("/events/export").await.body).len(), 2401);
}
