//! What goes wrong on demand.

use std::time::{Duration, Instant};

use argus_protect_sim::{Body, Fault, What, When, Wire};
use serde_json::{Value, json};

use crate::client::{API, Client, LIMIT, sim};

#[tokio::test]
async fn answers_are_spoilt_as_the_rule_says() {
    let sim = sim(|_| ()).await;
    let client = Client::admin(&sim).await;
    let path = format!("{API}/bootstrap");
    let good = client.get(&path).await;
    let fault = |what: What| {
        sim.clear_faults();
        sim.fault(Fault::on(&path, When::Always, what).method("GET"));
    };

    fault(What::Answer(503, Body::Html));
    let answer = client.get(&path).await;
    assert_eq!((answer.status, answer.header("content-type")), (503, Some("text/html")));
    fault(What::Answer(400, Body::Json(json!({"error": "no"}))));
    assert_eq!(client.get(&path).await.json(), json!({"error": "no"}));
    fault(What::Answer(204, Body::Empty));
    assert!(client.get(&path).await.body.is_empty());
    fault(What::ContentType("text/plain".into()));
    assert_eq!(client.get(&path).await.header("content-type"), Some("text/plain"));
    fault(What::InvalidUtf8);
    assert!(std::str::from_utf8(&client.get(&path).await.body).is_err());
    fault(What::Gzip);
    let answer = client.get(&path).await;
    assert_eq!(
        (answer.header("content-encoding"), answer.body.get(..2)),
        (Some("gzip"), Some([0x1f, 0x8b].as_slice()))
    );
    fault(What::Edit(vec![
        ("/lights".into(), None),
        ("/cameras/3".into(), Some(json!({"broken": true}))),
        ("/nvr/name".into(), Some(Value::Null)),
    ]));
    let edited = client.get(&path).await.json();
    assert!(edited.get("lights").is_none() && edited["nvr"]["name"].is_null());
    assert_eq!((edited["cameras"].as_array().unwrap().len(), &edited["cameras"][3]), (12, &json!({"broken": true})));
    fault(What::WithoutHeaders(vec!["X-CSRF-Token".into()]));
    assert!(client.get(&path).await.header("x-csrf-token").is_none());
    fault(What::WithHeaders(vec![("set-cookie".into(), "other=1".into())]));
    assert_eq!(client.get(&path).await.header("set-cookie"), Some("other=1"));

    for what in [What::Cut { told: true }, What::Cut { told: false }, What::Reset, What::Close] {
        fault(what.clone());
        assert!(client.send("GET", &path, None).await.is_err(), "{what:?}");
    }
    for what in [What::Delay(Duration::from_millis(80)), What::Stall(Duration::from_millis(80))] {
        fault(what);
        let began = Instant::now();
        assert_eq!(client.get(&path).await.body, good.body);
        assert!(began.elapsed() >= Duration::from_millis(80));
    }
    let small = format!("{API}/keyrings");
    sim.fault(Fault::on(&small, When::Always, What::Dribble));
    assert_eq!(client.get(&small).await.body, b"[]");
}

#[tokio::test]
async fn chances_are_the_same_for_the_same_seed() {
    let mut seen = Vec::new();
    for seed in [5, 5, 6] {
        let sim = sim(|options| options.seed = seed).await;
        let client = Client::admin(&sim).await;
        sim.fault(Fault::on("*", When::Percent(50), What::Answer(500, Body::Empty)));
        let mut bad = Vec::new();
        for _ in 0..40 {
            bad.push(client.get(&format!("{API}/nvr")).await.status == 500);
        }
        assert!(bad.contains(&true) && bad.contains(&false));
        seen.push(bad);
    }
    assert!(seen[0] == seen[1] && seen[0] != seen[2]);
}

#[tokio::test]
async fn the_wire_can_be_wrong() {
    let sim = sim(|_| ()).await;
    let plain = sim.origin().replace("https", "http");
    let get = |url: String| async move {
        let http = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .no_proxy()
            .timeout(Duration::from_millis(700));
        http.build().unwrap().get(url).send().await
    };
    assert!(get(plain.clone()).await.is_err());
    assert_eq!(get(sim.origin()).await.unwrap().status(), 200);
    sim.set_wire(Wire::Tls12);
    assert_eq!(get(sim.origin()).await.unwrap().status(), 200);
    sim.set_wire(Wire::Plain);
    assert!(get(sim.origin()).await.is_err());
    assert_eq!(get(plain).await.unwrap().status(), 200);
    sim.set_wire(Wire::Reset);
    let failure = get(sim.origin()).await.unwrap_err();
    assert!(failure.is_connect() && !failure.is_timeout());
    sim.set_wire(Wire::Mute);
    assert!(get(sim.origin()).await.unwrap_err().is_timeout());
}

/// The SHA-256 of the certificate that a new connection meets.
async fn met(sim: &argus_protect_sim::Sim) -> String {
    use sha2::Digest as _;
    let http =
        reqwest::Client::builder().tls_danger_accept_invalid_certs(true).tls_info(true).no_proxy().build().unwrap();
    let answer = http.get(sim.origin()).send().await.unwrap();
    let info = answer.extensions().get::<reqwest::tls::TlsInfo>().unwrap();
    sha2::Sha256::digest(info.peer_certificate().unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn the_certificate_changes() {
    let sim = sim(|_| ()).await;
    let first = sim.fingerprint();
    assert_eq!(met(&sim).await, first);
    let second = sim.new_certificate(false).unwrap();
    assert_ne!(first, second);
    assert_eq!((met(&sim).await, sim.fingerprint()), (second.clone(), second));
    // One that is trusted by whoever trusts its PEM and its name, and one that is over.
    for is_expired in [false, true] {
        sim.new_certificate(is_expired).unwrap();
        let root = reqwest::Certificate::from_pem(sim.certificate_pem().as_bytes()).unwrap();
        let http =
            reqwest::Client::builder().tls_certs_only([root]).no_proxy().resolve("unifi.local", sim.address()).build();
        let answer = http.unwrap().get(format!("https://unifi.local:{}/", sim.address().port())).send().await;
        assert_eq!(answer.is_err(), is_expired, "{answer:?}");
    }
}

#[tokio::test]
async fn the_clock_can_be_wrong() {
    let sim = sim(|options| options.skew_ms = 90_000).await;
    let client = Client::new(&sim);
    let ahead = |answer: &crate::client::Answer| {
        let date = jiff::fmt::rfc2822::parse(answer.header("date").unwrap()).unwrap();
        date.timestamp().as_second() - true_second()
    };
    let answer = client.get("/").await;
    assert!((88..=91).contains(&ahead(&answer)), "{}", ahead(&answer));
    sim.set_skew(-90_000);
    let answer = client.get("/").await;
    assert!((-92..=-89).contains(&ahead(&answer)), "{}", ahead(&answer));
    sim.ring(&sim.doorbells()[0]);
    let start = sim.happenings()[0].start_ms / 1000 - true_second();
    assert!((-92..=-89).contains(&start), "events, too: {start}");
}

#[expect(clippy::disallowed_methods, reason = "compared with the clock of the console")]
fn true_second() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[tokio::test]
async fn the_application_goes_away_and_comes_back() {
    let sim = sim(|_| ()).await;
    let client = Client::admin(&sim).await;
    let before = sim.bootstrap();
    let mut stream = client.updates(before["lastUpdateId"].as_str().unwrap()).await;
    sim.reboot(Duration::from_millis(300));
    let closed = stream.next().await;
    assert!(
        matches!(closed, Ok(tokio_tungstenite::tungstenite::Message::Close(Some(frame))) if u16::from(frame.code) == 1001)
    );
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let answer = client.get(&format!("{API}/bootstrap")).await;
        assert_eq!(answer.header("content-type"), Some("text/html"));
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [502, 503, 404, 200]);
    let missed = sim.ring(&sim.doorbells()[0]);
    let back = |sim: &argus_protect_sim::Sim| {
        sim.bootstrap()["lastUpdateId"] != before["lastUpdateId"] && !sim.cameras().is_empty()
    };
    assert!(sim.until(LIMIT, back).await);
    assert_eq!(client.get(&format!("{API}/bootstrap")).await.status, 401, "sessions are gone");
    let client = Client::admin(&sim).await;
    let after = sim.bootstrap();
    assert!(after["nvr"]["upSince"].as_i64() > before["nvr"]["upSince"].as_i64());
    // The ring of meanwhile was told by no stream, and is in the list.
    assert!(sim.happenings()[0].private_at.is_none() && sim.happenings()[0].public_at.is_none());
    let start = sim.happenings()[0].start_ms;
    let list = client.get(&format!("{API}/events?start={}&end={}&types=ring", start - 1000, start + 1000)).await.json();
    assert_eq!(list[0]["id"], json!(missed));
}

#[tokio::test]
async fn the_machine_goes_away_and_comes_back_on_its_port() {
    let sim = sim(|_| ()).await;
    let client = Client::admin(&sim).await;
    let during = async {
        let gone = sim.until(LIMIT, |sim| std::net::TcpStream::connect(sim.address()).is_err()).await;
        assert!(gone, "nothing listens");
    };
    let (restarted, ()) = tokio::join!(sim.restart(Duration::from_millis(300)), during);
    restarted.unwrap();
    assert_eq!(client.get(&format!("{API}/bootstrap")).await.status, 401);
    assert_eq!(Client::new(&sim).login("argus", "correct horse").await.status, 200);
}
