//! What calls came to, and what left the process.

use argus_core::call::{CallPurpose, PlannedCall};
use argus_core::camera::AnalysisMode;
use argus_core::usage::{EgressDay, EgressHost, UsageGroupBy};

use super::calls::{call, fails, planned, rules, says};
use super::{TestDb, at, camera, on_both, open_event};
use crate::NewCall;

/// A call and what came of it.
async fn made(t: &TestDb, new: NewCall, settled: argus_core::call::SettledCall) {
    t.db.ai_call_book(new.clone(), rules(None, None)).await.unwrap().unwrap();
    t.db.ai_call_settle(new.id, settled, rules(None, None), new.at).await.unwrap();
}

on_both! {
    async fn calls_are_summed_by_whatever_is_asked(t) {
        let c = t.db.camera_insert(camera("Door")).await.unwrap().id;
        let e = open_event(&t.db, c, at(0)).await.id;
        let of_camera = |seconds| NewCall {
            purpose: CallPurpose::Event,
            event_id: Some(e),
            camera_id: Some(c),
            analysis_mode: Some(AnalysisMode::MultiFrame),
            ..call(at(seconds), Some(0.5))
        };
        made(&t, of_camera(0), says(Some(0.25))).await;
        made(&t, of_camera(1), fails()).await;
        // On the next day, by another model.
        let other = NewCall { planned: PlannedCall { model: "big-1".into(), ..planned(Some(0.5)) }, ..call(at(86_400), None) };
        made(&t, other, says(Some(0.125))).await;
        // Under way: it counts with what is reserved, and has not failed.
        t.db.ai_call_book(call(at(86_401), Some(0.5)), rules(None, None)).await.unwrap().unwrap();

        let usage = async |group_by| t.db.ai_usage(at(0), at(86_401), group_by, "UTC".into()).await.unwrap();
        let none = usage(UsageGroupBy::None).await;
        assert_eq!((none.groups.len(), none.sums.total_calls, none.sums.successful_calls, none.sums.failed_calls), (0, 4, 2, 1));
        assert_eq!((none.sums.tokens_input, none.sums.tokens_output, none.sums.total_tokens), (1800, 80, 1880));
        assert_eq!((none.sums.total_cost, none.sums.avg_response_time_ms), (0.875, Some(450.0)));

        let groups = async |group_by| {
            let usage = usage(group_by).await;
            assert_eq!(usage.sums, none.sums, "{group_by}");
            let group = |g: argus_core::usage::UsageGroup| (g.key, g.label, g.sums.total_calls, g.sums.total_cost);
            usage.groups.into_iter().map(group).collect::<Vec<_>>()
        };
        let text = |t: &str| Some(t.to_owned());
        assert_eq!(groups(UsageGroupBy::Day).await,
            [(text("2025-12-23"), "2025-12-23".to_owned(), 2, 0.25), (text("2025-12-24"), "2025-12-24".to_owned(), 2, 0.625)]);
        assert_eq!(groups(UsageGroupBy::Model).await,
            [(text("big-1"), "big-1".to_owned(), 1, 0.125), (text("tiny-1"), "tiny-1".to_owned(), 3, 0.75)]);
        assert_eq!(groups(UsageGroupBy::Camera).await,
            [(None, "No camera".to_owned(), 2, 0.625), (Some(c.to_string()), "Door".to_owned(), 2, 0.25)]);
        assert_eq!(groups(UsageGroupBy::Mode).await,
            [(text("multi_frame"), "multi_frame".to_owned(), 2, 0.25), (text("single_frame"), "single_frame".to_owned(), 2, 0.625)]);
        let by_provider = groups(UsageGroupBy::Provider).await;
        assert_eq!((by_provider.len(), by_provider[0].1.as_str()), (1, "Mine"));
        t.delete_camera(c, at(9)).await.unwrap();
        assert_eq!(groups(UsageGroupBy::Camera).await[1].1, "Deleted camera");

        let few = t.db.ai_usage(at(1), at(1), UsageGroupBy::Day, "UTC".into()).await.unwrap();
        assert_eq!((few.sums.total_calls, few.sums.avg_response_time_ms), (1, None));
        let empty = t.db.ai_usage(at(5), at(6), UsageGroupBy::Model, "UTC".into()).await.unwrap();
        assert_eq!((empty.sums, empty.groups), Default::default());
        assert!(t.db.ai_usage(at(0), at(1), UsageGroupBy::Day, "Nowhere/Land".into()).await.is_err());
    }

    async fn days_are_those_of_the_wall(t) {
        // 10:30 UTC, and 15:00 UTC: in Auckland the second is on the next day.
        for seconds in [0, 4 * 3600 + 1800] {
            made(&t, call(at(seconds), None), says(None)).await;
        }
        let days = t.db.ai_usage(at(0), at(90_000), UsageGroupBy::Day, "Pacific/Auckland".into()).await.unwrap().groups;
        assert_eq!(days.iter().map(|g| g.label.as_str()).collect::<Vec<_>>(), ["2025-12-23", "2025-12-24"]);
    }

    async fn what_went_to_a_host_is_listed_and_summed_by_day(t) {
        let to = |seconds, host: Option<&str>, is_remote| NewCall {
            planned: PlannedCall { host: host.map(str::to_owned), is_remote, ..planned(None) },
            ..call(at(seconds), None)
        };
        made(&t, to(0, Some("api.example:443"), true), says(None)).await;
        made(&t, to(1, Some("10.0.0.9:11434"), false), fails()).await;
        made(&t, to(2, None, false), says(None)).await;
        t.db.ai_call_book(to(3, Some("api.example:443"), true), rules(None, None)).await.unwrap().unwrap();
        made(&t, to(86_400, Some("api.example:443"), true), says(None)).await;

        let page = t.db.ai_egress(at(0), at(86_400), 1, 2).await.unwrap();
        assert_eq!((page.total, page.items.len()), (3, 2));
        assert_eq!(page.items.iter().map(|c| c.created_at).collect::<Vec<_>>(), [at(3), at(1)]);
        assert_eq!(t.db.ai_egress(at(0), at(86_400), 2, 2).await.unwrap().items[0].created_at, at(0));

        let host = |host: &str, is_remote, calls| EgressHost {
            host: host.into(), is_remote, calls, bytes_sent: calls * 54_321, frames: calls,
        };
        let day = |date: &str, hosts: Vec<EgressHost>| {
            let calls = hosts.iter().map(|h| h.calls).sum();
            EgressDay { date: date.into(), calls, bytes_sent: calls * 54_321, frames: calls, hosts }
        };
        assert_eq!(t.db.ai_egress_days(at(0), at(99_999), "UTC".into()).await.unwrap(), [
            day("2025-12-23", vec![host("10.0.0.9:11434", false, 1), host("api.example:443", true, 2)]),
            day("2025-12-24", vec![host("api.example:443", true, 1)]),
        ]);
    }
}
