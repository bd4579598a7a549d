//! What waits for the reader: bounded, in order, and without losing a detection. States, cameras and secrets give way to
//! newer ones; detections and gaps make the writer wait.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use argus_core::controller::ControllerItem;
use tokio::sync::Notify;

pub(crate) struct Queue {
    inner: Mutex<Inner>,
    more: Notify,
    space: Notify,
    most: usize,
}

#[derive(Default)]
struct Inner {
    items: VecDeque<ControllerItem>,
    closed: bool,
}

fn is_replaced_by(old: &ControllerItem, new: &ControllerItem) -> bool {
    use ControllerItem::{Devices, Keep, State};
    matches!((old, new), (State(_), State(_)) | (Devices(_), Devices(_)) | (Keep(_), Keep(_)))
}

impl Queue {
    pub(crate) fn new(most: usize) -> Self {
        Self { inner: Mutex::default(), more: Notify::new(), space: Notify::new(), most: most.max(1) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a state, cameras or a secret in; an older one goes.
    pub(crate) fn replace(&self, item: ControllerItem) {
        let mut inner = self.lock();
        if inner.closed {
            return;
        }
        inner.items.retain(|old| !is_replaced_by(old, &item));
        inner.items.push_back(item);
        drop(inner);
        self.more.notify_one();
    }

    /// Puts a detection or a gap in, once there is room. Returns at once when it was closed.
    pub(crate) async fn push(&self, item: ControllerItem) {
        loop {
            let room = self.space.notified();
            {
                let mut inner = self.lock();
                if inner.closed {
                    return;
                }
                if inner.items.len() < self.most {
                    inner.items.push_back(item);
                    drop(inner);
                    return self.more.notify_one();
                }
            }
            room.await;
        }
    }

    /// The next item; `None` once it is closed. Cancel-safe.
    pub(crate) async fn next(&self) -> Option<ControllerItem> {
        loop {
            let more = self.more.notified();
            {
                let mut inner = self.lock();
                if let Some(item) = inner.items.pop_front() {
                    drop(inner);
                    self.space.notify_one();
                    return Some(item);
                }
                if inner.closed {
                    return None;
                }
            }
            more.await;
        }
    }

    /// Takes no more, and ends the reader after what is in it.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.more.notify_one();
        self.space.notify_waiters();
        self.space.notify_one();
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().items.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use argus_core::{Secret, Timestamp};

    use super::*;

    fn gap(n: i64) -> ControllerItem {
        let at = Timestamp::from_millis(n);
        ControllerItem::Gap { from: at, until: at, reason: String::new() }
    }

    #[tokio::test]
    async fn slow_subscriber_isolated() {
        let q = Arc::new(Queue::new(10));
        for n in 0..1000 {
            q.replace(ControllerItem::Keep(Some(Secret::new(n.to_string()))));
            q.replace(ControllerItem::Devices(Vec::new()));
        }
        assert_eq!(q.len(), 2);
        let writer = tokio::spawn({
            let q = Arc::clone(&q);
            async move {
                for n in 0..1000 {
                    q.push(gap(n)).await;
                }
                q.close();
            }
        });
        // The writer stops at the bound, and what it had to say comes whole and in order.
        tokio::time::timeout(Duration::from_secs(5), async {
            while q.len() < 10 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        let mut gaps = 0;
        while let Some(item) = q.next().await {
            assert!(q.len() <= 10);
            if let ControllerItem::Gap { from, .. } = item {
                assert_eq!(from.as_millis(), gaps);
                gaps += 1;
            }
        }
        writer.await.unwrap();
        assert_eq!(gaps, 1000);
        q.push(gap(1)).await;
        assert_eq!(q.next().await, None);
    }
}
