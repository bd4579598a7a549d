//! What a reader may rely on finding: the tree of the workspace.

use std::path::Path;

const EXPECTED: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    ".cargo/config.toml",
    ".ci/run",
    "rustfmt.toml",
    "clippy.toml",
    "deny.toml",
    "README.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "docs/architecture.md",
    "docs/api.md",
    "docs/config.md",
    "docs/performance.md",
    "docs/openapi.json",
    "docs/adr",
    "migrations/sqlite",
    "migrations/postgres",
    "crates/argus-core/src/lib.rs",
    "crates/argus-core/src/ports.rs",
    "crates/argus-core/src/error.rs",
    "crates/argus-motion/src/lib.rs",
    "crates/argus-db/src/schema.rs",
    "crates/argus-db/src/database.rs",
    "crates/argus-db/migrations/sqlite",
    "crates/argus-db/examples/migrate.rs",
    "crates/argus-capture/src/lib.rs",
    "crates/argus-ai/src/provider.rs",
    "crates/argus-engine/src/lib.rs",
    "crates/argus-api/src/error.rs",
    "crates/argus-api/src/paths.rs",
    "crates/argus-api/examples/openapi.rs",
    "bins/argus-server/src/main.rs",
    "bins/argus-server/src/config.rs",
    "bins/argus-server/src/wire.rs",
    "tests/src/lib.rs",
    "tests/it/main.rs",
];

/// Checks that all of it is there.
pub(super) fn check(root: &Path) -> Vec<String> {
    EXPECTED.iter().filter(|path| !root.join(path).exists()).map(|path| format!("{path} is missing")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(check(folder.path()).len(), EXPECTED.len());
        std::fs::write(folder.path().join("Cargo.toml"), "").unwrap();
        assert_eq!(check(folder.path()).len(), EXPECTED.len() - 1);
    }
}
