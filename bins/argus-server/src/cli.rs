//! The command line (contract 3.1).

use std::path::PathBuf;

use argus_core::Timestamp;
use clap::{Args, Parser, Subcommand};

/// A self-hosted AI camera server.
#[derive(Debug, Parser)]
#[command(name = "argus-server", version, about)]
pub struct Cli {
    /// What to do; nothing means `serve`.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Where everything is.
    #[command(flatten)]
    pub common: Common,
    /// Address and port to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDR:PORT", global = true)]
    pub listen: Option<String>,
}

/// Options that every command which needs the data takes.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Directory of database, media and secrets.
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs until SIGTERM or SIGINT.
    Serve,
    /// Runs in a temporary directory with a synthetic camera; everything is removed at the end.
    Demo,
    /// People who sign in.
    #[command(subcommand)]
    User(UserCommand),
    /// Keys for programs.
    #[command(subcommand)]
    ApiKey(ApiKeyCommand),
    /// The key under which secrets are stored.
    #[command(subcommand)]
    SealKey(SealKeyCommand),
    /// Prints the `OpenAPI` document.
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
    },
}

/// The key under which secrets are stored.
#[derive(Debug, Subcommand)]
pub enum SealKeyCommand {
    /// Makes a new key and seals every stored secret under it; the server must not be running.
    Rotate,
    /// Removes the stored secrets that no key opens, after a key was lost; the server must not be running.
    Forget,
}
