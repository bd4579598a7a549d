//! The server is killed at random moments under load, again and again; what it told stays true.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use argus_ai_sim::{AiSim, Dialect};
use argus_tests::http::Client;
use argus_tests::server::binary;
use argus_tests::wait::{wait_for, wait_until};
use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{SOON, Site, check_order, ffprobe, files, id_of, now, seq_of, sha256, test_camera, time_of, with};

/// Fixed, so that a run can be repeated; the moments themselves are the machine's.
const SEED: u64 = 0x5EED_0000_2026_1124;

/// Marsaglia's xorshift: moments need no better source.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

#[expect(clippy::disallowed_methods, reason = "not a setting of the server: how long this test runs")]
fn kills() -> u64 {
    std::env::var("ARGUS_TEST_KILLS").map_or(30, |n| n.parse().unwrap())
}

/// Remembers what a client was told, over all lives of the server.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<Value>>>);

impl Memory {
    fn all(&self) -> Vec<Value> {
        self.0.lock().unwrap().clone()
    }

    fn newest(&self) -> i64 {
        self.0.lock().unwrap().last().map_or(0, seq_of)
    }

    /// Follows the journal by long poll until the connection breaks.
    async fn follow(self, client: Client) {
        loop {
            let path = format!("/journal?after={}&wait=20&limit=500", self.newest());
            let Ok(answer) = client.try_send(client.request(Method::GET, &path)).await else { return };
            assert_eq!(answer.status, 200, "{}", answer.json);
            let items = answer.json["items"].as_array().unwrap();
            self.0.lock().unwrap().extend(items.iter().cloned());
        }
    }
}

/// Every event that there is.
async fn events(site: &Site) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    let mut path = "/events?limit=500".to_owned();
    loop {
        let page = site.client.get(&path).await.expect(200).json;
        all.extend(page["items"].as_array().unwrap().iter().map(|e| (id_of(e), e.clone())));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/events?limit=500&cursor={cursor}"),
            None => return all,
        }
    }
}

/// Events of which a client heard, and those of which it heard that they are gone.
fn heard(messages: &[Value]) -> (BTreeSet<String>, BTreeSet<String>) {
    let created = messages.iter().filter(|m| m["type"] == "event.created").map(|m| id_of(&m["data"])).collect();
    let deleted = messages.iter().filter(|m| m["type"] == "event.deleted").flat_map(|m| m["data"]["ids"].as_array());
    (created, deleted.flatten().map(|id| id.as_str().unwrap().to_owned()).collect())
}

/// A start that is killed before anybody listens: in the middle of putting right what the last life left.
async fn killed_while_starting(site: &Site, after: Duration) {
    let log = std::fs::File::options().append(true).open(site.dir.path().join("stderr.log")).unwrap();
    let mut child = tokio::process::Command::new(binary())
        .arg("--data-dir")
        .arg(site.dir.path())
        .args(["--listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // The moment of the crash is what this test is about; nothing is waited for.
    let ended = tokio::time::timeout(after, child.wait()).await;
    assert!(ended.is_err(), "the start failed: {ended:?}\n{}", site.server.log_text());
    child.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_told_is_lost_by_kills_at_random_moments() {
    let ai = AiSim::start(Dialect::OpenAi);
    let mut site = Site::start().await;
    let fields =
        json!({"kind": "openai_compatible", "model": "sim-vision", "base_url": ai.base_url(), "api_key": "sk-crash-1"});
    site.provider(fields).await;
    let mut cameras = Vec::new();
    for (number, (period, active)) in [(4, 2), (4, 1), (5, 2), (6, 2)].into_iter().enumerate() {
        let pattern = json!({"width": 160, "height": 120, "period_s": period, "active_s": active});
        let fields = with(test_camera(&format!("Camera {number}"), period, active), &json!({"test_pattern": pattern}));
        cameras.push(site.camera(fields).await);
    }
    let memory = Memory::default();
    let mut dice = Dice(SEED);
    let mut done = 0;
    while done < kills() {
        let started = now();
        let follower = tokio::spawn(memory.clone().follow(site.client.clone()));
        let moment = Duration::from_millis(200 + dice.roll(6_000));
        // Now and then somebody deletes an event, and the crash comes on its heels.
        let deleting = dice.roll(3) == 0;
        let wait = if deleting { moment.saturating_sub(Duration::from_millis(dice.roll(8))) } else { moment };
        // The moment of the crash is what this test is about; nothing is waited for.
        tokio::time::sleep(wait).await;
        let oldest =
            memory.all().into_iter().filter(|m| m["type"] == "event.updated").nth(usize::try_from(done).unwrap() * 3);
        if let (true, Some(oldest)) = (deleting, oldest) {
            let client = site.client.clone();
            let path = format!("/events/{}", id_of(&oldest["data"]));
            tokio::spawn(async move { client.try_send(client.request(Method::DELETE, &path)).await });
            tokio::time::sleep(moment - wait).await;
        }
        site.server.kill().await;
        done += 1;
        follower.await.unwrap();
        if done < kills() && dice.roll(4) == 0 {
            killed_while_starting(&site, Duration::from_millis(10 + dice.roll(250))).await;
            done += 1;
        }
        site.again().await;
        check_after_start(&site, &memory.all(), started).await;
    }

    // Nothing begins any more; what is left is finished.
    let follower = tokio::spawn(memory.clone().follow(site.client.clone()));
    for camera in &cameras {
        site.client.post(&format!("/cameras/{camera}/stop"), &json!({})).await.expect(202);
        site.reaches(camera, "stopped", SOON).await;
    }
    wait_until("an idle queue", Duration::from_secs(90), || {
        site.rows("SELECT state AS line FROM analysis_job").is_empty()
    })
    .await;
    let last = site.client.get("/journal").await.expect(200).json["last_seq"].as_i64().unwrap();
    wait_until("the follower", SOON, || memory.newest() >= last).await;
    follower.abort();
    check_at_rest(&site, &memory.all(), done).await;
    assert!(site.server.terminate(Duration::from_secs(15)).await.unwrap().success());
}

/// What holds while cameras run: what was told is there, and only what began in this life is open.
async fn check_after_start(site: &Site, told: &[Value], started: argus_core::Timestamp) {
    let (created, deleted) = heard(told);
    // Deletions of the last moments may have been stored without having been read.
    let unread = site.journal(told.last().map_or(0, seq_of)).await;
    let deleted: BTreeSet<String> = deleted.union(&heard(&unread).1).cloned().collect();
    let there = events(site).await;
    for id in created.difference(&deleted) {
        assert!(there.contains_key(id), "{id} was announced and is missing");
    }
    for (id, event) in &there {
        let before = time_of(&event["created_at"]) < started;
        assert!(!before || !event["ended_at"].is_null(), "{id} was left open: {event}");
    }
}

async fn check_at_rest(site: &Site, told: &[Value], kills: u64) {
    check_order(told);
    let (created, deleted) = heard(told);
    let there = events(site).await;
    assert!(created.len() as u64 >= kills, "only {} events in {kills} lives", created.len());
    for id in created.difference(&deleted) {
        assert!(there.contains_key(id), "{id} was announced and is missing");
    }
    for id in &deleted {
        assert!(!there.contains_key(id), "{id} was announced as deleted and is there");
    }
    for (id, event) in &there {
        assert!(created.contains(id), "{id} is there and was never announced");
        assert!(!event["ended_at"].is_null(), "{id} is open: {event}");
        let (status, reason) = (event["description_status"].as_str().unwrap(), &event["status_reason"]);
        match status {
            "described" => assert!(reason.is_null(), "{event}"),
            "skipped" | "failed" => assert!(reason.is_string(), "{event}"),
            other => panic!("{id} is {other} with an idle queue: {event}"),
        }
    }
    // The journal still holds every word, in the same order; of deleted events only that they are gone.
    let kept: BTreeMap<i64, Value> = site.journal(0).await.into_iter().map(|m| (seq_of(&m), m)).collect();
    for message in told {
        let about = message["data"]["id"].as_str().unwrap_or_default();
        if !deleted.contains(about) || message["type"] == "event.deleted" {
            assert_eq!(kept.get(&seq_of(message)), Some(message), "a message changed or went");
        }
    }
    // The newest word on each event is what the event is.
    for (id, event) in &there {
        let newest = kept.values().rfind(|m| m["data"]["id"] == json!(id)).unwrap();
        assert_eq!(&newest["data"], event, "the last message tells the present state");
    }

    let named = media_of(site, &there).await;
    // What the last crash left of a deleted event is swept beside the cameras.
    let begun = Instant::now();
    let on_disk = wait_for("the sweep", 2 * SOON, || {
        let on_disk: BTreeSet<_> = files(&site.dir.path().join("events"))
            .into_iter()
            .map(|file| {
                let parts: Vec<_> = file.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
                (parts[parts.len() - 2].clone(), parts[parts.len() - 1].clone())
            })
            .collect();
        let orphans: Vec<_> =
            on_disk.difference(&named).map(|file| (file, deleted.contains(&file.0), there.get(&file.0))).collect();
        assert!(orphans.is_empty() || begun.elapsed() < SOON, "files that no row names: {orphans:?}");
        std::future::ready(orphans.is_empty().then_some(on_disk))
    })
    .await;
    let missing: Vec<_> = named.difference(&on_disk).collect();
    assert!(missing.is_empty(), "rows that name no file: {missing:?}");
    wait_for("an empty tmp", SOON, || std::future::ready(files(&site.dir.path().join("tmp")).is_empty().then_some(())))
        .await;

    site.database_is_sound();
    let counted = site.rows(
        "SELECT CAST(COALESCE(SUM(events), 0) AS TEXT) AS line FROM event_summary WHERE span = 0 AND camera_id = ''",
    );
    assert_eq!(counted, [there.len().to_string()], "the totals kept beside the events");
    assert!(site.rows("SELECT id AS line FROM analysis WHERE status = 'running'").is_empty());
    let overlaps = "SELECT a.camera_id AS line FROM coverage a JOIN coverage b ON a.camera_id = b.camera_id AND a.id < b.id \
                    WHERE a.until_us IS NULL OR a.until_us > b.from_us";
    assert!(site.rows(overlaps).is_empty(), "no moment is accounted for twice");
    assert!(!site.server.log_text().contains("panicked"));
}

/// Gets everything that the events name and returns it by event and file name. Frames are what their hashes say, clips
/// can be played.
async fn media_of(site: &Site, there: &BTreeMap<String, Value>) -> BTreeSet<(String, String)> {
    let root = &site.client.root();
    let each = stream::iter(there).map(|(id, event)| async move {
        let mut named = BTreeSet::new();
        if let Some(url) = event["thumbnail_url"].as_str() {
            root.get(url).await.expect(200);
            named.insert((id.clone(), "thumbnail.jpg".to_owned()));
        }
        for frame in event["frames"].as_array().unwrap() {
            let jpeg = root.get(frame["url"].as_str().unwrap()).await.expect(200);
            assert_eq!(frame["sha256"], sha256(&jpeg.bytes), "{id}");
            named.insert((id.clone(), format!("frame-{:02}.jpg", frame["index"].as_i64().unwrap())));
        }
        if let Some(url) = event["clip_url"].as_str() {
            let clip = root.get(url).await.expect(200);
            let film = ffprobe(&clip.bytes);
            assert!(film.seconds > 0.5 && film.codec == "h264", "{id}: {} s", film.seconds);
            named.insert((id.clone(), "clip.mp4".to_owned()));
        }
        named
    });
    each.buffer_unordered(8).collect::<Vec<_>>().await.into_iter().flatten().collect()
}
