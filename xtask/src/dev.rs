//! `cargo xtask dev`: the demo server, built and started anew whenever a source file changes.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use xshell::Shell;

use crate::demo::{Follower, demo_command};
use crate::interrupt::Interrupt;
use crate::packages::{self, Need};
use crate::server::{Client, Server};
use crate::workspace::{self, Target};

/// The folders whose files make the server.
const WATCHED: &[&str] = &["crates", "bins", "migrations"];
/// Between two looks at them while the server is down.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Run the demo server and restart it whenever the code changes.
#[derive(Args)]
pub(crate) struct Dev {
    /// Refuse to install missing system packages.
    #[arg(long)]
    no_install: bool,
    /// Address and port to listen on.
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: String,
}

impl Dev {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        packages::ensure(sh, Need::Server, self.no_install)?;
        let folder = workspace::target_dir()?.join("dev");
        let interrupt = Interrupt::catch()?;
        loop {
            let built_from = newest(WATCHED);
            let mut follower = None;
            let mut server = None;
            match workspace::build(sh, &Target::Server, false, &[])
                .and_then(|binary| Server::start(demo_command(sh, &binary, &self.listen), Duration::from_secs(60)))
            {
                Ok(running) => {
                    println!("{}\nlistening on {}", running.greeting.join("\n"), running.url);
                    let key = running.greeted("api key").unwrap_or_default().to_owned();
                    follower = Some(Follower::new(Client::new(&running.url, &key), folder.clone(), false));
                    server = Some(running);
                }
                Err(error) => println!("{error:#}\nwaiting for a change"),
            }
            let started = Instant::now();
            while newest(WATCHED) == built_from {
                // The question for news waits at the server; without a server this waits instead.
                let told = follower.as_mut().map(|follower| follower.news(started));
                if let Some(Err(error)) = &told {
                    println!("{error:#}");
                    follower = None;
                }
                let pause = if follower.is_some() { Duration::ZERO } else { LOOK_EVERY };
                if interrupt.within(pause) {
                    return server.as_mut().map_or(Ok(()), Server::stop);
                }
            }
            println!("\nchanged; building");
        }
    }
}

/// The newest modification in the folders.
fn newest(folders: &[impl AsRef<Path>]) -> Option<SystemTime> {
    folders.iter().filter_map(|folder| newest_in(folder.as_ref())).max()
}

fn newest_in(folder: &Path) -> Option<SystemTime> {
    let mut newest = None;
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let found = match entry.file_type() {
            Ok(kind) if kind.is_dir() => newest_in(&entry.path()),
            Ok(kind) if kind.is_file() => entry.metadata().and_then(|data| data.modified()).ok(),
            _ => None,
        };
        newest = newest.max(found);
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_file_anywhere_below_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(newest(&[folder.path()]), None);
        let deep = folder.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        let file = std::fs::File::create(deep.join("x.rs")).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        file.set_modified(time).unwrap();
        assert_eq!(newest(&[folder.path()]), Some(time));
    }
}
