//! A PostgreSQL that lives as long as one command: its own folder, a free port on loopback, its own password.

use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use tempfile::TempDir;
use xshell::{Shell, cmd};

use crate::interrupt::Interrupt;
use crate::packages::{self, Need};
use crate::workspace::which;

/// The variable by which argus-db's tests find the server.
pub(crate) const URL_VARIABLE: &str = "ARGUS_TEST_POSTGRES_URL";

/// Run a command beside a throw-away PostgreSQL, whose URL it finds in `ARGUS_TEST_POSTGRES_URL`.
#[derive(Args)]
pub(crate) struct Pg {
    /// Refuse to install missing system packages.
    #[arg(long)]
    no_install: bool,
    /// The command and its arguments.
    #[arg(trailing_var_arg = true, required = true)]
    command: Vec<String>,
}

impl Pg {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        packages::ensure(sh, Need::Tests, self.no_install)?;
        // Ctrl-C ends the command, which the terminal tells by itself; this process stays to stop the server.
        let _interrupt = Interrupt::catch()?;
        let postgres = Postgres::start(sh)?;
        let Some((program, arguments)) = self.command.split_first() else { bail!("no command to run") };
        sh.cmd(program).args(arguments).env(URL_VARIABLE, postgres.url()).run()?;
        Ok(())
    }
}

/// A running server; dropping it stops it and removes its folder.
pub(crate) struct Postgres {
    sh: Shell,
    bin: PathBuf,
    data: PathBuf,
    url: String,
    as_postgres: bool,
    _folder: TempDir,
}

impl Postgres {
    /// Makes a new cluster and starts it.
    pub(crate) fn start(sh: &Shell) -> anyhow::Result<Self> {
        let bin = bin_dir().context("no PostgreSQL server found (initdb)")?;
        let folder = tempfile::Builder::new().prefix("argus-pg-").tempdir()?;
        let as_postgres = packages::is_root(sh)?;
        let password = random_hex()?;
        let password_file = folder.path().join("password");
        sh.write_file(&password_file, &password)?;
        if as_postgres {
            // The server refuses to run as root.
            let path = folder.path();
            cmd!(sh, "chown -R postgres: {path}")
                .quiet()
                .run()
                .context("PostgreSQL does not run as root, and there is no user `postgres` to run it as")?;
        }
        let port = free_port()?;
        let data = folder.path().join("data");
        let server = Self {
            sh: sh.clone(),
            bin,
            data: data.clone(),
            url: format!("postgres://argus:{password}@127.0.0.1:{port}/postgres"),
            as_postgres,
            _folder: folder,
        };
        server.initialise(&password_file)?;
        server.launch(port)?;
        Ok(server)
    }

    /// Where to connect, with the password.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn initialise(&self, password_file: &Path) -> anyhow::Result<()> {
        let data = self.data.display().to_string();
        let password_file = format!("--pwfile={}", password_file.display());
        let common = ["-D", &data, "-U", "argus", "-A", "scram-sha-256", &password_file, "-E", "UTF8", "--no-sync"];
        // A collation that is not byte order, as in production: an ORDER BY that depends on it shows itself.
        let icu = ["--locale=C", "--locale-provider=icu", "--icu-locale=en-US"];
        let first = self.tool("initdb", common.iter().chain(&icu).copied())?.ignore_stderr().output()?;
        if first.status.success() {
            return Ok(());
        }
        // Before version 15, or built without ICU.
        let _ = self.sh.remove_path(&self.data);
        self.tool("initdb", common.into_iter().chain(["--no-locale"]))?.ignore_stdout().run().context("initdb failed")
    }

    fn launch(&self, port: u16) -> anyhow::Result<()> {
        let data = self.data.display().to_string();
        let log = format!("{data}/server.log");
        // Nothing of it outlives this command, so nothing is synced.
        let options = format!(
            "-p {port} -k {data} -c listen_addresses=127.0.0.1 -c max_connections=200 -c fsync=off \
             -c synchronous_commit=off -c full_page_writes=off"
        );
        let started = self
            .tool("pg_ctl", ["-D", &data, "-l", &log, "-w", "-t", "60", "-o", &options, "start"])?
            .ignore_stdout()
            .run();
        if started.is_err() {
            bail!("PostgreSQL did not start:\n{}", self.sh.read_file(&log).unwrap_or_default());
        }
        Ok(())
    }

    /// A command line of one of the server's tools, as the user who may run it.
    fn tool<'a, 'b>(
        &'a self,
        program: &str,
        arguments: impl IntoIterator<Item = &'b str>,
    ) -> anyhow::Result<xshell::Cmd<'a>> {
        let program = self.bin.join(program);
        let command = if self.as_postgres {
            let runuser = which("runuser").context("`runuser` is needed to start PostgreSQL as root")?;
            self.sh.cmd(runuser).args(["-u", "postgres", "--"]).arg(program)
        } else {
            self.sh.cmd(program)
        };
        Ok(command.args(arguments).quiet())
    }

    fn stop(&self) -> anyhow::Result<()> {
        let data = self.data.display().to_string();
        // `immediate`: open connections of a test that was killed must not hold it up, and nothing is kept.
        self.tool("pg_ctl", ["-D", &data, "-m", "immediate", "-w", "stop"])?.ignore_stdout().ignore_stderr().run()?;
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.data.join("postmaster.pid").exists() && self.stop().is_err() {
            println!("the throw-away PostgreSQL in {} could not be stopped", self.data.display());
        }
    }
}

/// The folder of `initdb`: on `PATH`, or where Debian and Homebrew put each version's.
fn bin_dir() -> Option<PathBuf> {
    if let Some(initdb) = which("initdb") {
        return initdb.parent().map(Path::to_path_buf);
    }
    let debian = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .max_by_key(|path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()));
    ["/opt/homebrew/opt/postgresql@17", "/usr/local/opt/postgresql@17"]
        .into_iter()
        .map(PathBuf::from)
        .chain(debian)
        .map(|folder| folder.join("bin"))
        .find(|bin| bin.join("initdb").is_file())
}

/// A port that was free a moment ago; the server says so if somebody was faster.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn random_hex() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_differ() {
        let (one, other) = (random_hex().unwrap(), random_hex().unwrap());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }

    #[test]
    fn a_free_port_can_be_bound() {
        let port = free_port().unwrap();
        assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
    }
}
