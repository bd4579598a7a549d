//! The one place where work leaves the threads of the runtime: making pictures takes milliseconds.

use std::sync::Arc;

use argus_core::describe::DescribeFrame;

use crate::frames::{Picture, Shot, make};

/// Makes pictures; what is sent as it is stored needs no other thread.
pub(crate) async fn pictures(frames: &[DescribeFrame], shots: &[Shot]) -> Arc<[Picture]> {
    if shots.iter().all(|shot| shot.as_stored) {
        return make(frames, shots).into();
    }
    let (its_frames, its_shots) = (frames.to_vec(), shots.to_vec());
    #[expect(clippy::disallowed_methods, reason = "the only place of this crate that may block")]
    let task = tokio::task::spawn_blocking(move || make(&its_frames, &its_shots));
    // A panic of a decoder costs the parts and sizes that were wanted, not the description.
    task.await.map(Into::into).unwrap_or_else(|_panicked| {
        let whole = shots.iter().filter(|shot| shot.crop.is_none());
        let as_stored: Vec<Shot> = whole.map(|shot| Shot { as_stored: true, ..shot.clone() }).collect();
        make(frames, &as_stored).into()
    })
}
