//! The load: some connections that ask one after the other, as fast as they are answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::http::Connection;
use crate::numbers::{float, spread, us};

/// Longest that one load may take, whatever the number of requests.
const LONGEST: Duration = Duration::from_secs(12);

/// `CONNECTIONS REQUESTS STATUS PATHS`: requests a second, p50 and p99 in µs, and how many were answered otherwise. The
/// keys take turns: each may ask only so often. Without keys nobody is told who asks.
pub(crate) async fn ask(origin: &str, keys: &[String], rest: &[String]) -> Vec<f64> {
    let [connections, requests, status, paths] = rest else { panic!("load CONNECTIONS REQUESTS STATUS PATHS") };
    let connections: usize = connections.parse().expect("a number");
    let requests: usize = requests.parse().expect("a number");
    let status: u16 = status.parse().expect("a status");
    let (paths, keyed) = match paths.strip_prefix('!') {
        Some(open) => (open, false),
        None => (paths.as_str(), true),
    };
    let paths: Arc<Vec<String>> = Arc::new(paths.split(' ').map(str::to_owned).collect());
    let keys: Arc<Vec<String>> = Arc::new(if keyed { keys.to_vec() } else { vec![String::new()] });
    let begun = Instant::now();
    let workers: Vec<_> = (0..connections)
        .map(|worker| {
            let (origin, keys, paths) = (origin.to_owned(), Arc::clone(&keys), Arc::clone(&paths));
            tokio::spawn(async move {
                let mut connection = Connection::open(&origin).await;
                let mut times = Vec::with_capacity(requests / connections + 1);
                let mut wrong = 0_u32;
                for n in (worker..requests).step_by(connections) {
                    let path = paths.get(n % paths.len()).expect("a path");
                    let key = keys.get(n % keys.len()).expect("a key");
                    let asked = Instant::now();
                    let (got, _) = connection.ask("GET", path, key).await;
                    times.push(us(asked.elapsed()));
                    wrong += u32::from(got != status);
                    if begun.elapsed() > LONGEST {
                        break;
                    }
                }
                (times, wrong)
            })
        })
        .collect();
    let (mut times, mut wrong) = (Vec::new(), 0);
    for worker in workers {
        let (some, bad) = worker.await.expect("a worker");
        times.extend(some);
        wrong += bad;
    }
    let rate = float(times.len()) / begun.elapsed().as_secs_f64();
    let [p50, p99, _] = spread(&mut times);
    vec![rate, p50, p99, f64::from(wrong), float(times.len())]
}
