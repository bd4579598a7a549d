//! `cargo xtask bench`: the benchmarks are examples of the crates they measure, found by their file names.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use xshell::{Shell, cmd};

use crate::packages::{self, Need};
use crate::workspace::{self, Target};

/// Measure: motion quality, cost of each stage, delays, the API under load, vision models, controllers. Without a name, each in turn.
#[derive(Args)]
pub(crate) struct Bench {
    /// Refuse to install missing system packages.
    #[arg(long)]
    no_install: bool,
    /// Name the benchmarks that exist.
    #[arg(long)]
    list: bool,
    /// Which one.
    name: Option<String>,
    /// Its own options.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// One benchmark: `crates/argus-motion/examples/motion_bench.rs` or `tests/examples/bench_stages.rs`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    name: String,
    example: String,
}

impl Bench {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        let found = find(sh);
        let names: Vec<&str> = found.iter().map(|bench| bench.name.as_str()).collect();
        if self.list {
            println!("{}", names.join("\n"));
            return Ok(());
        }
        let chosen: Vec<&Found> =
            found.iter().filter(|bench| self.name.as_ref().is_none_or(|name| *name == bench.name)).collect();
        if chosen.is_empty() {
            bail!("no such benchmark; there are: {}", names.join(", "));
        }
        packages::ensure(sh, Need::Tests, self.no_install)?;
        for bench in chosen {
            workspace::heading(&format!("bench {}", bench.name));
            let program = workspace::build(sh, &Target::Example(&bench.example), true, &[])?;
            let arguments = &self.arguments;
            cmd!(sh, "{program} {arguments...}").run()?;
        }
        Ok(())
    }
}

fn find(sh: &Shell) -> Vec<Found> {
    let mut packages: Vec<PathBuf> = sh.read_dir("crates").unwrap_or_default();
    packages.push(PathBuf::from("tests"));
    let mut found: Vec<Found> = packages
        .iter()
        .flat_map(|package| {
            let examples = sh.read_dir(package.join("examples")).unwrap_or_default();
            examples.into_iter().filter_map(|file| recognise(&file)).collect::<Vec<_>>()
        })
        .collect();
    found.sort();
    found
}

fn recognise(example: &Path) -> Option<Found> {
    let stem = example.file_stem()?.to_str()?;
    let name = stem.strip_suffix("_bench").or_else(|| stem.strip_prefix("bench_"))?;
    Some(Found { name: name.to_owned(), example: stem.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn benchmarks_are_recognised_by_name() {
        for (file, name) in [
            ("crates/argus-motion/examples/motion_bench.rs", Some("motion")),
            ("crates/argus-motion/examples/motion_bench", Some("motion")),
            ("tests/examples/bench_stages.rs", Some("stages")),
            ("crates/argus-ai/examples/describe_jpeg.rs", None),
        ] {
            assert_eq!(recognise(Path::new(file)).map(|found| found.name).as_deref(), name, "{file}");
        }
    }
}
