//! `cargo xtask dist`: a release as one archive with its checksum.

use anyhow::Context;
use cargo_metadata::MetadataCommand;
use clap::Args;
use xshell::{Shell, cmd};

use crate::packages::{self, Need};
use crate::workspace;

/// What lies beside the binary.
const BESIDE: &[&str] = &["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE", "docs/openapi.json"];

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
