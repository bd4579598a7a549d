//! Cameras whose pictures the test sends, and which remember what they were asked for.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use argus_core::camera::Source;
use argus_core::ports::{
    CameraFeeds, ClipFile, ClipRecorder, FeedError, FeedHandle, FeedItem, FeedPlan, FeedStream, OpenFeed, Probe, Still,
    StillSpec,
};
use argus_core::status::{CameraState, CameraStatus};
use argus_core::{CameraId, Invalid, LumaPlane, Picture, PrivacyMask, Timestamp};
use async_trait::async_trait;
use tokio::sync::mpsc;

/// What was asked for.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) plans: Mutex<Vec<FeedPlan>>,
    /// Moments and specs of every call.
    pub(crate) stills: Mutex<Vec<(Vec<Timestamp>, Vec<StillSpec>)>>,
    /// First moments of clips.
    pub(crate) clips: Mutex<Vec<Timestamp>>,
    senders: Mutex<HashMap<CameraId, mpsc::UnboundedSender<FeedItem>>>,
    /// When the newest picture of each camera came.
    newest: Mutex<HashMap<CameraId, Timestamp>>,
}

impl Log {
    fn send(&self, camera: CameraId, item: FeedItem) {
        self.senders.lock().unwrap()[&camera].send(item).unwrap();
    }

    pub(crate) fn is_open(&self, camera: CameraId) -> bool {
        self.senders.lock().unwrap().contains_key(&camera)
    }

    pub(crate) fn online(&self, camera: CameraId) {
        self.state(camera, CameraStatus::Online);
    }

    /// Once the camera is in this state, it has looked at everything that was sent before.
    pub(crate) fn state(&self, camera: CameraId, status: CameraStatus) {
        self.send(camera, FeedItem::State(CameraState::of(status)));
    }

    /// Pictures number `range` from `start` on, five a second: a wall, on which a box moves from number 40 to 70.
    pub(crate) fn pictures(&self, camera: CameraId, start: Timestamp, range: std::ops::Range<i64>) {
        for n in range {
            let x = (40..70).contains(&n).then(|| usize::try_from((n - 40) * 9).unwrap());
            let picture = picture(start, n, x);
            self.newest.lock().unwrap().insert(camera, picture.taken_at);
            self.send(camera, FeedItem::Picture(picture));
        }
    }
}

fn picture(start: Timestamp, n: i64, x: Option<usize>) -> Picture {
    let (w, h) = (320_usize, 180_usize);
    let mut pixels: Vec<u8> = (0..w * h).map(|i| 90 + u8::try_from((i * 7 + i / w * 13) % 30).unwrap()).collect();
    if let Some(x) = x {
        for row in 80..120 {
            pixels[row * w + x..row * w + (x + 24).min(w)].fill(235);
        }
    }
    Picture {
        taken_at: Timestamp::from_millis(start.as_millis() + n * 200),
        luma: LumaPlane::new(320, 180, pixels).unwrap(),
        full_size: (1920, 1080),
        session: 1,
    }
}

/// Opens feeds of a log.
pub(crate) struct Feeds(pub(crate) Arc<Log>);

struct Stream(mpsc::UnboundedReceiver<FeedItem>);

struct Handle(CameraId, Arc<Log>);

struct Recorder(Timestamp);

#[async_trait]
impl CameraFeeds for Feeds {
    fn check(&self, _source: &Source) -> Result<(), Invalid> {
        Ok(())
    }

    fn open(&self, plan: FeedPlan) -> OpenFeed {
        let (sender, receiver) = mpsc::unbounded_channel();
        let camera = plan.camera_id;
        self.0.plans.lock().unwrap().push(plan);
        self.0.senders.lock().unwrap().insert(camera, sender);
        self.0.newest.lock().unwrap().remove(&camera);
        OpenFeed { stream: Box::new(Stream(receiver)), handle: Arc::new(Handle(camera, Arc::clone(&self.0))) }
    }

    async fn probe(&self, _source: &Source, _privacy: &PrivacyMask) -> Probe {
        unreachable!("no test tries a source")
    }
}

#[async_trait]
impl FeedStream for Stream {
    async fn next(&mut self) -> Option<FeedItem> {
        self.0.recv().await
    }
}

#[async_trait]
impl FeedHandle for Handle {
    fn state(&self) -> CameraState {
        let newest = self.1.newest.lock().unwrap().get(&self.0).copied();
        CameraState { last_frame_at: newest, ..CameraState::of(CameraStatus::Online) }
    }

    async fn stills(&self, wanted: &[Timestamp], specs: &[StillSpec]) -> Result<Vec<Vec<Still>>, FeedError> {
        self.1.stills.lock().unwrap().push((wanted.to_vec(), specs.to_vec()));
        let still = |at: Timestamp, spec: &StillSpec| Still {
            taken_at: at,
            width: spec.max_width.min(1920),
            height: spec.max_width.min(1920) * 9 / 16,
            jpeg: format!("jpeg of {at}, {} wide, quality {}", spec.max_width, spec.quality).into(),
        };
        Ok(wanted.iter().map(|at| specs.iter().map(|spec| still(*at, spec)).collect()).collect())
    }

    async fn snapshot(&self, _max_width: Option<u32>) -> Result<Still, FeedError> {
        Err(FeedError::NoPicture("no test looks".into()))
    }

    async fn start_clip(&self, from: Timestamp) -> Result<Box<dyn ClipRecorder>, FeedError> {
        self.1.clips.lock().unwrap().push(from);
        Ok(Box::new(Recorder(from)))
    }

    fn retune(&self, plan: &FeedPlan) {
        self.1.plans.lock().unwrap().push(plan.clone());
    }

    async fn stop(&self) {
        self.1.senders.lock().unwrap().remove(&self.0);
    }
}

struct Temp(tempfile::NamedTempFile);

impl AsRef<Path> for Temp {
    fn as_ref(&self) -> &Path {
        self.0.path()
    }
}

#[async_trait]
impl ClipRecorder for Recorder {
    async fn finish(self: Box<Self>, until: Timestamp) -> Result<ClipFile, FeedError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"a clip").unwrap();
        Ok(ClipFile { from: self.0, until, bytes: 6, file: Box::new(Temp(file)) })
    }
}
