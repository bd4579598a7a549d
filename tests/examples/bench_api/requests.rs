//! Lists, searches, single events, statistics.

use crate::Site;
use crate::numbers::table;

pub(crate) async fn run(site: &Site) {
    let seeded = &site.seeded;
    let camera = seeded.cameras.first().expect("a camera");
    let middle = site.options.events / 40;
    let one = |path: String| vec![path];
    let by_id: Vec<String> = seeded.some_events.iter().map(|id| format!("/api/v1/events/{id}")).collect();
    let (week_ago, month_ago) = (seeded.ago(7), seeded.ago(30));
    let asked = [
        ("bare `/system/health`", one("!/api/v1/system/health".into()), None),
        ("first page", one("/api/v1/events".into()), Some(1.0)),
        ("by id", by_id, Some(1.0)),
        ("by camera", one(format!("/api/v1/events?camera_id={camera}")), Some(1.0)),
        ("by type", one("/api/v1/events?detection_type=vehicle".into()), Some(1.0)),
        ("by a rare type and camera", one(format!("/api/v1/events?detection_type=ring&camera_id={camera}")), None),
        ("by time range", one(format!("/api/v1/events?start_time={week_ago}&end_time={}", seeded.ago(3))), None),
        ("by confidence", one("/api/v1/events?min_confidence=70".into()), None),
        ("statistics of 30 days", one(format!("/api/v1/events/stats?start_time={month_ago}")), Some(1.0)),
        (
            "statistics of a week, by type, in Berlin",
            one(format!("/api/v1/events/stats?start_time={week_ago}&detection_type=person&timezone=Europe/Berlin")),
            None,
        ),
        ("page in the middle", one(format!("/api/v1/events?page={middle}")), Some(5.0)),
        ("search, common word", one("/api/v1/events?q=person".into()), Some(5.0)),
        ("search, rare word", one("/api/v1/events?q=wheelbarrow".into()), Some(5.0)),
        ("search, two words", one("/api/v1/events?q=person+gate".into()), None),
    ];
    let mut rows = Vec::new();
    for (name, paths, target) in asked {
        let paths = paths.join(" ");
        let mut row = vec![name.to_owned()];
        // Where something is counted row by row, the first request pays for the others.
        let first = site.ask(&["load", "1", "1", "200", &paths]).await;
        row.push(format!("{:.2}", first.get(1).copied().unwrap_or(f64::NAN) / 1e3));
        for connections in ["1", "32"] {
            let requests = site.options.amount(if connections == "1" { 3_000 } else { 12_000 }).to_string();
            let numbers = site.ask(&["load", connections, &requests, "200", &paths]).await;
            let [rate, p50, p99, wrong, _] = numbers[..] else { panic!("five numbers") };
            assert!(wrong == 0.0, "{wrong} of {requests} requests for {name} were not answered 200");
            row.extend([format!("{rate:.0}"), format!("{:.2}", p50 / 1e3), format!("{:.2}", p99 / 1e3)]);
            if connections == "1" {
                row.push(target.map_or(String::new(), |target: f64| {
                    let met = if p50 / 1e3 <= target { "met" } else { "**missed**" };
                    format!("≤ {target} {met}")
                }));
            }
        }
        rows.push(row);
    }
    let head = [
        "",
        "first, ms",
        "1 connection, a second",
        "p50, ms",
        "p99, ms",
        "target p50",
        "32 connections, a second",
        "p50, ms",
        "p99, ms",
    ];
    table("Requests", &head, &rows);
}
