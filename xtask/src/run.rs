//! `cargo xtask run`: the server of this tree on `./data`.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;
use clap::Args;
use xshell::Shell;

use crate::packages::{self, Need};
use crate::workspace::{self, Target};

/// Build the server and run it on ./data.
#[derive(Args)]
pub(crate) struct Run {
    /// Refuse to install missing system packages.
    #[arg(long)]
    no_install: bool,
    /// Build with optimisation, as for real cameras.
    #[arg(long)]
    release: bool,
    /// Options of `argus-server serve`, after `--`.
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl Run {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        packages::ensure(sh, Need::Server, self.no_install)?;
        let server = workspace::build(sh, &Target::Server, self.release, &[])?;
        let arguments = self.arguments;
        // In this process's place: signals reach the server, and its exit code is the answer.
        let error = Command::new(server).args(["serve", "--data-dir", "data"]).args(arguments).exec();
        Err(error).context("the server could not be started")
    }
}
