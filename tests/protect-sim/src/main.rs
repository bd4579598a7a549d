//! The fake controller as a program, for manual runs and for clients that are not written in Rust.
//!
//! It prints one line of JSON with its address and what signs in, and reads orders from its standard input, a line each:
//! `ring CAMERA` · `motion CAMERA SECONDS` · `detect CAMERA TYPE[,TYPE] SECONDS` · `package CAMERA` · `state CAMERA WORD` ·
//! `rename CAMERA NAME` · `play a|b SPEED` · `reboot SECONDS` · `expire` · `close updates|devices|events CODE` · `certificate` · `quit`.
//! A camera is an id, or the number of a connected one. Each order is answered by a line of JSON.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use argus_protect_sim::{Options, Order, Script, Sim, Stream, fixtures};
use clap::Parser;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// A fake UniFi Protect controller.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// 0 takes a free port.
    #[arg(long, default_value_t = 7443)]
    port: u16,
    /// `a`, `b`, or a file with a bootstrap.
    #[arg(long, default_value = "a")]
    bootstrap: PathBuf,
    /// Version of Protect; `recorded` leaves what the bootstrap says.
    #[arg(long, default_value = "7.1.87")]
    protect: String,
    /// Without the lags of real consoles.
    #[arg(long)]
    fast: bool,
    /// For ids and chances.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn options(arguments: &Arguments) -> anyhow::Result<Options> {
    let base = if arguments.fast { Options::default() } else { Options::recorded() };
    let bootstrap = match arguments.bootstrap.to_str() {
        Some("a") => fixtures::bootstrap_a(),
        Some("b") => fixtures::bootstrap_b(),
        _ => {
            let path = arguments.bootstrap.display();
            let text = std::fs::read(&arguments.bootstrap).with_context(|| format!("cannot read {path}"))?;
            serde_json::from_slice(&text).with_context(|| format!("{path} is no JSON"))?
        }
    };
    let is_recorded = arguments.protect == "recorded";
    Ok(Options {
        host: arguments.host,
        port: arguments.port,
        bootstrap,
        version: (!is_recorded).then(|| arguments.protect.clone()),
        uuid_events: !is_recorded,
        seed: arguments.seed,
        ..base
    })
}

fn say(value: &Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()?;
    Ok(())
}

/// The lines of the standard input, read by a thread of their own.
fn orders() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let options = options(&Arguments::parse())?;
    let (users, keys) = (options.users.clone(), options.api_keys.clone());
    let sim = Sim::start(options).await?;
    let user = users.first().context("there is no user")?;
    say(&json!({"address": sim.address().to_string(), "certificate_sha256": sim.fingerprint(), "username": user.name,
        "password": user.password, "api_key": keys.first(), "cameras": sim.cameras(), "doorbells": sim.doorbells()}))?;
    let mut lines = orders();
    while let Some(line) = lines.recv().await {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.first() == Some(&"quit") {
            break;
        }
        match obey(&sim, &words).await {
            Ok(answer) => say(&answer)?,
            Err(error) => say(&json!({"error": format!("{error:#}")}))?,
        }
    }
    Ok(())
}

async fn obey(sim: &Sim, words: &[&str]) -> anyhow::Result<Value> {
    let camera = |word: &str| {
        let number = word.parse::<usize>().ok().filter(|_| word.len() < 4);
        let of_number = number.and_then(|at| sim.cameras().into_iter().nth(at));
        of_number.or_else(|| sim.camera(word).map(|_| word.to_owned())).with_context(|| format!("no camera {word}"))
    };
    let seconds = |word: &str| -> anyhow::Result<Duration> {
        let seconds: f64 = word.parse().with_context(|| format!("{word} is no number of seconds"))?;
        Ok(Duration::try_from_secs_f64(seconds)?)
    };
    Ok(match words {
        ["ring", id] => json!({"event": sim.ring(&camera(id)?)}),
        ["motion", id, lasts] => json!({"event": sim.motion(&camera(id)?, seconds(lasts)?)}),
        ["detect", id, types, lasts] => {
            let types: Vec<&str> = types.split(',').collect();
            json!({"event": sim.detect(&camera(id)?, &types, 90, seconds(lasts)?)})
        }
        ["package", id] => json!({"event": sim.happen(&camera(id)?, Script::package(90))}),
        ["state", id, word] => {
            sim.camera_state(&camera(id)?, word);
            json!({})
        }
        ["rename", id, name @ ..] => {
            sim.rename(&camera(id)?, &name.join(" "));
            json!({})
        }
        ["play", set, speed] => {
            let frames = if *set == "b" { fixtures::frames_b() } else { fixtures::frames_a() };
            sim.play(&frames, speed.parse().context("the speed is no number")?).await;
            json!({"played": frames.len()})
        }
        ["reboot", lasts] => {
            sim.reboot(seconds(lasts)?);
            json!({})
        }
        ["expire"] => {
            sim.expire_sessions();
            json!({})
        }
        ["close", stream, code] => {
            let stream = match *stream {
                "updates" => Stream::Updates,
                "devices" => Stream::Devices,
                "events" => Stream::Events,
                other => anyhow::bail!("no stream {other}"),
            };
            let order = Order::Close(code.parse().context("the code is no number")?, String::new());
            json!({"closed": sim.order(stream, &order)})
        }
        ["certificate"] => json!({"certificate_sha256": sim.new_certificate(false)?}),
        _ => anyhow::bail!("not an order"),
    })
}
