//! The list of events: filters, words, pages, counts.

use argus_core::event::{DetectionType, Event};
use argus_core::journal::DeleteReason;
use argus_core::{CameraId, EventId, Timestamp};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::events::words;
use super::{TestDb, at, camera, new_event, on_both, open_event};
use crate::{Database, DbError, DescriptionPlan, EventChange, EventFilter, EventPage, Paging, Sort};

/// How many rows a table has.
pub(super) async fn rows(t: &TestDb, table: &'static str) -> i64 {
    let count = diesel::dsl::sql::<BigInt>(&format!("(SELECT count(*) FROM {table})"));
    t.db.read(move |c| Ok(diesel::select(count).get_result(c)?)).await.unwrap()
}

async fn list(db: &Database, filter: EventFilter) -> EventPage {
    db.event_page(filter, Paging::Page { page: 1, limit: 500 }, Sort::Asc).await.unwrap()
}

async fn ids(db: &Database, filter: EventFilter) -> Vec<EventId> {
    let page = list(db, filter).await;
    assert_eq!(page.total, u64::try_from(page.items.len()).unwrap());
    page.items.iter().map(|e| e.id).collect()
}

fn q(text: &str) -> EventFilter {
    EventFilter { q: Some(text.into()), ..Default::default() }
}

on_both! {
    async fn each_filter_selects_what_the_contract_says(t) {
        let (a, b) = (camera("A"), camera("B"));
        t.db.camera_insert(a.clone()).await.unwrap();
        t.db.camera_insert(b.clone()).await.unwrap();
        let e0 = open_event(&t.db, a.id, at(0)).await.id;
        let mut new = new_event(a.id, at(10));
        (new.detection_type, new.confidence) = (DetectionType::Person, 80);
        let e1 = new.id;
        t.db.event_open(new, at(10), DescriptionPlan::Skip(argus_core::event::StatusReason::NoProvider)).await.unwrap();
        let e2 = open_event(&t.db, b.id, Timestamp::from_micros(at(20).as_micros() + 123_456)).await.id;
        let described = EventChange::Described(words("A person and an animal"));
        let clip = EventChange::Clip { bytes: 1, from: at(15), until: at(25) };
        t.db.event_change(e2, vec![described, clip], at(30)).await.unwrap();

        let f = EventFilter::default;
        assert_eq!(ids(&t.db, f()).await, [e0, e1, e2]);
        let of = |ids: &[&str]| EventFilter { camera_ids: ids.iter().map(ToString::to_string).collect(), ..f() };
        let (ta, tb) = (a.id.to_string(), b.id.to_string());
        assert_eq!(ids(&t.db, of(&[&ta])).await, [e0, e1]);
        assert_eq!(ids(&t.db, of(&[&ta, &tb, "nonsense"])).await, [e0, e1, e2]);
        for nothing in ["123", "", "\0", &ta.to_uppercase(), &CameraId::new(at(0)).to_string(), "' OR 1=1 --"] {
            assert_eq!(ids(&t.db, of(&[nothing])).await, [], "{nothing:?}");
        }
        let kinds = |k: &[DetectionType]| EventFilter { detection_types: k.to_vec(), ..f() };
        assert_eq!(ids(&t.db, kinds(&[DetectionType::Person])).await, [e1, e2]);
        assert_eq!(ids(&t.db, kinds(&[DetectionType::Motion])).await, [e0, e2]);
        assert_eq!(ids(&t.db, kinds(&[DetectionType::Animal, DetectionType::Person])).await, [e1, e2]);
        assert_eq!(ids(&t.db, kinds(&[DetectionType::Vehicle])).await, []);
        let source = |s| EventFilter { source_types: vec![s], ..f() };
        assert_eq!(ids(&t.db, source(argus_core::camera::SourceType::Test)).await.len(), 3);
        assert_eq!(ids(&t.db, source(argus_core::camera::SourceType::Usb)).await, []);
        let time = |from: Option<Timestamp>, to: Option<Timestamp>| EventFilter { start_time: from, end_time: to, ..f() };
        assert_eq!(ids(&t.db, time(Some(at(10)), Some(at(10)))).await, [e1]);
        assert_eq!(ids(&t.db, time(Some(at(10)), None)).await, [e1, e2]);
        // As it is shown: 20.123 s holds what happened at 20.123456 s.
        let shown = Timestamp::from_millis(at(20).as_millis() + 123);
        assert_eq!(ids(&t.db, time(Some(shown), Some(shown))).await, [e2]);
        assert_eq!(ids(&t.db, time(None, Some(Timestamp::from_millis(shown.as_millis() - 1)))).await, [e0, e1]);
        assert_eq!(ids(&t.db, EventFilter { min_confidence: Some(80), ..f() }).await, [e1]);
        assert_eq!(ids(&t.db, EventFilter { has_clip: Some(true), ..f() }).await, [e2]);
        assert_eq!(ids(&t.db, EventFilter { has_clip: Some(false), ..f() }).await, [e0, e1]);
        assert_eq!(ids(&t.db, EventFilter { low_confidence: Some(false), ..f() }).await.len(), 3);
        assert_eq!(ids(&t.db, EventFilter { low_confidence: Some(true), ..f() }).await, []);
        let status = |s| EventFilter { description_statuses: vec![s], ..f() };
        assert_eq!(ids(&t.db, status(argus_core::event::DescriptionStatus::Skipped)).await, [e1]);
        let both = EventFilter { q: Some("person".into()), camera_ids: vec![ta], ..f() };
        assert_eq!(ids(&t.db, both).await, []);
    }

    async fn words_are_found_by_their_beginning(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let e = open_event(&t.db, c, at(0)).await.id;
        let d = EventChange::Described(words("Ein MÄNNCHEN (groß, ca. 1.80m) bringt ein Paket; NOT a red-car. 人物が歩く AND x_y"));
        t.db.event_change(e, vec![d], at(1)).await.unwrap();
        for found in ["", "männ", "MÄNNCHEN ein", "paket bri", "gross", "GROSS", "1", "80m", "red car", "car-red", "\"red\"*",
            "人物", "not", "AND", "x y", "paket  paket", "ca.", "80M!"]
        {
            assert_eq!(ids(&t.db, q(found)).await, [e], "{found:?}");
        }
        for missing in ["mann", "maennchen", "änn", "aket", "redcar", "NEAR", "motion", "!", " ", "%", "_", "*", "\0", "paket auto"] {
            assert_eq!(ids(&t.db, q(missing)).await, [], "{missing:?}");
        }
        // Another description leaves no trace of the one before.
        t.db.event_change(e, vec![EventChange::Reanalysed(words("Nothing"))], at(2)).await.unwrap();
        assert_eq!(ids(&t.db, q("paket")).await, []);
        assert_eq!(ids(&t.db, q("noth")).await, [e]);
        t.db.event_delete(e, DeleteReason::User, at(3)).await.unwrap();
        assert_eq!(ids(&t.db, q("noth")).await, []);
    }

    /// Whatever is asked, the answer is that of a plain comparison of words, and never an error.
    async fn any_query_is_answered_by_the_rule(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let texts = any_text(60);
        let mut runner = TestRunner::new(Config { rng_seed: RngSeed::Fixed(7), cases: 40, ..Config::default() });
        let cases = std::sync::Mutex::new(Vec::new());
        runner.run(&(texts.clone(), texts), |pair| {
            cases.lock().unwrap().push(pair);
            Ok(())
        }).unwrap();
        let mut found = 0;
        for (i, (text, query)) in cases.into_inner().unwrap().into_iter().enumerate() {
            let e = open_event(&t.db, c, at(i64::try_from(i).unwrap())).await.id;
            let d = EventChange::Described(words(&format!("{text}.")));
            t.db.event_change(e, vec![d], at(1)).await.unwrap();
            let stored = t.db.event_get(e).await.unwrap().unwrap().description;
            // Also what begins the text itself, so that not every query is in vain.
            let own: String = text.chars().take(3).collect();
            for query in [query, own] {
                let expected = rule(&stored, &query);
                let got = ids(&t.db, EventFilter { start_time: Some(at(i64::try_from(i).unwrap())), ..q(&query) }).await;
                assert_eq!(got.contains(&e), expected, "{query:?} in {stored:?}");
                found += usize::from(expected);
            }
        }
        assert!(found >= 20, "{found} were found");
    }

    /// The pages by cursor and the pages by number are the whole list, in both orders, whatever the times.
    async fn pages_are_the_list_cut_in_pieces(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let strategy = (proptest::collection::vec(0_i64..6, 0..14), 1_u32..6);
        let mut runner = TestRunner::new(Config { rng_seed: RngSeed::Fixed(3), cases: 6, ..Config::default() });
        let cases = std::sync::Mutex::new(Vec::new());
        runner.run(&strategy, |case| {
            cases.lock().unwrap().push(case);
            Ok(())
        }).unwrap();
        for (seconds, limit) in cases.into_inner().unwrap() {
            for event in list(&t.db, EventFilter::default()).await.items {
                t.db.event_delete(event.id, DeleteReason::Retention, at(99)).await.unwrap();
            }
            let mut expected: Vec<(Timestamp, EventId)> = Vec::new();
            for s in seconds {
                expected.push((at(s), open_event(&t.db, c, at(s)).await.id));
            }
            expected.sort();
            for sort in [Sort::Asc, Sort::Desc] {
                let in_order = |e: &Event| (e.timestamp, e.id);
                let mut by_page = Vec::new();
                let mut by_cursor = Vec::new();
                let mut paging = Paging::Page { page: 1, limit };
                loop {
                    let page = t.db.event_page(EventFilter::default(), paging, sort).await.unwrap();
                    assert_eq!(page.total, u64::try_from(expected.len()).unwrap());
                    by_cursor.extend(page.items.iter().map(in_order));
                    let Some(cursor) = page.next_cursor else { break };
                    assert_eq!(page.items.len(), usize::try_from(limit).unwrap());
                    paging = Paging::Cursor { cursor, limit };
                }
                for page in 1..=u32::try_from(expected.len()).unwrap() + 1 {
                    let paging = Paging::Page { page, limit };
                    by_page.extend(t.db.event_page(EventFilter::default(), paging, sort).await.unwrap().items.iter().map(in_order));
                }
                assert_eq!(by_cursor, expected);
                assert_eq!(by_page, expected);
                expected.reverse();
            }
        }
    }

    async fn a_cursor_holds_its_place_while_events_come_in(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        for s in 0..4 {
            open_event(&t.db, c, at(s)).await;
        }
        let first = t.db.event_page(EventFilter::default(), Paging::Page { page: 1, limit: 2 }, Sort::Desc).await.unwrap();
        open_event(&t.db, c, at(50)).await;
        let cursor = first.next_cursor.clone().unwrap();
        let paging = Paging::Cursor { cursor: cursor.clone(), limit: 2 };
        let second = t.db.event_page(EventFilter::default(), paging, Sort::Desc).await.unwrap();
        let seconds: Vec<_> = first.items.iter().chain(&second.items).map(|e| e.timestamp).collect();
        assert_eq!(seconds, [at(3), at(2), at(1), at(0)]);
        assert_eq!((second.page, second.next_cursor, second.total), (None, None, 5));
        let other = t.db.event_page(EventFilter::default(), Paging::Cursor { cursor: cursor.clone(), limit: 2 }, Sort::Asc).await;
        assert!(matches!(other, Err(DbError::Invalid(i)) if i.field == "cursor"));
        let damaged = Paging::Cursor { cursor: cursor.chars().skip(1).collect(), limit: 2 };
        assert!(matches!(t.db.event_page(EventFilter::default(), damaged, Sort::Desc).await, Err(DbError::Invalid(_))));
    }
}

/// Text of letters of several scripts, digits, marks, signs and words that mean something to a query language.
fn any_text(most: usize) -> impl Strategy<Value = String> + Clone {
    let piece = prop_oneof![
        3 => "[a-cA-Cäß0-2]{1,3}",
        1 => Just(" ".to_owned()),
        1 => "[\"'*()^:&|!\\\\%_.,;-]{1,2}",
        1 => prop_oneof![Just("AND"), Just("OR"), Just("NOT"), Just("NEAR"), Just("search_text:")].prop_map(str::to_owned),
        1 => "\\PC{1,2}",
    ];
    proptest::collection::vec(piece, 0..8).prop_map(move |p| p.concat().chars().take(most).collect())
}

/// The rule in plain words.
fn rule(text: &str, query: &str) -> bool {
    let words = |t: &str| {
        crate::value::fold(t)
            .split(|c: char| !c.is_alphanumeric())
            .filter(|w| !w.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (text, asked) = (words(text), words(query));
    query.is_empty() || (!asked.is_empty() && asked.iter().all(|a| text.iter().any(|w| w.starts_with(a.as_str()))))
}
