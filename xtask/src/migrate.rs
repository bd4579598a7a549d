//! `cargo xtask migrate`: the migrations of argus-db on a database, and new ones in both dialects.

use anyhow::ensure;
use clap::{Args, Subcommand};
use xshell::{Shell, cmd};

use crate::workspace;

/// Apply, undo or add database migrations.
#[derive(Args)]
pub(crate) struct Migrate {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Apply what is pending.
    Run(Target),
    /// Undo the newest.
    Revert(Target),
    /// Undo the newest and apply it again.
    Redo(Target),
    /// List the migrations and which are applied.
    Status(Target),
    /// Make the empty files of a new migration, for both databases.
    New {
        /// What it does, as `add_camera_tags`.
        name: String,
    },
}

#[derive(Args)]
struct Target {
    /// URL of the database: `sqlite:PATH` or `postgres://…`.
    #[arg(long, env = "ARGUS_DATABASE_URL", default_value = "sqlite:data/argus.db")]
    url: String,
}

impl Migrate {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        match self.action {
            Action::Run(target) => example(sh, "run", &target.url),
            Action::Revert(target) => example(sh, "revert", &target.url),
            Action::Redo(target) => example(sh, "redo", &target.url),
            Action::Status(target) => example(sh, "status", &target.url),
            Action::New { name } => new(sh, &name),
        }
    }
}

fn example(sh: &Shell, action: &str, url: &str) -> anyhow::Result<()> {
    let features: &[&str] = if url.starts_with("postgres") { &[workspace::POSTGRES] } else { &[] };
    let program = workspace::build(sh, &workspace::Target::Example("migrate"), false, features)?;
    // The URL may hold a password, so the command is not shown.
    cmd!(sh, "{program} {action} {url}").quiet().secret().run()?;
    Ok(())
}

fn new(sh: &Shell, name: &str) -> anyhow::Result<()> {
    ensure!(is_migration_name(name), "a migration's name is lower-case words joined by underscores: {name}");
    let stamp = cmd!(sh, "date -u +%Y-%m-%d-%H%M%S").quiet().read()?;
    for dialect in ["sqlite", "postgres"] {
        for direction in ["up", "down"] {
            let file = format!("migrations/{dialect}/{stamp}_{name}/{direction}.sql");
            sh.write_file(&file, "")?;
            println!("{file}");
        }
    }
    Ok(())
}

fn is_migration_name(name: &str) -> bool {
    name.split('_').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::is_migration_name;

    #[test]
    fn names_are_words() {
        for (name, good) in
            [("add_camera_tags", true), ("v2", true), ("", false), ("_x", false), ("Add", false), ("a/b", false)]
        {
            assert_eq!(is_migration_name(name), good, "{name:?}");
        }
    }
}
