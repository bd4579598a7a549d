//! A key goes to the endpoint and nowhere else.

use argus_core::call::Unbooked;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use argus_ai::{Chain, OpenAi, OpenAiConfig, OpenAiKind};
use argus_core::ports::Describer;
use argus_core::{ManualClock, Secret, Timestamp};

use crate::request;
use crate::server::{Reply, Server};

const KEY: &str = "sk-never-seen-0815";

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

    let replies = [
        Reply::EchoKey(200),
        Reply::EchoKey(400),
        Reply::EchoKey(401),
        Reply::EchoKey(404),
        Reply::EchoKey(429),
        Reply::EchoKey(500),
        Reply::Cut,
        Reply::Close,
        Reply::Hang,
        Reply::text(200, KEY),
        Reply::good(),
    ];
    let mut seen = String::new();
    for reply in replies {
        let server = Server::start(vec![reply]).await;
        let config = OpenAiConfig {
            api_key: Some(Secret::new(KEY)),
            timeout: Duration::from_millis(500),
            ..OpenAiConfig::new(OpenAiKind::OpenAi, server.base_url(), "m")
        };
        seen += &format!("{config:?}\n");
        let provider = OpenAi::new(config).unwrap();
        seen += &format!("{provider:?}\n");
        let chain = Chain::new(vec![Arc::new(provider)], Arc::new(ManualClock::new(Timestamp::default())));
        let outcome = chain.describe(&request(1), &Unbooked).await;
        seen += &format!("{chain:?} {outcome:?}\n");
        // The endpoint itself did get it; otherwise this test would show nothing.
        assert_eq!(server.asked()[0].headers["authorization"], format!("Bearer {KEY}"));
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("describer failed"), "{log}");
    for (what, text) in [("outcomes", &seen), ("log", &log)] {
        assert!(!text.contains(KEY), "the key is in the {what}: {text}");
    }
    assert!(seen.contains("you sent Bearer ***"), "{seen}");
}
