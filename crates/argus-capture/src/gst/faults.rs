//! What GStreamer reports, as a fault that a user understands.

use std::sync::{Mutex, MutexGuard, PoisonError};

use argus_core::status::FaultKind;
use gstreamer as gst;

use crate::health::Fault;

/// What the source has been found to hold.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// A video track was taken.
    pub(crate) taken: bool,
    /// What the source sends, such as `h264`.
    pub(crate) codec: Option<String>,
    /// A video codec that cannot be read here.
    pub(crate) unsupported: Option<String>,
    /// Access units came.
    pub(crate) began: bool,
}

/// [`Found`], shared between the threads of a pipeline.
#[derive(Debug, Default)]
pub(crate) struct Findings(Mutex<Found>);

impl Findings {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the pipeline reads from, for the sentences.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A network camera: host and port, and whether a user was given.
    Camera { peer: String, has_user: bool },
    /// A device, as `/dev/video0`.
    Device(String),
    /// A file.
    File,
    /// The synthetic camera.
    Test,
}

impl Place {
    /// Who gives the pictures.
    pub(crate) fn who(&self) -> String {
        match self {
            Self::Camera { peer, .. } => format!("the camera at {peer}"),
            Self::Device(path) => path.clone(),
            Self::File => "the file".to_owned(),
            Self::Test => "the test camera".to_owned(),
        }
    }
}

/// Nothing that can be shown is in the stream, and why; `None` when there is.
pub(crate) fn no_video(place: &Place, found: &Found) -> Option<Fault> {
    if let Some(codec) = &found.unsupported {
        return Some(Fault::new(FaultKind::UnsupportedCodec, format!("video codec {codec} is not supported")));
    }
    if found.taken {
        return None;
    }
    let what = if matches!(place, Place::File) { "the file" } else { "the stream" };
    Some(Fault::new(FaultKind::Invalid, format!("{what} has no video track")))
}

/// The fault behind an error on the bus.
pub(crate) fn of_error(error: &gst::glib::Error, detail: &str, place: &Place, found: &Found) -> Fault {
    use gst::{ResourceError as R, StreamError as S};
    let who = place.who();
    match error.kind::<R>() {
        Some(R::NotAuthorized) => {
            let text = match place {
                Place::Camera { has_user: true, .. } => format!("{who} refused the user or password"),
                Place::Camera { .. } => format!("{who} wants a user and password"),
                _ => format!("{who} may not be read by this server"),
            };
            let kind =
                if matches!(place, Place::Camera { .. }) { FaultKind::Unauthorized } else { FaultKind::Permission };
            return Fault::new(kind, text);
        }
        Some(R::NotFound) => {
            let text = match place {
                Place::Camera { .. } => format!("{who} has no stream at this address"),
                _ => format!("{who} does not exist"),
            };
            return Fault::new(FaultKind::NotFound, text);
        }
        Some(R::Busy) if !matches!(place, Place::Camera { .. }) => {
            return Fault::new(FaultKind::Unreachable, format!("{who} is in use by another program"));
        }
        _ => {}
    }
    if found.began {
        return match place {
            Place::Camera { .. } => Fault::new(FaultKind::Unreachable, format!("the connection to {who} broke off")),
            _ => Fault::new(FaultKind::Unreachable, format!("reading from {who} failed: {}", plain(error))),
        };
    }
    if found.unsupported.is_some()
        && let Some(fault) = no_video(place, found)
    {
        return fault;
    }
    match (error.kind::<S>(), place) {
        (Some(S::TypeNotFound | S::WrongType), _) => {
            return Fault::new(FaultKind::Invalid, format!("{who} is no video"));
        }
        (Some(S::CodecNotFound), _) if !found.taken => {
            if let Some(fault) = no_video(place, found) {
                return fault;
            }
        }
        (Some(S::CodecNotFound), Place::Camera { .. }) => {
            return Fault::new(FaultKind::Invalid, format!("{who} does not send its video over this transport"));
        }
        (Some(_), Place::File) => {
            return Fault::new(FaultKind::Invalid, format!("the file cannot be read as video: {}", plain(error)));
        }
        (Some(_), _) => {
            return Fault::new(FaultKind::Invalid, format!("{who} sends no readable video: {}", plain(error)));
        }
        (None, _) => {}
    }
    let detail = detail.to_ascii_lowercase();
    if matches!(place, Place::Camera { .. }) && (detail.contains("parse error") || detail.contains("invalid")) {
        return Fault::new(FaultKind::Invalid, format!("{who} answers with something that is not RTSP"));
    }
    if matches!(place, Place::Camera { .. }) && detail.contains("timeout") {
        return Fault::new(FaultKind::Timeout, format!("{who} does not answer in time"));
    }
    Fault::new(FaultKind::Unreachable, format!("{who} gives no picture: {}", plain(error)))
}

/// GStreamer's own short message, which holds no address; without its final stop.
fn plain(error: &gst::glib::Error) -> String {
    error.message().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: gst::glib::Error, found: &Found, kind: FaultKind, text: &str) {
        let place = Place::Camera { peer: "10.0.0.9:554".into(), has_user: true };
        assert_eq!(of_error(&error, "", &place, found), Fault::new(kind, text));
    }

    #[test]
    fn sentences_name_what_to_mend() {
        use gst::{ResourceError as R, StreamError as S, glib::Error};
        let none = Found::default();
        check(
            Error::new(R::NotAuthorized, "Unauthorized"),
            &none,
            FaultKind::Unauthorized,
            "the camera at 10.0.0.9:554 refused the user or password",
        );
        check(
            Error::new(R::NotFound, "Not found"),
            &none,
            FaultKind::NotFound,
            "the camera at 10.0.0.9:554 has no stream at this address",
        );
        check(
            Error::new(S::CodecNotFound, "No supported stream was found."),
            &none,
            FaultKind::Invalid,
            "the stream has no video track",
        );
        let vp8 = Found { unsupported: Some("VP8".into()), ..Found::default() };
        check(
            Error::new(S::CodecNotFound, "No supported stream was found."),
            &vp8,
            FaultKind::UnsupportedCodec,
            "video codec VP8 is not supported",
        );
        let began = Found { taken: true, began: true, ..Found::default() };
        check(
            Error::new(R::Read, "Could not receive message."),
            &began,
            FaultKind::Unreachable,
            "the connection to the camera at 10.0.0.9:554 broke off",
        );
    }
}
