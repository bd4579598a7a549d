//! `cargo xtask deny`: what the dependencies may be, by cargo-deny and `deny.toml`.

use clap::Args;
use xshell::{Shell, cmd};

/// What `deny.toml` is written for; a newer one that is already there will do.
const VERSION: &str = "0.20.2";

/// Check licences, sources, duplicate versions and advisories of the dependencies.
#[derive(Args)]
pub(crate) struct Deny {
    /// Install cargo-deny when it is missing (built from source, a few minutes).
    #[arg(long)]
    pub(crate) install: bool,
}

impl Deny {
    pub(crate) fn run(&self, sh: &Shell) -> anyhow::Result<()> {
        if cmd!(sh, "cargo deny --version").quiet().ignore_stdout().ignore_stderr().run().is_err() {
            if !self.install {
                println!("NOT CHECKED: licences, sources and advisories, for want of cargo-deny");
                println!("(`cargo xtask deny --install` installs it)");
                return Ok(());
            }
            // Unoptimised: it runs for a second, and optimising it takes minutes.
            cmd!(sh, "cargo install --locked --debug --quiet --version {VERSION} cargo-deny").run()?;
        }
        cmd!(sh, "cargo deny --log-level error check --hide-inclusion-graph bans licenses sources").run()?;
        // The list of advisories is the one thing that is fetched, and not every machine can.
        if cmd!(sh, "cargo deny --log-level off fetch db").ignore_stderr().run().is_err() {
            println!("NOT CHECKED: advisories, for their database could not be fetched");
            return Ok(());
        }
        cmd!(sh, "cargo deny --log-level error check --disable-fetch advisories").run()?;
        Ok(())
    }
}
