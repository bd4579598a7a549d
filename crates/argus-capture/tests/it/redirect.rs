//! A camera that sends its client elsewhere: stored credentials stay where they were stored for.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use argus_capture::GateMode;
use argus_core::Secret;
use argus_core::camera::{RtspTransport, RtspUrl, Source};
use argus_core::ports::CameraFeeds;
use argus_core::status::{CameraStatus, FaultKind};

use crate::common::{Bench, plan, until_status};

type Answer = dyn Fn(&str) -> String + Send + Sync;

/// A server that speaks as much RTSP as a refusal needs, and remembers what it was asked.
struct Listener {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    /// `answer` makes status line and headers of a request.
    fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, answer) =
            (Arc::<Mutex<Vec<String>>>::default(), Arc::<Answer>::from(Box::new(answer) as Box<Answer>));
        let seen = asked.clone();
        // Both threads end with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (seen, answer) = (seen.clone(), answer.clone());
                std::thread::spawn(move || serve(client, &seen, &*answer));
            }
        });
        Self { port, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut client: TcpStream, seen: &Mutex<Vec<String>>, answer: &Answer) {
    let mut text = String::new();
    let mut chunk = [0; 4096];
    while let Ok(n @ 1..) = client.read(&mut chunk) {
        text.push_str(&String::from_utf8_lossy(&chunk[..n]));
        while let Some((request, rest)) = text.split_once("\r\n\r\n") {
            let cseq = request.lines().find(|l| l.starts_with("CSeq")).unwrap_or("CSeq: 1").to_owned();
            let said = answer(request);
            seen.lock().unwrap().push(request.to_owned());
            text = rest.to_owned();
            if client.write_all(format!("{said}\r\n{cseq}\r\n\r\n").as_bytes()).is_err() {
                return;
            }
        }
    }
}

const ASK: &str = "RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"camera\"";

/// Lets those in who sign in, and sends them to `location`.
fn redirecting(location: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Listener {
    Listener::start(move |request| {
        if request.starts_with("OPTIONS") {
            return "RTSP/1.0 200 OK\r\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN".to_owned();
        }
        if !request.contains("Authorization:") {
            return ASK.to_owned();
        }
        location(request).map_or_else(
            || "RTSP/1.0 404 Not Found".to_owned(),
            |to| format!("RTSP/1.0 302 Moved Temporarily\r\nLocation: {to}"),
        )
    })
}

fn source(port: u16) -> Source {
    let (url, _, _) = RtspUrl::parse(&format!("rtsp://127.0.0.1:{port}/cam")).unwrap();
    Source::Rtsp {
        url,
        username: Some("joe".to_owned()),
        password: Some(Secret::new("s3cret")),
        transport: RtspTransport::Tcp,
    }
}

#[tokio::test]
async fn a_redirect_to_another_host_gets_nothing() {
    let bench = Bench::new();
    let other = Listener::start(|_| ASK.to_owned());
    let elsewhere = format!("rtsp://127.0.0.1:{}/live", other.port);
    let camera = redirecting(move |_| Some(elsewhere.clone()));
    let mut feed = bench.feeds(GateMode::Off).open(plan(source(camera.port), Some(5)));
    let state = until_status(&mut feed, CameraStatus::Error).await;
    assert_eq!(state.last_error_kind, Some(FaultKind::Invalid), "{state:?}");
    let said = state.last_error.unwrap();
    assert!(said.contains("redirects to another host"), "{said}");
    feed.handle.stop().await;
    assert!(camera.asked().iter().any(|r| r.contains("Authorization: Basic")), "it signed in where it should");
    assert_eq!(other.asked(), [""; 0], "nothing at all was said to the other one");
}

#[tokio::test]
async fn a_redirect_to_another_path_is_followed() {
    let bench = Bench::new();
    let camera = redirecting(|request| {
        let own = request.split_whitespace().nth(1)?.strip_suffix("/cam")?;
        Some(format!("{own}/moved"))
    });
    let mut feed = bench.feeds(GateMode::Off).open(plan(source(camera.port), Some(5)));
    let state = until_status(&mut feed, CameraStatus::Error).await;
    assert_eq!(state.last_error_kind, Some(FaultKind::NotFound), "{state:?}");
    feed.handle.stop().await;
    let moved = |r: &String| r.starts_with("DESCRIBE") && r.contains("/moved ") && r.contains("Authorization: Basic");
    assert!(camera.asked().iter().any(moved), "{:?}", camera.asked());
}
