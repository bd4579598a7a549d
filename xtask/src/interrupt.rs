//! Ctrl-C and SIGTERM as a message, so that what was started is also stopped.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use anyhow::Context;

/// Takes the place of dying at once: the holder asks, and ends in its own order.
pub(crate) struct Interrupt {
    signals: Receiver<()>,
    /// Kept so that the channel never closes by itself.
    _keep: Sender<()>,
}

impl Interrupt {
    /// Catches the signals from now on. May be called once in the life of the process.
    pub(crate) fn catch() -> anyhow::Result<Self> {
        let (sender, signals) = channel();
        let keep = sender.clone();
        ctrlc::set_handler(move || {
            // Nobody listening means that the process is ending anyway.
            let _ = sender.send(());
        })
        .context("cannot catch signals")?;
        Ok(Self { signals, _keep: keep })
    }

    /// Waits that long, or until somebody wants the end. Answers whether they do.
    pub(crate) fn within(&self, time: Duration) -> bool {
        !matches!(self.signals.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }
}
