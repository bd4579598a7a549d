use std::time::Duration;

use argus_tests::net::closed_port;
use argus_tests::ws::WsClient;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

const DEADLINE: Duration = Duration::from_secs(10);

#[expect(clippy::result_large_err, reason = "the type that the library's handshake wants")]
fn let_in(request: &Request, response: Response) -> Result<Response, ErrorResponse> {
    if request.uri() == "/ws?after=3" && request.headers().get("X-API-Key").is_some_and(|key| key == "good") {
        return Ok(response);
    }
    let mut refused = ErrorResponse::new(None);
    *refused.status_mut() = StatusCode::UNAUTHORIZED;
    Err(refused)
}

/// Serves connections one after the other: two messages, an echo of one text, then a close with 1013.
async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, let_in).await else { continue };
        for text in ["not JSON", r#"{"seq": 4, "type": "a"}"#, r#"{"seq": 5, "type": "b"}"#] {
            socket.send(Message::text(text)).await.unwrap();
        }
        let echo = socket.next().await.unwrap().unwrap();
        socket.send(echo).await.unwrap();
        socket.close(Some(CloseFrame { code: 1013.into(), reason: "".into() })).await.unwrap();
        while socket.next().await.is_some() {}
    }
}

#[tokio::test]
async fn messages_come_in_order_and_the_close_is_seen() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(serve(listener));

    assert_eq!(WsClient::connect(&origin, "bad", "/ws?after=3").await.unwrap_err(), 401);
    assert_eq!(WsClient::connect(&origin, "", "/ws?after=3").await.unwrap_err(), 401);
    let mut socket = WsClient::connect(&origin, "good", "/ws?after=3").await.unwrap();
    assert_eq!(socket.next_json(DEADLINE).await.unwrap()["seq"], 4);
    assert_eq!(socket.expect_type("b", DEADLINE).await["seq"], 5);
    assert_eq!(socket.next_json(Duration::from_millis(50)).await, None);
    assert_eq!(socket.close_code(), None);
    socket.send_text(r#"{"type": "echo"}"#).await.unwrap();
    socket.expect_type("echo", DEADLINE).await;
    assert_eq!(socket.next_json(DEADLINE).await, None);
    assert_eq!(socket.close_code(), Some(1013));
    server.abort();
}

#[tokio::test]
async fn no_server_is_status_zero() {
    let origin = format!("http://127.0.0.1:{}", closed_port());
    assert_eq!(WsClient::connect(&origin, "", "/ws").await.unwrap_err(), 0);
}
