//! A PostgreSQL of one test's own, which it may stop and start again.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// A cluster in a folder of its own. Dropping it stops it.
#[derive(Debug)]
pub struct Cluster {
    bin: PathBuf,
    folder: TempDir,
    port: u16,
}

impl Cluster {
    /// Makes a cluster and starts it; `None` where PostgreSQL is not installed.
    pub fn start() -> Option<Self> {
        let bin = bin_dir()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let cluster = Self { bin, folder, port };
        if is_root() {
            // The server refuses to run as root.
            let done = Command::new("chown").arg("postgres:").arg(cluster.folder.path()).status();
            assert!(done.is_ok_and(|status| status.success()), "a folder that belongs to the user postgres");
        }
        let data = cluster.data();
        cluster.tool("initdb", &["-D", &data, "-U", "argus", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]);
        cluster.again();
        Some(cluster)
    }

    /// Starts it after a [`Cluster::stop`], on the same port with the same data.
    pub fn again(&self) {
        let (data, port) = (self.data(), self.port);
        let log = format!("{data}/server.log");
        let options = format!("-p {port} -k {data} -c listen_addresses=127.0.0.1 -c fsync=off");
        self.tool("pg_ctl", &["-D", &data, "-l", &log, "-w", "-t", "60", "-o", &options, "start"]);
    }

    /// Stops it as a crash does: every connection breaks.
    pub fn stop(&self) {
        self.tool("pg_ctl", &["-D", &self.data(), "-m", "immediate", "-w", "stop"]);
    }

    /// The URL of its database.
    pub fn url(&self) -> String {
        format!("postgres://argus@127.0.0.1:{}/postgres", self.port)
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn tool(&self, name: &str, args: &[&str]) {
        let program = self.bin.join(name);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        // A server that inherits a pipe would keep it open.
        let log = self.folder.path().join(format!("{name}.log"));
        let out = std::fs::File::create(&log).expect("a file for what it says");
        let err = out.try_clone().expect("the same file");
        let status = command.args(args).stdout(out).stderr(err).status().expect("a tool of PostgreSQL runs");
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        assert!(status.success() || std::thread::panicking(), "{name}: {status}: {}", said());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.folder.path().join("data/postmaster.pid").exists() {
            self.stop();
        }
    }
}

fn is_root() -> bool {
    let out = Command::new("id").arg("-u").output().expect("id runs");
    out.stdout.starts_with(b"0\n")
}

/// The folder of the tools: where Debian puts each version's, or on the path.
fn bin_dir() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|e| e.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    debian.chain(std::env::split_paths(&path)).find(|bin| bin.join("initdb").is_file())
}
