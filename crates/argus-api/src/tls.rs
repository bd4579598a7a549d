//! TLS: the certificate with its key, read from files and read again when they change.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use argus_core::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use sha2::{Digest as _, Sha256};

use crate::error::ApiError;
use crate::http_config::TlsFiles;

/// Name of the lowest version that is accepted.
pub(crate) const LOWEST: &str = "TLSv1.2";

/// What a certificate says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) subject: String,
    pub(crate) issuer: String,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// The pair that is served now. Handshakes take it from here, so that a new one is used from the next connection on.
pub(crate) struct Certificates {
    files: TlsFiles,
    current: RwLock<Pair>,
    /// Of the files' content when it was tried last, good or bad.
    tried: Mutex<[u8; 32]>,
}

struct Pair {
    key: Arc<CertifiedKey>,
    about: About,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificates({})", self.files.cert.display())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current.key))
    }
}

impl Certificates {
    /// Reads the pair for the first time.
    pub(crate) fn load(files: &TlsFiles) -> Result<Arc<Self>, ApiError> {
        let read = |path: &Path| std::fs::read(path).map_err(|e| unreadable(path, &e));
        let (cert, key) = (read(&files.cert)?, read(&files.key)?);
        let pair = pair(files, &cert, &key)?;
        let tried = Mutex::new(digest(&cert, &key));
        Ok(Arc::new(Self { files: files.clone(), current: RwLock::new(pair), tried }))
    }

    /// What the pair that is served says.
    pub(crate) fn about(&self) -> About {
        self.current.read().unwrap_or_else(PoisonError::into_inner).about.clone()
    }

    /// Looks at the files again. A pair that is no good is told once and not used: the old one stays.
    pub(crate) async fn reload(&self) {
        let read = async |path: &Path| tokio::fs::read(path).await.map_err(|e| unreadable(path, &e));
        let found = async { Ok((read(&self.files.cert).await?, read(&self.files.key).await?)) }.await;
        let content = found.as_ref().map_or([0; 32], |(cert, key)| digest(cert, key));
        {
            let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
            if *tried == content {
                return;
            }
            *tried = content;
        }
        let new = found.and_then(|(cert, key)| pair(&self.files, &cert, &key));
        match new {
            Ok(pair) => {
                tracing::info!(
                    certificate.subject = pair.about.subject,
                    certificate.expires = %pair.about.not_after,
                    "a new certificate is served"
                );
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = pair;
            }
            // Between the writing of the two files they do not fit; then the next look finds them changed again.
            Err(failure) => tracing::warn!(error = %failure, "the changed certificate is not used, the old one stays"),
        }
    }

    /// The configuration for accepting connections with it.
    pub(crate) fn acceptor(self: &Arc<Self>) -> Result<ServerConfig, ApiError> {
        let versions = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13, &TLS12]);
        let versions = versions.map_err(|e| ApiError::Certificate(format!("TLS cannot be used: {e}")))?;
        let mut config = versions.with_no_client_auth().with_cert_resolver(Arc::clone(self) as _);
        // No HTTP/2: the library bounds neither its streams nor their headers, and lets nobody else do it.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn digest(cert: &[u8], key: &[u8]) -> [u8; 32] {
    let mut sum = Sha256::digest(cert).to_vec();
    sum.extend_from_slice(&Sha256::digest(key));
    Sha256::digest(&sum).into()
}

fn unreadable(path: &Path, why: &dyn fmt::Display) -> ApiError {
    ApiError::Certificate(format!("{} cannot be read: {why}", path.display()))
}

/// Reads and checks a pair. No message quotes the content.
fn pair(files: &TlsFiles, cert: &[u8], key: &[u8]) -> Result<Pair, ApiError> {
    let (cert_path, key_path) = (files.cert.display(), files.key.display());
    let bad = |text: String| ApiError::Certificate(text);
    let chain = CertificateDer::pem_slice_iter(cert).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_broken| bad(format!("{cert_path} is no sound PEM")))?;
    let leaf = chain.first().ok_or_else(|| bad(format!("{cert_path} holds no certificate")))?;
    let about = about(leaf).ok_or_else(|| bad(format!("{cert_path} holds no certificate that can be read")))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_broken| bad(format!("{key_path} holds no private key")))?;
    let key = CertifiedKey::from_der(chain, key, &provider())
        .map_err(|e| bad(format!("{cert_path} and {key_path} cannot be used together: {e}")))?;
    Ok(Pair { key: Arc::new(key), about })
}

fn about(leaf: &CertificateDer<'_>) -> Option<About> {
    let (_, cert) = x509_parser::parse_x509_certificate(leaf).ok()?;
    let time = |t: x509_parser::time::ASN1Time| Timestamp::from_micros(t.timestamp().saturating_mul(1_000_000));
    Some(About {
        subject: cert.subject().to_string(),
        issuer: cert.issuer().to_string(),
        not_before: time(cert.validity().not_before),
        not_after: time(cert.validity().not_after),
    })
}
