//! A headless Chromium that may reach this machine only, driven over `WebDriver`.
#![expect(clippy::indexing_slicing, reason = "what is missing in an answer reads as null")]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::wait::wait_for;

/// For a page to do what is waited for; generous, as the machine may be busy with other tests.
const SOON: Duration = Duration::from_secs(60);

/// A browser with one window. Dropping it ends every process that it started.
#[derive(Debug)]
pub struct Browser {
    /// Held for its end: it is killed when it is dropped.
    _driver: Child,
    session: String,
    client: reqwest::Client,
    profile: tempfile::TempDir,
}

impl Browser {
    /// Starts Chromium; `None`, said loudly, where it is not installed.
    pub async fn start() -> Option<Self> {
        let profile = tempfile::tempdir().expect("a folder for the browser");
        let started = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let mut driver = match started {
            Ok(driver) => driver,
            Err(failure) => {
                crate::skip("chromedriver cannot be started", &failure);
                return None;
            }
        };
        let mut lines = BufReader::new(driver.stdout.take().expect("a pipe")).lines();
        let port = tokio::time::timeout(SOON, async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some((_, port)) = line.split_once("started successfully on port ") {
                    return port.trim_end_matches('.').parse::<u16>().ok();
                }
            }
            None
        });
        let port = port.await.ok().flatten().expect("chromedriver tells its port");
        // The pipe stays read, or the driver would stop at a full one.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let client = reqwest::Client::builder().no_proxy().timeout(SOON * 2).build().expect("an HTTP client");
        let mut browser =
            Self { _driver: driver, session: format!("http://127.0.0.1:{port}/session"), client, profile };
        let made = browser.call("", &capabilities(browser.profile.path())).await;
        let id = made["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {made}"));
        browser.session = format!("{}/{id}", browser.session);
        Some(browser)
    }

    async fn call(&self, command: &str, body: &Value) -> Value {
        let answer = self.client.post(format!("{}{command}", self.session)).json(body).send().await;
        let answer = answer.expect("an answer of chromedriver").json::<Value>().await.expect("JSON of chromedriver");
        assert!(answer["value"]["error"].is_null(), "{command}: {answer}");
        answer["value"].clone()
    }

    /// Opens a page and waits until it is loaded.
    pub async fn open(&self, url: &str) {
        self.call("/url", &json!({ "url": url })).await;
    }

    /// Runs a script in the page and gives what it returns.
    pub async fn run(&self, script: &str) -> Value {
        self.call("/execute/sync", &json!({"script": script, "args": []})).await
    }

    /// Runs a script until it returns something that is neither null nor false.
    pub async fn until(&self, what: &str, script: &str) -> Value {
        wait_for(what, SOON, || async {
            let value = self.run(script).await;
            (!value.is_null() && value != json!(false)).then_some(value)
        })
        .await
    }

    /// The window as a PNG.
    pub async fn screenshot(&self) -> Vec<u8> {
        let answer = self.client.get(format!("{}/screenshot", self.session)).send().await;
        let answer = answer.expect("an answer of chromedriver").json::<Value>().await.expect("JSON of chromedriver");
        let text = answer["value"].as_str().unwrap_or_else(|| panic!("no picture: {answer}"));
        base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
    }

    /// Addresses that the pages asked for since the last call, whether they got an answer or not.
    pub async fn requested(&self) -> Vec<String> {
        let log = self.call("/se/log", &json!({"type": "performance"})).await;
        let message = |entry: &Value| serde_json::from_str::<Value>(entry["message"].as_str()?).ok();
        let messages = log.as_array().into_iter().flatten().filter_map(message);
        let sent = messages.map(|m| m["message"].clone()).filter(|m| m["method"] == "Network.requestWillBeSent");
        sent.filter_map(|m| m["params"]["request"]["url"].as_str().map(str::to_owned)).collect()
    }

    /// What the browser complained of since the last call: broken scripts, refused parts.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.call("/se/log", &json!({"type": "browser"})).await;
        let severe = |entry: &&Value| entry["level"] == "SEVERE";
        let text = |entry: &Value| entry["message"].as_str().unwrap_or_default().to_owned();
        log.as_array().into_iter().flatten().filter(severe).map(text).collect()
    }
}

fn capabilities(profile: &Path) -> Value {
    let arguments = [
        "--headless=new".to_owned(),
        // A browser of the superuser, as in a container, has no other way; the pages are our own.
        "--no-sandbox".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--no-first-run".to_owned(),
        "--no-proxy-server".to_owned(),
        "--window-size=1400,1000".to_owned(),
        // Every other host does not exist.
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1".to_owned(),
        format!("--user-data-dir={}", profile.display()),
    ];
    json!({"capabilities": {"alwaysMatch": {
        "browserName": "chrome",
        "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"},
        "goog:chromeOptions": {"args": arguments},
    }}})
}

impl Drop for Browser {
    /// The driver is killed by its value; the browser is no child of ours, and is known by its profile.
    fn drop(&mut self) {
        let profile = self.profile.path().display().to_string();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&profile) {
                #[expect(
                    unsafe_code,
                    reason = "kill(2) touches no memory; the process names a folder that is ours alone"
                )]
                unsafe {
                    libc::kill(pid, libc::SIGKILL);
                }
            }
        }
    }
}
