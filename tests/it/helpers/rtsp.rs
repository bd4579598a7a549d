use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use argus_tests::clips::{ClipSpec, Video};
use argus_tests::rtsp::{RtspServer, RtspServerBuilder, Transports};
use argus_tests::scene::Scene;
use argus_tests::wait::{wait_for, wait_until};
use futures_util::future::join_all;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

const DEADLINE: Duration = Duration::from_secs(20);

/// A client as GStreamer makes one, which counts pictures and remembers sizes.
struct Viewer {
    pipeline: gst::Pipeline,
    frames: Arc<AtomicUsize>,
    sizes: Arc<Mutex<Vec<(i32, i32)>>>,
}

impl Viewer {
    /// `tail` is what follows `rtspsrc`.
    fn open(url: &str, protocols: &str, tail: &str) -> Self {
        gst::init().unwrap();
        let line = format!(
            "rtspsrc name=src latency=50 timeout=3000000 tls-validation-flags=0 protocols={protocols} ! {tail} ! appsink name=sink sync=false"
        );
        let pipeline = gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap();
        pipeline.by_name("src").unwrap().set_property("location", url);
        let sink = pipeline.by_name("sink").and_downcast::<gst_app::AppSink>().unwrap();
        let (frames, sizes) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<_>>>::default());
        let (counter, seen) = (frames.clone(), sizes.clone());
        sink.set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().ok().ok_or(gst::FlowError::Eos)?;
                    if let Some(caps) = sample.caps().and_then(|caps| caps.structure(0)) {
                        let size = (caps.get("width").unwrap_or(0), caps.get("height").unwrap_or(0));
                        let mut seen = seen.lock().unwrap();
                        if seen.last() != Some(&size) {
                            seen.push(size);
                        }
                    }
                    counter.fetch_add(1, Ordering::Relaxed);
                    Ok(gst::FlowSuccess::Ok)
                })
                .build(),
        );
        pipeline.set_state(gst::State::Playing).unwrap();
        Self { pipeline, frames, sizes }
    }

    fn h264(url: &str) -> Self {
        Self::open(url, "tcp", "rtph264depay ! h264parse ! video/x-h264,alignment=au")
    }

    async fn sees(&self, frames: usize) {
        let wanted = self.frames.load(Ordering::Relaxed) + frames;
        wait_until("pictures", DEADLINE, || {
            if let Some(error) = self.error() {
                panic!("{error}");
            }
            self.frames.load(Ordering::Relaxed) >= wanted
        })
        .await;
    }

    fn error(&self) -> Option<String> {
        let message = self.pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error, gst::MessageType::Eos])?;
        Some(match message.view() {
            gst::MessageView::Error(error) => format!("{} {:?}", error.error(), error.debug()),
            _ => "end of stream".to_owned(),
        })
    }

    async fn fails(&self) -> String {
        wait_for("an error", DEADLINE, || std::future::ready(self.error())).await
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Watches for fifteen times the distance of two pictures; one may be on its way at the start.
async fn sends_nothing(server: &RtspServer) {
    let sent = server.frames_sent();
    let more = tokio::time::timeout(Duration::from_millis(1500), async {
        wait_until("a picture", DEADLINE, || server.frames_sent() > sent + 1).await;
    });
    assert!(more.await.is_err(), "pictures left");
}

fn small() -> RtspServerBuilder {
    RtspServer::builder().size(320, 240).fps(10).gop(5).scene(Scene::MovingBox { every_s: 4, for_s: 2 })
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_over_tcp_plays_beyond_the_end_of_the_loop_and_leaves_no_client() {
    let server = small().start();
    let viewer = Viewer::h264(&server.url());
    viewer.sees(45).await;
    assert_eq!(viewer.sizes.lock().unwrap()[..], [(320, 240)]);
    assert_eq!((server.clients(), server.connections()), (1, 1));
    drop(viewer);
    wait_until("the client to leave", DEADLINE, || server.clients() == 0).await;
    assert!(server.frames_sent() >= 45);
    sends_nothing(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_not_gstreamer_sees_the_same() {
    let server = small().auth("cam-user", "secret").start();
    let probe = tokio::process::Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-rtsp_transport",
            "tcp",
            "-show_entries",
            "stream=codec_name,width,height",
            "-of",
            "csv=p=0",
        ])
        .arg(server.url_with_credentials())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(DEADLINE, probe).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "h264,320,240", "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_share_one_media() {
    let server = small().start();
    let (first, second) = (Viewer::h264(&server.url()), Viewer::h264(&server.url()));
    first.sees(10).await;
    second.sees(10).await;
    assert_eq!(server.clients(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn h265_over_udp_plays_and_tcp_is_refused() {
    let server = small().video(Video::H265).transports(Transports::UdpOnly).start();
    let tail = "rtph265depay ! h265parse ! video/x-h265,alignment=au";
    Viewer::open(&server.url(), "udp", tail).sees(15).await;
    Viewer::open(&server.url(), "tcp", tail).fails().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_is_refused_where_only_tcp_is_allowed() {
    let server = small().transports(Transports::TcpOnly).start();
    Viewer::open(&server.url(), "udp", "rtph264depay").fails().await;
    Viewer::h264(&server.url()).sees(5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_codecs_and_sound_alone_are_what_they_say() {
    let jpeg = small().video(Video::Mjpeg).start();
    Viewer::open(&jpeg.url(), "tcp", "rtpjpegdepay").sees(5).await;
    let vp8 = small().video(Video::Vp8).start();
    Viewer::open(&vp8.url(), "tcp", "rtpvp8depay").sees(5).await;
    let sound = small().video(Video::None).start();
    assert!(sound.clip().is_none());
    Viewer::open(&sound.url(), "tcp", "rtppcmadepay").sees(5).await;
    let both = small().sound(true).start();
    Viewer::open(&both.url(), "tcp", "application/x-rtp,media=audio ! rtppcmadepay").sees(5).await;
    Viewer::open(&both.url(), "tcp", "application/x-rtp,media=video ! rtph264depay").sees(5).await;
}

async fn check_login(builder: RtspServerBuilder) {
    let server = builder.start();
    assert!(!server.url().contains('@'));
    let good = server.url_with_credentials();
    Viewer::h264(&good).sees(5).await;
    let wrong = good.replace("cam-user:", "cam-user:not-");
    let error = Viewer::h264(&wrong).fails().await;
    assert!(error.contains("nauthorized"), "{error}");
    let error = Viewer::h264(&server.url()).fails().await;
    assert!(error.contains("nauthorized"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_right_password_opens_the_stream() {
    check_login(small().auth("cam-user", "pa:ss w@rd")).await;
    check_login(small().basic_auth("cam-user", "secret")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rtsps_plays_with_and_without_a_password() {
    let server = small().tls(true).start();
    assert!(server.url().starts_with("rtsps://"));
    Viewer::h264(&server.url()).sees(5).await;
    check_login(small().tls(true).auth("cam-user", "secret")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_drops_its_clients_and_comes_back_on_its_port() {
    let server = small().start();
    let url = server.url();
    for round in 1..=3 {
        let viewer = Viewer::h264(&url);
        viewer.sees(5).await;
        server.kill();
        viewer.fails().await;
        assert!(std::net::TcpStream::connect(("127.0.0.1", server.port())).is_err());
        assert_eq!(server.clients(), 0);
        server.restart();
        assert_eq!((server.url(), server.connections()), (url.clone(), round));
    }
    Viewer::h264(&url).sees(5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_stream_sends_nothing_but_stays_open() {
    let server = small().start();
    let viewer = Viewer::h264(&server.url());
    viewer.sees(5).await;
    server.freeze();
    sends_nothing(&server).await;
    assert_eq!((server.clients(), viewer.error()), (1, None));
    server.thaw();
    viewer.sees(10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_to_a_frozen_server_gets_its_description_and_then_silence() {
    let server = small().start();
    server.freeze();
    let viewer = Viewer::open(&server.url(), "tcp", "rtph264depay");
    wait_until("the first picture", DEADLINE, || server.frames_sent() == 1).await;
    wait_until("the client", DEADLINE, || server.clients() == 1).await;
    sends_nothing(&server).await;
    server.thaw();
    viewer.sees(5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_size_changes_within_the_stream() {
    for (video, tail) in [
        (Video::H264, "rtph264depay ! h264parse ! video/x-h264,alignment=au"),
        (Video::H265, "rtph265depay ! h265parse ! video/x-h265,alignment=au"),
    ] {
        let server = small().video(video).start();
        let viewer = Viewer::open(&server.url(), "tcp", tail);
        viewer.sees(5).await;
        server.switch_resolution(160, 120);
        wait_until("the new size", DEADLINE, || viewer.sizes.lock().unwrap()[..] == [(320, 240), (160, 120)]).await;
        viewer.sees(5).await;
        assert_eq!((server.clients(), server.connections()), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scene_changes_on_command() {
    let server = small().scene(Scene::Still).start();
    assert_eq!(server.scene_position(), None);
    let viewer = Viewer::h264(&server.url());
    viewer.sees(5).await;
    server.switch_scene(Scene::Restless);
    viewer.sees(10).await;
    assert_eq!(server.clip().unwrap().spec.scene, Scene::Restless);
    assert!(server.scene_position().unwrap() >= Duration::from_millis(500));
    assert_eq!(viewer.sizes.lock().unwrap()[..], [(320, 240)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_is_eight_cameras() {
    let server = small().start();
    let spec = ClipSpec { width: 320, height: 240, fps: 10, gop: 5, ..ClipSpec::default() };
    let mut viewers = Vec::new();
    for number in 1..=8 {
        let path = format!("/cam{number}");
        server.mount(&path, spec);
        viewers.push(Viewer::h264(&server.url_of(&path)));
    }
    join_all(viewers.iter().map(|viewer| viewer.sees(20))).await;
    server.freeze_mount("/cam3", true);
    viewers[3].sees(10).await;
    let seen = viewers[2].frames.load(Ordering::Relaxed);
    viewers[3].sees(10).await;
    assert_eq!(viewers[2].frames.load(Ordering::Relaxed), seen);
    server.kill();
    server.restart();
    Viewer::h264(&server.url_of("/cam8")).sees(5).await;
}
