//! A key goes to the endpoint and nowhere else.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use argus_ai_sim::{AiSim, Dialect, Fault};

use super::{HALF_KEY, KEY, Reach, config, question, vendor};

/// Keeps all that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_key_is_in_no_outcome_log_or_debug_output() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::info!("the log is kept");

    let mut seen = String::new();
    for dialect in Dialect::ALL {
        let sim = AiSim::start(dialect);
        for fault in [
            Fault::EchoKeyInAnswer,
            Fault::EchoKey(200),
            Fault::EchoKey(400),
            Fault::EchoKey(401),
            Fault::EchoKey(404),
            Fault::EchoKey(429),
            Fault::EchoKey(500),
            Fault::CutMidBody,
            Fault::Close,
            Fault::Hang,
            Fault::Raw(200, KEY.into()),
            Fault::Raw(503, KEY.into()),
            Fault::Redirect(format!("http://127.0.0.1:9/?key={KEY}")),
        ] {
            sim.fault_next(1, fault);
            let config = config(dialect, &sim.base_url());
            let vendor = vendor(&config).unwrap();
            let asked = vendor.ask(&question(1), Reach::Local, Duration::from_millis(500)).await;
            seen += &format!("{config:?} {} {} {asked:?}\n", vendor.base_url(), vendor.host());
        }
        let models = vendor(&config(dialect, &sim.base_url())).unwrap().models(Reach::Local, super::AMPLE).await;
        seen += &format!("{models:?}\n");
        // The endpoint itself did get it; otherwise this test would show nothing.
        let asked = sim.requests();
        assert!(asked.iter().all(|r| r.headers.iter().any(|(_, v)| v.contains(KEY))), "{dialect:?}");
        assert!(asked.len() >= 14, "{dialect:?}");
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("the log is kept"), "{log}");
    for (what, text) in [("outcomes", &seen), ("log", &log)] {
        assert!(!text.contains(HALF_KEY), "the key is in the {what}");
    }
    assert!(seen.contains("authorization: Bearer ***") && seen.contains("x-api-key: ***"), "{seen}");
}
