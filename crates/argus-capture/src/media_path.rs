//! Which files a camera may read: those inside the media directories, after links are resolved.

use std::path::{Component, Path, PathBuf};

/// Why a file may not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathFault {
    /// There is no such file.
    Missing,
    /// It lies elsewhere.
    Outside,
    /// It is a directory or something else.
    NoFile,
    /// This server may not read it.
    Denied,
}

impl PathFault {
    /// The end of the sentence "this file …".
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Missing => "does not exist",
            Self::Outside => "is not inside a media directory",
            Self::NoFile => "is not a file",
            Self::Denied => "may not be read by this server",
        }
    }
}

/// The real place of `path`: absolute, or below the first of `dirs`.
pub(crate) fn resolve(dirs: &[PathBuf], path: &str) -> Result<PathBuf, PathFault> {
    let first = dirs.first().ok_or(PathFault::Outside)?;
    // `join` takes an absolute path as it is.
    let wanted = first.join(path);
    let real_dirs: Vec<PathBuf> = dirs.iter().filter_map(|d| d.canonicalize().ok()).collect();
    let real = wanted.canonicalize().map_err(|e| {
        // What lies outside is not told apart from what does not exist there.
        let climbs = wanted.components().any(|c| c == Component::ParentDir);
        let inside = dirs.iter().chain(&real_dirs).any(|d| wanted.starts_with(d));
        match e.kind() {
            _ if climbs || !inside => PathFault::Outside,
            std::io::ErrorKind::PermissionDenied => PathFault::Denied,
            _ => PathFault::Missing,
        }
    })?;
    if !real_dirs.iter().any(|d| real.starts_with(d)) {
        return Err(PathFault::Outside);
    }
    if !real.is_file() {
        return Err(PathFault::NoFile);
    }
    readable(&real)?;
    Ok(real)
}

fn readable(path: &Path) -> Result<(), PathFault> {
    std::fs::File::open(path).map(|_| ()).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => PathFault::Missing,
        _ => PathFault::Denied,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_really_lies_inside() {
        let root = tempfile::tempdir().unwrap();
        let (media, other) = (root.path().join("media"), root.path().join("other"));
        std::fs::create_dir_all(media.join("sub")).unwrap();
        std::fs::create_dir_all(&other).unwrap();
        std::fs::write(media.join("a.mp4"), b"x").unwrap();
        std::fs::write(other.join("secret.mp4"), b"x").unwrap();
        std::os::unix::fs::symlink(other.join("secret.mp4"), media.join("link.mp4")).unwrap();
        std::os::unix::fs::symlink(media.join("a.mp4"), media.join("inner.mp4")).unwrap();
        let dirs = [media.clone(), root.path().join("not-there")];
        let check = |path: &str, expected: Result<&str, PathFault>| {
            let expected = expected.map(|p| media.canonicalize().unwrap().join(p));
            assert_eq!(resolve(&dirs, path), expected, "{path}");
        };
        check("a.mp4", Ok("a.mp4"));
        check("inner.mp4", Ok("a.mp4"));
        check("sub/../a.mp4", Ok("a.mp4"));
        check(media.join("a.mp4").to_str().unwrap(), Ok("a.mp4"));
        check("b.mp4", Err(PathFault::Missing));
        check("sub", Err(PathFault::NoFile));
        check("link.mp4", Err(PathFault::Outside));
        check("../other/secret.mp4", Err(PathFault::Outside));
        check("../other/none.mp4", Err(PathFault::Outside));
        check("/etc/passwd", Err(PathFault::Outside));
        check("/etc/not-there", Err(PathFault::Outside));
        assert_eq!(resolve(&[], "a.mp4"), Err(PathFault::Outside));
    }
}
