//! Addresses at which nobody answers, each in its own way.

use std::net::TcpListener;

/// A loopback port at which nothing listens: connecting is refused at once.
///
/// The port was free a moment ago and the system hands out others first, so it stays free for the length of a test.
pub fn closed_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// A host that takes connections and then never says a word.
#[derive(Debug)]
pub struct SilentHost {
    listener: TcpListener,
}

impl SilentHost {
    /// Listens on a free loopback port; the system's backlog completes the handshakes.
    pub fn start() -> Self {
        Self { listener: TcpListener::bind(("127.0.0.1", 0)).expect("a free port") }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.listener.local_addr().expect("a bound socket").port()
    }
}
