//! `cargo xtask tidy`: the rules of the workspace that no compiler checks.

mod edges;
mod files;
mod migrations;
mod msrv;
mod tree;
mod words;

use anyhow::bail;
use clap::Args;
use xshell::Shell;

/// Check what no compiler checks: dependency edges, file lengths, migration pairs, the tree, rust-version, words.
#[derive(Args)]
pub(crate) struct Tidy {
    /// Only these checks, by the first words they are printed with.
    only: Vec<String>,
}

impl Tidy {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        let root = sh.current_dir();
        let files = files::list(sh)?;
        let checks: [(&str, Vec<String>); 6] = [
            ("dependency edges", edges::check_workspace()?),
            ("rust-version", msrv::check_workspace()?),
            ("files", files::check(&files)),
            ("migrations", migrations::check(&files)),
            ("tree", tree::check(&root)),
            ("words", words::check(&files, &root)),
        ];
        let mut faults = 0;
        for (name, found) in checks.iter().filter(|(name, _)| self.wants(name)) {
            println!(
                "{name}: {}",
                if found.is_empty() { "in order".to_owned() } else { format!("{} faults", found.len()) }
            );
            for fault in found {
                println!("  {fault}");
            }
            faults += found.len();
        }
        if faults > 0 {
            bail!("{faults} faults");
        }
        Ok(())
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.starts_with(only.as_str()))
    }
}
