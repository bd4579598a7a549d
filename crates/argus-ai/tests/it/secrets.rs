//! A key goes to the endpoint and nowhere else.

use std::io::Write;
use std::sync::{Arc, Mutex};

use argus_ai_sim::{Dialect, Fault};
use argus_core::ports::Describer;

use crate::support::{Book, KEY, providers, request, vendor};

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
async fn the_key_is_in_no_outcome_account_log_or_debug_output() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    // All of each picture and no part of one: making parts takes long in a test's build.
    let mut asked = request(1);
    asked.facts.area = None;
    let mut seen = String::new();
    for dialect in Dialect::ALL {
        let faults = [200, 400, 401, 404, 429, 500].map(Fault::EchoKey);
        for fault in faults.into_iter().chain([Fault::EchoKeyInAnswer, Fault::CutMidBody, Fault::Close, Fault::Hang]) {
            let (sim, mut provider) = vendor(dialect, 1);
            provider.config.timeout_s = 1;
            sim.fault(fault);
            let (providers, book) = (providers(), Book::default());
            providers.configure(std::slice::from_ref(&provider));
            let outcome = providers.describe(&asked, &book).await;
            let test = providers.test(&provider, &book).await;
            let health = providers.health(provider.id);
            seen += &format!(
                "{provider:?} {providers:?} {outcome:?} {test:?} {health:?} {:?}\n",
                book.calls.lock().unwrap()
            );
            // The endpoint itself did get it; otherwise this test would show nothing.
            let requests = sim.requests();
            assert!(requests[0].headers.iter().any(|(_, value)| value.contains(KEY)), "{dialect:?}");
            assert!(
                requests.iter().all(|r| !r.path.contains(KEY) && r.query.as_ref().is_none_or(|q| !q.contains(KEY)))
            );
        }
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("describer failed"), "{log}");
    for (what, text) in [("outcomes", &seen), ("log", &log)] {
        assert!(!text.contains(KEY), "the key is in the {what}");
    }
}
