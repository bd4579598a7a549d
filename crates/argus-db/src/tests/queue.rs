//! The queue against a plain model of it: any order of arrivals, leases, ends, failures, crashes and late workers.

use std::time::Duration;

use argus_core::event::DetectionType;
use argus_core::{EventId, Timestamp};
use proptest::prelude::*;

use super::{TestDb, at, camera, new_event};
use crate::{DescriptionPlan, Job, JobOrder};

const LEASE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
enum Step {
    /// An event of one of the kinds, whose description may be made at once.
    Arrives(usize),
    /// A worker takes a job, the newest or the oldest of the most urgent.
    Lease(bool),
    /// One of the workers is done, be it in time or not.
    Finish(usize),
    /// One of the workers has failed, and so many seconds are to pass.
    Retry(usize, u16),
    /// Time passes.
    Later(u16),
    /// The only process is killed.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..DetectionType::ALL.len()).prop_map(Step::Arrives),
        5 => any::<bool>().prop_map(Step::Lease),
        2 => any::<usize>().prop_map(Step::Finish),
        2 => (any::<usize>(), 0_u16..200).prop_map(|(who, pause)| Step::Retry(who, pause)),
        3 => (1_u16..90).prop_map(Step::Later),
        1 => Just(Step::Crash),
    ]
}

/// A job as the model sees it.
#[derive(Clone, Debug)]
struct Model {
    event: EventId,
    priority: i32,
    created: Timestamp,
    not_before: Timestamp,
    /// Until when, and which lease it is.
    leased: Option<(Timestamp, i64)>,
    attempts: u32,
}

impl Model {
    fn is_due(&self, now: Timestamp) -> bool {
        self.leased.map_or(self.not_before <= now, |(until, _)| until <= now)
    }

    /// Whether it belongs to what happens now, and has not been tried yet.
    fn is_young(&self, now: Timestamp) -> bool {
        self.attempts == 0 && now.since(self.created) < Duration::from_secs(300)
    }

    fn is_held_by(&self, job: &Job) -> bool {
        self.event == job.event_id && self.leased.is_some_and(|(_, token)| token == job.lease_token)
    }
}

async fn check(steps: Vec<Step>) {
    let t = TestDb::sqlite().await;
    let c = t.db.camera_insert(camera("A")).await.unwrap().id;
    let mut now = at(0);
    let mut model: Vec<Model> = Vec::new();
    let mut workers: Vec<Job> = Vec::new();
    for step in steps {
        match step {
            Step::Arrives(kind) => {
                // No two at the same moment: their order would be that of their ids.
                now = now.plus(Duration::from_millis(1));
                let detection_type = DetectionType::ALL[kind];
                let new = argus_core::event::NewEvent { detection_type, ..new_event(c, now) };
                let priority = argus_core::describe::priority(detection_type);
                t.db.event_open(new.clone(), now, DescriptionPlan::Job { priority }).await.unwrap();
                assert!(t.db.job_ready(new.id, None, now).await.unwrap());
                let (event, leased) = (new.id, None);
                model.push(Model { event, priority, created: now, not_before: now, leased, attempts: 0 });
            }
            Step::Lease(newest) => {
                let order = if newest { JobOrder::Newest } else { JobOrder::Oldest };
                let got = t.db.job_lease(now, LEASE, 1, order).await.unwrap().pop();
                let age = |m: &Model| if newest { -m.created.as_micros() } else { m.created.as_micros() };
                let key = |m: &Model| (!(newest && m.is_young(now)), -m.priority, age(m));
                let expected = model.iter_mut().filter(|m| m.is_due(now)).min_by_key(|m| key(m));
                assert_eq!(got.as_ref().map(|j| j.event_id), expected.as_ref().map(|m| m.event));
                if let (Some(job), Some(expected)) = (got, expected) {
                    expected.attempts += 1;
                    assert_eq!((job.attempts, job.priority), (expected.attempts, expected.priority));
                    assert!(expected.leased.is_none_or(|(_, token)| token < job.lease_token), "a lease of its own");
                    expected.leased = Some((now.plus(LEASE), job.lease_token));
                    workers.push(job);
                }
            }
            Step::Finish(who) if !workers.is_empty() => {
                let job = workers.swap_remove(who % workers.len());
                let place = model.iter().position(|m| m.is_held_by(&job));
                assert_eq!(t.db.job_finish(job.lease()).await.unwrap(), place.is_some(), "{job:?}");
                place.map(|place| model.remove(place));
            }
            Step::Retry(who, pause) if !workers.is_empty() => {
                let job = workers.swap_remove(who % workers.len());
                let not_before = now.plus(Duration::from_secs(pause.into()));
                let held = model.iter_mut().find(|m| m.is_held_by(&job));
                assert_eq!(t.db.job_retry(job.lease(), not_before).await.unwrap(), held.is_some(), "{job:?}");
                if let Some(m) = held {
                    m.not_before = not_before;
                    m.leased = None;
                }
            }
            Step::Finish(_) | Step::Retry(..) => {}
            Step::Later(seconds) => now = now.plus(Duration::from_secs(seconds.into())),
            Step::Crash => {
                t.db.jobs_recover(now).await.unwrap();
                for m in model.iter_mut().filter(|m| m.leased.is_some()) {
                    m.leased = None;
                    m.not_before = now;
                }
                // What was made anew for events whose job had ended is a matter of descriptions, not of the queue.
                for job in t.db.job_lease(now, Duration::ZERO, 999, JobOrder::Oldest).await.unwrap() {
                    match model.iter_mut().find(|m| m.event == job.event_id) {
                        Some(m) => {
                            m.attempts += 1;
                            m.leased = Some((now, job.lease_token));
                        }
                        None => assert!(t.db.job_finish(job.lease()).await.unwrap()),
                    }
                }
                workers.clear();
            }
        }
        let counts = t.db.jobs_count().await.unwrap();
        assert_eq!(counts.ready + counts.leased, model.len() as u64);
    }
    // In the end everything comes to its turn, half of it newest first.
    now = now.plus(Duration::from_secs(9999));
    let mut turn = false;
    while !model.is_empty() {
        turn = !turn;
        let order = if turn { JobOrder::Newest } else { JobOrder::Oldest };
        let job = t.db.job_lease(now, LEASE, 1, order).await.unwrap().remove(0);
        assert!(t.db.job_finish(job.lease()).await.unwrap());
        model.retain(|m| m.event != job.event_id);
    }
    assert_eq!(t.db.job_lease(now, LEASE, 9, JobOrder::Oldest).await.unwrap(), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_is_what_its_model_is(steps in proptest::collection::vec(step(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(steps));
    }
}
