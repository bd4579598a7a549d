//! One pipeline a session: from the source to whole access units, undecoded wherever the source allows it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use argus_core::Secret;
use argus_core::camera::{RtspUrl, TestPattern};
use argus_core::ports::StreamTrust;
use argus_core::status::FaultKind;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc, AppSrcCallbacks};
use tokio::sync::mpsc;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::CaptureError;
use crate::error::Cause;
use crate::gst::element::{Running, encoder, filter, make, parser, unit_caps};
use crate::gst::faults::{Findings, Place, no_video, of_error};
use crate::gst::trust::{self, Gate};
use crate::health::Fault;
use crate::intake::Intake;
use crate::ring::Codec;
use crate::synthetic;

/// What a pipeline reads from, everything resolved.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    Rtsp { url: String, username: Option<String>, password: Option<Secret>, udp: bool, trust: StreamTrust },
    Device(String),
    File(PathBuf),
    Test(TestPattern),
}

/// What happens to a session.
#[derive(Debug)]
pub(crate) enum SessionEvent {
    /// The first access unit came.
    First,
    /// The source came to its end.
    Ended,
    /// It failed.
    Lost(Fault),
}

/// A running pipeline. Dropped, it is torn down beside the runtime's own threads.
#[derive(Debug)]
pub(crate) struct Session {
    inner: Option<(Running, AppSink, TaskTrackerToken)>,
    given_up: Arc<AtomicBool>,
}

impl Session {
    /// Builds and starts the pipeline; blocks for some milliseconds. `token` is held until everything is gone.
    pub(crate) fn start(
        input: &Input,
        place: &Place,
        intake: Intake,
        events: mpsc::Sender<SessionEvent>,
        token: TaskTrackerToken,
    ) -> Result<Self, Fault> {
        let (findings, given_up) = (intake.findings(), intake.given_up());
        build(input, place, intake, events, &findings)
            .map(|(running, sink)| Self { inner: Some((running, sink, token)), given_up })
            .map_err(|e| {
                let kind = if matches!(e, CaptureError::MissingElement { .. }) {
                    FaultKind::UnsupportedCodec
                } else {
                    FaultKind::Unreachable
                };
                Fault::new(kind, argus_core::chain(&e))
            })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Taking it down takes a while, and what still comes in meanwhile is not part of what follows.
        self.given_up.store(true, Ordering::Release);
        let Some((running, sink, token)) = self.inner.take() else { return };
        crate::blocking::detach(move || {
            drop(running);
            // The callbacks hold the intake, and that the decoder of the motion path.
            sink.set_callbacks(AppSinkCallbacks::builder().build());
            drop(token);
        });
    }
}

fn build(
    input: &Input,
    place: &Place,
    intake: Intake,
    events: mpsc::Sender<SessionEvent>,
    findings: &Arc<Findings>,
) -> Result<(Running, AppSink), CaptureError> {
    let running = Running::new();
    let pipeline = running.pipeline();
    // A network camera sends at its own pace; the rest is paced by the clock of the pipeline.
    let paced = matches!(input, Input::File(_) | Input::Test(_));
    let intake = Arc::new(Mutex::new(intake));
    let at_end = intake.clone();
    let callbacks = AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_flushing| gst::FlowError::Eos)?;
            intake.lock().unwrap_or_else(PoisonError::into_inner).sample(&sample);
            Ok(gst::FlowSuccess::Ok)
        })
        .eos(move |_| at_end.lock().unwrap_or_else(PoisonError::into_inner).ended())
        .build();
    let sink = AppSink::builder()
        .sync(paced)
        .async_(paced)
        .max_buffers(8)
        .enable_last_sample(false)
        .callbacks(callbacks)
        .build();
    pipeline.add(&sink).map_err(|e| CaptureError::Pipeline("built", Cause::from(e)))?;
    watch_bus(pipeline, place.clone(), events.clone(), findings.clone());
    let plug = Arc::new(Plug {
        pipeline: pipeline.downgrade(),
        sink: sink.clone(),
        findings: findings.clone(),
        events: events.clone(),
        place: place.clone(),
    });
    match input {
        Input::Rtsp { url, username, password, udp, trust } => {
            let src = make("rtspsrc")?;
            src.set_property("location", url);
            if let Some(user) = username {
                src.set_property("user-id", user);
            }
            if let Some(password) = password {
                src.set_property("user-pw", password.expose());
            }
            src.set_property_from_str("protocols", if *udp { "udp" } else { "tcp" });
            src.set_property("latency", 200_u32);
            src.set_property("timeout", 5_000_000_u64);
            src.set_property("tcp-timeout", 8_000_000_u64);
            src.set_property("do-rtsp-keep-alive", true);
            src.set_property("user-agent", "Argus");
            let gate = trust::guard(&src, trust, place.who(), events.clone());
            let found = findings.clone();
            src.connect("select-stream", false, move |values| {
                let wanted = catch_unwind(AssertUnwindSafe(|| {
                    values.get(2).and_then(|v| v.get::<gst::Caps>().ok()).is_some_and(|caps| select(&found, &caps))
                }));
                Some(wanted.unwrap_or(false).to_value())
            });
            stay(&src, url, gate, place.who(), events);
            pipeline.add(&src).map_err(|e| CaptureError::Pipeline("built", Cause::from(e)))?;
            plug.listen(&src, false);
        }
        Input::File(path) => {
            let src = make("filesrc")?;
            src.set_property("location", path);
            let parse = make("parsebin")?;
            running.chain(&[&src, &parse])?;
            plug.listen(&parse, false);
        }
        Input::Device(path) => {
            let src = make("v4l2src")?;
            src.set_property("device", path);
            let caps = device_caps(&src)?;
            let only = filter(&caps)?;
            running.chain(&[&src, &only])?;
            let pad = only.static_pad("src");
            let media = caps.structure(0).map(|s| s.name().to_string()).unwrap_or_default();
            plug.claim(&media);
            if let Some(pad) = pad {
                plug.attach_media(pipeline, &pad, &media)?;
            }
        }
        Input::Test(pattern) => {
            let src = test_source(*pattern);
            pipeline.add(&src).map_err(|e| CaptureError::Pipeline("built", Cause::from(e)))?;
            plug.claim("video/x-h264");
            if let Some(pad) = src.static_pad("src") {
                plug.attach_media(pipeline, &pad, "video/x-raw")?;
            }
        }
    }
    running.play()?;
    Ok((running, sink))
}

/// Keeps an RTSP source at the host and port of its address. A camera may redirect it, and without this it would go
/// there and sign in with the password that was stored for this place. Nor is anything said before the gate is open.
///
/// Asked before every message, on the thread that sends it: `false` sends nothing.
fn stay(src: &gst::Element, url: &str, gate: Gate, who: String, events: mpsc::Sender<SessionEvent>) {
    let own = endpoint(url);
    src.connect("before-send", false, move |values| {
        let goes = catch_unwind(AssertUnwindSafe(|| {
            let Some(src) = values.first().and_then(|v| v.get::<gst::Element>().ok()) else { return false };
            // The source writes the address that it was redirected to into this property, before it connects.
            let now = src.property::<Option<String>>("location");
            let fault = if own.is_some() && now.as_deref().and_then(endpoint) == own {
                match gate.refusal(&who) {
                    Some(fault) => fault,
                    None => return true,
                }
            } else {
                Fault::new(FaultKind::Invalid, format!("{who} redirects to another host"))
            };
            src.set_property("user-id", None::<&str>);
            src.set_property("user-pw", None::<&str>);
            // Full: the first fault is already on its way.
            let _ = events.try_send(SessionEvent::Lost(fault));
            false
        }));
        Some(goes.unwrap_or(false).to_value())
    });
}

/// Where an RTSP address leads to: scheme, host and port.
fn endpoint(url: &str) -> Option<(String, String, u16)> {
    let (scheme, _) = url.split_once("://")?;
    let (host, port) = RtspUrl::parse(url).ok()?.0.endpoint();
    Some((scheme.to_ascii_lowercase(), host.to_ascii_lowercase(), port))
}

/// The best a device offers: coded by itself, else JPEG, else raw; at most 1080p.
fn device_caps(src: &gst::Element) -> Result<gst::Caps, CaptureError> {
    src.set_state(gst::State::Ready).map_err(|e| CaptureError::Pipeline("started", Cause::from(e)))?;
    let offered = src.static_pad("src").map_or_else(gst::Caps::new_empty, |pad| pad.query_caps(None));
    let has = |name: &str| offered.iter().any(|s| s.name() == name);
    let name = ["video/x-h264", "image/jpeg"].into_iter().find(|n| has(n)).unwrap_or("video/x-raw");
    Ok(gst::Caps::builder(name)
        .field("width", gst::IntRange::new(1, 1920))
        .field("height", gst::IntRange::new(1, 1080))
        .build())
}

/// The synthetic camera's raw pictures.
fn test_source(pattern: TestPattern) -> AppSrc {
    let side = |v: u32| i32::try_from(v).unwrap_or(i32::MAX);
    let rate = i32::try_from(synthetic::FRAME_RATE).unwrap_or(15);
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", side(pattern.width))
        .field("height", side(pattern.height))
        .field("framerate", gst::Fraction::new(rate, 1))
        .build();
    let mut index = 0_u64;
    let callbacks = AppSrcCallbacks::builder()
        .need_data(move |src, _| {
            let mut pixels = Vec::new();
            synthetic::draw(&pattern, index, &mut pixels);
            let mut buffer = gst::Buffer::from_mut_slice(pixels);
            if let Some(b) = buffer.get_mut() {
                let time = |i: u64| gst::ClockTime::from_nseconds(i * 1_000_000_000 / u64::from(synthetic::FRAME_RATE));
                b.set_pts(time(index));
                b.set_duration(time(index + 1) - time(index));
            }
            index += 1;
            // Refused only while the pipeline goes down.
            let _ = src.push_buffer(buffer);
        })
        .build();
    AppSrc::builder().caps(&caps).format(gst::Format::Time).max_buffers(2).max_bytes(0).callbacks(callbacks).build()
}

/// Whether a stream of an RTSP session is wanted: the first video that can be read.
fn select(findings: &Findings, caps: &gst::Caps) -> bool {
    let Some(s) = caps.structure(0) else { return false };
    if s.get::<&str>("media") != Ok("video") {
        return false;
    }
    let name = s.get::<&str>("encoding-name").unwrap_or("unknown").to_ascii_uppercase();
    let mut found = findings.lock();
    if rtp_depayloader(&name).is_none() {
        // A second track of another kind is no reason to refuse the one that is taken.
        if !found.taken {
            found.unsupported.get_or_insert(name);
        }
        return false;
    }
    let first = !found.taken;
    found.taken = true;
    if first {
        found.unsupported = None;
    }
    first
}

/// The depayloader of an RTP encoding and what comes out of it.
fn rtp_depayloader(encoding: &str) -> Option<(&'static str, &'static str)> {
    match encoding {
        "H264" => Some(("rtph264depay", "video/x-h264")),
        "H265" => Some(("rtph265depay", "video/x-h265")),
        "JPEG" => Some(("rtpjpegdepay", "image/jpeg")),
        "MP4V-ES" => Some(("rtpmp4vdepay", "video/mpeg")),
        _ => None,
    }
}

/// What users call the codec of a media type.
fn codec_name(media: &str) -> String {
    match media {
        "video/x-h264" => "h264",
        "video/x-h265" => "h265",
        "image/jpeg" => "mjpeg",
        "video/x-raw" => "raw",
        "video/mpeg" | "video/x-divx" | "video/x-xvid" => "mpeg4",
        other => other.trim_start_matches("video/").trim_start_matches("image/").trim_start_matches("x-"),
    }
    .to_owned()
}

/// Sends what goes wrong to the supervisor. Runs on GStreamer's threads, where a panic would end the process.
fn watch_bus(pipeline: &gst::Pipeline, place: Place, events: mpsc::Sender<SessionEvent>, findings: Arc<Findings>) {
    let Some(bus) = pipeline.bus() else { return };
    bus.set_sync_handler(move |_, message| {
        let handled = catch_unwind(AssertUnwindSafe(|| match message.view() {
            gst::MessageView::Error(e) => {
                let detail = e.debug().unwrap_or_default();
                tracing::debug!(error = %e.error(), detail = %detail, "a pipeline failed");
                let fault = of_error(&e.error(), &detail, &place, &findings.lock());
                // Full: the first fault is already on its way.
                let _ = events.try_send(SessionEvent::Lost(fault));
            }
            gst::MessageView::StreamCollection(e) if matches!(place, Place::File) => {
                let video = e.stream_collection().iter().any(|s| s.stream_type().contains(gst::StreamType::VIDEO));
                if !video && let Some(fault) = no_video(&place, &findings.lock()) {
                    let _ = events.try_send(SessionEvent::Lost(fault));
                }
            }
            gst::MessageView::Element(e) => {
                let missing = e.structure().filter(|s| s.name() == "missing-plugin");
                let media = missing
                    .and_then(|s| s.get::<gst::Caps>("detail").ok())
                    .and_then(|caps| caps.structure(0).map(|s| s.name().to_string()));
                if let Some(media) = media.filter(|m| m.starts_with("video/") || m.starts_with("image/")) {
                    findings.lock().unsupported.get_or_insert(codec_name(&media).to_ascii_uppercase());
                }
            }
            _ => {}
        }));
        drop(handled);
        gst::BusSyncReply::Drop
    });
}

/// What is needed to carry on from a pad that appears.
struct Plug {
    pipeline: gst::glib::WeakRef<gst::Pipeline>,
    sink: AppSink,
    findings: Arc<Findings>,
    events: mpsc::Sender<SessionEvent>,
    place: Place,
}

impl Plug {
    /// Carries on from every pad that `element` gets. `ours`: it was made for the one video track.
    fn listen(self: &Arc<Self>, element: &gst::Element, ours: bool) {
        let plug = self.clone();
        element.connect_pad_added(move |_, pad| {
            if pad.direction() == gst::PadDirection::Src {
                plug.guarded(|| plug.attach(pad, ours));
            }
        });
        let plug = self.clone();
        element.connect_no_more_pads(move |_| {
            plug.guarded(|| {
                if let Some(fault) = no_video(&plug.place, &plug.findings.lock()) {
                    let _ = plug.events.try_send(SessionEvent::Lost(fault));
                }
                Ok(())
            });
        });
    }

    /// Runs a signal handler: what fails or panics becomes a fault of this camera.
    fn guarded(&self, work: impl FnOnce() -> Result<(), CaptureError>) {
        let text = match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(())) => return,
            Ok(Err(e)) => argus_core::chain(&e),
            Err(_panic) => "a fault inside the server".to_owned(),
        };
        let _ = self.events.try_send(SessionEvent::Lost(Fault::new(FaultKind::Invalid, text)));
    }

    /// Notes that the video track is found and what it holds.
    fn claim(&self, media: &str) {
        let mut found = self.findings.lock();
        found.taken = true;
        found.codec.get_or_insert(codec_name(media));
    }

    fn attach(self: &Arc<Self>, pad: &gst::Pad, ours: bool) -> Result<(), CaptureError> {
        let Some(pipeline) = self.pipeline.upgrade() else { return Ok(()) };
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let Some(s) = caps.structure(0) else { return Ok(()) };
        let media = s.name().to_string();
        if media == "application/x-rtp" {
            let encoding = s.get::<&str>("encoding-name").unwrap_or_default().to_ascii_uppercase();
            let Some((depayloader, media)) = rtp_depayloader(&encoding) else { return Ok(()) };
            self.claim(media);
            let depay = make(depayloader)?;
            let next = insert(&pipeline, &[&depay], pad)?;
            return self.attach_media(&pipeline, &next, media);
        }
        let video = media.starts_with("video/") || media.starts_with("image/");
        if !ours && (!video || self.findings.lock().taken) {
            // Sound and second videos run into the ground.
            let ground = make("fakesink")?;
            ground.set_property("async", false);
            pipeline.add(&ground).map_err(|e| CaptureError::Pipeline("built", Cause::from(e)))?;
            return join(&ground, pad);
        }
        if !ours {
            self.claim(&media);
        }
        self.attach_media(&pipeline, pad, &media)
    }

    /// Carries on from video of that kind to the sink.
    fn attach_media(
        self: &Arc<Self>,
        pipeline: &gst::Pipeline,
        pad: &gst::Pad,
        media: &str,
    ) -> Result<(), CaptureError> {
        let codec = match media {
            "video/x-h264" => Codec::H264,
            "video/x-h265" => Codec::H265,
            "video/x-raw" => {
                let i420 = gst::Caps::builder("video/x-raw").field("format", "I420").build();
                let next = insert(pipeline, &[&make("videoconvert")?, &filter(&i420)?, &encoder()?], pad)?;
                return self.attach_media(pipeline, &next, "video/x-h264");
            }
            _ => {
                let decode = make("decodebin")?;
                pipeline.add(&decode).map_err(|e| CaptureError::Pipeline("built", Cause::from(e)))?;
                self.listen(&decode, true);
                return join(&decode, pad);
            }
        };
        let parse = parser(codec)?;
        // Parameter sets before every key frame: each group of pictures can be decoded alone.
        parse.set_property("config-interval", -1_i32);
        let next = insert(pipeline, &[&parse, &filter(&unit_caps(codec))?], pad)?;
        let end = self.sink.static_pad("sink");
        let failed = |e: Cause| CaptureError::Pipeline("linked", e);
        let end = end.ok_or_else(|| failed("the sink has no pad".into()))?;
        next.link(&end).map(|_| ()).map_err(|e| failed(e.into()))
    }
}

/// Puts a chain of elements behind `pad` and answers the pad at its end.
fn insert(pipeline: &gst::Pipeline, chain: &[&gst::Element], pad: &gst::Pad) -> Result<gst::Pad, CaptureError> {
    let failed = |e: gst::glib::BoolError| CaptureError::Pipeline("linked", Cause::from(e));
    pipeline.add_many(chain).map_err(failed)?;
    gst::Element::link_many(chain).map_err(failed)?;
    for element in chain.iter().skip(1).rev() {
        element.sync_state_with_parent().map_err(failed)?;
    }
    let ends = chain.first().zip(chain.last().and_then(|e| e.static_pad("src")));
    let (first, end) = ends.ok_or_else(|| CaptureError::Pipeline("linked", "an empty chain".into()))?;
    join(first, pad)?;
    Ok(end)
}

/// Links `pad` to an element that is already in the pipeline, and lets the element run.
fn join(element: &gst::Element, pad: &gst::Pad) -> Result<(), CaptureError> {
    element.sync_state_with_parent().map_err(|e| CaptureError::Pipeline("linked", Cause::from(e)))?;
    let sink = element.static_pad("sink").ok_or_else(|| CaptureError::Pipeline("linked", "no pad".into()))?;
    pad.link(&sink).map(|_| ()).map_err(|e| CaptureError::Pipeline("linked", e.into()))
}

#[cfg(test)]
mod tests {
    use super::endpoint;

    #[test]
    fn an_endpoint_is_scheme_host_and_port() {
        let same = |a: &str, b: &str| endpoint(a).is_some() && endpoint(a) == endpoint(b);
        assert!(same("rtsp://cam:554/a", "rtsp://CAM/b?x=1"));
        assert!(same("rtsps://cam:322/a", "rtsps://joe:pw@cam/a"));
        assert!(same("rtsp://[::1]:8554/a", "rtsp://[::1]:8554/b"));
        assert!(!same("rtsp://cam/a", "rtsp://cam2/a"));
        assert!(!same("rtsp://cam/a", "rtsp://cam:555/a"));
        assert!(!same("rtsps://cam:554/a", "rtsp://cam:554/a"));
        assert!(!same("rtsp://cam/a", "rtsp-sdp://v=0"));
    }
}
