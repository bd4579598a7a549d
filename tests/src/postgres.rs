//! PostgreSQL in place of SQLite, for the servers under test.
//!
//! `cargo xtask test` and `cargo xtask pg` name a throw-away PostgreSQL in `ARGUS_TEST_POSTGRES_URL`. Some tests use it
//! beside SQLite; with `ARGUS_TEST_DATABASE=postgres` every server of every test does.

use std::path::Path;
use std::process::Command;

use crate::secrets;

/// The server, as a URL of one of its databases.
const SERVER: &str = "ARGUS_TEST_POSTGRES_URL";
/// What all tests are to use.
const CHOICE: &str = "ARGUS_TEST_DATABASE";
/// Tells which database belongs to a data dir; lies in it, so that every start finds the same.
const FILE: &str = "test-database-url";

fn variable_of(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok()
}

/// Gives a data dir a database of its own on PostgreSQL. `false`: there is no PostgreSQL to test with.
pub fn use_for(data_dir: &Path) -> bool {
    let Some(server) = variable_of(SERVER) else { return false };
    let file = data_dir.join(FILE);
    if file.exists() {
        return true;
    }
    std::fs::create_dir_all(data_dir).expect("a data dir");
    let mut seed = std::process::id().to_string();
    seed.extend(data_dir.to_string_lossy().chars().filter(char::is_ascii_alphanumeric));
    let name = format!("t{}", seed.to_ascii_lowercase().chars().take(60).collect::<String>());
    query(&server, &format!("CREATE DATABASE {name}"));
    let (base, options) = server.split_once('?').map_or((server.as_str(), None), |(b, o)| (b, Some(o)));
    let (address, _) = base.rsplit_once('/').expect("a URL that names a database");
    let url = format!("{address}/{name}{}", options.map(|o| format!("?{o}")).unwrap_or_default());
    use_url(data_dir, &url);
    true
}

/// Lets the programs on a data dir use this database.
pub fn use_url(data_dir: &Path, url: &str) {
    std::fs::write(data_dir.join(FILE), url).expect("the data dir can be written");
    secrets::remember_variable("ARGUS_DATABASE_URL", url);
}

/// The database of a data dir, as `ARGUS_DATABASE_URL` names it.
pub fn url(data_dir: &Path) -> String {
    let own = std::fs::read_to_string(data_dir.join(FILE)).ok();
    own.unwrap_or_else(|| format!("sqlite:{}", data_dir.join("argus.db").display()))
}

/// Whether all tests are to use PostgreSQL.
pub fn is_chosen() -> bool {
    variable_of(CHOICE).is_some_and(|choice| choice == "postgres")
}

/// The variable with which a program is started on a data dir that is not on SQLite.
pub(crate) fn variable(data_dir: &Path) -> Option<(&'static str, String)> {
    // Where the data dir cannot be made, the program has to say so by itself.
    if is_chosen() && std::fs::create_dir_all(data_dir).is_ok() {
        assert!(use_for(data_dir), "{CHOICE}=postgres needs a PostgreSQL in {SERVER}: run it by `cargo xtask test`");
    }
    data_dir.join(FILE).exists().then(|| ("ARGUS_DATABASE_URL", url(data_dir)))
}

/// Runs a statement on the database of a URL, and gives its rows, one column each, as text.
pub fn query(url: &str, sql: &str) -> Vec<String> {
    let done = Command::new("psql").args(["-XAtqc", sql, url]).output().expect("psql runs");
    assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).lines().map(str::to_owned).collect()
}
