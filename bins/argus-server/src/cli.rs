//! The command line.

use std::path::PathBuf;

use argus_core::Timestamp;
use clap::{Args, Parser, Subcommand};

/// A self-hosted AI camera server. Without a command it does what `serve` does.
#[derive(Debug, Parser)]
#[command(name = "argus-server", version, about = ABOUT, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; nothing means `serve`.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of `serve`, when no command is given.
    #[command(flatten)]
    pub serve: Serve,
}

const ABOUT: &str = "A self-hosted AI camera server. Without a command it does what serve does.";

/// Options of a server.
#[derive(Clone, Debug, Default, Args)]
pub struct Serve {
    /// Where everything is.
    #[command(flatten)]
    pub place: Place,
    /// Where it listens.
    #[command(flatten)]
    pub listen: Listen,
}

/// Where a server listens.
#[derive(Clone, Debug, Default, Args)]
pub struct Listen {
    /// Address and port to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
}

/// Options that every command which needs the data takes.
#[derive(Clone, Debug, Default, Args)]
pub struct Place {
    /// Directory of database, media and secrets [default: ./data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs until SIGTERM or SIGINT.
    Serve(Serve),
    /// Runs in a temporary directory with a synthetic camera; everything is removed at the end. Listens on 127.0.0.1:8000
    /// unless told otherwise here.
    Demo(Listen),
    /// People who sign in.
    #[command(subcommand)]
    User(UserCommand),
    /// Keys for programs.
    #[command(subcommand)]
    ApiKey(ApiKeyCommand),
    /// The key under which secrets are stored.
    #[command(subcommand)]
    SealKey(SealKeyCommand),
    /// Prints the document that describes the HTTP API to programs.
    Openapi,
    /// Prints what would be decided about a video file, one JSON object a line; the same on every run.
    Replay {
        /// The video.
        file: PathBuf,
        /// A camera as in `POST /cameras`; its source is not used.
        #[arg(long, value_name = "CONFIG.json")]
        camera: Option<PathBuf>,
    },
}

/// People who sign in.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Makes a user and prints the new id.
    Create {
        /// 3 to 50 of A-Z a-z 0-9 _ . -
        #[arg(long)]
        username: String,
        /// admin, operator or viewer.
        #[arg(long)]
        role: String,
        /// The password is the first line of standard input.
        #[arg(long, required = true)]
        password_stdin: bool,
        /// Where mail reaches them.
        #[arg(long)]
        email: Option<String>,
        /// Where everything is.
        #[command(flatten)]
        place: Place,
    },
}

/// Keys for programs.
#[derive(Debug, Subcommand)]
pub enum ApiKeyCommand {
    /// Makes a key and prints it, alone on one line.
    Create {
        /// What people call it.
        #[arg(long)]
        name: String,
        /// read:events, read:cameras, write:cameras or admin; several may follow, and the option may be repeated.
        #[arg(long, required = true, num_args = 1..)]
        scope: Vec<String>,
        /// Requests a minute.
        #[arg(long, default_value_t = 100)]
        rate_limit: i64,
        /// RFC 3339 time at which it ends by itself.
        #[arg(long)]
        expires_at: Option<Timestamp>,
        /// Where everything is.
        #[command(flatten)]
        place: Place,
    },
}

/// The key under which secrets are stored.
#[derive(Debug, Subcommand)]
pub enum SealKeyCommand {
    /// Makes a new key and seals every stored secret under it; the server must not be running.
    Rotate(Place),
    /// Removes the stored secrets that no key opens, after a key was lost; the server must not be running.
    Forget(Place),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_dir(words: &[&str]) -> Option<PathBuf> {
        let cli = Cli::try_parse_from(["argus-server"].iter().chain(words)).unwrap();
        match cli.command {
            None => cli.serve.place.data_dir,
            Some(Command::Serve(serve)) => serve.place.data_dir,
            Some(Command::User(UserCommand::Create { place, .. })) => place.data_dir,
            Some(Command::ApiKey(ApiKeyCommand::Create { place, .. })) => place.data_dir,
            Some(Command::SealKey(SealKeyCommand::Rotate(place) | SealKeyCommand::Forget(place))) => place.data_dir,
            Some(other) => panic!("{other:?} has none"),
        }
    }

    #[test]
    fn whatever_uses_the_data_takes_their_place() {
        for command in [
            "",
            "serve",
            "user create --username bob --role viewer --password-stdin",
            "api-key create --name n --scope admin",
            "seal-key rotate",
            "seal-key forget",
        ] {
            let words: Vec<_> = command.split_whitespace().chain(["--data-dir", "d"]).collect();
            assert_eq!(data_dir(&words), Some("d".into()), "{command}");
        }
    }

    #[test]
    fn an_option_that_a_command_does_not_use_is_refused() {
        for command in [
            "demo --data-dir d",
            "demo --config f",
            "openapi --config f",
            "openapi --listen 127.0.0.1:1",
            "replay film.mp4 --data-dir d",
            "user create --username bob --role viewer --password-stdin --listen 127.0.0.1:1",
            "api-key create --name n --scope admin --listen 127.0.0.1:1",
            "seal-key rotate --listen 127.0.0.1:1",
            "--data-dir d demo",
            "--listen 127.0.0.1:1 openapi",
        ] {
            let words = ["argus-server"].into_iter().chain(command.split_whitespace());
            let refused = Cli::try_parse_from(words).map(drop).unwrap_err();
            assert_eq!(refused.exit_code(), 2, "{command}");
        }
    }
}
