//! `/metrics`: who may read it, that it can be parsed, and that it counts what happens.

use std::collections::BTreeMap;
use std::time::Duration;

use argus_api::{HttpConfig, Timing, network};
use argus_core::CameraId;
use argus_core::api_key::Scope;
use argus_core::camera::SourceType;
use argus_core::controller::ControllerStatus;
use argus_core::event::DetectionType;
use argus_core::figures::{
    CallFigures, CameraFigures, ControllerFigures, EventFigures, Figures, Histogram, JobFigures, ProviderFigures,
};
use argus_core::provider::{BreakerState, ProviderState};
use argus_core::status::CameraStatus;
use reqwest::Method;

use crate::support::{Server, send, until};

/// Samples by name with labels, as they stand in the text; every line is read.
struct Samples {
    values: BTreeMap<String, f64>,
    kinds: BTreeMap<String, String>,
}

impl Samples {
    async fn read(server: &Server) -> Self {
        let answer = server.get("/metrics").await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/plain; version=0.0.4"));
        let text = String::from_utf8(answer.body).unwrap();
        let (mut values, mut kinds) = (BTreeMap::new(), BTreeMap::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {name}");
            } else if !line.starts_with("# HELP ") {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let family = name.split('{').next().unwrap();
                let family = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|end| {
                        family.strip_suffix(end).filter(|of| kinds.get(*of).is_some_and(|kind| kind == "histogram"))
                    })
                    .unwrap_or(family);
                assert!(kinds.contains_key(family), "untyped: {line}");
                assert!(name.starts_with("argus_"), "{line}");
                assert!(values.insert(name.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
            }
        }
        Self { values, kinds }
    }

    fn get(&self, name: &str) -> f64 {
        *self.values.get(name).unwrap_or_else(|| panic!("no {name} in {:#?}", self.values.keys()))
    }
}

#[tokio::test]
async fn every_name_of_the_contract_is_there_from_the_start() {
    let server = Server::start().await;
    server.get("/cameras").await.expect(200);
    let samples = Samples::read(&server).await;
    for (name, kind) in [
        ("http_requests_total", "counter"),
        ("http_request_duration_seconds", "histogram"),
        ("cameras", "gauge"),
        ("camera_frames_total", "counter"),
        ("camera_reconnects_total", "counter"),
        ("events_total", "counter"),
        ("event_described_seconds", "histogram"),
        ("ai_calls_total", "counter"),
        ("ai_tokens_total", "counter"),
        ("ai_cost_usd_total", "counter"),
        ("ai_provider_state", "gauge"),
        ("ai_provider_breaker", "gauge"),
        ("ai_passed_over_total", "counter"),
        ("journal_seq", "gauge"),
        ("ws_clients", "gauge"),
        ("media_bytes", "gauge"),
        ("uptime_seconds", "gauge"),
        ("build_info", "gauge"),
    ] {
        assert_eq!(samples.kinds.get(&format!("argus_{name}")).map(String::as_str), Some(kind), "{name}");
    }
    assert_eq!(samples.get("argus_build_info{version=\"1.2.3\"}"), 1.0);
}

#[tokio::test]
async fn what_the_running_system_counts_is_told() {
    let server = Server::start().await;
    let camera_id: CameraId = "0193f000-0000-7000-8000-000000000001".parse().unwrap();
    let mut described_s = Histogram::new(&[1.0, 10.0]);
    described_s.observe(4.0);
    *server.control.figures.lock().unwrap() = Figures {
        cameras: vec![CameraFigures {
            camera_id,
            status: CameraStatus::Online,
            frames: 1234,
            reconnects: 2,
            dropped: 7,
        }],
        events: vec![EventFigures { source_type: SourceType::Test, detection_type: DetectionType::Motion, count: 5 }],
        described_s,
        calls: vec![CallFigures {
            provider: "a \"b\"".into(),
            succeeded: 3,
            failed: 1,
            tokens_input: 900,
            tokens_output: 80,
            cost_usd: 0.25,
        }],
        providers: vec![ProviderFigures {
            provider: "p".into(),
            state: ProviderState::Down,
            breaker: BreakerState::Open,
            passed_over: 6,
        }],
        jobs: Some(JobFigures { waiting: 1, ready: 2, running: 3 }),
        media_bytes: Some(4_294_967_297),
        controllers: vec![ControllerFigures {
            controller_id: "0193f000-0000-7000-8000-000000000009".parse().unwrap(),
            status: ControllerStatus::Connected,
            happenings: 41,
            gaps: 2,
            ends_unknown: 4,
            malformed: 3,
        }],
    };
    server.clock.advance(Duration::from_millis(1500));
    let camera = server.camera("Door").await;
    let samples = Samples::read(&server).await;
    for (name, value) in [
        ("cameras{status=\"online\"}", 1.0),
        ("cameras{status=\"offline\"}", 0.0),
        ("camera_frames_total{camera_id=\"0193f000-0000-7000-8000-000000000001\"}", 1234.0),
        ("camera_reconnects_total{camera_id=\"0193f000-0000-7000-8000-000000000001\"}", 2.0),
        ("camera_pictures_dropped_total{camera_id=\"0193f000-0000-7000-8000-000000000001\"}", 7.0),
        ("events_total{source_type=\"test\",detection_type=\"motion\"}", 5.0),
        ("event_described_seconds_bucket{le=\"10\"}", 1.0),
        ("event_described_seconds_sum", 4.0),
        ("ai_calls_total{provider=\"a \\\"b\\\"\",outcome=\"failed\"}", 1.0),
        ("ai_tokens_total{provider=\"a \\\"b\\\"\",direction=\"input\"}", 900.0),
        ("ai_cost_usd_total{provider=\"a \\\"b\\\"\"}", 0.25),
        ("ai_provider_state{provider=\"p\",state=\"down\"}", 1.0),
        ("ai_provider_state{provider=\"p\",state=\"ok\"}", 0.0),
        ("ai_provider_breaker{provider=\"p\",breaker=\"open\"}", 1.0),
        ("ai_passed_over_total{provider=\"p\"}", 6.0),
        ("analysis_jobs{state=\"ready\"}", 2.0),
        ("media_bytes", 4_294_967_297.0),
        ("protect_controllers{status=\"connected\"}", 1.0),
        ("protect_happenings_total{controller_id=\"0193f000-0000-7000-8000-000000000009\"}", 41.0),
        ("protect_gaps_total{controller_id=\"0193f000-0000-7000-8000-000000000009\"}", 2.0),
        ("protect_ends_unknown_total{controller_id=\"0193f000-0000-7000-8000-000000000009\"}", 4.0),
        ("protect_malformed_total{controller_id=\"0193f000-0000-7000-8000-000000000009\"}", 3.0),
        ("uptime_seconds", 1.5),
        ("journal_seq", 1.0),
    ] {
        assert_eq!(samples.get(&format!("argus_{name}")), value, "{name}");
    }
    assert!(samples.get("argus_database_calls_total{pool=\"write\"}") >= 1.0);
    server.delete(&format!("/cameras/{camera}")).await.expect(204);
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_what_was_asked_for() {
    let server = Server::start().await;
    for path in ["/cameras/0193f000-0000-7000-8000-000000000000", "/cameras/secret-name/", "/cameras/x?limit=1"] {
        server.get(path).await;
    }
    send(server.bare(Method::GET, "/cameras")).await.expect(401);
    send(server.request(Method::PATCH, "/cameras")).await.expect(405);
    server.get("/api/v1/secret-route").await.expect(404);
    send(server.request(Method::from_bytes(b"BREW").unwrap(), "/cameras")).await.expect(405);
    // A handler that panics takes its route along; it is counted all the same.
    let body = serde_json::json!({"type": "file", "file_path": "panic"});
    server.post("/cameras/test", body).await.expect(500);
    let samples = Samples::read(&server).await;
    let of = |method: &str, route: &str, status: &str| {
        let labels = format!("method=\"{method}\",route=\"{route}\",status=\"{status}\"");
        samples.get(&format!("argus_http_requests_total{{{labels}}}"))
    };
    assert_eq!(of("GET", "/api/v1/cameras/{id}", "404"), 2.0);
    assert_eq!(of("GET", "/api/v1/cameras/{id}", "422"), 1.0);
    assert_eq!(of("GET", "/api/v1/cameras", "401"), 1.0);
    assert_eq!(of("other", "/api/v1/cameras", "405"), 2.0);
    assert_eq!(of("GET", "none", "404"), 1.0);
    assert_eq!(of("POST", "none", "500"), 1.0);
    let counted =
        samples.get("argus_http_request_duration_seconds_count{method=\"GET\",route=\"/api/v1/cameras/{id}\"}");
    assert_eq!(counted, 3.0);
    assert!(samples.values.keys().all(|name| !name.contains("secret") && !name.contains("BREW")));
}

#[tokio::test]
async fn sockets_are_counted_while_they_are_open_and_by_how_they_end() {
    let timing = Timing { recheck: Duration::from_millis(20), ..Timing::default() };
    let server = Server::start_with(timing).await;
    let (text, key) = server.key_limited(&[Scope::ReadEvents], 100).await;
    let url = format!("ws://127.0.0.1:{}/ws", server.port);
    let mut request = tokio_tungstenite::tungstenite::client::IntoClientRequest::into_client_request(url).unwrap();
    request.headers_mut().insert("x-api-key", text.parse().unwrap());
    let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    until("the socket counts", || async { Samples::read(&server).await.get("argus_ws_clients") == 1.0 }).await;
    server.db.api_key_revoke(key.id, argus_core::Clock::now(&*server.clock)).await.unwrap();
    until("its end counts", || async {
        let samples = Samples::read(&server).await;
        samples.values.get("argus_ws_closed_total{reason=\"1008\"}") == Some(&1.0)
    })
    .await;
    drop(socket);
    until("it is gone", || async { Samples::read(&server).await.get("argus_ws_clients") == 0.0 }).await;
}

#[tokio::test]
async fn an_admin_reads_or_an_address_on_the_list() {
    let server = Server::start().await;
    send(server.bare(Method::GET, "/metrics")).await.expect(401);
    for scope in [Scope::ReadEvents, Scope::ReadCameras, Scope::WriteCameras] {
        let key = server.key(&[scope]).await;
        send(server.bare(Method::GET, "/metrics").header("x-api-key", key)).await.expect(403);
    }
    let http = |net: &str| HttpConfig { metrics_allow: vec![network(net).unwrap()], ..HttpConfig::default() };
    let listed = Server::start_as(Timing::default(), http("127.0.0.0/8")).await;
    let answer = send(listed.bare(Method::GET, "/metrics/")).await;
    assert_eq!((answer.status, answer.header("x-ratelimit-limit")), (200, ""));
    send(listed.bare(Method::GET, "/cameras")).await.expect(401);
    let other = Server::start_as(Timing::default(), http("10.0.0.0/8")).await;
    // What a caller says of itself puts it on no list.
    send(other.bare(Method::GET, "/metrics").header("x-forwarded-for", "10.0.0.1")).await.expect(401);
}
