//! Totals, pages, statistics and exports beside a plain count of all events, after whatever happened.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use argus_core::calendar::Calendar;
use argus_core::camera::SourceType;
use argus_core::event::{DescriptionStatus, DetectionType, Event, EventDescription, ObjectKind, StatusReason};
use argus_core::journal::DeleteReason;
use argus_core::{CameraId, EventId, Timestamp};
use diesel::prelude::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::events::words;
use super::list::rows;
use super::{TestDb, at, camera, new_event, on_both, open_event};
use crate::events::{EventRow, summary, whole_all};
use crate::schema::event;
use crate::{DescriptionPlan, EventChange, EventFilter, EventStats, Exported, Paging, Sort};

/// Some numbers without order, the same in each run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(sides).unwrap()).unwrap()
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.roll(all.len())]
    }

    fn some<T: Copy>(&mut self, all: &[T]) -> Vec<T> {
        all.iter().copied().filter(|_| self.roll(3) == 0).collect()
    }

    /// Within some days, most of them at the edges of quarters and hours, some before 1970.
    fn time(&mut self) -> Timestamp {
        const QUARTER: i64 = 900_000_000;
        let base = self.of(&[at(0).as_micros(), at(86_400).as_micros(), at(30 * 86_400).as_micros(), -7_200_000_000]);
        let quarter = base.div_euclid(QUARTER) + i64::try_from(self.roll(12)).unwrap();
        let within = self.of(&[0, 1, 999, 1000, QUARTER - 1, QUARTER / 2, 123_456_789]);
        Timestamp::from_micros(quarter * QUARTER + within)
    }

    fn described(&mut self) -> EventDescription {
        let text =
            self.of(&["A person at the door", "Two cars", "A cat, a person", "Nothing to be seen", "Personal car"]);
        EventDescription {
            objects: self.some(ObjectKind::ALL),
            ai_confidence: self.of(&[None, Some(3), Some(80)]),
            low_confidence: self.roll(2) == 0,
            cost: self.of(&[None, Some(0.1), Some(0.000_123)]),
            latency_ms: self.of(&[0, 900, 4_000_000_000]),
            ..words(text)
        }
    }

    fn change(&mut self, event: &Event) -> EventChange {
        let confidence = u8::try_from(self.roll(101)).unwrap();
        match self.roll(8) {
            0 => EventChange::Progress { last_motion: event.timestamp, motion: None, zones: vec![], confidence },
            1 => EventChange::Closed {
                ended_at: Timestamp::from_micros(
                    event.timestamp.as_micros() + self.of(&[0, 999, 1_000_001, 90_000_000]),
                ),
                motion: None,
                zones: vec![],
                confidence,
                clip_expected: self.roll(2) == 0,
            },
            2 => EventChange::Clip { bytes: 5, from: event.timestamp, until: event.timestamp },
            3 => EventChange::ClipNone,
            4 => EventChange::Undescribed {
                status: self.of(&[DescriptionStatus::Skipped, DescriptionStatus::Failed]),
                reason: StatusReason::Timeout,
            },
            5 => EventChange::Reanalysed(self.described()),
            6 => EventChange::ThumbnailStored { bytes: 1000 },
            _ => EventChange::Described(self.described()),
        }
    }
}

/// Every event in the order of the list, oldest first.
async fn all(t: &TestDb) -> Vec<Event> {
    t.db.read_snapshot(|c| {
        let rows: Vec<EventRow> = event::table.order((event::started_us.asc(), event::id.asc())).load(c)?;
        whole_all(c, rows)
    })
    .await
    .unwrap()
}

/// Whether an event matches, in plain words.
fn matches(e: &Event, f: &EventFilter) -> bool {
    let among = |all: &[&str], one: &str| all.is_empty() || all.contains(&one);
    let names = |types: &[DetectionType]| types.iter().map(|t| t.as_str()).collect::<Vec<_>>();
    let types = names(&f.detection_types);
    let cameras: Vec<&str> = f.camera_ids.iter().map(String::as_str).collect();
    let lower = e.description.to_lowercase();
    let has = |word: &str| lower.split(|c: char| !c.is_alphanumeric()).any(|w| w.starts_with(word));
    let found = match f.q.as_deref() {
        None | Some("") => true,
        Some(q) => {
            let words: Vec<&str> = q.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
            !words.is_empty() && words.into_iter().all(has)
        }
    };
    among(&cameras, &e.camera_id.to_string())
        && (among(&types, e.detection_type.as_str()) || e.objects_detected.iter().any(|o| types.contains(&o.as_str())))
        && (f.source_types.is_empty() || f.source_types.contains(&e.source_type))
        && f.start_time.is_none_or(|start| e.timestamp.as_millis() >= start.as_millis())
        && f.end_time.is_none_or(|end| e.timestamp.as_millis() <= end.as_millis())
        && f.min_confidence.is_none_or(|least| e.confidence >= least)
        && found
        && (f.description_statuses.is_empty() || f.description_statuses.contains(&e.description_status))
        && f.has_clip.is_none_or(|wanted| e.clip_url.is_some() == wanted)
        && f.low_confidence.is_none_or(|wanted| e.low_confidence == wanted)
}

fn average(values: impl Iterator<Item = i64>) -> Option<f64> {
    let values: Vec<i64> = values.collect();
    let count = i32::try_from(values.len()).unwrap();
    (count > 0).then(|| values.iter().map(|&v| v as f64).sum::<f64>() / f64::from(count))
}

fn tally<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, u64> {
    keys.fold(BTreeMap::new(), |mut all, key| {
        *all.entry(key).or_default() += 1;
        all
    })
}

/// What the statistics have to be.
fn expected_stats(events: &[&Event], zone: &str) -> EventStats {
    let local = |e: &Event| e.timestamp.to_jiff().to_zoned_datetime(jiff::tz::TimeZone::get(zone).unwrap());
    let mut by_hour = [0; 24];
    for e in events {
        by_hour[usize::try_from(local(e).hour()).unwrap()] += 1;
    }
    let cost: f64 = events.iter().filter_map(|e| e.ai_cost).sum();
    EventStats {
        total: u64::try_from(events.len()).unwrap(),
        by_day: tally(events.iter().map(|e| local(e).date().to_string())),
        by_hour,
        by_camera: tally(events.iter().map(|e| e.camera_id.to_string())),
        by_detection_type: tally(events.iter().map(|e| e.detection_type)),
        by_object: tally(events.iter().flat_map(|e| e.objects_detected.iter().copied())),
        by_source_type: tally(events.iter().map(|e| e.source_type)),
        by_status: tally(events.iter().map(|e| e.description_status)),
        average_confidence: average(events.iter().map(|e| e.confidence.into())),
        average_ai_confidence: average(events.iter().filter_map(|e| e.ai_confidence.map(i64::from))),
        average_duration_ms: average(events.iter().filter_map(|e| e.duration_ms)),
        average_ai_response_time_ms: average(events.iter().filter_map(|e| e.ai_response_time_ms.map(i64::from))),
        total_ai_cost: (cost * 1e9).round() / 1e9,
        alerts: 0,
    }
}

/// Filters of every sort.
fn any_filter(cameras: Vec<String>) -> impl Strategy<Value = EventFilter> {
    let cameras = prop_oneof![
        3 => Just(vec![]),
        2 => proptest::sample::select(cameras.clone()).prop_map(|c| vec![c]),
        1 => proptest::collection::vec(proptest::sample::select(cameras), 2..4),
        1 => Just(vec!["nonsense".to_owned()]),
    ];
    let time = || {
        prop_oneof![
            2 => Just(None),
            3 => any::<u64>().prop_map(|n| Some(Dice(n | 1).time())),
        ]
    };
    let types = prop_oneof![3 => Just(vec![]), 2 => proptest::sample::subsequence(DetectionType::ALL.to_vec(), 1..3)];
    let sources = prop_oneof![4 => Just(vec![]), 1 => proptest::sample::subsequence(SourceType::ALL.to_vec(), 1..3)];
    let statuses =
        prop_oneof![4 => Just(vec![]), 1 => proptest::sample::subsequence(DescriptionStatus::ALL.to_vec(), 1..3)];
    let q = proptest::sample::select(vec![
        None,
        None,
        None,
        None,
        Some("person"),
        Some("a per"),
        Some("car"),
        Some(""),
        Some("!"),
    ]);
    let rest = (
        proptest::sample::select(vec![None, None, None, Some(0), Some(50), Some(100)]),
        proptest::sample::select(vec![None, None, Some(true), Some(false)]),
        proptest::sample::select(vec![None, None, Some(true), Some(false)]),
    );
    (cameras, types, sources, (time(), time()), statuses, q, rest).prop_map(
        |(camera_ids, detection_types, source_types, (start, end), description_statuses, q, (least, clip, low))| {
            // The interface refuses a start after the end.
            let (start_time, end_time) = match (start, end) {
                (Some(a), Some(b)) => (Some(a.min(b)), Some(a.max(b))),
                other => other,
            };
            EventFilter {
                camera_ids,
                detection_types,
                source_types,
                start_time,
                end_time,
                min_confidence: least,
                q: q.map(str::to_owned),
                description_statuses,
                has_clip: clip,
                low_confidence: low,
            }
        },
    )
}

/// Some values of a strategy, the same in each run.
fn some<S: Strategy>(strategy: &S, seed: u64, n: u32) -> Vec<S::Value> {
    let mut runner = TestRunner::new(Config { rng_seed: RngSeed::Fixed(seed), cases: n, ..Config::default() });
    (0..n).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// Compares everything that can be asked with the plain count.
async fn check(t: &TestDb, dice: &mut Dice, filters: &[EventFilter]) {
    let events = all(t).await;
    for filter in filters {
        let mut expected: Vec<&Event> = events.iter().filter(|e| matches(e, filter)).collect();
        let total = u64::try_from(expected.len()).unwrap();
        let zone = dice.of(&["UTC", "Europe/Berlin", "Asia/Kolkata", "Pacific/Chatham", "Africa/Monrovia"]);
        let stats = t.db.event_stats(filter.clone(), Calendar::named(zone).unwrap()).await.unwrap();
        let wanted = expected_stats(&expected, zone);
        assert!((stats.total_ai_cost - wanted.total_ai_cost).abs() < 1e-9, "{filter:?}");
        assert_eq!(
            EventStats { total_ai_cost: 0.0, ..stats },
            EventStats { total_ai_cost: 0.0, ..wanted },
            "{zone} {filter:?}"
        );
        for sort in [Sort::Asc, Sort::Desc] {
            let limit = u32::try_from(dice.roll(9)).unwrap() + 1;
            let page = u32::try_from(dice.roll(expected.len() / usize::try_from(limit).unwrap() + 2)).unwrap() + 1;
            let skip = usize::try_from((page - 1) * limit).unwrap();
            let found = t.db.event_page(filter.clone(), Paging::Page { page, limit }, sort).await.unwrap();
            let ids = |some: &[&Event]| some.iter().map(|e| e.id).collect::<Vec<_>>();
            let part: Vec<&Event> = expected.iter().skip(skip).take(usize::try_from(limit).unwrap()).copied().collect();
            assert_eq!(
                found.items.iter().map(|e| e.id).collect::<Vec<_>>(),
                ids(&part),
                "page {page} of {limit} {sort:?} {filter:?}"
            );
            assert_eq!(found.total, total, "{filter:?}");
            let rest = expected.len().saturating_sub(skip + part.len());
            assert_eq!(found.next_cursor.is_some(), rest > 0 && !part.is_empty(), "{filter:?}");
            if let Some(cursor) = found.next_cursor {
                let next = t.db.event_page(filter.clone(), Paging::Cursor { cursor, limit }, sort).await.unwrap();
                let part: Vec<&Event> =
                    expected.iter().skip(skip + part.len()).take(usize::try_from(limit).unwrap()).copied().collect();
                assert_eq!(
                    next.items.iter().map(|e| e.id).collect::<Vec<_>>(),
                    ids(&part),
                    "behind {page} of {limit} {sort:?} {filter:?}"
                );
                assert_eq!(next.total, total);
            }
            expected.reverse();
        }
        let whole = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&whole);
        t.db.event_each(filter.clone(), Sort::Asc, move |item| {
            if let Exported::Row(event) = item {
                sink.lock().unwrap().push(event);
            }
            ControlFlow::Continue(())
        })
        .await
        .unwrap();
        let whole = whole.lock().unwrap();
        assert_eq!(whole.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
}

/// The summary, row by row.
async fn summary_rows(t: &TestDb) -> Vec<(i32, String, i64, i64, Vec<u8>, Vec<u8>)> {
    use crate::schema::event_summary::{camera_id, from_us, span, table};
    t.db.read(|c| Ok(table.order((span.asc(), camera_id.asc(), from_us.asc())).load(c)?)).await.unwrap()
}

/// Something happens: an event goes, changes or comes.
async fn happen(t: &TestDb, dice: &mut Dice, cameras: &[CameraId], alive: &mut Vec<Event>, step: usize) {
    match dice.roll(10) {
        0 if !alive.is_empty() => {
            let gone = alive.swap_remove(dice.roll(alive.len()));
            t.db.event_delete(gone.id, DeleteReason::User, at(0)).await.unwrap();
        }
        1..=5 if !alive.is_empty() => {
            let n = dice.roll(alive.len());
            let changes = vec![dice.change(&alive[n]), dice.change(&alive[n])];
            alive[n] = t.db.event_change(alive[n].id, changes, at(1)).await.unwrap();
        }
        _ => {
            let started = dice.time();
            let mut new = new_event(dice.of(cameras), started);
            new.id = EventId::new(at(i64::try_from(step).unwrap()));
            new.detection_type = dice.of(DetectionType::ALL);
            new.source_type = dice.of(SourceType::ALL);
            new.confidence = u8::try_from(dice.roll(101)).unwrap();
            alive.push(t.db.event_open(new, at(0), DescriptionPlan::Job { priority: 0 }).await.unwrap().0);
        }
    }
}

on_both! {
    /// Whatever happens to events, what is counted is what is there.
    async fn counts_pages_and_statistics_are_those_of_a_plain_count(t) {
        let mut dice = Dice(88_172_645_463_325_252);
        let mut cameras: Vec<CameraId> = Vec::new();
        for name in ["A", "B", "C"] {
            cameras.push(t.db.camera_insert(camera(name)).await.unwrap().id);
        }
        let filters = some(&any_filter(cameras.iter().map(ToString::to_string).collect()), 5, 160);
        let mut alive: Vec<Event> = Vec::new();
        for step in 0..260_usize {
            happen(&t, &mut dice, &cameras, &mut alive, step).await;
            if step == 200 {
                let gone = cameras.swap_remove(1);
                t.delete_camera(gone, at(0)).await.unwrap();
                alive.retain(|e| e.camera_id != gone);
            }
            if step % 65 == 64 {
                let some = filters.chunks(40).nth(step / 65).unwrap();
                check(&t, &mut dice, some).await;
                check(&t, &mut dice, &[EventFilter::default()]).await;
            }
        }
        assert!(alive.len() > 40, "{}", alive.len());
        assert_eq!(rows(&t, "event").await, i64::try_from(alive.len()).unwrap());

        // Counted anew, the summary is the same to the byte.
        let kept = summary_rows(&t).await;
        t.raw("UPDATE event_state SET summarised = FALSE");
        t.again().await;
        assert_eq!(summary_rows(&t).await, kept);
        for gone in alive {
            t.db.event_delete(gone.id, DeleteReason::Retention, at(9)).await.unwrap();
        }
        assert_eq!(rows(&t, "event_summary").await, 0);
    }

    /// What was counted once is right ever after, whatever happens, and is not counted again.
    async fn remembered_totals_are_those_of_a_plain_count(t) {
        let mut dice = Dice(2_463_534_242);
        let mut cameras: Vec<CameraId> = Vec::new();
        for name in ["A", "B", "C"] {
            cameras.push(t.db.camera_insert(camera(name)).await.unwrap().id);
        }
        let is_counted = |f: &EventFilter| {
            let has_words = f.q.as_ref().is_some_and(|q| q.contains(char::is_alphanumeric));
            has_words || f.min_confidence.is_some_and(|least| least > 0)
        };
        let any = any_filter(cameras.iter().map(ToString::to_string).collect());
        let mut filters: Vec<EventFilter> = some(&any, 11, 120).into_iter().filter(is_counted).take(20).collect();
        for q in ["person", "a per", "car", "two", "nothing"] {
            filters.push(EventFilter { q: Some(q.into()), ..EventFilter::default() });
        }
        filters.push(EventFilter { min_confidence: Some(50), ..EventFilter::default() });
        let (mut alive, mut counted, mut seen) = (Vec::new(), None, 0);
        for step in 0..100_usize {
            happen(&t, &mut dice, &cameras, &mut alive, step).await;
            if step == 60 {
                let gone = cameras.swap_remove(1);
                t.db.camera_delete_begin(gone, at(0)).await.unwrap();
                t.db.camera_delete_finish(gone, at(0)).await.unwrap();
                alive.retain(|e| e.camera_id != gone);
            }
            if step == 80 {
                t.db.events_expire(at(80_000), 30, at(0)).await.unwrap();
                let left = all(&t).await;
                alive.retain(|e| left.iter().any(|other| other.id == e.id));
            }
            let events = all(&t).await;
            for filter in &filters {
                let paging = Paging::Page { page: 1, limit: 1 };
                let total = t.db.event_page(filter.clone(), paging, Sort::Desc).await.unwrap().total;
                let expected = events.iter().filter(|e| matches(e, filter)).count();
                assert_eq!(total, u64::try_from(expected).unwrap(), "after {step}: {filter:?}");
                seen += expected;
            }
            let now = t.db.inner.totals.counted();
            assert_eq!(now, *counted.get_or_insert(now), "after {step}");
        }
        assert!(counted.unwrap() > 20 && seen > 1000, "{counted:?}, {seen}");
    }

    /// Where a stretch holds more than is looked through at once, pages are found by way of finer stretches.
    async fn pages_of_many_events_are_found_in_the_right_quarter(t) {
        let mut dice = Dice(7);
        let mut ids = Vec::new();
        for name in ["A", "B"] {
            ids.push(t.db.camera_insert(camera(name)).await.unwrap().id);
        }
        let template = open_event(&t.db, ids[0], at(0)).await.id;
        t.db.event_change(template, vec![EventChange::Described(words("A person"))], at(1)).await.unwrap();
        // More than a quarter of an hour, an hour and a day can be looked through; a ring is rare.
        let other = ids[1];
        t.db.write(move |tx| {
            let mut row: EventRow = event::table.first(tx.conn)?;
            let first = row.camera_id.clone();
            for n in 0..1500_i64 {
                row.id = EventId::new(at(n)).to_string();
                row.started_us = at(0).as_micros() + n * n * 97_003;
                row.camera_id = if n % 3 == 0 { other.to_string() } else { first.clone() };
                row.detection_type = if n % 211 == 0 { "ring" } else { "motion" }.to_owned();
                row.confidence = i32::try_from(n % 101).unwrap();
                diesel::insert_into(event::table).values(&row).execute(tx.conn)?;
            }
            summary::recount(tx.conn)
        }).await.unwrap();
        let ring = EventFilter { detection_types: vec![DetectionType::Ring], ..EventFilter::default() };
        let cameras = |n: usize| EventFilter { camera_ids: ids.iter().take(n).map(ToString::to_string).collect(), ..EventFilter::default() };
        let some = [
            EventFilter::default(),
            ring.clone(),
            cameras(1),
            cameras(2),
            EventFilter { detection_types: vec![DetectionType::Motion, DetectionType::Animal], ..cameras(2) },
            EventFilter { start_time: Some(at(400)), end_time: Some(at(90_000)), ..EventFilter::default() },
            EventFilter { q: Some("pers".into()), ..cameras(1) },
            EventFilter { min_confidence: Some(77), ..ring },
        ];
        for _ in 0..3 {
            check(&t, &mut dice, &some).await;
        }
    }

    /// An export shows one state, whatever happens while it runs, and ends when nobody wants it.
    async fn an_export_is_the_state_at_its_beginning(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let mut ids = Vec::new();
        for s in 0..5 {
            ids.push(open_event(&t.db, c, at(s)).await.id);
        }
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (sink, db) = (Arc::clone(&seen), t.db.clone());
        let (victim, runtime) = (ids[4], tokio::runtime::Handle::current());
        t.db.event_lines(EventFilter::default(), Sort::Desc, move |item| {
            match item {
                Exported::Begun(names) => {
                    assert_eq!(names[&c.to_string()], "A");
                    runtime.block_on(async {
                        db.event_delete(victim, DeleteReason::User, at(9)).await.unwrap();
                        open_event(&db, c, at(50)).await;
                    });
                }
                Exported::Row(line) => sink.lock().unwrap().push(line.id),
            }
            ControlFlow::Continue(())
        }).await.unwrap();
        let expected: Vec<String> = ids.iter().rev().map(ToString::to_string).collect();
        assert_eq!(*seen.lock().unwrap(), expected);

        let seen = Arc::new(Mutex::new(0));
        let sink = Arc::clone(&seen);
        t.db.event_lines(EventFilter::default(), Sort::Desc, move |_| {
            *sink.lock().unwrap() += 1;
            if *sink.lock().unwrap() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), 3);
    }

    async fn a_camera_with_many_events_goes_in_several_steps(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let e = open_event(&t.db, c, at(0)).await.id;
        t.db.write(|tx| {
            let mut row: EventRow = event::table.first(tx.conn)?;
            for n in 1..450_i64 {
                row.id = EventId::new(at(n)).to_string();
                row.started_us = at(n * 60).as_micros();
                diesel::insert_into(event::table).values(&row).execute(tx.conn)?;
            }
            summary::recount(tx.conn)
        }).await.unwrap();
        let before = t.db.read(summary::changes).await.unwrap();
        t.delete_camera(c, at(5)).await.unwrap();
        // 450 events, 200 at a time.
        assert_eq!(t.db.read(summary::changes).await.unwrap() - before, 3);
        assert_eq!((rows(&t, "event").await, rows(&t, "event_summary").await), (0, 0));
        assert_eq!(t.db.event_get(e).await.unwrap(), None);
        let told = t.db.journal_after(0, 10, None).await.unwrap();
        assert_eq!(told.iter().map(|m| m.r#type.as_str()).collect::<Vec<_>>(), ["camera.status", "camera.status"]);
    }
}
