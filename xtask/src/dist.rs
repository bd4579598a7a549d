//! `cargo xtask dist`: a release as one archive with its checksum.

use anyhow::Context;
use cargo_metadata::MetadataCommand;
use clap::Args;
use xshell::{Shell, cmd};

use crate::packages::{self, Need};
use crate::workspace;

/// What lies beside the binary.
const BESIDE: &[&str] = &["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"];
/// Packed whole, in its place: README and messages of the binary name files in it.
const DOCS: &str = "docs";

/// Build a release archive with its checksum, in target/dist.
#[derive(Args)]
pub(crate) struct Dist {
    /// Refuse to install missing system packages.
    #[arg(long)]
    no_install: bool,
}

impl Dist {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        packages::ensure(sh, Need::Server, self.no_install)?;
        cmd!(sh, "cargo build --release --locked --workspace --bin argus-server").run()?;
        let metadata = MetadataCommand::new().no_deps().exec()?;
        let version =
            &metadata.packages.iter().find(|p| *p.name == "argus-server").context("no argus-server here")?.version;
        let host = cmd!(sh, "rustc --print host-tuple").quiet().read()?;
        let name = format!("argus-{version}-{host}");
        let target = workspace::target_dir()?;
        let dist = target.join("dist");
        let folder = dist.join(&name);
        let _ = sh.remove_path(&folder);
        sh.create_dir(&folder)?;
        sh.copy_file(target.join("release/argus-server"), &folder)?;
        for file in BESIDE {
            sh.copy_file(file, &folder)?;
        }
        cmd!(sh, "cp -R {DOCS} {folder}").run()?;
        let _there = sh.push_dir(&dist);
        let archive = format!("{name}.tar.gz");
        cmd!(sh, "tar -czf {archive} {name}").run()?;
        let checksum = match workspace::which("sha256sum") {
            Some(_) => cmd!(sh, "sha256sum {archive}").read()?,
            None => cmd!(sh, "shasum -a 256 {archive}").read()?,
        };
        sh.write_file(format!("{archive}.sha256"), format!("{checksum}\n"))?;
        println!("{}", dist.join(&archive).display());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What the text of a page links to, without other hosts and places within the page.
    fn links(page: &str) -> Vec<&str> {
        let targets = page.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        targets.filter(|target| !target.is_empty() && !target.contains("://")).collect()
    }

    #[test]
    fn every_link_of_a_packed_page_leads_to_something_packed() {
        let root = workspace::root();
        let docs = root.join(DOCS);
        let found = |folder: &Path| -> Vec<_> {
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
        };
        let mut pages: Vec<_> = BESIDE.iter().map(|name| root.join(name)).collect();
        pages.extend(found(&docs));
        pages.extend(found(&docs.join("adr")));
        pages.retain(|page| page.extension().is_some_and(|end| end == "md"));
        assert!(pages.len() > 5, "{pages:?}");
        for page in pages {
            let text = std::fs::read_to_string(&page).unwrap();
            for link in links(&text) {
                let target = page.parent().unwrap().join(link);
                let target = target.canonicalize().unwrap_or_else(|e| panic!("{}: {link}: {e}", page.display()));
                let beside = BESIDE.iter().any(|name| root.join(name).canonicalize().unwrap() == target);
                assert!(beside || target.starts_with(docs.canonicalize().unwrap()), "{}: {link}", page.display());
            }
        }
    }
}
