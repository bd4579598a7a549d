//! Clips, by the controller's export: not before the recording is there, and again when the controller says "not yet".
//!
//! A console closes a recording seconds after the fact. Asked too early it answers 404 with `{"error":502}`, 500, nothing,
//! or half a file; only another 404 means that there is no recording.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use argus_core::Timestamp;
use argus_core::ports::ClipFile;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::ProtectError;
use crate::error::of_status;
use crate::hub::Hub;
use crate::local::Local;

/// Longest clip that is asked for; longer exports time out.
const LONGEST: Duration = Duration::from_secs(3600);

/// Largest file.
const MAX_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// A file shorter than this holds no picture.
const LEAST_BYTES: u64 = 1024;

const WHAT: &str = "recordings";

/// How a try failed.
enum Failed {
    /// Try again.
    NotYet(String),
    /// It is of no use.
    Final(ProtectError),
}

pub(super) async fn fetch(
    hub: &Arc<Hub>,
    local: &Local,
    turns: &Semaphore,
    temp_dir: &Path,
    device: &str,
    from: Timestamp,
    until: Timestamp,
) -> Result<ClipFile, ProtectError> {
    if until <= from || until.since(from) > LONGEST {
        return Err(ProtectError::Unsupported("a clip must be longer than nothing and no longer than an hour".into()));
    }
    // By our own clock: the times of a happening are told by it.
    let ready = until.plus(hub.tuning.clip_ready);
    tokio::time::sleep(ready.since(hub.now())).await;
    let _turn = turns.acquire().await.map_err(|_closed| ProtectError::Stopped)?;
    let mut waits = hub.tuning.clip_retries.iter();
    loop {
        let reason = match attempt(hub, local, temp_dir, device, from, until).await {
            Ok(clip) => return Ok(clip),
            Err(Failed::Final(e)) => return Err(e),
            Err(Failed::NotYet(reason)) => reason,
        };
        match waits.next() {
            Some(wait) => tokio::time::sleep(crate::backoff::jitter(*wait)).await,
            None => return Err(ProtectError::Unusable { what: WHAT, reason }),
        }
    }
}

async fn attempt(
    hub: &Hub,
    local: &Local,
    temp_dir: &Path,
    device: &str,
    from: Timestamp,
    until: Timestamp,
) -> Result<ClipFile, Failed> {
    let clock = hub.client.clock();
    let query = [
        ("camera", device.to_owned()),
        ("start", clock.theirs(from).to_string()),
        ("end", clock.theirs(until).to_string()),
        ("channel", "0".to_owned()),
    ];
    let response = match local.open(WHAT, &["video", "export"], &query).await {
        Ok(response) => response,
        Err(e) if e.retry().is_some() => return Err(Failed::NotYet(e.to_string())),
        Err(e) => return Err(Failed::Final(e)),
    };
    let status = response.status().as_u16();
    if status == 404 {
        return Err(not_found(hub, response).await);
    }
    if !(200..300).contains(&status) {
        let e = of_status(WHAT, status);
        return Err(if e.retry().is_some() { Failed::NotYet(e.to_string()) } else { Failed::Final(e) });
    }
    receive(hub, local, response, temp_dir, from, until).await
}

/// Whether a 404 is the console's own, or that of a part behind it that is not ready.
async fn not_found(hub: &Hub, response: reqwest::Response) -> Failed {
    let none = Failed::Final(ProtectError::NotFound(
        "recording of that time; the camera may not record, or it was deleted".into(),
    ));
    if response.content_length().is_some_and(|l| l > 4096) {
        return none;
    }
    let body = timeout(hub.tuning.answer, response.bytes()).await;
    let body = body.ok().and_then(Result::ok).and_then(|b| serde_json::from_slice::<Value>(&b).ok());
    match body.as_ref().and_then(|b| b.get("error")).and_then(Value::as_i64) {
        Some(code @ 500..=599) => Failed::NotYet(format!("the recording is not ready ({code})")),
        _ => none,
    }
}

/// Writes the body to a temporary file, which is gone unless all is well.
async fn receive(
    hub: &Hub,
    local: &Local,
    mut response: reqwest::Response,
    temp_dir: &Path,
    from: Timestamp,
    until: Timestamp,
) -> Result<ClipFile, Failed> {
    let failed = |e: std::io::Error| {
        let text = format!("a clip cannot be written to the temporary folder ({e}): check its free space and rights");
        Failed::Final(ProtectError::File(text))
    };
    let promised = response.content_length();
    let named = tempfile::Builder::new().prefix("protect-").suffix(".mp4").tempfile_in(temp_dir).map_err(failed)?;
    let (file, path) = named.into_parts();
    let mut file = tokio::fs::File::from_std(file);
    let mut head: Vec<u8> = Vec::new();
    let mut bytes: u64 = 0;
    loop {
        let chunk = match timeout(hub.tuning.answer, response.chunk()).await {
            Err(_) => return Err(Failed::NotYet("the recording stopped coming".into())),
            Ok(Err(e)) => return Err(Failed::NotYet(local.http().failure(WHAT, e).to_string())),
            Ok(Ok(None)) => break,
            Ok(Ok(Some(chunk))) => chunk,
        };
        if head.len() < 12 {
            head.extend(chunk.iter().take(12));
        }
        bytes = bytes.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if bytes > MAX_BYTES {
            let reason = format!("it is longer than {MAX_BYTES} bytes");
            return Err(Failed::Final(ProtectError::Unusable { what: WHAT, reason }));
        }
        file.write_all(&chunk).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    if promised.is_some_and(|p| p != bytes) {
        return Err(Failed::NotYet("the recording was cut short".into()));
    }
    if bytes < LEAST_BYTES || head.get(4..8) != Some(b"ftyp") {
        return Err(Failed::NotYet("what came is no recording yet".into()));
    }
    Ok(ClipFile { from, until, bytes, file: Box::new(path) })
}
