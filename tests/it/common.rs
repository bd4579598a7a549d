//! What the modules share: a server with a client, listeners to its journal, looks into files and rows.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use argus_core::Timestamp;
use argus_tests::http::{Answer, Client};
use argus_tests::postgres;
use argus_tests::server::{ServerOptions, ServerProcess, api_key};
use argus_tests::wait::wait_for;
use argus_tests::ws::WsClient;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// For everything that is due within seconds; generous, as other tests and compilers take their share of the cores.
pub(crate) const SOON: Duration = Duration::from_secs(40);

/// A server on a data dir of its own, with one key of scope admin.
pub(crate) struct Site {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) key: String,
    pub(crate) server: ServerProcess,
    pub(crate) client: Client,
    options: ServerOptions,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::with_env(&[]).await
    }

    pub(crate) async fn with_env(env: &[(&str, &str)]) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), env).await
    }

    /// One whose database is on PostgreSQL; `None` where there is none to test with.
    pub(crate) async fn on_postgres() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        match postgres::use_for(dir.path()) {
            true => Some(Self::in_folder(dir, &[]).await),
            false => None,
        }
    }

    pub(crate) async fn in_folder(dir: tempfile::TempDir, env: &[(&str, &str)]) -> Self {
        let key = api_key(dir.path(), "admin").await;
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        let options = ServerOptions { env, ..ServerOptions::default() };
        let server = ServerProcess::start_with(dir.path(), &options).await;
        let client = Client::new(server.origin(), &key);
        Self { dir, key, server, client, options }
    }

    /// Starts the server anew on the same data; the old process must be gone.
    pub(crate) async fn again(&mut self) {
        self.server = ServerProcess::start_with(self.dir.path(), &self.options).await;
        self.client = Client::new(self.server.origin(), &self.key);
    }

    /// Where `file` cameras may read.
    pub(crate) fn media(&self, name: &str) -> PathBuf {
        self.dir.path().join("media").join(name)
    }

    /// Where the pictures and clips of a camera lie.
    pub(crate) fn stored(&self, camera: &str) -> PathBuf {
        self.dir.path().join("events").join(camera)
    }

    /// Adds a camera and returns its id.
    pub(crate) async fn camera(&self, fields: Value) -> String {
        id_of(&self.client.post("/cameras", &fields).await.expect(201).json)
    }

    /// Adds a provider of descriptions and returns it.
    pub(crate) async fn provider(&self, fields: Value) -> Value {
        self.client.post("/ai/providers", &fields).await.expect(201).json
    }

    /// The provider that every installation has.
    pub(crate) async fn builtin(&self) -> Value {
        let list = self.client.get("/ai/providers").await.expect(200).json;
        let found = list["items"].as_array().unwrap().iter().find(|p| p["kind"] == "builtin");
        found.unwrap_or_else(|| panic!("no built-in provider: {list}")).clone()
    }

    /// Lets nobody but those that were added describe.
    pub(crate) async fn without_builtin(&self) {
        let path = format!("/ai/providers/{}", id_of(&self.builtin().await));
        self.client.put(&path, &json!({"enabled": false})).await.expect(200);
    }

    /// The receipts of an event, the newest first.
    pub(crate) async fn receipts(&self, event: &str) -> Vec<Value> {
        let answer = self.client.get(&format!("/events/{event}/analyses")).await.expect(200).json;
        answer["items"].as_array().unwrap().clone()
    }

    /// A secret is in no file of the data directory, the log among them.
    pub(crate) fn hides(&self, secret: &str) {
        assert!(!self.server.log_text().contains(secret), "the secret is in the log");
        for file in files(self.dir.path()) {
            let bytes = std::fs::read(self.dir.path().join(&file)).unwrap_or_default();
            let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!found, "the secret lies in {}", file.display());
        }
    }

    /// The answer of `GET /cameras/{id}/status`.
    pub(crate) async fn status(&self, camera: &str) -> Value {
        self.client.get(&format!("/cameras/{camera}/status")).await.expect(200).json
    }

    /// Waits until the camera has that status and returns all of it.
    pub(crate) async fn reaches(&self, camera: &str, status: &str, deadline: Duration) -> Value {
        let begun = Instant::now();
        let what = format!("{status} of {camera}");
        wait_for(&what, deadline + SOON, || async {
            let now = self.status(camera).await;
            assert!(begun.elapsed() < deadline, "not {status} within {deadline:?}: {now}");
            (now["status"] == status).then_some(now)
        })
        .await
    }

    pub(crate) async fn event(&self, id: &str) -> Value {
        self.client.get(&format!("/events/{id}")).await.expect(200).json
    }

    /// Listens from now on, or from behind `after`.
    pub(crate) async fn listen(&self, after: Option<i64>) -> Listener {
        let path = after.map_or_else(|| "/ws".to_owned(), |after| format!("/ws?after={after}"));
        let socket = WsClient::connect(self.server.origin(), &self.key, &path).await.unwrap();
        Listener { socket, seen: Vec::new() }
    }

    /// Everything that the journal holds behind `after`.
    pub(crate) async fn journal(&self, after: i64) -> Vec<Value> {
        let (mut after, mut all) = (after, Vec::new());
        loop {
            let page = self.client.get(&format!("/journal?after={after}&limit=500")).await.expect(200).json;
            let items = page["items"].as_array().unwrap();
            if items.is_empty() {
                return all;
            }
            all.extend(items.iter().cloned());
            after = page["next_after"].as_i64().unwrap();
        }
    }

    /// No page and no reference of the database is damaged. PostgreSQL has no such question, and checks references itself.
    pub(crate) fn database_is_sound(&self) {
        if postgres::url(self.dir.path()).starts_with("sqlite:") {
            assert_eq!(self.rows("SELECT integrity_check AS line FROM pragma_integrity_check"), ["ok"]);
            assert!(self.rows("SELECT \"table\" AS line FROM pragma_foreign_key_check").is_empty());
        }
    }

    /// Rows of the database as text, one column a row, read beside the server.
    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        rows(self.dir.path(), sql)
    }
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// Runs a query whose only column is text named `line`.
pub(crate) fn rows(data_dir: &Path, sql: &str) -> Vec<String> {
    let url = postgres::url(data_dir);
    let Some(file) = url.strip_prefix("sqlite:") else { return postgres::query(&url, sql) };
    let mut connection = SqliteConnection::establish(file).unwrap();
    connection.batch_execute("PRAGMA busy_timeout = 10000; PRAGMA query_only = 1").unwrap();
    let lines: Vec<Line> = diesel::sql_query(sql).load(&mut connection).unwrap();
    lines.into_iter().map(|row| row.line).collect()
}

/// A WebSocket and everything that came through it.
pub(crate) struct Listener {
    socket: WsClient,
    pub(crate) seen: Vec<Value>,
}

impl Listener {
    /// Reads on until a message is wanted, and returns that; earlier ones are not looked at again.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        deadline: Duration,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Value {
        let begun = Instant::now();
        loop {
            let left = deadline.saturating_sub(begun.elapsed());
            let Some(message) = self.socket.next_json(left).await else {
                let told: Vec<_> = self.seen.iter().map(short).collect();
                panic!("no {what} within {deadline:?}; told was:\n{}", told.join("\n"));
            };
            self.seen.push(message.clone());
            if wanted(&message) {
                return message;
            }
        }
    }

    /// Waits for the begin of an event of that camera and returns the event.
    pub(crate) async fn created(&mut self, camera: &str) -> Value {
        let message = self.until("event.created", SOON, |m| is_about(m, "event.created", camera)).await;
        message["data"].clone()
    }

    /// Reads on until an event is closed, described and has its clip (or will have none), and returns it. What was read
    /// before counts.
    pub(crate) async fn finished(&mut self, id: &str) -> Value {
        let done = |m: &Value| m["type"] == "event.updated" && m["data"]["id"] == id && is_finished(&m["data"]);
        if let Some(earlier) = self.seen.iter().rfind(|m| done(m)) {
            return earlier["data"].clone();
        }
        self.until("end of the event", SOON, done).await["data"].clone()
    }

    /// Reads what has already been sent, up to a number.
    pub(crate) async fn up_to(&mut self, seq: i64) {
        if self.seen.last().is_none_or(|m| seq_of(m) < seq) {
            self.until("the newest message", SOON, |m| seq_of(m) >= seq).await;
        }
    }

    /// Statuses of a camera in the order in which they were told.
    pub(crate) fn statuses(&self, camera: &str) -> Vec<String> {
        statuses(&self.seen, camera)
    }
}

/// Statuses of a camera in the order in which the messages tell them.
pub(crate) fn statuses(messages: &[Value], camera: &str) -> Vec<String> {
    let about = messages.iter().filter(|m| is_about(m, "camera.status", camera));
    about.map(|m| m["data"]["status"].as_str().unwrap().to_owned()).collect()
}

/// A message in one line.
pub(crate) fn short(m: &Value) -> String {
    let d = &m["data"];
    let (status, description) = (&d["status"], &d["description_status"]);
    format!(
        "{} {} {} {status} {description} ended {} clip {}",
        m["seq"], m["type"], d["id"], d["ended_at"], d["clip_url"]
    )
}

pub(crate) fn is_finished(event: &Value) -> bool {
    !event["ended_at"].is_null() && event["description_status"] == "described" && !event["clip_url"].is_null()
}

pub(crate) fn is_about(message: &Value, kind: &str, camera: &str) -> bool {
    message["type"] == kind && message["data"]["camera_id"] == camera
}

pub(crate) fn id_of(value: &Value) -> String {
    value["id"].as_str().unwrap_or_else(|| panic!("no id in {value}")).to_owned()
}

pub(crate) fn seq_of(message: &Value) -> i64 {
    message["seq"].as_i64().unwrap()
}

pub(crate) fn time_of(value: &Value) -> Timestamp {
    value.as_str().unwrap_or_else(|| panic!("no time: {value}")).parse().unwrap()
}

pub(crate) fn now() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
}

/// A synthetic camera that moves in `active_s` of every `period_s` seconds, without any cooldown.
pub(crate) fn test_camera(name: &str, period_s: u32, active_s: u32) -> Value {
    json!({
        "name": name, "type": "test",
        "test_pattern": {"width": 320, "height": 180, "period_s": period_s, "active_s": active_s},
        "motion_cooldown": 0, "pre_roll_s": 2, "post_roll_s": 1,
    })
}

/// The same fields with some of them replaced or added.
pub(crate) fn with(mut fields: Value, more: &Value) -> Value {
    let target = fields.as_object_mut().unwrap();
    target.extend(more.as_object().unwrap().clone());
    fields
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Gets an address that an event names and checks what every picture has.
pub(crate) async fn picture(client: &Client, url: &Value) -> Answer {
    let answer = client.root().get(url.as_str().unwrap_or_else(|| panic!("no address: {url}"))).await.expect(200);
    assert_eq!(answer.header("content-type"), Some("image/jpeg"));
    assert!(answer.bytes.starts_with(&[0xff, 0xd8, 0xff]) && answer.bytes.ends_with(&[0xff, 0xd9]));
    answer
}

/// What a program prints, given `input`; it must succeed and have nothing to complain of.
fn output(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), input).unwrap();
    let args = args.iter().map(|arg| if *arg == "FILE" { file.path().to_str().unwrap() } else { arg });
    let done = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success() && done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// What ffprobe says of a film: the container's duration and the fields of its only stream.
#[derive(Debug)]
pub(crate) struct Film {
    pub(crate) seconds: f64,
    pub(crate) codec: String,
    pub(crate) size: (i64, i64),
    pub(crate) tag: String,
}

pub(crate) fn ffprobe(film: &[u8]) -> Film {
    let text = output("ffprobe", &["-v", "error", "-show_format", "-show_streams", "-of", "json", "FILE"], film);
    let said: Value = serde_json::from_slice(&text).unwrap();
    let [stream] = &said["streams"].as_array().unwrap()[..] else { panic!("not one stream: {said}") };
    Film {
        seconds: said["format"]["duration"].as_str().unwrap().parse().unwrap(),
        codec: stream["codec_name"].as_str().unwrap().to_owned(),
        size: (stream["width"].as_i64().unwrap(), stream["height"].as_i64().unwrap()),
        tag: stream["codec_tag_string"].as_str().unwrap().to_owned(),
    }
}

/// Every shown picture of a film or JPEG, 64x36 grey values each: what a player shows, edit list and all.
pub(crate) fn shown(film: &[u8]) -> Vec<Vec<u8>> {
    let args = ["-v", "error", "-i", "FILE", "-vf", "scale=64:36", "-f", "rawvideo", "-pix_fmt", "gray", "-"];
    output("ffmpeg", &args, film).chunks_exact(64 * 36).map(<[u8]>::to_vec).collect()
}

/// The synthetic camera's object is in the picture: bright on a grey ground.
pub(crate) fn shows_object(grey: &[u8]) -> bool {
    grey.iter().filter(|v| **v > 170).count() >= 8
}

/// Names of the boxes at the top of an MP4, in order.
pub(crate) fn boxes(film: &[u8]) -> Vec<String> {
    let (mut at, mut names) = (0, Vec::new());
    while at + 8 <= film.len() {
        let size = u32::from_be_bytes(film[at..at + 4].try_into().unwrap()) as usize;
        names.push(String::from_utf8_lossy(&film[at + 4..at + 8]).into_owned());
        at += match size {
            0 => film.len(),
            1 => usize::try_from(u64::from_be_bytes(film[at + 8..at + 16].try_into().unwrap())).unwrap(),
            size => size,
        };
    }
    assert_eq!(at, film.len(), "the boxes fill the file: {names:?}");
    names
}

/// Every file below a folder, by its path from there.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, root, found);
            } else if entry.file_name() != ".argus-store" {
                // All but the mark by which the store is known.
                found.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}

/// Checks the order of messages: numbers grow, and every event is created once, before all else that is said of it.
pub(crate) fn check_order(messages: &[Value]) {
    let mut created: HashMap<&str, usize> = HashMap::new();
    for pair in messages.windows(2) {
        assert!(seq_of(&pair[0]) < seq_of(&pair[1]), "{} then {}", short(&pair[0]), short(&pair[1]));
    }
    for message in messages {
        let id = message["data"]["id"].as_str().unwrap_or_default();
        match message["type"].as_str().unwrap() {
            "event.created" => *created.entry(id).or_default() += 1,
            "event.updated" => assert!(created.contains_key(id), "updated before created: {}", short(message)),
            _ => {}
        }
    }
    assert!(created.values().all(|times| *times == 1), "created more than once: {created:?}");
}
