//! A server without cameras: how soon it listens, and what it holds.

use std::time::Duration;

use argus_tests::server::ServerProcess;

use crate::cpu::{median, ms};
use crate::stages::wait;
use crate::{Options, table};

pub(crate) async fn run(options: &Options) {
    let (mut first, mut again) = (Vec::new(), Vec::new());
    let (mut resident, mut anonymous, mut threads) = (0, 0, 0);
    for _ in 0..options.amount(11).max(3) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut server = ServerProcess::start(dir.path()).await;
        first.push(ms(server.started_in()));
        server.terminate(Duration::from_secs(10)).await.expect("the server stops");
        let server = ServerProcess::start(dir.path()).await;
        again.push(ms(server.started_in()));
        let client = server.client().await;
        client.get("/system/health").await.expect(200);
        wait(Duration::from_secs(1)).await;
        (resident, anonymous, threads) = (server.rss_kib(), server.anonymous_kib(), server.threads());
    }
    let worst = |values: &[f64]| format!("{:.0}", values.iter().copied().fold(0.0, f64::max));
    table::print(
        "A server without cameras",
        &["what", "middle", "worst"],
        &[
            vec![
                "ms from the start to `listening on`, new data".into(),
                format!("{:.0}", median(&first)),
                worst(&first),
            ],
            vec!["ms, with its data there".into(), format!("{:.0}", median(&again)), worst(&again)],
            vec!["MiB resident".into(), format!("{:.1}", mib(resident)), String::new()],
            vec!["MiB of it not shared with files".into(), format!("{:.1}", mib(anonymous)), String::new()],
            vec!["threads".into(), threads.to_string(), String::new()],
        ],
    );
}

fn mib(kib: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let mib = kib as f64 / 1024.0;
    mib
}
