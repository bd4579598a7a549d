//! The promised `rust-version` is one that the dependencies can keep. (Our own code is checked by clippy's
//! `incompatible_msrv`, which reads the same promise.)

use anyhow::Context;
use cargo_metadata::semver::Version;
use cargo_metadata::{CargoOpt, MetadataCommand};

/// Checks every dependency of the workspace, all features on.
pub(super) fn check_workspace() -> anyhow::Result<Vec<String>> {
    let metadata = MetadataCommand::new().features(CargoOpt::AllFeatures).exec().context("cargo metadata failed")?;
    let promised = metadata
        .workspace_packages()
        .iter()
        .find_map(|package| package.rust_version.clone())
        .context("the workspace promises no rust-version")?;
    let wanted =
        metadata.packages.iter().filter_map(|p| Some((format!("{} {}", p.name, p.version), p.rust_version.clone()?)));
    Ok(check(&promised, wanted))
}

fn check(promised: &Version, wanted: impl Iterator<Item = (String, Version)>) -> Vec<String> {
    wanted
        .filter(|(_, version)| version > promised)
        .map(|(package, version)| format!("{package} needs Rust {version}, and the workspace promises {promised}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_that_needs_more_is_told() {
        let version = |minor| Version::new(1, minor, 0);
        let wanted = [("old 1.0.0".to_owned(), version(60)), ("new 2.0.0".to_owned(), version(93))];
        let faults = check(&version(92), wanted.clone().into_iter());
        assert_eq!(faults, ["new 2.0.0 needs Rust 1.93.0, and the workspace promises 1.92.0"]);
        assert!(check(&version(93), wanted.into_iter()).is_empty());
    }
}
