//! A server of this workspace as a child process, and the little HTTP that the tasks speak with it.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

/// What the server promises for its own stop is 10 s; a little more, then it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(12);

/// A running server, stopped when dropped.
pub(crate) struct Server {
    child: Child,
    lines: Receiver<String>,
    /// What it printed before it served, without the line of the address.
    pub(crate) greeting: Vec<String>,
    /// `http://ADDRESS`, without a path.
    pub(crate) url: String,
}

impl Server {
    /// Starts the command and waits until it says `listening on`.
    pub(crate) fn start(mut command: Command, within: Duration) -> anyhow::Result<Self> {
        // A process group of its own: Ctrl-C reaches this program alone, which then asks the server to stop once.
        // Twice would mean "at once" to it.
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("the server could not be started")?;
        let stdout = child.stdout.take().context("the server has no standard output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut server = Self { child, lines, greeting: Vec::new(), url: String::new() };
        let deadline = Instant::now() + within;
        loop {
            match server.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => match line.strip_prefix("listening on ") {
                    Some(url) => {
                        url.trim().trim_end_matches('/').clone_into(&mut server.url);
                        return Ok(server);
                    }
                    None => server.greeting.push(line),
                },
                Err(RecvTimeoutError::Timeout) => bail!("the server did not say `listening on` within {within:?}"),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = server.child.wait()?;
                    bail!("the server ended before it served ({status})");
                }
            }
        }
    }

    /// The rest of the line of the greeting that begins with `label` and a colon.
    pub(crate) fn greeted(&self, label: &str) -> Option<&str> {
        self.greeting.iter().find_map(|line| line.strip_prefix(label)?.strip_prefix(':').map(str::trim))
    }

    /// Whether it ended by itself, and how.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<std::process::ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Asks it to stop and waits for it; kills it when it does not.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            return check(status);
        }
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status();
        // The end of its standard output is the end of the process, so there is nothing to poll.
        let deadline = Instant::now() + STOP_WITHIN;
        while asked.as_ref().is_ok_and(std::process::ExitStatus::success) {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return check(self.child.wait()?),
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        self.child.kill()?;
        self.child.wait()?;
        bail!("the server did not stop within {STOP_WITHIN:?} and was killed");
    }
}

fn check(status: std::process::ExitStatus) -> anyhow::Result<()> {
    if status.success() {
        return Ok(());
    }
    bail!("the server ended with {status}");
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            println!("{error:#}");
        }
    }
}

/// Requests with an API key to one server.
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    key: String,
}

impl Client {
    /// A client of the server at `base` (`http://HOST:PORT`).
    pub(crate) fn new(base: &str, key: &str) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(30))).build();
        Self { agent: config.into(), base: base.to_owned(), key: key.to_owned() }
    }

    /// The body at a path, as bytes (at most 256 MiB).
    pub(crate) fn bytes(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let mut response = self
            .agent
            .get(format!("{}{path}", self.base))
            .header("X-API-Key", &self.key)
            .call()
            .with_context(|| format!("GET {path}"))?;
        response.body_mut().with_config().limit(256 << 20).read_to_vec().with_context(|| format!("GET {path}"))
    }

    /// The body at a path, as JSON.
    pub(crate) fn json(&self, path: &str) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.bytes(path)?).with_context(|| format!("GET {path} did not answer JSON"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn reads_the_greeting_and_stops_by_signal() {
        let script = "echo 'api key: argus_x'; echo 'login: demo / y'; echo 'listening on http://127.0.0.1:1/'; \
                      trap 'exit 0' TERM; while :; do sleep 0.05; done";
        let mut server = Server::start(shell(script), Duration::from_secs(10)).unwrap();
        assert_eq!(server.url, "http://127.0.0.1:1");
        assert_eq!(server.greeted("api key"), Some("argus_x"));
        assert_eq!(server.greeted("login"), Some("demo / y"));
        assert_eq!(server.greeted("setup token"), None);
        server.stop().unwrap();
        assert!(server.ended().unwrap().is_some());
    }

    #[test]
    fn tells_when_it_ends_before_it_serves() {
        let error = Server::start(shell("echo hello; exit 3"), Duration::from_secs(10)).err().unwrap();
        assert!(error.to_string().contains("ended before it served"), "{error}");
    }
}
