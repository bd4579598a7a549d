//! Certificates of a console: made by itself, named after nothing one dials.

use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};

/// What answers on the console's port before any HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// TLS 1.2 and 1.3.
    #[default]
    Tls,
    /// TLS 1.2 alone.
    Tls12,
    /// HTTP without TLS.
    Plain,
    /// The connection is taken and then nothing comes.
    Mute,
    /// The connection is taken and reset.
    Reset,
}

/// A certificate with its key.
pub(crate) struct Certificate {
    pub(crate) pem: String,
    /// Its key (PKCS #8).
    pub(crate) key_pem: String,
    /// SHA-256 of the certificate, 64 hex digits in lower case.
    pub(crate) fingerprint: String,
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) config_12: Arc<ServerConfig>,
}

impl Certificate {
    pub(crate) fn new(names: &[String], expired: bool) -> anyhow::Result<Self> {
        let key = KeyPair::generate().context("cannot make a key")?;
        let mut params = CertificateParams::new(names.to_vec()).context("cannot name the certificate")?;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = if expired { date_time_ymd(2021, 1, 1) } else { date_time_ymd(2090, 1, 1) };
        let certificate = params.self_signed(&key).context("cannot sign the certificate")?;
        let chain = vec![certificate.der().clone()];
        let private = || PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let build = |versions: &[&'static rustls::SupportedProtocolVersion]| -> anyhow::Result<Arc<ServerConfig>> {
            let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(versions)?
                .with_no_client_auth()
                .with_single_cert(chain.clone(), private())?;
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok(Arc::new(config))
        };
        Ok(Self {
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            fingerprint: Sha256::digest(certificate.der()).iter().map(|byte| format!("{byte:02x}")).collect(),
            config: build(&[&rustls::version::TLS12, &rustls::version::TLS13])?,
            config_12: build(&[&rustls::version::TLS12])?,
        })
    }
}
