//! A real RTSP server in this process, real coded video.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use argus_capture::GateMode;
use argus_core::camera::{RtspTransport, RtspUrl, Source};
use argus_core::ports::{CameraFeeds, FeedItem, FeedPlan, StreamTrust};
use argus_core::status::{CameraStatus, FaultKind};
use argus_core::{PrivacyMask, Secret};
use gstreamer as gst;
use gstreamer::glib;
use gstreamer_rtsp_server as server;
use gstreamer_rtsp_server::prelude::*;

use crate::common::{Bench, next, pictures, plan, until_status};

const H264: &str = "( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=180,framerate=15/1 \
    ! x264enc tune=zerolatency key-int-max=15 speed-preset=ultrafast ! rtph264pay name=pay0 config-interval=0 )";
const H265: &str = "( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=180,framerate=15/1 \
    ! x265enc tune=zerolatency key-int-max=15 speed-preset=ultrafast log-level=none ! rtph265pay name=pay0 )";
const MJPEG: &str = "( videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=176,framerate=15/1 \
    ! jpegenc ! rtpjpegpay name=pay0 )";
const SOUND: &str = "( audiotestsrc is-live=true ! audioconvert ! alawenc ! rtppcmapay name=pay0 )";
const VP8: &str = "( videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=180,framerate=15/1 \
    ! vp8enc deadline=1 ! rtpvp8pay name=pay0 )";
/// Pictures that are coded in another order than they are shown; RTSP tells only when they are shown.
const REORDERED: &str = "( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=180,framerate=15/1 \
    ! x264enc bframes=2 b-adapt=false rc-lookahead=0 sync-lookahead=0 key-int-max=15 speed-preset=ultrafast \
    ! rtph264pay name=pay0 )";
const WITH_SOUND: &str = "( audiotestsrc is-live=true ! audioconvert ! alawenc ! rtppcmapay name=pay0 \
    videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=180,framerate=15/1 \
    ! x264enc tune=zerolatency key-int-max=15 speed-preset=ultrafast ! rtph264pay name=pay1 )";

/// A server with its own thread and main loop.
struct Server {
    port: u16,
    /// Requests that came, of any client.
    asked: Arc<AtomicUsize>,
    main: glib::MainLoop,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves at a free port, or at `port` when it is not 0; with a password when `login` says so.
    fn start(port: u16, login: Option<(&'static str, &'static str)>) -> Self {
        Self::serve(port, login, None)
    }

    /// The same with TLS, when there is a certificate with its key as PEM.
    fn serve(port: u16, login: Option<(&'static str, &'static str)>, tls: Option<String>) -> Self {
        gst::init().unwrap();
        let (tx, rx) = mpsc::channel();
        let asked = Arc::<AtomicUsize>::default();
        let heard = asked.clone();
        let thread = std::thread::spawn(move || {
            let context = glib::MainContext::new();
            context
                .with_thread_default(|| {
                    let main = glib::MainLoop::new(Some(&context), false);
                    let server = server::RTSPServer::new();
                    server.set_address("127.0.0.1");
                    server.set_service(&port.to_string());
                    server.connect_client_connected(move |_, client| {
                        let (options, describe) = (heard.clone(), heard.clone());
                        client.connect_options_request(move |_, _| {
                            options.fetch_add(1, Ordering::SeqCst);
                        });
                        client.connect_describe_request(move |_, _| {
                            describe.fetch_add(1, Ordering::SeqCst);
                        });
                    });
                    let mounts = server.mount_points().unwrap();
                    let streams = [
                        ("/h264", H264),
                        ("/h265", H265),
                        ("/mjpeg", MJPEG),
                        ("/sound", SOUND),
                        ("/vp8", VP8),
                        ("/both", WITH_SOUND),
                        ("/reordered", REORDERED),
                    ];
                    for (path, launch) in streams {
                        let factory = server::RTSPMediaFactory::new();
                        factory.set_launch(launch);
                        factory.set_shared(true);
                        if let Some((user, _)) = login {
                            factory.add_role_from_structure(
                                &gst::Structure::builder(user)
                                    .field("media.factory.access", true)
                                    .field("media.factory.construct", true)
                                    .build(),
                            );
                        }
                        mounts.add_factory(path, factory);
                    }
                    if let Some((user, password)) = login {
                        let auth = server::RTSPAuth::new();
                        let token = server::RTSPToken::builder().field("media.factory.role", user).build();
                        let basic = server::RTSPAuth::make_basic(user, password);
                        auth.add_basic(&basic, &token);
                        if let Some(pem) = tls {
                            auth.set_tls_certificate(Some(&server::gio::TlsCertificate::from_pem(&pem).unwrap()));
                        }
                        server.set_auth(Some(&auth));
                    }
                    let source = server.attach(Some(&context)).unwrap();
                    tx.send((u16::try_from(server.bound_port()).unwrap(), main.clone())).unwrap();
                    main.run();
                    context.find_source_by_id(&source).unwrap().destroy();
                    for client in server.client_filter(None) {
                        client.close();
                    }
                })
                .unwrap();
        });
        let (port, main) = rx.recv_timeout(Duration::from_secs(20)).unwrap();
        Self { port, asked, main, thread: Some(thread) }
    }

    fn source(&self, path: &str, transport: RtspTransport, login: Option<(&str, &str)>) -> Source {
        source(self.port, path, transport, login)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.main.quit();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn source(port: u16, path: &str, transport: RtspTransport, login: Option<(&str, &str)>) -> Source {
    let (url, _, _) = RtspUrl::parse(&format!("rtsp://127.0.0.1:{port}{path}")).unwrap();
    Source::Rtsp {
        url,
        username: login.map(|(user, _)| user.to_owned()),
        password: login.map(|(_, password)| Secret::new(password)),
        transport,
    }
}

#[tokio::test]
async fn video_comes_over_tcp_and_udp_in_every_codec() {
    let (bench, server) = (Bench::new(), Server::start(0, None));
    let feeds = bench.feeds(GateMode::Off);
    let cases = [
        ("/h264", RtspTransport::Tcp, "h264"),
        ("/h264", RtspTransport::Udp, "h264"),
        ("/h264", RtspTransport::Auto, "h264"),
        ("/h265", RtspTransport::Tcp, "h265"),
        ("/h265", RtspTransport::Udp, "h265"),
        ("/mjpeg", RtspTransport::Tcp, "mjpeg"),
        ("/both", RtspTransport::Tcp, "h264"),
    ];
    for (path, transport, codec) in cases {
        let mut feed = feeds.open(plan(server.source(path, transport, None), Some(5)));
        let online = until_status(&mut feed, CameraStatus::Online).await;
        assert_eq!(online.codec.as_deref(), Some(codec), "{path} {transport}");
        let seen = pictures(&mut feed, 6).await;
        assert!(seen.windows(2).all(|p| p[1].taken_at > p[0].taken_at), "{path} {transport}");
        let mean = seen[5].taken_at.millis_since(seen[0].taken_at) / 5;
        assert!((150..=300).contains(&mean), "{path} {transport}: {mean} ms");
        feed.handle.stop().await;
    }
}

#[tokio::test]
async fn an_encrypted_stream_with_a_certificate_signed_by_the_camera_itself() {
    let own = rcgen::generate_simple_self_signed(["camera.invalid".to_owned()]).unwrap();
    let pem = own.cert.pem() + &own.signing_key.serialize_pem();
    let (bench, server) = (Bench::new(), Server::serve(0, Some(("joe", "s3cret")), Some(pem)));
    let url = format!("rtsps://joe:s3cret@127.0.0.1:{}/h264", server.port);
    let (url, username, password) = RtspUrl::parse(&url).unwrap();
    let source = Source::Rtsp { url, username, password, transport: RtspTransport::Auto };
    let mut feed = bench.feeds(GateMode::Off).open(plan(source, Some(5)));
    until_status(&mut feed, CameraStatus::Online).await;
    pictures(&mut feed, 3).await;
    feed.handle.stop().await;
}

/// A certificate for nobody, with its key, as PEM, and its SHA-256.
fn own_certificate() -> (String, String) {
    let own = rcgen::generate_simple_self_signed(["camera.invalid".to_owned()]).unwrap();
    let sha256 = glib::compute_checksum_for_data(glib::ChecksumType::Sha256, own.cert.der()).unwrap();
    (own.cert.pem() + &own.signing_key.serialize_pem(), sha256.into())
}

#[tokio::test]
async fn only_the_pinned_certificate_will_do() {
    let login = Some(("joe", "s3cret"));
    let (pem, sha256) = own_certificate();
    let (bench, server) = (Bench::new(), Server::serve(0, login, Some(pem)));
    let feeds = bench.feeds(GateMode::Off);
    let open = |host: &str, trust| {
        let url = format!("rtsps://joe:s3cret@{host}:{}/h264", server.port);
        let (url, username, password) = RtspUrl::parse(&url).unwrap();
        let source = Source::Rtsp { url, username, password, transport: RtspTransport::Tcp };
        feeds.open(FeedPlan { trust, ..plan(source, Some(5)) })
    };
    let (_, other) = own_certificate();
    let refused = [
        (StreamTrust::Pinned(other), "another certificate than the pinned one"),
        (StreamTrust::System, "a certificate that this machine does not trust"),
    ];
    for (trust, text) in refused {
        let mut feed = open("127.0.0.1", trust.clone());
        let state = until_status(&mut feed, CameraStatus::Error).await;
        assert_eq!(state.last_error_kind, Some(FaultKind::Invalid), "{state:?}");
        let said = state.last_error.unwrap();
        assert!(said.contains(text) && said.contains(&sha256), "{trust:?}: {said}");
        feed.handle.stop().await;
        assert_eq!(server.asked.load(Ordering::SeqCst), 0, "{trust:?}: nothing was said to it");
    }
    // Its name does not matter then.
    for host in ["127.0.0.1", "localhost"] {
        let mut feed = open(host, StreamTrust::Pinned(sha256.clone()));
        until_status(&mut feed, CameraStatus::Online).await;
        pictures(&mut feed, 2).await;
        feed.handle.stop().await;
    }
    assert!(server.asked.load(Ordering::SeqCst) > 0);
}

#[tokio::test]
async fn what_is_not_encrypted_has_no_certificate_that_would_do() {
    let (bench, listener) = (Bench::new(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let source = source(listener.local_addr().unwrap().port(), "/h264", RtspTransport::Tcp, None);
    let pinned = FeedPlan { trust: StreamTrust::Pinned("0".repeat(64)), ..plan(source, Some(5)) };
    let mut feed = bench.feeds(GateMode::Off).open(pinned);
    let state = until_status(&mut feed, CameraStatus::Error).await;
    assert!(state.last_error.is_some_and(|said| said.contains("is not encrypted")));
    feed.handle.stop().await;
    let mut said = Vec::new();
    listener.accept().unwrap().0.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"", "it was looked whether somebody answers, and nothing said");
}

/// When a player shows the pictures of a film, seconds, in the order in which they come out of the decoder.
fn shown_at(path: &std::path::Path) -> Vec<f64> {
    let out = std::process::Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", "frame=pts_time", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    // Pictures with side data end in a comma or an empty line.
    text.lines().map(|l| l.trim_end_matches(',')).filter(|l| !l.is_empty()).map(|l| l.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_clip_of_reordered_pictures_is_whole_and_in_order() {
    let (bench, server) = (Bench::new(), Server::start(0, None));
    let feeds = bench.feeds(GateMode::Off);
    let path = "/reordered";
    let mut feed = feeds.open(plan(server.source(path, RtspTransport::Tcp, None), Some(15)));
    // more than one group of pictures
    let seen = pictures(&mut feed, 25).await;
    let from = seen[0].taken_at;
    let recorder = feed.handle.start_clip(from).await.unwrap();
    let until = from.plus(Duration::from_secs(4));
    let clip = recorder.finish(until).await.unwrap();
    assert!(clip.until.millis_since(until).abs() <= 67, "{path}: ends at {} instead of {until}", clip.until);
    let times = shown_at(clip.file.as_ref().as_ref());
    assert!((58..=66).contains(&times.len()), "{path}: {} pictures", times.len());
    for pair in times.windows(2) {
        let gap = pair[1] - pair[0];
        assert!((0.04..0.1).contains(&gap), "{path}: {gap} s in {times:?}");
    }
    let length = times[times.len() - 1] - times[0];
    assert!((3.8..4.3).contains(&length), "{path}: {length} s");
    feed.handle.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let (bench, open) = (Bench::new(), Server::start(0, None));
    let locked = Server::start(0, Some(("joe", "s3cret")));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tcp = RtspTransport::Tcp;
    let cases = [
        (
            locked.source("/h264", tcp, Some(("joe", "wrong-one"))),
            FaultKind::Unauthorized,
            "refused the user or password",
        ),
        (locked.source("/h264", tcp, None), FaultKind::Unauthorized, "wants a user and password"),
        (open.source("/none", tcp, None), FaultKind::NotFound, "has no stream at this address"),
        (open.source("/sound", tcp, None), FaultKind::Invalid, "the stream has no video track"),
        (open.source("/vp8", tcp, None), FaultKind::UnsupportedCodec, "video codec VP8 is not supported"),
        (
            open.source("/vp8", RtspTransport::Auto, None),
            FaultKind::UnsupportedCodec,
            "video codec VP8 is not supported",
        ),
        (source(free, "/x", RtspTransport::Auto, None), FaultKind::Unreachable, "connection refused"),
    ];
    let feeds = bench.feeds(GateMode::Off);
    for (source, kind, text) in cases {
        let mut feed = feeds.open(plan(source.clone(), Some(5)));
        let wanted = if kind.is_lasting() { CameraStatus::Error } else { CameraStatus::Reconnecting };
        let state = until_status(&mut feed, wanted).await;
        assert_eq!(state.last_error_kind, Some(kind), "{source:?}: {state:?}");
        let said = state.last_error.unwrap();
        assert!(said.contains(text), "{said}");
        assert!(!said.contains("wrong-one") && !said.contains("joe"), "{said}");
        feed.handle.stop().await;
    }
    let mut feed = feeds.open(plan(locked.source("/h264", tcp, Some(("joe", "s3cret"))), Some(5)));
    until_status(&mut feed, CameraStatus::Online).await;
    feed.handle.stop().await;
    let probe = feeds.probe(&open.source("/h264", RtspTransport::Auto, None), &PrivacyMask::default()).await;
    assert!(probe.success, "{probe:?}");
    assert_eq!((probe.resolution.as_deref(), probe.codec.as_deref()), (Some("320x180"), Some("h264")));
}

#[tokio::test]
async fn a_server_that_dies_and_comes_back_is_found_again() {
    let (bench, server) = (Bench::new(), Server::start(0, None));
    let port = server.port;
    let mut feed = bench.feeds(GateMode::Off).open(plan(server.source("/h264", RtspTransport::Tcp, None), Some(5)));
    until_status(&mut feed, CameraStatus::Online).await;
    let before = pictures(&mut feed, 3).await;
    drop(server);
    let lost = until_status(&mut feed, CameraStatus::Reconnecting).await;
    assert_eq!(lost.last_error_kind, Some(FaultKind::Unreachable), "{lost:?}");
    let _server = Server::start(port, None);
    let back = until_status(&mut feed, CameraStatus::Online).await;
    assert_eq!((back.reconnects, back.last_error), (1, None));
    let after = loop {
        if let Some(FeedItem::Picture(p)) = next(&mut feed).await
            && p.session > before[2].session
        {
            break p;
        }
    };
    assert!(after.taken_at > before[2].taken_at);
    feed.handle.stop().await;
}
