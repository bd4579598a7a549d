//! The certificate that the server makes itself, for those who have none: kept in the data directory, renewed before it
//! ends.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use argus_core::{Clock, Timestamp};
use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::error::ApiError;
use crate::http_config::TlsFiles;
use crate::tls::Certificates;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Browsers refuse what is valid for longer than 398 days.
const VALID_DAYS: u32 = 397;
/// Renewed when it has less than this left.
const LEFT_DAYS: u32 = 30;

/// Makes certificate and key when there are none, or when they end soon.
///
/// # Errors
/// `Certificate` when they cannot be made or written.
pub fn ensure(files: &TlsFiles, now: Timestamp) -> Result<(), ApiError> {
    // As it will be served: a key without its certificate, left by a crash between the two, is no pair.
    let is_good = Certificates::load(files).is_ok_and(|pair| pair.about().not_after > now.plus(DAY * LEFT_DAYS));
    if is_good {
        return Ok(());
    }
    make(files, now).map_err(|why| {
        ApiError::Certificate(format!("the self-signed certificate {} cannot be made: {why}", files.cert.display()))
    })?;
    info!("a self-signed certificate was made: {}", files.cert.display());
    Ok(())
}

/// Looks once a day whether it must be renewed, until the server stops.
pub async fn keep(files: TlsFiles, clock: std::sync::Arc<dyn Clock>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(DAY) => {}
        }
        if let Err(failure) = ensure(&files, clock.now()) {
            warn!("{failure}");
        }
    }
}

fn make(files: &TlsFiles, now: Timestamp) -> Result<(), Box<dyn std::error::Error>> {
    let mut params = CertificateParams::new(names())?;
    params.distinguished_name.push(DnType::CommonName, "Argus, self-signed");
    // From yesterday on, for clients whose clocks are late.
    let (year, month, day) = date(Timestamp::from_micros(now.as_micros() - 24 * 60 * 60 * 1_000_000))?;
    params.not_before = date_time_ymd(year, month, day);
    let (year, month, day) = date(now.plus(DAY * VALID_DAYS))?;
    params.not_after = date_time_ymd(year, month, day);
    let key = KeyPair::generate()?;
    let cert = params.self_signed(&key)?;
    // Beside, then into place; the key first, as without it a new certificate is worth nothing.
    write(&files.key, &key.serialize_pem())?;
    write(&files.cert, &cert.pem())
}

/// What the server may be called on this machine and in its network.
fn names() -> Vec<String> {
    let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    if !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b)) {
        names.push(host.to_owned());
        names.push(format!("{host}.local"));
    }
    names
}

/// Year, month and day of a moment.
fn date(at: Timestamp) -> Result<(i32, u8, u8), Box<dyn std::error::Error>> {
    let text = at.to_string();
    let mut parts = text.split(['-', 'T']);
    let mut next = || parts.next().unwrap_or_default();
    Ok((next().parse()?, next().parse()?, next().parse()?))
}

/// Writes a file that only its owner can read, at once and whole.
fn write(path: &Path, text: &str) -> Result<(), Box<dyn std::error::Error>> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_pair_is_made_once_is_private_and_is_renewed_before_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            cert: dir.path().join("self-signed.crt"),
            key: dir.path().join("self-signed.key"),
            redirect_listen: None,
        };
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        ensure(&files, now).unwrap();
        assert_eq!(std::fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
        let first = std::fs::read(&files.cert).unwrap();
        let end_of = |files: &TlsFiles| Certificates::load(files).unwrap().about().not_after;
        let end = end_of(&files);
        assert_eq!(end.since(now).as_secs().div_ceil(24 * 60 * 60), u64::from(VALID_DAYS));
        ensure(&files, now.plus(DAY * (VALID_DAYS - LEFT_DAYS - 2))).unwrap();
        assert!(std::fs::read(&files.cert).unwrap() == first, "it is good for long enough");
        ensure(&files, now.plus(DAY * (VALID_DAYS - LEFT_DAYS + 1))).unwrap();
        assert!(std::fs::read(&files.cert).unwrap() != first);
        assert!(end_of(&files) > end);
        // A file that is no certificate is replaced too, as is a missing key.
        std::fs::write(&files.cert, "nonsense").unwrap();
        ensure(&files, now).unwrap();
        std::fs::remove_file(&files.key).unwrap();
        ensure(&files, now).unwrap();
        assert_eq!(end_of(&files), end);
        // A crash between the two files leaves a key that does not fit.
        std::fs::write(&files.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        ensure(&files, now).unwrap();
        assert_eq!(end_of(&files), end);
    }
}
