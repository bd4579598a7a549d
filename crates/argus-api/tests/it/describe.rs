//! `/ai/describe`.

use std::io::Cursor;

use argus_core::describe::{CallRecord, DescribeError, DescribeFailure, DescribeOutcome, Description, FallbackStep};
use argus_core::event::ObjectKind;
use argus_core::ports::ControlError;
use argus_core::{Faults, Invalid, ProviderId, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, RgbImage};
use reqwest::Method;
use serde_json::json;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{Answer, Server, send, until};

const PATH: &str = "/ai/describe";
const MIB: usize = 1024 * 1024;

/// A small picture.
pub(crate) fn picture(format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    RgbImage::from_pixel(8, 6, image::Rgb([200, 30, 30])).write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// The header of a WebP of this size: RIFF container, lossless stream (RFC 9649, 3.4).
fn webp_header(width: u32, height: u32) -> Vec<u8> {
    let mut file = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f".to_vec();
    file.extend(((width - 1) | ((height - 1) << 14)).to_le_bytes());
    file.extend([0; 9]);
    file
}

fn ok() -> DescribeOutcome {
    let step = FallbackStep {
        provider_name: "first".into(),
        model: "m0".into(),
        error_kind: DescribeFailure::RateLimited,
        message: "too many requests".into(),
        latency_ms: 3,
    };
    DescribeOutcome {
        record: CallRecord {
            provider: Some("ollama".into()),
            provider_id: Some(ProviderId::new(Timestamp::from_millis(1))),
            provider_name: Some("Cellar".into()),
            model: Some("m".into()),
            tokens_input: Some(100),
            tokens_output: Some(11),
            cost: Some(0.25),
            cost_estimated: true,
            latency_ms: Some(42),
            fallback_path: vec![step],
            ..CallRecord::default()
        },
        result: Ok(Description {
            text: "A red square.".into(),
            confidence: Some(91),
            objects: vec![ObjectKind::Package],
            ..Description::default()
        }),
    }
}

fn next(server: &Server, outcome: Result<DescribeOutcome, ControlError>) {
    server.ai.outcomes.lock().unwrap().push_back(outcome);
}

/// Sends parts as they are, each with its headers.
async fn form(server: &Server, parts: &[(&str, &[u8])]) -> Answer {
    let mut body = Vec::new();
    for (head, value) in parts {
        body.extend_from_slice(format!("--XyZ\r\nContent-Disposition: form-data; {head}\r\n\r\n").as_bytes());
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--XyZ--\r\n");
    raw(server, "multipart/form-data; boundary=XyZ", body).await
}

async fn raw(server: &Server, kind: &str, body: Vec<u8>) -> Answer {
    send(server.request(Method::POST, PATH).header("content-type", kind).body(body)).await
}

async fn base64(server: &Server, file: &[u8]) -> Answer {
    server.post(PATH, json!({ "image": STANDARD.encode(file) })).await
}

#[tokio::test]
async fn a_picture_comes_as_a_form_or_as_base64() {
    let server = Server::start().await;
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        let file = picture(format);
        for data_uri in [false, true] {
            next(&server, Ok(ok()));
            let text = STANDARD.encode(&file);
            let image = if data_uri { format!("data:image/x;base64,{text}") } else { text };
            let answer = server.post(PATH, json!({"image": image, "prompt": null, "provider": null})).await.expect(200);
            assert_eq!(
                answer,
                json!({
                    "description": "A red square.", "confidence": 91, "objects": ["package"], "provider": "ollama",
                    "provider_id": ProviderId::new(Timestamp::from_millis(1)).to_string().chars().take(13)
                        .chain(answer["provider_id"].as_str().unwrap().chars().skip(13)).collect::<String>(),
                    "provider_name": "Cellar", "model": "m",
                    "tokens": {"input": 100, "output": 11, "total": 111}, "cost": 0.25, "cost_estimated": true,
                    "latency_ms": 42, "fallback_path": [{
                        "provider_name": "first", "model": "m0", "error_kind": "rate_limited",
                        "message": "too many requests", "latency_ms": 3,
                    }],
                })
            );
        }
        next(&server, Ok(ok()));
        let parts: [(&str, &[u8]); 3] = [
            ("name=\"provider\"", b"Cellar"),
            ("name=\"image\"; filename=\"x.bin\"\r\nContent-Type: application/octet-stream", &file),
            ("name=\"prompt\"", "Wie viele?".as_bytes()),
        ];
        form(&server, &parts).await.expect(200);
        let asked = std::mem::take(&mut *server.ai.questions.lock().unwrap());
        assert!(asked.len() == 3 && asked.iter().all(|q| q.image == file), "{format:?}");
        assert_eq!((asked[0].prompt.as_deref(), asked[0].provider.as_deref()), (None, None));
        assert_eq!((asked[2].prompt.as_deref(), asked[2].provider.as_deref()), (Some("Wie viele?"), Some("Cellar")));
    }
}

#[tokio::test]
async fn a_blank_field_of_a_form_is_absent() {
    let server = Server::start().await;
    next(&server, Ok(ok()));
    let file = picture(ImageFormat::Jpeg);
    form(&server, &[("name=\"image\"", &file), ("name=\"prompt\"", b""), ("name=\"provider\"", b"")]).await.expect(200);
    let asked = server.ai.questions.lock().unwrap();
    assert_eq!((asked[0].prompt.as_ref(), asked[0].provider.as_ref()), (None, None));
}

#[tokio::test]
async fn a_blank_field_that_nobody_knows_is_named() {
    let server = Server::start().await;
    let file = picture(ImageFormat::Jpeg);
    let refused = form(&server, &[("name=\"image\"", &file), ("name=\"foo\"", b""), ("name=\"bar\"", b"1")]).await;
    let refused = refused.expect(422);
    let mut fields: Vec<_> = refused["errors"].as_array().unwrap().iter().map(|e| &e["field"]).collect();
    fields.sort_by_key(ToString::to_string);
    assert_eq!(fields, ["bar", "foo"]);
}

#[tokio::test]
async fn size_and_kind_come_first_then_syntax_then_values() {
    let file = |size: usize| {
        let mut file = picture(ImageFormat::Jpeg);
        file.resize(size, 0);
        file
    };
    let (most, more) = (file(20 * MIB), file(20 * MIB + 1));
    let of_base64 = |file: &[u8]| format!("{{\"image\": \"{}\"}}", STANDARD.encode(file)).into_bytes();
    let (most_body, more_body) = (of_base64(&most), of_base64(&more));
    // Made before: a connection on which nothing is asked for seconds is closed.
    let server = Server::start().await;
    // 413: the body, the file, the pixels.
    raw(&server, "application/json", vec![b' '; 32 * MIB + 1]).await.expect(413);
    raw(&server, "text/plain", vec![b' '; 32 * MIB + 1]).await.expect(413);
    raw(&server, "application/json", more_body).await.expect(413);
    form(&server, &[("name=\"image\"", &more), ("name=\"x\"", b"1")]).await.expect(413);
    next(&server, Ok(ok()));
    raw(&server, "application/json", most_body).await.expect(200);
    next(&server, Ok(ok()));
    form(&server, &[("name=\"image\"", &most)]).await.expect(200);
    base64(&server, &webp_header(10_000, 5_001)).await.expect(413);
    next(&server, Ok(ok()));
    base64(&server, &webp_header(10_000, 5_000)).await.expect(200);
    // 415: what is no picture that is taken, whatever else is wrong.
    for other in [&b"GIF89a\x01\0\x01\0\0\0\0"[..], b"BM......", b"%PDF-1.7", b"words", b"<svg/>"] {
        base64(&server, other).await.expect(415);
        form(&server, &[("name=\"image\"", other), ("name=\"x\"", b"1")]).await.expect(415);
    }
    for kind in ["text/plain", "image/jpeg", "application/x-www-form-urlencoded", "multipart/mixed; boundary=XyZ"] {
        raw(&server, kind, picture(ImageFormat::Jpeg)).await.expect(415);
    }
    // 400: no body, no JSON, a form that is none.
    raw(&server, "application/json", Vec::new()).await.expect(400);
    raw(&server, "application/json", b"{".to_vec()).await.expect(400);
    raw(&server, "multipart/form-data; boundary=XyZ", Vec::new()).await.expect(400);
    raw(&server, "multipart/form-data", b"--XyZ--\r\n".to_vec()).await.expect(400);
    for broken in
        ["", "x", "--XyZ\r\n\r\nx\r\n--XyZ--\r\n", "--XyZ\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\nx"]
    {
        raw(&server, "multipart/form-data; boundary=XyZ", format!("{broken}\r\n").into_bytes()).await.expect(400);
    }
    let many = vec![("name=\"x\"", &b"1"[..]); 17];
    form(&server, &many).await.expect(400);
    form(&server, &[("name=\"prompt\"", b"\xff")]).await.expect(400);
    // Nothing of it reached a provider.
    assert_eq!(server.ai.questions.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn every_fault_of_a_question_is_named() {
    let server = Server::start().await;
    let good = STANDARD.encode(picture(ImageFormat::Png));
    let check = async |path: &str, body, fields: &[&str]| {
        assert_eq!(server.post(path, body).await.faults(), fields);
    };
    check(PATH, json!({}), &["image"]).await;
    check(PATH, json!([]), &[""]).await;
    check(PATH, json!({"image": 5, "prompt": 5, "x": 1}), &["image", "prompt", "x"]).await;
    check(PATH, json!({"image": "", "provider": ""}), &["image", "provider"]).await;
    check(PATH, json!({"image": "no base64!", "prompt": "x".repeat(2001)}), &["image", "prompt"]).await;
    check(PATH, json!({"image": "data:image/png,abc"}), &["image"]).await;
    check(PATH, json!({"image": good, "provider": "x".repeat(101)}), &["provider"]).await;
    check(&format!("{PATH}?y=1"), json!({"image": good, "prompt": "\u{0}"}), &["prompt", "y"]).await;
    check(&format!("{PATH}?y=1"), json!({"image": good}), &["y"]).await;
    // The head of a picture and nothing behind it.
    check(PATH, json!({"image": STANDARD.encode(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR")}), &["image"]).await;
    check(PATH, json!({"image": STANDARD.encode(b"\xff\xd8\xff\xe0\0\x10JFIF")}), &["image"]).await;
    let file = picture(ImageFormat::Jpeg);
    let answer = form(&server, &[("name=\"prompt\"", b"p"), ("name=\"x\"", b"1"), ("name=\"prompt\"", b"q")]).await;
    assert_eq!(answer.faults(), ["image", "prompt", "x"]);
    let twice = form(&server, &[("name=\"image\"", &file), ("name=\"image\"", &file)]).await;
    assert_eq!(twice.faults(), ["image"]);
    // What can only be told by who decodes it, or knows the providers.
    for field in ["image", "provider"] {
        next(&server, Err(ControlError::Invalid(Faults::from(Invalid::new(field, "is wrong")))));
        check(PATH, json!({"image": good, "prompt": "x".repeat(2000)}), &[field]).await;
    }
}

#[tokio::test]
async fn failures_have_their_status() {
    let server = Server::start().await;
    let image = json!({"image": STANDARD.encode(picture(ImageFormat::Jpeg))});
    for (failure, status) in [
        (ControlError::Conflict("the daily budget is spent".into()), 409),
        (ControlError::Upstream("all providers failed".into()), 502),
        (ControlError::Unavailable("no provider is enabled".into()), 503),
        (ControlError::Timeout("no provider answered in time".into()), 504),
    ] {
        next(&server, Err(failure));
        server.post(PATH, image.clone()).await.expect(status);
    }
    for (kind, status) in [(DescribeFailure::Timeout, 504), (DescribeFailure::Quota, 502)] {
        let error = DescribeError { kind, message: "it failed".into(), retry_after: None };
        next(&server, Ok(DescribeOutcome { result: Err(error), ..ok() }));
        assert_eq!(server.post(PATH, image.clone()).await.expect(status)["detail"], "It failed");
    }
}

/// A request that says that a body of this size follows, and sends the beginning of it.
async fn begun(server: &Server, length: usize, sent: usize) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    let head = format!(
        "POST /api/v1/ai/describe HTTP/1.1\r\nHost: argus\r\nX-API-Key: {}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n",
        server.admin
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&vec![b' '; sent]).await.unwrap();
    socket
}

#[tokio::test]
async fn who_sends_slowly_keeps_nobody_waiting() {
    let server = Server::start().await;
    let mut slow = Vec::new();
    // More than may be described at once.
    for _ in 0..8 {
        slow.push(begun(&server, 1000, 10).await);
    }
    next(&server, Ok(ok()));
    let file = picture(ImageFormat::Jpeg);
    let asked = tokio::time::timeout(std::time::Duration::from_secs(10), base64(&server, &file));
    let answer = asked.await.expect("it is not waited for them");
    answer.expect(200);
}

#[tokio::test]
async fn bodies_that_are_being_sent_have_a_bound_together() {
    let server = Server::start().await;
    let mut large = Vec::new();
    for _ in 0..4 {
        large.push(begun(&server, 32 * MIB, 32 * MIB - 1).await);
    }
    let full = async || base64(&server, &picture(ImageFormat::Jpeg)).await.status == 503;
    // Until all that was sent has arrived there is room, and the picture is described.
    server.ai.outcomes.lock().unwrap().extend((0..10_000).map(|_| Ok(ok())));
    until("no room is left", full).await;
    drop(large);
    let free = async || base64(&server, &picture(ImageFormat::Jpeg)).await.status == 200;
    until("there is room again", free).await;
}

#[tokio::test]
async fn a_body_of_numbers_is_told_to_be_wrong() {
    let server = Server::start().await;
    let numbers = format!("[{}0]", "0,".repeat(12 * MIB));
    let answer = raw(&server, "application/json", numbers.clone().into_bytes()).await;
    assert_eq!(answer.faults(), [""]);
    let inside = format!("{{\"image\": {numbers}, \"x\": {{\"y\": [1]}}}}");
    assert_eq!(raw(&server, "application/json", inside.into_bytes()).await.faults(), ["image", "x"]);
}
