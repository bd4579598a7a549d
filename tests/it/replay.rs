//! `argus-server replay`: what would be decided about a file, the same on every run.

use argus_tests::clips::{ClipSpec, write_mp4};
use argus_tests::scene::Scene;
use argus_tests::server::run_bare;
use serde_json::{Value, json};

const SCENE: Scene = Scene::MovingBox { every_s: 10, for_s: 3 };

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_gives_the_same_log_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mp4");
    let spec = ClipSpec { width: 320, height: 240, fps: 10, gop: 20, scene: SCENE, ..ClipSpec::default() };
    write_mp4(spec, 30, &film);
    let film = film.to_str().unwrap();
    let config = dir.path().join("camera.json");
    let config_path = config.to_str().unwrap();
    let fields = json!({"name": "Replay", "type": "test", "motion_cooldown": 0, "post_roll_s": 1});
    std::fs::write(&config, fields.to_string()).unwrap();

    let args = ["replay", film, "--camera", config_path];
    let (first, second) = tokio::join!(run_bare(&args), run_bare(&args));
    assert!(first.0.success(), "{}", first.2);
    assert_eq!(first.1, second.1);
    let log = lines(&first.1);
    let kinds: Vec<_> = log.iter().map(|line| line["type"].as_str().unwrap()).collect();
    let episode = ["episode.began", "episode.ended"];
    let expected: Vec<_> = episode.iter().cycle().take(6).chain(&["end"]).copied().collect();
    assert_eq!(kinds, expected, "three passages: {}", first.1);
    for (round, pair) in log.chunks_exact(2).take(3).enumerate() {
        // The box is there from second 7 to second 10 of each ten.
        let truth = i64::try_from(round).unwrap() * 10_000 + 7_000;
        let onset = pair[0]["at_ms"].as_i64().unwrap() - truth;
        assert!((0..=700).contains(&onset), "{onset} ms after the box came: {}", pair[0]);
        let end = pair[1]["last_motion_ms"].as_i64().unwrap() - truth - 3_000;
        assert!((-700..=700).contains(&end), "{end} ms after the box went: {}", pair[1]);
        assert!(pair[0]["score"].as_i64().unwrap() > 0 && pair[0]["box"].is_object(), "{}", pair[0]);
        assert!(!pair[1]["moments"].as_array().unwrap().is_empty());
        let area = &pair[1]["box"];
        assert!(area["width"].as_f64().unwrap() > 0.6, "the box crosses the picture: {area}");
    }
    assert_eq!(log[6]["pictures"], 150, "five pictures a second of thirty seconds");

    // Without a configuration the defaults serve, with their cooldown of half a minute.
    let (status, plain, stderr) = run_bare(&["replay", film]).await;
    assert!(status.success(), "{stderr}");
    assert_eq!(lines(&plain).iter().filter(|line| line["type"] == "episode.began").count(), 1);

    // Where nothing counts there is no episode, be it left out or hidden.
    let corner = |x: f64, y: f64| json!({"x": x, "y": y});
    let all = json!([corner(0.0, 0.0), corner(1.0, 0.0), corner(1.0, 1.0), corner(0.0, 1.0)]);
    for kind in ["exclude", "privacy"] {
        let zones = json!([{"name": "All", "kind": kind, "vertices": all}]);
        std::fs::write(&config, json!({"name": "R", "type": "test", "detection_zones": zones}).to_string()).unwrap();
        let (status, none, stderr) = run_bare(&args).await;
        assert!(status.success(), "{stderr}");
        assert_eq!(lines(&none).iter().map(|line| &line["type"]).collect::<Vec<_>>(), ["end"], "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("text.mp4"), "this is no film").unwrap();
    std::fs::write(path("broken.json"), "{").unwrap();
    std::fs::write(path("odd.json"), r#"{"name": "R", "type": "test", "frame_rate": 99}"#).unwrap();
    let spec = ClipSpec { width: 160, height: 120, fps: 5, gop: 5, scene: Scene::Still, ..ClipSpec::default() };
    write_mp4(spec, 1, &dir.path().join("film.mp4"));
    for (args, word) in [
        (vec!["replay".to_owned(), path("missing.mp4")], "missing.mp4"),
        (vec!["replay".to_owned(), path("text.mp4")], "text.mp4"),
        (vec!["replay".to_owned(), path("film.mp4"), "--camera".to_owned(), path("none.json")], "none.json"),
        (vec!["replay".to_owned(), path("film.mp4"), "--camera".to_owned(), path("broken.json")], "broken.json"),
        (vec!["replay".to_owned(), path("film.mp4"), "--camera".to_owned(), path("odd.json")], "frame_rate"),
        (vec!["replay".to_owned()], "FILE"),
    ] {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (status, stdout, stderr) = run_bare(&args).await;
        assert_eq!((status.code(), stdout.as_str()), (Some(2), ""), "{args:?}: {stderr}");
        assert!(stderr.contains(word) && !stderr.contains("panicked"), "{args:?}: {stderr}");
    }
}
