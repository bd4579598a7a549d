//! What a mount is made of: the line of its pipeline, its ties to the pump, and who may watch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_rtsp::RTSPAuthMethod;
use gstreamer_rtsp_server::gio;
use gstreamer_rtsp_server::prelude::*;
use gstreamer_rtsp_server::{RTSP_TOKEN_MEDIA_FACTORY_ROLE, RTSPAuth, RTSPMedia, RTSPToken};

use super::Transports;
use super::pump::{Command, Feed, Outlet};
use crate::clips::Video;

/// The role that may watch.
pub(super) const ROLE: &str = "viewer";

#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
    pub(super) method: RTSPAuthMethod,
}

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) login: Option<Login>,
    pub(super) transports: Transports,
    pub(super) tls: Option<String>,
}

pub(super) fn launch_line(video: Video, sound: bool) -> String {
    let source = "appsrc name=src is-live=true format=time max-bytes=0";
    let picture = match video {
        Video::H264 => format!("{source} ! rtph264pay name=pay0 pt=96 config-interval=-1"),
        Video::H265 => format!("{source} ! rtph265pay name=pay0 pt=96 config-interval=-1"),
        Video::Mjpeg => format!("{source} ! rtpjpegpay name=pay0 pt=26"),
        Video::Vp8 => format!("{source} ! rtpvp8pay name=pay0 pt=96"),
        Video::None => String::new(),
    };
    let number = u8::from(video != Video::None);
    let tone = if sound || video == Video::None {
        format!("audiotestsrc is-live=true wave=silence ! alawenc ! rtppcmapay name=pay{number} pt=8")
    } else {
        String::new()
    };
    format!("( {picture} {tone} )")
}

/// Ties a new media to the pump: it starts when the media asks for data and stops when the media is taken down.
pub(super) fn connect_media(media: &RTSPMedia, id: u64, feed: &Arc<Feed>, pump: Sender<Command>) {
    let Some(clip) = feed.clip() else { return };
    let source = media
        .element()
        .downcast::<gst::Bin>()
        .ok()
        .and_then(|bin| bin.by_name("src"))
        .and_downcast::<gst_app::AppSrc>()
        .expect("the source of the media");
    source.set_caps(Some(&clip.caps));
    let begun = AtomicBool::new(false);
    let (feed, start) = (feed.clone(), pump.clone());
    source.set_callbacks(
        gst_app::AppSrcCallbacks::builder()
            .need_data(move |source, _| {
                if !begun.swap(true, Ordering::Relaxed) {
                    // Without a pump the server is being dropped, and so is this media.
                    let _ = start.send(Command::Start(Outlet::new(id, source.clone(), feed.clone(), clip.clone())));
                }
            })
            .build(),
    );
    media.connect_unprepared(move |_| {
        let _ = pump.send(Command::Stop(id));
    });
}

pub(super) fn auth(settings: &Settings) -> Option<RTSPAuth> {
    if settings.login.is_none() && settings.tls.is_none() {
        return None;
    }
    let auth = RTSPAuth::new();
    let mut token = RTSPToken::builder().field(RTSP_TOKEN_MEDIA_FACTORY_ROLE, ROLE).build();
    match &settings.login {
        Some(Login { user, password, method }) => {
            auth.set_supported_methods(*method);
            match method {
                RTSPAuthMethod::Basic => auth.add_basic(&RTSPAuth::make_basic(user, password), &token),
                _ => auth.add_digest(user, password, &token),
            }
        }
        None => auth.set_default_token(Some(&mut token)),
    }
    if let Some(pem) = &settings.tls {
        let certificate = gio::TlsCertificate::from_pem(pem).expect("TLS in GLib (glib-networking)");
        auth.set_tls_certificate(Some(&certificate));
    }
    Some(auth)
}
