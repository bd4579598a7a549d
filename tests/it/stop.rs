//! Ends and beginnings of the process: signals, exit codes, keys beside a running server.

use std::time::{Duration, Instant};

use argus_tests::http::Client;
use argus_tests::rtsp::RtspServer;
use argus_tests::scene::Scene;
use argus_tests::server::{ServerProcess, api_key, run};
use argus_tests::wait::{wait_for, wait_until};
use serde_json::json;

use crate::common::{SOON, Site, check_order, ffprobe, files, id_of, is_about, test_camera, with};

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_during_an_event_closes_it_and_keeps_its_clip_whole() {
    let mut site = Site::start().await;
    let mut live = site.listen(None).await;
    // Motion for longer than this takes, and a post-roll that nobody can wait for.
    let camera = site.camera(with(test_camera("Yard", 30, 20), &json!({"post_roll_s": 30}))).await;
    let event = id_of(&live.created(&camera).await);
    let begun = Instant::now();
    // Some seconds of the event, so that there is something to keep.
    wait_until("two seconds of the event", SOON, || begun.elapsed() > Duration::from_secs(2)).await;
    let stopped = Instant::now();
    let status = site.server.terminate(Duration::from_secs(15)).await.unwrap();
    let took = stopped.elapsed();
    assert_eq!(status.code(), Some(0), "{}", site.server.log_text());
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    assert!(files(&site.dir.path().join("tmp")).is_empty());
    let state =
        site.rows(&format!("SELECT clip_state AS line FROM event WHERE id = '{event}' AND ended_us IS NOT NULL"));
    assert_eq!(state, ["stored"], "closed, with its clip, before the process ended");
    assert_eq!(site.rows("SELECT 'open' AS line FROM coverage WHERE until_us IS NULL").len(), 0);

    site.again().await;
    let after = wait_for("the description", SOON, || async {
        let now = site.event(&event).await;
        (now["description_status"] == "described").then_some(now)
    })
    .await;
    assert!((1500..6000).contains(&after["duration_ms"].as_i64().unwrap()), "{after}");
    let clip = site.client.root().get(after["clip_url"].as_str().unwrap()).await.expect(200);
    let seconds = ffprobe(&clip.bytes).seconds;
    let wanted = 2.0 + after["duration_ms"].as_f64().unwrap() / 1000.0;
    assert!((wanted - 0.5..wanted + 3.0).contains(&seconds), "{seconds} s for {wanted} s");
    assert!(after["frames"].as_array().unwrap().iter().all(|f| f["url"].is_string()));
    assert!(!after["frames"].as_array().unwrap().is_empty());
    site.client.root().get(after["thumbnail_url"].as_str().unwrap()).await.expect(200);
    check_order(&site.journal(0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_in_time_whatever_the_cameras_do() {
    let gate = RtspServer::builder().size(320, 240).fps(10).gop(10).scene(Scene::Restless).start();
    let mut site = Site::start().await;
    let mut live = site.listen(None).await;
    let busy = json!({"name": "Busy", "type": "rtsp", "rtsp_url": gate.url(), "post_roll_s": 30});
    let busy = site.camera(busy).await;
    let silent = argus_tests::net::SilentHost::start();
    let url = format!("rtsp://127.0.0.1:{}/cam", silent.port());
    site.camera(json!({"name": "Silent", "type": "rtsp", "rtsp_url": url})).await;
    site.reaches(&busy, "online", SOON).await;
    gate.freeze();
    // Somebody waits for news, and somebody has a socket open.
    let poll = {
        let client = site.client.clone();
        tokio::spawn(async move {
            client.try_send(client.request(reqwest::Method::GET, "/journal?after=1000000&wait=50")).await
        })
    };
    let stopped = Instant::now();
    let status = site.server.terminate(Duration::from_secs(15)).await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", site.server.log_text());
    assert!(stopped.elapsed() < Duration::from_secs(5), "it took {:?}", stopped.elapsed());
    live.until("the end", SOON, |m| m["type"] == "camera.status").await;
    drop(poll);
    assert_eq!(site.rows("SELECT 'open' AS line FROM event WHERE ended_us IS NULL").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once_with_1() {
    let site = Site::start().await;
    let mut live = site.listen(None).await;
    let camera = site.camera(with(test_camera("Yard", 30, 20), &json!({"post_roll_s": 30}))).await;
    live.created(&camera).await;
    // Both are there when it goes on, so that no stop can be quicker than the second one.
    for signal in [libc::SIGSTOP, libc::SIGTERM, libc::SIGINT, libc::SIGCONT] {
        site.server.signal(signal);
    }
    let mut server = site.server;
    let status = wait_for("the end", SOON, || std::future::ready(server.exited())).await;
    let log = server.log_text();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("stopped by a second signal") && !log.contains("engine stopped"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_a_data_dir_and_one_a_port() {
    let mut site = Site::start().await;
    let (status, stdout, stderr) = run(site.dir.path(), &["--listen", "127.0.0.1:0"]).await;
    assert_eq!((status.code(), stdout.as_str()), (Some(4), ""), "{stderr}");
    assert!(stderr.contains("in use by another server"), "{stderr}");
    let other = tempfile::tempdir().unwrap();
    let address = site.server.origin().trim_start_matches("http://");
    let (status, stdout, stderr) = run(other.path(), &["--listen", address]).await;
    assert_eq!((status.code(), stdout.as_str()), (Some(3), ""), "{stderr}");
    assert!(stderr.contains(address), "{stderr}");
    site.client.get("/cameras").await.expect(200);
    // The first is gone: its data serve the next at once.
    site.server.kill().await;
    ServerProcess::start(site.dir.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_ends_the_start_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("argus.toml");
    let path = file.to_str().unwrap();
    for (text, word) in [("listn = '127.0.0.1:0'", "listn"), ("listen = 'nowhere'", "nowhere"), ("log = ", "line 1")] {
        std::fs::write(&file, text).unwrap();
        let (status, stdout, stderr) = run(&dir.path().join("data"), &["--config", path]).await;
        assert_eq!((status.code(), stdout.as_str()), (Some(2), ""), "{text}: {stderr}");
        assert!(stderr.contains(word), "{text}: {stderr}");
    }
    let (status, ..) = run(dir.path(), &["--config", "/no/such/file.toml"]).await;
    assert_eq!(status.code(), Some(2));
    let (status, ..) = run(dir.path(), &["--no-such-option"]).await;
    assert_eq!(status.code(), Some(2));
    let blocked = dir.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let (status, _, stderr) = run(&blocked.join("data"), &["--listen", "127.0.0.1:0"]).await;
    assert_eq!(status.code(), Some(4), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_made_beside_a_running_server_works_at_once() {
    let site = Site::start().await;
    for (scope, reads, writes) in
        [("read:events", 403, 403), ("read:cameras", 200, 403), ("write:cameras", 200, 201), ("admin", 200, 201)]
    {
        let client = Client::new(site.server.origin(), &api_key(site.dir.path(), scope).await);
        client.get("/cameras").await.expect(reads);
        let fields = with(test_camera(scope, 30, 1), &json!({"is_enabled": false}));
        client.post("/cameras", &fields).await.expect(writes);
    }
    let (status, stdout, stderr) =
        run(site.dir.path(), &["api-key", "create", "--name", "n", "--scope", "read:everything"]).await;
    // An unknown scope is a usage error to the command line's parser, or refused.
    assert!(matches!(status.code(), Some(2 | 5)) && stdout.is_empty(), "{status}: {stderr}");
    let (status, stdout, stderr) = run(site.dir.path(), &["api-key", "create", "--name", "", "--scope", "admin"]).await;
    assert_eq!((status.code(), stdout.as_str()), (Some(5), ""), "{stderr}");
    let (status, ..) = run(site.dir.path(), &["api-key", "create", "--name", "n"]).await;
    assert_eq!(status.code(), Some(2));
    let (status, stdout, _) =
        run(site.dir.path(), &["api-key", "create", "--name", "n", "--scope", "read:events", "read:cameras"]).await;
    assert!(status.success() && stdout.lines().count() == 1);
    let both = Client::new(site.server.origin(), stdout.trim());
    both.get("/cameras").await.expect(200);
    both.get("/events").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn cameras_go_on_after_a_restart() {
    let mut site = Site::start().await;
    let running = site.camera(test_camera("Running", 5, 2)).await;
    let resting = site.camera(with(test_camera("Resting", 5, 2), &json!({"is_enabled": false}))).await;
    site.reaches(&running, "online", SOON).await;
    let before = site.client.get("/journal").await.expect(200).json["last_seq"].as_i64().unwrap();
    assert!(site.server.terminate(Duration::from_secs(15)).await.unwrap().success());
    site.again().await;
    let mut live = site.listen(Some(before)).await;
    let event = live.created(&running).await;
    live.finished(&id_of(&event)).await;
    assert_eq!(site.status(&resting).await["status"], "stopped");
    let told = live.seen.iter().filter(|m| is_about(m, "camera.status", &running)).collect::<Vec<_>>();
    assert_eq!(told.last().unwrap()["data"]["status"], "online", "{told:?}");
    check_order(&site.journal(0).await);
}
