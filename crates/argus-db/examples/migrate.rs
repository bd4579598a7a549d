//! Changes the tables of a database by hand: `migrate run|revert|redo|status URL`, the URL being `sqlite:PATH` or
//! `postgres://…`.

#![expect(clippy::print_stdout, reason = "a tool's answer belongs on its standard output")]

use anyhow::{Context as _, bail};
use argus_db::{DbUrl, Migrator};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(command), Some(url), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        bail!("usage: migrate run|revert|redo|status URL");
    };
    let url: DbUrl = url.parse().context("the URL is not understood")?;
    let mut migrator = Migrator::connect(&url)?;
    match command.as_str() {
        "run" => {
            let done = migrator.run()?;
            println!("{} applied", done.len());
            for version in done {
                println!("{version}");
            }
        }
        "revert" => println!("{} reverted", migrator.revert()?),
        "redo" => println!("{} reverted and applied again", migrator.redo()?),
        "status" => {
            for (version, applied) in migrator.status()? {
                println!("{version} {}", if applied { "applied" } else { "missing" });
            }
        }
        other => bail!("{other} is none of run, revert, redo, status"),
    }
    Ok(())
}
