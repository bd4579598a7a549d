//! Controllers that tell what the test says, and remember what they were asked for.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use argus_core::controller::{
    ControllerConfig, ControllerDevice, ControllerError, ControllerFeatures, ControllerHandle, ControllerItem,
    ControllerPlan, ControllerProbe, ControllerState, ControllerStatus, ControllerStream, Controllers, Happening,
    HappeningPhase, OpenController, StreamQuality,
};
use argus_core::event::DetectionType;
use argus_core::ports::{ClipFile, Still};
use argus_core::{ControllerId, Secret, Timestamp};
use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc};

/// The state of a controller that is connected and can do everything.
pub(crate) fn connected() -> ControllerState {
    ControllerState {
        status: ControllerStatus::Connected,
        last_connected_at: Some(Timestamp::from_millis(1_766_485_000_000)),
        last_message_at: None,
        last_error: None,
        last_error_kind: None,
        locked_until: None,
        firmware_version: Some("7.1.87".into()),
        features: ControllerFeatures { events: true, snapshots: true, clips: true },
        interfaces: Some("local"),
        malformed: 0,
    }
}

/// A doorbell.
pub(crate) fn device(id: &str, mac: &str, name: &str) -> ControllerDevice {
    ControllerDevice {
        id: id.into(),
        mac: Some(mac.into()),
        name: name.into(),
        model: "G4 Doorbell Pro".into(),
        is_doorbell: true,
        is_online: true,
        capabilities: vec!["person".into(), "motion".into(), "ring".into()],
        switched_on: vec!["person".into()],
        resolution: Some("1920x1080".into()),
    }
}

/// A detection that has just begun.
pub(crate) fn happening(id: &str, device: &str, kind: DetectionType, at: Timestamp) -> Happening {
    Happening {
        id: id.into(),
        device: device.into(),
        phase: HappeningPhase::Began,
        kinds: vec![kind],
        types: vec![kind.to_string()],
        started_at: at,
        ended_at: None,
        end_unknown: false,
        score: Some(87),
        heard_at: at,
        from_history: false,
    }
}

/// The same after so many seconds, over.
pub(crate) fn ended(told: &Happening, seconds: u64) -> Happening {
    let ended_at = Some(told.started_at.plus(Duration::from_secs(seconds)));
    Happening { phase: HappeningPhase::Ended, ended_at, ..told.clone() }
}

/// Every controller of a test, by the port that its configuration names.
pub(crate) struct Consoles {
    plans: Mutex<Vec<ControllerPlan>>,
    open: Mutex<HashMap<ControllerId, mpsc::UnboundedSender<ControllerItem>>>,
    asked: Mutex<Vec<String>>,
    devices: Mutex<Vec<ControllerDevice>>,
    features: Mutex<ControllerFeatures>,
    /// Whether live streams are switched on.
    pub(crate) streams: Mutex<bool>,
    /// Until when everything was told.
    pub(crate) known_until: Mutex<Option<Timestamp>>,
    /// Permits to give a picture; plenty unless a test takes them away.
    pub(crate) gate: Semaphore,
}

impl Default for Consoles {
    fn default() -> Self {
        Self {
            plans: Mutex::default(),
            open: Mutex::default(),
            asked: Mutex::default(),
            devices: Mutex::new(vec![device("door", "AA0000000001", "Front door")]),
            features: Mutex::new(ControllerFeatures { events: true, snapshots: true, clips: true }),
            streams: Mutex::new(false),
            known_until: Mutex::default(),
            gate: Semaphore::new(1_000_000),
        }
    }
}

impl Consoles {
    /// The plans of every connection that was opened.
    pub(crate) fn plans(&self) -> Vec<ControllerPlan> {
        self.plans.lock().unwrap().clone()
    }

    /// Whether a controller is connected, or being connected.
    pub(crate) fn is_open(&self, id: ControllerId) -> bool {
        self.open.lock().unwrap().contains_key(&id)
    }

    /// Lets a controller tell something.
    pub(crate) fn tell(&self, id: ControllerId, item: ControllerItem) {
        self.open.lock().unwrap()[&id].send(item).unwrap();
    }

    /// Tells a state with what the credentials allow.
    pub(crate) fn connected(&self, id: ControllerId) {
        let features = *self.features.lock().unwrap();
        self.tell(id, ControllerItem::State(ControllerState { features, ..connected() }));
    }

    /// From now on it has these cameras, and says so.
    pub(crate) fn devices(&self, id: ControllerId, devices: Vec<ControllerDevice>) {
        self.devices.lock().unwrap().clone_from(&devices);
        self.tell(id, ControllerItem::Devices(devices));
    }

    /// From now on the credentials allow so much.
    pub(crate) fn allow(&self, features: ControllerFeatures) {
        *self.features.lock().unwrap() = features;
    }

    /// What pictures and clips were asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }
}

struct Stream(mpsc::UnboundedReceiver<ControllerItem>);

#[async_trait]
impl ControllerStream for Stream {
    async fn next(&mut self) -> Option<ControllerItem> {
        self.0.recv().await
    }
}

/// What [`Consoles`] opened.
struct Handle(ControllerId, Arc<Consoles>);

/// Consoles that their handles can hold.
pub(crate) struct Shared(pub(crate) Arc<Consoles>);

#[async_trait]
impl Controllers for Shared {
    fn open(&self, plan: ControllerPlan) -> OpenController {
        let (sender, receiver) = mpsc::unbounded_channel();
        let id = plan.id;
        self.0.plans.lock().unwrap().push(plan);
        self.0.open.lock().unwrap().insert(id, sender);
        OpenController { stream: Box::new(Stream(receiver)), handle: Arc::new(Handle(id, Arc::clone(&self.0))) }
    }

    async fn probe(&self, _config: &ControllerConfig) -> ControllerProbe {
        unreachable!("no test of the engine tries a controller")
    }
}

struct Temp(tempfile::NamedTempFile);

impl AsRef<Path> for Temp {
    fn as_ref(&self) -> &Path {
        self.0.path()
    }
}

impl Handle {
    async fn still(&self, what: String, at: Timestamp) -> Still {
        self.1.note(what.clone());
        self.1.gate.acquire().await.unwrap().forget();
        Still { taken_at: at, width: 640, height: 360, jpeg: format!("jpeg of {what}").into() }
    }

    fn needs_clips(&self) -> Result<(), ControllerError> {
        let clips = self.1.features.lock().unwrap().clips;
        clips.then_some(()).ok_or_else(|| ControllerError::Unsupported("the key does not allow it".into()))
    }
}

#[async_trait]
impl ControllerHandle for Handle {
    fn state(&self) -> ControllerState {
        connected()
    }

    fn known_until(&self) -> Option<Timestamp> {
        *self.1.known_until.lock().unwrap()
    }

    async fn devices(&self) -> Result<Vec<ControllerDevice>, ControllerError> {
        self.1.note("devices".into());
        Ok(self.1.devices.lock().unwrap().clone())
    }

    async fn snapshot(&self, device: &str, _max_width: Option<u32>) -> Result<Still, ControllerError> {
        Ok(self.still(format!("snapshot {device}"), Timestamp::from_millis(1_766_485_801_000)).await)
    }

    async fn recorded(&self, device: &str, at: Timestamp) -> Result<Still, ControllerError> {
        self.needs_clips()?;
        Ok(self.still(format!("recorded {device} {at}"), at).await)
    }

    async fn thumbnail(&self, happening: &str) -> Result<Still, ControllerError> {
        self.needs_clips()?;
        Ok(self.still(format!("thumbnail {happening}"), Timestamp::from_millis(1_766_485_801_500)).await)
    }

    async fn clip(&self, device: &str, from: Timestamp, until: Timestamp) -> Result<ClipFile, ControllerError> {
        self.needs_clips()?;
        self.1.note(format!("clip {device} {from} {until}"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"a clip").unwrap();
        Ok(ClipFile { from, until, bytes: 6, file: Box::new(Temp(file)) })
    }

    async fn stream_url(&self, device: &str, _quality: StreamQuality) -> Result<Secret, ControllerError> {
        match *self.1.streams.lock().unwrap() {
            true => Ok(Secret::new(format!("rtsps://10.0.0.1:7441/alias-of-{device}"))),
            false => Err(ControllerError::NotFound("RTSPS is switched off".into())),
        }
    }

    async fn stop(&self) {
        self.1.open.lock().unwrap().remove(&self.0);
    }
}
