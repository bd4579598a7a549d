//! Waiting for a condition with a deadline, which is the only way in which a test may wait.

use std::time::Duration;

/// Time between two looks at the condition.
const PULSE: Duration = Duration::from_millis(20);

/// Calls `probe` until it gives a value, and returns that. After `deadline` the test fails, naming `what` was awaited.
pub async fn wait_for<T, F, Fut>(what: &str, deadline: Duration, mut probe: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let polling = async {
        loop {
            if let Some(value) = probe().await {
                return value;
            }
            tokio::time::sleep(PULSE).await;
        }
    };
    match tokio::time::timeout(deadline, polling).await {
        Ok(value) => value,
        Err(_) => panic!("waited {deadline:?} in vain for {what}"),
    }
}

/// The same for a condition that can be asked without waiting.
pub async fn wait_until(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, deadline, || std::future::ready(condition().then_some(()))).await;
}
