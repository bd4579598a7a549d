//! The crate's one way to threads that may block: building, draining and tearing down pipelines.

use tokio::task::JoinHandle;

/// Runs blocking work beside the runtime.
#[expect(clippy::disallowed_methods, reason = "this is the one home of it in this crate")]
pub(crate) fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}

/// Runs work that may never return, on a thread of its own.
pub(crate) fn aside(work: impl FnOnce() + Send + 'static) {
    // Refused only where there are no threads left; then it is done here.
    let _ = std::thread::Builder::new().name("teardown".into()).spawn(work);
}

/// Runs blocking work that nobody waits for; at once when there is no runtime.
pub(crate) fn detach(work: impl FnOnce() + Send + 'static) {
    if tokio::runtime::Handle::try_current().is_ok() {
        drop(spawn(work));
    } else {
        work();
    }
}
