//! Events that wait for their description, and those that come while the server works.

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use argus_core::camera::SourceType;
use argus_core::describe::{first_sentence, priority};
use argus_core::event::{DetectionType, NewEvent};
use argus_core::media::{event_prefix, frame_key};
use argus_core::{CameraId, EventId, Timestamp};
use argus_db::{Database, DescriptionPlan, EventChange, NewFrame};
use argus_tests::server::ServerProcess;
use argus_tests::wait::wait_for;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::Options;
use crate::vendors::Vendors;

/// In which the backlog came.
const SPAN: Duration = Duration::from_secs(2 * 3600);
/// What sets the events off, in turn: as a house with a street before it sees them.
const KINDS: [DetectionType; 10] = [
    DetectionType::Motion,
    DetectionType::Person,
    DetectionType::Motion,
    DetectionType::Vehicle,
    DetectionType::Motion,
    DetectionType::Motion,
    DetectionType::Person,
    DetectionType::Motion,
    DetectionType::Animal,
    DetectionType::Ring,
];
/// What sets off those that come later, in turn.
const FRESH: [DetectionType; 3] = [DetectionType::Motion, DetectionType::Person, DetectionType::Ring];

/// A job of the backlog.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queued {
    pub(crate) id: EventId,
    pub(crate) priority: i32,
    pub(crate) at: Timestamp,
}

/// All that waits.
pub(crate) struct Backlog {
    pub(crate) db: Database,
    pub(crate) path: PathBuf,
    pub(crate) queued: Vec<Queued>,
    data: PathBuf,
    camera: CameraId,
    picture: Vec<u8>,
}

pub(crate) fn now() -> Timestamp {
    let now = UNIX_EPOCH.elapsed().expect("a time after 1970");
    Timestamp::from_micros(i64::try_from(now.as_micros()).expect("microseconds"))
}

/// Fills a data folder with events whose jobs are still waiting.
pub(crate) async fn make(data: &Path, options: &Options, vendors: &Vendors) -> Backlog {
    let events = options.events;
    let mut server = ServerProcess::start(data).await;
    let client = server.client().await;
    let camera = json!({"name": "Street", "type": "test", "motion_enabled": false,
        "test_pattern": {"width": 320, "height": 180, "period_s": 600, "active_s": 1}});
    let camera = client.post("/cameras", &camera).await.expect(201).json["id"].as_str().expect("an id").to_owned();
    let snapshot = format!("/cameras/{camera}/snapshot");
    let picture = wait_for("a picture", Duration::from_secs(30), || async {
        let answer = client.get(&snapshot).await;
        (answer.status == 200).then_some(answer.bytes)
    })
    .await;
    client.put(&format!("/cameras/{camera}"), &json!({"is_enabled": false})).await.expect(200);
    vendors.configure(&client).await;
    client.put("/system/settings", &json!({"ai": {"concurrency": options.concurrency}})).await.expect(200);
    server.kill().await;
    drop(server);
    let mut backlog = Backlog {
        db: crate::open(data).await,
        path: crate::file(data),
        queued: Vec::new(),
        data: data.to_owned(),
        camera: camera.parse().expect("a camera's id"),
        picture: picture.to_vec(),
    };
    let (begun, end) = (std::time::Instant::now(), now().minus(Duration::from_secs(600)));
    for n in 0..events {
        let kind = KINDS.get(usize::try_from(n).unwrap_or(0) % KINDS.len()).copied().unwrap_or(DetectionType::Motion);
        let at = end.minus(SPAN * (events - n) / events.max(1));
        let id = backlog.event(kind, at).await;
        backlog.queued.push(Queued { id, priority: priority(kind), at });
    }
    println!("\n{events} events written in {:.0} s", begun.elapsed().as_secs_f64());
    backlog
}

impl Backlog {
    /// An event that is over, with its picture; its job waits.
    async fn event(&self, kind: DetectionType, at: Timestamp) -> EventId {
        let id = EventId::new(at);
        let new = NewEvent {
            id,
            camera_id: self.camera,
            source_type: SourceType::Test,
            detection_type: kind,
            timestamp: at,
            detected_at: at,
            description: first_sentence(kind, "Street"),
            confidence: 60,
            zones: Vec::new(),
            motion: None,
            protect: None,
        };
        let plan = DescriptionPlan::Job { priority: priority(kind) };
        self.db.event_open(new, at, plan).await.expect("the event is stored");
        let file = self.data.join("events").join(frame_key(&event_prefix(self.camera, id, at), 0));
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("the event's folder");
        std::fs::write(&file, &self.picture).expect("the picture is written");
        let sha256 = Sha256::digest(&self.picture).iter().map(|byte| format!("{byte:02x}")).collect();
        let frame = NewFrame {
            index: 0,
            offset_ms: 0,
            sha256,
            width: 320,
            height: 180,
            bytes: u64::try_from(self.picture.len()).expect("a size"),
            stored: true,
        };
        let closed = EventChange::Closed {
            ended_at: at.plus(Duration::from_secs(3)),
            motion: None,
            zones: Vec::new(),
            confidence: 60,
            clip_expected: false,
        };
        let changes = vec![EventChange::Frames(vec![frame]), closed];
        self.db.event_change(id, changes, at).await.expect("the event ends");
        id
    }

    /// An event of this moment.
    pub(crate) async fn add_fresh(&self, n: usize) -> EventId {
        let kind = FRESH.get(n % FRESH.len()).copied().unwrap_or(DetectionType::Motion);
        let id = self.event(kind, now()).await;
        self.db.job_ready(id, None, now()).await.expect("the job is let go");
        id
    }
}
