//! Messages: one to a thousand readers, and ten thousand to one.

use std::time::{Duration, Instant};

use argus_tests::server::cpu_time_of;
use argus_tests::ws::WsClient;
use futures_util::future::join_all;

use crate::Site;
use crate::http::Connection;
use crate::numbers::{float, spread, table, us};

/// Longest that one message is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// `CLIENTS PID EVENT…`: deletes the events one after the other and waits until every client has been told: p50, p99 and
/// the longest delay in µs from before the request, how many messages were late or missing, how many there were, the
/// server's processor time for them in µs, and that of one handshake.
pub(crate) async fn ask_fan(origin: &str, keys: &[String], rest: &[String]) -> Vec<f64> {
    let [clients, pid, events @ ..] = rest else { panic!("fan CLIENTS PID EVENT…") };
    let clients: usize = clients.parse().expect("a number");
    let pid: u32 = pid.parse().expect("a process");
    let at_first = cpu_time_of(pid);
    let mut open = Vec::with_capacity(clients);
    for n in 0..clients {
        let key = keys.get(n % keys.len()).expect("a key");
        open.push(WsClient::connect(origin, key, "/ws?types=event.deleted").await.expect("the server upgrades"));
    }
    let mut connection = Connection::open(origin).await;
    let (mut delays, mut missing) = (Vec::new(), 0_u32);
    let all_open = cpu_time_of(pid);
    for id in events {
        let begun = Instant::now();
        let told = open.iter_mut().map(|client| async move {
            let message = client.next_json(PATIENCE).await;
            (message.is_some_and(|m| m["data"]["ids"][0] == id.as_str()), us(begun.elapsed()))
        });
        let path = format!("/api/v1/events/{id}");
        let key = keys.last().expect("a key");
        let (told, (status, _)) = tokio::join!(join_all(told), connection.ask("DELETE", &path, key));
        assert_eq!(status, 204, "{path}");
        for (is_right, delay) in told {
            delays.push(delay);
            missing += u32::from(!is_right);
        }
    }
    let told = us(cpu_time_of(pid) - all_open);
    let handshake = us(all_open - at_first) / float(clients);
    let [p50, p99, most] = spread(&mut delays);
    vec![p50, p99, most, f64::from(missing), float(delays.len()), told, handshake]
}

/// `MESSAGES NEWEST`: seconds to read so many messages of the past.
pub(crate) async fn ask_replay(origin: &str, keys: &[String], rest: &[String]) -> Vec<f64> {
    let [messages, newest] = rest else { panic!("replay MESSAGES NEWEST") };
    let messages: i64 = messages.parse().expect("a number");
    let newest: i64 = newest.parse().expect("a number");
    let begun = Instant::now();
    let path = format!("/ws?after={}", newest - messages);
    let mut client = WsClient::connect(origin, keys.first().expect("a key"), &path).await.expect("an upgrade");
    let mut seen = 0;
    let mut last = 0;
    while last < newest {
        let message = client.next_json(PATIENCE).await.expect("the next message");
        last = message["seq"].as_i64().unwrap_or(0);
        seen += 1;
    }
    vec![begun.elapsed().as_secs_f64(), f64::from(seen)]
}

pub(crate) async fn run(site: &mut Site) {
    let client = site.server.client().await;
    let newest = site.last_message().await;
    let numbers = site.ask(&["replay", "10000", &newest.to_string()]).await;
    let [seconds, seen] = numbers[..] else { panic!("two numbers") };
    table(
        "Replay to one client",
        &["messages", "s", "a second"],
        &[vec![format!("{seen}"), format!("{seconds:.2}"), format!("{:.0}", seen / seconds)]],
    );
    let deletions = usize::try_from(site.options.amount(100)).expect("a small number");
    let doomed = client.get(&format!("/events?limit={deletions}&page=3")).await.expect(200).json;
    let ids: Vec<String> = doomed["items"]
        .as_array()
        .expect("events")
        .iter()
        .map(|e| e["id"].as_str().expect("an id").to_owned())
        .collect();
    let before = site.server.rss_kib();
    let pid = site.server.pid().to_string();
    let mut what = vec!["fan", "1000", &pid];
    what.extend(ids.iter().map(String::as_str));
    let asking = site.ask(&what);
    tokio::pin!(asking);
    let mut most = before;
    let numbers = loop {
        tokio::select! {
            numbers = &mut asking => break numbers,
            () = tokio::time::sleep(Duration::from_millis(50)) => most = most.max(site.server.rss_kib()),
        }
    };
    let [p50, p99, longest, missing, told, cpu, handshake] = numbers[..] else { panic!("seven numbers") };
    assert!(missing == 0.0, "{missing} of {told} messages did not arrive");
    let met = if p99 < 50_000.0 { "met" } else { "**missed**" };
    table(
        "One deletion told to 1,000 WebSocket clients, from before the request",
        &[
            "messages",
            "p50, ms",
            "p99, ms",
            "target p99",
            "longest, ms",
            "memory, MiB",
            "processor, µs a message",
            "µs a handshake",
        ],
        &[vec![
            format!("{told}"),
            format!("{:.1}", p50 / 1e3),
            format!("{:.1}", p99 / 1e3),
            format!("< 50 {met}"),
            format!("{:.1}", longest / 1e3),
            format!("{:.1} to {:.1}", float(before) / 1024.0, float(most) / 1024.0),
            format!("{:.1}", cpu / told),
            format!("{handshake:.0}"),
        ]],
    );
}
