//! Whether a certificate will do: by the system's roots, by a pin, or any. It is decided inside the handshake, so that
//! nothing secret is written to the wrong machine, and in the same way for HTTPS and for WebSocket connections.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use argus_core::controller::ControllerConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use sha2::{Digest as _, Sha256};

use crate::ProtectError;

/// Which certificates will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// One that a root of this system vouches for, with the right name.
    System,
    /// Exactly this one, whoever issued it: SHA-256 of the leaf, hex in lower case.
    Pin(String),
    /// Any.
    Any,
}

impl Trust {
    /// What a controller's settings say.
    pub(crate) fn of(config: &ControllerConfig) -> Self {
        match &config.certificate_sha256 {
            Some(pin) => Self::Pin(pin.replace(':', "").to_ascii_lowercase()),
            None if config.verify_tls => Self::System,
            None => Self::Any,
        }
    }
}

/// The certificate that was shown last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// SHA-256 of the leaf, hex.
    pub sha256: String,
    /// Whether the system's roots vouch for it, with the right name; `None` where nobody wanted to know.
    pub trusted: Option<bool>,
}

/// A TLS client that remembers what it was shown.
#[derive(Clone)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    shown: Arc<Mutex<Option<Shown>>>,
}

impl Tls {
    /// A client that accepts what `trust` says; `judges` wants to know of every certificate whether the system trusts it.
    ///
    /// # Errors
    /// `TlsUntrusted` when the library cannot be set up.
    pub(crate) fn new(trust: Trust, judges: bool) -> Result<Self, ProtectError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let shown = Arc::new(Mutex::new(None));
        let verifier = Verifier { trust, judges, provider: Arc::clone(&provider), shown: Arc::clone(&shown) };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| ProtectError::TlsUntrusted(e.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config), shown })
    }

    /// The settings for a connection.
    #[must_use]
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// The certificate that was shown last.
    #[must_use]
    pub(crate) fn shown(&self) -> Option<Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The pin does not fit.
#[derive(Debug, thiserror::Error)]
#[error("not the pinned certificate")]
struct PinDiffers;

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    judges: bool,
    provider: Arc<CryptoProvider>,
    shown: Arc<Mutex<Option<Shown>>>,
}

/// The system's roots, read once: they are hundreds of files.
fn system() -> Result<Arc<rustls_platform_verifier::Verifier>, Error> {
    static SYSTEM: OnceLock<Result<Arc<rustls_platform_verifier::Verifier>, Error>> = OnceLock::new();
    let make = || rustls_platform_verifier::Verifier::new(Arc::new(aws_lc_rs::default_provider())).map(Arc::new);
    SYSTEM.get_or_init(make).clone()
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // A machine without roots, as many containers are, trusts nobody.
        let roots = || system().map_err(|_none| Error::from(CertificateError::UnknownIssuer));
        let judge = || roots()?.verify_server_cert(leaf, chain, name, ocsp, now).map(|_verified| ());
        // Only where it matters: the library reports each certificate that it does not trust as an error.
        let by_system = (self.judges || self.trust == Trust::System).then(judge);
        let sha256 = hex(&Sha256::digest(leaf));
        let fits = match &self.trust {
            Trust::System => by_system.clone().unwrap_or(Err(CertificateError::UnknownIssuer.into())),
            Trust::Pin(pin) if *pin == sha256 => Ok(()),
            Trust::Pin(_) => Err(CertificateError::Other(OtherError(Arc::new(PinDiffers))).into()),
            Trust::Any => Ok(()),
        };
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Shown { sha256, trusted: by_system.map(|judged| judged.is_ok()) });
        fits.map(|()| ServerCertVerified::assertion())
    }

    // The key must be the certificate's in every mode: a pin alone would accept a copied certificate.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Bytes as hex in lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}

/// Finds the fault of a handshake among the causes of a failure.
pub(crate) fn fault(error: &(dyn std::error::Error + 'static), shown: Option<&Shown>) -> Option<ProtectError> {
    let mut next = Some(error);
    while let Some(e) = next {
        if let Some(tls) = e.downcast_ref::<Error>() {
            return Some(name(tls, shown));
        }
        // An `io::Error` passes over what it wraps when it is asked for its cause.
        next = match e.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => e.source(),
        };
    }
    None
}

fn name(error: &Error, shown: Option<&Shown>) -> ProtectError {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(e))) if e.is::<PinDiffers>() => {
            ProtectError::TlsChanged(shown.map(|s| s.sha256.clone()).unwrap_or_default())
        }
        Error::InvalidCertificate(e) => {
            let why = match e {
                CertificateError::UnknownIssuer => "its issuer is unknown, as with most controllers".to_owned(),
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".to_owned(),
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "it is not valid yet; check this machine's clock".to_owned()
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    "it is for another name than the address in use".to_owned()
                }
                other => other.to_string(),
            };
            ProtectError::TlsUntrusted(why)
        }
        Error::InvalidMessage(_) => ProtectError::NotProtect("it does not speak TLS on this port".into()),
        other => ProtectError::NotProtect(format!("TLS failed: {other}")),
    }
}
