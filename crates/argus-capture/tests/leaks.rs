//! After a feed was stopped its threads and descriptors are gone. Alone in its process, so that it can count.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

#[path = "it/common.rs"]
#[expect(dead_code, reason = "shared with the other tests, which use all of it")]
mod common;

use std::sync::Arc;

use argus_capture::GateMode;
use argus_core::camera::Source;
use argus_core::ports::CameraFeeds;
use argus_core::status::CameraStatus;
use common::{Bench, encode, eventually, file, pattern, pictures, plan, until_status};

fn count(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

async fn round(feeds: &Arc<argus_capture::Feeds>) {
    let sources = [Source::Test(pattern()), file("a.mp4", true), Source::Test(pattern())];
    let running = sources.map(|source| {
        let feeds = feeds.clone();
        tokio::spawn(async move {
            let mut feed = feeds.open(plan(source, Some(15)));
            until_status(&mut feed, CameraStatus::Online).await;
            pictures(&mut feed, 3).await;
            feed.handle.snapshot(Some(160)).await.unwrap();
            let from = feed.handle.state().last_frame_at.unwrap();
            let clip = feed.handle.start_clip(from).await.unwrap().finish(from).await.unwrap();
            assert!(clip.bytes > 0);
            feed.handle.stop().await;
        })
    });
    for task in running {
        task.await.unwrap();
    }
    // and one that is forgotten before it ever connected
    drop(feeds.open(plan(Source::Test(pattern()), Some(5))));
}

#[test]
fn threads_and_descriptors_are_back_after_ten_rounds() {
    // Threads for blocking work leave at once, so that what is left is not theirs.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_keep_alive(std::time::Duration::from_millis(1))
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let bench = Bench::new();
        encode(&bench.media("a.mp4"), "x264enc", "h264parse", "mp4mux", 30, (320, 180));
        let feeds = Arc::new(bench.feeds(GateMode::Off));
        // the first round loads plugins, which keep threads and descriptors of their own
        round(&feeds).await;
        round(&feeds).await;
        let settled = || (count("task"), count("fd"));
        // what the rounds had must be gone by itself: only this test's own few threads are left
        eventually("the warm-up has settled", || count("task") <= 12).await;
        let (threads, fds) = settled();
        eprintln!("{threads} threads, {fds} descriptors");
        for _ in 0..10 {
            round(&feeds).await;
        }
        eventually("threads and descriptors are back", || {
            let (t, f) = settled();
            t <= threads && f <= fds
        })
        .await;
    });
}
