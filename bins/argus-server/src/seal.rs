//! `argus-server seal-key`: changing the key under which secrets are stored, and what to do without it.

use argus_core::chain;
use argus_db::{DataDir, Database, Unopened};

use crate::config::Config;
use crate::{Failure, say, wire};

fn failed(what: &str) -> impl Fn(argus_db::DbError) -> Failure + '_ {
    move |e| Failure::data(format!("{what}: {}", chain(&e)))
}

/// Refuses to start without the key of a stored secret: cameras would be missing without a word.
pub(crate) async fn check(db: &Database, dir: &DataDir) -> Result<(), Failure> {
    let unopened = db.seal_check().await.map_err(failed("the stored secrets cannot be read"))?;
    match unopened.first() {
        None => Ok(()),
        Some(one) => Err(Failure::data(missing(&unopened, one, dir))),
    }
}

fn missing(unopened: &[Unopened], one: &Unopened, dir: &DataDir) -> String {
    let count = unopened.len();
    let those = if count == 1 { String::new() } else { format!(" and {} more", count - 1) };
    let file = dir.path().join("seal.key");
    format!(
        "{} cannot open the {} of {} {}{those}: the key {} is not in it, or the value was tampered with. Put back the \
         seal.key that belongs to this database; when it is lost, `argus-server seal-key forget` removes the secrets \
         that cannot be opened, and they have to be entered again",
        file.display(),
        one.column,
        one.table,
        one.owner,
        one.key_id.as_deref().unwrap_or("?"),
    )
}

/// Makes a new key, seals everything under it, and drops the old ones. After a crash in between, both keys are there and
/// the next run does the rest.
pub(crate) async fn rotate(config: &Config) -> Result<(), Failure> {
    let dir = DataDir::open(&config.data_dir).map_err(wire::unusable)?;
    let _lock = dir.lock().map_err(wire::unusable)?;
    // What no key opens is told before anything is changed.
    check(&wire::database(config, &dir).await?, &dir).await?;
    let ring = dir.seal_key_add().map_err(wire::unusable)?;
    let db = wire::database(config, &dir).await?;
    let count = db.reseal().await.map_err(failed("the secrets stay under the keys they had"))?;
    dir.seal_keys_drop_older().map_err(wire::unusable)?;
    say(&format!("{count} secrets sealed under the new key {}", ring.first().id()))
}

/// Removes the secrets that no key opens.
pub(crate) async fn forget(config: &Config) -> Result<(), Failure> {
    let dir = DataDir::open(&config.data_dir).map_err(wire::unusable)?;
    let _lock = dir.lock().map_err(wire::unusable)?;
    let db = wire::database(config, &dir).await?;
    let gone = db.seal_forget().await.map_err(failed("nothing was removed"))?;
    for one in &gone {
        say(&format!("removed the {} of {} {}", one.column, one.table, one.owner))?;
    }
    say(&format!("{} secrets removed", gone.len()))
}
