//! Lists the cameras of a controller and follows what happens.
//!
//! `cargo run -p argus-protect --example follow -- HOST [--user NAME] [--pin SHA256 | --any-certificate]`
//!
//! The password is read from the first line of the standard input; with `--key` that line is an API key instead. Without a
//! pin the certificate must be trusted by this machine; the first try shows what can be pinned.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use argus_core::controller::{ControllerConfig, ControllerItem, ControllerPlan, Controllers as _};
use argus_core::{Clock, Secret, Timestamp};
use argus_protect::{Protect, Tuning};
use clap::Parser;

#[derive(Parser)]
struct Arguments {
    /// Name or address of the controller.
    host: String,
    /// Its port.
    #[arg(long, default_value_t = 443)]
    port: u16,
    /// A local account; its password comes from the standard input.
    #[arg(long)]
    user: Option<String>,
    /// The standard input holds an API key.
    #[arg(long, conflicts_with = "user")]
    key: bool,
    /// SHA-256 of the certificate that is expected.
    #[arg(long)]
    pin: Option<String>,
    /// Take any certificate.
    #[arg(long)]
    any_certificate: bool,
}

/// The machine's clock.
struct Wall;

impl Clock for Wall {
    #[expect(clippy::disallowed_methods, reason = "an example has no other clock")]
    fn now(&self) -> Timestamp {
        jiff::Timestamp::now().into()
    }
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example tells what it sees")]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).init();
    let arguments = Arguments::parse();
    if !arguments.key && arguments.user.is_none() {
        bail!("give --user NAME or --key");
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("the standard input cannot be read")?;
    let secret = Secret::new(line.trim_end_matches(['\r', '\n']));
    let config = ControllerConfig {
        name: arguments.host.clone(),
        host: arguments.host,
        port: arguments.port,
        api_key: arguments.key.then(|| secret.clone()),
        password: arguments.user.is_some().then_some(secret),
        username: arguments.user,
        verify_tls: !arguments.any_certificate,
        certificate_sha256: arguments.pin,
        is_enabled: true,
    };

    let protect = Protect::new(Arc::new(Wall), std::env::temp_dir(), Tuning::default());
    let probe = protect.probe(&config).await;
    println!("{}", probe.message);
    if let Some(sha256) = &probe.certificate_sha256 {
        println!("its certificate has the SHA-256 {sha256}");
    }
    if !probe.success {
        bail!("not connected");
    }

    let id = "01900000-0000-7000-8000-000000000000".parse()?;
    let mut open = protect.open(ControllerPlan { id, config, kept: None, known_until: None });
    while let Some(item) = open.stream.next().await {
        match item {
            ControllerItem::State(s) => println!("{} {}", s.status, s.last_error.unwrap_or_default()),
            ControllerItem::Devices(devices) => {
                for d in devices {
                    let online = if d.is_online { "online" } else { "offline" };
                    println!("  {} ({}) {online}, detects {}", d.name, d.model, d.switched_on.join(" "));
                }
            }
            ControllerItem::Happening(h) => {
                println!("{} {:?} {} at {}", h.started_at, h.phase, h.types.join("+"), h.device);
            }
            ControllerItem::Gap { from, until, reason } => println!("missed from {from} until {until}: {reason}"),
            ControllerItem::Keep(_) => {}
        }
    }
    Ok(())
}
