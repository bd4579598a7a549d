//! `cargo xtask test`: every test of the workspace, with what they need around them.

mod skipped;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use xshell::{Shell, cmd};

use crate::interrupt::Interrupt;
use crate::packages::{self, Need};
use crate::pg::{Postgres, URL_VARIABLE};
use crate::{tools, workspace};

/// Lets every server of the end-to-end tests work on PostgreSQL.
const CHOICE_VARIABLE: &str = "ARGUS_TEST_DATABASE";
/// Modules of these tests that are run on PostgreSQL too, beside what always does: those in which the database does the most.
/// All of them: `ARGUS_TEST_DATABASE=postgres cargo xtask test -- -p argus-tests`.
const ON_POSTGRES: [&str; 4] = ["accounts", "retention", "seal", "stop"];

/// Run every test: documentation, both databases, end to end.
#[derive(Args)]
pub(crate) struct Test {
    /// Refuse to install missing system packages.
    #[arg(long)]
    no_install: bool,
    /// Leave PostgreSQL out: argus-db's tests run on SQLite alone.
    #[arg(long)]
    no_postgres: bool,
    /// Options for the test runner (`cargo nextest run` or `cargo test`), after `--`, to run a part only.
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl Test {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        packages::ensure(sh, Need::Tests, self.no_install)?;
        let _skipped = skipped::Skipped::watch();
        // Ctrl-C ends the tests, which the terminal tells by itself; this process stays to stop PostgreSQL.
        let _interrupt = Interrupt::catch()?;
        let postgres = if self.no_postgres { None } else { Some(Postgres::start(sh)?) };
        let _url = postgres.as_ref().map(|postgres| sh.push_env(URL_VARIABLE, postgres.url()));
        let _tools = tools::ensure(sh)?;
        // One build for both databases: the feature adds PostgreSQL beside SQLite and takes nothing away.
        let features: &[&str] = if self.no_postgres { &[] } else { &["--features", workspace::POSTGRES] };

        let references = tempfile::NamedTempFile::new()?;
        let _references = sh.push_env("INSTA_SNAPSHOT_REFERENCES_FILE", references.path());
        let arguments = &self.arguments;
        let whole = arguments.is_empty();
        // With the tests, so that it has their features and nothing is built twice.
        cmd!(sh, "cargo build --workspace {features...} --bin argus-server --test it").run()?;
        let program = workspace::target_dir()?.join("debug/argus-server");
        let _program = sh.push_env("ARGUS_TEST_PROGRAM", program);
        // The runner of the bulk comes last, so that its closing lines close the output.
        if cmd!(sh, "cargo nextest --version").quiet().ignore_stdout().ignore_stderr().run().is_ok() {
            if whole {
                cmd!(sh, "cargo test --workspace {features...} --doc -q").run()?;
            }
            if whole && postgres.is_some() {
                let _choice = sh.push_env(CHOICE_VARIABLE, "postgres");
                let part = format!("package(argus-tests) and test(/^({})::/)", ON_POSTGRES.join("|"));
                cmd!(sh, "cargo nextest run --workspace {features...} --test it -E {part}").run()?;
            }
            cmd!(sh, "cargo nextest run --workspace {features...} {arguments...}").run()?;
        } else {
            cmd!(sh, "cargo test --workspace {features...} {arguments...}").run()?;
        }
        if whole {
            refuse_unreferenced(&sh.read_file(references.path())?)?;
        }
        Ok(())
    }
}

/// Fails when the tree has a snapshot that no test of a whole run compared itself with.
fn refuse_unreferenced(references: &str) -> anyhow::Result<()> {
    let mut kept = Vec::new();
    for folder in ["crates", "bins", "tests"] {
        snapshots_in(&workspace::root().join(folder), &mut kept);
    }
    let left = unreferenced(kept, references);
    if left.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = left.iter().map(|path| path.display().to_string()).collect();
    bail!("no test compares itself with these snapshots any more; remove them:\n  {}", list.join("\n  "));
}

fn unreferenced(kept: Vec<PathBuf>, references: &str) -> Vec<PathBuf> {
    let used: BTreeSet<PathBuf> =
        references.lines().filter_map(|line| std::fs::canonicalize(line.trim()).ok()).collect();
    kept.into_iter().filter(|path| std::fs::canonicalize(path).is_ok_and(|path| !used.contains(&path))).collect()
}

fn snapshots_in(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            snapshots_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "snap") {
            found.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_snapshots_that_no_test_named() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/snapshots");
        std::fs::create_dir_all(&deep).unwrap();
        for name in ["used.snap", "left.snap", "other.txt"] {
            std::fs::write(deep.join(name), "").unwrap();
        }
        let mut kept = Vec::new();
        snapshots_in(folder.path(), &mut kept);
        assert_eq!(kept.len(), 2);
        let references = format!("{}\n", deep.join("used.snap").display());
        assert_eq!(unreferenced(kept, &references), [deep.join("left.snap")]);
    }
}
