//! What happens in front of a camera, and how the console tells it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::clock::millis;
use crate::console::Console;
use crate::options::Lags;

/// What really happened: what every client should know in the end.
#[derive(Clone, Debug)]
pub struct Happening {
    /// Id of the event.
    pub id: String,
    /// Id of the camera.
    pub camera: String,
    /// Type of the event, such as `ring`, `motion`, `smartDetectZone`.
    pub kind: String,
    /// Smart types, such as `person`.
    pub types: Vec<String>,
    /// Milliseconds since 1970, by the console's clock.
    pub start_ms: i64,
    /// The same, of its end.
    pub end_ms: i64,
    /// When the private stream told it first; `None` when it never did.
    pub private_at: Option<std::time::Instant>,
    /// When the integration stream told it first.
    pub public_at: Option<std::time::Instant>,
}

/// How an event is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// An add, updates, and an end.
    #[default]
    Ordinary,
    /// A single add that has its end already.
    BornClosed,
    /// As packages are on Protect 7: a `smartDetectObject` on the private stream, and a single update that has its end on
    /// the integration stream.
    PackageObject,
}

/// Something to happen.
#[derive(Clone, Debug)]
pub struct Script {
    /// Type of the event.
    pub kind: String,
    /// Smart types.
    pub types: Vec<String>,
    /// Percent; 0 in the add, that from the end on.
    pub score: u8,
    /// From its start to its end.
    pub lasts: Duration,
    /// How it is told.
    pub shape: Shape,
    /// The add has no types; they follow so much later, as in Protect 4.1 to 5.0.
    pub late_types: Option<Duration>,
    /// So long after the add there are these types.
    pub grows: Vec<(Duration, Vec<String>)>,
    /// How often the end is told; 0: never.
    pub ends: u32,
    /// How often the add is told; 0: never.
    pub adds: u32,
    /// Updates have all of the event, not only what changed.
    pub whole_updates: bool,
    /// An update without an end comes 6 ms before the end.
    pub stray_update: bool,
    /// The end is told before the add.
    pub is_reordered: bool,
    /// Whether the private stream tells it.
    pub on_private: bool,
    /// Whether the integration stream tells it.
    pub on_public: bool,
    /// The event's `metadata`.
    pub metadata: Value,
}

impl Script {
    /// An event of a type, told as consoles do.
    #[must_use]
    pub fn new(kind: &str, lasts: Duration) -> Self {
        Self {
            kind: kind.into(),
            types: Vec::new(),
            score: 0,
            lasts,
            shape: Shape::Ordinary,
            late_types: None,
            grows: Vec::new(),
            ends: 2,
            adds: 1,
            whole_updates: false,
            stray_update: false,
            is_reordered: false,
            on_private: true,
            on_public: true,
            metadata: json!({}),
        }
    }

    /// Motion.
    #[must_use]
    pub fn motion(lasts: Duration) -> Self {
        Self { score: 100, ..Self::new("motion", lasts) }
    }

    /// A smart detection in a zone.
    #[must_use]
    pub fn smart(types: &[&str], score: u8, lasts: Duration) -> Self {
        let types = types.iter().map(|one| (*one).to_owned()).collect();
        Self { types, score, ..Self::new("smartDetectZone", lasts) }
    }

    /// A line that was crossed.
    #[must_use]
    pub fn line(types: &[&str], score: u8, lasts: Duration) -> Self {
        Self { kind: "smartDetectLine".into(), ..Self::smart(types, score, lasts) }
    }

    /// Something heard, such as `alrmSmoke`.
    #[must_use]
    pub fn audio(types: &[&str], score: u8, lasts: Duration) -> Self {
        Self { kind: "smartAudioDetect".into(), ..Self::smart(types, score, lasts) }
    }

    /// A package as Protect 7 tells it.
    #[must_use]
    pub fn package(score: u8) -> Self {
        Self { shape: Shape::PackageObject, ..Self::smart(&["package"], score, Duration::ZERO) }
    }

    fn is_smart(&self) -> bool {
        self.kind.starts_with("smart")
    }

    /// How late its beginning and its end are told.
    fn lags(&self, lags: &Lags) -> (Duration, Duration) {
        match self.kind.as_str() {
            "ring" => (lags.ring, Duration::ZERO),
            kind if kind.starts_with("smart") => (lags.smart, lags.smart_end),
            _ => (lags.motion, lags.motion_end),
        }
    }

    /// What is told when, counted from the start.
    fn steps(&self, lags: &Lags) -> Vec<(Duration, Step)> {
        let (begin, end) = self.lags(lags);
        if self.shape != Shape::Ordinary {
            return vec![(self.lasts + begin, Step::Closed)];
        }
        let end = (self.lasts + end).max(begin);
        let mut steps = Vec::new();
        let begin = if self.is_reordered { end + lags.repeat } else { begin };
        for n in 0..self.adds {
            steps.push((begin + lags.repeat * n, Step::Add));
        }
        if let Some(late) = self.late_types {
            steps.push((begin + late, Step::Types(self.types.clone())));
        }
        for (later, types) in &self.grows {
            steps.push((begin + *later, Step::Types(types.clone())));
        }
        if self.stray_update {
            steps.push((end.saturating_sub(Duration::from_millis(6)).max(begin), Step::Stray));
        }
        for n in 0..self.ends {
            steps.push((end + lags.repeat * n, Step::End));
        }
        // Stable: what is due at the same time keeps its order.
        steps.sort_by_key(|(at, _)| *at);
        steps
    }

    /// All types that it ends up with.
    fn last_types(&self) -> Vec<String> {
        self.grows.last().map_or_else(|| self.types.clone(), |(_, types)| types.clone())
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add,
    Types(Vec<String>),
    Stray,
    End,
    Closed,
}

/// Something that is happening.
struct Play {
    console: Arc<Console>,
    script: Script,
    id: String,
    camera: String,
    start_ms: i64,
    end_ms: i64,
}

/// Lets something happen, from now on; gives the id of its event.
pub(crate) fn begin(console: &Arc<Console>, camera: &str, script: Script) -> String {
    let start_ms = console.clock.now_ms();
    let end_ms = start_ms + millis(script.lasts);
    let mut state = console.state();
    let id = state.event_id(&console.options);
    state.keep_happening(Happening {
        id: id.clone(),
        camera: camera.into(),
        kind: script.kind.clone(),
        types: script.last_types(),
        start_ms,
        end_ms,
        private_at: None,
        public_at: None,
    });
    let play = Play { console: Arc::clone(console), script, id: id.clone(), camera: camera.into(), start_ms, end_ms };
    // In the list of events it is there at once, whatever the streams tell.
    let mut kept = play.private_event(true);
    crate::model::merge(
        &mut kept,
        &json!({"end": null, "timestamp": null, "thumbnail": format!("e-{id}"), "heatmap": format!("e-{id}")}),
    );
    state.model.record(&id, &kept);
    drop(state);
    let stop = console.stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = play.run() => {}
        }
    });
    id
}

impl Play {
    async fn run(self) {
        let begun = Instant::now();
        let lags = self.console.options.lags;
        let steps = self.script.steps(&lags);
        let truth = async {
            tokio::time::sleep_until(begun + self.script.lasts).await;
            let end = json!({"end": self.end_ms, "score": self.script.score, "timestamp": self.start_ms,
                "smartDetectTypes": self.script.last_types()});
            self.console.state().model.record(&self.id, &end);
        };
        let private = async {
            for (at, step) in steps.iter().filter(|_| self.script.on_private) {
                tokio::time::sleep_until(begun + *at + lags.private_extra).await;
                self.tell_private(step);
            }
        };
        let public = async {
            let mut types = if self.script.late_types.is_some() { Vec::new() } else { self.script.types.clone() };
            for (at, step) in steps.iter().filter(|_| self.script.on_public) {
                tokio::time::sleep_until(begun + *at + lags.public_extra).await;
                self.tell_public(step, &mut types);
            }
        };
        tokio::join!(truth, private, public);
    }

    /// The event as the private interface has it at its beginning.
    fn private_event(&self, with_types: bool) -> Value {
        let types = if with_types { self.script.types.as_slice() } else { &[] };
        let score = if self.script.is_smart() { self.script.score } else { 0 };
        json!({"type": self.script.kind, "start": self.start_ms, "score": score, "smartDetectTypes": types,
            "smartDetectEvents": [], "metadata": self.script.metadata, "camera": self.camera, "partition": null,
            "user": null, "id": self.id, "modelKey": "event"})
    }

    fn tell_private(&self, step: &Step) {
        let script = &self.script;
        let mut whole = self.private_event(script.late_types.is_none());
        let (action, change) = match step {
            Step::Add => ("add", whole.clone()),
            Step::Types(types) => ("update", json!({"smartDetectTypes": types})),
            Step::Stray => ("update", json!({"metadata": script.metadata})),
            Step::End => ("update", json!({"end": self.end_ms, "score": script.score})),
            Step::Closed => ("add", {
                crate::model::merge(&mut whole, &json!({"end": self.end_ms}));
                whole.clone()
            }),
        };
        let mut state = self.console.state();
        let options = &self.console.options;
        if script.shape == Shape::PackageObject {
            let id = state.event_id(options);
            let object = json!({"id": id, "modelKey": "smartDetectObject", "type": "package", "cameraId": self.camera,
                "eventId": self.id, "start": self.start_ms, "end": self.end_ms, "detectedAt": self.start_ms,
                "confidence": script.score, "metadata": script.metadata});
            state.change(options, "add", "smartDetectObject", &id, &object);
        } else {
            let data = if script.whole_updates && action == "update" {
                crate::model::merge(&mut whole, &change);
                whole
            } else {
                change
            };
            state.change(options, action, "event", &self.id, &data);
            if let Some(flags) = self.camera_flags(step) {
                state.change(options, "update", "camera", &self.camera, &flags);
            }
        }
        if !state.is_down()
            && let Some(kept) = state.happening(&self.id)
            && kept.private_at.is_none()
        {
            kept.private_at = Some(Instant::now().into_std());
        }
        drop(state);
        self.console.wake();
    }

    /// What of the camera changes with it.
    fn camera_flags(&self, step: &Step) -> Option<Value> {
        let is_on = match step {
            Step::Add => true,
            Step::End => false,
            _ => return None,
        };
        match self.script.kind.as_str() {
            "ring" if is_on => Some(json!({"lastRing": self.start_ms})),
            "motion" if is_on => Some(json!({"isMotionDetected": true, "lastMotion": self.start_ms})),
            "motion" => Some(json!({"isMotionDetected": false, "lastMotion": self.end_ms})),
            kind if kind.starts_with("smartDetect") => Some(json!({"isSmartDetected": is_on})),
            _ => None,
        }
    }

    fn tell_public(&self, step: &Step, types: &mut Vec<String>) {
        if let Step::Types(known) = step {
            types.clone_from(known);
        }
        let mut item = json!({"id": self.id, "modelKey": "event", "type": self.script.kind, "start": self.start_ms,
            "device": self.camera});
        if self.script.is_smart() {
            crate::model::merge(&mut item, &json!({"smartDetectTypes": types}));
        }
        if matches!(step, Step::End | Step::Closed) {
            crate::model::merge(&mut item, &json!({"end": self.end_ms}));
        }
        let kind = match step {
            Step::Add => "add",
            Step::Closed if self.script.shape == Shape::BornClosed => "add",
            _ => "update",
        };
        self.console.tell_public(kind, &item);
        let mut state = self.console.state();
        if !state.is_down()
            && let Some(kept) = state.happening(&self.id)
            && kept.public_at.is_none()
        {
            kept.public_at = Some(Instant::now().into_std());
        }
    }
}
