//! What goes from a feed to its reader: pictures are bounded and dropped when the reader is late, states never are.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use argus_core::Picture;
use argus_core::ports::FeedItem;
use argus_core::status::CameraState;
use tokio::sync::Notify;

/// Pictures that wait at most: about 1.8 MB, and all of a group of pictures that is decoded at once.
const PICTURES_MAX: usize = 32;
/// States that wait at most; then the newest one is overwritten.
const STATES_MAX: usize = 64;

#[derive(Debug, Default)]
struct Inner {
    items: VecDeque<FeedItem>,
    pictures: usize,
    states: usize,
    /// Dropped since the last item was queued.
    dropped: u64,
    closed: bool,
}

/// A queue for one reader and any number of writers, none of which ever waits.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    wake: Notify,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push_picture(&self, picture: Picture) {
        let mut q = self.lock();
        if q.closed {
            return;
        }
        if q.pictures >= PICTURES_MAX {
            q.dropped += 1;
        } else {
            q.flush_dropped();
            q.pictures += 1;
            q.items.push_back(FeedItem::Picture(picture));
        }
        drop(q);
        self.wake.notify_one();
    }

    pub(crate) fn push_state(&self, state: CameraState) {
        let mut q = self.lock();
        if q.closed {
            return;
        }
        q.flush_dropped();
        if q.states >= STATES_MAX
            && let Some(newest) = q.items.iter_mut().rev().find(|i| matches!(i, FeedItem::State(_)))
        {
            *newest = FeedItem::State(state);
        } else {
            q.states += 1;
            q.items.push_back(FeedItem::State(state));
        }
        drop(q);
        self.wake.notify_one();
    }

    pub(crate) fn push_dropped(&self, pictures: u64) {
        let mut q = self.lock();
        if q.closed || pictures == 0 {
            return;
        }
        q.dropped = q.dropped.saturating_add(pictures);
        drop(q);
        self.wake.notify_one();
    }

    /// Nothing more comes; what is queued can still be read.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// The next item, `None` when the queue is closed and empty. Cancel-safe.
    pub(crate) async fn next(&self) -> Option<FeedItem> {
        loop {
            {
                let mut q = self.lock();
                if q.items.is_empty() {
                    q.flush_dropped();
                }
                if let Some(item) = q.items.pop_front() {
                    match item {
                        FeedItem::Picture(_) => q.pictures -= 1,
                        FeedItem::State(_) => q.states -= 1,
                        FeedItem::Dropped { .. } => {}
                    }
                    return Some(item);
                }
                if q.closed {
                    return None;
                }
            }
            // A permit left by a writer since the look above is taken at once.
            self.wake.notified().await;
        }
    }
}

impl Inner {
    fn flush_dropped(&mut self) {
        let pictures = std::mem::take(&mut self.dropped);
        if pictures == 0 {
            return;
        }
        if let Some(FeedItem::Dropped { pictures: before }) = self.items.back_mut() {
            *before += pictures;
        } else {
            self.items.push_back(FeedItem::Dropped { pictures });
        }
    }
}

#[cfg(test)]
mod tests {
    use argus_core::status::CameraStatus;
    use argus_core::{LumaPlane, Timestamp};

    use super::*;

    fn picture(ms: i64) -> Picture {
        Picture {
            taken_at: Timestamp::from_millis(ms),
            luma: LumaPlane::new(1, 1, vec![0]).unwrap(),
            full_size: (1, 1),
            session: 1,
        }
    }

    #[tokio::test]
    async fn a_late_reader_loses_pictures_but_no_state() {
        let q = Queue::default();
        q.push_state(CameraState::of(CameraStatus::Online));
        for i in 0..40 {
            q.push_picture(picture(i));
        }
        q.push_state(CameraState::of(CameraStatus::Reconnecting));
        q.push_dropped(2);
        q.close();
        let mut seen = Vec::new();
        while let Some(item) = q.next().await {
            seen.push(match item {
                FeedItem::State(s) => s.status.as_str().to_owned(),
                FeedItem::Picture(_) => "p".to_owned(),
                FeedItem::Dropped { pictures } => format!("-{pictures}"),
            });
        }
        assert_eq!(seen.len(), 1 + 32 + 1 + 1 + 1);
        assert_eq!(seen[0], "online");
        assert_eq!(seen[33..], ["-8", "reconnecting", "-2"]);
    }
}
