//! `cargo xtask demo`: from a clone to a described event, without a camera, a key or a configuration.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde_json::Value;
use xshell::Shell;

use crate::interrupt::Interrupt;
use crate::packages::{self, Need};
use crate::server::{Client, Server};
use crate::workspace::{self, Target};

/// Opening a new database and a new GStreamer registry on a slow, busy machine; usual is well below a second.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// The test camera moves from second 2 to 6 of each 12, and the event closes 5 s after.
const EVENT_WITHIN: Duration = Duration::from_secs(120);
/// How long one question for news waits at the server, in seconds: as few questions as the rate limit of a key allows, and
/// still a prompt end on Ctrl-C.
const POLL_S: u64 = 2;

/// See Argus notice something: builds it, runs it on a test camera, shows what it noticed.
#[derive(Args)]
pub(crate) struct Demo {
    /// Refuse to install missing system packages.
    #[arg(long)]
    no_install: bool,
    /// Build with optimisation; takes several times longer to build.
    #[arg(long)]
    release: bool,
    /// End after the first complete event: its picture and clip are in target/demo then.
    #[arg(long)]
    once: bool,
    /// Address and port to listen on; without it 127.0.0.1:8000, or a free port when that is taken.
    #[arg(long)]
    listen: Option<String>,
}

impl Demo {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        packages::ensure(sh, Need::Server, self.no_install)?;
        let binary = workspace::build(sh, &Target::Server, self.release, &[])?;
        let folder = workspace::target_dir()?.join("demo");
        let _ = sh.remove_path(&folder);
        sh.create_dir(&folder)?;

        let interrupt = Interrupt::catch()?;
        let started = Instant::now();
        let mut server = Server::start(demo_command(sh, &binary, &self.listen_address()), READY_WITHIN)?;
        for line in &server.greeting {
            println!("{line}");
        }
        println!("listening on {}", server.url);
        println!("A test camera is running: a bright rectangle crosses its picture. Watch what Argus makes of it.");
        if !self.once {
            println!("Ctrl-C ends the demo and removes all that it stored, but not what is saved in target/demo.");
        }
        let key = server.greeted("api key").context("the demo server printed no API key")?.to_owned();
        let mut follower = Follower::new(Client::new(&server.url, &key), folder, self.once);
        let outcome = loop {
            if let Some(status) = server.ended()? {
                bail!("the server ended by itself ({status}); its reason is above");
            }
            if interrupt.within(Duration::ZERO) {
                break if self.once { Err(anyhow::anyhow!("interrupted")) } else { Ok(()) };
            }
            match follower.news(started) {
                Ok(true) if self.once => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
            if self.once && started.elapsed() > EVENT_WITHIN {
                break Err(anyhow::anyhow!("no complete event within {EVENT_WITHIN:?}: {}", follower.missing()));
            }
        };
        outcome.and(server.stop())
    }

    fn listen_address(&self) -> String {
        match &self.listen {
            Some(address) => address.clone(),
            None if !self.once && TcpListener::bind("127.0.0.1:8000").is_ok() => "127.0.0.1:8000".to_owned(),
            None => "127.0.0.1:0".to_owned(),
        }
    }
}

/// The command line of the demo server. What it logs stays out of the way unless somebody asks for it.
pub(crate) fn demo_command(sh: &Shell, binary: &Path, listen: &str) -> Command {
    let mut command = Command::new(binary);
    command.args(["demo", "--listen", listen]);
    if sh.var_os("ARGUS_LOG").is_none() {
        command.env("ARGUS_LOG", "warn");
    }
    command
}

/// Reads the journal of a server and shows its events as they grow.
pub(crate) struct Follower {
    client: Client,
    folder: PathBuf,
    once: bool,
    after: u64,
    shown: Vec<Shown>,
}

/// One event, and how much of it was shown.
#[derive(Default)]
struct Shown {
    id: String,
    sentence: String,
    media: bool,
    complete: bool,
    missing: Vec<&'static str>,
}

impl Follower {
    /// Follows the server of `client`; pictures and clips go into `folder`.
    pub(crate) fn new(client: Client, folder: PathBuf, once: bool) -> Self {
        Self { client, folder, once, after: 0, shown: Vec::new() }
    }

    /// Asks for what is new and shows it. Answers whether some event is complete by now.
    pub(crate) fn news(&mut self, started: Instant) -> anyhow::Result<bool> {
        let path = format!("/api/v1/journal?after={}&wait={POLL_S}&types=event.created,event.updated", self.after);
        let answer = self.client.json(&path)?;
        if let Some(after) = answer.get("next_after").and_then(Value::as_u64) {
            self.after = after;
        }
        for message in answer.get("items").and_then(Value::as_array).into_iter().flatten() {
            if let Some(event) = message.get("data").filter(|data| data.get("id").is_some()) {
                self.show(event, started)?;
            }
        }
        Ok(self.shown.iter().any(|shown| shown.complete))
    }

    /// What the newest event lacks to be complete.
    pub(crate) fn missing(&self) -> String {
        match self.shown.last() {
            None => "nothing was noticed at all".to_owned(),
            Some(shown) => format!("event {} lacks {}", shown.id, shown.missing.join(", ")),
        }
    }

    fn show(&mut self, event: &Value, started: Instant) -> anyhow::Result<()> {
        let text = |field: &str| event.get(field).and_then(Value::as_str).unwrap_or_default();
        let id = text("id");
        let position = self.shown.iter().position(|shown| shown.id == id).unwrap_or(self.shown.len());
        if position == self.shown.len() {
            self.shown.push(Shown { id: id.to_owned(), ..Shown::default() });
        }
        let folder = if self.once { self.folder.clone() } else { self.folder.join((position + 1).to_string()) };
        let Some(shown) = self.shown.get_mut(position) else { return Ok(()) };

        let sentence = text("description");
        if sentence != shown.sentence {
            let label = if shown.sentence.is_empty() { "noticed" } else { "described" };
            let number = position + 1;
            println!("\n[{:6.1} s] event {number} {label}: {sentence}", started.elapsed().as_secs_f64());
            sentence.clone_into(&mut shown.sentence);
        }
        shown.missing = missing_parts(event);
        let has_media = !text("thumbnail_url").is_empty() && !text("clip_url").is_empty();
        if has_media && !shown.media {
            let picture = self.client.bytes(text("thumbnail_url"))?;
            ensure!(picture.starts_with(&[0xFF, 0xD8, 0xFF]), "the thumbnail of event {id} is no JPEG");
            let clip = self.client.bytes(text("clip_url"))?;
            ensure!(clip.get(4..8) == Some(b"ftyp"), "the clip of event {id} is no MP4");
            std::fs::create_dir_all(&folder)?;
            for (name, bytes) in [("thumbnail.jpg", picture), ("clip.mp4", clip)] {
                let file = folder.join(name);
                std::fs::write(&file, &bytes)?;
                println!("           saved {} ({} KiB)", file.display(), bytes.len().div_ceil(1024));
            }
            shown.media = true;
        }
        if shown.media && shown.missing.is_empty() && !shown.complete {
            shown.complete = true;
            std::fs::write(folder.join("event.json"), serde_json::to_vec_pretty(event)?)?;
            println!("           complete: {}", summary(event));
        }
        Ok(())
    }
}

/// What an event lacks of being over, described and provided with a picture and a clip.
fn missing_parts(event: &Value) -> Vec<&'static str> {
    let absent = |field: &str| event.get(field).is_none_or(Value::is_null);
    let pending = event.get("description_status").and_then(Value::as_str) != Some("described");
    [
        (absent("ended_at"), "an end"),
        (pending, "a description"),
        (absent("thumbnail_url"), "a thumbnail"),
        (absent("clip_url"), "a clip"),
    ]
    .into_iter()
    .filter_map(|(lacks, what)| lacks.then_some(what))
    .collect()
}

/// One line of what is known of a complete event.
fn summary(event: &Value) -> String {
    let seconds = event.get("duration_ms").and_then(Value::as_f64).unwrap_or_default() / 1000.0;
    let camera = event.get("camera_name").and_then(Value::as_str).unwrap_or("?");
    let provider = event.get("provider_used").and_then(Value::as_str).unwrap_or("nobody");
    let frames = event.get("frames").and_then(Value::as_array).map_or(0, Vec::len);
    format!("camera {camera}, {seconds:.1} s of motion, {frames} pictures, described by {provider}")
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};

    use serde_json::json;

    use super::*;

    #[test]
    fn names_what_an_event_lacks() {
        let new = json!({"id": "x", "description_status": "pending", "ended_at": null, "clip_url": null});
        assert_eq!(missing_parts(&new), ["an end", "a description", "a thumbnail", "a clip"]);
        assert!(missing_parts(&whole_event()).is_empty());
    }

    #[test]
    fn sums_an_event_up() {
        assert_eq!(summary(&whole_event()), "camera Demo, 4.2 s of motion, 2 pictures, described by builtin");
    }

    fn whole_event() -> Value {
        json!({
            "id": "x", "description": "Something crossed.", "description_status": "described", "ended_at": "t",
            "thumbnail_url": "/picture", "clip_url": "/clip", "duration_ms": 4200, "camera_name": "Demo",
            "provider_used": "builtin", "frames": [1, 2]
        })
    }

    /// Answers one request for each of the bodies, in order, and then ends.
    fn serve(bodies: Vec<Vec<u8>>) -> (Client, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap()), "argus_key");
        let served = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for body in bodies {
                let (mut stream, _) = listener.accept().unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let head: Vec<String> = lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
                assert!(head.iter().any(|line| line.eq_ignore_ascii_case("x-api-key: argus_key")), "{head:?}");
                asked.push(head[0].split(' ').nth(1).unwrap().to_owned());
                let length = body.len();
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").unwrap();
                stream.write_all(&body).unwrap();
            }
            asked
        });
        (client, served)
    }

    fn journal(kind: &str, seq: u64, event: &Value) -> Vec<u8> {
        let message = json!({"seq": seq, "type": kind, "data": event});
        json!({"items": [message], "next_after": seq, "last_seq": seq}).to_string().into_bytes()
    }

    #[test]
    fn follows_an_event_until_it_is_complete_and_keeps_its_evidence() {
        let mut new = whole_event();
        for field in ["ended_at", "thumbnail_url", "clip_url"] {
            new[field] = Value::Null;
        }
        let picture = vec![0xFF, 0xD8, 0xFF, 0xE0];
        let clip = b"\0\0\0\x18ftypisom".to_vec();
        let (client, served) = serve(vec![
            journal("event.created", 3, &new),
            journal("event.updated", 5, &whole_event()),
            picture.clone(),
            clip.clone(),
        ]);
        let folder = tempfile::tempdir().unwrap();
        let mut follower = Follower::new(client, folder.path().to_path_buf(), true);
        assert!(!follower.news(Instant::now()).unwrap());
        assert_eq!(follower.missing(), "event x lacks an end, a thumbnail, a clip");
        assert!(follower.news(Instant::now()).unwrap());

        assert_eq!(std::fs::read(folder.path().join("thumbnail.jpg")).unwrap(), picture);
        assert_eq!(std::fs::read(folder.path().join("clip.mp4")).unwrap(), clip);
        assert!(folder.path().join("event.json").is_file());
        let asked = served.join().unwrap();
        assert!(asked[0].starts_with("/api/v1/journal?after=0&"), "{asked:?}");
        assert!(asked[1].starts_with("/api/v1/journal?after=3&"), "{asked:?}");
        assert_eq!(asked[2..], ["/picture", "/clip"]);
    }

    #[test]
    fn a_clip_that_is_none_is_refused() {
        let (client, served) = serve(vec![
            journal("event.updated", 1, &whole_event()),
            vec![0xFF, 0xD8, 0xFF],
            b"not a clip at all".to_vec(),
        ]);
        let folder = tempfile::tempdir().unwrap();
        let error = Follower::new(client, folder.path().to_path_buf(), true).news(Instant::now()).unwrap_err();
        assert!(error.to_string().contains("no MP4"), "{error}");
        served.join().unwrap();
    }
}
