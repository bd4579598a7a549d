//! The real `argus-server` as a child process: started, watched through `/proc`, killed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use crate::http::Client;
use crate::wait::wait_for;
use crate::{postgres, secrets};

/// From start to `listening on`; generous, as the machine may be busy with other tests.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// What a server is started with beyond its data dir.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// Further arguments; a command comes first. `demo` has a data dir of its own.
    pub args: Vec<OsString>,
    /// Environment variables. Those of this process that begin with `ARGUS_` are not passed on.
    pub env: Vec<(String, OsString)>,
    /// `ADDR:PORT` to listen on, `127.0.0.1:0` when absent.
    pub listen: Option<String>,
    /// Another build of the program, [`binary`] when absent.
    pub program: Option<PathBuf>,
}

/// A running `argus-server`. Dropping it kills the process.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    pid: u32,
    origin: String,
    data_dir: PathBuf,
    log: PathBuf,
    stdout: Arc<Mutex<Vec<String>>>,
    started_in: Duration,
}

impl ServerProcess {
    /// Starts on a free loopback port and returns when requests are served.
    pub async fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, &ServerOptions::default()).await
    }

    /// Starts with options. The test fails, showing the log, when the server does not listen.
    pub async fn start_with(data_dir: &Path, options: &ServerOptions) -> Self {
        std::fs::create_dir_all(data_dir).expect("a data dir");
        let log = data_dir.join("stderr.log");
        let stderr = File::options().create(true).append(true).open(&log).expect("a log file");
        // Before the clock starts: it is built when it is missing.
        let program = options.program.as_deref().unwrap_or_else(|| binary());
        let begun = Instant::now();
        for (name, value) in &options.env {
            secrets::remember_variable(name, &value.to_string_lossy());
        }
        let is_demo = options.args.first().is_some_and(|command| command == "demo");
        let place = if is_demo { None } else { Some([OsStr::new("--data-dir"), data_dir.as_os_str()]) };
        let mut child = bare_command(program)
            .args(&options.args)
            .args(place.iter().flatten())
            .args(["--listen", options.listen.as_deref().unwrap_or("127.0.0.1:0")])
            .envs(postgres::variable(data_dir))
            .envs(options.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("argus-server starts");
        let pid = child.id().expect("a process that nobody has waited for");
        let stdout = Arc::<Mutex<Vec<String>>>::default();
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        tokio::spawn({
            let stdout = stdout.clone();
            async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    secrets::remember_line(&line);
                    stdout.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                }
            }
        });
        let mut server = Self {
            child,
            pid,
            origin: String::new(),
            data_dir: data_dir.to_owned(),
            log,
            stdout,
            started_in: Duration::ZERO,
        };
        while server.origin.is_empty() {
            let found =
                server.stdout_lines().iter().find_map(|line| line.strip_prefix("listening on ").map(str::to_owned));
            if let Some(origin) = found {
                server.origin = origin.trim().to_owned();
            } else if let Some(status) = server.exited() {
                panic!("argus-server ended with {status} before it listened:\n{}", server.log_text());
            } else if begun.elapsed() > START_DEADLINE {
                panic!("argus-server does not listen after {START_DEADLINE:?}:\n{}", server.log_text());
            } else {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        server.started_in = begun.elapsed();
        server
    }

    /// `http://127.0.0.1:PORT`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The data dir.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// From the start of the process to its line `listening on`, up to 2 ms too long.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// The lines of standard output so far.
    pub fn stdout_lines(&self) -> Vec<String> {
        self.stdout.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Standard error of this and all earlier servers on the same data dir.
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A client with a fresh key of scope admin.
    pub async fn client(&self) -> Client {
        Client::new(&self.origin, &api_key(&self.data_dir, "admin").await)
    }

    /// SIGKILL, as by the out-of-memory killer, and waits until the process is gone.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("the process dies");
    }

    /// SIGTERM, and waits for the end; `None` when the process is still there after `deadline`.
    pub async fn terminate(&mut self, deadline: Duration) -> Option<ExitStatus> {
        self.signal(libc::SIGTERM);
        tokio::time::timeout(deadline, self.child.wait()).await.ok().map(|status| status.expect("a status"))
    }

    /// Sends a signal (`libc::SIGINT`, `libc::SIGSTOP`, …); nothing happens when the process is gone.
    pub fn signal(&self, signal: i32) {
        let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) else { return };
        #[expect(unsafe_code, reason = "kill(2) touches no memory, and the pid is that of a child not yet waited for")]
        unsafe {
            libc::kill(pid, signal);
        }
    }

    /// The status, once the process has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of this process")
    }

    /// Processor time that the process has used, all threads together, to a hundredth of a second.
    pub fn cpu_time(&self) -> Duration {
        cpu_time_of(self.pid)
    }

    /// Threads of the process now.
    pub fn threads(&self) -> usize {
        self.count("task")
    }

    /// Open file descriptors of the process now.
    pub fn fds(&self) -> usize {
        self.count("fd")
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        self.memory_kib("VmRSS:")
    }

    /// Resident memory in KiB without the pages of the program and its libraries, which are the system's to keep.
    pub fn anonymous_kib(&self) -> u64 {
        self.memory_kib("RssAnon:")
    }

    fn memory_kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse().ok())
            .unwrap_or(0)
    }

    /// Waits until threads and descriptors are at most these while the process lives, which is how a leak shows.
    pub async fn settles_at(&self, threads: usize, fds: usize, deadline: Duration) {
        let begun = Instant::now();
        wait_for("threads and descriptors to go", deadline + START_DEADLINE, || {
            // A process that is gone has none of either, which proves nothing.
            let settled = (1..=threads).contains(&self.threads()) && (1..=fds).contains(&self.fds());
            assert!(
                settled || begun.elapsed() < deadline,
                "waited {deadline:?} in vain for at most {threads} threads and {fds} descriptors:\n{}\n{}",
                self.names("task"),
                self.names("fd")
            );
            std::future::ready(settled.then_some(()))
        })
        .await;
    }

    /// The threads by their names, or the descriptors by what they stand for.
    fn names(&self, folder: &str) -> String {
        let entries = std::fs::read_dir(format!("/proc/{}/{folder}", self.pid)).into_iter().flatten().flatten();
        let name = |path: PathBuf| match path.read_link() {
            Ok(target) => target.display().to_string(),
            Err(_) => std::fs::read_to_string(path.join("comm")).unwrap_or_default().trim().to_owned(),
        };
        let mut names: Vec<_> = entries.map(|entry| name(entry.path())).collect();
        names.sort();
        format!("{} in {folder}: {}", names.len(), names.join(", "))
    }

    fn count(&self, folder: &str) -> usize {
        std::fs::read_dir(format!("/proc/{}/{folder}", self.pid)).map_or(0, Iterator::count)
    }
}

/// Processor time that a process has used, all threads together, to a hundredth of a second.
pub fn cpu_time_of(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is the name in parentheses and may hold anything; user and system time are the 14th and 15th.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

impl Drop for ServerProcess {
    /// No secret that the tests of this process used stands in the log. Every server of the suite is looked at in this way.
    fn drop(&mut self) {
        let shown = secrets::found_in(&self.log);
        if !shown.is_empty() && !std::thread::panicking() {
            panic!("the log of argus-server shows a secret:\n{}", shown.join("\n"));
        }
    }
}

/// Makes an API key with the program itself, which may run beside a server, and returns it.
pub async fn api_key(data_dir: &Path, scope: &str) -> String {
    let (status, stdout, stderr) =
        run(data_dir, &["api-key", "create", "--name", "t", "--scope", scope, "--rate-limit", "10000"]).await;
    assert!(status.success(), "api-key create: {status}: {stderr}");
    secrets::remember(&stdout);
    stdout.trim().to_owned()
}

/// Runs the program to its end with `args` (a command such as `replay` first): status, standard output, standard error.
pub async fn run(data_dir: &Path, args: &[&str]) -> (ExitStatus, String, String) {
    let mut command = bare_command(binary());
    command.args(args).arg("--data-dir").arg(data_dir).envs(postgres::variable(data_dir)).stdin(Stdio::null());
    let output = command.output().await.expect("argus-server runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status, text(output.stdout), text(output.stderr))
}

/// Like [`run`], with `input` on standard input.
pub async fn run_with_input(data_dir: &Path, args: &[&str], input: &str) -> (ExitStatus, String, String) {
    let mut command = bare_command(binary());
    command.args(args).arg("--data-dir").arg(data_dir).envs(postgres::variable(data_dir));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("argus-server starts");
    // A program that is refused before it reads closes the pipe.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes()).await;
    let output = child.wait_with_output().await.expect("argus-server runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status, text(output.stdout), text(output.stderr))
}

/// Runs the program to its end with exactly these arguments.
pub async fn run_bare(args: &[&str]) -> (ExitStatus, String, String) {
    let output = bare_command(binary()).args(args).stdin(Stdio::null()).output().await.expect("argus-server runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status, text(output.stdout), text(output.stderr))
}

fn bare_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.kill_on_drop(true);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"ARGUS_")) {
        command.env_remove(name);
    }
    command
}

/// The program: the one that `ARGUS_TEST_PROGRAM` names, as `cargo xtask test` does, which has built it with the features of
/// the tests. Else the one in the profile of the running test. That is built when it is missing or older than the test,
/// which is linked anew whenever a crate of the server changes.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(program) = std::env::var_os("ARGUS_TEST_PROGRAM") {
            return program.into();
        }
        let test = std::env::current_exe().expect("the path of the test");
        let profile_dir = test
            .ancestors()
            .find(|folder| folder.file_name().is_some_and(|name| name == "deps" || name == "examples"))
            .and_then(Path::parent)
            .expect("a test below target/PROFILE/deps, or an example");
        let binary = profile_dir.join(format!("argus-server{}", std::env::consts::EXE_SUFFIX));
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let main = workspace.join("bins/argus-server/src/main.rs");
        let changed = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
        let fresh =
            changed(&binary).is_some_and(|built| Some(built) >= changed(&test) && Some(built) >= changed(&main));
        if !fresh {
            build(workspace, profile_dir);
        }
        assert!(binary.exists(), "no argus-server beside the tests");
        binary
    })
}

fn build(workspace: &Path, profile_dir: &Path) {
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let target_dir = profile_dir.parent().expect("the target folder");
    let status = std::process::Command::new(env!("CARGO"))
        .current_dir(workspace)
        .args(["build", "--quiet", "--workspace", "--bin", "argus-server", "--profile", profile])
        .arg("--target-dir")
        .arg(target_dir)
        .status()
        .expect("cargo runs");
    assert!(status.success(), "argus-server does not build");
}
