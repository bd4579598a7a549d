//! The handle on a running console: what tests and people do with it.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::console::Console;
use crate::fault::Fault;
use crate::happening::{self, Happening, Script};
use crate::journal::Request;
use crate::model::{is_true, text};
use crate::options::Options;
use crate::server;
use crate::stream::{Order, Stream};
use crate::tls::{Certificate, Wire};

/// A running console. It ends when this is dropped.
pub struct Sim {
    console: Arc<Console>,
    address: SocketAddr,
    listening: std::sync::Mutex<CancellationToken>,
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.console.stop.cancel();
    }
}

impl Sim {
    /// Starts a console.
    ///
    /// # Errors
    /// When the port is taken or no certificate can be made.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let wanted = SocketAddr::new(options.host, options.port);
        let console = Console::new(options)?;
        let listener = TcpListener::bind(wanted).await.with_context(|| format!("cannot listen on {wanted}"))?;
        let address = listener.local_addr().context("the listener has no address")?;
        let until = console.stop.child_token();
        tokio::spawn(server::listen(Arc::clone(&console), listener, until.clone()));
        Ok(Self { console, address, listening: std::sync::Mutex::new(until) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Such as `https://127.0.0.1:40123`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("https://{}", self.address)
    }

    /// SHA-256 of its certificate, 64 hex digits in lower case.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.console.state().certificate.fingerprint.clone()
    }

    /// Its certificate.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        self.console.state().certificate.pem.clone()
    }

    /// Its certificate with its key, for what else answers in its name, such as an RTSPS server.
    #[must_use]
    pub fn identity_pem(&self) -> String {
        let state = self.console.state();
        format!("{}\n{}", state.certificate.pem, state.certificate.key_pem)
    }

    /// What its clock shows, in milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.console.clock.now_ms()
    }

    // The site.

    /// The site as it is now.
    #[must_use]
    pub fn bootstrap(&self) -> Value {
        self.console.state().model.bootstrap.clone()
    }

    /// A camera as it is now.
    #[must_use]
    pub fn camera(&self, id: &str) -> Option<Value> {
        self.console.state().model.camera(id).cloned()
    }

    /// Ids of the cameras that are connected.
    #[must_use]
    pub fn cameras(&self) -> Vec<String> {
        self.ids(|camera| text(camera, "state") == Some("CONNECTED"))
    }

    /// Ids of the connected cameras that can ring.
    #[must_use]
    pub fn doorbells(&self) -> Vec<String> {
        let rings = |camera: &Value| camera.pointer("/featureFlags/hasChime").is_some_and(|has| has == true);
        self.ids(|camera| text(camera, "state") == Some("CONNECTED") && rings(camera))
    }

    fn ids(&self, is: impl Fn(&Value) -> bool) -> Vec<String> {
        let state = self.console.state();
        let cameras = state.model.list("cameras").iter().filter(|camera| is(camera));
        cameras.filter_map(|camera| text(camera, "id").map(str::to_owned)).collect()
    }

    /// Changes anything and tells it, as the console's own parts do.
    pub fn change(&self, action: &str, model_key: &str, id: &str, data: &Value) {
        self.console.change(action, model_key, id, data);
    }

    /// Changes fields of a camera.
    pub fn camera_update(&self, id: &str, data: &Value) {
        self.change("update", "camera", id, data);
    }

    /// A camera comes or goes: `CONNECTED`, `CONNECTING`, `DISCONNECTED`.
    pub fn camera_state(&self, id: &str, state: &str) {
        self.camera_update(id, &json!({"state": state, "isConnected": state == "CONNECTED"}));
    }

    /// A camera gets another name.
    pub fn rename(&self, id: &str, name: &str) {
        self.camera_update(id, &json!({"name": name}));
    }

    /// A camera is removed; gives what it was.
    pub fn remove(&self, id: &str) -> Option<Value> {
        let camera = self.camera(id)?;
        self.change("remove", "camera", id, &json!({}));
        Some(camera)
    }

    /// A camera is adopted: the record gets a new id, and keeps its MAC. Gives the id.
    pub fn adopt(&self, camera: &Value) -> String {
        let id = self.console.state().chance.hex_id();
        let mut camera = camera.clone();
        crate::model::merge(&mut camera, &json!({"id": id, "isAdopted": true, "isAdoptedByOther": false}));
        self.change("add", "camera", &id, &camera);
        id
    }

    /// A camera is removed and another of the same name and kind is adopted in its place. Gives its id.
    pub fn replace(&self, id: &str) -> Option<String> {
        let mut camera = self.remove(id)?;
        let mac = format!("{:012X}", self.console.state().chance.next() >> 16);
        crate::model::merge(&mut camera, &json!({"mac": mac}));
        Some(self.adopt(&camera))
    }

    /// Every RTSP alias of a camera is made anew.
    pub fn rotate_alias(&self, id: &str) {
        let Some(mut channels) = self.camera(id).and_then(|camera| camera.get("channels").cloned()) else { return };
        for channel in channels.as_array_mut().into_iter().flatten() {
            if is_true(channel, "isRtspEnabled") {
                let alias = self.console.state().chance.alias();
                crate::model::merge(channel, &json!({"rtspAlias": alias}));
            }
        }
        self.camera_update(id, &json!({"channels": channels}));
    }

    /// The best stream of a camera gets that alias, and the others none: where it is served is said by
    /// [`Sim::set_rtsp_ports`].
    pub fn set_alias(&self, id: &str, alias: &str) {
        let Some(mut channels) = self.camera(id).and_then(|camera| camera.get("channels").cloned()) else { return };
        for channel in channels.as_array_mut().into_iter().flatten() {
            let is_best = channel.get("id") == Some(&json!(0));
            let alias = is_best.then_some(alias);
            crate::model::merge(channel, &json!({"isRtspEnabled": is_best, "rtspAlias": alias}));
        }
        self.camera_update(id, &json!({"channels": channels}));
    }

    /// Where RTSP is served, as the bootstrap tells it.
    pub fn set_rtsp_ports(&self, rtsp: u16, rtsps: u16) {
        let id = text(self.console.state().model.nvr(), "id").unwrap_or_default().to_owned();
        self.change("update", "nvr", &id, &json!({"ports": {"rtsp": rtsp, "rtsps": rtsps}}));
    }

    // What happens.

    /// Somebody rings.
    pub fn ring(&self, camera: &str) -> String {
        let lasts = self.console.options.lags.ring_lasts;
        self.happen(camera, Script::new("ring", lasts))
    }

    /// Something moves.
    pub fn motion(&self, camera: &str, lasts: Duration) -> String {
        self.happen(camera, Script::motion(lasts))
    }

    /// Something is recognised, such as `person`.
    pub fn detect(&self, camera: &str, types: &[&str], score: u8, lasts: Duration) -> String {
        self.happen(camera, Script::smart(types, score, lasts))
    }

    /// Anything else. Gives the id of its event; returns at once.
    pub fn happen(&self, camera: &str, script: Script) -> String {
        happening::begin(&self.console, camera, script)
    }

    /// What happened so far, in order; at most 100,000.
    #[must_use]
    pub fn happenings(&self) -> Vec<Happening> {
        self.console.state().happenings.clone()
    }

    /// Puts events of the past into the list of events; no stream tells them.
    pub fn past(&self, events: &[Value]) {
        let mut state = self.console.state();
        for event in events {
            if let Some(id) = text(event, "id") {
                state.model.record(id, event);
            }
        }
    }

    /// Plays recorded messages (`raw_b64`, `action`, `data`, `t`), `speed` times as fast as they came. Byte for byte.
    pub async fn play(&self, frames: &[Value], speed: f64) {
        let begun = Instant::now();
        let mut first = None;
        for frame in frames {
            let t = frame.get("t").and_then(Value::as_f64).unwrap_or(0.0);
            let first = *first.get_or_insert(t);
            let at = Duration::try_from_secs_f64((t - first) / speed).unwrap_or_default();
            tokio::time::sleep_until(begun + at).await;
            let (action, data) = (&frame["action"], &frame["data"]);
            let raw = text(frame, "raw_b64").unwrap_or_default();
            let Ok(raw) = base64::engine::general_purpose::STANDARD.decode(raw) else { continue };
            let word = |key: &str| text(action, key).unwrap_or_default();
            {
                let mut state = self.console.state();
                state.model.apply(word("action"), word("modelKey"), word("id"), data);
                state.push_update(text(action, "newUpdateId").map(str::to_owned), raw.into());
            }
            self.console.wake();
        }
    }

    /// Puts a message on the private stream as it is, for those who are connected and those who come back.
    pub fn push_raw(&self, update_id: Option<&str>, message: Vec<u8>) {
        self.console.state().push_update(update_id.map(str::to_owned), message.into());
        self.console.wake();
    }

    /// Puts a text message on an integration stream as it is.
    pub fn push_text(&self, stream: Stream, message: &str) {
        {
            let mut state = self.console.state();
            let log = if stream == Stream::Devices { &mut state.devices } else { &mut state.events };
            log.push(message.to_owned());
        }
        self.console.wake();
    }

    // Faults.

    /// Adds a rule.
    pub fn fault(&self, fault: Fault) {
        self.console.state().faults.add(fault);
    }

    /// Forgets all rules.
    pub fn clear_faults(&self) {
        self.console.state().faults.clear();
    }

    /// Gives an order to the open streams of a kind; gives how many there were.
    pub fn order(&self, stream: Stream, order: &Order) -> usize {
        self.console.order(stream, order)
    }

    /// From now on, streams of a kind that are opened say nothing.
    pub fn mute(&self, stream: Stream, is_mute: bool) {
        let mut state = self.console.state();
        if is_mute {
            state.mute.insert(stream);
        } else {
            state.mute.remove(&stream);
        }
    }

    /// The application goes away for a time while the proxy stays: streams end (1001), sessions and update ids are gone,
    /// cameras come back one after the other. Returns at once.
    pub fn reboot(&self, lasts: Duration) {
        self.console.go_down(lasts);
        let console = Arc::clone(&self.console);
        tokio::spawn(async move {
            tokio::select! {
                () = console.stop.cancelled() => {}
                () = tokio::time::sleep(lasts) => back(&console),
            }
        });
    }

    /// The whole machine goes away for a time: nothing listens. It comes back on the same port.
    ///
    /// # Errors
    /// When the port was taken meanwhile.
    pub async fn restart(&self, lasts: Duration) -> anyhow::Result<()> {
        self.console.go_down(lasts);
        self.listening.lock().unwrap_or_else(PoisonError::into_inner).cancel();
        self.console.cut_connections();
        tokio::time::sleep(lasts).await;
        let listener = TcpListener::bind(self.address)
            .await
            .with_context(|| format!("cannot listen again on {}", self.address))?;
        let until = self.console.stop.child_token();
        *self.listening.lock().unwrap_or_else(PoisonError::into_inner) = until.clone();
        back(&self.console);
        tokio::spawn(server::listen(Arc::clone(&self.console), listener, until));
        Ok(())
    }

    /// Ends every connection without a word, and takes new ones.
    pub fn cut_connections(&self) {
        self.console.cut_connections();
    }

    /// All sessions are forgotten; open streams stay.
    pub fn expire_sessions(&self) {
        self.console.state().access.expire_sessions();
    }

    /// Sessions made from now on last that long; `None`: as at the start.
    pub fn session_life(&self, life: Option<Duration>) {
        self.console.state().access.life = life;
    }

    /// Number of sessions that are held.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.console.state().access.sessions()
    }

    /// Ends a lockout.
    pub fn unlock(&self) {
        self.console.state().access.unlock();
    }

    /// A key is not good any more; streams opened with it close.
    pub fn revoke_key(&self, key: &str) {
        let mut state = self.console.state();
        state.access.revoke_key(key);
        state.order(&Order::Close(1008, "key revoked".into()), |open| open.key.as_deref() == Some(key));
    }

    /// A key is good from now on.
    pub fn add_key(&self, key: &str) {
        self.console.state().access.add_key(key);
    }

    /// The clock is wrong by that much from now on.
    pub fn set_skew(&self, skew_ms: i64) {
        self.console.clock.set_skew(skew_ms);
    }

    /// Another certificate for new connections; gives its fingerprint.
    ///
    /// # Errors
    /// When none can be made.
    pub fn new_certificate(&self, is_expired: bool) -> anyhow::Result<String> {
        let certificate = Certificate::new(&self.console.options.certificate_names, is_expired)?;
        let fingerprint = certificate.fingerprint.clone();
        self.console.state().certificate = certificate;
        Ok(fingerprint)
    }

    /// What answers on the port, for new connections.
    pub fn set_wire(&self, wire: Wire) {
        self.console.state().wire = wire;
    }

    /// The film that clips are made of, an MP4.
    pub fn set_clip(&self, film: Vec<u8>) {
        self.console.state().clip = Bytes::from(film);
    }

    // What came in.

    /// The requests so far, in order; at most the last 50,000.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.console.state().journal.all()
    }

    /// How many requests fit.
    pub fn count(&self, is: impl Fn(&Request) -> bool) -> usize {
        self.console.state().journal.count(is)
    }

    /// How many requests had that method and path.
    #[must_use]
    pub fn count_of(&self, method: &str, path: &str) -> usize {
        self.count(|request| request.method == method && request.path == path)
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.console.state().journal.clear();
    }

    /// How many streams of a kind are open.
    #[must_use]
    pub fn open_streams(&self, stream: Stream) -> usize {
        self.console.state().open.values().filter(|open| open.stream == stream).count()
    }

    /// Waits until something holds; false when it did not within `limit`.
    pub async fn until(&self, limit: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        while !holds(self) {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }
}

/// The console comes back, and its cameras with it.
fn back(console: &Arc<Console>) {
    let cameras = console.come_back();
    console.wake();
    for camera in cameras {
        console.change("update", "camera", &camera, &json!({"state": "CONNECTED", "isConnected": true}));
    }
}
