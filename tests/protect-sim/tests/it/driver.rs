//! Real clients, each in a process of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use argus_protect_sim::Sim;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::client::LIMIT;

/// What `cargo xtask test` put into a folder, by the variable that names it; `None`, said loudly, where it could not.
fn installed(variable: &str, what: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "tests are configured by the environment")]
    let program = std::env::var(variable).ok().map(|folder| Path::new(&folder).join(what)).filter(|path| path.exists());
    if program.is_none() {
        use std::io::Write as _;
        // Past the runner's capture: a test that passes is not shown.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: a client is not there ({variable}): run `cargo xtask test`, which installs it where its registry is in reach"
        );
    }
    program
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers").join(name)
}

/// A version of the Python client uiprotect.
pub(crate) struct Uiprotect {
    /// Names the folder of its programs, where `cargo xtask test` put them.
    variable: &'static str,
    /// So many of the 131 recorded messages of site A it was measured to tell of; the rest are kinds that it does not know.
    pub(crate) of_recording: u64,
}

/// Version 15.14.2, as Home Assistant used it with Protect 7.
pub(crate) const UIPROTECT_15: Uiprotect = Uiprotect { variable: "ARGUS_TEST_UIPROTECT", of_recording: 101 };
/// Version 25.0.0, which leaves more to the integration interface.
pub(crate) const UIPROTECT_25: Uiprotect = Uiprotect { variable: "ARGUS_TEST_UIPROTECT_25", of_recording: 80 };

/// A client, told what to do line by line.
pub(crate) struct Driver {
    _child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// What the client told by itself, in order.
    pub(crate) told: Vec<Value>,
    orders: u32,
    _folder: tempfile::TempDir,
}

impl Driver {
    /// Starts uiprotect; `None` where it is not installed.
    pub(crate) async fn start(client: &Uiprotect, sim: &Sim) -> Option<Self> {
        Self::start_as(client, sim, "argus", "correct horse").await
    }

    /// The same with another account.
    pub(crate) async fn start_as(client: &Uiprotect, sim: &Sim, user: &str, password: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Self::uiprotect(client, sim, user, password, &folder)?;
        command.arg("store");
        Some(Self::spawn(command, folder).await)
    }

    /// The same, but it keeps no session in files.
    pub(crate) async fn start_without_store(client: &Uiprotect, sim: &Sim) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Self::uiprotect(client, sim, "argus", "correct horse", &folder)?;
        command.arg("forget");
        Some(Self::spawn(command, folder).await)
    }

    fn uiprotect(
        client: &Uiprotect,
        sim: &Sim,
        user: &str,
        password: &str,
        folder: &tempfile::TempDir,
    ) -> Option<Command> {
        let mut command = Command::new(installed(client.variable, "python")?);
        let (host, port) = (sim.address().ip().to_string(), sim.address().port().to_string());
        command
            .arg(script("uiprotect_driver.py"))
            .args([&host, &port, user, password, "sim-api-key"])
            .arg(folder.path());
        Some(command)
    }

    /// Starts the TypeScript client unifi-protect; `None` where it is not installed.
    pub(crate) async fn start_unifi_protect(sim: &Sim, user: &str, password: &str) -> Option<Self> {
        let node = installed("ARGUS_TEST_UNIFI_PROTECT", "node")?;
        let mut command = Command::new(&node);
        // The packages lie beside the folder of the programs.
        let folder = node.parent().and_then(Path::parent).unwrap();
        command.arg(script("unifi_protect_driver.mjs")).arg(folder).args([
            &sim.address().ip().to_string(),
            &sim.address().port().to_string(),
            user,
            password,
        ]);
        Some(Self::spawn(command, tempfile::tempdir().unwrap()).await)
    }

    async fn spawn(mut command: Command, folder: tempfile::TempDir) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut driver = Self { _child: child, input, lines, told: Vec::new(), orders: 0, _folder: folder };
        let ready = driver.line().await;
        assert_eq!(ready, json!({"ready": true}));
        driver
    }

    async fn line(&mut self) -> Value {
        // The interpreter and its imports take seconds on a busy machine.
        let line = tokio::time::timeout(3 * LIMIT, self.lines.next_line()).await.expect("the client says nothing");
        serde_json::from_str(&line.unwrap().expect("the client ended")).unwrap()
    }

    /// Has it do something, and gives what it answers.
    pub(crate) async fn does(&mut self, order: Value) -> Value {
        self.orders += 1;
        let mut order = order;
        order["n"] = self.orders.into();
        self.input.write_all(format!("{order}\n").as_bytes()).await.unwrap();
        loop {
            let line = self.line().await;
            if line["n"] == self.orders {
                return line;
            }
            self.told.push(line);
        }
    }

    /// Has it do something that must not fail.
    pub(crate) async fn did(&mut self, what: &str) -> Value {
        let answer = self.does(json!({"do": what})).await;
        assert!(answer.get("error").is_none(), "{what}: {answer}");
        answer
    }

    /// The first thing told that `is`, of what was told already or is told next.
    pub(crate) async fn hears(&mut self, is: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(found) = self.told.iter().find(|line| is(line)) {
                return found.clone();
            }
            let line = self.line().await;
            self.told.push(line);
        }
    }
}
