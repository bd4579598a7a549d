//! What is forgotten and what stays, at a real server: by age, by bytes, by free disk, after crashes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use argus_core::camera::SourceType;
use argus_core::event::{DetectionType, NewEvent, StatusReason};
use argus_core::media::event_prefix;
use argus_core::{CameraId, EventId};
use argus_db::{DataDir, Database, DatabaseConfig, DbUrl, DescriptionPlan, EventChange, NewFrame};
use argus_tests::http::Client;
use argus_tests::server::api_key;
use argus_tests::wait::{wait_for, wait_until};
use serde_json::{Value, json};

use crate::common::{SOON, Site, files, now, test_camera, with};

const DAY: u64 = 24 * 3600;
pub(crate) const MIB: u64 = 1 << 20;

/// A site whose server is down, with a camera that is not enabled.
pub(crate) async fn asleep() -> (Site, CameraId) {
    let mut site = Site::start().await;
    let camera = site.camera(with(test_camera("Yard", 30, 2), &json!({"is_enabled": false}))).await;
    site.server.terminate(SOON).await.unwrap();
    (site, camera.parse().unwrap())
}

/// The database of a server that is down.
pub(crate) async fn database(site: &Site) -> Database {
    let key = DataDir::open(site.dir.path()).unwrap().seal_ring().unwrap();
    let url: DbUrl = argus_tests::postgres::url(site.dir.path()).parse().unwrap();
    Database::open(DatabaseConfig::new(url, key)).await.unwrap()
}

pub(crate) async fn settings(site: &Site, values: &[(&str, Value)]) {
    let values = values.iter().map(|(name, value)| (format!("retention.{name}"), value.to_string())).collect();
    let store = move |_: &_| Ok::<_, std::convert::Infallible>((values, ()));
    database(site).await.setting_edit(now(), store).await.unwrap().unwrap();
}

/// A closed event of some age, with a thumbnail, a picture and a clip of `clip_bytes` that hold no blocks on the disk.
pub(crate) async fn event(site: &Site, camera: CameraId, age_s: u64, clip_bytes: u64) -> (EventId, PathBuf) {
    let at = now().minus(Duration::from_secs(age_s));
    let id = EventId::new(at);
    let folder = site.dir.path().join("events").join(event_prefix(camera, id, at));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in [("thumbnail.jpg", 300), ("frame-00.jpg", 700), ("clip.mp4", clip_bytes)] {
        std::fs::File::create(folder.join(name)).unwrap().set_len(bytes).unwrap();
    }
    let new = NewEvent {
        id,
        camera_id: camera,
        source_type: SourceType::Test,
        detection_type: DetectionType::Motion,
        timestamp: at,
        detected_at: at,
        description: "Motion on Yard.".into(),
        confidence: 50,
        zones: vec![],
        motion: None,
        protect: None,
    };
    let sha256 = "0".repeat(64);
    let frame = NewFrame { index: 0, offset_ms: 0, sha256, width: 64, height: 36, bytes: 700, stored: true };
    let changes = vec![
        EventChange::ThumbnailStored { bytes: 300 },
        EventChange::Frames(vec![frame]),
        EventChange::Closed { ended_at: at, motion: None, zones: vec![], confidence: 50, clip_expected: true },
        EventChange::Clip { bytes: clip_bytes, from: at, until: at },
    ];
    let db = database(site).await;
    db.event_open(new, at, DescriptionPlan::Skip(StatusReason::AiDisabled)).await.unwrap();
    db.event_change(id, changes, at).await.unwrap();
    (id, folder)
}

/// Whether an event names each kind of file: thumbnail, picture, clip; `None` when it is gone.
pub(crate) async fn names(site: &Site, id: EventId) -> Option<(bool, bool, bool)> {
    let answer = site.client.get(&format!("/events/{id}")).await;
    if answer.status == 404 {
        return None;
    }
    let e = answer.expect(200).json;
    Some((e["thumbnail_url"].is_string(), e["frames"][0]["url"].is_string(), e["clip_url"].is_string()))
}

/// What the database takes up, as its own tools say.
fn database_bytes(site: &Site) -> u64 {
    if !argus_tests::postgres::url(site.dir.path()).starts_with("sqlite:") {
        let size = site.rows("SELECT CAST(pg_database_size(current_database()) AS TEXT) AS line");
        return size[0].parse().unwrap();
    }
    let files = ["argus.db", "argus.db-wal"];
    files.iter().map(|name| site.dir.path().join(name).metadata().map_or(0, |meta| meta.len())).sum()
}

/// The report says what lies in the folder, byte for byte, once everything that is being removed is gone.
pub(crate) async fn account_is_true(site: &Site) {
    let folder = site.dir.path().join("events");
    wait_for("an account that is true", SOON, || async {
        let report = site.client.get("/system/storage").await.expect(200).json;
        let metrics = site.client.root().get("/metrics").await.expect(200).bytes;
        let mut sizes = [0, 0, 0];
        for file in files(&folder) {
            let kind = match file.file_name().unwrap().to_str().unwrap() {
                "thumbnail.jpg" => 0,
                "clip.mp4" => 2,
                _ => 1,
            };
            // A file may go between the walk and the look at it.
            sizes[kind] += folder.join(file).metadata().map_or(0, |meta| meta.len());
        }
        let told = ["thumbnails_bytes", "frames_bytes", "clips_bytes"].map(|name| report[name].as_u64().unwrap());
        let by_camera = report["by_camera"].as_array().unwrap().iter().map(|c| c["media_bytes"].as_u64().unwrap());
        let database = database_bytes(site);
        let is_true = told == sizes
            && by_camera.sum::<u64>() == sizes.iter().sum::<u64>()
            && String::from_utf8_lossy(&metrics)
                .lines()
                .any(|line| line == format!("argus_media_bytes {}", sizes.iter().sum::<u64>()))
            && report["database_bytes"] == database
            && report["total_bytes"] == database + sizes.iter().sum::<u64>();
        is_true.then_some(())
    })
    .await;
}

pub(crate) async fn storage_health(client: &Client) -> Value {
    client.get("/system/health").await.expect(200).json["components"]["storage"].clone()
}

/// Notifications of a kind.
fn told<'a>(journal: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let of_kind = journal.iter().filter(|m| m["type"] == "notification.new" && m["data"]["kind"] == kind);
    of_kind.map(|m| &m["data"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_goes_and_is_told() {
    let (mut site, camera) = asleep().await;
    settings(&site, &[("media_days", json!(5)), ("min_free_bytes", json!(0))]).await;
    let (ancient, ancient_folder) = event(&site, camera, 31 * DAY, 5000).await;
    let (old, old_folder) = event(&site, camera, 6 * DAY, 6000).await;
    let (new, new_folder) = event(&site, camera, 4 * DAY, 7000).await;
    let before = database(&site).await.journal_bounds().await.unwrap().newest;
    site.again().await;
    wait_until("the files of what is too old to go", SOON, || !ancient_folder.exists() && !old_folder.exists()).await;
    assert_eq!(names(&site, ancient).await, None);
    assert_eq!(names(&site, old).await, Some((false, false, false)));
    assert_eq!(names(&site, new).await, Some((true, true, true)));
    assert_eq!(files(&new_folder).len(), 3);
    let journal = site.journal(before).await;
    let deleted: Vec<_> = journal.iter().filter(|m| m["type"] == "event.deleted").map(|m| &m["data"]).collect();
    assert_eq!(deleted, [&json!({"ids": [ancient], "reason": "retention"})]);
    let updated: Vec<_> = journal.iter().filter(|m| m["type"] == "event.updated").map(|m| &m["data"]["id"]).collect();
    assert_eq!(updated, [&json!(old)]);
    account_is_true(&site).await;
    let report = site.client.get("/system/storage").await.expect(200).json;
    assert_eq!(
        (&report["event_count"], &report["frame_count"], &report["clip_count"]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_eq!(report["by_camera"], json!([{"camera_id": camera, "media_bytes": 8000, "event_count": 2}]));
    // A limit that is set while the server runs acts at once.
    let limits = json!({"retention": {"events_days": 5, "media_days": 1}});
    site.client.put("/system/settings", &limits).await.expect(200);
    wait_until("the files of the newest to go", SOON, || !new_folder.exists()).await;
    assert_eq!((names(&site, old).await, names(&site, new).await), (None, Some((false, false, false))));
    account_is_true(&site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_media_go_when_there_are_too_many() {
    let (mut site, camera) = asleep().await;
    settings(&site, &[("max_media_bytes", json!(100 * MIB)), ("min_free_bytes", json!(0))]).await;
    let mut all = Vec::new();
    for age in [300, 200, 100] {
        all.push(event(&site, camera, age, 40 * MIB).await);
    }
    site.again().await;
    wait_until("the oldest clip to go", SOON, || !all[0].1.exists()).await;
    assert_eq!(names(&site, all[0].0).await, Some((false, false, false)));
    for (id, folder) in &all[1..] {
        assert_eq!((names(&site, *id).await, files(folder).len()), (Some((true, true, true)), 3));
    }
    account_is_true(&site).await;
    assert_eq!(storage_health(&site.client).await["status"], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn little_free_disk_is_told_once_and_costs_the_oldest_media() {
    let (mut site, camera) = asleep().await;
    // More than any disk has: everything that can go goes.
    settings(&site, &[("min_free_bytes", json!(1_u64 << 60))]).await;
    let (one, folder) = event(&site, camera, 300, 1000).await;
    let before = database(&site).await.journal_bounds().await.unwrap().newest;
    site.again().await;
    wait_until("the media to go", SOON, || !folder.exists()).await;
    assert_eq!(names(&site, one).await, Some((false, false, false)));
    let health = storage_health(&site.client).await;
    assert_eq!(health["status"], "degraded", "{health}");
    assert!(health["detail"].as_str().unwrap().contains("little room"), "{health}");
    let told_at = wait_for("the notification", SOON, || async {
        told(&site.journal(before).await, "storage_low").first().map(|n| (*n).clone())
    })
    .await;
    assert_eq!((&told_at["severity"], &told_at["camera_id"]), (&json!("warning"), &Value::Null));
    // The disk is looked at again every ten seconds; the notification is not told again.
    let log = || site.server.log_text().matches("little room is left").count();
    assert_eq!(log(), 1);
    let (next, folder) = event(&site, camera, 200, 1000).await;
    wait_until("the next round", SOON, || !folder.exists()).await;
    assert_eq!(names(&site, next).await, Some((false, false, false)));
    assert_eq!((told(&site.journal(before).await, "storage_low").len(), log()), (1, 1));
    let reader = Client::new(site.server.origin(), &api_key(site.dir.path(), "read:cameras").await);
    let page = reader.get(&format!("/journal?after={before}")).await.expect(200).json;
    assert!(told(page["items"].as_array().unwrap(), "storage_low").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_rows_are_made_to_agree_both_ways() {
    let (mut site, camera) = asleep().await;
    settings(&site, &[("min_free_bytes", json!(0))]).await;
    let (whole, whole_folder) = event(&site, camera, 400, 1000).await;
    let (robbed, robbed_folder) = event(&site, camera, 300, 1000).await;
    let (resized, resized_folder) = event(&site, camera, 200, 1000).await;
    std::fs::remove_file(robbed_folder.join("clip.mp4")).unwrap();
    std::fs::remove_file(robbed_folder.join("frame-00.jpg")).unwrap();
    std::fs::File::create(resized_folder.join("thumbnail.jpg")).unwrap().set_len(333).unwrap();
    let events = site.dir.path().join("events");
    let nobody = events.join(event_prefix(camera, EventId::new(now()), now()));
    let no_camera = events.join(CameraId::new(now()).to_string());
    let strays = [
        whole_folder.join("frame-09.jpg"),
        whole_folder.join("clip.mp4#1"),
        nobody.join("clip.mp4"),
        no_camera.join("2025/01/01/x.jpg"),
        events.join(camera.to_string()).join("note.txt"),
    ];
    for stray in &strays {
        std::fs::create_dir_all(stray.parent().unwrap()).unwrap();
        std::fs::write(stray, b"stray").unwrap();
    }
    let foreign = events.join("not-ours.txt");
    std::fs::write(&foreign, b"somebody else's").unwrap();
    site.again().await;
    wait_until("the strays to go", SOON, || strays.iter().all(|stray| !stray.exists())).await;
    wait_for("the rows to say so", SOON, || async {
        (names(&site, robbed).await == Some((true, false, false))).then_some(())
    })
    .await;
    assert!(foreign.exists(), "what is not named like ours stays");
    std::fs::remove_file(&foreign).unwrap();
    assert_eq!(names(&site, whole).await, Some((true, true, true)));
    assert_eq!(names(&site, resized).await, Some((true, true, true)));
    let expected: BTreeSet<_> = ["clip.mp4", "frame-00.jpg", "thumbnail.jpg"].map(PathBuf::from).into();
    assert_eq!(files(&whole_folder).into_iter().collect::<BTreeSet<_>>(), expected);
    account_is_true(&site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_not_mounted_costs_no_event_its_files() {
    let (mut site, camera) = asleep().await;
    settings(&site, &[("min_free_bytes", json!(0))]).await;
    let (kept, _) = event(&site, camera, 300, 1000).await;
    site.again().await;
    wait_for("a store that is known", SOON, || async {
        (storage_health(&site.client).await["status"] == "ok").then_some(())
    })
    .await;
    site.server.kill().await;
    let (events, away) = (site.dir.path().join("events"), site.dir.path().join("away"));
    std::fs::rename(&events, &away).unwrap();
    // The bare mount point, into which something new was stored meanwhile.
    let stray = events.join(event_prefix(camera, EventId::new(now()), now()));
    std::fs::create_dir_all(&stray).unwrap();
    std::fs::write(stray.join("thumbnail.jpg"), b"new").unwrap();
    site.again().await;
    wait_for("its absence to be told", SOON, || async {
        (storage_health(&site.client).await["status"] == "down").then_some(())
    })
    .await;
    assert_eq!(names(&site, kept).await, Some((true, true, true)));
    assert!(stray.join("thumbnail.jpg").exists(), "nothing is removed");
    site.server.kill().await;
    std::fs::remove_dir_all(&events).unwrap();
    std::fs::rename(&away, &events).unwrap();
    site.again().await;
    wait_for("the store to be known again", SOON, || async {
        (storage_health(&site.client).await["status"] == "ok").then_some(())
    })
    .await;
    assert_eq!(names(&site, kept).await, Some((true, true, true)));
    account_is_true(&site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_deleted_rows_go_after_a_crash() {
    let (mut site, camera) = asleep().await;
    let (event_gone, event_folder) = event(&site, camera, 300, 1000).await;
    let db = database(&site).await;
    db.event_delete(event_gone, argus_core::journal::DeleteReason::User, now()).await.unwrap();
    // The crash came between the row and its files.
    assert_eq!(files(&event_folder).len(), 3);
    site.again().await;
    wait_until("the event's files to go", SOON, || !event_folder.exists()).await;
    site.server.kill().await;
    let (_, folder) = event(&site, camera, 200, 1000).await;
    db.camera_delete_begin(camera, now()).await.unwrap();
    db.camera_delete_finish(camera, now()).await.unwrap();
    assert_eq!(files(&folder).len(), 3);
    site.again().await;
    wait_until("the camera's files to go", SOON, || files(&site.dir.path().join("events")).is_empty()).await;
    wait_until("an empty trash", SOON, || site.rows("SELECT prefix AS line FROM media_trash").is_empty()).await;
    account_is_true(&site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_whose_deletion_was_cut_off_is_gone_and_the_rest_of_it_follows() {
    let (mut site, camera) = asleep().await;
    let (first, folder) = event(&site, camera, 300, 1000).await;
    let (second, _) = event(&site, camera, 200, 1000).await;
    let db = database(&site).await;
    let before = db.journal_bounds().await.unwrap().newest;
    // The crash came right behind the first step.
    db.camera_delete_begin(camera, now()).await.unwrap();
    assert_eq!((db.event_get(first).await.unwrap().is_some(), files(&folder).len()), (true, 3));
    drop(db);
    site.again().await;
    // From the first answer on nobody sees it.
    site.client.get(&format!("/cameras/{camera}")).await.expect(404);
    assert_eq!(site.client.get("/cameras").await.expect(200).json["total"], 0);
    site.client.delete(&format!("/cameras/{camera}")).await.expect(404);
    site.camera(with(test_camera("Yard", 30, 2), &json!({"is_enabled": false}))).await;
    wait_for("its events to go", SOON, || async {
        (site.client.get("/events").await.expect(200).json["total"] == 0).then_some(())
    })
    .await;
    assert_eq!((names(&site, first).await, names(&site, second).await), (None, None));
    wait_until("its files to go", SOON, || files(&site.dir.path().join("events")).is_empty()).await;
    wait_until("an empty trash", SOON, || site.rows("SELECT prefix AS line FROM media_trash").is_empty()).await;
    let told = site.journal(before).await;
    let about: Vec<_> = told.iter().filter(|m| m["data"]["camera_id"] == json!(camera)).collect();
    assert_eq!(about.len(), 1, "{about:?}");
    assert_eq!((&about[0]["type"], &about[0]["data"]["status"]), (&json!("camera.status"), &json!("deleted")));
    account_is_true(&site).await;
    // And it stays so.
    site.server.kill().await;
    site.again().await;
    assert_eq!(site.client.get("/cameras").await.expect(200).json["total"], 1);
    assert_eq!(site.rows("SELECT CAST(COUNT(*) AS TEXT) AS line FROM camera"), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_camera_is_told_once_a_spell() {
    let site = Site::start().await;
    let file = site.media("broken.mp4");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, b"this is no film").unwrap();
    let camera = site.camera(json!({"name": "Gate", "type": "file", "file_path": "broken.mp4"})).await;
    site.reaches(&camera, "error", SOON).await;
    let lost = |journal: &[Value]| told(journal, "camera_offline").into_iter().cloned().collect::<Vec<_>>();
    let first = lost(&site.journal(0).await);
    assert_eq!(first.len(), 1);
    assert_eq!(
        (&first[0]["camera_id"], &first[0]["severity"], &first[0]["event_id"]),
        (&json!(camera), &json!("error"), &Value::Null)
    );
    assert_eq!(first[0]["title"], "Gate does not work");
    // Started once more it fails again: the same spell.
    site.client.post(&format!("/cameras/{camera}/start"), &json!({})).await.expect(202);
    wait_for("the second failure", SOON, || async {
        let journal = site.journal(0).await;
        let failures = journal.iter().filter(|m| m["type"] == "camera.status" && m["data"]["status"] == "error");
        (failures.count() >= 2).then_some(())
    })
    .await;
    assert_eq!(lost(&site.journal(0).await).len(), 1);
    // Stopped by a person, the spell is over.
    site.client.post(&format!("/cameras/{camera}/stop"), &json!({})).await.expect(202);
    site.reaches(&camera, "stopped", SOON).await;
    site.client.post(&format!("/cameras/{camera}/start"), &json!({})).await.expect(202);
    wait_for("the next spell", SOON, || async { (lost(&site.journal(0).await).len() == 2).then_some(()) }).await;
    let reader = Client::new(site.server.origin(), &api_key(site.dir.path(), "read:cameras").await);
    let page = reader.get("/journal?after=0&types=notification.new").await.expect(200).json;
    assert_eq!(lost(page["items"].as_array().unwrap()).len(), 2);
}
