//! The media store: pictures and clips, put in place whole or not at all.

use std::error::Error;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use argus_core::retention::Disk;
use argus_core::{Timestamp, chain};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::camera::lock;
use crate::error::EngineError;

/// The disk on which the media store lies.
pub trait MediaDisk: Send + Sync {
    /// Its size and what is free; `None` when that cannot be known, as for a store elsewhere.
    ///
    /// # Errors
    /// What the operating system says.
    fn measure(&self) -> std::io::Result<Option<Disk>>;

    /// The folder of the store, when it is one.
    fn folder(&self) -> Option<&Path>;
}

/// The disk of a local folder.
#[derive(Clone, Debug)]
pub struct LocalDisk(PathBuf);

impl LocalDisk {
    /// That of this folder.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }
}

impl MediaDisk for LocalDisk {
    fn measure(&self) -> std::io::Result<Option<Disk>> {
        let found = rustix::fs::statvfs(&self.0)?;
        Ok(Some(Disk {
            total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
            // What is kept back for the administrator is not ours.
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        }))
    }

    fn folder(&self) -> Option<&Path> {
        Some(&self.0)
    }
}

/// The last write that failed, when none has succeeded since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WriteFault {
    /// Why, as a sentence.
    pub(crate) reason: String,
    /// There was no room.
    pub(crate) is_full: bool,
}

impl WriteFault {
    fn of(error: &EngineError) -> Self {
        Self { reason: chain(error), is_full: is_full(error) }
    }
}

/// Where pictures and clips lie.
#[derive(Clone, Debug)]
pub(crate) struct Media {
    store: Arc<dyn ObjectStore>,
    fault: Arc<Mutex<Option<WriteFault>>>,
    /// Wakes whoever can make room.
    pub(crate) refused: Arc<Notify>,
}

impl Media {
    pub(crate) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, fault: Arc::default(), refused: Arc::default() }
    }

    /// The last write that failed, when none has succeeded since.
    pub(crate) fn fault(&self) -> Option<WriteFault> {
        lock(&self.fault).clone()
    }

    /// Takes note of how a write came out.
    fn wrote<T>(&self, done: Result<T, EngineError>) -> Result<T, EngineError> {
        *lock(&self.fault) = done.as_ref().err().map(WriteFault::of);
        if done.is_err() {
            self.refused.notify_one();
        }
        done
    }

    /// Tries whether files can be stored again, after a write that failed.
    pub(crate) async fn probe(&self) {
        const KEY: &str = "probe";
        let tried = self.store.put(&path(KEY), Bytes::from_static(&[0; 4096]).into()).await.map_err(failed(KEY));
        *lock(&self.fault) = tried.as_ref().err().map(WriteFault::of);
        if tried.is_ok()
            && let Err(e) = self.delete(KEY).await
        {
            warn!("the file of a trial stays in the media store: {}", chain(&e));
        }
    }

    /// Stores a small file whole.
    pub(crate) async fn put(&self, key: &str, bytes: Bytes) -> Result<(), EngineError> {
        self.wrote(self.store.put(&path(key), bytes.into()).await.map(drop).map_err(failed(key)))
    }

    /// Stores a file from disk, in pieces, and gives its size; it appears under its key when it is complete.
    pub(crate) async fn put_file(&self, key: &str, from: &Path) -> Result<u64, EngineError> {
        let file = |source| EngineError::File { what: "a finished clip".into(), source };
        let mut source = tokio::fs::File::open(from).await.map_err(file)?;
        let mut writer = BufWriter::new(Arc::clone(&self.store), path(key));
        let copied = match tokio::io::copy(&mut source, &mut writer).await {
            Ok(bytes) => writer.shutdown().await.map(|()| bytes),
            Err(e) => {
                // What was begun is dropped by the store; a failure of that changes nothing for the caller. After a
                // shutdown that failed there is nothing to abort, and the writer panics when it is told to.
                let _ = writer.abort().await;
                Err(e)
            }
        };
        let stored = |source| EngineError::Store { key: key.to_owned(), source };
        self.wrote(copied.map_err(stored))
    }

    /// Reads a small file whole; `None` when it is not there.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Bytes>, EngineError> {
        match self.store.get(&path(key)).await {
            Ok(found) => found.bytes().await.map(Some).map_err(failed(key)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(failed(key)(e)),
        }
    }

    /// Whether a file is there.
    pub(crate) async fn has(&self, key: &str) -> Result<bool, EngineError> {
        match self.store.head(&path(key)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(failed(key)(e)),
        }
    }

    /// Every key below a prefix, with the size of its file.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, EngineError> {
        let found = self.store.list(Some(&path(prefix)));
        found.map_ok(|m| (m.location.to_string(), m.size)).try_collect().await.map_err(failed(prefix))
    }

    /// The folders at the top: one a camera.
    pub(crate) async fn top_folders(&self) -> Result<Vec<String>, EngineError> {
        let found = self.store.list_with_delimiter(None).await.map_err(failed("/"))?;
        Ok(found.common_prefixes.into_iter().map(|p| p.to_string()).collect())
    }

    /// The folders and the files directly in a folder, by their whole keys.
    pub(crate) async fn inside(&self, folder: &str) -> Result<(Vec<String>, Vec<String>), EngineError> {
        let found = self.store.list_with_delimiter(Some(&path(folder))).await.map_err(failed(folder))?;
        let folders = found.common_prefixes.into_iter().map(|p| p.to_string()).collect();
        Ok((folders, found.objects.into_iter().map(|m| m.location.to_string()).collect()))
    }

    /// Removes one file; one that is gone already is no failure.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), EngineError> {
        match self.store.delete(&path(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(failed(key)(e)),
        }
    }

    /// Removes everything below a prefix and tells how many files that were.
    pub(crate) async fn delete_all(&self, prefix: &str) -> Result<usize, EngineError> {
        let found = self.store.list(Some(&path(prefix))).map_ok(|m| m.location).boxed();
        let mut gone = self.store.delete_stream(found);
        let mut n = 0;
        while let Some(one) = gone.next().await {
            match one {
                Ok(_) => n += 1,
                Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Err(failed(prefix)(e)),
            }
        }
        Ok(n)
    }
}

/// A local folder as media store. Its files are on disk before anybody hears of them.
///
/// # Errors
/// `Media` when the folder cannot be used.
pub fn media_folder(dir: &Path) -> Result<Arc<dyn ObjectStore>, EngineError> {
    let store = LocalFileSystem::new_with_prefix(dir).map_err(failed(&dir.display().to_string()))?;
    Ok(Arc::new(store.with_fsync(true).with_automatic_cleanup(true)))
}

/// Removes what a crash left half-written before a moment: the store writes `name#1` and renames it, and lists none of
/// these. One folder at a time is read, beside everything else.
pub(crate) async fn half_files(dir: &Path, before: Timestamp) -> std::io::Result<()> {
    let before = UNIX_EPOCH + Duration::from_micros(u64::try_from(before.as_micros()).unwrap_or(0));
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        // Folders of events that were just removed go away meanwhile.
        let Ok(mut entries) = tokio::fs::read_dir(&folder).await else { continue };
        while let Some(entry) = entries.next_entry().await? {
            if entry.file_type().await.is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
                continue;
            }
            let name = entry.file_name();
            if name.to_string_lossy().rsplit_once('#').is_none_or(|(_, n)| n.parse::<u32>().is_err()) {
                continue;
            }
            let is_old = entry.metadata().await.and_then(|meta| meta.modified()).is_ok_and(|at| at < before);
            if is_old {
                match tokio::fs::remove_file(entry.path()).await {
                    Ok(()) => info!("removed a half-written file: {}", entry.path().display()),
                    Err(e) => warn!("a half-written file stays: {}: {e}", entry.path().display()),
                }
            }
        }
    }
    Ok(())
}

/// Whether there was no room, somewhere down the causes.
fn is_full(error: &(dyn Error + 'static)) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(e) = cause {
        let kind = e.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded)) {
            return true;
        }
        // An error of input and output hands on the cause of what it wraps, not what it wraps.
        let inner = e.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = inner.map(|e| e as &(dyn Error + 'static)).or_else(|| e.source());
    }
    false
}

fn path(key: &str) -> object_store::path::Path {
    object_store::path::Path::from(key)
}

fn failed(key: &str) -> impl FnOnce(object_store::Error) -> EngineError {
    let key = key.to_owned();
    move |source| EngineError::Media { key, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let half = dir.path().join("camera/clip.mp4#1");
        std::fs::create_dir(dir.path().join("camera")).unwrap();
        std::fs::write(&half, b"half").unwrap();
        // Older than a moment to come; not older than one long ago.
        half_files(dir.path(), Timestamp::from_millis(0)).await.unwrap();
        assert!(half.exists());
        half_files(dir.path(), "2999-01-01T00:00:00Z".parse().unwrap()).await.unwrap();
        assert!(!half.exists());
        let media = Media::new(media_folder(dir.path()).unwrap());

        let source = dir.path().join("source.mp4");
        std::fs::write(&source, vec![7_u8; 3_000_000]).unwrap();
        assert_eq!(media.put_file("camera/clip.mp4", &source).await.unwrap(), 3_000_000);
        assert_eq!(media.get("camera/clip.mp4").await.unwrap().map(|b| b.len()), Some(3_000_000));
        assert!(media.put_file("camera/other.mp4", &dir.path().join("nowhere")).await.is_err());
        assert_eq!(media.list("camera").await.unwrap(), [("camera/clip.mp4".to_owned(), 3_000_000)]);

        media.put("camera/thumbnail.jpg", Bytes::from_static(b"jpeg")).await.unwrap();
        assert_eq!(media.delete_all("camera").await.unwrap(), 2);
        assert_eq!(media.get("camera/clip.mp4").await.unwrap(), None);
        media.delete("camera/clip.mp4").await.unwrap();
    }

    #[tokio::test]
    async fn a_write_that_fails_is_known_until_one_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        let media = Media::new(media_folder(dir.path()).unwrap());
        std::fs::write(dir.path().join("camera"), b"a file where a folder should be").unwrap();
        assert!(media.put("camera/thumbnail.jpg", Bytes::from_static(b"jpeg")).await.is_err());
        let fault = media.fault().unwrap();
        assert!(!fault.is_full && fault.reason.contains("camera/thumbnail.jpg"), "{fault:?}");
        media.refused.notified().await;
        let source = dir.path().join("source.mp4");
        for bytes in [5, 12_000_000] {
            std::fs::write(&source, vec![7_u8; bytes]).unwrap();
            assert!(media.put_file("camera/clip.mp4", &source).await.is_err());
            assert!(media.fault().unwrap().reason.contains("camera/clip.mp4"));
        }
        std::fs::remove_file(&source).unwrap();
        media.probe().await;
        assert_eq!((media.fault(), media.list("").await.unwrap().len()), (None, 1));
    }

    #[test]
    fn no_room_is_found_down_the_causes() {
        let full = |source| EngineError::Media {
            key: "k".into(),
            source: object_store::Error::Generic { store: "x", source: Box::new(source) },
        };
        assert!(is_full(&full(std::io::Error::from(ErrorKind::StorageFull))));
        let wrapped = std::io::Error::other(object_store::Error::Generic {
            store: "x",
            source: Box::new(std::io::Error::from_raw_os_error(28)),
        });
        assert!(is_full(&full(wrapped)));
        assert!(!is_full(&full(std::io::Error::from(ErrorKind::PermissionDenied))));
    }

    #[test]
    fn the_disk_of_a_folder_is_measured() {
        let dir = tempfile::tempdir().unwrap();
        let disk = LocalDisk::new(dir.path().to_owned()).measure().unwrap().unwrap();
        assert!(disk.total_bytes > 0 && disk.free_bytes <= disk.total_bytes, "{disk:?}");
        assert!(LocalDisk::new(dir.path().join("nowhere")).measure().is_err());
    }
}
