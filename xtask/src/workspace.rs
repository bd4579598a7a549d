//! Where the workspace lies, and the shell that works in it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use xshell::{Shell, cmd};

/// The root of the workspace: the folder above this package.
pub(crate) fn root() -> PathBuf {
    // At run time first: a target folder that was moved or copied still works on the tree it was called in.
    let package =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// A shell in the root of the workspace.
pub(crate) fn shell() -> anyhow::Result<Shell> {
    let root = root();
    std::env::set_current_dir(&root).with_context(|| format!("no workspace at {}", root.display()))?;
    let sh = Shell::new()?;
    sh.change_dir(&root);
    Ok(sh)
}

/// The folder that cargo builds into.
pub(crate) fn target_dir() -> anyhow::Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec().context("cargo metadata failed")?;
    Ok(metadata.target_directory.into_std_path_buf())
}

/// What to build.
pub(crate) enum Target<'a> {
    /// The server.
    Server,
    /// An example of any crate of the workspace.
    Example(&'a str),
}

/// Builds a program of the workspace and answers where it is.
///
/// The whole workspace is selected, though only what the program needs is built: features of dependencies are united over
/// what is selected, and with one package alone they would differ from those of the tests, and half of the dependencies
/// would be built twice.
pub(crate) fn build(sh: &Shell, target: &Target<'_>, release: bool, features: &[&str]) -> anyhow::Result<PathBuf> {
    let profile = release.then_some("--release");
    let folder = target_dir()?.join(if release { "release" } else { "debug" });
    let features: Vec<&str> = features.iter().flat_map(|feature| ["--features", feature]).collect();
    match target {
        Target::Server => {
            cmd!(sh, "cargo build --workspace --bin argus-server {profile...} {features...}").run()?;
            Ok(folder.join("argus-server"))
        }
        Target::Example(name) => {
            cmd!(sh, "cargo build --workspace --example {name} {profile...} {features...}").run()?;
            Ok(folder.join("examples").join(name))
        }
    }
}

/// The feature that adds PostgreSQL.
pub(crate) const POSTGRES: &str = "argus-server/postgres";

/// The full path of a program on `PATH`.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Prints a heading, so that the parts of a long output are found again.
pub(crate) fn heading(text: &str) {
    println!("\n=== {text}");
}
