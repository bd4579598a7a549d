//! The Python client uiprotect in a process of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use argus_protect_sim::Sim;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::client::LIMIT;

/// Where `cargo xtask test` puts the clients: a folder each, named by version.
fn programs() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "tests are configured by the environment")]
    std::env::var("ARGUS_TEST_UIPROTECT").ok().map(PathBuf::from)
}

/// uiprotect, told what to do line by line.
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
    /// Starts it; `None`, said loudly, where uiprotect is not installed.
    pub(crate) async fn start(sim: &Sim) -> Option<Self> {
        Self::start_as(sim, "argus", "correct horse").await
    }

    pub(crate) async fn start_as(sim: &Sim, user: &str, password: &str) -> Option<Self> {
        let Some(python) = programs().map(|folder| folder.join("python")).filter(|python| python.exists()) else {
            use std::io::Write as _;
            // Past the runner's capture: a test that passes is not shown.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: the client uiprotect is not there: run `cargo xtask test`, which installs it where PyPI is in reach"
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers/uiprotect_driver.py");
        let mut child = Command::new(python)
            .arg(script)
            .args([&sim.address().ip().to_string(), &sim.address().port().to_string(), user, password, "sim-api-key"])
            .arg(folder.path())
            .arg("store")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut driver = Self { _child: child, input, lines, told: Vec::new(), orders: 0, _folder: folder };
        let ready = driver.line().await;
        assert_eq!(ready, json!({"ready": true}));
        Some(driver)
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
