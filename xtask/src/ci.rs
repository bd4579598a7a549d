//! `cargo xtask ci`: every check, the cheap ones first, the tests at the end.

use std::time::Instant;

use anyhow::Context;
use clap::Args;
use xshell::{Shell, cmd};

use crate::packages::{self, Need};
use crate::workspace::{POSTGRES, heading};

/// Everything that CI checks, in its order.
#[derive(Args)]
pub(crate) struct Ci {
    /// Leave out the feature cells: only what the default features build.
    #[arg(long)]
    fast: bool,
    /// Refuse to install missing system packages and cargo-deny.
    #[arg(long)]
    no_install: bool,
}

impl Ci {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        packages::ensure(sh, Need::Tests, self.no_install)?;
        let no_install = self.no_install.then_some("--no-install");
        let install_deny = (!self.no_install).then_some("--install");
        // Not by RUSTFLAGS: another set of flags would build every dependency again.
        let strict = ["--", "-D", "warnings"];
        let mut steps = Steps { sh, took: Vec::new() };

        steps.step("format", |sh| cmd!(sh, "cargo fmt --all --check").run())?;
        steps.step("tidy", |sh| cmd!(sh, "cargo xtask tidy").run())?;
        steps.step("clippy", |sh| cmd!(sh, "cargo clippy --workspace --all-targets {strict...}").run())?;
        if !self.fast {
            steps.step("clippy with postgres", |sh| {
                let feature = POSTGRES;
                cmd!(sh, "cargo clippy --workspace --all-targets --features {feature} {strict...}").run()
            })?;
            steps.step("clippy of argus-capture without gstreamer", |sh| {
                cmd!(sh, "cargo clippy -p argus-capture --no-default-features --all-targets {strict...}").run()
            })?;
        }
        steps.step("documentation", |sh| {
            cmd!(sh, "cargo doc --workspace --no-deps -q").env("RUSTDOCFLAGS", "-D warnings").run()
        })?;
        steps.step("dependencies", |sh| cmd!(sh, "cargo xtask deny {install_deny...}").run())?;
        steps.step("openapi", |sh| cmd!(sh, "cargo xtask openapi --check").run())?;
        steps.step("demo", |sh| cmd!(sh, "cargo xtask demo --once {no_install...}").run())?;
        steps.summary();
        // The README's command as it stands there, and the last: its closing lines close the output.
        steps.step("test", |sh| cmd!(sh, "cargo xtask test {no_install...}").run())
    }
}

/// Runs steps by name and remembers how long each took.
struct Steps<'a> {
    sh: &'a Shell,
    took: Vec<(String, f64)>,
}

impl Steps<'_> {
    fn step(&mut self, name: &str, run: impl FnOnce(&Shell) -> xshell::Result<()>) -> anyhow::Result<()> {
        heading(name);
        let started = Instant::now();
        run(self.sh).with_context(|| format!("ci stopped at: {name}"))?;
        self.took.push((name.to_owned(), started.elapsed().as_secs_f64()));
        Ok(())
    }

    fn summary(&self) {
        heading("so far");
        for (name, seconds) in &self.took {
            println!("{seconds:7.1} s  {name}");
        }
    }
}
