//! Which detections of a controller make events: the decision alone, without clock, database or network.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use argus_core::controller::Happening;
use argus_core::event::DetectionType;
use argus_core::{CameraId, EventId, Timestamp};

/// So many detections are remembered, the newest; what is older is known from the database, where a detection has one
/// event.
const REMEMBERED: usize = 4096;
/// So many spans are remembered of one kind at one camera.
const SPANS: usize = 64;
/// A ring is a moment: however long a controller says that it lasts, its event is over after that long.
pub(crate) const RING: Duration = Duration::from_secs(10);

/// What of a camera's configuration decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    /// The camera.
    pub(crate) camera: CameraId,
    /// Only these make events.
    pub(crate) detections: &'a [DetectionType],
    /// Pause after an event of a kind.
    pub(crate) cooldown: Duration,
    /// An event is over at that age.
    pub(crate) longest: Duration,
    /// Whether the schedule allowed events when the detection began.
    pub(crate) active: bool,
}

/// What is to be done about something that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing.
    Ignore,
    /// It makes an event of this kind.
    Open(DetectionType),
    /// More is known of its event.
    Tell(EventId, DetectionType),
}

/// What is known of a detection that has an event.
#[derive(Clone, Debug)]
struct Made {
    event: EventId,
    camera: CameraId,
    kind: DetectionType,
    started: Timestamp,
    /// Kinds that it was before it became clearer, at most one of each: their spans are its own, too.
    was: Vec<DetectionType>,
}

/// The detections of one controller.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    made: HashMap<String, Made>,
    order: VecDeque<String>,
    /// When events of a kind ran at a camera: from, and until when at the latest.
    spans: HashMap<(CameraId, DetectionType), VecDeque<(Timestamp, Timestamp)>>,
}

impl Tracker {
    /// What is to be done about what was told. A detection that is to make an event is remembered by [`Tracker::made`].
    pub(crate) fn heard(&mut self, told: &Happening, rules: &Rules<'_>) -> Decision {
        let strongest = told.kinds.iter().copied().find(|kind| rules.detections.contains(kind));
        if let Some(made) = self.made.get_mut(&told.id) {
            let (event, before) = (made.event, made.kind);
            // Late news make it clearer, never less clear.
            made.kind = strongest.filter(|kind| rank(*kind) < rank(before)).unwrap_or(before);
            let kind = made.kind;
            if kind != before {
                made.was.push(before);
            }
            let made = made.clone();
            if kind != before {
                // It runs as both from now on: what was silent as one and as the other stays so.
                self.runs(made.camera, kind, (made.started, made.started.plus(rules.longest)));
            }
            if let Some(ended) = told.ended_at {
                for kind in made.was.iter().copied().chain([kind]) {
                    self.ended(made.camera, kind, made.started, ended);
                }
            }
            return Decision::Tell(event, kind);
        }
        match strongest {
            Some(DetectionType::Ring) => Decision::Open(DetectionType::Ring),
            Some(kind) if rules.active && !self.rests(kind, told.started_at, rules) => Decision::Open(kind),
            _ => Decision::Ignore,
        }
    }

    /// Remembers that a detection has an event.
    pub(crate) fn made(&mut self, id: &str, event: EventId, kind: DetectionType, told: Span, rules: &Rules<'_>) {
        let made = Made { event, camera: rules.camera, kind, started: told.started, was: Vec::new() };
        if self.made.insert(id.to_owned(), made).is_none() {
            self.order.push_back(id.to_owned());
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.made.remove(&oldest);
        }
        let latest = told.started.plus(rules.longest);
        let until = told.ended.map_or(latest, |ended| ended.min(latest));
        self.runs(rules.camera, kind, (told.started, until));
    }

    /// Remembers a span.
    fn runs(&mut self, camera: CameraId, kind: DetectionType, span: (Timestamp, Timestamp)) {
        let spans = self.spans.entry((camera, kind)).or_default();
        spans.push_back(span);
        if spans.len() > SPANS {
            spans.pop_front();
        }
    }

    /// An event that there was before this server started.
    pub(crate) fn seen(&mut self, seen: &argus_db::DetectionSeen, rules: &Rules<'_>) {
        let span = Span { started: seen.started_at, ended: seen.ended_at };
        self.made(&seen.detection, seen.event_id, seen.kind, span, rules);
    }

    fn ended(&mut self, camera: CameraId, kind: DetectionType, started: Timestamp, ended: Timestamp) {
        let spans = self.spans.get_mut(&(camera, kind));
        if let Some(span) = spans.and_then(|spans| spans.iter_mut().find(|span| span.0 == started)) {
            span.1 = span.1.min(ended);
        }
    }

    /// Whether an event of that kind runs at the camera, or ended so shortly before that it rests.
    fn rests(&self, kind: DetectionType, at: Timestamp, rules: &Rules<'_>) -> bool {
        let spans = self.spans.get(&(rules.camera, kind));
        !rules.cooldown.is_zero()
            && spans
                .is_some_and(|spans| spans.iter().any(|(from, until)| at >= *from && at < until.plus(rules.cooldown)))
    }
}

/// When a detection was the case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// From then.
    pub(crate) started: Timestamp,
    /// Until then, once that is known.
    pub(crate) ended: Option<Timestamp>,
}

/// Strongest first.
fn rank(kind: DetectionType) -> u8 {
    match kind {
        DetectionType::Ring => 0,
        DetectionType::Person => 1,
        DetectionType::Vehicle => 2,
        DetectionType::Package => 3,
        DetectionType::Animal => 4,
        DetectionType::Audio => 5,
        DetectionType::Motion => 6,
    }
}

#[cfg(test)]
mod tests {
    use argus_core::controller::HappeningPhase;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_766_485_800_000 + seconds * 1000)
    }

    fn told(id: &str, kinds: &[DetectionType], from: i64, until: Option<i64>) -> Happening {
        Happening {
            id: id.into(),
            device: "door".into(),
            phase: HappeningPhase::Began,
            kinds: kinds.to_vec(),
            types: vec![],
            started_at: at(from),
            ended_at: until.map(at),
            end_unknown: false,
            score: None,
            heard_at: at(from),
            from_history: false,
        }
    }

    struct Bench {
        tracker: Tracker,
        camera: CameraId,
        detections: Vec<DetectionType>,
        cooldown: u64,
        active: bool,
    }

    impl Bench {
        fn new(detections: &[DetectionType], cooldown: u64) -> Self {
            let camera = CameraId::new(at(0));
            Self { tracker: Tracker::default(), camera, detections: detections.to_vec(), cooldown, active: true }
        }

        fn hear(&mut self, told: &Happening) -> Decision {
            let rules = Rules {
                camera: self.camera,
                detections: &self.detections,
                cooldown: Duration::from_secs(self.cooldown),
                longest: Duration::from_secs(60),
                active: self.active,
            };
            let decision = self.tracker.heard(told, &rules);
            if let Decision::Open(kind) = decision {
                let span = Span { started: told.started_at, ended: told.ended_at };
                self.tracker.made(&told.id, EventId::new(told.started_at), kind, span, &rules);
            }
            decision
        }
    }

    use DetectionType::{Motion, Person, Ring, Vehicle};

    #[test]
    fn only_what_was_chosen_makes_an_event() {
        let mut bench = Bench::new(&[Person, Ring], 0);
        assert_eq!(bench.hear(&told("a", &[Motion], 0, None)), Decision::Ignore);
        assert_eq!(bench.hear(&told("a", &[Person, Motion], 0, None)), Decision::Open(Person), "it became one");
        assert_eq!(bench.hear(&told("b", &[Vehicle], 0, None)), Decision::Ignore);
        assert_eq!(bench.hear(&told("c", &[Vehicle, Person], 0, None)), Decision::Open(Person));
    }

    #[test]
    fn a_detection_makes_one_event_and_gets_clearer_only() {
        let mut bench = Bench::new(&[Person, Motion], 0);
        assert_eq!(bench.hear(&told("a", &[Motion], 0, None)), Decision::Open(Motion));
        let Decision::Tell(event, Person) = bench.hear(&told("a", &[Person, Motion], 0, None)) else { panic!() };
        assert_eq!(bench.hear(&told("a", &[Motion], 0, Some(3))), Decision::Tell(event, Person));
    }

    #[test]
    fn each_kind_rests_by_itself_and_rings_never() {
        let mut bench = Bench::new(&[Person, Vehicle, Ring], 30);
        assert_eq!(bench.hear(&told("a", &[Person], 0, None)), Decision::Open(Person));
        assert_eq!(bench.hear(&told("b", &[Person], 5, None)), Decision::Ignore, "it is the same person");
        assert_eq!(bench.hear(&told("c", &[Vehicle], 5, None)), Decision::Open(Vehicle));
        assert!(matches!(bench.hear(&told("a", &[Person], 0, Some(10))), Decision::Tell(..)));
        assert_eq!(bench.hear(&told("d", &[Person], 39, None)), Decision::Ignore);
        assert_eq!(bench.hear(&told("e", &[Person], 40, None)), Decision::Open(Person));
        for (n, id) in (41..).zip(["r1", "r2", "r3"]) {
            assert_eq!(bench.hear(&told(id, &[Ring], n, None)), Decision::Open(Ring));
        }
        assert_eq!(
            bench.hear(&told("old", &[Person], -600, Some(-590))),
            Decision::Open(Person),
            "long before the first"
        );
    }

    #[test]
    fn an_end_that_never_comes_does_not_silence_a_camera() {
        let mut bench = Bench::new(&[Person], 30);
        assert_eq!(bench.hear(&told("a", &[Person], 0, None)), Decision::Open(Person));
        assert_eq!(bench.hear(&told("b", &[Person], 89, None)), Decision::Ignore);
        assert_eq!(bench.hear(&told("c", &[Person], 90, None)), Decision::Open(Person));
    }

    #[test]
    fn a_detection_that_becomes_clearer_rests_as_both_kinds() {
        let mut bench = Bench::new(&[Person, Vehicle], 30);
        assert_eq!(bench.hear(&told("a", &[Vehicle], 0, None)), Decision::Open(Vehicle));
        assert!(matches!(bench.hear(&told("a", &[Person, Vehicle], 0, None)), Decision::Tell(_, Person)));
        assert_eq!(bench.hear(&told("b", &[Person], 4, None)), Decision::Ignore, "a person's event runs");
        assert_eq!(bench.hear(&told("c", &[Vehicle], 4, None)), Decision::Ignore, "it began as a vehicle's");
        assert!(matches!(bench.hear(&told("a", &[Person, Vehicle], 0, Some(5))), Decision::Tell(_, Person)));
        assert_eq!(bench.hear(&told("d", &[Person], 34, None)), Decision::Ignore);
        assert_eq!(bench.hear(&told("e", &[Vehicle], 34, None)), Decision::Ignore);
        assert_eq!(bench.hear(&told("f", &[Vehicle], 35, None)), Decision::Open(Vehicle), "30 s after the end");
        assert_eq!(bench.hear(&told("g", &[Person], 35, None)), Decision::Open(Person));
    }

    #[test]
    fn what_ends_as_it_becomes_clearer_has_ended_as_both_kinds() {
        let mut bench = Bench::new(&[Person, Motion], 30);
        assert_eq!(bench.hear(&told("a", &[Motion], 0, None)), Decision::Open(Motion));
        assert!(matches!(bench.hear(&told("a", &[Person, Motion], 0, Some(5))), Decision::Tell(_, Person)));
        for (n, kind) in [(0, Person), (1, Motion)] {
            assert_eq!(bench.hear(&told(&format!("b{n}"), &[kind], 34, None)), Decision::Ignore);
            assert_eq!(bench.hear(&told(&format!("c{n}"), &[kind], 35, None)), Decision::Open(kind));
        }
    }

    #[test]
    fn outside_the_schedule_only_rings_count() {
        let mut bench = Bench::new(&[Person, Ring], 0);
        bench.active = false;
        assert_eq!(bench.hear(&told("a", &[Person], 0, None)), Decision::Ignore);
        assert_eq!(bench.hear(&told("b", &[Ring, Person], 0, None)), Decision::Open(Ring));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut bench = Bench::new(&[Person], 0);
        for n in 0..5000 {
            let decision = bench.hear(&told(&n.to_string(), &[Person], n, Some(n)));
            assert_eq!(decision, Decision::Open(Person));
        }
        assert_eq!(bench.tracker.made.len(), REMEMBERED);
        assert_eq!(bench.tracker.spans.values().map(VecDeque::len).sum::<usize>(), SPANS);
    }
}
