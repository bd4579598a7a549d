//! Exports: how fast, and in how much memory.

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;

use crate::Site;
use crate::http::Connection;
use crate::numbers::{float, table, us};

/// `PATH`: lines, seconds, µs until the first byte, bytes.
pub(crate) async fn ask(origin: &str, keys: &[String], rest: &[String]) -> Vec<f64> {
    let [path] = rest else { panic!("export PATH") };
    let connection = Connection::open(origin).await;
    let begun = Instant::now();
    let mut socket = connection.begin(path, keys.last().expect("a key")).await;
    let mut buffer = vec![0; 256 << 10];
    let (mut lines, mut bytes, mut first) = (0_usize, 0_usize, None);
    loop {
        let n = socket.read(&mut buffer).await.expect("the export");
        if n == 0 {
            break;
        }
        first.get_or_insert_with(|| us(begun.elapsed()));
        let part = buffer.get(..n).unwrap_or_default();
        // Each line of the table ends so, and so do the few of the head.
        lines += part.iter().filter(|&&byte| byte == b'\n').count();
        bytes += n;
    }
    vec![float(lines), begun.elapsed().as_secs_f64(), first.unwrap_or(f64::NAN), float(bytes)]
}

pub(crate) async fn run(site: &Site) {
    // A tenth of the time holds a tenth of the events.
    let tenth = site.seeded.since_share(10);
    let mut rows = Vec::new();
    for (name, path) in [
        ("CSV, a tenth of the events", format!("/api/v1/events/export?start_time={tenth}")),
        ("CSV, all", "/api/v1/events/export".to_owned()),
        ("NDJSON, a tenth", format!("/api/v1/events/export?format=ndjson&start_time={tenth}")),
    ] {
        let before = site.server.rss_kib();
        let mut most = before;
        let what = ["export", path.as_str()];
        let asking = site.ask(&what);
        tokio::pin!(asking);
        let numbers = loop {
            tokio::select! {
                numbers = &mut asking => break numbers,
                () = tokio::time::sleep(Duration::from_millis(10)) => most = most.max(site.server.rss_kib()),
            }
        };
        let [lines, seconds, first, bytes] = numbers[..] else { panic!("four numbers") };
        rows.push(vec![
            name.to_owned(),
            format!("{lines:.0}"),
            format!("{:.0}", lines / seconds),
            format!("{:.1}", bytes / seconds / 1e6),
            format!("{:.1}", first / 1e3),
            format!("{:.1}", float(before) / 1024.0),
            format!("{:.1}", float(most) / 1024.0),
        ]);
    }
    let head = ["", "lines", "lines a second", "MB a second", "first byte, ms", "memory before, MiB", "at most, MiB"];
    table("Export (target over 200,000 lines of CSV a second)", &head, &rows);
}
