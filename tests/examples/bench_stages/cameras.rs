//! Whole cameras: the real server, RTSP over loopback, all of a camera's work from the socket to the detector.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use argus_tests::clips::{EncodedClip, read_mp4};
use argus_tests::rtsp::RtspServer;
use argus_tests::server::ServerProcess;
use argus_tests::wait::wait_for;
use serde_json::json;

use crate::cpu::{median, ms};
use crate::stages::{bare_decode, wait};
use crate::{Films, Options, table};

/// What the default settings of a camera keep in memory: ten seconds for the pictures and four to spare.
const KEEP_S: f64 = 14.0;

/// What was measured of `n` cameras.
struct Measured {
    /// Of one core, a camera.
    cpu: f64,
    resident_kib: u64,
    threads: usize,
}

pub(crate) async fn run(options: &Options, films: &Films) {
    let mut rows = Vec::new();
    for (name, film, fps, n) in
        [("1080p15, 4 Mbit/s", &films.large, 15, 2), ("640x360 at 5, 0.4 Mbit/s", &films.small, 5, 8)]
    {
        let clip = read_mp4(film);
        let bytes: usize = clip.access_units.iter().map(|unit| unit.bytes.len()).sum();
        #[expect(clippy::cast_precision_loss, reason = "sizes far below 2^52")]
        let ring_mib = bytes as f64 / clip.access_units.len() as f64 * f64::from(fps) * KEEP_S / f64::from(1 << 20);
        for (what, motion) in [("receive only", false), ("all decoded and looked at", true)] {
            // Bare decoding before and after: what the machine gives just now.
            let before = decode_share(film, fps);
            let few = measure(options, &clip, n, motion, fps).await;
            let many = measure(options, &clip, 2 * n, motion, fps).await;
            let decode = median(&[before, decode_share(film, fps)]);
            #[expect(clippy::cast_precision_loss, reason = "sizes far below 2^52")]
            let each_mib = many.resident_kib.saturating_sub(few.resident_kib) as f64 / 1024.0 / n as f64;
            #[expect(clippy::cast_precision_loss, reason = "a handful of threads")]
            let threads = many.threads.saturating_sub(few.threads) as f64 / n as f64;
            rows.push(vec![
                format!("{name}, {what}, {n} and {} cameras", 2 * n),
                format!("{:.2}", many.cpu * 100.0),
                format!("{:.2}", decode * 100.0),
                format!("{:.1}", 1.0 / many.cpu),
                format!("{each_mib:.1}"),
                format!("{:.1}", each_mib - ring_mib),
                format!("{threads:.1}"),
            ]);
        }
    }
    table::print(
        "Whole cameras: argus-server, RTSP over TCP on loopback",
        &[
            "cameras",
            "CPU % a camera",
            "bare decode of the film, CPU %",
            "cameras a core",
            "MiB a camera",
            "of it beyond the ring",
            "threads a camera",
        ],
        &rows,
    );
}

/// The share of a core that decoding the film in real time takes.
fn decode_share(film: &Path, fps: u32) -> f64 {
    let (pictures, cost) = bare_decode(film);
    ms(cost) / f64::from(pictures) * f64::from(fps) / 1000.0
}

async fn measure(options: &Options, clip: &Arc<EncodedClip>, n: usize, motion: bool, fps: u32) -> Measured {
    let source = RtspServer::builder().film(clip.clone()).start();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let server = ServerProcess::start(dir.path()).await;
    let client = server.client().await;
    for number in 0..n {
        let path = format!("/cam{number}");
        source.mount_film(&path, clip.clone());
        // No event is made: what they cost is measured as stills and clips.
        let never = json!({"windows": [{"days": ["mon"], "start": "00:00", "end": "00:01"}]});
        let fields = json!({
            "name": path, "type": "rtsp", "rtsp_url": source.url_of(&path), "rtsp_transport": "tcp",
            "frame_rate": fps, "motion_enabled": motion, "detection_schedule": never,
        });
        client.post("/cameras", &fields).await.expect(201);
    }
    wait_for("all cameras online", Duration::from_secs(60), || async {
        let online = client.get("/cameras?status=online").await.expect(200).json;
        (online["total"] == n).then_some(())
    })
    .await;
    // Until the rings are full.
    wait(Duration::from_secs(options.amount(20).max(5).into())).await;
    let begun = (server.cpu_time(), Instant::now());
    wait(Duration::from_secs(options.amount(30).max(6).into())).await;
    let used = server.cpu_time().saturating_sub(begun.0).as_secs_f64() / begun.1.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a handful of cameras")]
    let cpu = used / n as f64;
    Measured { cpu, resident_kib: server.rss_kib(), threads: server.threads() }
}
