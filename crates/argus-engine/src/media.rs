//! The media store: pictures and clips, put in place whole or not at all.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::io::AsyncWriteExt;
use tracing::{info, warn};

use crate::error::EngineError;

/// Where pictures and clips lie.
#[derive(Clone, Debug)]
pub(crate) struct Media(Arc<dyn ObjectStore>);

impl Media {
    pub(crate) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self(store)
    }

    /// Stores a small file whole.
    pub(crate) async fn put(&self, key: &str, bytes: Bytes) -> Result<(), EngineError> {
        self.0.put(&path(key), bytes.into()).await.map(drop).map_err(failed(key))
    }

    /// Stores a file from disk, in pieces; it appears under its key when it is complete.
    pub(crate) async fn put_file(&self, key: &str, from: &Path) -> Result<(), EngineError> {
        let file = |source| EngineError::File { what: "a finished clip".into(), source };
        let mut source = tokio::fs::File::open(from).await.map_err(file)?;
        let mut writer = BufWriter::new(Arc::clone(&self.0), path(key));
        let copied = async {
            tokio::io::copy(&mut source, &mut writer).await?;
            writer.shutdown().await
        };
        if let Err(e) = copied.await {
            // What was begun is dropped by the store; a failure of that changes nothing for the caller.
            let _ = writer.abort().await;
            return Err(file(e));
        }
        Ok(())
    }

    /// Reads a small file whole; `None` when it is not there.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Bytes>, EngineError> {
        match self.0.get(&path(key)).await {
            Ok(found) => found.bytes().await.map(Some).map_err(failed(key)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(failed(key)(e)),
        }
    }

    /// Every key below a prefix.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<String>, EngineError> {
        let found = self.0.list(Some(&path(prefix)));
        found.map_ok(|m| m.location.to_string()).try_collect().await.map_err(failed(prefix))
    }

    /// The folders at the top: one a camera.
    pub(crate) async fn top_folders(&self) -> Result<Vec<String>, EngineError> {
        let found = self.0.list_with_delimiter(None).await.map_err(failed("/"))?;
        Ok(found.common_prefixes.into_iter().map(|p| p.to_string()).collect())
    }

    /// The folders inside a folder, by their whole keys.
    pub(crate) async fn folders(&self, prefix: &str) -> Result<Vec<String>, EngineError> {
        let found = self.0.list_with_delimiter(Some(&path(prefix))).await.map_err(failed(prefix))?;
        Ok(found.common_prefixes.into_iter().map(|p| p.to_string()).collect())
    }

    /// Removes one file; one that is gone already is no failure.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), EngineError> {
        match self.0.delete(&path(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(failed(key)(e)),
        }
    }

    /// Removes everything below a prefix and tells how many files that were.
    pub(crate) async fn delete_all(&self, prefix: &str) -> Result<usize, EngineError> {
        let found = self.0.list(Some(&path(prefix))).map_ok(|m| m.location).boxed();
        let mut gone = self.0.delete_stream(found);
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

/// A local folder as media store. Its files are on disk before anybody hears of them; what a crash left half-written is
/// removed first.
///
/// # Errors
/// `Media` when the folder cannot be used.
pub fn media_folder(dir: &Path) -> Result<Arc<dyn ObjectStore>, EngineError> {
    half_files(dir);
    let store = LocalFileSystem::new_with_prefix(dir).map_err(failed(&dir.display().to_string()))?;
    Ok(Arc::new(store.with_fsync(true).with_automatic_cleanup(true)))
}

/// Removes half-written files: the store writes `name#1` and renames it.
fn half_files(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let half = name.to_string_lossy().rsplit_once('#').is_some_and(|(_, n)| n.parse::<u32>().is_ok());
        if path.is_dir() && !path.is_symlink() {
            half_files(&path);
        } else if half {
            match std::fs::remove_file(&path) {
                Ok(()) => info!("removed a half-written file: {}", path.display()),
                Err(e) => warn!("a half-written file stays: {}: {e}", path.display()),
            }
        }
    }
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
        let media = Media::new(media_folder(dir.path()).unwrap());
        assert!(!half.exists());

        let source = dir.path().join("source.mp4");
        std::fs::write(&source, vec![7_u8; 3_000_000]).unwrap();
        media.put_file("camera/clip.mp4", &source).await.unwrap();
        assert_eq!(media.get("camera/clip.mp4").await.unwrap().map(|b| b.len()), Some(3_000_000));
        assert!(media.put_file("camera/other.mp4", &dir.path().join("nowhere")).await.is_err());
        assert_eq!(media.list("camera").await.unwrap(), ["camera/clip.mp4"]);

        media.put("camera/thumbnail.jpg", Bytes::from_static(b"jpeg")).await.unwrap();
        assert_eq!(media.delete_all("camera").await.unwrap(), 2);
        assert_eq!(media.get("camera/clip.mp4").await.unwrap(), None);
        media.delete("camera/clip.mp4").await.unwrap();
    }
}
