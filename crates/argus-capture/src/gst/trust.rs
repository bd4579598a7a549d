//! Whether the certificate of an encrypted stream will do, decided in the handshake: nothing is asked before.
//!
//! `GLib` verifies by itself and asks only about certificates that it finds a fault with. With a pin every certificate must
//! be asked about, so the source is given an address in figures, for which no public issuer vouches in a house; and
//! nothing is sent where none was asked about.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use argus_core::ports::StreamTrust;
use argus_core::status::FaultKind;
use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use tokio::sync::mpsc;

use crate::gst::ingest::SessionEvent;
use crate::health::Fault;

/// Whether anything may be said on a connection yet.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    /// The pinned certificate was shown; `None` where `GLib` decides, or nobody does.
    pinned: Option<Arc<AtomicBool>>,
}

impl Gate {
    /// Why nothing may be said, if so.
    pub(crate) fn refusal(&self, who: &str) -> Option<Fault> {
        let is_shut = self.pinned.as_ref().is_some_and(|shown| !shown.load(Ordering::Acquire));
        let text = || format!("the certificate of {who} could not be compared with the pinned one; nothing was sent");
        is_shut.then(|| Fault::new(FaultKind::Invalid, text()))
    }
}

/// Makes an RTSP source take such certificates as `trust` says, and no other.
pub(crate) fn guard(src: &gst::Element, trust: &StreamTrust, who: String, events: mpsc::Sender<SessionEvent>) -> Gate {
    let pin = match trust {
        StreamTrust::Any => {
            // Cameras ship certificates that they signed themselves: they are not verified. What is sent is encrypted
            // all the same.
            src.set_property_from_str("tls-validation-flags", "no-flags");
            return Gate { pinned: None };
        }
        StreamTrust::System => None,
        StreamTrust::Pinned(pin) => Some(pin.clone()),
    };
    src.set_property_from_str("tls-validation-flags", "validate-all");
    let shown = Arc::new(AtomicBool::new(false));
    let gate = Gate { pinned: pin.is_some().then(|| shown.clone()) };
    // Called in the handshake, on the thread that connects: `false` ends it.
    src.connect("accept-certificate", false, move |values| {
        let fits = catch_unwind(AssertUnwindSafe(|| {
            let sha256 = values.get(2).and_then(|v| v.get::<glib::Object>().ok()).and_then(|leaf| fingerprint(&leaf));
            let fits = sha256.is_some() && sha256 == pin;
            shown.store(fits, Ordering::Release);
            if !fits {
                let fault = Fault::new(FaultKind::Invalid, refused(&who, pin.is_some(), sha256.as_deref()));
                // Full: the first fault is already on its way.
                let _ = events.try_send(SessionEvent::Lost(fault));
            }
            fits
        }));
        Some(fits.unwrap_or(false).to_value())
    });
    gate
}

fn refused(who: &str, pinned: bool, sha256: Option<&str>) -> String {
    let sha256 = sha256.unwrap_or("that cannot be read");
    if pinned {
        format!("{who} shows another certificate than the pinned one, with the SHA-256 {sha256}; nothing was sent")
    } else {
        format!(
            "{who} shows a certificate that this machine does not trust, with the SHA-256 {sha256}; nothing was sent"
        )
    }
}

/// SHA-256 of a `GTlsCertificate` (its DER), hex in lower case.
fn fingerprint(leaf: &glib::Object) -> Option<String> {
    leaf.find_property("certificate")?;
    let der = leaf.property::<Option<glib::ByteArray>>("certificate")?;
    glib::compute_checksum_for_data(glib::ChecksumType::Sha256, &der).map(Into::into)
}
