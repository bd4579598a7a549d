//! The state of a simulated console, and how it changes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, user_id};
use crate::chance::Chance;
use crate::clock::Clock;
use crate::fault::Faults;
use crate::frame;
use crate::happening::Happening;
use crate::journal::Journal;
use crate::log::Log;
use crate::model::{Model, text};
use crate::options::Options;
use crate::public;
use crate::stream::{Due, Order, Stream};
use crate::tls::{Certificate, Wire};

/// So many messages of the integration streams are held for slow readers.
const PUBLIC_KEPT: usize = 10_000;
/// So many happenings are remembered.
const HAPPENINGS_KEPT: usize = 100_000;

/// A message of the private stream.
#[derive(Clone)]
pub(crate) struct Update {
    pub(crate) id: Option<String>,
    pub(crate) message: Bytes,
}

/// A stream that is open.
pub(crate) struct Open {
    pub(crate) stream: Stream,
    /// The key that it was opened with.
    pub(crate) key: Option<String>,
    pub(crate) orders: mpsc::Sender<Due>,
}

/// Everything that changes.
pub(crate) struct State {
    pub(crate) model: Model,
    pub(crate) access: Access,
    pub(crate) updates: Log<Update>,
    /// The id that comes before the first of `updates`.
    pub(crate) base: String,
    pub(crate) devices: Log<String>,
    pub(crate) events: Log<String>,
    pub(crate) faults: Faults,
    pub(crate) happenings: Vec<Happening>,
    pub(crate) journal: Journal,
    pub(crate) chance: Chance,
    pub(crate) open: HashMap<u64, Open>,
    pub(crate) mute: HashSet<Stream>,
    pub(crate) down_until: Option<Instant>,
    pub(crate) down_answers: u32,
    pub(crate) certificate: Certificate,
    pub(crate) wire: Wire,
    pub(crate) prepared: HashMap<String, Value>,
    pub(crate) clip: Bytes,
    pub(crate) next_stream: u64,
    pub(crate) next_connection: u64,
}

/// A simulated console.
pub(crate) struct Console {
    pub(crate) options: Options,
    pub(crate) clock: Clock,
    pub(crate) started: Instant,
    state: Mutex<State>,
    /// Moves whenever there is something for streams.
    pub(crate) changed: watch::Sender<u64>,
    /// Ends everything.
    pub(crate) stop: CancellationToken,
    /// Ends the connections of now.
    pub(crate) connections: Mutex<CancellationToken>,
}

impl Console {
    pub(crate) fn new(options: Options) -> anyhow::Result<Arc<Self>> {
        let clock = Clock::new(options.skew_ms);
        let certificate = Certificate::new(&options.certificate_names, false)?;
        let mut model = Model::new(options.bootstrap.clone());
        if let Some(version) = &options.version {
            model.apply("update", "nvr", "", &json!({"version": version}));
        }
        add_users(&mut model, &options);
        let state = State {
            base: model.last_update_id().to_owned(),
            model,
            access: Access::new(&options),
            updates: Log::new(options.update_log),
            devices: Log::new(PUBLIC_KEPT),
            events: Log::new(PUBLIC_KEPT),
            faults: Faults::default(),
            happenings: Vec::new(),
            journal: Journal::default(),
            chance: Chance::new(options.seed),
            open: HashMap::new(),
            mute: HashSet::new(),
            down_until: None,
            down_answers: 0,
            certificate,
            wire: Wire::Tls,
            prepared: HashMap::new(),
            clip: Bytes::from_static(crate::fixtures::CLIP),
            next_stream: 1,
            next_connection: 1,
        };
        let stop = CancellationToken::new();
        Ok(Arc::new(Self {
            options,
            clock,
            started: Instant::now(),
            state: Mutex::new(state),
            changed: watch::Sender::new(0),
            connections: Mutex::new(stop.child_token()),
            stop,
        }))
    }

    /// The state, for as long as no `await` is in between.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the streams.
    pub(crate) fn wake(&self) {
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Changes the site and tells it over every stream.
    pub(crate) fn change(&self, action: &str, model_key: &str, id: &str, data: &Value) {
        self.state().change(&self.options, action, model_key, id, data);
        self.wake();
    }

    /// Tells an event on the integration stream, as a whole.
    pub(crate) fn tell_public(&self, kind: &str, item: &Value) {
        let mut state = self.state();
        if !state.is_down() {
            state.events.push(json!({"type": kind, "item": item}).to_string());
        }
        drop(state);
        self.wake();
    }

    /// Gives an order to every open stream of a kind, and tells how many that were.
    pub(crate) fn order(&self, stream: Stream, order: &Order) -> usize {
        let state = self.state();
        state.order(order, |open| open.stream == stream)
    }

    /// Ends every connection of now; later ones are taken.
    pub(crate) fn cut_connections(&self) {
        let mut token = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let former = std::mem::replace(&mut *token, self.stop.child_token());
        former.cancel();
    }

    pub(crate) fn connection_token(&self) -> CancellationToken {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).child_token()
    }

    /// What a restart of the application does to the state: sessions, resume ids and open streams are gone.
    pub(crate) fn go_down(&self, lasts: Duration) {
        {
            let mut state = self.state();
            state.down_until = Some(Instant::now() + lasts);
            state.access.expire_sessions();
        }
        for stream in Stream::ALL {
            self.order(stream, &Order::Close(1001, String::new()));
        }
    }

    /// Comes back: a new line of update ids, and cameras that are not there yet.
    pub(crate) fn come_back(&self) -> Vec<String> {
        let mut state = self.state();
        state.down_until = None;
        state.updates.clear();
        let base = state.chance.uuid();
        state.model.set_last_update_id(&base);
        state.base = base;
        let now = self.clock.now_ms();
        state.model.apply("update", "nvr", "", &json!({"upSince": now, "uptime": 0}));
        let connected: Vec<String> = state
            .model
            .list("cameras")
            .iter()
            .filter(|camera| text(camera, "state") == Some("CONNECTED"))
            .filter_map(|camera| text(camera, "id").map(str::to_owned))
            .collect();
        for id in &connected {
            state.model.apply("update", "camera", id, &json!({"state": "CONNECTING", "isConnected": false}));
        }
        connected
    }
}

impl State {
    /// Whether the application behind the proxy is away.
    pub(crate) fn is_down(&self) -> bool {
        self.down_until.is_some_and(|until| Instant::now() < until)
    }

    /// Changes the site and puts it into the logs of the streams.
    pub(crate) fn change(&mut self, options: &Options, action: &str, model_key: &str, id: &str, data: &Value) {
        let update_id = self.chance.uuid();
        self.model.apply(action, model_key, id, data);
        if self.is_down() {
            return;
        }
        let head = json!({"action": action, "newUpdateId": update_id, "modelKey": model_key, "id": id});
        let mut data = data.clone();
        if options.bare_payloads
            && action == "add"
            && let Some(fields) = data.as_object_mut()
        {
            fields.remove("id");
            fields.remove("modelKey");
        }
        self.push_update(Some(update_id), frame::encode(&head, &data).into());
        if let Some(message) = public::device_message(self.model.nvr(), action, model_key, id, &data) {
            self.devices.push(message);
        }
    }

    /// Puts a message on the private stream as it is.
    pub(crate) fn push_update(&mut self, id: Option<String>, message: Bytes) {
        if let Some(id) = &id {
            self.model.set_last_update_id(id);
        }
        if let Some(Update { id: Some(id), .. }) = self.updates.push(Update { id, message }) {
            self.base = id;
        }
    }

    /// Gives an order to the open streams that are meant, and tells how many took it. One that has too many orders waiting
    /// does not.
    pub(crate) fn order(&self, order: &Order, is_meant: impl Fn(&Open) -> bool) -> usize {
        let meant = self.open.values().filter(|open| is_meant(open));
        meant
            .filter(|open| {
                let place = match open.stream {
                    Stream::Updates => self.updates.end(),
                    Stream::Devices => self.devices.end(),
                    Stream::Events => self.events.end(),
                };
                open.orders.try_send(Due { place, order: order.clone() }).is_ok()
            })
            .count()
    }

    /// The place after an update id; `None` when it is not known any more.
    pub(crate) fn place_after(&self, id: &str) -> Option<u64> {
        if id == self.base {
            return Some(self.updates.first());
        }
        self.updates.after(|update| update.id.as_deref() == Some(id))
    }

    /// A new event id.
    pub(crate) fn event_id(&mut self, options: &Options) -> String {
        if options.uuid_events { self.chance.uuid() } else { self.chance.hex_id() }
    }

    pub(crate) fn keep_happening(&mut self, happening: Happening) {
        if self.happenings.len() < HAPPENINGS_KEPT {
            self.happenings.push(happening);
        }
    }

    pub(crate) fn happening(&mut self, id: &str) -> Option<&mut Happening> {
        // The newest are asked for most.
        self.happenings.iter_mut().rev().find(|happening| happening.id == id)
    }
}

/// Gives each user a record in the bootstrap, as the console's own users have one.
fn add_users(model: &mut Model, options: &Options) {
    let like = model.list("users").first().cloned().unwrap_or_else(|| Value::Object(Map::new()));
    for user in &options.users {
        let mut record = like.clone();
        let id = user_id(&user.name);
        let rights: &[&str] = match (user.is_admin, user.read_media) {
            (true, _) => &["nvr:write,read,upgrade:*", "camera:create,read,write,delete,readmedia,readlive:*"],
            (false, true) => &["camera:read,readmedia,readlive:*", "nvr:read:*"],
            (false, false) => &["camera:read:*", "nvr:read:*"],
        };
        let change = json!({"id": id, "modelKey": "user", "localUsername": user.name, "name": user.name, "firstName": user.name,
            "lastName": "", "email": "", "isOwner": false, "allPermissions": rights, "permissions": [], "cloudAccount": null});
        crate::model::merge(&mut record, &change);
        model.apply("add", "user", &id, &record);
    }
}
