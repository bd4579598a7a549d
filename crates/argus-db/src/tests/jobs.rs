//! The queue of descriptions.

use std::collections::HashMap;
use std::time::Duration;

use argus_core::describe::{AnalysisTrigger, EventFacts};
use argus_core::event::{DescriptionStatus, DetectionType, StatusReason};
use argus_core::{CameraId, EventId};

use super::{TestDb, at, camera, lease_of, new_event, on_both, open_event};
use crate::JobOrder::{Newest, Oldest};
use crate::{DescriptionPlan, EventChange, JobCounts};

const MINUTE: Duration = Duration::from_secs(60);

async fn queue(t: &TestDb, n: i64) -> (CameraId, Vec<EventId>) {
    let c = t.db.camera_insert(camera("A")).await.unwrap().id;
    let mut all = Vec::new();
    for i in 0..n {
        let e = open_event(&t.db, c, at(i)).await.id;
        assert!(t.db.job_ready(e, None, at(i)).await.unwrap());
        all.push(e);
    }
    (c, all)
}

on_both! {
    async fn a_job_waits_is_ready_is_leased_and_done(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let e = open_event(&t.db, c, at(0)).await.id;
        assert_eq!(t.db.job_lease(at(99), MINUTE, 5, Oldest).await.unwrap(), []);
        assert_eq!(t.db.job_next_at().await.unwrap(), None);
        assert!(t.db.job_ready(e, None, at(10)).await.unwrap());
        assert!(!t.db.job_ready(e, None, at(20)).await.unwrap(), "once only");
        assert_eq!(t.db.job_next_at().await.unwrap(), Some(at(10)));
        assert_eq!(t.db.job_lease(at(9), MINUTE, 5, Oldest).await.unwrap(), []);
        let jobs = t.db.job_lease(at(10), MINUTE, 5, Oldest).await.unwrap();
        assert_eq!((jobs.len(), jobs[0].event_id, jobs[0].attempts, jobs[0].trigger, jobs[0].lease_until),
            (1, e, 1, AnalysisTrigger::Initial, at(70)));
        assert_eq!(t.db.job_lease(at(69), MINUTE, 5, Oldest).await.unwrap(), []);
        assert_eq!(t.db.jobs_count().await.unwrap(), JobCounts { leased: 1, ..Default::default() });
        assert!(t.db.job_retry(lease_of(&t.db, e).await, at(300)).await.unwrap());
        assert_eq!(t.db.job_lease(at(299), MINUTE, 5, Oldest).await.unwrap(), []);
        let jobs = t.db.job_lease(at(300), MINUTE, 5, Oldest).await.unwrap();
        assert_eq!((jobs[0].attempts, jobs[0].trigger), (2, AnalysisTrigger::Retry));
        assert!(t.db.job_finish(lease_of(&t.db, e).await).await.unwrap());
        assert!(!t.db.job_finish(lease_of(&t.db, e).await).await.unwrap() && !t.db.job_retry(lease_of(&t.db, e).await, at(0)).await.unwrap());
        assert_eq!(t.db.jobs_count().await.unwrap(), JobCounts::default());
    }

    async fn what_was_measured_comes_with_the_job(t) {
        let c = t.db.camera_insert(camera("A")).await.unwrap().id;
        let facts = EventFacts {
            camera_name: "A".into(),
            started_at: at(0),
            duration_ms: Some(7250),
            detection_type: DetectionType::Motion,
            zones: vec!["Yard".into()],
            area: None,
            largest_ratio: Some(0.1),
            first_center: Some((0.1, 0.9)),
            last_center: None,
            confidence: 66,
        };
        let e = open_event(&t.db, c, at(0)).await.id;
        t.db.job_ready(e, Some(facts.clone()), at(1)).await.unwrap();
        assert_eq!(t.db.job_lease(at(1), MINUTE, 1, Oldest).await.unwrap()[0].facts, Some(facts));
        // One bad row does not hold up the queue.
        t.raw("UPDATE analysis_job SET facts = 'x'");
        assert_eq!(t.db.job_lease(at(61), MINUTE, 1, Oldest).await.unwrap()[0].facts, None);
    }

    async fn a_lease_that_ran_out_is_taken_again(t) {
        let (_, all) = queue(&t, 1).await;
        t.db.job_lease(at(10), MINUTE, 1, Oldest).await.unwrap();
        assert_eq!(t.db.job_next_at().await.unwrap(), Some(at(70)));
        let again = t.db.job_lease(at(70), MINUTE, 1, Oldest).await.unwrap();
        assert_eq!((again[0].event_id, again[0].attempts), (all[0], 2));
    }

    async fn the_urgent_go_first_then_the_oldest(t) {
        let (c, all) = queue(&t, 3).await;
        let new = new_event(c, at(50));
        t.db.event_open(new.clone(), at(50), DescriptionPlan::Job { priority: 10 }).await.unwrap();
        t.db.job_ready(new.id, None, at(51)).await.unwrap();
        let order: Vec<EventId> = t.db.job_lease(at(60), MINUTE, 3, Oldest).await.unwrap().iter().map(|j| j.event_id).collect();
        assert_eq!(order, [new.id, all[0], all[1]]);
    }

    async fn what_happens_now_does_not_wait_for_a_backlog_of_more_urgent_things(t) {
        let c = t.db.camera_insert(camera("B")).await.unwrap().id;
        let add = async |seconds, detection_type| {
            let new = argus_core::event::NewEvent { detection_type, ..new_event(c, at(seconds)) };
            let plan = DescriptionPlan::Job { priority: argus_core::describe::priority(detection_type) };
            t.db.event_open(new.clone(), at(seconds), plan).await.unwrap();
            t.db.job_ready(new.id, None, at(seconds)).await.unwrap();
            new.id
        };
        let (ring, person) = (add(0, DetectionType::Ring).await, add(1, DetectionType::Person).await);
        let (motion, later_person) = (add(3600, DetectionType::Motion).await, add(3601, DetectionType::Person).await);
        let next = async |order| {
            let job = t.db.job_lease(at(3610), MINUTE, 1, order).await.unwrap().remove(0);
            (job.event_id, job.lease())
        };
        let (first, lease) = next(Newest).await;
        assert_eq!(first, later_person, "of what is new the more urgent");
        // One that was tried already waits as all others do.
        t.db.job_retry(lease, at(3605)).await.unwrap();
        assert_eq!(next(Oldest).await.0, ring);
        assert_eq!(next(Newest).await.0, motion);
        assert_eq!(next(Newest).await.0, later_person);
        assert_eq!(next(Newest).await.0, person);
    }

    async fn a_worker_whose_lease_ran_out_ends_nothing(t) {
        let (_, all) = queue(&t, 1).await;
        let late = t.db.job_lease(at(10), MINUTE, 1, Oldest).await.unwrap().remove(0);
        let now = t.db.job_lease(at(70), MINUTE, 1, Oldest).await.unwrap().remove(0);
        assert!(now.lease().token > late.lease().token);
        let why = Some((DescriptionStatus::Failed, StatusReason::Timeout));
        assert!(!t.db.job_finish(late.lease()).await.unwrap());
        assert!(!t.db.job_retry(late.lease(), at(0)).await.unwrap());
        assert!(!t.db.job_return(late.lease(), at(0)).await.unwrap());
        for retry_at in [None, Some(at(0))] {
            assert!(!t.db.job_undescribed(late.lease(), why, retry_at, at(71)).await.unwrap());
        }
        let event = t.db.event_get(all[0]).await.unwrap().unwrap();
        assert_eq!(event.description_status, DescriptionStatus::Pending);
        assert_eq!(t.db.jobs_count().await.unwrap(), JobCounts { leased: 1, ..JobCounts::default() });
        assert!(t.db.job_undescribed(now.lease(), why, None, at(71)).await.unwrap());
        let event = t.db.event_get(all[0]).await.unwrap().unwrap();
        assert_eq!((event.description_status, event.status_reason),
            (DescriptionStatus::Failed, Some(StatusReason::Timeout)));
        assert_eq!(t.db.jobs_count().await.unwrap(), JobCounts::default());
    }

    async fn a_job_that_nobody_works_on_can_be_put_off(t) {
        let (_, all) = queue(&t, 1).await;
        assert!(t.db.job_put_back(all[0], at(50)).await.unwrap());
        assert_eq!(t.db.job_lease(at(49), MINUTE, 1, Oldest).await.unwrap(), []);
        assert_eq!(t.db.job_lease(at(50), MINUTE, 1, Oldest).await.unwrap().len(), 1);
        assert!(!t.db.job_put_back(all[0], at(50)).await.unwrap(), "somebody works on it");
    }

    async fn a_job_that_was_made_anew_is_not_that_of_an_earlier_lease(t) {
        let (_, all) = queue(&t, 1).await;
        let first = t.db.job_lease(at(10), MINUTE, 1, Oldest).await.unwrap().remove(0);
        assert!(t.db.job_finish(first.lease()).await.unwrap());
        t.db.jobs_recover(at(11)).await.unwrap();
        let second = t.db.job_lease(at(12), MINUTE, 1, Oldest).await.unwrap().remove(0);
        assert_eq!((second.event_id, second.attempts), (all[0], 1));
        assert!(!t.db.job_finish(first.lease()).await.unwrap());
        assert!(t.db.job_finish(second.lease()).await.unwrap());
    }

    async fn the_newest_can_go_first_among_the_equally_urgent(t) {
        let (c, all) = queue(&t, 3).await;
        let mut urgent = new_event(c, at(1));
        urgent.detection_type = DetectionType::Ring;
        let priority = argus_core::describe::priority(urgent.detection_type);
        t.db.event_open(urgent.clone(), at(1), DescriptionPlan::Job { priority }).await.unwrap();
        t.db.job_ready(urgent.id, None, at(1)).await.unwrap();
        let order: Vec<EventId> = t.db.job_lease(at(60), MINUTE, 9, Newest).await.unwrap().iter().map(|j| j.event_id).collect();
        assert_eq!(order, [urgent.id, all[2], all[1], all[0]]);
        // Another try is as urgent as the first one was.
        t.db.job_retry(lease_of(&t.db, urgent.id).await, at(61)).await.unwrap();
        assert_eq!(t.db.job_lease(at(61), MINUTE, 1, Oldest).await.unwrap()[0].priority, priority);
    }

    async fn each_job_goes_to_one_of_eight_workers(t) {
        let (_, all) = queue(&t, 60).await;
        let other = t.again().await;
        let workers: Vec<_> = (0..8).map(|i| {
            let db = if i % 2 == 0 { t.db.clone() } else { other.clone() };
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let some = db.job_lease(at(100), MINUTE, 3, Oldest).await.unwrap();
                    // Passed-by rows may make an answer short; only the count tells that all are taken.
                    if some.is_empty() && db.jobs_count().await.unwrap().ready == 0 {
                        return mine;
                    }
                    mine.extend(some.into_iter().map(|j| j.event_id));
                }
            })
        }).collect();
        let mut taken: HashMap<EventId, usize> = HashMap::new();
        for worker in workers {
            for e in worker.await.unwrap() {
                *taken.entry(e).or_default() += 1;
            }
        }
        assert_eq!(taken.len(), all.len());
        assert!(taken.values().all(|&n| n == 1), "{taken:?}");
    }

    async fn after_a_crash_every_pending_event_has_a_job_that_can_be_taken(t) {
        let (c, all) = queue(&t, 3).await;
        t.db.job_lease(at(10), MINUTE, 1, Oldest).await.unwrap();
        t.db.job_finish(lease_of(&t.db, all[1]).await).await.unwrap();
        t.db.job_finish(lease_of(&t.db, all[2]).await).await.unwrap();
        let skip = EventChange::Undescribed { status: DescriptionStatus::Skipped, reason: StatusReason::NoPicture };
        t.db.event_change(all[2], vec![skip], at(11)).await.unwrap();
        let waiting = open_event(&t.db, c, at(12)).await.id;
        assert_eq!(t.db.jobs_count().await.unwrap(), JobCounts { waiting: 1, ready: 0, leased: 1 });
        assert_eq!(t.db.jobs_recover(at(20)).await.unwrap(), (2, 1));
        assert_eq!(t.db.jobs_count().await.unwrap(), JobCounts { waiting: 0, ready: 3, leased: 0 });
        let order: Vec<EventId> = t.db.job_lease(at(20), MINUTE, 9, Oldest).await.unwrap().iter().map(|j| j.event_id).collect();
        assert_eq!(order, [all[0], all[1], waiting]);
    }
}
