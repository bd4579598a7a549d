//! Pictures and clips over the private interface.

use std::time::Duration;

use argus_protect_sim::{ClipRule, Early, Lags, Sim, media};
use serde_json::json;

use crate::client::{API, Client, LIMIT, sim};

fn plain(sim: &Sim) -> String {
    let is_plain = |id: &String| sim.camera(id).unwrap()["isPairedWithAiPort"] == false;
    sim.cameras().into_iter().find(is_plain).unwrap()
}

#[tokio::test]
async fn pictures_are_of_the_camera_and_the_moment() {
    let sim = sim(|_| ()).await;
    let client = Client::admin(&sim).await;
    let camera = plain(&sim);
    let before = sim.now_ms();
    let live = client.get(&format!("{API}/cameras/{camera}/snapshot?force=true&w=320")).await;
    assert_eq!(live.header("content-type"), Some("image/jpeg"));
    let shown = media::read_picture(&live.body).unwrap();
    assert_eq!(shown.camera, camera);
    assert!((before..=sim.now_ms()).contains(&shown.at_ms));
    assert_eq!(media::read_cells(&live.body, &camera), Some(shown.at_ms));
    let then = before - 60_000;
    let past = client.get(&format!("{API}/cameras/{camera}/recording-snapshot?ts={then}")).await;
    let shown = media::read_picture(&past.body).unwrap();
    assert_eq!((shown.kind.as_str(), shown.at_ms), ("recording", then));
    // Offline, and never recorded.
    sim.camera_state(&camera, "DISCONNECTED");
    assert_eq!(client.get(&format!("{API}/cameras/{camera}/snapshot")).await.status, 503);
    sim.camera_update(&camera, &json!({"recordingSettings": {"mode": "never"}}));
    assert_eq!(client.get(&format!("{API}/cameras/{camera}/recording-snapshot?ts={then}")).await.status, 404);
}

#[tokio::test]
async fn a_camera_behind_an_ai_port_wants_no_parameters() {
    let sim = sim(|_| ()).await;
    let client = Client::admin(&sim).await;
    let behind = sim.cameras().into_iter().find(|id| sim.camera(id).unwrap()["isPairedWithAiPort"] == true).unwrap();
    assert_eq!(client.get(&format!("{API}/cameras/{behind}/snapshot?w=640")).await.status, 500);
    assert_eq!(client.get(&format!("{API}/cameras/{behind}/snapshot")).await.status, 200);
    assert_eq!(client.get(&format!("{API}/cameras/{behind}/package-snapshot")).await.status, 200, "it has the lens");
}

#[tokio::test]
async fn thumbnails_come_after_the_end() {
    let sim = sim(|options| options.lags = Lags { thumbnail: Duration::from_millis(100), ..Lags::none() }).await;
    let client = Client::admin(&sim).await;
    let camera = plain(&sim);
    let id = sim.detect(&camera, &["person"], 90, Duration::from_millis(100));
    let path = format!("{API}/events/{id}/thumbnail");
    assert_eq!(client.get(&path).await.status, 404);
    let deadline = std::time::Instant::now() + LIMIT;
    let picture = loop {
        let answer = client.get(&path).await;
        if answer.status == 200 {
            break answer;
        }
        assert!(std::time::Instant::now() < deadline);
    };
    let happening = sim.happenings().remove(0);
    assert!(sim.now_ms() >= happening.end_ms + 100);
    assert_eq!(media::read_picture(&picture.body).unwrap().at_ms, happening.start_ms);
    assert_eq!(
        client.get(&format!("{API}/events/e-{id}/thumbnail")).await.status,
        404,
        "the prefix is no part of an id"
    );
    for (what, start) in
        [("animated-thumbnail", b"GIF8".as_slice()), ("heatmap", b"\x89PNG"), ("smartDetectTrack", b"{")]
    {
        let answer = client.get(&format!("{API}/events/{id}/{what}")).await;
        assert!(answer.status == 200 && answer.body.starts_with(start), "{what}");
    }
}

#[tokio::test]
async fn clips_are_there_when_they_are_ready() {
    for (early, status) in [(Early::NotFound502, 404), (Early::Error500, 500), (Early::Empty, 200), (Early::Cut, 200)] {
        let sim = sim(|options| options.clips = ClipRule { ready: Duration::from_millis(800), early }).await;
        let client = Client::admin(&sim).await;
        let camera = plain(&sim);
        let (start, end) = (sim.now_ms() - 12_345, sim.now_ms());
        let path = format!("{API}/video/export?camera={camera}&start={start}&end={end}&channel=0");
        let first = client.send("GET", &path, None).await;
        match (early, first) {
            (Early::Cut, answer) => assert!(answer.is_err()),
            (Early::Empty, answer) => assert!(answer.unwrap().body.is_empty()),
            (_, answer) => {
                let answer = answer.unwrap();
                assert_eq!(answer.status, status);
                if early == Early::NotFound502 {
                    assert_eq!(answer.json(), json!({"error": 502}));
                }
            }
        }
        let deadline = std::time::Instant::now() + LIMIT;
        let film = loop {
            if let Ok(answer) = client.send("GET", &path, None).await
                && let Some(film) = media::read_clip(&answer.body)
            {
                break film;
            }
            assert!(std::time::Instant::now() < deadline);
        };
        assert!(sim.now_ms() >= end + 800);
        assert_eq!((film.camera, film.channel.as_str()), (camera, "0"));
        assert_eq!((film.start_ms, film.end_ms), (start / 5000 * 5000, end));
    }
}

#[tokio::test]
async fn clips_that_cannot_be_are_refused() {
    let sim = sim(|_| ()).await;
    let client = Client::admin(&sim).await;
    let camera = plain(&sim);
    let now = sim.now_ms();
    let status = async |query: String| client.get(&format!("{API}/video/export?{query}")).await.status;
    assert_eq!(
        status(format!("camera={camera}&start={}&end={}", now - 5000, now + 60_000)).await,
        400,
        "in the future"
    );
    assert_eq!(status(format!("camera={camera}&start={now}&end={now}")).await, 400, "no length");
    assert_eq!(
        status(format!("camera={camera}&start={}&end={now}&channel=3", now - 5000)).await,
        400,
        "the package lens is no channel"
    );
    assert_eq!(status(format!("camera=nobody&start={}&end={now}", now - 5000)).await, 404);
    assert_eq!(status(format!("camera={camera}&start={}&end={now}&lens=2", now - 5000)).await, 200);
    // In two steps.
    let made = client
        .get(&format!(
            "{API}/video/prepare?camera={camera}&start={}&end={now}&channel=1&type=rotating&filename=x.mp4",
            now - 5000
        ))
        .await;
    let name = made.json()["fileName"].as_str().unwrap().to_owned();
    let film = client.get(&format!("{API}/video/download?camera={camera}&filename={name}")).await;
    assert_eq!(media::read_clip(&film.body).unwrap().channel, "1");
    sim.camera_update(&camera, &json!({"recordingSettings": {"mode": "never"}}));
    let gone = client.get(&format!("{API}/video/export?camera={camera}&start={}&end={now}", now - 5000)).await;
    assert_eq!((gone.status, gone.header("content-type")), (404, Some("text/plain")));
}
