//! A disk that gets full, and a start on one that is: a small one in memory, with the media on it, the database, or both.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use argus_core::EventId;
use argus_tests::http::Client;
use argus_tests::server::api_key;
use argus_tests::wait::{wait_for, wait_until};
use serde_json::{Value, json};

use crate::common::{SOON, Site, files, test_camera, with};
use crate::retention::{MIB, account_is_true, asleep, event, names, settings, storage_health};

/// A small disk in memory, unmounted when it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, said aloud, where mounting is not allowed.
    #[expect(clippy::print_stderr, reason = "who reads the log of the tests must see that this one showed nothing")]
    fn mount(at: &Path, bytes: u64) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=0700"), "tmpfs"])
            .arg(at)
            .output();
        match done {
            Ok(done) if done.status.success() => Some(Self(at.to_owned())),
            other => {
                eprintln!("SKIPPED: a small disk cannot be mounted here, so a full one is not tested: {other:?}");
                None
            }
        }
    }

    /// Takes up everything that is free.
    fn fill(&self) {
        let mut filler = std::fs::File::create(self.0.join("filler")).unwrap();
        while filler.write_all(&[7; 4096]).is_ok() {}
    }

    /// Free bytes.
    fn free(&self) -> u64 {
        let out = Command::new("stat").args(["-f", "-c", "%a %S"]).arg(&self.0).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        text.split_whitespace().map(|n| n.parse::<u64>().unwrap()).product()
    }

    fn relieve(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that is just being killed may still hold a file.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_degrades_and_loses_nothing() {
    let (mut site, sleeper) = asleep().await;
    let Some(disk) = SmallDisk::mount(&site.dir.path().join("events"), 8 * MIB) else { return };
    settings(&site, &[("min_free_bytes", json!(0))]).await;
    let (oldest, oldest_folder) = event(&site, sleeper, 3000, 1000).await;
    site.again().await;
    assert_eq!(storage_health(&site.client).await["status"], "ok");
    assert_eq!(names(&site, oldest).await, Some((true, true, true)));
    let mut listener = site.listen(None).await;
    disk.fill();
    let camera = site.camera(test_camera("Door", 6, 3)).await;
    let created = listener.created(&camera).await;
    let id = created["id"].as_str().unwrap().to_owned();
    wait_for("a degraded health", SOON, || async {
        let health = storage_health(&site.client).await;
        (health["status"] == "degraded").then_some(())
    })
    .await;
    let whole = site.client.get("/system/health").await.expect(200).json;
    assert_eq!((&whole["status"], &whole["components"]["database"]["status"]), (&json!("degraded"), &json!("ok")));
    // The event comes to its end, without what there was no room for.
    wait_for("the end of the event", SOON, || async {
        let event = site.event(&id).await;
        (!event["ended_at"].is_null() && event["description_status"] != "pending").then_some(())
    })
    .await;
    let clip = format!("SELECT clip_state AS line FROM event WHERE id = '{id}'");
    wait_until("the end of the clip", SOON, || site.rows(&clip) == ["none"]).await;
    let event = site.event(&id).await;
    assert_eq!((&event["clip_url"], &event["thumbnail_url"]), (&Value::Null, &Value::Null));
    // The oldest media make room, and their event says so.
    wait_until("the oldest media to go", SOON, || !oldest_folder.exists()).await;
    assert_eq!(names(&site, oldest).await, Some((false, false, false)));
    listener
        .until("storage_low", SOON, |m| m["type"] == "notification.new" && m["data"]["kind"] == "storage_low")
        .await;
    // No half file lies about, and every file that is named is there in full.
    let halves =
        |folder: &Path| files(folder).into_iter().filter(|f| f.to_string_lossy().contains('#')).collect::<Vec<_>>();
    wait_until("half files to go", SOON, || halves(&disk.0).is_empty()).await;

    disk.relieve();
    wait_for("a healthy storage", SOON, || async {
        (storage_health(&site.client).await["status"] == "ok").then_some(())
    })
    .await;
    let next = listener.created(&camera).await["id"].as_str().unwrap().to_owned();
    let event = listener.finished(&next).await;
    assert!(event["thumbnail_url"].is_string() && event["clip_url"].is_string(), "{event}");
    let clip = site.client.root().get(event["clip_url"].as_str().unwrap()).await.expect(200);
    assert!(crate::common::ffprobe(&clip.bytes).seconds > 0.5);
    site.client.post(&format!("/cameras/{camera}/stop"), &json!({})).await.expect(202);
    site.reaches(&camera, "stopped", SOON).await;
    account_is_true(&site).await;
    sound(&site);
    site.server.terminate(SOON).await.expect("the server ends");
    drop(disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_database_answers_503_and_lives_on() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    if argus_tests::postgres::is_chosen() {
        // There the database lies elsewhere.
        return;
    }
    let Some(disk) = SmallDisk::mount(&dir, 16 * MIB) else { return };
    let key = api_key(&dir, "admin").await;
    let mut server = argus_tests::server::ServerProcess::start(&dir).await;
    let client = Client::new(server.origin(), &key);
    let create = |n: u32| {
        let (client, fields) =
            (client.clone(), json!({"name": format!("Camera {n}"), "type": "test", "is_enabled": false}));
        async move { client.post("/cameras", &fields).await }
    };
    create(0).await.expect(201);
    disk.fill();
    let mut n = 1;
    // The log of changes has some room of its own.
    let refused = loop {
        let answer = create(n).await;
        if answer.status != 201 {
            break answer;
        }
        n += 1;
        assert!(n < 5000, "the disk never gets full");
    };
    let refused = refused.expect(503);
    assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    assert_eq!(refused.json["status_code"], 503);
    assert_eq!(client.get("/cameras?limit=1").await.expect(200).json["total"], n, "what was stored can be read");
    disk.relieve();
    wait_for("writing to go on", SOON, || async { (create(n).await.status == 201).then_some(()) }).await;
    assert_eq!(client.get("/cameras?limit=1").await.expect(200).json["total"], n + 1);
    assert_eq!(crate::common::rows(&dir, "SELECT integrity_check AS line FROM pragma_integrity_check"), ["ok"]);
    assert!(server.exited().is_none());
    server.terminate(SOON).await.expect("the server ends");
    drop(disk);
}

/// Nothing is corrupted, and nothing of the server fell over.
fn sound(site: &Site) {
    site.database_is_sound();
    let log = site.server.log_text();
    assert!(!log.contains("panicked"), "{log}");
}

/// A site whose database and media lie on one small disk, with a camera that is not enabled; its server is down. `None`
/// where there is no such disk, and where the database lies elsewhere.
async fn crammed(bytes: u64) -> Option<(SmallDisk, Site, argus_core::CameraId)> {
    if argus_tests::postgres::is_chosen() {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(dir.path(), bytes)?;
    let mut site = Site::in_folder(dir, &[]).await;
    let camera = site.camera(with(test_camera("Yard", 30, 2), &json!({"is_enabled": false}))).await;
    site.server.terminate(SOON).await.unwrap();
    settings(&site, &[("min_free_bytes", json!(0))]).await;
    Some((disk, site, camera.parse().unwrap()))
}

/// A closed event whose clip really takes up so many bytes.
async fn heavy(site: &Site, camera: argus_core::CameraId, age_s: u64, bytes: u64) -> EventId {
    let (id, folder) = event(site, camera, age_s, bytes).await;
    std::fs::write(folder.join("clip.mp4"), vec![7; usize::try_from(bytes).unwrap()]).unwrap();
    id
}

fn reserve(site: &Site) -> u64 {
    site.dir.path().join("argus.db-reserve").metadata().map_or(0, |meta| meta.len())
}

/// Adds a camera as soon as that can be stored.
async fn camera_when_there_is_room(site: &Site, fields: &Value) -> String {
    wait_for("room for a camera", SOON, || async {
        let answer = site.client.post("/cameras", fields).await;
        // Refused for now is the only other answer.
        assert!([201, 503].contains(&answer.status), "{}: {}", answer.status, answer.json);
        answer.json["id"].as_str().map(str::to_owned)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_old_media_make_room_for_the_database() {
    let Some((disk, mut site, sleeper)) = crammed(96 * MIB).await else { return };
    let mut old = Vec::new();
    for age in (1..=7).rev() {
        old.push(heavy(&site, sleeper, age * 1000, 8 * MIB).await);
    }
    site.again().await;
    assert_eq!(reserve(&site), 8 * MIB, "room is kept");
    assert_eq!(storage_health(&site.client).await["status"], "ok");
    let mut listener = site.listen(None).await;
    disk.fill();
    let camera = camera_when_there_is_room(&site, &test_camera("Door", 4, 2)).await;
    // Events come while the disk is full, and once there is room they have their media.
    let id = listener.created(&camera).await["id"].as_str().unwrap().to_owned();
    wait_for("the oldest media to go", SOON, || async {
        (names(&site, old[0]).await == Some((false, false, false))).then_some(())
    })
    .await;
    wait_for("a healthy server", SOON, || async {
        let health = site.client.get("/system/health").await.expect(200).json["components"].clone();
        (health["database"]["status"] == "ok" && health["storage"]["status"] == "ok").then_some(())
    })
    .await;
    wait_until("the reserve", SOON, || reserve(&site) == 8 * MIB).await;
    // The oldest went, the newest stayed, and nothing that is older than what stayed.
    let mut kept = Vec::new();
    for id in &old {
        kept.push(names(&site, *id).await.unwrap().2);
    }
    assert!(!kept[0] && kept[6] && kept.is_sorted(), "{kept:?}");
    wait_for("the end of the event", SOON, || async {
        let event = site.event(&id).await;
        (!event["ended_at"].is_null() && event["description_status"] != "pending").then_some(())
    })
    .await;
    let next = listener.created(&camera).await["id"].as_str().unwrap().to_owned();
    let event = listener.finished(&next).await;
    assert!(event["thumbnail_url"].is_string() && event["clip_url"].is_string(), "{event}");
    assert!(site.server.log_text().contains("the disk of the database is full"), "{}", site.server.log_text());
    let journal = site.journal(0).await;
    assert!(journal.iter().any(|m| m["type"] == "notification.new" && m["data"]["kind"] == "storage_low"));
    site.client.post(&format!("/cameras/{camera}/stop"), &json!({})).await.expect(202);
    site.reaches(&camera, "stopped", SOON).await;
    sound(&site);
    account_is_true(&site).await;
    site.server.terminate(SOON).await.expect("the server ends");
    drop(disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_on_a_full_disk_works_and_says_what_is_wrong() {
    let Some((disk, mut site, _)) = crammed(32 * MIB).await else { return };
    site.again().await;
    let camera = site.camera(test_camera("Door", 4, 2)).await;
    let mut listener = site.listen(None).await;
    listener.created(&camera).await;
    let before = site.journal(0).await.last().unwrap()["seq"].as_i64().unwrap();
    // In the middle of an event; meanwhile somebody else takes all that is free.
    site.server.kill().await;
    assert_eq!(reserve(&site), 8 * MIB);
    // A part of the reserve was given up before.
    let file = std::fs::File::options().write(true).open(site.dir.path().join("argus.db-reserve")).unwrap();
    file.set_len(4 * MIB).unwrap();
    disk.fill();
    assert!(disk.free() < 4096, "{}", disk.free());
    site.again().await;
    // There are no media whose going would make enough room: it goes on with what was reserved, and says so.
    let health = site.client.get("/system/health").await.expect(200).json;
    assert_eq!(
        (&health["status"], &health["components"]["database"]["status"]),
        (&json!("degraded"), &json!("degraded"))
    );
    let detail = health["components"]["database"]["detail"].as_str().unwrap();
    assert!(detail.contains("full"), "{detail}");
    assert_eq!(reserve(&site), 0, "all of it is given up");
    let mut listener = site.listen(Some(before)).await;
    let id = listener.created(&camera).await["id"].as_str().unwrap().to_owned();
    disk.relieve();
    wait_for("a healthy server", SOON, || async {
        let health = site.client.get("/system/health").await.expect(200).json;
        (health["components"]["database"]["status"] == "ok").then_some(())
    })
    .await;
    assert_eq!(reserve(&site), 8 * MIB);
    wait_for("the end of the event", SOON, || async {
        let event = site.event(&id).await;
        (!event["ended_at"].is_null() && event["description_status"] != "pending").then_some(())
    })
    .await;
    site.client.post(&format!("/cameras/{camera}/stop"), &json!({})).await.expect(202);
    site.reaches(&camera, "stopped", SOON).await;
    sound(&site);
    site.server.terminate(SOON).await.expect("the server ends");
    drop(disk);
}
