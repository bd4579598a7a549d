use argus_core::event::DetectionType::{self, Motion, Package, Person, Ring, Vehicle};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn tracker() -> Tracker {
    Tracker::new(Rules::of(&Tuning::default()))
}

/// 2025-12-23T10:30:00Z.
const T0: i64 = 1_766_485_800_000;

fn at(ms: i64) -> At {
    At { now: Timestamp::from_millis(T0 + ms), offset_ms: 0 }
}

fn event(v: Value) -> Sighting {
    Sighting::event(&v, "").unwrap()
}

/// What was told, short: phase, strongest kind, words.
fn told(out: Vec<Output>) -> Vec<(HappeningPhase, DetectionType, String)> {
    let tell = |o| match o {
        Output::Tell(h) => Some((h.phase, h.kinds[0], h.types.join("+"))),
        Output::Ask(_) => None,
    };
    out.into_iter().filter_map(tell).collect()
}

use HappeningPhase::{Began, Changed, Ended};

#[test]
fn a_recorded_doorbell_press_is_one_ring() {
    let mut t = tracker();
    let add = event(json!({"id": "r", "type": "ring", "start": T0, "camera": "c", "score": 0, "smartDetectTypes": []}));
    assert_eq!(told(t.see(&add, Origin::Local, at(2000))), [(Began, Ring, "ring".into())]);
    assert_eq!(told(t.see(&add, Origin::Official, at(2010))), []);
    let end = event(json!({"id": "r", "end": T0 + 1000}));
    assert_eq!(told(t.see(&end, Origin::Local, at(2036))), [(Ended, Ring, "ring".into())]);
    for ms in [2040, 9000] {
        assert_eq!(told(t.see(&end, Origin::Official, at(ms))), []);
    }
}

#[test]
fn an_object_before_its_event_hides_it_not() {
    let mut t = tracker();
    let object = Sighting::object(&json!({"id": "o", "smartDetectType": "person", "cameraId": "c"}), "o").unwrap();
    let add = event(json!({
        "id": object.id.clone(), "type": "smartDetectZone", "start": T0, "device": "c", "smartDetectTypes": ["person"]
    }));
    assert_eq!(told(t.see(&object, Origin::Local, at(100))), []);
    assert_eq!(told(t.see(&add, Origin::Local, at(200))), [(Began, Person, "person".into())]);
}

#[test]
fn what_could_not_be_read_now_is_asked_for_again() {
    let mut t = tracker();
    let stray = event(json!({"id": "s", "end": T0 + 5}));
    let ask = [Output::Ask("s".into())];
    assert_eq!(t.see(&stray, Origin::Local, at(0)), ask);
    assert_eq!(t.see(&stray, Origin::Local, at(10)), []);
    t.not_read("s");
    assert_eq!(t.see(&stray, Origin::Local, at(20)), ask);
    t.give_up("s", at(30).now);
    assert_eq!(t.see(&stray, Origin::Local, at(40)), []);
}

#[test]
fn born_closed_package_emits_once() {
    let mut t = tracker();
    let closed = event(
        json!({"id": "p", "type": "smartDetectZone", "start": T0, "end": T0 + 5, "device": "c", "smartDetectTypes": ["package"]}),
    );
    let both = [(Began, Package, "package".to_owned()), (Ended, Package, "package".to_owned())];
    assert_eq!(told(t.see(&closed, Origin::Official, at(100))), both);
    assert_eq!(told(t.see(&closed, Origin::Official, at(200))), []);
    let object = json!({"id": "o", "smartDetectType": "package", "detectedAt": T0 + 900, "cameraId": "c"});
    let object = Sighting::object(&object, "o").unwrap();
    assert_eq!(told(t.see(&object, Origin::Local, at(1000))), []);
    // The other way round, at another camera.
    let object = json!({"id": "o2", "smartDetectType": "package", "detectedAt": T0, "cameraId": "d"});
    let object = Sighting::object(&object, "o2").unwrap();
    assert_eq!(told(t.see(&object, Origin::Local, at(1000))), both);
    let closed = event(
        json!({"id": "p2", "type": "smartDetectZone", "start": T0, "end": T0 + 5, "device": "d", "smartDetectTypes": ["package"]}),
    );
    assert_eq!(told(t.see(&closed, Origin::Official, at(1100))), []);
    assert_eq!(told(t.see(&closed, Origin::History, at(1200))), []);
    // An object that belongs to an event adds to it.
    let zone = event(
        json!({"id": "z", "type": "smartDetectZone", "start": T0, "device": "e", "smartDetectTypes": ["person"]}),
    );
    assert_eq!(told(t.see(&zone, Origin::Local, at(1300))).len(), 1);
    let object =
        Sighting::object(&json!({"eventId": "z", "type": "package", "start": T0, "cameraId": "e"}), "o3").unwrap();
    assert_eq!(told(t.see(&object, Origin::Local, at(1400))), [(Changed, Person, "person+package".into())]);
    // A person as an object alone is told by its event.
    let object = Sighting::object(&json!({"type": "person", "start": T0, "cameraId": "e"}), "o4").unwrap();
    assert_eq!(told(t.see(&object, Origin::Local, at(1500))), []);
}

#[test]
fn late_types_emit_person() {
    let mut t = tracker();
    let add = |id: &str| {
        event(json!({"id": id, "type": "smartDetectZone", "start": T0, "camera": "c", "smartDetectTypes": []}))
    };
    // Types come in time.
    assert_eq!(told(t.see(&add("a"), Origin::Local, at(0))), []);
    assert_eq!(told(t.tick(at(2400).now, true)), []);
    let types = event(json!({"id": "a", "smartDetectTypes": ["person"]}));
    assert_eq!(told(t.see(&types, Origin::Local, at(2450))), [(Began, Person, "person".into())]);
    // Types come too late.
    assert_eq!(told(t.see(&add("b"), Origin::Local, at(3000))), []);
    assert_eq!(told(t.tick(at(5500).now, true)), [(Began, Motion, "motion".into())]);
    let types = event(json!({"id": "b", "smartDetectTypes": ["person"]}));
    assert_eq!(told(t.see(&types, Origin::Local, at(6000))), [(Changed, Person, "person".into())]);
    // The end comes first, and the types after it.
    assert_eq!(told(t.see(&add("d"), Origin::Local, at(7000))), []);
    let end = event(json!({"id": "d", "end": T0 + 7100}));
    assert_eq!(
        told(t.see(&end, Origin::Local, at(7200))),
        [(Began, Motion, "motion".into()), (Ended, Motion, "motion".into())]
    );
    let types = event(json!({"id": "d", "smartDetectTypes": ["vehicle", "licensePlate"], "score": 77}));
    assert_eq!(told(t.see(&types, Origin::Local, at(8000))), [(Changed, Vehicle, "vehicle+licensePlate".into())]);
}

#[test]
fn overlap_does_not_clear() {
    let mut t = tracker();
    let zone = |id: &str, kind: &str| {
        event(json!({"id": id, "type": kind, "start": T0, "camera": "c", "smartDetectTypes": ["person"]}))
    };
    t.see(&zone("z", "smartDetectZone"), Origin::Local, at(0));
    t.see(&zone("l", "smartDetectLine"), Origin::Local, at(10));
    let end = |id: &str| event(json!({"id": id, "end": T0 + 500}));
    assert_eq!(told(t.see(&end("l"), Origin::Local, at(600))), [(Ended, Person, "person".into())]);
    assert_eq!(t.open_ids(), ["z"]);
    assert_eq!(told(t.see(&end("z"), Origin::Local, at(700))).len(), 1);
}

#[test]
fn an_update_without_an_end_ends_nothing() {
    let mut t = tracker();
    let whole = |end: Option<i64>| {
        event(
            json!({"id": "e", "type": "smartDetectZone", "start": T0, "end": end, "device": "c", "smartDetectTypes": ["person"]}),
        )
    };
    assert_eq!(told(t.see(&whole(None), Origin::Official, at(0))).len(), 1);
    assert_eq!(told(t.see(&whole(None), Origin::Official, at(3000))), []);
    assert_eq!(told(t.see(&whole(Some(T0 + 2000)), Origin::Official, at(3006))), [(Ended, Person, "person".into())]);
    assert_eq!(told(t.see(&whole(None), Origin::Local, at(3010))), []);
    assert_eq!(told(t.see(&whole(Some(T0 + 2000)), Origin::Official, at(3012))), []);
}

#[test]
fn cameras_that_share_an_id_are_told_apart() {
    let mut t = tracker();
    let base = "433e706f29ca680d4101d5ce";
    let add = |camera: &str| {
        event(json!({"id": format!("{base}-{camera}"), "type": "motion", "start": T0, "camera": camera}))
    };
    let end = |camera: &str| event(json!({"id": format!("{base}-{camera}"), "end": T0 + 5}));
    assert_eq!(told(t.see(&add("a"), Origin::Local, at(1))).len(), 1);
    assert_eq!(told(t.see(&add("b"), Origin::Local, at(2))).len(), 1);
    assert_eq!(told(t.see(&add("b"), Origin::Official, at(3))).len(), 0);
    assert_eq!(told(t.see(&end("b"), Origin::Local, at(10))), [(Ended, Motion, "motion".into())]);
    assert_eq!(t.open_ids(), [base]);
    // The other interface tells the id without the camera.
    let plain = event(json!({"id": base, "type": "motion", "start": T0, "end": T0 + 5, "device": "a"}));
    assert_eq!(told(t.see(&plain, Origin::Official, at(11))), [(Ended, Motion, "motion".into())]);
    assert_eq!(told(t.see(&end("a"), Origin::Local, at(12))).len(), 0);
}

#[test]
fn lost_end_times_out() {
    let mut t = tracker();
    let add = event(json!({"id": "m", "type": "motion", "start": T0, "camera": "c"}));
    t.see(&add, Origin::Local, at(0));
    assert_eq!(t.tick(at(299_000).now, true), []);
    assert_eq!(t.tick(at(300_000).now, true), [Output::Ask("m".into())]);
    assert_eq!(t.tick(at(301_000).now, true), []);
    // It was read and goes on: nothing for another five minutes.
    assert_eq!(t.see(&add, Origin::History, at(302_000)), []);
    assert_eq!(t.tick(at(400_000).now, true), []);
    assert_eq!(t.tick(at(602_000).now, true), [Output::Ask("m".into())]);
    let Some(Output::Tell(end)) = t.tick(at(650_000).now, true).pop() else { panic!("no end") };
    assert_eq!((end.phase, end.end_unknown, end.ended_at), (Ended, true, Some(at(650_000).now)));
    assert_eq!(told(t.see(&event(json!({"id": "m", "end": T0 + 1})), Origin::Local, at(651_000))), []);
    // Without an account nothing can be asked.
    t.see(&event(json!({"id": "n", "type": "ring", "start": T0, "device": "c"})), Origin::Official, at(700_000));
    assert_eq!(t.tick(at(1_299_000).now, false), []);
    assert_eq!(told(t.tick(at(1_300_000).now, false)), [(Ended, Ring, "ring".into())]);
}

#[test]
fn a_lost_beginning_is_told_or_asked_for() {
    let mut t = tracker();
    let whole = event(json!({"id": "a", "type": "motion", "start": T0, "end": T0 + 9, "camera": "c"}));
    assert_eq!(told(t.see(&whole, Origin::Local, at(50))).len(), 2);
    let bare = event(json!({"id": "b", "end": T0 + 9}));
    assert_eq!(t.see(&bare, Origin::Local, at(60)), [Output::Ask("b".into())]);
    assert_eq!(t.see(&bare, Origin::Local, at(61)), []);
    assert_eq!(
        told(t.see(
            &event(json!({"id": "b", "type": "motion", "start": T0, "end": T0 + 9, "camera": "c"})),
            Origin::History,
            at(70)
        ))
        .len(),
        2
    );
    assert_eq!(t.see(&event(json!({"id": "d", "score": 4})), Origin::Local, at(80)), [Output::Ask("d".into())]);
    assert_eq!(t.give_up("d", at(90).now), []);
    assert_eq!(t.see(&event(json!({"id": "d", "score": 4})), Origin::Local, at(99)), []);
    // A sensor's event is nothing to ask for.
    let sensor = event(json!({"id": "s", "type": "sensorMotion", "start": T0, "end": T0, "camera": null}));
    assert_eq!(t.see(&sensor, Origin::Local, at(100)), []);
    assert_eq!(t.see(&event(json!({"id": "s", "score": 1})), Origin::Local, at(101)), []);
}

#[test]
fn clock_skew_is_taken_out() {
    let mut t = tracker();
    let skewed = At { now: Timestamp::from_millis(T0), offset_ms: 90_000 };
    let add = event(json!({"id": "m", "type": "motion", "start": T0 + 87_000, "camera": "c"}));
    let Some(Output::Tell(h)) = t.see(&add, Origin::Local, skewed).pop() else { panic!("not told") };
    assert_eq!((h.started_at.as_millis(), h.heard_at.as_millis()), (T0 - 3000, T0));
    // A start in the future begins now.
    let add = event(json!({"id": "n", "type": "motion", "start": T0 + 99_000, "camera": "c"}));
    let Some(Output::Tell(h)) = t.see(&add, Origin::Local, skewed).pop() else { panic!("not told") };
    assert_eq!(h.started_at.as_millis(), T0);
}

#[test]
fn recorded_streams_give_their_happenings() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/protect-sim/fixtures");
    let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
    let mut t = tracker();
    let mut phases = Vec::new();
    for (n, line) in read("private/ws_frames_a.jsonl").lines().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["action"]["modelKey"] == "event" {
            let s = Sighting::event(&line["data"], line["action"]["id"].as_str().unwrap()).unwrap();
            let now = Timestamp::from_millis(1_643_055_820_000 + i64::try_from(n).unwrap());
            phases.extend(told(t.see(&s, Origin::Local, At { now, offset_ms: 0 })));
        }
    }
    let count = |p, k| phases.iter().filter(|(phase, kind, _)| (*phase, *kind) == (p, k)).count();
    assert_eq!((count(Began, Motion), count(Began, Person), count(Began, Ring)), (5, 3, 1));
    assert_eq!((count(Ended, Motion), count(Ended, Ring), count(Ended, Person)), (2, 1, 0));
    let mut t = tracker();
    let mut phases = Vec::new();
    for file in ["motion", "ring", "smart_detect", "lifecycle_dup_end", "light_motion_add", "nfc_add_with_end"] {
        for line in read(&format!("integration/ws_events_{file}.jsonl")).lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let s = Sighting::event(&line["payload"]["item"], "").unwrap();
            let now = Timestamp::from_millis(line["at"].as_i64().unwrap_or(1_785_563_700_000));
            phases.extend(told(t.see(&s, Origin::Official, At { now, offset_ms: 0 })));
        }
    }
    let count = |p, k| phases.iter().filter(|(phase, kind, _)| (*phase, *kind) == (p, k)).count();
    assert_eq!((count(Began, Motion), count(Began, Person), count(Began, Ring)), (2, 3, 1));
    assert_eq!((count(Ended, Motion), count(Ended, Person), count(Ended, Ring)), (2, 3, 1));
}

#[test]
fn month_without_growth() {
    let mut t = tracker();
    let (mut began, mut ended) = (0, 0);
    let mut count = |out: Vec<Output>| {
        for (phase, ..) in told(out) {
            match phase {
                Began => began += 1,
                Ended => ended += 1,
                Changed => {}
            }
        }
    };
    // 30 days: a motion each minute, every tenth without an end.
    for n in 0..43_200_i64 {
        let ms = n * 60_000;
        let id = format!("e{n}");
        count(t.see(
            &event(json!({"id": id, "type": "motion", "start": T0 + ms, "camera": "c"})),
            Origin::Local,
            at(ms),
        ));
        if n % 10 != 0 {
            count(t.see(&event(json!({"id": id, "end": T0 + ms + 20_000})), Origin::Local, at(ms + 20_000)));
        }
        count(t.tick(at(ms + 30_000).now, false));
        assert!(t.len() < 30, "{} in memory", t.len());
    }
    count(t.tick(at(43_200 * 60_000 + 900_000).now, false));
    assert_eq!((began, ended), (43_200, 43_200));
    assert!(t.past.has("e0") || t.past.has("e43199"));
}

#[test]
fn a_burst_keeps_the_table_bounded_and_loses_nothing() {
    let mut t = tracker();
    let mut out = Vec::new();
    for n in 0..5_000 {
        out.extend(t.see(
            &event(json!({"id": format!("e{n}"), "type": "motion", "start": T0, "camera": "c"})),
            Origin::Local,
            at(n),
        ));
    }
    assert_eq!(t.len(), 2_000);
    out.extend(t.close_open(at(9_000).now));
    let phases = told(out);
    assert_eq!(phases.iter().filter(|p| p.0 == Began).count(), 5_000);
    assert_eq!(phases.iter().filter(|p| p.0 == Ended).count(), 5_000);
}

/// One message about one of a few detections.
#[derive(Clone, Debug)]
struct Step {
    id: u8,
    origin: u8,
    whole: bool,
    end: bool,
    types: bool,
    wait_ms: i64,
    tick: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0u8..6, 0u8..3, any::<bool>(), any::<bool>(), any::<bool>(), 0i64..400_000, any::<bool>()).prop_map(
        |(id, origin, whole, end, types, wait_ms, tick)| Step { id, origin, whole, end, types, wait_ms, tick },
    );
    proptest::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn every_happening_begins_and_ends_once(steps in steps()) {
        let mut t = tracker();
        let mut now_ms = 0;
        let mut phases: HashMap<String, Vec<HappeningPhase>> = HashMap::new();
        let mut wholes = std::collections::HashSet::new();
        let mut take = |out: Vec<Output>| {
            for o in out {
                if let Output::Tell(h) = o {
                    assert!(!h.kinds.is_empty() && !h.types.is_empty());
                    assert!(h.ended_at.is_none_or(|end| end >= h.started_at));
                    assert!(h.phase != Ended || h.ended_at.is_some());
                    phases.entry(h.id).or_default().push(h.phase);
                }
            }
        };
        for s in steps {
            now_ms += s.wait_ms / 100;
            let kind = ["motion", "ring", "smartDetectZone"][usize::from(s.id % 3)];
            let id = format!("e{}", s.id);
            let mut v = json!({"id": id});
            if s.whole {
                v["type"] = json!(kind);
                v["start"] = json!(T0);
                v["camera"] = json!("c");
                wholes.insert(id);
            }
            if s.end {
                v["end"] = json!(T0 + now_ms);
            }
            if s.types {
                v["smartDetectTypes"] = json!(["person"]);
            }
            let origin = [Origin::Local, Origin::Official, Origin::History][usize::from(s.origin)];
            take(t.see(&event(v), origin, at(now_ms)));
            if s.tick {
                take(t.tick(at(now_ms).now, true));
            }
        }
        for _ in 0..10 {
            now_ms += 4_000_000;
            take(t.tick(at(now_ms).now, true));
        }
        prop_assert!(t.is_empty());
        for (id, phases) in &phases {
            prop_assert_eq!(phases[0], Began, "{}", id);
            prop_assert_eq!(phases.iter().filter(|p| **p == Began).count(), 1);
            prop_assert_eq!(phases.iter().filter(|p| **p == Ended).count(), 1);
            prop_assert!(wholes.contains(id));
        }
    }
}
